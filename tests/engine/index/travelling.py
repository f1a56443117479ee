"""What is sent to workers in tests of executors: modules that are hard to send, images that end their worker, executors."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.openers import GivenOpener, Opener
from tests.engine.index import builds


class Inline(Executor):
    """Does the work at once, where it is asked for."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class Elsewhere(Inline):
    """As `Inline`, but all is pickled on its way, as to another process."""

    sent: list[int]

    def __init__(self) -> None:
        self.sent = []

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        data = cloudpickle.dumps((call, arguments))
        self.sent.append(len(data))
        call, arguments = pickle.loads(data)
        return super().submit(lambda: pickle.loads(pickle.dumps(call(*arguments))))


class Threads(Elsewhere):
    """As `Elsewhere`, in four threads, as a worker of Dask may have."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(4)
        self._inline = Inline()

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        return self._pool.submit(lambda: Elsewhere.submit(self, call, *arguments).result())


class Backwards(Executor):
    """Waits for ``count`` pieces of work, and does the last one first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.order: list[int] = []

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        number = len(self._waiting)
        self._waiting.append((future, lambda: self.order.append(number) or call(*arguments)))  # type: ignore[func-returns-value]
        if len(self._waiting) == self.count:
            threading.Thread(target=self._work).start()
        return future

    def _work(self) -> None:
        for future, call in reversed(self._waiting):
            future.set_result(call())


class Watched(nn.Module):
    """Tells in a file when it is loaded and run in another process, or by a pickle."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.inner = builds.module()
        self.log, self.home, self.loaded = str(log), os.getpid(), False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.loaded = True
        self.tell("loaded")

    def forward(self, images: Tensor) -> Tensor:
        if self.loaded:
            self.tell(f"ran with {torch.get_num_threads()} threads")
        return self.inner(images)

    def __deepcopy__(self, memo: dict[int, Any]) -> Watched:  # made of its parts, and not by __setstate__
        copied = Watched.__new__(Watched)
        nn.Module.__init__(copied)
        memo[id(self)] = copied

        copied.inner = copy.deepcopy(self.inner, memo)
        copied.log, copied.home, copied.loaded = self.log, self.home, self.loaded
        return copied

    def tell(self, what: str) -> None:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()} {what}\n")


class Peculiar(nn.Module):
    """Weights that are tied, a buffer that no state dict knows, tensors as plain attributes, weights in another order."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.first = nn.Conv2d(3, 3, 3, padding=1)
            self.again = nn.Conv2d(3, 3, 3, padding=1)
            self.again.weight = self.first.weight
            self.register_buffer("hidden", torch.rand(3, 1, 1), persistent=False)
            self.register_buffer("known", torch.rand(3, 1, 1))
            self.plain = torch.rand(3, 1, 1)
            self.listed = [torch.rand(3, 1, 1), {"one": torch.rand(3, 1, 1)}]
            self.last = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.first.bias.requires_grad_(False)
        self.count = 3

    def forward(self, images: Tensor) -> Tensor:
        values = self.again(self.first(images).relu() * self.hidden + self.known)
        return self.last(values * self.plain + self.listed[0] - self.listed[1]["one"]).mean((2, 3))  # type: ignore[index, operator]


class Called(nn.Module):
    """A function as a part of a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.function = builds.module(), function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.inner(images))


class Data:
    """A dataset of small images."""

    def __init__(self, extra: Any = None) -> None:
        self.extra = extra

    def __len__(self) -> int:
        return 24

    def __getitem__(self, number: int) -> np.ndarray:
        return builds.pixels(24)[number]


@dataclass(frozen=True)
class Troubled(Opener):
    """An image that makes trouble the first times: its process is killed, or it raises what no image should."""

    value: Any
    notes: str
    times: int
    kills: bool = False

    def open(self) -> Any:
        for number in range(self.times):
            try:
                Path(f"{self.notes} {number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            if self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OverflowError(f"trouble {number}")
        return self.value

    def fingerprint(self) -> str:
        return GivenOpener(self.value).fingerprint()


def troubled(notes: Path, times: int, place: int = 20, *, kills: bool = False) -> ImageSet:
    """The images of `builds.images`, and one among them makes trouble; to be told apart only by looking at it."""
    arrays = builds.named()
    openers: list[Opener] = [GivenOpener(array) for array in arrays.values()]
    openers[place] = Troubled(list(arrays.values())[place], str(notes), times, kills)
    return ImageSet(tuple(arrays), ("",) * len(arrays), tuple(openers))


NOTEBOOK = Path(__file__).with_name("notebook.py").read_text()

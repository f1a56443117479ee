"""``side_by_side(tasks, workers) -> (number, value, seconds), ...``: generators that run at once, each in a thread of its own.

Small operations gain nothing from torch's threads, which wait for each other at every one of them. Images that have nothing to
do with each other are better served by one thread each.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

Value = TypeVar("Value")
Task = Callable[[], Generator[Value]]

MOST = 8
"""Tasks under way at a time, however many threads torch has: each holds its images and what a backward pass needs of them."""

_lock = threading.Lock()


def workers_for(device: torch.device, threads: int) -> int:
    """How many tasks run at once, with so many of torch's threads each: one where the processor only waits for another."""
    return 1 if device.type != "cpu" else max(1, min(MOST, torch.get_num_threads() // threads))


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Have what torch does in the calling thread use so many threads; those of others stay as they are."""
    with _lock:
        usual = torch.get_num_threads()
        if number != usual:
            torch.set_num_threads(number)
            # that is also the number that new threads begin with, which a thread that ends with it can put back
            other = threading.Thread(target=torch.set_num_threads, args=(usual,))
            other.start()
            other.join()
    try:
        yield
    finally:
        if number != usual:
            with _lock:
                torch.set_num_threads(usual)


def side_by_side(
    tasks: Sequence[Task[Value]], workers: int, threads: int
) -> Generator[tuple[int, Value, float], None, None]:
    """What generators yield, as it comes: the number of the task, the value, and the seconds that it took.

    Tasks are begun in their order. Nothing is asked of a generator beyond the next value while nobody takes what is there, so to
    stop asking lets all rest; to close this generator closes them.

    Parameters
    ----------
    workers
        How many run at once. One runs in the calling thread, if that has the ``threads``.
    threads
        torch's threads for each.
    """
    if workers == 1 and threads == torch.get_num_threads():
        for number, task in enumerate(tasks):
            with contextlib.closing(task()) as values:
                yield from ((number, value, seconds) for value, seconds in _timed(values))
        return
    with _Crew(tasks, workers, threads) as crew:
        yield from crew


def _timed(values: Iterator[Value]) -> Iterator[tuple[Value, float]]:
    """Each value, and how long the iterator took for it; not how long it was left alone."""
    begun = time.monotonic()
    for value in values:
        yield value, time.monotonic() - begun
        begun = time.monotonic()


class _Crew:
    """Threads that take one task after the other, and hand over what these yield."""

    def __init__(self, tasks: Sequence[Task[Value]], workers: int, threads: int) -> None:
        self._next = iter(enumerate(tasks))
        self._taking = threading.Lock()
        self._told: queue.Queue[tuple[int, object, float]] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._number_of_threads = threads
        self._members = [
            threading.Thread(target=self._work, name=f"cnnviz-side-by-side-{number}", daemon=True)
            for number in range(min(workers, len(tasks)))
        ]

    def __enter__(self) -> _Crew:
        for member in self._members:
            member.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._closed.set()
        for member in self._members:
            while member.is_alive():
                with contextlib.suppress(queue.Empty):  # so that who waits to hand something over goes on
                    self._told.get(timeout=0.01)
        for member in self._members:
            member.join()

    def __iter__(self) -> Iterator[tuple[int, Value, float]]:
        over = 0
        while over < len(self._members):
            try:
                number, value, seconds = self._told.get(
                    timeout=1
                )  # an interrupt is noticed between two waits everywhere
            except queue.Empty:
                continue
            if isinstance(value, _Over):
                over += 1
                if value.error is not None:
                    raise value.error
            else:
                yield number, value, seconds  # type: ignore[misc]

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            with torch_threads(self._number_of_threads):
                for number, task in iter(self._task, None):
                    with contextlib.closing(task()) as values:
                        for value, seconds in _timed(values):
                            self._told.put((number, value, seconds))
                            if self._closed.is_set():
                                return
        except BaseException as raised:  # who reads the values is told; nothing above this thread would show it
            error = raised
        finally:
            self._told.put((-1, _Over(error), 0.0))

    def _task(self) -> tuple[int, Task[object]] | None:
        with self._taking:
            return None if self._closed.is_set() else next(self._next, None)


class _Over:
    """A member has no more tasks, or one that failed."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

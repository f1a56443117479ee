"""``Ticket.of(network, executor)``: a network on its way to other processes, loaded once in each.

What travels with every piece of work is small: where the network came from and the digest of its weights. A network that `load`
made is loaded again by name; another one as its structure, pickled without a number in it, and a safetensors file of weights
that the workers must be able to read. In threads nothing travels at all. That a worker has the same network is checked by the
digests of weights and structure.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import pickle
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .input_spec import InputSpec
from .keeping import Kept
from .network import Network
from .store import StoreError
from .threads import set_threads

MENDS = (
    "put it into a file and import it from there, or use threads (concurrent.futures.ThreadPoolExecutor), loky or Dask, which "
    "take along what a notebook defines"
)


class TravelError(TypeError):
    """A network, or images, that can't be sent to the workers of an executor."""


@dataclass(frozen=True)
class Ticket:
    """How a worker comes by a network.

    Attributes
    ----------
    digest, parts
        Of the weights and preprocessing, and of what the module is made of; see `structure_of`.
    source
        What `load` takes, as sorted pairs, or None.
    structure
        The pickled module without its tensors, where there is no source.
    weights
        The safetensors file with its tensors.
    device
        Where the worker puts it: ``"cpu"``, ``"cuda"``, ``"mps"``.
    threads
        torch's threads in a worker process, which decide the last bits.
    live
        The network itself, in the process that it comes from.
    """

    digest: str
    parts: str
    name: str
    input: InputSpec
    device: str
    threads: int = field(compare=False)
    source: tuple[tuple[str, Any], ...] | None = None
    structure: bytes = b""
    weights: str = ""
    live: Network | None = field(default=None, compare=False, repr=False)

    @classmethod
    @contextmanager
    def of(
        cls,
        network: Network,
        executor: Executor | None,
        *,
        digest: str,
        folder: Path | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> Iterator[Ticket]:
        """A ticket, valid inside of the ``with``.

        Parameters
        ----------
        folder
            Where weights are laid for the workers; None: a temporary folder, which only workers on this machine can read.

        Raises
        ------
        TravelError
            The module's class, or something in it, can't be sent to this executor's workers; or the executor forks.
        StoreError
            The weights can't be written.
        """
        plain = cls(
            digest=digest,
            parts=structure_of(network.bare),
            name=network.name,
            input=network.input,
            device=device or network.device.type,
            threads=threads or torch.get_num_threads(),
            live=network,
        )
        if executor is None or isinstance(executor, ThreadPoolExecutor):
            yield plain
            return
        refuse_forks(executor)
        if network.source is not None and network.stamp() == network.source.stamp:
            yield replace(plain, source=tuple(sorted(network.source.arguments.items())))
            return
        structure, tensors = pickled(network.bare, executor, f"the {type(network.bare).__name__}")
        with tempfile.TemporaryDirectory(prefix="weights-", dir=folder, ignore_cleanup_errors=True) as own:
            path = Path(own).resolve() / "weights.safetensors"
            _lay(tensors, path)
            yield replace(plain, structure=structure, weights=str(path))

    def network(self) -> Network:
        """The network: the live one at home, elsewhere one that is loaded once.

        Raises
        ------
        RuntimeError
            The worker can't read the weights, has no such device, or comes to another network.
        """
        if self.live is not None:
            return self.live
        set_threads(self.threads)  # in each thread of a worker
        return _LOADED.get(self, lambda: _load(self))

    def __hash__(self) -> int:  # options of a source may be lists
        return hash((self.digest, self.device, self.weights))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "live": None}

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (self.digest, self.device, self.threads, self.weights)


def _one(network: Network) -> int:
    return 1


_LOADED: Kept[Network] = Kept(_one, most=2)
"""The networks of this worker, one loading each, whatever the number of its threads."""


def _load(ticket: Ticket) -> Network:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(ticket.device, True):
        raise RuntimeError(f"a worker has no device {ticket.device!r}; give device='cpu', or workers that have one")
    if ticket.source is not None:
        from .sources import load

        network = load(**dict(ticket.source))
    else:
        if not Path(ticket.weights).is_file():
            raise RuntimeError(
                f"a worker can't read the weights at {ticket.weights!r}; give path= a folder that all workers share"
            )
        with safe_open(ticket.weights, "pt") as file:
            module = _Unpickler(io.BytesIO(ticket.structure), file).load()
        network = Network(module, ticket.input, name=ticket.name)
    for what, found, expected in (
        ("weights", network.digest(), ticket.digest),
        ("parts", structure_of(network.bare), ticket.parts),
    ):
        if found != expected:
            raise RuntimeError(
                f"a worker loaded {ticket.name} with other {what} (digest {found[:12]}, expected {expected[:12]}); are the "
                "packages and files there the same as here? Exchanged parts travel with cnn.Network(net.module, net.input)"
            )
    if ticket.device != network.device.type:
        network = Network(network.bare.to(ticket.device), network.input, name=network.name)
    return network


def is_process_pool(executor: Executor) -> bool:
    """Whether an executor pickles as the standard library does, so that what a notebook defines can't travel."""
    return isinstance(executor, ProcessPoolExecutor) or type(executor).__module__.startswith("mpi4py")


def structure_of(module: nn.Module) -> str:
    """A SHA-256 over the names, classes and settings of a module's parts, which decide what it computes beside its weights.

    Not over the code of its classes, nor over attributes that a part does not print.
    """
    told = hashlib.sha256()
    for name, part in module.named_modules(remove_duplicate=False):
        settings = re.sub(r" at 0x[0-9a-fA-F]+", "", part.extra_repr())
        told.update(repr((name, type(part).__qualname__, settings)).encode())
    return told.hexdigest()


def refuse_forks(executor: Executor) -> None:
    """Raise `TravelError` for a pool whose processes are forked: they hang once torch has used its threads."""
    context: Any = getattr(executor, "_mp_context", None) or getattr(executor, "_context", None)  # loky's
    if hasattr(context, "get_start_method") and context.get_start_method() == "fork":
        raise TravelError(
            "the pool forks its processes, which hang once torch has used its threads; give "
            "ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn'))"
        )


def _lay(tensors: list[Tensor], path: Path) -> None:
    try:
        save_file({str(number): _plain(tensor) for number, tensor in enumerate(tensors)}, path)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"the weights for the workers can't be written to {str(path)!r}: {error}; give path= a folder with room"
        ) from error
    except (KeyError, ValueError, RuntimeError, NotImplementedError) as error:  # as of sparse or quantized ones
        raise TravelError(f"the weights can't be sent to workers: {error}; use threads instead") from error


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()


def pickled(value: Any, executor: Executor, what: str) -> tuple[bytes, list[Tensor]]:
    """A value pickled as an executor does, or as near as can be told, without its tensors; and these.

    Raises
    ------
    TravelError
        Something in it can't be pickled, or not be found again by the workers.
    """
    strict = is_process_pool(executor)
    base: Any = pickle.Pickler
    if not strict and importlib.util.find_spec("cloudpickle") is not None:
        base = importlib.import_module("cloudpickle").Pickler
    # a script is run again in each worker, a notebook is not
    notebook = strict and getattr(sys.modules["__main__"], "__file__", None) is None
    tensors: list[Tensor] = []
    buffer = io.BytesIO()
    try:
        _pickler(base)(buffer, tensors, notebook).dump(value)
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError and what a __reduce__ raises
        raise TravelError(
            f"{what} can't be sent to the workers of {type(executor).__name__}: {error}; {MENDS}"
        ) from error
    return buffer.getvalue(), tensors


def _pickler(base: Any) -> Any:
    class Without(base):
        def __init__(self, buffer: io.BytesIO, tensors: list[Tensor], notebook: bool) -> None:
            super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
            self._tensors, self._notebook = tensors, notebook
            self._numbers: dict[int, int] = {}

        def persistent_id(self, value: Any) -> Any:
            if self._notebook and isinstance(value, type | FunctionType) and value.__module__ == "__main__":
                raise TypeError(f"{value.__qualname__} is defined in this notebook, where the workers can't find it")
            if not isinstance(value, Tensor):
                return None
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self._tensors)
                self._tensors.append(value)
            # the order of its values in memory decides the last bits, too
            last = value.dim() == 4 and not value.is_contiguous()
            last = last and value.is_contiguous(memory_format=torch.channels_last)
            return self._numbers[id(value)], isinstance(value, nn.Parameter), value.requires_grad, last

    return Without


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, file: Any) -> None:
        super().__init__(buffer)
        self._file = file
        self._made: dict[int, Tensor] = {}

    def persistent_load(self, known: Any) -> Tensor:
        number, parameter, trains, last = known
        if number not in self._made:
            tensor = self._file.get_tensor(str(number))
            tensor = tensor.contiguous(memory_format=torch.channels_last) if last else tensor
            self._made[number] = nn.Parameter(tensor, requires_grad=trains) if parameter else tensor
        return self._made[number]

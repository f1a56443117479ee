"""``shadow(module) -> module``: a copy to run in place of the user's object, sharing its weights.

The user's module is never run, hooked, frozen or switched to evaluation: a copy of its structure is, whose parameters and
buffers are aliases of the same storage. So it is always as it was, also while a run is paused, and training it further shows
in the next forward pass. The aliases are taken through ``.data``, which has a version counter of its own: an optimizer that
steps between our forward and backward pass does not break the backward pass.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

_lock = threading.RLock()


def unwrapped(module: nn.Module) -> nn.Module:
    """What ``torch.compile`` and ``DataParallel`` wrap: hooks do not fire inside of compiled code."""
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod  # type: ignore[assignment]
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def alias(tensor: Tensor) -> Tensor:
    """The same storage under a tensor of its own, without gradient."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.data, requires_grad=False)
    return tensor.data


def shadow(module: nn.Module, private: frozenset[str] = frozenset()) -> nn.Module | None:
    """A copy of ``module`` on the same storage, in evaluation mode, or None where it can't be copied.

    Parameters
    ----------
    private
        Names of buffers that the forward pass writes even in evaluation mode: these get storage of their own, so that
        running the shadow leaves the user's untouched.

    Notes
    -----
    Hooks that the user put on the module stay on the copy, since they may be part of what it computes (weight norm,
    pruning, an ablation). A function among the module's attributes that has caught one of the module's parts would run
    the user's own object from within the copy; such a module counts as one that can't be copied.
    """
    if _catches_parts(module):
        return None
    memo: dict[int, Any] = {}
    own = {id(buffer) for name, buffer in module.named_buffers() if name in private}
    for tensor in _tensors(module):
        memo[id(tensor)] = tensor.detach().clone() if id(tensor) in own else alias(tensor)
    try:
        copied = copy.deepcopy(module, memo)
        copied.eval()
    except Exception:  # whatever a user's __deepcopy__, lock, file or generator raises: borrowed instead
        return None
    return copied


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():
        yield from (value for value in vars(part).values() if isinstance(value, Tensor))


def _catches_parts(module: nn.Module) -> bool:
    parts = {id(part) for part in module.modules()}
    for part in module.modules():
        hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
        for value in [*vars(part).values(), *hooks]:
            if isinstance(value, functools.partial):
                caught: list[Any] = [*value.args, *value.keywords.values()]
                value = value.func
            else:
                caught = []
            if isinstance(value, FunctionType):
                caught += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
                caught += value.__defaults__ or ()
            if any(id(thing) in parts for thing in caught):
                return True
    return False


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


@contextmanager
def borrowed(module: nn.Module, hook: Callable[[nn.Module], list[Any]]) -> Iterator[nn.Module]:
    """The user's own module, for one forward pass: evaluation mode, frozen, hooked, under a lock; all put back at the end.

    ``hook(module)`` registers the hooks and returns their handles. Used only where `shadow` gives None. Buffers that the
    pass writes are put back as well.
    """
    with _lock:
        training = [(part, part.training) for part in module.modules()]
        trainable = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
        buffers = [(buffer, buffer._version, buffer.clone()) for buffer in module.buffers()]
        handles: list[Any] = []
        try:
            module.eval()
            for parameter, _ in trainable:
                parameter.requires_grad_(False)
            handles = hook(module)
            yield module
        finally:
            for handle in handles:
                handle.remove()
            for part, flag in training:
                part.training = flag
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)
            with torch.no_grad():
                for buffer, version, before in buffers:
                    if buffer._version != version:
                        buffer.copy_(before)

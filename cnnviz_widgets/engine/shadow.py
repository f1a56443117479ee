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
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

_lock = threading.RLock()


def unwrapped(module: nn.Module) -> nn.Module:
    """What ``torch.compile`` and ``DataParallel`` wrap: hooks do not fire inside of compiled code."""
    while True:
        if _is_compiled(module):
            module = module._orig_mod  # type: ignore[assignment]
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def _is_compiled(module: nn.Module) -> bool:
    return isinstance(getattr(module, "_orig_mod", None), nn.Module)


def alias(tensor: Tensor) -> Tensor:
    """The same storage under a tensor of its own, without gradient."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.data, requires_grad=False)
    return tensor.data


def _private(tensor: Tensor) -> Tensor:
    own = tensor.detach().clone()
    return nn.Parameter(own, requires_grad=False) if isinstance(tensor, nn.Parameter) else own


def shadow(module: nn.Module, private: Collection[str] | None = frozenset()) -> nn.Module | None:
    """A copy of ``module`` on the same storage, in evaluation mode, or None where it can't be copied.

    Parameters
    ----------
    private
        Names of tensors that the forward pass writes even in evaluation mode: these get storage of their own, so that
        running the shadow leaves the user's untouched. None: all do.

    Notes
    -----
    Hooks that the user put on the module stay on the copy, since they may be part of what it computes (weight norm,
    pruning, an ablation). A function among the module's attributes that has caught one of the module's parts would run
    the user's own object from within the copy; such a module counts as one that can't be copied.

    Raises
    ------
    RuntimeError
        The module's tensors were exchanged again and again meanwhile, as by training in another thread where weight norm or
        pruning computes weights anew in each pass. That is no module that can't be copied, and borrowing it would spoil a step.
    """
    for _ in range(_TRIES):
        try:
            named = list(named_tensors(module))  # held while copying: the memo knows them by their id only
        except RuntimeError:  # a dictionary that is read has grown
            continue
        try:
            if _catches_parts(module):
                return None
            copied = _copy(module, named, private)
        except Exception:  # whatever a user's __deepcopy__, lock or file raises: borrowed instead
            if _holds(module, named):
                return None
        else:
            _run_eagerly(copied)
            return copied
    raise RuntimeError(
        f"the {type(module).__name__} changes while it is copied, as in a step of training; try again when that rests"
    )


_TRIES = 20


def _holds(module: nn.Module, named: list[tuple[str, Tensor]]) -> bool:
    """Whether a module's tensors are still these."""
    try:
        now = list(named_tensors(module))
    except RuntimeError:
        return False
    return [(name, id(tensor)) for name, tensor in now] == [(name, id(tensor)) for name, tensor in named]


def _copy(module: nn.Module, named: list[tuple[str, Tensor]], private: Collection[str] | None) -> nn.Module:
    memo: dict[int, Any] = {}
    with torch.inference_mode(False):
        own = {id(tensor) for name, tensor in named if private is None or name in private}
        for _, tensor in named:
            memo[id(tensor)] = _private(tensor) if id(tensor) in own else alias(tensor)
        return copy.deepcopy(module, memo).eval()


def named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(dotted name, tensor) of every parameter, every buffer, and every tensor that is a plain attribute of a part."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if isinstance(value, Tensor):
                yield (f"{name}.{attribute}" if name else attribute), value


def differing(before: dict[str, Tensor], module: nn.Module) -> frozenset[str]:
    """The names of the tensors of ``module`` that are not what ``before`` says, NaN being equal to NaN."""
    return frozenset(name for name, tensor in named_tensors(module) if not _same(before.get(name), tensor))


def _same(before: Tensor | None, after: Tensor) -> bool:
    if before is None or before.shape != after.shape or before.dtype != after.dtype:
        return False
    return bool(((before == after) | ((before != before) & (after != after))).all())


def _run_eagerly(module: nn.Module) -> None:
    """Let compiled parts run as they were written: hooks do not fire inside of compiled code."""
    for part in module.modules():
        attributes = vars(part)
        if attributes.get("_compiled_call_impl") is not None:
            attributes["_compiled_call_impl"] = None
        if _is_compiled(part):
            attributes["forward"] = part._orig_mod


def _catches_parts(module: nn.Module) -> bool:
    parts = {id(part) for part in module.modules()}
    seen: set[int] = set()
    for part in module.modules():
        for name, value in vars(part).items():
            made_by_compile = _is_compiled(part) and name in ("forward", "_forward", "dynamo_ctx")
            if name != "_compiled_call_impl" and not made_by_compile and _leads_to(value, parts, seen, False):
                return True
    return False


def _leads_to(value: Any, parts: set[int], seen: set[int], caught: bool) -> bool:
    """Whether a function in ``value`` holds one of the parts. ``deepcopy`` follows containers, partials and bound methods, so
    a part in these counts only where a function, which is not copied, holds them (``caught``)."""
    if isinstance(value, nn.Module):
        return caught and id(value) in parts
    if not isinstance(value, FunctionType | MethodType | functools.partial | dict | list | tuple | set):
        return False
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, FunctionType):
        return any(_leads_to(held, parts, seen, True) for held in _held(value))
    if isinstance(value, MethodType):
        inner: list[Any] = [value.__self__, value.__func__]
    elif isinstance(value, functools.partial):
        inner = [value.func, *value.args, *value.keywords.values()]
    else:
        inner = list(value.values() if isinstance(value, dict) else value)[:1000]
    return any(_leads_to(held, parts, seen, caught) for held in inner)


def _held(function: FunctionType) -> Iterator[Any]:
    """What a function reaches: variables around it, defaults, and globals that are modules or functions."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in function.__code__.co_names:
        known = function.__globals__.get(name)
        if isinstance(known, nn.Module):
            yield known


def recomputed(module: nn.Module) -> nn.Module:
    """A shadow whose weight is up to date where weight norm, spectral norm or pruning computes it before each pass."""
    for hook in module._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            hook(module, ())
    return module


@contextmanager
def borrowed(
    module: nn.Module, hook: Callable[[nn.Module], list[Any]], written: Collection[str] | None = None
) -> Iterator[nn.Module]:
    """The user's own module, for one forward pass: evaluation mode, frozen, hooked, under a lock; all put back at the end.

    ``hook(module)`` registers the hooks and returns their handles. ``written`` names the tensors that the pass writes, None
    all: for the pass others stand in their place, which the backward pass can still use when the module's own are back.
    Used only where `shadow` gives None.
    """
    with _lock:
        attributes = [(kept, dict(kept)) for part in module.modules() for kept in _kept(part)]
        trainable = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
        standing_in = {id(t): _private(t) for name, t in named_tensors(module) if written is None or name in written}
        handles: list[Any] = []
        try:
            module.eval()
            _run_eagerly(module)
            for kept, before in attributes:
                kept.update({name: standing_in[id(own)] for name, own in before.items() if id(own) in standing_in})
            for parameter, _ in trainable:
                parameter.requires_grad_(False)
            handles = hook(module)
            yield module
        finally:
            for handle in handles:
                handle.remove()
            for kept, before in attributes:
                _put_back(kept, before)
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)


def _kept(part: nn.Module) -> list[dict[str, Any]]:
    return [vars(part), part._parameters, part._buffers, part._modules]


def _put_back(kept: dict[str, Any], before: dict[str, Any]) -> None:
    """Only what differs, so that nobody who looks at the module meanwhile finds it empty."""
    for name in [name for name in kept if name not in before]:
        del kept[name]
    for name, value in before.items():
        if name not in kept or kept[name] is not value:
            kept[name] = value

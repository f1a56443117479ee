"""``with redirected(): forward pass``: gradients that get past nonlinearities which let nothing through.

A unit behind a ReLU that is off for an image has a gradient of exactly zero, and an ascent on it stands still on grey, the
failure that users of feature visualization report most. Within `redirected` such a nonlinearity computes what it always does,
but where it would block the whole gradient of an image, it lets pass what would move its input back to where it answers
(after ``redirected_relu_grad`` of lucid; there for ReLU and ReLU6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

STEPS = 16
"""An image is rescued within its first steps only, as in lucid; one that is off later has gone where nothing answers."""

TRIES = 3
"""How often an image's gradient is redirected in vain: a unit that is at its highest has none either way, and each try costs
a pass. More than once, because what transformations draw may decide."""


class _Redirected(torch.autograd.Function):
    """A nonlinearity that is flat below ``low`` and above ``high``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: Callable[[Tensor], Tensor], low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.told = apply, low, high
        return apply(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        apply, low, high = ctx.told
        with torch.enable_grad():
            entered = x.detach().requires_grad_()
            (plain,) = torch.autograd.grad(apply(entered), entered, gradients[0])
        # ascending: a positive gradient pushes the input up, which helps below `low` and not above `high`
        back = ((x <= low) & (gradients[0] > 0)) | ((x >= high) & (gradients[0] < 0))
        blocked = ~plain.flatten(1).any(1).view(-1, *[1] * (x.dim() - 1))
        return torch.where(blocked & back, gradients[0], plain), None, None, None


# parameters are called as torch calls them, since they may be given by name
def _flat(input: Tensor, apply: Callable[[Tensor], Tensor], low: float, high: float, inplace: bool) -> Tensor:
    if not inplace:
        return _Redirected.apply(input, apply, low, high)
    # a network may read the tensor that was overwritten, not only what the call returns
    return input.copy_(_Redirected.apply(input.clone(), apply, low, high))


def _relu(input: Tensor, inplace: bool = False) -> Tensor:
    return _flat(input, torch.relu, 0.0, float("inf"), inplace)


def _relu_(input: Tensor) -> Tensor:
    return _relu(input, True)


def _relu6(input: Tensor, inplace: bool = False) -> Tensor:
    return _hardtanh(input, 0.0, 6.0, inplace)


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    return _flat(input, lambda x: x.clamp(min_val, max_val), min_val, max_val, inplace)


def _hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    return _hardtanh(input, min_val, max_val, True)


def _hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    return _flat(input, functional.hardswish, -3.0, float("inf"), inplace)


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    return _flat(input, functional.hardsigmoid, -3.0, 3.0, inplace)


_INSTEAD: dict[Any, Callable[..., Tensor]] = {
    functional.relu: _relu,
    functional.relu_: _relu_,
    torch.relu: _relu,
    torch.relu_: _relu_,
    Tensor.relu: _relu,
    Tensor.relu_: _relu_,
    functional.relu6: _relu6,
    functional.hardtanh: _hardtanh,
    functional.hardtanh_: _hardtanh_,
    functional.hardswish: _hardswish,
    functional.hardsigmoid: _hardsigmoid,
}


class redirected(TorchFunctionMode):  # noqa: N801  (reads as `with redirected():`)
    """While it lasts, flat nonlinearities pass on a gradient that they would block for the whole of an image."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        instead = _INSTEAD.get(func)
        if instead is None:
            return func(*args, **(kwargs or {}))
        return instead(*args, **(kwargs or {}))

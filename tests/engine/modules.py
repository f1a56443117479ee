"""Modules that hold little but what a test is about, and a network around them, for tests of what units see."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network


class Function(nn.Module):
    """A forward pass that is a function, between two layers with weights."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, channels, 3, padding=1)
        self.function = function
        self.after = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.function(self.before(x)))


class Same(nn.Conv2d):
    """Pads as much as its input's size wants, more at the end than at the beginning."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for axis in (3, 2):
            count, stride, kernel = x.shape[axis], self.stride[axis - 2], self.kernel_size[axis - 2]
            pad = max((-(-count // stride) - 1) * stride + kernel - count, 0)
            pads += [pad // 2, pad - pad // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride)


def network_of(module: nn.Module, height: int = 20, width: int = 17) -> Network:
    return Network(module.eval(), InputSpec(size=(3, height, width)))

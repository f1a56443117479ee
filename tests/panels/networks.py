"""Small networks for the panels' tests, made anew for each test since some change their weights."""

from __future__ import annotations

import threading
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from cnnviz_widgets import InputSpec, Network

CLASSES = ("round", "square", "flat", "tall", "none")


def grey(*, classes: int = 5) -> Network:
    """Two convolutions and a dense layer on grey images of 8 × 8 pixels; five classes have names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, classes),
        )
    labels = CLASSES if classes == len(CLASSES) else None
    return Network(module.eval(), InputSpec(size=(1, 8, 8), mean=0.4, std=0.2), labels, name="grey")


def convolutional() -> Network:
    """Colour, grouped, pointwise and strided convolutions, no dense layer, 16 × 16 pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 12, 1),
            nn.Conv2d(12, 12, 3, groups=3, dilation=2),
        )
    return Network(module.eval(), InputSpec(size=(3, 16, 16)), name="convolutional")


def dense() -> Network:
    """No convolution at all."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU(), nn.Linear(7, 3))
    return Network(module.eval(), InputSpec(size=(1, 8, 8)), name="dense")


def untrained_resnet() -> Network:
    """ResNet-18 without training on 64 × 64 pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = resnet18()
    return Network(module.eval(), InputSpec(size=(3, 64, 64)), name="resnet18")


class Guarded(nn.Module):
    """A convolution whose forward pass waits at a gate and may be told to fail; the gate is the class's, since what runs is a
    copy of the module."""

    gate: ClassVar[threading.Event] = threading.Event()
    passes_left: ClassVar[int | None] = None

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        assert self.gate.wait(60)
        if Guarded.passes_left is not None:
            Guarded.passes_left -= 1
            if Guarded.passes_left < 0:
                raise RuntimeError("the forward pass of the test's module broke")
        return self.conv(images)

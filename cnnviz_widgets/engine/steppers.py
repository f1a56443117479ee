"""``(gradient, score) -> update``: how far a step goes.

The gradient is with respect to the latent; for `Pixels` that is the papers' own, of pixels in units of 0 to 255, so that
their numbers can be used as they are printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .knobs import Family, knob


@dataclass(frozen=True)
class Stepper(Family):
    """Turns a gradient into what is added to the latent; each image of the batch on its own."""

    def update(self, gradient: Tensor, score: Tensor) -> Tensor:
        """``gradient`` (B, ...) of the objective minus penalties, ``score`` (B,) -> what is added, like ``gradient``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Stepper):
    """``x <- x + size * gradient``: far where the slope is steep.

    Parameters
    ----------
    size
        In the papers' units, pixels of 0 to 255: 100 moves a pixel of gradient 0.01 by one grey level. A good value depends
        on the scale of the network's activations; on a network one has never seen, `Progress` is the safer choice.
    """

    size: float = knob(100.0, low=1.0, high=100000.0, scale="log", label="step size")

    def __post_init__(self) -> None:
        _positive(self.size, "size")

    def update(self, gradient: Tensor, score: Tensor) -> Tensor:
        return self.size * gradient


@dataclass(frozen=True)
class Progress(Stepper):
    """As far as would raise the score by ``desired``, were the slope to stay: ``size = min(largest, desired / ||gradient||²)``.

    Does not depend on the scale of pixels or, through ``desired`` alone, of activations, so it works on networks one has
    never seen. The rule "progress" of the deep visualization toolbox (Yosinski et al. 2015).

    Parameters
    ----------
    desired
        How much the score is to rise in a step, in the unit's own activation.
    largest
        The largest step size, in units of 0 to 255; it acts where the gradient is nearly zero.
    """

    desired: float = knob(2.0, low=0.01, high=20.0, scale="log", label="desired progress")
    largest: float = knob(1e8, low=1.0, high=1e10, scale="log", label="largest step size")

    def __post_init__(self) -> None:
        _positive(self.desired, "desired")
        _positive(self.largest, "largest")

    def update(self, gradient: Tensor, score: Tensor) -> Tensor:
        squared = gradient.flatten(1).square().sum(1)
        # a zero gradient gives an infinite quotient, which `largest` bounds
        size = torch.clamp(self.desired / squared, max=self.largest)
        return size.view(-1, *[1] * (gradient.dim() - 1)) * gradient


def _positive(value: float, name: str) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value}; expected a number above 0")

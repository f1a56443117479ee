"""``(gradient, score, state) -> update``: how far a step goes.

The gradient is with respect to the latent; for `Pixels` that is the papers' own, of pixels in units of 0 to 255, so that
their numbers can be used as they are printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .knobs import Family, knob


@dataclass(frozen=True)
class Stepper(Family):
    """Turns a gradient into what is added to the latent; each image of the batch on its own.

    Attributes
    ----------
    of_probability
        Whether it is a rule for scores that are probabilities: a class is then climbed by its probability, not its logit.
    """

    of_probability: ClassVar[bool] = False

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        """``gradient`` (B, ...) of the objective minus penalties, ``score`` (B,) -> what is added, like ``gradient``.

        ``state`` is what the stepper remembers of these images: empty at the start, filled with tensors (B, ...) as it likes.
        """
        raise NotImplementedError

    @property
    def probed(self) -> bool:
        """Whether the loop may scale its steps where a trial on the network at hand shows that they do not carry."""
        return False


@dataclass(frozen=True)
class Constant(Stepper):
    """``x <- x + size * gradient``: far where the slope is steep.

    Parameters
    ----------
    size
        In the papers' units, pixels of 0 to 255: 100 moves a pixel of gradient 0.01 by one grey level. A good value depends
        on the scale of the network's activations; on a network one has never seen, `Progress` is the safer choice.
    probe
        Try the size on the network at hand first, in a few steps that are then forgotten: one at which the ascent stands still,
        or falls, gives way to one that carries (`cnnviz_widgets.engine.probing`). What was taken is told.
    """

    size: float = knob(100.0, low=1.0, high=100000.0, scale="log", label="step size")
    probe: bool = knob(False, label="try the size first")

    def __post_init__(self) -> None:
        _positive(self.size, "size")

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        return self.size * gradient

    @property
    def probed(self) -> bool:
        return self.probe


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

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        return _towards(gradient, torch.full_like(score, self.desired, dtype=gradient.dtype), self.largest)


@dataclass(frozen=True)
class ProbabilityProgress(Stepper):
    """`Progress` for a score between 0 and 1: ``desired = min(early, late * (1 - score))``, smaller as it nears 1.

    For the probability of a class, which it climbs where a class is given; beyond 1 it goes on by ``early``. The rule
    "progress01" of the code of Nguyen et al. 2015, "Deep Neural Networks are Easily Fooled".

    Parameters
    ----------
    early
        How much the score is to rise in a step while it is low.
    late
        The share of what is left to 1 that is to be made up in a step.
    largest
        The largest step size, in units of 0 to 255.
    """

    of_probability: ClassVar[bool] = True

    early: float = knob(0.02, low=0.001, high=0.2, scale="log", label="early progress")
    late: float = knob(0.1, low=0.01, high=1.0, scale="log", label="late share")
    largest: float = knob(1e7, low=1.0, high=1e10, scale="log", label="largest step size")

    def __post_init__(self) -> None:
        for name in ("early", "late", "largest"):
            _positive(getattr(self, name), name)

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        left = torch.where(score < 1, self.late * (1 - score), self.early)
        return _towards(gradient, left.clamp(max=self.early).to(gradient.dtype), self.largest)


@dataclass(frozen=True)
class Adam(Stepper):
    """Adam (Kingma & Ba 2015): each value steps by about ``rate``, however steep the slope.

    In the latent's own units: 0.05 suits `Fourier` (lucid), a grey level or two `Pixels`.

    Parameters
    ----------
    rate
        How far a value steps.
    memory, square_memory
        The beta 1 and beta 2 of the paper: the share of the former mean of gradients and of squared gradients that is kept.
    """

    rate: float = knob(0.05, low=0.001, high=10.0, scale="log", label="step size")
    memory: float = knob(0.9, low=0.0, high=0.99, label="memory of gradients")
    square_memory: float = knob(0.999, low=0.5, high=0.9999, label="memory of squares")

    def __post_init__(self) -> None:
        _check_adaptive(self)

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            state["updates"] = torch.zeros_like(score)
        state["updates"] = state["updates"] + 1
        state["mean"] = torch.lerp(gradient, state["mean"], self.memory)
        state["square"] = torch.lerp(gradient.square(), state["square"], self.square_memory)
        shape = (-1, *[1] * (gradient.dim() - 1))
        updates = state["updates"].to(gradient.dtype).view(shape)
        mean = state["mean"] / (1 - self.memory**updates)
        square = state["square"] / (1 - self.square_memory**updates)
        return self.rate * mean / (square.sqrt() + 1e-8)


@dataclass(frozen=True)
class NAdam(Stepper):
    """Adam with Nesterov's momentum (Dozat 2016), as ``torch.optim.NAdam`` computes it; what MACO climbs by.

    Parameters
    ----------
    rate
        How far a value steps, in the latent's own units; 1 for phases.
    memory, square_memory
        As in `Adam`.
    """

    rate: float = knob(1.0, low=0.001, high=10.0, scale="log", label="step size")
    memory: float = knob(0.9, low=0.0, high=0.99, label="memory of gradients")
    square_memory: float = knob(0.999, low=0.5, high=0.9999, label="memory of squares")

    def __post_init__(self) -> None:
        _check_adaptive(self)

    def update(self, gradient: Tensor, score: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            state["updates"], state["product"] = torch.zeros_like(score), torch.ones_like(score)
        shape = (-1, *[1] * (gradient.dim() - 1))
        updates = state["updates"] = state["updates"] + 1
        now = self.memory * (1 - 0.5 * 0.96 ** (updates * 0.004))
        then = self.memory * (1 - 0.5 * 0.96 ** ((updates + 1) * 0.004))
        product = state["product"] = state["product"] * now
        state["mean"] = torch.lerp(gradient, state["mean"], self.memory)
        state["square"] = torch.lerp(gradient.square(), state["square"], self.square_memory)
        of_gradient = ((1 - now) / (1 - product)).to(gradient.dtype).view(shape)
        of_mean = (then / (1 - product * then)).to(gradient.dtype).view(shape)
        square = state["square"] / (1 - self.square_memory ** updates.to(gradient.dtype).view(shape))
        return self.rate * (of_gradient * gradient + of_mean * state["mean"]) / (square.sqrt() + 1e-8)


def _check_adaptive(stepper: Adam | NAdam) -> None:
    _positive(stepper.rate, "rate")
    for name in ("memory", "square_memory"):
        if not 0 <= getattr(stepper, name) < 1:
            raise ValueError(f"{name}={getattr(stepper, name)}; expected 0 up to below 1")


def _towards(gradient: Tensor, desired: Tensor, largest: float) -> Tensor:
    squared = gradient.flatten(1).square().sum(1)
    # a zero gradient gives an infinite quotient, which `largest` bounds
    size = torch.clamp(desired / squared, max=largest)
    return size.view(-1, *[1] * (gradient.dim() - 1)) * gradient


def _positive(value: float, name: str) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value}; expected a number above 0")

"""``Regularizer``: what all priors have in common, and which of them act when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from cnnviz_widgets.engine.knobs import Family, knob

MOMENTS = ("transform", "penalty", "condition", "project")

MIDDLE_GREY = 0.5
"""What a transformation shows where it has moved the image away."""


@dataclass(frozen=True)
class Regularizer(Family):
    """A prior on the image; a subclass fills one of the four moments.

    All tensors are (B, C, H, W), and an image must not depend on the others in its batch. A subclass defined in a notebook
    cell shows up in the panel, with a slider for each knob.

    Parameters
    ----------
    every
        It acts at the steps 0, every, 2 every, ...

    Examples
    --------
    >>> from cnnviz_widgets.engine.knobs import knob
    >>> @dataclass(frozen=True)
    ... class Fade(Regularizer):
    ...     rate: float = knob(0.1, low=0.0, high=1.0)
    ...     def project(self, x, gradient, step):
    ...         return x * (1 - self.rate)
    >>> Fade(0.2, every=2)
    Fade(every=2, rate=0.2)
    """

    _: KW_ONLY
    every: int = knob(1, low=1, high=16, label="every n steps")

    def __post_init__(self) -> None:
        whole(self.every, 1, "every", "steps")

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The image (1, C, H, W) in [0, 1] as the network is to see it; differentiable, random numbers from ``generator``.

        Height and width may change: after the last transformation the loop crops to the input's size around the centre, or
        pads with middle grey.
        """
        return image

    def penalty(self, x: Tensor) -> Tensor:
        """What is taken off the score, (B,), for ``x``, the images minus the network's mean colour; differentiable."""
        return x.new_zeros(len(x))

    def condition(self, gradient: Tensor) -> Tensor:
        """The gradient of the score with respect to the image, made to behave."""
        return gradient

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        """The updated image, given and returned as ``x``, image minus the network's mean colour in units of [0, 1].

        ``gradient`` is the one the update was made from, at the image before it.
        """
        return x

    def acts_at(self, step: int) -> bool:
        """Whether it is this step's turn."""
        return step % self.every == 0

    @classmethod
    def moments(cls) -> tuple[str, ...]:
        """Which of the four moments the class fills."""
        return tuple(name for name in MOMENTS if getattr(cls, name) is not getattr(Regularizer, name))


def filling(regularizers: Iterable[Regularizer], moment: str, step: int) -> list[Regularizer]:
    """Those that fill a moment and whose turn it is, in order."""
    return [prior for prior in regularizers if moment in prior.moments() and prior.acts_at(step)]


def within(value: float, low: float, high: float, name: str) -> None:
    """``ValueError`` for a field outside of what it can mean; NaN is outside."""
    if not low <= value <= high:
        raise ValueError(f"{name}={value}; expected {low:g} to {high:g}")


def whole(value: int, low: int, name: str, unit: str) -> None:
    """``ValueError`` for a field that is not a whole number of its unit from ``low``."""
    if not isinstance(value, int) or value < low:
        raise ValueError(f"{name}={value!r}; expected a whole number of {unit} from {low}")

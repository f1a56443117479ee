"""``image -> image``: what is believed of images before a network is asked, each prior one small class.

A regularizer acts at one of four moments of a step, in the order of the recipe's list:

- ``transform(image, generator)`` before the forward pass: what the unit must be robust against;
- ``penalty(image)``, taken off the score: R(x) of a(x) - R(x);
- ``condition(gradient)`` before the update;
- ``project(x, gradient, step)`` after the update: the r of x <- r(x + gradient) in Yosinski et al. 2015.

The four of Yosinski et al. ("Understanding Neural Networks Through Deep Visualization", 2015, section 3) are projections.
They pull towards zero, and zero is the network's mean colour: they get ``x``, the image minus that colour. In a lecture's
words, "clip pixels with small values" is `ClipSmallNorm`, "clip pixels with small gradients" is `ClipSmallContribution`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from .knobs import Family, knob

MOMENTS = ("transform", "penalty", "condition", "project")


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
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every={self.every!r}; expected a whole number of steps from 1")

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The image (1, C, H, W) in [0, 1] as the network is to see it; differentiable, random numbers from ``generator``."""
        return image

    def penalty(self, image: Tensor) -> Tensor:
        """What is taken off the score, (B,), for images in [0, 1]; differentiable."""
        return image.new_zeros(len(image))

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


def _within(value: float, low: float, high: float, name: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value}; expected {low:g} to {high:g}")


@dataclass(frozen=True)
class L2Decay(Regularizer):
    """Every pixel a little nearer to the mean colour: ``x <- (1 - decay) x``.

    Keeps a few extreme pixels from dominating. Differs from a penalty on the squared norm in acting after the update and
    independently of the step size (Yosinski et al. 2015, equation 2 and "L2 decay").

    Parameters
    ----------
    decay
        The share taken off in a step, 0 to 1. 0.0001 is hardly felt within a thousand steps, 0.3 leaves only what the
        last gradients support.
    """

    decay: float = knob(0.01, low=0.0001, high=0.5, scale="log", label="decay per step")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.decay, 0, 1, "decay")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return x * (1 - self.decay)


@dataclass(frozen=True)
class GaussianBlur(Regularizer):
    """Smoothed by a Gaussian, against high frequencies, which excite a unit easily and mean nothing to us.

    Equals ``scipy.ndimage.gaussian_filter`` per channel: the kernel is cut off at four sigma, and at the border the edge
    pixel is repeated (``reflect`` there, called symmetric elsewhere). Computed as two products with banded matrices
    (Yosinski et al. 2015, "Gaussian blur").

    Parameters
    ----------
    sigma
        Pixels. Below 0.3 the sampled kernel is hardly a Gaussian; above 1.5 little detail survives.
    every
        Blurring every few steps costs less and lets detail grow in between.
    """

    sigma: float = knob(0.5, low=0.3, high=3.0, label="sigma in pixels")
    _: KW_ONLY
    every: int = knob(4, low=1, high=16, label="every n steps")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.sigma, 0, 1000, "sigma")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        if self.sigma == 0:
            return x
        height, width = x.shape[-2:]
        down = _blurring(height, self.sigma, x.dtype, x.device)
        across = _blurring(width, self.sigma, x.dtype, x.device)
        return down @ x @ across.T


@functools.lru_cache(maxsize=16)
def _blurring(size: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): row i holds what pixel i takes from each pixel, mirrored at the border as often as needed."""
    radius = int(4.0 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    sources = torch.arange(size)[:, None] + offsets.long()[None]
    mirrored = sources.remainder(2 * size)
    mirrored = torch.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_add_(1, mirrored, weights.expand(size, -1))
    return matrix.to(device=device, dtype=dtype)


def _below_percentile(values: Tensor, percentile: float) -> Tensor:
    """(B, H, W) -> where a value is strictly below the percentile of its own image, interpolated linearly."""
    thresholds = torch.quantile(values.flatten(1), percentile / 100, dim=1)
    return values < thresholds[:, None, None]


@dataclass(frozen=True)
class ClipSmallNorm(Regularizer):
    """Pixels of small norm become the mean colour: "clip pixels with small values".

    The norm is taken over a pixel's colours. What hardly stands out is set to zero, so that the background stays plain and
    only what the unit answers to remains (Yosinski et al. 2015, "Clipping pixels with small norm").

    Parameters
    ----------
    percentile
        The share of pixels below the threshold, 0 to 100, over each image on its own; strictly smaller ones go.
    """

    percentile: float = knob(50.0, low=0.0, high=95.0, label="percentile")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.percentile, 0, 100, "percentile")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        small = _below_percentile(x.norm(dim=1), self.percentile)
        return x.masked_fill(small[:, None], 0)


@dataclass(frozen=True)
class ClipSmallContribution(Regularizer):
    """Pixels that contribute little to the activation become the mean colour: "clip pixels with small gradients".

    The contribution of a pixel is how much the activation would change, to first order, if the pixel were set to zero:
    ``|sum over colours of gradient * (-x)|``, with the gradient the update was made from and the pixel as it is after the
    update and the regularizers before this one (Yosinski et al. 2015, "Clipping pixels with small contribution").

    Parameters
    ----------
    percentile
        As in `ClipSmallNorm`. Where fewer pixels than that share reach the unit at all, the threshold is zero and nothing
        is clipped.
    """

    percentile: float = knob(50.0, low=0.0, high=95.0, label="percentile")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.percentile, 0, 100, "percentile")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        contribution = (gradient * -x).sum(dim=1).abs()
        return x.masked_fill(_below_percentile(contribution, self.percentile)[:, None], 0)

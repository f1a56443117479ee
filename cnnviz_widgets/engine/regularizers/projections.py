"""``project(x, gradient, step) -> x``: what is done to the image after each update.

The four of Yosinski et al. ("Understanding Neural Networks Through Deep Visualization", 2015, section 3) and `BorderCrop`.
All pull towards zero, the network's mean colour, so they ask nothing of the score and act whatever the step size is.
"""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from cnnviz_widgets.engine.knobs import knob

from .base import Regularizer, whole, within


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
        within(self.decay, 0, 1, "decay")

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
        within(self.sigma, 0, 1000, "sigma")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return blurred(x, self.sigma)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(..., H, W) smoothed as `GaussianBlur` says."""
    if sigma == 0:
        return x
    height, width = x.shape[-2:]
    down = _mixing(height, sigma, x.dtype, x.device)
    across = _mixing(width, sigma, x.dtype, x.device)
    return down @ x @ across.T


@functools.lru_cache(maxsize=16)
def _mixing(size: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
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
        within(self.percentile, 0, 100, "percentile")

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
        within(self.percentile, 0, 100, "percentile")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        contribution = (gradient * -x).sum(dim=1).abs()
        return x.masked_fill(_below_percentile(contribution, self.percentile)[:, None], 0)


@dataclass(frozen=True)
class BorderCrop(Regularizer):
    """What lies near the border becomes the mean colour.

    A network that pads its maps answers to the border itself, so bright lines and corners grow there that have little to do
    with the unit.

    Parameters
    ----------
    pixels
        The border's width. The middle pixel of a tiny image always stays, or the middle two where their number is even.
    """

    pixels: int = knob(8, low=0, high=64, label="pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.pixels, 0, "pixels", "pixels")

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        height, width = x.shape[-2:]
        down, across = min(self.pixels, (height - 1) // 2), min(self.pixels, (width - 1) // 2)
        kept = torch.zeros_like(x)
        middle = (..., slice(down, height - down), slice(across, width - across))
        kept[middle] = x[middle]
        return kept

"""``penalty(x) -> (B,)``: what an image costs, taken off its score.

``x`` is the image minus the network's mean colour in units of [0, 1], and every penalty is a weight times a sum over the
pixels and colours of one image. Unlike a projection, a penalty competes with the score: how much it weighs depends on the
scale of the unit's activation and, being a sum, on the size of the image.

The weights are chosen for a logit, which is about 10 where it is won, on an image of 3 x 224 x 224. An image of normal noise
with deviation 10/255, the usual start, costs 20 to 30 at the default (`AlphaNorm` apart), so that noise does not pay for
itself; a hundredth of the default is hardly felt, ten times the default outweighs most scores. What the unit does not answer
to leaves slowly where the step is small: begin with little noise or none, as Simonyan et al. did, ``Pixels(deviation=0)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_widgets.engine.knobs import knob

from .base import Regularizer, within

HEAVIEST = 1e12
"""A bound that no unit's activation comes near; infinity times a plain image would be NaN."""


def _weighted(weight: float, costs: Tensor) -> Tensor:
    return weight * costs.flatten(1).sum(1)


@dataclass(frozen=True)
class L2Penalty(Regularizer):
    """The squared norm: ``weight * sum x²`` (Simonyan et al. 2013, equation 1, who print no weight).

    Takes from each pixel in proportion to its size, as `L2Decay` does, but through the gradient: with `Constant` steps of
    ``size`` on `Pixels` it is a decay of ``2 * size * weight / 255²`` per step.

    Parameters
    ----------
    weight
        The sum is about 230 for noise of deviation 10/255 at 3 x 224 x 224.
    """

    weight: float = knob(0.1, low=0.001, high=1.0, scale="log", label="weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.weight, 0, HEAVIEST, "weight")

    def penalty(self, x: Tensor) -> Tensor:
        return _weighted(self.weight, x.square())


@dataclass(frozen=True)
class L1Penalty(Regularizer):
    """The sum of sizes: ``weight * sum |x|``.

    Takes the same from every pixel, however small, so that those the unit hardly answers to end at the mean colour: few
    pixels are left, where `L2Penalty` leaves all of them fainter. Its gradient at zero is zero.

    Parameters
    ----------
    weight
        The sum is about 4700 for noise of deviation 10/255 at 3 x 224 x 224.
    """

    weight: float = knob(0.005, low=0.00005, high=0.05, scale="log", label="weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.weight, 0, HEAVIEST, "weight")

    def penalty(self, x: Tensor) -> Tensor:
        return _weighted(self.weight, x.abs())


@dataclass(frozen=True)
class AlphaNorm(Regularizer):
    """A soft wall around what can be shown: ``weight * sum |x|^alpha`` (Mahendran and Vedaldi 2015).

    With a high exponent faint pixels are free and strong ones expensive, so values stay in a range without being pulled to
    the mean colour as by `L2Penalty`, which is the exponent 2.

    Parameters
    ----------
    alpha
        From 1; the paper takes 6. A higher one needs a larger weight: the sum is about 230 at 2, 1 at 4, 0.008 at 6 and
        0.0001 at 8, for noise of deviation 10/255 at 3 x 224 x 224.
    weight
        The default leaves that noise alone, for 0.03, and takes about 20 off a score where the deviation is 30/255. A single
        value 0.5 from the mean colour costs 0.05.
    """

    alpha: float = knob(6.0, low=2.0, high=8.0, label="exponent")
    weight: float = knob(3.0, low=0.01, high=30000.0, scale="log", label="weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.alpha, 1, 100, "alpha")
        within(self.weight, 0, HEAVIEST, "weight")

    def penalty(self, x: Tensor) -> Tensor:
        return _weighted(self.weight, x.abs().pow(self.alpha))


@dataclass(frozen=True)
class TotalVariation(Regularizer):
    """Differences between neighbours: ``weight * sum (dx² + dy²)^(beta/2)`` (Mahendran and Vedaldi 2015).

    ``dx`` and ``dy`` are the differences to the pixel on the right and to the one below, in each colour, zero where there
    is none. Smooths as `GaussianBlur` does, but with a small exponent leaves edges standing.

    Parameters
    ----------
    beta
        From 1, which leaves edges sharp and flattens the rest into patches; at 2 an edge pays for its square and is smeared.
        The gradient of a plain region is zero at every exponent.
    weight
        The sum is about 10000 at the exponent 1, 920 at 2 and 100 at 3, for noise of deviation 10/255 at 3 x 224 x 224;
        it falls quickly while the image becomes smooth.
    """

    beta: float = knob(2.0, low=1.0, high=3.0, label="exponent")
    weight: float = knob(0.03, low=0.0003, high=0.3, scale="log", label="weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.beta, 1, 100, "beta")
        within(self.weight, 0, HEAVIEST, "weight")

    def penalty(self, x: Tensor) -> Tensor:
        across = F.pad(x.diff(dim=-1), (0, 1))
        down = F.pad(x.diff(dim=-2), (0, 0, 0, 1))
        squared = across.square() + down.square()
        if self.beta == 2:
            return _weighted(self.weight, squared)
        # the slope of a root is infinite at zero, and infinity times the zero slope of the square is NaN
        plain = squared == 0
        sizes = torch.where(plain, 1, squared).pow(self.beta / 2)
        return _weighted(self.weight, torch.where(plain, 0, sizes))

"""``condition(gradient) -> gradient``: the direction of a step, made to behave before the step is taken.

The gradient is that of the score minus the penalties with respect to the image in [0, 1]. What changes it changes the way
to a maximum, not where the maxima are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz_widgets.engine.knobs import knob

from .base import Regularizer, within
from .projections import blurred


@dataclass(frozen=True)
class NormalizeGradient(Regularizer):
    """Each image's gradient divided by its root mean square: ``g <- g / sqrt(mean g²)``, as flashtorch does.

    A step then goes equally far in every network and at every height of the climb: with `Constant` steps of 255 a value of
    `Pixels` moves by one grey level, root mean square. `Progress` asks how steep the slope is and loses its meaning behind
    it. A gradient of zero stays zero.
    """

    def condition(self, gradient: Tensor) -> Tensor:
        # below 1e-19 the squares lose their digits in single precision, and then vanish
        scaled = _divided(gradient, gradient.abs().flatten(1).amax(1))
        return _divided(scaled, scaled.square().flatten(1).mean(1).sqrt())


def _divided(gradient: Tensor, sizes: Tensor) -> Tensor:
    """Each image by its own number, where that is not zero."""
    return gradient / torch.where(sizes == 0, 1, sizes).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class BlurGradient(Regularizer):
    """Smoothed by a Gaussian, the same as that of `GaussianBlur`.

    High frequencies are kept from growing where blurring the image would remove them after they have grown, and with them
    the edges that are already there (Olah et al. 2017, "Feature Visualization", on preconditioning).

    Parameters
    ----------
    sigma
        Pixels. A wave three sigma long keeps a tenth of its slope, one six sigma long six tenths.
    """

    sigma: float = knob(1.0, low=0.3, high=6.0, label="sigma in pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.sigma, 0, 1000, "sigma")

    def condition(self, gradient: Tensor) -> Tensor:
        return blurred(gradient, self.sigma)

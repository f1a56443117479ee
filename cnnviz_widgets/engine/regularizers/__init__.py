"""``image -> image``: what is believed of images before a network is asked, each prior one small class.

A regularizer acts at one of four moments of a step, in the order of the recipe's list:

- ``transform(image, generator)`` before the forward pass: what the unit must be robust against;
- ``penalty(x)``, taken off the score: R(x) of a(x) - R(x);
- ``condition(gradient)`` before the update;
- ``project(x, gradient, step)`` after the update: the r of x <- r(x + gradient) in Yosinski et al. 2015.

Each moment has its file. Penalties and projections pull towards zero, and zero is the network's mean colour: they get
``x``, the image minus that colour. The four of Yosinski et al. ("Understanding Neural Networks Through Deep Visualization",
2015, section 3) are projections. In a lecture's words, "clip pixels with small values" is `ClipSmallNorm`, "clip pixels with
small gradients" is `ClipSmallContribution`.
"""

from .base import MOMENTS, Regularizer, filling

# the order of the imports is the order of the registry, and so of the panel
from .projections import BorderCrop, ClipSmallContribution, ClipSmallNorm, GaussianBlur, L2Decay  # isort: skip
from .penalties import AlphaNorm, L1Penalty, L2Penalty, TotalVariation  # isort: skip
from .gradients import BlurGradient, NormalizeGradient  # isort: skip
from .transformations import Jitter, Noise, Padding, RandomCrop, RandomRotation, RandomScale, Transformation  # isort: skip

__all__ = [
    "MOMENTS",
    "Regularizer",
    "filling",
    "L2Decay",
    "GaussianBlur",
    "ClipSmallNorm",
    "ClipSmallContribution",
    "BorderCrop",
    "L2Penalty",
    "L1Penalty",
    "AlphaNorm",
    "TotalVariation",
    "NormalizeGradient",
    "BlurGradient",
    "Transformation",
    "Padding",
    "Jitter",
    "RandomScale",
    "RandomRotation",
    "RandomCrop",
    "Noise",
]

"""``{layer: activations} -> score per image``: what an image is to be good at. **Higher is better**, for every objective.

Objectives add up, and are weighted by numbers: ``activation(net["conv3"][4]) - 0.3 * activation(net["conv3"][5])`` is one. A
minus makes what is to be small: ``-activation(unit)`` looks for the image a unit likes least.
"""

from .base import Objective, Sum, Weighted
from .of_layers import Direction, Diversity, Energy, deep_dream, direction, diversity
from .of_units import Activation, Others, Probability, activation, logit, others, probability

__all__ = [
    "Activation",
    "Direction",
    "Diversity",
    "Energy",
    "Objective",
    "Others",
    "Probability",
    "Sum",
    "Weighted",
    "activation",
    "deep_dream",
    "direction",
    "diversity",
    "logit",
    "others",
    "probability",
]

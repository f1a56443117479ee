"""``default_recipe(network, unit, size) -> Recipe``: what shows most of a unit in few steps, by how much of the input it sees.

Found by looking at EfficientNet-Lite0. What a unit sees decides: transformations move an image by several pixels, which is much
for a unit that sees seven and nothing for one that sees all; without them, what is large turns into noise.
"""

from __future__ import annotations

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.parameterizations import Fourier
from cnnviz_widgets.engine.recipes import Recipe, get
from cnnviz_widgets.engine.regularizers import Jitter, RandomRotation, RandomScale
from cnnviz_widgets.engine.steppers import Adam

SMALL = 24
"""Pixels of the shorter side below which an image stands still while it climbs."""
LARGE = 128
"""Pixels of the shorter side from which on an image bears what the papers do to one of 224 pixels."""
MANY, FEW = 9, 3
MANY_PIXELS = 64 * 64
"""Images up to this size go through the network `MANY` at a time, in two thirds of the time; larger ones gain nothing."""

_STILL = Recipe(Fourier(0.01), (), Adam(0.05), steps=64)
_MOVING = Recipe(
    Fourier(0.01), (Jitter(4), RandomScale(0.95, 1.05), RandomRotation(5.0), Jitter(2)), Adam(0.05), steps=64
)
_WANDERING = get("lucid").replace(steps=64)
_CLASS = get("natural").replace(draws=1)


def default_recipe(network: Network, unit: Unit, size: tuple[int, int]) -> Recipe:
    """How a unit's image climbs unless another recipe is asked for.

    Parameters
    ----------
    size
        Height and width of what the unit sees of the input.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3)), InputSpec(size=(1, 8, 8)))
    >>> default_recipe(net, net["0"][2, "center"], (3, 3)).regularizers
    ()
    """
    if min(size) < SMALL:
        return _STILL
    if min(size) < LARGE:
        return _MOVING
    return _CLASS if unit.layer == network.output and network.is_classifier else _WANDERING


def default_chunk(size: tuple[int, int]) -> int:
    """How many images of a size go through the network together unless another number is asked for."""
    return MANY if size[0] * size[1] <= MANY_PIXELS else FEW

"""Objectives of a whole layer: its energy, a direction in its space, and how far its values of several images differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.values import Values

from .base import Objective

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network


@dataclass(frozen=True, repr=False)
class Energy(Objective):
    """The mean square of all values of a layer, what DeepDream climbs."""

    layer: Layer

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return activations[self.layer.name].flatten(1).square().mean(1)

    def __repr__(self) -> str:
        return f"deep_dream({self.layer.name})"


@dataclass(frozen=True, repr=False)
class Direction(Objective):
    """A direction in a layer's space: the dot product of its channels with a vector, the mean over positions."""

    layer: Layer
    vector: Values
    cosine_power: float = 0.0

    def __post_init__(self) -> None:
        if self.vector.array.shape != (self.layer.channels,):
            raise ValueError(
                f"the direction has the shape {self.vector.array.shape}; expected ({self.layer.channels},), a number per channel "
                f"of {self.layer.name!r}"
            )
        if self.cosine_power < 0:
            raise ValueError(f"cosine_power={self.cosine_power}; expected 0 or more")

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        maps = activations[self.layer.name].movedim(self.layer.channel_axis + 1, 1)
        maps = maps.flatten(2) if maps.dim() > 2 else maps[..., None]
        vector = torch.from_numpy(self.vector.array.copy()).to(maps.device, maps.dtype)
        dots = torch.einsum("bcn,c->bn", maps, vector)
        if self.cosine_power:
            lengths = maps.norm(dim=1) * vector.norm() + 1e-6
            # below 0.1 a cosine says little and would turn the gradient off
            dots = dots * (dots / lengths).clamp(min=0.1) ** self.cosine_power
        return dots.mean(1)

    def __repr__(self) -> str:
        power = f", cosine_power={self.cosine_power:g}" if self.cosine_power else ""
        return f"direction({self.layer.name}, {self.vector.digest[:8]}{power})"


@dataclass(frozen=True, repr=False)
class Diversity(Objective):
    """How little an image's texture in a layer is like that of the other copies: minus the mean cosine of Gram matrices."""

    layer: Layer

    @property
    def together(self) -> bool:
        return True

    def bound(self, network: Network) -> Objective:
        super().bound(network)
        if not self.layer.positions:
            raise ValueError(f"{self.layer.name} is dense; diversity compares textures, so it needs a layer with maps")
        return self

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        maps = activations[self.layer.name].movedim(self.layer.channel_axis + 1, 1).flatten(2)
        grams = functional.normalize((maps @ maps.mT).flatten(1), dim=1)
        cosines = grams @ grams.T
        count = len(cosines)
        return -(cosines.sum(1) - cosines.diagonal()) / max(count - 1, 1)

    def __repr__(self) -> str:
        return f"diversity({self.layer.name})"


def deep_dream(layer: Layer) -> Objective:
    """All of a layer at once: the mean square of its values, as in DeepDream (Mordvintsev et al. 2015).

    Start from a photograph, ``Pixels(photograph=...)``, to see it dream on your own picture.

    Examples
    --------
    >>> deep_dream(Layer("mixed4c", "Inception", (512, 14, 14)))
    deep_dream(mixed4c)
    """
    return Energy(_layer(layer))


def direction(layer: Layer, vector: Any, cosine_power: float = 0.0) -> Objective:
    """A direction in a layer's space, such as the mean activation of some images, or a weighting of many channels.

    Parameters
    ----------
    vector
        (C,), a number per channel of the layer.
    cosine_power
        The dot product times the cosine to this power (lucid's ``direction_neuron`` and activation atlases): above 0 the image is
        to point along the vector and not merely far.

    Examples
    --------
    >>> layer = Layer("conv3", "Conv2d", (3, 14, 14))
    >>> direction(layer, [0.5, 0.5, 0]).layers
    ('conv3',)
    """
    numbers = torch.as_tensor(vector).detach().cpu().to(torch.float32)
    if not numbers.isfinite().all() or not numbers.any():
        raise ValueError("the direction has values that are not finite, or is zero everywhere; expected a direction")
    return Direction(_layer(layer), Values(numbers.numpy()), float(cosine_power))


def diversity(layer: Layer) -> Objective:
    """How much the copies of one goal differ in a layer: ``activation(unit) + 2 * diversity(net["conv4"])`` with ``copies=4``
    shows several facets of a unit (Olah et al. 2017, "Feature Visualization", section "Diversity").

    An image's score is minus the mean cosine similarity between its Gram matrix of channels and those of the other copies,
    from -1, all alike, to 1. Alone it scores 0. The copies climb as a group, in one chunk.
    """
    return Diversity(_layer(layer))


def _layer(layer: Layer) -> Layer:
    if not isinstance(layer, Layer):
        raise TypeError(f"{layer!r} was given; expected a layer, as net['layer']")
    return layer

"""``{layer: activations} -> score per image``: what an image is to be good at. **Higher is better**, for every objective.

Objectives add up, and are weighted by numbers: ``activation(net["conv3"][4]) - 0.3 * activation(net["conv3"][5])`` is one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import Tensor

from .layers import Unit


class Objective(ABC):
    """A score per image. A subclass gives `units` and `__call__`; it prints as it was typed."""

    @property
    @abstractmethod
    def units(self) -> tuple[Unit, ...]:
        """The units it reads."""

    @abstractmethod
    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Layer name -> the layer's output (B, ...) in; scores (B,) out."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers it reads; only these are recorded."""
        return tuple(dict.fromkeys(unit.layer.name for unit in self.units))

    @staticmethod
    def ensure(value: Unit | Objective) -> Objective:
        """A unit stands for its activation.

        Raises
        ------
        TypeError
            Neither a unit nor an objective.
        """
        if isinstance(value, Objective):
            return value
        if isinstance(value, Unit):
            return Activation(value)
        raise TypeError(
            f"{value!r} was given; expected a unit, as net['layer'][17], net.unit('flamingo'), or an objective"
        )

    # so that a NumPy number times an objective asks the objective
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Objective:
        return Sum(self, other) if isinstance(other, Objective) else NotImplemented

    def __radd__(self, other: Any) -> Objective:
        # sum() starts from 0
        return self if isinstance(other, Real) and other == 0 else NotImplemented

    def __sub__(self, other: Any) -> Objective:
        return Sum(self, -1 * other) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, weight: Any) -> Objective:
        return Weighted(self, float(weight)) if isinstance(weight, Real) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1 * self


@dataclass(frozen=True, repr=False)
class Activation(Objective):
    """The activation of a unit: the mean over a channel's map, or the value at one position."""

    unit: Unit

    @property
    def units(self) -> tuple[Unit, ...]:
        return (self.unit,)

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        layer = self.unit.layer
        channel = activations[layer.name].select(layer.channel_axis + 1, self.unit.channel)
        index = self.unit.index
        if index is None:
            return channel.flatten(1).mean(1) if channel.dim() > 1 else channel
        for at in index:
            channel = channel.select(1, at)
        return channel

    def __repr__(self) -> str:
        return repr(self.unit)


@dataclass(frozen=True, repr=False)
class Weighted(Objective):
    """An objective times a number."""

    objective: Objective
    weight: float

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.objective.units

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.weight * self.objective(activations)

    def __mul__(self, weight: Any) -> Objective:
        return Weighted(self.objective, self.weight * float(weight)) if isinstance(weight, Real) else NotImplemented

    __rmul__ = __mul__

    def __repr__(self) -> str:
        inner = f"({self.objective!r})" if isinstance(self.objective, Sum) else repr(self.objective)
        return f"-{inner}" if self.weight == -1 else f"{self.weight:.12g} * {inner}"


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """Two objectives at once; their layers are recorded in one pass."""

    left: Objective
    right: Objective

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(dict.fromkeys((*self.left.units, *self.right.units)))

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.left(activations) + self.right(activations)

    def __repr__(self) -> str:
        right = repr(self.right)
        return f"{self.left!r} - {right[1:]}" if right.startswith("-") else f"{self.left!r} + {right}"


def activation(unit: Unit) -> Objective:
    """The activation of a unit as an objective: a channel, a neuron, or, in the output layer, a class's logit.

    Examples
    --------
    >>> from cnnviz_widgets.engine.layers import Layer
    >>> layer = Layer("conv3", "Conv2d", (64, 14, 14))
    >>> activation(layer[4]) - 0.3 * activation(layer[5, "center"])
    conv3[4] - 0.3 * conv3[5, center]
    """
    if not isinstance(unit, Unit):
        raise TypeError(f"{unit!r} was given; expected a unit, as net['layer'][17] or net.unit('flamingo')")
    return Activation(unit)

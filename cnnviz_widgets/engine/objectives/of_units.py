"""Objectives of single units: their activation, their probability, and what the others of their layer do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnviz_widgets.engine.layers import Unit

from .base import Objective

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network


@dataclass(frozen=True, repr=False)
class Activation(Objective):
    """The activation of a unit: the mean or maximum over a channel's map, or the value at one position.

    Parameters
    ----------
    at
        ``"pre"`` and ``"post"``: before or behind the nonlinearity of the chain that the layer is in; empty: the layer's own
        value. Before a ReLU a unit always has a gradient; behind it, it may be off.
    reduce
        Of a channel's map ``"mean"``, which fills the image with what the channel likes, or ``"max"``, which shows it once.
        At one position, or in a dense layer, there is nothing to reduce.
    """

    unit: Unit
    at: str = ""
    reduce: str = "mean"

    def __post_init__(self) -> None:
        if self.at not in ("", "pre", "post"):
            raise ValueError(f"at={self.at!r}; expected 'pre' or 'post', before or behind the nonlinearity, or None")
        if self.reduce not in ("mean", "max"):
            raise ValueError(f"reduce={self.reduce!r}; expected 'mean' or 'max'")

    def bound(self, network: Network) -> Objective:
        super().bound(network)
        if not self.at:
            return self
        layer = network.beside_nonlinearity(self.unit.layer, self.at)
        return Activation(Unit(layer, self.unit.channel, self.unit.position), reduce=self.reduce)

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        channel = _maps(activations, self.unit)[:, self.unit.channel]
        if channel.dim() == 1:
            return channel
        return channel.flatten(1).mean(1) if self.reduce == "mean" else channel.flatten(1).amax(1)

    def __repr__(self) -> str:
        told = [f"at={self.at!r}"] if self.at else []
        told += [f"reduce={self.reduce!r}"] if self.reduce != "mean" else []
        return f"activation({', '.join([repr(self.unit), *told])})" if told else repr(self.unit)


@dataclass(frozen=True, repr=False)
class Others(Objective):
    """What the other units of a unit's layer do, at its position, to be taken off: ``activation(u) - others(u)``."""

    unit: Unit
    reduce: str = "mean"

    def __post_init__(self) -> None:
        if self.reduce not in ("mean", "max", "logsumexp"):
            raise ValueError(f"reduce={self.reduce!r}; expected 'mean', 'max' or 'logsumexp'")
        if self.unit.layer.channels < 2:
            raise ValueError(f"{self.unit} is the only channel of its layer; there are no others")

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        maps = _maps(activations, self.unit)
        values = maps.flatten(2).mean(2) if maps.dim() > 2 else maps
        rest = torch.cat([values[:, : self.unit.channel], values[:, self.unit.channel + 1 :]], dim=1)
        if self.reduce == "mean":
            return rest.mean(1)
        return rest.amax(1) if self.reduce == "max" else rest.logsumexp(1)

    def __repr__(self) -> str:
        return f"others({self.unit}{'' if self.reduce == 'mean' else f', reduce={self.reduce!r}'})"


@dataclass(frozen=True, repr=False)
class Probability(Objective):
    """The softmax probability of an output unit, 0 to 1."""

    unit: Unit

    def bound(self, network: Network) -> Objective:
        super().bound(network)
        if self.unit.layer != network.output or not network.is_classifier:
            raise ValueError(
                f"{self.unit} has no probability: expected a unit of the output {network.output.name!r} of a classifier, as "
                "net.unit('flamingo'); for other units use their activation"
            )
        return Activation(self.unit) if network.gives_probabilities else self

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        scores = _maps(activations, self.unit).flatten(1)
        return scores.softmax(1)[:, self.unit.channel]

    def __repr__(self) -> str:
        return f"probability({self.unit})"


def _maps(activations: Mapping[str, Tensor], unit: Unit) -> Tensor:
    """(B, C) at the unit's position, or the whole (B, C, ...) where it has none."""
    maps = activations[unit.layer.name].movedim(unit.layer.channel_axis + 1, 1)
    for at in unit.index or ():
        maps = maps.select(2, at)
    return maps


def activation(unit: Unit, at: str | None = None, reduce: str = "mean") -> Objective:
    """The activation of a unit as an objective: a channel, a neuron, or, in the output layer, a class's logit.

    Parameters
    ----------
    at
        ``"pre"`` or ``"post"``: before or behind the nonlinearity that belongs to the layer; None: the layer's own value.
    reduce
        Of a channel's map the ``"mean"`` or the ``"max"``.

    Raises
    ------
    TypeError
        ``unit`` is none.
    ValueError
        Another ``at`` or ``reduce``; when it is climbed, no layer that gives the value asked for.

    Examples
    --------
    >>> from cnnviz_widgets.engine.layers import Layer
    >>> layer = Layer("conv3", "Conv2d", (64, 14, 14))
    >>> activation(layer[4]) - 0.3 * activation(layer[5, "center"])
    conv3[4] - 0.3 * conv3[5, center]
    >>> activation(layer[4], at="pre")
    activation(conv3[4], at='pre')
    """
    return Activation(_unit(unit), at or "", reduce)


def logit(unit: Unit) -> Objective:
    """The score of a class before the softmax, of an output unit such as ``net.unit("flamingo")``: its activation.

    Unlike `probability` it can't be raised by lowering the other classes.
    """
    return Activation(_unit(unit))


def probability(unit: Unit) -> Objective:
    """The softmax probability of a class, of an output unit such as ``net.unit("flamingo")``.

    It rises also when the other classes fall, and its gradient vanishes near 0 and 1: good for showing how easily a network is
    fooled (Nguyen et al. 2015), less so for pictures; see `logit`.
    """
    return Probability(_unit(unit))


def others(unit: Unit, reduce: str = "mean") -> Objective:
    """What the other units of the same layer do at the same position, to be taken off the score.

    Parameters
    ----------
    reduce
        ``"mean"``; ``"max"``, the strongest rival; ``"logsumexp"``, a soft maximum: the logit minus that is the log of the odds.

    Examples
    --------
    >>> from cnnviz_widgets.engine.layers import Layer
    >>> unit = Layer("head", "Linear", (10,))[3]
    >>> activation(unit) - others(unit, "logsumexp")
    head[3] - others(head[3], reduce='logsumexp')
    """
    return Others(_unit(unit), reduce)


def _unit(unit: Unit) -> Unit:
    if not isinstance(unit, Unit):
        raise TypeError(f"{unit!r} was given; expected a unit, as net['layer'][17] or net.unit('flamingo')")
    return unit

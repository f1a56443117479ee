"""``unit_facts(network, unit, index) -> UnitFacts``: all that is known of one unit, and what is not, with the reason.

Each piece comes from where it is at home: the kernel from `filters`, what the unit sees from `receptive_field`, what a collection
does to it from an `ActivationIndex`, the classes' weights from `readout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .index import ActivationIndex, Match, Statistics
from .index.labels import LabelsFor
from .index.similar import SimilarUnits
from .layers import Layer, Unit, shape_text
from .network import Network
from .readout import Readout, readout
from .receptive_field import ReceptiveField, ReceptiveFields, all_receptive_fields

Found = TypeVar("Found")
_NEUTRAL = ("Identity", "Dropout", "Dropout2d")


@dataclass(frozen=True)
class Sight:
    """What a unit sees of the input.

    Attributes
    ----------
    field
        Of the unit itself, or, of a channel, of the neuron in the middle of its map.
    stride
        By how many input pixels the field moves from one row of the map to the next, and from one column; None where it does
        not move evenly, or where there is no map.
    """

    field: ReceptiveField
    stride: tuple[int, int] | None

    def __str__(self) -> str:
        field = self.field
        if field.status == "unknown":
            return f"sees an unknown part of the input: {field.reason}"
        if field.status == "whole image":
            return f"sees the whole input: {field.reason}"
        (height, width), (top, left, bottom, right) = field.size, field.box
        cut = ", cut by the border" if field.status == "cut by the border" else ""
        told = f"sees {height} × {width} pixels of the input{cut}"
        if self.stride is not None:
            step = f"{self.stride[0]}" if self.stride[0] == self.stride[1] else f"{self.stride[0]} × {self.stride[1]}"
            told += f", its neighbours {step} pixel{'s' * (step != '1')} further on"
        return f"{told}; {field.unit!r} rows {top} to {bottom}, columns {left} to {right}"


@dataclass(frozen=True, eq=False, repr=False)
class UnitFacts:
    """All that is known of a unit; prints as a list.

    Attributes
    ----------
    unit
        As it was asked for; ``channel`` is its channel, which is what an index knows.
    label
        Its class, where it is a unit of the output whose classes have names; else empty.
    kernel
        The convolution whose filter makes it, where it belongs to one; ``net.filters(kernel)[unit.channel]``.
    sight
        What it sees of the input.
    statistics, matches, similar, labels
        What the collection of the index does to it; None where that is not known.
    weights
        Between it and the classes, or, where it is a class, between it and the last hidden layer; None where there are none.
    missing
        What is not known, each with why, and what else must be known to read the rest right, in sentences.
    """

    unit: Unit
    label: str
    kernel: Layer | None
    sight: Sight
    statistics: Statistics | None
    matches: tuple[Match, ...]
    similar: SimilarUnits | None
    labels: LabelsFor | None
    weights: Readout | None
    missing: tuple[str, ...]

    @property
    def channel(self) -> Unit:
        """The unit without its position."""
        return self.unit.layer[self.unit.channel]

    @property
    def heading(self) -> str:
        """What it is, in a line: its class, its place in its layer, the layer's kind and shape."""
        layer = self.unit.layer
        place = f"{'channel' if layer.positions else 'unit'} {self.unit.channel} of {layer.channels:,}"
        neuron = "" if self.unit.index is None else f", one neuron of it, at {self.unit.index}"
        named = f"{self.label}: " if self.label else ""
        return f"{named}{place}{neuron}; {layer.kind}, {shape_text(layer)}"

    def __repr__(self) -> str:
        lines = [f"{self.unit!r}  {self.heading}", f"  {self.sight}"]
        if self.kernel is not None:
            lines.append(f"  filter {self.unit.channel} of {self.kernel.name}")
        if self.statistics is not None and self.statistics.images:
            told = self.statistics
            lines.append(
                f"  {told.images:,} images: mean {told.mean:.3g}, deviation {told.deviation:.3g}, "
                f"largest {told.highest:.4g}, above zero for {told.fires:.0%}"
            )
        if self.matches:
            lines.append("  strongest for " + ", ".join(f"{match.id} {match.score:.4g}" for match in self.matches))
        if self.similar is not None and len(self.similar):
            told_units = ", ".join(f"{one.unit!r} {one.likeness:.2f}" for one in self.similar)
            lines.append(f"  like {told_units} ({self.similar.told})")
        if self.labels is not None and len(self.labels):
            lines.append("  goes with " + "; ".join(map(str, self.labels)))
        return "\n".join([*lines, *(f"  {text}" for text in self.missing)])


def unit_facts(network: Network, unit: Unit, index: ActivationIndex | None = None, *, k: int = 8) -> UnitFacts:
    """Gather what is known of a unit.

    Parameters
    ----------
    index
        An `ActivationIndex` of the same network; without one nothing is known of how images excite the unit.
    k
        How many similar units and labels.

    Raises
    ------
    ValueError
        The unit is none of the network's, or the index is another network's.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> unit_facts(net, net["1"][2])
    1[2]  channel 2 of 4; ReLU, 4 × 6 × 6
      sees 3 × 3 pixels of the input, its neighbours 1 pixel further on; 1[2, center] rows 3 to 6, columns 3 to 6
      filter 2 of 0
      No index: cnn.ActivationIndex.build(net, images) tells which images excite it.
    """
    check(network, unit, index)
    missing: list[str] = []
    channel = unit.layer[unit.channel]
    statistics: Statistics | None = None
    matches: tuple[Match, ...] = ()
    similar: SimilarUnits | None = None
    labels: LabelsFor | None = None
    if index is None:
        missing.append("No index: cnn.ActivationIndex.build(net, images) tells which images excite it.")
    elif not index.holds(channel.layer):
        missing.append(told_of(lambda: index.row(channel))[1])
    elif not index.measured:
        missing.append("No image of the index could be measured.")
    else:
        statistics, matches = index.statistics(channel), tuple(index.top_images(channel))
        missing += filter(None, [_ties(network, statistics, matches)])
        similar, told = told_of(lambda: index.similar_units(channel, k))
        missing += [told] if told else []
        if index.images.labelled:
            labels, told = told_of(lambda: index.labels_for(channel, k))
            missing += [told] if told else []
    weights, _ = told_of(lambda: readout(network, unit))
    return UnitFacts(
        unit,
        class_of(network, unit),
        kernel_of(network, unit.layer),
        sight(network, unit),
        statistics,
        matches,
        similar,
        labels,
        weights,
        tuple(missing),
    )


def _ties(network: Network, told: Statistics, matches: Sequence[Match]) -> str:
    """A sentence where the strongest images are equal, as at the upper end of a ReLU6, so that their order says nothing."""
    if len(matches) < 2 or matches[0].score > matches[-1].score:
        return ""
    if told.lowest == told.highest:
        return f"The unit gives {told.highest:.4g} for every image."
    before, _ = told_of(lambda: network.beside_nonlinearity(told.unit.layer, "pre"))
    apart = "" if before in (None, told.unit.layer) else f"; {before.name}, before the nonlinearity, tells them apart"
    shown = "and others may, too: those whose ids come first are shown"
    return f"All {len(matches)} strongest images give {matches[0].score:.4g}, {shown}{apart}."


def check(network: Network, unit: Unit, index: ActivationIndex | None) -> None:
    """Raise ``ValueError`` unless they belong together."""
    if network.layers.get(unit.layer.name) != unit.layer:
        raise ValueError(f"{unit} is no unit of {network.name}; net[layer][channel] gives one")
    if index is not None and index.network is not network:
        raise ValueError(f"the index is one of {index.network.name}, not of {network.name}; give both one network")


def told_of(ask: Callable[[], Found]) -> tuple[Found | None, str]:
    """The answer, or None and in a sentence why there is none."""
    try:
        return ask(), ""
    except ValueError as error:
        text = str(error)
        return None, f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def class_of(network: Network, unit: Unit) -> str:
    """The class that a unit of the output stands for; empty for all others, and where classes have no names."""
    return network.label(unit.channel) if unit.layer == network.output and network.labels else ""


def kernel_of(network: Network, layer: Layer) -> Layer | None:
    """The convolution that a layer's channels are the filters of: itself, or the one before its normalisation and nonlinearity.

    None where an addition of branches or anything else comes between.
    """
    convolutions = {one.name for one in network.convolutions}
    names = list(network.layers)
    for name in reversed(names[: names.index(layer.name) + 1]):
        one = network[name]
        if one.shape != layer.shape:
            return None
        if name in convolutions:
            return one
        if one.kind in _NEUTRAL:
            continue
        try:
            network.beside_nonlinearity(name, "pre")
        except ValueError:
            return None
    return None


def sight(network: Network, unit: Unit) -> Sight:
    """What a unit sees; takes a forward pass the first time, for all units of the network."""
    known: dict[str, ReceptiveFields] = network.once("receptive fields", lambda: all_receptive_fields(network))
    fields = known[unit.layer.name]
    mapped = math.prod(unit.layer.positions) > 1
    middle = unit.layer[unit.channel, "center"] if unit.position is None and mapped else unit
    periods = fields.period(unit.channel) if mapped else None
    even = periods is not None and all(period.positions == 1 for period in periods)
    return Sight(fields[middle], (periods[0].pixels, periods[1].pixels) if periods is not None and even else None)

"""``paired(first, second, unit) -> (unit of the second or None, remark)``: which unit of one network answers to one of another.

Two checkpoints of one architecture have the same layers, so a unit has its namesake. Between architectures only classes have
names in common; for the rest there is a place at about the same depth, and what is found there is said to be no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence

from .layers import Layer, Position, Unit, shape_text
from .network import Network

APART = "The networks differ in their layers: the same channel number need not mean the same feature."


def paired(first: Network, second: Network, unit: Unit) -> tuple[Unit | None, str]:
    """The unit of the second network that answers to a unit of the first.

    A class is the class of the same name, whatever its number. Any other unit is the same channel of the layer that
    `paired_layer` gives; a position is brought to the same place of a map of another size.

    Parameters
    ----------
    unit
        Of the first network.

    Returns
    -------
    unit, remark
        None where there is none: a class that the second network does not know, a channel that its layer does not have. The
        remark says in a sentence or two what is not as one would expect; it is empty where the unit is simply the same.

    Raises
    ------
    UnknownNameError
        The unit's layer is none of the first network.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    >>> first = Network(module, InputSpec(size=(1, 8, 8)), ["cat", "dog"])
    >>> second = Network(module, InputSpec(size=(1, 8, 8)), ["dog", "cat"])
    >>> paired(first, second, first.unit("dog"))
    (2[0], '')
    """
    layer = first[unit.layer]
    if layer == first.output and unit.position is None and (first.labels or second.labels):
        return _class(first, second, unit.channel)
    other, remark = paired_layer(first, second, layer)
    if unit.channel >= other.channels:
        missing = f"{other.name} has no channel {unit.channel}, only 0 to {other.channels - 1}."
        return None, _joined(remark, missing)
    position, moved = _position(unit, other)
    return Unit(other, unit.channel, position), _joined(remark, moved)


def paired_layer(first: Network, second: Network, layer: str | Layer) -> tuple[Layer, str]:
    """The layer of the second network that answers to a layer of the first, and what is to be said of it.

    The output answers to the output; a layer to the one of the same name and kind; else to the one at the same relative depth
    among the main layers that have maps, or have none, as it does.

    Raises
    ------
    UnknownNameError
        No such layer of the first network.
    """
    own = first[layer]
    if own == first.output:
        same = second.output.name == own.name and second.output.shape == own.shape
        return second.output, "" if same else f"{own.name} and {second.output.name} are the networks' outputs."
    named = second.layers.get(own.name)
    if named is not None and named.kind == own.kind and len(named.shape) == len(own.shape):
        return named, _differing(own, named, first, second)
    others = _peers(own, second)
    found = _at_depth(own, _peers(own, first), first, others)
    told = f"No layer {own.name} of this kind in the second network: {found.name} is at about the same depth."
    return found, f"{told} {APART}"


def paired_convolution(first: Network, second: Network, layer: str | Layer) -> tuple[Layer, Layer, str]:
    """A convolution of each network whose kernels can be set side by side, for a layer of the first, and a remark.

    The first one's is the layer itself, or the convolution nearest before it.

    Raises
    ------
    ValueError
        A network has no 2D convolution.
    """
    for network, which in ((first, "first"), (second, "second")):
        if not network.convolutions:
            raise ValueError(
                f"the {which} network, {network.name}, has no 2D convolution, so there are no filters to compare"
            )
    chosen, own = first[layer], nearest_convolution(first, layer)
    remark = (
        "" if own == chosen else f"{chosen.name} ({chosen.kind}) has no kernel: {own.name} is the nearest that has."
    )
    by_name = {one.name: one for one in second.convolutions}
    if own.name in by_name:
        return own, by_name[own.name], remark
    found = _at_depth(own, first.convolutions, first, second.convolutions)
    told = f"No convolution {own.name} in the second network: {found.name} is at about the same depth."
    return own, found, _joined(remark, f"{told} {APART}")


def nearest_convolution(network: Network, layer: str | Layer) -> Layer:
    """The layer itself where it is a convolution, else the nearest convolution before it, else the first one.

    Raises
    ------
    ValueError
        The network has no 2D convolution.
    """
    convolutions = network.convolutions
    if not convolutions:
        raise ValueError(f"{network.name} has no 2D convolution")
    order = list(network.layers)
    at = order.index(network[layer].name)
    before = [one for one in convolutions if order.index(one.name) <= at]
    return before[-1] if before else convolutions[0]


def alike(first: Network, second: Network) -> bool:
    """Whether both have the same layers, by name, kind and shape: two checkpoints of one architecture.

    The size of the input, and so of the maps, counts; the class names do not.
    """
    return list(first.layers.values()) == list(second.layers.values())


def _class(first: Network, second: Network, channel: int) -> tuple[Unit | None, str]:
    label = first.label(channel)
    if not second.labels or not first.labels:
        which = "second" if first.labels else "first"
        if channel < second.output.channels and first.output.channels == second.output.channels:
            return second.output[channel], f"The {which} network names no classes: the output unit of the same number."
        return None, f"The {which} network names no classes, and has another number of them: none answers to {label!r}."
    wanted = [number for number, name in enumerate(first.labels) if name == label]
    found = [number for number, name in enumerate(second.labels) if name == label]
    if not found:
        found = [number for number, name in enumerate(second.labels) if name.lower() == label.lower()]
    if not found:
        return None, f"The second network knows no class {label!r}."
    # ImageNet has two cranes: the first of a name answers to the first, the second to the second
    return second.output[found[min(wanted.index(channel), len(found) - 1)]], ""


def _differing(own: Layer, named: Layer, first: Network, second: Network) -> str:
    if own.shape == named.shape and alike(first, second):
        return ""
    told = "" if own.shape == named.shape else f"{own.name} is {shape_text(own)} here and {shape_text(named)} there."
    names = [(layer.name, layer.kind, layer.channels) for layer in first.layers.values()]
    same = names == [(layer.name, layer.kind, layer.channels) for layer in second.layers.values()]
    return told if same else _joined(told, APART)


def _peers(layer: Layer, network: Network) -> Sequence[Layer]:
    """The main layers that have maps or have none, as the layer does; all main layers where there are none of these."""
    hidden = [one for one in network.main_layers if one != network.output] or list(network.main_layers)
    return [one for one in hidden if bool(one.positions) == bool(layer.positions)] or hidden


def _at_depth(layer: Layer, peers: Sequence[Layer], network: Network, others: Sequence[Layer]) -> Layer:
    """The layer that has as large a share of the others before it as the layer has of its peers."""
    order = {name: number for number, name in enumerate(network.layers)}
    before = sum(order[one.name] <= order[layer.name] for one in peers)
    share = max(0, before - 1) / max(1, len(peers) - 1)
    return others[round(share * (len(others) - 1))]


def _position(unit: Unit, other: Layer) -> tuple[Position, str]:
    sizes, theirs = unit.layer.positions, other.positions
    if unit.position is None:
        return None, ""
    if len(sizes) != len(theirs):
        return None, f"{other.name} has no such positions: its whole channel is taken."
    if isinstance(unit.position, str) or sizes == theirs:
        return unit.position, ""
    moved = [int((at + 0.5) * n / size) for at, size, n in zip(unit.position, sizes, theirs, strict=True)]
    return tuple(moved), f"Position {unit.position} of {sizes} is {tuple(moved)} of {theirs}."


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)

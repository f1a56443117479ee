"""``maps(first, second) -> Sides``, ``kernels(...) -> Sides``, ``classes(...) -> Answers``: two networks' answers side by side.

Tiles of both stand in the same order, so that what belongs together is at the same place, on scales of their own or on a shared
one; where the shapes agree there is the difference too, the second minus the first.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from . import colormaps, feature_maps, filters
from .filters import Order
from .layers import Layer
from .network import Network
from .pairing import paired, paired_layer
from .tiles import BACKGROUND, Tiles, as_floats, from_values

DIFFERENCE = "RdBu_r"
"""The colour map of differences: red where the second is larger, blue where the first is."""
Labelled = tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Sides:
    """Tiles of both networks, and of their difference.

    Attributes
    ----------
    first, second
        `Tiles`; a channel that both have is at the same place.
    difference
        The second minus the first, on a scale symmetric about zero; None where the shapes differ.
    change
        The norm of the difference over that of the first; None without a difference, infinite where the first is all zeros.
    """

    first: Tiles
    second: Tiles
    difference: Tiles | None
    change: float | None

    @property
    def all(self) -> dict[str, Tiles]:
        """Name -> tiles, of those there are."""
        named = {"first": self.first, "second": self.second, "difference": self.difference}
        return {name: tiles for name, tiles in named.items() if tiles is not None}

    def picture(self, **drawing: Any) -> Image.Image:
        """First, second and difference side by side; takes what `Tiles.picture` takes."""
        drawing.setdefault("columns", self.first.default_columns())
        shown = [tiles.picture(**drawing) for tiles in self.all.values()]
        gap = 16
        width = sum(one.width for one in shown) + gap * (len(shown) - 1)
        sheet = Image.new("RGB", (width, max(one.height for one in shown)), drawing.get("background", BACKGROUND))
        left = 0
        for one in shown:
            sheet.paste(one, (left, 0))
            left += one.width + gap
        return sheet

    def _repr_png_(self) -> bytes | None:
        if not len(self.first) or not len(self.second):
            return None
        columns = self.first.default_columns()
        enlarge = max(1, 320 // (columns * self.first.pixels.shape[2]))
        buffer = io.BytesIO()
        self.picture(enlarge=enlarge).save(buffer, "PNG")
        return buffer.getvalue()


def maps(
    first: torch.Tensor | npt.NDArray[Any],
    second: torch.Tensor | npt.NDArray[Any],
    *,
    scale: Literal["channel", "layer"] = "channel",
    order: Literal["stored", "strength"] = "stored",
    shared: bool = False,
    colormap: str = "viridis",
) -> Sides:
    """The feature maps of two layers for an image.

    Parameters
    ----------
    first, second
        (C, H, W), of any two shapes: `net.activations(image, [layer])[layer][0]`.
    scale, colormap
        As in `feature_maps.tiles`.
    order
        Of the first one's channels, which those of the second follow; channels that only the second has come last.
    shared
        Whether the colours mean the same values on both sides, or each side has a range of its own.

    Raises
    ------
    ValueError
        The maps are not three-dimensional, or another scale, order or colour map.

    Examples
    --------
    >>> sides = maps(torch.zeros(4, 6, 6), torch.ones(4, 6, 6), shared=True)
    >>> sides.second.ranges[0].tolist(), sides.difference.ranges[0].tolist()
    ([0.0, 1.0], [-1.0, 1.0])
    """
    own = feature_maps.tiles(first, scale=scale, order=order, colormap=colormap)
    floats = [as_floats(one) for one in (first, second)]
    orders = [own.order, _followed(own.order, len(floats[1]))]
    # checks the second as well
    other = feature_maps.tiles(second, scale=scale, channels=orders[1], colormap=colormap)
    if shared:
        spans = _shared(floats, scale, colormaps.is_signed(colormap))
        own, other = (
            _drawn(one, which, span, colormap) for one, which, span in zip(floats, orders, spans, strict=True)
        )
    if floats[0].shape != floats[1].shape:
        return Sides(own, other, None, None)
    with np.errstate(invalid="ignore"):
        moved = floats[1] - floats[0]
    difference = feature_maps.tiles(moved, scale=scale, channels=orders[0], colormap=DIFFERENCE)
    return Sides(own, other, difference, _change(floats[0], moved))


def kernels(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    scale: Literal["filter", "layer"] = "filter",
    order: Order = "stored",
    groups: tuple[int, int] = (1, 1),
    limit: int | None = None,
) -> Sides:
    """The kernels of two convolutions.

    Kernels of 1 × 1 are drawn as the matrices they are.

    Parameters
    ----------
    first, second
        (out, in / groups, kh, kw), as `net.filters(layer)` gives them.
    scale
        As in `filters.tiles`.
    order
        Of the first one's filters, which those of the second follow where there are as many.
    groups
        Of the first and of the second convolution.
    limit
        At most so many tiles on each side; see `filters.tiles`.

    Raises
    ------
    ValueError
        A kernel is not four-dimensional, or another scale or order.

    Examples
    --------
    >>> kernels(torch.zeros(8, 3, 5, 5), torch.ones(8, 3, 7, 7)).difference is None
    True
    """
    chosen = filters.ordering(first, order)
    follows = chosen if len(second) == len(first) else filters.ordering(second, order)
    own = _kernel(first, chosen, scale, groups[0], limit)
    other = _kernel(second, follows, scale, groups[1], limit)
    if first.shape != second.shape or groups[0] != groups[1]:
        return Sides(own, other, None, None)
    moved = as_floats(second) - as_floats(first)
    difference = _kernel(torch.from_numpy(moved), chosen, scale, groups[0], limit)
    return Sides(own, other, difference, _change(as_floats(first), moved))


@dataclass(frozen=True)
class Answers:
    """Named numbers of both networks: the classes of an image, or the units of a dense layer.

    Attributes
    ----------
    first, second
        (name, number) of each.
    units
        Per line of ``first`` the channel, and per line of ``second``, of its own network's layer.
    overlap
        Of classes: the probability that both give to the same ones, 0 to 1; None where they do not know the same.
    told
        Of classes: whether the networks agree, in a sentence or two.
    """

    first: Labelled
    second: Labelled
    units: tuple[tuple[int, ...], tuple[int, ...]]
    overlap: float | None = None
    told: str = ""


def classes(first: Network, second: Network, image: Any, k: int = 5) -> Answers:
    """What two networks take an image for, each seeing it its own way.

    Raises
    ------
    ValueError
        A network is no classifier, or several images.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec
    >>> net = Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), InputSpec(size=(1, 8, 8)), ["a", "b", "c"])
    >>> round(classes(net, net, torch.rand(1, 8, 8)).overlap, 6)
    1.0
    """
    lines: list[Labelled] = []
    units, summed = [], []
    for network, which in ((first, "first"), (second, "second")):
        if not network.is_classifier:
            raise ValueError(f"the {which} network, {network.name}, gives no class scores, so there are no classes")
        chances = network.probabilities(_values(network, image, network.output)[None])[0].cpu()
        best = feature_maps.top(chances, k=k)
        lines.append(tuple((network.label(index), value) for _, value, index in best))
        units.append(tuple(index for _, _, index in best))
        summed.append(_by_label(network, chances))
    # numbers of classes without names are the same classes only where there are as many
    same = summed[0].keys() == summed[1].keys() and bool(first.labels) == bool(second.labels)
    overlap = sum(min(value, summed[1][name]) for name, value in summed[0].items()) if same else None
    known = same or bool(first.labels and second.labels)
    return Answers(lines[0], lines[1], (units[0], units[1]), overlap, _agreement(lines, summed, overlap, known))


def strongest(
    first: Network, second: Network, image: Any, layer: str | Layer, k: int = 20, also: int | None = None
) -> Answers:
    """The units of a layer of the first network that respond most to an image, and those of the second that answer to them.

    For layers without maps; of one that has them the means are taken.

    Parameters
    ----------
    layer
        Of the first network; `pairing.paired` gives the units of the second. Where none of them has one, the strongest of the
        second's own layer are given.
    also
        A channel of the first network's layer that is listed in any case, as the last where it is not among the strongest.

    Raises
    ------
    IndexError
        There is no channel ``also``.
    ValueError
        Several images.
    """
    own, (other, _) = first[layer], paired_layer(first, second, layer)
    values = [_values(first, image, own), _values(second, image, other)]
    shown = [index for _, _, index in feature_maps.top(values[0], k=k)]
    if also is not None and own[also].channel not in shown:
        shown.append(own[also].channel)
    mates = [paired(first, second, own[index])[0] for index in shown]
    lines = tuple((_named(first, own, index), float(values[0][index])) for index in shown)
    found = [mate.channel for mate in mates if mate is not None]
    if not found:
        found = [index for _, _, index in feature_maps.top(values[1], k=k)]
    others = tuple((_named(second, other, index), float(values[1][index])) for index in found)
    return Answers(lines, others, (tuple(shown), tuple(found)))


def _values(network: Network, image: Any, layer: Layer) -> torch.Tensor:
    """One number a channel, for one image."""
    batch = network.prepare(image)
    if len(batch) != 1:
        raise ValueError(f"{len(batch)} images were given; expected one: image[0]")
    values = network.activations(batch, layer)[layer.name][0].float()
    return values.reshape(len(values), -1).mean(1)


def _named(network: Network, layer: Layer, channel: int) -> str:
    return network.label(channel) if layer == network.output and network.labels else f"unit {channel}"


def _agreement(lines: list[Labelled], chances: list[dict[str, float]], overlap: float | None, known: bool) -> str:
    one, other = lines
    (own, sure), (theirs, certain) = one[0], other[0]
    common = len({name for name, _ in one} & {name for name, _ in other})
    if not known or not chances[0].keys() & chances[1].keys():
        return "The networks have no class names in common, so their answers can't be compared."
    if own == theirs:
        told = f"Both take it for {own}: the first with {sure:.1%}, the second with {certain:.1%}."
    else:
        sides = [
            f"the first for {own} ({_chance(sure, chances[1], own, 'second')})",
            f"the second for {theirs} ({_chance(certain, chances[0], theirs, 'first')})",
        ]
        told = f"They disagree: {', '.join(sides)}."
    told += f" {common} of the first {min(len(one), len(other))} classes are the same"
    return told + (f"; {overlap:.1%} of the probability is." if overlap is not None else ".")


def _chance(sure: float, others: dict[str, float], name: str, which: str) -> str:
    known = f"{others[name]:.1%} for the {which}" if name in others else f"unknown to the {which}"
    return f"{sure:.1%}; {known}"


def _by_label(network: Network, chances: torch.Tensor) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, value in enumerate(chances.tolist()):
        found[network.label(number)] = found.get(network.label(number), 0.0) + value
    return found


def _followed(order: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The order of the first one's channels for a layer of ``count``, those that only the second has last."""
    return np.concatenate([order[order < count], np.arange(len(order), count)])


def _shared(floats: list[npt.NDArray[np.float32]], scale: str, signed: bool) -> list[npt.NDArray[np.float32]]:
    """Per side the values of byte 0 and of byte 255 of each channel, joined over both."""
    each: Literal["each", "all"] = "each" if scale == "channel" else "all"
    spans = [colormaps.limits_of(one, each, signed) for one in floats]
    if scale == "layer":
        low, high = min(span[0, 0] for span in spans), max(span[0, 1] for span in spans)
        return [np.tile(np.array([[low, high]], np.float32), (len(one), 1)) for one in floats]
    both = min(len(span) for span in spans)
    low = np.minimum(spans[0][:both, 0], spans[1][:both, 0])
    high = np.maximum(spans[0][:both, 1], spans[1][:both, 1])
    return [np.concatenate([np.stack([low, high], axis=1), span[both:]]) for span in spans]


def _drawn(
    floats: npt.NDArray[np.float32], order: npt.NDArray[np.int64], spans: npt.NDArray[np.float32], colormap: str
) -> Tiles:
    return from_values(
        floats[order],
        signed=colormaps.is_signed(colormap),
        limits=spans[order],
        colormap=colormap,
        names=[f"channel {i}" for i in order],
        order=order,
    )


def _kernel(
    kernel: torch.Tensor,
    order: npt.NDArray[np.int64],
    scale: Literal["filter", "layer"],
    groups: int,
    limit: int | None,
) -> Tiles:
    if tuple(kernel.shape[2:]) == (1, 1) and kernel.shape[1] > 1:
        return filters.matrix(kernel, filters=order, groups=groups, percentile=99)
    return filters.tiles(kernel, scale=scale, filters=order, groups=groups, limit=limit)


def _change(first: npt.NDArray[np.float32], moved: npt.NDArray[np.float32]) -> float:
    size, change = (float(np.linalg.norm(one.astype(np.float64).ravel())) for one in (first, moved))
    if size == 0:
        return 0.0 if change == 0 else float("inf")
    return change / size

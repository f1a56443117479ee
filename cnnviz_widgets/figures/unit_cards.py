"""``unit_card(network, unit, index, atlas) -> Figure``: all that is known of a unit on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from PIL import Image

from cnnviz_widgets.engine import filters
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.unit_facts import UnitFacts, unit_facts
from cnnviz_widgets.engine.unit_on_image import tiles_of

from .answers import unit_histogram
from .bars import draw_bars
from .lettering import number
from .sheet import MARGIN, PRINT, Figure, Look, Sheet

_GAP = 0.1
_LARGEST = 1.5
"""Inches of a picture, at most."""
_MOST_INPUTS = 16
_BARS = 6
_COLUMN = 2.2
"""Inches of a column of bars, at least."""

Captioned = tuple[Image.Image, str, str]


def unit_card(
    network: Network,
    unit: Unit,
    index: ActivationIndex | None = None,
    *,
    atlas: Atlas | None = None,
    title: str | None = None,
    width: float = 7.0,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """All that is known of a unit: its filter, the images synthesized for it, the photographs that excite it most, how its
    activations are spread, the units like it, and the labels and classes that it goes with.

    What is not known is left out.

    Parameters
    ----------
    unit
        ``net[layer][17]``, or one neuron.
    index
        An `ActivationIndex` of the network; it knows channels, so a neuron's photographs are those of its channel.
    atlas
        A `cnn.Atlas` of the network, whose images of the unit are shown.
    title
        None: the unit as typed; empty: none, nor the line below it.
    width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        The unit is none of the network's, or index or atlas are another network's.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> unit_card(net, net["1"][2]).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    facts = unit_facts(network, unit, index, k=_BARS)
    if atlas is not None and atlas.network is not network:
        raise ValueError(f"the atlas is one of {atlas.network.name}, not of {network.name}; give both one network")
    sheet = Sheet(look)
    heading = repr(unit) if title is None else title
    top = sheet.heading(heading, "" if title == "" else f"{facts.heading}. It {facts.sight}.")
    made = [(tile.picture, name, f"score {number(tile.score)}") for name, tile in tiles_of(unit, atlas)[0]]
    top = _row(sheet, _filter(network, facts.kernel, unit.channel) + made, top)
    if index is not None and facts.matches:
        top = _row(sheet, _winners(index, facts), top)
    return sheet.finish(_charts(sheet, network, index, facts, top))


def _filter(network: Network, kernel: Layer | None, channel: int) -> list[Captioned]:
    """The filter, where it has more than one weight for each input; see `_weights_of` for the others."""
    if kernel is None:
        return []
    weights, groups = network.filters(kernel), network.kernel_module(kernel).groups
    inputs = weights.shape[1]
    colored = inputs == 3 and groups == 1
    if weights.shape[2:] == (1, 1) and not colored:
        return []
    many = inputs > _MOST_INPUTS
    first = channel // (len(weights) // groups) * inputs
    norms = weights[channel].flatten(1).norm(dim=1).argsort(descending=True)[:_MOST_INPUTS].tolist()
    chosen = [first + at for at in norms] if many else None
    tiles = filters.tiles(weights, filters=[channel], inputs=chosen, groups=groups)
    told = f"{_MOST_INPUTS} largest of {inputs} inputs" if many else f"{inputs} input{'s' * (inputs != 1)}"
    return [(tiles.picture(enlarge=8), f"filter {channel} of {kernel.name}", told)]


def _weights_of(network: Network, kernel: Layer | None, channel: int) -> list[tuple[str, float]]:
    """The largest weights of a 1 × 1 filter."""
    if kernel is None:
        return []
    weights, groups = network.filters(kernel), network.kernel_module(kernel).groups
    if weights.shape[2:] != (1, 1) or (weights.shape[1] == 3 and groups == 1):
        return []
    own = weights[channel, :, 0, 0].float()
    first = channel // (len(weights) // groups) * len(own)
    order = own.abs().nan_to_num().argsort(descending=True, stable=True)[:_BARS].tolist()
    return [(f"input {first + at}", float(own[at])) for at in order]


def _winners(index: ActivationIndex, facts: UnitFacts) -> list[Captioned]:
    """What the unit sees in the photographs that excite it most, measured again; those that changed since are left out."""
    side = round(_LARGEST * PRINT)
    shown = []
    for one in index.examine(facts.channel):
        if not one.fault:
            label = index.images.labels[index.images.number(one.match.id)]
            shown.append((one.crop(side).picture, number(one.match.score), label))
    return shown


def _row(sheet: Sheet, shown: Sequence[Captioned], top: float) -> float:
    """Pictures of one size side by side, each with two lines below it. Returns where the rest begins."""
    if not shown:
        return top
    side = min((sheet.look.inner - (len(shown) - 1) * _GAP) / len(shown), _LARGEST)
    bottom = top
    for place, (picture, line, remark) in enumerate(shown):
        left = MARGIN + place * (side + _GAP)
        inch = side / max(picture.size)
        wide, high = picture.width * inch, picture.height * inch
        sheet.picture(picture, left + (side - wide) / 2, top + (side - high) / 2, wide, high)
        end = sheet.text(line, left, top + side + 0.02, width=side)
        bottom = max(bottom, sheet.text(remark, left, end, width=side, color=sheet.look.soft) if remark else end)
    return bottom + 1.5 * _GAP


def _charts(sheet: Sheet, network: Network, index: ActivationIndex | None, facts: UnitFacts, top: float) -> float:
    """The histogram, then the bars, in as many columns as there is room for. Returns the lower edge."""
    look = sheet.look
    charts = _bars_of(network, facts)
    drawn = facts.statistics is not None and facts.statistics.images > 0
    columns = max(1, int((look.inner + 2 * _GAP) / (_COLUMN + 2 * _GAP)))
    across = (look.inner - (columns - 1) * 2 * _GAP) / columns
    edges = [top] * columns
    if drawn and index is not None:
        edges[0] = _histogram(sheet, index, facts.channel, top, across)
    for name, named in charts:
        column = min(range(columns), key=lambda at: edges[at])
        left = MARGIN + column * (across + 2 * _GAP)
        start = sheet.text(name, left, edges[column], width=across, lines=2, weight="bold")
        edges[column] = draw_bars(sheet, named, left, start, across) + 1.5 * _GAP
    return max(edges)


def _histogram(sheet: Sheet, index: ActivationIndex, channel: Unit, top: float, across: float) -> float:
    look = sheet.look
    start = sheet.text("activation over the collection", MARGIN, top, width=across, weight="bold")
    indent, down = 4.5 * look.line, 0.55 * across
    axes: Axes = sheet.plot(MARGIN + indent, start + 0.05, across - indent - 0.1, down)
    unit_histogram(index, channel, ax=axes, text=look.text, dark=look.dark)
    axes.set_title("")
    return start + 0.05 + down + 3.2 * look.line


def _bars_of(network: Network, facts: UnitFacts) -> list[tuple[str, list[tuple[str, float]]]]:
    """Headings, and names with numbers."""
    charts: list[tuple[str, list[tuple[str, float]]]] = []
    if facts.kernel is not None and (named := _weights_of(network, facts.kernel, facts.unit.channel)):
        charts.append((f"largest weights of filter {facts.unit.channel} of {facts.kernel.name}", named))
    if facts.similar:
        chance = "correlation" if facts.similar.basis == "correlation" else "share of strongest images in common"
        charts.append((f"units like it: {chance}", [(_name(network, one.unit), one.likeness) for one in facts.similar]))
    if facts.labels:
        judged = facts.labels.basis == "values"
        named = [(one.label, one.auc if judged else float(one.among)) for one in facts.labels]
        told = "AUC" if judged else f"of {facts.labels.strongest} strongest images"
        charts.append((f"labels it goes with: {told}", named))
    if facts.weights is not None:
        strongest = facts.weights.strongest(_BARS)
        named = [(_name(network, other), weight) for other, weight in strongest]
        charts.append(("weights of the last layer", named))
    return charts


def _name(network: Network, unit: Unit) -> str:
    return network.label(unit.channel) if unit.layer == network.output and network.labels else repr(unit)

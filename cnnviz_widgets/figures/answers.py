"""``top_images(index, unit) -> Figure``, ``neighbors(index, queries) -> Figure``: what an index of images answers."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import NullLocator
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import display
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.examining import Sighting
from cnnviz_widgets.engine.index.matches import Neighbors, Statistics
from cnnviz_widgets.engine.layers import Layer, Unit

from .lettering import number
from .sheet import MARGIN, PRINT, Figure, Look, Sheet, dress, name_axes

_GAP = 0.08
"""Inches between pictures."""
_LARGEST = 1.6
"""Inches of a picture, at most: few pictures make a small figure."""


def top_images(
    index: ActivationIndex,
    unit: Unit,
    k: int | None = None,
    *,
    crops: bool = False,
    fold: bool = False,
    columns: int = 0,
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """The images of a collection that excite a unit most, with its activation for each, as Zeiler and Fergus 2014 show them.

    They are measured again; those that changed since are left out, which is said.

    Parameters
    ----------
    index
        An `ActivationIndex`.
    unit
        A channel: ``net[layer][17]``.
    k
        How many; None: all that the index keeps.
    crops
        What the unit sees alone, hatched where it looks beyond the border, in place of the whole image with a frame around it.
    fold
        Keep one of near-duplicates.
    columns
        Images in a row; 0: about as many as rows.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        The index does not hold the unit, or there is no image to show.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    >>> index = ActivationIndex.build(net, images, k=4)
    >>> top_images(index, net["0"][2]).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    examined = index.examine(unit, k, fold=fold)
    shown = [one for one in examined if not one.fault]
    if not shown:
        raise ValueError(f"no image of the collection to show for {unit}: index.examine({unit}) tells why")
    columns = min(columns or math.ceil(math.sqrt(len(shown))), len(shown))
    side = min((look.inner - (columns - 1) * _GAP) / columns, _LARGEST)
    across = max(columns * (side + _GAP) - _GAP, min(look.inner, 2.5))
    sheet = Sheet(look)
    top = _told(sheet, index, unit, examined, shown, crops, title, across)
    bottom = top
    for place, one in enumerate(shown):
        row, column = divmod(place, columns)
        top = bottom + _GAP if column == 0 and row else top
        left = MARGIN + column * (side + _GAP)
        _draw(sheet, one, crops, left, top, side)
        words = number(one.match.score), index.images.labels[index.images.number(one.match.id)]
        end = sheet.text(words[0], left, top + side + 0.02, width=side)
        bottom = sheet.text(words[1], left, end, width=side, color=look.soft) if words[1] else end
    return sheet.finish(bottom, across + 2 * MARGIN)


def neighbors(
    index: ActivationIndex,
    queries: Any,
    layer: str | Layer | None = None,
    k: int = 5,
    *,
    labels: Any = None,
    metric: str = "l2",
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """Test images in the first column, and right of each the images nearest to it in a layer's features.

    As in Krizhevsky, Sutskever and Hinton 2012, figure 4. An image of the collection is not shown as its own neighbour. Where
    labels are known, neighbours of the query's label have a frame.

    Parameters
    ----------
    index
        An `ActivationIndex`.
    queries
        Ids of the collection, or images of one's own.
    layer
        One of those whose features are kept; None: the last hidden one.
    k
        Neighbours of each.
    labels
        The queries' labels, where they are not of the collection.
    metric
        ``"l2"`` or ``"cosine"``.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ImageError, ValueError
        A query that is no image; features that are not kept.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    >>> index = ActivationIndex.build(net, images)
    >>> neighbors(index, ["3", "7"], k=4).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    found = index.neighbors(queries, layer, k, metric=metric, without_itself=True, labels=labels)  # type: ignore[arg-type]
    asked = _queries(index, queries)
    columns = max((len(line) for line in found.ids), default=0)
    side = min((look.inner - (columns + 1) * _GAP) / (columns + 1), _LARGEST)
    across = (columns + 1) * (side + _GAP)
    sheet = Sheet(look)
    told = f"the nearest ones, with their {'Euclidean' if metric == 'l2' else metric} distances"
    framed = f"{told}; framed: the same label" if any(found.labels) else told
    top = sheet.heading(f"Nearest images in {found.layer}" if title is None else title, width=max(across, 2.5))
    sheet.text("test image", MARGIN, top, width=side, color=look.soft)
    top = sheet.text(framed, MARGIN + side + 2 * _GAP, top, width=across - side - _GAP, lines=2, color=look.soft) + 0.03
    for row, shown in enumerate(asked):
        top = _row(sheet, index, found, row, shown, top, side) + _GAP
    return sheet.finish(top - _GAP, max(across, min(look.inner, 2.5)) + 2 * MARGIN)


def unit_histogram(
    index: ActivationIndex,
    unit: Unit,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    width: float = 3.25,
    text: float = 8.0,
    dark: bool = False,
) -> MatplotlibFigure:
    """How a unit's activations are spread over a collection, with its strongest images at the right end.

    Parameters
    ----------
    index
        An `ActivationIndex`.
    unit
        A channel.
    ax
        Axes of a figure of one's own to draw on, which is given back; None: a new figure.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        The index does not hold the unit, or no image gives it a value.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    >>> index = ActivationIndex.build(net, images)
    >>> unit_histogram(index, net["0"][2]).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    spread = index.statistics(unit)
    if not spread.images:
        raise ValueError(f"no image of the collection gives {unit} a finite value; index.faults may tell why")
    heading = str(unit) if title is None else title
    if ax is not None:
        _bars(ax, look, spread)
        ax.set_title(heading, parse_math=False, usetex=False)
        return cast(MatplotlibFigure, ax.figure)
    sheet = Sheet(look)
    remark = (
        f"{spread.images:,} images, {100 * spread.fires:.3g} % above zero, "
        f"mean {number(spread.mean)}, deviation {number(spread.deviation)}"
    )
    top = sheet.heading(heading, "" if title == "" else remark)
    left, down = MARGIN + 4.5 * look.line, 0.5 * look.inner
    axes = sheet.plot(left, top, look.width - MARGIN - 0.1 - left, down)
    _bars(axes, look, spread)
    return sheet.finish(top + down + 2.6 * look.line)


def _told(
    sheet: Sheet,
    index: ActivationIndex,
    unit: Unit,
    examined: list[Sighting],
    shown: list[Sighting],
    crops: bool,
    title: str | None,
    across: float,
) -> float:
    pool = "maximum over its map" if index.plan.settings.pool == "max" else "mean over its map"
    what = f"the {len(shown)} of {index.measured:,} images with the largest activation"
    parts = [what + (f", the {pool}" if unit.layer.positions else "")]
    if any(one.window.status in ("exact", "cut by the border") for one in shown):
        parts.append("what the unit sees, hatched beyond the border" if crops else "framed: what the unit sees")
    if len(shown) < len(examined):
        parts.append(f"{len(examined) - len(shown)} that changed since are left out")
    label = index.network.label(unit.channel) if unit.layer == index.network.output and index.network.labels else ""
    heading = f"{unit}{f', {label}' if label else ''}" if title is None else title
    remark = "" if title == "" else ". ".join(part[:1].upper() + part[1:] for part in parts) + "."
    return sheet.heading(heading, remark, width=across)


def _draw(sheet: Sheet, one: Sighting, crops: bool, left: float, top: float, side: float) -> None:
    cut = one.crop(_dots(side)) if crops else one.whole(_dots(side))
    shown = _unenlarged(cut.picture, one, crops)
    inch = side / max(shown.size)
    wide, high = shown.width * inch, shown.height * inch
    # a picture that is no square stands in the middle of one
    left, top = left + (side - wide) / 2, top + (side - high) / 2
    sheet.picture(shown, left, top, wide, high)
    if crops or one.framing is None:
        return
    rows, columns = one.framing.input
    if one.window.status in ("exact", "cut by the border"):
        up, start, down, end = one.window.seen
        place = left + start * wide / columns, top + up * high / rows
        sheet.frame(*place, (end - start) * wide / columns, (down - up) * high / rows, points=1.2)
    elif one.window.mark is not None:
        y, x = one.window.mark
        sheet.paper.plot(left + x * wide / columns, top + y * high / rows, "+", color=sheet.look.mark, markersize=6)


def _unenlarged(cut: Image.Image, one: Sighting, crops: bool) -> Image.Image:
    """A crop of few pixels, as digits have, in whole multiples of them, so that they stay squares of one size."""
    if crops or one.framing is None or max(one.framing.input) * 2 > max(cut.size):
        return cut
    rows, columns = one.framing.input
    factor = max(1, max(cut.size) // max(rows, columns))
    return one.whole(factor * max(rows, columns)).picture


def _row(
    sheet: Sheet, index: ActivationIndex, found: Neighbors, row: int, shown: Image.Image, top: float, side: float
) -> float:
    look, label = sheet.look, found.labels[row]
    bottom = _captioned(sheet, shown, MARGIN, top, side, label or found.queries[row], "")
    for place, (id, far) in enumerate(zip(found.ids[row], found.distances[row], strict=True)):
        left = MARGIN + (place + 1) * (side + _GAP) + _GAP
        other = found.neighbor_labels[row][place]
        end = _captioned(sheet, _seen(index, id), left, top, side, other, number(far))
        if label and label == other:
            sheet.frame(left, top, side, side, color=look.accent, points=1.6)
        bottom = max(bottom, end)
    return bottom


def _captioned(
    sheet: Sheet, shown: Image.Image, left: float, top: float, side: float, label: str, remark: str
) -> float:
    inch = side / max(shown.size)
    wide, high = shown.width * inch, shown.height * inch
    sheet.picture(shown, left + (side - wide) / 2, top + (side - high) / 2, wide, high)
    end = sheet.text(label, left, top + side + 0.02, width=side)
    return sheet.text(remark, left, end, width=side, color=sheet.look.soft) if remark else end


def _queries(index: ActivationIndex, given: Any) -> list[Image.Image]:
    """What was asked about, as the network sees it."""
    listed = [given] if isinstance(given, str) and given in index.images else given
    if isinstance(listed, list | tuple):
        ids = [isinstance(one, str) and one in index.images for one in listed]
        if all(ids):
            return [_seen(index, one) for one in listed]
        listed = [index.images[one] if known else one for one, known in zip(listed, ids, strict=True)]
    return [_as_seen(one) for one in index.network.prepare(listed).float()]


def _seen(index: ActivationIndex, id: str) -> Image.Image:
    """An image of the collection as the network sees it; an even grey for one that can't be opened any more."""
    try:
        return _as_seen(index.images.prepare(id, index.network.input))
    except ImageError:
        return Image.new("L", index.network.input.size[:0:-1], 211)


def _as_seen(image: Tensor) -> Image.Image:
    return Image.fromarray(display.pixels(image[None].float())[0])


def _dots(side: float) -> int:
    return round(side * PRINT)


def _bars(axes: Axes, look: Look, spread: Statistics) -> None:
    """The histogram as bars, the number of images on a scale that shows single ones, too."""
    dress(axes, look)
    widths = np.diff(spread.edges)
    axes.bar(spread.edges[:-1], spread.counts, widths, align="edge", color=look.accent, linewidth=0)
    axes.set_yscale("symlog", linthresh=1, linscale=0.4)
    axes.set_ylim(0, 1.3 * float(max(spread.counts.max(), 1)))
    ticks = [0, *(10**power for power in range(int(math.log10(max(spread.counts.max(), 1))) + 1))]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    if spread.lowest < 0 < spread.highest:
        axes.axvline(0, color=look.soft, linewidth=0.6)
    name_axes(axes, look, "activation", "images")

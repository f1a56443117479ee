"""``embedding(map, pictures) -> Figure``: thousands of images at their places on a map, or on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.projections import Grid, Map
from cnnviz_widgets.engine.projections.legend import counted, palette
from cnnviz_widgets.engine.projections.poster import poster
from cnnviz_widgets.engine.thumbnails import as_picture

from .lettering import length_of, plain
from .sheet import MARGIN, PRINT, Figure, Look, Sheet

FEW = 300
"""Images up to which each is opened itself; thumbnails of more are as fine as print."""
MOST_NAMES = 24
"""Labels that the legend names; the others are counted together."""
_PER_IMAGE, _LARGEST = 29, 6000
"""Pixels of the picture's side times the root of the number of images, so that there is room for frames; and at most."""


def embedding(
    map_: Any,
    pictures: Any,
    *,
    labels: Sequence[str | None] | None = None,
    colors: Mapping[str, Any] | None = None,
    seams: Any = None,
    legend: bool = True,
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """Images at the places that a projection gives them, or in the cells of a grid, as one picture.

    Parameters
    ----------
    map_
        A `Map`, a `Grid`, or points (n, 2), y downwards.
    pictures
        One for each point: the index that the features are from, an `ImageSet`, a list of whatever counts as pictures, or a
        function from the row to one.
    labels
        One for each point: their colours frame the images. None: those of the index or set where several images share one;
        empty: no frames.
    colors
        Label to colour; None: as on the map in a panel.
    seams
        What `Grid.seams` gives, for a grid: lines between neighbours that are unlike.
    legend
        Name the labels below, the most frequent first.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        Another number of pictures or labels than of points, or points that are none.

    Examples
    --------
    >>> import io
    >>> tiles = [np.full((8, 8), 40 * number, np.uint8) for number in range(4)]
    >>> figure = embedding([[0, 0], [1, 0], [0, 1], [1, 1]], tiles, labels=["a", "b", "a", "b"])
    >>> figure.savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    points = getattr(map_, "points", map_)
    count = len(points)
    picture, own, given = _pictures(pictures, count)
    if given is not None and given != count:
        raise ValueError(
            f"{given} pictures for {count} points; give as many, in the order of the features: "
            "the index itself, or images.subset(index.ids)"
        )
    named = list(own if labels is None else labels)
    side = min(max(round(look.inner * PRINT), math.ceil(_PER_IMAGE * math.sqrt(max(count, 1)))), _LARGEST)
    framed = _PER_IMAGE * math.sqrt(max(count, 1)) <= _LARGEST
    shown = poster(
        map_,
        picture,
        side=side,
        margin=0,
        background=look.paper,
        labels=named if framed else (),
        colors=colors if framed else None,
        seams=seams,
        legend=False,
    )
    across = look.inner * min(1.0, shown.width / shown.height * 1.25)  # a tall map fits on a page
    sheet = Sheet(look)
    remark = "" if framed or not named else "Too many images for frames in the colours of their labels."
    heading = _title(map_, count) if title is None else title
    top = sheet.heading(heading, "" if title == "" else remark)
    bottom = sheet.picture(shown, MARGIN + (look.inner - across) / 2, top, across)
    if legend and framed and named:
        bottom = _legend(sheet, named, colors, bottom + 0.5 * look.line)
    return sheet.finish(bottom)


def _title(map_: Any, count: int) -> str:
    if isinstance(map_, Map):
        kind = type(map_.projection).__name__
        return f"{count:,} images, {kind}" + (
            "" if map_.finished else f", stopped after {map_.done} of {map_.total} steps"
        )
    return f"{count:,} images" + (" on a grid" if isinstance(map_, Grid) else "")


def _pictures(given: Any, count: int) -> tuple[Callable[[int], Any], Sequence[str], int | None]:
    """From a row to a picture; the labels that are known; how many there are, None where that can't be told."""
    if isinstance(given, ActivationIndex):
        ids, images = given.ids, given.images
        labels = [images.labels[images.number(id)] for id in ids] if images.labelled else []
        if count <= FEW:
            return lambda row: as_picture(images[ids[row]]), labels, len(ids)
        return lambda row: given.thumbnail_data(ids[row]), labels, len(ids)
    if isinstance(given, ImageSet):
        labels = list(given.labels) if given.labelled else []
        if count <= FEW:
            return lambda row: as_picture(given[row]), labels, len(given)
        return given.thumbnail_data, labels, len(given)
    if callable(given):
        return given, (), None
    listed = given if isinstance(given, np.ndarray) else list(given)
    return lambda row: listed[row] if isinstance(listed[row], bytes) else as_picture(listed[row]), (), len(listed)


def _legend(sheet: Sheet, labels: Sequence[str | None], colors: Mapping[str, Any] | None, top: float) -> float:
    """The labels with their colours and numbers, in columns. Returns the lower edge."""
    look = sheet.look
    known, counts = palette(labels, colors), counted(labels)
    names = list(counts)[:MOST_NAMES]
    entries = [(f"{plain(name)} ({counts[name]:,})", known[name]) for name in names]
    others = sum(counts.values()) - sum(counts[name] for name in names)
    swatch = 0.7 * look.line
    widest = max((length_of(name, look.text) for name, _ in entries), default=0.0) + swatch + 0.25
    columns = max(1, int(look.inner / min(widest, look.inner)))
    rows = math.ceil(len(entries) / columns)
    for place, (name, color) in enumerate(entries):
        column, row = divmod(place, rows)
        left, y = MARGIN + column * look.inner / columns, top + row * 1.15 * look.line
        box = Rectangle(
            (left, y + 0.15 * look.line), swatch, swatch, color=[value / 255 for value in color], linewidth=0
        )
        sheet.paper.add_patch(box)
        sheet.text(name, left + swatch + 0.06, y, width=look.inner / columns - swatch - 0.1)
    bottom = top + rows * 1.15 * look.line
    if others:
        rest = f"and {others:,} of {len(counts) - len(names):,} other labels"
        bottom = sheet.text(rest, MARGIN, bottom, color=look.soft)
    return bottom

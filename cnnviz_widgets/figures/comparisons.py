"""``side_by_side(found)``, ``changes(values)``, ``layer_similarity(found) -> Figure``: two networks compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.comparison import Answers, Sides
from cnnviz_widgets.engine.result import Result
from cnnviz_widgets.engine.similarity import LayerSimilarity
from cnnviz_widgets.engine.tiles import Tiles

from .bars import draw_bars
from .lettering import length_of, number, plain
from .sheet import MARGIN, SCREEN, Figure, Look, Sheet

_GAP = 0.15
_LARGEST = 2.6
"""Inches of a synthesized image, at most."""


def side_by_side(
    found: Sides | Answers | Sequence[Result],
    *,
    names: Sequence[str] = ("first", "second"),
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """What two networks answer, beside each other: feature maps or kernels with their difference, classes, or images.

    Parameters
    ----------
    found
        What the functions of `cnn.comparison` give, or two results of `cnn.maximize`.
    names
        What the two are called.
    title
        None or empty: no title; empty: no remarks either, as whether the networks agree.
    width, text, dark
        As in `filters`.

    Raises
    ------
    TypeError, ValueError
        Something else was given, no tiles, or not two names.

    Examples
    --------
    >>> import io
    >>> import torch
    >>> from cnnviz_widgets.engine.comparison import maps
    >>> side_by_side(maps(torch.rand(8, 6, 6), torch.rand(8, 6, 6))).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    if len(names) != 2:
        raise ValueError(f"names={names!r}; expected two, what the first and the second network are called")
    sheet = Sheet(look)
    if isinstance(found, Sides):
        return _tiles(sheet, found, names, title)
    if isinstance(found, Answers):
        return _answers(sheet, found, names, title)
    if isinstance(found, Sequence) and len(found) == 2 and all(isinstance(one, Result) for one in found):
        return _images(sheet, found, names, title)
    raise TypeError(
        f"{type(found).__name__} was given; expected what cnn.comparison.maps, kernels, classes or strongest give, "
        "or two results of cnn.maximize"
    )


def changes(
    values: Mapping[str, float],
    *,
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """How far each layer moved, as bars in the order of the network.

    Parameters
    ----------
    values
        Layer to number, as the functions of `cnn.changes` give them.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        There are none.

    Examples
    --------
    >>> import io
    >>> changes({"conv1": 0.2, "dense": 0.7}).savefig(io.BytesIO(), format="pdf")
    """
    if not values:
        raise ValueError("no layer was given; cnn.changes.weight_changes(first, second) gives a number for each")
    sheet = Sheet(Look(width, text, dark))
    top = sheet.heading("What changed, layer by layer" if title is None else title)
    return sheet.finish(draw_bars(sheet, list(values.items()), MARGIN, top, sheet.look.inner))


def layer_similarity(
    found: LayerSimilarity,
    *,
    names: Sequence[str] = ("first", "second"),
    colormap: str = "magma",
    title: str | None = None,
    width: float = 6.5,
    text: float = 7.0,
    dark: bool = False,
) -> Figure:
    """Which layers of two networks see a collection alike, as Kornblith et al. 2019 show it (figure 3), the first layers on top.

    Parameters
    ----------
    found
        A `LayerSimilarity`.
    names
        What the two are called.
    colormap
        One of `colormaps.SEQUENTIAL`.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        No such colour map, or not two names.

    Examples
    --------
    >>> import io
    >>> similarity = LayerSimilarity(("a", "b"), ("a", "b"), np.eye(2), 10)
    >>> layer_similarity(similarity).savefig(io.BytesIO(), format="pdf")
    """
    if len(names) != 2:
        raise ValueError(f"names={names!r}; expected two, what the first and the second network are called")
    look = Look(width, text, dark)
    sheet = Sheet(look)
    debiased = ", debiased" if found.debiased else ""
    remark = f"{names[0]} down, {names[1]} across; linear CKA{debiased} over {found.images} images."
    top = sheet.heading("Layers that see images alike" if title is None else title, "" if title == "" else remark)
    rows, columns = found.values.shape
    widest = min(0.35 * look.inner, max(length_of(plain(name), look.text) for name in found.rows))
    left = MARGIN + widest + 0.06
    inch = min((look.width - MARGIN - left) / columns, 0.6)
    bytes_ = np.rint(255 * np.nan_to_num(found.values).clip(0, 1)).astype(np.uint8)
    shown = colormaps.table(colormaps.check(colormap))[bytes_]
    shown[~np.isfinite(found.values)] = 128
    bottom = sheet.picture(shown, left, top, columns * inch, rows * inch)
    # names that would lie upon each other are left out
    for place in range(0, rows, _every(inch, look)):
        sheet.text(
            found.rows[place], left - 0.06, top + (place + 0.5) * inch - look.line / 2, width=widest, align="right"
        )
    low = _across(sheet, found.columns, left, bottom + 0.05, inch)
    return sheet.finish(sheet.scale(colormaps.table(colormap), "0", "1", left + columns * inch, low + 0.05))


def _every(inch: float, look: Look) -> int:
    return max(1, int(np.ceil(look.line / inch - 1e-6)))


def _across(sheet: Sheet, names: Sequence[str], left: float, top: float, inch: float) -> float:
    """Names below the columns, from bottom to top. Returns their lower edge."""
    look = sheet.look
    longest = 0.0
    for place in range(0, len(names), _every(inch, look)):
        told = plain(names[place])
        longest = max(longest, length_of(told, look.text))
        sheet.paper.text(
            left + (place + 0.5) * inch, top, told, rotation=90, ha="center", va="top", color=look.ink,
            fontsize=look.text, parse_math=False, usetex=False,
        )  # fmt: skip
    return top + longest


def _tiles(sheet: Sheet, found: Sides, names: Sequence[str], title: str | None) -> Figure:
    look = sheet.look
    shown = dict(zip(("first", "second"), names, strict=True)) | {"difference": "difference"}
    columns = found.first.default_columns()
    if not len(found.first) or not len(found.second):
        raise ValueError("there are no tiles to draw")
    change = found.change
    moved = (
        ""
        if change is None
        else f"Difference: the second minus the first, {number(change)} times as large as the first."
    )
    top = sheet.heading(title or "", "" if title == "" else moved)
    side = (look.inner - (len(found.all) - 1) * _GAP) / len(found.all)
    bottom = top
    for place, (name, tiles) in enumerate(found.all.items()):
        left = MARGIN + place * (side + _GAP)
        begin = sheet.text(shown[name], left, top, width=side, weight="bold") + 0.03
        end = sheet.picture(_drawn(tiles, columns, side), left, begin, side)
        if tiles.pixels.ndim == 3 and len(np.unique(tiles.ranges, axis=0)) == 1:
            low, high = (number(value) for value in tiles.ranges[0])
            end = sheet.scale(colormaps.table(tiles.colormap or "gray"), low, high, left + side, end + 0.04)
        bottom = max(bottom, end)
    return sheet.finish(bottom)


def _drawn(tiles: Tiles, columns: int, side: float) -> np.ndarray:
    """As many dots as a screen has, so that no others are drawn in their place."""
    columns = min(columns, len(tiles))
    enlarge = max(1, int(side * SCREEN / columns / tiles.pixels.shape[2]))
    return np.array(tiles.picture(columns, 1, enlarge))


def _answers(sheet: Sheet, found: Answers, names: Sequence[str], title: str | None) -> Figure:
    look = sheet.look
    remark = "" if title == "" else found.told
    top = sheet.heading(title or "", remark) if title or remark else MARGIN
    side = (look.inner - 2 * _GAP) / 2
    bottom = top
    for place, (name, lines) in enumerate(zip(names, (found.first, found.second), strict=True)):
        left = MARGIN + place * (side + 2 * _GAP)
        begin = sheet.text(name, left, top, width=side, weight="bold") + 0.03
        bottom = max(bottom, draw_bars(sheet, lines, left, begin, side))
    return sheet.finish(bottom)


def _images(sheet: Sheet, found: Sequence[Any], names: Sequence[str], title: str | None) -> Figure:
    look = sheet.look
    side = min((look.inner - _GAP) / 2, _LARGEST)
    top = sheet.heading(title) if title else MARGIN
    bottom = top
    for place, (name, result) in enumerate(zip(names, found, strict=True)):
        left = MARGIN + place * (side + _GAP)
        begin = sheet.text(name, left, top, width=side, weight="bold") + 0.03
        shown = result.picture("percentile")[0]
        end = sheet.picture(shown, left, begin, side * min(1.0, shown.width / shown.height))
        told = f"{result.labels[0]}, score {number(float(result.score[0]))} at step {int(result.step[0])}"
        bottom = max(bottom, sheet.text(told, left, end + 0.02, width=side, lines=2, color=look.soft))
    return sheet.finish(bottom, 2 * side + _GAP + 2 * MARGIN)

"""``all_layers(atlas) -> Figure``: the classic figure of a network: images of many units of each layer, the deep ones on top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.progress import counted

from .lettering import plain, wrapped
from .sheet import MARGIN, Figure, Look, Sheet

_GAP = 0.06
_SMALLEST = 0.3
"""Inches of a unit's image, at least, however little the unit sees."""
_NAMES = 1.75
"""Inches for the layers' names."""


def all_layers(
    atlas: Atlas,
    *,
    layers: Sequence[str | Layer] | None = None,
    recipes: Sequence[str] | None = None,
    units: int | None = None,
    tile: float | None = None,
    title: str | None = None,
    width: float = 10.0,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """Synthesized images of units of all layers, deep layers on top, sized by how much of the input a unit sees.

    As Yosinski et al. 2015 show the layers of a network (figure 4); the side of an image grows with the root of the receptive
    field's, or the first layers' would be specks. Output units bear their classes' names. Where there are several recipes, the
    images of a unit form a block.

    Parameters
    ----------
    atlas
        A `cnn.Atlas`, complete or not; what is missing is an empty frame.
    layers
        Which ones, by name; None: all.
    recipes
        Which ones, by name; None: all.
    units
        At most so many of each layer; None: all.
    tile
        Inches of the largest image; None: as large as the largest layer's units find room for in a row.
    title
        None: how many units and layers; empty: none.
    width, text, dark
        As in `filters`; a figure of many layers is high, so it should be wide, too.

    Raises
    ------
    ValueError
        A layer or recipe that is not in the atlas, or none at all; a size out of range.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> atlas = Atlas.build(net, units=3, steps=4)
    >>> all_layers(atlas).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    names = _recipes(atlas, recipes)
    by = {layer: [name for name in atlas.recipes_of(layer) if name in names] for layer in _chosen(atlas, layers)}
    shown = [layer for layer, of_layer in by.items() if of_layer]
    if not shown:
        raise ValueError(f"the layers chosen have no images by {', '.join(names)}")
    if units is not None and units < 1:
        raise ValueError(f"units={units!r}; expected at least one of each layer, or None for all")
    chosen = {layer: list(atlas.units(layer))[:units] for layer in shown}
    seen = {layer: atlas.receptive_size(layer) for layer in shown}
    largest = max(max(size) for size in seen.values())
    room = look.inner - _NAMES
    most = max(map(len, chosen.values()))
    if tile is None:
        tile = min(1.2, ((room + _GAP) / min(most, 12) - _GAP) / _swelling(max(map(len, by.values()))))
    if not _SMALLEST <= tile <= room:
        raise ValueError(f"tile={tile!r}; expected inches, {_SMALLEST} to {room:.3g}")
    sheet = Sheet(look)
    count = sum(map(len, chosen.values()))
    heading = (
        f"{atlas.network.name}: {counted(count, 'unit')} of {counted(len(shown), 'layer')}" if title is None else title
    )
    top = sheet.heading(heading, "" if title == "" else _told(atlas, by))
    for layer in shown:
        side = max(_SMALLEST, tile * math.sqrt(max(seen[layer]) / largest))
        top = _band(sheet, atlas, layer, chosen[layer], by[layer], seen[layer], side, top) + 2 * _GAP
    return sheet.finish(top - 2 * _GAP)


def _told(atlas: Atlas, by: Mapping[Layer, list[str]]) -> str:
    """How to read the figure, and what is missing in it."""
    told = ["Deep layers on top; an image is the larger the more of the input its unit sees."]
    if blocks := list(dict.fromkeys(", ".join(of_layer) for of_layer in by.values() if len(of_layer) > 1)):
        told.append(f"In each block, row by row: {'; or '.join(blocks)}.")
    if not atlas.complete:
        told.append(f"{atlas.finished:,} of {atlas.total:,} images are finished so far.")
    if faults := len(atlas.faults):
        told.append(f"{faults:,} could not be made.")
    return " ".join(told)


def _band(
    sheet: Sheet,
    atlas: Atlas,
    layer: Layer,
    units: list[Unit],
    names: list[str],
    seen: tuple[int, int],
    side: float,
    top: float,
) -> float:
    """One layer: its name, and its units in rows. Returns the lower edge."""
    look = sheet.look
    wide = _NAMES - 0.15
    y = sheet.text(layer.name, MARGIN, top, width=wide, lines=2, weight="bold")
    y = sheet.text(f"sees {seen[0]} × {seen[1]}", MARGIN, y, width=wide, color=look.soft)
    y = sheet.text(f"{len(units)} of {layer.channels:,} units", MARGIN, y, width=wide, color=look.soft)
    left, room = MARGIN + _NAMES, look.inner - _NAMES
    labels = [plain(atlas.label(unit)) for unit in units]
    named = any(
        label and label not in (str(unit.channel), str(unit)) for label, unit in zip(labels, units, strict=True)
    )
    across = math.ceil(math.sqrt(len(names)))
    block = side * _swelling(len(names))
    step = max(block, 0.75 if named else 0.0) + _GAP
    columns = max(1, int((room + _GAP + 1e-9) / step))
    bottom = top
    for place, (unit, label) in enumerate(zip(units, labels, strict=True)):
        if place and place % columns == 0:
            top = bottom + _GAP
        start = left + place % columns * step
        end = _block(sheet, atlas, unit, names, start, top, block, across)
        if named:
            # two lines for all, or rows would not stand level
            lines = wrapped(label, step - _GAP, look.text, 2)
            sheet.text(label, start, end + 0.02, width=step - _GAP, lines=2)
            end += 0.02 + max(len(lines), 1) * look.line
        bottom = max(bottom, end)
    return max(bottom, y)


def _swelling(recipes: int) -> float:
    """How many times wider a block of images is than a single one, which is larger than each of them."""
    return 1 + 0.25 * (math.ceil(math.sqrt(recipes)) - 1)


def _block(
    sheet: Sheet, atlas: Atlas, unit: Unit, names: list[str], left: float, top: float, block: float, across: int
) -> float:
    """The images of one unit by all recipes. Returns the lower edge."""
    gap = 0.02
    side = (block - (across - 1) * gap) / across
    for place, name in enumerate(names):
        row, column = divmod(place, across)
        x, y = left + column * (side + gap), top + row * (side + gap)
        made = atlas.image(unit, name)
        shown = None if made is None else made.picture
        if shown is None:
            sheet.frame(x, y, side, side, color=sheet.look.soft, points=0.4)
            continue
        inch = side / max(shown.size)
        sheet.picture(shown, x, y, shown.width * inch, shown.height * inch)
    return top + math.ceil(len(names) / across) * (side + gap) - gap


def _chosen(atlas: Atlas, layers: Sequence[str | Layer] | None) -> list[Layer]:
    """The layers to show, the deepest first."""
    known = {layer.name: layer for layer in atlas.layers}
    wanted = list(known) if layers is None else [one.name if isinstance(one, Layer) else one for one in layers]
    if missing := [name for name in wanted if name not in known]:
        raise ValueError(f"the atlas has no layer {missing[0]!r}; it has {', '.join(known)}")
    if not wanted:
        raise ValueError("an atlas without layers, or none of them chosen; there is nothing to show")
    return [layer for name, layer in reversed(known.items()) if name in wanted]


def _recipes(atlas: Atlas, recipes: Sequence[str] | None) -> list[str]:
    known = list(atlas.recipes)
    wanted = known if recipes is None else [recipes] if isinstance(recipes, str) else list(recipes)
    if missing := [name for name in wanted if name not in known]:
        raise ValueError(f"the atlas has no images by the recipe {missing[0]!r}; it has {', '.join(known)}")
    if not wanted:
        raise ValueError("no recipe was chosen; recipes=None takes all of the atlas")
    return wanted

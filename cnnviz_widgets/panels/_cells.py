"""``winners(index, unit, ...) -> Winners``, ``small_cell(index, id, ...) -> Cell``: images of a collection as cells of a view.

A photograph is let go of as soon as its cells are made: a few dozen units' photographs at full size would fill the memory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.examining import Sighting
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.views import Cell

SHARP = 2
"""Pixels of a picture per pixel of the page, for screens that have more."""


@dataclass(frozen=True, eq=False)
class Winners:
    """The images that excite a unit most, measured again and made into cells.

    Attributes
    ----------
    ids
        Of those that can be shown, the strongest first.
    whole, crops
        Their cells: what the network sees, and what the unit sees.
    size
        What the unit sees, in words for a caption.
    told
        Which are not shown, and why; empty where all are.
    """

    ids: tuple[str, ...]
    whole: tuple[Cell, ...]
    crops: tuple[Cell, ...]
    size: str
    told: str


def winners(index: ActivationIndex, unit: Unit, *, fold: bool, side: int) -> Winners:
    """Open and measure the winners, and make cells of ``side`` pixels of the page."""
    sightings = index.examine(unit, fold=fold)
    good = [one for one in sightings if not one.fault]
    bad = [one for one in sightings if one.fault]
    lines = [_lines(one, index) for one in good]
    return Winners(
        tuple(one.match.id for one in good),
        tuple(whole_cell(one, text, side) for one, text in zip(good, lines, strict=True)),
        tuple(crop_cell(one, text, side) for one, text in zip(good, lines, strict=True)),
        _size(good),
        _faults(bad, len(sightings)) if bad else "",
    )


def small_cell(index: ActivationIndex, id: str, lines: tuple[str, ...], title: str, tone: str = "") -> Cell:
    """A thumbnail; a placeholder, whose title says why, where the image can't be opened."""
    try:
        return Cell(index.thumbnail_data(id), lines, title, tone=tone)
    except ImageError as error:
        return Cell(b"", ("can't be opened", *lines), f"{title}; {error}", tone=tone)


def _lines(one: Sighting, index: ActivationIndex) -> tuple[str, ...]:
    more = f"and {len(one.match.folded)} like it" if one.match.folded else ""
    name = index.images.labels[index.images.number(one.match.id)]
    return tuple(line for line in (f"{one.match.score:.4g}", name, more) if line)


def _size(sightings: list[Sighting]) -> str:
    windows = [one.window for one in sightings]
    known = [one for one in windows if one.status not in ("whole image", "unknown")]
    if not known:
        unknown = bool(windows) and windows[0].status == "unknown"
        return "sees an unknown part" if unknown else "sees the whole image"
    top, left, bottom, right = known[0].box
    cut = sum(one.status == "cut by the border" for one in known)
    hatched = f", hatched where {cut} of them look beyond the border" if cut else ""
    return f"sees {bottom - top} × {right - left} pixels of the input{hatched}"


def _faults(bad: list[Sighting], count: int) -> str:
    are = "is" if len(bad) == 1 else "are"
    return f"{len(bad)} of {count} images {are} not shown: {bad[0].match.id} {bad[0].fault}. Build the index anew."


def jpeg(picture: Image.Image) -> bytes:
    """A picture as a JPEG file; a very small one as PNG, since JPEG smears single pixels."""
    buffer = io.BytesIO()
    if max(picture.size) < 64:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=88, subsampling=0)  # halved colours bleed over enlarged pixels
    return buffer.getvalue()


def heat(map: npt.NDArray[np.float32], colormap: str = "magma") -> bytes:
    """A unit's map as a PNG to lay over the image: the stronger, the more opaque; transparent where it is weakest."""
    known = map[np.isfinite(map)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    finite = np.nan_to_num(map, nan=low, posinf=high, neginf=low)
    level = (finite - low) / (high - low) if high > low else np.zeros_like(finite)
    # bilinear, as the overlay of one image is: cells' edges stay on the edges of what they cover
    side = 112
    smooth = np.asarray(Image.fromarray(level.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
    smooth = smooth.clip(0, 1)
    colour = colormaps.table(colormap)[np.rint(smooth * 255).astype(np.uint8)]
    opaque = np.rint(255 * smooth**0.8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([colour, opaque])).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def whole_cell(sighting: Sighting, lines: tuple[str, ...], side: int) -> Cell:
    """The part that the network sees, with the activation over it and what the unit sees framed."""
    shown = sighting.whole(SHARP * side)
    seen = sighting.window
    height, width = sighting.framing.input if sighting.framing is not None else (1, 1)
    top, left, bottom, right = seen.seen
    box = (top / height, left / width, bottom / height, right / width)
    mark = None if seen.mark is None else (seen.mark[0] / height, seen.mark[1] / width)
    return Cell(
        jpeg(shown.picture),
        lines,
        _title(sighting),
        heat(sighting.map) if sighting.map is not None and sighting.map.size > 1 else b"",
        None if seen.status in ("whole image", "unknown") else box,
        mark,
    )


def crop_cell(sighting: Sighting, lines: tuple[str, ...], side: int) -> Cell:
    """What the unit sees, at one scale for all; hatched where it looks beyond the border."""
    seen = sighting.window
    if seen.status in ("whole image", "unknown"):
        return whole_cell(sighting, lines, side)
    return Cell(jpeg(sighting.crop(SHARP * side).picture), lines, _title(sighting))


def _title(sighting: Sighting) -> str:
    match, seen = sighting.match, sighting.window
    at = f" at {match.position}" if match.position else ""
    pixels = ""
    if sighting.box is not None and seen.status not in ("whole image", "unknown"):
        top, left, bottom, right = (round(end) for end in sighting.box)
        pixels = f", rows {top} to {bottom}, columns {left} to {right} of the photograph"
    return f"{match.id}: {match.score:.5g}{at}; sees {_SEEN[seen.status]}{pixels}"


_SEEN = {
    "exact": "this part alone",
    "cut by the border": "this part and padding beyond the border",
    "whole image": "the whole image",
    "unknown": "an unknown part",
}

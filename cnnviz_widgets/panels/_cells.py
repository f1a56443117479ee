"""``cell_of(sighting, ...) -> Cell``: images of a collection as the view of pictures wants them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.index.examining import Sighting
from cnnviz_widgets.views import Cell

SHARP = 2
"""Pixels of a picture per pixel of the page, for screens that have more."""


def jpeg(picture: Image.Image) -> bytes:
    """A picture as a JPEG file; a very small one as PNG, since JPEG smears single pixels."""
    buffer = io.BytesIO()
    if max(picture.size) < 64:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def heat(map: npt.NDArray[np.float32], colormap: str = "magma") -> bytes:
    """A unit's map as a PNG to lay over the image: the stronger, the more opaque; transparent where it is weakest."""
    finite = np.nan_to_num(map, nan=float(np.nanmin(map)) if np.isfinite(map).any() else 0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
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


def picture_of(data: bytes) -> Any:
    """The picture in a file's bytes."""
    return open_image(data)

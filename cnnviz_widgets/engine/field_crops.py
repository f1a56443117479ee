"""``window(fields, unit) -> Window``, ``cut(picture, ...) -> Crop``: the part of a photograph that a unit saw.

A window keeps the receptive field's full size and its centre, also where it reaches beyond the input's border: what lies there
is padding, and drawn as hatching, so that crops of different images have one scale. The crop is cut from the photograph itself,
at its own resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .framing import Framing, Span
from .layers import Unit
from .receptive_field import Box, Period, ReceptiveFields, Status

HATCH = (205, 150)
"""The two greys of what lies in the padding."""
_STRIPE = 6


@dataclass(frozen=True)
class Window:
    """What a unit looks at, in input pixels.

    Attributes
    ----------
    box
        (top, left, bottom, right) of the whole field, half open; parts of it may lie outside of the input.
    seen
        The part within the input.
    status
        That of the receptive field; for ``"cut by the border"`` the box is larger than ``seen`` where the full size is known.
    mark
        (y, x) of the unit's position in input pixels, where the status is ``"whole image"`` or ``"unknown"`` and it has one.
    """

    box: Box
    seen: Box
    status: Status
    mark: tuple[float, float] | None = None


def window(fields: ReceptiveFields, unit: Unit) -> Window:
    """The window of a unit at a position; without a position, that of the whole image.

    Where the border cuts a field, its ends are those of fields further in, moved by the layer's step over the input; so a field
    larger than the image has its full size, too.
    """
    field = fields[unit]
    index, (height, width) = unit.index, fields.input_size
    whole: Box = (0, 0, height, width)
    if field.status in ("whole image", "unknown") or index is None:
        mark = None
        if index is not None and len(index) == 2:
            down, across = unit.layer.positions
            mark = ((index[0] + 0.5) * height / down, (index[1] + 0.5) * width / across)
        return Window(whole, whole, field.status, mark)
    if field.status == "exact":
        return Window(field.box, field.box, field.status)
    full = _full(fields, unit)
    return Window(full or field.box, field.box, field.status)


def _full(fields: ReceptiveFields, unit: Unit) -> Box | None:
    """The box of a cut field as it would be without a border; None where some end of it is not known."""
    periods, ends, index = fields.period(unit.channel), fields.ends(unit.channel), unit.index
    if periods is None or ends is None or index is None:
        return None
    down, across = (_span(at, own, period) for at, own, period in zip(index, ends, periods, strict=True))
    return None if down is None or across is None else (down[0], across[0], down[1], across[1])


def _span(at: int, ends: Tensor, period: Period) -> tuple[int, int] | None:
    """First and last row or column of the field at ``at``, read off positions at its phase where the border does not cut them.

    A cut only ever makes a field smaller, so the widest of the fields, moved to ``at``, is the whole one; unless all are cut,
    when it ends where others do.
    """
    alike = torch.arange(at % period.positions, len(ends), period.positions)
    alike = alike[ends[alike, 1] > ends[alike, 0]]  # in padding alone there is nothing to see
    if not len(alike):
        return None
    moves = (at - alike) // period.positions * period.pixels
    first, last = ends[alike].unbind(1)
    begin, stop = int((first + moves).min()), int((last + moves).max())
    told = (first > ends[:, 0].min()) & (first + moves == begin), (last < ends[:, 1].max()) & (last + moves == stop)
    return (begin, stop) if all(bool(known.any()) for known in told) else None


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a photograph as a picture.

    Attributes
    ----------
    box
        (top, left, bottom, right) in the photograph's pixels; parts of it may be padding.
    padding
        The share of the picture that is padding.
    """

    picture: Image.Image
    box: Span
    padding: float


def cut(photograph: Image.Image, framing: Framing, box: Box, side: int) -> Crop:
    """The part of a photograph below a box of the input, with hatching for what lies outside of the input, or of the picture.

    Parameters
    ----------
    photograph
        The whole picture, whose `Framing` tells how the input lies in it.
    side
        Longer side of the crop in pixels.
    """
    top, left, bottom, right = box
    height, width = max(1, bottom - top), max(1, right - left)
    factor = side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    sheet = _hatched(size, photograph.mode)
    shown = framing.filled
    inside = max(top, shown[0]), max(left, shown[1]), min(bottom, shown[2]), min(right, shown[3])
    share = 0.0
    if inside[2] > inside[0] and inside[3] > inside[1]:
        corner = round((inside[0] - top) * factor), round((inside[1] - left) * factor)
        end = round((inside[2] - top) * factor), round((inside[3] - left) * factor)
        extent = max(1, end[0] - corner[0]), max(1, end[1] - corner[1])
        sheet.paste(_scaled(photograph, framing.to_picture(inside), extent), (corner[1], corner[0]))
        share = (inside[2] - inside[0]) * (inside[3] - inside[1]) / (height * width)
    return Crop(sheet, framing.to_picture(box), 1 - share)


def _scaled(photograph: Image.Image, span: Span, size: tuple[int, int]) -> Image.Image:
    top, left, bottom, right = span
    # rounding may lead a hair's breadth out of the picture, which Pillow refuses
    box = (max(0.0, left), max(0.0, top), min(photograph.width, right), min(photograph.height, bottom))
    enlarged = size[0] > 4 * (bottom - top) or size[1] > 4 * (right - left)
    return photograph.resize(size[::-1], Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS, box=box)


def _hatched(size: tuple[int, int], mode: str) -> Image.Image:
    rows, columns = np.ogrid[: size[0], : size[1]]
    stripes = np.where((rows + columns) // _STRIPE % 2, *HATCH).astype(np.uint8)
    return Image.fromarray(stripes).convert(mode)

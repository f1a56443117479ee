"""Where everything stands on a poster: bands of tiles side by side and one below the other, in the shape of a screen.

::

    bands (per band, per block: sizes of its tiles), aspect -> poster_layout(...) -> PosterLayout

A deep network has many layers of few tiles: one band per line would be a strip that no screen shows whole. Bands therefore
stand side by side, line by line in their order. The width of the sheet and the number of tiles a line are those with which
tiles are seen largest on a screen of the wanted shape. Lengths here are in the largest side of a tile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TILE_GAP = 0.05
BLOCK_GAP = 0.14
BAND_GAP = 0.35
SIDE_GAP = 0.5
HEADING = 0.5
LABEL = 0.34
_MOST_LINES = 4
_WIDTHS_TRIED = 24
# A layer's tiles are told together in one line: several are worth it only for pictures that are so much larger.
_PER_LINE = 1.15
# In the smallest size of a heading a letter is about 8 pixels wide, where a tile is about 32.
_LETTER = 0.27
_MOST_TITLE = 6.5

Size = tuple[float, float]


class Block(NamedTuple):
    """Tiles that stand close together, with one label below if `labelled`; sizes are width and height."""

    sizes: tuple[Size, ...]
    labelled: bool


class Box(NamedTuple):
    """Left, top, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class PosterLayout:
    """Boxes in a square world of side 1, y downwards; the sheet fills it along its longer side and stands in its middle.

    Parameters
    ----------
    tiles, blocks, bands
        float32 (n, 4): left, top, width and height. A block's box holds its label too, a band's its heading.
    heading, label
        Height of the strips that hold a band's heading, above its tiles, and a block's label, at its lower end.
    width, height
        Of the sheet.
    """

    tiles: np.ndarray
    blocks: np.ndarray
    bands: np.ndarray
    heading: float
    label: float
    width: float
    height: float


class _Flow(NamedTuple):
    """A band's blocks in lines of a given width: their corners, and the size of all."""

    corners: list[Size]
    width: float
    height: float


def poster_layout(bands: Sequence[Sequence[Block]], aspect: float, titles: Sequence[str] = ()) -> PosterLayout:
    """Stand bands on a sheet so that a screen of some shape shows it as large as possible.

    Parameters
    ----------
    bands : sequence of sequence of Block
        Sizes in any unit.
    aspect : float
        Width over height of the screen.
    titles : sequence of str
        None at all, or one per band: the room that it needs is kept free.

    Examples
    --------
    >>> from cnnviz_widgets.views._poster_layout import Block, poster_layout
    >>> layout = poster_layout([[Block(((1, 1),), False)] * 9] * 12, aspect=1.6)
    >>> layout.tiles.shape, round(layout.width / layout.height, 1)
    ((108, 4), 1.9)
    """
    largest = max((side for band in bands for block in band for size in block.sizes for side in size), default=1.0)
    blocks = [[_relative(block, 1 / largest) for block in band] for band in bands]
    rooms = [min(_MOST_TITLE, _LETTER * len(title)) for title in titles] or [1.0] * len(bands)
    flows = [_flow(band, math.inf) for band in blocks]
    wide = [max(flow.width, room) + SIDE_GAP for flow, room in zip(flows, rooms, strict=True)]
    area = sum(width * (flow.height + HEADING + BAND_GAP) for width, flow in zip(wide, flows, strict=True))
    found = []
    for lines in range(1, _MOST_LINES + 1):
        broken = [_flow(band, max(1.0, flow.width / lines)) for band, flow in zip(blocks, flows, strict=True)]
        for step in range(_WIDTHS_TRIED):
            width = math.sqrt(area * aspect) * 0.6 * 1.05**step
            placed = _placed(blocks, broken, rooms, width)
            found.append((max(placed.width, aspect * placed.height) * _PER_LINE**lines, placed))
    return _in_world(blocks, min(found, key=lambda pair: pair[0])[1])


class _Placed(NamedTuple):
    flows: list[_Flow]
    corners: list[Size]
    width: float
    height: float


def _relative(block: Block, scale: float) -> Block:
    return Block(tuple((width * scale, height * scale) for width, height in block.sizes), block.labelled)


def _grid(block: Block) -> tuple[int, Size]:
    """Tiles a line, and the size of the largest."""
    return math.ceil(math.sqrt(len(block.sizes))), (max(w for w, _ in block.sizes), max(h for _, h in block.sizes))


def _extent(block: Block) -> Size:
    columns, (width, height) = _grid(block)
    lines = -(-len(block.sizes) // columns)
    label = LABEL if block.labelled else 0.0
    return columns * (width + TILE_GAP) - TILE_GAP, lines * (height + TILE_GAP) - TILE_GAP + label


def _flow(band: Sequence[Block], width: float) -> _Flow:
    """Blocks side by side, the next line where the width ends."""
    corners: list[Size] = []
    x = y = line = most = 0.0
    for block in band:
        wide, high = _extent(block)
        if x > 0 and x + wide > width + 1e-9:
            x, y, line = 0.0, y + line + BLOCK_GAP, 0.0
        corners.append((x, y))
        x, line, most = x + wide + BLOCK_GAP, max(line, high), max(most, x + wide)
    return _Flow(corners, most, y + line)


def _placed(bands: Sequence[Sequence[Block]], flows: Sequence[_Flow], rooms: Sequence[float], width: float) -> _Placed:
    """Bands side by side, the next line where the width ends; one that is wider alone is broken into lines itself."""
    placed, corners = [], []
    x = y = line = most = 0.0
    for band, flow, room in zip(bands, flows, rooms, strict=True):
        if flow.width > width:
            flow = _flow(band, width)
        wide = max(flow.width, room)
        if x > 0 and x + wide > width:
            x, y, line = 0.0, y + line + BAND_GAP, 0.0
        corners.append((x, y))
        placed.append(flow)
        x, line, most = x + wide + SIDE_GAP, max(line, HEADING + flow.height), max(most, x + wide)
    return _Placed(placed, corners, max(most, 1.0), max(y + line, HEADING))


def _in_world(bands: Sequence[Sequence[Block]], placed: _Placed) -> PosterLayout:
    tiles, blocks, sheets = [], [], []
    for band, flow, (left, top) in zip(bands, placed.flows, placed.corners, strict=True):
        sheets.append(Box(left, top, max(flow.width, 1.0), HEADING + flow.height))
        for block, (x, y) in zip(band, flow.corners, strict=True):
            corner = (left + x, top + HEADING + y)
            blocks.append(Box(*corner, *_extent(block)))
            tiles += _tiles(block, *corner)
    scale = 1 / max(placed.width, placed.height)
    offset = [0.5 - placed.width * scale / 2, 0.5 - placed.height * scale / 2, 0, 0]

    def world(boxes: Sequence[Box]) -> np.ndarray:
        return (np.asarray(boxes, np.float64).reshape(-1, 4) * scale + offset).astype("<f4")

    strips = (HEADING * scale, LABEL * scale)
    return PosterLayout(
        world(tiles), world(blocks), world(sheets), *strips, placed.width * scale, placed.height * scale
    )


def _tiles(block: Block, left: float, top: float) -> list[Box]:
    """Each tile in the middle of its place in the block."""
    columns, (wide, high) = _grid(block)
    boxes = []
    for k, (width, height) in enumerate(block.sizes):
        line, column = divmod(k, columns)
        x, y = left + column * (wide + TILE_GAP), top + line * (high + TILE_GAP)
        boxes.append(Box(x + (wide - width) / 2, y + (high - height) / 2, width, height))
    return boxes

"""``poster(map, picture) -> Image``: a map of images, or a grid, large enough to be printed and hung on a wall.

::

    Map or (n, 2) -> squares as in the overview of a map in a panel; where images lie close they overlap
    Grid          -> a tile per cell, without a gap; its seams as lines where neighbours are unlike

`printing` yields the picture while it fills, `poster` gives the finished one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.progress import Clock, Progress

from .legend import NO_LABEL, Color, Legend, color_of, counted, palette
from .map import Map
from .plates import Plates, grid_of, of_grid, of_points, tears
from .snapping import Grid

SMALLEST_SIDE, LARGEST_SIDE = 64, 30_000
_MISSING = (128, 128, 128)
_AT_ONCE = 64
"""Images between two states of a poster that fills."""
_FRAMED_FROM, _FRAME = 20, 32
"""From how many pixels on an image has a frame in its colour, and how many times narrower that is."""
_SEAM, _HALO = 0.06, 0.12
"""Widths of the strongest seam and of the ground around it, in cells."""


def poster(points: Any, picture: Callable[[int], Any], **options: Any) -> Image.Image:
    """The finished picture. Takes what `printing` takes.

    Examples
    --------
    >>> tiles = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue", "white")]
    >>> poster([[0, 0], [1, 0], [0, 1], [1, 1]], tiles.__getitem__, side=400).size
    (400, 400)
    >>> poster([[0, 0], [0.2, 1]], tiles.__getitem__, side=400, title="Two of them").size
    (145, 426)
    """
    *_, last = printing(points, picture, **options)
    return last.result


def printing(
    points: Any,
    picture: Callable[[int], Any],
    *,
    side: int = 8000,
    thumb: int = 0,
    margin: int | None = None,
    background: Any = "white",
    labels: Sequence[str | None] = (),
    colors: Mapping[str, Any] | npt.NDArray[Any] | None = None,
    seams: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
    title: str = "",
    legend: bool = True,
    font: str | None = None,
) -> Iterator[Progress[Image.Image]]:
    """A poster while it fills: progress after every few images, with one and the same picture. To stop, ask no more.

    Parameters
    ----------
    points
        A `Map`, a `Grid`, or (n, 2) with y downwards, as `Map.points`. Images whose position is not finite are left out. Points
        that fill the cells of a grid, as `Grid.points` do, are drawn as one.
    picture
        From the row of a point to its image: a Pillow image, the bytes of a file, a path, or an array. Its middle square is
        shown; what can't be read becomes grey.
    side
        Pixels of the longer side, margin included; title and legend come on top of it. 8000 are 68 cm at 300 dots an inch, and
        take 200 MB.
    thumb
        Pixels of an image's side; 0: as their number suggests. Smaller images are enlarged: thumbnails of 128 pixels do for
        some thousands, a few hundred should come in their own size.
    margin
        Pixels around the map; None: a fortieth of the side.
    background
        A colour's name, ``"#rrggbb"``, or red, green and blue.
    labels
        None at all, or one per row: their colours frame the images, and the legend tells their names and numbers.
    colors
        Label to colour; or (n, 3) from 0 to 255, a frame's colour per row, such as those of values: then there is no legend.
    seams
        What `Grid.seams` gives: lines between neighbours that are further apart than half of all are, the stronger the further.
    title
        A line above the map.
    legend
        False leaves it out.
    font
        Path of a font file for title and legend, where Pillow's own lacks a script.

    Raises
    ------
    ValueError
        A shape, a number or a colour that does not fit.
    OSError
        The font can't be read.
    """
    grid, plates = _placed(points, side, thumb, margin)
    frames = _frames(labels, colors, len(points))
    lines = _lines(seams, grid, plates)
    paper = color_of(background)
    named = _named(labels, colors, plates) if legend else []
    around = round(side / 40) if margin is None else margin
    texts = Legend.of(title, named, (plates.width, plates.height), around, font)
    canvas = Image.new("RGB", (plates.width, texts.above + plates.height + texts.below), paper)
    texts.draw(canvas, _ink_on(paper))
    clock = Clock(0, len(plates.rows))
    for done, (row, box) in enumerate(zip(plates.rows.tolist(), plates.boxes.tolist(), strict=True)):
        if done % _AT_ONCE == 0:
            yield clock.at(done, canvas)
        left, top, right, bottom = box
        tile = _tile(picture, row, (right - left, bottom - top), None if frames is None else frames[row])
        canvas.paste(tile, (left, top + texts.above))
    _draw_seams(canvas, lines, plates, texts.above, paper)
    yield clock.at(len(plates.rows), canvas)


def _placed(points: Any, side: int, thumb: int, margin: int | None) -> tuple[Grid | None, Plates]:
    """The grid, where it is one, and where each image goes."""
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise ValueError(f"side={side}; expected {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels")
    around = round(side / 40) if margin is None else margin
    if not 0 <= around <= side // 4:
        raise ValueError(f"margin={margin}; expected pixels from 0 to a quarter of the side, {side // 4}")
    if not 0 <= thumb <= side // 2:
        raise ValueError(f"thumb={thumb}; expected pixels up to half of the side, {side // 2}, or 0 for what suits")
    if not isinstance(points, Grid):
        given = np.asarray(points.points if isinstance(points, Map) else points, np.float64)
        given = given.reshape(0, 2) if given.shape == (0,) else given
        if given.ndim != 2 or given.shape[1] != 2:
            raise ValueError(f"points of the shape {given.shape}; expected a Map, a Grid or (n, 2), as Map.points")
        found = None if thumb else grid_of(given)
        if found is None:
            return None, of_points(given, side, thumb, around)
        points = found
    if thumb:
        raise ValueError(f"thumb={thumb} for a grid, whose tiles fill the cells; leave it out and choose the side")
    return points, of_grid(points, side, around)


def _frames(labels: Sequence[str | None], colors: Any, count: int) -> list[Color] | None:
    """The colour around each image; None where they have none."""
    if len(labels) not in (0, count):
        raise ValueError(f"{len(labels)} labels for {count} points; pass one per point or none")
    if colors is not None and not isinstance(colors, Mapping):
        if np.shape(colors) != (count, 3):
            raise ValueError(f"colors of the shape {np.shape(colors)}; expected ({count}, 3), or label to colour")
        return [color_of(color) for color in np.asarray(colors).tolist()]
    known = palette(labels, colors)
    return [known.get(str(label), NO_LABEL) if label is not None else NO_LABEL for label in labels] or None


def _named(labels: Sequence[str | None], colors: Any, plates: Plates) -> list[tuple[str, Color, int]]:
    """Label, colour and number of the images that have a place."""
    if not len(labels) or not (colors is None or isinstance(colors, Mapping)):
        return []
    known = palette(labels, colors)
    return [(label, known[label], number) for label, number in counted([labels[row] for row in plates.rows]).items()]


def _lines(seams: Any, grid: Grid | None, plates: Plates) -> list[tuple[float, tuple[int, int, int, int]]]:
    if seams is None:
        return []
    if grid is None:
        raise ValueError("seams without a grid; pass the Grid that they are of as points")
    return tears(seams, grid, plates)


def _ink_on(paper: Color) -> Color:
    """What can be read on a ground."""
    light = 0.299 * paper[0] + 0.587 * paper[1] + 0.114 * paper[2] > 140
    return (28, 28, 28) if light else (242, 242, 242)


def _tile(picture: Callable[[int], Any], row: int, size: tuple[int, int], frame: Color | None) -> Image.Image:
    """The middle of an image, cut to a size, with a frame where there is room for one."""
    width, height = size
    edge = 0 if frame is None or min(size) < _FRAMED_FROM else max(1, round(min(size) / _FRAME))
    inner = (max(1, width - 2 * edge), max(1, height - 2 * edge))
    try:
        # Twice as large as needed where a JPEG can be decoded smaller, for the scaling to have something to smooth.
        whole = open_image(picture(row), short=max(inner)).convert("RGB")
        ratio = min(whole.width / inner[0], whole.height / inner[1])
        left, top = max(0.0, (whole.width - ratio * inner[0]) / 2), max(0.0, (whole.height - ratio * inner[1]) / 2)
        # by rounding the box could end beyond the picture, which Pillow refuses
        right, bottom = min(left + ratio * inner[0], whole.width), min(top + ratio * inner[1], whole.height)
        box = (left, top, right, bottom)
        cut = whole.resize(inner, Image.Resampling.LANCZOS, box=box, reducing_gap=3)
    except (OSError, ValueError):  # one bad file is not to cost the poster
        cut = Image.new("RGB", inner, _MISSING)
    if not edge:
        return cut
    tile = Image.new("RGB", size, frame)
    tile.paste(cut, (edge, edge))
    return tile


def _draw_seams(
    canvas: Image.Image,
    lines: list[tuple[float, tuple[int, int, int, int]]],
    plates: Plates,
    above: int,
    paper: Color,
) -> None:
    """Cracks through which the ground is seen, with a dark or light line in their middle; the strongest come last."""
    brush = ImageDraw.Draw(canvas)
    cell = float(np.diff(plates.columns).mean()) if len(plates.columns) > 1 else 0.0
    for color, share in ((paper, _HALO), (_ink_on(paper), _SEAM)):
        for strength, (x0, y0, x1, y1) in lines:
            half = strength * share * cell / 2
            if half >= 0.5:
                brush.rectangle((x0 - half, y0 + above - half, x1 + half, y1 + above + half), fill=color)

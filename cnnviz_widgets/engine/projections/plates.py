"""Which pixels of a poster each image of a map gets.

::

    of_points(points, ...) -> Plates        of_grid(grid, ...) -> Plates        tears(seams, grid, plates) -> lines
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .snapping import Grid

Pixels = npt.NDArray[np.int64]
OVERLAP = 1.4
"""Side of an image in the mean distance of neighbours; the map in a panel has the same in its overview."""
LARGEST_SHARE = 0.16
"""Of the poster's side that an image takes at most, however few there are."""
NARROWEST = 0.25
"""Of the longer side that the shorter one has at least, also for points on a line."""
SMALLEST = 6
_SHUFFLE = 2654435761
_USUAL, _STRANGE = 50, 98
"""Percentiles of distances: up to the first there is no seam, from the second on it is the strongest."""


@dataclass(frozen=True, eq=False)
class Plates:
    """Places of images on a picture.

    Attributes
    ----------
    width, height
        Of the picture, in pixels.
    rows
        (m,): the images that have a place, in the order they are drawn in.
    boxes
        (m, 4): left, top, right and bottom of each, in that order.
    columns, lines
        Where the edges of a grid's columns and rows are, one more than there are of them; empty for a map.
    """

    width: int
    height: int
    rows: Pixels
    boxes: Pixels
    columns: Pixels
    lines: Pixels


def of_points(points: npt.NDArray[np.float64], side: int, thumb: int, margin: int) -> Plates:
    """Equally large squares around points; without a given size as large as their number lets them.

    They are drawn in an order that has nothing to do with their rows, or the images of the last label would lie on all others.
    """
    rows = np.flatnonzero(np.isfinite(points).all(1))
    rows = rows[np.argsort((rows + 1) * _SHUFFLE % 2**32)]
    known = points[rows]
    low, high = (known.min(0), known.max(0)) if len(rows) else (np.zeros(2), np.zeros(2))
    extent = float((high - low).max()) or 1.0
    share = (high - low) / extent
    inner = side - 2 * margin
    spacing = float(np.sqrt(np.maximum(share, NARROWEST).prod() / max(1, len(rows)))) * inner
    size = thumb or max(SMALLEST, round(min(OVERLAP * spacing, LARGEST_SHARE * inner)))
    size = min(size, inner)
    width, height = (round(max(part * (inner - size) + size, NARROWEST * inner)) + 2 * margin for part in share)
    middles = (known - (low + high) / 2) / extent * (inner - size) + np.array([width, height]) / 2
    corners = np.round(middles - size / 2).astype(np.int64)
    none = np.zeros(0, np.int64)
    return Plates(width, height, rows, np.hstack([corners, corners + size]), none, none)


def of_grid(grid: Grid, side: int, margin: int) -> Plates:
    """A tile per cell; widths differ by a pixel where the side is not a multiple of the cells, so that no gap is left."""
    inner, longer = side - 2 * margin, max(grid.columns, grid.rows, 1)
    columns = margin + np.round(np.arange(grid.columns + 1) * (inner / longer)).astype(np.int64)
    lines = margin + np.round(np.arange(grid.rows + 1) * (inner / longer)).astype(np.int64)
    x, y = grid.cells[:, 0], grid.cells[:, 1]
    boxes = np.stack([columns[x], lines[y], columns[x + 1], lines[y + 1]], 1)
    rows = np.arange(len(grid.cells))
    return Plates(int(columns[-1]) + margin, int(lines[-1]) + margin, rows, boxes, columns, lines)


def grid_of(points: npt.NDArray[np.float64]) -> Grid | None:
    """The grid whose cells points fill one by one, all but some of the last row, as `Grid.points` do; None for others."""
    if len(points) < 4 or not np.isfinite(points).all():
        return None
    cells = np.empty(points.shape, np.int64)
    for axis in (0, 1):
        places = points[:, axis]
        known = np.unique(np.round(places - places.min(), 5))
        step = float(np.diff(known).min()) if len(known) > 1 else 1.0
        cells[:, axis] = np.round((places - places.min()) / step)
        if np.abs((places - places.min()) / step - cells[:, axis]).max() > 0.1:
            return None
    columns, rows = (int(most) + 1 for most in cells.max(0))
    full = len(points) == columns if rows == 1 else columns * (rows - 1) < len(points) <= columns * rows
    if not full or len(np.unique(cells, axis=0)) < len(cells):
        return None
    return Grid(columns, rows, cells, points)


def tears(
    seams: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], grid: Grid, plates: Plates
) -> list[tuple[float, tuple[int, int, int, int]]]:
    """Lines between the cells of neighbours that are further apart than half of them all, the weakest first.

    Returns
    -------
    list
        Strength, above 0 to 1, and the line's ends: x, y, x, y.

    Raises
    ------
    ValueError
        The distances are not those of this grid.
    """
    across, down = (np.asarray(part, np.float64) for part in seams)
    wanted = (grid.rows, max(0, grid.columns - 1)), (max(0, grid.rows - 1), grid.columns)
    if (across.shape, down.shape) != wanted:
        raise ValueError(f"seams of the shapes {across.shape} and {down.shape}; expected {wanted[0]} and {wanted[1]}")
    known = np.concatenate([across.ravel(), down.ravel()])
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    usual, strange = np.percentile(known, [_USUAL, _STRANGE])
    found = []
    for part, right in ((across, True), (down, False)):
        strengths = np.nan_to_num(np.clip((part - usual) / max(strange - usual, 1e-12), 0, 1))
        for row, column in np.argwhere(strengths > 0).tolist():
            x, y = plates.columns[column + int(right)], plates.lines[row + int(not right)]
            end = (x, plates.lines[row + 1]) if right else (plates.columns[column + 1], y)
            found.append((float(strengths[row, column]), (int(x), int(y), int(end[0]), int(end[1]))))
    return sorted(found)

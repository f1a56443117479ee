"""``grid(points) -> Grid``: every image in a cell of its own, as near to its point as all of them together allow.

Which point goes to which cell is an assignment problem: the sum of squared distances is to be the smallest. Few points are
assigned exactly. Many are halved again and again, along the longer side of their block of cells, until blocks are small; then
windows of cells that overlap are assigned exactly, one after the other, which never makes the sum larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from .preparing import checked

Cells = npt.NDArray[np.int64]
EXACT = 900
"""Up to so many cells are assigned exactly."""
_WINDOW = 12
"""Cells along each side of a window; larger ones find little more, and take much longer."""
_ROUNDS = 12
_WORTH = 0.005
"""By what share four rounds must lower the sum, for another four."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Points in the cells of a grid, one in each; made by `grid`.

    Attributes
    ----------
    columns, rows
        There may be a few more cells than points.
    cells
        (n, 2) int: column and row of each point's cell, from the corner at (0, 0) of the unit square.
    origins
        (n, 2): the points as they were given.
    """

    columns: int
    rows: int
    cells: Cells
    origins: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def points(self) -> npt.NDArray[np.float32]:
        """(n, 2): the centres of the cells, in the unit square."""
        return ((self.cells + 0.5) / (self.columns, self.rows)).astype(np.float32)

    @property
    def displacement(self) -> npt.NDArray[np.float64]:
        """(n,): how far each point was moved."""
        return np.asarray(np.sqrt(np.square(self._moved()).sum(1)))

    @property
    def cost(self) -> float:
        """The sum of the squared displacements, which `grid` makes small."""
        return float(np.square(self._moved()).sum())

    def _moved(self) -> npt.NDArray[np.float64]:
        return np.asarray((self.cells + 0.5) / (self.columns, self.rows) - self.origins)

    @property
    def filled(self) -> Cells:
        """(rows, columns): which point is in a cell, -1 in an empty one."""
        found = np.full((self.rows, self.columns), -1)
        found[self.cells[:, 1], self.cells[:, 0]] = np.arange(len(self.cells))
        return found

    def seams(self, features: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How far neighbours on the grid really are from each other; large where the map was torn.

        Parameters
        ----------
        features
            (n, C).

        Returns
        -------
        tuple
            (rows, columns - 1) between a cell and the one right of it, (rows - 1, columns) between a cell and the one below:
            Euclidean distances, NaN beside empty cells.
        """
        known = checked(features)
        if len(known) != len(self.cells):
            raise ValueError(f"features of {len(known)} images; the grid has {len(self.cells)}")
        filled = self.filled
        return _apart(known, filled[:, :-1], filled[:, 1:]), _apart(known, filled[:-1], filled[1:])


def _apart(features: npt.NDArray[np.float32], first: Cells, second: Cells) -> npt.NDArray[np.float64]:
    found = np.full(first.shape, np.nan)
    for at in np.ndindex(len(first)):
        both = (first[at] >= 0) & (second[at] >= 0)
        pairs = features[first[at][both]].astype(np.float64) - features[second[at][both]]
        found[at][both] = np.sqrt(np.square(pairs).sum(1))
    return found


def grid(points: Any, columns: int = 0) -> Grid:
    """Assign points to the cells of a full grid, one to one.

    The same points give the same grid.

    Parameters
    ----------
    points
        (n, 2) in the unit square, as `Map.points` are.
    columns
        Of the grid; 0: as many as rows, or one more.

    Raises
    ------
    ValueError
        Another shape, or points outside of the unit square.

    Examples
    --------
    >>> found = grid([[0.1, 0.2], [0.4, 0.2], [0.2, 0.9], [0.3, 0.6]])
    >>> found.cells.tolist(), found.columns, found.rows
    ([[0, 0], [1, 0], [0, 1], [1, 1]], 2, 2)
    """
    given = np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 2:
        raise ValueError(f"points of the shape {given.shape}; expected (n, 2), as Map.points")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("points outside of the unit square, or not finite; expected them as Map.points")
    if columns < 0:
        raise ValueError(f"columns={columns}; expected a number from 1, or 0 for a square")
    across = columns or math.ceil(math.sqrt(len(given)))
    down = math.ceil(len(given) / across) if across else 0
    if across * down <= EXACT:
        cells = _assigned(given, _cells(0, across, 0, down), (across, down))
    else:
        cells = np.empty((len(given), 2), np.int64)
        for members, block in _halved(given, np.arange(len(given)), (0, across, 0, down)):
            cells[members] = _assigned(given[members], _cells(*block), (across, down))
        _improve(given, cells, (across, down))
    return Grid(across, down, cells, given)


def _cells(left: int, right: int, top: int, bottom: int) -> Cells:
    """(columns * rows, 2): the cells of a block, row after row."""
    rows, columns = np.mgrid[top:bottom, left:right]
    return np.stack([columns.ravel(), rows.ravel()], 1)


def _assigned(points: npt.NDArray[np.float64], cells: Cells, sides: tuple[int, int]) -> Cells:
    """(n, 2): for each point a cell of its own, such that the sum of squared distances is the smallest."""
    apart = points[:, None] - (cells + 0.5) / sides
    rows, chosen = linear_sum_assignment(np.square(apart).sum(2))
    return cells[chosen[np.argsort(rows)]]


def _halved(
    points: npt.NDArray[np.float64], members: Cells, block: tuple[int, int, int, int]
) -> Iterator[tuple[Cells, tuple[int, int, int, int]]]:
    """Blocks of few cells with the points that belong there: the left half of a block gets the points furthest left."""
    left, right, top, bottom = block
    width, height = right - left, bottom - top
    if width * height <= _WINDOW**2:
        yield members, block
        return
    axis = 0 if width >= height else 1
    first = (width if axis == 0 else height) // 2
    share = first / (width if axis == 0 else height)
    room = (width if axis else height) * first, width * height - (width if axis else height) * first
    count = min(max(round(len(members) * share), len(members) - room[1]), room[0])
    order = members[np.lexsort((members, points[members, 1 - axis], points[members, axis]))]
    halves = ((left, left + first, top, bottom), (left + first, right, top, bottom))
    if axis == 1:
        halves = ((left, right, top, top + first), (left, right, top + first, bottom))
    yield from _halved(points, np.sort(order[:count]), halves[0])
    yield from _halved(points, np.sort(order[count:]), halves[1])


def _improve(points: npt.NDArray[np.float64], cells: Cells, sides: tuple[int, int]) -> None:
    """Assign windows anew, in place, each round's windows half a window beside those of the one before."""
    across, down = sides
    sums = [np.inf]
    for round_ in range(_ROUNDS):
        start = (-(_WINDOW // 2) * (round_ % 2), -(_WINDOW // 2) * (round_ // 2 % 2))
        for left in range(start[0], across, _WINDOW):
            for top in range(start[1], down, _WINDOW):
                block = (max(left, 0), min(left + _WINDOW, across), max(top, 0), min(top + _WINDOW, down))
                inside = (cells >= (block[0], block[2])) & (cells < (block[1], block[3]))
                members = np.flatnonzero(inside.all(1))
                if len(members):
                    cells[members] = _assigned(points[members], _cells(*block), sides)
        sums.append(float(np.square((cells + 0.5) / sides - points).sum()))
        if round_ % 4 == 3 and sums[-5] - sums[-1] <= _WORTH * sums[-1]:
            return

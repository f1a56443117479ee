"""Points in the cells of a grid: one to one, near their points, the same every time."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz_widgets.engine.projections import PCA, Grid, grid, snapping

Points = npt.NDArray[np.float64]


def cloud(n: int, seed: int = 0) -> Points:
    """Points in clumps of different sizes."""
    random = np.random.default_rng(seed)
    centres, widths = random.random((12, 2)), random.uniform(0.01, 0.08, 12)
    chosen = random.integers(0, 12, n)
    return np.clip(centres[chosen] + widths[chosen, None] * random.normal(size=(n, 2)), 0, 1)


def check(found: Grid, n: int) -> None:
    assert found.cells.shape == (n, 2)
    assert found.cells.dtype.kind == "i"
    assert len({tuple(cell) for cell in found.cells.tolist()}) == n
    assert (found.cells >= 0).all()
    assert (found.cells < (found.columns, found.rows)).all()
    assert n <= found.columns * found.rows < n + max(found.columns, 1)
    assert ((found.points > 0) & (found.points < 1)).all()


@given(st.integers(0, 200), st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_point_has_a_cell_of_its_own(n: int, seed: int, alike: bool) -> None:
    points = np.full((n, 2), 0.25) if alike else cloud(n, seed)
    found = grid(points)
    check(found, n)
    assert found.columns - found.rows in (0, 1)


@pytest.mark.parametrize("n", [901, 1000, 2003, pytest.param(6400, marks=pytest.mark.long)])
def test_many_points_have_cells_of_their_own(n: int) -> None:
    check(grid(cloud(n)), n)
    if n == 1000:
        check(grid(np.full((n, 2), 0.5)), n)
        check(grid(cloud(n), columns=7), n)
        check(grid(cloud(n), columns=1000), n)


@pytest.mark.parametrize("n", range(1, 7))
def test_a_small_grid_is_the_best_one(n: int) -> None:
    for seed in range(4):
        points = np.random.default_rng(seed).random((n, 2))
        found = grid(points)
        every = [(column, row) for row in range(found.rows) for column in range(found.columns)]
        centres = (np.array(every) + 0.5) / (found.columns, found.rows)
        least = min(np.square(centres[list(order)] - points).sum() for order in permutations(range(len(every)), n))
        assert found.cost == pytest.approx(least)
        assert np.square(found.displacement).sum() == pytest.approx(found.cost)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_large_grid_is_nearly_the_best_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = cloud(1600, seed)
    found = grid(points)
    monkeypatch.setattr(snapping, "EXACT", 1600)
    assert found.cost <= 1.05 * grid(points).cost


def test_the_grid_repeats() -> None:
    points = cloud(1500)
    assert np.array_equal(grid(points).cells, grid(points.copy()).cells)


@pytest.mark.parametrize("sides", [(7, 7), (8, 7), (40, 40), (41, 40)])
def test_points_that_lie_on_a_grid_stay(sides: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: sides[1], : sides[0]]
    cells = np.stack([columns.ravel(), rows.ravel()], 1)
    cells = np.random.default_rng(0).permutation(cells)
    found = grid((cells + 0.5) / sides)
    assert np.array_equal(found.cells, cells)
    assert found.cost == pytest.approx(0, abs=1e-12)
    assert np.array_equal(grid(found.points).cells, cells)
    # a little narrower, they keep their order
    assert np.array_equal(grid(0.25 + found.points / 2).cells, cells)


def test_order_is_kept_along_a_line() -> None:
    across = np.sort(np.random.default_rng(0).random(9))
    found = grid(np.stack([across, np.full(9, 0.5)], 1), columns=9)
    assert found.cells[:, 0].tolist() == list(range(9))
    assert found.rows == 1


def test_seams_are_the_true_distances_of_neighbours() -> None:
    features = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    found = grid([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    right, below = found.seams(features)
    assert found.filled.tolist() == [[0, 1], [2, -1]]
    assert right[0, 0] == 5
    assert np.isnan(right[1, 0])
    assert below[0, 0] == 10
    assert np.isnan(below[0, 1])
    with pytest.raises(ValueError, match="features of 2 images; the grid has 3"):
        found.seams(features[:2])


def test_a_map_goes_onto_the_grid() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6))
    found = grid(PCA().fit(features).points)
    check(found, 50)
    right, below = found.seams(features)
    assert right.shape == (7, 7)
    assert below.shape == (6, 8)


def test_points_that_are_none_are_told() -> None:
    for points in (np.zeros(4), np.zeros((4, 3))):
        with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
            grid(points)
    for points in ([[0.5, 1.2]], [[-0.1, 0.5]], [[np.nan, 0.5]]):
        with pytest.raises(ValueError, match="outside of the unit square"):
            grid(points)
    with pytest.raises(ValueError, match="columns=-1"):
        grid(np.zeros((4, 2)), columns=-1)
    empty = grid(np.zeros((0, 2)))
    assert len(empty) == 0
    assert empty.points.shape == (0, 2)
    assert empty.cost == 0

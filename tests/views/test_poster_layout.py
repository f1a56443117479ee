"""Where everything stands on a poster: nothing overlaps, the order is kept, the sheet has about the wanted shape."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz_widgets.views._poster_layout import Block, PosterLayout, poster_layout


def single(side: float = 1.0, count: int = 9, *, labelled: bool = False) -> list[Block]:
    return [Block(((side, side),), labelled)] * count


def deep(layers: int = 40) -> list[list[Block]]:
    """A top band of 9 blocks of 4, and tiles that grow with the depth, the deepest first."""
    grown = np.geomspace(224, 60, layers - 1)
    return [[Block(((224, 224),) * 4, True)] * 9, *(single(float(side)) for side in grown)]


def overlaps(boxes: np.ndarray) -> int:
    """Pairs of boxes with an area in common."""
    x0, y0, w, h = boxes.astype(float).T
    x1, y1, slack = x0 + w, y0 + h, 1e-6
    across = (x0[:, None] < x1 - slack) & (x0 < x1[:, None] - slack)
    down = (y0[:, None] < y1 - slack) & (y0 < y1[:, None] - slack)
    return int(np.triu(across & down, 1).sum())


def inside(outer: np.ndarray, inner: np.ndarray) -> bool:
    low, high = inner[:, :2], inner[:, :2] + inner[:, 2:]
    return bool((low >= outer[:2] - 1e-6).all() and (high <= outer[:2] + outer[2:] + 1e-6).all())


def counts(bands: list[list[Block]]) -> list[int]:
    return [sum(len(block.sizes) for block in band) for band in bands]


@pytest.mark.parametrize("bands", [deep(), deep(3), [single(count=300)] * 4, [single(2, 1), single(1, 70)]], ids=len)
def test_tiles_and_bands_do_not_overlap_and_lie_inside(bands: list[list[Block]]) -> None:
    layout = poster_layout(bands, 1.8)
    assert overlaps(layout.tiles) == overlaps(layout.blocks) == overlaps(layout.bands) == 0
    ends = np.cumsum([0, *counts(bands)])
    for band, first, end in zip(layout.bands, ends, ends[1:], strict=False):
        below = band + np.float32([0, layout.heading, 0, -layout.heading])
        assert inside(below, layout.tiles[first:end])
    assert inside(np.float32([0, 0, 1, 1]), layout.bands)


def test_bands_stand_in_their_order_line_by_line() -> None:
    x, y = poster_layout(deep(), 1.8).bands.T[:2].astype(float)
    steps = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in zip(x, y, x[1:], y[1:], strict=False)]
    assert all(down > 1e-6 or (abs(down) < 1e-6 and right > 0) for down, right in steps)


@pytest.mark.parametrize("aspect", [0.7, 1.0, 1.8, 3.0])
def test_the_sheet_has_about_the_shape_of_the_screen(aspect: float) -> None:
    layout = poster_layout(deep(), aspect)
    assert layout.width / layout.height == pytest.approx(aspect, rel=0.35)


def test_tiles_of_one_unit_make_a_square_and_others_stand_apart() -> None:
    layout = poster_layout([[Block(((1, 1),) * 4, True)] * 2], 1.8)
    corners = layout.tiles[:, :2].astype(float)
    assert corners[0][1] == corners[1][1] < corners[2][1] == corners[3][1]
    assert corners[0][0] == corners[2][0] < corners[1][0] == corners[3][0]
    side = float(layout.tiles[0, 2])
    within = corners[1][0] - corners[0][0] - side
    assert corners[4][0] - corners[1][0] - side > 2 * within > 0


def test_sizes_keep_their_proportions_also_where_they_are_no_squares() -> None:
    layout = poster_layout([[Block(((40, 20),), False), Block(((10, 30),), False)]], 1.8)
    (_, _, w0, h0), (_, _, w1, h1) = layout.tiles.astype(float)
    assert [h0 / w0, w1 / w0, h1 / w0] == pytest.approx([0.5, 0.25, 0.75], rel=1e-4)


def test_labels_have_a_strip_of_their_own() -> None:
    layout = poster_layout([single(count=3, labelled=True)], 1.8)
    free = layout.blocks[:, 3] - layout.tiles[:, 3]
    assert free == pytest.approx(np.full(3, layout.label), abs=1e-6)


def test_a_long_title_keeps_its_room() -> None:
    bands = [single(0.2, 2), single(0.2, 2), single(1, 1)]
    x, y, *_ = poster_layout(bands, 8.0, ["features.denseblock1", "conv", "fc"]).bands.T.astype(float)
    side = float(poster_layout(bands, 8.0, ["features.denseblock1", "conv", "fc"]).tiles[-1, 2])
    assert y[0] == y[1]
    assert x[1] - x[0] > 5 * side > x[2] - x[1]


@pytest.mark.parametrize("bands", [[], [[]], [[], single(1, 1)]], ids=["none", "empty", "one"])
def test_little_is_laid_out_as_well(bands: list[list[Block]]) -> None:
    layout: PosterLayout = poster_layout(bands, 1.8)
    assert layout.bands.shape == (len(bands), 4)
    assert layout.tiles.shape == (sum(counts(bands)), 4)
    assert np.isfinite(layout.bands).all()
    assert np.isfinite(layout.tiles).all()


def test_the_same_bands_stand_at_the_same_places() -> None:
    np.testing.assert_array_equal(poster_layout(deep(), 1.8).tiles, poster_layout(deep(), 1.8).tiles)

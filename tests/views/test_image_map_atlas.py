"""Pages of thumbnails: their order, their cells, what happens to what cannot be read."""

from __future__ import annotations

import io
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnviz_widgets.views import ThumbnailAtlas
from cnnviz_widgets.views.atlas import PAGE_SIDE, capacity, hilbert_order, square


def plain(color: tuple[int, int, int], size: tuple[int, int] = (128, 128)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def opened(page: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).astype(int)


def test_the_order_goes_from_neighbour_to_neighbour_on_a_full_grid():
    side = 32
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    order = hilbert_order(grid)
    assert sorted(order.tolist()) == list(range(side * side))
    steps = [int(np.abs(grid[b] - grid[a]).sum()) for a, b in pairwise(order)]
    # The cells of this grid are no powers of two apart, so a few steps are longer.
    assert np.mean(np.equal(steps, 1)) > 0.9


def test_a_part_of_a_map_is_on_few_pages():
    points = np.random.default_rng(0).normal(size=(50_000, 2))
    pages = np.empty(len(points), int)
    pages[hilbert_order(points)] = np.arange(len(points)) // capacity(64)
    near = np.linalg.norm(points - [0.3, 0.2], axis=1) < 0.15
    assert near.sum() > 400
    assert len(set(pages[near])) <= 6


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=20),
)
def test_any_points_have_an_order_with_the_lost_ones_last(points):
    places = np.array(points, np.float32).reshape(-1, 2)
    order = hilbert_order(places)
    assert sorted(order.tolist()) == list(range(len(places)))
    finite = np.isfinite(places).all(axis=1)[order]
    assert (np.diff(finite.astype(int)) <= 0).all()


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
def test_each_cell_shows_its_image_and_nothing_of_its_neighbours(side):
    count = 40
    rng = np.random.default_rng(side)
    colors = [tuple(int(value) for value in color) for color in rng.integers(20, 235, (count, 3))]
    order = rng.permutation(count)
    atlas = ThumbnailAtlas([plain(color) for color in colors], order)
    page = opened(atlas.page(atlas.sides.index(side), 0))
    columns = PAGE_SIDE // side
    assert page.shape == (-(-count // columns) * side, PAGE_SIDE, 3)
    for cell, image in enumerate(order):
        row, column = divmod(cell, columns)
        pixels = page[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert np.abs(pixels - colors[image]).max() <= 6


def test_many_images_take_several_pages():
    count = capacity(64) + 5
    atlas = ThumbnailAtlas(lambda index: Image.new("RGB", (9, 9), (index % 256, 0, 0)), np.arange(count))
    assert [atlas.pages(level) for level in range(5)] == [1, 1, 1, 2, 5]
    last = opened(atlas.page(3, 1))
    assert last.shape == (64, PAGE_SIDE, 3)
    assert abs(last[30, 4 * 64 + 30, 0] - (count - 1) % 256) <= 4
    for level, number in ((3, 2), (5, 0), (-1, 0), (0, -1)):
        with pytest.raises(IndexError, match=f"no page {number} of level {level}"):
            atlas.page(level, number)


def test_the_middle_of_a_picture_is_shown():
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste((0, 255, 0), (100, 0, 200, 100))
    assert (square(wide, 16) == [0, 255, 0]).all()
    assert (square(wide.rotate(90, expand=True), 16) == [0, 255, 0]).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_pictures_of_any_mode_are_shown(mode):
    assert square(Image.new(mode, (20, 20)), 8).shape == (8, 8, 3)


def test_what_cannot_be_read_is_grey():
    def thumbnail(index: int) -> bytes:
        if index == 1:
            raise OSError("gone")
        return [b"", b"", b"no picture", plain((200, 10, 10))[:300], plain((200, 10, 10))][index]

    atlas = ThumbnailAtlas(thumbnail, np.arange(5))
    for level in (0, 3):
        page = opened(atlas.page(level, 0))
        side = atlas.sides[level]
        for cell in range(4):
            assert np.abs(page[side // 2, cell * side + side // 2] - 128).max() <= 3
        assert page[side // 2, 4 * side + side // 2, 0] > 190


def test_thumbnails_are_read_once_for_the_small_sizes_and_not_at_all_where_these_are_given():
    read: list[int] = []

    def thumbnail(index: int) -> bytes:
        read.append(index)
        return plain((10 * index, 0, 0))

    atlas = ThumbnailAtlas(thumbnail, [2, 0, 1])
    atlas.page(0, 0)
    atlas.page(1, 0)
    atlas.page(1, 0)
    assert sorted(read) == [0, 1, 2]
    other = atlas.reordered(np.array([0, 1, 2]))
    assert abs(opened(other.page(0, 0))[4, 20, 0] - 20) <= 4
    assert len(read) == 3
    small = np.full((3, 16, 16, 3), 77, np.uint8)
    assert abs(opened(ThumbnailAtlas(thumbnail, [0, 1, 2], small=small).page(1, 0))[5, 5] - 77).max() <= 2
    assert len(read) == 3


def test_pages_of_squares_that_are_given_are_those_of_squares_that_are_made():
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(300)]
    order = rng.permutation(300)
    made, given_ = (
        ThumbnailAtlas(pictures, order, small=small)
        for small in (None, np.stack([square(one, 16) for one in pictures]))
    )
    for level in (0, 1):
        assert made.page(level, 0) == given_.page(level, 0)


def test_pages_asked_for_by_several_threads_are_the_same():
    atlas = ThumbnailAtlas([plain((index % 250, 90, 9)) for index in range(300)], np.arange(300))
    pages: list[bytes] = []
    threads = [threading.Thread(target=lambda: pages.append(atlas.page(0, 0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pages)) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([b""] * 2, [0, 0]), {}, "order is no permutation of 0 to 1"),
        (([b""] * 3, [0, 1]), {}, "3 thumbnails for an order of 2"),
        (([b""], [0]), {"sides": [8, 12]}, "multiples of 8 that divide 2048"),
        (([b""], [0]), {"sides": []}, "multiples of 8"),
        (([b""], [0]), {"sides": [16, 8]}, "expected growing numbers"),
        (([b""], [0]), {"small": np.zeros((1, 8, 8, 3), np.uint8)}, r"expected uint8 \(1, 16, 16, 3\)"),
    ],
)
def test_an_atlas_refuses_what_does_not_fit(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ThumbnailAtlas(*arguments, **options)

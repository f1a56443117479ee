"""What a map asks for, what it keeps, and that no image is ever drawn for another."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz_widgets.views import ImageMap, ThumbnailAtlas
from cnnviz_widgets.views.atlas import hilbert_order
from tests.views.test_image_map import (
    CANVAS,
    VIEWPORT,
    Mapped,
    distinct,
    picture,
    show,
    world,
)

pytestmark = pytest.mark.browser
__all__ = ["show"]
MOST_DECODED = 12
MOST_TILES = 128


def lattice(count: int) -> np.ndarray:
    """Points in rows, so that from near no image lies on the middle of another."""
    side = int(np.ceil(np.sqrt(count)))
    return np.stack(np.unravel_index(np.arange(count), (side, side)), axis=1).astype(float)


def colored(count: int, points: np.ndarray, *, seed: int = 0) -> tuple[ImageMap, np.ndarray]:
    """A map of images that are each of another colour, in an order of their own."""
    turned = np.random.default_rng(seed).permutation(count)
    colors, points = distinct(count), points[turned]
    small = np.broadcast_to(colors[:, None, None], (count, 16, 16, 3)).astype(np.uint8)
    atlas = ThumbnailAtlas(lambda index: picture(colors[index], 16), hilbert_order(points), small=small)
    view = ImageMap(height=600)
    view.show(points, thumbnails=atlas)
    view.test_points = points
    return view, colors


def wrong(shown: Mapped, colors: np.ndarray, most: int = 4) -> tuple[int, int]:
    """How many images in sight have their own colour in the middle, and how many another."""
    pixels = shown.pixels(CANVAS).astype(int)
    x, y, scale = shown.seen
    height, width = pixels.shape[:2]
    at = (world(shown.view.test_points) - [x, y]) * scale + [width / 2, height / 2]
    inside = ((at > 3) & (at < [width - 3, height - 3])).all(axis=1)
    columns, rows = at[inside].round().astype(int).T
    off = np.abs(pixels[rows, columns, :3] - colors[inside]).max(axis=1)
    return int((off <= most).sum()), int((off > most).sum())


def look_around(shown: Mapped, colors: np.ndarray, places: list[tuple[float, float]], levels: int) -> int:
    """Go nearer and elsewhere; every image in sight is compared with its colour, each time."""
    checked = 0
    for place in places:
        shown.press("Home")
        shown.page.mouse.move(*shown.at(place))
        for _ in range(levels):
            shown.page.keyboard.down("Control")
            shown.page.mouse.wheel(0, -250)
            shown.page.keyboard.up("Control")
            shown.still()
            shown.settle()
            assert int(shown.data(CANVAS, "pages")) <= MOST_DECODED
            assert int(shown.data(CANVAS, "tiles")) <= MOST_TILES
            if float(shown.data(CANVAS, "size")) < 7:
                continue
            right, others = wrong(shown, colors)
            assert others == 0
            checked += right
    return checked


@pytest.mark.long
def test_twenty_thousand_images_each_show_themselves(show):
    count = 20_000
    view, colors = colored(count, lattice(count))
    shown = show(view).settle()
    assert look_around(shown, colors, [(0.3, 0.3), (0.8, 0.62)], 5) > 2000
    assert len(shown.pages) == len({tuple(page) for page in shown.pages})
    assert shown.pages[0] == [0, 0]


@pytest.mark.long
def test_images_show_themselves_after_a_new_order_and_a_new_set(show):
    count = 3000
    view, colors = colored(count, lattice(count))
    shown = show(view).settle()
    shown.press("+", "+", "+")
    assert wrong(shown, colors)[1] == 0
    view.test_points = view.test_points[::-1].copy()
    view.move(view.test_points, duration=0.05)
    shown.page.wait_for_timeout(150)
    shown.settle()
    assert wrong(shown, colors)[1] == 0
    view.reorder()
    shown.settle()
    shown.press("ArrowRight", "+")
    assert wrong(shown, colors)[1] == 0
    other, colors = colored(count - 700, lattice(count - 700), seed=4)
    view.show(other.test_points, thumbnails=other._atlas)
    view.test_points = other.test_points
    shown.settle()
    shown.press("+", "+", "+")
    right, others = wrong(shown, colors)
    assert right > 20
    assert others == 0


def test_a_page_of_another_version_is_not_drawn(show):
    view, colors = colored(300, lattice(300))
    shown = show(view)
    shown.lost = lambda message: message.get("content", {}).get("type") == "page"
    shown.frames(3)
    shown.pump()
    lost = view._atlas.page(1, 0)
    shown.lost = lambda message: False
    view.reorder()
    view._send_page(1, 1, 0, lost[: len(lost) // 2])
    view._send_page(1, 0, 0, b"no picture")
    shown.settle()
    shown.press("+", "+")
    assert wrong(shown, colors)[1] == 0


def test_fine_pages_are_asked_for_only_where_one_is_near(show):
    count = 6400
    view, _ = colored(count, lattice(count))
    shown = show(view).settle()
    assert {level for level, _ in shown.pages} <= {0, 1}
    shown.press("+", "+", "+", "+")
    fine = [page for page in shown.pages if page[0] >= 3]
    assert 0 < len(fine) < 7
    asked = len(shown.pages)
    shown.press("Home", "+", "+", "+", "+", "ArrowLeft", "ArrowRight")
    again = shown.pages[asked:]
    assert not {tuple(page) for page in again} & {tuple(page) for page in shown.pages[:asked]}


def test_few_pages_are_asked_for_at_a_time_and_lost_ones_again(show):
    view, _ = colored(6400, lattice(6400))
    shown = show(view)
    shown.page.evaluate("""() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + (window.later || 0);
    }""")
    shown.frames(12)
    shown.take()
    lost = list(shown.pages)
    assert lost[0] == [0, 0]
    assert len(lost) <= 3
    shown.frames(12)
    assert shown.take() == []
    shown.page.evaluate("""() => {
      window.later = 60_000;
      harness.model.trigger('msg:custom', { type: 'page', version: 1, level: 4, number: 24 }, []);
    }""")
    shown.settle()
    assert shown.pages.count([0, 0]) == 2


def test_a_page_that_is_not_to_be_had_leaves_the_coarser_one(show):
    view, colors = colored(900, lattice(900))
    page = view._atlas.page
    view._atlas.page = lambda level, number: page(level, number) if level < 2 else b"" if level == 2 else b"no picture"
    shown = show(view).settle()
    shown.press("+", "+", "+", "+")
    right, others = wrong(shown, colors)
    assert right > 3
    assert others == 0
    assert len(shown.pages) == len({tuple(page) for page in shown.pages})


def test_frame_times_are_told_on_request(show):
    view, _ = colored(900, lattice(900))
    shown = show(view).settle()
    assert float(shown.data(CANVAS, "fps")) > 0
    assert shown.data(CANVAS, "times") is None
    shown.locator(CANVAS).evaluate("(node) => { node.dataset.record = ''; }")
    shown.locator(VIEWPORT).press("+")
    shown.still()
    shown.settle()
    assert len(shown.data(CANVAS, "times").split()) > 3

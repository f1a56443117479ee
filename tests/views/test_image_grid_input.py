"""Pointer, wheel and keys on a grid of tiles: selecting, opening, scrolling, zooming, panning."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz_widgets.views import ImageGrid
from tests.views.test_image_grid import LINE, MARGIN, VIEWPORT, corner, grid, middle

pytestmark = pytest.mark.browser


def test_click_selects_frames_and_speaks(show):
    shown = show(grid())
    before = shown.pixels("canvas")
    shown.locator("canvas").click(position=middle(4))
    shown.pump()
    assert shown.view.selected == 4
    assert shown.data("canvas", "selected") == "4"
    assert shown.locator("[aria-live=polite]").text_content() == "channel 4 selected, 5 of 6"
    described = shown.locator(VIEWPORT).get_attribute("aria-activedescendant")
    assert shown.page.locator(f"#{described}").text_content() == "channel 4"
    after = shown.pixels("canvas")
    x, y = corner(4)
    assert (after != before)[y - 2 : y, x : x + 40].any(axis=2).all()
    assert (after[y + 5 : y + 35, x + 5 : x + 35] == before[y + 5 : y + 35, x + 5 : x + 35]).all()


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("ArrowRight", 4, 5),
        ("ArrowLeft", 4, 3),
        ("ArrowUp", 4, 1),
        ("ArrowDown", 1, 4),
        ("ArrowDown", 4, 4),
        ("ArrowUp", 1, 1),
        ("ArrowRight", 5, 5),
        ("Home", 4, 0),
        ("End", 1, 5),
        ("PageDown", 0, 5),
        ("PageUp", 5, 0),
        ("ArrowRight", -1, 0),
    ],
)
def test_keys_move_the_selection(show, key, start, end):
    shown = show(grid(selected=start))
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    shown.locator(VIEWPORT).press(key)
    shown.pump()
    assert shown.view.selected == end
    assert shown.page.evaluate("() => window.leaked") is None


def test_python_moves_the_selection_and_other_keys_pass_on(show):
    shown = show(grid(60, columns=3, tile_size=40))
    shown.view.max_height = 200
    shown.view.selected = 59
    shown.wait("document.querySelector('canvas').dataset.selected === '59'")
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollTop") > 500
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    shown.locator(VIEWPORT).press("x")
    assert shown.page.evaluate("() => window.leaked") == "x"
    assert shown.take() == []


def test_enter_and_double_click_open_a_tile(show):
    shown = show(grid(selected=2))
    shown.locator(VIEWPORT).press("Enter")
    shown.locator("canvas").dblclick(position=middle(5))
    shown.pump()
    assert shown.messages == [{"type": "open", "index": 2}, {"type": "open", "index": 5}]


def test_scrolling_draws_the_tiles_that_come_into_sight(show):
    view = grid(12, columns=1)
    view.max_height = 130
    shown = show(view)
    shown.page.mouse.move(20, 60)
    shown.page.mouse.wheel(0, 3 * 42)
    shown.wait("document.querySelector('.cnnviz-grid-viewport').scrollTop === 126")
    canvas = shown.pixels("canvas")
    assert canvas.shape[0] <= 130
    assert canvas[MARGIN + 20, MARGIN + 20].tolist() == [60, 60, 60, 255]
    shown.locator("canvas").hover(position=middle(0))
    assert shown.locator(LINE).text_content().startswith("channel 3 ·")


def test_buttons_zoom_and_reset(show):
    shown = show(grid())
    x, y = corner(0)
    assert shown.pixels("canvas")[y + 60, x + 60, 0] == 80
    for _ in range(3):
        shown.locator("[title='Zoom in']").click()
    shown.locator(VIEWPORT).evaluate("(node) => node.scrollTo(0, 0)")
    assert shown.pixels("canvas")[y + 60, x + 60, 0] == 0
    shown.locator("[title='Reset the zoom']").click()
    assert shown.pixels("canvas")[y + 60, x + 60, 0] == 80


def test_wheel_zooms_about_the_pointer_only_after_a_click(show):
    view = ImageGrid()
    view.show(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), np.float32([[0, 255]]))
    shown = show(view)
    canvas = shown.locator("canvas")
    box = canvas.bounding_box()
    place = {"x": box["width"] * 0.3, "y": box["height"] * 0.6}
    canvas.hover(position=place)
    value = shown.locator(LINE).text_content().split("·")[-1]
    before = shown.pixels("canvas")
    shown.page.mouse.wheel(0, -300)
    assert (shown.pixels("canvas") == before).all()
    canvas.click(position=place)
    shown.page.mouse.wheel(0, -300)
    shown.page.wait_for_timeout(50)
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollWidth > 1.3 * node.clientWidth")
    canvas.hover(position=place)
    assert shown.locator(LINE).text_content().split("·")[-1] == value
    width = shown.locator(VIEWPORT).evaluate("(node) => node.scrollWidth")
    shown.page.keyboard.press("Escape")
    shown.page.mouse.wheel(0, -300)
    shown.frames(4)
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollWidth") == width
    shown.locator(VIEWPORT).press("0")
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollWidth === node.clientWidth")


def test_the_wheel_scrolls_the_page_over_a_grid_that_was_not_clicked(show):
    shown = show(grid())
    shown.page.evaluate("() => { document.body.style.height = '4000px'; }")
    shown.locator("canvas").hover(position=middle(1))
    shown.page.mouse.wheel(0, 200)
    shown.wait("scrollY > 100")


def test_control_and_wheel_zoom_without_a_click(show):
    shown = show(grid())
    shown.locator("canvas").hover(position=middle(1))
    width = shown.locator(".cnnviz-grid-sizer").evaluate("(node) => node.offsetWidth")
    shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, -200)
    shown.page.keyboard.up("Control")
    shown.wait("document.querySelector('.cnnviz-grid-sizer').offsetWidth > 1.2 * argument", width)


def test_dragging_pans_a_zoomed_grid_and_selects_nothing(show):
    shown = show(grid())
    for _ in range(6):
        shown.locator("[title='Zoom in']").click()
    start = shown.locator(VIEWPORT).evaluate("(node) => node.scrollTop")
    shown.page.mouse.move(60, 80)
    shown.page.mouse.down()
    shown.page.mouse.move(60, 50, steps=4)
    shown.page.mouse.up()
    assert start > 30
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollTop") == pytest.approx(start + 30, abs=2)
    shown.pump()
    assert shown.view.selected == -1

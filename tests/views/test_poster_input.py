"""Pointer, wheel, fingers and keys on a poster: panning, zooming, choosing, the picture beside the pointer."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.views import Poster, PosterBand, PosterTile
from tests.views.test_poster import CANVAS, COLORS, VIEWPORT, Hung, hang, picture, tile, two_layers

pytestmark = pytest.mark.browser
__all__ = ["hang"]
TIP = ".cnnviz-poster-tip"


def scale(shown: Hung) -> float:
    return float(shown.data(CANVAS, "view").split()[2])


def press(shown: Hung, *keys: str) -> Hung:
    for key in keys:
        shown.locator(VIEWPORT).press(key)
        shown.settle()
    return shown


def chosen(shown: Hung, kind: str) -> list[str]:
    return [message["key"] for message in shown.messages if message["type"] == kind]


def test_a_click_selects_and_tells(hang):
    shown = hang(two_layers()).settle()
    shown.page.mouse.click(*shown.at(2))
    shown.settle()
    assert shown.view.selected_key == "conv:0"
    shown.page.mouse.click(*shown.at(2))
    shown.settle()
    assert chosen(shown, "choose") == ["conv:0", "conv:0"]
    x, y, _, height = shown.box(2)
    shown.page.mouse.move(2, 2)
    around = shown.pixels(CANVAS)[round(y + height / 2), round(x) - 4 : round(x)]
    assert (np.abs(around[:, :3].astype(int) - [21, 101, 192]).max(axis=1) < 30).any()


def test_the_ground_is_no_tile(hang):
    shown = hang(two_layers()).settle()
    frame = shown.locator(CANVAS).bounding_box()
    shown.page.mouse.click(frame["x"] + 5, frame["y"] + frame["height"] - 5)
    shown.settle()
    assert shown.view.selected == -1
    assert not chosen(shown, "choose")


def test_dragging_pans_and_chooses_nothing(hang):
    shown = hang(two_layers()).settle()
    x, y = shown.at(1)
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x + 70, y - 30, steps=4)
    shown.page.wait_for_timeout(120)
    shown.page.mouse.up()
    shown.settle()
    assert np.subtract(shown.at(1), (x, y)) == pytest.approx([70, -30], abs=1.5)
    assert shown.shows(1, COLORS["fc:1"])
    assert shown.view.selected == -1


@pytest.mark.parametrize("amount", [-300, 200])
def test_control_and_wheel_zoom_about_the_pointer(hang, amount):
    shown = hang(two_layers()).settle()
    before, place = scale(shown), shown.at(3)
    shown.page.mouse.move(*place)
    shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, amount)
    shown.frames(3)
    shown.page.keyboard.up("Control")
    shown.settle()
    assert (scale(shown) > before) == (amount < 0)
    assert shown.at(3) == pytest.approx(place, abs=1.5)


def test_the_plain_wheel_scrolls_the_page_until_the_sheet_is_clicked(hang):
    shown = hang(two_layers()).settle()
    before = scale(shown)
    shown.page.mouse.move(*shown.at(3))
    shown.page.mouse.wheel(0, -200)
    shown.settle()
    assert scale(shown) == before
    shown.page.mouse.down()
    shown.page.mouse.up()
    shown.page.mouse.wheel(0, -200)
    shown.settle()
    assert scale(shown) > before


def test_keys_zoom_move_and_show_all_again(hang):
    shown = hang(two_layers()).settle()
    home = shown.data(CANVAS, "view")
    press(shown, "+", "ArrowRight")
    x, _, size = map(float, shown.data(CANVAS, "view").split())
    x0, _, size0 = map(float, home.split())
    assert size == pytest.approx(2 * size0, rel=0.01)
    assert x > x0
    press(shown, "Home")
    assert [float(v) for v in shown.data(CANVAS, "view").split()] == pytest.approx(
        [float(v) for v in home.split()], rel=1e-3
    )


def test_enter_brings_the_selected_tile_near_and_back(hang):
    shown = hang(two_layers()).settle()
    before = scale(shown)
    shown.page.mouse.click(*shown.at(3))
    press(shown, "Enter")
    _, _, width, height = shown.box(3)
    frame = shown.locator(CANVAS).bounding_box()
    assert max(width / frame["width"], height / frame["height"]) == pytest.approx(0.62, abs=0.02)
    assert shown.at(3) == pytest.approx((frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2), abs=2)
    assert shown.shows(3, COLORS["conv:1"])
    press(shown, "Enter")
    assert scale(shown) == pytest.approx(before, rel=0.01)
    assert chosen(shown, "open") == ["conv:1", "conv:1"]


def test_a_double_click_brings_a_tile_near(hang):
    shown = hang(two_layers()).settle()
    before = scale(shown)
    shown.page.mouse.dblclick(*shown.at(0))
    shown.settle()
    assert scale(shown) > 1.5 * before
    assert chosen(shown, "open") == ["fc:0"]


def test_python_flies_to_a_tile(hang):
    shown = hang(two_layers()).settle()
    shown.view.fly_to("fc:1")
    shown.settle()
    frame = shown.locator(CANVAS).bounding_box()
    assert shown.at(1) == pytest.approx((frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2), abs=2)
    assert shown.data(CANVAS, "selected") == "1"


def test_shift_and_arrows_select_the_next_tile(hang):
    shown = hang(two_layers()).settle()
    shown.page.mouse.click(*shown.at(0))
    shown.settle()
    press(shown, "Shift+ArrowRight")
    assert shown.view.selected_key == "fc:1"
    press(shown, "Shift+ArrowLeft")
    assert shown.view.selected_key == "fc:0"
    press(shown, "Shift+ArrowLeft", "Shift+ArrowUp")
    assert shown.view.selected_key == "fc:0"


def test_shift_and_dragging_zooms_into_a_rectangle(hang):
    shown = hang(two_layers()).settle()
    left, top, width, height = shown.box(2)
    frame = shown.locator(CANVAS).bounding_box()
    shown.page.keyboard.down("Shift")
    shown.page.mouse.move(frame["x"] + left, frame["y"] + top)
    shown.page.mouse.down()
    shown.page.mouse.move(frame["x"] + left + width, frame["y"] + top + height, steps=4)
    shown.page.mouse.up()
    shown.page.keyboard.up("Shift")
    shown.settle()
    _, _, wide, tall = shown.box(2)
    assert max(wide / frame["width"], tall / frame["height"]) == pytest.approx(1, abs=0.06)


def test_a_click_on_a_heading_shows_its_layer(hang):
    shown = hang(two_layers()).settle()
    before = scale(shown)
    x, y, _, _ = shown.box(2)
    frame = shown.locator(CANVAS).bounding_box()
    shown.page.mouse.click(frame["x"] + x + 8, frame["y"] + y - 12)
    shown.settle()
    assert scale(shown) > 1.2 * before
    middle = (shown.at(2)[0] + shown.at(3)[0]) / 2
    assert middle == pytest.approx(frame["x"] + frame["width"] / 2, abs=3)
    assert shown.view.selected == -1


def test_beside_the_pointer_stands_the_picture_and_what_is_told_of_it(hang):
    view = Poster(height=420)
    lines = ("score 12.1", "<b>step 16</b> of 256")
    tiles = [tile(f"conv:{i}", label=f"unit <i>{i}</i>", lines=lines) for i in (0, 1)]
    others = [PosterBand(f"layer {i}", [PosterTile(f"{i}:{u}") for u in range(9)]) for i in range(8)]
    view.show([*others, PosterBand("conv", tiles)])
    shown = hang(view).settle()
    shown.page.mouse.move(*shown.at(72))
    shown.page.wait_for_timeout(150)
    shown.settle()
    assert shown.locator(TIP).inner_text().split("\n") == ["unit <i>0</i>", "conv", *lines]
    drawn = shown.pixels(f"{TIP} canvas")
    assert np.abs(drawn[20, 20, :3].astype(int) - COLORS["conv:0"]).max() <= 6
    tip, at = shown.locator(TIP).bounding_box(), shown.at(72)
    assert not (tip["x"] < at[0] < tip["x"] + tip["width"] and tip["y"] < at[1] < tip["y"] + tip["height"])
    view.update(PosterTile("conv:0", picture((7, 200, 90)), lines=("score 20",)))
    shown.settle()
    shown.page.wait_for_timeout(100)
    shown.settle()
    assert "score 20" in shown.locator(TIP).inner_text()
    assert np.abs(shown.pixels(f"{TIP} canvas")[20, 20, :3].astype(int) - (7, 200, 90)).max() <= 6
    shown.page.mouse.move(2, 2)
    shown.frames(3)
    assert not shown.locator(TIP).is_visible()


def test_of_a_place_without_a_picture_it_is_said_why(hang):
    view = Poster(height=420)
    view.show([PosterBand(f"layer {i}", [PosterTile(f"{i}:{u}") for u in range(9)]) for i in range(8)])
    shown = hang(view).settle()
    shown.page.mouse.move(*shown.at(40))
    shown.page.wait_for_timeout(150)
    shown.settle()
    assert "no picture yet" in shown.locator(TIP).inner_text()
    view.update(PosterTile("4:4", lines=("no gradient reaches the image",)))
    shown.settle()
    shown.page.wait_for_timeout(100)
    shown.settle()
    assert "no gradient reaches the image" in shown.locator(TIP).inner_text()
    assert "no picture yet" not in shown.locator(TIP).inner_text()


def test_two_fingers_zoom_and_one_pans(hang):
    shown = hang(two_layers()).settle()
    before, place = scale(shown), shown.at(1)
    shown.locator(VIEWPORT).evaluate(
        """(node, [x, y]) => {
          node.setPointerCapture = () => {};
          const finger = (kind, id, x) => node.dispatchEvent(new PointerEvent(kind, {
            pointerId: id, pointerType: 'touch', clientX: x, clientY: y, buttons: 1, button: kind === 'pointerdown' ? 0 : -1,
          }));
          finger('pointerdown', 1, x - 20);
          finger('pointerdown', 2, x + 20);
          for (let d = 22; d <= 60; d += 2) { finger('pointermove', 1, x - d); finger('pointermove', 2, x + d); }
          finger('pointerup', 1, x - 60);
          finger('pointerup', 2, x + 60);
        }""",
        place,
    )
    shown.settle()
    assert scale(shown) == pytest.approx(3 * before, rel=0.05)
    assert shown.at(1) == pytest.approx(place, abs=3)
    assert not chosen(shown, "choose")


def test_it_fills_the_screen_and_comes_back(hang):
    shown = hang(two_layers()).settle()
    shown.page.get_by_role("button", name="Fill the screen").click()
    shown.wait("document.fullscreenElement !== null")
    shown.settle()
    frame = shown.locator(CANVAS).bounding_box()
    assert frame["height"] > 600
    assert shown.shows(0, COLORS["fc:0"])
    press(shown, "f")
    shown.wait("document.fullscreenElement === null")
    shown.settle()
    assert shown.locator(CANVAS).bounding_box()["height"] == pytest.approx(420, abs=4)


def test_few_pixels_are_told_apart_from_near(hang):
    view = Poster(height=420)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, 3), dtype=np.uint8)
    view.show([PosterBand("conv1", [PosterTile("conv1:0", Image.fromarray(pixels), side=3)])])
    shown = hang(view).settle()
    x, y, width, height = shown.box(0)
    drawn = shown.pixels(CANVAS)[..., :3]
    for row in range(3):
        for column in range(3):
            at = round(y + (row + 0.2) * height / 3), round(x + (column + 0.8) * width / 3)
            assert np.abs(drawn[at].astype(int) - pixels[row, column]).max() <= 3

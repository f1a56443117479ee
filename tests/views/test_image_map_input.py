"""Pointer, wheel and keys on a map of images: panning, zooming, the picture under the pointer, choosing one and many."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.views import ImageMap
from tests.views.test_image_map import (
    CANVAS,
    COLORS,
    LINE,
    SQUARE,
    VIEWPORT,
    Mapped,
    four,
    near,
    picture,
    show,
    world,
)

pytestmark = pytest.mark.browser
__all__ = ["show"]
TIP = ".cnnviz-map-tip"
PLACES = world(SQUARE)


def drag(shown: Mapped, *way: tuple[float, float], keys: tuple[str, ...] = ()) -> None:
    """Along places of the page."""
    for key in keys:
        shown.page.keyboard.down(key)
    shown.page.mouse.move(*way[0])
    shown.page.mouse.down()
    for x, y in way[1:]:
        shown.page.mouse.move(x, y, steps=3)
    shown.page.wait_for_timeout(120)
    shown.page.mouse.up()
    for key in keys:
        shown.page.keyboard.up(key)
    shown.pump()


def wheel(shown: Mapped, amount: float, *, control: bool = True) -> None:
    if control:
        shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, amount)
    shown.frames(3)
    if control:
        shown.page.keyboard.up("Control")
    shown.still()


def test_dragging_pans_and_chooses_nothing(show):
    shown = show(four()).settle()
    x, y = shown.at([0.5, 0.5])
    before = shown.at(PLACES[0])
    drag(shown, (x, y), (x + 60, y - 25))
    shown.settle()
    after = shown.at(PLACES[0])
    assert np.subtract(after, before) == pytest.approx([60, -25], abs=1)
    assert near(shown.color(PLACES[0]), COLORS[0])
    assert shown.view.selected == -1
    assert shown.messages == [message for message in shown.messages if message["type"] in ("pages", "large")]


def test_the_map_glides_on_when_it_is_let_go_in_motion(show):
    shown = show(four()).settle()
    seen = shown.locator(VIEWPORT).evaluate(
        """async (node, [x, y]) => {
          node.setPointerCapture = () => {};
          const point = (kind, x) => node.dispatchEvent(new PointerEvent(kind, { clientX: x, clientY: y, buttons: 1 }));
          point('pointerdown', x);
          for (let step = 1; step < 9; step++) {
            await new Promise(requestAnimationFrame);
            point('pointermove', x + 12 * step);
          }
          const seen = node.querySelector('canvas').dataset.view;
          point('pointerup', x + 96);
          return seen;
        }""",
        shown.at([0.5, 0.5]),
    )
    shown.still()
    assert shown.seen[0] < float(seen.split()[0]) - 5 / shown.seen[2]


@pytest.mark.parametrize("amount", [-300, 250])
def test_control_and_wheel_zoom_about_the_pointer(show, amount):
    shown = show(four()).settle()
    shown.page.mouse.move(*shown.at(PLACES[1]))
    before, scale = shown.at(PLACES[1]), shown.seen[2]
    wheel(shown, amount)
    assert (shown.seen[2] > 1.5 * scale) == (amount < 0)
    assert shown.at(PLACES[1]) == pytest.approx(before, abs=1.5)
    shown.settle()
    assert near(shown.color(PLACES[1]), COLORS[1])


def test_the_wheel_scrolls_the_page_over_a_map_that_was_not_clicked(show):
    shown = show(four()).settle()
    shown.page.evaluate("() => { document.body.style.height = '4000px'; }")
    seen = shown.seen
    shown.page.mouse.move(*shown.at([0.5, 0.5]))
    shown.page.mouse.wheel(0, 100)
    shown.wait("scrollY > 50")
    assert shown.seen == seen
    assert shown.locator(".cnnviz-map-hinting").count() == 1
    shown.page.mouse.click(*shown.at([0.5, 0.5]))
    wheel(shown, -200, control=False)
    assert shown.seen[2] > 1.3 * seen[2]
    shown.page.keyboard.press("Escape")
    scrolled, scale = shown.page.evaluate("() => scrollY"), shown.seen[2]
    shown.page.mouse.wheel(0, 60)
    shown.wait("scrollY > argument + 30", scrolled)
    assert shown.seen[2] == scale


def test_two_fingers_pinch(show):
    shown = show(four()).settle()
    touch = """(node, [kind, id, x, y]) => {
      const options = { pointerId: id, pointerType: 'touch', clientX: x, clientY: y, bubbles: true, buttons: 1 };
      node.setPointerCapture = () => {};
      node.dispatchEvent(new PointerEvent(kind, options));
    }"""
    x, y = shown.at([0.5, 0.5])
    scale = shown.seen[2]
    viewport = shown.locator(VIEWPORT)
    for kind, finger, at in [
        ("pointerdown", 5, x - 40),
        ("pointerdown", 6, x + 40),
        ("pointermove", 5, x - 60),
        ("pointermove", 6, x + 60),
        ("pointerup", 5, x - 60),
        ("pointerup", 6, x + 60),
    ]:
        viewport.evaluate(touch, [kind, finger, at, y])
    shown.still()
    assert shown.seen[2] == pytest.approx(1.5 * scale, rel=0.02)
    assert shown.at([0.5, 0.5]) == pytest.approx((x, y), abs=1.5)
    assert shown.view.selected == -1


def test_keys_pan_zoom_and_return_and_do_not_leak(show):
    shown = show(four()).settle()
    shown.page.evaluate("() => { window.leaked = []; addEventListener('keydown', (event) => leaked.push(event.key)); }")
    home = shown.seen
    shown.press("ArrowRight", "ArrowDown")
    assert shown.seen[0] > home[0]
    assert shown.seen[1] > home[1]
    shown.press("+")
    assert shown.seen[2] == pytest.approx(2 * home[2], rel=0.01)
    shown.press("-")
    assert shown.seen[2] == pytest.approx(home[2], rel=0.01)
    shown.press("=", "Home")
    assert shown.seen == pytest.approx(home)
    shown.press("+", "0")
    assert shown.seen == pytest.approx(home)
    shown.locator(VIEWPORT).press("x")
    assert shown.page.evaluate("() => window.leaked") == ["x"]


def test_buttons_zoom_and_return(show):
    shown = show(four()).settle()
    home = shown.seen
    shown.locator("[title='Zoom in']").click()
    shown.still()
    assert shown.seen[2] > 1.9 * home[2]
    shown.locator("[title='Zoom out']").click()
    shown.locator("[title='Show all of the map']").click()
    shown.still()
    assert shown.seen == pytest.approx(home)


def test_the_picture_under_the_pointer_is_asked_for_and_shown_large(show):
    asked: list[int] = []

    def large(index: int) -> bytes:
        asked.append(index)
        file = io.BytesIO()
        Image.new("RGB", (300, 200), "white").save(file, "PNG")
        return file.getvalue()

    shown = show(four(titles=["first", "second", "third", "fourth"], labels=["a", "b", "a", "b"], large=large)).settle()
    shown.page.mouse.move(*shown.at(PLACES[1]))
    shown.frames(2)
    assert shown.locator(f"{TIP} canvas").is_visible()
    assert shown.locator(LINE).text_content() == "second · b"
    shown.page.wait_for_timeout(150)
    shown.pump()
    image = shown.locator(f"{TIP} img")
    image.wait_for(state="visible")
    assert image.evaluate("(node) => [node.naturalWidth, node.naturalHeight]") == [300, 200]
    assert asked == [1]
    tip, x = shown.locator(TIP).bounding_box(), shown.at(PLACES[1])[0]
    assert tip["x"] + tip["width"] < x or tip["x"] > x
    shown.page.mouse.move(*shown.at([0.5, 0.5]))
    shown.frames(2)
    assert shown.locator(TIP).is_hidden()
    assert shown.locator(LINE).text_content() == "4 images"
    shown.page.mouse.move(*shown.at(PLACES[1]))
    shown.page.wait_for_timeout(150)
    shown.pump()
    assert asked == [1]


def test_a_click_selects_and_a_double_click_opens(show):
    shown = show(four(titles=["first", "second", "third", "fourth"])).settle()
    before = shown.pixels(CANVAS)
    shown.page.mouse.click(*shown.at(PLACES[2]))
    shown.page.mouse.click(*shown.at(PLACES[2]))
    shown.pump()
    assert shown.view.selected == 2
    assert [message for message in shown.messages if message["type"] == "choose"] == [
        {"type": "choose", "index": 2}
    ] * 2
    assert shown.locator("[aria-live=polite]").text_content() == "third selected"
    assert (shown.pixels(CANVAS) != before).any()
    shown.page.mouse.dblclick(*shown.at(PLACES[3]))
    shown.locator(VIEWPORT).press("Enter")
    shown.pump()
    opened = [message["index"] for message in shown.messages if message["type"] == "open"]
    assert opened == [2, 3, 3] or opened == [3, 3]


def test_shift_and_arrows_select_the_next_image(show):
    shown = show(four(selected=0)).settle()
    for key, expected in [("ArrowRight", 1), ("ArrowUp", 3), ("ArrowLeft", 2), ("ArrowLeft", 2), ("ArrowDown", 0)]:
        shown.locator(VIEWPORT).press(f"Shift+{key}")
        shown.pump()
        assert shown.view.selected == expected


def test_shift_and_dragging_choose_in_a_rectangle(show):
    shown = show(four()).settle()
    (x0, y0), (x1, y1) = shown.at(PLACES[0]), shown.at(PLACES[1])
    drag(shown, (x0 - 6, y0 - 30), (x1 + 6, y1 + 6), keys=("Shift",))
    shown.settle()
    assert shown.view.chosen_indices.tolist() == [0, 1]
    assert shown.locator(LINE).text_content() == "2 of 4 images chosen"
    assert near(shown.color(PLACES[0]), COLORS[0])
    assert shown.color(PLACES[2])[3] < 100
    x2, y2 = shown.at(PLACES[2])
    drag(shown, (x2 - 6, y2 - 6), (x2 + 6, y2 + 6), keys=("Shift", "Control"))
    assert shown.view.chosen_indices.tolist() == [0, 1, 2]
    drag(shown, (x2 - 6, y2 - 6), (x2 + 6, y2 + 6), keys=("Shift",))
    assert shown.view.chosen_indices.tolist() == [2]
    shown.locator("text=Choose none").click()
    shown.pump()
    shown.settle()
    assert shown.view.chosen == b""
    assert shown.color(PLACES[0])[3] == 255
    shown.view.choose([3])
    shown.settle()
    assert shown.color(PLACES[0])[3] < 100
    assert shown.color(PLACES[3])[3] == 255


def test_a_lasso_chooses_what_it_surrounds(show):
    side = 9
    points = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)
    view = ImageMap(height=460)
    view.show(
        points, ["even" if i % 2 == 0 else "odd" for i in range(len(points))], thumbnails=[picture((9, 99, 9))] * 81
    )
    shown = show(view).settle()
    lasso = shown.locator("text=Lasso")
    lasso.click()
    assert lasso.get_attribute("aria-pressed") == "true"
    corners = [(0.5, 0.5), (6.5, 0.5), (6.5, 6.5), (4.4, 2.5)]
    places = world(np.vstack([points, corners]))
    way = [shown.at(place) for place in places[81:]]
    drag(shown, *way)
    polygon = [(0.5, 0.5), (6.5, 0.5), (6.5, 6.5), (4.4, 2.5)]
    expected = [i for i, (x, y) in enumerate(points) if inside(x, y, polygon)]
    assert len(expected) > 8
    assert view.chosen_indices.tolist() == expected
    assert lasso.get_attribute("aria-pressed") == "false"
    view.hidden = [view.label_names.index("odd")]
    shown.settle()
    lasso.click()
    drag(shown, *way)
    assert view.chosen_indices.tolist() == [i for i in expected if i % 2 == 0]


def inside(x: float, y: float, polygon: list[tuple[float, float]]) -> bool:
    """Whether the sum of the angles under which the edges are seen goes around."""
    around = 0.0
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = complex(ax - x, ay - y), complex(bx - x, by - y)
        around += float(np.angle(b / a))
    return abs(around) > np.pi


def test_flying_to_an_image_brings_it_to_the_middle_from_near(show):
    count = 900
    points = np.random.default_rng(3).uniform(size=(count, 2))
    view = ImageMap(height=420)
    view.show(points, thumbnails=[picture((200, 30, 30))] * count)
    shown = show(view).settle()
    scale = shown.seen[2]
    view.fly_to(17)
    shown.page.wait_for_timeout(300)
    shown.still()
    shown.settle()
    x, y, near_scale = shown.seen
    assert (x, y) == pytest.approx(tuple(world(points)[17]), abs=1e-4)
    assert near_scale > 3 * scale
    assert shown.data(CANVAS, "selected") == "17"
    shown.press("Home")
    assert shown.seen[2] == pytest.approx(scale)


def test_points_are_drawn_on_demand_and_hit_near_by(show):
    shown = show(four(labels=["a"] * 4, colors={"a": (0, 0, 250)})).settle()
    shown.locator("[title='Draw points instead of images']").click()
    shown.settle()
    assert shown.view.look == "points" or shown.take() is not None
    assert near(shown.color(PLACES[0]), (0, 0, 250))
    x, y = shown.at(PLACES[0])
    shown.page.mouse.click(x + 7, y)
    shown.pump()
    assert shown.view.selected == 0
    shown.page.mouse.click(x + 20, y)
    shown.pump()
    assert [message["index"] for message in shown.messages if message["type"] == "choose"] == [0]

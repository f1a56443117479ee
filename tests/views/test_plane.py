"""Where one looks at a map and at a poster: told to Python, gone back to, the same on screens of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import traitlets
from playwright.sync_api import Page

from cnnviz_widgets.views import ImageMap, Poster, PosterBand, PosterTile
from tests.views.harness import Shown
from tests.views.test_image_map import Mapped
from tests.views.test_poster import Hung, two_layers

KINDS = ("map", "poster")
NEAR = [0.4, 0.3, 2.0]
Hang = Callable[..., Any]


def a_map(**traits: Any) -> ImageMap:
    """A hundred points in a square and, beside it, on a grid."""
    view = ImageMap(**{"height": 400, **traits})
    points = np.random.default_rng(0).random((100, 2))
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(5)), -1).reshape(-1, 2)
    view.show(points, [f"label {n % 3}" for n in range(100)], grid=grid)
    return view


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A map and a poster."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def view(kind: str) -> Iterator[Any]:
    """A view of that kind."""
    made = a_map() if kind == "map" else two_layers()
    yield made
    made.close()


@pytest.fixture
def hang(kind: str, page: Page) -> Hang:
    """Puts the view into the page, at rest."""
    return lambda view: (Mapped if kind == "map" else Hung)(view, page).settle()


def canvas(shown: Shown) -> str:
    return ".cnnviz-map-canvas" if isinstance(shown, Mapped) else ".cnnviz-poster-canvas"


def seen(shown: Shown) -> list[float]:
    """Middle and scale of what is on the canvas."""
    return [float(value) for value in str(shown.data(canvas(shown), "view")).split()]


def told(shown: Any, expected: Any) -> None:
    """Until Python is told of that camera, and the canvas rests."""
    for _ in range(400):
        shown.pump()
        if shown.view.camera == pytest.approx(expected, abs=1e-6):
            break
        shown.frames(2)
    assert shown.view.camera == pytest.approx(expected, abs=1e-6)
    shown.settle()


def arrives(shown: Any, x: float, y: float, scale: float) -> None:
    """Until the canvas shows that part of the world."""
    script = """document.querySelector(argument[0]).dataset.view.split(' ')
      .every((value, i) => Math.abs(Number(value) / argument[1][i] - 1) < 1e-6)"""
    shown.wait(script, [canvas(shown), [x, y, scale]])


@pytest.mark.parametrize("camera", [[0.5], [0.5, 0.5, "1"], "abc", [2, 0.5, 1], [0.5, 0.5, float("nan")], {}, None])
def test_a_camera_that_is_none_is_told_and_the_former_stays(view: Any, camera: Any) -> None:
    view.move_camera(NEAR)
    with pytest.raises(ValueError, match=r"expected \[\] for all, or \[x, y, nearer\]"):
        view.move_camera(camera)
    with pytest.raises(traitlets.TraitError):
        view.camera = camera
    assert view.camera == NEAR


def test_other_images_are_seen_whole_unless_told_otherwise() -> None:
    view = a_map()
    view.camera = NEAR
    view.show(np.zeros((3, 2)))
    assert view.camera == []
    view.show(np.zeros((3, 2)), camera=NEAR)
    assert view.camera == NEAR
    with pytest.raises(ValueError, match="camera is"):
        view.show(np.zeros((5, 2)), camera=(1,))
    assert len(view.points) == 24


def test_a_place_that_is_set_before_there_are_bands_holds_for_the_first() -> None:
    view = Poster()
    view.move_camera(NEAR)
    view.show([PosterBand("fc", [PosterTile("fc:0")])])
    assert view.camera == NEAR
    view.show([PosterBand("conv", [PosterTile("conv:0")])])
    assert view.camera == []


@pytest.mark.browser
def test_python_is_told_when_one_comes_to_rest(view: Any, hang: Hang) -> None:
    shown = hang(view)
    x, y, scale = seen(shown)
    assert not [message for message in shown.take() if "camera" in message.get("state", {})]
    box = shown.locator(canvas(shown)).bounding_box()
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.page.keyboard.down("Control")
    for _ in range(3):
        shown.page.mouse.wheel(0, -150)
        shown.frames(2)
    shown.page.keyboard.up("Control")
    told(shown, [x, y, 1.8])
    assert seen(shown) == pytest.approx([x, y, scale * 2**1.8], rel=1e-3)
    shown.page.get_by_role("button", name="Show all of").click()
    told(shown, [])
    assert seen(shown) == pytest.approx([x, y, scale], rel=1e-3)


@pytest.mark.browser
def test_python_leads_there_and_back(view: Any, hang: Hang) -> None:
    shown = hang(view)
    x, y, scale = seen(shown)
    view.move_camera([0.45, 0.55, 1.5])
    arrives(shown, 0.45, 0.55, scale * 2**1.5)
    view.move_camera([])
    arrives(shown, x, y, scale)
    shown.settle()
    assert view.camera == []


@pytest.mark.browser
def test_python_leads_also_to_where_its_own_trait_is_while_the_page_tells_of_another_place(
    view: Any, hang: Hang
) -> None:
    shown = hang(view)
    x, y, scale = seen(shown)
    shown.locator(canvas(shown)).hover()
    shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, -300)
    shown.page.keyboard.up("Control")
    shown.wait("harness.model.get('camera').length === 3")
    assert view.camera == []
    view.move_camera([])
    arrives(shown, x, y, scale)
    told(shown, [])
    assert seen(shown) == pytest.approx([x, y, scale], rel=1e-6)


@pytest.mark.browser
def test_a_page_that_is_opened_later_begins_there(view: Any, hang: Hang) -> None:
    whole = seen(hang(view))[2]
    view.move_camera([0.45, 0.55, 1.5])
    shown = hang(view)
    shown.page.evaluate("() => harness.views.forEach(({ el }, i) => i || el.remove())")
    assert seen(shown) == pytest.approx([0.45, 0.55, whole * 2**1.5], rel=1e-6)


@pytest.mark.browser
def test_a_smaller_screen_shows_the_same_part(view: Any, hang: Hang, page: Page) -> None:
    view.move_camera([0.45, 0.55, 1.5])
    large = seen(hang(view))
    page.evaluate("() => document.body.replaceChildren()")
    page.set_viewport_size({"width": 240, "height": 800})
    shown = hang(view)
    small = seen(shown)
    assert small[:2] == large[:2]
    assert small[2] < 0.8 * large[2]
    x, y, scale = small
    view.move_camera([0.45, 0.55, 0])
    arrives(shown, x, y, scale / 2**1.5)


@pytest.mark.browser
def test_the_place_is_that_of_the_map_to_which_images_glide(page: Page) -> None:
    view = a_map()
    shown = Mapped(view, page).settle()
    view.morph = 1.0
    view.move_camera([0.5, 0.5, 1.0])
    shown.settle()
    shown.still()
    shown.settle()
    near = seen(shown)[2]
    view.move_camera([])
    shown.still()
    told(shown, [])
    assert shown.view.camera == []
    assert near / seen(shown)[2] == pytest.approx(2.0, rel=0.15)

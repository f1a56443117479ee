"""A map of images: where they are drawn, how that changes, and what travels."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import pytest
import traitlets
from PIL import Image
from playwright.sync_api import Page

from cnnviz_widgets.views import ImageMap, ThumbnailAtlas
from cnnviz_widgets.views._base import View
from cnnviz_widgets.views.atlas import hilbert_order
from tests.views.harness import SHIM, Shown

CANVAS = ".cnnviz-map-canvas"
VIEWPORT = ".cnnviz-map-viewport"
LINE = ".cnnviz-line"
INHERITED = set(ipywidgets.DOMWidget().keys) | {"_anywidget_id", "_esm", "_css"}
# Playwright hands no DataView from the page to Python.
BINARY = """() => {
  const { model } = harness;
  model.save_changes = function () {
    const state = Object.fromEntries([...this.changed].map((name) => [name, this.state[name]]));
    for (const name of this.changed) {
      if (!(state[name] instanceof DataView)) continue;
      state[name] = { bytes: btoa(String.fromCharCode(...new Uint8Array(state[name].buffer))) };
    }
    this.outbox.push({ method: 'update', state });
    this.changed.clear();
  };
}"""


class Mapped(Shown):
    """A map in a page; what the page asks for is answered in `pump`."""

    def __init__(self, view: ImageMap, page: Page) -> None:
        view._errands.put = lambda key, work, urgent=False: work()
        super().__init__(view, page)
        self.pages: list[list[int]] = []
        page.evaluate(BINARY)

    def take(self) -> list[dict[str, Any]]:
        messages = super().take()
        for message in messages:
            for name, value in message.get("state", {}).items():
                if isinstance(value, dict) and "bytes" in value:
                    message["state"][name] = memoryview(base64.b64decode(value["bytes"]))
            if message.get("content", {}).get("type") == "pages":
                self.pages += message["content"]["wanted"]
        return messages

    def settle(self) -> Mapped:
        """Until all that is in sight is drawn as sharply as it can be."""
        self.frames(3)
        for _ in range(400):
            self.pump()
            if self.data(CANVAS, "settled") == "true":
                return self
            self.frames(2)
        raise AssertionError(self.locator(CANVAS).evaluate("(node) => ({ ...node.dataset })"))

    @property
    def seen(self) -> tuple[float, float, float]:
        """Middle of what is in sight, in the world, and pixels per unit."""
        x, y, scale = map(float, self.data(CANVAS, "view").split())
        return x, y, scale

    def place(self, point: Any) -> tuple[float, float]:
        """CSS position in the canvas of a place of the world."""
        x, y, scale = self.seen
        box = self.locator(CANVAS).bounding_box()
        return (point[0] - x) * scale + box["width"] / 2, (point[1] - y) * scale + box["height"] / 2

    def at(self, point: Any) -> tuple[float, float]:
        """The same in the page."""
        x, y = self.place(point)
        box = self.locator(CANVAS).bounding_box()
        return box["x"] + x, box["y"] + y

    def color(self, point: Any) -> list[int]:
        x, y = self.place(point)
        return self.pixels(CANVAS)[round(y), round(x)].astype(int).tolist()

    def press(self, *keys: str) -> Mapped:
        for key in keys:
            self.locator(VIEWPORT).press(key)
            self.still()
        return self.settle()

    def still(self) -> None:
        """Until nothing moves any more."""
        self.frames(2)
        seen = None
        while seen != (seen := self.data(CANVAS, "view")):
            self.frames(4)


@pytest.fixture
def show(page: Page) -> Callable[[ImageMap], Mapped]:
    return lambda view: Mapped(view, page)


def world(points: Any) -> np.ndarray:
    """Where the view puts points: into a square of side 1 around their middle, y downwards."""
    points = np.asarray(points, float)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    scaled = (points - (low + high) / 2) / ((high - low).max() or 1)
    return 0.5 + scaled * [1, -1]


def distinct(count: int) -> np.ndarray:
    """So many colours, each well apart from the others."""
    steps = int(np.ceil(count ** (1 / 3)))
    values = np.linspace(16, 240, steps).round().astype(int)
    colors = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 3)[:count]
    return colors[np.random.default_rng(5).permutation(count)]


def picture(color: Any, side: int = 32) -> Image.Image:
    return Image.new("RGB", (side, side), tuple(int(value) for value in color))


SQUARE = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
COLORS = [(200, 40, 40), (40, 180, 40), (40, 60, 200), (220, 200, 40)]


def four(**options: Any) -> ImageMap:
    """An image in each corner of a square."""
    view = ImageMap(height=400)
    view.show(SQUARE, **({"thumbnails": [picture(color) for color in COLORS]} | options))
    return view


def near(pixel: list[int], color: Any, most: int = 5) -> bool:
    return bool(np.abs(np.asarray(pixel[:3]) - color).max() <= most and pixel[3] == 255)


def test_the_script_uses_the_synced_traits_and_no_others():
    script = ImageMap._esm
    own = set(ImageMap().keys) - INHERITED
    read = set(re.findall(r'model\.get\("(\w+)"\)', script))
    written = set(re.findall(r'setTrait\([^,]*, "(\w+)"', script))
    watched = {
        name for names in re.findall(r"watch\(model,\s*\[([^\]]*)\]", script) for name in re.findall(r'"(\w+)"', names)
    }
    assert read == own
    # each page looks where it likes; Python moves them by a message
    assert watched == own - {"camera"}
    assert written <= watched | {"camera"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:|@import|url\(|webgl", script)
    names = re.findall(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", script, flags=re.MULTILINE)
    assert len(names) == len(set(names))
    for name, trait in ImageMap.class_traits(sync=True).items():
        if isinstance(trait, traitlets.Bytes) or name in written:
            assert trait.metadata["echo_update"] is False, name


def test_labels_become_a_legend_with_the_most_frequent_first():
    view = ImageMap()
    view.show(np.zeros((6, 2)), ["b", None, "a", "b", "", "c"])
    assert view.label_names == ["b", "a", "c"]
    assert np.frombuffer(view.codes, "<i4").tolist() == [0, -1, 1, 0, -1, 2]
    view.show(np.zeros((0, 2)))
    assert view.label_names == []
    assert view.codes == b""


def test_colours_are_given_by_label_or_as_a_scale():
    view = ImageMap()
    view.show(np.zeros((2, 2)), ["x", "y"], colors={"x": (1, 2, 3), "y": (4, 5, 6)})
    assert view.palette == bytes([1, 2, 3, 4, 5, 6])
    view.show(np.zeros((2, 2)), values=[0, np.nan], colors=np.zeros((256, 3), np.uint8))
    assert len(view.palette) == 768


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.zeros((3, 3)), {}, r"points has shape \(3, 3\), expected \(n, 2\)"),
        (np.zeros(4), {}, r"points has shape \(4,\)"),
        (SQUARE, {"labels": ["a"]}, "1 labels for 4 points"),
        (SQUARE, {"titles": ["a"] * 5}, "5 titles for 4 points"),
        (SQUARE, {"values": [1, 2]}, r"values has shape \(2,\), expected \(4,\)"),
        (SQUARE, {"grid": np.zeros((3, 2))}, r"grid has shape \(3, 2\), expected \(4, 2\)"),
        (SQUARE, {"selected": 4}, r"selected is 4, expected -1 \(none\) to 3"),
        (SQUARE, {"thumbnails": [b""]}, "1 thumbnails for 4 points"),
        (SQUARE, {"thumbnails": ThumbnailAtlas([b""], [0])}, "order of 1 for 4 points"),
        (SQUARE, {"labels": ["a"] * 4, "colors": {"b": (0, 0, 0)}}, "colors has none for 'a'"),
        (SQUARE, {"labels": ["a"] * 4, "colors": {"a": (0, 0)}}, r"expected \(1, 3\)"),
        (SQUARE, {"labels": ["a"] * 4, "colors": {"a": (0, 0, 256)}}, "0 to 255"),
        (SQUARE, {"values": [0] * 4, "colors": {"a": (0, 0, 0)}}, r"uint8 \(256, 3\)"),
    ],
)
def test_show_refuses_what_does_not_fit(points, options, message):
    view = four()
    with pytest.raises(ValueError, match=message):
        view.show(points, **options)
    assert view.version == 1
    assert len(view.points) == 32


def test_move_fly_and_choose_refuse_what_does_not_fit():
    view = four()
    with pytest.raises(ValueError, match=r"points has shape \(3, 2\), expected \(4, 2\)"):
        view.move(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="duration is -1"):
        view.move(SQUARE, -1)
    with pytest.raises(ValueError, match="index is 4, expected 0 to 3"):
        view.fly_to(4)
    with pytest.raises(ValueError, match="indices from 1 to 4"):
        view.choose([1, 4])
    with pytest.raises(traitlets.TraitError, match=r"morph is 1\.5"):
        view.morph = 1.5
    with pytest.raises(traitlets.TraitError, match="expected 8 a place"):
        view.points = b"123"


def test_what_is_chosen_or_selected_beyond_the_last_image_is_dropped():
    view = four()
    view.choose([3, 1, 3])
    assert view.chosen_indices.tolist() == [1, 3]
    view.set_state({"chosen": memoryview(np.int32([9, 2, -1, 0, 2]).tobytes()), "selected": 9})
    assert view.chosen_indices.tolist() == [0, 2]
    assert view.selected == -1
    view.choose([])
    assert view.chosen == b""


def test_pages_are_made_away_from_the_message_and_not_twice():
    begun, go = threading.Semaphore(0), threading.Event()
    made: list[tuple[int, int]] = []

    class Slow(ThumbnailAtlas):
        def page(self, level: int, number: int) -> bytes:
            begun.release()
            go.wait(5)
            made.append((level, number))
            return b"page"

    sent: list[dict[str, Any]] = []
    view = ImageMap()
    view.show(SQUARE, thumbnails=Slow([b""] * 4, np.arange(4)))
    view.send = lambda content, buffers=None: sent.append(content)
    ask = {"type": "pages", "version": 1, "wanted": [[0, 0], [2, 0]]}
    view._handle_custom_msg(ask, [])
    assert begun.acquire(timeout=5)
    view._handle_custom_msg(ask, [])
    view._handle_custom_msg({**ask, "version": 0, "wanted": [[3, 0]]}, [])
    go.set()
    for thread in [thread for thread in threading.enumerate() if thread.name == "image map"]:
        thread.join(5)
    assert made == [(0, 0), (2, 0)]
    assert [(message["type"], message["level"]) for message in sent] == [("page", 0), ("page", 2)]


def test_a_page_that_fails_is_told_as_none_and_a_late_one_is_not_sent(caplog):
    class Broken(ThumbnailAtlas):
        def page(self, level: int, number: int) -> bytes | None:
            if level == 0:
                raise RuntimeError("no disk")
            if level == 1:
                view.show(SQUARE)
            return None if level == 2 else b"page"

    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    view = ImageMap()
    view._errands.put = lambda key, work, urgent=False: work()
    view.show(SQUARE, thumbnails=Broken([b""] * 4, np.arange(4)))
    view.send = lambda content, buffers=None: sent.append((content, buffers))
    view._handle_custom_msg({"type": "pages", "version": 1, "wanted": [[2, 0], [0, 0], [1, 0]]}, [])
    assert [(message["level"], buffers) for message, buffers in sent] == [(0, [b""])]
    assert "no page 0 of level 0" in caplog.text
    view.send_page(2, 0, b"later")
    assert sent[-1][0] == {"type": "page", "version": 2, "level": 2, "number": 0}


def test_reorder_keeps_the_images_and_changes_the_order():
    view = ImageMap()
    points = np.random.default_rng(0).normal(size=(50, 2))
    view.show(points, thumbnails=[picture((9, 9, 9))] * 50)
    view.move(points[::-1])
    view.reorder()
    assert view.version == 2
    assert np.frombuffer(view.order, "<i4").tolist() == hilbert_order(np.float32(points[::-1])).tolist()


def test_large_pictures_are_the_thumbnails_unless_others_are_given():
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    for large, expected in (
        (None, b"two"),
        (lambda index: b"large %d" % index, b"large 1"),
        (lambda index: None, None),
    ):
        view = ImageMap()
        view._errands.put = lambda key, work, urgent=False: work()
        view.show(SQUARE[:2], thumbnails=[b"one", b"two"], large=large)
        view.send = lambda content, buffers=None: sent.append((content, buffers))
        view._handle_custom_msg({"type": "large", "version": 1, "index": 1}, [])
        if expected is None:
            assert not sent
        else:
            assert sent.pop() == ({"type": "large", "version": 1, "index": 1}, [expected])


@pytest.mark.browser
def test_each_image_is_at_its_place_with_y_upwards(show):
    shown = show(four()).settle()
    places = world(SQUARE)
    for point, color in zip(places, COLORS, strict=True):
        assert near(shown.color(point), color)
    assert shown.place(places[2])[1] < shown.place(places[0])[1]
    assert shown.color([0.5, 0.5])[3] == 0
    assert shown.data(CANVAS, "count") == "4"
    assert shown.locator(VIEWPORT).get_attribute("aria-label") == "Map of 4 images"


@pytest.mark.browser
def test_without_thumbnails_there_are_points_in_the_colours_of_the_labels(show):
    colors = {"a": (250, 0, 0), "b": (0, 0, 250)}
    shown = show(four(thumbnails=None, labels=["a", "b", "b", "a"], colors=colors)).settle()
    for point, label in zip(world(SQUARE), "abba", strict=True):
        assert near(shown.color(point), colors[label])
    assert shown.data(CANVAS, "size") == "0.00"
    assert shown.pages == []
    assert shown.locator("[title='Draw points instead of images']").is_hidden()


@pytest.mark.browser
def test_values_colour_the_points_and_nan_is_grey(show):
    scale = np.stack([np.arange(256), np.zeros(256), 255 - np.arange(256)], axis=1).astype(np.uint8)
    shown = show(four(thumbnails=None, values=[-1, 0, 1, np.nan], colors=scale)).settle()
    colors = [shown.color(point)[:3] for point in world(SQUARE)]
    assert [color[0] for color in colors[:3]] == [0, 128, 255]
    assert len(set(colors[3])) == 1
    assert shown.locator(".cnnviz-map-ends").text_content() == "-11"


@pytest.mark.browser
def test_points_give_way_to_images_as_one_comes_near(show):
    count = 12_000
    points = np.random.default_rng(0).uniform(size=(count, 2))
    view = ImageMap(height=400)
    view.show(points, ["a"] * count, thumbnails=[picture((9, 200, 9), 16)] * count, colors={"a": (250, 0, 0)})
    shown = show(view).settle()
    far = shown.pixels(CANVAS)
    assert float(shown.data(CANVAS, "size")) == 0
    assert ((far[..., 0] > 200) & (far[..., 1] < 60)).mean() > 0.1
    shown.press("+", "+", "+")
    middle = shown.pixels(CANVAS)
    assert ((middle[..., 1] > 180) & (middle[..., 0] < 60)).mean() > 0.2


@pytest.mark.browser
def test_before_any_page_is_here_points_are_drawn(show):
    shown = show(four(labels=["a"] * 4, colors={"a": (250, 0, 0)}))
    shown.frames(40)
    assert near(shown.color(world(SQUARE)[1]), (250, 0, 0))
    assert shown.data(CANVAS, "settled") == "false"
    shown.settle()
    x, y = shown.place(world(SQUARE)[1])
    assert near(shown.pixels(CANVAS)[round(y), round(x)].tolist(), COLORS[1])


@pytest.mark.browser
@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one(show, count):
    view = ImageMap(height=300)
    view.show(np.full((count, 2), 7.0), thumbnails=[picture((10, 200, 10))] * count)
    shown = show(view)
    if count:
        shown.settle()
        assert near(shown.color([0.5, 0.5]), (10, 200, 10))
        assert shown.locator(LINE).text_content() == "1 image"
    else:
        assert shown.locator(".cnnviz-caption").text_content() == "No images to show."
        assert shown.locator(VIEWPORT).is_hidden()
        shown.view.show(SQUARE, thumbnails=[picture(color) for color in COLORS], caption="four")
        shown.settle()
        assert near(shown.color(world(SQUARE)[3]), COLORS[3])
        assert shown.locator(".cnnviz-caption").text_content() == "four"


@pytest.mark.browser
def test_images_at_one_place_and_without_a_place_are_told(show):
    view = ImageMap(height=300)
    view.show(np.zeros((5, 2)), thumbnails=[picture((10, 200, 10))] * 5)
    shown = show(view).settle()
    assert near(shown.color([0.5, 0.5]), (10, 200, 10))
    assert shown.locator(LINE).text_content() == "5 images · all at one place"
    points = np.vstack([SQUARE, [[np.nan, 0], [0, np.inf]]])
    view.show(points, thumbnails=[picture(color) for color in [*COLORS, (0, 0, 0), (0, 0, 0)]])
    shown.settle()
    assert shown.locator(LINE).text_content() == "6 images · 2 without a position left out"
    for point, color in zip(world(SQUARE), COLORS, strict=True):
        assert near(shown.color(point), color)
    view.show(np.full((3, 2), np.nan))
    shown.frames(4)
    assert shown.locator(LINE).text_content() == "3 images · 3 without a position left out"


@pytest.mark.browser
def test_texts_are_texts(show):
    name = "<b>x</b>"
    shown = show(four(labels=[name] * 4, titles=["<i>t</i>"] * 4, caption="<u>c</u>")).settle()
    shown.page.mouse.move(*shown.at(world(SQUARE)[0]))
    shown.frames(3)
    assert shown.locator(LINE).text_content() == f"<i>t</i> · {name}"
    assert shown.locator(".cnnviz-map-tip-text").text_content() == f"<i>t</i> · {name}"
    assert shown.locator(".cnnviz-map-name").text_content() == name
    assert shown.page.locator("b, i, u").count() == 0


@pytest.mark.browser
def test_the_legend_filters(show):
    shown = show(four(labels=["a", "b", "b", "b"])).settle()
    places = world(SQUARE)
    entry = shown.page.locator(".cnnviz-map-entry")
    assert entry.all_text_contents() == ["b3", "a1"]
    entry.nth(0).click()
    shown.settle()
    assert [shown.color(point)[3] for point in places] == [255, 0, 0, 0]
    assert shown.locator(LINE).text_content() == "1 of 4 images shown"
    assert shown.view.hidden == [0]
    shown.page.locator("text=Show all").click()
    entry.nth(1).dblclick()
    shown.settle()
    assert [shown.color(point)[3] for point in places] == [255, 0, 0, 0]
    shown.view.hidden = [1]
    shown.settle()
    assert [shown.color(point)[3] for point in places] == [0, 255, 255, 255]
    assert entry.nth(1).get_attribute("aria-pressed") == "false"


@pytest.mark.browser
def test_images_move_to_other_places_on_a_way_between(show):
    view = four(labels=["a", "b", "c", "d"], colors=dict(zip("abcd", COLORS, strict=True)))
    shown = show(view).settle()
    view.move(SQUARE[[1, 0, 2, 3]], duration=30)
    shown.frames(4)
    assert shown.data(CANVAS, "settled") == "false"
    places = world(SQUARE)
    view.move(SQUARE[[1, 0, 3, 2]], duration=0.2)
    shown.still()
    shown.page.wait_for_timeout(300)
    shown.settle()
    for point, color in zip(places[[1, 0, 3, 2]], COLORS, strict=True):
        assert near(shown.color(point), color)
    assert shown.pages.count([0, 0]) == 1


@pytest.mark.browser
def test_morph_goes_between_map_and_grid(show):
    line = np.array([[0, 0], [1, 0], [2, 0], [3, 0]], float)
    view = four(grid=line)
    shown = show(view).settle()
    slider = shown.locator("input[type=range]")
    assert slider.is_visible()
    slider.fill("1")
    shown.pump()
    assert view.morph == 1
    shown.page.wait_for_timeout(700)
    shown.settle()
    for point, color in zip(world(line), COLORS, strict=True):
        assert near(shown.color(point), color)
    view.morph = 0.5
    shown.page.wait_for_timeout(700)
    shown.settle()
    between = (world(SQUARE) + world(line)) / 2
    shown.frames(20)
    assert near(shown.color(between[0]), COLORS[0])
    assert slider.input_value() == "0.5"
    view.show(SQUARE)
    shown.frames(3)
    assert slider.is_hidden()
    assert view.morph == 0


@pytest.mark.browser
def test_a_second_view_and_a_map_taken_out_and_put_back_are_as_it_was(show):
    shown = show(four()).settle()
    shown.press("+", "ArrowRight")
    before = shown.pixels(CANVAS)
    seen = shown.seen
    shown.detach()
    assert shown.seen == seen
    assert (shown.pixels(CANVAS) == before).all()
    asked = list(shown.pages)
    shown.page.evaluate("() => harness.render()")
    shown.wait("[...document.querySelectorAll('.cnnviz-map-canvas')].every((node) => node.dataset.settled === 'true')")
    assert shown.pages == asked
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.locator(CANVAS).count() == 1
    shown.settle()
    assert shown.seen == pytest.approx(seen)  # it begins where one looked last
    assert (shown.pixels(CANVAS) == before).all()


@pytest.mark.browser
def test_a_page_opened_again_asks_again_and_shows_the_same(show, page):
    view = four(selected=2)
    show(view).settle()
    page.reload()
    page.add_script_tag(content=SHIM)
    again = Mapped(view, page).settle()
    assert [0, 0] in again.pages
    assert near(again.color(world(SQUARE)[0]), COLORS[0])
    assert again.data(CANVAS, "selected") == "2"


@pytest.mark.browser
def test_colours_follow_the_theme_and_shortcuts_are_kept_away(show):
    shown = show(four(selected=0)).settle()
    shown.page.add_style_tag(content="body { --jp-brand-color1: #ff0000; --jp-layout-color0: #112233 }")
    shown.view.selected = 1
    shown.settle()
    x, y = shown.place(world(SQUARE)[1])
    half = float(shown.data(CANVAS, "size")) / 2
    assert shown.pixels(CANVAS)[round(y), round(x + half + 1.5)].tolist() == [255, 0, 0, 255]
    for css in (".cnnviz", VIEWPORT, ".cnnviz button", "input"):
        assert shown.locator(css).get_attribute("data-lm-suppress-shortcuts") == "true"
    for button in shown.page.locator("button").all():
        assert button.get_attribute("title")


def test_the_view_is_one_of_the_views():
    assert issubclass(ImageMap, View)

"""A poster of layers: what is drawn where, what travels when, and what a page that is opened again finds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import traitlets
from PIL import Image
from playwright.sync_api import Page

from cnnviz_widgets.views import Poster, PosterBand, PosterTile
from cnnviz_widgets.views._base import joined
from cnnviz_widgets.views._poster_pictures import SIDES
from tests.views.harness import Shown

CANVAS = ".cnnviz-poster-canvas"
VIEWPORT = ".cnnviz-poster-viewport"
COLORS = {"fc:0": (200, 40, 40), "fc:1": (40, 160, 60), "conv:0": (40, 60, 200), "conv:1": (220, 180, 20)}
Color = tuple[int, int, int]


def picture(color: Color, side: int = 64, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), color).save(file, kind)
    return file.getvalue()


def tile(key: str, **fields: Any) -> PosterTile:
    return PosterTile(key, **{"picture": picture(COLORS[key]), "side": 64.0, **fields})


def two_layers(**fields: Any) -> Poster:
    """Two layers of two tiles, each of its own colour."""
    view = Poster(height=420)
    view.show(
        [
            PosterBand(layer, [tile(f"{layer}:{unit}", **fields) for unit in (0, 1)], "two units")
            for layer in ("fc", "conv")
        ]
    )
    return view


class Hung(Shown):
    """A poster in a page; what the page asks for is answered in `pump`."""

    def __init__(self, view: Poster, page: Page) -> None:
        view._errands.put = lambda key, work, urgent=False: work()
        super().__init__(view, page)
        self.asked: list[list[int]] = []

    def take(self) -> list[dict[str, Any]]:
        messages = super().take()
        for message in messages:
            if message.get("content", {}).get("type") == "pictures":
                self.asked += message["content"]["wanted"]
        return messages

    def settle(self) -> Hung:
        """Until all that is in sight is drawn as sharply as it can be, and stands still."""
        self.frames(3)
        before = None
        for _ in range(400):
            self.pump()
            now = self.data(CANVAS, "view")
            if self.data(CANVAS, "settled") == "true" and now == before:
                return self
            before = now
            self.frames(3)
        raise AssertionError(self.locator(CANVAS).evaluate("(node) => ({ ...node.dataset })"))

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Left, top, width and height of a tile in the canvas, in CSS pixels."""
        x, y, scale = map(float, self.data(CANVAS, "view").split())
        left, top, width, height = np.frombuffer(self.view.boxes, "<f4").reshape(-1, 4)[index].astype(float)
        frame = self.locator(CANVAS).bounding_box()
        place = (left - x) * scale + frame["width"] / 2, (top - y) * scale + frame["height"] / 2
        return *place, width * scale, height * scale

    def at(self, index: int) -> tuple[float, float]:
        """Middle of a tile in the page."""
        x, y, width, height = self.box(index)
        frame = self.locator(CANVAS).bounding_box()
        return frame["x"] + x + width / 2, frame["y"] + y + height / 2

    def color(self, index: int) -> list[int]:
        x, y, width, height = self.box(index)
        return self.pixels(CANVAS)[round(y + height / 2), round(x + width / 2)].astype(int).tolist()

    def shows(self, index: int, color: Color) -> bool:
        red, green, blue, opaque = self.color(index)
        return max(abs(red - color[0]), abs(green - color[1]), abs(blue - color[2])) <= 6 and opaque == 255


@pytest.fixture
def hang(page: Page) -> Callable[[Poster], Hung]:
    return lambda view: Hung(view, page)


def test_values_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="key is ''"):
        PosterTile("")
    with pytest.raises(ValueError, match="picture of 'a' is a int"):
        PosterTile("a", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lines of 'a' are the text"):
        PosterTile("a", lines="score")  # type: ignore[arg-type]
    for side in (0, -1, float("nan"), (1, 0), (1, 2, 3), "large"):
        with pytest.raises(ValueError, match="side of 'a'"):
            PosterTile("a", side=side)  # type: ignore[arg-type]


def test_a_poster_that_does_not_fit_is_told_and_the_former_stays() -> None:
    view = two_layers()
    for fields, told in [({"aspect": 0}, "aspect"), ({"smallest": 2}, "smallest"), ({"selected": "no"}, "'no'")]:
        with pytest.raises(ValueError, match=told):
            view.show([], **fields)
    with pytest.raises(ValueError, match="the key 'a' is that of two tiles"):
        view.show([PosterBand("x", [PosterTile("a"), PosterTile("b")]), PosterBand("y", [PosterTile("a")])])
    with pytest.raises(ValueError, match="no tile 'c'; this poster has 4, such as 'fc:0'"):
        view.update(PosterTile("fc:0"), PosterTile("c"))
    with pytest.raises(ValueError, match="no tile 'c'"):
        view.fly_to("c")
    assert (view.version, view.tile_keys, view.selected) == (1, list(COLORS), -1)
    assert np.frombuffer(view.revisions, "<i4").tolist() == [1, 1, 1, 1]


def test_the_selected_tile_is_one_of_these() -> None:
    view = two_layers()
    view.selected = 4
    assert (view.selected, view.selected_key) == (-1, "")
    view.selected = 3
    assert view.selected_key == "conv:1"
    view.show([PosterBand("fc", [PosterTile("fc:7")])], selected="fc:7")
    assert view.selected_key == "fc:7"
    with pytest.raises(traitlets.TraitError):
        view.selected = -2


def test_tiles_too_small_to_be_seen_are_drawn_larger() -> None:
    view = Poster()
    view.show([PosterBand("a", [PosterTile("a", side=3), PosterTile("b", side=(2.0, 1.0)), PosterTile("c", side=100)])])
    sides = np.frombuffer(view.boxes, "<f4").reshape(-1, 4)[:, 2:].astype(float)
    np.testing.assert_allclose(sides / sides[2], [[0.3, 0.3], [0.3, 0.15], [1, 1]], rtol=1e-4)


def test_messages_that_are_wrong_or_late_are_not_answered() -> None:
    view, sent = two_layers(), []
    view._errands.put = lambda key, work, urgent=False: work()
    view.send = lambda content, buffers=None: sent.append(content)
    good = {"type": "pictures", "version": 1, "wanted": [[0, 0]]}
    for changed in ({"version": 0}, {"type": "x"}, {"wanted": [[9, 0]]}, {"wanted": [[0, 9]]}, {"wanted": [["0", 0]]}):
        view._receive(view, {**good, **changed}, [])
    assert not sent
    view._receive(view, {**good, "wanted": [[0, 0], [-1, 0], 7]}, [])
    assert [entry[:2] for entry in sent[0]["tiles"]] == [[0, 0]]
    view._errands.put = lambda key, work, urgent=False: (view.show([]), work())
    view._receive(view, good, [])
    assert len(sent) == 1


@pytest.mark.browser
def test_every_tile_is_drawn_where_it_belongs(hang) -> None:
    shown = hang(two_layers()).settle()
    assert all(shown.shows(index, color) for index, color in enumerate(COLORS.values()))
    x, y, width, height = shown.box(0)
    pixels = shown.pixels(CANVAS)
    row = pixels[round(y + height / 2), :, :3].astype(int)
    mine = np.abs(row - COLORS["fc:0"]).max(axis=1) <= 6
    assert mine.sum() == pytest.approx(width, abs=3)
    assert mine.argmax() == pytest.approx(x, abs=2)


@pytest.mark.browser
def test_pictures_keep_their_shape_in_a_place_of_another(hang) -> None:
    view = Poster(height=400)
    file = io.BytesIO()
    Image.new("RGB", (80, 40), (200, 40, 40)).save(file, "PNG")
    view.show([PosterBand("a", [PosterTile("a", file.getvalue(), side=10)])])
    shown = hang(view).settle()
    *_, width, height = shown.box(0)
    pixels = shown.pixels(CANVAS)[..., :3].astype(int)
    mine = np.abs(pixels - [200, 40, 40]).max(axis=2) <= 6
    rows, columns = mine.any(axis=1).sum(), mine.any(axis=0).sum()
    assert columns == pytest.approx(width, abs=3)
    assert rows == pytest.approx(height / 2, abs=3)


@pytest.mark.browser
def test_a_place_without_a_picture_is_an_outline_until_one_comes(hang) -> None:
    view = two_layers(picture=None)
    shown = hang(view).settle()
    assert not shown.asked
    ground = shown.color(0)
    assert len(set(ground[:3])) == 1
    assert ground[3] == 255
    x, y, _, height = shown.box(0)
    strip = shown.pixels(CANVAS)[round(y + height / 2), round(x) - 4 : round(x) + 8]
    assert len(np.unique(strip, axis=0)) > 1
    assert "0 of 4 pictures" in shown.locator(".cnnviz-line").inner_text()
    view.update(tile("fc:1"), caption="1 of 4")
    shown.settle()
    assert shown.shows(1, COLORS["fc:1"])
    assert shown.color(0) == ground
    assert shown.locator(".cnnviz-caption").inner_text() == "1 of 4"
    assert "1 of 4 pictures" in shown.locator(".cnnviz-line").inner_text()


@pytest.mark.browser
def test_a_better_picture_replaces_only_its_own(hang) -> None:
    view = two_layers()
    shown = hang(view).settle()
    shown.asked.clear()
    for color in [(10, 200, 200), (250, 250, 250)]:
        view.update(PosterTile("conv:0", picture(color)))
        shown.settle()
        assert shown.shows(2, color)
        assert all(shown.shows(i, list(COLORS.values())[i]) for i in (0, 1, 3))
    assert {index for index, _ in shown.asked} == {2}


@pytest.mark.browser
def test_a_picture_that_was_replaced_while_it_was_on_its_way_is_not_the_last(hang) -> None:
    view = two_layers()
    shown = hang(view)
    shown.frames(4)
    first = shown.take()
    view.update(PosterTile("fc:0", picture((1, 2, 250))))
    for message in first:
        if message["method"] == "custom":
            view._handle_custom_msg({**message["content"]}, [])
    shown.settle()
    assert shown.shows(0, (1, 2, 250))


@pytest.mark.browser
def test_a_picture_that_is_taken_away_leaves_its_place(hang) -> None:
    view = two_layers()
    shown = hang(view).settle()
    view.update(PosterTile("fc:0", None, lines=("no gradient reaches the image",)))
    shown.settle()
    red, green, blue, _ = shown.color(0)
    assert red == green == blue
    assert shown.shows(1, COLORS["fc:1"])


@pytest.mark.browser
@pytest.mark.parametrize("broken", [b"\x89PNG no picture", picture((9, 9, 9), 300, "JPEG")[:400]], ids=["alien", "cut"])
def test_a_broken_picture_leaves_its_place_and_the_others(hang, broken, caplog) -> None:
    view = two_layers()
    view.update(PosterTile("fc:0", broken))
    shown = hang(view).settle()
    assert all(shown.shows(i, list(COLORS.values())[i]) for i in (1, 2, 3))
    caplog.clear()


@pytest.mark.browser
def test_a_function_is_asked_for_its_picture_when_that_is_seen(hang) -> None:
    calls = []

    def made() -> Image.Image:
        calls.append(1)
        return Image.new("RGB", (500, 500), (12, 99, 180))

    view = Poster(height=400)
    view.show([PosterBand("a", [PosterTile("a", made)])])
    assert not calls
    shown = hang(view).settle()
    assert calls
    assert shown.shows(0, (12, 99, 180))


@pytest.mark.long
@pytest.mark.browser
def test_coarse_pictures_come_first_and_fine_ones_only_where_they_are_seen(hang) -> None:
    view = Poster(height=400)
    tiles = [PosterTile(f"a:{i}", Image.effect_noise((900, 900), 80).convert("RGB"), side=1) for i in range(60)]
    view.show([PosterBand("a", tiles)])
    shown = hang(view).settle()
    first = {}
    for index, level in shown.asked:
        first.setdefault(index, level)
    assert first == dict.fromkeys(range(60), 0)
    longest = max(shown.box(0)[2:])
    finest = max(level for _, level in shown.asked)
    assert SIDES[finest] < 3 * longest
    shown.asked.clear()
    view.fly_to("a:7")
    shown.settle()
    assert [7, 3] in shown.asked or [7, 4] in shown.asked
    assert len({index for index, level in shown.asked if level >= 3}) <= 16


@pytest.mark.browser
def test_nothing_travels_twice(hang) -> None:
    shown = hang(two_layers()).settle()
    for key in ("+", "+", "Home", "+", "Home"):
        shown.locator(VIEWPORT).press(key)
        shown.settle()
    assert len(shown.asked) == len({tuple(place) for place in shown.asked})


@pytest.mark.browser
def test_a_lost_answer_is_asked_for_again(hang) -> None:
    shown = hang(two_layers())
    shown.frames(4)
    assert any(message["method"] == "custom" for message in shown.take())
    shown.page.evaluate("() => { const { now } = performance; performance.now = () => now.call(performance) + 9000; }")
    shown.page.evaluate("() => harness.model.trigger('msg:custom', { type: 'pictures', version: 1, tiles: [] }, [])")
    shown.settle()
    assert all(shown.shows(index, color) for index, color in enumerate(COLORS.values()))


@pytest.mark.browser
def test_answers_for_other_bands_are_ignored(hang) -> None:
    view = two_layers()
    shown = hang(view)
    shown.frames(4)
    late = [message["content"] for message in shown.take() if message["method"] == "custom"]
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers))
    for content in late:
        view._receive(view, content, [])
    del view.send
    view.show([PosterBand("other", [PosterTile("other:0", picture((9, 90, 9)))])])
    for content, buffers in sent:
        view.send(content, buffers)
    shown.settle()
    assert shown.shows(0, (9, 90, 9))
    assert shown.data(CANVAS, "count") == "1"


@pytest.mark.long
@pytest.mark.browser
def test_a_page_that_is_opened_again_shows_coarse_pictures_before_python_answers(hang, page) -> None:
    view = two_layers()
    first = hang(view).settle()
    first.page.evaluate("() => harness.views[0].el.remove()")
    again = Hung(view, page)
    again.frames(30)
    again.take()
    assert all(again.shows(index, color) for index, color in enumerate(COLORS.values()))
    again.settle()
    view.update(PosterTile("fc:0", picture((250, 1, 200))))
    again.settle()
    assert again.shows(0, (250, 1, 200))


@pytest.mark.browser
def test_views_of_one_model_show_the_same_and_ask_once(hang) -> None:
    view = two_layers()
    shown = hang(view).settle()
    before = len(shown.asked)
    shown.page.evaluate("() => harness.render()")
    shown.frames(10)
    shown.pump()
    assert len(shown.asked) == before
    shown.wait(f"document.querySelectorAll('{CANVAS}')[1].dataset.settled === 'true'")
    assert not shown.take()
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.locator(CANVAS).count() == 1
    view.update(PosterTile("fc:0", picture((250, 1, 200))))
    shown.page.wait_for_timeout(300)
    shown.settle()
    assert shown.shows(0, (250, 1, 200))


@pytest.mark.browser
def test_it_comes_back_as_it_was_after_it_was_scrolled_away(hang) -> None:
    shown = hang(two_layers()).settle()
    shown.locator(VIEWPORT).press("+")
    shown.settle()
    before, asked = shown.data(CANVAS, "view"), len(shown.asked)
    shown.detach()
    shown.settle()
    assert shown.data(CANVAS, "view") == before
    assert len(shown.asked) == asked


@pytest.mark.browser
def test_nothing_to_show_is_said(hang) -> None:
    view = Poster()
    shown = hang(view)
    shown.frames(4)
    assert shown.locator(".cnnviz-caption").inner_text() == "No layers to show."
    assert not shown.locator(VIEWPORT).is_visible()
    view.show([PosterBand("fc")])
    shown.settle()
    assert shown.locator(VIEWPORT).is_visible()
    assert shown.data(CANVAS, "headings") == "1"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_headings_stand_out_from_the_ground(hang, page, scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    shown = hang(two_layers()).settle()
    x, y, width, _ = shown.box(0)
    strip = shown.pixels(CANVAS)[max(0, round(y) - 30) : round(y) - 2, round(x) : round(x + width)]
    ink = strip[..., 3] > 200
    assert 20 < ink.sum() < ink.size / 2
    bright = strip[ink][:, :3].mean()
    assert bright < 90 if scheme == "light" else bright > 160


@pytest.mark.browser
def test_names_are_read_at_every_zoom_and_more_is_told_from_near(hang) -> None:
    view, grey = Poster(height=420), picture((90, 90, 90))

    def units(layer: int) -> list[PosterTile]:
        return [PosterTile(f"{layer}:{u}", grey, label=f"u{u}", lines=("score 3",)) for u in range(9)]

    bands = [PosterBand(f"blocks.{layer}", units(layer)) for layer in range(120)]
    view.show(bands)
    shown = hang(view).settle()
    assert 20 <= int(shown.data(CANVAS, "headings")) <= 120
    assert shown.data(CANVAS, "labels") == "0"
    assert shown.data(CANVAS, "details") == "0"
    view.fly_to("60:4")
    shown.settle()
    assert int(shown.data(CANVAS, "labels")) >= 1
    assert int(shown.data(CANVAS, "details")) >= 1
    assert int(shown.data(CANVAS, "headings")) >= 1


def letters(shown: Hung, left: float, top: float, width: float, height: float) -> int:
    """Rows of a part of the canvas in which there is ink."""
    part = shown.pixels(CANVAS)[round(top) : round(top + height), round(left) : round(left + width)].astype(int)
    return int(((part[..., 3] > 128) & (part[..., :3].max(axis=-1) < 110)).any(axis=1).sum())


@pytest.mark.browser
def test_names_grow_with_the_type_of_the_panel_around(hang) -> None:
    view = Poster(height=420)
    tiles = [tile(key, label="HXH", lines=("HHH",)) for key in ("fc:0", "fc:1")]
    view.show([PosterBand("HHHH", tiles)])
    shown = hang(view).settle()
    x, y, width, height = shown.box(0)
    frame = shown.locator(CANVAS).bounding_box()
    places = [(0, 0, frame["width"], y), (x, y + height + 1, width, frame["height"] - y - height - 1)]
    usual = [letters(shown, *place) for place in places]
    assert min(usual) >= 8
    drawn = int(shown.data(CANVAS, "drawn"))
    shown.page.add_style_tag(content=joined("panel.css"))
    shown.page.evaluate("() => document.body.classList.add('cnnviz-large')")
    shown.wait("document.querySelector(argument).dataset.type === '23'", CANVAS)
    shown.settle()
    assert shown.box(0) == (x, y, width, height)
    assert [letters(shown, *place) for place in places] == pytest.approx([23 / 15 * size for size in usual], abs=1.6)
    assert int(shown.data(CANVAS, "drawn")) > drawn
    shown.page.evaluate("() => document.body.classList.remove('cnnviz-large')")
    shown.wait("document.querySelector(argument).dataset.type === '15'", CANVAS)
    assert [letters(shown, *place) for place in places] == usual


@pytest.mark.browser
def test_what_is_told_from_near_grows_too(hang) -> None:
    view = Poster(height=760)
    view.show([PosterBand("a", [tile("fc:0", lines=("HHHH",))])])
    shown = hang(view).settle()
    x, y, width, height = shown.box(0)
    place = (x, y + 0.6 * height, width, 0.4 * height)
    usual = letters(shown, *place)
    assert usual >= 8
    shown.locator(VIEWPORT).evaluate("(node) => { node.style.fontSize = '24px'; }")
    shown.wait("document.querySelector(argument).dataset.type === '24'", CANVAS)
    assert letters(shown, *place) == pytest.approx(1.6 * usual, abs=1.6)

"""Pictures with captions: where boxes, rings and overlays lie, rows and columns, selection, coming back."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import traitlets
from PIL import Image

from cnnviz_widgets.views import Cell, PictureTable
from tests.views.harness import SHIM, Shown

ROOT = ".cnnviz-table"
LIST = "[role=listbox]"
OPTION = "[role=option]"
PICTURE = ".cnnviz-table-picture"
GREY = (120, 120, 120)
SIDE = 144
PADDING = 8
# Decoding waits until the test lets it go on.
HOLD = """() => {
  window.held = [];
  const decode = HTMLImageElement.prototype.decode;
  HTMLImageElement.prototype.decode = function () {
    return new Promise((go) => window.held.push(go)).then(() => decode.call(this));
  };
}"""
RELEASE = "() => window.held.splice(0).forEach((go) => go())"
COUNT_ADDRESSES = """() => {
  window.addresses = new Set();
  const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (blob) => {
    const url = make.call(URL, blob);
    window.addresses.add(url);
    return url;
  };
  URL.revokeObjectURL = (url) => {
    window.addresses.delete(url);
    drop.call(URL, url);
  };
}"""


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def plain(color: tuple[int, ...] = GREY, height: int = 100, width: int = 200) -> bytes:
    return png(np.full((height, width, len(color)), color, np.uint8))


def cells(count: int, **fields) -> list[Cell]:
    """Cells of plain colours, each another one, with their number written under them."""
    return [Cell(plain((20 * i % 256, 90, 90)), (f"cell {i}",), **fields) for i in range(count)]


def table(count: int = 6, **options) -> PictureTable:
    view = PictureTable()
    view.show(cells(count), **options)
    return view


def drawn(shown: Shown, times: int = 1) -> Shown:
    shown.wait(f"document.querySelector('{ROOT}').dataset.drawn === String(argument)", times)
    shown.frames()
    return shown


def screen(shown: Shown) -> np.ndarray:
    """What is seen, as uint8 (height, width, 3)."""
    shown.page.mouse.move(799, 899)
    shown.frames()
    return np.asarray(Image.open(io.BytesIO(shown.page.screenshot())).convert("RGB"))


def place(shown: Shown, css: str, index: int = 0) -> dict[str, float]:
    return shown.page.locator(css).nth(index).bounding_box()


def lefts(shown: Shown) -> list[float]:
    return shown.page.locator(OPTION).evaluate_all("(all) => all.map((node) => node.getBoundingClientRect().left)")


def style(shown: Shown, css: str, name: str) -> str:
    return shown.locator(css).evaluate("(node, name) => getComputedStyle(node)[name]", name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"picture": "cat.png"}, "picture is a str, expected the bytes"),
        ({"overlay": None}, "overlay is a NoneType, expected the bytes"),
        ({"lines": "tabby"}, "lines is the text 'tabby', expected a tuple"),
        ({"box": (0.5, 0, 0.5, 1)}, r"box is \(0.5, 0, 0.5, 1\), expected \(top, left, bottom, right\)"),
        ({"box": (0, 0, 1)}, "expected .top, left, bottom, right"),
        ({"box": (0, 0, 224, 224)}, "in fractions of the picture"),
        ({"box": (0, 0, 1, math.nan)}, "left < right <= 1"),
        ({"mark": (0.5, 1.5)}, r"mark is \(0.5, 1.5\), expected \(y, x\)"),
        ({"mark": (0.5,)}, r"expected \(y, x\)"),
        ({"tone": "right"}, "tone is 'right', expected one of '', 'query', 'hit', 'miss'"),
    ],
)
def test_a_cell_refuses_what_does_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        Cell(**({"picture": b""} | fields))


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1001, {}, "1001 cells, expected at most 1000"),
        (2, {"columns": -1}, "columns is -1"),
        (2, {"side": 3}, "side is 3, expected at least 16"),
        (2, {"lead": True}, "lead with columns=0, expected 2 columns or more"),
        (2, {"columns": 2, "heads": ["a"]}, "1 heads for columns=2"),
        (2, {"heads": ["a", "b"]}, "2 heads for columns=0"),
        (2, {"selected": 2}, r"selected is 2, expected -1 \(none\) to 1"),
        (2, {"selected": -2}, r"-1 \(none\) to 1"),
    ],
)
def test_show_refuses_what_does_not_fit(count, options, message):
    view = table(3, selected=1)
    with pytest.raises(ValueError, match=message):
        view.show([Cell(b"")] * count, **options)
    assert len(view.cells) == 3
    assert view.selected == 1


def test_pictures_travel_once_each_in_one_buffer():
    one, other, overlay = plain((1, 2, 3)), plain((4, 5, 6)), plain((7, 8, 9, 10))
    view = PictureTable()
    view.show([Cell(one, overlay=overlay), Cell(other), Cell(one)])
    assert view.data == one + overlay + other
    spans = [cell[name] for cell in view.cells for name in ("picture", "overlay")]
    read = [view.data[offset : offset + length] for offset, length in spans]
    assert read == [one, overlay, other, b"", one, b""]
    state = view.get_state(["data", "cells"])
    assert state["data"] == view.data
    assert state["cells"][0]["picture"] == [0, len(one)]


def test_numbers_of_numpy_become_plain_ones():
    view = PictureTable()
    view.show([Cell(b"", (1.5,), box=tuple(np.float32([0, 0, 0.5, 1])), mark=tuple(np.float64([0.5, 0.25])))])
    (cell,) = view.cells
    assert [type(value) for value in (*cell["box"], *cell["mark"])] == [float] * 6
    assert cell["lines"] == ["1.5"]


def test_a_selection_beyond_the_last_cell_becomes_none():
    view = table(5, selected=4)
    view.set_state({"selected": 5})
    assert view.selected == -1
    view.show(cells(9), selected=8)
    assert view.selected == 8
    view.show(cells(2))
    assert view.selected == -1
    view.selected = 2
    assert view.selected == -1
    view.selected = 1
    view.show([], selected=0)
    assert view.selected == -1


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_the_opacity_is_a_fraction(value):
    with pytest.raises(traitlets.TraitError, match=r"overlay_opacity is .*, expected 0 to 1"):
        PictureTable(overlay_opacity=value)


@pytest.mark.browser
def test_pictures_keep_their_shape_in_the_middle_of_a_square(show):
    view = PictureTable()
    view.show([Cell(plain(height=100, width=200)), Cell(plain(height=300, width=100)), Cell(plain(height=9, width=6))])
    shown = drawn(show(view))
    for index, (height, width) in enumerate([(72, 144), (144, 48), (144, 96)]):
        cell, picture = place(shown, OPTION, index), place(shown, PICTURE, index)
        image = place(shown, f"{PICTURE} img", index)
        assert picture == pytest.approx(image)
        assert (picture["height"], picture["width"]) == pytest.approx((height, width))
        assert picture["x"] - cell["x"] == pytest.approx(PADDING + (SIDE - width) / 2)
        assert picture["y"] - cell["y"] == pytest.approx(PADDING + (SIDE - height) / 2)
    rendering = shown.page.locator("img").evaluate_all(
        "(all) => all.map((node) => getComputedStyle(node).imageRendering)"
    )
    assert rendering == ["auto", "auto", "pixelated"]


@pytest.mark.browser
def test_tiny_pictures_are_crisp(show):
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = pixels[1, 1] = 255
    view = PictureTable()
    view.show([Cell(png(pixels))])
    shown = drawn(show(view))
    seen, box = screen(shown), place(shown, PICTURE)
    x, y = round(box["x"]), round(box["y"])
    assert set(np.unique(seen[y : y + SIDE, x : x + SIDE])) == {0, 255}
    assert (seen[y : y + SIDE // 2, x : x + SIDE // 2] == 255).all()


@pytest.mark.browser
def test_a_box_frames_its_part_of_the_picture_from_outside(show):
    pixels = np.full((100, 200, 3), GREY, np.uint8)
    pixels[20:60, 100:180] = (255, 0, 0)
    view = PictureTable()
    view.show([Cell(png(pixels), box=(0.2, 0.5, 0.6, 0.9))], side=200)
    shown = drawn(show(view))
    seen, box = screen(shown), place(shown, PICTURE)
    top, left = round(box["y"]) + 20, round(box["x"]) + 100
    bottom, right = top + 40, left + 80
    assert (seen[top:bottom, left:right] == (255, 0, 0)).all()
    for distance, color in [(1, 255), (2, 255), (3, 0), (4, 0)]:
        for row in (top - distance, bottom + distance - 1):
            assert (seen[row, left:right] == color).all(), distance
        for column in (left - distance, right + distance - 1):
            assert (seen[top:bottom, column] == color).all(), distance
    assert (seen[top - 5, left:right] == GREY).all()


@pytest.mark.browser
def test_a_ring_sits_around_its_mark_and_leaves_it_free(show):
    view = PictureTable()
    view.show([Cell(plain((255, 0, 0)), mark=(0.4, 0.7))], side=200)
    shown = drawn(show(view))
    seen, box, ring = screen(shown), place(shown, PICTURE), place(shown, ".cnnviz-table-ring")
    y, x = box["y"] + 0.4 * box["height"], box["x"] + 0.7 * box["width"]
    assert ring["x"] + ring["width"] / 2 == pytest.approx(x, abs=0.5)
    assert ring["y"] + ring["height"] / 2 == pytest.approx(y, abs=0.5)
    y, x, radius = round(y), round(x), round(ring["width"] / 2)
    assert (seen[y - 2 : y + 2, x - 2 : x + 2] == (255, 0, 0)).all()
    # Halfway between the arms, away from the crosshair
    along = [
        seen[y + round(r * math.sin(math.pi / 4)), x + round(r * math.cos(math.pi / 4))] for r in range(radius + 6)
    ]
    assert [255, 255, 255] in [color.tolist() for color in along[radius - 2 : radius + 1]]
    assert min(color.max() for color in along[radius : radius + 3]) < 60
    arm = seen[y, x - radius - 9 : x + radius + 9].tolist()
    assert arm.count([255, 255, 255]) >= radius
    assert arm == arm[::-1]


@pytest.mark.browser
def test_overlays_cover_their_picture_with_the_opacity_at_once(show):
    overlay = np.zeros((10, 40, 4), np.uint8)
    overlay[:, 20:] = (255, 0, 0, 255)
    view = PictureTable(overlay_opacity=0.25)
    view.show([Cell(plain(), overlay=png(overlay))], side=200)
    shown = drawn(show(view))
    box = place(shown, PICTURE)
    y, x = round(box["y"]), round(box["x"])
    for opacity in (0.25, 0.8, 0.0, 1.0):
        shown.view.overlay_opacity = opacity
        seen = screen(shown)
        expected = (1 - opacity) * np.array(GREY) + opacity * np.array((255, 0, 0))
        for row in (y, y + 50, y + 99):
            assert seen[row, x + 199] == pytest.approx(expected, abs=1.5)
            assert seen[row, x + 106] == pytest.approx(expected, abs=1.5)
            assert (seen[row, x : x + 94] == GREY).all()
        assert (seen[y - 1, x : x + 200] == 255).all()
    assert shown.data(ROOT, "drawn") == "1"


@pytest.mark.browser
def test_boxes_and_rings_can_be_hidden(show):
    view = PictureTable(show_marks=False)
    view.show([Cell(plain(), box=(0.2, 0.2, 0.8, 0.8), mark=(0.5, 0.5))])
    shown = drawn(show(view))
    assert not shown.locator(".cnnviz-table-box").is_visible()
    assert not shown.locator(".cnnviz-table-ring").is_visible()
    shown.view.show_marks = True
    shown.frames()
    assert shown.locator(".cnnviz-table-box").is_visible()
    assert shown.locator(".cnnviz-table-ring").is_visible()
    assert shown.data(ROOT, "drawn") == "1"


@pytest.mark.browser
def test_what_is_no_picture_leaves_its_first_line_in_a_square(show):
    view = PictureTable()
    half = plain()[:-60]
    view.show(
        [Cell(b"", ("first", "second")), Cell(b"no picture", ("broken",)), Cell(plain(), overlay=b"x", lines=("a",))]
    )
    shown = drawn(show(view))
    assert shown.page.locator(".cnnviz-table-placeholder").all_text_contents() == ["first", "broken"]
    assert shown.page.locator(".cnnviz-table-lines").all_text_contents() == ["second", "", "a"]
    box = place(shown, ".cnnviz-table-placeholder")
    assert (box["width"], box["height"]) == (SIDE, SIDE)
    assert shown.page.locator("img").count() == 1
    shown.view.show([Cell(half, ("cut off",))])
    drawn(shown, 2)
    assert shown.data(ROOT, "count") == "1"


@pytest.mark.browser
def test_lines_are_strong_then_muted_and_centred_below(show):
    view = PictureTable()
    view.show([Cell(plain(), ("Egyptian cat", "0.12", "photo-7.jpg"))])
    shown = drawn(show(view))
    lines = shown.page.locator(".cnnviz-table-line")
    assert lines.all_text_contents() == ["Egyptian cat", "0.12", "photo-7.jpg"]
    weights = lines.evaluate_all("(all) => all.map((node) => getComputedStyle(node).fontWeight)")
    assert weights == ["600", "400", "400"]
    colors = lines.evaluate_all("(all) => all.map((node) => getComputedStyle(node).color)")
    assert colors == ["rgb(28, 28, 28)", "rgb(92, 92, 92)", "rgb(92, 92, 92)"]
    sizes = lines.evaluate_all("(all) => all.map((node) => parseFloat(getComputedStyle(node).fontSize))")
    assert min(sizes) >= 15
    tops = [place(shown, ".cnnviz-table-line", i)["y"] for i in range(3)]
    assert place(shown, OPTION)["y"] + PADDING + SIDE < tops[0] < tops[1] < tops[2]


@pytest.mark.browser
def test_tones_have_a_sign_a_colour_and_a_word(show):
    view = PictureTable()
    view.show([Cell(plain(), ("tabby", "0.1"), tone=tone) for tone in ("query", "hit", "miss", "")])
    shown = drawn(show(view))
    firsts = shown.page.locator(".cnnviz-table-line:first-child").all_text_contents()
    assert firsts == ["▸ tabby", "✓ tabby", "✗ tabby", "tabby"]
    labels = [option.get_attribute("aria-label") for option in shown.page.locator(OPTION).all()]
    assert labels == ["tabby, 0.1, query", "tabby, 0.1, hit", "tabby, 0.1, miss", "tabby, 0.1"]
    seen, colors = screen(shown), []
    for index in range(4):
        lines = place(shown, ".cnnviz-table-lines", index)
        band = seen[round(lines["y"]) : round(lines["y"]) + 4, round(lines["x"]) : round(lines["x"]) + SIDE].reshape(
            -1, 3
        )
        assert (band == band[0]).all()
        colors.append(tuple(band[0].tolist()))
    assert colors == [(21, 101, 192), (0, 158, 115), (213, 94, 0), (255, 255, 255)]


@pytest.mark.browser
def test_the_title_is_tooltip_and_label(show):
    view = PictureTable()
    view.show([Cell(plain(), ("tabby",), title="photo 3 of 9"), Cell(plain(), ("tabby", "0.1")), Cell(b"")])
    shown = drawn(show(view))
    options = shown.page.locator(OPTION).all()
    assert [option.get_attribute("title") for option in options] == ["photo 3 of 9", "tabby, 0.1", ""]
    assert [option.get_attribute("aria-label") for option in options] == ["photo 3 of 9", "tabby, 0.1", "picture 3"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "columns"), [(800, 4), (420, 2)])
def test_as_many_pictures_a_row_as_fit(show, width, columns):
    shown = show(table(9))
    shown.page.set_viewport_size({"width": width, "height": 900})
    drawn(shown)
    places = lefts(shown)
    assert len(set(places)) == columns
    assert places[columns] == places[0]
    assert shown.locator(LIST).evaluate("(node) => node.scrollWidth <= node.clientWidth")
    for key, end in [("Home", 0), ("ArrowDown", columns), ("ArrowRight", columns + 1), ("ArrowUp", 1), ("ArrowUp", 1)]:
        shown.locator(LIST).press(key)
        shown.pump()
        assert shown.view.selected == end, key


@pytest.mark.browser
def test_fixed_columns_have_heads_and_scroll(show):
    shown = drawn(show(table(10, columns=6, heads=["query", "1st", "2nd", "3rd", "4th", "5th"])))
    places = lefts(shown)
    assert len(set(places)) == 6
    assert places[6:] == places[:4]
    heads = shown.page.locator(".cnnviz-table-head")
    assert heads.all_text_contents() == ["query", "1st", "2nd", "3rd", "4th", "5th"]
    for index in range(6):
        assert place(shown, ".cnnviz-table-head", index)["x"] == places[index]
        assert place(shown, ".cnnviz-table-head", index)["y"] < place(shown, OPTION, index)["y"]
    described = shown.page.locator(OPTION).nth(7).get_attribute("aria-describedby")
    assert shown.locator(f"#{described}").text_content() == "1st"
    assert shown.locator(LIST).evaluate("(node) => node.scrollWidth") == 6 * (SIDE + 2 * PADDING)
    assert shown.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_the_lead_column_stays_in_sight(show):
    shown = drawn(show(table(12, columns=6, lead=True, heads=list("abcdef"))))
    before = lefts(shown)
    assert before[1] - before[0] > before[2] - before[1]
    shown.locator(LIST).evaluate("(node) => node.scrollTo(150, 0)")
    shown.frames()
    after = lefts(shown)
    assert (after[0], after[6]) == (before[0], before[6])
    assert [old - new for old, new in zip(before[1:6], after[1:6], strict=True)] == pytest.approx([150] * 5)
    heads = [place(shown, ".cnnviz-table-head", i)["x"] for i in range(6)]
    assert heads == pytest.approx(after[:6])
    # What scrolled away is beneath: the lead picture is seen and hit.
    seen, box = screen(shown), place(shown, PICTURE)
    y, right = round(box["y"] + 10), round(box["x"] + SIDE)
    assert (seen[y, round(box["x"]) : right] == (0, 90, 90)).all()
    assert (seen[y, right + 1 : right + PADDING] == 255).all()
    shown.page.mouse.click(right + 12, y)
    shown.pump()
    assert shown.view.selected == 0


@pytest.mark.browser
def test_the_selected_cell_scrolls_into_sight_beside_the_lead(show):
    shown = drawn(show(table(12, columns=6, lead=True)))
    for index in (5, 1, 4, 2):
        shown.view.selected = index
        shown.wait(f"document.querySelector('{ROOT}').dataset.selected === String(argument)", index)
        lead, cell, whole = place(shown, OPTION, 0), place(shown, OPTION, index), place(shown, LIST)
        assert cell["x"] >= lead["x"] + lead["width"] - 1
        assert cell["x"] + cell["width"] <= whole["x"] + whole["width"] + 1


@pytest.mark.browser
def test_click_and_keys_select_choose_and_open(show):
    shown = drawn(show(table(12, columns=4)))
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    shown.page.locator("img").nth(5).click()
    shown.pump()
    assert shown.view.selected == 5
    assert shown.messages == [{"type": "choose", "index": 5}]
    shown.page.locator("img").nth(5).click()
    shown.pump()
    assert shown.view.selected == 5
    assert shown.messages == [{"type": "choose", "index": 5}] * 2
    shown.messages.clear()
    for key, end in [
        ("ArrowDown", 9),
        ("ArrowDown", 9),
        ("ArrowLeft", 8),
        ("ArrowUp", 4),
        ("ArrowRight", 5),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("PageDown", 11),
        ("PageUp", 0),
        ("End", 11),
    ]:
        shown.locator(LIST).press(key)
        shown.pump()
        assert shown.view.selected == end, key
        assert shown.data(ROOT, "selected") == str(end)
    assert shown.messages == []
    selected = shown.page.locator("[aria-selected=true]")
    assert selected.count() == 1
    assert selected.get_attribute("id") == shown.locator(LIST).get_attribute("aria-activedescendant")
    assert selected.text_content() == "cell 11"
    shown.locator(LIST).press("Enter")
    shown.locator(LIST).press(" ")
    shown.page.get_by_text("cell 3").dblclick()
    shown.pump()
    chosen, opened = {"type": "choose", "index": 3}, [{"type": "open", "index": 11}] * 2
    assert shown.messages == [*opened, chosen, chosen, {"type": "open", "index": 3}]
    assert shown.page.evaluate("() => window.leaked") is None
    shown.locator(LIST).press("x")
    shown.locator(LIST).press("Control+ArrowLeft")
    assert shown.page.evaluate("() => window.leaked") == "ArrowLeft"


@pytest.mark.browser
def test_the_place_beside_the_cells_chooses_nothing(show):
    shown = drawn(show(table(2)))
    box = place(shown, LIST)
    shown.page.mouse.click(box["x"] + box["width"] - 5, box["y"] + 20)
    shown.locator(LIST).press("Enter")
    shown.pump()
    assert shown.messages == []
    assert shown.view.selected == -1


@pytest.mark.browser
def test_the_selected_cell_is_seen(show):
    shown = drawn(show(table(3, selected=1)))
    seen = screen(shown)
    for index, color in [(0, (255, 255, 255)), (1, (21, 101, 192)), (2, (255, 255, 255))]:
        cell = place(shown, OPTION, index)
        assert tuple(seen[round(cell["y"]) + 1, round(cell["x"]) + SIDE // 2]) == color


@pytest.mark.browser
def test_new_pictures_appear_all_at_once_when_they_are_decoded(show, page):
    page.evaluate(HOLD)
    shown = show(table(3, caption="old"))
    assert shown.data(ROOT, "drawn") is None
    page.evaluate(RELEASE)
    drawn(shown)
    shown.view.show(cells(5), selected=4, caption="new")
    shown.wait("window.held.length === 5")
    shown.frames()
    assert page.locator("img").count() == 3
    assert shown.locator(".cnnviz-caption").text_content() == "old"
    assert shown.locator(LIST).get_attribute("aria-busy") == "true"
    page.get_by_text("cell 1").click()
    shown.locator(LIST).press("Home")
    shown.pump()
    assert shown.messages == []
    assert shown.view.selected == 4
    page.evaluate(RELEASE)
    drawn(shown, 2)
    assert page.locator("img").count() == 5
    assert page.locator("img").evaluate_all("(all) => all.every((node) => node.complete && node.naturalWidth === 200)")
    assert (shown.data(ROOT, "count"), shown.data(ROOT, "selected")) == ("5", "4")
    assert shown.locator(".cnnviz-caption").text_content() == "new"
    assert shown.locator(LIST).get_attribute("aria-busy") is None


@pytest.mark.browser
def test_pictures_overtaken_by_newer_ones_are_never_shown(show, page):
    page.evaluate(HOLD)
    shown = show(table(2))
    shown.view.show(cells(3))
    shown.wait("window.held.length === 5")
    page.evaluate("() => window.held.splice(2).forEach((go) => go())")
    drawn(shown)
    page.evaluate(RELEASE)
    shown.frames(4)
    assert page.locator("img").count() == 3
    assert shown.data(ROOT, "drawn") == "1"


@pytest.mark.browser
def test_addresses_of_pictures_are_given_back(show, page):
    page.evaluate(COUNT_ADDRESSES)
    one = plain()
    view = PictureTable()
    view.show([Cell(one, overlay=plain((9, 9, 9, 9))), Cell(one)])
    shown = drawn(show(view))
    # The view's own script has one too.
    assert page.evaluate("() => window.addresses.size") == 1 + 2
    shown.view.show(cells(4))
    drawn(shown, 2)
    assert page.evaluate("() => window.addresses.size") == 1 + 4
    page.evaluate("() => harness.views[0].end()")
    assert page.evaluate("() => window.addresses.size") == 1
    assert page.locator(ROOT).count() == 0


@pytest.mark.browser
def test_a_view_closed_while_decoding_leaves_nothing(show, page):
    page.evaluate(HOLD)
    page.evaluate(COUNT_ADDRESSES)
    shown = show(table(2))
    page.evaluate("() => harness.views[0].end()")
    page.evaluate(RELEASE)
    shown.frames(4)
    assert page.evaluate("() => window.addresses.size") == 1
    assert page.locator(ROOT).count() == 0


@pytest.mark.browser
def test_no_cells_leave_the_caption(show):
    view = PictureTable()
    view.show([], caption="no photograph excites this unit")
    shown = drawn(show(view))
    assert shown.locator(".cnnviz-caption").is_visible()
    assert not shown.locator(LIST).is_visible()
    assert shown.data(ROOT, "count") == "0"
    shown.view.show(cells(2))
    drawn(shown, 2)
    assert shown.locator(LIST).is_visible()
    shown.view.show([])
    drawn(shown, 3)
    assert not shown.locator(LIST).is_visible()


@pytest.mark.browser
def test_two_views_of_one_model_agree_and_close_apart(show):
    shown = drawn(show(table(4)))
    shown.page.evaluate("() => harness.render()")
    shown.wait(f"document.querySelectorAll('{ROOT}[data-drawn]').length === 2")
    shown.page.locator(ROOT).nth(1).locator("img").nth(2).click()
    shown.wait(f"[...document.querySelectorAll('{ROOT}')].every((node) => node.dataset.selected === '2')")
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.locator(ROOT).count() == 1
    shown.view.show(cells(1))
    drawn(shown, 2)
    assert shown.page.locator("img").count() == 1


@pytest.mark.browser
def test_a_reload_shows_the_same(show):
    view = PictureTable(overlay_opacity=0.3)
    view.show(cells(8, box=(0, 0, 1, 0.5)), columns=8, lead=True, heads=list("abcdefgh"), side=100, caption="same")
    shown = drawn(show(view))
    shown.page.get_by_text("cell 1", exact=True).click()
    shown.pump()
    before = screen(shown)
    shown.page.reload()
    shown.page.add_script_tag(content=SHIM)
    again = drawn(show(view))
    assert again.data(ROOT, "selected") == "1"
    assert (screen(again) == before).all()


@pytest.mark.browser
def test_a_table_taken_out_and_put_back_is_as_it_was(show):
    view = table(40, columns=10, lead=True, heads=list("abcdefghij"))
    view.max_height = 300
    shown = drawn(show(view))
    shown.locator(LIST).evaluate("(node) => node.scrollTo(333, 222)")
    shown.frames()
    before = screen(shown)
    shown.detach()
    assert shown.locator(LIST).evaluate("(node) => [node.scrollLeft, node.scrollTop]") == [333, 222]
    assert (screen(shown) == before).all()
    shown.page.evaluate("() => harness.el.remove()")
    shown.view.show(cells(3), caption="changed while away")
    shown.frames(3)
    shown.page.evaluate("() => document.body.prepend(harness.el)")
    drawn(shown, 3 if shown.data(ROOT, "drawn") == "3" else 2)
    assert shown.page.locator("img").count() == 3
    assert shown.locator(".cnnviz-caption").text_content() == "changed while away"


@pytest.mark.browser
def test_hundreds_of_cells_scroll_within_a_height_under_their_heads(show):
    view = PictureTable(max_height=500)
    view.show(cells(300), columns=4, heads=list("abcd"), side=64)
    shown = drawn(show(view))
    assert shown.data(ROOT, "count") == "300"
    assert shown.page.locator("img").count() == 300
    assert place(shown, LIST)["height"] == 500
    for key, end in [("PageDown", 0), ("PageDown", 16), ("End", 299), ("PageUp", 283), ("Home", 0)]:
        shown.locator(LIST).press(key)
        shown.pump()
        assert shown.view.selected == end, key
        cell, whole, head = place(shown, OPTION, end), place(shown, LIST), place(shown, ".cnnviz-table-head")
        assert cell["y"] >= head["y"] + head["height"] - 1
        assert cell["y"] + cell["height"] <= whole["y"] + whole["height"] + 1
        assert head["y"] == whole["y"]


@pytest.mark.browser
def test_keys_bring_the_cell_into_the_window_python_does_not(show):
    shown = drawn(show(table(100, columns=4)))
    shown.view.selected = 99
    shown.wait(f"document.querySelector('{ROOT}').dataset.selected === '99'")
    assert shown.page.evaluate("() => scrollY") == 0
    shown.locator(LIST).press("Home")
    shown.locator(LIST).press("End")
    cell = place(shown, OPTION, 99)
    assert cell["y"] >= 0
    assert cell["y"] + cell["height"] <= 900


@pytest.mark.browser
def test_texts_are_text(show):
    view = PictureTable()
    cell = Cell(plain(), ("<b>x</b>", "<i>y</i>"), title="<u>t</u>", tone="hit")
    view.show([cell, Cell(b"", ("<b>z</b>",))], columns=2, heads=["<b>h</b>", "&amp;"], caption="<i>c</i>")
    shown = drawn(show(view))
    assert shown.page.locator(".cnnviz-table-line").all_text_contents() == ["✓ <b>x</b>", "<i>y</i>", "<b>z</b>"]
    assert shown.page.locator(".cnnviz-table-head").all_text_contents() == ["<b>h</b>", "&amp;"]
    assert shown.locator(OPTION).get_attribute("title") == "<u>t</u>"
    assert shown.locator(".cnnviz-caption").text_content() == "<i>c</i>"
    assert shown.page.locator("b, i, u").count() == 0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_a_light_and_a_dark_ground(show, page, scheme):
    page.emulate_media(color_scheme=scheme)
    view = PictureTable()
    view.show(
        [Cell(plain(), ("label", "0.1"), tone=tone) for tone in ("query", "hit", "miss")],
        columns=3,
        heads=list("abc"),
        selected=1,
        caption="caption",
    )
    shown = drawn(show(view))
    background = style(shown, ROOT, "backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}[scheme]
    for css, least in [
        (".cnnviz-table-line >> nth=0", 4.5),
        (".cnnviz-table-line >> nth=1", 4.5),
        (".cnnviz-table-head", 4.5),
        (".cnnviz-caption", 4.5),
        ("[data-tone=query] .cnnviz-table-tone", 3),
        ("[data-tone=hit] .cnnviz-table-tone", 3),
        ("[data-tone=miss] .cnnviz-table-tone", 3),
    ]:
        assert contrast(style(shown, css, "color"), background) >= least, css


def contrast(one: str, other: str) -> float:
    """Ratio of the luminances of two colours as CSS writes them, by WCAG 2.2."""

    def luminance(color: str) -> float:
        values = np.array([float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3]]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return bright / dark

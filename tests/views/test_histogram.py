"""Bars and marks over an axis: places, labels that keep clear of each other, the line below, selection."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
import traitlets
from PIL import Image

from cnnviz_widgets.views import Histogram, Mark
from cnnviz_widgets.views._base import joined
from tests.views.harness import SHIM, Shown
from tests.views.test_picture_table import contrast

ROOT = ".cnnviz-histogram"
BOX = "[role=listbox]"
BAR = ".cnnviz-histogram-bar"
MARK = ".cnnviz-histogram-mark"
LABEL = ".cnnviz-histogram-label"
VALUE = ".cnnviz-histogram-value"
LINE = ".cnnviz-line"
HEIGHT = 104


def histogram(counts: list[int], *marks: Mark, edges: list[float] | None = None, **options) -> Histogram:
    view = Histogram()
    view.show(range(len(counts) + 1) if edges is None else edges, counts, marks=marks, **options)
    return view


def drawn(shown: Shown, times: int = 1) -> Shown:
    shown.wait(f"document.querySelector('{ROOT}').dataset.drawn === String(argument)", times)
    shown.frames()
    return shown


def boxes(shown: Shown, css: str) -> list[dict[str, float]]:
    return [node.bounding_box() for node in shown.page.locator(css).all()]


def axis(shown: Shown, low: float, high: float):
    """Horizontal place in the page of a value, told from the axis and the values at its ends."""
    (line,) = boxes(shown, ".cnnviz-histogram-axis")
    return lambda value: line["x"] + (value - low) / (high - low) * line["width"]


def texts(shown: Shown, css: str) -> list[str]:
    return shown.page.locator(css).all_text_contents()


def overlap(one: dict[str, float], other: dict[str, float], gap: float = 0) -> bool:
    return all(
        one[start] < other[start] + other[size] + gap and other[start] < one[start] + one[size] + gap
        for start, size in (("x", "width"), ("y", "height"))
    )


def hover(shown: Shown, x: float) -> str:
    """The line below while the pointer is there."""
    (box,) = boxes(shown, BOX)
    shown.page.mouse.move(x, box["y"] + box["height"] - 60)
    return shown.locator(LINE).text_content()


@pytest.mark.parametrize(
    ("edges", "counts", "message"),
    [
        ([0, 1], [1, 2], "2 edges for 2 counts, expected 3"),
        ([], [1], "0 edges for 1 counts, expected 2"),
        ([0, 1, 1], [1, 2], "edges has 1.0 before 1.0, expected increasing"),
        ([0, math.nan, 2], [1, 2], "edges has nan, expected finite"),
        ([0, 1, math.inf], [1, 2], "edges has inf, expected finite"),
        ([0, 1, 2], [1, -2], "counts has -2.0, expected whole numbers"),
        ([0, 1, 2], [1, 0.5], "counts has 0.5, expected whole numbers"),
        ([0, 1, 2], [1, math.nan], "counts has nan, expected whole numbers"),
        ([0, 1, 2], [1, math.inf], "counts has inf, expected whole numbers"),
        (range(1002), [0] * 1001, "1001 bins, expected at most 1000"),
        ([[0, 1]], [1], r"edges has shape \(1, 2\)"),
    ],
)
def test_show_refuses_what_does_not_fit(edges, counts, message):
    view = histogram([3])
    with pytest.raises(ValueError, match=message):
        view.show(edges, counts)
    assert view.counts == np.float64([3]).tobytes()


def test_a_mark_has_one_of_three_tones():
    with pytest.raises(ValueError, match="tone is 'red', expected one of '', 'accent', 'muted'"):
        Mark(1.0, "x", "red")


def test_numbers_travel_as_little_endian_doubles():
    view = histogram([3, 70000], edges=[-0.5, 0.25, 1e9])
    assert np.frombuffer(view.edges, "<f8").tolist() == [-0.5, 0.25, 1e9]
    assert np.frombuffer(view.counts, "<f8").tolist() == [3, 70000]
    with pytest.raises(traitlets.TraitError, match="counts has 7 bytes, expected 8 a number"):
        view.counts = b"1234567"


def test_marks_that_json_lacks_travel_as_text():
    view = histogram([1], Mark(math.nan, "a"), Mark(-math.inf, "b"), Mark(np.float32(2), "c", "muted"))
    sent = view.get_state("marks")["marks"]
    assert [mark["value"] for mark in sent] == ["nan", "-inf", 2.0]
    assert sent[2] == {"value": 2.0, "label": "c", "tone": "muted"}
    view.set_state({"marks": sent})
    assert math.isnan(view.marks[0]["value"])


def test_the_selection_stays_while_the_edges_do():
    view = histogram([1, 2, 3])
    view.selected = 2
    view.show([0, 1, 2, 3], [4, 5, 6], marks=[Mark(1.5, "here")])
    assert view.selected == 2
    view.show([0, 1, 2, 4], [4, 5, 6])
    assert view.selected == -1
    view.selected = 3
    assert view.selected == -1


@pytest.mark.browser
def test_bars_stand_on_their_bins_as_high_as_their_counts(show):
    edges = [-2, -1, 0, 2, 3]
    shown = drawn(show(histogram([10, 40, 0, 20], edges=edges)))
    bars, place = boxes(shown, BAR), axis(shown, -2, 3)
    assert len(bars) == 3
    for bar, (left, right), count in zip(bars, [(-2, -1), (-1, 0), (2, 3)], [10, 40, 20], strict=True):
        assert bar["x"] == pytest.approx(place(left), abs=1)
        assert bar["x"] + bar["width"] == pytest.approx(place(right), abs=2)
        assert bar["height"] == pytest.approx(HEIGHT * count / 40, abs=1)
    bottoms = {round(bar["y"] + bar["height"]) for bar in bars}
    assert bottoms == {round(boxes(shown, ".cnnviz-histogram-axis")[0]["y"])}
    assert 120 <= boxes(shown, BOX)[0]["height"] <= 160


@pytest.mark.browser
def test_single_images_are_seen_beside_thousands(show):
    shown = drawn(show(histogram([9999, 1, 99])))
    assert [bar["height"] for bar in boxes(shown, BAR)] == pytest.approx([HEIGHT, 2, 2])
    shown.view.log_counts = True
    drawn(shown, 2)
    expected = [HEIGHT * math.log(1 + count) / math.log(10000) for count in (9999, 1, 99)]
    assert [bar["height"] for bar in boxes(shown, BAR)] == pytest.approx(expected, abs=1)
    counts = texts(shown, ".cnnviz-histogram-count")
    assert {"9999", "0", "100", "10"} <= set(counts)
    tops = {text: box["y"] for text, box in zip(counts, boxes(shown, ".cnnviz-histogram-count"), strict=True)}
    assert tops["9999"] < tops["100"] < tops["10"] < tops["0"]
    ordered = sorted(tops.values())
    assert all(lower - upper >= 18 for upper, lower in itertools.pairwise(ordered))


@pytest.mark.browser
@pytest.mark.parametrize("width", [800, 420])
def test_the_axis_reaches_to_every_mark(show, width):
    marks = [
        Mark(9.3, "best photograph"),
        Mark(8.9, "in focus", "muted"),
        Mark(31.0, "synthesized", "accent"),
        Mark(-4, "least"),
    ]
    view = histogram([5] * 10, *marks)
    shown = show(view)
    shown.page.set_viewport_size({"width": width, "height": 900})
    drawn(shown)
    shown.frames(3)
    place = axis(shown, -4, 31)
    found = {}
    for node in shown.page.locator(MARK).all():
        box = node.bounding_box()
        found[node.get_attribute("title")] = box["x"] + box["width"] / 2
    assert found == {mark.label: pytest.approx(place(mark.value), abs=2) for mark in marks}
    bars = boxes(shown, BAR)
    assert bars[0]["x"] == pytest.approx(place(0), abs=2)
    assert bars[-1]["x"] + bars[-1]["width"] == pytest.approx(place(10), abs=2)
    (box,) = boxes(shown, BOX)
    for line in boxes(shown, MARK):
        assert box["x"] <= line["x"]
        assert line["x"] + line["width"] <= box["x"] + box["width"]


@pytest.mark.browser
def test_marks_are_drawn_where_they_are_told_apart(show):
    marks = [Mark(2, "plain"), Mark(5, "accent", "accent"), Mark(8, "muted", "muted")]
    shown = drawn(show(histogram([0] * 10, *marks)))
    shown.page.mouse.move(790, 890)
    seen = np.asarray(Image.open(io.BytesIO(shown.page.screenshot())).convert("RGB")).astype(int)
    (line,) = boxes(shown, ".cnnviz-histogram-axis")
    place = axis(shown, 0, 10)
    strip = seen[round(line["y"]) - 60 : round(line["y"]) - 8]
    for value, color, width in [(2, (28, 28, 28), 2), (5, (21, 101, 192), 4)]:
        inked = np.flatnonzero((np.abs(strip - color).max(axis=2) < 60).all(axis=0))
        near = inked[np.abs(inked - place(value)) < 10]
        assert width - 1 <= len(near) <= width
        assert near.mean() + 0.5 == pytest.approx(place(value), abs=1)
    # Dashes: ink and ground by turns
    dashes = strip[:, round(place(8)) - 1 : round(place(8)) + 1].sum(axis=2).min(axis=1) < 600
    assert 10 < dashes.sum() < len(dashes) - 10


@pytest.mark.browser
@pytest.mark.parametrize("width", [800, 420])
@pytest.mark.parametrize(
    "values",
    [(9.3, 9.4, 17.4), (0.0, 0.1, 0.2), (9.8, 9.9, 10.0), (5, 5, 5), (0, 10, 5, 5.1), (4.0, 4.4, 4.8, 5.2)],
)
def test_labels_keep_clear_of_each_other_and_of_the_lines(show, values, width):
    names = ["best photograph", "image in focus", "synthesized", "the mean of all"]
    marks = [
        Mark(value, name, tone) for value, name, tone in zip(values, names, ["", "muted", "accent", ""], strict=False)
    ]
    shown = show(histogram([5] * 10, *marks))
    shown.page.set_viewport_size({"width": width, "height": 900})
    drawn(shown)
    shown.frames(3)
    assert sorted(texts(shown, LABEL)) == sorted(mark.label for mark in marks)
    labels, lines, (box,) = boxes(shown, LABEL), boxes(shown, MARK), boxes(shown, BOX)
    assert not [pair for pair in itertools.combinations(labels, 2) if overlap(*pair, gap=1)]
    assert not [(label, line) for label in labels for line in lines if overlap(label, line, gap=1)]
    for label, line in zip(labels, lines, strict=True):
        assert box["x"] - 1 <= label["x"]
        assert label["x"] + label["width"] <= box["x"] + box["width"] + 1
        middle = line["x"] + line["width"] / 2
        assert min(abs(label["x"] - middle), abs(label["x"] + label["width"] - middle)) <= 7
        assert line["y"] <= label["y"] + label["height"]
    fits = shown.page.locator(LABEL).evaluate_all(
        "(all) => all.every((node) => node.scrollWidth <= node.clientWidth + 1)"
    )
    assert fits
    assert len({round(label["y"]) for label in labels}) <= 3


@pytest.mark.browser
def test_many_marks_keep_their_lines_where_labels_find_no_room(show):
    marks = [Mark(5 + i / 100, f"mark number {i}") for i in range(12)]
    shown = drawn(show(histogram([5] * 10, *marks)))
    assert shown.page.locator(MARK).count() == 12
    labels = boxes(shown, LABEL)
    assert 3 <= len(labels) < 12
    assert not [pair for pair in itertools.combinations(labels, 2) if overlap(*pair)]


@pytest.mark.browser
def test_a_label_too_long_is_cut_and_whole_in_the_tooltip(show):
    label = "the photograph of a flamingo " * 8
    shown = drawn(show(histogram([5] * 10, Mark(5, label))))
    (text,) = texts(shown, LABEL)
    assert text.endswith("…")
    assert label.startswith(text[:-1])
    assert shown.locator(LABEL).get_attribute("title") == label


@pytest.mark.browser
@pytest.mark.parametrize(
    ("edges", "step", "some"),
    [
        ([0, 3, 9.6], 2, ["0", "2", "4", "6", "8"]),
        ([-0.3, 0.3], 0.1, ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]),
        ([1000, 1000.5, 1001], 0.2, ["1000", "1000.2", "1000.4", "1000.6", "1000.8", "1001"]),
        ([0, 4321, 43210], 10000, ["0", "10000", "20000", "30000", "40000"]),
    ],
)
def test_ticks_are_round_numbers_at_their_places(show, edges, step, some):
    shown = drawn(show(histogram([1] * (len(edges) - 1), edges=edges)))
    assert texts(shown, VALUE) == some
    place = axis(shown, edges[0], edges[-1])
    ticks = [tick["x"] + 0.5 for tick in boxes(shown, ".cnnviz-histogram-tick")]
    assert ticks == pytest.approx([place(float(text)) for text in some], abs=1)
    assert np.diff(ticks) == pytest.approx(np.full(len(ticks) - 1, place(step) - place(0)), abs=0.1)


@pytest.mark.browser
@pytest.mark.parametrize("width", [160, 300, 420, 800])
@pytest.mark.parametrize(("low", "high"), [(-1234.5, 987.6), (123456.1, 123456.9)])
def test_texts_of_the_axis_do_not_touch(show, low, high, width):
    shown = show(histogram([1] * 64, edges=np.linspace(low, high, 65)))
    shown.page.set_viewport_size({"width": width, "height": 900})
    drawn(shown)
    shown.frames(3)
    values, (box,) = boxes(shown, VALUE), boxes(shown, BOX)
    assert values
    assert not [pair for pair in itertools.pairwise(values) if overlap(*pair, gap=4)]
    assert box["x"] <= values[0]["x"]
    assert values[-1]["x"] + values[-1]["width"] <= box["x"] + box["width"]


@pytest.mark.browser
def test_the_line_tells_the_bin_under_the_pointer_and_the_marks(show):
    marks = [Mark(3.25, "best"), Mark(6, "synthesized"), Mark(math.nan, "lost"), Mark(math.inf, "burst")]
    shown = drawn(show(histogram([120, 12, 1], *marks, edges=[2.8, 3.1, 3.4, 3.7], unit="nats")))
    place = axis(shown, 2.8, 6)
    unseen = "lost: nan nats · burst: inf nats"
    total = f"133 images between 2.8 and 3.7 nats · {unseen}"
    assert shown.locator(LINE).text_content() == total
    assert shown.page.locator(MARK).count() == 2
    assert hover(shown, place(3.15)) == f"12 images between 3.1 and 3.4 nats · {unseen}"
    assert hover(shown, place(3.6)) == f"1 image between 3.4 and 3.7 nats · {unseen}"
    assert hover(shown, place(3.25)) == f"best: 3.25 nats · 12 images between 3.1 and 3.4 nats · {unseen}"
    assert hover(shown, place(5.0)) == total
    assert hover(shown, place(6) - 2) == f"synthesized: 6 nats · {total}"
    shown.page.mouse.move(400, 600)
    assert shown.locator(LINE).text_content() == total
    label = shown.locator(BOX).get_attribute("aria-label")
    assert label.startswith("Histogram: 133 images between 2.8 and 3.7 nats; best: 3.25 nats; ")


@pytest.mark.browser
def test_narrow_bins_have_ends_that_differ(show):
    shown = drawn(show(histogram([1, 2], edges=[100.001, 100.002, 100.003])))
    place = axis(shown, 100.001, 100.003)
    assert hover(shown, place(100.0025)) == "2 images between 100.002 and 100.003"


@pytest.mark.browser
def test_a_click_selects_a_bin_and_another_click_none(show):
    shown = drawn(show(histogram([4, 0, 9], Mark(5, "far"))))
    place, y = axis(shown, 0, 5), boxes(shown, BOX)[0]["y"] + 40
    for value, end in [(1.5, 1), (2.5, 2), (2.2, -1), (0.1, 0), (4.5, 0)]:
        shown.page.mouse.click(place(value), y)
        shown.pump()
        assert shown.view.selected == end, value
        assert shown.data(ROOT, "selected") == str(end)
    shown.page.mouse.move(400, 600)
    assert shown.locator(LINE).text_content() == "4 images between 0 and 1"
    shown.view.selected = 1
    shown.wait(f"document.querySelector('{ROOT}').dataset.selected === '1'")
    assert shown.locator(LINE).text_content() == "0 images between 1 and 2"
    column = shown.locator(".cnnviz-histogram-chosen").bounding_box()
    assert (column["x"], column["x"] + column["width"]) == pytest.approx((place(1), place(2)), abs=1)
    shown.view.selected = 2
    shown.wait(f"document.querySelector('{ROOT}').dataset.selected === '2'")
    colors = shown.page.locator(BAR).evaluate_all("(all) => all.map((node) => getComputedStyle(node).backgroundColor)")
    assert colors[1] == "rgb(21, 101, 192)"
    assert colors[0] != colors[1]


@pytest.mark.browser
def test_keys_select_bins(show):
    shown = drawn(show(histogram([1] * 30)))
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    for key, end in [
        ("ArrowRight", 0),
        ("ArrowRight", 1),
        ("PageDown", 11),
        ("ArrowLeft", 10),
        ("PageUp", 0),
        ("ArrowLeft", 0),
        ("End", 29),
        ("ArrowRight", 29),
        ("Home", 0),
        ("Escape", -1),
        ("End", 29),
    ]:
        shown.locator(BOX).press(key)
        shown.pump()
        assert shown.view.selected == end, key
    option = shown.locator("[role=option]")
    assert option.get_attribute("id") == shown.locator(BOX).get_attribute("aria-activedescendant")
    assert option.text_content() == "1 image between 29 and 30"
    assert option.get_attribute("aria-posinset") == "30"
    assert shown.page.evaluate("() => window.leaked") is None
    for key in ("ArrowDown", "Control+ArrowLeft", "x"):
        shown.locator(BOX).press(key)
        assert shown.page.evaluate("() => window.leaked") == key.rpartition("+")[2]
    shown.pump()
    assert shown.view.selected == 29


@pytest.mark.browser
def test_no_counts_leave_the_caption(show):
    shown = drawn(show(histogram([], edges=[], caption="nothing counted yet")))
    assert shown.locator(".cnnviz-caption").text_content() == "nothing counted yet"
    assert not shown.locator(BOX).is_visible()
    assert not shown.locator(LINE).is_visible()
    shown.view.show([0, 1, 2], [3, 4])
    drawn(shown, 2)
    assert shown.page.locator(BAR).count() == 2
    assert shown.data(ROOT, "count") == "2"
    shown.view.show([], [])
    drawn(shown, 3)
    assert not shown.locator(BOX).is_visible()
    assert shown.page.locator(BAR).count() == 0


@pytest.mark.browser
def test_counts_of_zero_draw_no_bars(show):
    shown = drawn(show(histogram([0, 0, 0])))
    assert shown.page.locator(BAR).count() == 0
    assert shown.locator(LINE).text_content() == "0 images between 0 and 3"


@pytest.mark.browser
def test_bytes_that_do_not_fit_keep_the_old_bars(show):
    shown = drawn(show(histogram([1, 2])))
    before = boxes(shown, BAR)
    shown.view.counts = np.float64([1, 2, 3]).tobytes()
    shown.frames(4)
    assert boxes(shown, BAR) == before


@pytest.mark.browser
def test_numbers_of_any_size_find_their_place(show):
    edges = [-1.5e308, 0, 1.5e308]
    shown = drawn(show(histogram([1, 2], edges=edges)))
    left, right = boxes(shown, BAR)
    assert left["width"] == pytest.approx(right["width"], abs=2)
    assert left["width"] > 300
    shown.view.show([0, 1e-12, 2e-12], [1, 2], marks=[Mark(1e9, "far")])
    drawn(shown, 2)
    (mark,) = boxes(shown, MARK)
    assert mark["x"] - boxes(shown, BAR)[0]["x"] > 600


@pytest.mark.browser
def test_another_width_moves_the_marks(show):
    shown = drawn(show(histogram([5] * 10, Mark(20, "far"))))
    shown.page.set_viewport_size({"width": 420, "height": 900})
    shown.wait(f"document.querySelector('{MARK}').getBoundingClientRect().left < 420")
    (mark,), place = boxes(shown, MARK), axis(shown, 0, 20)
    assert mark["x"] + mark["width"] / 2 == pytest.approx(place(20), abs=2)
    assert boxes(shown, BAR)[9]["x"] == pytest.approx(place(9), abs=2)


def ink(shown: Shown, css: str) -> list[dict[str, float]]:
    """Where the letters of texts are, which may be beyond the nodes that hold them."""
    script = """nodes => nodes.map((node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return range.getBoundingClientRect().toJSON();
    })"""
    return shown.page.locator(css).evaluate_all(script)


@pytest.mark.browser
def test_texts_grow_with_the_type_of_the_panel_around_and_keep_clear(show):
    marks = [Mark(4, "best photograph"), Mark(5, "in focus", "muted"), Mark(6, "synthesized", "accent")]
    shown = drawn(show(histogram([12345, 400, 9000] * 4, *marks)))
    usual = boxes(shown, LABEL)
    shown.page.add_style_tag(content=joined("panel.css"))
    shown.page.evaluate("() => document.body.classList.add('cnnviz-large')")
    shown.wait("document.querySelector(argument[0]).clientWidth > 1.4 * argument[1]", [LABEL, usual[0]["width"]])
    assert [
        box["width"] / small["width"] for box, small in zip(boxes(shown, LABEL), usual, strict=True)
    ] == pytest.approx([23 / 15] * 3, rel=0.03)
    (frame,) = boxes(shown, BOX)
    for css in (LABEL, VALUE, ".cnnviz-histogram-count"):
        found = ink(shown, css)
        assert len(found) >= 3
        assert {round(text["height"]) for text in found} == {round(ink(shown, LABEL)[0]["height"])}
        for text in found:
            assert frame["x"] <= text["x"]
            assert text["x"] + text["width"] <= frame["x"] + frame["width"]
            assert frame["y"] <= text["y"]
            assert text["y"] + text["height"] <= frame["y"] + frame["height"]
        assert not [pair for pair in itertools.combinations(found, 2) if overlap(*pair, gap=-3)]
    left = boxes(shown, ".cnnviz-histogram-axis")[0]["x"]
    assert all(text["x"] + text["width"] < left for text in ink(shown, ".cnnviz-histogram-count"))


@pytest.mark.browser
def test_a_histogram_taken_out_and_put_back_is_as_it_was(show):
    shown = drawn(show(histogram([1, 2, 3], Mark(2.5, "here"))))
    before = boxes(shown, BAR), boxes(shown, MARK)
    shown.detach()
    assert (boxes(shown, BAR), boxes(shown, MARK)) == before
    shown.page.evaluate("() => harness.el.remove()")
    shown.view.show([0, 1, 2, 3, 4], [1, 2, 3, 4], caption="changed while away")
    shown.frames(3)
    shown.page.evaluate("() => document.body.prepend(harness.el)")
    drawn(shown, 2)
    assert shown.page.locator(BAR).count() == 4
    assert shown.page.locator(MARK).count() == 0
    assert shown.locator(".cnnviz-caption").text_content() == "changed while away"


@pytest.mark.browser
def test_two_views_of_one_model_agree_and_close_apart(show):
    shown = drawn(show(histogram([1, 2, 3])))
    shown.page.evaluate("() => harness.render()")
    shown.wait(f"document.querySelectorAll('{ROOT}[data-drawn]').length === 2")
    shown.page.locator(BOX).nth(1).press("End")
    shown.wait(f"[...document.querySelectorAll('{ROOT}')].every((node) => node.dataset.selected === '2')")
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.locator(ROOT).count() == 1
    shown.view.show([0, 1], [1])
    drawn(shown, 2)
    assert shown.page.locator(BAR).count() == 1


@pytest.mark.browser
def test_a_reload_shows_the_same(show):
    view = histogram([3, 900, 1], Mark(7, "far", "accent"), unit="V", caption="same")
    view.log_counts = True
    shown = drawn(show(view))
    shown.locator(BOX).press("Home")
    shown.pump()
    before = boxes(shown, BAR), boxes(shown, MARK), texts(shown, LABEL), texts(shown, VALUE)
    shown.page.reload()
    shown.page.add_script_tag(content=SHIM)
    again = drawn(show(view))
    assert (boxes(again, BAR), boxes(again, MARK), texts(again, LABEL), texts(again, VALUE)) == before
    assert again.locator(LINE).text_content() == "3 images between 0 and 1 V"


@pytest.mark.browser
def test_texts_are_text(show):
    shown = drawn(
        show(histogram([1], Mark(0.5, "<b>x</b>"), Mark(math.nan, "<i>n</i>"), unit="<u>V</u>", caption="<i>c</i>"))
    )
    assert texts(shown, LABEL) == ["<b>x</b>"]
    assert shown.locator(LINE).text_content() == "1 image between 0 and 1 <u>V</u> · <i>n</i>: nan <u>V</u>"
    assert shown.locator(".cnnviz-caption").text_content() == "<i>c</i>"
    assert shown.page.locator("b, i, u").count() == 0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_stands_out_from_a_light_and_a_dark_ground(show, page, scheme):
    page.emulate_media(color_scheme=scheme)
    marks = [Mark(value, tone, tone) for value, tone in enumerate(["", "accent", "muted"])]
    shown = drawn(show(histogram([1, 2, 3], *marks)))

    def color(css: str, name: str) -> str:
        text = shown.locator(css).evaluate("(node, name) => getComputedStyle(node)[name]", name)
        if not text.startswith("color(srgb"):
            return text
        parts = text[text.index("srgb") + 4 : -1].split("/")[0].split()
        return f"rgb({', '.join(str(255 * float(part)) for part in parts)})"

    ground = color(ROOT, "backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}[scheme]
    for css in (VALUE, ".cnnviz-histogram-count", LINE, *(f"{LABEL}[data-tone='{mark.tone}']" for mark in marks)):
        assert contrast(color(css, "color"), ground) >= 4.5, css
        assert float(shown.locator(css).evaluate("(node) => parseFloat(getComputedStyle(node).fontSize)")) >= 15
    assert contrast(color(BAR, "backgroundColor"), ground) >= 3
    assert contrast(color(".cnnviz-histogram-axis", "backgroundColor"), ground) >= 3

"""Bars: lengths, the zero line, numbers as text, selection."""

from __future__ import annotations

import math

import pytest
import traitlets

from cnnviz_widgets.views import BarChart

LIST = "[role=listbox]"


def chart(values: list[float], **traits) -> BarChart:
    view = BarChart(**traits)
    view.show([f"unit {i}" for i in range(len(values))], values)
    return view


def boxes(shown) -> list[tuple[float, float]]:
    """Left and right end of each bar, as fractions of its track."""
    return shown.page.locator(".cnnviz-bars-bar").evaluate_all(
        """(bars) => bars.map((bar) => {
          const [track, box] = [bar.parentElement.getBoundingClientRect(), bar.getBoundingClientRect()];
          return [(box.left - track.left) / track.width, (box.right - track.left) / track.width];
        })"""
    )


def numbers(shown) -> list[str]:
    return shown.page.locator(".cnnviz-bars-value").all_text_contents()


@pytest.mark.parametrize(
    ("labels", "values", "selected", "message"),
    [
        (["a"], [1.0, 2.0], -1, "1 labels for 2 values"),
        (["a"] * 201, [0.0] * 201, -1, "201 bars, expected at most 200"),
        (["a"], [1.0], 1, r"-1 \(none\) to 0"),
    ],
)
def test_show_refuses_what_does_not_fit(labels, values, selected, message):
    with pytest.raises(ValueError, match=message):
        BarChart().show(labels, values, selected=selected)


def test_ends_of_the_axis_must_be_finite():
    with pytest.raises(traitlets.TraitError, match="low is nan"):
        BarChart(low=math.nan)


def test_values_that_json_lacks_travel_as_text():
    view = chart([math.nan, math.inf, -math.inf, 1.0])
    assert view.get_state("values") == {"values": ["nan", "inf", "-inf", 1.0]}
    assert math.isnan(view.values[0])


@pytest.mark.browser
def test_bars_are_as_long_as_their_values(show):
    shown = show(chart([4.0, 1.0, 0.0], low=0.0, high=8.0))
    shown.view.assign(low=0.0, high=8.0)
    shown.wait("document.querySelector('.cnnviz-bars-bar').style.width === '50%'")
    (_, first), (_, second), (_, third) = boxes(shown)
    assert first == pytest.approx(0.5, abs=0.01)
    assert second == pytest.approx(0.125, abs=0.01)
    assert third < 0.01


@pytest.mark.browser
def test_negative_values_go_left_of_the_zero_line(show):
    shown = show(chart([3.0, -1.0]))
    (first, second) = boxes(shown)
    assert first == pytest.approx((0.25, 1.0), abs=0.01)
    assert second == pytest.approx((0.0, 0.25), abs=0.01)
    assert shown.locator(".cnnviz-bars-zero").evaluate("(node) => node.style.left") == "25%"


@pytest.mark.browser
def test_numbers_have_their_unit(show):
    shown = show(chart([0.9123, 0.0401, 0.0004, 0.0], unit="%"))
    assert numbers(shown) == ["91.2 %", "4.0 %", "< 0.1 %", "0.0 %"]
    shown.view.unit = "nats"
    shown.wait("document.querySelector('.cnnviz-bars-value').textContent === '0.912 nats'")
    shown.view.assign(unit="", values=[12345.6, -0.5, 1e-9, math.nan])
    shown.wait("document.querySelector('.cnnviz-bars-value').textContent === '12300'")
    assert numbers(shown) == ["12300", "-0.5", "1.00e-9", "nan"]
    assert not shown.page.locator(".cnnviz-bars-bar").nth(3).is_visible()


@pytest.mark.browser
def test_click_and_keys_select(show):
    shown = show(chart([3.0, 2.0, 1.0]))
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    shown.page.get_by_text("unit 1").click()
    shown.pump()
    assert shown.view.selected == 1
    for key, end in [("ArrowDown", 2), ("ArrowUp", 1), ("Home", 0), ("End", 2), ("PageUp", 0), ("PageDown", 2)]:
        shown.locator(LIST).press(key)
        shown.pump()
        assert shown.view.selected == end, key
    selected = shown.page.locator("[aria-selected=true]")
    assert selected.count() == 1
    assert selected.get_attribute("id") == shown.locator(LIST).get_attribute("aria-activedescendant")
    assert selected.get_attribute("aria-label") == "unit 2: 1"
    shown.locator(LIST).press("Enter")
    shown.pump()
    assert shown.messages == [{"type": "open", "index": 2}]
    assert shown.page.evaluate("() => window.leaked") is None


@pytest.mark.browser
def test_labels_are_text(show):
    view = BarChart()
    view.show(["<b>x</b>"], [1.0], caption="<i>c</i>")
    shown = show(view)
    assert shown.locator(".cnnviz-bars-label").text_content() == "<b>x</b>"
    assert shown.locator(".cnnviz-caption").text_content() == "<i>c</i>"
    assert shown.page.locator("b, i").count() == 0


@pytest.mark.browser
def test_python_selects_and_empties(show):
    shown = show(chart([3.0, 2.0]))
    shown.view.selected = 1
    shown.wait("document.querySelector('[aria-selected=true]') !== null")
    shown.view.show([], [])
    shown.wait("document.querySelector('.cnnviz-bars-row') === null")
    assert not shown.locator(LIST).is_visible()

"""What all panels do alike: they follow training, replace those of the same cell, and tell what the kernel can't do."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import cnnviz_widgets as cnn
from cnnviz_widgets import ActivationPanel, FilterPanel, MaximizationPanel, Network, Recipe, Selection
from cnnviz_widgets.panels import Panel, _base
from tests.panels.indexed import greys, local
from tests.panels.networks import grey
from tests.panels.waiting import reach, until

Keep = Callable[[Any], Any]


def train(net: Network) -> None:
    """One step of training, in place as an optimizer does it."""
    optimizer = torch.optim.SGD(net.module.parameters(), lr=10.0)
    net.module(torch.rand(2, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("panel", [FilterPanel, ActivationPanel])
def test_training_redraws(keep: Keep, panel: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_base, "TRAINING_EVERY", 0.01)
    net = grey()
    made = keep(panel(net) if panel is FilterPanel else panel(net, np.eye(8, dtype=np.uint8)))
    before = (made.grid.pixels, made.grid.ranges)
    train(net)
    until(lambda: (made.grid.pixels, made.grid.ranges) != before)
    made.wait()
    assert made.note.text == ""


def test_nothing_is_drawn_while_the_weights_rest(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_base, "TRAINING_EVERY", 0.001)
    looks, drawn = [], []
    net = grey()
    stamp = net.stamp
    panel = keep(FilterPanel(net))
    monkeypatch.setattr(panel, "_drawing", lambda: drawn.append("drew") or (lambda: None))
    monkeypatch.setattr(net, "stamp", lambda: looks.append("looked") or stamp())
    until(lambda: len(looks) > 20)
    assert drawn == []


def test_refresh_draws_at_once(keep: Keep) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    net.module[0].weight.data.neg_()  # type: ignore[index]
    before = panel.grid.pixels
    panel.refresh()
    panel.wait()
    assert panel.grid.pixels != before


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The request that a notebook's cell is run by; tests change it."""
    request: dict[str, Any] = {"header": {"msg_id": "first"}, "metadata": {"cellId": "a"}}
    monkeypatch.setattr(_base, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: request))
    monkeypatch.setattr(_base, "_panels_of_cells", {})
    return request


def test_running_the_cell_again_ends_what_it_made(keep: Keep, cell: dict[str, Any]) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=1_000_000)))
    beside = keep(FilterPanel(grey()))
    panel.run()
    reach(panel, "running")
    cell["header"] = {"msg_id": "second"}
    keep(MaximizationPanel(grey()))
    assert panel._closed
    assert beside._closed
    assert panel.state == "idle"


def test_panels_of_other_cells_stay(keep: Keep, cell: dict[str, Any]) -> None:
    panels: list[Panel] = [keep(FilterPanel(grey())) for _ in range(2)]
    cell.update(header={"msg_id": "second"}, metadata={"cellId": "b"})
    panels.append(keep(FilterPanel(grey())))
    cell.update(header={"msg_id": "third"}, metadata={})
    panels.append(keep(FilterPanel(grey())))
    cell.update(header={"msg_id": "fourth"}, metadata={})
    panels.append(keep(FilterPanel(grey())))
    assert not any(panel._closed for panel in panels)


def test_an_old_kernel_is_told_of_whatever_else_is_said(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_base.ipykernel, "__version__", "6.31.0")
    waits = "With ipykernel 6.31.0, buttons and sliders wait for a running cell to end"
    net = grey()
    for panel in (FilterPanel, ActivationPanel, MaximizationPanel):
        assert keep(panel(net)).remark.text.startswith(waits)
    filters = keep(FilterPanel(net))
    filters.selection.layer = net["1"]
    filters.wait()
    assert filters.remark.text.startswith(waits)
    assert "has no kernel" in filters.remark.text


def test_what_a_handler_raises_is_shown_and_the_panel_lives_on(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    panel.tree.set_state({"selected": "layer5"})
    assert panel.note.kind == "error"
    assert "no layer 'layer5'" in panel.note.text
    panel.tree.set_state({"selected": "2"})
    panel.wait()
    assert panel.note.text == ""
    assert panel.selection.layer == net["2"]


def test_panels_on_one_selection_follow_each_other(keep: Keep) -> None:
    net = grey()
    activations = keep(ActivationPanel(net, np.eye(8, dtype=np.uint8)))
    filters = keep(FilterPanel(net, selection=activations.selection))
    climber = keep(MaximizationPanel(net, selection=activations.selection))
    activations.tree.set_state({"selected": "2"})
    for panel in (activations, filters, climber):
        panel.wait()
    activations.grid.set_state({"selected": 5})
    for panel in (activations, filters, climber):
        panel.wait()
        assert panel.selection.unit == net["2"][5]
        assert panel.tree.selected == "2"
    assert filters.grid.selected == 4 * 5
    assert climber.channel.value == 5
    filters.close()
    activations.grid.set_state({"selected": 1})
    climber.wait()
    assert climber.channel.value == 1


def test_the_unit_s_card_opens_in_any_panel(keep: Any) -> None:
    net = local()
    panel = keep(FilterPanel(net, selection=Selection(net, greys(8, size=(16, 16)))))
    assert panel._card is None
    panel._show_card.value = True
    panel.wait()
    card = panel._card
    assert (card.shown, card.box in panel.children, card.note.text) == (True, True, "")
    panel.selection.unit = net["3"][4]
    panel.wait()
    assert card.body.name.value == "3[4]"
    panel._show_card.value = False
    assert not card.shown
    panel._show_card.value = True
    assert panel._card is card
    assert [child for child in panel.children if child is card.box] == [card.box]
    panel.close()
    assert card._closed


def test_a_panel_that_rests_draws_when_it_is_seen_again(keep: Any) -> None:
    net = local()
    panel = keep(FilterPanel(net))
    panel.wait()
    panel.asleep = True
    before = panel.grid.caption
    panel.selection.layer = net["3"]
    panel.wait()
    assert panel.grid.caption == before
    panel.asleep = False
    panel.wait()
    assert panel.grid.caption != before


def test_figures_and_pages_are_saved(keep: Any, tmp_path: Path) -> None:
    net = local()
    panel = keep(FilterPanel(net))
    panel.wait()
    for ending, start in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        assert panel.save_figure(tmp_path / f"filters.{ending}").read_bytes().startswith(start)
    panel.export.buttons["figure"].click()
    panel.export.buttons["page"].click()
    panel.wait()
    assert panel.export.saved["figure"].name == "filters.png"
    text = panel.export.saved["page"].data.decode()
    assert "Filters · local" in text
    offered = [net["1"][channel] for channel in range(4)]
    assert text == panel.export_html(tmp_path / "filters.html", offered).read_text("utf-8")


def test_a_page_lets_one_choose_among_units(keep: Any, tmp_path: Path) -> None:
    net = local()
    panel = keep(FilterPanel(net))
    panel.wait()
    unit = panel.selection.unit
    units = [net["0"][0], net["3"][2], net.output[1]]
    text = panel.export_html(tmp_path / "units.html", units).read_text("utf-8")
    assert all(name in text for name in ("0[0]", "3[2]", "light"))
    assert panel.selection.unit == unit


def test_the_code_that_is_shown_gives_the_figure_too(keep: Any) -> None:
    net = local()
    panel = keep(FilterPanel(net))
    panel.wait()
    panel._show_code.value = True
    assert panel._code.text == panel.whole_code()
    made: dict[str, Any] = {"cnn": cnn, "net": net}
    exec(panel.whole_code(), made)
    ours, theirs = io.BytesIO(), io.BytesIO()
    panel.figure().savefig(ours, format="png", dpi=50)
    made["figure"].savefig(theirs, format="png", dpi=50)
    assert ours.getvalue() == theirs.getvalue()


def test_a_drawing_under_way_takes_off_no_error_that_came_since(keep: Keep) -> None:
    made = keep(FilterPanel(grey()))
    begun, go = threading.Event(), threading.Event()
    draw = made._draw

    def slowly(*arguments: Any) -> None:
        begun.set()
        assert go.wait(30)
        draw(*arguments)

    made._failed(ValueError("of before"))
    made._draw = slowly
    made.refresh()
    assert begun.wait(30)
    assert made.note.text == "of before"
    made._failed(ValueError("of another thing"))
    go.set()
    made.wait()
    assert made.note.text == "of another thing"
    made.refresh()
    made.wait()
    assert made.note.text == ""


def test_a_module_that_is_borrowed_is_looked_at_when_training_rests(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_base, "TRAINING_EVERY", 0.01)
    net = grey()
    net.module.lock = threading.Lock()
    made = keep(FilterPanel(net))
    assert not net.copies
    drawn: list[int] = []
    monkeypatch.setattr(made, "refresh", lambda: drawn.append(1))
    stamps = itertools.count()
    stamp = net.stamp
    monkeypatch.setattr(net, "stamp", lambda: next(stamps))
    until(lambda: next(stamps) > 20)
    assert drawn == []
    monkeypatch.setattr(net, "stamp", stamp)
    train(net)
    until(lambda: drawn != [])


def test_a_drawing_takes_off_what_the_one_before_it_could_not_draw(keep: Keep) -> None:
    made = keep(FilterPanel(grey()))
    begun, go = threading.Event(), threading.Event()
    draw = made._draw

    def fails(*arguments: Any) -> None:
        begun.set()
        assert go.wait(30)
        raise ValueError("of the former choice")

    made._draw = fails
    made.refresh()
    assert begun.wait(30)
    made._draw = draw
    made.refresh()  # asked for before the other has failed
    go.set()
    made.wait()
    assert made.note.text == ""

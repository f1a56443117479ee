"""A page of the explorer: each open panel as it is, for several units at once, while nothing moves."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

import cnnviz_widgets as cnn
from cnnviz_widgets import Explorer, NeighborsPanel
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.panels import _page
from tests.panels.indexed import greys, index_of, local
from tests.panels.networks import dense

SIZE = (16, 16)


@pytest.fixture
def explorer() -> Iterator[Explorer]:
    network, images = local(), greys(12, size=SIZE)
    made = Explorer(network, images, index=index_of(network, images))
    made.wait()
    yield made
    made.close()


def told(text: str, kind: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(f"<{kind}[^>]*>([^<]*)</{kind}>", text)]


def test_each_open_panel_stands_on_it(explorer: Explorer, tmp_path: Path) -> None:
    explorer.show_panel("Maximization")
    explorer.show_panel("Top images")
    explorer.wait()
    text = explorer.export_html(tmp_path / "all.html").read_text("utf-8")
    assert told(text, "h1") == ["Explorer · local"]
    assert told(text, "h2") == ["Activations", "Maximization", "Top images", "Unit card"]
    assert told(text, "option") == []
    assert "Nothing is shown here yet." in text


def test_units_are_chosen_for_all_panels_at_once_and_nothing_moves(explorer: Explorer, tmp_path: Path) -> None:
    explorer.show_panel("Neighbours")
    explorer.wait()
    network, moves = explorer.network, []
    explorer.selection.observe(moves.append)
    before, scene = set(_instances), explorer.scene()
    units = [network["3"][2], network.output[1]]
    text = explorer.export_html(tmp_path / "all.html", units).read_text("utf-8")
    assert told(text, "option") == ["3[2]", "light"]
    assert told(text, "h2") == ["Activations", "Neighbours", "Unit card"] * 2
    assert (moves, explorer.scene()) == ([], scene)
    assert [_instances[one] for one in set(_instances) - before] == []


def test_a_panel_that_rests_shows_what_is_chosen_now(explorer: Explorer, tmp_path: Path) -> None:
    activations = explorer.show_panel("Activations")
    explorer.show_panel("Filters")
    explorer.wait()
    assert activations.asleep
    explorer.selection.unit = explorer.network["3"][2]
    explorer.wait()
    text = explorer.export_html(tmp_path / "all.html").read_text("utf-8")
    assert "3: 6 channels of" in text
    assert "3: 6 channels of" not in activations.grid.caption


def test_a_panel_that_rests_and_shows_no_unit_is_drawn_for_it(explorer: Explorer, tmp_path: Path) -> None:
    neighbors = explorer.show_panel("Neighbours")
    explorer.show_panel("Filters")
    explorer.wait()
    explorer.selection.image = "5"
    explorer.wait()
    assert isinstance(neighbors, NeighborsPanel)
    before = neighbors.table.data
    text = explorer.export_html(tmp_path / "all.html").read_text("utf-8")
    assert neighbors.asleep
    assert neighbors.neighbors is not None
    assert neighbors.neighbors.queries[0] == "5"
    assert neighbors.table.data != before
    assert base64.b64encode(neighbors.table.data).decode() in text


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
def test_a_unit_that_fails_leaves_the_others_there(
    error: type[Exception], explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, show = explorer.network["3"], _page.show

    def failing(twin: Any, unit: Unit, seconds: float) -> None:
        if unit == layer[2] and twin.title == "Activations":
            raise error("no memory for it")
        show(twin, unit, seconds)

    monkeypatch.setattr(_page, "show", failing)
    text = explorer.export_html(tmp_path / "all.html", [layer[1], layer[2], layer[3]]).read_text("utf-8")
    assert told(text, "option") == ["3[1]", "3[2]", "3[3]"]
    assert text.count("no memory for it") == 1
    assert text.count("3[1] on the image") == text.count("3[3] on the image") == 1


def test_the_button_offers_some_units(explorer: Explorer) -> None:
    explorer.export.buttons["page"].click()
    explorer.wait()
    file = explorer.export.saved["page"]
    assert (file.name, told(file.data.decode(), "option")) == ("explorer.html", ["1[0]", "1[1]", "1[2]", "1[3]"])
    assert explorer.note.text == ""


def test_what_a_panel_can_t_show_is_said_in_its_place(tmp_path: Path) -> None:
    network = dense()
    explorer = Explorer(network, greys(3), layout="one column")
    explorer.show_panel("Filters")
    explorer.wait()
    text = explorer.export_html(tmp_path / "all.html", [network["1"][0], network["3"][1]]).read_text("utf-8")
    explorer.close()
    assert told(text, "option") == ["1[0]", "3[1]"]
    assert text.count("dense has no 2D convolution") >= 2


def test_what_is_no_unit_is_refused(explorer: Explorer, tmp_path: Path) -> None:
    wrong: Any = "striped"
    with pytest.raises(TypeError, match="str was given as a unit"):
        explorer.export_html(tmp_path / "all.html", [wrong])
    with pytest.raises(ValueError, match="is no unit of local"):
        explorer.export_html(tmp_path / "all.html", [cnn.Network(dense().module, dense().input)["1"][0]])
    assert list(tmp_path.iterdir()) == []

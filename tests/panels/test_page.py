"""Pages to take along: of several units, made aside, so that neither the panel nor those that follow it move."""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from PIL import Image

import cnnviz_widgets as cnn
from cnnviz_widgets import Atlas, FilterPanel, MaximizationPanel, Selection, TopImagesPanel
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.projections import TSNE
from cnnviz_widgets.panels import Panel, _base, _scene
from cnnviz_widgets.panels._card_body import CardBody
from cnnviz_widgets.panels._page import part_of, units_beside
from cnnviz_widgets.panels._synthesis import Made
from cnnviz_widgets.views import FramePlayer
from cnnviz_widgets.views._recording import Recording
from cnnviz_widgets.views.standalone import Beside, Choice
from tests.panels.indexed import greys, index_of, local, noise
from tests.panels.networks import convolutional, dense
from tests.panels.waiting import PATIENCE, ours, reach, until

Keep = Callable[[Any], Any]
PANELS = sorted(Panel.__subclasses__(), key=lambda panel: panel.__name__)
TWINNED = [panel for panel in PANELS if panel is not MaximizationPanel]
OFFERED = {cnn.ActivationPanel: 6, cnn.ComparePanel: 6, cnn.FilterPanel: 6, cnn.TopImagesPanel: 6, cnn.UnitCard: 6}
"""Panels whose button offers units, and how many of a layer of six; the others show the same whatever is chosen."""


@pytest.fixture(scope="module")
def selected() -> Callable[[], Selection]:
    """Makes selections of one network, with an index and an atlas."""
    network, images = local(), greys(12, size=(16, 16))
    index, atlas = index_of(network, images), Atlas.build(network, units=2, steps=4)

    def select() -> Selection:
        made = Selection(network, images)
        made.index, made.atlas = index, atlas
        made.unit = network["3"][1]
        return made

    return select


def opened(kind: type[Any], selection: Selection) -> Panel:
    more = {"second": selection.network} if kind is cnn.ComparePanel else {}
    made: Panel = kind(selection.network, selection=selection, **more)
    return made


def settled(text: str) -> str:
    """A page without what counts how often a view was filled, and without what only tells where the selection stands."""
    return re.sub(r'"version":\s*\d+', "", text)


def choices(text: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r"<option[^>]*>([^<]*)</option>", text)]


def chosen(text: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r"<option selected>([^<]*)</option>", text)]


@pytest.mark.parametrize("kind", TWINNED, ids=lambda kind: kind.__name__)
def test_units_are_shown_as_the_panel_would_and_nothing_moves(
    kind: type[Any], selected: Callable[[], Selection], keep: Keep, tmp_path: Path
) -> None:
    selection = selected()
    panel = keep(opened(kind, selection))
    if kind is cnn.ActivationPanel:
        panel.order.value, panel.colormap.value = "strength", "magma"
    if kind is cnn.EmbeddingPanel:
        panel.run()
        panel.wait()
        panel.coloring.menu.value = "unit"  # chooses a unit of the map's layer
    panel.wait()
    stands = selection.unit
    other = stands.layer[4]
    moves: list[Any] = []
    selection.observe(moves.append)
    before, stood = set(_instances), panel.scene()
    units = [stands, other, selection.network.output[2]]
    names = panel.export_html(tmp_path / "units.html", units).read_text("utf-8")
    apart = panel.export_html(tmp_path / "one.html", [other]).read_text("utf-8")
    assert (choices(names), chosen(names)) == ([str(stands), str(other), "striped"], [str(stands)])
    assert choices(apart) == []
    assert moves == []
    assert [_instances[one] for one in set(_instances) - before] == []
    assert panel.scene() == stood
    selection.unit = other
    panel.wait()
    assert settled(panel.export_html(tmp_path / "one.html", [other]).read_text("utf-8")) == settled(apart)


@pytest.mark.parametrize("kind", PANELS, ids=lambda kind: kind.__name__)
def test_the_button_offers_what_is_made_quickly(kind: type[Any], selected: Callable[[], Selection], keep: Keep) -> None:
    panel = keep(opened(kind, selected()))
    assert panel.page_holds in panel.export.buttons["page"].tooltip
    panel.export.buttons["page"].click()
    panel.wait()
    assert panel.note.text == ""
    text = panel.export.saved["page"].data.decode()
    assert (len(choices(text)), chosen(text)) == ((6, ["3[1]"]) if kind in OFFERED else (0, []))


def test_units_beside_the_chosen_one() -> None:
    layer = local()["3"]
    assert [unit.channel for unit in units_beside(layer[0], 3)] == [0, 1, 2]
    assert [unit.channel for unit in units_beside(layer[3], 3)] == [2, 3, 4]
    assert [unit.channel for unit in units_beside(layer[5], 4)] == [2, 3, 4, 5]
    assert [unit.channel for unit in units_beside(layer[2], 9)] == [0, 1, 2, 3, 4, 5]
    assert units_beside(layer[1, "center"], 2) == [layer[1, "center"], layer[2, "center"]]


def test_what_stands_side_by_side_does_so_on_the_page(selected: Callable[[], Selection], keep: Keep) -> None:
    selection = selected()
    panel = keep(cnn.ComparePanel(selection.network, local(), selection=selection))
    (columns,) = [part for part in part_of(panel) if isinstance(part, Beside)]
    assert [heading.partition(":")[0] for ((heading, _),) in columns.parts] == ["first", "second"]
    alone = keep(FilterPanel(selection.network, selection=selection))
    assert [part for part in part_of(alone) if isinstance(part, Beside)] == []


def test_a_unit_that_fails_is_told_and_nothing_is_lost(
    selected: Callable[[], Selection], keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = selected()
    panel = keep(FilterPanel(selection.network, selection=selection))
    path, unit = tmp_path / "filters.html", selection.unit
    path.write_text("an earlier page")
    draw = FilterPanel._draw

    def broken(self: FilterPanel, layer: Any, channel: int, *more: Any) -> None:
        if channel == 4:
            raise RuntimeError("no memory for it")
        draw(self, layer, channel, *more)

    panel.only.value = True
    panel.wait()
    monkeypatch.setattr(FilterPanel, "_draw", broken)
    before = set(_instances)
    with pytest.raises(ValueError, match=r"3\[4\] can't be shown on the page: no memory for it"):
        panel.export_html(path, [selection.network["3"][0], selection.network["3"][4]])
    assert path.read_text() == "an earlier page"
    assert (selection.unit, panel.note.text, set(_instances)) == (unit, "", before)
    panel.export.buttons["page"].click()
    panel.wait()
    assert panel.note.text == "3[4] can't be shown on the page: no memory for it"
    assert not panel.export.buttons["page"].disabled


def test_what_is_no_unit_of_the_network(keep: Keep, tmp_path: Path) -> None:
    panel = keep(FilterPanel(local()))
    other: Unit = dense()["1"][0]
    with pytest.raises(ValueError, match=r"1\[0\] is no unit of local; net\[layer\]\[channel\] gives one"):
        panel.export_html(tmp_path / "page.html", [panel.selection.unit, other])
    with pytest.raises(TypeError, match=r"int was given as a unit; expected net\[layer\]\[channel\]"):
        panel.export_html(tmp_path / "page.html", [3])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_is_on_the_page_too(selected: Callable[[], Selection], keep: Keep) -> None:
    selection = selected()
    panel = keep(TopImagesPanel(selection.network, selection=selection))
    with panel.synthesis._lock:
        panel.synthesis._made[panel.synthesis._key] = Made(picture("JPEG"), 7.0, "climbed here")
    selection.unit = selection.network["3"][4]
    panel.wait()
    page = panel._page([selection.unit, selection.network["3"][1]])
    assert page.count("climbed here") == 1


def test_an_open_card_is_on_the_page_of_each_unit(keep: Keep) -> None:
    network = local()
    panel = keep(FilterPanel(network))
    panel._show_card.value = True
    panel.wait()
    text = panel._page([panel.selection.unit, network["3"][2]])
    for told in ("channel 0 of 4; ReLU", "channel 2 of 6; Conv2d"):
        assert text.count(told) == 1


def test_what_was_made_in_an_open_card_is_on_the_page_too(keep: Keep) -> None:
    network = local()
    panel = keep(FilterPanel(network))
    panel._show_card.value = True
    panel.wait()
    synthesis = panel._card.body.made.synthesis
    with synthesis._lock:
        synthesis._made[synthesis._key] = Made(picture("JPEG"), 7.0, "climbed here")
    first = panel.selection.unit
    panel.selection.unit = network["3"][2]
    panel.wait()
    assert panel._page([panel.selection.unit, first]).count("climbed here") == 1


def test_a_card_that_was_closed_again_is_not_on_the_page(keep: Keep) -> None:
    panel = keep(FilterPanel(local()))
    panel._show_card.value = True
    panel._show_card.value = False
    panel.wait()
    text = panel._page([panel.selection.unit, panel.network["3"][2]])
    assert len(choices(text)) == 2
    assert "channel 2 of 6; Conv2d" not in text


def test_a_card_is_waited_for(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = keep(FilterPanel(local()))
    panel._show_card.value = True
    panel.wait()
    gate, draw, wait = threading.Event(), CardBody._draw, panel._card._latest.wait

    def gated(self: CardBody, *chosen: Any) -> None:
        assert gate.wait(PATIENCE)
        draw(self, *chosen)

    def opening(seconds: float) -> None:
        gate.set()
        wait(seconds)

    monkeypatch.setattr(CardBody, "_draw", gated)
    monkeypatch.setattr(panel._card._latest, "wait", opening)
    panel.selection.unit = panel.network["3"][2]
    text = panel._page()
    gate.set()
    assert text.count("channel 2 of 6; Conv2d") == 1


def test_what_is_said_within_a_panel_is_on_the_page(keep: Keep) -> None:
    network = local()
    panel = keep(cnn.ActivationPanel(network, greys(3, size=(16, 16))))
    panel.why.method.value = "saliency"
    panel._show_card.value = True
    panel._show_code.value = True
    panel.wait()
    assert panel.why.legend.text.startswith("saliency")
    said = panel._card.body.remark.text
    assert said
    text = html.unescape(panel._page())
    assert (text.count(panel.why.legend.text), text.count(said)) == (1, 1)
    assert panel.code() not in text


def test_a_map_is_shown_though_its_twin_draws_slowly(
    selected: Callable[[], Selection], keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = keep(cnn.EmbeddingPanel(selected().network, selection=selected()))
    panel.projection = TSNE(perplexity=4.0, iterations=20)
    panel.run()
    panel.wait()
    panel.projection = TSNE(perplexity=3.0, iterations=20)
    panel.wait()
    caption, drawing, restored = panel.view.caption, threading.Event(), threading.Event()
    assert caption.startswith("t-SNE")
    standing, alike, restore = cnn.EmbeddingPanel._standing, cnn.EmbeddingPanel._alike, _scene.restore

    def late(self: cnn.EmbeddingPanel, *asked: Any) -> Any:
        drawing.set()
        assert restored.wait(PATIENCE)
        return standing(self, *asked)

    def begun(self: cnn.EmbeddingPanel, selection: Selection) -> Any:
        twin = alike(self, selection)
        until(lambda: twin._stale or drawing.is_set())
        return twin

    def restoring(twin: Any, scene: Any) -> None:
        restore(twin, scene)
        restored.set()

    monkeypatch.setattr(cnn.EmbeddingPanel, "_standing", late)
    monkeypatch.setattr(cnn.EmbeddingPanel, "_alike", begun)
    monkeypatch.setattr(_scene, "restore", restoring)
    assert html.unescape(panel._page([panel.network["3"][4]])).count(caption) == 1


def test_a_map_that_rested_is_drawn_for_the_page(selected: Callable[[], Selection], keep: Keep) -> None:
    panel = keep(cnn.EmbeddingPanel(selected().network, selection=selected()))
    panel.projection = TSNE(perplexity=4.0, iterations=20)
    panel.run()
    panel.wait()
    panel.asleep = True
    panel.coloring.menu.value = "unit"
    panel.refresh()
    assert panel._stale
    panel._page(())
    assert not panel._stale
    assert panel.asleep


def test_rows_that_are_kept_stay(selected: Callable[[], Selection], keep: Keep) -> None:
    selection = selected()
    panel = keep(cnn.NeighborsPanel(selection.network, selection=selection))
    panel.clear.click()
    selection.image = "7"
    panel.wait()
    panel.pin.click()
    panel.wait()
    rows = panel._page()
    assert settled(panel._page([selection.network["3"][4]])) == settled(rows)


def test_an_image_of_one_s_own_stays(keep: Keep) -> None:
    network = local()
    selection = Selection(network, greys(3, size=(16, 16)))
    selection.image = noise(5, (16, 16))
    panel = keep(cnn.ActivationPanel(network, selection=selection))
    apart = panel._page([network["3"][2]])
    selection.unit = network["3"][2]
    panel.wait()
    assert panel._page() == apart


def test_a_page_made_in_another_cell_closes_no_panel(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    request: dict[str, Any] = {"header": {"msg_id": "first"}, "metadata": {"cellId": "a"}}
    monkeypatch.setattr(_base, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: request))
    monkeypatch.setattr(_base, "_panels_of_cells", {})
    panel = keep(FilterPanel(local()))
    request["header"] = {"msg_id": "second"}
    panel._page([panel.network["3"][2]])
    assert not panel._closed


def climb(panel: MaximizationPanel, unit: Unit) -> None:
    panel.selection.unit = unit
    panel.run()
    reach(panel, "finished")


def test_a_page_of_runs_holds_the_last_of_each_goal(keep: Keep, tmp_path: Path) -> None:
    network = local()
    panel = keep(MaximizationPanel(network, cnn.Recipe(steps=3)))
    path = tmp_path / "runs.html"
    with pytest.raises(ValueError, match=r"no image of 3\[1\] was made in this panel: there is none yet; Run makes it"):
        panel.export_html(path, [network["3"][1]])
    assert choices(panel._page()) == []
    for unit in (network["3"][1], network.output[2], network["3"][1], network.output[0]):
        climb(panel, unit)
    text = panel.export_html(path).read_text("utf-8")
    assert (choices(text), chosen(text)) == (["dark", "3[1]", "striped"], ["dark"])
    stills = set(re.findall(r'"still":(\d+)', text))
    assert len(stills) == 3
    two = panel.export_html(path, [network.output[2], network["3"][1]]).read_text("utf-8")
    assert choices(two) == ["striped", "3[1]"]
    with pytest.raises(ValueError, match=r"no image of 3\[2\] .* there is one of dark, 3\[1\], striped; Run makes it"):
        panel.export_html(path, [network["3"][2]])
    panel.selection.network = local()
    panel.wait()
    assert choices(panel._page()) == []


def test_classes_of_one_name_are_told_apart(keep: Keep) -> None:
    plain = local()
    network = cnn.Network(plain.module, plain.input, ("crane", "light", "crane"), name="local")
    panel = keep(MaximizationPanel(network, cnn.Recipe(steps=2)))
    for channel in (0, 1, 2):
        climb(panel, network.output[channel])
    assert choices(panel._page()) == ["crane [2]", "light", "crane [0]"]
    first = panel._page_part([network.output[0]])
    assert first == panel._former._kept[repr(network.output[0])].parts
    with pytest.raises(ValueError, match=r"no image of 3\[2\] .* there is one of crane \[2\], light, crane \[0\]"):
        panel._page([network["3"][2]])


def recordings(parts: Any) -> Iterator[Recording]:
    if isinstance(parts, Recording):
        yield parts
    for part in parts if isinstance(parts, list) else getattr(parts, "parts", []):
        yield from recordings(part)


@pytest.mark.parametrize(("network", "views"), [(local, 2), (convolutional, 1)])
def test_a_former_run_has_no_bars_without_classes(network: Callable[[], cnn.Network], views: int, keep: Keep) -> None:
    net = network()
    panel = keep(MaximizationPanel(net, cnn.Recipe(steps=2)))
    for channel in (0, 1):
        climb(panel, net["0"][channel])
    runs = panel._page_part(())
    assert isinstance(runs, Choice)
    assert [len(list(recordings(run))) for run in runs.parts] == [views, views]


def picture(format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(0, (16, 16))).save(file, format)
    return file.getvalue()


def test_a_run_on_its_way_is_recorded_as_far_as_it_is() -> None:
    player = FramePlayer()
    player.start(1, 500)
    for step in range(3):
        player.offer(step, [step / 2], lambda: picture("JPEG"))
    state = player.recording(0).state
    shown = player.film()[-1][0]
    assert (player.still, state["step"], state["images"]) == (b"", shown, 1)
    with Image.open(io.BytesIO(state["still"])) as still:
        assert (still.format, still.size) == ("PNG", (16, 16))
    assert np.frombuffer(state["curve_steps"], "<i4").tolist() == [0, 1, 2]
    assert np.frombuffer(state["curve"], "<f4").tolist() == [0, 0.5, 1]
    player.rest(3, [1.5], picture("PNG"))
    assert player.recording(0).state["still"] == picture("PNG")
    player.close()


def test_no_thread_is_left_when_a_page_is_made(selected: Callable[[], Selection], keep: Keep) -> None:
    selection = selected()
    panel = keep(cnn.UnitCard(selection.network, selection=selection))
    before = set(ours())
    panel._page([selection.network["3"][4]])
    for thread in set(ours()) - before:
        thread.join(PATIENCE)
    assert set(ours()) <= before

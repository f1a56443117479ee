"""`AtlasPanel`: all layers on one sheet, seen while they are made, stopped, gone on with, and taken along."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets import Atlas, AtlasPanel, Network, Selection
from cnnviz_widgets.panels import _atlas_building
from cnnviz_widgets.panels._atlas_building import FOUR
from cnnviz_widgets.panels._atlas_sheet import tile_key
from tests.panels.indexed import LABELS, local, result_of
from tests.panels.networks import grey, untrained_resnet
from tests.panels.waiting import until

Keep = Callable[[Any], Any]


@pytest.fixture(scope="module")
def net() -> Network:
    return local()


@pytest.fixture(scope="module")
def atlas(net: Network) -> Atlas:
    return Atlas.build(net, units=2, steps=20, coarse=4)


@pytest.fixture
def panel(keep: Keep, net: Network, atlas: Atlas) -> AtlasPanel:
    opened: AtlasPanel = keep(AtlasPanel(net, atlas))
    opened.wait()
    return opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that are made in few steps."""
    building = Atlas.building
    monkeypatch.setattr(
        Atlas, "building", lambda *given, **more: building(*given, **{**more, "steps": 12, "coarse": 3})
    )
    monkeypatch.setattr(_atlas_building, "SHOWN_EVERY", 0.0)


def press(panel: AtlasPanel, kind: str, key: str) -> None:
    """What the browser does when a tile is clicked."""
    panel.view._handle_custom_msg({"type": kind, "key": key}, [])
    panel.wait()


def test_layers_from_the_deepest_to_the_first(panel: AtlasPanel, atlas: Atlas) -> None:
    assert [band["title"] for band in panel.view.bands] == [layer.name for layer in reversed(atlas.layers)]
    assert [band["count"] for band in panel.view.bands] == [2] * len(atlas.layers)
    assert panel.view.tile_labels[:2] == [LABELS[0], LABELS[1]]
    assert panel.view.tile_labels[2:] == [""] * (len(panel.view.tile_keys) - 2)
    assert "sees 3 × 3 pixels" in panel.view.bands[-1]["subtitle"]
    assert "finished" not in panel.view.caption
    boxes = np.frombuffer(panel.view.boxes, "<f4").reshape(-1, 4)
    assert boxes[0, 2] > boxes[-1, 2]


def test_a_click_makes_a_unit_the_selection_s(panel: AtlasPanel, atlas: Atlas) -> None:
    unit = atlas.units("1")[1]
    press(panel, "choose", tile_key(unit, "default"))
    assert panel.selection.unit == panel.network["1"][1]
    press(panel, "open", "no such tile")
    assert panel.selection.unit == panel.network["1"][1]
    panel.selection.unit = panel.network.output[1]
    panel.wait()
    assert panel.view.selected_key == tile_key(panel.network.output[1], "default")
    panel.selection.unit = panel.network.output[2]
    panel.wait()
    assert panel.view.selected == -1


def test_classes_and_layers_are_found_by_name(panel: AtlasPanel) -> None:
    assert panel.search.options[:2] == LABELS[:2]
    panel.search.value = "LIGHT"
    assert panel.view.selected_key == tile_key(panel.network.output[1], "default")
    panel.search.value = "1"
    assert panel.view.selected_key.startswith("1:0:")
    panel.search.value = "nowhere"
    assert "no class or layer of the atlas is called 'nowhere'" in panel.note.text
    panel.search.value = "dark"
    assert panel.note.text == ""


def test_it_is_made_in_the_panel(keep: Keep, quick: None) -> None:
    panel = keep(AtlasPanel(local()))
    panel.wait()
    assert (panel.view.tile_keys, panel.builder.button.description) == ([], "Synthesize all layers")
    assert "Synthesize all layers makes them" in panel.remark.text
    with pytest.raises(ValueError, match="there are no images yet"):
        panel.figure()
    panel.builder.units.value = 2
    panel.builder.button.click()
    panel.wait()
    atlas = panel.selection.atlas
    assert atlas is not None
    assert (atlas.complete, panel.note.text, panel.builder.button.description) == (True, "", "Synthesize anew")
    assert len(panel.view.tile_keys) == atlas.total
    revisions = np.frombuffer(panel.view.revisions, "<i4")
    assert (revisions > 0).all()
    assert "units=2" in panel.code()


def test_it_is_stopped_and_gone_on_with(keep: Keep, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    gate, waiting = threading.Event(), threading.Event()
    building = Atlas.building

    def gated(*given: Any, **more: Any) -> Iterator[Any]:
        for number, progress in enumerate(building(*given, **more)):
            if number == 5:
                waiting.set()
                gate.wait(60)
            yield progress

    monkeypatch.setattr(Atlas, "building", gated)
    panel = keep(AtlasPanel(local()))
    panel.builder.units.value = 2
    panel.run()
    assert waiting.wait(60)
    assert panel.builder.button.description == "Stop"
    assert panel.builder.units.disabled
    panel.builder.button.click()
    gate.set()
    panel.wait()
    assert panel.selection.atlas is not None
    assert not panel.selection.atlas.complete
    assert panel.builder.button.description == "Continue"
    first = panel.builder._steps
    panel.builder.button.click()
    panel.wait()
    assert panel.selection.atlas.complete
    assert panel.builder._key[2] == panel.builder.wanted
    assert first is not None
    assert "finished" not in panel.view.caption


def test_what_is_on_disk_is_taken_up(keep: Keep, tmp_path: Path, quick: None) -> None:
    net = local()
    first = keep(AtlasPanel(net, path=tmp_path))
    first.builder.units.value = 1
    first.run()
    first.wait()
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert made
    again = keep(AtlasPanel(local(), path=tmp_path))
    again.builder.units.value = 1
    again.run()
    again.wait()
    assert again.selection.atlas.complete
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == made
    assert f"path={str(tmp_path)!r}" in again.code()


def test_classes_by_four_combinations(keep: Keep, quick: None) -> None:
    panel = keep(AtlasPanel(local()))
    panel.builder.units.value = 1
    panel.builder.four.value = True
    panel.run()
    panel.wait(300)
    atlas = panel.selection.atlas
    assert atlas.recipes_of(panel.network.output) == FOUR
    assert panel.view.blocks[0]["count"] == 4
    assert panel.view.bands[1]["count"] == 1
    assert "class_recipes=['yosinski-1', 'yosinski-2', 'yosinski-3', 'yosinski-4']" in panel.code()


def test_taken_along(panel: AtlasPanel, tmp_path: Path) -> None:
    text = panel.export_html(tmp_path / "all.html").read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "All layers · local" in text
    with Image.open(panel.save_figure(tmp_path / "all.png", dpi=60)) as opened:
        assert np.asarray(opened.convert("L")).std() > 5
    panel.export.buttons["figure"].click()
    panel.wait()
    assert panel.export.saved["figure"].data[:4] == b"\x89PNG"
    assert panel.figure_code() == "cnn.figures.all_layers(atlas)"


def test_the_code_makes_the_same_images(panel: AtlasPanel, quick: None) -> None:
    panel.builder.units.value = 1
    again = result_of(panel.code(), panel.network, ())["result"]
    panel.run()
    panel.wait()
    for layer in again.layers:
        unit = again.units(layer)[0]
        assert again.image(unit).png == panel.selection.atlas.image(unit).png


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layers": ["nowhere"]}, "no layer 'nowhere'"),
        ({"layers": "nowhere"}, "no layer 'nowhere'"),
        ({"steps": 0}, "steps=0; expected a number from 1, or None"),
        ({"steps": -3}, "steps=-3; expected a number from 1, or None"),
    ],
)
def test_layers_and_steps_that_are_none_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, KeyError), match=re.escape(told)):
        AtlasPanel(local(), **given)


@pytest.mark.parametrize("as_layers", [False, True])
def test_chosen_layers_in_a_few_steps(keep: Keep, as_layers: bool) -> None:
    net = local()
    names = ["3", net.output.name]
    panel = keep(AtlasPanel(net, layers=[net[name] for name in names] if as_layers else names, steps=5))
    panel.builder.units.value = 1
    panel.run()
    panel.wait()
    atlas = panel.selection.atlas
    assert [layer.name for layer in atlas.layers] == names
    assert f"layers={names!r}, units=1, steps=5" in panel.code()
    again = result_of(panel.code(), net, ())["result"]
    assert again.layers == atlas.layers
    for layer in atlas.layers:
        unit = atlas.units(layer)[0]
        assert again.image(unit).png == atlas.image(unit).png


def test_another_network_has_its_own_main_layers(keep: Keep) -> None:
    first, other = local(), grey()
    panel = keep(AtlasPanel(first, layers=["3"], steps=4))
    panel.builder.units.value = 1
    panel.selection.network = other
    panel.wait()
    assert "layers" not in panel.code()
    assert "steps=4" in panel.code()
    panel.run()
    panel.wait()
    assert panel.selection.atlas.layers == tuple(other.main_layers)
    panel.selection.network = first
    panel.wait()
    assert "layers=['3']" in panel.code()


def test_another_network_ends_it(keep: Keep, quick: None) -> None:
    selection = Selection(local())
    panel = keep(AtlasPanel(selection.network, selection=selection))
    panel.run()
    selection.network = grey()
    panel.wait()
    assert selection.atlas is None
    assert panel.view.tile_keys == []
    assert panel.note.text == ""


def test_changed_weights_are_told(keep: Keep) -> None:
    net = local()
    panel = keep(AtlasPanel(net, Atlas.build(net, units=1, steps=4)))
    panel.wait()
    with __import__("torch").no_grad():
        next(net.module.parameters()).add_(0.1)
    until(lambda: panel.wait() is None and "no longer those that the atlas was built with" in panel.remark.text)


def test_an_atlas_of_another_network_is_refused(atlas: Atlas) -> None:
    with pytest.raises(Exception, match="the atlas is one of local, the selection looks at"):
        AtlasPanel(grey(), atlas)


@pytest.mark.parametrize("make", [grey, untrained_resnet])
def test_other_networks(keep: Keep, make: Callable[[], Network], quick: None) -> None:
    net = make()
    layers = list(net.main_layers)
    atlas = Atlas.build(net, [layers[0], layers[-1]], 2, steps=4)
    panel = keep(AtlasPanel(net, atlas))
    panel.wait()
    assert [band["title"] for band in panel.view.bands] == [layers[-1].name, layers[0].name]
    assert panel.note.text == ""


def test_what_goes_wrong_is_shown_and_the_panel_lives_on(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    panel = keep(AtlasPanel(local()))
    panel.builder.units.value = 1
    fails = True
    building = Atlas.building

    def broken(*given: Any, **more: Any) -> Iterator[Any]:
        if fails:
            raise RuntimeError("no room on the disk")
        return building(*given, **more)

    monkeypatch.setattr(Atlas, "building", broken)
    panel.run()
    panel.wait()
    assert (panel.note.kind, panel.note.text) == ("error", "no room on the disk")
    fails = False
    panel.run()
    panel.wait()
    assert panel.note.text == ""
    assert panel.selection.atlas is not None
    assert panel.selection.atlas.complete

"""`Explorer`: every panel on one selection, opened when it is chosen, at rest while nobody sees it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

import cnnviz_widgets as cnn
from cnnviz_widgets import Explorer, Network, Selection
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.explorer.explorer import LAYOUTS
from cnnviz_widgets.explorer.strip import MOST, Strip, unit_called
from cnnviz_widgets.panels import Panel
from tests.panels.indexed import choose, greys, index_of, local, picture
from tests.panels.networks import dense, grey, untrained_resnet
from tests.panels.waiting import PATIENCE, ours

SIZE = (16, 16)
NAMES = ("Activations", "Filters", "Maximization", "Top images", "Neighbours", "Embedding", "All layers", "Unit card")


@pytest.fixture
def keep() -> Iterator[Callable[[Explorer], Explorer]]:
    """Closes what a test opened."""
    opened: list[Explorer] = []

    def kept(explorer: Explorer) -> Explorer:
        opened.append(explorer)
        return explorer

    yield kept
    for explorer in opened:
        explorer.close()


@pytest.fixture
def explorer(keep: Any) -> Explorer:
    found = keep(Explorer(local(), greys(12, size=SIZE)))
    found.wait()
    return found


def test_it_opens_with_what_is_seen_and_no_more(explorer: Explorer) -> None:
    assert explorer.shelf.names == NAMES
    assert explorer.shown == LAYOUTS["side by side"]
    assert set(explorer.panels) == set(explorer.shown)
    assert all(panel.selection is explorer.selection for panel in explorer.panels.values())
    assert [panel.asleep for panel in explorer.panels.values()] == [False, False]
    assert explorer.note.text == ""


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_opens_in_it(explorer: Explorer, name: str) -> None:
    panel = explorer.show_panel(name)
    explorer.wait()
    assert isinstance(panel, Panel)
    assert name in explorer.shown
    assert panel.note.kind != "error", panel.note.text
    assert explorer.slots[0].place.children == (panel,)


def test_panels_follow_each_other(explorer: Explorer) -> None:
    filters = explorer.show_panel("Filters")
    explorer.selection.unit = explorer.network["3"][2]
    explorer.wait()
    assert filters.layer == explorer.network["3"]
    assert explorer.strip.standing.value == "3[2]"
    explorer.strip.table._handle_custom_msg({"type": "choose", "index": 5}, [])
    explorer.wait()
    assert explorer.selection.image == "5"
    assert explorer.strip.table.selected == 5


def test_what_nobody_sees_rests_and_catches_up(explorer: Explorer) -> None:
    activations = explorer.show_panel("Activations")
    explorer.show_panel("Filters")
    assert activations.asleep
    explorer.wait()
    before = activations.grid.caption
    explorer.selection.layer = explorer.network["3"]
    explorer.wait()
    assert activations.grid.caption == before
    explorer.show_panel("Activations")
    explorer.wait()
    assert activations.grid.caption != before
    assert not activations.asleep


def test_a_panel_that_is_seen_already_changes_places(explorer: Explorer) -> None:
    left, right = explorer.shown
    explorer.show_panel(right, 0)
    assert explorer.shown == (right, left)
    assert [slot.tabs.value for slot in explorer.slots] == [right, left]
    assert [slot.place.children[0] for slot in explorer.slots] == [explorer.panels[right], explorer.panels[left]]


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_layouts(explorer: Explorer, layout: str) -> None:
    explorer.arrangement.value = layout
    explorer.wait()
    assert len(explorer.shown) == len(LAYOUTS[layout])
    assert ("cnnviz-large" in explorer._dom_classes) == (layout == "projector")
    assert sum(not panel.asleep for panel in explorer.panels.values()) == len(explorer.shown)
    explorer.arrange("side by side")
    assert len(set(explorer.shown)) == 2
    assert "" not in explorer.shown


def test_units_are_called_by_name() -> None:
    net = local()
    assert unit_called("light", net) == net.output[1]
    assert unit_called(" 3[4] ", net) == net["3"][4]
    assert unit_called("3[4, center]", net) == net["3"][4, "center"]
    assert unit_called("3[4,1, 2]", net) == net["3"][4, 1, 2]
    assert unit_called("3", net) == net["3"][0]
    with pytest.raises(UnknownNameError):
        unit_called("nowhere[3]", net)
    with pytest.raises(UnknownNameError):
        unit_called("__import__('os')", net)
    with pytest.raises(IndexError):
        unit_called("3[99]", net)


def test_a_unit_that_is_none_is_told_and_it_lives_on(explorer: Explorer) -> None:
    explorer.strip.unit.value = "no such class"
    assert (explorer.note.kind, "no such class" in explorer.note.text) == ("error", True)
    explorer.strip.unit.value = "striped"
    assert explorer.note.text == ""
    assert explorer.selection.unit == explorer.network.output[2]


@pytest.fixture
def strip(keep: Any) -> Iterator[Strip]:
    """Of 150 images of five labels, which is three pages."""
    flat = [np.full((8, 8), 1 + n, np.uint8) for n in range(150)]
    images = cnn.ImageSet.from_arrays(flat, [f"Kind {n % 5}" for n in range(150)])
    made = Strip(Selection(grey(), images), lambda error: pytest.fail(str(error)), lambda: None)
    made.wait(PATIENCE)
    yield made
    made.close()


def looks(strip: Strip) -> list[int]:
    """The brightness of each picture: the number of its image and one more."""
    strip.wait(PATIENCE)
    return [round(float(np.asarray(picture(strip.table, at)).mean())) for at in range(len(strip.table.cells))]


def enter(strip: Strip, text: str) -> None:
    strip.search.value = text
    strip.wait(PATIENCE)


def test_a_large_collection_is_leafed_through(strip: Strip) -> None:
    assert looks(strip) == list(range(1, MOST + 1))
    assert strip.table.caption == "1 to 60 of 150 images"
    assert (strip.back.disabled, strip.on.disabled) == (True, False)
    strip.on.click()
    strip.on.click()
    strip.on.click()
    assert looks(strip) == list(range(121, 151))
    assert (strip.table.caption, strip.table.selected) == ("121 to 150 of 150 images", -1)
    assert (strip.back.disabled, strip.on.disabled) == (False, True)
    choose(strip.table, 3)
    assert strip._selection.image == "123"
    strip.back.click()
    assert looks(strip) == list(range(61, 121))
    assert strip._selection.image == "123"


def test_the_page_of_an_image_that_is_chosen_elsewhere_is_shown(strip: Strip) -> None:
    strip._selection.image = "70"
    assert (looks(strip)[0], strip.table.selected) == (61, 10)
    strip._selection.unit = strip._selection.network.output[1]
    strip.on.click()
    strip._selection.unit = strip._selection.network.output[2]
    assert looks(strip)[0] == 121
    strip._selection.image = np.zeros((8, 8), np.uint8)
    assert (looks(strip)[0], strip.table.selected) == (121, -1)


def test_images_are_found_by_label_and_by_id(strip: Strip) -> None:
    strip.on.click()
    enter(strip, " kIND 3 ")
    assert looks(strip) == list(range(4, 151, 5))
    assert strip.table.caption == "30 of 150 images"
    strip._selection.image = "148"
    assert looks(strip)[0] == 4
    assert strip.table.selected == 29
    enter(strip, "14")
    assert looks(strip) == [15, 115, *range(141, 151)]
    strip._selection.image = "0"
    assert (looks(strip)[0], strip.table.selected) == (15, -1)
    enter(strip, "zebra")
    assert (looks(strip), strip.table.caption) == ([], "No label or name of an image holds 'zebra'.")
    enter(strip, "")
    assert looks(strip)[0] == 1


def test_another_large_collection_is_shown_whole(strip: Strip) -> None:
    enter(strip, "kind 3")
    strip._selection.images = [np.full((8, 8), 50 + n, np.uint8) for n in range(100)]
    assert looks(strip) == list(range(50, 50 + MOST))
    assert (strip.search.value, strip.table.caption) == ("", "1 to 60 of 100 images")


def test_a_click_means_the_photograph_that_is_shown(strip: Strip, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding, go_on = threading.Event(), threading.Event()
    decoded = cnn.ImageSet.thumbnail_data

    def slow(self: cnn.ImageSet, number: int, side: int) -> bytes:
        decoding.set()
        assert go_on.wait(PATIENCE)
        return decoded(self, number, side)

    monkeypatch.setattr(cnn.ImageSet, "thumbnail_data", slow)
    strip.on.click()
    assert decoding.wait(PATIENCE)
    choose(strip.table, 3)
    go_on.set()
    assert strip._selection.image == "3"
    assert (looks(strip)[0], strip.table.selected) == (1, 3)


def test_a_click_means_what_is_shown_also_where_the_next_page_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    images = cnn.ImageSet.from_arrays(np.zeros((100, 8, 8), np.uint8))
    told: list[str] = []
    strip = Strip(Selection(grey(), images), lambda error: told.append(str(error)), lambda: None)
    strip.wait(PATIENCE)

    def broken(self: cnn.ImageSet, number: int, side: int) -> bytes:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(cnn.ImageSet, "thumbnail_data", broken)
    strip.on.click()
    strip.wait(PATIENCE)
    assert told == ["the disk is gone"]
    assert strip.table.caption == "1 to 60 of 100 images"
    choose(strip.table, 3)
    assert strip._selection.image == "3"
    strip.close()


def test_a_closed_strip_is_held_by_no_selection() -> None:
    selection = Selection(grey(), greys(4))
    before = {name: len(selection._trait_notifiers.get(name, {}).get("change", [])) for name in selection.trait_names()}
    strip = Strip(selection, lambda error: pytest.fail(str(error)), lambda: None)
    strip.wait(PATIENCE)
    strip.close()
    left = {name: len(selection._trait_notifiers.get(name, {}).get("change", [])) for name in selection.trait_names()}
    assert left == before


def test_another_collection_with_the_same_ids_is_another(strip: Strip) -> None:
    enter(strip, "kind 3")
    strip._selection.images = [np.full((8, 8), 200, np.uint8)] * 3
    assert looks(strip) == [200] * 3
    assert (strip.table.caption, strip.paging.layout.display) == ("3 images", "none")
    strip._selection.images = [np.full((8, 8), 100, np.uint8)] * 3
    assert looks(strip) == [100] * 3


def test_only_what_is_seen_of_a_collection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    images = cnn.ImageSet.from_arrays(np.zeros((50_000, 8, 8), np.uint8), [f"kind {n % 500}" for n in range(50_000)])
    opened: list[int] = []
    monkeypatch.setattr(type(images), "thumbnail_data", lambda self, number, side: opened.append(number) or b"")
    strip = Strip(Selection(grey(), images), lambda error: pytest.fail(str(error)), lambda: None)
    strip.wait(PATIENCE)
    enter(strip, "kind 499")
    strip.on.click()
    strip._selection.image = "49999"
    strip.wait(PATIENCE)
    assert strip.table.caption == "61 to 100 of 100 images"
    assert len(opened) == 2 * MOST + 40
    strip.close()


def test_what_is_asked_for_wrongly(explorer: Explorer) -> None:
    with pytest.raises(ValueError, match="there is no panel 'Histogram'; there are Activations, Filters"):
        explorer.show_panel("Histogram")
    with pytest.raises(ValueError, match="slot=2; the layout 'side by side' has 2"):
        explorer.show_panel("Filters", 2)
    with pytest.raises(ValueError, match="expected one of 'side by side'"):
        Explorer(explorer.network, (), layout="wall")
    with pytest.raises(TypeError, match="expected a Network"):
        Explorer("resnet18")  # type: ignore[arg-type]


def test_a_panel_that_fails_to_open_is_told(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Panel:
        raise RuntimeError("no memory for it")

    monkeypatch.setitem(explorer.shelf._makers, "Filters", broken)
    explorer.slots[0].tabs.value = "Filters"
    assert explorer.note.text == "no memory for it"
    assert explorer.slots[0].tabs.value == explorer.slots[0].name == "Activations"


def test_an_index_that_is_there_is_shared(keep: Any) -> None:
    net = local()
    index = index_of(net, greys(12, size=SIZE))
    explorer = keep(Explorer(net, index=index))
    top = explorer.show_panel("Top images")
    explorer.wait()
    assert explorer.selection.images is index.images
    assert len(top.table.cells) == 4


def test_what_it_builds_is_kept_below_its_path(keep: Any, tmp_path: Path) -> None:
    explorer = keep(Explorer(local(), greys(12, size=SIZE), path=tmp_path))
    top = explorer.show_panel("Top images")
    top.builder.button.click()
    top.builder.wait(PATIENCE)
    assert explorer.selection.index.path.parent == tmp_path / "index"
    assert f"path={str(tmp_path)!r}" in explorer.code()


def test_on_a_selection_of_others(keep: Any) -> None:
    net = local()
    selection = Selection(net, greys(5, size=SIZE))
    explorer = keep(Explorer(net, selection=selection))
    assert explorer.selection is selection
    assert len(explorer.strip.table.cells) == 5


@pytest.mark.parametrize("make", [grey, untrained_resnet, dense])
def test_other_networks(keep: Any, make: Callable[[], Network]) -> None:
    net = make()
    channels, height, width = net.input.size
    shape = (height, width) if channels == 1 else (height, width, 3)
    explorer = keep(Explorer(net, [np.zeros(shape, np.uint8), np.full(shape, 200, np.uint8)]))
    explorer.wait()
    assert [panel.note.kind for panel in explorer.panels.values() if panel.note.kind == "error"] == []


def test_without_images_the_samples_are_taken(keep: Any) -> None:
    explorer = keep(Explorer(local()))
    assert explorer.selection.images.ids == cnn.ImageSet.samples().ids


def test_closing_leaves_nothing(keep: Any) -> None:
    before = set(_instances)
    explorer = Explorer(local(), greys(4, size=SIZE))
    explorer.show_panel("Filters")
    explorer.show_panel("Maximization", 1)
    explorer.wait()
    explorer.close()
    explorer.close()
    for thread in ours():
        thread.join(PATIENCE)
    assert ours() == []
    assert [_instances[one] for one in set(_instances) - before] == []


def test_a_scene_brings_back_what_was_seen(explorer: Explorer) -> None:
    explorer.selection.unit = explorer.network["3"][2]
    activations = explorer.panels["Activations"]
    activations.scale.value = "layer"
    explorer.scenes.keep("first")
    scene = json.loads(json.dumps(explorer.scene()))
    explorer.arrange("projector")
    explorer.show_panel("Filters")
    explorer.selection.unit = explorer.network["0"][1]
    activations.scale.value = "channel"
    explorer.wait()
    explorer.scenes.go("first")
    explorer.wait()
    assert explorer.scene() == scene
    assert (explorer.selection.unit, activations.scale.value) == (explorer.network["3"][2], "layer")
    assert explorer.shown == LAYOUTS["side by side"]
    explorer.scenes.reset()
    assert explorer.selection.unit == explorer.network.main_layers[0][0]


@pytest.mark.parametrize(
    "change",
    [
        {"layout": "wall"},
        {"shown": ["Activations"]},
        {"shown": ["Activations", "Histogram"]},
        {"panels": {"Histogram": {}}},
        {"panels": {"Activations": {"cnnviz_scene": 7}}},
        {"cnnviz_explorer": 9},
    ],
    ids=str,
)
def test_a_scene_that_does_not_fit_leaves_all_as_it_was(explorer: Explorer, change: dict[str, Any]) -> None:
    scene = explorer.scene()
    explorer.selection.unit = explorer.network["3"][2]
    explorer.wait()
    before = explorer.scene()
    with pytest.raises(ValueError, match=r"scene|layout|panel"):
        explorer.show_scene({**scene, **change})
    explorer.wait()
    assert explorer.scene() == before


def test_scenes_are_kept_below_its_path(keep: Any, tmp_path: Path) -> None:
    first = keep(Explorer(local(), greys(4, size=SIZE), path=tmp_path))
    first.scenes.keep("one")
    assert keep(Explorer(local(), greys(4, size=SIZE), path=tmp_path)).scenes.names == ["one"]


def test_another_network_is_compared_with(keep: Any) -> None:
    explorer = keep(Explorer(local(), greys(4, size=SIZE), second=local(), layout="one column"))
    compared = explorer.show_panel("Compare")
    explorer.wait()
    assert compared.second is explorer.second
    assert compared.note.kind != "error"

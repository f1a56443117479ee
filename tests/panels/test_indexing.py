"""`IndexBuilder`: a build that is told, stopped, gone on with and shown while it grows, by one panel or by several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, NeighborsPanel, Network, Selection, TopImagesPanel
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.panels import _indexing
from cnnviz_widgets.panels._indexing import FEATURES, IndexBuilder, nearest_layer
from tests.engine.index.builds import counted, same
from tests.panels.indexed import SETTINGS, greys, index_of, local, noise
from tests.panels.networks import grey
from tests.panels.waiting import ours, until

Keep = Callable[[Any], Any]
COUNT = 40
SHARDS = COUNT // SETTINGS["shard"]
PATIENCE = 60


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Builds in small shards, unless an index that is there says otherwise, and what each was asked for."""
    asked: list[dict[str, Any]] = []
    original = ActivationIndex.building

    def small(*given: Any, **more: Any) -> Iterator[Progress[ActivationIndex]]:
        if len(given) > 2:  # by `ActivationIndex.build`
            return original(*given, **more)
        asked.append(more)
        return original(*given, **{**SETTINGS, **more})

    monkeypatch.setattr(ActivationIndex, "building", small)
    return asked


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``held(n)``: the next build stops itself, as by its button, when ``n`` images are done."""
    limit = [10**9]
    original = IndexBuilder._follow

    def follow(self: IndexBuilder, steps: Any, stop: Any, *rest: Any) -> bool:
        def watched() -> Iterator[Any]:
            for progress in steps:
                if progress.done >= limit[0]:
                    limit[0] = 10**9
                    self.pressed()
                yield progress

        return original(self, watched(), stop, *rest)

    monkeypatch.setattr(IndexBuilder, "_follow", follow)
    return lambda done: limit.__setitem__(0, done)


def press(panel: Any) -> None:
    panel.builder.button.click()


def done(panel: Any) -> None:
    panel.builder.wait(PATIENCE)
    panel.wait()


def button(panel: Any) -> tuple[str, bool, str]:
    told = panel.builder.button
    return told.description, told.disabled, panel.builder.bar.layout.display


def test_builds_at_the_press_of_the_button(keep: Keep, building: list[Any]) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    panel = keep(TopImagesPanel(net, images=images))
    assert button(panel) == ("Build index", False, "none")
    assert panel.builder.told.value == "40 images"
    press(panel)
    done(panel)
    index = panel.selection.index
    assert index.complete
    assert index.images is images
    assert button(panel) == ("Build anew", False, "none")
    assert panel.builder.told.value == f"40 images, {index.plan.units} units"
    assert len(panel.table.cells) == 4
    assert (panel.note.text, panel.remark.text) == ("", "")
    same(index, index_of(net, images, features=index.plan.features))


def test_the_features_kept_lead_to_the_last_hidden_layer(keep: Keep, building: list[Any]) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, images=greys(8, size=(16, 16))))
    panel.tree.selected = "2"
    press(panel)
    done(panel)
    kept = [layer.name for layer in panel.selection.index.plan.features]
    assert {"2", net.last_hidden.name} <= set(kept)
    assert net.main_layers[0].name in kept
    assert len(kept) <= FEATURES + 2
    assert panel.neighbors.layer == "2"


class Forked(nn.Module):
    """Has a layer that only an even picture reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.seldom, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.first(images)
        if images.std() < 1e-6:
            maps = self.seldom(maps)
        return self.last(maps.mean((2, 3)))


def test_layers_that_can_t_be_measured_are_left_out_of_the_features(keep: Keep) -> None:
    net = Network(Forked(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, images=greys(6)))
    press(panel)
    done(panel)
    assert panel.note.text == ""
    assert panel.selection.index.plan.left_out
    panel.selection.layer = net["seldom"]
    panel.wait()
    assert "seldom is not in the index; shown is" in panel.remark.text


def test_progress_is_told(keep: Keep, guarded: Any, building: list[Any]) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, images=greys(COUNT)))
    guarded.gate.clear()
    press(panel)
    assert button(panel) == ("Stop", False, "")
    panel.wait()
    assert panel.builder.told.value == "Beginning …"
    assert "The first images are on their way." in panel.remark.text
    guarded.gate.set()
    until(lambda: "of 40 images" in panel.builder.told.value or not panel.builder.running)
    done(panel)
    assert panel.builder.bar.max == 40
    assert panel.builder.told.value == "40 images, 3 units"


def test_stops_after_a_batch_and_goes_on_without_measuring_again(
    keep: Keep, building: list[Any], held: Callable[[int], None]
) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    panel = keep(TopImagesPanel(net, images=images))
    held(20)
    with counted() as measured:
        press(panel)
        done(panel)
        index = panel.selection.index
        assert (index.looked_at, index.complete) == (16, False)
        assert button(panel) == ("Continue", False, "none")
        assert panel.builder.told.value == "16 of 40 images"
        assert len(panel.table.cells) == 4
        press(panel)
        done(panel)
    assert measured == list(range(SHARDS))
    assert panel.selection.index.complete
    assert len(building) == 1
    same(panel.selection.index, index_of(net, images, features=index.plan.features))


def test_goes_on_from_its_path(keep: Keep, building: list[Any], held: Callable[[int], None], tmp_path: Path) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    panel = keep(TopImagesPanel(net, images=images, path=tmp_path))
    held(20)
    with counted() as measured:
        press(panel)
        done(panel)
        assert measured == [0, 1, 2]
        panel.close()
        other = keep(TopImagesPanel(net, images=images, path=tmp_path))
        assert button(other)[0] == "Build index"
        press(other)
        until(lambda: "Goes on after 16 images" in other.builder.told.value or not other.builder.running)
        done(other)
    assert measured == [0, 1, 2, 2, 3, 4]
    same(other.selection.index, index_of(net, images, features=other.selection.index.plan.features))


def test_an_index_that_is_not_complete_is_gone_on_with_as_it_was_begun(keep: Keep, tmp_path: Path) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    settings: dict[str, Any] = {**SETTINGS, "layers": ["0", "3"], "pool": "mean", "features": ["3"]}
    for progress in ActivationIndex.building(net, images, path=tmp_path, **settings):
        if progress.done >= 12:
            break
    index = ActivationIndex.open(tmp_path, net, images)
    panel = keep(NeighborsPanel(net, index))
    assert button(panel)[0] == "Continue"
    assert "once complete, Build anew keeps them, too" in panel.remark.text
    press(panel)
    done(panel)
    built = panel.selection.index
    assert built.complete
    assert (built.path, built.plan) == (index.path, index.plan)
    press(panel)
    done(panel)
    assert [layer.name for layer in panel.selection.index.plan.features] == ["3", net.last_hidden.name]
    assert panel.selection.index.plan.settings == index.plan.settings
    assert [layer.name for layer in panel.selection.index.plan.layers] == ["0", "3"]
    assert panel.selection.index.path.parent == tmp_path
    assert panel.neighbors.layer == net.last_hidden.name


def test_after_training_it_is_built_anew_with_its_settings(keep: Keep, building: list[Any]) -> None:
    net, images = local(), greys(size=(16, 16))
    panel = keep(TopImagesPanel(net, index_of(net, images, k=2)))
    with torch.no_grad():
        net.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert "The weights are no longer" in panel.remark.text
    press(panel)
    done(panel)
    assert panel.remark.text == ""
    assert len(panel.table.cells) == 2


def test_an_error_is_shown_and_the_panel_lives_on(keep: Keep, guarded: Any, building: list[Any]) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, images=greys(COUNT)))
    guarded.passes_left = 4
    press(panel)
    done(panel)
    assert "the test's module broke" in panel.note.text
    panel.refresh()
    panel.wait()
    assert "the test's module broke" in panel.note.text
    assert button(panel)[0] in ("Build index", "Build anew")
    guarded.passes_left = None
    press(panel)
    done(panel)
    assert panel.note.text == ""
    assert panel.selection.index.complete
    assert len(panel.table.cells) == 4


def test_weights_that_change_in_the_middle(keep: Keep, building: list[Any], held: Callable[[int], None]) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    panel = keep(TopImagesPanel(net, images=images))
    held(20)
    press(panel)
    done(panel)
    with torch.no_grad():
        net.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert button(panel)[0] == "Build anew"
    press(panel)
    done(panel)
    same(panel.selection.index, index_of(net, images, features=panel.selection.index.plan.features))


@pytest.mark.parametrize("kind", [TopImagesPanel, NeighborsPanel])
def test_closing_in_the_middle_leaves_no_thread(
    keep: Keep, building: list[Any], guarded: Any, kind: Any, tmp_path: Path
) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    for path in (None, tmp_path):
        panel = kind(net, images=greys(COUNT), path=path)
        panel.wait()
        guarded.gate.clear()
        press(panel)
        guarded.gate.set()
        panel.close()
        assert not [thread for thread in ours() if thread.name == "cnnviz-index"]
    assert index_of(net, greys(COUNT), path=tmp_path).complete


def test_closing_a_stopped_build_lets_go_of_it(keep: Keep, building: list[Any], held: Callable[[int], None]) -> None:
    panel = TopImagesPanel(local(), images=greys(COUNT, size=(16, 16)))
    panel.wait()
    held(20)
    press(panel)
    done(panel)
    assert panel.builder._steps is not None
    panel.close()
    assert panel.builder._steps is None
    panel.builder.start()
    assert not panel.builder.running


@pytest.mark.parametrize("what", ["network", "images"])
def test_another_network_or_collection_in_the_middle(keep: Keep, building: list[Any], guarded: Any, what: str) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, images=greys(COUNT)))
    guarded.gate.clear()
    press(panel)
    other: Any = grey() if what == "network" else ImageSet.of([noise(n) for n in range(12)])
    setattr(panel.selection, what, other)
    guarded.gate.set()
    done(panel)
    assert panel.selection.index is None
    assert button(panel) == ("Build index", False, "none")
    assert panel.note.text == ""
    press(panel)
    done(panel)
    assert panel.selection.index.complete
    assert getattr(panel.selection.index, what) is other
    assert len(panel.table.cells) == 4


def test_a_growing_index_shows_in_all_panels(
    keep: Keep, building: list[Any], guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_indexing, "SHOWN_EVERY", 0.0)
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    selection = Selection(net, greys(COUNT))
    one, two = keep(TopImagesPanel(net, selection=selection)), keep(NeighborsPanel(net, selection=selection))
    sizes: list[int] = []
    selection.observe(lambda change: sizes.append(change["new"].looked_at), "index")
    press(one)
    done(one)
    done(two)
    assert sizes == [8, 16, 24, 32, 40]
    assert len(one.table.cells) == 4
    assert two.neighbors is not None
    assert button(one) == button(two) == ("Build anew", False, "none")


def test_the_buttons_of_one_selection_do_the_same(
    keep: Keep, building: list[Any], held: Callable[[int], None], guarded: Any
) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    selection = Selection(net, greys(COUNT))
    one, two = keep(TopImagesPanel(net, selection=selection)), keep(NeighborsPanel(net, selection=selection))
    guarded.gate.clear()
    press(one)
    assert button(one) == button(two) == ("Stop", False, "")
    assert two.builder.told.value == "Beginning …"
    press(two)
    assert not one.builder.running
    guarded.gate.set()
    done(one)
    held(20)
    press(two)
    done(one)
    done(two)
    assert button(one) == button(two) == ("Continue", False, "none")
    with counted() as measured:
        press(one if one.builder._steps is None else two)
        done(one)
        done(two)
    assert len(measured) <= SHARDS - 2
    assert selection.index is not None
    assert selection.index.complete
    one.close()
    press(two)
    done(two)
    assert selection.index.complete


def test_two_selections_that_build_at_one_path(
    keep: Keep, building: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = local(), greys(COUNT, size=(16, 16))
    one, two = (keep(TopImagesPanel(net, images=images, path=tmp_path)) for _ in range(2))
    original, begun, may_go_on = IndexBuilder._follow, threading.Event(), threading.Event()

    def follow(self: IndexBuilder, steps: Any, *rest: Any) -> bool:
        def watched() -> Iterator[Any]:
            for progress in steps:
                if self is one.builder:
                    begun.set()
                    assert may_go_on.wait(PATIENCE)
                yield progress

        return original(self, watched(), *rest)

    monkeypatch.setattr(IndexBuilder, "_follow", follow)
    press(one)
    assert begun.wait(PATIENCE)
    press(two)
    done(two)
    assert "building an index" in two.note.text
    assert (button(two), one.note.text) == (("Build index", False, "none"), "")
    may_go_on.set()
    done(one)
    assert one.selection.index.complete
    press(two)
    done(two)
    assert two.note.text == ""
    same(one.selection.index, two.selection.index)


def test_an_index_from_elsewhere_is_taken_over(keep: Keep, building: list[Any]) -> None:
    net, images = local(), greys(size=(16, 16))
    panel = keep(TopImagesPanel(net, images=greys(4, size=(16, 16))))
    panel.selection.index = index_of(net, images)
    panel.wait()
    assert panel.selection.images is images
    assert button(panel) == ("Build anew", False, "none")
    assert panel.builder.told.value.startswith("20 images, ")


def test_broken_images_are_counted(keep: Keep, building: list[Any], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    images = ImageSet.of([*paths, *[noise(number) for number in range(5)]])
    panel = keep(TopImagesPanel(grey(), images=images))
    press(panel)
    done(panel)
    assert "8 images, 3 unreadable" in panel.builder.told.value
    assert "3 images could not be read, such as 0: " in panel.remark.text
    panel.selection.images = ImageSet.of(paths)
    press(panel)
    done(panel)
    assert panel.selection.index.measured == 0
    assert (panel.table.cells, panel.note.text) == ([], "")


def test_nothing_is_built_on_the_calling_thread(keep: Keep, guarded: Any) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, images=greys(8)))
    guarded.gate.clear()
    for _ in range(4):
        press(panel)
    assert button(panel)[0] == "Build index"
    press(panel)
    guarded.gate.set()
    done(panel)
    assert panel.selection.index.complete


def test_the_nearest_layer() -> None:
    net = local()
    near = lambda name, *held: nearest_layer(net[name], net, held.__contains__).name  # noqa: E731
    assert near("1", "0", "7") == "0"
    assert near("5", "4", "6") == "6"
    assert near("7", "0") == "0"
    assert near("3", "3", "4") == "3"
    assert np.all([near(name, *net.layers) == name for name in net.layers])

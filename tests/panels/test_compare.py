"""`ComparePanel`: both sides show what their networks answer, the second follows by pairing, and training of either shows."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cnnviz_widgets as cnn
from cnnviz_widgets import ComparePanel, InputSpec, Network, Selection
from cnnviz_widgets.panels import _base, _layer_map, _twin_climbs
from tests.contracts.test_panels import result_of
from tests.engine.intact import state_of
from tests.panels.networks import CLASSES, Guarded, convolutional, dense, grey, untrained_resnet
from tests.panels.waiting import ours, until

Keep = Callable[[ComparePanel], ComparePanel]
MODES = ["activations", "filters", "classes", "maximization", "what changed"]


def noise(seed: int = 0, size: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def trained() -> Network:
    """A later checkpoint of `grey`."""
    net = grey()
    with torch.no_grad():
        for parameter in net.module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7))
    return net


def shuffled() -> Network:
    """`grey` with its classes in another order."""
    net = grey()
    return Network(net.module, net.input, CLASSES[::-1], name="shuffled")


def values_of(grid: cnn.views.ImageGrid) -> np.ndarray:  # type: ignore[name-defined]
    count, height, width, _ = grid.shape
    bytes_ = np.frombuffer(grid.pixels, np.uint8).reshape(count, height, width)
    low, high = np.frombuffer(grid.ranges, "<f4").reshape(-1, 2).T[..., None, None]
    return low + bytes_ / 255 * (high - low)


def close_to(grid: cnn.views.ImageGrid, maps: Tensor) -> bool:  # type: ignore[name-defined]
    ranges = np.frombuffer(grid.ranges, "<f4").reshape(-1, 2)
    return bool(np.abs(values_of(grid) - maps.numpy()).max() <= (ranges[:, 1] - ranges[:, 0]).max() / 255)


def maps_of(network: Network, image: np.ndarray, layer: str) -> Tensor:
    return network.activations(image, layer)[layer][0]


def choose(panel: ComparePanel, mode: str) -> None:
    panel.mode.value = mode
    panel.wait()


@pytest.fixture
def panel(keep: Keep) -> ComparePanel:
    """Two checkpoints, at the second convolution."""
    first = grey()
    made = keep(ComparePanel(first, trained(), [noise(seed) for seed in range(6)], names=("before", "after")))
    made.selection.unit = first["2"][3]
    made.wait()
    return made


def test_both_sides_show_their_maps_and_their_difference(panel: ComparePanel) -> None:
    panel.shared.value = False
    panel.wait()
    first, second = (maps_of(network, noise(), "2") for network in (panel.network, panel.second))
    assert close_to(panel.sides.grids[0], first)
    assert close_to(panel.sides.grids[1], second)
    assert close_to(panel.sides.grids[2], second - first)
    assert [grid.selected for grid in panel.sides.grids] == [3, 3, 3]
    assert [heading.value for heading in panel.sides.headings] == ["before: grey, 2[3]", "after: grey, 2[3]"]
    change = float((second - first).norm() / first.norm())
    assert panel.sides.grids[2].caption.endswith(f"{change:.3g} times as large as the first")
    assert panel.note.text == panel.remark.text == ""


def test_one_range_for_both_is_the_same_on_both_sides(panel: ComparePanel) -> None:
    assert panel.shared.value
    assert panel.sides.grids[0].ranges == panel.sides.grids[1].ranges
    panel.shared.value = False
    panel.wait()
    assert panel.sides.grids[0].ranges != panel.sides.grids[1].ranges


def test_another_channel_costs_no_pass(panel: ComparePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    focus = [grid.pixels for grid in panel.sides.focus]
    monkeypatch.setattr(Network, "activations", lambda *given: pytest.fail("a pass"))
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    assert panel.note.text == ""
    assert [grid.selected for grid in panel.sides.grids] == [1, 1, 1]
    assert all(grid.pixels != before for grid, before in zip(panel.sides.focus, focus, strict=True))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_click_on_any_tile_chooses_the_unit(panel: ComparePanel, place: int) -> None:
    panel.order.value = "strength"
    panel.wait()
    channel = int(panel.sides._orders[place][4])
    panel.sides.grids[place].set_state({"selected": 4})
    panel.wait()
    assert panel.selection.unit == panel.network["2"][channel]
    assert [grid.selected for grid in panel.sides.grids] == [4, 4, 4]


def test_follows_the_selection(panel: ComparePanel) -> None:
    panel.selection.layer = panel.network["0"]
    panel.selection.image = "1"
    panel.wait()
    assert panel.photograph.menu.value == "1"
    assert panel.tree.selected == "0"
    panel.shared.value = False
    panel.wait()
    assert close_to(panel.sides.grids[1], maps_of(panel.second, noise(1), "0"))


def test_a_dense_layer_shows_the_same_classes_on_both_sides(keep: Keep) -> None:
    first, second = grey(), shuffled()
    panel = keep(ComparePanel(first, second, [noise()]))
    panel.selection.unit = first.unit("tall")
    panel.wait()
    one, other = panel.sides.bars
    assert one.labels == other.labels
    assert set(one.labels) == set(CLASSES)
    scores = dict(zip(CLASSES[::-1], maps_of(second, noise(), "7").tolist(), strict=True))
    assert other.values == pytest.approx([scores[name] for name in other.labels])
    assert (one.low, one.high) == (other.low, other.high)
    assert other.low <= min(0, *one.values, *other.values)
    assert other.high >= max(*one.values, *other.values)
    assert panel.menus.layout.display == "none"
    assert one.labels[one.selected] == other.labels[other.selected] == "tall"
    assert panel.sides.headings[1].value == "second: shuffled, 7[1]"
    other.set_state({"selected": other.labels.index("flat")})
    panel.wait()
    assert panel.selection.unit == first.unit("flat")


def test_networks_of_other_sizes_get_the_photograph_their_own_way(keep: Keep) -> None:
    first, second = grey(), untrained_resnet()
    photograph = noise(3, (70, 90, 3))
    panel = keep(ComparePanel(first, second, [photograph]))
    layer = panel.selection.layer
    other, remark = cnn.pairing.paired_layer(first, second, layer)
    panel.shared.value = False
    panel.wait()
    assert close_to(panel.sides.grids[0], maps_of(first, photograph, layer.name))
    assert close_to(panel.sides.grids[1], maps_of(second, photograph, other.name))
    assert panel.sides.grids[2].layout.display == "none"
    assert panel.remark.text == remark
    assert "at about the same depth" in remark
    assert "64 × 64" in panel.sides.focus[1].caption


def test_a_channel_that_only_one_has(keep: Keep) -> None:
    panel = keep(ComparePanel(untrained_resnet(), grey(), [noise()]))
    panel.selection.unit = panel.network["layer1.0.relu"][60]
    panel.wait()
    assert "has no channel 60" in panel.remark.text
    assert panel.sides.grids[0].selected == 60
    assert panel.sides.grids[1].selected == -1
    assert panel.note.text == ""


def test_filters_and_their_difference(panel: ComparePanel) -> None:
    choose(panel, "filters")
    first, second = (network.filters("2") for network in (panel.network, panel.second))
    assert panel.sides.grids[2].shape == [24, 3, 3, 1]
    assert close_to(panel.sides.grids[2], (second - first).reshape(24, 3, 3))
    assert panel.sides.grids[0].caption == "2: 6 filters of 4 × 3 × 3"
    assert panel.sides.grids[0].selected == 12
    panel.sides.grids[1].set_state({"selected": 5})
    panel.wait()
    assert panel.selection.unit == panel.network["2"][1]
    panel.selection.layer = panel.network["7"]
    panel.wait()
    assert "7 (Linear) has no kernel: 2 is the nearest that has." in panel.remark.text


def test_filters_of_a_network_without_any_are_an_error_that_ends(keep: Keep) -> None:
    panel = keep(ComparePanel(grey(), dense(), [noise()]))
    choose(panel, "filters")
    assert panel.note.kind == "error"
    assert "the second network, dense, has no 2D convolution" in panel.note.text
    assert panel.code() == ""
    choose(panel, "activations")
    assert panel.note.text == ""


def test_classes_of_both_and_whether_they_agree(panel: ComparePanel) -> None:
    choose(panel, "classes")
    for network, bars in zip((panel.network, panel.second), panel.sides.bars, strict=True):
        expected = network.classify(noise())[0]
        assert bars.labels == [name for name, _ in expected]
        assert bars.values == pytest.approx([value for _, value in expected])
    assert panel.verdict.value == cnn.comparison.classes(panel.network, panel.second, noise()).told
    panel.sides.bars[1].set_state({"selected": 2})
    panel.wait()
    assert panel.selection.unit == panel.network.unit(panel.sides.bars[1].labels[2])


def test_no_classes_to_compare_is_told(keep: Keep) -> None:
    panel = keep(ComparePanel(convolutional(), grey(), [noise()]))
    choose(panel, "classes")
    assert "the first network, convolutional, gives no class scores" in panel.note.text


def test_each_mode_has_its_own_controls(panel: ComparePanel) -> None:
    seen = {}
    parts = {"scale": panel.scale, "order": panel.order, "kernel order": panel.kernel_order, "shared": panel.shared,
             "colours": panel.colormap, "image": panel.photograph.box, "verdict": panel.verdict, "sides": panel.sides.box,
             "climbs": panel.climbs.box, "changes": panel.changes.box}  # fmt: skip
    for mode in MODES:
        choose(panel, mode)
        shown = {name for name, part in parts.items() if part.layout.display != "none"}
        seen[mode] = (
            shown
            if panel.menus.layout.display != "none"
            else shown - {"scale", "order", "kernel order", "shared", "colours"}
        )
    assert seen == {
        "activations": {"scale", "order", "shared", "colours", "image", "sides"},
        "filters": {"scale", "kernel order", "sides"},
        "classes": {"image", "verdict", "sides"},
        "maximization": {"climbs"},
        "what changed": {"image", "changes"},
    }


def test_tiles_of_other_sizes_stand_in_as_many_columns(keep: Keep) -> None:
    panel = keep(ComparePanel(grey(), untrained_resnet(), [noise(0, (64, 64, 3))]))
    columns = [grid.columns for grid in panel.sides.grids[:2]]
    assert columns[0] == columns[1] > 0


def test_without_an_image_it_says_so(keep: Keep) -> None:
    panel = keep(ComparePanel(grey(), trained()))
    for mode in ("activations", "classes"):
        choose(panel, mode)
        assert panel.remark.text.startswith("No image yet")
    choose(panel, "what changed")
    assert panel.changes.bars.labels == ["0", "2", "3", "7"]
    panel.changes.measure.value = "cosine"
    panel.wait()
    assert "open one above" in panel.remark.text
    assert panel.changes.bars.labels == []
    with pytest.raises(ValueError, match="open one above"):
        panel.figure()


def climb(panel: ComparePanel, steps: int = 5) -> None:
    choose(panel, "maximization")
    panel.climbs.recipe.value = "none"
    panel.climbs.steps.value = steps
    panel.climbs.button.click()
    panel.climbs.wait(60)


def test_both_climb_the_same_goal_from_the_same_seed(panel: ComparePanel) -> None:
    panel.climbs.seed.value = 3
    climb(panel)
    results = panel.climbs.results()
    assert results is not None
    for network, result in zip((panel.network, panel.second), results, strict=True):
        alone = cnn.maximize(network, network["2"][3], "none", seed=3, steps=5)
        assert torch.equal(alone.image, result.image)
        assert result.recipe == alone.recipe
    assert [lane.caption.value.split(":")[0] for lane in panel.climbs.lanes] == ["Step 5 of 5"] * 2
    assert [lane.heading.value for lane in panel.climbs.lanes] == ["before: grey, 2[3]", "after: grey, 2[3]"]
    assert all(lane.image.value for lane in panel.climbs.lanes)
    assert panel.climbs.button.description == "Run both"
    assert panel.note.text == ""


def test_a_class_is_climbed_by_its_name(keep: Keep) -> None:
    first, second = grey(), shuffled()
    panel = keep(ComparePanel(first, second, [noise()]))
    panel.selection.unit = first.unit("round")
    climb(panel)
    results = panel.climbs.results()
    assert results is not None
    assert [result.labels for result in results] == [("round",), ("round",)]
    assert "Run both climbs round." in panel.remark.text


class Slow:
    """Holds every ascent at its third step until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Semaphore(0), threading.Event()
        original = _twin_climbs.Ascent.advance

        def advance(ascent: cnn.Ascent) -> None:
            if ascent.step == 3:
                self.reached.release()
                assert self.go_on.wait(60)
            original(ascent)

        monkeypatch.setattr(_twin_climbs.Ascent, "advance", advance)


def test_stops_and_keeps_what_it_has_come_to(panel: ComparePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    choose(panel, "maximization")
    panel.climbs.button.click()
    assert panel.climbs.button.description == "Stop"
    for _ in range(2):
        assert slow.reached.acquire(timeout=60)
    panel.climbs.button.click()
    # another unit meanwhile changes nothing of what climbs
    panel.selection.unit = panel.network["0"][1]
    slow.go_on.set()
    panel.climbs.wait(60)
    results = panel.climbs.results()
    assert results is not None
    assert [len(result.curve) for result in results] == [5, 5]
    assert [result.labels for result in results] == [("2[3]",), ("2[3]",)]
    assert panel.climbs.button.description == "Run both"


def test_closing_ends_the_climbs(panel: ComparePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    choose(panel, "maximization")
    panel.climbs.press()
    for _ in range(2):
        assert slow.reached.acquire(timeout=60)
    slow.go_on.set()
    panel.close()
    assert not [thread for thread in ours() if thread.name == "cnnviz-ascent"]
    panel.climbs.press()
    assert not panel.climbs.running


def test_nothing_to_climb_is_told(keep: Keep) -> None:
    first = grey()
    second = Network(grey().module, InputSpec(size=(1, 8, 8)), ["p", "q", "r", "s", "t"])
    panel = keep(ComparePanel(first, second, [noise()]))
    panel.selection.unit = first.unit("round")
    choose(panel, "maximization")
    assert "knows no class 'round'" in panel.remark.text
    panel.climbs.button.click()
    assert "there is nothing to climb in the second network" in panel.note.text
    assert not panel.climbs.running


def test_the_recipe_fits_the_layer_until_one_is_chosen(panel: ComparePanel) -> None:
    choose(panel, "maximization")
    assert panel.climbs.recipe.value == "lucid"
    panel.selection.unit = panel.network.unit("flat")
    panel.wait()
    assert panel.climbs.recipe.value == "natural"
    assert panel.climbs.steps.value == cnn.recipes.get("natural").steps
    panel.climbs.recipe.value = "l2"
    panel.selection.layer = panel.network["2"]
    panel.wait()
    assert panel.climbs.recipe.value == "l2"


def test_what_changed_layer_by_layer(panel: ComparePanel) -> None:
    choose(panel, "what changed")
    expected = cnn.changes.weight_changes(panel.network, panel.second)
    assert dict(zip(panel.changes.bars.labels, panel.changes.bars.values, strict=True)) == pytest.approx(expected)
    assert panel.changes.bars.selected == list(expected).index("2")
    panel.changes.bars.set_state({"selected": 0})
    panel.wait()
    assert panel.selection.layer == panel.network["0"]
    for measure in ("cosine", "cka"):
        panel.changes.measure.value = measure
        panel.wait()
        found = cnn.changes.activation_similarities(panel.network, panel.second, noise(), measure)
        assert panel.changes.bars.labels == list(found)
        assert panel.changes.bars.values == pytest.approx(list(found.values()))


def test_two_architectures_have_no_weights_in_common(keep: Keep) -> None:
    panel = keep(ComparePanel(grey(), convolutional(), [noise()]))
    choose(panel, "what changed")
    assert panel.note.text == ""
    assert "no checkpoints of one architecture" in panel.remark.text
    assert panel.changes.bars.labels == []


def test_all_layers_are_compared_on_request(panel: ComparePanel) -> None:
    choose(panel, "what changed")
    panel.changes.map.button.click()
    panel.wait()
    found = panel.changes.map.found
    assert found is not None
    expected = cnn.similarity.LayerSimilarity.build(panel.network, panel.second, panel.selection.images)
    assert found.values == pytest.approx(expected.values, abs=1e-6, nan_ok=True)
    grid, columns = panel.changes.map.grid, len(found.columns)
    assert grid.shape == [found.values.size, 1, 1, 1]
    assert grid.columns == columns
    bytes_ = np.frombuffer(grid.pixels, np.uint8)
    assert np.abs(bytes_ / 255 - np.nan_to_num(found.values.ravel()).clip(0, 1)).max() <= 1 / 255
    assert grid.labels[columns + 1].startswith(f"{found.rows[1]} × {found.columns[1]}")
    assert grid.layout.display == ""
    grid.set_state({"selected": 2 * columns + 1})
    panel.wait()
    assert panel.selection.layer.name == found.rows[2]
    assert grid.selected == 2 * columns + found.columns.index(found.rows[2])
    assert "LayerSimilarity.build(first, second, images)" in panel.code()


def test_comparing_stops_between_two_batches(panel: ComparePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    original = _layer_map.LayerSimilarity.building

    def building(*given, **options):  # type: ignore[no-untyped-def]
        for progress in original(*given, **{**options, "batch": 4}):
            yield progress
            reached.set()
            assert go_on.wait(60)

    monkeypatch.setattr(_layer_map.LayerSimilarity, "building", building)
    choose(panel, "what changed")
    panel.changes.map.images.value = 5
    panel.selection.images = [noise(seed) for seed in range(14)]
    panel.changes.map.images.value = 14
    panel.changes.map.press()
    assert reached.wait(60)
    assert panel.changes.map.button.description == "Stop"
    panel.changes.map.press()
    go_on.set()
    panel.wait()
    assert panel.changes.map.told.value == "Stopped after 8 of 14 images."
    assert panel.changes.map.found is not None
    assert panel.changes.map.found.images == 8
    assert panel.changes.map.button.description == "Compare all layers"


def test_of_many_images_some_are_taken(panel: ComparePanel) -> None:
    panel.selection.images = [noise(seed) for seed in range(14)]
    choose(panel, "what changed")
    panel.changes.map.images.value = 5
    panel.changes.map.press()
    panel.wait()
    assert panel.changes.map.found is not None
    assert panel.changes.map.found.images == 5
    assert "images[::3]" in panel.code()


def test_too_few_images_to_compare_layers(keep: Keep) -> None:
    panel = keep(ComparePanel(grey(), trained(), [noise()]))
    choose(panel, "what changed")
    panel.changes.map.press()
    panel.wait()
    assert "1 images were given; layers are compared over 4 or more" in panel.note.text
    assert panel.changes.map.button.description == "Compare all layers"


@pytest.mark.parametrize("which", ["first", "second"])
def test_training_of_either_shows(keep: Keep, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(_base, "TRAINING_EVERY", 0.02)
    panel = keep(ComparePanel(grey(), grey(), [noise()]))
    place = 0 if which == "first" else 1
    network = (panel.network, panel.second)[place]
    before = panel.sides.focus[place].pixels
    with torch.no_grad():
        network.module[0].weight.copy_(torch.rand(4, 1, 3, 3))  # type: ignore[index,operator,union-attr]
    until(lambda: panel.sides.focus[place].pixels != before)
    panel.wait()
    panel.shared.value = False
    panel.wait()
    assert close_to(panel.sides.grids[place], maps_of(network, noise(), "1"))


def test_one_module_twice_is_told(keep: Keep) -> None:
    net = grey()
    again = Network(net.module, net.input, net.labels)
    panel = keep(ComparePanel(net, again, [noise()]))
    assert "copy.deepcopy(module) before training" in panel.remark.text


def test_another_second_network(panel: ComparePanel) -> None:
    panel.changes.map.press()
    panel.wait()
    choose(panel, "what changed")
    assert panel.changes.map.found is not None
    panel.second = convolutional()
    panel.wait()
    assert panel.changes.map.found is None
    choose(panel, "activations")
    assert "convolutional" in panel.sides.headings[1].value
    with pytest.raises(TypeError, match="Conv2d was given as the second; expected a Network"):
        panel.second = nn.Conv2d(1, 1, 1)  # type: ignore[assignment]


def test_another_second_network_while_layers_are_compared(panel: ComparePanel) -> None:
    begun, go = threading.Event(), threading.Event()
    layers, building = panel.changes.map, _layer_map.LayerSimilarity.building

    def slowly(*arguments: Any, **options: Any) -> Any:
        for progress in building(*arguments, **options):
            begun.set()
            assert go.wait(30)
            yield progress

    with mock.patch.object(_layer_map.LayerSimilarity, "building", slowly):
        layers.press()
        assert begun.wait(30)
        panel.second = convolutional()
        go.set()
        panel.wait()
        layers.wait(30)
    assert layers.found is None
    assert (layers.told.value, layers.grid.layout.display) == ("", "none")


def test_what_is_given_is_checked() -> None:
    with pytest.raises(TypeError, match="ReLU was given as the second"):
        ComparePanel(grey(), nn.ReLU())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected two, what the first and the second"):
        ComparePanel(grey(), grey(), names=("only",))
    with pytest.raises(ValueError, match="looks at another network"):
        ComparePanel(grey(), grey(), selection=Selection(grey()))


@pytest.mark.parametrize("mode", MODES)
def test_code_and_figure_of_every_mode(panel: ComparePanel, mode: str, tmp_path: Path) -> None:
    if mode == "maximization":
        climb(panel, steps=2)
    choose(panel, mode)
    panel._show_code.value = True
    assert panel._code.text == panel.whole_code()
    names = {"cnn": cnn, "first": panel.network, "second": panel.second, "images": panel.selection.images}
    for layer in ("2", "7"):
        panel.selection.layer = panel.network[layer]
        panel.wait()
        assert panel.note.text == ""
        assert result_of(panel.code(), dict(names)) is not None
        given = dict(names)
        exec(panel.whole_code(), given)
        given["figure"].savefig(tmp_path / "told.pdf")
        assert panel.save_figure(tmp_path / "shown.png").stat().st_size > 1000


def test_the_code_gives_the_tiles_that_are_shown(panel: ComparePanel) -> None:
    panel.order.value, panel.colormap.value = "strength", "PuOr_r"
    panel.wait()
    names = {"cnn": cnn, "first": panel.network, "second": panel.second, "images": panel.selection.images}
    sides = result_of(panel.code(), names)
    for tiles, grid in zip(sides.all.values(), panel.sides.grids, strict=True):
        shown = np.frombuffer(grid.pixels, np.uint8).reshape(tiles.pixels.shape)
        assert np.abs(tiles.pixels.astype(int) - shown).max() <= 1
        # sums may be taken in another order
        assert np.frombuffer(grid.ranges, "<f4").reshape(-1, 2) == pytest.approx(tiles.ranges, rel=1e-5)


def test_a_pass_that_breaks_is_told_and_mended(keep: Keep, guarded: type[Guarded]) -> None:
    first = Network(copy.deepcopy(grey().module), InputSpec(size=(1, 8, 8)))
    panel = keep(ComparePanel(first, Network(guarded(), InputSpec(size=(1, 8, 8))), [noise()]))
    guarded.passes_left = 0
    panel.selection.layer = first["2"]
    panel.wait()
    assert "the test's module broke" in panel.note.text
    guarded.passes_left = None
    panel.refresh()
    panel.wait()
    assert panel.note.text == ""


def test_modules_stay_as_they_were(keep: Keep) -> None:
    first, second = grey(), trained()
    before = [state_of(network.module) for network in (first, second)]
    panel = keep(ComparePanel(first, second, [noise(seed) for seed in range(5)]))
    for mode in MODES:
        choose(panel, mode)
    climb(panel, steps=3)
    panel.changes.map.press()
    panel.wait()
    panel.close()
    assert [state_of(network.module) for network in (first, second)] == before


def test_an_exported_page_holds_both_sides(panel: ComparePanel, tmp_path: Path) -> None:
    text = panel.export_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2: 6 \\u00d7 6 \\u00d7 6" in text
    assert "second minus first" in text

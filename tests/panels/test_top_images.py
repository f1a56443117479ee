"""`TopImagesPanel`: what the index answers, measured again, and nothing that no longer answers so."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, Network, Selection, TopImagesPanel
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.panels._cells import SHARP, heat
from cnnviz_widgets.panels.top_images import REMEMBERED, SIDE
from tests.panels.indexed import choose, greys, index_of, lines, local, noise, part, picture, result_of
from tests.panels.networks import convolutional, grey
from tests.panels.waiting import until

Keep = Callable[[TopImagesPanel], TopImagesPanel]


@pytest.fixture
def panel(keep: Keep) -> TopImagesPanel:
    """On twenty images of noise, at the second convolution of a network whose units see parts of them."""
    net = local()
    made = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)))))
    at(made, net["3"][2])
    return made


def at(panel: TopImagesPanel, unit: Unit) -> None:
    panel.selection.unit = unit
    panel.wait()


def index_in(panel: TopImagesPanel) -> ActivationIndex:
    assert panel.selection.index is not None
    return panel.selection.index


def alike(shown: Image.Image, expected: Image.Image) -> None:
    """Equal but for what a JPEG loses."""
    assert shown.size == expected.size
    one, other = (np.asarray(image.convert("RGB"), np.float32) for image in (shown, expected))
    assert np.abs(one - other).mean() < 4


def counts(panel: TopImagesPanel) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(panel.histogram.edges, "<f8"), np.frombuffer(panel.histogram.counts, "<f8")


# images


def test_nine_images_in_order_with_their_captions(keep: Keep) -> None:
    net, images = local(), greys(size=(16, 16))
    panel = keep(TopImagesPanel(net, index_of(net, images, k=9)))
    for unit in (net["0"][1], net["3"][5], net["7"][2]):
        at(panel, unit)
        found = index_in(panel).top_images(unit)
        assert len(panel.table.cells) == len(found) == 9
        assert lines(panel.table, 0) == [f"{match.score:.4g}" for match in found]
        assert lines(panel.table, 1) == [images.labels[images.number(match.id)] for match in found]
        assert [cell["title"].split(":")[0] for cell in panel.table.cells] == [match.id for match in found]
        assert (panel.note.text, panel.remark.text) == ("", "")
    assert panel.table.caption == "striped (7[2])"


def test_whole_images_and_crops_are_those_of_the_sightings(panel: TopImagesPanel) -> None:
    sightings = index_in(panel).examine(panel.selection.unit)
    for number, one in enumerate(sightings):
        alike(picture(panel.table, number), one.whole(SHARP * SIDE).picture)
    panel.view.value = "crop"
    panel.wait()
    for number, one in enumerate(sightings):
        alike(picture(panel.table, number), one.crop(SHARP * SIDE).picture)
    assert "sees 8 × 8 pixels of the input" in panel.table.caption
    assert all(not cell["overlay"][1] and cell["box"] is None for cell in panel.table.cells)
    assert panel.opacity.disabled


def test_boxes_are_fractions_of_what_the_network_sees(panel: TopImagesPanel) -> None:
    for cell, one in zip(panel.table.cells, index_in(panel).examine(panel.selection.unit), strict=True):
        top, left, bottom, right = one.window.seen
        assert cell["box"] == pytest.approx([top / 16, left / 16, bottom / 16, right / 16])
        assert cell["mark"] is None
        rows = [round(end) for end in one.box or ()]
        assert f"rows {rows[0]} to {rows[2]}, columns {rows[1]} to {rows[3]}" in cell["title"]


def test_a_unit_that_sees_the_whole_image_has_a_mark_or_nothing(keep: Keep) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1))
        module.append(nn.Softmax(3))
    net = Network(module.eval(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, index_of(net, greys())))
    at(panel, net["2"][0])
    for cell, match in zip(panel.table.cells, index_in(panel).top_images(net["2"][0]), strict=True):
        if match.status == "whole image":
            assert cell["box"] is None
            assert cell["mark"] == pytest.approx([(place + 0.5) / 4 for place in match.position])
    at(panel, net["3"][1])
    assert panel.note.text == ""


def test_an_overlay_only_where_there_is_a_map(panel: TopImagesPanel) -> None:
    net = panel.network
    assert all(cell["overlay"][1] for cell in panel.table.cells)
    assert not panel.opacity.disabled
    for layer in ("5", "6", "7"):
        at(panel, net[layer][0])
        assert all(not cell["overlay"][1] for cell in panel.table.cells)
        assert panel.opacity.disabled
    at(panel, net["0"][0])
    assert not panel.opacity.disabled


def opacity(values: np.ndarray) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(heat(values))))[..., 3]


def test_the_overlay_is_strongest_where_the_map_is(panel: TopImagesPanel) -> None:
    for number, one in enumerate(index_in(panel).examine(panel.selection.unit)):
        assert one.map is not None
        assert part(panel.table, panel.table.cells[number]["overlay"]) == heat(one.map)
        opaque = opacity(one.map)
        row, column = (int(place) for place in np.unravel_index(opaque.argmax(), opaque.shape))
        side = opaque.shape[0] / one.map.shape[0]
        assert one.map[int(row / side), int(column / side)] > np.quantile(one.map, 0.95)


def test_heat_of_values_that_are_no_numbers() -> None:
    values = np.array([[0, 1], [np.nan, np.inf]], np.float32)
    assert opacity(values)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 255, 0, 255]
    for empty in (np.full((2, 2), np.nan, np.float32), np.zeros((2, 2), np.float32)):
        assert not opacity(empty).any()


def test_near_duplicates_are_folded(keep: Keep) -> None:
    net, base = local(), greys(size=(16, 16))
    images = ImageSet.from_arrays([base[number // 2] for number in range(16)])
    panel = keep(TopImagesPanel(net, index_of(net, images)))
    at(panel, net["3"][2])
    assert len(panel.table.cells) == 4
    panel.fold.value = True
    panel.wait()
    found = index_in(panel).top_images(net["3"][2], fold=True)
    assert len(panel.table.cells) == len(found) < 4
    assert panel.table.cells[0]["lines"][-1] == f"and {len(found[0].folded)} like it"


def test_photographs_are_let_go_of(panel: TopImagesPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Unit] = []
    original = ActivationIndex.examine

    def examine(index: ActivationIndex, unit: Unit, *rest: Any, **more: Any) -> Any:
        measured.append(unit)
        return original(index, unit, *rest, **more)

    monkeypatch.setattr(ActivationIndex, "examine", examine)
    unit = panel.selection.unit
    panel.view.value = "crop"
    panel.wait()
    at(panel, panel.network["3"][3])
    at(panel, unit)
    assert measured == [panel.network["3"][3]]
    for number in range(REMEMBERED + 2):
        at(panel, panel.network[("0", "1", "2", "3", "4")[number % 5]][number // 5 % 4])
    assert len(panel._known) <= REMEMBERED


# levels and histogram


def test_levels_show_weaker_answers(panel: TopImagesPanel) -> None:
    expected = [level for level in index_in(panel).spectrum(panel.selection.unit) if level.share < 1]
    assert lines(panel.levels, 0) == ["99%", "90%", "75%", "median", "25%", "least"]
    assert [cell["title"].split(":")[0] for cell in panel.levels.cells] == [level.id for level in expected]
    assert lines(panel.levels, 1) == [f"{level.low:.3g} to {level.high:.3g}" for level in expected]
    assert panel.levels_title.layout.display == ""


def test_the_histogram_is_the_index_s(panel: TopImagesPanel) -> None:
    told = index_in(panel).statistics(panel.selection.unit)
    edges, heights = counts(panel)
    assert edges.tolist() == told.edges.tolist()
    assert heights.tolist() == told.counts.tolist()
    assert panel.histogram.marks == [{"value": told.highest, "label": "best photograph", "tone": ""}]
    assert panel.numbers.value.startswith(f"20 images: mean {told.mean:.3g}, deviation {told.deviation:.3g}")


# units


def test_next_and_previous_go_round(panel: TopImagesPanel) -> None:
    net = panel.network
    at(panel, net["3"][5])
    panel.units.next.click()
    panel.wait()
    assert panel.selection.unit == net["3"][0]
    assert panel.channel.value == 0
    panel.units.previous.click()
    panel.wait()
    assert panel.selection.unit == net["3"][5]
    assert panel.table.caption == "3[5]"


def test_layer_channel_and_class_choose_the_unit(panel: TopImagesPanel) -> None:
    net = panel.network
    panel.channel.value = 4
    panel.wait()
    assert panel.selection.unit == net["3"][4]
    assert panel.label.layout.display == "none"
    panel.tree.selected = "7"
    panel.wait()
    assert panel.selection.unit == net["7"][0]
    assert (panel.label.layout.display, panel.label.value, panel.channel.max) == ("", "dark", 2)
    panel.label.value = "striped"
    panel.wait()
    assert panel.selection.unit == net["7"][2]
    assert panel.channel.value == 2
    panel.label.value = ""
    panel.wait()
    assert panel.selection.unit == net["7"][2]
    at(panel, net["0"][3])
    assert (panel.tree.selected, panel.channel.value, panel.channel.max) == ("0", 3, 3)


def test_a_class_that_stands_twice_is_told(keep: Keep) -> None:
    net = Network(local().module, InputSpec(size=(1, 16, 16)), ("crane", "crane", "other"))
    panel = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)))))
    at(panel, net["7"][1])
    assert (panel.label.value, panel.selection.unit) == ("crane", net["7"][1])
    panel.label.value = "other"
    panel.wait()
    panel.label.value = "crane"
    assert "2 classes are called 'crane'" in panel.note.text
    panel.wait()
    assert panel.selection.unit == net["7"][2]


def test_a_neuron_shows_its_channel_and_says_so(panel: TopImagesPanel) -> None:
    expected = lines(panel.table, 0)
    at(panel, panel.network["3"][2, "center"])
    assert lines(panel.table, 0) == expected
    assert "shown is 3[2], not the neuron 3[2, center]" in panel.remark.text
    assert panel.note.text == ""


def test_a_layer_that_is_not_in_the_index_shows_the_nearest(keep: Keep) -> None:
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)), layers=["0", "3"])))
    for layer, channel, expected in (("1", 2, "0[2]"), ("2", 3, "3[3]"), ("7", 2, "3[2]"), ("4", 5, "3[5]")):
        at(panel, net[layer][channel])
        assert panel.table.caption == expected
        assert f"{layer} is not in the index; shown is {expected}." in panel.remark.text
        assert (panel.tree.selected, panel.channel.value) == (layer, channel)
    at(panel, net["3"][1])
    assert panel.remark.text == ""


# what is no longer so


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten photographs."""
    for number in range(10):
        Image.fromarray(noise(number, (16, 16)) // (number + 1)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_changed_and_deleted_files_are_told_and_not_shown(keep: Keep, folder: Path) -> None:
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, ImageSet.from_folder(folder))))
    at(panel, net["3"][2])
    ids = [match.id for match in index_in(panel).top_images(net["3"][2])]
    Image.fromarray(255 - noise(99, (16, 16))).save(folder / ids[1])
    panel.refresh()
    panel.wait()
    assert [cell["title"].split(":")[0] for cell in panel.table.cells] == [ids[0], *ids[2:]]
    assert f"1 of 4 images is not shown: {ids[1]} gives" in panel.remark.text
    (folder / ids[0]).unlink()
    panel.refresh()
    panel.wait()
    assert [cell["title"].split(":")[0] for cell in panel.table.cells] == ids[2:]
    assert f"2 of 4 images are not shown: {ids[0]}" in panel.remark.text
    choose(panel.table, 0)
    assert panel.selection.image == ids[2]
    assert panel.note.text == ""


def test_all_files_gone_leaves_the_panel_alive(keep: Keep, folder: Path) -> None:
    net = local()
    index = index_of(net, ImageSet.from_folder(folder))
    for file in folder.iterdir():
        file.unlink()
    panel = keep(TopImagesPanel(net, index))
    for unit in (net["3"][1], net["0"][0], net["7"][1]):
        at(panel, unit)
        assert panel.table.cells == []
        assert "4 of 4 images are not shown" in panel.remark.text
        assert panel.note.text == ""
        assert {cell["lines"][0] for cell in panel.levels.cells} == {"can't be opened"}


def test_changed_weights_are_told_and_nothing_old_is_shown(panel: TopImagesPanel) -> None:
    before = counts(panel)
    with torch.no_grad():
        panel.network.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert panel.table.cells == panel.levels.cells == []
    assert not len(panel.histogram.counts)
    assert "of other weights" in panel.histogram.caption
    assert "The weights are no longer those that the index was built with." in panel.remark.text
    with torch.no_grad():
        panel.network.module[0].weight.mul_(-0.5)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert panel.remark.text == ""
    assert counts(panel)[1].tolist() == before[1].tolist()
    assert len(panel.table.cells) == 4


def test_weights_changed_further_on_leave_what_still_answers(panel: TopImagesPanel) -> None:
    with torch.no_grad():
        panel.network.module[7].weight.mul_(3)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert len(panel.table.cells) == 4
    assert len(panel.histogram.counts)
    assert "The weights are no longer those" in panel.remark.text
    at(panel, panel.network["7"][1])
    assert panel.table.cells == []


def test_training_redraws_by_itself(panel: TopImagesPanel) -> None:
    with torch.no_grad():
        panel.network.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    until(lambda: "The weights are no longer" in panel.remark.text)


def test_values_that_are_no_numbers_are_told(keep: Keep) -> None:
    class Root(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images - 0.5).sqrt()

    net = Network(nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(1, 2, 1), Root()), InputSpec(size=(1, 8, 8)))
    with torch.no_grad():
        net.module[1].weight.fill_(1).mul_(1)  # type: ignore[index]
        net.module[1].bias.fill_(0)  # type: ignore[index]
    panel = keep(TopImagesPanel(net, index_of(net, [np.full((8, 8), 25 * n, np.uint8) for n in range(10)])))
    at(panel, net["2"][0])
    told = index_in(panel).statistics(net["2"][0])
    assert 0 < told.dropped < 10
    assert f"{told.dropped} images gave NaN or infinite values and count for nothing." in panel.remark.text
    assert panel.note.text == ""
    with torch.no_grad():
        net.module[1].weight.fill_(float("nan"))  # type: ignore[index]
    panel.selection.index = index_of(net, panel.selection.images)
    panel.wait()
    assert panel.table.cells == panel.levels.cells == []
    assert panel.histogram.caption == "no values"
    assert "10 images gave NaN" in panel.remark.text
    assert panel.note.text == ""


def test_images_that_could_not_be_read_are_told(keep: Keep, folder: Path) -> None:
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:60])
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, ImageSet.from_folder(folder))))
    assert "1 image could not be read, such as 3.png: " in panel.remark.text
    assert panel.note.text == ""
    assert "10 images, 1 unreadable" in panel.builder.told.value


# clicks


def test_a_click_chooses_the_image(panel: TopImagesPanel) -> None:
    ids = [match.id for match in index_in(panel).top_images(panel.selection.unit)]
    choose(panel.table, 2)
    assert panel.selection.image == ids[2]
    assert panel.table.selected == 2
    levels = [cell["title"].split(":")[0] for cell in panel.levels.cells]
    choose(panel.levels, len(levels) - 1)
    assert panel.selection.image == levels[-1]
    assert panel.levels.selected == levels.index(levels[-1])
    assert panel.table.selected == (ids.index(levels[-1]) if levels[-1] in ids else -1)
    for wrong in (-1, 99):
        choose(panel.table, wrong)
        choose(panel.levels, wrong)
    assert panel.selection.image == levels[-1]


def test_an_image_chosen_elsewhere_is_marked(panel: TopImagesPanel) -> None:
    ids = [match.id for match in index_in(panel).top_images(panel.selection.unit)]
    panel.selection.image = ids[3]
    assert panel.table.selected == 3
    panel.refresh()
    panel.wait()
    assert panel.table.selected == 3
    panel.selection.image = next(id for id in panel.selection.images.ids if id not in ids)
    assert panel.table.selected == -1
    panel.selection.image = noise(1)
    assert panel.table.selected == -1


def test_units_that_like_the_image_most(panel: TopImagesPanel) -> None:
    net = panel.network
    panel.selection.image = "7"
    panel.likes.click()
    panel.wait()
    expected = index_in(panel).units_for("7", net["3"], 8)
    assert panel.liked.values == pytest.approx([above for _, _, above in expected])
    assert panel.liked.labels == [f"channel {unit.channel}" for unit, _, _ in expected]
    assert panel.liked.caption.startswith("units of 3 for 7: by how many deviations")
    panel.liked.set_state({"selected": 1})
    panel.wait()
    assert panel.selection.unit == expected[1][0]
    panel.selection.image = noise(40, (16, 16))
    at(panel, net["7"][0])
    panel.likes.click()
    panel.wait()
    assert set(panel.liked.labels) <= set(net.labels)
    assert "your image" in panel.liked.caption


def test_liking_needs_an_image_and_an_index(keep: Keep) -> None:
    panel = keep(TopImagesPanel(local(), images=[noise(0, (16, 16))]))
    panel.likes.click()
    assert "choose an image first" in panel.note.text
    panel.refresh()
    panel.wait()
    assert panel.note.text == ""


# collections


def test_without_images_it_says_how_to_give_some(keep: Keep) -> None:
    panel = keep(TopImagesPanel(local()))
    assert "No images yet: give some, cnn.TopImagesPanel(net, images=" in panel.remark.text
    assert panel.builder.button.disabled
    assert panel.note.text == ""


def test_without_an_index_it_says_how_to_build_it(keep: Keep) -> None:
    panel = keep(TopImagesPanel(local(), images=greys(3, size=(16, 16))))
    assert "Nothing is known of these 3 images yet: press Build index." in panel.remark.text
    assert (panel.builder.button.description, panel.builder.button.disabled) == ("Build index", False)


def test_one_image_is_a_collection(keep: Keep) -> None:
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, [noise(0, (16, 16))])))
    for layer in net.layers.values():
        at(panel, layer[0])
        assert len(panel.table.cells) == 1
        assert panel.note.text == ""


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_of_any_number_of_channels(keep: Keep, channels: int) -> None:
    net = Network(nn.Sequential(nn.Conv2d(channels, 3, 3), nn.ReLU()), InputSpec(size=(channels, 8, 10)))
    shape = (9, 12) if channels == 1 else (9, 12, channels)
    images: Any = [noise(number, shape) for number in range(5)] if channels != 5 else [*torch.rand(5, 5, 9, 12)]
    panel = keep(TopImagesPanel(net, index_of(net, images)))
    sightings = index_in(panel).examine(net.main_layers[0][0])
    at(panel, net.main_layers[0][0])
    assert panel.note.text == ""
    assert len(panel.table.cells) == 4
    for number, one in enumerate(sightings):
        alike(picture(panel.table, number), one.whole(SHARP * SIDE).picture)
        assert picture(panel.table, number).size == (304, 243)


def test_labels_and_names_stay_text(keep: Keep) -> None:
    net = Network(local().module, InputSpec(size=(1, 16, 16)), ("<b>bold</b>", "a & b", "c"))
    images = ImageSet.from_arrays([noise(n, (16, 16)) for n in range(3)], ["<i>x</i>"] * 3)
    panel = keep(TopImagesPanel(net, index_of(net, images)))
    at(panel, net["7"][0])
    assert panel.table.caption == "<b>bold</b> (7[0])"
    assert lines(panel.table, 1) == ["<i>x</i>"] * 3


def test_a_mean_pooled_index(keep: Keep) -> None:
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)), pool="mean")))
    at(panel, net["3"][2])
    assert len(panel.table.cells) == 4
    assert all(cell["box"] is None and cell["overlay"][1] for cell in panel.table.cells)
    panel.view.value = "crop"
    panel.wait()
    assert panel.note.text == ""


# selection


def test_two_panels_on_one_selection_follow_each_other(keep: Keep) -> None:
    net = local()
    selection = Selection(net)
    index = index_of(net, greys(size=(16, 16)))
    one = keep(TopImagesPanel(net, selection=selection))
    two = keep(TopImagesPanel(net, index, selection=selection))
    one.wait()
    assert one.table.cells == two.table.cells != []
    one.channel.value = 3
    two.wait()
    one.wait()
    assert two.table.caption == one.table.caption == "1[3]"
    choose(two.table, 1)
    assert one.table.selected == 1
    two.close()
    one.channel.value = 1
    one.wait()
    assert (one.table.caption, two.table.caption) == ("1[1]", "1[3]")


def test_other_images_and_networks_take_the_index_away(panel: TopImagesPanel) -> None:
    panel.selection.images = [noise(0, (16, 16))]
    panel.wait()
    assert panel.selection.index is None
    assert panel.table.cells == panel.levels.cells == []
    assert "Nothing is known of these 1 images" in panel.remark.text
    panel.selection.index = index_of(panel.network, panel.selection.images)
    panel.wait()
    assert len(panel.table.cells) == 1
    panel.selection.network = grey()
    panel.wait()
    assert panel.table.cells == []
    assert [layer["name"] for layer in panel.tree.layers] == list(panel.network.layers)
    panel.selection.index = index_of(panel.network, panel.selection.images)
    panel.wait()
    assert (panel.note.text, panel.table.caption) == ("", "1[0]")


def test_a_network_without_classes(keep: Keep) -> None:
    net = convolutional()
    panel = keep(TopImagesPanel(net, index_of(net, greys(6))))
    for layer in net.main_layers:
        at(panel, layer[layer.channels - 1])
        assert len(panel.table.cells) == 4
        assert (panel.note.text, panel.label.layout.display) == ("", "none")


# code


@pytest.mark.parametrize("looks", ["plain", "crop", "fold", "settings", "layers", "path", "two on disk"])
def test_the_code_gives_the_same_images(keep: Keep, tmp_path: Path, looks: str) -> None:
    net, images = local(), greys(size=(16, 16))
    settings: dict[str, Any] = {"settings": {"pool": "mean", "k": 3}, "layers": {"layers": ["0", "3"]}}.get(looks, {})
    if looks == "two on disk":
        index_of(net, images, path=tmp_path, k=2)
    path = {"path": tmp_path} if looks in ("path", "two on disk") else {}
    panel = keep(TopImagesPanel(net, index_of(net, images, **settings, **path)))
    at(panel, net["3"][2])
    panel.view.value = "crop" if looks == "crop" else "whole"
    panel.fold.value = looks == "fold"
    panel.wait()
    made = result_of(panel.code(), net, images)
    assert made["index"].plan.settings == index_in(panel).plan.settings
    assert made["index"].plan.layers == index_in(panel).plan.layers
    unit = panel.selection.unit
    assert lines(panel.table, 0) == [f"{one.score:.4g}" for one in made["index"].top_images(unit, fold=looks == "fold")]
    expected = index_in(panel).sheet(unit, crops=looks == "crop", fold=looks == "fold")
    assert np.array_equal(np.asarray(made["result"]), np.asarray(expected))


def test_the_code_before_there_is_an_index(keep: Keep, tmp_path: Path) -> None:
    net, images = local(), greys(4, size=(16, 16))
    panel = keep(TopImagesPanel(net, images=images, path=tmp_path / "kept"))
    made = result_of(panel.code(), net, images)
    assert made["index"].path.parent == tmp_path / "kept"
    assert made["result"].size[0] > 100


def test_the_code_names_the_class(panel: TopImagesPanel) -> None:
    at(panel, panel.network["7"][1])
    assert panel.code().endswith("index.sheet(net.unit('light'))")


# the end


def test_no_handler_computes(keep: Keep, guarded: Any) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, index_of(net, greys())))
    panel._known.clear()
    guarded.gate.clear()
    panel.units.next.click()
    panel.view.value = "crop"
    panel.fold.value = True
    panel.likes.click()
    panel.synthesis.button.click()
    panel.builder.button.click()
    panel._show_code.value = True
    choose(panel.table, 0)
    panel.tree.selected = "conv"
    panel.channel.value = 2
    assert panel.synthesis.running or panel.builder.running
    assert "fold=True" in panel._code.text
    guarded.gate.set()
    panel.builder.wait(60)
    panel.synthesis.wait(60)
    panel.wait()
    assert panel.note.text == ""
    assert panel.table.caption.startswith("conv[2]: sees 3 × 3")


@pytest.mark.parametrize("state", ["empty", "images", "index", "drawing", "synthesizing", "building"])
def test_closes_in_every_state(keep: Keep, state: str) -> None:
    from ipywidgets.widgets.widget import _instances

    net, images = local(), greys(size=(16, 16))
    before, hooks = set(_instances), [len(part._forward_hooks) for part in net.module.modules()]
    index = index_of(net, images) if state in ("index", "drawing", "synthesizing") else None
    panel = TopImagesPanel(net, index, () if state == "empty" else images)
    if state != "drawing":
        panel.wait()
    if state == "synthesizing":
        panel.synthesis.button.click()
    if state == "building":
        panel.builder.button.click()
    panel.close()
    panel.close()
    until(lambda: panel._latest._busy is False)
    assert [_instances[one] for one in set(_instances) - before] == []
    assert [len(part._forward_hooks) for part in net.module.modules()] == hooks
    choose(panel.table, 0)
    panel.refresh()


def test_winners_that_are_all_equal_say_so(keep: Keep) -> None:
    saturating = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        saturating[0].weight[0].fill_(10.0)  # type: ignore[index]
        saturating[0].weight[1].fill_(-10.0)  # type: ignore[index]
        saturating[0].bias.fill_(-20.0)  # type: ignore[index]
    net = Network(saturating.eval(), InputSpec(size=(1, 8, 8)))
    images = ImageSet.from_arrays([np.full((8, 8), 30 * n, np.uint8) for n in range(9)])
    panel = keep(TopImagesPanel(net, index_of(net, images)))
    at(panel, net["1"][0])
    assert "All 4 give 6" in panel.remark.text
    assert "0, before the nonlinearity, tells them apart" in panel.remark.text
    at(panel, net["1"][1])
    assert panel.remark.text == "The unit gives 0 for every image."
    at(panel, net["0"][0])
    assert panel.remark.text == ""

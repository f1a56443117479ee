"""`UnitCard`, and the card beside other panels: each piece where it is known, clicks that choose, no work while it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ipywidgets.widgets.widget import _instances

from cnnviz_widgets import ImageSet, Network, Selection, UnitCard
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.unit_facts import UnitFacts
from cnnviz_widgets.panels import _card_body, _synthesis
from cnnviz_widgets.panels._card import Card
from tests.panels.indexed import LABELS, choose, greys, index_of, lines, local, noise, result_of
from tests.panels.networks import convolutional, dense, grey, untrained_resnet
from tests.panels.waiting import until

Keep = Callable[[UnitCard], UnitCard]
FEATURES = {"features": ["4", "5"]}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of eight steps."""
    recipes, original = _synthesis.recipes.get, _synthesis.ascend
    monkeypatch.setattr(_synthesis.recipes, "get", lambda name: recipes(name).replace(steps=8))
    monkeypatch.setattr(
        _synthesis, "ascend", lambda network, unit, recipe: original(network, unit, recipes(recipe).replace(steps=8))
    )


@pytest.fixture
def panel(keep: Keep) -> UnitCard:
    """On twenty images of noise, at the second convolution of a network whose units see parts of them."""
    net = local()
    return keep(UnitCard(net, net["4"][2], index_of(net, greys(size=(16, 16)), **FEATURES)))


def at(panel: UnitCard, unit: Any) -> None:
    panel.selection.unit = unit
    panel.wait()
    assert panel.note.text == ""


def hidden(part: Any) -> bool:
    return bool(part.box.layout.display == "none")


# pieces


def test_all_pieces_of_a_hidden_unit(panel: UnitCard) -> None:
    card, net = panel.card, panel.network
    index = panel.selection.index
    assert index is not None
    assert (card.name.value, card.heading.value) == ("4[2]", "channel 2 of 6; ReLU, 6 × 8 × 8")
    assert card.filter.grid.shape == [4, 3, 3, 1]
    assert "filter 2 of 3, 3 × 3 of 4 inputs" in card.filter.grid.caption
    assert "sees 8 × 8 pixels of the input" in card.sight.table.caption
    assert lines(card.images.table, 0) == [f"{match.score:.4g}" for match in index.top_images(net["4"][2])]
    assert [mark["label"] for mark in card.spread.histogram.marks] == ["best photograph"]
    similar = index.similar_units(net["4"][2], 8)
    assert card.relations.similar.bars.labels == [f"[{one.unit.channel}]" for one in similar]
    assert card.relations.similar.bars.values == [one.likeness for one in similar]
    assert "correlation of activations over 20 images" in card.relations.similar.bars.caption
    assert card.relations.labels.bars.labels == [one.label for one in index.labels_for(net["4"][2])]
    assert hidden(card.relations.weights) == (not card.relations.weights.bars.labels)
    assert card.builder.box.layout.display == "none"
    assert (panel.remark.text, card.remark.text) == ("", "")


def test_the_field_is_framed_in_the_chosen_photograph(panel: UnitCard) -> None:
    cells = panel.card.sight.table.cells
    assert cells[0]["lines"] == ["[2, center]"]
    assert cells[0]["box"] == pytest.approx([5 / 16, 5 / 16, 13 / 16, 13 / 16])
    assert cells[1]["lines"][1].startswith("strongest at ")
    before = cells[1]["lines"]
    panel.selection.image = noise(9, (16, 16))
    panel.wait()
    assert panel.card.sight.table.cells[1]["lines"] != before
    at(panel, panel.network["4"][2, 0, 0])
    (only,) = panel.card.sight.table.cells
    assert only["lines"][1] == "4[2, 0, 0]"
    assert only["box"][:2] == [0, 0]
    panel.selection.image = None
    panel.wait()
    assert panel.card.sight.table.cells == []
    assert "sees" in panel.card.sight.table.caption


def test_a_class(panel: UnitCard) -> None:
    net, card = panel.network, panel.card
    at(panel, net.unit("light"))
    assert card.heading.value == "light: unit 1 of 3; Linear, 3"
    assert hidden(card.filter)
    weight = net.module[7].weight[1].detach().numpy()
    assert card.relations.weights.bars.values == pytest.approx(sorted(weight, key=abs, reverse=True))
    assert set(card.relations.similar.bars.labels) <= set(LABELS)


def test_a_neuron_says_that_the_index_knows_channels(panel: UnitCard) -> None:
    at(panel, panel.network["4"][2, 1, 1])
    assert "The index knows channels: images and numbers are those of 4[2]." in panel.card.remark.text
    assert panel.card.images.table.cells


def test_a_layer_that_is_not_in_the_index(keep: Keep) -> None:
    net = local()
    panel = keep(UnitCard(net, net["3"][0], index_of(net, greys(size=(16, 16)), layers=["4"])))
    assert "'3' is not in the index" in panel.card.remark.text
    assert hidden(panel.card.images)
    assert panel.card.spread_box.layout.display == "none"
    assert not hidden(panel.card.filter)
    at(panel, net["4"][0])
    assert not hidden(panel.card.images)


def test_without_images(keep: Keep) -> None:
    net = grey()
    panel = keep(UnitCard(net, net["4"][1]))
    assert "No images yet: give some" in panel.card.remark.text
    assert not hidden(panel.card.filter)
    assert panel.card.builder.button.disabled
    assert panel.code() == "cnn.unit_facts(net, net['4'][1])"


def test_an_index_is_built_from_the_card(keep: Keep) -> None:
    net = local()
    panel = keep(UnitCard(net, net["4"][1], images=greys(size=(16, 16))))
    assert "press Build index" in panel.card.remark.text
    assert panel.card.builder.box.layout.display == ""
    panel.card.builder.button.click()
    panel.wait()
    until(lambda: panel.card.images.table.cells, lambda: panel.card.remark.text)
    panel.wait()
    assert panel.card.builder.box.layout.display == "none"
    assert panel.card.relations.similar.bars.caption


@pytest.mark.parametrize("make", [grey, convolutional, dense, untrained_resnet])
def test_units_of_all_layers_of_many_networks(keep: Keep, make: Callable[[], Network]) -> None:
    net = make()
    channels, height, width = net.input.size
    pictures = [noise(n, (height, width) if channels == 1 else (height, width, 3)) for n in range(6)]
    panel = keep(UnitCard(net, index=index_of(net, ImageSet.from_arrays(pictures, list("aababb")))))
    layers = list(net.layers.values())
    for layer in layers[:: max(1, len(layers) // 10)]:
        at(panel, layer[layer.channels - 1])
        assert panel.card.name.value == repr(layer[layer.channels - 1])
        assert panel.card.images.table.cells


def test_features_of_a_layer_come_with_an_index_that_is_built_anew(keep: Keep) -> None:
    net = local()
    panel = keep(UnitCard(net, net["3"][0], index_of(net, greys(size=(16, 16)))))
    assert "Features of 3 are not kept" in panel.card.remark.text
    assert "strongest images in common" in panel.card.relations.similar.bars.caption
    panel.card.builder.button.click()
    panel.wait()
    until(lambda: "correlation" in panel.card.relations.similar.bars.caption, lambda: panel.card.remark.text)
    panel.wait()
    assert panel.card.remark.text == ""
    assert panel.card.builder.box.layout.display == "none"


def test_filters_of_all_kinds(keep: Keep) -> None:
    net = convolutional()
    panel = keep(UnitCard(net, net["0"][3]))
    card = panel.card
    assert card.filter.grid.shape == [1, 3, 3, 3]
    at(panel, net["2"][5])
    assert card.filter.grid.shape == [1, 3, 3, 1]
    at(panel, net["3"][5])
    own = net.filters("3")[5, :, 0, 0]
    assert card.filter.grid.layout.display == "none"
    assert card.filter.bars.labels == [f"input {at}" for at in own.abs().argsort(descending=True).tolist()]
    at(panel, net["4"][5])  # the second of three groups
    assert card.filter.grid.labels == [f"filter 5, input {at}" for at in range(4, 8)]
    deep = untrained_resnet()
    panel.selection.network = deep
    at(panel, deep["layer2.0.conv1"][7])
    norms = deep.filters("layer2.0.conv1")[7].flatten(1).norm(dim=1)
    assert card.filter.grid.labels[0] == f"filter 7, input {int(norms.argmax())}"
    assert len(card.filter.grid.labels) == 36
    assert "36 inputs of 64" in card.filter.grid.caption


# choosing


def test_a_click_chooses_an_image_or_a_unit(panel: UnitCard) -> None:
    index, unit = panel.selection.index, panel.selection.unit
    assert index is not None
    choose(panel.card.images.table, 1)
    panel.wait()
    assert panel.selection.image == index.top_images(unit)[1].id
    assert panel.card.images.table.selected == 1
    wanted = index.similar_units(unit)[0].unit
    panel.card.relations.similar.bars.selected = 0
    panel.wait()
    assert panel.selection.unit == wanted
    assert panel.card.name.value == repr(wanted)
    assert panel.card.relations.similar.bars.selected == -1


def test_a_label_that_is_a_class_chooses_its_unit(keep: Keep) -> None:
    net = local()
    panel = keep(UnitCard(net, net["4"][2], index_of(net, greys(size=(16, 16)), **FEATURES)))
    label = panel.card.relations.labels.bars.labels[0]
    panel.card.relations.labels.bars.selected = 0
    panel.wait()
    assert panel.selection.unit == net.unit(label)
    foreign = ImageSet.from_arrays([noise(n, (16, 16)) for n in range(9)], ["cat", "dog", "cow"] * 3)
    panel.selection.index = index_of(net, foreign, **FEATURES)
    at(panel, net["4"][2])
    assert panel.card.relations.labels.bars.labels
    panel.card.relations.labels.bars.selected = 0
    panel.wait()
    assert panel.selection.unit == net["4"][2]


def test_controls_move_the_unit(panel: UnitCard) -> None:
    panel.units.next.click()
    panel.wait()
    assert panel.card.name.value == "4[3]"
    panel.tree.selected = "0"
    panel.wait()
    assert panel.card.name.value == "0[0]"


# synthesized images


def test_an_image_is_synthesized_and_marked_among_the_photographs(keep: Keep, brief: None) -> None:
    net = local()
    panel = keep(UnitCard(net, net["4"][2], index_of(net, greys(size=(16, 16)))))
    panel.card.made.synthesis.button.click()
    panel.wait()
    made = panel.card.made.synthesis.made(net["4"][2])
    assert made is not None
    until(lambda: len(panel.card.spread.histogram.marks) == 2)
    assert panel.card.spread.histogram.marks[1]["value"] == made.activation


def test_images_of_an_atlas_by_all_its_recipes(keep: Keep) -> None:
    net = local()
    atlas = Atlas.build(net, units={"4": [2]}, recipes=["none", "l2"], steps=4)
    panel = keep(UnitCard(net, net["4"][2], index_of(net, greys(size=(16, 16))), atlas=atlas))
    assert lines(panel.card.made.table, 0) == ["none", "l2"]
    assert lines(panel.card.made.table, 1)[0].startswith("score ")
    assert [mark["label"] for mark in panel.card.spread.histogram.marks] == ["best photograph", "synthesized"]
    at(panel, net["4"][1])
    assert panel.card.made.told.value == "The atlas does not show this unit."
    assert len(panel.card.spread.histogram.marks) == 1
    assert panel.figure_code() == "cnn.figures.unit_card(net, net['4'][1], index, atlas=atlas)"


# what changes meanwhile


def test_changed_weights_are_told_and_no_old_numbers_shown(panel: UnitCard) -> None:
    with torch.no_grad():
        panel.network.module[3].weight.mul_(-1)
    panel.refresh()
    panel.wait()
    assert "The weights are no longer those that the index was built with." in panel.card.remark.text
    assert panel.card.spread_box.layout.display == "none"
    assert hidden(panel.card.relations.similar)


def test_facts_are_found_out_once(panel: UnitCard, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = _card_body.unit_facts
    monkeypatch.setattr(_card_body, "unit_facts", lambda *given: calls.append(given) or original(*given))
    panel.selection.image = "3"
    panel.wait()
    assert calls == []
    panel.selection.unit = panel.network["4"][3]
    panel.wait()
    assert len(calls) == 1


def test_another_network_and_no_index(panel: UnitCard) -> None:
    panel.selection.network = grey()
    panel.wait()
    assert panel.note.text == ""
    assert panel.card.name.value == "1[0]"
    assert hidden(panel.card.images)
    assert [layer["name"] for layer in panel.tree.layers] == list(panel.network.layers)


# arguments


def test_units_by_name_and_what_is_no_unit(keep: Keep) -> None:
    net = local()
    assert keep(UnitCard(net, "striped")).selection.unit == net.unit("striped")
    with pytest.raises(TypeError, match=r"int was given as a unit; expected net\[layer\]\[channel\]"):
        UnitCard(net, 3)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="no class 'stripes'"):
        UnitCard(net, "stripes")
    selection = Selection(net)
    panel = keep(UnitCard(net, net["4"][1], selection=selection))
    assert selection.unit == net["4"][1]
    assert panel.selection is selection


def test_a_page_without_python_shows_the_card(panel: UnitCard, tmp_path: Path) -> None:
    text = panel.export_html(tmp_path / "card.html", [panel.selection.unit, panel.network.unit("light")]).read_text()
    for told in (
        "channel 2 of 6; ReLU, 6 × 8 × 8",
        "light: unit 1 of 3",
        "filter 2 of 3",
        "its neighbours 2 pixels further on",
    ):
        assert told in text


def test_the_code_gives_the_facts(panel: UnitCard, tmp_path: Path) -> None:
    told = result_of(panel.code(), panel.network, panel.selection.images)["result"]
    assert isinstance(told, UnitFacts)
    assert told.heading == panel.card.heading.value
    assert [one.likeness for one in told.similar] == pytest.approx(panel.card.relations.similar.bars.values)
    assert panel.save_figure(tmp_path / "card.pdf").stat().st_size > 10_000
    names = {"index": panel.selection.index}
    assert result_of(panel.figure_code(), panel.network, panel.selection.images, **names)["result"].get_figwidth() > 5


# beside other panels


@pytest.fixture
def card() -> Iterator[Card]:
    """A closed card on a selection of its own."""
    net = local()
    selection = Selection(net, greys(size=(16, 16)))
    selection.index = index_of(net, selection.images)
    made = Card(selection)
    yield made
    made.close()


def test_nothing_is_computed_while_a_card_is_closed(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = _card_body.unit_facts
    monkeypatch.setattr(_card_body, "unit_facts", lambda *given: calls.append(given) or original(*given))
    card.selection.unit = card.selection.network["4"][3]
    card.wait()
    assert calls == []
    assert card.box.layout.display == "none"
    card.show()
    card.wait()
    assert len(calls) == 1
    assert card.box.layout.display == ""
    assert card.body.name.value == "4[3]"
    card.selection.unit = card.selection.network["4"][4]
    card.wait()
    assert card.body.name.value == "4[4]"
    card.show(False)
    card.selection.unit = card.selection.network["4"][1]
    card.wait()
    assert card.body.name.value == "4[4]"


def test_a_card_shows_its_errors_and_lives_on(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Any:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(_card_body, "unit_facts", broken)
        card.show()
        card.wait()
        assert (card.note.text, card.note.kind) == ("the disk is full", "error")
    card.refresh()
    card.wait()
    assert card.note.text == ""
    assert card.body.images.table.cells


def test_a_closed_card_leaves_no_widget_and_follows_no_more() -> None:
    selection = Selection(local())
    before = set(_instances)
    card = Card(selection, shown=True)
    card.wait()
    assert set(_instances) > before
    card.close()
    card.close()
    assert [_instances[one] for one in set(_instances) - before] == []
    assert selection.builders == ()
    selection.unit = selection.network["4"][2]
    assert not [thread for thread in threading.enumerate() if thread.name == "cnnviz-drawing"]

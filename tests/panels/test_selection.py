"""What panels share: layer and unit belong together, and to the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from traitlets import TraitError

from cnnviz_widgets import (
    ActivationPanel,
    FilterPanel,
    ImageSet,
    MaximizationPanel,
    NeighborsPanel,
    Selection,
    TopImagesPanel,
)
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.layers import Layer
from tests.panels.indexed import greys, index_of
from tests.panels.networks import convolutional, grey


def test_begins_with_the_first_main_layer_and_image() -> None:
    net = grey()
    selection = Selection(net, np.zeros((8, 8), np.uint8))
    assert selection.layer == net.main_layers[0]
    assert selection.unit == net.main_layers[0][0]
    assert selection.image == selection.images.ids[0]


def test_a_layer_brings_its_first_unit_and_a_unit_its_layer() -> None:
    net = grey()
    selection = Selection(net)
    told = []
    selection.observe(lambda change: told.append(change["name"]), names=["layer", "unit"])
    selection.layer = net["2"]
    assert selection.unit == net["2"][0]
    selection.unit = net["7"][4]
    assert selection.layer == net["7"]
    selection.unit = net["7"][2]
    assert sorted(told) == ["layer", "layer", "unit", "unit", "unit"]


@pytest.mark.parametrize("key", [5, (5, "center"), (5, 1, 2)])
def test_a_layer_already_selected_keeps_its_unit(key: object) -> None:
    net = grey()
    selection = Selection(net)
    selection.unit = net["2"][key]  # type: ignore[index]
    selection.layer = net["2"]
    assert selection.unit == net["2"][key]  # type: ignore[index]


def test_units_and_layers_of_other_networks_are_refused() -> None:
    net = grey()
    selection = Selection(net)
    before = selection.unit
    with pytest.raises(TraitError, match="no unit of this network"):
        selection.unit = convolutional()["4"][3]
    with pytest.raises(UnknownNameError, match="no layer 'nowhere'"):
        selection.layer = Layer("nowhere", "Conv2d", (3, 4, 4))
    with pytest.raises(TraitError):
        selection.unit = 3
    assert selection.unit == before
    assert selection.layer == before.layer


def test_another_network_brings_its_own_layer_and_unit() -> None:
    selection, other = Selection(grey()), convolutional()
    selection.unit = selection.network["7"][4]
    selection.network = other
    assert selection.unit == other.main_layers[0][0]
    assert selection.layer == other.main_layers[0]


@pytest.mark.parametrize(
    "images",
    [
        [np.zeros((8, 8), np.uint8), np.ones((9, 7, 3), np.uint8)],
        torch.zeros(2, 1, 8, 8),
        ImageSet.of([np.zeros((8, 8), np.uint8)] * 2),
    ],
    ids=["list", "tensor", "image set"],
)
def test_whatever_counts_as_images_becomes_an_image_set(images: object) -> None:
    selection = Selection(grey(), images)
    assert selection.images.ids == ("0", "1")
    assert selection.image == "0"
    later = Selection(grey(), torch.zeros(1, 1, 8, 8))
    later.image = None
    later.images = images
    assert later.images.ids == ("0", "1")
    assert later.image == "0"


def test_no_images_is_no_image() -> None:
    selection = Selection(grey(), torch.zeros(2, 1, 8, 8))
    selection.images = []
    assert selection.image is None


def test_a_selection_on_another_network_is_refused() -> None:
    selection = Selection(grey())
    for panel in (FilterPanel, ActivationPanel, MaximizationPanel, TopImagesPanel, NeighborsPanel):
        with pytest.raises(ValueError, match="looks at another network"):
            panel(convolutional(), selection=selection)


def test_images_given_to_a_panel_reach_all_on_its_selection() -> None:
    net = grey()
    selection = Selection(net)
    panel = ActivationPanel(net, torch.rand(3, 1, 8, 8), selection=selection)
    assert selection.images.ids == ("0", "1", "2")
    assert selection.image == "0"
    panel.close()


def test_an_index_brings_its_images_along() -> None:
    net = grey()
    index = index_of(net, greys(6))
    selection = Selection(net, greys(3))
    selection.image = "2"
    told: list[str] = []
    selection.observe(lambda change: told.append(change["name"]))
    selection.index = index
    assert selection.images is index.images
    assert selection.image == "0"
    assert sorted(told) == ["image", "images", "index"]
    selection.image = "5"
    selection.index = index_of(net, index.images)
    assert selection.image == "5"


def test_an_index_of_another_network_is_refused() -> None:
    selection = Selection(grey())
    with pytest.raises(TraitError, match="the index is one of convolutional, the selection looks at grey"):
        selection.index = index_of(convolutional(), greys(2))
    with pytest.raises(TraitError):
        selection.index = "index/"
    assert selection.index is None


def test_other_images_or_another_network_take_the_index_away() -> None:
    net = grey()
    index = index_of(net, greys(6))
    selection = Selection.of(net, index=index)
    assert selection.index is index
    assert selection.images is index.images
    selection.images = index.images
    assert selection.index is index
    selection.images = greys(6)
    assert selection.index is None
    selection.index = index
    selection.network = convolutional()
    assert selection.index is None
    assert selection.images is index.images
    assert selection.unit == selection.network.main_layers[0][0]


@pytest.mark.parametrize("given", ["index/", 3, object()], ids=["a path", "a number", "an object"])
def test_what_is_no_index_is_a_type_error(given: object) -> None:
    with pytest.raises(TypeError, match=r"expected cnn\.ActivationIndex\.build"):
        Selection.of(grey(), index=given)  # type: ignore[arg-type]


def test_an_index_given_to_a_panel_reaches_all_on_its_selection() -> None:
    net = grey()
    selection = Selection(net, greys(3))
    index = index_of(net, greys(6))
    panel = TopImagesPanel(net, index, selection=selection)
    assert selection.index is index
    assert selection.images is index.images
    panel.close()
    assert selection.builders == ()

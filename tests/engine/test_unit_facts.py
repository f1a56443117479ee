"""What is known of a unit: where its filter is, what it sees, the last layer's weights, and how it answers an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz_widgets as cnn
from cnnviz_widgets import InputSpec, Network
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.readout import readout
from cnnviz_widgets.engine.unit_facts import kernel_of, sight, unit_facts
from cnnviz_widgets.engine.unit_on_image import activation, on_image, tile_image, tiles_of
from tests.panels.indexed import greys, index_of, local, noise
from tests.panels.networks import convolutional, dense, grey, untrained_resnet


@pytest.fixture(scope="module")
def resnet() -> Network:
    return untrained_resnet()


# filters


def test_the_filter_of_a_chain_is_that_of_its_convolution(resnet: Network) -> None:
    found = {name: kernel_of(resnet, resnet[name]) for name in resnet.layers}
    assert found["conv1"] == found["bn1"] == found["relu"] == resnet["conv1"]
    assert found["layer1.0.bn2"] == resnet["layer1.0.conv2"]
    for other in (
        "maxpool",
        "layer1.0.relu@2",
        "layer1.0",
        "avgpool",
        "fc",
    ):  # a branch was added, or pixels were mixed
        assert found[other] is None, other


def test_a_dense_network_has_no_filters() -> None:
    assert not [name for name in dense().layers if kernel_of(dense(), dense()[name])]


# what it sees


def test_size_step_and_place_of_what_a_unit_sees() -> None:
    net = local()
    assert str(sight(net, net["3"][1])) == (
        "sees 8 × 8 pixels of the input, its neighbours 2 pixels further on; 3[1, center] rows 5 to 13, columns 5 to 13"
    )
    corner = sight(net, net["3"][1, 0, 0])
    assert corner.field.status == "cut by the border"
    assert "cut by the border" in str(corner)
    assert sight(net, net["7"][0]).field.status == "whole image"
    assert sight(net, net["7"][0]).stride is None


# weights


def test_weights_between_the_last_hidden_layer_and_the_classes() -> None:
    net = grey()
    weight = net.module[7].weight.detach().numpy()
    np.testing.assert_array_equal(readout(net, net["5"][3]).weights, weight[:, 3])
    np.testing.assert_array_equal(readout(net, net.output[2]).weights, weight[2])
    assert readout(net, net.output[2]).others == tuple(net.last_hidden)
    best = readout(net, net["5"][3]).strongest(2)
    assert [abs(value) for _, value in best] == sorted(np.abs(weight[:, 3]), reverse=True)[:2]


def test_a_layer_whose_mean_is_the_last_hidden_one_counts_too() -> None:
    net = grey()
    np.testing.assert_array_equal(readout(net, net["4"][3]).weights, readout(net, net["5"][3]).weights)
    with pytest.raises(ValueError, match=r"within a mean only: 4\[3\]"):
        readout(net, net["4"][3, 1, 1])
    with pytest.raises(
        ValueError, match=r"does not enter the last dense layer; the units of net\.last_hidden, '5', do"
    ):
        readout(net, net["3"][3])


def test_a_change_of_a_map_changes_the_score_by_the_weight() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 36, 4)).eval()
    net = Network(module, InputSpec(size=(1, 8, 8)))
    layer = net.last_hidden
    assert layer.positions == (6, 6)
    image = torch.rand(1, 1, 8, 8)
    before = module(net.input.normalized(image))[0]
    with torch.no_grad():
        module[0].bias[1] += 1
    after = module(net.input.normalized(image))[0]
    assert readout(net, layer[1]).weights == pytest.approx((after - before).detach().numpy(), abs=1e-4)
    alone = readout(net, layer[1, 2, 3]).weights
    np.testing.assert_array_equal(alone, module[2].weight.detach().numpy()[:, 36 + 15])


def test_a_network_without_a_dense_layer_has_no_such_weights() -> None:
    net = convolutional()
    with pytest.raises(ValueError, match="does not end in a dense layer"):
        readout(net, net["4"][0])


# facts


def test_facts_of_every_layer_of_every_network(resnet: Network) -> None:
    for net in (grey(), dense(), convolutional(), resnet):
        for layer in net.layers.values():
            facts = unit_facts(net, layer[layer.channels - 1])
            assert repr(facts).startswith(f"{layer.name}[{layer.channels - 1}]  ")
            assert facts.missing == ("No index: cnn.ActivationIndex.build(net, images) tells which images excite it.",)


def test_facts_with_an_index() -> None:
    net = local()
    index = index_of(net, greys(size=(16, 16)), layers=["0", "3", "4", "7"], features=["4"])
    facts = unit_facts(net, net["4"][2, "center"], index, k=3)
    assert facts.channel == net["4"][2]
    assert facts.kernel == net["3"]
    assert [match.id for match in facts.matches] == [match.id for match in index.top_images(net["4"][2])]
    assert facts.similar is not None
    assert facts.similar.basis == "correlation"
    assert facts.labels is not None
    assert facts.labels.basis == "values"
    assert facts.weights is None
    assert unit_facts(net, net.unit("light"), index).label == "light"
    missing = unit_facts(net, net["1"][0], index)
    assert "'1' is not in the index" in " ".join(missing.missing)
    assert (missing.matches, missing.similar) == ((), None)


def test_winners_that_are_all_equal_are_told() -> None:
    net = local()
    with torch.no_grad():
        net.module[3].bias[2] = -100.0
    index = index_of(net, greys(size=(16, 16)))
    assert unit_facts(net, net["4"][2], index).missing[0] == "The unit gives 0 for every image."
    assert not unit_facts(net, net["4"][1], index).missing


def test_what_does_not_belong_together_is_told() -> None:
    net, other = local(), grey()
    with pytest.raises(ValueError, match="is no unit of local"):
        unit_facts(net, other["2"][0])
    with pytest.raises(ValueError, match="the index is one of grey, not of local"):
        unit_facts(net, net["0"][0], index_of(other, greys()))


def test_the_default_network() -> None:
    net = cnn.load()
    first, late = unit_facts(net, net["bn1"][6]), unit_facts(net, net["bn2"][5])
    assert first.kernel == net["conv_stem"]
    assert first.sight.stride == (2, 2)
    assert late.weights is not None
    assert len(late.weights.weights) == 1000
    assert unit_facts(net, net["blocks.2.1.bn3"][0]).kernel == net["blocks.2.1.conv_pwl"]


# on an image


def test_where_a_unit_answers_an_image_most() -> None:
    net, image = local(), noise(4, (16, 16))
    map = net.activations(image, "4")["4"][0, 2]
    seen = on_image(net, net["4"][2], image)
    assert seen.value == pytest.approx(float(map.max()))
    assert seen.strongest.index == tuple(np.unravel_index(int(map.argmax()), map.shape))
    assert seen.map is not None
    np.testing.assert_allclose(seen.map, map, atol=1e-5)
    neuron = on_image(net, net["4"][2, 1, 3], image)
    assert (neuron.strongest, neuron.value) == (net["4"][2, 1, 3], pytest.approx(float(map[1, 3])))
    logit = on_image(net, net.output[1], image)
    assert (logit.strongest, logit.map) == (net.output[1], None)
    with pytest.raises(ImageError, match="2 images were given; expected one"):
        on_image(net, net["4"][2], [image, image])


@pytest.mark.parametrize("net", [local(), convolutional()], ids=lambda net: net.name)
def test_an_image_of_an_atlas_answers_about_as_the_climbed_one_did(net: Network) -> None:
    layer = net.main_layers[0]
    atlas = Atlas.build(net, units={layer: [1, 2]}, recipes="none", steps=40)
    for unit in atlas.units(layer):
        (name, tile), *_ = tiles_of(unit, atlas)[0]
        image = tile_image(net, tile)
        assert image is not None
        assert image.shape == (1, *net.input.size)
        top, left, bottom, right = tile.box
        outside = image.clone()
        neutral = net.input.neutral_image()
        outside[..., top:bottom, left:right] = neutral
        assert torch.allclose(outside, neutral.expand(net.input.size)[None])
        shown = activation(net, net[layer][unit.channel], image, "max")
        flat = activation(net, net[layer][unit.channel], outside, "max")
        assert shown > flat + 0.5 * (tile.score - flat)
        assert name == "none"


def test_what_an_atlas_shows_of_a_unit() -> None:
    net = local()
    atlas = Atlas.build(net, units={"4": [1]}, recipes=["none", "l2"], steps=3)
    assert [name for name, _ in tiles_of(net["4"][1], atlas)[0]] == ["none", "l2"]
    assert [name for name, _ in tiles_of(net["4"][1, "center"], atlas)[0]] == ["none", "l2"]
    assert tiles_of(net["4"][2], atlas) == ([], "The atlas does not show this unit.")
    assert tiles_of(net["4"][1], None) == ([], "")
    with torch.no_grad():
        net.module[0].bias[0] += 1
    assert "no longer" in tiles_of(net["4"][1], atlas)[1]

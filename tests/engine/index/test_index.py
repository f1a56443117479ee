"""One pass over a collection tells what a slow and obvious computation on all maps tells, for networks of many kinds."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.loading import batches
from cnnviz_widgets.engine.index.measuring import Measuring, Part
from cnnviz_widgets.engine.index.plan import Settings, plan
from cnnviz_widgets.engine.network import Network

from .kinds import (
    KINDS,
    InPlace,
    Repeated,
    Same,
    drawn,
    network_of,
    next_to_each_other,
    pictures,
)
from .plainly import all_maps, check, columns, table_of


@pytest.mark.parametrize("kind", KINDS)
def test_every_unit_of_every_layer_is_as_when_all_maps_are_kept(kind: str) -> None:
    network, images = network_of(drawn(KINDS[kind])), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16)
    assert (network.path == "borrowed") == (kind == "can't be copied")
    assert set(index.offsets) | set(index.plan.alias) == set(network.layers)
    assert index.complete
    check(index, images, all_maps(network, images))


def test_a_grey_network(grey_network: Network) -> None:
    images = pictures(41, 8, channels=1)
    for k, batch in ((1, 1), (9, 7), (50, 64)):
        index = ActivationIndex.build(grey_network, images, k=k, batch=batch, shard=batch * 2)
        check(index, images, all_maps(grey_network, images))


@pytest.mark.long
def test_resnet_with_any_batch(resnet: Network) -> None:
    images = pictures(24, 64)
    maps = all_maps(resnet, images)
    for batch in (1, 7, 64):
        index = ActivationIndex.build(resnet, images, k=5, batch=batch, shard=batch * 3)
        names = ["conv1", "layer1.0.relu@2", "layer2.0", "layer4.1.conv2", "avgpool", "fc"]
        check(index, images, maps, list(index.offsets) + list(index.plan.alias) if batch == 7 else names)


def test_a_network_in_half_precision() -> None:
    network, images = network_of(drawn(KINDS["no dense layer"]).bfloat16()), pictures(12)
    index = ActivationIndex.build(network, images, k=12, batch=4)
    maps = all_maps(network, images)
    for name in index.offsets:
        for match in index.top_images(network[name][1]):
            value = float(maps[name][images.number(match.id), 1].max())
            assert match.score == pytest.approx(value, rel=0.02, abs=0.02)
    assert index.features().dtype == "float32"


@pytest.mark.real
@pytest.mark.long
def test_the_default_network_on_photographs(real_network: Network) -> None:
    images = ImageSet.samples(64)
    index = ActivationIndex.build(real_network, images, shard=32)
    assert not index.plan.left_out
    names = list(index.offsets) + list(index.plan.alias)
    for at in range(0, len(names), 24):  # all maps at once would take several gigabytes
        some = names[at : at + 24]
        check(index, images, all_maps(real_network, images, some), some)


@pytest.mark.parametrize("kind", ["called several times", "channels last", "no dense layer"])
def test_the_mean_over_a_map_instead_of_its_maximum(kind: str) -> None:
    network, images = network_of(drawn(KINDS[kind])), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16, pool="mean")
    check(index, images, all_maps(network, images))
    unit = network[next(iter(index.offsets))][0]
    assert {match.position for match in index.top_images(unit)} == {()}
    assert {match.status for match in index.top_images(unit)} == {"whole image"}


def test_nothing_depends_on_the_order_of_the_set_or_on_labels() -> None:
    network, images = network_of(drawn(next_to_each_other)), pictures(41)
    expected = table_of(ActivationIndex.build(network, images, k=5, batch=8, shard=16))
    shuffled = images.subset(np.random.default_rng(1).permutation(41).tolist())
    index = ActivationIndex.build(network, shuffled, k=5, batch=8, shard=16)
    assert table_of(index) == expected
    assert index.ids == shuffled.ids
    unlabelled = replace(shuffled, labels=("",) * 41)
    assert table_of(ActivationIndex.build(network, unlabelled, k=5, batch=8, shard=16)) == expected
    assert table_of(ActivationIndex.build(network, images, k=5, batch=8, shard=16, workers=1)) == expected


def test_some_layers_alone_tell_what_they_tell_among_all() -> None:
    network, images = network_of(drawn(Repeated)), pictures(20)
    whole = ActivationIndex.build(network, images, k=5, batch=8, shard=16)
    some = ActivationIndex.build(network, images, ["conv@2", "stem"], k=5, batch=8, shard=16)
    assert set(some.offsets) == {"stem", "conv@2"}
    for name in ("stem", "conv@2"):
        for one, other in zip(
            columns(some, network[name]).values(), columns(whole, network[name]).values(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert some.features().shape == (20, 6)
    assert not some.holds("act")
    with pytest.raises(ValueError, match="'act' is not in the index: it was not among layers="):
        some.top_images(network["act"][0])
    single = ActivationIndex.build(network, images, network["conv@2"], k=5, batch=8, shard=16)
    assert list(single.offsets) == ["conv@2"]


def test_a_layer_that_gives_anothers_very_tensor_gives_the_same_answers() -> None:
    network, images = network_of(drawn(Same)), pictures(20)
    index = ActivationIndex.build(network, images, k=5)
    alias = {"block.0": "block.0.1", "block.1": "block.0.1", "block.2": "block.0.1", "block": "block.0.1"}
    assert alias.items() <= dict(index.plan.alias).items()
    assert not set(alias) & set(index.offsets)
    for name, original in alias.items():
        assert index.holds(name)
        one, other = (index.top_images(network[layer][2]) for layer in (name, original))
        assert one == other
        assert index.statistics(network[name][2]).mean == index.statistics(network[original][2]).mean


def test_what_follows_in_place_changes_no_features() -> None:
    network, images = network_of(drawn(InPlace)), pictures(20)
    index = ActivationIndex.build(network, images, features=["dense", "act", "stem.3"])
    maps = all_maps(network, images)
    assert (maps["dense"] < -1e-3).any()
    for name in ("dense", "act"):
        np.testing.assert_allclose(index.features(name), maps[name].numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(index.features("stem.3"), maps["stem.3"].mean((2, 3)).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("softmax", [False, True])
def test_features_keep_their_positions_where_the_last_dense_layer_takes_them_apart(softmax: bool) -> None:
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 4)]
    module = drawn(lambda: nn.Sequential(*parts, *([nn.Softmax(1)] if softmax else [])))
    network, images = network_of(module), pictures(12)
    index = ActivationIndex.build(network, images)
    assert network.last_hidden.name == "1"
    assert index.plan.flat == ("1",)
    expected = all_maps(network, images)["1"].flatten(1).numpy()
    np.testing.assert_allclose(index.features(), expected, rtol=1e-4, atol=1e-5)
    assert index.neighbors([images.ids[5]], k=1).ids == ((images.ids[5],),)


def test_what_is_kept_does_not_grow_with_the_images(grey_network: Network) -> None:
    planned = plan(grey_network, None, None, Settings(k=9))

    def part_of(count: int) -> Part:
        images = pictures(count, 8, channels=1)
        measuring = Measuring(grey_network, planned, torch.arange(count, dtype=torch.int32))
        *_, part = measuring.shard(0, batches(images, range(count), grey_network.input, 32))
        measuring.close()
        assert isinstance(part, Part)
        return part

    few, many = part_of(40), part_of(400)
    assert len(pickle.dumps(many.table)) <= len(pickle.dumps(few.table)) + 8
    assert sum(array.nbytes for array in many.table.arrays().values()) <= planned.units * (9 * 12 + 64 * 8 + 64)
    assert {name: values.shape for name, values in many.features.items()} == {grey_network.last_hidden.name: (400, 6)}
    assert not many.thumbnails

"""Neighbours in an index by ids and labels, of images of the set and of others; and what features of photographs are good for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.neighbors import Metric, nearest
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network

from .test_nearest import METRICS, brute, needs_faiss


def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.ReLU()]
        module = nn.Sequential(*parts, nn.Linear(16, 3))
    return Network(module.eval(), InputSpec((3, 8, 8)))


def arrays(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def index() -> ActivationIndex:
    images = ImageSet.from_arrays(arrays(40), labels=["abc"[n % 3] for n in range(40)])
    return ActivationIndex.build(network(), images.subset(range(39, -1, -1)), features=["5", "1"], batch=8, shard=16)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("layer", [None, "1"])
def test_neighbours_by_id_are_those_of_the_features(index: ActivationIndex, layer: str | None, metric: Metric) -> None:
    features, ids = index.features(layer), index.ids
    asked = [ids[at] for at in (0, 7, 39)]
    found = index.neighbors(asked, layer, 6, metric=metric)
    expected, far = brute(features[[0, 7, 39]], features, 6, metric)
    assert found.ids == tuple(tuple(ids[row] for row in line) for line in expected)
    np.testing.assert_allclose(found.distances, far, rtol=1e-4, atol=1e-5)
    assert (found.queries, found.metric, found.recall) == (tuple(asked), metric, 1.0)
    assert found.layer == (layer or index.network.last_hidden.name)
    assert found.labels == tuple(index.images.labels[index.images.number(id)] for id in asked)
    for line, labels in zip(found.ids, found.neighbor_labels, strict=True):
        assert labels == tuple(index.images.labels[index.images.number(id)] for id in line)
    own = index.neighbors(asked, layer, 5, metric=metric, without_itself=True)
    assert own.ids == tuple(line[1:] for line in found.ids)
    assert index.neighbors(asked[1], layer, 6, metric=metric).ids == found.ids[1:2]


def test_an_outside_copy_of_an_image_is_that_images_nearest_query(index: ActivationIndex) -> None:
    given = index.images["17"]
    for one in ([given], given, torch.from_numpy(given).permute(2, 0, 1).float() / 255):
        found = index.neighbors(one, k=2)
        assert found.queries == ("query 0",)
        assert found.ids[0][0] == "17"
        assert found.distances[0][0] == pytest.approx(0, abs=1e-5)
        assert found.distances[0][1] > 1e-3
        # it is no image of the set, so there is nothing to leave out
        assert index.neighbors(one, k=2, without_itself=True).ids == found.ids
    assert index.neighbors([given, "9"], k=1).ids == (("17",), ("9",))
    assert index.neighbors(ImageSet.from_arrays(arrays(0))).ids == ()


def test_images_of_another_set_are_not_taken_for_those_with_the_same_ids(index: ActivationIndex) -> None:
    same = ImageSet.from_arrays(arrays(40)).subset([4, 5])
    other = ImageSet.from_arrays(arrays(40, seed=1))
    mixed = ImageSet(("4", "5"), ("", ""), (same.openers[0], other.openers[5]))
    found, own = (index.neighbors(mixed, k=40, without_itself=without) for without in (False, True))
    assert own.ids[0] == found.ids[0][1:]
    assert found.ids[0][0] == "4"
    assert own.ids[1] == found.ids[1]
    assert len(found.ids[1]) == 40


def test_hits_are_told_where_labels_are_known(index: ActivationIndex) -> None:
    ids = index.ids[:10]
    found = index.neighbors(list(ids), k=4, without_itself=True)
    pairs = [(label, line) for label, line in zip(found.labels, found.neighbor_labels, strict=True)]
    assert found.first_hits == np.mean([label == line[0] for label, line in pairs])
    assert found.hit_rate == np.mean([label == other for label, line in pairs for other in line])
    plain = index.neighbors([index.images[id] for id in ids], k=1)
    assert (plain.first_hits, plain.hit_rate, plain.labels) == (None, None, ("",) * 10)
    told = index.neighbors([index.images[id] for id in ids], k=1, labels=list(found.labels))
    assert told.first_hits == 1.0
    assert index.neighbors([index.images[ids[0]]], k=1, labels=["zebra"]).first_hits == 0.0


def test_more_neighbours_than_images_are_all_images(index: ActivationIndex) -> None:
    found = index.neighbors(["3"], k=100)
    assert sorted(found.ids[0]) == sorted(index.ids)
    assert len(index.neighbors(["3"], k=100, without_itself=True).ids[0]) == 39


@needs_faiss
def test_the_approximate_search_of_an_index(index: ActivationIndex) -> None:
    for without in (False, True):
        exact, quick = (
            index.neighbors(["3", "9"], k=5, search=search, without_itself=without) for search in ("exact", "faiss")
        )
        assert quick.ids == exact.ids
        assert quick.recall == 1.0
        np.testing.assert_allclose(quick.distances, exact.distances, rtol=1e-3, atol=1e-4)


def test_mistakes_are_told(index: ActivationIndex) -> None:
    with pytest.raises(ValueError, match="k=0; expected at least one neighbour"):
        index.neighbors(["3"], k=0)
    with pytest.raises(ValueError, match="metric='l1'; expected 'l2', the Euclidean distance, or 'cosine'"):
        index.neighbors(["3"], metric="l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="search='fast'; expected 'exact' or 'faiss'"):
        index.neighbors(["3"], search="fast")
    with pytest.raises(ValueError, match="2 labels for 1 queries; give one for each"):
        index.neighbors([arrays(1)[0]], labels=["a", "b"])
    with pytest.raises(ValueError, match="1 labels for 2 queries; give one for each"):
        index.neighbors(["3", "4"], labels=["a"])
    with pytest.raises(ImageError, match=r"no file .*nowhere.*; nor is 'nowhere' an id of the set"):
        index.neighbors(["3", "nowhere"])
    with pytest.raises(ImageError, match=r"no file .*nowhere.*; nor is 'nowhere' an id of the set"):
        index.neighbors("nowhere")
    with pytest.raises(ValueError, match=r"features of '0' were not kept, but of \['5', '1'\]"):
        index.neighbors(["3"], "0")


def crop_box(id: str) -> tuple[str, list[int]]:
    name, _, box = id.rpartition("@")
    return name, [int(edge) for edge in box.split(",")]


@pytest.mark.long
@pytest.mark.real
def test_deep_features_find_the_same_photograph_where_pixels_and_first_features_do_not(real_network: Network) -> None:
    """Crops of the left halves of photographs ask for crops of the right halves: no pixel is the same.

    Measured: 0.50 of the nearest come from the query's photograph by pixels, 0.76 by the first layer, 0.94 by the last hidden.
    """
    photographs = ImageSet.samples()
    large = photographs.subset(
        [name for name, one in zip(photographs.ids, photographs.openers, strict=True) if min(one.size()) >= 300]
    )
    count = 6 * len(large)
    asked, kept = large.crops(count, (0, 0, 1, 0.5)), large.crops(count, (0, 0.5, 1, 1))
    for (name, one), (other, two) in itertools.product(map(crop_box, asked.ids), map(crop_box, kept.ids)):
        assert name != other or one[3] <= two[1]
    hidden = real_network.last_hidden
    index = ActivationIndex.build(real_network, kept, layers=hidden, features=["bn1", hidden])

    def small(images: ImageSet) -> np.ndarray:
        prepared = torch.stack([images.prepare(place, real_network.input) for place in range(len(images))])
        return nn.functional.interpolate(prepared, size=32, mode="bilinear", antialias=True).flatten(1).numpy()

    rows, _ = nearest(small(asked), [small(kept)], 1)
    pixels = float(np.mean([label == kept.labels[row] for label, (row,) in zip(asked.labels, rows, strict=True)]))
    first, last = (index.neighbors(asked, layer, k=1).first_hits for layer in ("bn1", hidden))
    assert first is not None
    assert last is not None
    told = f"pixels {pixels:.2f}, bn1 {first:.2f}, {hidden.name} {last:.2f}"
    assert last >= 0.85, told
    assert last >= first + 0.12, told
    assert last >= pixels + 0.3, told

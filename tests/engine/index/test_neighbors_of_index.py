"""Exact neighbours are scikit-learn's, whatever the blocks; what an index adds: ids, labels, hits; and what features are good for."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex, neighbors
from cnnviz_widgets.engine.index.neighbors import Metric, approximate, nearest
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network

METRICS: list[Metric] = ["l2", "cosine"]
needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs FAISS")


def brute(queries: np.ndarray, features: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's, all of them, then sorted by distance and row; equal up to rounding counts as equal."""
    kind = "euclidean" if metric == "l2" else "cosine"
    told = NearestNeighbors(n_neighbors=len(features), algorithm="brute", metric=kind).fit(features.astype(float))
    far, rows = told.kneighbors(queries.astype(float))
    order = np.lexsort((rows, far.round(6)))[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(far, order, 1)


def cut(features: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    return iter(np.split(features, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_and_distances_are_scikit_learns(metric: Metric) -> None:
    random = np.random.default_rng(0)
    for rows, width, count, k in ((300, 17, 23, 6), (50, 1, 5, 9), (7, 300, 4, 20), (1, 5, 2, 1)):
        features, queries = (random.normal(size=(n, width)).astype(np.float32) for n in (rows, count))
        if width == 1:
            features, queries = features.round(), queries.round()
        found, far = nearest(queries, [features], k, metric)
        expected, distances = brute(queries, features, k, metric)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(far, distances, rtol=1e-5, atol=1e-6)
        assert far.dtype == np.float32
        assert (np.diff(far, axis=1) >= 0).all()


@given(st.integers(0, 2**32), st.sampled_from(METRICS), st.lists(st.integers(0, 30), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_blocks_of_any_size_give_the_same_and_equal_rows_stand_in_their_order(
    seed: int, metric: Metric, sizes: list[int]
) -> None:
    random = np.random.default_rng(seed)
    count, width, k = sum(sizes), int(random.choice([1, 3, 64, 1000])), int(random.choice([1, 4, 50]))
    few = random.normal(size=(5, width)).astype(np.float32) * random.choice([1e-20, 1.0, 1e15])
    features = few[random.integers(0, 5, count)]
    queries = np.concatenate([few[:2], random.normal(size=(3, width)).astype(np.float32)])
    found, far = nearest(queries, [features], k, metric)
    for blocks in (cut(features, sizes), cut(features, [1] * count) if count else [features]):
        other, distances = nearest(queries, blocks, k, metric)
        np.testing.assert_array_equal(found, other)
        np.testing.assert_array_equal(far, distances)
    alone = [nearest(query[None], [features], k, metric) for query in queries]
    np.testing.assert_array_equal(found, np.concatenate([rows for rows, _ in alone]))
    for line, distances in zip(found, far, strict=True):
        assert [*zip(distances, line, strict=True)] == sorted(zip(distances, line, strict=True))
        for one, other in itertools.pairwise(line):
            assert one < other or (features[one] != features[other]).any()


def test_many_queries_make_the_blocks_smaller_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    features, queries = random.integers(0, 3, (60, 4)).astype(np.float32), random.integers(0, 3, (40, 4)).astype("f4")
    expected = nearest(queries, [features], 7)
    monkeypatch.setattr(neighbors, "_PAIRS", 50)
    found = nearest(queries, [features], 7)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("metric", METRICS)
def test_one_row_may_be_left_out_for_each_query(metric: Metric) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(20, 5)).astype(np.float32)
    own = np.array([3, -1, 19, 0])
    queries = features[[3, 4, 19, 0]]
    for blocks in ([features], cut(features, [4, 15, 1])):
        rows, far = nearest(queries, blocks, 20, metric, own)
        assert [3 in rows[0], 4 in rows[1], 19 in rows[2], 0 in rows[3]] == [False, True, False, False]
        assert rows[1, 0] == 4
        assert far[1, 0] == 0
        assert rows[0, -1] == -1
        assert np.isinf(far[0, -1])
    expected, _ = brute(queries[:1], np.delete(features, 3, 0), 19, metric)
    assert (rows[0, :19] - (rows[0, :19] > 3)).tolist() == expected[0].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_features_that_are_not_finite_are_no_neighbours(metric: Metric) -> None:
    features = np.array([[1, 2], [np.nan, 2], [np.inf, 2], [-np.inf, np.inf], [2, 1.5]], np.float32)
    queries = np.array([[1, 2], [np.nan, 0], [np.inf, 1]], np.float32)
    rows, far = nearest(queries, [features], 4, metric)
    assert rows.tolist() == [[0, 4, -1, -1], [-1] * 4, [-1] * 4]
    assert far[0, 0] == 0
    assert np.isinf(far[rows < 0]).all()


def test_a_vector_of_zeros_has_no_direction_and_is_as_far_as_a_right_angle() -> None:
    features = np.array([[0, 0], [0, 3], [-1, 0], [1e-30, 0]], np.float32)
    rows, far = nearest(np.array([[2, 0], [0, 0]], np.float32), [features], 4, "cosine")
    assert rows.tolist() == [[3, 0, 1, 2], [0, 1, 2, 3]]
    np.testing.assert_allclose(far, [[0, 1, 1, 2], [1, 1, 1, 1]], atol=1e-7)


def test_large_and_far_away_features_lose_nothing_to_rounding() -> None:
    features = (1e6 + np.arange(50)[:, None] * np.array([0.125, 0.0])).astype(np.float32)
    rows, far = nearest(features[[20]], [features], 3)
    assert rows.tolist() == [[20, 19, 21]]
    np.testing.assert_array_equal(far, [[0, 0.125, 0.125]])


@needs_faiss
@pytest.mark.parametrize("metric", METRICS)
def test_faiss_finds_nearly_all_of_them_and_tells_the_share(metric: Metric) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(2000, 16)).astype(np.float32)
    queries = features[:300] + 0.1
    rows, far, recall = approximate(queries, features, 5, metric)
    expected, distances = nearest(queries, [features], 5, metric)
    shares = [len(set(one) & set(other)) / 5 for one, other in zip(rows, expected, strict=True)]
    assert np.mean(shares) > 0.95
    assert recall == pytest.approx(np.mean(shares), abs=0.03)
    same = rows == expected
    np.testing.assert_allclose(far[same], distances[same], rtol=1e-3, atol=1e-4)


@needs_faiss
@pytest.mark.parametrize("metric", METRICS)
def test_faiss_leaves_out_what_the_exact_search_leaves_out(metric: Metric) -> None:
    features = np.array([[1, 2], [np.nan, 2], [2, 1.5], [0.1, 5]], np.float32)
    queries = np.array([[1, 2], [np.nan, 0], [2, 1.4]], np.float32)
    own = np.array([0, 1, -1])
    rows, far, recall = approximate(queries, features, 9, metric, own)
    expected, distances = nearest(queries, [features], 9, metric, own)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(far, distances, rtol=1e-4, atol=1e-4)
    assert recall == 1
    nothing = approximate(queries, features[:0], 3, metric)
    assert (nothing[0].shape, nothing[1].shape, nothing[2]) == ((3, 0), (3, 0), 1.0)
    assert approximate(queries[:0], features, 3, metric)[0].shape == (0, 3)


def test_without_faiss_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'cnnviz_widgets\[faiss\]'; search='exact'"):
        approximate(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32), 1)


# ------------------------------------------------------------------------------------------------ what an index adds


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
    with pytest.raises(ImageError, match="no file .*nowhere.*; nor is 'nowhere' an id of the set"):
        index.neighbors(["3", "nowhere"])
    with pytest.raises(ImageError, match="no file .*nowhere.*; nor is 'nowhere' an id of the set"):
        index.neighbors("nowhere")
    with pytest.raises(ValueError, match=r"features of '0' were not kept, but of \['5', '1'\]"):
        index.neighbors(["3"], "0")


# ------------------------------------------------------------------------------- what the features of photographs are good for


def crop_box(id: str) -> tuple[str, list[int]]:
    name, _, box = id.rpartition("@")
    return name, [int(edge) for edge in box.split(",")]


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
    print(f"nearest crop from the same photograph: pixels {pixels:.2f}, bn1 {first:.2f}, {hidden.name} {last:.2f}")
    assert last >= 0.85
    assert last >= first + 0.12
    assert last >= pixels + 0.3

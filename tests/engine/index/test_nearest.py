"""Exact neighbours are scikit-learn's, whatever the blocks; approximate ones tell how many of them they find."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from cnnviz_widgets.engine.index import neighbors
from cnnviz_widgets.engine.index.neighbors import Metric, approximate, nearest

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

"""Maps: they repeat, keep apart what is apart, place new images, tell how true they are, and outlive the session."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn import manifold

from cnnviz_widgets.engine.knobs import knob
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.engine.projections import PCA, TSNE, UMAP, Map, Projection
from cnnviz_widgets.engine.projections.neighborhoods import nearest, weights
from cnnviz_widgets.engine.projections.preparing import EXACT, Preparation, principal_components
from cnnviz_widgets.engine.projections.repulsion import OnGrid, Pairwise, Repulsion
from cnnviz_widgets.engine.projections.tsne import Attraction
from cnnviz_widgets.engine.store import StoreError

Floats = npt.NDArray[np.float32]
NEEDS_UMAP = pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
QUICK = [
    pytest.param(PCA(), id="PCA"),
    pytest.param(TSNE(20, iterations=250), id="TSNE"),
    pytest.param(UMAP(iterations=150), id="UMAP", marks=NEEDS_UMAP),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def clusters(n: int = 300, columns: int = 64, groups: int = 5, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features in groups, and each row's group."""
    random = np.random.default_rng(seed)
    group = np.arange(n) % groups
    centres = 6 * random.normal(size=(groups, columns)) / np.sqrt(columns)
    return (centres[group] + random.normal(size=(n, columns)) * 0.4).astype(np.float32), group


@pytest.fixture(scope="module")
def maps() -> Callable[[Projection], Map]:
    """The map of `clusters()`, made once for each projection."""
    known: dict[Projection, Map] = {}

    def made(projection: Projection) -> Map:
        if projection not in known:
            known[projection] = projection.fit(clusters()[0])
        return known[projection]

    return made


@pytest.mark.parametrize("projection", QUICK)
def test_a_map_has_a_point_for_each_image_and_fills_the_unit_square(
    projection: Projection, maps: Callable[[Projection], Map]
) -> None:
    made = maps(projection)
    assert made.points.shape == (300, 2)
    assert made.points.dtype == np.float32
    assert made.points.min() == 0
    assert made.points.max() == 1
    assert np.allclose((made.points.min(0) + made.points.max(0)) / 2, 0.5, atol=1e-6)
    assert made.finished
    assert made.projection == projection
    assert made.made_by
    # distances keep their proportions
    given, shown = np.ptp(made.positions, axis=0), np.ptp(made.points, axis=0)
    assert given[0] / given[1] == pytest.approx(shown[0] / shown[1], rel=1e-5)


@pytest.mark.parametrize("projection", QUICK)
def test_the_same_seed_gives_the_same_map_bit_for_bit(
    projection: Projection, maps: Callable[[Projection], Map]
) -> None:
    made = maps(projection)
    again = replace(projection).fit(clusters()[0].astype(np.float64))
    assert np.array_equal(again.points, made.points)
    assert again.key == made.key
    torch.set_num_threads(2)
    assert projection.recipe(made.features)["threads"] == 2
    if hasattr(projection, "seed"):
        other = replace(projection, seed=projection.seed + 1).fit(clusters()[0])
        assert not np.array_equal(other.points, made.points)
        assert other.key != made.key


def test_threads_repeat_too() -> None:
    torch.set_num_threads(2)
    features, _ = clusters(900)
    first, second = (TSNE(10, iterations=40).fit(features) for _ in range(2))
    assert np.array_equal(first.points, second.points)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("projection", QUICK)
def test_groups_stay_apart(projection: Projection, metric: str) -> None:
    features, group = clusters()
    made = replace(projection, metric=metric).fit(features)
    assert purity(made.points, group) > (0.9 if isinstance(projection, PCA) else 0.99)


def purity(points: Floats, group: npt.NDArray[np.int64]) -> float:
    """The share of points whose nearest group's centre is their own."""
    centres = np.stack([np.median(points[group == which], axis=0) for which in range(group.max() + 1)])
    far = np.square(points[:, None] - centres).sum(2)
    return float((far.argmin(1) == group).mean())


def test_the_metric_is_what_is_small() -> None:
    random = np.random.default_rng(0)
    features, _ = clusters(120)
    longer = features * random.uniform(0.1, 10, (120, 1)).astype(np.float32)
    same, other = (TSNE(10, iterations=150, metric=metric).fit(longer) for metric in ("cosine", "l2"))
    true = replace(same, points=other.points)  # the other map, measured by the cosine
    assert same.quality(5).trustworthiness > true.quality(5).trustworthiness + 0.05
    cosine = PCA(metric="cosine").fit(longer)
    plain = PCA().fit(features / np.linalg.norm(features, axis=1, keepdims=True))
    assert np.allclose(cosine.points, plain.points, atol=1e-4)


@pytest.mark.parametrize("projection", QUICK)
def test_the_map_unfolds_in_many_steps_and_stops_when_it_is_not_asked(projection: Projection) -> None:
    features, _ = clusters(60)
    states = list(projection.fitting(features))
    assert [state.done for state in states] == list(range(len(states)))
    assert states[-1].done == states[-1].total == projection.steps(60)
    assert len(states) == projection.steps(60) + 1
    assert all(state.result.points.shape == (60, 2) for state in states)
    if len(states) > 1:
        assert not np.array_equal(states[0].result.points, states[-1].result.points)
        assert not states[0].result.finished
        assert not np.shares_memory(states[-1].result.positions, states[-2].result.positions)
    fitting = projection.fitting(features)
    first = next(fitting)
    assert isinstance(first, Progress)
    assert np.array_equal(first.result.points, states[0].result.points)
    fitting.close()  # type: ignore[attr-defined]
    assert first.result.transform(features[:3]).shape == (3, 2)


@pytest.mark.parametrize("projection", QUICK)
def test_an_image_of_the_map_is_placed_near_its_point(
    projection: Projection, maps: Callable[[Projection], Map]
) -> None:
    made = maps(projection)
    features, _ = clusters()
    placed = made.transform(features)
    assert placed.shape == made.points.shape
    far = np.linalg.norm(placed - made.points, axis=1)
    assert np.median(far) < 0.02
    assert far.max() < 0.1
    assert made.places_by


@pytest.mark.parametrize("projection", QUICK)
def test_new_images_are_placed_in_their_group_each_on_its_own(
    projection: Projection, maps: Callable[[Projection], Map]
) -> None:
    made = maps(projection)
    # the same groups with other members
    features, group = clusters(350)
    random = np.random.default_rng(9)
    new = (features[:50] + 0.2 * random.normal(size=(50, 64))).astype(np.float32)
    together = made.transform(new)
    alone = np.concatenate([made.transform(row[None]) for row in new[:10]])
    assert np.allclose(together[:10], alone, atol=1e-4)
    known = made.points[np.square(together[:, None] - made.points).sum(2).argmin(1)]
    nearest_group = np.square(together[:, None] - made.points).sum(2).argmin(1) % 5
    assert (nearest_group == group[:50]).mean() > (0.9 if isinstance(projection, PCA) else 0.97)
    assert np.linalg.norm(together - known, axis=1).max() < 0.2
    assert made.transform(np.zeros((0, 64))).shape == (0, 2)
    with pytest.raises(ValueError, match="63 columns; the map was made of 64"):
        made.transform(new[:, :63])
    with pytest.raises(ValueError, match="row 1 are not finite"):
        made.transform(np.where(np.arange(50)[:, None] == 1, np.nan, new))


@pytest.mark.parametrize("projection", QUICK)
def test_a_saved_map_is_as_it_was(projection: Projection, maps: Callable[[Projection], Map], tmp_path: Path) -> None:
    made = maps(projection)
    features, _ = clusters()
    folder = made.save(tmp_path)
    assert folder.parent == tmp_path
    opened = Map.open(tmp_path, features)
    assert np.array_equal(opened.points, made.points)
    assert opened.projection == projection
    assert (opened.key, opened.made_by, opened.told, opened.finished) == (made.key, made.made_by, (), True)
    assert np.array_equal(opened.transform(features[:20] + 0.1), made.transform(features[:20] + 0.1))
    assert opened.quality(5).kept == made.quality(5).kept
    assert made.save(tmp_path) == folder
    assert len(list(folder.glob("*.safetensors"))) == 1


def test_maps_of_other_features_or_knobs_are_never_taken_for_each_other(
    tmp_path: Path, maps: Callable[[Projection], Map]
) -> None:
    features, _ = clusters()
    with pytest.raises(StoreError, match="no map in"):
        Map.open(tmp_path, features)
    flat = maps(PCA())
    flat.save(tmp_path)
    other = features.copy()
    other[17, 3] = np.nextafter(other[17, 3], 2)
    with pytest.raises(StoreError, match="of other features"):
        Map.open(tmp_path, other)
    with pytest.raises(StoreError, match=r"none by TSNE\(.*: PCA\("):
        Map.open(tmp_path, features, TSNE())
    turned = PCA(metric="cosine").fit(features)
    assert turned.save(tmp_path) != flat.save(tmp_path)
    with pytest.raises(StoreError, match="holds 2 maps of these features"):
        Map.open(tmp_path, features)
    assert np.array_equal(Map.open(tmp_path, features, PCA()).points, flat.points)
    assert np.array_equal(Map.open(tmp_path, features, PCA(metric="cosine")).points, turned.points)


def test_a_map_from_elsewhere_is_opened_and_told(tmp_path: Path) -> None:
    features, _ = clusters(40)
    torch.set_num_threads(2)
    made = PCA().fit(features)
    made.save(tmp_path)
    torch.set_num_threads(1)
    opened = Map.open(tmp_path, features)
    assert opened.told == ("made with 2 threads (here 1)",)
    assert opened.key == made.key
    PCA().fit(features).save(tmp_path)
    assert Map.open(tmp_path, features).told == ()


def test_a_map_that_was_stopped_says_so_when_it_is_opened(tmp_path: Path) -> None:
    features, _ = clusters(40)
    fitting = TSNE(5, iterations=30).fitting(features)
    states = [next(fitting) for _ in range(11)]
    states[-1].result.save(tmp_path)
    opened = Map.open(tmp_path, features)
    assert (opened.done, opened.total, opened.finished) == (10, 30, False)


@pytest.mark.parametrize("damage", ["arrays", "gone", "record", "json", "moved", "unknown"])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    features, _ = clusters(40)
    folder = PCA().fit(features).save(tmp_path)
    record, (arrays,) = folder / "map.json", folder.glob("*.safetensors")
    if damage == "arrays":
        data = bytearray(arrays.read_bytes())
        data[-1] ^= 1
        arrays.write_bytes(data)
    elif damage == "gone":
        arrays.unlink()
    elif damage == "record":
        record.write_text(record.read_text().replace('"done": 0', '"done": 1'))
    elif damage == "json":
        record.write_text("{")
    elif damage == "moved":
        folder.rename(tmp_path / "elsewhere")
    else:
        record.write_text(json.dumps([]))
    with pytest.raises(StoreError, match="damaged"):
        Map.open(tmp_path, features)


def test_a_projection_of_ones_own_has_all_of_it(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class _Columns(Projection):
        first: int = knob(0, low=0, high=8)

        def unfolding(self, values: Floats) -> Iterator[npt.NDArray[np.float64]]:
            yield values[:, self.first : self.first + 2].astype(np.float64)

    features, _ = clusters(50)
    made = _Columns(1).fit(features)
    assert np.linalg.norm(made.transform(features) - made.points, axis=1).max() < 0.2
    assert made.quality(5).k == 5

    @dataclass(frozen=True)
    class _Wrong(Projection):
        def unfolding(self, values: Floats) -> Iterator[npt.NDArray[np.float64]]:
            yield values[:, :3].astype(np.float64)

    with pytest.raises(ValueError, match=r"shape \(50, 3\); expected \(50, 2\)"):
        _Wrong().fit(features)


@pytest.mark.parametrize("projection", QUICK)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_few_images_give_a_plain_picture(projection: Projection, n: int, tmp_path: Path) -> None:
    features, _ = clusters(n)
    made = projection.fit(features)
    assert made.points.shape == (n, 2)
    assert np.isfinite(made.points).all()
    if n == 1:
        assert made.points.tolist() == [[0.5, 0.5]]
    else:
        assert len(np.unique(made.points, axis=0)) == n
    assert np.isfinite(made.transform(features + 0.1)).all()
    found = made.quality()
    assert found.k == (n - 1) // 2
    assert np.isnan(found.kept) == (n < 3)
    made.save(tmp_path)
    assert np.array_equal(Map.open(tmp_path, features).points, made.points)
    if isinstance(projection, TSNE):
        assert "perplexity" in made.told[0]
        assert f"{n} images are fewer" in made.told[0]
        assert next(projection.fitting(features)).told == made.told[0]


@pytest.mark.parametrize("projection", QUICK)
def test_identical_features_lie_in_the_middle(projection: Projection) -> None:
    for metric, factor in (("l2", 1.0), ("cosine", np.linspace(1, 3, 40)[:, None])):
        features = np.full((40, 700), 0.3) * factor
        *_, last = replace(projection, metric=metric).fitting(features)
        assert (last.result.points == 0.5).all()
        assert last.result.finished
        assert "are the same" in last.result.told[-1]
        assert np.isfinite(last.result.transform(features[:2])).all()
        assert np.isfinite(last.result.quality().kept)


@pytest.mark.parametrize("projection", QUICK)
def test_odd_features_give_a_map(projection: Projection) -> None:
    random = np.random.default_rng(0)
    some = random.normal(size=(60, 8))
    odd = {
        "one column": some[:, :1],
        "two columns": some[:, :2],
        "huge": some * 1e37,
        "tiny": some * 1e-37,
        "copies": np.repeat(some[:6], 10, axis=0),
        "an outlier": np.where(np.arange(60)[:, None] == 3, 1e30, some),
        "a row of zeros": np.where(np.arange(60)[:, None] == 3, 0, some),
        "one differs": np.where(np.arange(60)[:, None] == 3, some[:1], some[1:2]),
        "whole numbers": (some * 3).astype(np.int64),
        "half precision": some.astype(np.float16),
        "wide": random.normal(size=(60, 3000)),
    }
    if not isinstance(projection, PCA):
        projection = replace(projection, iterations=60)
    for metric in ("l2", "cosine"):
        for name, features in odd.items():
            made = replace(projection, metric=metric).fit(features)
            assert np.isfinite(made.points).all(), name
            assert np.isfinite(made.transform(features[:5])).all(), name
            assert np.isfinite(made.quality(5).trustworthiness), name
    line = PCA().fit(some[:, :1]).points
    assert (line[:, 1] == 0.5).all()


def test_features_that_are_none_are_told() -> None:
    some, _ = clusters(20)
    for features, told in (
        (np.zeros((0, 5)), r"\(0, 5\); expected at least one image"),
        (np.zeros((5, 0)), r"\(5, 0\); expected at least one image"),
        (some[0], r"\(64,\); expected \(n, C\).*features\[:, None\]"),
        (some[None], r"\(1, 20, 64\); expected"),
        (some.astype(complex), "complex"),
        (some.astype(str), "type"),
        (np.where(np.arange(20)[:, None] == 3, np.nan, some), "row 3 are not finite"),
        (
            np.where(np.arange(20)[:, None] > 9, np.inf, some),
            "rows 10, 11, 12, 13, 14 and 5 more are not finite.*isfinite",
        ),
        (some.astype(np.float64) * 1e200, "not finite"),
    ):
        for projection in (PCA(), TSNE()):
            with pytest.raises(ValueError, match=told):
                projection.fitting(features)
    assert np.array_equal(PCA().fit(torch.from_numpy(some)).points, PCA().fit(some).points)


def test_knobs_that_mean_nothing_are_told() -> None:
    for make in (
        lambda: TSNE(0.5),
        lambda: TSNE(float("nan")),
        lambda: TSNE(exaggeration=0.5),
        lambda: TSNE(learning_rate=-1),
        lambda: TSNE(iterations=0),
        lambda: TSNE(dimensions=0),
        lambda: TSNE(metric="manhattan"),
        lambda: UMAP(1),
        lambda: UMAP(min_dist=2),
        lambda: UMAP(iterations=-1),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
    with pytest.raises(TypeError):
        TSNE(perplexty=3)  # type: ignore[call-arg]


def test_a_missing_package_is_told_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "umap" else find(name, *more))
    with pytest.raises(ImportError, match=r"pip install 'cnnviz_widgets\[umap\]'"):
        UMAP().fitting(clusters()[0])


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_quality_is_scikit_learns_trustworthiness(metric: str, k: int, maps: Callable[[Projection], Map]) -> None:
    features, _ = clusters()
    made = replace(maps(PCA()), projection=PCA(metric=metric))
    found = made.quality(k, per_point=True)
    name = "euclidean" if metric == "l2" else "cosine"
    true = manifold.trustworthiness(features, made.points, n_neighbors=k, metric=name)
    assert found.trustworthiness == pytest.approx(true, abs=1e-5)
    assert found.trustworthiness_of.mean() == pytest.approx(found.trustworthiness)
    assert found.kept_of.mean() == pytest.approx(found.kept)
    far = [np.square(rows[:, None] - rows).sum(2) for rows in (unit(features, metric), made.points.astype(float))]
    sets = [[set(row[row != i][:k]) for i, row in enumerate(one.argsort(1))] for one in far]
    kept = [len(one & other) / k for one, other in zip(*sets, strict=True)]
    assert np.allclose(found.kept_of, kept)


def unit(features: Floats, metric: str) -> npt.NDArray[np.float64]:
    values = features.astype(np.float64)
    return values / np.linalg.norm(values, axis=1, keepdims=True) if metric == "cosine" else values


def test_quality_may_be_told_from_some_images(maps: Callable[[Projection], Map]) -> None:
    made = maps(PCA())
    whole, some = made.quality(7, per_point=True), made.quality(7, sample=60)
    assert len(whole.rows) == 300
    assert len(some.rows) == 60
    assert np.array_equal(some.kept_of, whole.kept_of[some.rows])
    assert np.allclose(some.trustworthiness_of, whole.trustworthiness_of[some.rows])
    assert "of the 7 nearest kept" in str(some)
    assert made.quality(1000).k == 149
    with pytest.raises(ValueError, match="k=0"):
        made.quality(0)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    random = np.random.default_rng(0)
    for shape in ((60, 20), (20, 60), (30, EXACT + 50)):
        raw = random.normal(size=shape) * np.linspace(3, 1, shape[1])
        centred = raw - raw.mean(0)
        found = principal_components(torch.from_numpy(centred).float(), 5).numpy()
        true = np.linalg.svd(centred, full_matrices=False)[2][:5]
        assert np.allclose(np.abs((found * true).sum(1)), 1, atol=1e-3)
        assert (np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1) > 0).all()


def test_components_of_large_tables_are_found_by_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnviz_widgets.engine.projections.preparing.EXACT", 10)
    features, _ = clusters(400, 200)
    centred = torch.from_numpy(features - features.mean(0))
    found = principal_components(centred, 4, seed=3)
    assert torch.equal(found, principal_components(centred, 4, seed=3))
    true = np.linalg.svd(centred.numpy(), full_matrices=False)[2][:4]
    assert np.allclose(np.abs((found.numpy() * true).sum(1)), 1, atol=1e-3)
    assert np.allclose((found @ found.T).numpy(), np.eye(4), atol=1e-4)


def test_preparing_keeps_distances_where_all_components_are_kept() -> None:
    features, _ = clusters(50, 12)
    preparation = Preparation.of(features, "l2", 50)
    values = preparation(features)
    true = np.linalg.norm(features[:, None] - features, axis=2)
    assert np.allclose(np.linalg.norm(values[:, None] - values, axis=2) * preparation.scale, true, atol=1e-4)
    assert np.allclose(values.mean(0), 0, atol=1e-5)


def test_neighbours_are_the_nearest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnviz_widgets.engine.projections.neighborhoods._PAIRS", 500)  # blocks of a few rows
    values = torch.from_numpy(clusters(90, 7)[0])
    rows, far = nearest(values, values, 4, themselves=True)
    all_far = torch.cdist(values.double(), values.double())
    all_far.fill_diagonal_(torch.inf)
    true, order = all_far.sort(1)
    assert torch.equal(rows, order[:, :4])
    assert torch.allclose(far.double(), true[:, :4], atol=1e-5)
    assert torch.equal(nearest(values[:5], values, 1)[0][:, 0], torch.arange(5))


@pytest.mark.parametrize("perplexity", [1.5, 5.0, 30.0])
def test_weights_have_the_perplexity_asked_for(perplexity: float) -> None:
    values = torch.from_numpy(clusters(200)[0]) * 1e4
    share = weights(nearest(values, values, 100, themselves=True)[1], perplexity)
    entropy = -(share * share.clamp(min=1e-300).log()).sum(1)
    assert torch.allclose(entropy.exp(), torch.full((200,), perplexity, dtype=torch.float64), rtol=1e-4)
    assert torch.allclose(share.sum(1), torch.ones(200, dtype=torch.float64))


@pytest.mark.parametrize(("extent", "least"), [(1e-4, 1e-5), (1.0, 1e-3), (20.0, 0.02), (100.0, 0.05)])
def test_forces_from_the_grid_are_those_of_all_pairs(extent: float, least: float) -> None:
    points = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * extent / 4
    on_grid = OnGrid(points, Repulsion()._kernel)
    places = torch.cat([points[:500], points[:200] * 0.9])
    potential, slope = on_grid.at(places)
    true_potential, true_slope = Pairwise(points).at(places)
    assert float(((potential - true_potential).abs() / true_potential).max()) < least
    assert float((slope - true_slope).norm(dim=1).mean() / true_slope.norm(dim=1).mean()) < least
    outside, _ = on_grid.at(points[:2] + 1000 * extent)
    assert outside.isfinite().all()


def test_the_gradient_is_that_of_the_divergence() -> None:
    """Attraction and repulsion against the Kullback-Leibler divergence itself, differentiated by torch."""
    values = torch.from_numpy(clusters(60)[0])
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    rows, far = nearest(values, values, 30, themselves=True)
    one_way = torch.zeros(60, 60, dtype=torch.float64).scatter_(1, rows, weights(far, 10.0))
    true = (one_way + one_way.T) / 120
    near = 1 / (1 + (points[:, None] - points).square().sum(2))
    near = near - torch.diag_embed(torch.diagonal(near))
    (true * (true.clamp(min=1e-300) / (near / near.sum()).clamp(min=1e-300)).log()).sum().backward()
    potential, slope = Repulsion().of(points.detach()).at(points.detach())
    found = 4 * (Attraction.of(values, 10.0).at(points.detach()) + slope / (2 * (potential.sum() - 60)))
    assert torch.allclose(found, points.grad, atol=1e-7)


@pytest.mark.parametrize("n", [500, 1000])
def test_a_map_is_as_good_as_scikit_learns(n: int) -> None:
    features, _ = clusters(n, groups=20)
    values = Preparation.of(features, "l2", 50)(features)
    theirs = manifold.TSNE(perplexity=15, random_state=0, max_iter=300).fit_transform(values)
    ours = TSNE(15, iterations=300).fit(features)
    true, found = (manifold.trustworthiness(values, points, n_neighbors=10) for points in (theirs, ours.points))
    assert found > true - 0.005


@pytest.mark.long
def test_a_large_map_keeps_its_neighbours() -> None:
    torch.set_num_threads(2)
    features, group = clusters(20_000, groups=50)
    made = TSNE().fit(features)
    assert made.quality().trustworthiness > 0.95
    assert purity(made.points, group) > 0.95


def members() -> list[Any]:
    return [
        pytest.param(kind, id=kind.__name__, marks=[NEEDS_UMAP] if kind is UMAP else [])
        for kind in Projection.members()
    ]


@pytest.mark.parametrize("kind", members())
def test_every_projection_works_at_each_end_of_its_sliders(kind: type[Projection]) -> None:
    from tests.contracts.test_families import variants

    features, _ = clusters(40, 9)
    for projection in variants(kind):
        for state in projection.fitting(features):
            if state.done == 60:
                break
        assert np.isfinite(state.result.points).all(), projection
        assert np.isfinite(state.result.transform(features[:4])).all(), projection

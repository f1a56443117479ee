"""Which units tell some images from the rest, against scikit-learn and a plain count; and the direction that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from cnnviz_widgets.engine import objectives
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex, telling
from cnnviz_widgets.engine.index.telling import Shared
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network

from .builds import build, module, network_of
from .kinds import pictures

GREYS = InputSpec(size=(1, 4, 4))


class Columns(nn.Module):
    """Gives, as its last hidden layer, pixels of the image: features that a test writes into it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.flatten = nn.Flatten()
        self.take = nn.Identity()
        self.head = nn.Linear(channels, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.take(self.flatten(images)[:, : self.channels]))


class ByPosition(nn.Module):
    """A dense layer that takes all positions of a map of two channels, 2 x 2 each."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv = nn.Conv2d(1, 2, 3, stride=2)
            self.act = nn.ReLU()
            self.head = nn.Linear(2 * 3 * 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.conv(images)).flatten(1))


def written(features: np.ndarray) -> ActivationIndex:
    """An index whose features are these numbers (n, C), C up to 16: multiples of 1/255 between 0 and 1."""
    pixels = np.zeros((len(features), 16), np.uint8)
    pixels[:, : features.shape[1]] = np.rint(features * 255)
    images = ImageSet.from_arrays(list(pixels.reshape(-1, 4, 4)))
    network = Network(Columns(features.shape[1]).eval(), GREYS)
    return ActivationIndex.build(network, images, k=1, features=["take"])


def drawn(count: int, columns: int, seed: int = 0) -> np.ndarray:
    """Few different values, so that many are equal."""
    return np.random.default_rng(seed).integers(0, 6, (count, columns)) / 255 * 20


def test_auc_effect_and_means_are_those_of_a_plain_count() -> None:
    features = drawn(30, 9)
    index = written(features)
    given = np.asarray(index.features("take"))
    chosen = [3, 4, 11, 20, 29]
    inside = np.isin(np.arange(30), chosen)
    found = index.telling_units([index.ids[row] for row in chosen], "take", k=9, by="either")
    assert (found.inside, found.rest, found.columns, found.left_out) == (5, 25, 9, "")
    told = 0
    for row in found:
        column = given[:, row.unit.channel].astype(np.float64)
        ours, others = column[inside], column[~inside]
        pairs = [(one > other) + 0.5 * (one == other) for one in ours for other in others]
        assert row.auc == pytest.approx(np.mean(pairs), abs=1e-12)
        assert row.auc == pytest.approx(roc_auc_score(inside, column), abs=1e-12)
        pooled = np.sqrt((4 * ours.var(ddof=1) + 24 * others.var(ddof=1)) / 28)
        assert row.effect == pytest.approx((ours.mean() - others.mean()) / pooled, rel=1e-9)
        assert (row.inside, row.rest) == (pytest.approx(ours.mean()), pytest.approx(others.mean()))
        assert row.sign == (1 if row.auc >= 0.5 else -1)
        told += 1
    assert told >= 8


def test_the_planted_units_are_found_in_both_directions() -> None:
    features = drawn(24, 12)
    chosen = [2, 7, 8, 15]
    features[:, 5] = features[:, 5] * 0.5
    features[chosen, 5] = 0.9
    features[:, 10] = 0.5 + features[:, 10]
    features[chosen, 10] = 0.1
    index = written(features)
    ids = [index.ids[row] for row in chosen]
    high, low, either = (index.telling_units(ids, "take", 3, by=by) for by in ("high", "low", "either"))
    assert (high[0].unit, high[0].auc, high[0].sign) == (index.network["take"][5], 1.0, 1)
    assert (low[0].unit, low[0].auc, low[0].sign) == (index.network["take"][10], 0.0, -1)
    assert low[0].effect < 0 < high[0].effect
    assert {row.unit.channel for row in either[:2]} == {5, 10}
    assert all(row.auc > 0.5 for row in high)
    assert all(row.auc < 0.5 for row in low)
    assert [row.auc for row in high] == sorted((row.auc for row in high), reverse=True)
    assert index.telling_units(list(reversed(ids)), "take", 3) == high
    assert repr(high).splitlines()[0] == "3 of 12 units of take that tell 4 images from 20"
    assert repr(high).splitlines()[1].startswith("  take[5]  AUC 1.000  d +")


def test_equal_areas_are_ranked_by_effect_then_by_channel() -> None:
    features = np.zeros((8, 4))
    noise = np.arange(8) % 3 / 255
    for column, step in enumerate((40, 120, 40, 200)):
        features[:, column] = noise
        features[:2, column] += step / 255
    index = written(features)
    found = index.telling_units(index.ids[:2], "take")
    assert [row.auc for row in found] == [1.0] * 4
    assert [row.unit.channel for row in found] == [3, 1, 0, 2]


def test_values_of_no_spread_have_an_infinite_effect_and_constant_columns_are_left_out() -> None:
    features = np.full((6, 3), 0.2)
    features[:2, 1] = 0.8
    features[:, 2] = [0.1, 0.3, 0.2, 0.4, 0.2, 0.3]
    index = written(features)
    found = index.telling_units(index.ids[:2], "take")
    assert (found[0].unit.channel, found[0].effect) == (1, np.inf)
    assert all(row.unit.channel != 0 for row in found)
    assert found.left_out == "1 unit has one and the same value; left out."
    low = index.telling_units(index.ids[2:], "take", by="low")
    assert (low[0].unit.channel, low[0].effect) == (1, -np.inf)


def test_one_image_can_be_told_from_one_other() -> None:
    index = written(np.array([[0.2, 0.8], [0.4, 0.4]]))
    found = index.telling_units(index.ids[0], "take")
    assert [(row.unit.channel, row.auc) for row in found] == [(1, 1.0)]
    assert (found.inside, found.rest) == (1, 1)


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index = written(drawn(20, 11))
    ids = index.ids[::3]
    whole, way = index.telling_units(ids, "take", 11), index.shared_direction(ids, "take")[1]
    monkeypatch.setattr(telling, "BLOCK", 45)
    assert index.telling_units(ids, "take", 11) == whole
    np.testing.assert_allclose(index.shared_direction(ids, "take")[1], way, rtol=1e-6)
    shared = Shared.of(index, ids, "take")
    monkeypatch.undo()
    assert (shared.inside, shared.rest) == pytest.approx((Shared.of(index, ids, "take").inside, shared.rest))


def test_features_by_position_are_neurons_and_the_direction_has_a_number_a_channel() -> None:
    network, images = network_of(ByPosition()), pictures(16)
    index = ActivationIndex.build(network, images, k=1)
    assert index.plan.flat == ("act",)
    maps = network.activations(images, "act")["act"].numpy()
    ids = index.ids[:5]
    found = index.telling_units(ids, k=18, by="either")
    assert len(found) > 5
    for row in found:
        channel, (y, x) = row.unit.channel, row.unit.position
        values = maps[:, channel, y, x]
        assert row.auc == pytest.approx(roc_auc_score(np.arange(16) < 5, values), abs=1e-12)
    layer, vector = index.shared_direction(ids)
    assert (layer, vector.shape) == (network["act"], (2,))
    means = maps.mean((2, 3), dtype=np.float64)
    expected = means[:5].mean(0) - means[5:].mean(0)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=1e-4)
    at, _ = Shared.of(index, ids).standing(index.features()[0])
    assert np.isfinite(at)
    frames = list(ascend(network, objectives.direction(layer, vector, 2), "lucid", steps=2))
    assert frames[-1].image.isfinite().all()


def test_the_direction_is_the_difference_of_the_means() -> None:
    index = written(drawn(40, 6))
    rows = [1, 5, 30]
    features = index.features("take").astype(np.float64)
    expected = features[rows].mean(0) - np.delete(features, rows, 0).mean(0)
    layer, vector = index.shared_direction([index.ids[row] for row in rows], "take")
    assert layer == index.network["take"]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    opposite = index.shared_direction([id for at, id in enumerate(index.ids) if at not in rows], "take")[1]
    np.testing.assert_allclose(opposite, -vector, atol=1e-6)


def test_the_chosen_stand_at_one_the_others_at_zero_and_a_climbed_image_beyond() -> None:
    network = network_of(module())
    index = build(None, network)
    ids = list(index.ids[:6])
    shared = Shared.of(index, ids)
    features = index.features()
    rows = [index.ids.index(id) for id in ids]
    others = [row for row in range(len(features)) if row not in rows]
    stands = np.array([shared.standing(one)[0] for one in features])
    assert (stands[rows].mean(), stands[others].mean()) == pytest.approx((1, 0), abs=1e-5)
    goal = objectives.direction(*index.shared_direction(ids))
    frames = list(ascend(network, goal, "none", steps=30))
    first, last = (
        shared.standing(
            index.plan.features_of(shared.layer, network.activations(frame.image, shared.layer)[shared.layer.name])[
                0
            ].numpy()
        )[0]
        for frame in (frames[0], frames[-1])
    )
    assert last > max(first, 0)


def test_what_is_not_finite_is_left_out_and_said() -> None:
    index = written(drawn(12, 5))
    stored = index.parts.features("take").copy()
    at = [index.row_of(id) for id in index.ids]
    stored[at[4]] = np.nan
    stored[at[7], 2] = np.inf
    index.parts._known = {"take": stored}
    found = index.telling_units(index.ids[:4], "take", by="either")
    assert found.left_out == (
        "The features of 1 image are not finite; left out. 1 unit has values that are not finite; left out."
    )
    assert (found.inside, found.rest, found.columns) == (4, 7, 4)
    assert all(row.unit.channel != 2 for row in found)
    shared = Shared.of(index, index.ids[:4], "take")
    assert shared.vector[2] == 0
    assert np.isfinite([*shared.vector, shared.inside, shared.rest, shared.cosine_rest]).all()
    with pytest.raises(ValueError, match="all images given are not finite numbers in 'take'"):
        index.telling_units(index.ids[4], "take")
    stored[at[:4]] = np.inf
    stored[at[:4], 0] = 1
    stored[at[5], 0] = np.nan
    with pytest.raises(ValueError, match="no unit of 'take' has finite values"):
        index.telling_units(index.ids[:4], "take")


@pytest.mark.parametrize("ask", ["telling_units", "shared_direction"])
def test_mistakes_are_told_with_what_mends_them(ask: str) -> None:
    index = written(drawn(8, 4))
    asked: Any = getattr(index, ask)
    with pytest.raises(ValueError, match=r"no ids were given; expected those of one image or more .* index\.ids"):
        asked([], "take")
    with pytest.raises(ValueError, match="all 8 images of the index were given; leave some out"):
        asked(index.ids, "take")
    with pytest.raises(UnknownNameError, match="no image 'owl'"):
        asked(["owl"], "take")
    with pytest.raises(ValueError, match=r"features of 'head' were not kept.*build\(features=\['head'\]\)"):
        asked(index.ids[:2], "head")
    with pytest.raises(ValueError, match="k=0; expected at least one unit"):
        index.telling_units(index.ids[:2], "take", 0)
    with pytest.raises(ValueError, match="by='up'; expected 'high', 'low', 'either'"):
        index.telling_units(index.ids[:2], "take", by="up")  # type: ignore[arg-type]


def test_an_image_that_was_not_measured_is_told() -> None:
    images = [np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8), np.full((8, 8), 9, np.uint8)]
    collection = ImageSet.from_arrays(images)
    for progress in ActivationIndex.building(network_of(module()), collection, k=1, batch=1, shard=1, workers=1):
        if progress.result is not None and 0 < progress.result.measured < 3:
            index = progress.result
            break
    missing = next(id for id in collection.ids if id not in index.rows_by_id)
    with pytest.raises(ImageError, match=f"the image '{missing}' was not measured"):
        index.telling_units([missing])


def test_equal_means_give_no_direction() -> None:
    index = written(np.tile([[0.2, 0.4], [0.6, 0.8]], (3, 1)))
    with pytest.raises(ValueError, match="the same mean in 'take', so no direction"):
        index.shared_direction(index.ids[:2], "take")
    assert len(index.telling_units(index.ids[:2], "take", by="either")) == 0

"""Units that answer a collection alike, against NumPy and a plain count; the labels a unit goes with, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.labels import FEWEST
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.index.test_telling import GREYS, ByPosition, Columns, written


def noise(count: int, size: tuple[int, int] = (8, 8)) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 256, (count, *size), dtype=np.uint8))


def convolutional() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))
    return Network(module.eval(), InputSpec(size=(1, 8, 8)))


def labelled(features: np.ndarray, labels: list[str], **more: Any) -> ActivationIndex:
    """As `written`, with labels."""
    pixels = np.zeros((len(features), 16), np.uint8)
    pixels[:, : features.shape[1]] = np.rint(features * 255)
    images = ImageSet.from_arrays(list(pixels.reshape(-1, 4, 4)), labels)
    network = Network(Columns(features.shape[1]).eval(), GREYS)
    return ActivationIndex.build(network, images, **{"k": 3, "features": ["take"], **more})


# units


def test_correlations_are_those_of_numpy_the_largest_first() -> None:
    index = written(np.random.default_rng(0).integers(0, 255, (25, 9)) / 255)
    layer, features = index.network["take"], np.asarray(index.features("take"), np.float64)
    found = index.similar_units(layer[4], 8)
    expected = np.corrcoef(features.T)[4]
    assert found.basis == "correlation"
    assert (found.images, found.units, found.chance, found.left_out) == (25, 8, 0.0, "")
    order = [int(at) for at in np.argsort(-expected) if at != 4 and expected[at] > 0]
    assert [one.unit for one in found] == [layer[at] for at in order]
    assert [one.likeness for one in found] == pytest.approx(expected[order])
    assert list(index.similar_units(layer[4], 2)) == list(found[:2])


def test_a_unit_with_the_same_values_is_found_and_its_opposite_is_not() -> None:
    values = np.random.default_rng(0).integers(0, 200, (20, 4)) / 255
    values[:, 2], values[:, 3] = values[:, 0] / 2, 200 / 255 - values[:, 0]
    values[:, 1] = np.roll(values[:, 1], 3)
    index = written(values)
    found = index.similar_units(index.network["take"][0])
    assert found[0].unit == index.network["take"][2]
    assert found[0].likeness > 0.999
    assert index.network["take"][3] not in [one.unit for one in found]


def test_units_that_never_change_are_left_out_and_told() -> None:
    values = np.random.default_rng(0).integers(0, 255, (20, 4)) / 255
    values[:, 1] = 0.2
    index = written(values)
    found = index.similar_units(index.network["take"][0])
    assert index.network["take"][1] not in [one.unit for one in found]
    assert found.left_out == "1 unit has one and the same value for all images; left out."
    assert found.units == 2
    assert len(index.similar_units(index.network["take"][1])) == 0


def test_values_that_are_not_finite() -> None:
    values = np.random.default_rng(0).integers(1, 255, (20, 3)) / 255
    index = written(values)
    features = np.asarray(index.features("take")).copy()
    features[3, 0], features[5, 1] = np.nan, np.inf
    index.parts._known = {"take": features}
    found = index.similar_units(index.network["take"][0])
    assert found.images == 19
    assert found.left_out == "1 unit has values that are not finite; left out."
    assert index.network["take"][1] not in [one.unit for one in found]


def test_two_images_make_no_correlation() -> None:
    index = written(np.random.default_rng(0).integers(0, 255, (2, 3)) / 255)
    with pytest.raises(ValueError, match="takes 3 images or more, the index has 2"):
        index.similar_units(index.network["take"][0])


def test_without_features_the_share_of_strongest_images_in_common() -> None:
    network = convolutional()
    index = ActivationIndex.build(network, noise(40), k=6)
    layer = network["0"]
    sets = [{match.id for match in index.top_images(unit)} for unit in layer]
    found = index.similar_units(layer[3], 11)
    assert (found.basis, found.images, found.chance) == ("top images", 6, 6 / 40)
    assert {one.unit.channel: one.likeness for one in found} == {
        at: pytest.approx(len(sets[3] & sets[at]) / 6) for at in range(12) if at != 3 and sets[3] & sets[at]
    }
    likeness = [one.likeness for one in found]
    assert likeness == sorted(likeness, reverse=True)
    assert "of the 6 strongest images in common; 0.15 by chance" in repr(found)


def test_silent_units_share_nothing_by_the_order_of_ids() -> None:
    """Their strongest images are those whose ids come first, since all are equal."""
    network = convolutional()
    with torch.no_grad():
        network.module[0].bias[[2, 5]] = -100.0
    index = ActivationIndex.build(network, noise(30), k=4)
    found = index.similar_units(network["1"][2])
    assert len(found) == 0
    assert "2 units have no image that stands out" in found.left_out
    silent = {network["1"][2], network["1"][5]}
    assert not silent & {one.unit for one in index.similar_units(network["1"][3])}


def test_features_position_by_position() -> None:
    network = Network(ByPosition().eval(), InputSpec(size=(1, 8, 8)))
    index = ActivationIndex.build(network, noise(30))
    layer = network.last_hidden
    features = np.asarray(index.features(layer), np.float64).reshape(30, 2, 9)
    assert network.last_hidden.positions == (3, 3)
    for unit, columns in (
        (layer[0, 1, 2], features[:, :, 5]),
        (layer[0, "center"], features[:, :, 4]),
        (layer[0], features.mean(2)),
    ):
        expected = np.corrcoef(columns.T)[0, 1]
        found = index.similar_units(unit)
        assert [one.likeness for one in found] == pytest.approx([expected] if expected > 0 else [])
        assert all(one.unit.position == unit.position for one in found)


def test_a_neuron_a_layer_that_is_not_there_and_no_number_are_told() -> None:
    network = convolutional()
    index = ActivationIndex.build(network, noise(10), layers=["0"])
    with pytest.raises(ValueError, match=r"is a neuron; the index holds channels: net\['0'\]\[1\]"):
        index.similar_units(network["0"][1, 2, 2])
    with pytest.raises(ValueError, match="'1' is not in the index"):
        index.similar_units(network["1"][1])
    for ask in (index.similar_units, index.labels_for):
        with pytest.raises(ValueError, match="k=0; expected at least one"):
            ask(network["0"][1], 0)


# labels


def test_labels_by_the_area_under_the_curve() -> None:
    drawn = np.random.default_rng(3)
    labels = [f"label {number}" for number in drawn.integers(0, 4, 40)]
    index = labelled(drawn.integers(0, 12, (40, 3)) / 255 * 20, labels)
    unit = index.network["take"][1]
    values = index.values(unit)
    found = index.labels_for(unit)
    expected = {name: roc_auc_score([label == name for label in labels], values) for name in set(labels)}
    assert found.basis == "values"
    assert {one.label: one.auc for one in found} == pytest.approx({k: v for k, v in expected.items() if v > 0.5})
    assert [one.auc for one in found] == sorted((one.auc for one in found), reverse=True)
    strongest = [index.images.labels[index.images.number(match.id)] for match in index.top_images(unit)]
    for one in found:
        assert one.images == labels.count(one.label)
        assert one.among == strongest.count(one.label)


def test_labels_with_few_images_are_left_out_and_told() -> None:
    labels = ["many"] * 8 + ["some"] * FEWEST + ["one"]
    values = np.linspace(0, 1, len(labels))[:, None].repeat(2, 1)
    index = labelled(values, labels)
    found = index.labels_for(index.network["take"][0])
    assert [one.label for one in found] == ["some"]
    assert found.left_out == f"1 label has fewer than {FEWEST} images; left out."


def test_where_all_labels_have_few_images_the_strongest_ones_tell() -> None:
    index = labelled(np.linspace(0, 1, 6)[:, None].repeat(2, 1), list("aabbcc"))
    found = index.labels_for(index.network["take"][0])
    assert found.basis == "top images"
    assert [(one.label, one.among, one.images) for one in found] == [("c", 2, 2), ("b", 1, 2)]
    assert "an AUC takes" in found.left_out


def test_without_features_the_labels_of_the_strongest_images() -> None:
    network, labels = convolutional(), ["even", "odd"] * 15
    index = ActivationIndex.build(network, ImageSet.from_arrays(noise(30), labels), k=5)
    found = index.labels_for(network["0"][2])
    strongest = [labels[int(match.id)] for match in index.top_images(network["0"][2])]
    assert (found.basis, found.strongest, found.images) == ("top images", 5, 30)
    assert {one.label: one.among for one in found} == {label: strongest.count(label) for label in set(strongest)}
    assert all(one.auc != one.auc and one.images == 15 for one in found)


def test_a_collection_without_labels_says_how_they_come() -> None:
    index = written(np.eye(5, 4))
    with pytest.raises(ValueError, match=r"has no labels; ImageSet\.from_folder"):
        index.labels_for(index.network["take"][0])


def test_an_index_in_files_answers_the_same(tmp_path: Any) -> None:
    network, images = convolutional(), ImageSet.from_arrays(noise(30), ["even", "odd"] * 15)
    here = ActivationIndex.build(network, images, k=5, features=["1"])
    ActivationIndex.build(network, images, k=5, features=["1"], path=tmp_path)
    there = ActivationIndex.open(tmp_path, network, images)
    for unit in (network["0"][2], network["1"][2]):
        assert repr(here.similar_units(unit)) == repr(there.similar_units(unit))
        assert repr(here.labels_for(unit)) == repr(there.labels_for(unit))

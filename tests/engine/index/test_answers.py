"""What an index answers, also while it is not complete, and what it says of mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.answers import ALIKE
from cnnviz_widgets.engine.index.plan import MOST_K
from cnnviz_widgets.engine.layers import Layer, Unit

from .kinds import (
    Repeated,
    drawn,
    network_of,
    next_to_each_other,
    pictures,
)
from .plainly import all_maps


def test_matches_levels_statistics_and_features_are_told_by_id() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16, features=["conv", "act"])
    maps = all_maps(network, images)
    unit = network["conv@2"][3]
    values = maps["conv@2"][:, 3].flatten(1).amax(1)
    ordered = sorted(images.ids, key=lambda id: (-float(values[images.number(id)]), id))
    matches = index.top_images(unit)
    assert [match.id for match in matches][:1] == ordered[:1]
    for match in matches:
        at = images.number(match.id)
        assert match.score == pytest.approx(float(values[at]), rel=1e-5)
        row, column = match.position
        assert float(maps["conv@2"][at, 3, row, column]) == pytest.approx(match.score, rel=1e-5)
    assert index.top_images(unit, 2) == matches[:2]
    told = index.statistics(unit)
    assert (told.images, told.dropped) == (41, 0)
    assert told.mean == pytest.approx(float(values.mean()), rel=1e-5)
    assert told.deviation == pytest.approx(float(values.std(correction=0)), rel=1e-4)
    assert told.fires == float((values > 0).float().mean())
    for level in index.spectrum(unit):
        value = float(values[images.number(level.id)])
        assert level.low - 1e-5 <= value < level.high + 1e-5
    assert [level.id for level in index.spectrum(unit, (1.0, 0.0))] == [ordered[0], ordered[-1]]
    for name in ("conv", "act"):
        expected = maps[name].mean((2, 3)).numpy()
        np.testing.assert_allclose(index.features(name), expected, rtol=1e-4, atol=1e-5)
    assert index.ids == images.ids


def test_mistakes_are_told_with_what_mends_them() -> None:
    network, images = network_of(drawn(Repeated)), pictures(12)
    with pytest.raises(UnknownNameError, match="no layer 'conw'; did you mean 'conv'"):
        ActivationIndex.build(network, images, ["conw"])
    for k in (0, MOST_K + 1):
        with pytest.raises(ValueError, match=f"k={k}; expected 1 to {MOST_K}"):
            ActivationIndex.build(network, images, k=k)
    with pytest.raises(ValueError, match="pool='median'; expected 'max' or 'mean'"):
        ActivationIndex.build(network, images, pool="median")  # type: ignore[arg-type]
    for batch, shard in ((0, 8), (8, 0), (8, 12)):
        with pytest.raises(ValueError, match=f"batch={batch}, shard={shard}; expected .* whole batches: shard="):
            ActivationIndex.build(network, images, batch=batch, shard=shard)
    index = ActivationIndex.build(network, images, k=3)
    unit = network["conv"][0]
    with pytest.raises(ValueError, match=r"k=4; the index keeps 3 images per unit: build\(k="):
        index.top_images(unit, 4)
    with pytest.raises(ValueError, match=r"conv\[0, 2, 2\] is a neuron; the index holds channels: net\['conv'\]\[0\]"):
        index.top_images(network["conv"][0, 2, 2])
    with pytest.raises(ValueError, match=r"shape \(99, 1, 1\); 'conv' has \(6, 16, 16\)"):
        index.top_images(Unit(Layer("conv", "Conv2d", (99, 1, 1)), 80))
    with pytest.raises(ValueError, match=r"share -0\.1; expected 0"):
        index.spectrum(unit, (-0.1,))
    with pytest.raises(ValueError, match=r"features of 'conv' were not kept, but of .* build\(features=\['conv'\]\)"):
        index.features("conv")
    with pytest.raises(TypeError):
        ActivationIndex.build(network, images, colour="red")


def test_units_for_an_image_are_those_that_answer_it_unusually() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    index = ActivationIndex.build(network, images, k=3)
    maps = all_maps(network, images)
    at = 17
    values = maps["conv@3"].flatten(2).amax(2).double()
    above = (values[at] - values.mean(0)) / values.std(0, correction=0)
    found = index.units_for(images.ids[at], "conv@3", k=4)
    assert [unit.channel for unit, _, _ in found] == above.argsort(descending=True)[:4].tolist()
    for unit, value, deviations in found:
        assert value == pytest.approx(float(values[at, unit.channel]), rel=1e-4)
        assert deviations == pytest.approx(float(above[unit.channel]), rel=1e-3)
    assert index.units_for(images[at], "conv@3", k=4) == found
    everywhere = index.units_for(images.ids[at], k=7)
    assert len(everywhere) == 7
    assert [d for *_, d in everywhere] == sorted((d for *_, d in everywhere), reverse=True)
    assert {unit.layer.name for unit, *_ in everywhere} <= {layer.name for layer in network.main_layers}
    other = ActivationIndex.build(network, images, ["stem"], k=3)
    assert {unit.layer.name for unit, *_ in other.units_for(images.ids[at])} == {"stem"}
    with pytest.raises(ValueError, match="'conv' is not in the index"):
        other.units_for(images.ids[at], "conv")
    with pytest.raises(ValueError, match="k=0; expected at least one unit"):
        index.units_for(images.ids[at], k=0)
    with pytest.raises(ImageError, match="2 images were given; expected one"):
        index.units_for([images[0], images[1]])


def test_near_duplicates_stand_for_each_other_on_demand() -> None:
    network, images = network_of(drawn(next_to_each_other)), pictures(12)
    index = ActivationIndex.build(network, images, k=12)
    features = dict(zip(index.ids, index.features() / np.linalg.norm(index.features(), axis=1)[:, None], strict=True))
    for name in ("0", "7"):
        plain, folded = (index.top_images(network[name][1], fold=fold) for fold in (False, True))
        expected: dict[str, list[str]] = {}
        for match in plain:
            like = next((id for id in expected if features[id] @ features[match.id] >= ALIKE), None)
            if like is None:
                expected[match.id] = []
            else:
                expected[like].append(match.id)
        assert {match.id: list(match.folded) for match in folded} == expected
        assert [match.id for match in folded] == list(expected)
        assert not {"3", "7"} <= set(expected)
        assert index.top_images(network[name][1], 2, fold=True) == folded[:2]
        first, second = (next(n for n, match in enumerate(plain) if match.id == id) for id in ("3", "7"))
        assert second == first + 1, "equal activations stand in the order of their ids"


def test_changed_weights_make_an_index_outdated() -> None:
    module = drawn(Repeated)
    network = network_of(module)
    index = ActivationIndex.build(network, pictures(4))
    assert not index.outdated()
    with torch.no_grad():
        module.conv.weight.mul_(2)
    assert "weights are no longer" in index.outdated()


def test_progress_grows_and_ends_at_the_total_and_results_are_fit_for_use() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    told, unit = [], network["conv"][0]
    for progress in ActivationIndex.building(network, images, k=3, batch=8, shard=16):
        told.append(progress.done)
        index = progress.result
        assert progress.total == 41
        assert index.looked_at <= progress.done
        assert index.complete == (index.looked_at == 41)
        assert index.statistics(unit).images == index.looked_at == len(index.ids) == len(index.features())
        assert len(index.top_images(unit)) == min(3, index.looked_at)
        assert ("so far" in repr(index)) == (index.looked_at < 41)
    assert told[0] == 0
    assert told == sorted(set(told))
    assert told[-1] == 41
    assert progress.left == 0

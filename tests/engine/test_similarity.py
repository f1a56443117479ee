"""Linear CKA against slow replicas of its formulas, layer by layer over a collection, and what training changes."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.changes import activation_similarities, weight_changes
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.similarity import LayerSimilarity, linear_cka
from tests.engine.intact import state_of
from tests.panels.networks import convolutional, dense, grey, untrained_resnet


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def greys(count: int, side: int = 8) -> list[Tensor]:
    return list(torch.rand(count, 1, 1, side, side, generator=torch.Generator().manual_seed(1)))


def wide() -> Network:
    """Another architecture on the same images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = nn.Sequential(nn.Conv2d(1, 9, 5), nn.ReLU(), nn.Flatten(), nn.Linear(144, 7))
    return Network(module.eval(), InputSpec(size=(1, 8, 8)))


def plain_hsic(x: Tensor, y: Tensor) -> float:
    """Kornblith et al. 2019, equation 3, with the centring matrix written out."""
    n = len(x)
    center = torch.eye(n, dtype=x.dtype) - torch.ones(n, n, dtype=x.dtype) / n
    return float(torch.trace(x @ x.T @ center @ y @ y.T @ center)) / (n - 1) ** 2


def debiased_hsic(x: Tensor, y: Tensor) -> float:
    """Song et al. 2012, equation 5, sum by sum."""
    n = len(x)
    k, m = (one @ one.T * (1 - torch.eye(n, dtype=x.dtype)) for one in (x, y))
    trace = float(sum(k[i, j] * m[j, i] for i, j in itertools.product(range(n), repeat=2)))
    sums = float(k.sum() * m.sum()) / ((n - 1) * (n - 2))
    cross = float(sum(k[i, j] * m[j, q] for i, j, q in itertools.product(range(n), repeat=3)))
    return (trace + sums - 2 / (n - 2) * cross) / (n * (n - 3))


@pytest.mark.parametrize(("debiased", "hsic"), [(False, plain_hsic), (True, debiased_hsic)])
def test_the_formula_of_the_paper(debiased: bool, hsic) -> None:  # type: ignore[no-untyped-def]
    x, y = noise(9, 5) + 3, noise(9, 7, seed=1) - 2
    y[:, :3] += x[:, :3]
    expected = hsic(x, y) / math.sqrt(hsic(x, x) * hsic(y, y))
    assert linear_cka(x, y, debiased=debiased) == pytest.approx(expected, rel=1e-9)


def test_rotation_scale_and_shift_change_nothing() -> None:
    x = noise(12, 6)
    turn, _ = torch.linalg.qr(noise(6, 6, seed=2))
    for debiased in (False, True):
        assert linear_cka(x, 4 * x @ turn + 10, debiased=debiased) == pytest.approx(1)


def test_unrelated_features_are_near_zero_only_without_the_bias() -> None:
    x, y = noise(10, 2000), noise(10, 2000, seed=3)
    assert linear_cka(x, y) > 0.9
    assert abs(linear_cka(x, y, debiased=True)) < 0.2


def test_features_that_do_not_vary_have_no_value() -> None:
    assert math.isnan(linear_cka(torch.full((6, 3), 7.3), noise(6, 3)))
    assert math.isnan(linear_cka(torch.full((6, 3), 7.3), noise(6, 3), debiased=True))


def test_rows_must_fit() -> None:
    with pytest.raises(ValueError, match="5 rows and 6 were given"):
        linear_cka(noise(5, 2), noise(6, 2))
    with pytest.raises(ValueError, match="3 rows were given; expected 4 or more"):
        linear_cka(noise(3, 2), noise(3, 2), debiased=True)


@pytest.mark.parametrize("debiased", [False, True])
def test_the_map_is_the_cka_of_each_pair_whatever_the_batches(debiased: bool) -> None:
    first, second = grey(), wide()
    images = greys(11)
    found = LayerSimilarity.build(first, second, images, places=None, debiased=debiased, batch=4)
    assert found.rows == tuple(layer.name for layer in first.main_layers)
    assert found.columns == tuple(layer.name for layer in second.main_layers)
    for row, column in itertools.product(found.rows, found.columns):
        one = torch.cat([first.activations(image, row)[row] for image in images])
        other = torch.cat([second.activations(image, column)[column] for image in images])
        value = found.values[found.rows.index(row), found.columns.index(column)]
        assert value == pytest.approx(linear_cka(one, other, debiased=debiased), abs=1e-4)


def test_pooled_maps_are_averaged_over_a_grid() -> None:
    net = grey()
    images = greys(8)
    found = LayerSimilarity.build(net, net, images, rows=["0"], columns=["2"], places=2)
    one, other = (torch.cat([net.activations(image, name)[name] for image in images]) for name in ("0", "2"))
    halves = [nn.functional.adaptive_avg_pool2d(values, 2) for values in (one, other)]
    assert found.values[0, 0] == pytest.approx(linear_cka(*halves, debiased=True), abs=1e-4)


def test_progress_tells_what_the_images_so_far_give() -> None:
    net = grey()
    images = greys(10)
    told = list(LayerSimilarity.building(net, net, images, batch=4))
    assert [(step.done, step.total, step.result.images) for step in told] == [(4, 10, 4), (8, 10, 8), (10, 10, 10)]
    assert told[1].result.values == pytest.approx(LayerSimilarity.build(net, net, images[:8]).values, abs=1e-5)
    early = next(LayerSimilarity.building(net, net, images, batch=2))
    assert np.isnan(early.result.values).all()


def test_a_network_is_most_like_itself() -> None:
    net = untrained_resnet()
    images = list(torch.rand(8, 1, 3, 64, 64, generator=torch.Generator().manual_seed(2)))
    found = LayerSimilarity.build(net, net, images)
    assert np.diagonal(found.values) == pytest.approx(1, abs=1e-5)
    assert found.values == pytest.approx(found.values.T, abs=1e-5)
    assert np.nanmax(found.values) <= 1 + 1e-5


def test_best_names_the_likest_and_leaves_out_what_has_no_value() -> None:
    values = np.array([[0.1, 0.9], [np.nan, np.nan], [0.7, np.nan]])
    assert LayerSimilarity(("a", "b", "c"), ("p", "q"), values, 9).best() == {"a": "q", "c": "p"}


def test_ended_early_it_leaves_the_modules_as_they_were() -> None:
    net = grey()
    before = state_of(net.module)
    building = LayerSimilarity.building(net, net, greys(10), batch=4)
    next(building)
    building.close()
    assert state_of(net.module) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [({"batch": 0}, "batch=0; expected 1 or more"), ({"places": 0}, "places=0"), ({"rows": []}, "no layer was given")],
)
def test_numbers_out_of_range(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LayerSimilarity.build(grey(), grey(), greys(6), **options)


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="3 images were given; layers are compared over 4 or more"):
        LayerSimilarity.build(grey(), grey(), greys(3))


def test_weight_changes_replicated_layer_by_layer() -> None:
    first = grey()
    second = Network(copy.deepcopy(first.module), first.input, first.labels)
    with torch.no_grad():
        for parameter in second.module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    found = weight_changes(first, second)
    assert list(found) == ["0", "2", "3", "7"]
    for name, value in found.items():
        old, new = (
            torch.cat([p.detach().flatten() for p in network.module.get_submodule(name).parameters()])
            for network in (first, second)
        )
        assert value == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-5)
    assert set(weight_changes(first, first).values()) == {0.0}


def test_weights_of_a_parametrization_are_their_layers() -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 3, 3)), nn.ReLU())
    later = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.mul_(2)
    spec = InputSpec(size=(1, 8, 8))
    assert weight_changes(Network(module, spec), Network(later, spec)) == {"0": pytest.approx(1.0)}


def test_what_was_zero_before_changed_infinitely() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU())
    nn.init.zeros_(module[0].weight)  # type: ignore[arg-type]
    later = copy.deepcopy(module)
    nn.init.ones_(later[0].weight)  # type: ignore[arg-type]
    spec = InputSpec(size=(1, 8, 8))
    assert weight_changes(Network(module, spec), Network(later, spec)) == {"0": math.inf}
    assert weight_changes(Network(module, spec), Network(module, spec)) == {"0": 0.0}


def test_two_architectures_have_no_weight_changes() -> None:
    with pytest.raises(ValueError, match=r"no checkpoints of one architecture: the parameter '0\.weight' is"):
        weight_changes(grey(), convolutional())
    with pytest.raises(ValueError, match=r"is not in the first"):
        weight_changes(Network(nn.Sequential(nn.ReLU()), InputSpec(size=(1, 8, 8))), grey())


@pytest.mark.parametrize("measure", ["cosine", "cka"])
def test_activations_of_one_checkpoint_are_the_same(measure: str) -> None:
    net = grey()
    found = activation_similarities(net, net, greys(1)[0], measure)
    assert list(found.values()) == pytest.approx([1.0] * len(found))
    # a dense layer has no places
    assert ("7" in found) == (measure == "cosine")


def test_activations_replicated() -> None:
    first = grey()
    second = Network(copy.deepcopy(first.module), first.input)
    with torch.no_grad():
        second.module[0].weight.mul_(-1)  # type: ignore[index,operator,union-attr]
    image = greys(1)[0]
    one, other = (network.activations(image, "1")["1"][0] for network in (first, second))
    cosine = nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)
    assert activation_similarities(first, second, image)["1"] == pytest.approx(float(cosine), abs=1e-6)
    places = [values.flatten(1).T for values in (one, other)]
    assert activation_similarities(first, second, image, "cka")["1"] == pytest.approx(linear_cka(*places), abs=1e-6)


def test_activations_ask_for_one_image_a_measure_and_a_common_layer() -> None:
    net = grey()
    with pytest.raises(ValueError, match="measure='angle'"):
        activation_similarities(net, net, greys(1)[0], "angle")
    with pytest.raises(ValueError, match="2 images were given"):
        activation_similarities(net, net, torch.cat(greys(2)))
    with pytest.raises(ValueError, match="no main layer of the first network is in the second"):
        activation_similarities(net, convolutional(), greys(1)[0])
    with pytest.raises(ValueError, match="has maps of 4 places"):
        activation_similarities(dense(), dense(), greys(1)[0], "cka")

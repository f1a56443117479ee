"""Tiles of two networks in one order on one scale, their difference, and whether two networks agree on an image."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine import comparison, filters
from cnnviz_widgets.engine.network import InputSpec, Network
from tests.panels.networks import convolutional, grey


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classifier(labels: list[str] | None, scores: list[float], name: str = "net") -> Network:
    """Gives these scores whatever it sees."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, len(scores)))
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].bias.copy_(torch.tensor(scores))  # type: ignore[operator]
    return Network(module, InputSpec(size=(1, 8, 8)), labels, name=name)


def test_a_channel_is_at_the_same_place_on_both_sides() -> None:
    first, second = noise(5, 4, 4), noise(7, 6, 6, seed=1)
    sides = comparison.maps(first, second, order="strength")
    strong = np.argsort(-first.mean((1, 2)).numpy(), kind="stable")
    assert sides.first.order.tolist() == strong.tolist()
    assert sides.second.order.tolist() == [*strong.tolist(), 5, 6]
    fewer = comparison.maps(second, first, order="strength")
    assert fewer.second.order.tolist() == [channel for channel in fewer.first.order if channel < 5]
    assert sides.difference is None
    assert sides.change is None


@pytest.mark.parametrize("scale", ["channel", "layer"])
@pytest.mark.parametrize("colormap", ["viridis", "RdBu_r"])
def test_one_range_for_both_means_the_same_values(scale: str, colormap: str) -> None:
    first, second = noise(4, 5, 5), 3 * noise(6, 5, 5, seed=2) + 1
    sides = comparison.maps(first, second, scale=scale, shared=True, colormap=colormap)  # type: ignore[arg-type]
    both = 4 if scale == "channel" else 6
    ranges = [np.resize(tiles.ranges, (6, 2))[:4] for tiles in (sides.first, sides.second)]
    assert ranges[0].tolist() == ranges[1].tolist()
    for tiles, maps in ((sides.first, first), (sides.second, second)):
        span = (tiles.ranges[:, 1] - tiles.ranges[:, 0]).max()
        assert np.abs(tiles.values() - maps.numpy()).max() <= span / 255
    own = comparison.maps(first, second, scale=scale, colormap=colormap)  # type: ignore[arg-type]
    assert own.first.ranges[:both].tolist() != own.second.ranges[: len(own.first.ranges[:both])].tolist()


def test_the_difference_is_the_second_minus_the_first() -> None:
    first, second = noise(4, 5, 5), noise(4, 5, 5, seed=3)
    sides = comparison.maps(first, second, order="strength", shared=True)
    assert sides.difference is not None
    moved = (second - first).numpy()[sides.first.order]
    low, high = sides.difference.ranges[:, 0], sides.difference.ranges[:, 1]
    assert low.tolist() == (-high).tolist()
    assert np.abs(sides.difference.values() - moved).max() <= high.max() / 127
    assert sides.change == pytest.approx(float((second - first).norm() / first.norm()))
    assert comparison.maps(first, first).change == 0
    assert comparison.maps(torch.zeros(2, 3, 3), torch.ones(2, 3, 3)).change == math.inf


def test_what_is_not_finite_is_drawn_all_the_same() -> None:
    first = noise(3, 4, 4)
    first[0, 0, 0] = math.nan
    first[1, 0, 0] = math.inf
    sides = comparison.maps(first, noise(3, 4, 4, seed=4), shared=True)
    assert sides.first.nonfinite.tolist() == [1, 1, 0]
    assert np.isfinite(sides.first.ranges).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [({"scale": "tile"}, "scale must be"), ({"order": "size"}, "order must be"), ({"colormap": "jet"}, "jet")],
)
def test_options_that_do_not_exist(options: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        comparison.maps(noise(2, 3, 3), noise(2, 3, 3), **options)  # type: ignore[arg-type]


def test_maps_must_be_maps() -> None:
    with pytest.raises(ValueError, match="the maps of one image have shape"):
        comparison.maps(noise(2, 3, 3), noise(4))


def test_kernels_follow_the_order_of_the_first() -> None:
    first, second = noise(6, 3, 5, 5), noise(6, 3, 5, 5, seed=5)
    sides = comparison.kernels(first, second, order="norm")
    order = filters.ordering(first, "norm")
    assert sides.first.order.tolist() == sides.second.order.tolist() == order.tolist()
    assert sides.difference is not None
    assert sides.difference.order.tolist() == order.tolist()
    assert sides.difference.pixels.shape == (6, 5, 5, 3)
    expected = filters.tiles(second - first, filters=order)
    assert (sides.difference.pixels == expected.pixels).all()


def test_kernels_of_other_shapes_have_no_difference() -> None:
    for second, groups in ((noise(8, 3, 3, 3), (1, 1)), (noise(6, 1, 5, 5), (1, 6)), (noise(6, 4, 1, 1), (1, 1))):
        sides = comparison.kernels(noise(6, 3, 5, 5), second, groups=groups, limit=20)
        assert sides.difference is None
        assert len(sides.first) == 6
    assert sides.second.rows is not None


def test_a_picture_holds_all_of_them() -> None:
    sides = comparison.maps(noise(4, 5, 5), noise(4, 5, 5, seed=6))
    single = sides.first.picture(columns=sides.first.default_columns())
    assert sides.picture().size == (3 * single.width + 2 * 16, single.height)
    assert sides._repr_png_()[:4] == b"\x89PNG"  # type: ignore[index]


IMAGE = torch.zeros(1, 8, 8)


def test_networks_agree() -> None:
    first = classifier(["cat", "dog", "owl"], [2.0, 1.0, 0.0])
    second = classifier(["owl", "cat", "dog"], [0.0, 2.0, 1.0])
    found = comparison.classes(first, second, IMAGE)
    assert [name for name, _ in found.first] == [name for name, _ in found.second] == ["cat", "dog", "owl"]
    assert found.units == ((0, 1, 2), (1, 2, 0))
    assert found.overlap == pytest.approx(1)
    assert found.told == (
        "Both take it for cat: the first with 66.5%, the second with 66.5%. 3 of the first 3 classes are the same; "
        "100.0% of the probability is."
    )


def test_networks_disagree() -> None:
    first = classifier(["cat", "dog", "owl"], [2.0, 1.0, 0.0])
    second = classifier(["cat", "dog", "owl"], [0.0, 1.0, 2.0])
    found = comparison.classes(first, second, IMAGE, k=1)
    chances = [
        network.probabilities(torch.tensor([scores]))[0]
        for network, scores in ((first, [2.0, 1, 0]), (second, [0, 1, 2.0]))
    ]
    assert found.overlap == pytest.approx(float(torch.minimum(*chances).sum()))
    assert found.told.startswith(
        "They disagree: the first for cat (66.5%; 9.0% for the second), the second for owl (66.5%; "
    )
    assert "0 of the first 1 classes are the same" in found.told


def test_classes_that_only_some_know() -> None:
    first = classifier(["cat", "dog"], [1.0, 0.0])
    second = classifier(["eel", "dog"], [1.0, 0.0])
    found = comparison.classes(first, second, IMAGE)
    assert found.overlap is None
    assert "unknown to the second" in found.told
    stranger = classifier(["x", "y"], [1.0, 0.0])
    assert "no class names in common" in comparison.classes(first, stranger, IMAGE).told
    assert "no class names in common" in comparison.classes(first, classifier(None, [1.0, 0.0]), IMAGE).told


def test_two_classes_of_one_name_count_together() -> None:
    first = classifier(["crane", "dog", "crane"], [0.0, 0.0, 0.0])
    second = classifier(["dog", "crane"], [0.0, math.log(2)])
    assert comparison.classes(first, second, IMAGE).overlap == pytest.approx(1)


def test_numbers_are_classes_where_there_are_as_many() -> None:
    first, second = classifier(None, [0.0, 1.0]), classifier(None, [0.0, 1.0])
    assert comparison.classes(first, second, IMAGE).overlap == pytest.approx(1)
    assert comparison.classes(first, classifier(None, [0.0, 1.0, 2.0]), IMAGE).overlap is None


def test_classes_ask_for_classifiers_and_one_image() -> None:
    with pytest.raises(ValueError, match="the second network, convolutional, gives no class scores"):
        comparison.classes(grey(), convolutional(), IMAGE)
    with pytest.raises(ValueError, match="2 images were given"):
        comparison.classes(grey(), grey(), torch.zeros(2, 1, 8, 8))


def test_the_strongest_units_stand_beside_those_that_answer_to_them() -> None:
    first = classifier(["cat", "dog", "owl"], [2.0, 1.0, 0.0])
    second = classifier(["owl", "cat", "eel"], [5.0, 6.0, 7.0])
    found = comparison.strongest(first, second, IMAGE, first.output)
    assert found.first == (("cat", 2.0), ("dog", 1.0), ("owl", 0.0))
    assert found.second == (("cat", 6.0), ("owl", 5.0))
    assert found.units == ((0, 1, 2), (1, 0))
    stranger = classifier(["x", "y"], [1.0, 3.0])
    assert comparison.strongest(first, stranger, IMAGE, first.output).second == (("y", 3.0), ("x", 1.0))


def test_the_strongest_of_a_hidden_layer() -> None:
    net = grey()
    other = Network(copy.deepcopy(net.module), net.input)
    found = comparison.strongest(net, other, torch.rand(1, 8, 8), "5", k=3)
    assert len(found.first) == 3
    assert found.first == found.second
    assert all(name == f"unit {unit}" for (name, _), unit in zip(found.first, found.units[0], strict=True))


def test_a_unit_is_listed_that_is_not_among_the_strongest() -> None:
    first = classifier(["cat", "dog", "owl"], [2.0, 1.0, 0.0])
    second = classifier(["owl", "cat", "eel"], [5.0, 6.0, 7.0])
    found = comparison.strongest(first, second, IMAGE, first.output, k=1, also=2)
    assert (found.first, found.second) == ((("cat", 2.0), ("owl", 0.0)), (("cat", 6.0), ("owl", 5.0)))
    assert found.units == ((0, 2), (1, 0))
    assert comparison.strongest(first, second, IMAGE, first.output, k=1, also=0).first == (("cat", 2.0),)
    with pytest.raises(IndexError, match="3"):
        comparison.strongest(first, second, IMAGE, first.output, also=3)

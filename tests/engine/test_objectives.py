"""What an objective scores, and how it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import (
    Objective,
    activation,
    deep_dream,
    direction,
    diversity,
    logit,
    others,
    probability,
)
from cnnviz_widgets.engine.steppers import Constant

CONV = Layer("conv", "Conv2d", (4, 3, 5))
DENSE = Layer("head", "Linear", (6,))
LAST = Layer("norm", "LayerNorm", (3, 5, 4), channel_axis=2)
VALUES = {
    "conv": torch.arange(2 * 4 * 3 * 5, dtype=torch.float32).view(2, 4, 3, 5),
    "head": torch.arange(12, dtype=torch.float32).view(2, 6),
    "norm": torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).view(2, 3, 5, 4),
}
A, B, C = activation(CONV[0]), activation(CONV[1]), activation(DENSE[2])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_score_of_a_channel_a_position_and_a_logit() -> None:
    assert torch.equal(activation(CONV[1])(VALUES), VALUES["conv"][:, 1].mean((1, 2)))
    assert torch.equal(activation(CONV[1, 2, 4])(VALUES), VALUES["conv"][:, 1, 2, 4])
    assert torch.equal(activation(CONV[1, "center"])(VALUES), VALUES["conv"][:, 1, 1, 2])
    assert torch.equal(activation(DENSE[5])(VALUES), VALUES["head"][:, 5])


def test_channels_kept_last_count_as_channels() -> None:
    assert torch.equal(activation(LAST[3])(VALUES), VALUES["norm"][..., 3].mean((1, 2)))
    assert torch.equal(activation(LAST[3, 2, 4])(VALUES), VALUES["norm"][:, 2, 4, 3])


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (A + B, 1 * A(VALUES) + B(VALUES)),
        (A - 0.3 * B, A(VALUES) - 0.3 * B(VALUES)),
        (A - (B - C), A(VALUES) - B(VALUES) + C(VALUES)),
        (-(A + B) * 2, -2 * (A(VALUES) + B(VALUES))),
        (sum([A, B, C]), A(VALUES) + B(VALUES) + C(VALUES)),
        (np.float32(2.0) * A, 2 * A(VALUES)),
        (A * np.int64(3), 3 * A(VALUES)),
    ],
)
def test_arithmetic(goal: Objective, expected: torch.Tensor) -> None:
    assert torch.allclose(goal(VALUES), expected)


@pytest.mark.parametrize(
    ("goal", "printed"),
    [
        (A + B, "conv[0] + conv[1]"),
        (A - 0.3 * B, "conv[0] - 0.3 * conv[1]"),
        (A - B, "conv[0] - conv[1]"),
        (A - (B + C), "conv[0] - (conv[1] + head[2])"),
        (2 * (A + B), "2 * (conv[0] + conv[1])"),
        (2 * (3 * A), "6 * conv[0]"),
        (-A, "-conv[0]"),
        (1234567 * A, "1234567 * conv[0]"),
        (-0.5 * activation(CONV[1, "center"]) + C, "-0.5 * conv[1, center] + head[2]"),
    ],
)
def test_it_prints_as_typed(goal: Objective, printed: str) -> None:
    assert repr(goal) == printed


def test_it_names_each_unit_and_layer_once() -> None:
    goal = A - 2 * B + C + A
    assert goal.units == (CONV[0], CONV[1], DENSE[2])
    assert goal.layers == ("conv", "head")


def test_equal_objectives_are_equal() -> None:
    assert A + 2 * B == activation(CONV[0]) + 2 * activation(CONV[1]) != A + 3 * B
    assert len({A, activation(CONV[0]), B}) == 2


@pytest.mark.parametrize("wrong", [lambda: A + 3, lambda: A * B, lambda: A * "2", lambda: 1 + A, lambda: A - CONV[0]])
def test_what_is_no_arithmetic_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError):
        wrong()  # type: ignore[operator]


def test_only_units_and_objectives_are_goals() -> None:
    assert Objective.ensure(CONV[0]) == A
    assert Objective.ensure(A) is A
    with pytest.raises(TypeError, match=r"17 was given; expected a unit, as net\['layer'\]\[17\]"):
        Objective.ensure(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a unit"):
        activation(CONV)  # type: ignore[arg-type]


DRAWN = {name: torch.randn(values.shape, generator=torch.Generator().manual_seed(5)) for name, values in VALUES.items()}
VECTOR = [0.5, -1.0, 2.0, 0.25]


def first(name: str) -> np.ndarray:
    """A drawn layer with its channels first, (B, C, positions)."""
    values = DRAWN[name].double().numpy()
    values = np.moveaxis(values, 3, 1) if name == "norm" else values
    return values.reshape(*values.shape[:2], -1)


def cosine_by_position(values: np.ndarray, power: float) -> list[float]:
    scores = []
    for image in values:
        found = []
        for at in range(image.shape[1]):
            dot = float(np.dot(image[:, at], VECTOR))
            cosine = dot / (np.linalg.norm(image[:, at]) * np.linalg.norm(VECTOR))
            found.append(dot * max(cosine, 0.1) ** power)
        scores.append(float(np.mean(found)))
    return scores


def unlikeness(values: np.ndarray) -> list[float]:
    grams = [(image @ image.T).ravel() for image in values]
    grams = [gram / np.linalg.norm(gram) for gram in grams]
    return [
        -float(np.mean([one @ grams[other] for other in range(len(grams)) if other != number]))
        for number, one in enumerate(grams)
    ]


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (activation(CONV[1], reduce="max"), first("conv")[:, 1].max(1)),
        (activation(LAST[2], reduce="max"), first("norm")[:, 2].max(1)),
        (activation(DENSE[1], reduce="max"), first("head")[:, 1, 0]),
        (logit(DENSE[4]), first("head")[:, 4, 0]),
        (deep_dream(CONV), np.mean(first("conv") ** 2, (1, 2))),
        (deep_dream(DENSE), np.mean(first("head") ** 2, (1, 2))),
        (direction(CONV, VECTOR), [np.mean(np.array(VECTOR) @ image) for image in first("conv")]),
        (direction(LAST, VECTOR), [np.mean(np.array(VECTOR) @ image) for image in first("norm")]),
        (direction(CONV, np.array(VECTOR), 2.0), cosine_by_position(first("conv"), 2.0)),
        (direction(LAST, torch.tensor(VECTOR), 0.5), cosine_by_position(first("norm"), 0.5)),
        (direction(DENSE, range(6)), first("head")[:, :, 0] @ np.arange(6)),
        (probability(DENSE[3]), np.exp(first("head")[:, 3, 0]) / np.exp(first("head")[:, :, 0]).sum(1)),
        (others(CONV[1]), np.delete(first("conv"), 1, axis=1).mean((1, 2))),
        (others(CONV[1], "max"), np.delete(first("conv"), 1, axis=1).mean(2).max(1)),
        (others(LAST[0, 1, 2], "max"), np.delete(first("norm"), 0, axis=1)[:, :, 1 * 5 + 2].max(1)),
        (others(DENSE[2], "logsumexp"), np.log(np.exp(np.delete(first("head")[:, :, 0], 2, axis=1)).sum(1))),
        (diversity(CONV), unlikeness(first("conv"))),
        (diversity(LAST), unlikeness(first("norm"))),
    ],
    ids=repr,
)
def test_each_equals_its_formula(goal: Objective, expected: Any) -> None:
    assert goal(DRAWN).tolist() == pytest.approx(list(expected), rel=1e-4, abs=1e-6)


def test_diversity_of_three_counts_each_pair_and_of_one_is_nothing() -> None:
    several = {"conv": torch.randn(3, 4, 3, 5, generator=torch.Generator().manual_seed(6))}
    expected = unlikeness(several["conv"].double().flatten(2).numpy())
    assert diversity(CONV)(several).tolist() == pytest.approx(expected, rel=1e-4)
    assert float(diversity(CONV)({"conv": several["conv"][:1]})) == 0


class _NormAct(nn.BatchNorm2d):
    """A normalisation that carries its activation within."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


def chain(*parts: nn.Module) -> Network:
    torch.manual_seed(0)
    for part in parts:
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)  # type: ignore[arg-type]
    return Network(nn.Sequential(nn.Conv2d(1, 3, 3), *parts).eval(), InputSpec(size=(1, 7, 7)))


CHAINS = {
    "conv, relu": lambda: chain(nn.ReLU()),
    "conv, norm, relu in place": lambda: chain(nn.BatchNorm2d(3), nn.ReLU(inplace=True)),
    "norm with its activation": lambda: chain(_NormAct(3)),
}


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("name", CHAINS)
def test_before_and_behind_the_nonlinearity(name: str, where: str) -> None:
    with torch.random.fork_rng(devices=[]):
        net = CHAINS[name]()
    conv, *rest = net.module  # type: ignore[misc]
    layers = [layer for layer in net.layers.values() if len(layer.shape) == 3]
    unit = (layers[0] if where == "first" else layers[-1])[1, "center"]
    for at in ("pre", "post"):
        frame = next(ascend(net, activation(unit, at=at), "none", canvas="full", seed=3))
        with torch.no_grad():
            x = conv(net.input.normalized(frame.image))
            for part in rest:
                if isinstance(part, nn.BatchNorm2d):
                    x = nn.BatchNorm2d.forward(part, x)
            expected = x[0, 1, 2, 2] if at == "pre" else x[0, 1, 2, 2].relu()
        assert float(frame.score) == pytest.approx(float(expected), abs=1e-5)


def test_where_no_module_gives_the_side_it_is_told() -> None:
    class _Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).relu()

    net = Network(_Called(), InputSpec(size=(1, 7, 7)))
    with pytest.raises(
        ValueError, match=r"no layer gives the value behind a nonlinearity.*choose the layer by its name"
    ):
        ascend(net, activation(net["conv"][0], at="post"), "none")
    with pytest.raises(ValueError, match="at='behind'; expected 'pre' or 'post'"):
        activation(net["conv"][0], at="behind")


FOREIGN = Layer("2", "Conv2d", (6, 99, 99))


@pytest.mark.parametrize(
    ("goal", "match"),
    [
        (lambda net: activation(FOREIGN[0]), r"2\[0\] is no unit of this network.*net\['2'\]\[0\]"),
        (lambda net: net["2"][0], None),
        (lambda net: deep_dream(FOREIGN), "2 is no layer of this network"),
        (lambda net: activation(net["2"][0]) - 0.5 * others(CONV[0]), "is no unit of this network"),
        (lambda net: probability(net["2"][1]), r"2\[1\] has no probability: expected a unit of the output '7'"),
        (lambda net: 2 * probability(net["2"][1]), "has no probability"),
        (lambda net: diversity(net.output), "7 is dense; diversity compares textures"),
        (lambda net: activation(net["2"][0]) + diversity(net.output), "is dense"),
        (lambda net: activation(net.output[0], at="pre") * 2, None),
    ],
)
def test_what_a_network_can_not_tell_is_told_at_once(grey_network: Network, goal: Any, match: str | None) -> None:
    if match is None:
        Objective.ensure(goal(grey_network)).bound(grey_network)
        return
    with pytest.raises(ValueError, match=match):
        ascend(grey_network, goal(grey_network), "none")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: direction(CONV, [1.0, 2.0]), r"the shape \(2,\); expected \(4,\)"),
        (lambda: direction(CONV, [0.0] * 4), "zero everywhere"),
        (lambda: direction(CONV, [1.0, np.nan, 0, 0]), "not finite"),
        (lambda: direction(CONV, VECTOR, -1), "cosine_power=-1.0; expected 0 or more"),
        (lambda: activation(CONV[0], reduce="sum"), "reduce='sum'; expected 'mean' or 'max'"),
        (lambda: others(CONV[0], "sum"), "expected 'mean', 'max' or 'logsumexp'"),
        (lambda: others(Layer("one", "Conv2d", (1, 3, 3))[0]), "the only channel"),
    ],
)
def test_what_is_no_objective_is_told(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_the_probability_of_a_network_that_ends_in_a_softmax_is_its_output() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(50, 4), nn.Softmax(1))
    net = Network(module, InputSpec(size=(1, 7, 7)))
    assert net.gives_probabilities
    for frame in ascend(net, probability(net.output[2]), "none", stepper=Constant(1e4), steps=2):
        assert frame.probabilities is not None
        assert float(frame.score) == float(frame.probabilities[0, 2])
        with torch.no_grad():
            assert float(frame.score) == pytest.approx(float(module(net.input.normalized(frame.image))[0, 2]), rel=1e-5)


def kinds(net: Network) -> list[Objective]:
    unit, neuron, output = net["2"][3], net["2"][1, 2, 4], net.output[2]
    return [
        activation(unit),
        activation(net["2"][3, "center"], at="pre"),
        activation(unit, reduce="max"),
        logit(output),
        probability(output),
        others(output, "logsumexp"),
        deep_dream(net["2"]),
        direction(net["2"], np.linspace(-1, 1, 6), cosine_power=2),
        diversity(net["0"]),
        -activation(neuron),
        activation(unit) - 0.3 * (activation(neuron) + 2 * diversity(net["2"])),
    ]


def test_each_is_read_back_from_json(grey_network: Network) -> None:
    for goal in kinds(grey_network):
        read = Objective.read(json.loads(json.dumps(goal.to_data())), grey_network)
        assert read == goal
        assert repr(read) == repr(goal)
    assert {type(goal) for goal in kinds(grey_network)} == set(Objective.members())


DEEP: dict[str, Any] = {"class": "Activation", "unit": {"unit": ["2", 1, None]}}
for _ in range(600):
    DEEP = {"class": "Weighted", "objective": DEEP, "weight": 1.0}


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        "Activation",
        [],
        [{"class": "Activation"}],
        {},
        {"class": "os.system"},
        {"class": "Objective"},
        {"class": ["Activation"]},
        {"class": {"class": "Activation"}},
        {"class": "Activation"},
        {"class": "Activation", "unit": None},
        {"class": "Activation", "unit": "2[1]"},
        {"class": "Activation", "unit": ["2", 1, None]},
        {"class": "Activation", "unit": {"unit": "2"}},
        {"class": "Activation", "unit": {"unit": ["2", 1]}},
        {"class": "Activation", "unit": {"unit": ["2", 1, None], "more": 1}},
        {"class": "Activation", "unit": {"unit": ["nine", 1, None]}},
        {"class": "Activation", "unit": {"unit": [["2"], 1, None]}},
        {"class": "Activation", "unit": {"unit": [{}, 1, None]}},
        {"class": "Activation", "unit": {"unit": ["2", 99, None]}},
        {"class": "Activation", "unit": {"unit": ["2", "1", None]}},
        {"class": "Activation", "unit": {"unit": ["2", 1.5, None]}},
        {"class": "Activation", "unit": {"unit": ["2", 1, [0, 99]]}},
        {"class": "Activation", "unit": {"unit": ["2", 1, [[0], 0]]}},
        {"class": "Activation", "unit": {"unit": ["2", 1, "left"]}},
        {"class": "Activation", "unit": {"unit": ["7", 1, "center"]}},
        {"class": "Activation", "unit": {"layer": "2"}},
        {"class": "Activation", "unit": {"unit": ["2", 1, None]}, "at": ["pre"]},
        {"class": "Activation", "unit": {"unit": ["2", 1, None]}, "at": "during"},
        {"class": "Activation", "unit": {"unit": ["2", 1, None]}, "__class__": 3},
        {"class": "Activation", "unit": {"unit": ["2", 1, None]}, "bound": 3},
        {"class": "Energy", "layer": {"unit": ["2", 1, None]}},
        {"class": "Energy", "layer": {"layer": ["2"]}},
        {"class": "Energy", "layer": {"layer": {"layer": "2"}}},
        {"class": "Direction", "layer": {"layer": "2"}, "vector": [1, 2, 3, 4, 5, 6]},
        {"class": "Direction", "layer": {"layer": "2"}, "vector": {"values": "float32 6 !"}},
        {"class": "Direction", "layer": {"layer": "2"}, "vector": {"values": 3}},
        {"class": "Weighted", "objective": 3, "weight": 2.0},
        {"class": "Weighted", "objective": DEEP["objective"], "weight": 2.0},
        {"class": "Weighted", "objective": {"unit": ["2", 1, None]}, "weight": 2.0},
        {"class": "Weighted", "objective": {"class": "Energy", "layer": {"layer": "2"}}, "weight": "2"},
        {"class": "Weighted", "objective": {"class": "Energy", "layer": {"layer": "2"}}, "weight": True},
        {"class": "Sum", "left": [], "right": {}},
        {"class": "Sum", "left": {"class": "Energy", "layer": {"layer": "2"}}},
    ],
    ids=lambda data: json.dumps(data)[:60],
)
def test_data_that_is_no_objective_is_refused(grey_network: Network, data: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs from case to case
        Objective.read(data, grey_network)


def test_copies_of_a_goal_that_compares_them_come_to_differ(grey_network: Network) -> None:
    layer = grey_network["2"]
    stepper = Constant(3e4)
    apart = 3 * diversity(layer)
    found = {}
    for name, goal in (("alike", activation(layer[3])), ("apart", activation(layer[3]) + apart)):
        *_, end = ascend(grey_network, goal, "none", copies=3, stepper=stepper, steps=8)
        found[name] = diversity(layer)(grey_network.activations(end.image, layer))
        assert end.paths[0].chunk == (3 if name == "apart" else 1)
        start = next(ascend(grey_network, goal, "none", copies=3, stepper=stepper))
        assert (end.score > start.score).all()
        alone = next(ascend(grey_network, goal, "none", copies=1))
        assert torch.equal(alone.image[0], start.image[0])
    assert (found["apart"] > found["alike"] + 0.02).all()


def test_what_the_others_do_is_held_down(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    found = []
    for goal in (activation(unit), activation(unit) - 2 * others(unit)):
        *_, end = ascend(grey_network, goal, "none", stepper=Constant(1e5), steps=8)
        found.append(float(others(unit)(grey_network.activations(end.image, "2"))))
    assert found[1] < found[0] - 0.01


def test_a_unit_that_was_made_by_hand_is_as_good(grey_network: Network) -> None:
    assert activation(Unit(grey_network["2"], 3, (1, 2))) == activation(grey_network["2"][3, 1, 2])

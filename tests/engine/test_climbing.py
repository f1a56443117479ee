"""An image climbs as if it were alone, bit for bit, and one that can't go on does not hold up the others."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import Frame, ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import Objective, activation
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import (
    ClipSmallContribution,
    ClipSmallNorm,
    GaussianBlur,
    L2Decay,
    Regularizer,
)
from cnnviz_widgets.engine.steppers import Constant, Progress


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Noise(Regularizer):
    """Random at two moments: noise for the network, and a drawn mirror image."""

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        noisy = image + 0.05 * torch.randn(image.shape, generator=generator)
        return noisy.flip(3) if torch.rand((), generator=generator) < 0.5 else noisy

    def penalty(self, image: Tensor) -> Tensor:
        return (image - 0.5).square().flatten(1).mean(1)


RECIPES = {
    "plain": Recipe(steps=4),
    "every regularizer": Recipe(
        regularizers=(L2Decay(0.01), GaussianBlur(0.5, every=2), ClipSmallNorm(30), ClipSmallContribution(30)), steps=4
    ),
    "random": Recipe(regularizers=(_Noise(),), steps=4),
}


@pytest.fixture(scope="module")
def small() -> Network:
    """A grey network whose dense layer has a multiple of four inputs: with others, the place in a chunk changes last bits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
    return Network(module.eval(), InputSpec(size=(1, 9, 7), mean=0.4, std=0.2))


def last(net: Network, goal: Any, recipe: Recipe, **fields: Any) -> Frame:
    *_, frame = ascend(net, goal, recipe, **fields)
    return frame


def same(frame: Frame, number: int, alone: Frame) -> bool:
    return torch.equal(frame.image[number], alone.image[0]) and torch.equal(frame.score[number], alone.score[0])


def goals_of(net: Network) -> list[Objective]:
    """Of several depths, so that a list is recorded deeper than some of its members alone."""
    layers = net.main_layers
    shallow, middle, deep = layers[0], layers[len(layers) // 2], net.output
    return [
        activation(shallow[1]),
        activation(deep[2]) - 0.5 * activation(deep[3]),
        activation(middle[3, "center"] if middle.positions else middle[3]),
        activation(deep[4]),
        activation(shallow[0]),
    ]


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("name", RECIPES)
def test_an_image_is_the_same_alone_and_among_others(small: Network, name: str, chunk: int) -> None:
    assert_alone_is_among_others(small, name, chunk)


@pytest.mark.parametrize("chunk", [1, 4])
def test_an_image_is_the_same_in_a_deep_network(resnet: Network, chunk: int) -> None:
    assert_alone_is_among_others(resnet, "every regularizer", chunk)


def assert_alone_is_among_others(net: Network, name: str, chunk: int) -> None:
    recipe = RECIPES[name].replace(chunk=chunk, seed=11)
    goals = goals_of(net)
    together = last(net, goals, recipe)
    backwards = last(net, goals[::-1], recipe)
    for number, goal in enumerate(goals):
        alone = last(net, goal, recipe)
        assert same(together, number, alone)
        assert same(backwards, len(goals) - 1 - number, alone)


@pytest.mark.parametrize("name", RECIPES)
def test_copies_are_the_seeds_that_follow(small: Network, name: str) -> None:
    recipe, unit = RECIPES[name].replace(chunk=2), small.output[3]
    copies = last(small, unit, recipe, copies=3, seed=20)
    for number in range(3):
        assert same(copies, number, last(small, unit, recipe, seed=20 + number))
    assert not torch.equal(copies.image[0], copies.image[1])


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_run_twice_is_equal_and_pauses_change_nothing(small: Network, name: str) -> None:
    recipe, unit = RECIPES[name], small.output[3]
    once = last(small, unit, recipe)
    assert same(once, 0, last(small, unit, recipe))
    frames = ascend(small, unit, recipe)
    for frame in frames:
        last(small, small["0"][0], RECIPES["random"], steps=1)
        torch.manual_seed(frame.step)
        torch.rand(3)
    assert same(once, 0, frame)
    assert not same(once, 0, last(small, unit, recipe, seed=1))


def test_a_run_in_another_thread_changes_nothing(resnet: Network) -> None:
    unit, recipe = resnet.output[7], RECIPES["every regularizer"]
    once = last(resnet, unit, recipe)
    other = last(resnet, resnet.output[8], recipe)
    found: dict[int, Frame] = {}
    together = threading.Barrier(2)

    def climb(number: int) -> None:
        together.wait()
        found[number] = last(resnet, resnet.output[number], recipe)

    threads = [threading.Thread(target=climb, args=(number,)) for number in (7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(once, 0, found[7])
    assert same(other, 0, found[8])


class Troubled(nn.Module):
    """Five heads behind one layer: a healthy one and one for each trouble.

    A backward pass from the healthy one sends zeros into the others when they are recorded together, and zero times NaN is
    NaN.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.first = nn.Conv2d(1, 4, 3)
            names = ("healthy", "nan", "infinite", "dead", "overflow")
            self.heads = nn.ModuleDict({name: nn.Sequential(nn.Conv2d(4, 2, 3), nn.ReLU()) for name in names})
        with torch.no_grad():
            for name, weight, bias in (
                ("nan", math.nan, 0),
                ("infinite", 1, math.inf),
                ("dead", 0, -1),
                ("overflow", 3e38, 0),
            ):
                self.heads[name][0].weight.fill_(weight)  # type: ignore[index]
                self.heads[name][0].bias.fill_(bias)  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        between = self.first(x) + 2
        return torch.cat([head(between) for head in self.heads.values()], 1)


@pytest.fixture(scope="module")
def troubled() -> Network:
    return Network(Troubled().eval(), InputSpec(size=(1, 9, 9)))


def ill(net: Network) -> list[Unit]:
    return [net[f"heads.{name}.1"][0] for name in ("nan", "infinite", "dead", "overflow")]


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_the_healthy_go_on_and_the_others_stay(troubled: Network, chunk: int) -> None:
    recipe = Recipe(stepper=Progress(0.01), regularizers=(L2Decay(0.001),), steps=5, chunk=chunk)
    healthy = [troubled["first"][0], troubled["heads.healthy.1"][1]]
    cases = ill(troubled)
    start, *_, end = ascend(troubled, [healthy[0], *cases, healthy[1]], recipe)
    assert end.step == 5
    for number, unit in ((0, healthy[0]), (len(cases) + 1, healthy[1])):
        assert same(end, number, last(troubled, unit, recipe))
        assert end.score[number] > start.score[number]
        assert end.notes[number] == ""
    for number, unit in enumerate(cases, start=1):
        assert torch.equal(end.image[number], start.image[number])
        assert ("exactly zero" if "dead" in unit.layer.name else "not finite") in end.notes[number]
        assert repr(unit) in end.notes[number]
        assert "step 0" in end.notes[number]


def test_it_ends_where_nothing_moves(troubled: Network) -> None:
    state = copy.deepcopy(troubled.module.state_dict())
    first, end = ascend(troubled, ill(troubled), "none", steps=30, chunk=2)
    assert first.notes == ("",) * 4
    assert all(end.notes)
    assert torch.equal(first.image, end.image)
    for name, value in troubled.module.state_dict().items():
        assert torch.equal(value.nan_to_num(), state[name].nan_to_num())


def test_maximize_warns_with_the_reason(troubled: Network) -> None:
    with pytest.warns(RuntimeWarning, match="exactly zero at step 0.*off, as after a ReLU") as caught:
        result = maximize(troubled, [ill(troubled)[2], troubled["first"][0]], "none", steps=3)
    assert [str(warning.message) for warning in caught] == [result.notes[0]]
    assert caught[0].filename == __file__
    assert result.notes[1] == ""
    with pytest.warns(RuntimeWarning, match="not finite"):
        maximize(troubled, ill(troubled)[0], "none", steps=3)


def test_a_random_transformation_may_wake_a_dead_unit() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Threshold(0.0, 0.0))
    with torch.no_grad():
        module[0].weight.fill_(1.0)  # type: ignore[union-attr, operator]
        module[0].bias.fill_(-0.55)  # type: ignore[union-attr, operator]
    net = Network(module, InputSpec(size=(1, 4, 4)))
    unit = net["1"][0, "center"]
    assert last(net, unit, Recipe(steps=30, canvas="full")).step == 1
    woken = last(net, unit, Recipe(regularizers=(_Noise(),), stepper=Constant(3000), steps=60, canvas="full"))
    assert woken.step == 60
    assert woken.score > 0


@dataclass(frozen=True)
class _Root(Regularizer):
    """A fault of a user's: the root of what may be negative."""

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return x + 0 * x[:, :1, :1, :1].sqrt()


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_regularizer_that_gives_no_numbers_is_told(small: Network, chunk: int) -> None:
    recipe = Recipe(stepper=Constant(1.0), regularizers=(_Root(),), steps=4, chunk=chunk)
    start, *_, end = ascend(small, small["0"][0], recipe, copies=6)
    broken = (start.image[:, 0, 0, 0] < 0.4).tolist()
    assert True in broken
    assert False in broken
    for number, broke in enumerate(broken):
        assert ("turned the image" in end.notes[number]) == broke
        assert torch.equal(end.image[number], start.image[number]) == broke
        assert end.score[number].isfinite()


def test_a_score_without_a_gradient_is_told() -> None:
    class Hard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return (self.head(x) > 0).float()

    net = Network(Hard(), InputSpec(size=(1, 5, 5)))
    assert "nothing differentiable" in last(net, net.output[0], Recipe(steps=3)).notes[0]


@pytest.mark.real
def test_on_a_trained_network_too(real_network: Network) -> None:
    spec = InputSpec(size=(3, 64, 64), mean=real_network.input.mean, std=real_network.input.std)
    net = Network(real_network.module, spec)
    goals = goals_of(net)
    recipe = RECIPES["every regularizer"].replace(chunk=4, steps=2)
    together = last(net, goals, recipe)
    for number in (0, 1, 4):
        assert same(together, number, last(net, goals[number], recipe))

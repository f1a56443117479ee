"""A step size is tried before it is used, on the network at hand, and what was taken is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import Frame, Path, ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation
from cnnviz_widgets.engine.parameterizations import Pixels
from cnnviz_widgets.engine.probing import RATIO, TRIAL
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Jitter, L2Decay, Padding
from cnnviz_widgets.engine.steppers import Adam, Constant, Progress


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _Scores(nn.Module):
    """A sum of weights times pixels; minus a steep bowl around one grey; and something that is no number off the start."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Conv2d(1, 1, 6, bias=False)
        with torch.no_grad():
            drawn = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(3))
            self.weights.weight.copy_(drawn / 36)

    def forward(self, x: Tensor) -> Tensor:
        linear = self.weights(x).flatten(1)
        bowl = -(x - 0.55).square().flatten(1).sum(1, keepdim=True) * 50
        fragile = linear / (x - 0.5).abs().flatten(1).amax(1, keepdim=True).lt(0.4)
        return torch.cat([linear, bowl, fragile, 0 * linear], dim=1)


@pytest.fixture(scope="module")
def net() -> Network:
    return Network(_Scores(), InputSpec(size=(1, 6, 6)))


# a gradient of 1/36 a pixel and step takes it about a hundredth of a grey level
HELD = Recipe(Pixels(0.0), (L2Decay(0.3),), Constant(100.0, probe=True), steps=20)
FREE = HELD.replace(regularizers=())


def all_of(net: Network, goal: Any, recipe: Recipe, **fields: Any) -> list[Frame]:
    return list(ascend(net, goal, recipe, **fields))


def told(net: Network, goal: Any, recipe: Recipe, **fields: Any) -> Path:
    return all_of(net, goal, recipe, steps=2, **fields)[-1].paths[0]


def test_one_that_decay_holds_gives_way_to_a_larger(net: Network) -> None:
    path = told(net, net.output[0], HELD)
    power = math.log(path.factor, RATIO)
    assert power == pytest.approx(round(power))
    assert round(power) >= 2
    expected = f"the recipe's step stood still after {TRIAL} trial steps, {path.factor:.3g} times it is taken"
    assert path.factor_told == expected
    assert expected in str(path)
    probed, plain = (
        all_of(net, net.output[0], HELD.replace(stepper=Constant(100.0, probe=on)))[-1] for on in (True, False)
    )
    assert float(probed.score) > 3 * float(plain.score) > 0


def test_the_factor_is_that_of_a_stepper_with_the_larger_step(net: Network) -> None:
    factor = told(net, net.output[0], HELD).factor
    probed = all_of(net, net.output[0], HELD)
    stepped = all_of(net, net.output[0], HELD.replace(stepper=Constant(100.0 * factor)))
    assert torch.allclose(probed[-1].image, stepped[-1].image, atol=1e-5)


def test_one_that_overshoots_gives_way_to_a_smaller(net: Network) -> None:
    wild = FREE.replace(stepper=Constant(2000.0, probe=True))
    path = told(net, net.output[1], wild)
    assert path.factor < 0.5
    assert path.factor_told.startswith(f"the recipe's step fell after {TRIAL} trial steps, ")
    probed, plain = (
        all_of(net, net.output[1], wild.replace(stepper=Constant(2000.0, probe=on))) for on in (True, False)
    )
    assert float(plain[-1].score) < float(plain[0].score)
    assert float(probed[-1].score) > float(probed[0].score)


def test_one_that_falls_as_its_image_fades_gives_way_to_a_larger(net: Network) -> None:
    # the first image happens to score well, and loses that to decay before a gradient of a hundredth of a grey level counts
    lucky = [
        seed
        for seed in range(20)
        if float(all_of(net, net.output[0], HELD, steps=0, seed=seed, parameterization=Pixels(20.0))[0].score) > 0.005
    ]
    for seed in lucky[:3]:
        frames = all_of(net, net.output[0], HELD, seed=seed, parameterization=Pixels(20.0), steps=60)
        path = frames[-1].paths[0]
        assert path.factor > 1
        assert "stood still after" in path.factor_told
        assert float(frames[-1].score) > float(frames[0].score)
    assert lucky


def test_one_that_leaves_the_numbers_gives_way_to_a_smaller(net: Network) -> None:
    path = told(net, net.output[2], FREE.replace(stepper=Constant(1e6, probe=True)))
    assert path.factor < 1
    assert "fell after" in path.factor_told


@pytest.mark.parametrize("priors", [(), (Padding(1), Jitter(2))], ids=["plain", "random"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_one_that_carries_is_kept_and_the_trial_forgotten(net: Network, priors: Any, chunk: int) -> None:
    # with random transformations single scores say little, so the step is large enough to climb all the same
    given = FREE.replace(regularizers=priors, stepper=Constant(600.0, probe=True), steps=5, chunk=chunk, seed=3)
    probed = all_of(net, net.output[0], given, parameterization=Pixels(3.0))
    plain = all_of(net, net.output[0], given.replace(stepper=Constant(600.0)), parameterization=Pixels(3.0))
    assert probed[-1].paths[0].factor == 1
    assert probed[-1].paths[0].factor_told == "the recipe's step carried in a trial"
    assert plain[-1].paths[0].factor_told == ""
    for one, other in zip(probed, plain, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.score, other.score)


def test_where_none_carries_the_recipes_own_is_kept(net: Network) -> None:
    frames = all_of(net, net.output[3], HELD)
    assert frames[-1].step == 1
    assert frames[-1].paths[0].factor == 1
    assert "no other carried further" in frames[-1].paths[0].factor_told
    assert "exactly zero at step 0" in frames[-1].notes[0]


@pytest.mark.parametrize("stepper", [Constant(100.0), Progress(0.01), Adam(1.0)])
def test_others_are_never_scaled(net: Network, stepper: Any) -> None:
    path = told(net, net.output[0], HELD.replace(stepper=stepper))
    assert path.factor == 1
    assert path.factor_told == ""


@pytest.mark.parametrize("chunk", [1, 4])
def test_each_is_judged_on_its_own(net: Network, chunk: int) -> None:
    recipe = HELD.replace(stepper=Constant(2000.0, probe=True), steps=4, chunk=chunk)
    goals = [net.output[unit] for unit in (0, 3, 1, 2)] + [0.01 * activation(net.output[0])]
    together = all_of(net, goals, [recipe, recipe.replace(stepper=Constant(2000.0))])
    factors = [path.factor for path in together[-1].paths]
    assert len(set(factors[:5])) >= 3
    assert factors[5:] == [1.0] * 5
    for number, goal in enumerate(goals):
        alone = all_of(net, goal, recipe)
        assert alone[-1].paths[0] == together[-1].paths[number]
        for one, other in zip(alone, together, strict=False):
            assert torch.equal(one.image[0], other.image[number])


def test_another_stepper_ends_the_scaling(net: Network) -> None:
    running = ascend(net, net.output[0], HELD)
    next(running)
    assert next(running).paths[0].factor > 1
    same = running.send(HELD.replace(regularizers=(L2Decay(0.2),)))
    assert same.paths[0].factor > 1
    before = same.image
    after = running.send(HELD.replace(regularizers=(), stepper=Constant(50.0)))
    assert after.paths[0].factor == 1
    assert after.paths[0].factor_told == ""
    slope = net.module.weights.weight.detach()  # type: ignore[union-attr, operator]
    assert torch.allclose((after.image - before) * 255, 50 * slope / 255, atol=1e-3)


def test_a_stepper_sent_before_the_first_step_is_the_one_that_is_tried(net: Network) -> None:
    running = ascend(net, net.output[0], HELD.replace(stepper=Progress(0.1)))
    next(running)
    assert running.send(HELD).paths[0].factor == told(net, net.output[0], HELD).factor


def test_the_curve_has_no_trial_in_it(net: Network) -> None:
    result = maximize(net, net.output[0], HELD)
    assert result.curve.shape == (21, 1)
    assert result.recipe == HELD
    assert float(result.curve[0]) == float(next(ascend(net, net.output[0], HELD)).score)

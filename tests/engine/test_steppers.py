"""How far a step goes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation, probability
from cnnviz_widgets.engine.parameterizations import Pixels
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.steppers import Adam, Constant, NAdam, ProbabilityProgress, Progress, Stepper


def test_a_constant_step_is_size_times_gradient() -> None:
    gradient = torch.tensor([[[[0.01, -0.02]]]])
    assert torch.equal(Constant(100.0).update(gradient, torch.zeros(1), {}), 100 * gradient)


def test_progress_divides_by_each_images_own_squared_norm() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [1e-4, 0.0]]).view(4, 1, 1, 2)
    update = Progress(desired=2.0, largest=100.0).update(gradient, torch.zeros(4), {})
    sizes = [2 / 25, 2 / 0.25, 0, 100]
    expected = gradient * torch.tensor(sizes).view(4, 1, 1, 1)
    assert torch.allclose(update, expected)
    assert update.isfinite().all()


def test_progress_raises_a_linear_score_by_what_is_desired(grey_network: Network) -> None:
    unit = grey_network["0"][1, "center"]
    scores = [float(f.score) for f in ascend(grey_network, unit, "none", stepper=Progress(0.03), steps=3, seed=2)]
    assert torch.tensor(scores).diff().tolist() == pytest.approx([0.03] * 3, rel=1e-3)


def test_a_constant_size_is_in_units_of_255(grey_network: Network) -> None:
    unit = grey_network["0"][1, "center"]
    start, after = ascend(grey_network, unit, "none", stepper=Constant(100.0), steps=1)
    leaf = start.image.clone().requires_grad_()
    score = grey_network.module[0](grey_network.input.normalized(leaf))[0, 1, 4, 4]  # type: ignore[index, operator]
    (gradient,) = torch.autograd.grad(score, leaf)
    assert torch.allclose((after.image - start.image), 100 / 255**2 * gradient, atol=1e-6)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("make", [Constant, Progress, lambda value: Progress(2.0, value)])
def test_a_size_must_be_a_number_above_zero(make: type[Stepper], value: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        make(value)  # type: ignore[call-arg]


@pytest.fixture
def double_by_default() -> Iterator[None]:
    """The optimizers of torch multiply their momenta up in the default precision, whatever that of the values."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("stepper", "theirs"),
    [
        (Adam(0.05), torch.optim.Adam),
        (Adam(0.3, memory=0.5, square_memory=0.9), torch.optim.Adam),
        (NAdam(1.0), torch.optim.NAdam),
        (NAdam(0.02, memory=0.8, square_memory=0.99), torch.optim.NAdam),
    ],
    ids=repr,
)
def test_adam_and_nadam_are_those_of_torch(stepper: Any, theirs: Any, double_by_default: None) -> None:
    generator = torch.Generator().manual_seed(0)
    start, peak, steepness = torch.randn(3, 2, 1, 3, 4, generator=generator, dtype=torch.float64)
    ours, state = start.clone(), {}
    leaves = [start[number].clone().requires_grad_() for number in range(2)]
    betas = (stepper.memory, stepper.square_memory)
    optimizers = [theirs([leaf], lr=stepper.rate, betas=betas, maximize=True) for leaf in leaves]

    def score(x: Tensor, number: int | slice) -> Tensor:
        return -(steepness[number].abs() * (x - peak[number]).square()).sum()

    for _ in range(10):
        leaf = ours.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(leaf, slice(None)), leaf)
        ours = ours + stepper.update(gradient, torch.zeros(2, dtype=torch.float64), state)
        for number, optimizer in enumerate(optimizers):
            optimizer.zero_grad()
            score(leaves[number], number).backward()
            optimizer.step()
        expected = torch.stack([leaf.detach() for leaf in leaves])
        assert torch.allclose(ours, expected, rtol=0, atol=1e-10)
    assert (ours - start).abs().min() > 1e-3


def test_what_a_stepper_remembers_is_the_runs_own(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    recipe = Recipe(stepper=Adam(2.0), steps=4)
    first, second = ascend(grey_network, unit, recipe), ascend(grey_network, unit, recipe)
    for frame in first:
        assert torch.equal(frame.image, next(second).image)


def test_steering_to_another_kind_of_stepper_begins_its_memory_anew(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    frames = ascend(grey_network, unit, "none", parameterization=Pixels(0.0), stepper=Constant(1e3), steps=9)
    for _ in range(3):
        before = next(frames).image
    after = frames.send(Recipe(stepper=Adam(0.5), steps=9)).image
    # the first step of Adam is its rate for every value, whatever came before
    moved = ((after - before) * 255).abs()
    assert torch.allclose(moved, torch.full_like(moved, 0.5), atol=0.01)


@pytest.mark.parametrize("make", [Adam, NAdam])
@pytest.mark.parametrize("fields", [{"memory": 1.0}, {"square_memory": -0.1}, {"rate": 0}])
def test_memories_are_shares(make: Any, fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(fields))}=.*expected"):
        make(**fields)


def towards_one(gradient: np.ndarray, p: float, early: float, late: float, largest: float) -> np.ndarray:
    desired = min(early, late * (1 - p)) if p < 1 else early
    squared = float((gradient * gradient).sum())
    return (min(largest, desired / squared) if squared else largest) * gradient


@pytest.mark.parametrize("p", [0.0, 0.001, 0.5, 0.79, 0.81, 0.97, 0.999999, 1.0, 3.5])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0])
def test_probability_progress_slows_down_towards_one(p: float, scale: float) -> None:
    stepper = ProbabilityProgress(early=0.02, late=0.1, largest=1e7)
    gradient = torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * scale
    update = stepper.update(gradient, torch.tensor([p], dtype=torch.float64), {})
    expected = towards_one(gradient.numpy(), p, 0.02, 0.1, 1e7)
    assert np.allclose(update.numpy(), expected, rtol=1e-9, atol=0)


def test_a_class_is_climbed_by_its_probability_under_it() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5))
    net = Network(module, InputSpec(size=(1, 8, 8)))
    unit = net.output[2]
    goals = [unit, net["0"][3], activation(unit) - activation(net.output[1])]
    result = maximize(net, goals, "none", stepper=ProbabilityProgress(), steps=15)
    assert list(map(repr, result.objectives)) == ["probability(3[2])", "0[3]", "3[2] - 3[1]"]
    assert result.objective == probability(unit)
    assert result.labels[0] == "probability(3[2])"
    first = result.curve[:, 0]
    assert (first >= 0).all()
    assert (first <= 1).all()
    assert float(first[1] - first[0]) == pytest.approx(0.02, rel=0.2)
    assert float(first[-1]) > float(first[0]) + 0.1
    assert float(result.score[1]) > float(result.curve[0, 1])

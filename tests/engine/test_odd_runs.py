"""Runs as nobody plans them: looked at twice, brought back, interrupted, closed, in half precision, in inference mode."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import Ascent, Recipes, ascend, goals_of, recipes_of
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.history import History
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation, diversity
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Constant

from .intact import state_of

TRIED = Recipe(stepper=Constant(100.0, probe=True), steps=3)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class _LoseAt(Regularizer):
    """Turns one image of each chunk, or all, into NaN."""

    at: int = 3
    place: int | None = None

    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        if step != self.at:
            return x
        lost = torch.arange(len(x)) == self.place if self.place is not None else torch.ones(len(x)).bool()
        return x.masked_fill(lost.view(-1, 1, 1, 1), math.nan)


class _Interrupted(nn.Module):
    """A stop signal arrives in one of its forward passes."""

    def __init__(self, copied: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.copied = copied
        self.left = [math.inf]  # a list, since what is borrowed is given back as it was

    def __deepcopy__(self, memo: dict[int, object]) -> _Interrupted:
        if not self.copied:
            raise TypeError
        other = _Interrupted(True)
        other.conv, other.left = self.conv, self.left
        return other

    def forward(self, x: Tensor) -> Tensor:
        self.left[0] -= 1
        if not self.left[0]:
            raise KeyboardInterrupt
        return self.conv(x)


def ascent(network: Network, recipe: Recipes = "none", **fields: object) -> Ascent:
    return Ascent(network, goals_of(network, network.output[0]), recipes_of(recipe, **fields))


def off() -> Network:
    """One channel that is off for grey and comes to life, and one that never does."""
    conv = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
        conv.bias.fill_(-0.7)
    return Network(nn.Sequential(conv, nn.ReLU()), InputSpec(size=(1, 5, 5)))


@pytest.mark.parametrize("recipe", [Recipe(steps=0), TRIED.replace(steps=0)])
def test_a_run_of_no_steps_is_its_start(grey_network: Network, recipe: Recipe) -> None:
    unit = grey_network.output[1]
    result = maximize(grey_network, unit, recipe)
    assert torch.equal(result.image, next(ascend(grey_network, unit, recipe)).image)
    assert (result.curve.shape, result.notes, result.paths[0].factor_told) == ((1, 1), ("",), "")


def test_a_goal_that_is_listed_twice_gives_the_same_image_twice(grey_network: Network) -> None:
    neuron = grey_network["2"][1, "center"]
    twice = activation(neuron) + activation(neuron)
    first, second, third, fourth = maximize(
        grey_network, [neuron, neuron, twice, twice], "none", steps=3, chunk=3
    ).image
    assert torch.equal(first, second)
    assert torch.equal(third, fourth)
    assert not torch.equal(first, third)


def test_what_fills_up_a_chunk_is_not_given_out(grey_network: Network) -> None:
    result = maximize(grey_network, grey_network.output[1], "none", steps=2, copies=2, chunk=7)
    assert len(result.image) == len(result.score) == len(result.notes) == 2
    assert result.curve.shape == (3, 2)
    assert result.paths[0].chunk == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_of_other_digits_are_climbed(grey_network: Network, dtype: torch.dtype) -> None:
    twin = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    twin.load_state_dict({"0.weight": grey_network.filters("0")}, strict=False)
    network = Network(twin.eval().to(dtype), InputSpec(size=(1, 8, 8), mean=0.4, std=0.2))
    for recipe in ("none", "lucid", "maco"):
        result = maximize(network, network["4"][1], recipe, steps=3)
        assert result.image.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert result.notes == ("",)
        assert result.score.isfinite().all()


def test_one_image_of_a_group_stops_and_the_others_go_on(grey_network: Network) -> None:
    goal = activation(grey_network.output[0]) + 0.1 * diversity(grey_network["2"])
    recipe = Recipe(steps=6, regularizers=(_LoseAt(3, place=1),))
    *_, before, at, after, last = ascend(grey_network, goal, recipe, copies=3)
    assert [bool(note) for note in last.notes] == [False, True, False]
    assert "at step 3" in last.notes[1]
    moved = [not torch.equal(one, other) for one, other in zip(at.image, last.image, strict=True)]
    assert moved == [True, False, True]
    assert torch.equal(before.image[1], after.image[1])


def test_an_image_that_stopped_can_still_be_taken_apart(grey_network: Network) -> None:
    with ascent(grey_network, steps=4, regularizers=[_LoseAt(0)]) as made:
        made.look()
        made.advance()
        assert made.look().notes != ("",)
        assert [name for name, _ in made.anatomy()] == ["image", "gradient", "step", "_LoseAt"]


def test_a_dead_unit_is_told_of_after_a_trial() -> None:
    network = off()
    with pytest.warns(RuntimeWarning, match="exactly zero at step 0"):
        result = maximize(network, network.output[1], TRIED)
    assert result.paths[0].factor == 1


def test_steps_are_counted_as_rescued_when_they_are_made() -> None:
    network = off()
    recipe = Recipe(stepper=Constant(100.0), steps=3)
    plain = [frame.paths[0].rescued for frame in ascend(network, network.output[0], recipe)]
    assert plain == [0, 1, 2, 3]
    with ascent(network, recipe) as made:
        made.look()
        state = made.state()
        counted = []
        for _ in range(2):
            made.restore(state)
            made.look()
            made.anatomy()
            made.advance()
            counted.append(made.look().paths[0].rescued)
    assert counted == [1, 1]


def test_why_an_image_stopped_is_told_at_the_end_where_asking_each_step_costs(grey_network: Network) -> None:
    """A GPU is asked every few steps, so as not to wait for it; the last of them may lie behind."""
    with ascent(grey_network, steps=5, regularizers=[_LoseAt(3)]) as made:
        for part in made._parts:
            part.chunk._asked_host = 10
        frames = list(made.frames())
    assert [bool(frame.notes[0]) for frame in frames] == [False] * 5 + [True]
    assert "at step 3" in frames[-1].notes[0]


def test_inference_mode_around_a_run_changes_nothing(grey_network: Network) -> None:
    recipe = TRIED.replace(steps=6)
    frames = list(ascend(grey_network, grey_network.output[0], recipe))
    with torch.inference_mode(), ascent(grey_network, recipe) as made:
        history = History(made, every=2)
        for _ in range(5):
            made.look()
            history.keep()
            made.advance()
        history.rewind(3)
        assert torch.equal(made.look().image, frames[3].image)
        made.advance()
        assert torch.equal(made.look().image, frames[4].image)


def test_fewer_steps_than_were_made_end_a_run_at_the_image_it_has(grey_network: Network) -> None:
    frames = list(ascend(grey_network, grey_network.output[0], "none", steps=4))
    with ascent(grey_network, steps=9) as made:
        for _ in range(4):
            made.advance()
        made.follow(recipes_of("none", steps=2))
        assert made.over
        assert torch.equal(made.look().image, frames[4].image)


def test_images_that_ended_early_are_brought_back_with_the_others(grey_network: Network) -> None:
    recipes = [Recipe(steps=2), Recipe(steps=8)]
    with ascent(grey_network, recipes) as made:
        history, frames = History(made, every=3), []
        while not made.over:
            frames.append(made.look())
            history.keep()
            made.advance()
        assert all(torch.equal(one.image[0], other.image[0]) for one, other in pairwise(frames[2:]))
        for step in (7, 4, 2, 1):
            history.rewind(step)
            found = made.look()
            assert torch.equal(found.image, frames[step].image)
            assert torch.equal(found.score, frames[step].score)


def test_a_past_that_was_not_kept_is_refused(grey_network: Network) -> None:
    with ascent(grey_network, steps=9) as made:
        history = History(made, every=2)
        for step in range(6):
            if step >= 3:
                history.keep()
            made.advance()
        with pytest.raises(ValueError, match="step 2; expected one of the run so far, 4 to 6"):
            history.rewind(2)
        history.rewind(5)
        assert made.step == 5


def test_a_closed_ascent_and_an_unknown_image_are_named(grey_network: Network) -> None:
    made = ascent(grey_network)
    with pytest.raises(ValueError, match="image 3; expected a number from 0 to 0"):
        made.anatomy(3)
    made.close()
    with pytest.raises(RuntimeError, match="this ascent is closed"):
        made.look()


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("recipe", [Recipe(steps=40), TRIED.replace(steps=40)])
def test_a_stop_signal_ends_a_run_with_what_there_is_and_leaves_the_module_alone(copied: bool, recipe: Recipe) -> None:
    module = _Interrupted(copied).eval()
    network = Network(module, InputSpec(size=(1, 8, 8)))
    assert network.path == ("shadow" if copied else "borrowed")
    unit = network["conv"][1]
    whole = list(ascend(network, unit, recipe))
    before = state_of(module)
    module.left[0] = 30
    with pytest.warns(RuntimeWarning, match="Interrupted after step"):
        result = maximize(network, unit, recipe)
    assert module.left[0] == 0
    module.left[0] = math.inf
    assert state_of(module) == before
    assert 1 <= len(result.curve) < len(whole)
    assert result.curve.tolist() == [frame.score.tolist() for frame in whole[: len(result.curve)]]
    assert torch.equal(result.image, whole[int(result.step[0])].image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maximize(network, unit, "none", steps=1)

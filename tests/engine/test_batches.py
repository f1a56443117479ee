"""Many goals, recipes, copies and canvases at once: each image is what it would be alone, bit for bit, and nothing is left."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.ascent import Ascent, Frame, ascend, goals_of, recipes_of
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import Objective, activation, deep_dream, diversity, others
from cnnviz_widgets.engine.parameterizations import Fourier, Pixels
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Noise, Padding
from cnnviz_widgets.engine.steppers import Adam, Constant, Progress
from tests.engine.intact import state_of
from tests.engine.priors import _Halve, _Square

PLAIN = Recipe(stepper=Progress(0.05), steps=3)
RANDOM = Recipe(regularizers=(Padding(2), Jitter(4), Noise(5.0), L2Decay(0.01)), stepper=Adam(1.0), steps=4, draws=2)
WAVES = Recipe(Fourier(), (GaussianBlur(0.5), _Square(), _Halve()), Adam(0.05), steps=3)
TRIED = Recipe(regularizers=(L2Decay(0.3),), stepper=Constant(50.0, probe=True), steps=2)
RECIPES = {"plain": PLAIN, "random": RANDOM, "waves": WAVES, "tried": TRIED}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> Network:
    """A grey network whose dense layer has a multiple of four inputs: with others, the place in a chunk changes last bits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
    return Network(module.eval(), InputSpec(size=(1, 17, 15), mean=0.4, std=0.2))


def goals(net: Network) -> list[Objective]:
    """On canvases of three sizes, cut at three layers, and one that is off for good."""
    return [
        activation(net["2"][3, "center"]),
        activation(net.output[2]) - 0.5 * activation(net.output[3]),
        activation(net["0"][1, 8, 7]),
        activation(net["2"][5]) - others(net["2"][5], "max"),
        deep_dream(net["4"]),
        activation(net["2"][0, 3, 3]),
    ]


def frames_of(net: Network, goal: Any, recipe: Any, **fields: Any) -> list[Frame]:
    return list(ascend(net, goal, recipe, **fields))


def same(frames: list[Frame], number: int, alone: list[Frame], other: int = 0) -> bool:
    """Whether an image was the same at each step that the one alone has made."""
    return all(
        torch.equal(frame.image[number], single.image[other])
        and torch.equal(frame.score[number], single.score[other])
        and frame.notes[number] == single.notes[other]
        and frame.paths[number] == single.paths[other]
        for frame, single in zip(frames, alone, strict=False)
    )


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("name", RECIPES)
def test_alone_among_others_and_in_another_order(net: Network, name: str, chunk: int) -> None:
    # trials take a hundred steps
    recipe, listed = RECIPES[name].replace(chunk=chunk, seed=9), goals(net)[: 3 if name == "tried" else None]
    together, backwards = frames_of(net, listed, recipe), frames_of(net, listed[::-1], recipe)
    assert len({path.canvas for path in together[0].paths}) >= 3
    for number, goal in enumerate(listed):
        alone = frames_of(net, goal, recipe)
        assert len(alone) == recipe.steps + 1
        assert same(together, number, alone)
        assert same(backwards, len(listed) - 1 - number, alone)


def test_beside_other_recipes_with_copies_and_pauses(net: Network) -> None:
    listed = goals(net)[:2]
    given = [recipe.replace(chunk=2, seed=number) for number, recipe in enumerate(RECIPES.values())]
    running = ascend(net, listed, given, copies=2)
    together = []
    for frame in running:
        together.append(frame)
        frames_of(net, listed[0], RANDOM, steps=1)
        torch.manual_seed(frame.step)
    assert together[-1].step == 4
    assert len(together[0].image) == 4 * 2 * 2
    number = 0
    for recipe in given:
        for goal in listed:
            for copy in range(2):
                assert same(together, number, frames_of(net, goal, recipe, seed=recipe.seed + copy))
                number += 1


def test_a_recipe_that_ends_early_keeps_its_last_image(net: Network) -> None:
    short, long = PLAIN.replace(steps=1), PLAIN.replace(steps=3)
    *_, end = ascend(net, net["2"][3], [short, long])
    assert end.step == 3
    assert torch.equal(end.image[0], frames_of(net, net["2"][3], short)[-1].image[0])
    assert torch.equal(end.image[1], frames_of(net, net["2"][3], long)[-1].image[0])


def test_each_image_of_a_result_tells_its_goal_recipe_and_seed(net: Network) -> None:
    listed, given = [net["2"][3], net.output[1]], [PLAIN.replace(seed=5), RANDOM]
    result = maximize(net, listed, given, copies=2)
    assert [repr(goal) for goal in result.objectives] == ["2[3]", "2[3]", "7[1]", "7[1]"] * 2
    assert result.recipes[::4] == tuple(given)
    assert [recipe.seed for recipe in result.recipes] == [5, 6, 5, 6, 0, 1, 0, 1]
    for number in (1, 2, 5):
        alone = maximize(net, result.objectives[number], result.recipes[number])
        assert torch.equal(result.image[number], alone.image[0])
        assert result.score[number] == alone.score[0]


@pytest.mark.parametrize("copies", [2, 3])
def test_a_group_that_is_compared_is_the_same_in_a_larger_batch(net: Network, copies: int) -> None:
    compared = activation(net["2"][3]) + diversity(net["2"])
    recipe = RANDOM.replace(chunk=4)
    alone = frames_of(net, compared, recipe, copies=copies)
    assert alone[0].paths[0].chunk == 4
    mixed = [net["2"][1], compared, net["2"][2], compared]
    together = frames_of(net, mixed, recipe, copies=copies)
    for copy in range(copies):
        assert same(together, copies + copy, alone, copy)
        assert same(together, 3 * copies + copy, alone, copy)
    wide = frames_of(net, mixed, recipe.replace(chunk=1), copies=copies)
    assert wide[0].paths[copies].chunk == copies
    assert wide[0].paths[0].chunk == 1


def gradient(net: Network, listed: Any, chunk: int, number: int) -> Tensor:
    recipe = recipes_of(PLAIN, chunk=chunk)
    with Ascent(net, goals_of(net, listed), recipe) as ascent:
        return dict(ascent.anatomy(number))["gradient"]


@pytest.mark.parametrize("which", ["net", "resnet"])
def test_across_chunk_sizes_the_gradient_is_nearly_the_same(which: str, request: pytest.FixtureRequest) -> None:
    network: Network = request.getfixturevalue(which)
    unit = network.main_layers[1][3]
    expected = gradient(network, unit, 1, 0)
    assert expected.any()
    for chunk in (2, 5):
        found = gradient(network, [network.main_layers[1][2], unit], chunk, 1)
        assert (found - expected).norm() < 1e-5 * expected.norm()


def test_the_anatomy_of_a_step_is_that_step_and_changes_nothing(net: Network) -> None:
    recipe = RANDOM.replace(parameterization=Pixels(5.0), chunk=2)
    unit = net["2"][3]
    expected = frames_of(net, [unit, net["2"][1]], recipe)
    with Ascent(net, goals_of(net, [unit, net["2"][1]]), [recipe]) as ascent:
        for frame in expected[:-1]:
            assert torch.equal(ascent.look().image, frame.image)
            found = ascent.anatomy(1)
            assert [name for name, _ in found] == ["image", "seen", "gradient", "step", "L2Decay"]
            ascent.advance()
            after = dict(found)["L2Decay"] + net.input.neutral_image()
            assert torch.allclose(after.clamp(0, 1), ascent.look().image[1], atol=1e-6)
        assert torch.equal(ascent.look().image, expected[-1].image)


def test_recipes_sent_go_to_those_that_began_with_the_one_in_their_place(net: Network) -> None:
    unit, given = net["2"][3], [PLAIN, WAVES]
    running = ascend(net, unit, given)
    next(running)
    new = [PLAIN.replace(stepper=Constant(2000.0)), WAVES.replace(regularizers=())]
    sent = running.send(new)
    for number in range(2):
        alone = ascend(net, unit, given[number])
        next(alone)
        assert torch.equal(alone.send(new[number]).image[0], sent.image[number])
    with pytest.raises(ValueError, match="3 recipes were sent to an ascent of 2; expected 1 or that many"):
        running.send([*new, PLAIN])


@pytest.mark.parametrize("given", [[], ()])
def test_no_recipe_is_told(net: Network, given: Any) -> None:
    with pytest.raises(ValueError, match="no recipe was given; expected one or several of natural, "):
        ascend(net, net["2"][3], given)


def test_paths_tell_what_was_done(net: Network) -> None:
    result = maximize(net, [net["0"][1], net["4"][2], net.output[0]], PLAIN, chunk=2, canvas="full")
    assert [path.cut for path in result.paths] == ["0", "4", ""]
    assert [path.folded for path in result.paths] == [0, 1, 1]
    assert [path.chunk for path in result.paths] == [2, 2, 2]
    assert str(result.paths[1]).startswith("cut at 4; 1 norms folded; ")
    assert str(result.paths[2]).startswith("to the output; 1 norms folded; ")
    assert "a copy on the same weights" in str(result.paths[0])
    assert str(result.paths[0]).endswith("; chunk 2")


@pytest.mark.parametrize("ends", ["drained", "closed", "dropped", "failed"])
def test_no_thread_hook_or_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    monkeypatch.chdir(tmp_path)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).train()
    network = Network(module, InputSpec(size=(1, 8, 8)))
    before, threads = state_of(module), threading.active_count()
    shadows: list[weakref.ref[nn.Module]] = []
    shadow = network.shadow

    def watched() -> nn.Module | None:
        copied = shadow()
        assert copied is not None
        shadows.append(weakref.ref(copied))
        return copied

    monkeypatch.setattr(network, "shadow", watched)
    running = ascend(network, [network["0"][1, "center"], network.output[1]], [PLAIN, recipes.get("none")], copies=2)
    next(running)
    next(running)
    if ends == "drained":
        list(running)
    elif ends == "closed":
        running.close()
    elif ends == "failed":
        with pytest.raises(KeyError):
            running.send("nonsense")
    del running
    gc.collect()
    assert shadows
    assert all(made() is None for made in shadows)
    assert state_of(module) == before
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []

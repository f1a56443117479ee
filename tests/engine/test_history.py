"""A run goes back to any of its steps, and on from there as it went, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.ascent import Ascent, Frame, Recipes, goals_of, recipes_of
from cnnviz_widgets.engine.best import Best
from cnnviz_widgets.engine.history import History
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation, diversity
from cnnviz_widgets.engine.parameterizations import Fourier
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Noise, Padding
from cnnviz_widgets.engine.steppers import Adam, Constant, NAdam, Progress

STEPS = 13

RANDOM = Recipe(regularizers=(Padding(2), Jitter(3), Noise(4.0)), stepper=Adam(2.0), steps=STEPS)
PROBED = Recipe(regularizers=(L2Decay(0.3),), stepper=Constant(100.0, probe=True), steps=STEPS)
WAVES = Recipe(Fourier(), (GaussianBlur(0.5, every=4),), NAdam(0.05), steps=STEPS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 3)
        )
        module[2].bias.data[3] = -9.0  # type: ignore[index, union-attr, operator]
    return Network(module, InputSpec(size=(1, 10, 10)))


Goal = Callable[[Network], Any]


@dataclass
class Case:
    """A run and what is sent to it: after the look at a step, recipes that the update of that step follows already."""

    recipe: Recipes
    goal: Goal = field(default=lambda net: net["2"][1])
    sent: dict[int, Recipes] = field(default_factory=dict)
    copies: int = 1


CASES = {
    "plain": Case(Recipe(stepper=Progress(0.01), steps=STEPS)),
    "random, Adam": Case(RANDOM.replace(draws=2)),
    "waves, NAdam": Case(WAVES),
    "tried": Case(PROBED),
    "a neuron on its canvas, and a logit": Case(RANDOM, lambda net: [net["2"][1, "center"], net.output[2]]),
    "two recipes, of other lengths": Case([RANDOM, PROBED.replace(steps=6)]),
    "a group": Case(RANDOM, lambda net: activation(net["2"][1]) + diversity(net["2"]), copies=2),
    "steered from Adam to progress": Case(RANDOM, sent={4: RANDOM.replace(stepper=Progress(0.02))}),
    "steered from a tried size": Case(PROBED, sent={7: PROBED.replace(stepper=Constant(30.0))}),
    "steered often": Case(
        RANDOM,
        sent={
            0: RANDOM.replace(draws=2),
            3: RANDOM.replace(stepper=NAdam(1.0)),
            5: RANDOM.replace(regularizers=(Noise(9.0), L2Decay(0.05))),
            9: RANDOM.replace(stepper=Adam(1.0), regularizers=()),
            10: RANDOM,
        },
    ),
}


def started(net: Network, case: Case) -> Ascent:
    return Ascent(net, goals_of(net, case.goal(net)), recipes_of(case.recipe), case.copies)


def run(ascent: Ascent, history: History, sent: dict[int, Recipes], until: int = STEPS) -> list[Frame]:
    """Frames from where it is to a step."""
    frames = [ascent.look()]
    while ascent.step < until and not ascent.over:
        history.keep()
        if ascent.step in sent:
            ascent.follow(sent[ascent.step])
            history.keep()
        ascent.advance()
        frames.append(ascent.look())
    return frames


def equal(one: Frame, other: Frame) -> bool:
    numbers = [(one.image, other.image), (one.score, other.score)]
    if one.probabilities is not None and other.probabilities is not None:
        numbers.append((one.probabilities, other.probabilities))
    return (
        one.step == other.step
        and (one.probabilities is None) == (other.probabilities is None)
        and all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in numbers)
        and one.notes == other.notes
        and one.paths == other.paths
    )


def alike(found: Frame, then: Frame, case: Case) -> bool:
    """Whether it is the frame of then; where a recipe was sent that one was its predecessor's, of the same image."""
    return equal(found, then) or (then.step in case.sent and torch.equal(found.image, then.image))


@pytest.mark.parametrize("every", [1, 5, 100])
@pytest.mark.parametrize("name", CASES)
def test_back_to_any_step_and_on_from_there(net: Network, name: str, every: int) -> None:
    case = CASES[name]
    with started(net, case) as ascent:
        history = History(ascent, every=every)
        frames = run(ascent, history, case.sent)
        assert [frame.step for frame in frames] == list(range(STEPS + 1))
        followed = [history.recipes_at(step) for step in range(STEPS)]
        for step in (12, 10, 7, 5, 4, 3, 1, 0):
            history.rewind(step)
            assert ascent.recipes == followed[step]
            found = ascent.look()
            assert equal(ascent.look(), found)
            assert alike(found, frames[step], case)
        # at the beginning again, it goes the same way
        again = run(ascent, history, case.sent)
        assert len(again) == len(frames)
        for one, other in zip(again, frames, strict=True):
            assert alike(one, other, case)


@pytest.mark.parametrize("name", CASES)
def test_without_a_look_in_between_too(net: Network, name: str) -> None:
    case = CASES[name]
    with started(net, case) as ascent:
        history = History(ascent, every=4)
        frames = run(ascent, history, case.sent)
        history.rewind(6)
        sent = {step: recipes for step, recipes in case.sent.items() if step > 6}
        while ascent.step < STEPS:
            history.keep()
            if ascent.step in sent:
                ascent.follow(sent[ascent.step])
                history.keep()
            ascent.advance()
        assert equal(ascent.look(), frames[STEPS])


def test_going_on_another_way_forgets_the_former(net: Network) -> None:
    case = Case(RANDOM)
    other = RANDOM.replace(stepper=Progress(0.05))
    with started(net, case) as ascent, started(net, case) as straight:
        history, its = History(ascent, every=3), History(straight)
        run(ascent, history, {8: PROBED})
        history.rewind(5)
        branched = run(ascent, history, {5: other})
        expected = run(straight, its, {5: other})
        for one, frame in zip(branched, expected[5:], strict=True):
            assert equal(one, frame)
        assert [history.recipes_at(step) for step in (4, 5, 12)] == [
            (RANDOM,),
            straight.recipes,
            straight.recipes,
        ]
        history.rewind(9)
        assert equal(ascent.look(), expected[9])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_image_that_stopped_goes_on_before_and_stays_after(net: Network) -> None:
    @dataclass(frozen=True)
    class _Break(L2Decay):
        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            return x * float("nan") if step == 4 else x

    case = Case([RANDOM.replace(regularizers=(_Break(),)), RANDOM])
    with started(net, case) as ascent:
        history = History(ascent, every=2)
        frames = run(ascent, history, {})
        assert frames[4].notes[0] == ""
        assert "at step 4" in frames[5].notes[0]
        assert not any(frames[-1].notes[1:])
        for step in (8, 5, 4, 2):
            history.rewind(step)
            assert equal(ascent.look(), frames[step])
        for one, other in zip(run(ascent, history, {}), frames[2:], strict=True):
            assert equal(one, other)


def test_what_is_kept_stays_within_its_bound(net: Network) -> None:
    case = Case(RANDOM.replace(steps=60), lambda net: [net["2"][1], net.output[2]])
    with started(net, case) as ascent:
        free, history = History(ascent, every=1), History(ascent, limit=100_000, every=1)
        frames, sizes = [ascent.look()], []
        while not ascent.over:
            free.keep()
            history.keep()
            ascent.advance()
            frames.append(ascent.look())
            sizes.append(history.size)
        # the generator's state is 5 kB, the image and what Adam remembers of it 1 kB
        assert free.size > 60 * 2 * 5_000
        assert 40_000 < max(sizes) <= 100_000
        for step in (59, 31, 7, 0):
            history.rewind(step)
            assert equal(ascent.look(), frames[step])
        history.clear()
        assert history.size == 0
        with pytest.raises(ValueError, match="step 0; expected one of the run so far"):
            history.rewind(0)


@pytest.mark.parametrize("step", [-1, 7, 100])
def test_a_step_that_was_not_reached_is_told(net: Network, step: int) -> None:
    with started(net, Case(RANDOM)) as ascent:
        history = History(ascent)
        before = run(ascent, history, {}, until=6)[-1]
        with pytest.raises(ValueError, match=f"step {step}; expected one of the run so far, 0 to 6"):
            history.rewind(step)
        assert equal(ascent.look(), before)


def test_steering_to_a_stepper_with_another_memory_and_looking_into_the_step(net: Network) -> None:
    with started(net, Case(WAVES)) as ascent, started(net, Case(WAVES)) as plain:
        for one in (ascent, plain):
            one.look()
            one.advance()
            one.follow(WAVES.replace(stepper=Adam(0.1)))
        found = ascent.anatomy()
        assert found[-1][0] == "step"
        ascent.advance()
        plain.advance()
        assert torch.equal(ascent.look().image, plain.look().image)


def test_the_best_forgets_what_came_later(net: Network) -> None:
    case = Case(Recipe(stepper=Constant(2e4), steps=STEPS))
    with started(net, case) as ascent:
        history, best = History(ascent, every=3), Best(ascent.recipes)
        for frame in (frames := run(ascent, history, {})):
            best.add(frame)
        assert best.leader()[1] == STEPS
        history.rewind(4)
        best.back_to(4)
        best.add(ascent.look())
        assert best.leader() == (float(frames[4].score), 4)
        result = best.result(net, ascent.goals)
        assert torch.equal(result.image, frames[4].image)
        assert result.curve.flatten().tolist() == [float(frame.score) for frame in frames[:5]]

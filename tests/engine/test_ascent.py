"""Frames and what they promise, steering, and what `maximize` gives back."""

from __future__ import annotations

import copy
import dataclasses
import gc
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine import regularizers as reg
from cnnviz_widgets.engine.ascent import ascend, maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation
from cnnviz_widgets.engine.recording import Recording
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Constant, Progress


SMALL = Progress(0.02)
"""The grey network's scores have little room: at a desired progress of 2 its 64 pixels would be black or white at once."""


@pytest.fixture(autouse=True)
def _classes_of_a_test() -> Iterator[None]:
    """The classes that a test defines are forgotten after it."""
    before = dict(Regularizer.registry)
    yield
    Regularizer.registry.clear()
    Regularizer.registry.update(before)


def score_of(net: Network, image: Tensor, layer: str, channel: int) -> float:
    """A unit's activation, found without the ascent."""
    with net.recording(layer) as record, torch.no_grad():
        return float(record(image)[layer][0, channel].mean())


def spy(log: list[str], name: str, **moments: Any) -> Regularizer:
    """A regularizer that writes down when it is asked; ``moments`` are its methods."""
    told = {moment: _logged(log, name, method) for moment, method in moments.items()}
    kind = dataclass(frozen=True)(type(f"_{name}", (Regularizer,), told))
    return kind()


def _logged(log: list[str], name: str, method: Any) -> Any:
    def asked(self: Regularizer, *given: Any) -> Tensor:
        log.append(name)
        return method(*given)

    return asked


def test_frame_zero_is_the_start_and_each_frame_has_its_own_score(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    frames = list(ascend(grey_network, unit, stepper=SMALL, steps=4, seed=7))
    assert [frame.step for frame in frames] == [0, 1, 2, 3, 4]
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(7)) * 10 / 255 + 0.4
    assert torch.allclose(frames[0].image, noise, atol=1e-6)
    for frame in frames:
        assert float(frame.score) == pytest.approx(score_of(grey_network, frame.image, "2", 3), rel=1e-5)
        assert frame.image.shape == (1, 1, 8, 8)
        assert 0 <= frame.image.min() <= frame.image.max() <= 1
        assert not frame.image.requires_grad
        assert not frame.score.requires_grad
    assert float(frames[-1].score) > float(frames[0].score)


def test_a_frame_is_not_changed_by_later_steps(grey_network: Network) -> None:
    frames = ascend(grey_network, grey_network["2"][3], steps=3)
    first = next(frames)
    kept = first.image.clone()
    first_score = float(first.score)
    list(frames)
    assert torch.equal(first.image, kept)
    assert float(first.score) == first_score
    again = ascend(grey_network, grey_network["2"][3], steps=3)
    next(again).image.zero_()
    assert torch.equal(next(again).image, list(ascend(grey_network, grey_network["2"][3], steps=3))[1].image)


def test_the_image_never_leaves_its_range(resnet: Network) -> None:
    recipe = recipes.Recipe(stepper=Constant(1e8), steps=3)
    for frame in ascend(resnet, resnet.output[5], recipe):
        assert frame.image.min() >= 0
        assert frame.image.max() <= 1
    assert {0.0, 1.0} <= set(frame.image.unique().tolist())


def test_probabilities_come_only_with_the_logits(grey_network: Network) -> None:
    assert next(ascend(grey_network, grey_network["2"][0])).probabilities is None
    frame = next(ascend(grey_network, [grey_network.output[2], grey_network["2"][0]], chunk=3))
    assert frame.probabilities is not None
    assert frame.probabilities.shape == (2, 5)
    assert frame.probabilities.sum(1).tolist() == pytest.approx([1, 1])


def test_the_last_frame_asks_for_no_gradient(grey_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    run = Recording.__call__

    def watched(self: Recording, images: Tensor) -> dict[str, Tensor]:
        asked.append(torch.is_grad_enabled() and images.requires_grad)
        return run(self, images)

    monkeypatch.setattr(Recording, "__call__", watched)
    list(ascend(grey_network, grey_network["2"][3], steps=2))
    assert asked == [True, True, False]
    list(ascend(grey_network, grey_network["2"][3], steps=0))
    assert asked == [True, True, False, False]


def test_no_update_is_made_for_a_frame_nobody_asked_for(grey_network: Network) -> None:
    log: list[str] = []
    counter = spy(log, "count", project=lambda x, gradient, step: x)
    frames = ascend(grey_network, grey_network["2"][3], regularizers=[counter], steps=9)
    next(frames)
    assert log == []
    next(frames)
    assert log == ["count"]


def test_a_list_and_copies_give_one_image_each(grey_network: Network) -> None:
    goals = [grey_network["2"][1], 2 * activation(grey_network["2"][2])]
    frame = next(ascend(grey_network, goals, copies=3, seed=5, chunk=4))
    assert frame.image.shape == (6, 1, 8, 8)
    assert torch.equal(frame.image[0:3], frame.image[3:6])
    for copy in range(3):
        alone = next(ascend(grey_network, goals[0], seed=5 + copy, chunk=4))
        assert torch.equal(frame.image[copy], alone.image[0])


def test_regularizers_act_in_the_order_of_the_list(grey_network: Network) -> None:
    log: list[str] = []
    first = spy(log, "first", project=lambda x, gradient, step: x + 0.01)
    second = spy(log, "second", project=lambda x, gradient, step: x * 2)
    unit = grey_network["2"][3]
    images = {}
    for priors in ([first, second], [second, first]):
        log.clear()
        images[priors[0]] = list(ascend(grey_network, unit, regularizers=priors, stepper=SMALL, steps=1))[-1].image
        assert log == (["first", "second"] if priors[0] is first else ["second", "first"])
    assert not torch.equal(images[first], images[second])
    assert torch.allclose(images[second] - images[first], torch.tensor(-0.01), atol=1e-6)


def test_every_starts_at_step_zero(grey_network: Network) -> None:
    steps: list[int] = []

    @dataclass(frozen=True)
    class _Seen(Regularizer):
        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            steps.append(step)
            return x

    list(ascend(grey_network, grey_network["2"][3], regularizers=[_Seen(every=3)], steps=8))
    assert steps == [0, 3, 6]


@dataclass(frozen=True)
class _Shift(Regularizer):
    """Up or down by one pixel, drawn."""

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image.roll(int(torch.randint(-1, 2, (), generator=generator)), dims=2)


@dataclass(frozen=True)
class _Square(Regularizer):
    weight: float = 30.0

    def penalty(self, image: Tensor) -> Tensor:
        return self.weight * (image - 0.4).square().flatten(1).mean(1)


@dataclass(frozen=True)
class _Halve(Regularizer):
    def condition(self, gradient: Tensor) -> Tensor:
        return gradient / 2


@dataclass(frozen=True)
class _Freeze(Regularizer):
    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return x.new_zeros(x.shape)


def test_a_transformation_is_what_the_network_sees(grey_network: Network) -> None:
    @dataclass(frozen=True)
    class _Flip(Regularizer):
        def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
            return image.flip(3)

    unit = grey_network["2"][3]
    frames = list(ascend(grey_network, unit, regularizers=[_Flip()], stepper=SMALL, steps=2))
    for frame in frames:
        assert float(frame.score) == pytest.approx(score_of(grey_network, frame.image.flip(3), "2", 3), rel=1e-5)
    # differentiated through: the flipped image of a flipped start climbs like the start itself
    assert float(frames[2].score) > float(frames[0].score)


def test_a_penalty_is_taken_off_but_not_told(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    stepper = Constant(1e4)
    free = list(ascend(grey_network, unit, stepper=stepper, steps=20))[-1]
    held = list(ascend(grey_network, unit, stepper=stepper, regularizers=[_Square()], steps=20))[-1]
    assert (held.image - 0.4).square().mean() < (free.image - 0.4).square().mean()
    assert float(held.score) == pytest.approx(score_of(grey_network, held.image, "2", 3), rel=1e-5)


def test_a_condition_changes_the_gradient(grey_network: Network) -> None:
    unit, stepper = grey_network["2"][3], Constant(100.0)
    start, whole = ascend(grey_network, unit, stepper=stepper, steps=1)
    _, half = ascend(grey_network, unit, stepper=stepper, regularizers=[_Halve()], steps=1)
    assert torch.allclose(2 * (half.image - start.image), whole.image - start.image, atol=1e-6)


def test_a_projection_has_the_last_word(grey_network: Network) -> None:
    _, frame = ascend(grey_network, grey_network["2"][3], regularizers=[_Freeze()], steps=1)
    assert torch.equal(frame.image, torch.full((1, 1, 8, 8), 0.4))


@pytest.mark.parametrize("moment", ["penalty", "condition", "project"])
def test_a_result_of_the_wrong_shape_is_told(grey_network: Network, moment: str) -> None:
    wrong = {
        "penalty": lambda image: image.abs().mean(),
        "condition": lambda gradient: gradient[:, :, 1:],
        "project": lambda x, gradient, step: x.mean(),
    }[moment]
    prior = spy([], "Wrong", **{moment: wrong})
    frames = ascend(grey_network, grey_network["2"][3], regularizers=[prior], steps=2)
    with pytest.raises(ValueError, match=rf"{moment} of .*_Wrong\(every=1\) gave \(.*expected"):
        list(frames)


def test_random_transformations_make_the_result_the_last_frame(grey_network: Network) -> None:
    unit, fields = grey_network["2"][3], {"regularizers": [_Shift()], "steps": 6, "copies": 3}
    *_, last = ascend(grey_network, unit, **fields)
    result = maximize(grey_network, unit, **fields)
    assert torch.equal(result.image, last.image)
    assert result.step.tolist() == [6, 6, 6]
    assert torch.equal(result.score, result.curve[-1])


def test_without_them_it_is_the_best(grey_network: Network) -> None:
    goals = [grey_network["2"][3], grey_network["2"][1]]
    result = maximize(grey_network, goals, stepper=Constant(1e5), regularizers=[reg.L2Decay(0.5)], steps=12)
    assert torch.equal(result.score, result.curve.amax(0))
    assert torch.equal(result.step, result.curve.argmax(0))
    frames = list(ascend(grey_network, goals, stepper=Constant(1e5), regularizers=[reg.L2Decay(0.5)], steps=12))
    for number, step in enumerate(result.step.tolist()):
        assert torch.equal(result.image[number], frames[step].image[number])


def test_a_recipe_sent_acts_on_the_next_step(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    frames = ascend(grey_network, unit, steps=5)
    recipe = recipes.get("none").replace(steps=5)
    next(frames)
    next(frames)
    frame = frames.send(recipe.replace(regularizers=[_Freeze()]))
    assert frame.step == 2
    assert torch.equal(frame.image, torch.full((1, 1, 8, 8), 0.4))
    assert not torch.equal(frames.send(recipe).image, frame.image)


@pytest.mark.parametrize("prior", [_Square(), _Halve()], ids=["penalty", "condition"])
def test_what_acts_before_the_update_follows_at_once_too(grey_network: Network, prior: Regularizer) -> None:
    unit = grey_network["2"][3]
    recipe = recipes.Recipe(stepper=Constant(1e4), steps=3)
    _, whole, *_ = ascend(grey_network, unit, recipe, regularizers=[prior])
    frames = ascend(grey_network, unit, recipe)
    next(frames)
    assert torch.equal(frames.send(recipe.replace(regularizers=[prior])).image, whole.image)


def test_a_stepper_and_a_name_can_be_sent(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    frames = ascend(grey_network, unit, stepper=Progress(1e-6), steps=5)
    start = next(frames)
    small = (next(frames).image - start.image).abs().max()
    assert (frames.send("none").image - start.image).abs().max() > 100 * small


@pytest.mark.parametrize("priors", [(), (reg.GaussianBlur(0.5),), (_Shift(),)], ids=["none", "blur", "random"])
def test_more_steps_at_the_last_frame_go_on_as_if_asked_for_at_once(
    grey_network: Network, priors: tuple[Regularizer, ...]
) -> None:
    unit = grey_network["2"][3]
    recipe = recipes.Recipe(regularizers=priors, steps=2)
    frames = ascend(grey_network, unit, recipe)
    for _ in range(3):
        frame = next(frames)
    assert frame.step == 2
    gone_on = [frames.send(recipe.replace(steps=5)), *frames]
    assert [frame.step for frame in gone_on] == [3, 4, 5]
    at_once = list(ascend(grey_network, unit, recipe, steps=5))
    assert torch.equal(gone_on[-1].image, at_once[-1].image)


def test_fewer_steps_end_it(grey_network: Network) -> None:
    frames = ascend(grey_network, grey_network["2"][3], steps=50)
    next(frames)
    next(frames)
    with pytest.raises(StopIteration):
        frames.send(recipes.get("none").replace(steps=1))


def test_closing_leaves_nothing_behind() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)).train()
    net = Network(module, InputSpec(size=(1, 8, 8)))
    made: list[weakref.ref[nn.Module]] = []
    shadow = net.shadow

    def watched() -> nn.Module | None:
        copied = shadow()
        assert copied is not None
        made.append(weakref.ref(copied))
        return copied

    net.shadow = watched  # type: ignore[method-assign]
    frames = ascend(net, net["0"][1], steps=50)
    assert not made
    next(frames)
    next(frames)
    assert all(not part._forward_hooks for part in module.modules())
    assert made[0]() is not None
    frames.close()
    gc.collect()
    assert made[0]() is None
    assert module.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(grey_network: Network, mode: Any) -> None:
    unit = grey_network["2"][3]
    expected = list(ascend(grey_network, unit, "yosinski-1", steps=3))[-1].image
    frames = ascend(grey_network, unit, "yosinski-1", steps=3)
    with mode():
        next(frames)
        next(frames)
        assert not torch.is_grad_enabled()
    next(frames)
    with mode():
        assert torch.equal(next(frames).image, expected)


def test_double_and_half_precision(grey_network: Network) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        net = Network(copy.deepcopy(grey_network.module).to(dtype), grey_network.input)
        *_, last = frames = list(ascend(net, net["2"][3], "yosinski-3", stepper=SMALL, steps=3))
        assert last.image.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert float(last.score) > float(frames[0].score)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"goal": "flamingo"}, TypeError, r"'flamingo' was given.*net\.unit"),
        ({"goal": []}, ValueError, "no goal"),
        ({"recipe": "yosinsky-1"}, KeyError, "did you mean 'yosinski-1'"),
        ({"stepps": 3}, TypeError, "stepps"),
        ({"copies": 0}, ValueError, "copies=0"),
        ({"regularizers": [3]}, TypeError, "3 among the regularizers"),
        ({"steps": -1}, ValueError, "steps=-1"),
    ],
)
@pytest.mark.parametrize("call", [ascend, maximize])
def test_what_is_wrong_is_told_at_once(
    grey_network: Network, call: Any, given: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = {"goal": grey_network["2"][0], **given}
    with pytest.raises(error, match=match):
        call(grey_network, **given)


def test_a_unit_of_another_network_is_told(grey_network: Network, resnet: Network) -> None:
    with pytest.raises(ValueError, match="is no unit of this network"):
        ascend(grey_network, resnet["conv1"][0])
    other = Network(nn.Conv2d(1, 9, 3), InputSpec(size=(1, 8, 8)))
    with pytest.raises(ValueError, match="is no unit of this network"):
        ascend(grey_network, activation(grey_network["2"][0]) + activation(next(iter(other.layers.values()))[8]))


def test_an_interrupt_gives_what_there_is(grey_network: Network) -> None:
    @dataclass(frozen=True)
    class _Interrupt(Regularizer):
        steps: list[int] = field(default_factory=list, compare=False)

        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            if step == 3:
                raise KeyboardInterrupt
            return x

    with pytest.warns(RuntimeWarning, match="Interrupted after step 3"):
        result = maximize(grey_network, grey_network["2"][3], regularizers=[_Interrupt()], steps=9)
    expected = maximize(grey_network, grey_network["2"][3], steps=3)
    assert result.curve.shape == (4, 1)
    assert torch.equal(result.image, expected.image)
    assert result.notes == ("Interrupted after step 3.",)


def test_an_interrupt_before_the_first_frame_stays_one(grey_network: Network) -> None:
    def interrupted(image: Tensor, generator: torch.Generator) -> Tensor:
        raise KeyboardInterrupt

    prior = spy([], "Early", transform=interrupted)
    with pytest.raises(KeyboardInterrupt):
        maximize(grey_network, grey_network["2"][3], regularizers=[prior])


def test_a_healthy_run_warns_of_nothing(grey_network: Network) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = maximize(grey_network, grey_network.output[1], "yosinski-4", steps=3, copies=2)
    assert result.notes == ("", "")
    assert result.labels == ("7[1]", "7[1]")
    assert dataclasses.replace(result.recipe, steps=1000) == recipes.get("yosinski-4")


@pytest.mark.real
def test_without_regularization_noise_becomes_a_flamingo_to_the_network(real_network: Network) -> None:
    unit = real_network.unit("flamingo")
    frames = ascend(real_network, unit, "none", steps=60)
    start = next(frames)
    *_, last = frames
    assert last.probabilities is not None
    assert float(last.probabilities[0, unit.channel]) > 0.99
    pair = torch.stack([frame.image.flatten() for frame in (start, last)])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.9


@pytest.mark.real
@pytest.mark.long
def test_with_it_the_network_and_we_see_one(real_network: Network) -> None:
    result = maximize(real_network, real_network.unit("flamingo"), "yosinski-3", steps=500)
    ((label, probability),) = real_network.classify(result.image, k=1)[0]
    assert label == "flamingo"
    assert probability > 0.9
    # nothing of the start's noise, of contrast 10, is left
    assert result.contrast[0] < 2

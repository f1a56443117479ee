"""Frames and what they promise, steering, and what `maximize` gives back."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation
from cnnviz_widgets.engine.parameterizations import Pixels
from cnnviz_widgets.engine.recording import Recording
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Constant, Progress
from tests.engine.priors import _Freeze, _Halve, _Square

SMALL = Progress(0.02)
"""The grey network's scores have little room: at a desired progress of 2 its 64 pixels would be black or white at once."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    frames = list(ascend(grey_network, unit, "none", stepper=SMALL, steps=4, seed=7))
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
    frames = ascend(grey_network, grey_network["2"][3], "none", steps=3)
    first = next(frames)
    kept = first.image.clone()
    first_score = float(first.score)
    list(frames)
    assert torch.equal(first.image, kept)
    assert float(first.score) == first_score
    again = ascend(grey_network, grey_network["2"][3], "none", steps=3)
    next(again).image.zero_()
    assert torch.equal(next(again).image, list(ascend(grey_network, grey_network["2"][3], "none", steps=3))[1].image)


def test_the_image_never_leaves_its_range(resnet: Network) -> None:
    recipe = recipes.Recipe(stepper=Constant(1e8), steps=3)
    for frame in ascend(resnet, resnet.output[5], recipe):
        assert frame.image.min() >= 0
        assert frame.image.max() <= 1
    assert {0.0, 1.0} <= set(frame.image.unique().tolist())


def test_rounding_takes_no_image_out_of_its_range() -> None:
    net = Network(nn.Conv2d(1, 2, 3), InputSpec(size=(1, 6, 6), mean=0.01703))
    start, *_ = ascend(net, net.output[0], "none", parameterization=Pixels(200.0), steps=0)
    assert start.image.min() == 0
    neutral = net.input.neutral_image()
    assert Pixels().decode(Pixels().constrain(torch.full((1, 1, 1, 1), -99.0), neutral), neutral) < 0


def test_probabilities_come_only_with_the_logits(grey_network: Network) -> None:
    assert next(ascend(grey_network, grey_network["2"][0], "none")).probabilities is None
    frame = next(ascend(grey_network, [grey_network.output[2], grey_network["2"][0]], "none", chunk=3))
    assert frame.probabilities is not None
    assert frame.probabilities.shape == (2, 5)
    assert float(frame.probabilities[0].sum()) == pytest.approx(1)
    assert frame.probabilities[1].isnan().all()


def test_the_last_frame_asks_for_no_gradient(grey_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    run = Recording.__call__

    def watched(self: Recording, images: Tensor) -> dict[str, Tensor]:
        asked.append(torch.is_grad_enabled() and images.requires_grad)
        return run(self, images)

    monkeypatch.setattr(Recording, "__call__", watched)
    list(ascend(grey_network, grey_network["2"][3], "none", steps=2))
    assert asked == [True, True, False]
    list(ascend(grey_network, grey_network["2"][3], "none", steps=0))
    assert asked == [True, True, False, False]


def test_no_update_is_made_for_a_frame_nobody_asked_for(grey_network: Network) -> None:
    log: list[str] = []
    counter = spy(log, "count", project=lambda x, gradient, step: x)
    frames = ascend(grey_network, grey_network["2"][3], "none", regularizers=[counter], steps=9)
    next(frames)
    assert log == []
    next(frames)
    assert log == ["count"]


def test_a_list_and_copies_give_one_image_each(grey_network: Network) -> None:
    goals = [grey_network["2"][1], 2 * activation(grey_network["2"][2])]
    frame = next(ascend(grey_network, goals, "none", copies=3, seed=5, chunk=4))
    assert frame.image.shape == (6, 1, 8, 8)
    assert torch.equal(frame.image[0:3], frame.image[3:6])
    for number in range(3):
        alone = next(ascend(grey_network, goals[0], "none", seed=5 + number, chunk=4))
        assert torch.equal(frame.image[number], alone.image[0])


def test_regularizers_act_in_the_order_of_the_list(grey_network: Network) -> None:
    log: list[str] = []
    first = spy(log, "first", project=lambda x, gradient, step: x + 0.01)
    second = spy(log, "second", project=lambda x, gradient, step: x * 2)
    unit = grey_network["2"][3]
    images = {}
    for priors in ([first, second], [second, first]):
        log.clear()
        images[priors[0]] = list(ascend(grey_network, unit, "none", regularizers=priors, stepper=SMALL, steps=1))[
            -1
        ].image
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

    list(ascend(grey_network, grey_network["2"][3], "none", regularizers=[_Seen(every=3)], steps=8))
    assert steps == [0, 3, 6]


def test_a_transformation_is_what_the_network_sees(grey_network: Network) -> None:
    @dataclass(frozen=True)
    class _Flip(Regularizer):
        def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
            return image.flip(3)

    unit = grey_network["2"][3]
    frames = list(ascend(grey_network, unit, "none", regularizers=[_Flip()], stepper=SMALL, steps=2))
    for frame in frames:
        assert float(frame.score) == pytest.approx(score_of(grey_network, frame.image.flip(3), "2", 3), rel=1e-5)
    # differentiated through: the flipped image of a flipped start climbs like the start itself
    assert float(frames[2].score) > float(frames[0].score)


def test_a_penalty_is_taken_off_but_not_told(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    stepper = Constant(1e4)
    free = list(ascend(grey_network, unit, "none", stepper=stepper, steps=20))[-1]
    held = list(ascend(grey_network, unit, "none", stepper=stepper, regularizers=[_Square()], steps=20))[-1]
    neutral = grey_network.input.neutral_image()
    assert (held.image - neutral).square().mean() < (free.image - neutral).square().mean()
    assert float(held.score) == pytest.approx(score_of(grey_network, held.image, "2", 3), rel=1e-5)


def test_a_condition_changes_the_gradient(grey_network: Network) -> None:
    unit, stepper = grey_network["2"][3], Constant(100.0)
    start, whole = ascend(grey_network, unit, "none", stepper=stepper, steps=1)
    _, half = ascend(grey_network, unit, "none", stepper=stepper, regularizers=[_Halve()], steps=1)
    assert torch.allclose(2 * (half.image - start.image), whole.image - start.image, atol=1e-6)


def test_a_projection_has_the_last_word(grey_network: Network) -> None:
    _, frame = ascend(grey_network, grey_network["2"][3], "none", regularizers=[_Freeze()], steps=1)
    assert torch.equal(frame.image, torch.full((1, 1, 8, 8), 0.4))


@pytest.mark.parametrize("moment", ["penalty", "condition", "project"])
def test_a_result_of_the_wrong_shape_is_told(grey_network: Network, moment: str) -> None:
    wrong = {
        "penalty": lambda image: image.abs().mean(),
        "condition": lambda gradient: gradient[:, :, 1:],
        "project": lambda x, gradient, step: x.mean(),
    }[moment]
    prior = spy([], "Wrong", **{moment: wrong})
    frames = ascend(grey_network, grey_network["2"][3], "none", regularizers=[prior], steps=2)
    with pytest.raises(ValueError, match=rf"{moment} of .*_Wrong\(every=1\) gave \(.*expected"):
        list(frames)


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
    frames = ascend(net, net["0"][1], "none", steps=50)
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
        ascend(grey_network, resnet["conv1"][0], "none")
    other = Network(nn.Conv2d(1, 9, 3), InputSpec(size=(1, 8, 8)))
    with pytest.raises(ValueError, match="is no unit of this network"):
        ascend(
            grey_network, activation(grey_network["2"][0]) + activation(next(iter(other.layers.values()))[8]), "none"
        )


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

"""What `maximize` gives back: the best images, or the last, and what there is when it is interrupted."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine import regularizers as reg
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Constant


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Shift(Regularizer):
    """Up or down by one pixel, drawn."""

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image.roll(int(torch.randint(-1, 2, (), generator=generator)), dims=2)


def test_random_transformations_make_the_result_the_last_frame(grey_network: Network) -> None:
    unit, fields = grey_network["2"][3], {"regularizers": [_Shift()], "steps": 6, "copies": 3}
    *_, last = ascend(grey_network, unit, "none", **fields)
    result = maximize(grey_network, unit, "none", **fields)
    assert torch.equal(result.image, last.image)
    assert result.step.tolist() == [6, 6, 6]
    assert torch.equal(result.score, result.curve[-1])


def test_without_them_it_is_the_best(grey_network: Network) -> None:
    goals = [grey_network["2"][3], grey_network["2"][1]]
    result = maximize(grey_network, goals, "none", stepper=Constant(1e5), regularizers=[reg.L2Decay(0.5)], steps=12)
    assert torch.equal(result.score, result.curve.amax(0))
    assert torch.equal(result.step, result.curve.argmax(0))
    frames = list(ascend(grey_network, goals, "none", stepper=Constant(1e5), regularizers=[reg.L2Decay(0.5)], steps=12))
    for number, step in enumerate(result.step.tolist()):
        assert torch.equal(result.image[number], frames[step].image[number])


def test_an_interrupt_gives_what_there_is(grey_network: Network) -> None:
    @dataclass(frozen=True)
    class _Interrupt(Regularizer):
        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            if step == 3:
                raise KeyboardInterrupt
            return x

    with pytest.warns(RuntimeWarning, match="Interrupted after step 3"):
        result = maximize(grey_network, grey_network["2"][3], "none", regularizers=[_Interrupt()], steps=9)
    expected = maximize(grey_network, grey_network["2"][3], "none", steps=3)
    assert result.curve.shape == (4, 1)
    assert torch.equal(result.image, expected.image)
    assert result.notes == ("Interrupted after step 3.",)


def test_an_interrupt_before_the_first_frame_stays_one(grey_network: Network) -> None:
    @dataclass(frozen=True)
    class _Early(Regularizer):
        def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maximize(grey_network, grey_network["2"][3], "none", regularizers=[_Early()])


def test_a_healthy_run_warns_of_nothing(grey_network: Network) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = maximize(grey_network, grey_network.output[1], "yosinski-4", steps=3, copies=2)
    assert result.notes == ("", "")
    assert result.labels == ("7[1]", "7[1]")
    assert dataclasses.replace(result.recipe, steps=1000) == recipes.get("yosinski-4")


@pytest.mark.real
@pytest.mark.long
def test_with_it_the_network_and_we_see_one(real_network: Network) -> None:
    result = maximize(real_network, real_network.unit("flamingo"), "yosinski-3", steps=500)
    ((label, probability),) = real_network.classify(result.image, k=1)[0]
    assert label == "flamingo"
    assert probability > 0.9
    # nothing of the start's noise, of contrast 10, is left
    assert result.contrast[0] < 2

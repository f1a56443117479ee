"""Recipes sent to an ascent while it runs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine import regularizers as reg
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Constant, Progress
from tests.engine.priors import _Freeze, _Halve, _Square


@dataclass(frozen=True)
class _Shift(Regularizer):
    """Up or down by one pixel, drawn."""

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image.roll(int(torch.randint(-1, 2, (), generator=generator)), dims=2)


def test_a_recipe_sent_acts_on_the_next_step(grey_network: Network) -> None:
    unit = grey_network["2"][3]
    frames = ascend(grey_network, unit, "none", steps=5)
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
    frames = ascend(grey_network, unit, "none", stepper=Progress(1e-6), steps=5)
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
    frames = ascend(grey_network, grey_network["2"][3], "none", steps=50)
    next(frames)
    next(frames)
    with pytest.raises(StopIteration):
        frames.send(recipes.get("none").replace(steps=1))

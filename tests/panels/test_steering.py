"""Knobs of `MaximizationPanel`: they steer the run, the menu of recipes follows them, and users' classes have theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnviz_widgets import MaximizationPanel, Recipe, knob, recipes
from cnnviz_widgets.engine.regularizers import ClipSmallNorm, GaussianBlur, L2Decay, Regularizer
from cnnviz_widgets.engine.steppers import Constant
from tests.panels.networks import grey
from tests.panels.runs import ENDLESS, moving, paused
from tests.panels.waiting import ours, reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]


def test_sliders_steer_the_very_next_step(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), ENDLESS)))
    row = panel.regularizers.rows["ClipSmallNorm"]
    row.switch.value = True
    row.widgets["percentile"].value = 95.0
    assert panel.recipe.regularizers == (ClipSmallNorm(95.0),)
    assert panel.menu.value == "as set below"
    step = panel.player.step
    panel.step()
    until(lambda: panel.player.step == step + 1)
    reach(panel, "paused")
    assert int((moving(panel) != 0.4).sum()) <= 4


def test_python_steers_as_well(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), ENDLESS)))
    panel.recipe = Recipe(regularizers=[L2Decay(1.0)], steps=500)
    step = panel.player.step
    panel.step()
    until(lambda: panel.player.step == step + 1)
    assert moving(panel).flatten().tolist() == pytest.approx([0.4] * 64)
    assert panel.player.total == 500


def test_more_steps_after_the_end(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=3)))
    panel.run()
    reach(panel, "finished")
    panel.numbers["steps"].value = 6
    reach(panel, "paused")
    until(lambda: not panel.buttons["resume"].disabled)
    panel.resume()
    reach(panel, "finished")
    until(lambda: panel.player.step == 6)
    assert panel.player.total == 6


@pytest.mark.parametrize("name", recipes.names())
def test_the_menu_sets_the_sliders(keep: Keep, name: str) -> None:
    panel = keep(MaximizationPanel(grey(), "yosinski-4" if name == "none" else "none"))
    panel.menu.value = name
    assert panel.recipe == recipes.get(name)


def test_the_menu_follows_the_sliders_there_and_back(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), "yosinski-2"))
    assert panel.menu.value == "yosinski-2"
    decay = panel.regularizers.rows["L2Decay"].widgets["decay"]
    decay.value = 0.01
    assert panel.menu.value == "as set below"
    assert panel.recipe == recipes.get("yosinski-2").replace(regularizers=(L2Decay(0.01), ClipSmallNorm(20.0)))
    decay.value = 0.3
    assert panel.menu.value == "yosinski-2"


def test_another_seed_is_the_same_preset(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), "yosinski-1"))
    panel.numbers["seed"].value = 5
    assert panel.menu.value == "yosinski-1"
    panel.menu.value = "yosinski-2"
    assert panel.recipe == recipes.get("yosinski-2").replace(seed=5)
    assert "recipe='yosinski-2', seed=5" in panel.code()


def test_a_preset_given_as_a_value_is_named(keep: Keep) -> None:
    assert keep(MaximizationPanel(grey(), recipes.get("yosinski-3"))).menu.value == "yosinski-3"


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(regularizers=[GaussianBlur(7.0), L2Decay(0.0)], stepper=Constant(0.01), steps=5000, seed=1234, chunk=3),
        Recipe(regularizers=[L2Decay(0.7), ClipSmallNorm(33.3)], steps=0),
    ],
)
def test_recipes_beyond_the_sliders_are_kept(keep: Keep, recipe: Recipe) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.recipe = recipe
    assert panel.recipe == recipe
    assert keep(MaximizationPanel(grey(), recipe)).recipe == recipe


def test_two_of_one_class_are_shown_and_climb(keep: Keep) -> None:
    twice = Recipe(regularizers=[L2Decay(0.1), L2Decay(0.2)], steps=4)
    panel = keep(MaximizationPanel(grey(), twice))
    assert panel.recipe == twice
    panel.regularizers.rows["L2Decay"].switch.value = False
    assert panel.recipe.regularizers == (L2Decay(0.2),)
    panel.regularizers.rows["L2Decay#2"].switch.value = False
    assert panel.recipe.regularizers == ()


def test_a_recipe_that_no_row_can_show_closes_the_panel_again(shift: type[Any]) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Shift(Regularizer):
        needed: float

    with pytest.raises(ValueError, match="has no controls here"):
        MaximizationPanel(grey(), Recipe(regularizers=[Shift(needed=0.5)]))
    until(lambda: not ours())


@pytest.fixture
def shift() -> Iterator[type[Any]]:
    """A regularizer such as a user writes in a cell."""

    @dataclass(frozen=True)
    class Shift(Regularizer):
        """Everything a little brighter."""

        by: float = knob(0.25, low=0.0, high=1.0)

        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            return torch.full_like(x, self.by)

    yield Shift
    Regularizer.registry.pop("Shift", None)


def test_a_users_regularizer_has_its_sliders_and_works(keep: Keep, shift: type[Any]) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2)))
    panel.regularizers.rows["Shift"].switch.value = True
    assert panel.recipe.regularizers == (shift(0.25),)
    panel.run()
    reach(panel, "finished")
    assert moving(panel).flatten().tolist() == pytest.approx([0.65] * 64)


def test_a_users_regularizer_that_breaks_fails_the_run_only(keep: Keep, shift: type[Any]) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=5)))
    panel.regularizers.rows["Shift"].switch.value = True
    shift.project = lambda self, x, gradient, step: x[:, :, :3]
    panel.run()
    reach(panel, "failed")
    until(lambda: "project of" in panel.note.text, lambda: panel.note.text)
    panel.regularizers.rows["Shift"].switch.value = False
    panel.run()
    reach(panel, "finished")
    assert panel.note.text == ""

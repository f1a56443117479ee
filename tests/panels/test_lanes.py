"""Several recipes climb side by side: the board of four, a race, a sweep; each lane is steered alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cnnviz_widgets import MaximizationPanel, Recipe, maximize, recipes
from cnnviz_widgets.engine.regularizers import GaussianBlur, L2Decay, RandomScale
from cnnviz_widgets.panels._lanes import BOARD, OWN, Lanes
from tests.panels.networks import grey
from tests.panels.runs import ENDLESS, finished, moving, paused, result_of, still_of
from tests.panels.waiting import reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]
OWN_RECIPE = Recipe(regularizers=[GaussianBlur(0.5), L2Decay(0.1)], steps=3, seed=4)


def lanes_of(mode: str, recipe: Recipe = OWN_RECIPE, racers: tuple[str, ...] = ()) -> Lanes:
    made = Lanes(recipe, lambda change: None, lambda change: None)
    if racers:
        made.racers.value = racers
    made.mode.value = mode
    made.rebuild()
    return made


def shown(lanes: Lanes) -> list[bool]:
    boxes = (lanes.racers, lanes._sweeping, lanes.lane)
    return [box.layout.display != "none" for box in boxes]


def test_one_lane_is_the_recipe_of_the_controls() -> None:
    lanes = lanes_of("one")
    assert (lanes.recipes, lanes.labels, shown(lanes)) == ([OWN_RECIPE], [""], [False] * 3)


def test_the_board_holds_the_four_of_the_paper_from_one_seed() -> None:
    lanes = lanes_of("board")
    assert lanes.labels == list(BOARD)
    assert lanes.recipes == [recipes.get(name).replace(seed=4) for name in BOARD]
    assert lanes.columns == 2
    assert shown(lanes) == [False, False, True]


def test_a_race_may_hold_the_recipe_of_the_controls() -> None:
    lanes = lanes_of("race", racers=("none", "yosinski-2", OWN))
    assert lanes.labels == ["none", "yosinski-2", OWN]
    assert lanes.recipes[2] == OWN_RECIPE
    assert lanes.recipes[1] == recipes.get("yosinski-2").replace(seed=4)
    assert shown(lanes) == [True, False, True]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_race_of_too_few_or_too_many_is_refused(count: int) -> None:
    lanes = lanes_of("board")
    options = (*lanes.racers.options, *BOARD)
    lanes.racers.options = tuple(dict.fromkeys([*options, "a", "b", "c"]))
    lanes.racers.value = lanes.racers.options[:count]
    lanes.mode.value = "race"
    with pytest.raises(ValueError, match=f"{count} chosen; a race takes 2 to 6 recipes"):
        lanes.rebuild()
    assert lanes.labels == list(BOARD)
    assert not lanes.racers.layout.display, "nobody could choose others"


def test_a_sweep_of_one_knob() -> None:
    lanes = lanes_of("sweep")
    assert ("GaussianBlur: sigma", "GaussianBlur.sigma") in lanes.knobs[0].options
    lanes.knobs[0].value = "GaussianBlur.sigma"
    lanes.counts[0].value = 3
    lanes.rebuild()
    sigmas = [recipe.regularizers[0].sigma for recipe in lanes.recipes]  # type: ignore[attr-defined]
    assert sigmas == sorted(set(sigmas))
    assert lanes.labels == [f"sigma {sigma:.3g}" for sigma in sigmas]
    assert all(recipe.regularizers[1:] == OWN_RECIPE.regularizers[1:] for recipe in lanes.recipes)
    assert shown(lanes) == [False, True, False]
    assert lanes.shown == OWN_RECIPE


def test_a_sweep_of_two_knobs_is_a_table() -> None:
    lanes = lanes_of("sweep")
    lanes.knobs[0].value, lanes.knobs[1].value = "L2Decay.decay", "draws"
    lanes.counts[0].value, lanes.counts[1].value = 2, 3
    lanes.rebuild()
    assert (len(lanes.recipes), lanes.columns) == (6, 3)
    draws = [recipe.draws for recipe in lanes.recipes]
    assert draws[:3] == draws[3:] == sorted(draws[:3])
    assert [recipe.regularizers[1].decay for recipe in lanes.recipes[::3]] == pytest.approx([1e-4, 0.5])  # type: ignore[attr-defined]
    assert lanes.labels[-1].startswith("decay 0.5, draws")


def test_values_that_a_recipe_can_not_have_are_left_out() -> None:
    lanes = lanes_of("sweep", Recipe(regularizers=[RandomScale(0.9, 0.95)]))
    lanes.knobs[0].value = "RandomScale.low"
    lanes.counts[0].value = 6
    lanes.rebuild()
    lows = [recipe.regularizers[0].low for recipe in lanes.recipes]  # type: ignore[attr-defined]
    assert lows == [0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize("name", recipes.names())
def test_every_preset_can_be_swept(name: str) -> None:
    assert len(lanes_of("sweep", recipes.get(name)).recipes) > 1


def test_the_same_knob_twice_is_one() -> None:
    lanes = lanes_of("sweep")
    lanes.knobs[0].value = lanes.knobs[1].value = "draws"
    lanes.rebuild()
    assert (len(lanes.recipes), lanes.columns) == (4, 0)


def test_knobs_that_are_swept_follow_the_recipe() -> None:
    lanes = lanes_of("sweep")
    lanes.knobs[0].value = "L2Decay.decay"
    lanes.turned(OWN_RECIPE.replace(steps=9))
    assert lanes.knobs[0].value == "L2Decay.decay"
    assert [recipe.steps for recipe in lanes.recipes] == [9] * 4
    lanes.turned(OWN_RECIPE.replace(regularizers=()))
    assert "L2Decay.decay" not in [value for _, value in lanes.knobs[0].options]
    assert len(lanes.recipes) == 4


def test_turning_a_lane_leaves_the_others_but_for_the_seed() -> None:
    lanes = lanes_of("board")
    lanes.lane.value = 2
    lanes.turned(recipes.get("yosinski-3").replace(steps=7, seed=9))
    assert [recipe.steps for recipe in lanes.recipes] == [500, 750, 7, 1000]
    assert [recipe.seed for recipe in lanes.recipes] == [9] * 4


def test_the_recipe_of_the_controls_is_not_lost_among_others() -> None:
    lanes = lanes_of("race", racers=("none", OWN))
    lanes.turned(lanes.recipes[0].replace(steps=5))
    lanes.racers.value = ("none", "yosinski-1", OWN)
    lanes.rebuild()
    assert lanes.recipes[2] == OWN_RECIPE
    lanes.lane.value = 2
    lanes.turned(OWN_RECIPE.replace(steps=8))
    lanes.mode.value = "one"
    lanes.rebuild()
    assert lanes.recipes == [OWN_RECIPE.replace(steps=8)]


def short_board(keep: Keep, steps: int = 6) -> MaximizationPanel:
    """A panel whose board of four makes few steps."""
    panel = keep(MaximizationPanel(grey()))
    panel.selection.unit = panel.network["7"][1]
    panel.wait()
    panel.lanes.mode.value = "board"
    for number in range(4):
        panel.lanes.lane.value = number
        panel.numbers["steps"].value = steps
    panel.lanes.lane.value = 0
    return panel


def test_a_board_runs_and_is_one_picture_with_a_curve_each(keep: Keep) -> None:
    panel = finished(short_board(keep))
    assert panel.player.labels == list(BOARD)
    until(lambda: panel.player.images == 4)
    assert len(np.frombuffer(panel.player.curve, "<f4")) == 4 * 7
    height, width = still_of(panel.player).shape[:2]
    assert width > 2 * 200
    assert abs(height - width) < 100
    made = result_of(panel)
    assert list(made.recipes) == panel.lanes.recipes
    alone = maximize(panel.network, panel.unit, recipe=panel.lanes.recipes[3])
    assert torch.equal(made.image[3:], alone.image)


def test_the_caption_is_of_the_lane_whose_knobs_are_shown(keep: Keep) -> None:
    panel = finished(short_board(keep))
    until(lambda: panel.player.caption.startswith("yosinski-1: "), lambda: panel.player.caption)
    panel.lanes.lane.value = 3
    assert panel.player.caption.startswith("yosinski-4: ")
    assert "probability" in panel.player.caption
    assert panel.recipe == recipes.get("yosinski-4").replace(steps=6)


def test_the_classes_are_of_the_lane_whose_knobs_are_shown(keep: Keep) -> None:
    panel = short_board(keep)
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    finished(panel)
    until(lambda: panel.classes.values)
    net = panel.network
    for number in (3, 0):
        panel.lanes.lane.value = number
        told = dict(zip(panel.classes.labels, panel.classes.values, strict=True))
        assert told == pytest.approx(dict(net.classify(moving(panel)[number : number + 1], 5)[0]), abs=1e-5)


def test_a_lane_is_steered_alone(keep: Keep) -> None:
    panel = short_board(keep, steps=1000)
    paused(panel)
    panel.lanes.lane.value = 1
    panel.regularizers.rows["ClipSmallNorm"].widgets["percentile"].value = 95.0
    step = panel.player.step
    panel.step()
    until(lambda: panel.player.step == step + 1)
    reach(panel, "paused")
    clipped = [int((image != 0.4).sum()) <= 4 for image in moving(panel)]
    assert clipped == [False, True, False, False]
    assert [text for _, text in panel.player.marks] == ["yosinski-2: ClipSmallNorm.percentile 20 → 95"]


def test_marks_tell_what_was_turned(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), Recipe(regularizers=[L2Decay(0.1)], steps=1000))))
    step = panel.player.step
    panel.regularizers.rows["L2Decay"].widgets["decay"].value = 0.2
    panel.regularizers.rows["GaussianBlur"].switch.value = True
    panel.regularizers.rows["L2Decay"].switch.value = False
    panel.stepper.menu.value = "Constant"
    texts = ["L2Decay.decay 0.1 → 0.2", "+ GaussianBlur", "− L2Decay", "− Progress, + Constant"]
    assert list(panel.player.marks) == [(step, text) for text in texts]
    assert f"first after step {step}" in result_of(panel).notes[0]


def test_what_only_the_next_run_follows_leaves_no_mark(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), ENDLESS)))
    panel.numbers["seed"].value = 9
    panel.start.members["Pixels"].widgets["deviation"].value = 30.0
    panel.numbers["canvas"].value = "full"
    assert panel.player.marks == []
    assert result_of(panel).notes == ("",)
    panel.numbers["draws"].value = 3
    assert [text for _, text in panel.player.marks] == ["draws 1 → 3"]


def test_another_mode_keeps_the_run_and_says_so(keep: Keep) -> None:
    panel = paused(short_board(keep, steps=1000))
    before = panel._running
    for mode in ("one", "sweep", "race"):
        panel.lanes.mode.value = mode
        assert panel.remark.text == "This run keeps its recipes; Run starts those chosen now."
        panel.regularizers.rows["BorderCrop"].switch.value = mode != "sweep"
        panel.step()
    reach(panel, "paused")
    assert panel._running == before
    assert panel.player.marks == []
    assert len(moving(panel)) == 4


def test_a_race_of_as_many_others_does_not_steer_the_board(keep: Keep) -> None:
    panel = paused(short_board(keep, steps=1000))
    before = panel._running
    panel.lanes.racers.value = ("none", "yosinski-1", "yosinski-2", OWN)
    panel.lanes.mode.value = "race"
    panel.numbers["draws"].value = 4
    assert panel._running == before
    assert panel.player.marks == []


def test_a_race_of_one_is_told_and_mended(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2)))
    panel.lanes.racers.value = ("none",)
    panel.lanes.mode.value = "race"
    assert "1 chosen; a race takes 2 to 6 recipes" in panel.note.text
    assert panel.lanes.racers.layout.display == ""
    panel.lanes.racers.value = ("none", OWN)
    assert panel.note.text == ""
    panel.lanes.lane.value = 0
    panel.numbers["steps"].value = 2
    finished(panel)
    assert panel.player.labels == ["none", OWN]


def test_the_controls_come_back_from_the_board_as_they_were(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), OWN_RECIPE))
    panel.lanes.mode.value = "board"
    assert panel.recipe == recipes.get("yosinski-1").replace(seed=4)
    panel.lanes.mode.value = "sweep"
    assert panel.recipe == OWN_RECIPE
    panel.lanes.mode.value = "one"
    assert panel.recipe == OWN_RECIPE


def test_a_sweep_is_a_contact_sheet(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), OWN_RECIPE))
    panel.lanes.mode.value = "sweep"
    panel.lanes.knobs[0].value = "L2Decay.decay"
    panel.lanes.counts[0].value = 5
    finished(panel)
    assert len(panel.player.labels) == 5
    assert panel.player.labels[0].startswith("decay 0.0001")
    assert len(result_of(panel).image) == 5


def test_copies_start_from_seeds_of_their_own(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=4, seed=3)))
    panel.editor.copies.value = 3
    finished(panel)
    made = result_of(panel)
    assert panel.player.labels == ["copy 1", "copy 2", "copy 3"]
    assert [recipe.seed for recipe in made.recipes] == [3, 4, 5]
    again = maximize(panel.network, panel.unit, made.recipes[2])
    assert torch.equal(again.image[0], made.image[2])
    assert "copies=3" in panel.code()


def test_a_board_makes_one_image_a_recipe_whatever_the_copies(keep: Keep) -> None:
    panel = short_board(keep, steps=2)
    panel.editor.copies.value = 3
    finished(panel)
    assert len(result_of(panel).image) == 4
    assert "copies" not in panel.code()


def test_diverse_copies_differ_more(keep: Keep) -> None:
    def spread(diversity: float) -> float:
        panel = keep(MaximizationPanel(grey(), Recipe(steps=30)))
        panel.editor.copies.value = 3
        panel.editor.diversity.value = diversity
        features: Any = panel.network.activations(result_of(finished(panel)).image, ["2"])["2"]
        maps = torch.nn.functional.normalize(features.flatten(2) @ features.flatten(2).mT, dim=(1, 2)).flatten(1)
        return float((maps @ maps.T).sum())

    assert spread(40.0) < spread(0.0)


def test_the_seed_of_a_board_is_of_all_lanes(keep: Keep) -> None:
    panel = short_board(keep)
    panel.lanes.lane.value = 2
    panel.numbers["seed"].value = 11
    assert [recipe.seed for recipe in panel.lanes.recipes] == [11] * 4

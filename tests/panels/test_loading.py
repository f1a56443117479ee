"""A file that is dropped on the panel sets its recipe, its start, or a message; and the code that is shown runs alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz_widgets as cnn
from cnnviz_widgets import MaximizationPanel, Recipe, Values, maximize, objectives, recipes
from cnnviz_widgets.engine.parameterizations import Pixels
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Padding, RandomScale
from cnnviz_widgets.panels._lanes import OWN
from tests.panels.networks import convolutional, grey
from tests.panels.runs import ENDLESS, finished, paused, result_of
from tests.panels.waiting import until

Keep = Callable[[MaximizationPanel], MaximizationPanel]
LUCID = Recipe(regularizers=[Padding(4), Jitter(3), RandomScale(0.9, 1.1), Jitter(2)], steps=3)
SMOOTH = Recipe(regularizers=[GaussianBlur(0.6), L2Decay(0.02)], steps=4, seed=8)


def drop(panel: MaximizationPanel, name: str, data: bytes) -> None:
    """What the browser sends when a file is dropped."""
    panel.upload._receive(None, {"type": "file", "name": name, "size": len(data)}, [data])
    panel.wait()


def photo(colour: tuple[int, int, int] | int = 90, size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("position", [(), ("center",), (1, 2)])
def test_a_saved_picture_brings_its_unit_and_recipe(keep: Keep, position: tuple[Any, ...]) -> None:
    net = grey()
    png = maximize(net, net["2"][(3, *position)], SMOOTH).png()
    panel = keep(MaximizationPanel(net))
    drop(panel, "mine.png", png)
    assert panel.unit == net["2"][(3, *position)]
    assert panel.recipe == SMOOTH
    assert panel.objective == objectives.activation(panel.unit)
    assert panel.channel.value == 3
    assert panel.upload.status == "mine.png: its recipe is set"
    assert panel.remark.text == f"Loaded: {panel.unit}, 4 steps, seed 8."
    assert torch.equal(result_of(finished(panel)).image, maximize(net, panel.unit, SMOOTH).image)
    assert panel.remark.text == ""


def test_a_composite_objective_is_climbed_until_another_is_set(keep: Keep) -> None:
    net = grey()
    goal = objectives.activation(net["2"][1]) - 0.5 * objectives.others(net["2"][1])
    png = maximize(net, goal, SMOOTH).png()
    panel = keep(MaximizationPanel(net))
    panel.editor.kind.value = "max"
    panel.editor.weigh_in(net["0"][0])
    drop(panel, "mine.png", png)
    assert (panel.objective, panel.unit, panel.editor.terms) == (goal, net["2"][1], [])
    assert repr(result_of(finished(panel)).objective) == repr(goal)
    panel.editor.minimise.value = True
    assert panel.objective == -objectives.activation(net["2"][1])
    panel.load(png)
    assert panel.objective == goal
    panel.selection.unit = net["2"][2]
    assert panel.objective == objectives.activation(net["2"][2])


def test_an_objective_without_units_keeps_the_selected_one(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net))
    panel.selection.unit = net["7"][2]
    panel.wait()
    drop(panel, "dream.png", maximize(net, objectives.deep_dream(net["2"]), SMOOTH).png())
    assert panel.unit == net["7"][2]
    assert panel.objective == objectives.deep_dream(net["2"])
    assert "deep_dream(2)" in panel.remark.text


def test_a_picture_of_other_weights_is_told(keep: Keep) -> None:
    net = grey()
    png = maximize(net, net["2"][3], SMOOTH).png()
    with torch.no_grad():
        net.module[0].weight.add_(0.5)  # type: ignore[index]
    panel = keep(MaximizationPanel(net))
    drop(panel, "mine.png", png)
    assert "made on other weights" in panel.remark.text


def test_a_picture_of_a_lane_is_loaded_as_one(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.lanes.mode.value = "board"
    panel.load(maximize(panel.network, panel.unit, SMOOTH).png())
    assert panel.lanes.mode.value == "one"
    assert panel.lanes.recipes == [SMOOTH]


def test_a_recipe_with_two_of_a_class_gets_two_rows(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    drop(panel, "lucid.png", maximize(panel.network, panel.unit, LUCID).png())
    assert panel.recipe == LUCID
    rows = panel.regularizers.rows
    assert (rows["Jitter"].make(), rows["Jitter#2"].make()) == (Jitter(3), Jitter(2))
    assert rows["Jitter#2"].switch.description == "jitter, 2"
    rows["Jitter#2"].widgets["pixels"].value = 5
    assert panel.recipe.regularizers == (*LUCID.regularizers[:3], Jitter(5))
    finished(panel)
    panel.recipe = "none"
    assert panel.recipe.regularizers == ()
    panel.recipe = LUCID
    assert len([name for name in rows if name.startswith("Jitter")]) == 2


def test_a_photograph_is_where_the_next_run_starts(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=0, parameterization=Pixels(deviation=0.0))))
    drop(panel, "holiday.jpg", photo(90))
    assert panel.upload.status == "holiday.jpg: the next run starts from it"
    start = panel.recipe.parameterization.photograph
    assert isinstance(start, Values)
    assert start.array.shape == (20, 30)
    assert panel.menu.value == OWN
    image = result_of(finished(panel)).image
    assert image.flatten().tolist() == pytest.approx([90 / 255] * 64, abs=1e-3)
    panel.menu.value = "yosinski-1"
    assert panel.recipe.parameterization.photograph == start
    assert panel.recipe.regularizers == recipes.get("yosinski-1").regularizers
    panel.tools["noise"].click()
    assert panel.recipe.parameterization.photograph is None
    assert panel.menu.value == "yosinski-1"
    assert panel.tools["noise"].disabled


def test_a_photograph_is_where_every_lane_starts(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.lanes.mode.value = "board"
    panel.start_from(Image.new("L", (8, 8), 200))
    starts = [recipe.parameterization.photograph for recipe in panel.lanes.recipes]
    assert all(isinstance(start, Values) for start in starts)
    assert len(set(starts)) == 1
    assert panel.recipe == panel.lanes.recipes[0]


@pytest.mark.parametrize("name", ["notes.txt", "empty.png", "broken.png"])
def test_what_is_no_picture_is_told_and_changes_nothing(keep: Keep, name: str) -> None:
    data = {"notes.txt": b"these are only notes", "empty.png": b"", "broken.png": photo()[:45]}[name]
    panel = keep(MaximizationPanel(grey(), SMOOTH))
    unit = panel.unit
    panel.upload._receive(None, {"type": "file", "name": name, "size": len(data)}, [data])
    assert panel.note.kind == "error"
    assert panel.note.text
    assert (panel.unit, panel.recipe, panel.upload.status) == (unit, SMOOTH, "")
    drop(panel, "holiday.png", photo())
    assert panel.note.text == ""


def test_a_picture_of_another_network_is_told_and_changes_nothing(keep: Keep) -> None:
    other = convolutional()
    png = maximize(other, other["2"][7], SMOOTH).png()
    panel = keep(MaximizationPanel(grey()))
    before = panel.recipe
    panel.lanes.mode.value = "board"
    drop(panel, "other.png", png)
    assert panel.note.kind == "error"
    assert "2" in panel.note.text
    assert panel.lanes.mode.value == "board"
    assert before == panel.lanes.own
    with pytest.raises(ValueError, match=r"channel|unit"):
        panel.load(png)


def test_a_photograph_itself_can_not_be_loaded_as_a_recipe(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    with pytest.raises(ValueError, match="tells no recipe"):
        panel.load(photo())


def test_loading_while_a_run_climbs_another_unit(keep: Keep) -> None:
    net = grey()
    panel = paused(keep(MaximizationPanel(net, ENDLESS)))
    drop(panel, "mine.png", maximize(net, net["2"][3], SMOOTH).png())
    assert "Loaded: 2[3]" in panel.remark.text
    assert f"This run still climbs {net.main_layers[0][0]}; Run starts 2[3]." in panel.remark.text


def code_agrees(panel: MaximizationPanel) -> None:
    """The code that the panel shows makes what its run makes, and a figure of it."""
    panel._show_code.value = True
    code = panel._code.text
    made = result_of(finished(panel))
    names: dict[str, Any] = {"cnn": cnn, "net": panel.network}
    exec(code, names)
    alone = names["result"]
    assert alone.objectives == made.objectives
    assert list(alone.recipes) == list(made.recipes)
    assert torch.equal(alone.image, made.image)
    assert isinstance(names["figure"], cnn.figures.Figure)


@pytest.mark.parametrize("recipe", [SMOOTH, LUCID, Recipe(steps=5)], ids=["smooth", "lucid", "plain"])
def test_the_code_of_one_recipe_runs_alone(keep: Keep, recipe: Recipe) -> None:
    panel = keep(MaximizationPanel(grey(), recipe))
    panel.editor.rivals.value = 0.4
    code_agrees(panel)


def test_the_code_of_copies_runs_alone(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), SMOOTH))
    panel.editor.copies.value, panel.editor.diversity.value = 2, 3.0
    code_agrees(panel)


def test_the_code_of_a_race_runs_alone(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), SMOOTH))
    panel.lanes.racers.value = ("none", "yosinski-2", OWN)
    panel.lanes.mode.value = "race"
    for number in range(2):
        panel.lanes.lane.value = number
        panel.numbers["steps"].value = 3
    code_agrees(panel)


def test_the_code_of_presets_names_them(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), SMOOTH))
    panel.lanes.mode.value = "board"
    assert panel.code().splitlines() == [
        "cnn.maximize(net, net['1'][0], [",
        "    'yosinski-1',",
        "    'yosinski-2',",
        "    'yosinski-3',",
        "    'yosinski-4',",
        "], seed=8)",
    ]


def test_the_code_from_a_photograph_runs_beside_the_file(
    keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photograph.jpg", "PNG")
    monkeypatch.chdir(tmp_path)
    panel = keep(MaximizationPanel(grey(), SMOOTH))
    drop(panel, "photograph.jpg", (tmp_path / "photograph.jpg").read_bytes())
    assert len(panel.code()) < 700, "the code would carry the picture"
    code_agrees(panel)


def test_the_code_of_a_loaded_picture_runs_beside_it(
    keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = grey()
    goal = objectives.activation(net["2"][1]) - 0.5 * objectives.others(net["2"][1])
    monkeypatch.chdir(tmp_path)
    maximize(net, goal, SMOOTH).save("picture.png")
    panel = keep(MaximizationPanel(net))
    drop(panel, "picture.png", Path("picture.png").read_bytes())
    code_agrees(panel)


def test_the_code_follows_what_is_loaded(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel._show_code.value = True
    drop(panel, "mine.png", maximize(panel.network, panel.network.unit("tall"), SMOOTH).png())
    until(lambda: "net.unit('tall')" in panel._code.text)
    assert "GaussianBlur" in panel._code.text

"""`MaximizationPanel`: it runs on its own, is steered while it runs, and survives what networks and users do to it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnnviz_widgets import InputSpec, MaximizationPanel, Network, Recipe, Selection, knob, recipes
from cnnviz_widgets.engine.regularizers import ClipSmallNorm, GaussianBlur, L2Decay, Regularizer
from cnnviz_widgets.engine.steppers import Constant
from cnnviz_widgets.views import FramePlayer
from tests.panels.networks import Guarded, convolutional, dense, grey
from tests.panels.waiting import ours, reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]
ENDLESS = Recipe(steps=1_000_000)


def paused(panel: MaximizationPanel) -> MaximizationPanel:
    """The panel with a run that rests after a few steps."""
    panel.run()
    panel.pause()
    reach(panel, "paused")
    return panel


def still_of(player: FramePlayer) -> np.ndarray:
    with Image.open(io.BytesIO(player.still)) as picture:
        return np.asarray(picture)


def moving(panel: MaximizationPanel) -> Tensor:
    """The image of the run's newest frame."""
    run = panel._run
    assert run is not None
    assert run.frame is not None
    return run.frame.image


# running


def test_run_returns_before_the_network_is_prepared(keep: Keep, guarded: type[Guarded]) -> None:
    panel = keep(MaximizationPanel(Network(guarded(), InputSpec(size=(1, 8, 8))), Recipe(steps=3)))
    statuses: list[str] = []
    panel.player.observe(lambda change: statuses.append(change["new"]), "status")
    guarded.gate.clear()
    panel.run()
    assert panel.state == "preparing"
    until(lambda: statuses)
    assert "preparing" in statuses[0]
    guarded.gate.set()
    reach(panel, "finished")
    assert panel.player.status.endswith("finished, step 3 of 3")


def test_a_finished_run_leaves_picture_curve_and_result(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=12)))
    assert panel.result is None
    assert panel.state == "idle"
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.still)
    assert (panel.player.step, panel.player.total) == (12, 12)
    assert len(np.frombuffer(panel.player.curve, "<f4")) == 13
    assert still_of(panel.player).shape == (8, 8)
    result = panel.result
    assert result is not None
    assert result.recipe == Recipe(steps=12)
    assert float(result.score) == float(result.curve.max()) > float(result.curve[0])
    assert "contrast" in panel.player.caption
    assert "best score" in panel.player.caption


def test_the_same_seed_gives_the_result_of_maximize(keep: Keep) -> None:
    from cnnviz_widgets import maximize

    net = grey()
    panel = keep(MaximizationPanel(net, Recipe(steps=5, seed=7)))
    panel.selection.unit = net["2"][1]
    panel.run()
    reach(panel, "finished")
    result = panel.result
    assert result is not None
    assert torch.equal(result.image, maximize(net, net["2"][1], steps=5, seed=7).image)


def test_buttons_offer_what_can_be_done(keep: Keep) -> None:
    def usable() -> list[str]:
        return [name for name, button in panel.buttons.items() if not button.disabled]

    panel = keep(MaximizationPanel(grey(), ENDLESS))
    assert usable() == ["run"]
    paused(panel)
    until(lambda: usable() == ["run", "step", "resume", "stop"], usable)
    panel.buttons["resume"].click()
    until(lambda: usable() == ["run", "pause", "step", "stop"], usable)
    panel.buttons["stop"].click()
    reach(panel, "stopped")
    until(lambda: usable() == ["run"], usable)


def test_pause_step_resume_stop(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), ENDLESS)))
    step = panel.player.step
    panel.step()
    until(lambda: panel.player.step == step + 1)
    reach(panel, "paused")
    panel.resume()
    reach(panel, "running")
    panel.stop()
    reach(panel, "stopped")
    until(lambda: "stopped" in panel.player.status)
    assert panel.player.step > step
    assert panel.result is not None


def test_commands_without_a_run_do_nothing(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    for command in (panel.pause, panel.step, panel.resume, panel.stop):
        command()
    assert panel.state == "idle"


def test_a_second_run_ends_the_first(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), ENDLESS))
    panel.run()
    reach(panel, "running")
    first = panel._run
    panel.run()
    assert panel.player.run == 2
    assert first is not None
    first.join(60)
    assert first.state == "stopped"
    reach(panel, "running")
    assert [thread.name for thread in ours()].count("cnnviz-ascent") == 1


def test_many_runs_at_once_leave_one(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), ENDLESS))
    pressing = [threading.Thread(target=panel.run) for _ in range(6)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join(60)
    reach(panel, "running")
    until(lambda: [thread.name for thread in ours()].count("cnnviz-ascent") == 1)
    assert panel.player.run == 6
    panel.pause()
    reach(panel, "paused")


def test_closing_ends_the_run(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), ENDLESS))
    panel.run()
    reach(panel, "running")
    panel.close()
    assert "cnnviz-ascent" not in [thread.name for thread in ours()]
    assert panel.state == "idle"


def test_the_browser_hears_of_no_step_whose_picture_it_does_not_get(keep: Keep, monkeypatch: Any) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=400)))
    statuses, pictures = [], []
    panel.player.observe(lambda change: statuses.append(change["new"]), "status")
    offer = panel.player.offer
    monkeypatch.setattr(panel.player, "offer", lambda *given: pictures.append(offer(*given)) or pictures[-1])
    panel.run()
    reach(panel, "finished")
    until(lambda: "finished" in panel.player.status)
    assert len(pictures) == 401
    assert len(statuses) <= pictures.count(True) + 3


# steering


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


def test_two_of_one_class_are_refused_and_the_panel_lives_on(keep: Keep) -> None:
    twice = Recipe(regularizers=[L2Decay(0.1), L2Decay(0.2)], steps=4)
    panel = keep(MaximizationPanel(grey(), "yosinski-2"))
    with pytest.raises(ValueError, match="one row per regularizer"):
        panel.recipe = twice
    assert panel.recipe == recipes.get("yosinski-2")
    with pytest.raises(ValueError, match="one row per regularizer"):
        MaximizationPanel(grey(), twice)
    until(lambda: [thread.name for thread in ours()].count("cnnviz-training") == 1)


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


# the unit


def test_a_run_keeps_its_unit_and_says_so(keep: Keep) -> None:
    net = grey()
    selection = Selection(net)
    selection.unit = net["7"][1]
    panel = paused(keep(MaximizationPanel(net, ENDLESS, selection=selection)))
    selection.unit = net["2"][3]
    panel.wait()
    assert panel.remark.text == "This run still climbs 7[1]; Run starts 2[3]."
    assert panel.player.status.startswith("square: paused")
    panel.step()
    result = panel.result
    assert result is not None
    assert repr(result.objectives[0]) == "7[1]"
    panel.run()
    reach(panel, "running")
    assert panel.remark.text == ""
    panel.pause()
    reach(panel, "paused")
    until(lambda: panel.player.status.startswith("2[3]: paused"))


def test_controls_choose_the_unit(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net))
    panel.tree.selected = "2"
    panel.wait()
    assert panel.unit == net["2"][0]
    assert (panel.channel.value, panel.channel.max) == (0, 5)
    panel.channel.value = 4
    panel.wait()
    assert panel.unit == net["2"][4]
    panel.neuron.value = True
    panel.wait()
    assert panel.unit == net["2"][4, "center"]
    panel.channel.value = 2
    panel.wait()
    assert panel.unit == net["2"][2, "center"]
    assert "net['2'][2, 'center']" in panel.code()


def test_a_class_is_chosen_by_its_name(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net))
    assert panel.label.layout.display == "none"
    assert panel.channel.layout.display is panel.menu.layout.display is None
    panel.tree.selected = "7"
    panel.wait()
    assert panel.label.layout.display == ""
    assert (panel.label.value, panel.neuron.disabled) == ("round", True)
    panel.label.value = "tall"
    panel.wait()
    assert panel.unit == net["7"][3]
    assert panel.channel.value == 3
    assert panel.code() == "cnn.maximize(net, net.unit('tall'), recipe='none')"


def test_a_class_that_there_is_not_is_told(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.label.value = "oval"
    assert panel.note.kind == "error"
    assert "no class 'oval'" in panel.note.text


def test_code_of_a_neuron_anywhere(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net))
    panel.selection.unit = net["2"][4, 1, 2]
    assert "net['2'][4, 1, 2]" in panel.code()


def test_classes_of_the_frame_are_shown(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=4)))
    panel.selection.unit = panel.network.unit("flat")
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.classes.caption == "what the network sees at step 4", lambda: panel.classes.caption)
    assert sorted(panel.classes.labels) == sorted(("round", "square", "flat", "tall", "none"))
    assert sum(panel.classes.values) == pytest.approx(1)


def test_looking_back_shows_the_classes_of_then(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=9)))
    panel.selection.unit = panel.network.unit("flat")
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.classes.caption.endswith("step 9"))
    panel.player.set_state({"looking_at": 2})
    assert panel.classes.caption == "what the network sees at step 2"
    panel.player.set_state({"looking_at": -1})
    assert panel.classes.caption == "what the network sees at step 9"


def test_no_classes_of_what_is_no_classifier(keep: Keep) -> None:
    panel = keep(MaximizationPanel(convolutional(), Recipe(steps=2)))
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.still)
    assert panel.classes.labels == []
    assert still_of(panel.player).shape == (16, 16, 3)


def test_a_network_without_convolution_climbs_too(keep: Keep) -> None:
    panel = keep(MaximizationPanel(dense(), Recipe(steps=3)))
    panel.run()
    reach(panel, "finished")
    result = panel.result
    assert result is not None
    assert float(result.score) > float(result.curve[0])


def test_another_stretch_redraws_the_picture_at_rest(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=5)))
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.still)
    before = still_of(panel.player)
    panel.stretch.value = "none"
    assert "not stretched" in panel.player.caption
    assert (still_of(panel.player) != before).any()
    shown = (moving(panel)[0, 0] * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(still_of(panel.player), shown)


# what goes wrong


def broken(net: Network, bias: float) -> Network:
    convolution = net.module[0]  # type: ignore[index]
    with torch.no_grad():
        convolution.bias.fill_(bias)
    return net


@pytest.mark.parametrize(("bias", "reason"), [(-1e4, "exactly zero"), (float("nan"), "not finite")])
def test_units_that_cannot_move_say_why(keep: Keep, bias: float, reason: str) -> None:
    net = broken(grey(), bias)
    panel = keep(MaximizationPanel(net, Recipe(steps=50)))
    panel.selection.unit = net["1"][2]
    panel.wait()
    panel.run()
    reach(panel, "finished")
    until(lambda: reason in panel.note.text, lambda: panel.note.text)
    broken(net, 0.0)
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.step == 50)
    assert panel.note.text == ""


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_forward_pass_that_breaks_on_the_way(keep: Keep, guarded: type[Guarded]) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = guarded(), nn.Linear(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.body(images).mean((2, 3)))

    net = Network(Head(), InputSpec(size=(1, 8, 8)))
    panel = keep(MaximizationPanel(net, Recipe(steps=30)))
    panel.selection.unit = net["body.conv"][1]
    panel.wait()
    guarded.passes_left = 5
    panel.run()
    reach(panel, "failed")
    until(lambda: "the test's module broke" in panel.note.text, lambda: panel.note.text)
    until(lambda: "failed" in panel.player.status, lambda: panel.player.status)
    assert panel.note.kind == "error"
    assert panel.player.still
    assert not panel.buttons["run"].disabled
    guarded.passes_left = None
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.step == 30)
    assert panel.note.text == ""


def test_the_network_can_be_exchanged_while_a_run_goes_on(keep: Keep) -> None:
    selection = Selection(grey())
    panel = keep(MaximizationPanel(selection.network, ENDLESS, selection=selection))
    panel.run()
    reach(panel, "running")
    selection.network = convolutional()
    panel.wait()
    panel.pause()
    reach(panel, "paused")
    assert moving(panel).shape == (1, 1, 8, 8)
    panel.run()
    reach(panel, "running")
    assert moving(panel).shape == (1, 3, 16, 16)
    assert panel.note.text == ""


def test_training_goes_on_meanwhile(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net, ENDLESS))
    panel.selection.unit = net["7"][0]
    panel.run()
    reach(panel, "running")
    net.module.train()
    optimizer = torch.optim.SGD(net.module.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        loss = net.module(torch.rand(4, 1, 8, 8)).square().mean()
        loss.backward()
        optimizer.step()
    assert panel.state == "running", panel.note.text
    assert net.module.training
    assert all(parameter.grad is not None for parameter in net.module.parameters())

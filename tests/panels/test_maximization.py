"""`MaximizationPanel`: it runs on its own, of the unit it was given, and shows what the network makes of its image."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cnnviz_widgets import InputSpec, MaximizationPanel, Network, Recipe, Selection
from tests.panels.networks import Guarded, convolutional, dense, grey
from tests.panels.runs import ENDLESS, moving, paused, still_of
from tests.panels.waiting import ours, reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]


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
    until(lambda: panel.player.status.endswith("finished, step 3 of 3"))


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
    assert torch.equal(result.image, maximize(net, net["2"][1], Recipe(steps=5, seed=7)).image)


def test_buttons_offer_what_can_be_done(keep: Keep) -> None:
    def usable() -> list[str]:
        return [name for name, button in panel.buttons.items() if not button.disabled]

    panel = keep(MaximizationPanel(grey(), ENDLESS))
    assert usable() == ["run"]
    paused(panel)
    until(lambda: usable() == ["run", "step", "resume", "stop", "branch"], usable)
    panel.buttons["resume"].click()
    until(lambda: usable() == ["run", "pause", "step", "stop", "branch"], usable)
    panel.buttons["stop"].click()
    reach(panel, "stopped")
    until(lambda: usable() == ["run"], usable)
    assert not panel.tools["save"].disabled
    assert panel.tools["dissect"].disabled


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


def test_a_run_keeps_its_unit_and_says_so(keep: Keep) -> None:
    net = grey()
    selection = Selection(net)
    selection.unit = net["7"][1]
    panel = paused(keep(MaximizationPanel(net, ENDLESS, selection=selection)))
    selection.unit = net["2"][3]
    panel.wait()
    assert panel.remark.text == "This run still climbs 7[1]; Run starts 2[3]."
    until(lambda: panel.player.status.startswith("square: paused"))
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
    panel = keep(MaximizationPanel(net, "none"))
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

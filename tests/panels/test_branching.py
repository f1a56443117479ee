"""A run goes back to a step it has made and on from there another way, and leaves nothing behind when it ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from cnnviz_widgets import MaximizationPanel, Recipe, maximize
from cnnviz_widgets.engine.ascent import Ascent
from cnnviz_widgets.engine.history import History
from cnnviz_widgets.engine.regularizers import L2Decay
from cnnviz_widgets.panels import _runner
from cnnviz_widgets.panels._runner import Run
from tests.panels.frames import SECONDS, Steps, Told
from tests.panels.networks import grey
from tests.panels.runs import ENDLESS, finished, moving, paused, result_of
from tests.panels.waiting import reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]
Begun = Callable[..., tuple[Run, Steps, Told]]


@pytest.fixture
def begun(no_thread_left: None) -> Iterator[Begun]:
    """Starts a run on `Steps` that has made a number of them."""
    made: list[tuple[Run, Steps]] = []

    def begin(steps: int, recipe: Recipe | None = None) -> tuple[Run, Steps, Told]:
        climbing, told = Steps(), Told()
        run = Run(climbing, [recipe or Recipe(steps=1000)], told)
        climbing.follow((recipe or Recipe(steps=1000),))
        climbing.let(steps)
        made.append((run, climbing))
        run.start()
        assert told.next() == ("preparing", None)
        assert [told.next() for _ in range(steps + 1)] == [("running", step) for step in range(steps + 1)]
        return run, climbing, told

    yield begin
    for run, climbing in made:
        run.stop()
        climbing.let(1000)
        run.join(SECONDS)
        assert climbing.closed.is_set()


@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_running_run_goes_back_and_rests(begun: Begun, step: int) -> None:
    run, steps, told = begun(3)
    run.branch(step)
    steps.let(1 + step % 10)
    assert told.next() == ("running", 4)
    assert told.next() == ("paused", step)
    assert told.last.branched == step
    assert told.nothing_more()


def test_a_finished_run_goes_back_and_on(begun: Begun) -> None:
    run, steps, told = begun(4, Recipe(steps=4))
    assert told.next() == ("finished", 4)
    run.branch(2)
    steps.let(2)
    assert told.next() == ("paused", 2)
    run.resume()
    steps.let(2)
    assert [told.next() for _ in range(3)] == [("running", 3), ("running", 4), ("finished", 4)]


def test_the_knobs_stand_as_they_stand_now(begun: Begun) -> None:
    run, steps, told = begun(3)
    turned = Recipe(steps=900, regularizers=[L2Decay(0.1)])
    run.steer([turned])
    run.branch(2)
    steps.let(3)
    assert [told.next(), told.next()] == [("running", 4), ("paused", 2)]
    run.resume()
    steps.let()
    assert told.next() == ("running", 3)
    until(lambda: steps.recipes == (turned,))


@pytest.mark.parametrize("step", [4, 99])
def test_a_step_that_is_not_made_yet_only_pauses(begun: Begun, step: int) -> None:
    run, steps, told = begun(3)
    run.branch(step)
    steps.let()
    assert [told.next(), told.next()] == [("running", 4), ("paused", 4)]
    assert told.last.branched == -1
    run.branch(step)
    run.step()
    steps.let()
    assert [told.next(), told.next()] == [("running", 5), ("paused", 5)]


def test_a_branch_comes_to_the_same_images(keep: Keep) -> None:
    panel = finished(keep(MaximizationPanel(grey(), Recipe(steps=25, seed=2))))
    before = result_of(panel)
    panel.branch(13)
    reach(panel, "paused")
    until(lambda: "step 13 of 25" in panel.player.status)
    assert len(np.frombuffer(panel.player.curve, "<f4")) == 14
    panel.resume()
    reach(panel, "finished")
    until(lambda: panel.player.step == 25)
    after = result_of(panel)
    assert torch.equal(after.curve, before.curve)
    assert torch.equal(moving(panel), maximize(panel.network, panel.unit, Recipe(steps=25, seed=2)).image)
    assert panel.player.branches == [13]


def test_a_branch_with_other_knobs_goes_another_way(keep: Keep) -> None:
    panel = finished(keep(MaximizationPanel(grey(), Recipe(steps=20))))
    before = result_of(panel)
    panel.branch(5)
    reach(panel, "paused")
    panel.regularizers.rows["L2Decay"].widgets["decay"].value = 0.5
    panel.regularizers.rows["L2Decay"].switch.value = True
    panel.resume()
    reach(panel, "finished")
    after = result_of(panel)
    assert torch.equal(after.curve[:6], before.curve[:6])
    assert float(after.curve[-1]) < float(before.curve[-1])
    assert len(after.curve) == 21
    assert float(after.score) < float(before.score), "the best image is of a branch that was left"
    assert "first after step 5" in after.notes[0]
    assert list(panel.player.marks) == [(5, "+ L2Decay")]


def test_a_paused_run_branches_at_the_step_looked_at(keep: Keep) -> None:
    panel = paused(keep(MaximizationPanel(grey(), ENDLESS)))
    while panel.player.step < 4:
        step = panel.player.step
        panel.step()
        until(lambda step=step: panel.player.step > step)
    reach(panel, "paused")
    panel.player.set_state({"looking_at": 2})
    panel.buttons["branch"].click()
    until(lambda: panel.player.step == 2)
    assert panel.player.looking_at == -1
    assert panel.state == "paused"
    assert panel.note.text == ""


def test_a_running_run_branches(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), ENDLESS))
    panel.run()
    until(lambda: panel._run is not None and panel._run.frame is not None and panel._run.frame.step > 12)
    panel.branch(11)
    reach(panel, "paused")
    assert panel.player.branches == [11]
    assert panel._run is not None
    assert panel._run.frame is not None
    assert panel._run.frame.step == 11
    expected = maximize(panel.network, panel.unit, Recipe(steps=11))
    assert torch.equal(expected.curve, result_of(panel).curve)


def test_what_can_not_be_branched_is_told(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=4)))
    with pytest.raises(ValueError, match="there is no run to branch"):
        panel.branch(1)
    finished(panel)
    until(lambda: not panel.buttons["branch"].disabled)
    panel.buttons["branch"].click()
    assert "look back at a step first" in panel.note.text
    panel.stop()
    reach(panel, "stopped")
    assert panel.buttons["branch"].disabled
    with pytest.raises(ValueError, match="a stopped run is over"):
        panel.branch(1)


def test_a_board_branches_as_a_whole(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.lanes.mode.value = "board"
    for number in range(4):
        panel.lanes.lane.value = number
        panel.numbers["steps"].value = 9
    before = result_of(finished(panel))
    panel.branch(4)
    reach(panel, "paused")
    panel.resume()
    reach(panel, "finished")
    assert torch.equal(result_of(panel).curve, before.curve)


def test_the_classes_of_a_left_branch_are_forgotten(keep: Keep) -> None:
    panel = finished(keep(MaximizationPanel(grey(), Recipe(steps=9))))
    until(lambda: panel.classes.caption.endswith("step 9"))
    former = list(panel.classes.values)
    panel.branch(2)
    reach(panel, "paused")
    panel.regularizers.rows["L2Decay"].widgets["decay"].value = 0.5
    panel.regularizers.rows["L2Decay"].switch.value = True
    panel.resume()
    reach(panel, "finished")
    until(lambda: panel.classes.caption.endswith("step 9"))
    seen = dict(panel.network.classify(moving(panel), 5)[0])
    assert dict(zip(panel.classes.labels, panel.classes.values, strict=True)) == pytest.approx(seen, abs=1e-5)
    assert list(panel.classes.values) != former


def test_the_past_of_a_run_goes_with_it(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[object]] = []

    class Watched(History):
        def __init__(self, ascent: Ascent) -> None:
            super().__init__(ascent)
            kept.extend([weakref.ref(self), weakref.ref(ascent)])

    monkeypatch.setattr(_runner, "History", Watched)
    panel = finished(keep(MaximizationPanel(grey(), Recipe(steps=30))))
    finished(panel)
    assert len(kept) == 4
    panel.close()
    gc.collect()
    assert [one() for one in kept] == [None] * 4

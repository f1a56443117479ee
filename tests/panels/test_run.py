"""`Run` obeys between two steps, rests and goes on, and always lets go of the ascent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cnnviz_widgets import Recipe
from cnnviz_widgets.panels._runner import Progress, Run
from tests.panels.frames import SECONDS, Steps, Told

Begun = Callable[..., tuple[Run, Steps, Told]]


@pytest.fixture
def begun(no_thread_left: None) -> Iterator[Begun]:
    """Starts a run on `Steps` and takes in that it prepares and shows frame 0."""
    made: list[tuple[Run, Steps]] = []

    def begin(steps: Steps | None = None, recipe: Recipe | None = None) -> tuple[Run, Steps, Told]:
        climbing, told = steps or Steps(), Told()
        run = Run(climbing, [recipe or Recipe(steps=1000)], told)
        made.append((run, climbing))
        run.start()
        assert told.next() == ("preparing", None)
        assert told.next() == ("running", 0)
        return run, climbing, told

    yield begin
    for run, climbing in made:
        run.stop()
        climbing.let(1000)
        run.join(SECONDS)
        assert climbing.closed.is_set()


def test_frames_are_told_one_by_one(begun: Begun) -> None:
    run, steps, told = begun()
    steps.let(2)
    assert [told.next(), told.next()] == [("running", 1), ("running", 2)]
    assert told.nothing_more()
    assert run.state == "running"
    assert run.frame is told.last.frame


def test_pause_acts_at_the_end_of_the_step_under_way(begun: Begun) -> None:
    run, steps, told = begun()
    run.pause()
    steps.let(5)
    assert [told.next(), told.next()] == [("running", 1), ("paused", 1)]
    assert run.state == "paused"
    assert told.nothing_more()


def test_step_makes_one_step_and_rests(begun: Begun) -> None:
    run, steps, told = begun()
    run.pause()
    steps.let(10)
    assert [told.next(), told.next()] == [("running", 1), ("paused", 1)]
    for step in (2, 3):
        run.step()
        assert [told.next(), told.next()] == [("running", step), ("paused", step)]
    assert told.nothing_more()


def test_step_while_running_rests_after_one_more(begun: Begun) -> None:
    run, steps, told = begun()
    run.step()
    steps.let(10)
    assert [told.next() for _ in range(3)] == [("running", 1), ("running", 2), ("paused", 2)]
    assert told.nothing_more()


def test_resume_goes_on(begun: Begun) -> None:
    run, steps, told = begun()
    run.pause()
    steps.let()
    assert [told.next(), told.next()] == [("running", 1), ("paused", 1)]
    run.resume()
    steps.let()
    assert told.next() == ("running", 2)
    assert run.state == "running"


def test_stop_ends_the_thread_and_the_ascent(begun: Begun) -> None:
    run, steps, told = begun()
    run.stop()
    steps.let()
    assert [told.next(), told.next()] == [("running", 1), ("stopped", 1)]
    run.join(SECONDS)
    assert steps.closed.is_set()
    assert run.frame is not None
    assert run.frame.step == 1


def test_stop_while_it_rests(begun: Begun) -> None:
    run, steps, told = begun()
    run.pause()
    steps.let()
    assert [told.next(), told.next()] == [("running", 1), ("paused", 1)]
    run.stop()
    assert told.next() == ("stopped", 1)


def test_steering_acts_on_the_next_step(begun: Begun) -> None:
    run, steps, told = begun()
    other = Recipe(steps=500, seed=3)
    run.steer([other])
    steps.let(2)
    assert [told.next(), told.next()] == [("running", 1), ("running", 2)]
    assert steps.sent[:2] == [None, (other,)]
    assert told.last.steps == 500
    steps.let()
    assert told.next() == ("running", 3)
    assert steps.sent[2] is None


def test_of_several_recipes_the_newest_is_followed(begun: Begun) -> None:
    run, steps, told = begun()
    run.pause()
    steps.let()
    assert [told.next(), told.next()] == [("running", 1), ("paused", 1)]
    for seed in (1, 2, 3):
        run.steer([Recipe(seed=seed)])
        assert told.next() == ("paused", 1)
    run.resume()
    steps.let()
    assert told.next() == ("running", 2)
    assert steps.sent[1] == (Recipe(seed=3),)


def test_finishes_and_goes_on_with_more_steps(begun: Begun) -> None:
    run, steps, told = begun(recipe=Recipe(steps=2))
    steps.let(10)
    assert [told.next() for _ in range(3)] == [("running", 1), ("running", 2), ("finished", 2)]
    run.resume()
    run.step()
    run.steer([Recipe(steps=2, seed=5)])
    assert told.next() == ("finished", 2)
    run.steer([Recipe(steps=4)])
    assert told.next() == ("paused", 2)
    run.resume()
    assert [told.next() for _ in range(3)] == [("running", 3), ("running", 4), ("finished", 4)]
    assert steps.sent[2] == (Recipe(steps=4),)


def test_fewer_steps_finish_it(begun: Begun) -> None:
    run, steps, told = begun()
    run.steer([Recipe(steps=1)])
    steps.let(10)
    assert [told.next(), told.next()] == [("running", 1), ("finished", 1)]


def test_an_image_that_cannot_move_finishes_it(begun: Begun) -> None:
    _, steps, told = begun(Steps(stuck_at=2))
    steps.let(10)
    assert [told.next() for _ in range(3)] == [("running", 1), ("running", 2), ("finished", 2)]


def test_failure_is_told_with_the_last_frame(begun: Begun) -> None:
    run, steps, told = begun(Steps(fails_at=2))
    steps.let(10)
    assert [told.next(), told.next()] == [("running", 1), ("failed", 1)]
    assert str(told.last.error) == "step broke"
    run.join(SECONDS)
    assert steps.closed.is_set()
    run.resume()
    run.stop()
    assert run.state == "failed"


def test_failure_to_begin_is_told() -> None:
    def broken() -> None:
        raise ValueError("no such layer")

    told = Told()
    run = Run(broken, [Recipe()], told)  # type: ignore[arg-type]
    run.start()
    assert [told.next(), told.next()] == [("preparing", None), ("failed", None)]
    assert isinstance(told.last.error, ValueError)
    run.join(SECONDS)


def test_commands_before_the_first_frame_wait_for_it() -> None:
    steps, told = Steps(), Told()
    run = Run(steps, [Recipe()], told)
    run.pause()
    run.start()
    assert [told.next() for _ in range(3)] == [("preparing", None), ("running", 0), ("paused", 0)]
    run.stop()
    assert told.next() == ("stopped", 0)
    run.join(SECONDS)


def test_a_listener_that_fails_ends_the_run() -> None:
    steps, heard = Steps(), []

    def told(progress: Progress) -> None:
        heard.append(progress.state)
        if progress.frame is not None and progress.state == "running":
            raise RuntimeError("the picture could not be drawn")

    run = Run(steps, [Recipe()], told)
    run.start()
    assert steps.closed.wait(SECONDS)
    run.join(SECONDS)
    assert heard == ["preparing", "running", "failed"]

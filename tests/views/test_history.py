"""The past of a run: frames thinned evenly, scores that follow a run going back."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz_widgets.views._history import FrameHistory, ScoreCurve


@pytest.mark.parametrize("count", [1, 100, 512, 513, 1024, 5000])
def test_frames_stay_bounded_and_evenly_spread(count: int):
    history = FrameHistory(512)
    for step in range(count):
        history.add(step, b"%d" % step)
    assert len(history) <= 512
    steps = [step for step, _ in history._frames]
    assert len(set(np.diff(steps))) <= 1
    assert steps[0] == 0
    assert len(history) >= min(count, 256)
    newest = count - 1
    assert history.nearest(newest) == (newest, b"%d" % newest)


def test_nearest_of_the_kept():
    history = FrameHistory(4)
    assert history.nearest(3) is None
    for step in (0, 10, 20):
        history.add(step, bytes([step]))
    assert history.nearest(14) == (10, b"\x0a")
    assert history.nearest(16) == (20, b"\x14")
    assert history.nearest(-5) == (0, b"\x00")


def test_frames_after_a_step_go_when_the_run_goes_back():
    history = FrameHistory()
    for step in range(10):
        history.add(step, b"old")
    history.add(4, b"new")
    assert history.nearest(9) == (4, b"new")
    assert history.nearest(3) == (3, b"old")


def test_history_needs_room_for_two():
    with pytest.raises(ValueError, match="limit is 1"):
        FrameHistory(1)


def test_curve_rows_and_going_back():
    curve = ScoreCurve()
    assert [curve.add(step, [step, -step]) for step in range(4)] == [0, 1, 2, 3]
    assert curve.add(2, [9, 9]) == 2
    steps, scores = curve.since(1)
    assert steps.tolist() == [1, 2]
    assert scores.tolist() == [[1, -1], [9, 9]]
    assert (steps.dtype, scores.dtype) == (np.int32, np.float32)


def test_curve_since_the_end_is_empty_with_its_columns():
    curve = ScoreCurve()
    curve.add(0, [1, 2, 3])
    steps, scores = curve.since(1)
    assert steps.shape == (0,)
    assert scores.shape == (0, 3)


def test_curve_refuses_another_number_of_images():
    curve = ScoreCurve()
    curve.add(0, [1, 2])
    with pytest.raises(ValueError, match=r"1 scores, the steps before had 2.*start\(\)"):
        curve.add(1, [1])

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


@pytest.mark.parametrize("size", [1, 99, 100, 149, 333])
def test_frames_stay_within_their_bytes_and_evenly_spread(size: int):
    history = FrameHistory(limit=64, limit_bytes=1000)
    for step in range(700):
        history.add(step, bytes(size))
        steps = [kept for kept, _ in history._frames]
        assert len(steps) * size <= 1000
        assert len(set(np.diff(steps))) <= 1
        assert steps[0] == 0
    assert len(history) >= min(32, 1000 // size // 2)
    assert history.nearest(699)[0] == 699


def test_a_frame_above_the_limit_of_bytes_is_kept_alone():
    history = FrameHistory(limit_bytes=10)
    for step in range(20):
        history.add(step, bytes(50))
    assert [step for step, _ in history.frames()] == [0, 19]


def test_frames_told_are_the_kept_ones_and_the_newest_once():
    history = FrameHistory(4)
    assert history.frames() == []
    for step in range(4):
        history.add(step, b"%d" % step)
    assert [step for step, _ in history.frames()] == [0, 1, 2, 3]
    history.add(4, b"4")
    history.add(5, b"5")
    assert history.frames() == [(0, b"0"), (2, b"2"), (4, b"4"), (5, b"5")]


def test_cut_frames_are_gone_and_the_spread_goes_on():
    history = FrameHistory(4)
    for step in range(8):
        history.add(step, b"old")
    history.cut(5)
    assert [step for step, _ in history.frames()] == [0, 2, 4]
    for step in range(5, 8):
        history.add(step, b"new")
    assert [step for step, _ in history.frames()] == [0, 2, 4, 6, 7]
    history.cut(0)
    assert history.frames() == []
    assert history.nearest(0) is None


@pytest.mark.parametrize(
    ("limits", "message"), [({"limit": 1}, "limit is 1, .* 2"), ({"limit_bytes": 0}, "limit_bytes is 0, .* 1")]
)
def test_history_needs_room(limits: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        FrameHistory(**limits)


def test_rows_cut_come_back_behind_the_one_they_set_out_from():
    curve = ScoreCurve()
    for step in (0, 2, 4, 6):
        curve.add(step, [step, -step])
    steps, scores = curve.cut(3)
    assert steps.tolist() == [2, 4, 6]
    assert scores.tolist() == [[2, -2], [4, -4], [6, -6]]
    assert curve.since(0)[0].tolist() == [0, 2]
    steps, scores = curve.cut(2)
    assert (steps.shape, scores.shape) == ((0,), (0, 2))


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

"""The time that is left is told from what was seen, and before that from the size of the images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cnnviz_widgets.engine.atlas import building
from cnnviz_widgets.engine.atlas.pace import Pace, Stage
from cnnviz_widgets.engine.atlas.synthesis import Made
from cnnviz_widgets.engine.side_by_side import torch_threads
from tests.engine.atlas import builds


@pytest.fixture
def stages() -> list[Stage]:
    """A stage of four steps of each chunk, from the first layer to the last."""
    return [(chunk, 4, False) for chunk in next(builds.built(None)).result.plan.chunks]


@pytest.fixture
def pace() -> Pace:
    names = list(builds.network().layers)
    return Pace({name: (number + 1) / len(names) for number, name in enumerate(names)})


def test_nothing_is_told_before_anything_was_seen(pace, stages):
    assert not pace.known
    assert pace.seconds(stages[0]) == 0
    for spans in ([], [1.0], [1.0, 0.2]):  # a single step tells nothing of the others
        pace.learn(stages[0], spans)
        assert not pace.known


def test_a_chunk_goes_on_as_it_went(pace, stages):
    pace.learn(stages[0], [1.0, 0.9, 0.1, 0.3])
    pace.learn(stages[-1], [2.0, 2.0, 2.0])
    assert pace.seconds((stages[0][0], 64, True)) == pytest.approx(64 * 0.2)
    assert pace.seconds((stages[-1][0], 64, True)) == pytest.approx(64 * 2.0)
    pace.learn((stages[0][0], 64, True), [0.0, 0.1, *[0.1] * 63])  # another round tells better
    assert pace.seconds((stages[0][0], 64, True)) == pytest.approx(64 * 0.1)


def test_others_are_guessed_from_it_with_what_is_found_out_once(pace, stages):
    seen, other = stages[0], stages[-1]
    pace.learn(seen, [1.2, 0.2, 0.2])
    assert pace.seconds(other) == pytest.approx(0.2 * pace.cost(other) / pace.cost(seen) * other[1] + 1.2)
    assert pace.cost(other) > pace.cost(seen)


def test_a_step_size_is_tried_once_a_stage(pace):
    plan = next(builds.built(None, recipes="l2")).result.plan
    chunk, other = plan.chunks[0], plan.chunks[-1]
    pace.learn((chunk, 4, False), [1.0, 5.1, 0.1, 0.1])
    assert pace.seconds((chunk, 64, True)) == pytest.approx(64 * 0.1 + 5.0)
    guess = 0.1 * pace.cost((other, 64, True)) / pace.cost((chunk, 64, True)) * 64
    assert pace.seconds((other, 64, True)) == pytest.approx(guess + 1.0 + 5.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, which goes on by a second at each step of a chunk, one at a time, and when a test says so."""
    now = [0.0]
    synthesizing = building.synthesizing

    def slowly(*arguments: Any) -> Iterator[Any]:
        for told in synthesizing(*arguments):
            now[0] += 1
            yield told

    monkeypatch.setattr(building, "synthesizing", slowly)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with torch_threads(1):
        yield now


def test_chunks_side_by_side_take_their_share_of_the_time(monkeypatch):
    now = [0.0]

    def in_pairs(tasks, workers, threads):
        """Two at a time, each of whose steps takes a second."""
        assert (workers, threads) == (2, 1)
        waiting = [(number, task()) for number, task in enumerate(tasks)]
        while waiting:
            now[0] += 1
            for number, values in waiting[:2]:
                told = next(values)
                yield number, told, 1.0
                if isinstance(told, Made):
                    waiting = [one for one in waiting if one[0] != number]

    monkeypatch.setattr(building, "side_by_side", in_pairs)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with torch_threads(2):
        told = [(one, now[0]) for one in builds.built(None)]
    after = [(one.left, now[0] - at) for one, at in told if one.done >= builds.COARSE * builds.UNITS * 3]
    assert len(after) > 10
    assert after[0][0] == pytest.approx(after[0][1], rel=0.2)


def test_a_build_tells_how_long_it_takes(clock):
    told = [(one, clock[0]) for one in builds.built(None)]
    after = [(one.left, clock[-1] - now) for one, now in told if one.done >= builds.COARSE * builds.UNITS * 3]
    assert len(after) > 10
    assert after[0][0] == pytest.approx(after[0][1], rel=0.2)
    assert after[-1][0] == 0
    assert all(left >= 0 for left, _ in after)


def test_a_build_that_rested_is_not_slow(clock):
    left = []
    for number, told in enumerate(builds.built(None)):
        left.append(told.left)
        if number == 2:  # in the midst of the first chunk
            clock[0] += 10**6
    assert all(one is None or one < 1000 for one in left[5:])

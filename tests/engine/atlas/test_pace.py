"""The time that is left is told from what was seen, and before that from the size of the images."""

from __future__ import annotations

import itertools

import pytest

from cnnviz_widgets.engine.atlas.pace import Pace, Stage
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
    pace.learn(stages[0], 1.0, 0, 0.0)  # a single step tells nothing of the others
    assert not pace.known


def test_a_chunk_goes_on_as_it_went(pace, stages):
    pace.learn(stages[0], 1.0, 3, 0.6)
    pace.learn(stages[-1], 2.0, 3, 6.0)
    assert pace.seconds((stages[0][0], 64, True)) == pytest.approx(64 * 0.2)
    assert pace.seconds((stages[-1][0], 64, True)) == pytest.approx(64 * 2.0)
    pace.learn((stages[0][0], 64, True), 0.1, 63, 6.3)  # another round tells better
    assert pace.seconds((stages[0][0], 64, True)) == pytest.approx(64 * 0.1)


def test_others_are_guessed_from_it_with_what_is_found_out_once(pace, stages):
    seen, other = stages[0], stages[-1]
    pace.learn(seen, 1.2, 3, 0.6)
    expected = 0.2 * pace.cost(other) / pace.cost(seen) * other[1] + (1.2 - 0.2)
    assert pace.seconds(other) == pytest.approx(expected)
    assert pace.cost(other) > pace.cost(seen)


def test_a_build_tells_about_how_long_it_takes(monkeypatch):
    """By a clock that goes on by a second at each look, all is known once the first round is over."""
    clock = itertools.count()
    monkeypatch.setattr("cnnviz_widgets.engine.atlas.building.time.monotonic", lambda: float(next(clock)))
    told = [(one, next(clock)) for one in builds.built(None)]
    end = told[-1][1]
    after = [(one.left, end - now) for one, now in told if one.done >= builds.COARSE * builds.UNITS * 3]
    assert len(after) > 10
    assert after[0][0] == pytest.approx(after[0][1], rel=0.3)
    assert after[-1][0] == 0
    assert all(left >= 0 for left, _ in after)

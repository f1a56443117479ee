"""Generators side by side: all that they yield comes, they rest when nobody asks, and torch's threads stay as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from cnnviz_widgets.engine import side_by_side as module
from cnnviz_widgets.engine.side_by_side import side_by_side, workers_for
from cnnviz_widgets.engine.threads import set_threads, torch_threads


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy a thread may take its time to end."""
    monkeypatch.setattr(module, "PATIENCE", 30.0)


@pytest.fixture(autouse=True, params=[1, 3])
def usual(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has to begin with, here and in new threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def threads_of_a_new_one() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def counting(number: int, most: int = 4):
    for value in range(most):
        yield number, value


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_gives_all_it_has_in_its_order(workers: int) -> None:
    tasks = [lambda number=number: counting(number, number) for number in range(6)]
    found = list(side_by_side(tasks, workers, 1))
    assert [at for at, (number, _), _ in found] == [number for _, (number, _), _ in found]
    assert {at: [value for other, (_, value), _ in found if other == at] for at in range(6)} == {
        at: list(range(at)) for at in range(6)
    }
    assert list(side_by_side([], workers, 1)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_torch_has_the_threads_it_is_to_have_and_later_its_own(workers: int, usual: int) -> None:
    def telling():
        yield torch.get_num_threads(), threading.get_ident()

    found = [value for _, value, _ in side_by_side([telling] * 4, workers, 1)]
    assert {threads for threads, _ in found} == {1}
    assert (threading.get_ident() in {thread for _, thread in found}) == (workers == 1)
    assert torch.get_num_threads() == threads_of_a_new_one() == usual


def test_the_calling_thread_alone_gets_other_threads(usual: int) -> None:
    with torch_threads(2):
        assert torch.get_num_threads() == 2
        assert threads_of_a_new_one() == usual
        with torch_threads(2):
            assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == threads_of_a_new_one() == usual


def test_what_is_set_meanwhile_stays(usual: int) -> None:
    """Such as by a user who sets the number of threads while a build rests."""
    met = threading.Barrier(2)  # both threads have begun

    def meeting():
        met.wait(30)
        yield from counting(0)

    values = side_by_side([meeting] * 2, 2, 1)
    next(values)
    torch.set_num_threads(usual + 1)
    assert len(list(values)) == 7
    assert torch.get_num_threads() == threads_of_a_new_one() == usual + 1
    set_threads(1)
    assert (torch.get_num_threads(), threads_of_a_new_one()) == (1, usual + 1)


def test_they_run_at_once() -> None:
    met = threading.Barrier(3)

    def meeting():
        met.wait(30)
        yield None

    assert len(list(side_by_side([meeting] * 3, 3, 1))) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_who_stops_asking_lets_them_rest_and_who_closes_closes_them(workers: int) -> None:
    asked: list[int] = []
    closed: list[int] = []

    def endless(number: int):
        try:
            while True:
                asked.append(number)
                yield number
        finally:
            closed.append(number)

    before = threading.active_count()
    values = side_by_side([lambda number=number: endless(number) for number in range(3)], workers, 1)
    next(values)
    previous = -1
    while len(asked) != previous:  # until they rest
        previous = len(asked)
        time.sleep(0.1)
    assert len(asked) <= 2 + 2 * workers
    values.close()
    assert sorted(closed) == list(range(workers))
    assert threading.active_count() == before
    assert list(values) == []


def test_the_end_does_not_wait_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow():
        try:
            yield 0
            begun.set()
            go_on.wait(30)
            yield 1
        finally:
            ended.set()

    values = side_by_side([slow], 2, 1)
    next(values)
    assert begun.wait(30)
    values.close()
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(30)


def test_crews_are_closed_when_python_goes() -> None:
    before = threading.active_count()
    values = side_by_side([lambda: counting(0, 100)] * 2, 2, 1)
    next(values)
    assert threading.active_count() >= before + 2
    module._leave()
    assert threading.active_count() == before
    values.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_one_raises_is_raised_and_the_others_are_closed(workers: int) -> None:
    closed: list[int] = []

    def failing(number: int):
        try:
            yield number
            if number == 1:
                raise SystemExit("no more")
            yield number
        finally:
            closed.append(number)

    before = threading.active_count()
    tasks = [lambda number=number: failing(number) for number in range(4)]
    with pytest.raises(SystemExit, match="no more"):
        list(side_by_side(tasks, workers, 1))
    assert {0, 1} <= set(closed)
    assert threading.active_count() == before


def test_a_rest_does_not_count_as_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def taking():
        for _ in range(3):
            now[0] += 2
            yield None

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    spans = []
    with torch_threads(1):
        for _, _, seconds in side_by_side([taking], 1, 1):
            spans.append(seconds)
            now[0] += 1000
    assert spans == [2, 2, 2]


def test_there_are_as_many_as_there_are_threads_for(usual: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(1) == usual
    assert workers_for(2) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert workers_for(1) == module.MOST == 8
    assert workers_for(32) == 2

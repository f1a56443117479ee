"""`Latest`: only the newest request counts, and none blocks the asker."""

from __future__ import annotations

import threading

import pytest

from cnnviz_widgets.panels._runner import Latest
from tests.panels.frames import SECONDS
from tests.panels.waiting import ours


class Worker:
    """A `Latest` held up by its first request, with what it did and what failed."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failed: list[BaseException] = []
        self.latest = Latest(self.failed.append)
        self.begun, self.go = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.latest.request(self._held)
        assert self.begun.wait(SECONDS)

    def _held(self) -> None:
        self.begun.set()
        assert self.go.wait(SECONDS)
        self.done.append("held")

    def ask(self, name: str) -> None:
        self.latest.request(lambda: self.done.append(name))


def test_the_newest_of_those_that_wait_is_done() -> None:
    worker = Worker()
    worker.hold()
    for name in ("first", "second", "third"):
        worker.ask(name)
    worker.go.set()
    worker.latest.wait(SECONDS)
    assert worker.done == ["held", "third"]
    worker.ask("later")
    worker.latest.wait(SECONDS)
    assert worker.done == ["held", "third", "later"]


def test_errors_are_told_and_work_goes_on() -> None:
    worker = Worker()

    def broken() -> None:
        raise KeyError("nothing there")

    worker.latest.request(broken)
    worker.latest.wait(SECONDS)
    worker.ask("after it")
    worker.latest.wait(SECONDS)
    assert [type(error) for error in worker.failed] == [KeyError]
    assert worker.done == ["after it"]


def test_waiting_has_an_end() -> None:
    worker = Worker()
    worker.hold()
    with pytest.raises(TimeoutError, match=r"still drawing after 0\.01 s"):
        worker.latest.wait(0.01)
    worker.go.set()
    worker.latest.wait(SECONDS)


def test_closing_drops_what_waits_and_takes_no_more() -> None:
    worker = Worker()
    worker.hold()
    worker.ask("waiting")
    worker.latest.close()
    worker.ask("too late")
    worker.go.set()
    worker.latest.wait(SECONDS)
    assert worker.done == ["held"]


def test_what_fails_after_closing_is_nobodys_business() -> None:
    worker = Worker()

    def broken() -> None:
        worker.begun.set()
        assert worker.go.wait(SECONDS)
        raise RuntimeError("the widget is gone")

    worker.latest.request(broken)
    assert worker.begun.wait(SECONDS)
    worker.latest.close()
    worker.go.set()
    worker.latest.wait(SECONDS)
    assert worker.failed == []


def test_no_thread_waits_for_work() -> None:
    worker = Worker()
    worker.ask("one")
    worker.latest.wait(SECONDS)
    for thread in ours():
        thread.join(SECONDS)
    assert ours() == []


def test_who_read_first_and_comes_last_is_not_heard() -> None:
    worker = Worker()
    worker.hold()
    early, late = worker.latest.ticket(), worker.latest.ticket()
    worker.latest.request(lambda: worker.done.append("late"), late)
    worker.latest.request(lambda: worker.done.append("early"), early)
    worker.go.set()
    worker.latest.wait(SECONDS)
    assert worker.done == ["held", "late"]
    worker.ask("without one")
    worker.latest.wait(SECONDS)
    assert worker.done[-1] == "without one"

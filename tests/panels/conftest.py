"""`keep(panel)` closes a panel at the end of its test, and no test may leave a thread of ours behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from cnnviz_widgets.panels import Panel
from tests.panels.networks import Guarded
from tests.panels.waiting import ours


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """What the panels started has ended by the end of each test."""
    yield
    for thread in ours():
        thread.join(30)
    assert not ours()


@pytest.fixture
def keep(no_thread_left: None) -> Iterator[Callable[..., Panel]]:
    """Gives a panel back with its first picture drawn, and closes it when the test is over."""
    panels: list[Panel] = []

    def kept(panel: Panel) -> Panel:
        panels.append(panel)
        panel.wait()
        return panel

    yield kept
    for panel in panels:
        panel.close()


@pytest.fixture
def guarded(no_thread_left: None) -> Iterator[type[Guarded]]:
    """The class of `Guarded` with its gate open."""
    Guarded.gate, Guarded.passes_left = threading.Event(), None
    Guarded.gate.set()
    yield Guarded
    Guarded.gate.set()
    Guarded.passes_left = None

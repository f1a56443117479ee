"""Waiting for what other threads do, and the panels' own threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from cnnviz_widgets import MaximizationPanel

PATIENCE = 60.0


def until(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Until the condition holds; ``told`` says what it is instead when it never does."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, f"waited in vain; {told()}"
        threading.Event().wait(0.005)


def reach(panel: MaximizationPanel, *states: str) -> None:
    """Until the panel's run is in one of these states, and the panel, which hears of it a little later, says so."""
    until(
        lambda: panel.state in states and panel.state in panel.player.status,
        lambda: f"the run is {panel.state}: {panel.player.status} {panel.note.text}",
    )


def ours() -> list[threading.Thread]:
    """The panels' living threads."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("cnnviz-")]

"""An ascent that is none: frames that come when a test lets them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator

import torch

from cnnviz_widgets import Frame, Recipe
from cnnviz_widgets.panels._runner import Progress

SECONDS = 60


def frame(step: int, note: str = "") -> Frame:
    """A frame of one black image."""
    return Frame(step, torch.zeros(1, 1, 2, 2), torch.tensor([float(step)]), None, (note,))


class Steps:
    """Makes one step for each `let`, and keeps what was sent to it."""

    def __init__(self, *, fails_at: int = -1, stuck_at: int = -1) -> None:
        self.allowed = threading.Semaphore(0)
        self.sent: list[Recipe | None] = []
        self.closed = threading.Event()
        self.fails_at, self.stuck_at = fails_at, stuck_at

    def let(self, steps: int = 1) -> None:
        """Allow that many steps."""
        self.allowed.release(steps)

    def __call__(self) -> Generator[Frame, Recipe | None, None]:
        step = 0
        try:
            while True:
                self.sent.append((yield frame(step, "can't move" if step == self.stuck_at else "")))
                assert self.allowed.acquire(timeout=SECONDS)
                step += 1
                if step == self.fails_at:
                    raise RuntimeError("step broke")
        finally:
            self.closed.set()


class Told:
    """What a run told, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Progress] = queue.Queue()
        self.last: Progress

    def __call__(self, progress: Progress) -> None:
        self._queue.put(progress)

    def next(self) -> tuple[str, int | None]:
        """State and step of what it told next."""
        self.last = self._queue.get(timeout=SECONDS)
        return self.last.state, None if self.last.frame is None else self.last.frame.step

    def nothing_more(self) -> bool:
        """Whether it has told no more than what was asked for."""
        return self._queue.empty()

"""An ascent that is none: frames that come when a test lets them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

import torch

from cnnviz_widgets import Frame, Recipe
from cnnviz_widgets.panels._runner import Progress

SECONDS = 60


def frame(step: int, note: str = "") -> Frame:
    """A frame of one black image."""
    return Frame(step, torch.zeros(1, 1, 2, 2), torch.tensor([float(step)]), None, (note,))


class Steps:
    """An ascent that makes one step for each `let`, and keeps what it was to follow, step by step."""

    def __init__(self, *, fails_at: int = -1, stuck_at: int = -1) -> None:
        self.allowed = threading.Semaphore(0)
        self.sent: list[tuple[Recipe, ...] | None] = []
        self.closed = threading.Event()
        self.fails_at, self.stuck_at = fails_at, stuck_at
        self.step = 0
        self.recipes: tuple[Recipe, ...] = ()
        self._sent: tuple[Recipe, ...] | None = None

    def let(self, steps: int = 1) -> None:
        """Allow that many steps."""
        self.allowed.release(steps)

    def __call__(self) -> Steps:
        return self

    def look(self) -> Frame:
        return frame(self.step, "can't move" if self.step == self.stuck_at else "")

    def follow(self, recipes: tuple[Recipe, ...]) -> None:
        self._sent = self.recipes = tuple(recipes)

    def advance(self) -> None:
        self.sent.append(self._sent)
        self._sent = None
        assert self.allowed.acquire(timeout=SECONDS)
        self.step += 1
        if self.step == self.fails_at:
            raise RuntimeError("step broke")

    def state(self) -> Kept:
        return Kept(self.step, self.recipes)

    def restore(self, state: Kept) -> None:
        self.step, self.recipes = state.step, state.recipes

    def close(self) -> None:
        self.closed.set()


@dataclass(frozen=True)
class Kept:
    """Where it was."""

    step: int
    recipes: tuple[Recipe, ...]
    size: int = 1


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

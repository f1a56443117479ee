"""``Progress(done, total, rate, left, result)``: how far a long piece of work is, as its generator yields it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
WINDOW = 30.0
"""Seconds over which the rate is taken: what was long ago says little of what is left."""


@dataclass(frozen=True)
class Progress(Generic[Result]):
    """How far it is.

    Attributes
    ----------
    done, total
        In pieces of work, such as images.
    rate
        Pieces a second lately; 0 before the first.
    left
        Seconds that the rest will take at that rate; None while it is not known.
    result
        What there is so far, fit for use.
    told
        A remark, such as what was found on disk; empty without one.
    """

    done: int
    total: int
    rate: float
    left: float | None
    result: Result
    told: str = ""

    def __str__(self) -> str:
        told = f"{self.done:,} of {self.total:,}"
        if self.rate:
            told += f", {self.rate:.3g} a second"
        if self.left:
            told += f", {duration(self.left)} left"
        return told


class Clock:
    """Makes progress out of counts.

    Parameters
    ----------
    done
        What was done before.
    """

    def __init__(self, done: int, total: int) -> None:
        self._total = total
        self._seen = deque([(time.monotonic(), done)])

    def at(self, done: int, result: Result, told: str = "") -> Progress[Result]:
        """The progress now that so much is done."""
        now = time.monotonic()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW:
            self._seen.popleft()
        (then, before), (_, current) = self._seen[0], self._seen[-1]
        rate = (current - before) / (now - then) if now > then else 0.0
        left = (self._total - done) / rate if rate > 0 else None
        return Progress(done, self._total, rate, 0.0 if done >= self._total else left, result, told)


def duration(seconds: float) -> str:
    """``"40 s"``, ``"3 min"``, ``"2 h 5 min"``."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, what: str) -> str:
    """``"1 layer"``, ``"1,200 layers"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"

"""``History(ascent)``: the past of a run, to go back to and go on from another way.

Every step is a function of the one before, bit for bit, so only some states are kept, within a bound of memory, and what lies
between is climbed again when asked for.
"""

from __future__ import annotations

from .ascent import Ascent, AscentState
from .recipes import Recipe

LIMIT = 32 * 2**20
"""Bytes of states that a run keeps."""


class History:
    """Keyframes of an ascent, and the recipes it followed.

    Parameters
    ----------
    limit
        Bytes. When they are full every second keyframe goes, so a longer run keeps them farther apart.
    every
        Steps between keyframes at first.
    """

    def __init__(self, ascent: Ascent, limit: int = LIMIT, every: int = 10) -> None:
        self._ascent = ascent
        self._limit = limit
        self._every = every
        self._kept: dict[int, AscentState] = {}
        self._followed: list[tuple[int, tuple[Recipe, ...]]] = []

    @property
    def size(self) -> int:
        """Bytes of the states kept."""
        return sum(state.size for state in self._kept.values())

    def keep(self) -> None:
        """Take note of the step the ascent is at; call it before each update."""
        step, recipes = self._ascent.step, self._ascent.recipes
        if not self._followed or self._followed[-1][1] != recipes:
            self._followed = [(at, told) for at, told in self._followed if at < step]
            self._followed.append((step, recipes))
        if step % self._every == 0 and step not in self._kept:
            self._kept[step] = self._ascent.state()
            while len(self._kept) > 2 and self.size > self._limit:
                self._every *= 2
                self._kept = {at: state for at, state in self._kept.items() if at % self._every == 0}

    def recipes_at(self, step: int) -> tuple[Recipe, ...]:
        """The recipes that the update of a step followed."""
        return next(told for at, told in reversed(self._followed) if at <= step)

    def rewind(self, step: int) -> None:
        """Bring the ascent back to a step, ready to go on from there; what came later is forgotten.

        Raises
        ------
        ValueError
            A step the run has not come to.
        """
        first = min(self._kept, default=0)
        if not first <= step <= self._ascent.step or not self._kept:
            raise ValueError(f"step {step}; expected one of the run so far, {first} to {self._ascent.step}")
        key = max(at for at in self._kept if at <= step)
        self._ascent.restore(self._kept[key])
        while self._ascent.step < step:
            self._ascent.follow(self.recipes_at(self._ascent.step))
            self._ascent.advance()
        self._ascent.follow(self.recipes_at(step))
        self._kept = {at: state for at, state in self._kept.items() if at <= step}
        self._followed = [(at, told) for at, told in self._followed if at <= step]

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._followed.clear()

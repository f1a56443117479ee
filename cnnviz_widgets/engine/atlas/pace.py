"""``Pace``: how long what is left of an atlas will take.

::

    pace.learn(stage, spans)   ...   pace.seconds(stage)

A step of an image of 3 pixels and one of the whole input differ by a factor of a hundred, so steps are no measure. In the first
round every chunk makes a few steps, which tell how long its others will take; until then the size of its images has to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .plan import Place

Stage = tuple[tuple[Place, ...], int, bool]
"""Places, the step that they go to, and whether that is the end."""

_CALLS = 3000.0
"""What it costs to call the layers at all, in pixels of the input seen through all of them."""


class Pace:
    """Seconds that stages take.

    Parameters
    ----------
    depths
        Layer -> which part of the network an image goes through, (0, 1].
    """

    def __init__(self, depths: Mapping[str, float]) -> None:
        self._depths = depths
        self._known: dict[int, tuple[float, float]] = {}
        self._firsts: list[float] = []
        self._seen = self._cost = 0.0

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return bool(self._known)

    def cost(self, stage: Stage) -> float:
        """What a step costs beside those of other stages, as far as the size of the images tells."""
        height, width = stage[0][0].size
        return _CALLS + len(stage[0]) * self._depths[stage[0][0].unit.layer.name] * height * width

    def learn(self, stage: Stage, spans: Sequence[float]) -> None:
        """Take in how long a stage took: to its start, to its first step, and for each further one.

        To the start it is found out what the units see; on the way to the first step some recipes try their step size.
        """
        start, first, *steps = spans if len(spans) > 1 else (0.0, 0.0)
        if not steps:
            return
        each = sum(steps) / len(steps)
        tried = max(0.0, first - each) if stage[0][0].recipe.stepper.probed else 0.0
        if id(stage[0]) not in self._known:
            self._firsts.append(start + tried)
            self._seen, self._cost = self._seen + each, self._cost + self.cost(stage)
        self._known[id(stage[0])] = each, tried

    def seconds(self, stage: Stage) -> float:
        """How long a stage will take; 0 before anything was learned."""
        if not self.known:
            return 0.0
        if id(stage[0]) in self._known:
            each, tried = self._known[id(stage[0])]
            return each * stage[1] + tried
        return self.cost(stage) * self._seen / self._cost * stage[1] + sum(self._firsts) / len(self._firsts)

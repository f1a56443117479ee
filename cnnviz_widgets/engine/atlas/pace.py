"""``Pace``: how long what is left of an atlas will take.

::

    pace.learn(stage, first, steps, seconds)   ...   pace.seconds(stage)

A step of an image of 3 pixels and one of the whole input differ by a factor of a hundred, so steps are no measure. In the first
round every chunk makes a few steps, which tell how long its others will take; until then the size of its images has to do.
"""

from __future__ import annotations

from collections.abc import Mapping

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
        self._known: dict[int, float] = {}
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

    def learn(self, stage: Stage, first: float, steps: int, seconds: float) -> None:
        """Take in how long a stage took: to its first step, with all that is found out once, and for so many steps since."""
        if steps < 1:
            return
        each = seconds / steps
        if id(stage[0]) not in self._known:
            self._firsts.append(max(0.0, first - each))
            self._seen, self._cost = self._seen + each, self._cost + self.cost(stage)
        self._known[id(stage[0])] = each

    def seconds(self, stage: Stage) -> float:
        """How long a stage will take; 0 before anything was learned."""
        if not self.known:
            return 0.0
        each = self._known.get(id(stage[0]))
        if each is not None:
            return each * stage[1]
        return self.cost(stage) * self._seen / self._cost * stage[1] + sum(self._firsts) / len(self._firsts)

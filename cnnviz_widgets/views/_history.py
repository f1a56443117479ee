"""The past of a run: encoded frames thinned as they come, and the score of every step.

::

    FrameHistory.add(step, data)      FrameHistory.nearest(step) -> (step, data) | None
    ScoreCurve.add(step, scores)      ScoreCurve.since(row) -> (steps, scores)
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np


class FrameHistory:
    """At most `limit` frames, spread evenly over all that were added.

    When it is full every second frame goes, and from then on only every second, fourth, ... of the added frames is
    kept, so that the beginning of a long run is not thinner than its end.
    """

    def __init__(self, limit: int = 512) -> None:
        if limit < 2:
            raise ValueError(f"limit is {limit}, expected at least 2")
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self._frames: list[tuple[int, bytes]] = []
        self._stride = 1
        self._skipped = 0
        self._last: tuple[int, bytes] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, step: int, data: bytes) -> None:
        """Keep the frame of a step; frames of this and later steps, if any, are forgotten first."""
        while self._frames and self._frames[-1][0] >= step:
            self._frames.pop()
        self._last = (step, data)
        if self._skipped:
            self._skipped -= 1
            return
        if len(self._frames) == self._limit:
            self._frames = self._frames[::2]
            self._stride *= 2
        self._frames.append((step, data))
        self._skipped = self._stride - 1

    def nearest(self, step: int) -> tuple[int, bytes] | None:
        """Step and data of the kept frame nearest to a step, the newest frame included; None if there is none."""
        if self._last is None:
            return None
        at = bisect_left(self._frames, step, key=lambda frame: frame[0])
        around = [*self._frames[max(at - 1, 0) : at + 1], self._last]
        return min(around, key=lambda frame: abs(frame[0] - step))


class ScoreCurve:
    """Scores of all images at all steps, growing by one row a step."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._scores: list[tuple[float, ...]] = []

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def images(self) -> int:
        """Number of score columns; 0 while there is no row."""
        return len(self._scores[0]) if self._scores else 0

    def add(self, step: int, scores: Sequence[float]) -> int:
        """Add the row of a step; rows of this and later steps are dropped first. Returns the number of rows left
        before it, so that who keeps a copy knows from where on to replace it.

        Raises
        ------
        ValueError
            If the number of scores differs from that of the rows before.
        """
        keep = bisect_left(self._steps, step)
        if keep and len(scores) != self.images:
            raise ValueError(
                f"step {step} has {len(scores)} scores, the steps before had {self.images}; "
                "call start() before a run with another number of images"
            )
        del self._steps[keep:], self._scores[keep:]
        self._steps.append(int(step))
        self._scores.append(tuple(float(score) for score in scores))
        return keep

    def since(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps int32 (k,) and scores float32 (k, images) of the rows from `row` on."""
        steps = np.asarray(self._steps[row:], dtype="<i4")
        scores = np.asarray(self._scores[row:], dtype="<f4")
        return steps, scores.reshape(len(steps), -1) if len(steps) else scores.reshape(0, self.images)

"""The past of a run: encoded frames thinned as they come, and the score of every step.

::

    FrameHistory.add(step, data)      FrameHistory.nearest(step) -> (step, data) | None
    ScoreCurve.add(step, scores)      ScoreCurve.since(row) -> (steps, scores)
    ScoreCurve.cut(step) -> (steps, scores) of the rows that went
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np


class FrameHistory:
    """At most `limit` frames of together at most `limit_bytes`, spread evenly over all that were added.

    When it is full every second frame goes, and from then on only every second, fourth, ... of the added frames is
    kept, so that the beginning of a long run is not thinner than its end. The newest frame is held besides these, and
    one frame is kept whatever its size.
    """

    def __init__(self, limit: int = 512, limit_bytes: int = 24_000_000) -> None:
        if limit < 2:
            raise ValueError(f"limit is {limit}, expected at least 2")
        if limit_bytes < 1:
            raise ValueError(f"limit_bytes is {limit_bytes}, expected at least 1")
        self._limit = limit
        self._limit_bytes = limit_bytes
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
        self.cut(step)
        self._last = (step, data)
        if self._skipped:
            self._skipped -= 1
            return
        due = True
        while due and self._full(len(data)):
            # Of an even number the last one goes and the new one stays, of an odd number the other way round.
            due = len(self._frames) % 2 == 0
            self._frames = self._frames[::2]
            self._skipped = self._stride - 1
            self._stride *= 2
        if due:
            self._frames.append((step, data))
            self._skipped = self._stride - 1

    def _full(self, more: int) -> bool:
        taken = sum(len(data) for _, data in self._frames)
        return len(self._frames) == self._limit or (taken > 0 and taken + more > self._limit_bytes)

    def cut(self, step: int) -> None:
        """Forget the frames of this and later steps."""
        if self._last is None or self._last[0] < step:
            return
        del self._frames[bisect_left(self._frames, step, key=lambda frame: frame[0]) :]
        self._last = self._frames[-1] if self._frames else None
        self._skipped = self._stride - 1 if self._frames else 0

    def nearest(self, step: int) -> tuple[int, bytes] | None:
        """Step and data of the kept frame nearest to a step, the newest frame included; None if there is none."""
        if self._last is None:
            return None
        at = bisect_left(self._frames, step, key=lambda frame: frame[0])
        around = [*self._frames[max(at - 1, 0) : at + 1], self._last]
        return min(around, key=lambda frame: abs(frame[0] - step))

    def frames(self) -> list[tuple[int, bytes]]:
        """Steps and data of all kept frames, oldest first, the newest included."""
        newest = [] if self._last is None or self._last in self._frames[-1:] else [self._last]
        return [*self._frames, *newest]


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

    @property
    def first_step(self) -> int:
        """Step of the first row; 0 while there is none."""
        return self._steps[0] if self._steps else 0

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

    def cut(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Drop the rows after a step and return them, as `since` does, behind the row they set out from.

        Nothing is returned if there are none.
        """
        keep = bisect_right(self._steps, step)
        gone = self.since(max(keep - 1, 0) if keep < len(self) else keep)
        del self._steps[keep:], self._scores[keep:]
        return gone

    def since(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps int32 (k,) and scores float32 (k, images) of the rows from `row` on."""
        steps = np.asarray(self._steps[row:], dtype="<i4")
        scores = np.asarray(self._scores[row:], dtype="<f4")
        return steps, scores.reshape(len(steps), -1) if len(steps) else scores.reshape(0, self.images)

"""The frames of a run in the browser, while it runs and afterwards.

::

    start(run, total_steps, labels) -> offer(step, scores, encode) ... -> rest(step, scores, png) [-> offer ... -> rest]
        any time between: mark(step, text)    branch(step) -> offer(step or the next one, ...) ...    film() -> frames

Messages to the browser:

- ``{"type": "frame", "run", "number", "step"}`` with buffers: JPEG; float32 scores (k, images); int32 steps (k,).
  The scores are those of all steps since the last acknowledged frame, so that a lost message leaves no gap.
- ``{"type": "past", "run", "step", "wanted"}`` with buffer JPEG: the kept frame nearest to ``wanted``;
  ``step`` -1 without a buffer where none is kept.

Messages from the browser, ignored when their run is over:

- ``{"type": "ack", "run", "number"}``: this frame, and so every earlier one, was drawn. At most five a second.
- ``{"type": "want", "run", "step"}``: looking back at a step that the page does not have.
- ``{"type": "hello", "run"}``: a page that knows nothing yet; the next frame carries the whole curve.

The run never waits for the browser; only sending does (see `Pacer`). Frames are messages and leave nothing behind;
what a reload must show again, the picture at rest, the curve, what it was before a branch and the marks, are traits.

Several images at once are one picture, composed by whoever owns the view, with a score column and a label each.
"""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from cnnviz_widgets.views._base import ROOM, View, joined
from cnnviz_widgets.views._history import FrameHistory, ScoreCurve
from cnnviz_widgets.views._pacing import Pacer
from cnnviz_widgets.views._recording import Answer, Recording

_MARKS_KEPT = 200
_FORMER_KEPT = 8


class FramePlayer(View):
    """Picture, scrubber and score curve of one run after the other.

    One worker thread at a time calls `start`, `offer`, `rest` and `branch`; messages from the browser may be handled
    on any other thread, and `mark` and `film` called there.

    Parameters
    ----------
    clock : callable
        Seconds that only grow; another one makes the pace testable.

    Attributes
    ----------
    still : bytes
        PNG of the picture at rest.
    step, total, run : int
        Step of the picture at rest, steps planned, number of the run (-1 before the first).
    curve, curve_steps : bytes
        float32 (k, images) and int32 (k,): the whole curve, as of the last rest or branch.
    images : int
        Score columns.
    labels : list of str
        What the score columns are, told in a legend with their colours; a column without one is numbered.
    marks : list of (int, str)
        Steps where something was changed and what it was: a line in the curve with its text, on hover where there is
        no room to write it. Written by `mark`, `start` and `branch`.
    branches : list of int
        Steps that this run was branched at, in the order it happened.
    former, former_steps : bytes
        As `curve` and `curve_steps`: what the branches left behind, one after the other, at most the last eight. Steps
        grow within each of them, so a new one begins where they do not.
    status : str
        A line such as "step 120 of 500"; whoever owns the view sets it.
    size : int
        Longer edge of the picture in CSS pixels.
    looking_at : int
        Step looked back at; -1 is live.

    Examples
    --------
    >>> from cnnviz_widgets.views import FramePlayer
    >>> player = FramePlayer()
    >>> player.start(1, total_steps=500)
    >>> player.offer(0, [0.1], encode=lambda: b"JPEG bytes")
    True
    """

    _esm = joined("_shared.js", "_curve.js", "_frames.js", "frame_player.js")
    _css = joined("_shared.css", "frame_player.css")

    still = traitlets.Bytes().tag(sync=True, echo_update=False)
    step = traitlets.Int(0).tag(sync=True)
    total = traitlets.Int(0, min=0).tag(sync=True)
    run = traitlets.Int(-1).tag(sync=True)
    curve = traitlets.Bytes().tag(sync=True, echo_update=False)
    curve_steps = traitlets.Bytes().tag(sync=True, echo_update=False)
    images = traitlets.Int(0, min=0).tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks = traitlets.List(traitlets.Tuple(traitlets.Int(min=0), traitlets.Unicode())).tag(sync=True)
    branches = traitlets.List(traitlets.Int(min=0)).tag(sync=True)
    former = traitlets.Bytes().tag(sync=True, echo_update=False)
    former_steps = traitlets.Bytes().tag(sync=True, echo_update=False)
    status = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    size = traitlets.Int(448, min=64).tag(sync=True)
    looking_at = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **traits: Any) -> None:
        self._pacer = Pacer(clock)
        self._history = FrameHistory()
        self._scores = ScoreCurve()
        self._former: list[tuple[np.ndarray, np.ndarray]] = []
        self._course = 0
        self._known_rows = 0
        self._rows_sent: dict[int, int] = {}
        super().__init__(**traits)
        self.on_msg(self._receive)

    def start(self, run: int, total_steps: int, labels: Sequence[str] = ()) -> None:
        """Begin another run: frames, curves, marks and caption of the last one are forgotten, its late messages ignored.

        The last picture stays on the screen until the first new one.

        Parameters
        ----------
        run : int
            Number of the run.
        labels : sequence of str
            One per score column, for the legend; without any there is none.

        Raises
        ------
        ValueError
            If `run` is not above the number of the run before.
        """
        with self._lock:
            if run <= self.run:
                raise ValueError(f"run is {run}, expected a number above {self.run}, that of the run before")
            self._pacer.restart()
            self._history.clear()
            self._scores = ScoreCurve()
            self._former = []
            self._course += 1
            self._forget_browser()
            self.assign(
                run=run,
                total=total_steps,
                step=0,
                images=0,
                labels=list(labels),
                caption="",
                marks=[],
                branches=[],
                still=b"",
                curve=b"",
                curve_steps=b"",
                former=b"",
                former_steps=b"",
                looking_at=-1,
            )

    def offer(self, step: int, scores: Sequence[float], encode: Callable[[], bytes]) -> bool:
        """Record the scores of a step and, if the pace allows it, send its picture.

        Parameters
        ----------
        scores : sequence of float
            One per image.
        encode : callable
            Returns the JPEG; called only if the picture is sent.

        Returns
        -------
        bool
            Whether the picture was sent.

        Raises
        ------
        ValueError
            If the number of scores changes within a run.
        """
        with self._lock:
            self._record(step, scores)
            if not self._pacer.may_send():
                return False
            course = self._course
        jpeg = encode()
        with self._lock:
            if course != self._course:
                return False
            self._history.add(step, jpeg)
            number = self._pacer.sent()
            steps, rows = self._scores.since(self._known_rows)
            self._rows_sent[number] = len(self._scores)
            message = {"type": "frame", "run": self.run, "number": number, "step": int(step)}
            self.send(message, [jpeg, rows.tobytes(), steps.tobytes()])
        return True

    def rest(self, step: int, scores: Sequence[float], png: bytes) -> None:
        """Show the lossless picture of a run that was paused, stopped or has ended, with the whole curve.

        Raises
        ------
        ValueError
            If the number of scores changes within a run.
        """
        with self._lock:
            self._record(step, scores)
            steps, rows = self._scores.since(0)
            self._known_rows = len(self._scores)
            self.assign(
                still=bytes(png),
                step=int(step),
                images=self._scores.images,
                curve=rows.tobytes(),
                curve_steps=steps.tobytes(),
            )

    def branch(self, step: int) -> None:
        """Go back to a step; what came after it stays in the curve, pale, and leaves the film.

        The next step offered may be this one or a later one. Looking back ends; until the next picture the page shows
        the nearest it has at or before the step. Where the run has nothing after the step, only the looking back ends.

        Raises
        ------
        ValueError
            If the run has no score at or before the step.
        """
        with self._lock:
            if not len(self._scores) or step < self._scores.first_step:
                raise ValueError(f"step is {step}, expected one that was offered; the run has no score up to it")
            self._course += 1
            steps, rows = self._scores.cut(step)
            if not len(steps):
                self.assign(looking_at=-1)
                return
            self._history.cut(step + 1)
            self._former = [*self._former, (steps, rows)][-_FORMER_KEPT:]
            self._forget_browser()
            kept_steps, kept = self._scores.since(0)
            self._known_rows = len(kept_steps)
            self.assign(
                branches=[*self.branches, int(step)],
                former=b"".join(rows.tobytes() for _, rows in self._former),
                former_steps=b"".join(steps.tobytes() for steps, _ in self._former),
                images=self._scores.images,
                curve=kept.tobytes(),
                curve_steps=kept_steps.tobytes(),
                marks=[mark for mark in self.marks if mark[0] <= step],
                still=self.still if self.step <= step else b"",
                step=min(self.step, int(step)),
                looking_at=-1,
            )

    def mark(self, step: int, text: str) -> None:
        """Note in the curve that something was changed at a step; of more than 200 notes the oldest go.

        The same text at the same step is noted once.
        """
        with self._lock:
            note = (int(step), text)
            if note not in self.marks:
                self.marks = [*self.marks, note][-_MARKS_KEPT:]

    def recording(self, most_bytes: int = ROOM) -> Recording:
        """The newest picture and the curve, with all frames that are kept, or none where there is no room for all.

        The page begins there, also where somebody is looking back.
        """
        with self._lock:
            found, frames, run = super().recording(most_bytes), self._history.frames(), self.run
            steps, rows = self._scores.since(0)
        found = replace(found, state={**found.state, "looking_at": -1})
        if frames and (frames[-1][0] > found.state["step"] or not found.state["still"]):
            on_its_way = {
                "still": _png(frames[-1][1]),
                "step": frames[-1][0],
                "images": rows.shape[1],
                "curve": rows.tobytes(),
                "curve_steps": steps.tobytes(),
            }
            found = replace(found, state={**found.state, **on_its_way})
        if not frames or sum(len(jpeg) for _, jpeg in frames) > most_bytes:
            return found
        answers = []
        for wanted in range(frames[0][0], frames[-1][0] + 1):
            step, jpeg = min(frames, key=lambda frame: abs(frame[0] - wanted))
            told = {"type": "past", "run": run, "step": step, "wanted": wanted}
            answers.append(Answer({"type": "want", "run": run, "step": wanted}, told, (jpeg,)))
        return replace(found, answers=tuple(answers))

    def film(self) -> list[tuple[int, bytes]]:
        """Steps and JPEGs of the frames kept for looking back, oldest first.

        At most 512 of together 24 MB, spread evenly over those that were sent, and the newest one.
        """
        with self._lock:
            return self._history.frames()

    def _record(self, step: int, scores: Sequence[float]) -> None:
        before = len(self._scores)
        kept = self._scores.add(step, scores)
        if kept < before:
            self._known_rows = min(self._known_rows, kept)
            self._rows_sent = {number: min(rows, kept) for number, rows in self._rows_sent.items()}

    def _forget_browser(self) -> None:
        self._known_rows = 0
        self._rows_sent = {}

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            if content.get("run") != self.run:
                return
            match content.get("type"):
                case "ack":
                    self._acknowledge(content.get("number"))
                case "hello":
                    self._forget_browser()
                case "want":
                    self._send_past(content.get("step"))

    def _acknowledge(self, number: Any) -> None:
        if not isinstance(number, int) or not self._pacer.acknowledge(number):
            return
        self._known_rows = max(self._known_rows, self._rows_sent.get(number, 0))
        self._rows_sent = {later: rows for later, rows in self._rows_sent.items() if later > number}

    def _send_past(self, wanted: Any) -> None:
        if not isinstance(wanted, int):
            return
        found = self._history.nearest(wanted)
        step, buffers = (found[0], [found[1]]) if found else (-1, [])
        self.send({"type": "past", "run": self.run, "step": step, "wanted": wanted}, buffers)


def _png(picture: bytes) -> bytes:
    """The same picture as PNG; what is no picture stays what it is."""
    file = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.save(file, "PNG", compress_level=1)
    except OSError:
        return picture
    return file.getvalue()

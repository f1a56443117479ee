"""The frames of a run in the browser, while it runs and afterwards.

::

    start(run) -> offer(step, scores, encode) ... -> rest(step, scores, png) [-> offer ... -> rest]

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
what a reload must show again, the picture at rest and the curve, are traits.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from cnnviz_widgets.views._base import View, joined
from cnnviz_widgets.views._history import FrameHistory, ScoreCurve
from cnnviz_widgets.views._pacing import Pacer


class FramePlayer(View):
    """Picture, scrubber and score curve of one run after the other.

    One worker thread at a time calls `start`, `offer` and `rest`; messages from the browser may be handled on any
    other thread.

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
        float32 (k, images) and int32 (k,): the whole curve, as of the last rest.
    images : int
        Score columns.
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
    status = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    size = traitlets.Int(448, min=64).tag(sync=True)
    looking_at = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **traits: Any) -> None:
        self._pacer = Pacer(clock)
        self._history = FrameHistory()
        self._scores = ScoreCurve()
        self._known_rows = 0
        self._rows_sent: dict[int, int] = {}
        super().__init__(**traits)
        self.on_msg(self._receive)

    def start(self, run: int, *, total_steps: int) -> None:
        """Begin another run: frames and curve of the last one are forgotten, its late messages ignored.

        The last picture stays on the screen until the first new one.

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
            self._forget_browser()
            self.assign(
                run=run, total=total_steps, step=0, images=0, still=b"", curve=b"", curve_steps=b"", looking_at=-1
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
            run = self.run
        jpeg = encode()
        with self._lock:
            if run != self.run:
                return False
            self._history.add(step, jpeg)
            number = self._pacer.sent()
            steps, rows = self._scores.since(self._known_rows)
            self._rows_sent[number] = len(self._scores)
            message = {"type": "frame", "run": run, "number": number, "step": int(step)}
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

"""``Latest`` and ``Run``: work on threads of its own, so that a handler and ``run()`` return at once.

`Latest` keeps only the newest request, for pictures that follow a slider. `Run` drives an ascent and obeys commands between
its steps. Neither touches a widget: they call back, on their own thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

from cnnviz_widgets.engine.ascent import Frame
from cnnviz_widgets.engine.recipes import Recipe

State = Literal["preparing", "running", "paused", "finished", "stopped", "failed"]
RESTING: tuple[State, ...] = ("paused", "finished", "stopped", "failed")
OVER: tuple[State, ...] = ("stopped", "failed")


class Latest:
    """Runs the newest request on a worker thread; one that waits is dropped when a newer one comes.

    Parameters
    ----------
    failed
        Gets what a request raises.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._condition = threading.Condition()
        self._pending: Callable[[], None] | None = None
        self._busy = False
        self._closed = False

    def request(self, work: Callable[[], None]) -> None:
        """Have ``work`` done soon; returns at once."""
        with self._condition:
            if self._closed:
                return
            self._pending = work
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="cnnviz-drawing", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._condition:
                work, self._pending = self._pending, None
                if work is None or self._closed:
                    self._busy = False
                    self._condition.notify_all()
                    return
            try:
                work()
            except BaseException as error:  # a worker has nobody above it: told, not lost
                if not self._closed:
                    self._failed(error)

    def wait(self, seconds: float) -> None:
        """Wait until nothing is asked for any more; ``TimeoutError`` where it takes longer."""
        with self._condition:
            if not self._condition.wait_for(lambda: not self._busy, seconds):
                raise TimeoutError(f"still drawing after {seconds:g} s")

    def close(self) -> None:
        """Drop what waits, and take no more."""
        with self._condition:
            self._closed = True
            self._pending = None


@dataclass(frozen=True)
class Progress:
    """Where a run is: told at each frame and at each change of state."""

    state: State
    frame: Frame | None
    steps: int
    error: BaseException | None = None


class Run:
    """An ascent on its own thread.

    ``pause``, ``step``, ``resume``, ``stop`` and ``steer`` return at once and act before the next step. At its last step a
    run rests as finished and can go on when it is steered to more steps. `told` is called on the run's thread.

    Parameters
    ----------
    begin
        Makes the frames; called on the run's thread, since it may take a while.
    recipe
        What the frames begin with.
    told
        Gets every `Progress`; its ``state`` is ``"running"`` for a frame on the way.
    """

    def __init__(
        self,
        begin: Callable[[], Generator[Frame, Recipe | None, None]],
        recipe: Recipe,
        told: Callable[[Progress], None],
    ) -> None:
        self._begin = begin
        self._told = told
        self._commands: queue.SimpleQueue[tuple[str, Recipe | None]] = queue.SimpleQueue()
        self._recipe = recipe
        self._steer: Recipe | None = None
        self._state: State = "preparing"
        self._frame: Frame | None = None
        self._single = False
        self._thread = threading.Thread(target=self._work, name="cnnviz-ascent", daemon=True)

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._state

    @property
    def frame(self) -> Frame | None:
        """The newest frame."""
        return self._frame

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def pause(self) -> None:
        """Rest before the next step."""
        self._commands.put(("pause", None))

    def resume(self) -> None:
        """Go on."""
        self._commands.put(("resume", None))

    def step(self) -> None:
        """One step, then rest."""
        self._commands.put(("step", None))

    def stop(self) -> None:
        """End, keeping the frame it has come to."""
        self._commands.put(("stop", None))

    def steer(self, recipe: Recipe) -> None:
        """Follow this recipe's regularizers, stepper and number of steps from the next step on."""
        self._commands.put(("steer", recipe))

    def join(self, seconds: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _work(self) -> None:
        frames: Any = None
        try:
            self._tell("preparing")
            frames = self._begin()
            self._frame = next(frames)
            self._tell("running")
            while self._obey():
                sent, self._steer = self._steer, None
                self._frame = frames.send(sent)
                self._tell("running")
            self._tell("stopped")
        except StopIteration:
            self._tell("stopped")
        except BaseException as error:  # the panel shows it; nothing above this thread would
            self._tell("failed", error)
        finally:
            if frames is not None:
                frames.close()

    def _obey(self) -> bool:
        """Take the commands that have come, wait while at rest; whether to make another step."""
        if self._single:
            self._single = False
            self._tell("finished" if self._stuck() else "paused")
        while True:
            if self._stuck() and self._state not in RESTING:
                self._tell("finished")
            try:
                command, recipe = self._commands.get(block=self._state in RESTING)
            except queue.Empty:
                return True
            if command == "stop":
                return False
            if command == "steer" and recipe is not None:
                self._recipe = self._steer = recipe
                if self._state in RESTING:
                    self._tell("paused" if self._state == "finished" and not self._stuck() else self._state)
            elif command == "pause" and self._state == "running":
                self._tell("paused")
            elif command in ("resume", "step") and not self._stuck():
                self._single = command == "step"
                self._state = "running"
                return True

    def _stuck(self) -> bool:
        """Whether the steps are done, or no image can move."""
        frame = self._frame
        return frame is None or frame.step >= self._recipe.steps or bool(frame.notes and all(frame.notes))

    def _tell(self, state: State, error: BaseException | None = None) -> None:
        self._state = state
        self._told(Progress(state, self._frame, self._recipe.steps, error))

"""``Latest`` and ``Run``: work on threads of its own, so that a handler and ``run()`` return at once.

`Latest` keeps only the newest request, for pictures that follow a slider. `Run` drives an ascent and obeys commands between
its steps. Neither touches a widget: they call back, on their own thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cnnviz_widgets.engine.ascent import Ascent, Frame
from cnnviz_widgets.engine.history import History
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
        self._drawn, self._newest = 0, 0

    def ticket(self) -> int:
        """A number to be drawn before it is read what is to be done; see `request`."""
        with self._condition:
            self._drawn += 1
            return self._drawn

    def request(self, work: Callable[[], None], ticket: int | None = None) -> None:
        """Have ``work`` done soon; returns at once.

        With a ticket, nothing is done where a later one has been here already: who asks from several threads reads what is to be
        shown before asking, and the one who read first may come last.
        """
        with self._condition:
            ticket = self.ticket() if ticket is None else ticket
            if self._closed or ticket < self._newest:
                return
            self._newest = ticket
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
    """Where a run is: told at each frame and at each change of state.

    ``branched`` is the step that the run was just brought back to, -1 where it was not.
    """

    state: State
    frame: Frame | None
    steps: int
    error: BaseException | None = None
    branched: int = -1


@dataclass(frozen=True)
class _Command:
    name: str
    recipes: tuple[Recipe, ...] = ()
    step: int = 0
    work: Callable[[Ascent], None] | None = None


class Run:
    """An ascent on its own thread.

    ``pause``, ``step``, ``resume``, ``stop``, ``steer``, ``branch`` and ``ask`` return at once and act before the next step. At
    its last step a run rests as finished and can go on when it is steered to more steps. `told` is called on the run's thread.

    Parameters
    ----------
    begin
        Makes the ascent; called on the run's thread, since it may take a while.
    recipes
        What it begins with.
    told
        Gets every `Progress`; its ``state`` is ``"running"`` for a frame on the way.
    """

    def __init__(
        self, begin: Callable[[], Ascent], recipes: Sequence[Recipe], told: Callable[[Progress], None]
    ) -> None:
        self._begin = begin
        self._told = told
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._recipes = tuple(recipes)
        self._steer: tuple[Recipe, ...] | None = None
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
        self._commands.put(_Command("pause"))

    def resume(self) -> None:
        """Go on."""
        self._commands.put(_Command("resume"))

    def step(self) -> None:
        """One step, then rest."""
        self._commands.put(_Command("step"))

    def stop(self) -> None:
        """End, keeping the frame it has come to."""
        self._commands.put(_Command("stop"))

    def steer(self, recipes: Sequence[Recipe]) -> None:
        """Follow these recipes' regularizers, stepper, draws and number of steps from the next step on."""
        self._commands.put(_Command("steer", recipes=tuple(recipes)))

    def branch(self, step: int) -> None:
        """Go back to a step and rest there; what came later is climbed anew, from then on perhaps another way."""
        self._commands.put(_Command("branch", step=step))

    def ask(self, work: Callable[[Ascent], None]) -> None:
        """Have something done with the ascent between two steps, on the run's thread. It may look, not advance."""
        self._commands.put(_Command("ask", work=work))

    def join(self, seconds: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _work(self) -> None:
        ascent: Ascent | None = None
        try:
            self._tell("preparing")
            ascent = self._begin()
            history = History(ascent)
            self._frame = ascent.look()
            self._tell("running")
            while self._obey(ascent, history):
                steer, self._steer = self._steer, None
                if steer is not None:
                    ascent.follow(steer)
                history.keep()
                ascent.advance()
                self._frame = ascent.look()
                self._tell("running")
            self._tell("stopped")
        except BaseException as error:  # the panel shows it; nothing above this thread would
            self._tell("failed", error)
        finally:
            if ascent is not None:
                ascent.close()

    def _obey(self, ascent: Ascent, history: History) -> bool:
        """Take the commands that have come, wait while at rest; whether to make another step."""
        if self._single:
            self._single = False
            self._tell("finished" if self._stuck() else "paused")
        while True:
            if self._stuck() and self._state not in RESTING:
                self._tell("finished")
            try:
                command = self._commands.get(block=self._state in RESTING)
            except queue.Empty:
                return True
            if command.name == "stop":
                return False
            if command.name == "steer":
                self._recipes = self._steer = command.recipes
                if self._state in RESTING:
                    self._tell("paused" if self._state == "finished" and not self._stuck() else self._state)
            elif command.name == "branch":
                self._go_back(command.step, ascent, history)
            elif command.name == "ask" and command.work is not None:
                command.work(ascent)
            elif command.name == "pause" and self._state == "running":
                self._tell("paused")
            elif command.name in ("resume", "step") and not self._stuck():
                self._single = command.name == "step"
                self._state = "running"
                return True

    def _go_back(self, step: int, ascent: Ascent, history: History) -> None:
        if self._frame is None or not 0 <= step < self._frame.step:
            if self._state == "running":
                self._tell("paused")
            return
        history.rewind(step)
        self._frame = ascent.look()
        # the knobs stand as they stand now, whatever they were at that step
        self._steer = self._recipes
        self._tell("paused", branched=step)

    def _stuck(self) -> bool:
        """Whether the steps are done, or no image can move."""
        frame = self._frame
        steps = max(recipe.steps for recipe in self._recipes)
        return frame is None or frame.step >= steps or bool(frame.notes and all(frame.notes))

    def _tell(self, state: State, error: BaseException | None = None, *, branched: int = -1) -> None:
        self._state = state
        steps = max(recipe.steps for recipe in self._recipes)
        self._told(Progress(state, self._frame, steps, error, branched))

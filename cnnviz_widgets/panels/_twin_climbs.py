"""``TwinClimbs``: the same goal climbed in two networks by one recipe from one seed, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from PIL import Image

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.ascent import Ascent, Frame, goals_of
from cnnviz_widgets.engine.best import Best
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.result import Result

from ._pictures import Pictures, encoded
from ._runner import OVER, Progress, Run

STRETCH = "percentile"
EVERY = 0.25
"""Seconds between two pictures on the way."""
SMALL = 224


@dataclass(frozen=True, eq=False)
class Goal:
    """What climbs in one network."""

    network: Network
    unit: Unit


class _Lane:
    """One of the two: its picture, what is said of it, and its run."""

    def __init__(self, failed: Callable[[BaseException], None], ended: Callable[[], None]) -> None:
        self._failed, self._ended = failed, ended
        self._shown, self._step = 0.0, -1
        self._best: Best | None = None
        self._goal: Goal | None = None
        self._pictures: Pictures | None = None
        self._lock = threading.RLock()
        self.run: Run | None = None
        self.heading = widgets.Label("")
        self.heading.add_class("cnnviz-section")
        self.image = widgets.Image(format="jpeg", layout=widgets.Layout(width="100%", max_width="448px"))
        self.image.layout.display = "none"
        self.caption = widgets.Label("")
        self.caption.add_class("cnnviz-verdict")
        self.box = widgets.VBox([self.heading, self.image, self.caption])
        self.box.add_class("cnnviz-main")

    @property
    def running(self) -> bool:
        """Whether it climbs."""
        return self.run is not None and self.run.state not in (*OVER, "finished")

    def begin(self, goal: Goal, recipe: Recipe) -> None:
        """Climb; returns at once."""
        network, unit = goal.network, goal.unit
        is_class = unit.layer == network.output and unit.position is None and network.is_classifier
        with self._lock:
            self._goal, self._best, self._step, self._shown = goal, Best([recipe]), -1, 0.0
            self._pictures = Pictures(network, [str(unit)], 1, unit.channel if is_class else None)
            run: Run = Run(
                lambda: Ascent(network, goals_of(network, unit), [recipe]),
                [recipe],
                lambda progress: self._told(progress, run),
            )
            self.run = run
        self.caption.value = "preparing"
        run.start()

    def _told(self, progress: Progress, run: Run) -> None:
        with self._lock:
            if self.run is not run or self._best is None:
                return
            frame = progress.frame
            if frame is not None and frame.step != self._step:
                self._best.add(frame)
                self._step = frame.step
            rests = progress.state not in ("preparing", "running")
            if frame is not None and (rests or time.monotonic() - self._shown > EVERY):
                self._shown = time.monotonic()
                self._show(frame, progress)
        if progress.state == "finished":
            run.stop()
        if progress.state == "failed" and progress.error is not None:
            self._failed(progress.error)
        if progress.state in OVER:
            self._ended()

    def _show(self, frame: Frame, progress: Progress) -> None:
        assert self._pictures is not None
        assert self._best is not None
        picture = self._pictures.of(frame, STRETCH).convert("RGB")
        if max(picture.size) < SMALL:  # the browser would smooth it
            factor = SMALL // max(picture.size)
            picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        self.image.value = encoded(picture, "JPEG")
        self.image.layout.display = ""
        told = self._pictures.caption(frame, self._best, 0, STRETCH)
        notes = " ".join(note for note in frame.notes if note)
        self.caption.value = f"Step {frame.step} of {progress.steps}: {told}. {notes}".strip()

    def result(self) -> Result | None:
        """What there is so far."""
        with self._lock:
            if self._best is None or self._goal is None or not self._best.curve:
                return None
            return self._best.result(self._goal.network, goals_of(self._goal.network, self._goal.unit))


class TwinClimbs:
    """A recipe, a seed and a button, and a picture for each network.

    What climbs keeps its unit until the next run, whatever is chosen meanwhile.

    Parameters
    ----------
    goals
        Gives what is chosen at this moment in both networks; raises ``ValueError`` where the second has nothing that answers.
    names
        What the networks are called.
    failed
        Gets what goes wrong.
    changed
        Called when a control was moved.
    """

    def __init__(
        self,
        goals: Callable[[], tuple[Goal, Goal]],
        names: tuple[str, str],
        failed: Callable[[BaseException], None],
        changed: Callable[[Any], None],
    ) -> None:
        self._goals, self._names, self._failed = goals, names, failed
        self._closed = False
        self._suggested = ""
        menu = {"style": {"description_width": "initial"}}
        self.recipe = widgets.Dropdown(
            options=recipes.names(), description="recipe", layout=widgets.Layout(width="auto"), **menu
        )
        self.seed = widgets.BoundedIntText(
            value=0, min=0, max=2**31 - 1, description="seed", layout=widgets.Layout(width="130px"), **menu
        )
        self.steps = widgets.BoundedIntText(
            value=recipes.get(self.recipe.value).steps, min=1, max=100_000, description="steps",
            layout=widgets.Layout(width="130px"), **menu,
        )  # fmt: skip
        self.button = widgets.Button(
            description="Run both",
            tooltip="Climb the same goal in both networks, from the same seed",
            layout=widgets.Layout(width="auto"),
        )
        self.button.style.font_weight = "600"
        self.button.on_click(lambda button: self.press())
        self.recipe.observe(self._recipe_chosen, "value")
        for control in (self.recipe, self.seed, self.steps):
            control.observe(changed, "value")
        self.lanes = [_Lane(failed, self._show), _Lane(failed, self._show)]
        controls = widgets.HBox([self.recipe, self.seed, self.steps, self.button])
        controls.add_class("cnnviz-wrap")
        row = widgets.HBox([lane.box for lane in self.lanes])
        row.add_class("cnnviz-row")
        self.box = widgets.VBox([controls, row])

    @property
    def running(self) -> bool:
        """Whether one of them climbs."""
        return any(lane.running for lane in self.lanes)

    def made(self) -> Recipe:
        """The recipe as the controls stand."""
        return recipes.get(self.recipe.value).replace(seed=int(self.seed.value), steps=int(self.steps.value))

    def code(self) -> str:
        """Keywords of `maximize` that do the same."""
        preset = recipes.get(self.recipe.value)
        told = f"{self.recipe.value!r}, seed={int(self.seed.value)}"
        return told if self.steps.value == preset.steps else f"{told}, steps={int(self.steps.value)}"

    def suggest(self, recipe: str) -> None:
        """Choose a recipe that fits the layer, unless the user has chosen one."""
        if self._suggested in ("", self.recipe.value) and recipe in self.recipe.options and not self.running:
            self._suggested = self.recipe.value = recipe

    def press(self) -> None:
        """Begin, or stop; returns at once."""
        if self.running:
            self.stop()
        elif not self._closed:
            try:
                goals, recipe = self._goals(), self.made()
            except Exception as error:  # shown, and the panel lives on
                self._failed(error)
                return
            for lane, goal, name in zip(self.lanes, goals, self._names, strict=True):
                lane.heading.value = f"{name}: {goal.network.name}, {told_of(goal)}"
                lane.begin(goal, recipe)
        self._show()

    def stop(self) -> None:
        """End both, keeping what they have come to."""
        for lane in self.lanes:
            if lane.run is not None:
                lane.run.stop()

    def results(self) -> tuple[Result, Result] | None:
        """What both have come to; None before a run."""
        first, second = (lane.result() for lane in self.lanes)
        return None if first is None or second is None else (first, second)

    def wait(self, seconds: float) -> None:
        """Wait for the end of both; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        end = time.monotonic() + seconds
        for lane in self.lanes:
            if lane.run is not None:
                lane.run.join(max(0.0, end - time.monotonic()))
        if self.running:
            raise TimeoutError(f"still climbing after {seconds:g} s")

    def close(self) -> None:
        """End what runs."""
        self._closed = True
        self.stop()
        for lane in self.lanes:
            if lane.run is not None:
                lane.run.join(30)

    def _recipe_chosen(self, change: Any) -> None:
        self.steps.value = recipes.get(change["new"]).steps

    def _show(self) -> None:
        if not self._closed:
            self.button.description = "Stop" if self.running else "Run both"


def told_of(goal: Goal) -> str:
    """A class by its name, any other unit as it is addressed."""
    network, unit = goal.network, goal.unit
    if unit.layer == network.output and network.labels and unit.position is None:
        return network.label(unit.channel)
    return str(unit)

"""``MaximizationPanel``: an image of what a unit likes best, growing while its regularizers are turned."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import display, recipes
from cnnviz_widgets.engine.ascent import Best, Frame, ascend, goal_name
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective, activation
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.result import Result
from cnnviz_widgets.views import FramePlayer

from ._base import Panel, beside, fill_tree, layer_tree
from ._controls import wide
from ._recipe_controls import CUSTOM, RecipeControls
from ._runner import OVER, RESTING, Progress, Run
from ._selection import Selection
from ._top_classes import TopClasses


class MaximizationPanel(Panel):
    """Activation maximization, live: choose a unit and a recipe, run, and turn the regularizers' knobs while it climbs.

    Sliders act on the next step. A run keeps its unit until the next Run, goes on while other cells work, and ends by Stop,
    by `close`, by running the cell that made the panel again, or with the kernel. The bars tell what the network takes the
    shown frame for, so that one sees how sure it is of a fooling image.

    Parameters
    ----------
    network
        A `Network`.
    recipe
        A preset's name or a `Recipe` to begin with.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> panel = MaximizationPanel(net, "yosinski-1")
    >>> panel.recipe == recipes.get("yosinski-1")
    True
    >>> panel.close()
    """

    title = "Activation maximization"
    _run: Run | None = None

    def __init__(
        self,
        network: Network,
        recipe: str | Recipe = "none",
        *,
        selection: Selection | None = None,
    ) -> None:
        self._begin_with = recipes.get(recipe)
        self._number = 0
        self._best: Best | None = None
        self._goal: Objective | None = None
        self._climbed: Network | None = None
        self._told_last = ""
        self._reporting = threading.RLock()
        super().__init__(Selection.of(network, selection=selection))
        try:
            self._show_recipe(self._begin_with)
        except Exception:
            self.close()
            raise

    def _build(self) -> list[widgets.Widget]:
        self.tree = layer_tree(self.network, self.selection.layer.name, max_height=260)
        self.channel = widgets.IntSlider(min=0, max=0, description="channel", **wide())
        self.neuron = widgets.Checkbox(value=False, description="only the neuron in the centre", indent=False)
        self.label = widgets.Combobox(
            description="class", placeholder="type a class name", ensure_option=True, **wide()
        )
        self.controls = RecipeControls(self._begin_with, self._user(self._recipe_changed))
        self.menu = self.controls.menu
        self.regularizers, self.stepper = self.controls.regularizers, self.controls.stepper
        self.start, self.numbers = self.controls.start, self.controls.numbers
        self.player = FramePlayer()
        self.stretch = widgets.Dropdown(
            options=list(display.STRETCHES),
            value="percentile",
            description="stretch",
            layout=widgets.Layout(width="auto"),
        )
        self._seen_as = TopClasses()
        self.classes = self._seen_as.bars
        self.buttons = self._make_buttons()
        self.menu.observe(self._user(self._preset_chosen), "value")
        self.tree.observe(self._user(self._layer_chosen), "selected")
        for control_ in (self.channel, self.neuron):
            control_.observe(self._user(self._unit_chosen), "value")
        self.label.observe(self._user(self._label_chosen), "value")
        self.stretch.observe(self._user(lambda change: self._report_again()), "value")
        self.player.observe(self._user(lambda change: self._looked_back()), "looking_at")
        left = [self.tree, self.label, self.channel, self.neuron, *self.controls.column]
        bar = widgets.HBox(list(self.buttons.values()))
        bar.add_class("cnnviz-wrap")
        row = beside(left, [bar, self.player, self.classes, self.stretch])
        row.add_class("cnnviz-wide-side")
        return [row]

    def _make_buttons(self) -> dict[str, widgets.Button]:
        told = {
            "run": ("Run", "Climb from a new start", self.run),
            "pause": ("Pause", "Rest after this step", self.pause),
            "step": ("Step", "Make one step", self.step),
            "resume": ("Resume", "Go on", self.resume),
            "stop": ("Stop", "End this run and keep its picture", self.stop),
        }
        made = {}
        for name, (text, tip, act) in told.items():
            layout = widgets.Layout(width="auto")
            button = widgets.Button(description=text, tooltip=tip, disabled=name != "run", layout=layout)
            button.on_click(self._user(_pressing(act)))
            made[name] = button
        made["run"].button_style = "primary"
        return made

    # what is climbed, and how

    @property
    def unit(self) -> Unit:
        """The unit that the next run climbs."""
        return self.selection.unit

    @property
    def recipe(self) -> Recipe:
        """The recipe as the controls stand."""
        return self.controls.recipe

    @recipe.setter
    def recipe(self, recipe: str | Recipe) -> None:
        self._show_recipe(recipes.get(recipe))
        self._steer()

    def _show_recipe(self, recipe: Recipe) -> None:
        with self._own_changes():
            self.controls.show(recipe)
        self._tell_code()

    def _recipe_changed(self, change: Any) -> None:
        with self._own_changes():
            self.menu.value = self.controls.preset
        self._tell_code()
        self._steer()

    def _preset_chosen(self, change: Any) -> None:
        if change["new"] != CUSTOM:
            self._show_recipe(recipes.get(change["new"]).replace(seed=self.recipe.seed))
            self._steer()

    def _steer(self) -> None:
        run, recipe = self._run, self.recipe
        if run is not None and run.state not in OVER:
            with self._reporting:
                if self._best is not None:
                    self._best.steered(recipe, run.frame.step if run.frame is not None else 0)
            run.steer(recipe)

    # the run

    @property
    def state(self) -> str:
        """``"idle"`` before the first run, then what the run is doing."""
        return "idle" if self._run is None else self._run.state

    @property
    def result(self) -> Result | None:
        """The best image of the run so far, with how it was made; None before the first frame.

        Its recipe is the one the run began with; where knobs were turned on the way, its notes say so.
        """
        with self._reporting:
            if self._best is None or not self._best.curve or self._climbed is None or self._goal is None:
                return None
            return self._best.result(self._climbed, [self._goal])

    def run(self) -> None:
        """Climb from a new start; returns at once. A run under way ends."""
        unit, network, recipe = self.unit, self.network, self.recipe
        with self._reporting:
            former = self._run
            self._number += 1
            number = self._number
            self._goal, self._climbed, self._best = activation(unit), network, Best(recipe)
            self._seen_as.begin(network)
            self.player.start(number, total_steps=recipe.steps)
            self.note.show("")
            begun = self._run = Run(
                lambda: ascend(network, unit, recipe), recipe, lambda progress: self._told(number, progress)
            )
        if former is not None:
            former.stop()
        begun.start()
        self._tell_selected()

    def pause(self) -> None:
        """Rest after the step under way."""
        self._command("pause")

    def step(self) -> None:
        """One step, then rest."""
        self._command("step")

    def resume(self) -> None:
        """Go on after a pause, or after the end when there are more steps now."""
        self._command("resume")

    def stop(self) -> None:
        """End the run; its picture stays."""
        self._command("stop")

    def _command(self, name: str) -> None:
        if self._run is not None:
            getattr(self._run, name)()

    def _end(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.stop()
            run.join(10)

    def close(self) -> None:
        """End the run, then as any panel."""
        self._end()
        super().close()

    # what the run tells, on its thread

    def _told(self, number: int, progress: Progress) -> None:
        with self._reporting, self._own_changes():
            if number != self._number or self._closed:
                return
            frame = progress.frame
            changed, self._told_last = progress.state != self._told_last, progress.state
            if progress.error is not None:
                self._failed(progress.error, lasting=True)
            # a small network makes thousands of steps a second; the browser hears of those whose picture it gets
            if frame is not None and progress.state == "running" and not self._take(frame) and not changed:
                return
            resting = frame if progress.state in RESTING else None
            if resting is not None:
                self._rest(resting)
            self.player.assign(status=self._status(progress), total=progress.steps)
            self._enable(progress)
            if resting is not None:
                if progress.error is None:
                    self._seen_as.look(resting, at_once=True)
                self._seen_as.show(resting.step)
            if progress.error is None and frame is not None and any(frame.notes):
                self._failed(RuntimeError(" ".join(note for note in frame.notes if note)), lasting=True)

    def _take(self, frame: Frame) -> bool:
        """Take a frame on the way in; whether its picture went to the browser."""
        assert self._best is not None
        self._best.add(frame)
        if self._seen_as.look(frame) and self.player.looking_at < 0:
            self._seen_as.show(frame.step)
        return self.player.offer(frame.step, frame.score.tolist(), lambda: _encoded(self._picture(frame), "JPEG"))

    def _rest(self, frame: Frame) -> None:
        self.player.caption = self._caption(frame)
        self.player.rest(frame.step, frame.score.tolist(), _encoded(self._picture(frame), "PNG"))

    def _picture(self, frame: Frame) -> Image.Image:
        shown = display.stretched(frame.image, self._neutral(frame.image), self.stretch.value)
        return display.picture(display.pixels(shown)[0])

    def _neutral(self, image: Tensor) -> Tensor:
        assert self._climbed is not None
        return self._climbed.input.neutral_image(image)

    def _caption(self, frame: Frame) -> str:
        assert self._best is not None
        contrast = display.contrast(frame.image, self._neutral(frame.image))[0]
        how = {"none": "not stretched", "percentile": "stretched to the 99.5th percentile"}
        shown = how.get(self.stretch.value, "stretched symmetrically")
        score, step = self._best.leader()
        return f"contrast {contrast:.2f} of 255, {shown}; best score {score:.4g} at step {step}"

    def _status(self, progress: Progress) -> str:
        name = goal_name(self._climbed, self._goal) if self._climbed and self._goal else ""
        if progress.frame is None:
            return f"{name}: {progress.state}"
        return f"{name}: {progress.state}, step {progress.frame.step} of {progress.steps}"

    def _enable(self, progress: Progress) -> None:
        state = progress.state
        usable = {
            "run": True,
            "pause": state == "running",
            "step": state in ("running", "paused"),
            "resume": state == "paused",
            "stop": state in ("preparing", "running", "paused", "finished"),
        }
        for name, button in self.buttons.items():
            if button.disabled == usable[name]:
                button.disabled = not usable[name]

    def _report_again(self) -> None:
        with self._reporting:
            run = self._run
            if run is not None and run.frame is not None and run.state in RESTING:
                self._told(self._number, Progress(run.state, run.frame, self.recipe.steps))

    def _looked_back(self) -> None:
        step = self.player.looking_at
        with self._reporting, self._own_changes():
            if step < 0 and self._run is not None and self._run.frame is not None:
                step = self._run.frame.step
            self._seen_as.show(step)

    # the selection

    def _drawing(self) -> Callable[[], None]:
        unit, network = self.unit, self.network
        return lambda: self._show_unit(unit, network)

    def _show_unit(self, unit: Unit, network: Network) -> None:
        self.channel.max = max(self.channel.max, unit.channel)
        if self.channel.value != unit.channel:
            self.channel.value = unit.channel
        self.channel.max = unit.layer.channels - 1
        self.neuron.disabled = not unit.layer.positions
        self.neuron.value = unit.position is not None
        names = list(network.labels)
        shown = "" if names and unit.layer == network.output else "none"
        self.label.layout.display = shown
        if not shown:
            if tuple(self.label.options) != tuple(names):
                self.label.options = names
            self.label.value = names[unit.channel]
        self._tell_selected()

    def _tell_selected(self) -> None:
        """Say so where a run climbs another unit than the one selected since."""
        climbing = self._run is not None and self._run.state in ("preparing", "running", "paused")
        if climbing and self._goal is not None and repr(self._goal) != repr(self.unit):
            climbs = f"This run still climbs {self._goal}; Run starts {self.unit}."
        else:
            climbs = ""
        self._say(" ".join(text for text in (climbs, self.controls.outdated()) if text))

    def _follow(self, name: str) -> None:
        if name == "network":
            with self._own_changes():
                fill_tree(self.tree, self.network, self.selection.layer.name)
        elif name == "layer":
            with self._own_changes():
                self.tree.selected = self.selection.layer.name
        if name in ("network", "unit"):
            self.refresh()

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self.selection.layer = self.network[change["new"]]

    def _unit_chosen(self, change: Any) -> None:
        layer = self.selection.layer
        channel = min(int(self.channel.value), layer.channels - 1)
        centred = self.neuron.value and bool(layer.positions)
        self.selection.unit = layer[channel, "center"] if centred else layer[channel]

    def _label_chosen(self, change: Any) -> None:
        if change["new"]:
            self.selection.unit = self.network.unit(change["new"])

    def code(self) -> str:
        """Python code that makes the same image."""
        unit = self.unit
        where = (unit.position,) if isinstance(unit.position, str) else unit.position or ()
        goal = f"net[{unit.layer.name!r}][{', '.join(map(repr, (unit.channel, *where)))}]"
        labels = self.network.labels
        if (
            unit.layer == self.network.output
            and unit.position is None
            and labels.count(label := self.network.label(unit.channel)) == 1
        ):
            goal = f"net.unit({label!r})"
        name = self.controls.preset
        if name != CUSTOM:
            seed = f", seed={self.recipe.seed}" if self.recipe != recipes.get(name) else ""
            return f"cnn.maximize(net, {goal}, recipe={name!r}{seed})"
        return f"from cnnviz_widgets.engine.recipes import *\n\ncnn.maximize(net, {goal}, {self.recipe!r})"


def _pressing(act: Callable[[], None]) -> Callable[[Any], None]:
    return lambda button: act()


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 3}))
    return buffer.getvalue()

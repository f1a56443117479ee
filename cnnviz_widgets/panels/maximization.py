"""``MaximizationPanel``: an image of what a unit likes best, growing while its regularizers are turned."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine import display, recipes
from cnnviz_widgets.engine.ascent import DEFAULT_RECIPE, STEERED, Ascent, Frame
from cnnviz_widgets.engine.best import Best, goal_name
from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.origin import NoOriginError, origin
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.result import Result
from cnnviz_widgets.engine.sweeps import differences
from cnnviz_widgets.views import Download, FramePlayer, ImageUpload
from cnnviz_widgets.views._base import free_route
from cnnviz_widgets.views.standalone import Part

from ._base import Panel, beside, fill_tree, layer_tree
from ._code import maximizing, unit_code
from ._controls import spaced, wide
from ._former_runs import FormerRuns, KeptRun
from ._lanes import Lanes, starting_from
from ._objective_editor import ObjectiveEditor
from ._page import filled, recorded, unit_name
from ._pictures import Pictures, animation, dissected, encoded
from ._recipe_controls import CUSTOM, RecipeControls
from ._runner import OVER, RESTING, Latest, Progress, Run
from ._second_opinion import SecondOpinion
from ._selection import Selection
from ._top_classes import TopClasses

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

_PARTS = {"image": "the image", "seen": "as the network sees it", "gradient": "the gradient", "step": "the step"}


class MaximizationPanel(Panel):
    """Activation maximization, live: choose a unit and a recipe, run, and turn the regularizers' knobs while it climbs.

    Sliders act on the next step, and the curve marks where. A run keeps its unit until the next Run, goes on while other cells
    work, and ends by Stop, by `close`, by running the cell that made the panel again, or with the kernel. One can look back at
    any step and branch there. Several recipes can climb side by side: the four combinations of Yosinski et al. 2015, a race, or
    a sweep of one or two knobs. The bars tell what the network takes the shown frame for, so that one sees how sure it is of a
    fooling image; another network can be asked whether it agrees.

    Parameters
    ----------
    network
        A `Network`.
    recipe
        A preset's name or a `Recipe` to begin with.
    second
        A `Network` to ask for its opinion; None: EfficientNet-Lite1, loaded when it is asked.
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
    page_holds = "this run, to look back at, and the last picture of each unit that was climbed before"
    _run: Run | None = None

    def __init__(
        self,
        network: Network,
        recipe: str | Recipe = DEFAULT_RECIPE,
        *,
        second: Network | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._begin_with = recipes.get(recipe)
        self._second_network = second
        self._number = 0
        self._former = FormerRuns()
        self._best: Best | None = None
        self._goals: list[Objective] = []
        self._goal: Objective | None = None
        self._loaded: Objective | None = None
        self._climbed: Network | None = None
        self._pictures: Pictures | None = None
        self._running: list[Recipe] = []
        self._racing: list[str] = []
        self._told_loaded = ""
        self._told_last = ""
        self._reporting = threading.RLock()
        # each of its own, so that no drawing takes their place
        self._errands, self._films = Latest(self._failed), Latest(self._failed)
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
        self.editor = ObjectiveEditor(self._user(self._objective_changed), self._unit_name, self._adopt)
        self.controls = RecipeControls(self._begin_with, self._user(self._recipe_changed), self._adopt)
        self.menu = self.controls.menu
        self.regularizers, self.stepper = self.controls.regularizers, self.controls.stepper
        self.start, self.numbers = self.controls.start, self.controls.numbers
        self.lanes = Lanes(self._begin_with, self._user(self._lanes_changed), self._user(self._lane_chosen))
        self.player = FramePlayer()
        self.stretch = widgets.Dropdown(
            options=list(display.STRETCHES),
            value="percentile",
            description="stretch",
            layout=widgets.Layout(width="auto"),
        )
        self._seen_as = TopClasses()
        self.classes = self._seen_as.bars
        self.second = SecondOpinion(self._second_network)
        self.anatomy = widgets.Image(format="png", layout=widgets.Layout(display="none", max_width="100%"))
        self.upload = ImageUpload(label="Load picture…")
        self.download = Download()
        self.buttons = self._make_buttons(self._run_buttons())
        self.tools = self._make_buttons(self._tool_buttons())
        self._observe()
        objective = widgets.Accordion([self.editor.box], titles=("Objective: plus and minus others",))
        left = [self.tree, self.label, self.channel, self.neuron, objective, self.lanes.box, *self.controls.column]
        rows = [self._row(list(buttons.values())) for buttons in (self.buttons, self.tools)]
        tools = self._row([self.stretch, self.upload, self.download])
        shown = [self.lanes.mode, rows[0], self.player, self.classes, self.second.box, rows[1], tools, self.anatomy]
        row = beside(left, shown)
        row.add_class("cnnviz-wide-side")
        return [row]

    def _observe(self) -> None:
        self.menu.observe(self._user(self._preset_chosen), "value")
        self.tree.observe(self._user(self._layer_chosen), "selected")
        for control_ in (self.channel, self.neuron):
            control_.observe(self._user(self._unit_chosen), "value")
        self.label.observe(self._user(self._label_chosen), "value")
        self.stretch.observe(self._user(lambda change: self._report_again()), "value")
        self.player.observe(self._user(lambda change: self._looked_back()), "looking_at")
        self.editor.add.on_click(self._user(lambda button: self.editor.weigh_in(self.unit)))
        self.upload.on_upload(lambda name, data, scaled: self._user(lambda _: self._uploaded(name, data))(None))

    @staticmethod
    def _row(children: list[widgets.Widget]) -> widgets.Widget:
        row = widgets.HBox(children)
        row.add_class("cnnviz-wrap")
        return row

    def _run_buttons(self) -> dict[str, tuple[str, str, Callable[[], None]]]:
        return {
            "run": ("Run", "Climb from a new start", self.run),
            "pause": ("Pause", "Rest after this step", self.pause),
            "step": ("Step", "Make one step", self.step),
            "resume": ("Resume", "Go on", self.resume),
            "stop": ("Stop", "End this run and keep its picture", self.stop),
            "branch": ("Branch here", "Go back to the step you look at, and go on from there another way", self.branch),
        }

    def _tool_buttons(self) -> dict[str, tuple[str, str, Callable[[], None]]]:
        return {
            "dissect": ("What a step does", "Gradient, step and each regularizer's effect as pictures", self.dissect),
            "ask": ("Natural or fooled?", "Ask another network what it sees", self.ask),
            "save": ("Save PNG", "The picture with its recipe inside; drop it here again to load it", self.save),
            "film": ("Save film", "The run as a GIF", self.save_film),
            "noise": ("From noise", "Start from noise again, not from the loaded photograph", self.start_from),
        }

    def _make_buttons(self, told: dict[str, tuple[str, str, Callable[[], None]]]) -> dict[str, widgets.Button]:
        made = {}
        for name, (text, tip, act) in told.items():
            layout = widgets.Layout(width="auto")
            button = widgets.Button(description=text, tooltip=tip, disabled=name != "run", layout=layout)
            button.on_click(self._user(_pressing(act)))
            made[name] = button
        if "run" in made:
            made["run"].button_style = "primary"
        return made

    def _adopt(self, widget: widgets.Widget) -> None:
        """Have what was made after the panel reach Python while a cell runs, like the rest of it."""
        free_route(widget)
        for child in getattr(widget, "children", ()):
            self._adopt(child)

    # what is climbed, and how

    @property
    def unit(self) -> Unit:
        """The unit that the next run climbs."""
        return self.selection.unit

    @property
    def objective(self) -> Objective:
        """What the next run climbs: the unit as the objective's controls make of it, or what a loaded picture climbed."""
        if self._loaded is not None:
            return self._loaded
        return self.editor.objective(self.unit, self.network)

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
            self.lanes.turned(self.recipe)
        self._tell_code()

    def _recipe_changed(self, change: Any) -> None:
        with self._own_changes():
            self.menu.value = self.controls.preset
            self.lanes.turned(self.recipe)
        self._tell_code()
        self._steer()

    def _preset_chosen(self, change: Any) -> None:
        if change["new"] != CUSTOM:
            chosen, photograph = recipes.get(change["new"]), self.recipe.parameterization.photograph
            if photograph is not None:
                chosen = starting_from(chosen, photograph)
            self._show_recipe(chosen.replace(seed=self.recipe.seed))
            self._steer()

    def _lanes_changed(self, change: Any) -> None:
        with self._own_changes():
            self.lanes.rebuild()
            self.controls.show(self.lanes.shown)
        self._mended()
        self._tell_code()
        self._tell_selected()

    def _lane_chosen(self, change: Any) -> None:
        with self._own_changes():
            self.controls.show(self.lanes.shown)
        self._report_again()

    def _objective_changed(self, change: Any) -> None:
        self._loaded, self._told_loaded = None, ""
        self._mended()
        self._tell_code()
        self._tell_selected()

    def _steer(self) -> None:
        with self._reporting:
            run = self._run
            if run is None or run.state in OVER or self._racing != self.lanes.labels:
                return
            # the others, such as the seed, are for the next run
            asked = zip(self._running, self.lanes.recipes, strict=True)
            now = [old.replace(**{name: getattr(new, name) for name in STEERED}) for old, new in asked]
            if now == self._running:
                return
            if self._best is not None and self._pictures is not None:
                step = run.frame.step if run.frame is not None else 0
                self._best.steered(_of_images(now, len(self._best.recipes) // len(now)), step)
                if text := self._change_told(self._running, now):
                    self.player.mark(step, text)
            self._running = now
        run.steer(now)

    def _change_told(self, before: list[Recipe], after: list[Recipe]) -> str:
        told = [differences(old, new) for old, new in zip(before, after, strict=True)]
        changed = [number for number, parts in enumerate(told) if parts]
        if not changed:
            return ""
        whose = f"{self.lanes.labels[changed[0]]}: " if len(changed) == 1 and len(after) > 1 else ""
        return whose + ", ".join(told[changed[0]])

    # the run

    @property
    def state(self) -> str:
        """``"idle"`` before the first run, then what the run is doing."""
        return "idle" if self._run is None else self._run.state

    @property
    def result(self) -> Result | None:
        """The best images of the run so far, with how they were made; None before the first frame.

        Its recipes are those the run began with; where knobs were turned on the way, its notes say so.
        """
        with self._reporting:
            if self._best is None or not self._best.curve or self._climbed is None:
                return None
            return self._best.result(self._climbed, self._goals)

    def run(self) -> None:
        """Climb from a new start; returns at once. A run under way ends."""
        goal, network, made = self.objective, self.network, self.lanes.recipes
        copies = self.editor.copies.value if len(made) == 1 else 1
        labels = self.lanes.labels if len(made) > 1 else [f"copy {i + 1}" for i in range(copies)]
        with self._reporting:
            former = self._run
            self._keep_former()
            self._number += 1
            number = self._number
            self._goal, self._climbed, self._running, self._racing = goal, network, made, self.lanes.labels
            self._goals = [goal] * (len(made) * copies)
            self._best = Best(_of_images(made, copies))
            self._told_loaded = ""
            self._pictures = Pictures(network, labels, self.lanes.columns, self._target(goal, network))
            self._seen_as.begin(network)
            self.second.hide()
            self.anatomy.layout.display = "none"
            steps = max(recipe.steps for recipe in made)
            self.player.size = 448 if len(labels) == 1 else 680
            self.player.start(number, steps, labels if len(labels) > 1 else ())
            self.note.show("")
            begun = self._run = Run(
                lambda: self._begun(Ascent(network, [goal], made, copies), number),
                made,
                lambda progress: self._told(number, progress),
            )
        if former is not None:
            former.stop()
        begun.start()
        self._tell_selected()

    def _keep_former(self) -> None:
        """Keep what the run has come to for a page, without its film."""
        if run := self._run_for_page([*filled(self.player.recording(0)), *filled(self.classes.recording(0))]):
            self._former.keep(run)

    def _run_for_page(self, parts: list[Part]) -> KeptRun | None:
        """The run with what a page shows of it; None before the first frame, or where it climbs in another network."""
        goal, network = self._goal, self._climbed
        if goal is None or self._best is None or not self._best.curve or network is not self.network:
            return None
        units = goal.units
        plain = len(units) == 1 and repr(goal) == repr(units[0])
        return KeptRun(repr(goal), unit_name(network, units[0]) if plain else repr(goal), parts)

    def _page_part(self, units: Sequence[Unit]) -> Part:
        parts = recorded(self)
        wanted = {repr(unit): unit_name(self.network, unit) for unit in units}
        return self._former.beside(self._run_for_page(parts), wanted) or parts

    def _page_units(self) -> list[Unit]:
        return []

    def _begun(self, ascent: Ascent, number: int) -> Ascent:
        with self._reporting:
            if number == self._number:
                self._goals = ascent.goals
        return ascent

    @staticmethod
    def _target(goal: Objective, network: Network) -> int | None:
        """The class whose probability is worth telling."""
        units = [unit for unit in goal.units if unit.layer == network.output]
        return units[0].channel if units and network.is_classifier else None

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

    def branch(self, step: int = -1) -> None:
        """Go back to a step and rest there; turn a knob and resume to go on another way.

        Parameters
        ----------
        step
            -1: the step that the player looks back at.
        """
        at = step if step >= 0 else self.player.looking_at
        if self._run is None or self._run.state in OVER:
            raise ValueError(
                "there is no run to branch: a stopped run is over; pause one, look back at a step, then branch"
            )
        if at < 0:
            raise ValueError(
                "look back at a step first: move the slider below the picture to where the run is to branch"
            )
        self._run.branch(at)

    def _end(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.stop()
            run.join(10)

    def close(self) -> None:
        """End the run, then as any panel."""
        self._end()
        if not self._closed:
            self._errands.close()
            self._films.close()
        super().close()

    def wait(self, seconds: float = 60.0) -> None:
        super().wait(seconds)
        self._errands.wait(seconds)
        self._films.wait(seconds)

    # what the run tells, on its thread

    def _told(self, number: int, progress: Progress) -> None:
        with self._reporting, self._own_changes():
            if number != self._number or self._closed:
                return
            frame = progress.frame
            changed, self._told_last = progress.state != self._told_last, progress.state
            if progress.error is not None:
                self._failed(progress.error, lasting=True)
            if progress.branched >= 0 and frame is not None:
                self._branched(frame)
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
                    self._seen_as.look(resting, self._focus, at_once=True)
                self._seen_as.show(resting.step)
            if progress.error is None and frame is not None and any(frame.notes):
                self._failed(RuntimeError(" ".join(dict.fromkeys(n for n in frame.notes if n))), lasting=True)

    @property
    def _focus(self) -> int:
        """The image that captions, bars and files are about: that of the lane whose knobs are shown."""
        return self.lanes.number if self._best is not None and self.lanes.number < len(self._best.recipes) else 0

    def _branched(self, frame: Frame) -> None:
        assert self._best is not None
        self.player.branch(frame.step)
        self._seen_as.back_to(frame.step)
        self._best.back_to(frame.step)
        self._best.add(frame)

    def _take(self, frame: Frame) -> bool:
        """Take a frame on the way in; whether its picture went to the browser."""
        assert self._best is not None
        assert self._pictures is not None
        self._best.add(frame)
        pictures = self._pictures
        if self._seen_as.look(frame, self._focus) and self.player.looking_at < 0:
            self._seen_as.show(frame.step)
        stretch = self.stretch.value
        return self.player.offer(frame.step, frame.score.tolist(), lambda: encoded(pictures.of(frame, stretch), "JPEG"))

    def _rest(self, frame: Frame) -> None:
        assert self._pictures is not None
        assert self._best is not None
        self.player.caption = self._pictures.caption(frame, self._best, self._focus, self.stretch.value)
        self.player.rest(frame.step, frame.score.tolist(), encoded(self._pictures.of(frame, self.stretch.value), "PNG"))

    def _status(self, progress: Progress) -> str:
        name = goal_name(self._climbed, self._goal) if self._climbed and self._goal else ""
        if progress.frame is None:
            return f"{name}: {progress.state}"
        return f"{name}: {progress.state}, step {progress.frame.step} of {progress.steps}"

    def _enable(self, progress: Progress) -> None:
        state = progress.state
        begun = progress.frame is not None
        usable = {
            "run": True,
            "pause": state == "running",
            "step": state in ("running", "paused"),
            "resume": state == "paused",
            "stop": state in ("preparing", "running", "paused", "finished"),
            "branch": state in ("running", "paused", "finished"),
            "dissect": state in ("running", "paused", "finished"),
            "ask": begun,
            "save": begun,
            "film": begun,
            "noise": self.recipe.parameterization.photograph is not None,
        }
        for name, button in {**self.buttons, **self.tools}.items():
            if button.disabled == usable[name]:
                button.disabled = not usable[name]

    def _report_again(self) -> None:
        with self._reporting:
            run = self._run
            if run is not None and run.frame is not None and run.state in RESTING:
                steps = max(recipe.steps for recipe in self._running)
                self._told(self._number, Progress(run.state, run.frame, steps))

    def _looked_back(self) -> None:
        step = self.player.looking_at
        with self._reporting, self._own_changes():
            if step < 0 and self._run is not None and self._run.frame is not None:
                step = self._run.frame.step
            self._seen_as.show(step)

    # looking closer, keeping

    def dissect(self) -> None:
        """Show what the next step will do: the gradient, the step, and what each regularizer changes."""
        if self._run is None or self._run.state in OVER:
            raise ValueError("there is no run to look into: a stopped run is over; start one, and pause it")
        self._run.ask(self._dissect)

    def _dissect(self, ascent: Ascent) -> None:
        try:
            parts = ascent.anatomy(self._focus)
            names = {**_PARTS, **{name: spaced(name) for name, _ in parts if name not in _PARTS}}
            picture = encoded(dissected(parts, names), "PNG")
        except Exception as error:  # shown, and the run goes on
            self._failed(error)
            return
        if not self._closed:
            with self._own_changes():
                self.anatomy.value = picture
                self.anatomy.layout.display = ""

    def ask(self) -> None:
        """Have another network say what it sees in the image; returns at once, the answer appears below the bars."""
        run, first, goal = self._run, self._climbed, self._goal
        if run is None or run.frame is None or first is None:
            raise ValueError("there is no image to show to another network yet; press Run")
        target = self._target(goal, first) if goal is not None else None
        label = first.label(target) if target is not None and first.labels else None
        image = run.frame.image[self._focus : self._focus + 1]
        self._errands.request(lambda: self._drawn(lambda: self._asked(image, first, label)))

    def _asked(self, image: Any, first: Network, label: str | None) -> None:
        self.second.ask(image, first, label)

    def save(self) -> None:
        """Have the browser save the best image as a PNG with its recipe inside."""
        result = self.result
        if result is None:
            raise ValueError("there is no picture to save yet; press Run")
        at = self._focus
        whose = f" {self._racing[at]}" if len(self._racing) > 1 else ""
        picture = result.png(at, self.stretch.value)
        self.download.offer(f"{_file_name(result.labels[at] + whose)}.png", picture, "image/png")

    def save_film(self) -> None:
        """Have the browser save the run as a GIF; returns at once."""
        frames = [jpeg for _, jpeg in self.player.film()]
        name = _file_name(goal_name(self._climbed, self._goal) if self._climbed and self._goal else "run")
        self._films.request(
            lambda: self._drawn(lambda: self.download.offer(f"{name}.gif", animation(frames), "image/gif"))
        )

    def load(self, picture: bytes) -> None:
        """Set unit, objective and recipe to those of a PNG that was saved here.

        Raises
        ------
        ValueError
            The picture tells no recipe, or one that does not fit the network.
        """
        made = origin(picture, self.network)
        with self._own_changes():
            self.lanes.mode.value = "one"
            self.lanes.rebuild()
        self.recipe = made.recipe
        units = made.objective.units
        if units:
            self.selection.unit = units[0]
        plain = units and repr(made.objective) == repr(units[0])
        with self._own_changes():
            self.editor.clear()
        self._loaded = None if plain else made.objective
        weights = "" if made.same_weights else " It was made on other weights, so it will come out differently."
        self._told_loaded = f"Loaded: {made.objective}, {made.recipe.steps} steps, seed {made.recipe.seed}.{weights}"
        self._mended()
        self._tell_selected()
        self._tell_code()

    def _uploaded(self, name: str, data: bytes) -> None:
        try:
            self.load(data)
            self.upload.status = f"{name}: its recipe is set"
        except NoOriginError:
            self.start_from(open_image(io.BytesIO(data)))
            self.upload.status = f"{name}: the next run starts from it"

    def start_from(self, photograph: Any = None) -> None:
        """Have the next run start from a photograph instead of noise: a path, a Pillow image or an array; None: noise again."""
        self.lanes.start_from(photograph)
        self._show_recipe(self.lanes.shown)
        self.upload.status = ""
        self.tools["noise"].disabled = photograph is None
        self._mended()

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
        told = [self._told_loaded, self.controls.outdated()]
        if self._run is not None and self._run.state in ("preparing", "running", "paused"):
            goal = self._next_goal()
            if self._goal is not None and goal is not None and repr(self._goal) != repr(goal):
                told.insert(0, f"This run still climbs {self._goal}; Run starts {goal}.")
            elif self._racing != self.lanes.labels:
                told.insert(0, "This run keeps its recipes; Run starts those chosen now.")
        self._say(" ".join(text for text in told if text))

    def _next_goal(self) -> Objective | None:
        try:
            return self.objective
        except ValueError:  # told when Run is pressed
            return None

    def _follow(self, name: str) -> None:
        if name in ("network", "unit"):
            self._loaded, self._told_loaded = None, ""
        if name == "network":
            self._former.clear()
            with self._own_changes():
                fill_tree(self.tree, self.network, self.selection.layer.name)
                self.editor.clear()
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

    def _unit_name(self, unit: Unit) -> str:
        network = self.network
        return network.label(unit.channel) if unit.layer == network.output and network.labels else repr(unit)

    def figure(self) -> Figure:
        """One recipe's images beside their curves; of several recipes a board."""
        from cnnviz_widgets import figures

        result = self.result
        if result is None:
            raise ValueError("there is no image yet; press Run")
        draw = figures.board if len({recipe.replace(seed=0) for recipe in result.recipes}) > 1 else figures.maximization
        return draw(result, stretch=self.stretch.value)

    def whole_code(self) -> str:
        return super().whole_code().replace("cnn.maximize(", "result = cnn.maximize(", 1)

    def figure_code(self) -> str:
        several = len(self.lanes.recipes) > 1
        return f"cnn.figures.{'board' if several else 'maximization'}(result, stretch={self.stretch.value!r})"

    def code(self) -> str:
        """Python code that makes the same images."""
        copies = self.editor.copies.value if len(self.lanes.lanes) == 1 else 1
        if self._loaded is not None:
            loaded = f"goal = cnn.origin('picture.png', net).objective  # {self._loaded}"
            return maximizing("goal", self.lanes.recipes, copies, [loaded])
        goal = self.editor.code(self.unit, self.network, lambda unit: unit_code(unit, self.network))
        return maximizing(goal, self.lanes.recipes, copies)


def _of_images(made: Sequence[Recipe], copies: int) -> list[Recipe]:
    """Per image its recipe; copy i starts from the seed plus i."""
    return [recipe.replace(seed=recipe.seed + copy) for recipe in made for copy in range(copies)]


def _file_name(label: str) -> str:
    kept = "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in label).strip()
    return kept[:80] or "picture"


def _pressing(act: Callable[[], None]) -> Callable[[Any], None]:
    return lambda button: act()

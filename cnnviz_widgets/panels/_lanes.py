"""``Lanes.lanes``: the recipes that climb side by side, on one clock and from one seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.sweeps import Setting, settings, sweep, varied

from ._controls import Changed, wide

BOARD = ("yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4")
OWN = "as set below"
MOST_RACERS = 6
_MODES = {
    "One": "one",
    "Board of four": "board",
    "Race": "race",
    "Sweep": "sweep",
}


@dataclass(frozen=True)
class Lane:
    """A recipe and what it is called."""

    label: str
    recipe: Recipe


class Lanes:
    """Which recipes climb: one; the four combinations of Yosinski et al.; a race of two to six; or a sweep of one or two knobs.

    Parameters
    ----------
    own
        The recipe that the controls begin with.
    changed
        Gets a change of which recipes there are.
    chosen
        Gets a change of the lane that the controls belong to.
    """

    def __init__(self, own: Recipe, changed: Changed, chosen: Changed) -> None:
        self.own = own
        self.mode = widgets.ToggleButtons(
            options=list(_MODES.items()),
            value="one",
            tooltips=[
                "One recipe",
                "The four combinations of Yosinski et al. 2015 side by side",
                "Two to six recipes from one seed",
                "What one or two knobs do, as a contact sheet",
            ],
            style={"button_width": "auto"},
        )
        self.mode.add_class("cnnviz-modes")
        self.racers = widgets.SelectMultiple(
            options=[*recipes.names(), OWN], value=("none", "yosinski-3"), rows=6, description="recipes", **wide()
        )
        self.knobs = [widgets.Dropdown(options=[("none", "")], description=text, **wide()) for text in ("turn", "and")]
        self.counts = [widgets.IntSlider(value=4, min=2, max=6, description="values", **wide()) for _ in self.knobs]
        self.lane = widgets.Dropdown(options=[("", 0)], description="knobs of", **wide())
        self._sweeping = widgets.VBox([self.knobs[0], self.counts[0], self.knobs[1], self.counts[1]])
        self.box = widgets.VBox([self.racers, self._sweeping, self.lane])
        self._made = "one"
        self.lanes: list[Lane] = []
        self.columns = 0
        self.rebuild()
        for widget in (self.mode, self.racers, *self.knobs, *self.counts):
            widget.observe(changed, "value")
        self.lane.observe(chosen, "value")

    @property
    def number(self) -> int:
        """Which lane the controls belong to."""
        return int(self.lane.value or 0)

    @property
    def shown(self) -> Recipe:
        """The recipe that the controls are to show."""
        return self.own if self._made == "sweep" else self.lanes[self.number].recipe

    def rebuild(self) -> None:
        """Make the lanes anew for the mode, from presets and from what the controls stood at when they were alone.

        Raises
        ------
        ValueError
            Too few or too many recipes for a race; the lanes are those of before then.
        """
        mode = self.mode.value
        # first of all what is to be seen, so that a choice that is refused can be mended
        self.racers.layout.display = "" if mode == "race" else "none"
        self._sweeping.layout.display = "" if mode == "sweep" else "none"
        self._make(mode)
        self.lane.layout.display = "" if mode in ("board", "race") else "none"

    def _make(self, mode: str) -> None:
        columns = 0
        if mode == "one":
            lanes = [Lane("", self.own)]
        elif mode == "sweep":
            self._offer_knobs(self.own)
            lanes, columns = self._swept(self.own)
        else:
            names = BOARD if mode == "board" else self.racers.value
            if not 2 <= len(names) <= MOST_RACERS:
                raise ValueError(
                    f"{len(names)} chosen; a race takes 2 to {MOST_RACERS} recipes: hold Ctrl or ⌘ to choose several"
                )
            lanes = [Lane(name, self._named(name)) for name in names]
            columns = 2 if mode == "board" else min(3, len(names))
        self.lanes, self.columns, self._made = lanes, columns, mode
        options = [(lane.label, number) for number, lane in enumerate(lanes)]
        if tuple(self.lane.options) != tuple(options):
            self.lane.options = options

    def _named(self, name: str) -> Recipe:
        return self.own if name == OWN else recipes.get(name).replace(seed=self.own.seed)

    def _offer_knobs(self, recipe: Recipe) -> None:
        names = [name for name, told in settings(recipe).items() if _spreads(told) and name not in ("steps",)]
        for number, menu in enumerate(self.knobs):
            options = [("none", "")] if number else []
            options += [(name.replace(".", ": ").replace("_", " "), name) for name in names]
            if tuple(menu.options) != tuple(options):
                kept = menu.value
                menu.options = options
                if kept in [value for _, value in options]:
                    menu.value = kept

    def _swept(self, recipe: Recipe) -> tuple[list[Lane], int]:
        known = settings(recipe)
        turned: dict[str, list[Any]] = {}
        for menu, count in zip(self.knobs, self.counts, strict=True):
            if menu.value and menu.value not in turned:
                spread = known[menu.value].spread(count.value)
                turned[menu.value] = [value for value in spread if _fits(recipe, menu.value, value)]
        made = sweep(recipe, turned)
        labels = [
            ", ".join(f"{name.split('.')[-1].replace('_', ' ')} {_told(settings(one)[name].value)}" for name in turned)
            for one in made
        ]
        columns = len(list(turned.values())[-1]) if len(turned) == 2 else 0
        return [Lane(label, one) for label, one in zip(labels, made, strict=True)], columns

    def turned(self, recipe: Recipe) -> None:
        """The controls were moved to ``recipe``: the lane they belong to follows."""
        if self._made in ("one", "sweep"):
            self.own = recipe
            self._make(self._made)
            return
        label = self.lanes[self.number].label
        self.lanes[self.number] = Lane(label, recipe)
        self.own = recipe if label == OWN else self.own.replace(seed=recipe.seed)
        self.lanes = [Lane(lane.label, lane.recipe.replace(seed=recipe.seed)) for lane in self.lanes]

    def start_from(self, photograph: Any) -> None:
        """Have every lane start from a photograph; None: from noise."""
        self.own = starting_from(self.own, photograph)
        self.lanes = [Lane(lane.label, starting_from(lane.recipe, photograph)) for lane in self.lanes]

    @property
    def recipes(self) -> list[Recipe]:
        """The lanes' recipes."""
        return [lane.recipe for lane in self.lanes]

    @property
    def labels(self) -> list[str]:
        """What the lanes are called."""
        return [lane.label for lane in self.lanes]


def starting_from(recipe: Recipe, photograph: Any) -> Recipe:
    """The recipe with another start."""
    return recipe.replace(parameterization=dataclasses.replace(recipe.parameterization, photograph=photograph))


def _fits(recipe: Recipe, name: str, value: Any) -> bool:
    """Whether the recipe can have it: the smallest of a range may not be above its largest."""
    try:
        varied(recipe, name, value)
    except ValueError:
        return False
    return True


def _spreads(told: Setting) -> bool:
    ends = told.knob.low is not None and told.knob.high is not None
    return bool(told.knob.choices) or isinstance(told.value, bool) or ends


def _told(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

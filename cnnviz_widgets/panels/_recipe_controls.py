"""``RecipeControls.recipe``: a recipe as sliders and menus, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.knobs import knobs_of
from cnnviz_widgets.engine.parameterizations import Parameterization
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Stepper

from ._controls import Changed, ChoiceControls, RegularizerControls, control, put, wide

CUSTOM = "as set below"
"""What the menu says where the controls make none of the presets."""


class RecipeControls:
    """The menu of presets, and a control for each thing that a recipe decides.

    Parameters
    ----------
    recipe
        What the controls begin with; they keep its chunk. `show` sets them.
    changed
        Gets every change of a control but the menu's.
    adopted
        Is given each widget that is made after the panel was built.
    """

    def __init__(
        self, recipe: Recipe, changed: Changed, adopted: Callable[[widgets.Widget], None] = lambda widget: None
    ) -> None:
        self.menu = widgets.Dropdown(options=[*recipes.names(), CUSTOM], description="recipe", **wide())
        self.regularizers = RegularizerControls(Regularizer, changed, adopted)
        self.stepper = ChoiceControls(Stepper, changed, "step rule")
        self.start = ChoiceControls(Parameterization, changed, "image as")
        known = knobs_of(Recipe)
        self.numbers = {
            name: control(name, known[name], getattr(recipe, name)) for name in ("steps", "seed", "draws", "canvas")
        }
        self._chunk = recipe.chunk
        for widget in self.numbers.values():
            widget.observe(changed, "value")

    @property
    def column(self) -> list[widgets.Widget]:
        """The controls from top to bottom."""
        numbers = self.numbers
        return [
            self.menu,
            numbers["steps"],
            numbers["seed"],
            self.regularizers.box,
            numbers["draws"],
            self.stepper.box,
            self.start.box,
            numbers["canvas"],
        ]

    @property
    def recipe(self) -> Recipe:
        """The recipe as the controls stand."""
        numbers: dict[str, Any] = {name: int(self.numbers[name].value) for name in ("steps", "seed", "draws")}
        return Recipe(
            parameterization=self.start.make(),
            regularizers=self.regularizers.make(),
            stepper=self.stepper.make(),
            canvas=self.numbers["canvas"].value,
            chunk=self._chunk,
            **numbers,
        )

    @property
    def preset(self) -> str:
        """The name of the preset that the controls make, whatever the seed, else `CUSTOM`."""
        made = self.recipe.replace(seed=0)
        return next((name for name in recipes.names() if recipes.get(name).replace(seed=0) == made), CUSTOM)

    def outdated(self) -> str:
        """What the controls do not show of the regularizers there are, in a sentence."""
        return self.regularizers.outdated()

    def show(self, recipe: Recipe) -> None:
        """Set the controls to a recipe; ``ValueError`` where they can't show it, before anything is set."""
        self.start.check(recipe.parameterization)
        self.stepper.check(recipe.stepper)
        self.regularizers.show(recipe.regularizers)
        self.stepper.show(recipe.stepper)
        self.start.show(recipe.parameterization)
        for field, widget in self.numbers.items():
            put(widget, getattr(recipe, field))
        self._chunk = recipe.chunk
        self.menu.value = self.preset

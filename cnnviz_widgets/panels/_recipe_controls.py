"""``RecipeControls.recipe``: a recipe as sliders and menus, and back."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.knobs import knobs_of
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.steppers import Stepper

from ._controls import Changed, ChoiceControls, MemberControls, RegularizerControls, control, put, wide

CUSTOM = "as set below"
"""What the menu says where the controls make none of the presets."""


class RecipeControls:
    """The menu of presets, and a control for each thing that a recipe decides.

    Parameters
    ----------
    recipe
        What the controls are built for; they keep its kind of parameterization and its chunk. `show` sets them.
    changed
        Gets every change of a control but the menu's.
    """

    def __init__(self, recipe: Recipe, changed: Changed) -> None:
        self.menu = widgets.Dropdown(options=[*recipes.names(), CUSTOM], description="recipe", **wide())
        self.regularizers = RegularizerControls(Regularizer, changed)
        self.stepper = ChoiceControls(Stepper, changed, "step rule")
        self.start = MemberControls(type(recipe.parameterization), changed, recipe.parameterization)
        known = knobs_of(Recipe)
        self.numbers = {name: control(name, known[name], getattr(recipe, name)) for name in ("steps", "seed")}
        self._chunk = recipe.chunk
        for widget in self.numbers.values():
            widget.observe(changed, "value")

    @property
    def column(self) -> list[widgets.Widget]:
        """The controls from top to bottom."""
        return [self.menu, self.regularizers.box, self.stepper.box, self.start.box, *self.numbers.values()]

    @property
    def recipe(self) -> Recipe:
        """The recipe as the controls stand."""
        numbers: dict[str, Any] = {name: int(widget.value) for name, widget in self.numbers.items()}
        return Recipe(
            parameterization=self.start.make(),
            regularizers=self.regularizers.make(),
            stepper=self.stepper.make(),
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
        self.regularizers.show(recipe.regularizers)
        self.stepper.show(recipe.stepper)
        self.start.show(recipe.parameterization)
        for field, widget in self.numbers.items():
            put(widget, getattr(recipe, field))
        self._chunk = recipe.chunk
        self.menu.value = self.preset

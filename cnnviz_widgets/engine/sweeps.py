"""``settings(recipe) -> {"GaussianBlur.sigma": ...}``, ``varied(recipe, name, value) -> Recipe``: one knob at a time.

For contact sheets that show what a knob does, and for telling in words what was changed between two recipes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from .errors import UnknownNameError, near
from .knobs import Knob, knobs_of
from .recipes import Recipe

MOST = 36
"""Recipes that a sweep may hold."""


@dataclass(frozen=True)
class Setting:
    """A knob of a recipe and its value there."""

    knob: Knob
    value: Any

    def spread(self, count: int) -> list[Any]:
        """``count`` values from one end of its slider to the other, or all choices."""
        if self.knob.choices:
            return list(self.knob.choices)
        if isinstance(self.value, bool):
            return [False, True]
        low, high = self.knob.low, self.knob.high
        if low is None or high is None:
            raise ValueError("the knob has no ends; give the values themselves")
        spaced = np.geomspace(low, high, count) if self.knob.scale == "log" else np.linspace(low, high, count)
        if isinstance(self.value, int):
            return list(dict.fromkeys(round(float(value)) for value in spaced))
        # 0.9999 in three digits is 1, beyond the end
        return [min(max(float(f"{value:.3g}"), low), high) for value in spaced]


def settings(recipe: Recipe) -> dict[str, Setting]:
    """Name -> `Setting` of everything that can be turned in a recipe: ``"GaussianBlur.sigma"``, ``"Progress.desired"``,
    ``"draws"``. A second regularizer of a class is ``"Jitter#2.pixels"``."""
    found: dict[str, Setting] = {}
    for name, member in _members(recipe).items():
        found.update({f"{name}.{key}": Setting(told, getattr(member, key)) for key, told in knobs_of(member).items()})
    own = knobs_of(recipe)
    found.update({key: Setting(own[key], getattr(recipe, key)) for key in ("steps", "seed", "draws")})
    return found


def varied(recipe: Recipe, name: str, value: Any) -> Recipe:
    """The recipe with one setting changed.

    Raises
    ------
    UnknownNameError
        The recipe has no such setting, a ``KeyError``.
    """
    known = settings(recipe)
    if name not in known:
        raise UnknownNameError(f"no setting {name!r}{near(name, known)} this recipe has {', '.join(known)}")
    if "." not in name:
        return recipe.replace(**{name: value})
    owner, key = name.rsplit(".", 1)
    changed = dataclasses.replace(_members(recipe)[owner], **{key: value})
    if owner == type(recipe.stepper).__name__:
        return recipe.replace(stepper=changed)
    if owner == type(recipe.parameterization).__name__:
        return recipe.replace(parameterization=changed)
    priors = dict(zip(_numbered(recipe.regularizers), recipe.regularizers, strict=True))
    return recipe.replace(regularizers=tuple({**priors, owner: changed}.values()))


def sweep(recipe: Recipe, values: Mapping[str, Sequence[Any]]) -> list[Recipe]:
    """A recipe for each combination of the values of one or several settings, the last one changing fastest.

    Examples
    --------
    >>> from cnnviz_widgets.engine.recipes import GaussianBlur
    >>> found = sweep(Recipe(regularizers=[GaussianBlur(0.5)]), {"GaussianBlur.sigma": [0.5, 1.0, 2.0]})
    >>> [one.regularizers[0].sigma for one in found]
    [0.5, 1.0, 2.0]
    """
    found = []
    for combination in product(*values.values()):
        made = recipe
        for name, value in zip(values, combination, strict=True):
            made = varied(made, name, value)
        found.append(made)
    if not 0 < len(found) <= MOST:
        raise ValueError(f"{len(found)} combinations of {', '.join(values)}; expected 1 to {MOST}")
    return found


def differences(before: Recipe, after: Recipe) -> list[str]:
    """What was changed between two recipes, each in a few words: ``"GaussianBlur.sigma 0.5 → 1"``, ``"+ L2Decay"``."""
    old, new = _members(before), _members(after)
    told = [f"− {name}" for name in old if name not in new] + [f"+ {name}" for name in new if name not in old]
    first, second = settings(before), settings(after)
    for name in first:
        if name in second and first[name].value != second[name].value:
            told.append(f"{name} {_short(first[name].value)} → {_short(second[name].value)}")
    return told


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _members(recipe: Recipe) -> dict[str, Any]:
    priors = dict(zip(_numbered(recipe.regularizers), recipe.regularizers, strict=True))
    others = (recipe.stepper, recipe.parameterization)
    return {**priors, **{type(member).__name__: member for member in others}}


def _numbered(members: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for member in members:
        kind = type(member).__name__
        count = sum(name.split("#")[0] == kind for name in names)
        names.append(f"{kind}#{count + 1}" if count else kind)
    return names

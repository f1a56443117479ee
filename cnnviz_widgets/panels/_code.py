"""``maximizing(goal, recipes) -> text``: the Python code that makes the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.archive import recipes_in
from cnnviz_widgets.engine.index.plan import Settings
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.values import Values


def unit_code(unit: Unit, network: Network) -> str:
    """``net.unit('flamingo')`` for a class of its own name, else ``net['layer'][17, 'center']``."""
    if unit.layer == network.output and unit.position is None:
        label = network.label(unit.channel)
        if network.labels.count(label) == 1:
            return f"net.unit({label!r})"
    where = (unit.position,) if isinstance(unit.position, str) else unit.position or ()
    return f"net[{unit.layer.name!r}][{', '.join(map(repr, (unit.channel, *where)))}]"


def index_code(index: ActivationIndex | None, path: str | Path | None, features: Sequence[str] = ()) -> str:
    """The line that gives the index of ``images``.

    Parameters
    ----------
    path
        Where one that is not there yet is to be kept.
    features
        Layers whose features are needed beside those of the last hidden one.
    """
    if index is not None and index.path is not None:
        folder = index.path.parent
        if len(recipes_in(folder)[0]) == 1:
            return f"index = cnn.ActivationIndex.open({str(folder)!r}, net, images)"
        return _building({**_told(index), "path": str(folder)})
    if index is not None:
        told = _told(index)
        kept = told.pop("features", [index.network.last_hidden.name])
        needed = [name for name in kept if name in features or name == index.network.last_hidden.name]
        features = needed or kept[:1]
        if features != [index.network.last_hidden.name]:
            told["features"] = list(features)
        return _building(told)
    more: dict[str, Any] = {} if path is None else {"path": str(path)}
    return _building({**more, "features": list(features)} if features else more)


def _building(told: Mapping[str, Any]) -> str:
    return f"index = cnn.ActivationIndex.build({', '.join(['net', 'images', *_keywords(told)])})"


def _keywords(told: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in told.items()]


def settings_of(index: ActivationIndex) -> dict[str, Any]:
    """The keywords of `ActivationIndex.build` that make an index of the same plan."""
    planned = index.plan
    names = [*(layer.name for layer in planned.layers), *planned.alias]
    # asked for by name, none is left out; without names, all are there or left out
    every = len(names) + len(planned.left_out) == len(index.network.layers)
    return {
        "layers": None if every else names,
        "features": [layer.name for layer in planned.features],
        **asdict(planned.settings),
    }


def _told(index: ActivationIndex) -> dict[str, Any]:
    """`settings_of` without what is so anyway."""
    usual = {"layers": None, "features": [index.network.last_hidden.name], **asdict(Settings())}
    return {name: value for name, value in settings_of(index).items() if value != usual[name]}


def maximizing(goal: str, made: Sequence[Recipe], copies: int, before: Sequence[str] = ()) -> str:
    """A call of `maximize` for one recipe or several, behind the lines that it needs."""
    told = [_recipe(one) for one in made]
    several = f", copies={copies}" if copies > 1 else ""
    lines = []
    if any(not text.startswith(("'", '"')) for text, _ in told):
        lines.append("from cnnviz_widgets.engine.recipes import *")
    if "objectives." in goal:
        lines.append("from cnnviz_widgets import objectives")
    lines += before
    if any("photograph=photograph" in text for text, _ in told):
        lines.append("photograph = 'photograph.jpg'  # the file of the picture that was loaded")
    if len(told) == 1:
        text, seed = told[0]
        what = f"recipe={text}" if text.startswith("'") else text
        call = f"cnn.maximize(net, {goal}, {what}{seed}{several})"
    else:
        seeds = {seed for _, seed in told}
        seed = seeds.pop() if len(seeds) == 1 else ""
        call = "\n".join([f"cnn.maximize(net, {goal}, [", *[f"    {text}," for text, _ in told], f"]{seed}{several})"])
    return "\n".join([*lines, "", call] if lines else [call])


def _recipe(recipe: Recipe) -> tuple[str, str]:
    """The preset's name and the seed in its place, or the code that rebuilds the recipe."""
    for name in recipes.names():
        preset = recipes.get(name)
        if recipe.replace(seed=preset.seed) == preset:
            return repr(name), f", seed={recipe.seed}" if recipe.seed != preset.seed else ""
    text = repr(recipe)
    photograph = recipe.parameterization.photograph
    if isinstance(photograph, Values):
        text = text.replace(f"photograph={photograph!r}", "photograph=photograph")
    return text, ""

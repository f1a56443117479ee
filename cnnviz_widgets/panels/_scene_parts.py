"""``kept(part) -> data``: what some parts of panels hold that no control of theirs tells, as plain data, and back.

::

    driven(part)                 -> its controls that a scene leaves alone
    prepare(part, data, network) -> nothing; before the controls are set: those that are there only at times are made
    finish(part, data, network)  -> nothing; when they are set

A part that is not named here needs nothing: its controls are all there is to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe

from ._attribution import WhyThisClass
from ._lanes import Lane, Lanes
from ._objective_editor import ObjectiveEditor


def unit_data(unit: Unit) -> list[Any]:
    """``[layer, channel, position]``; the position is None, ``"center"`` or a list of numbers."""
    where = unit.position
    return [unit.layer.name, unit.channel, list(where) if isinstance(where, tuple) else where]


def unit_of(data: Any, network: Network) -> Unit:
    """The unit that `unit_data` told.

    Raises
    ------
    KeyError, IndexError, ValueError
        The network has no such layer, channel or position, or the data are of another kind.
    """
    fits = isinstance(data, Sequence) and len(data) == 3 and isinstance(data[0], str)
    layer, channel, position = data if fits else ("", None, None)
    numbers = [channel, *(position if isinstance(position, list) else [])]
    if not all(type(number) is int for number in numbers):
        raise ValueError(
            f"{str(data)[:80]} was given as a unit; expected [layer, channel, position], as ['conv1', 17, null]"
        )
    where = position if isinstance(position, list) else [] if position is None else [position]
    key: Any = (channel, *where) if where else channel
    return network[layer][key]


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data."""
    told: dict[str, Any] = json.loads(recipe.to_json())
    return told


def recipe_of(data: Any) -> Recipe:
    """The recipe that `recipe_data` told; ``ValueError`` where it can't be made here."""
    return Recipe.from_json(json.dumps(data))


def _fields(data: Any, part: str, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or set(data) != names:
        raise ValueError(f"{str(data)[:80]} was given for {part}; expected an object with {', '.join(sorted(names))}")
    return data


@singledispatch
def kept(part: object) -> Any:
    """What the part holds beside its controls, as plain data; None: nothing."""
    return None


@singledispatch
def driven(part: object) -> Sequence[widgets.Widget]:
    """Controls whose choices come with the picture; `kept` tells what was chosen."""
    return ()


@singledispatch
def prepare(part: object, data: Any, network: Network) -> None:
    """Make the controls that the scene has."""


@singledispatch
def finish(part: object, data: Any, network: Network) -> None:
    """Set what `kept` told; ``ValueError`` where it does not fit."""


@kept.register
def _(part: ObjectiveEditor) -> Any:
    return [unit_data(term.unit) for term in part.terms]


@prepare.register
def _(part: ObjectiveEditor, data: Any, network: Network) -> None:
    if not isinstance(data, list):
        raise ValueError(f"{str(data)[:80]} was given for the units that are weighed in; expected a list of units")
    units = [unit_of(told, network) for told in data]
    if [term.unit for term in part.terms] == units:
        return
    for term in list(part.terms):
        part._remove(term)
    for unit in units:
        part.weigh_in(unit)


@kept.register
def _(part: Lanes) -> Any:
    return {
        "own": recipe_data(part.own),
        "lanes": [{"label": lane.label, "recipe": recipe_data(lane.recipe)} for lane in part.lanes],
        "turned": [menu.value for menu in part.knobs] if part.mode.value == "sweep" else [],
    }


@driven.register
def _(part: Lanes) -> Sequence[widgets.Widget]:
    return part.knobs


@finish.register
def _(part: Lanes, data: Any, network: Network) -> None:
    told = _fields(data, "the recipes side by side", {"own", "lanes", "turned"})
    rows = [_fields(row, "a recipe", {"label", "recipe"}) for row in told["lanes"]]
    own, lanes = recipe_of(told["own"]), [Lane(str(row["label"]), recipe_of(row["recipe"])) for row in rows]
    if part.mode.value in ("one", "sweep"):  # these follow from the one recipe
        part.own = own
        part.rebuild()
        for menu, name in zip(part.knobs, told["turned"], strict=False):
            if name not in [value for _, value in menu.options]:
                raise ValueError(f"no knob {name!r} to turn; the recipe has {', '.join(dict(menu.options))}")
            menu.value = name
        part.rebuild()
    elif [lane.label for lane in lanes] == part.labels:
        part.own, part.lanes = own, lanes
    else:
        raise ValueError(f"the scene has the recipes {[lane.label for lane in lanes]}; the panel made {part.labels}")


@kept.register
def _(part: WhyThisClass) -> Any:
    return part._wanted


@driven.register
def _(part: WhyThisClass) -> Sequence[widgets.Widget]:
    return (part.goal,)


@finish.register
def _(part: WhyThisClass, data: Any, network: Network) -> None:
    known = data is None or data == "unit" or (type(data) is int and 0 <= data < network.output.channels)
    if not known:
        raise ValueError(
            f"{str(data)[:80]} was given as a class; expected 0 to {network.output.channels - 1}, 'unit' or null"
        )
    if part._shown is None:
        _ask_later(part, data)
        return
    with part._lock, part._own():
        part._wanted = data
        part._fill()
    part._request()


def _ask_later(part: WhyThisClass, wanted: int | str | None) -> None:
    """Ask about a class when the first picture is drawn, which begins with the most probable one."""

    def filled(change: Any) -> None:
        part.goal.unobserve(filled, "options")
        part._wanted = wanted
        part._fill()

    part.goal.observe(filled, "options")

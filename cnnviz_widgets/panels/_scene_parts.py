"""``kept(part) -> data``: what some parts of panels hold that no control of theirs tells, as plain data, and back.

::

    driven(part)                   -> its controls that a scene leaves alone
    omitted(part)                  -> sentences: what it holds and `kept` does not tell
    prepare(part, data, selection) -> nothing; before the controls are set: those that are there only at times are made
    finish(part, data, selection)  -> nothing; when they are set

A part that is not named here needs nothing: its controls are all there is to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.errors import near
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.views import ImageMap, Poster
from cnnviz_widgets.views._plane import checked_camera

from ._attribution import WhyThisClass
from ._lanes import Lane, Lanes
from ._map_picture import MapPicture, Standing
from ._objective_editor import ObjectiveEditor
from ._selection import Selection

MOST = 2000
"""Ids or labels in one list of a scene: some 60 kB."""


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


def ids_of(data: Any, what: str, images: ImageSet) -> list[str]:
    """Ids of a collection, from a scene.

    Parameters
    ----------
    what
        What they are, for the error.

    Raises
    ------
    ValueError
        No list of at most `MOST` texts, or one of them is no image of the collection.
    """
    listed = _texts(data, what)
    for id in listed:
        check_id(id, images)
    return listed


def check_id(id: Any, images: ImageSet) -> None:
    """``ValueError`` where the collection has no image of that id."""
    if id not in images:
        raise ValueError(
            f"no image {str(id)[:80]!r}{near(str(id), images.ids[:10_000])} the collection has {len(images):,}"
        )


def _texts(data: Any, what: str) -> list[str]:
    if not (isinstance(data, list) and len(data) <= MOST and all(isinstance(one, str) for one in data)):
        raise ValueError(f"{str(data)[:80]} was given for {what}; expected a list of at most {MOST:,} texts")
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
def omitted(part: object) -> Iterable[str]:
    """What the part holds and `kept` does not tell, in sentences."""
    return ()


def is_kept(part: object) -> bool:
    """Whether `kept` has something to tell of such a part."""
    return kept.dispatch(type(part)) is not kept.dispatch(object)


@singledispatch
def prepare(part: object, data: Any, selection: Selection) -> None:
    """Make the controls that the scene has."""


@singledispatch
def finish(part: object, data: Any, selection: Selection) -> None:
    """Set what `kept` told; ``ValueError`` where it does not fit."""


@kept.register
def _(part: ObjectiveEditor) -> Any:
    return [unit_data(term.unit) for term in part.terms]


@prepare.register
def _(part: ObjectiveEditor, data: Any, selection: Selection) -> None:
    if not isinstance(data, list):
        raise ValueError(f"{str(data)[:80]} was given for the units that are weighed in; expected a list of units")
    units = [unit_of(told, selection.network) for told in data]
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
def _(part: Lanes, data: Any, selection: Selection) -> None:
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
def _(part: WhyThisClass, data: Any, selection: Selection) -> None:
    classes = selection.network.output.channels
    known = data is None or data == "unit" or (type(data) is int and 0 <= data < classes)
    if not known:
        raise ValueError(f"{str(data)[:80]} was given as a class; expected 0 to {classes - 1}, 'unit' or null")
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


@kept.register
def _(part: MapPicture) -> Any:
    standing = part.standing()
    return {
        "chosen": _few(standing.chosen),
        "hidden": _few(standing.hidden),
        "morph": standing.morph,
        "camera": list(standing.camera),
        "look": standing.look,
    }


@omitted.register
def _(part: MapPicture) -> Iterable[str]:
    standing = part.standing()
    for names, told in ((standing.chosen, "images chosen together"), (standing.hidden, "labels that are hidden")):
        if _few(names) is None:
            yield f"The {len(names or ()):,} {told} on the map are not in the scene, which keeps up to {MOST:,}."


@finish.register
def _(part: MapPicture, data: Any, selection: Selection) -> None:
    told = _fields(data, "the map", {"chosen", "hidden", "morph", "camera", "look"})
    chosen, hidden, before = told["chosen"], told["hidden"], part.standing()
    morph, looks = told["morph"], ImageMap.look.values
    if type(morph) not in (int, float) or not 0 <= morph <= 1:
        raise ValueError(f"{str(morph)[:80]} was given as the way from the map to the grid; expected 0 to 1")
    if told["look"] not in looks:
        raise ValueError(f"{str(told['look'])[:80]!r} was given as the map's look; expected one of {looks}")
    part.awaited = Standing(
        before.chosen if chosen is None else tuple(ids_of(chosen, "the chosen images", selection.images)),
        before.hidden if hidden is None else tuple(_texts(hidden, "the hidden labels")),
        float(morph),
        tuple(checked_camera(told["camera"])),
        told["look"],
    )


def _few(names: Sequence[str] | None) -> list[str] | None:
    """A list that a scene has room for, else None."""
    return None if names is None or len(names) > MOST else list(names)


@kept.register
def _(part: Poster) -> Any:
    return {"camera": part.camera}


@finish.register
def _(part: Poster, data: Any, selection: Selection) -> None:
    part.move_camera(checked_camera(_fields(data, "the sheet of all layers", {"camera"})["camera"]))

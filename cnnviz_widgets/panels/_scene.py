"""``scene_of(panel) -> data``: what is selected and set in a panel as plain data, fit for JSON; `restore` shows it again.

::

    {"cnnviz_scene": 1, "panel": "ActivationPanel", "network": "...",
     "selection": {"layer": "conv1", "unit": ["conv1", 17, null], "image": "cat.jpg"},
     "controls": {"scale": "layer", "why.method": "occlusion", ...}, "values": {"recipe": {...}}, "parts": {...},
     "rows": ["dog.jpg", ...], "left_out": ["..."]}

Nothing here knows a panel by name. Its controls are found by walking what it holds, and are called by their way there, such as
``editor.rivals`` or ``numbers[steps]``. Values are numbers, texts and registered classes; nothing is evaluated or imported.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnviz_widgets.engine.errors import near
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.knobs import Family
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.recipes import Recipe

from ._map_picture import MapPicture
from ._neighbor_rows import is_id
from ._scene_controls import Found, control_data, found_in, set_control
from ._scene_parts import check_id, finish, ids_of, kept, omitted, prepare, recipe_data, recipe_of, unit_data, unit_of

VERSION = 1
_OWN_LAYER = "_layer"
"""Where a panel that begins at a layer of its own keeps the one that was chosen instead."""
_LOADED = "_loaded"
"""Where a panel keeps an objective that comes from a saved picture, not from its controls."""
_ROWS = "_pinned"
"""Where a panel keeps the images whose rows stay, ids or images of one's own; None: it chooses them itself."""


class SceneError(ValueError):
    """A scene does not fit what it is to be shown in; the text names what."""


@dataclass(frozen=True)
class _Asked:
    """A scene that has been read: all in it that can be checked beforehand fits the panel."""

    unit: Unit
    image: str | None
    layer: Layer | None
    objective: Objective | None
    controls: Mapping[str, Any]
    values: Mapping[str, Any]
    parts: Mapping[str, Any]
    rows: tuple[list[str] | None, ...]
    """Ids, or None, where the scene tells of rows; empty where it does not."""


def scene_of(panel: Any) -> dict[str, Any]:
    """What is selected and set in a panel: plain data, fit for JSON.

    Returns
    -------
    dict
        ``"left_out"`` says in sentences what is shown and not in it.
    """
    selection, found = panel.selection, found_in(panel)
    chosen = selection.image
    image = chosen if chosen in selection.images else None
    left_out = []
    if chosen is not None and image is None:
        left_out.append(
            "The image is one of your own, not of the collection; the scene will be shown with another one."
        )
    left_out += [told for part in found.parts.values() for told in omitted(part)]
    scene: dict[str, Any] = {
        "cnnviz_scene": VERSION,
        "panel": type(panel).__name__,
        "network": selection.network.name,
        "selection": {"layer": selection.layer.name, "unit": unit_data(selection.unit), "image": image},
        "controls": {path: control_data(control) for path, control in found.controls.items()},
        "values": {name: _value_data(value) for name, value in _values(panel).items()},
        "parts": {path: data for path, part in found.parts.items() if (data := kept(part)) is not None},
        "left_out": left_out,
    }
    if hasattr(panel, _OWN_LAYER):
        own = getattr(panel, _OWN_LAYER)
        scene["layer"] = None if own is None else own.name
    if hasattr(panel, _LOADED):
        loaded = getattr(panel, _LOADED)
        scene["objective"] = None if loaded is None else loaded.to_data()
    if hasattr(panel, _ROWS):
        rows = getattr(panel, _ROWS)
        scene["rows"] = None if rows is None else _of_collection(rows, selection.images)
        if own_rows := 0 if rows is None else len(rows) - len(scene["rows"]):
            left_out.append(f"Rows of images of your own are not in the scene: {own_rows}.")
    return scene


def restore(panel: Any, data: Any) -> None:
    """Show a scene again; what it leaves out stays as it is.

    Raises
    ------
    SceneError
        It is of another panel, or a layer, unit, image, control or value of it does not fit; the panel is as it was.
    """
    restore_all({"": panel}, {"": data})


def restore_all(panels: Mapping[str, Any], scenes: Mapping[str, Any]) -> None:
    """Show a scene in each of several panels, or, where one does not fit, in none.

    Raises
    ------
    SceneError
        See `restore`; or there is no panel of a name.
    """
    if unknown := sorted(set(scenes) - set(panels)):
        raise SceneError(f"no panel {unknown[0]!r}{near(unknown[0], panels)} there are {', '.join(panels)}")
    asked = {name: _read(panels[name], data) for name, data in scenes.items()}
    before = [_Before(panels[name]) for name in scenes]
    try:
        for name, one in asked.items():
            _show(panels[name], one)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        for one_before in before:
            one_before.show()
        raise SceneError(str(error)) from error


class _Before:
    """A panel as it is now, with what no scene tells: images of one's own, and a large choice on a map."""

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._scene, self._image, self._rows = scene_of(panel), panel.selection.image, getattr(panel, _ROWS, None)
        parts = found_in(panel).parts.values()
        self._maps = [(part, part.standing()) for part in parts if isinstance(part, MapPicture)]

    def show(self) -> None:
        """Show it again as far as that is possible: what went wrong first is what is told."""
        panel = self._panel
        with contextlib.suppress(Exception):
            _show(panel, _read(panel, self._scene))
        if hasattr(panel, _ROWS):
            setattr(panel, _ROWS, self._rows)
        if panel.selection.image is not self._image:
            panel.selection.image = self._image
        for part, standing in self._maps:
            part.awaited = standing
        panel.refresh()


# reading


def _read(panel: Any, data: Any) -> _Asked:
    """Everything that can be known to fit without touching the panel."""
    if not isinstance(data, Mapping) or "cnnviz_scene" not in data:
        raise SceneError(f"{str(data)[:60]!r} is no scene; expected what panel.scene() gave")
    if data["cnnviz_scene"] != VERSION:
        raise SceneError(f"the scene has the format {data['cnnviz_scene']!r}; this version reads {VERSION}")
    if data.get("panel") != type(panel).__name__:
        raise SceneError(f"the scene is one of {data.get('panel')}, and this is {type(panel).__name__}")
    network, selected = panel.selection.network, _mapping(data, "selection")
    try:
        unit = unit_of(selected.get("unit"), network)
        own = data.get("layer")
        layer = None if own is None else network[own]
        told = data.get("objective")
        objective = None if told is None else Objective.read(told, network)
        if objective is not None:
            objective.bound(network)
        values = {name: _value_of(panel, name, value) for name, value in _mapping(data, "values").items()}
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise SceneError(f"the scene does not fit {network.name}: {error}") from error
    image, images = selected.get("image"), panel.selection.images
    try:
        if image is not None:
            check_id(image, images)
        rows = _rows_of(data, images) if hasattr(panel, _ROWS) else ()
    except ValueError as error:
        raise SceneError(str(error)) from error
    controls, parts = _mapping(data, "controls"), _mapping(data, "parts")
    there = found_in(panel)
    for path in [*controls, *parts]:
        # others may come with the recipe, or with a part of the panel that is made when it is asked for
        if path.isidentifier() and path not in there.controls and path not in there.parts:
            raise _unknown(path, there)
    return _Asked(unit, image, layer, objective, controls, values, parts, rows)


def _rows_of(data: Mapping[str, Any], images: ImageSet) -> tuple[list[str] | None, ...]:
    if "rows" not in data:
        return ()
    told = data["rows"]
    return (None if told is None else ids_of(told, "the rows that stay", images),)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    told = data.get(name, {})
    if not isinstance(told, Mapping):
        raise SceneError(f"{name!r} of the scene is {type(told).__name__}; expected an object")
    return told


def _unknown(path: str, there: Found) -> SceneError:
    return SceneError(f"no control {path!r}{near(path, there.controls)} the panel has {len(there.controls)} of them")


# showing


def _show(panel: Any, asked: _Asked) -> None:
    _select(panel, asked)
    _set_values(panel, asked)
    there = found_in(panel)
    for path, data in asked.parts.items():
        prepare(there.parts.get(path), data, panel.selection)
    there = found_in(panel)
    for path, value in asked.controls.items():
        if path not in there.controls:
            there = found_in(panel)
        if path not in there.controls:
            raise _unknown(path, there)
        quiet = panel._own_changes() if path in there.quiet else contextlib.nullcontext()
        with quiet:
            set_control(there.controls[path], path, value, widen=path in there.quiet)
    there = found_in(panel)
    for path, data in asked.parts.items():
        if path not in there.parts:
            raise _unknown(path, there)
        finish(there.parts[path], data, panel.selection)
    _set_values(panel, asked)
    _select(panel, asked)
    if hasattr(panel, _OWN_LAYER):
        setattr(panel, _OWN_LAYER, asked.layer)
    if hasattr(panel, _LOADED):
        setattr(panel, _LOADED, asked.objective)
        panel._told_loaded = "" if asked.objective is None else f"The scene's objective: {asked.objective}."
    for rows in asked.rows:
        _keep_rows(panel, rows)
    panel.refresh()


def _keep_rows(panel: Any, ids: list[str] | None) -> None:
    """Let rows stay; those of images of one's own, of which a scene tells nothing, stay as they are."""
    now, images = getattr(panel, _ROWS), panel.selection.images
    if ids is None or now is None:
        setattr(panel, _ROWS, ids)
    elif _of_collection(now, images) != ids:
        setattr(panel, _ROWS, [*ids, *(one for one in now if not is_id(one, images))])


def _of_collection(rows: list[Any], images: ImageSet) -> list[str]:
    return [one for one in rows if is_id(one, images)]


def _select(panel: Any, asked: _Asked) -> None:
    selection = panel.selection
    if selection.unit != asked.unit:
        selection.unit = asked.unit
    if asked.image is not None and selection.image != asked.image:
        selection.image = asked.image


def _set_values(panel: Any, asked: _Asked) -> None:
    for name, value in asked.values.items():
        if getattr(panel, name) != value:
            setattr(panel, name, value)


# recipes, projections and their like, which say more than sliders can


def _values(panel: Any) -> dict[str, Any]:
    """The panel's properties that can be set and hold a value of the engine's."""
    return {name: value for name, value in _settable(panel) if isinstance(value, Recipe | Family)}


def _settable(panel: Any) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers_static(type(panel)):
        if isinstance(member, property) and member.fset is not None:
            yield name, getattr(panel, name)


def _value_data(value: Recipe | Family) -> Any:
    return recipe_data(value) if isinstance(value, Recipe) else value.to_data()


def _value_of(panel: Any, name: str, data: Any) -> Any:
    now = _values(panel).get(name)
    if isinstance(now, Recipe):
        return recipe_of(data)
    if isinstance(now, Family):
        family: Any = next(base for base in type(now).__mro__ if Family in base.__bases__)
        return family.from_data(data)
    raise ValueError(f"{type(panel).__name__} has no {name!r} to be set")

"""``found_in(panel) -> Found``: the controls that a user sets, each under the name of its way there.

A panel and its parts hold their controls as attributes, in lists or in dictionaries; the shortest way names a control. Those
that only tell where the selection stands, by the names in `FOLLOWING`, are left out: a scene keeps the selection itself. So are
those that do an errand once, by the names in `ERRANDS`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
from traitlets import TraitError

from ._controls import ChoiceControls, put
from ._recipe_controls import RecipeControls
from ._scene_parts import driven, is_kept
from ._selection import Selection

FOLLOWING = frozenset({"channel", "neuron", "label", "image"})
ERRANDS = frozenset({"search"})
_TELLING = (
    widgets.Label, widgets.HTML, widgets.HTMLMath, widgets.Image, widgets.Audio, widgets.Video, widgets.IntProgress,
    widgets.FloatProgress, widgets.Valid, widgets.FileUpload, widgets.Password, widgets.Play,
)  # fmt: skip
_MOST = 1000
"""Entries of a list that may be controls; longer ones are names of images and the like."""


@dataclass
class Found:
    """What a panel holds: ``controls`` and ``parts`` by their names; ``quiet`` names the controls of recipes and projections,
    which the panel is to take over all at once."""

    controls: dict[str, widgets.Widget] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    quiet: set[str] = field(default_factory=set)


def found_in(panel: Any) -> Found:
    """The controls and the parts of a panel as they are at this moment."""
    found, apart, hushed = Found(), set(), set()
    inside = {id(widget) for widget in _boxed(panel)}
    waiting, seen = deque([("", panel)]), {id(panel), id(panel.selection)}
    while waiting:
        path, holder = waiting.popleft()
        for name, value in _held(path, holder):
            if id(value) in seen:
                continue
            if _is_control(value) and id(value) in inside:
                seen.add(id(value))
                found.controls[name] = value
            elif isinstance(value, widgets.Widget) and is_kept(value):
                seen.add(id(value))
                found.parts[name] = value
            elif _leads_on(value, panel):
                seen.add(id(value))
                waiting.append((name, value))
                if not isinstance(value, dict | list | tuple):
                    found.parts[name] = value
                    apart |= {id(widget) for widget in driven(value)}
                if isinstance(value, RecipeControls | ChoiceControls):
                    boxes = value.column if isinstance(value, RecipeControls) else [value.box]
                    hushed |= {id(widget) for box in boxes for widget in _boxed(box)}
    left = FOLLOWING | ERRANDS
    found.controls = {
        name: control
        for name, control in found.controls.items()
        if id(control) not in apart and name.rpartition(".")[2] not in left
    }
    found.quiet = {name for name, control in found.controls.items() if id(control) in hushed}
    return found


def _boxed(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _boxed(child)


def _held(path: str, holder: Any) -> Iterator[tuple[str, Any]]:
    """What is held, under its name; the keys of dictionaries are texts."""
    if isinstance(holder, dict):
        yield from ((f"{path}[{key}]", value) for key, value in list(holder.items()) if isinstance(key, str))
    elif isinstance(holder, list | tuple):
        yield from ((f"{path}[{number}]", value) for number, value in enumerate(list(holder)))
    else:
        before = f"{path}." if path else ""
        attributes = list(getattr(holder, "__dict__", {}).items())
        yield from ((f"{before}{name}", value) for name, value in attributes if not name.startswith("_trait"))


def _is_control(value: Any) -> bool:
    """Whether it is one that a user sets to something that JSON can tell; a date is nothing of that kind."""
    if not isinstance(value, widgets.ValueWidget) or isinstance(value, _TELLING):
        return False
    told = control_data(value)
    empty = told is None and _options(value) is None
    return all(map(_plain, told)) if isinstance(told, list) else _plain(told) and not empty


def _leads_on(value: Any, panel: Any) -> bool:
    """Whether controls may be held there: in a collection, or in a part, which is written beside the panels."""
    if isinstance(value, dict | list | tuple):
        return 0 < len(value) <= _MOST
    if isinstance(value, widgets.Widget | Selection | type):
        return False
    module = type(value).__module__
    return module.startswith(f"{__package__}.") or module == type(panel).__module__


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _options(control: Any) -> list[tuple[str, Any]] | None:
    """Label and value of each choice, the value as a scene tells it; None for what is no menu."""
    if not hasattr(control, "_options_full"):
        return None
    return [(label, value if _plain(value) else label) for label, value in control._options_full]


def control_data(control: Any) -> Any:
    """A control's value as plain data; a choice whose value is none is told by its label."""
    options = _options(control)
    if options is None:
        return list(control.value) if isinstance(control.value, tuple) else control.value
    chosen = control.index
    if isinstance(chosen, tuple):
        return [options[number][1] for number in chosen]
    return None if chosen is None else options[chosen][1]


def set_control(control: Any, path: str, data: Any, *, widen: bool = False) -> None:
    """Set a control as `control_data` told.

    Parameters
    ----------
    widen
        Whether a slider's ends give way to a value beyond them.

    Raises
    ------
    ValueError
        The value is of another kind, is not among the choices or lies beyond the ends; the text names the control.
    """
    if control_data(control) == data and type(control_data(control)) is type(data):
        return
    options = _options(control)
    if options is not None:
        _choose(control, path, options, data)
        return
    if not _same_kind(control.value, data):
        raise ValueError(f"{path} = {str(data)[:60]!r}; expected a value like {control_data(control)!r}")
    low, high = getattr(control, "min", None), getattr(control, "max", None)
    if isinstance(control, widgets.FloatLogSlider):
        low, high = control.base**control.min, control.base**control.max
    between = data if isinstance(data, list) else [data]
    if low is not None and high is not None and not widen and not all(low <= number <= high for number in between):
        raise ValueError(f"{path} = {data!r}; expected {low:g} to {high:g}")
    try:
        put(control, tuple(data) if isinstance(data, list) else data)
    except TraitError as error:
        raise ValueError(f"{path} = {str(data)[:60]!r}: {error}") from error


def _choose(control: Any, path: str, options: list[tuple[str, Any]], data: Any) -> None:
    several = isinstance(control.index, tuple)
    if several != isinstance(data, list):
        raise ValueError(f"{path} = {str(data)[:60]!r}; expected {'a list of choices' if several else 'one choice'}")
    numbers = []
    for one in data if several else [data]:
        fits = [number for number, (_, value) in enumerate(options) if value == one and type(value) is type(one)]
        if not fits and not (one is None and not several):
            choices = ", ".join(repr(value) for _, value in options[:12])
            raise ValueError(
                f"{path} = {str(one)[:60]!r}; expected one of {choices}{' ...' if len(options) > 12 else ''}"
            )
        numbers.append(fits[0] if fits else None)
    control.index = tuple(numbers) if several else numbers[0]


def _same_kind(now: Any, data: Any) -> bool:
    """Whether data can take a value's place: a truth value for one, a whole number or another for a number, text for text."""
    if isinstance(now, tuple):
        return isinstance(data, list) and len(data) == len(now) and all(map(_same_kind, now, data))
    if isinstance(now, float):
        return type(data) in (int, float) and abs(data) < float("inf")
    return type(data) is type(now)

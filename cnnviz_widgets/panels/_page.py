"""``part_of(panel, units)``: a panel as it is now for an HTML page, without controls that would need Python.

::

    widgets of the panel, from top to bottom -> views as they are recorded, pictures, and what is said of them
    several units -> the same of each, made by the panel's twin
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import Cell, Download, ImageUpload, LayerTree, Note, PictureTable
from cnnviz_widgets.views._base import ROOM, View
from cnnviz_widgets.views._recording import Recording
from cnnviz_widgets.views.standalone import Beside, Choice, Part

from ._selection import Selection
from ._twin import show, twin_of

if TYPE_CHECKING:
    from ._base import Panel

_CONTROLS = (Download, ImageUpload, LayerTree)
_DRAWN = ("pixels", "values", "counts", "cells", "points", "tile_keys", "still", "curve")
"""Traits of the views without which they draw nothing."""
PATIENCE = 300.0
"""Seconds that one unit may take to be shown."""


def part_of(panel: Panel, units: Sequence[Unit] = (), most_bytes: int = ROOM) -> Part:
    """What a page shows of a panel.

    Parameters
    ----------
    units
        More than one: to be chosen by their names. None: the panel as it is.
    most_bytes
        Of pictures, for each view.

    Raises
    ------
    TypeError, ValueError
        See `parts_of_units`.
    """
    if not units:
        return recorded(panel, most_bytes)
    return choice_of_units(panel.selection, units, parts_of_units(panel, units, most_bytes))


def parts_of_units(panel: Panel, units: Sequence[Unit], most_bytes: int = ROOM) -> list[list[Part]]:
    """What a page shows of each unit: the chosen one as it stands in the panel, the others as they would.

    Raises
    ------
    TypeError, ValueError
        Something else among the units, or one that can't be shown; the panel and its selection are as they were.
    """
    for unit in units:
        check(unit, panel.network)
    share, found = most_bytes // len(units), dict[Unit, list[Part]]()
    chosen = panel.selection.unit
    if chosen in units and not panel._stale:
        as_it_is = recorded(panel, share)
        if panel.selection.unit == chosen:
            found[chosen] = as_it_is
    others = [unit for unit in units if unit not in found]
    if others:
        with twin_of(panel) as twin:
            for unit in others:
                show(twin, unit, PATIENCE)
                found[unit] = _recorded(twin, share)
    return [found[unit] for unit in units]


def part_of_panels(panels: Mapping[str, Panel], selection: Selection, units: Sequence[Unit]) -> Part:
    """Several panels on a selection below each other; of several units all show the one that is chosen.

    A panel that can't show a unit says so in its place. None of the units: the selection's.

    Raises
    ------
    TypeError, ValueError
        Something else among the units.
    """
    for unit in units:
        check(unit, selection.network)
    units = units or [selection.unit]
    columns = [(name, _of_each(panel, units)) for name, panel in panels.items()]
    return choice_of_units(
        selection, units, [[(name, parts[at]) for name, parts in columns] for at in range(len(units))]
    )


def _of_each(panel: Panel, units: Sequence[Unit]) -> Sequence[Part]:
    """For each unit what a panel shows, the same where it does not depend on the unit."""
    if not panel._page_units():
        return [panel._page_part(())] * len(units)
    return [_of_one(panel, unit, ROOM // len(units)) for unit in units]


def _of_one(panel: Panel, unit: Unit, most_bytes: int) -> Part:
    """What a panel shows of a unit, or why it can't."""
    try:
        return parts_of_units(panel, [unit], most_bytes)[0]
    except (ValueError, TimeoutError) as error:
        return str(error)


def choice_of_units(selection: Selection, units: Sequence[Unit], parts: Sequence[Part]) -> Part:
    """A part for each unit, to be chosen by its name; that of the selection's unit is seen first."""
    if len(units) == 1:
        return parts[0]
    chosen = selection.unit
    names = [unit_name(selection.network, unit) for unit in units]
    return Choice(names, list(parts), label="Unit", selected=units.index(chosen) if chosen in units else 0)


def units_beside(unit: Unit, count: int) -> list[Unit]:
    """The unit among those that stand beside it in its layer, in their order: so many, or all of a smaller layer."""
    first = max(0, min(unit.channel - (count - 1) // 2, unit.layer.channels - count))
    return [replace(unit, channel=channel) for channel in range(first, min(first + count, unit.layer.channels))]


def check(unit: Any, network: Network) -> None:
    """Whether it is a unit of a network; ``TypeError`` or ``ValueError`` where not."""
    if not isinstance(unit, Unit):
        raise TypeError(f"{type(unit).__name__} was given as a unit; expected net[layer][channel], or net.unit(name)")
    if network.layers.get(unit.layer.name) != unit.layer:
        raise ValueError(f"{unit} is no unit of {network.name}; net[layer][channel] gives one")


def unit_name(network: Network, unit: Unit) -> str:
    """A class by its name, with its number where others have that name, too; any other unit as it is addressed."""
    if unit.layer != network.output or not network.labels or unit.position is not None:
        return str(unit)
    name = network.label(unit.channel)
    return name if network.labels.count(name) < 2 else f"{name} [{unit.channel}]"


def recorded(panel: Panel, most_bytes: int = ROOM) -> list[Part]:
    """What a page shows of a panel as it is."""
    bring_up_to_date(panel)
    return _recorded(panel, most_bytes)


def bring_up_to_date(panel: Panel) -> None:
    """Wait for the drawing under way, or put off while the panel slept; one that takes too long is left as it is."""
    panel.catch_up()
    with contextlib.suppress(TimeoutError):
        panel._latest.wait(PATIENCE)
        if panel._card is not None and panel._card.shown:
            panel._card._latest.wait(PATIENCE)


def _recorded(panel: Panel, most_bytes: int) -> list[Part]:
    """What is in a panel, and what it says below that."""
    said = (panel.remark, panel.note)
    body = [child for child in panel.children if child not in said]
    return [*_parts(body, most_bytes), *(note.text for note in said if note.text)] or ["Nothing is shown here yet."]


def _parts(children: Sequence[Any], most_bytes: int) -> list[Part]:
    """What is in a box, from top to bottom; a section's heading goes where nothing of the section is left."""
    found: list[Part] = []
    heading, under = "", found
    for child in children:
        if _is_left_out(child):
            continue
        if _is(child, "cnnviz-section"):
            _close_section(found, heading, under)
            heading, under = child.value, []
        else:
            under.extend(_part(child, most_bytes))
    _close_section(found, heading, under)
    return found


def _close_section(found: list[Part], heading: str, under: list[Part]) -> None:
    if under is not found and under:
        found.append((heading, under) if heading else under)


def _part(child: Any, most_bytes: int) -> list[Part]:
    if isinstance(child, Note):
        return [child.text] if child.text and child.kind != "code" else []
    if isinstance(child, View):
        return [] if isinstance(child, _CONTROLS) else filled(child.recording(most_bytes))
    if isinstance(child, widgets.Image):
        return [_picture(bytes(child.value), most_bytes)] if child.value else []
    if isinstance(child, widgets.Label):
        told = _is(child, "cnnviz-verdict") or _is(child, "cnnviz-title")
        return [child.value] if told and child.value else []
    within = _columns if _is(child, "cnnviz-row") else _parts
    return within(getattr(child, "children", ()), most_bytes)


def _columns(boxes: Sequence[Any], most_bytes: int) -> list[Part]:
    """What is in boxes beside each other, those with something in them."""
    shown = [box for box in boxes if not _is_left_out(box)]
    columns = [parts for box in shown if (parts := _parts(getattr(box, "children", ()), most_bytes))]
    return [Beside(columns)] if len(columns) > 1 else [part for parts in columns for part in parts]


def filled(recording: Recording) -> list[Part]:
    """The recording, where there is something to be seen on it; a kind of view that is not known here always is."""
    told = [recording.state[name] for name in _DRAWN if name in recording.state]
    return [recording] if any(told) or recording.state.get("caption") or not told else []


def _is_left_out(child: Any) -> bool:
    return getattr(child.layout, "display", "") == "none" or _is(child, "cnnviz-heading")


def _is(child: Any, kind: str) -> bool:
    return kind in getattr(child, "_dom_classes", ())


def _picture(data: bytes, most_bytes: int) -> Part:
    """A single picture, as the only cell of a table."""
    table = PictureTable()
    try:
        table.show([Cell(data, (), "")], side=448)
        return table.recording(most_bytes)
    finally:
        table.close()

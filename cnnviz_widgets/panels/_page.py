"""``page_of(panel, units) -> text``: a panel as it is now in one HTML file, without controls that would need Python.

::

    widgets of the panel, from top to bottom -> views as they are recorded, pictures, and what is said of them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.views import Cell, Download, ImageUpload, LayerTree, Note, PictureTable, standalone
from cnnviz_widgets.views._base import ROOM, View
from cnnviz_widgets.views.standalone import Choice, Part

if TYPE_CHECKING:
    from ._base import Panel

_CONTROLS = (Download, ImageUpload, LayerTree)
PATIENCE = 300.0
"""Seconds that one unit may take to be shown."""


def page_of(panel: Panel, units: Sequence[Unit] = (), most_bytes: int = ROOM) -> str:
    """The text of the file.

    Parameters
    ----------
    units
        More than one: the page has a list to choose among them. The selection moves through them and comes back.
    most_bytes
        Of pictures, for each view.
    """
    title = f"{panel.title} · {panel.network.name}"
    if len(units) < 2:
        return standalone.page(list(_recorded(panel, most_bytes)), title=title)
    before, shown = panel.selection.unit, []
    try:
        for unit in units:
            panel.selection.unit = unit
            panel.wait(PATIENCE)
            shown.append(list(_recorded(panel, most_bytes // len(units))))
    finally:
        panel.selection.unit = before
    names = [_name(panel, unit) for unit in units]
    selected = units.index(before) if before in units else 0
    return standalone.page(Choice(names, shown, label="Unit", selected=selected), title=title)


def _name(panel: Panel, unit: Unit) -> str:
    network = panel.network
    if unit.layer == network.output and network.labels and unit.position is None:
        return network.label(unit.channel)
    return str(unit)


def _recorded(panel: Panel, most_bytes: int) -> Iterator[Part]:
    """What a page shows of a panel."""
    yield from _parts(panel, most_bytes)
    if panel.remark.text:
        yield panel.remark.text


def _parts(widget: Any, most_bytes: int) -> Iterator[Part]:
    for child in getattr(widget, "children", ()):
        if getattr(child.layout, "display", "") == "none" or "cnnviz-heading" in getattr(child, "_dom_classes", ()):
            continue
        if isinstance(child, View):
            if not isinstance(child, (*_CONTROLS, Note)):
                yield child.recording(most_bytes)
        elif isinstance(child, widgets.Image):
            if child.value:
                yield _picture(bytes(child.value), most_bytes)
        elif isinstance(child, widgets.Label):
            if "cnnviz-verdict" in child._dom_classes and child.value:
                yield child.value
        else:
            yield from _parts(child, most_bytes)


def _picture(data: bytes, most_bytes: int) -> Part:
    """A single picture, as the only cell of a table."""
    table = PictureTable()
    try:
        table.show([Cell(data, (), "")], side=448)
        return table.recording(most_bytes)
    finally:
        table.close()

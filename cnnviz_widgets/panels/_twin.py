"""``twin_of(panel)``: another panel that shows what a panel would show of other units, seen by nobody.

::

    twin_of(panel) -> its twin, closed in the end;   show(twin, unit, seconds) -> nothing, it shows that unit then

A twin stands on a selection of its own, so neither the panel nor those that follow it are moved. It is set as the panel is, and
takes over what the panel has made and no control tells; until then it sleeps, so that nothing drawn before comes late.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from cnnviz_widgets.engine.layers import Unit

from ._map_making import MapMaker
from ._selection import PrivateSelection
from ._synthesis import Climber

if TYPE_CHECKING:
    from ._base import Panel

_HELD = ("_pinned", "_way")
"""Where panels keep what was chosen by a button: the rows that stay, and what made the map that is shown."""


@contextlib.contextmanager
def twin_of(panel: Panel) -> Iterator[Panel]:
    """A panel of the same kind, set in the same way, on a selection of its own that begins where the panel's stands."""
    from ._scene import restore, scene_of  # it knows parts that are built upon panels
    from ._scene_controls import found_in

    scene = scene_of(panel)
    twin = panel._alike(PrivateSelection.of_another(panel.selection))
    try:
        for name in _HELD:
            if hasattr(panel, name):
                setattr(twin, name, getattr(panel, name))
        if panel._card is not None:  # where it is closed again, the scene says so
            twin._show_card.value = True
        theirs = found_in(twin).parts
        for path, part in found_in(panel).parts.items():
            if path in theirs:
                hand_on(part, theirs[path])
        restore(twin, scene)
        twin.asleep = False
        yield twin
    finally:
        twin.close()


def show(twin: Panel, unit: Unit, seconds: float) -> None:
    """Have a twin show a unit, and wait until it does.

    Raises
    ------
    ValueError
        It can't be shown; the text says why.
    TimeoutError
        It took longer.
    """
    twin.selection.unit = unit
    twin.wait(seconds)
    if twin.note.kind == "error" and twin.note.text:
        raise ValueError(f"{unit} can't be shown on the page: {twin.note.text}")


@singledispatch
def hand_on(part: object, twin: Any) -> None:
    """Give what a part of a panel has made to that part of the twin."""


@hand_on.register
def _(part: Climber, twin: Climber) -> None:
    with part._lock, twin._lock:
        twin._owner = part._owner
        twin._made.update(part._made)


@hand_on.register
def _(part: MapMaker, twin: MapMaker) -> None:
    with part._lock, twin._lock:
        twin._index = part._index
        twin._mapped.update(part._mapped)
        twin._made.update(part._made)

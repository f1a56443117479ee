"""``Card(selection)``: the card of the selection's unit, to be opened beside anything; nothing is computed while it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.views import Note
from cnnviz_widgets.views._base import free_route

from ._card_body import CardBody
from ._runner import Latest
from ._selection import Selection

_DRAWN_FOR = ("network", "unit", "index", "atlas", "images", "image")


class Card:
    """A card that follows a selection by itself, with a thread and a note of its own.

    Parameters
    ----------
    path
        Where an index that is built in it is kept; None: in memory.
    shown
        Whether it is open.

    Attributes
    ----------
    box
        The widget; it may stand in a panel's, and is out of the way while the card is not shown.
    """

    def __init__(self, selection: Selection, path: str | Path | None = None, *, shown: bool = False) -> None:
        self.selection = selection
        self._closed, self._shown = False, shown
        self._latest = Latest(self._failed)
        self.note = Note()
        self.body = CardBody(selection, path, self.refresh, self._failed)
        self.box = widgets.VBox([self.body.box, self.note])
        self.box.layout.display = "" if shown else "none"
        for widget in _tree(self.box):
            free_route(widget)
        selection.observe(self._changed, list(_DRAWN_FOR))
        self.refresh()

    @property
    def shown(self) -> bool:
        """Whether it is open."""
        return self._shown

    def show(self, shown: bool = True) -> None:
        """Open it, and draw what is chosen; or, with False, put it out of the way. Returns at once."""
        self._shown = shown
        self.box.layout.display = "" if shown else "none"
        self.refresh()

    def refresh(self) -> None:
        """Draw again where it is open, as after a change of the weights; returns at once."""
        if self._closed or not self._shown:
            return
        ticket = self._latest.ticket()
        drawing = self.body.drawing()
        self._latest.request(lambda: self._drawn(drawing), ticket)

    def _drawn(self, drawing: Any) -> None:
        drawing()
        self.note.show("")

    def _changed(self, change: Any) -> None:
        self.refresh()

    def _failed(self, error: BaseException | None) -> None:
        if not self._closed:
            told = "" if error is None else str(error) or type(error).__name__
            self.note.show(told, kind="error" if told else "info")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until all that was asked for is drawn and made; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        self.body.wait(seconds)
        self._latest.wait(seconds)

    def code(self) -> str:
        """Python code that prints the same facts."""
        return self.body.code()

    def close(self) -> None:
        """End what runs and take it off the page; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.selection.unobserve(self._changed, list(_DRAWN_FOR))
        self._latest.close()
        self.body.close()
        for widget in list(_tree(self.box)):
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if isinstance(part, widgets.Widget):  # ipywidgets keeps these alive for ever
                    part.close()


def _tree(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _tree(child)

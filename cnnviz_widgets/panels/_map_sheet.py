"""``ChosenSheet``: the images that were chosen together on a map, as a contact sheet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.views import PictureTable

from ._cells import small_cell
from ._map_picture import MapPicture
from ._runner import Latest
from ._selection import Selection

LIMIT = 60
SIDE = 96


class ChosenSheet:
    """A button that tells how many are chosen, and the table it opens; a click there finds the image on the map.

    Parameters
    ----------
    failed
        Gets what goes wrong.
    """

    def __init__(self, picture: MapPicture, selection: Selection, failed: Callable[[BaseException], None]) -> None:
        self._picture, self._selection = picture, selection
        self._latest = Latest(failed)
        self._lock = threading.Lock()
        self._ids: list[str] = []
        self.button = widgets.Button(
            tooltip="The images chosen by lasso, by Shift and dragging, or by search",
            layout=widgets.Layout(width="auto", display="none"),
        )
        self.table = PictureTable(max_height=420)
        self.table.layout.display = "none"
        self.button.on_click(lambda button: self._latest.request(self._fill))
        self.table.on_msg(lambda _, content, buffers: self._picked(content))
        picture.view.observe(lambda change: self.tell(), "chosen")

    def tell(self) -> None:
        """Say how many are chosen; without any the sheet goes."""
        count = len(self._picture.chosen())
        self.button.description = f"Show the {count:,} chosen"
        self.button.layout.display = "" if count else "none"
        if not count:
            with self._lock:
                self._ids = []
                self.table.layout.display = "none"

    def wait(self, seconds: float) -> None:
        """Wait until a sheet that was asked for is there."""
        self._latest.wait(seconds)

    def close(self) -> None:
        """Make no more."""
        self._ids = []
        self._latest.close()

    def _fill(self) -> None:
        ids, mapped = self._picture.chosen(), self._picture.mapped
        if mapped is None or not ids:
            return
        shown = ids[:LIMIT]
        cells = [small_cell(mapped.index, id, (mapped.labels[mapped.rows[id]],), id) for id in shown]
        first = f", the first {LIMIT} of them here" if len(ids) > LIMIT else ""
        with self._lock:
            if not self._picture.chosen():  # the choice went meanwhile
                return
            self._ids = shown
            self.table.show(cells, side=SIDE, caption=f"{len(ids):,} images chosen{first}.")
            self.table.layout.display = ""

    def _picked(self, content: Any) -> None:
        at, mapped = content.get("index", -1), self._picture.mapped
        if content.get("type") == "choose" and mapped is not None and 0 <= at < len(self._ids):
            id = self._ids[at]
            if id in mapped.rows:
                self._latest.request(lambda: self._picture.fly(mapped, id))
            self._selection.image = id

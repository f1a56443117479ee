"""``Strip``: where the explorer's image and unit are chosen: a row of photographs, and a line that takes a class or a unit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.panels import Selection
from cnnviz_widgets.panels._runner import Latest
from cnnviz_widgets.panels._uploading import Uploading
from cnnviz_widgets.views import Cell, PictureTable

MOST = 60
"""Photographs in the row: what one looks through by hand. All others are found in the panels."""
SIDE = 76
_UNIT = re.compile(r"(?P<layer>.+?)\[(?P<channel>\d+)(?:\s*,\s*(?P<position>center|\d+(?:\s*,\s*\d+)*))?\]")


def unit_called(text: str, network: Network) -> Unit:
    """The unit that a text names: a class, ``layer[channel]``, ``layer[channel, y, x]``, or a layer, whose first unit it is.

    Raises
    ------
    UnknownNameError, IndexError, ValueError
        There is no such layer, unit or class.
    """
    text = text.strip()
    if found := _UNIT.fullmatch(text):
        position = found["position"]
        where: tuple[Any, ...] = ()
        if position:
            where = ("center",) if position == "center" else tuple(map(int, re.split(r"\s*,\s*", position)))
        return network[found["layer"]][(int(found["channel"]), *where)]
    if text in network.layers:
        return network[text][0]
    return network.unit(text)


class Strip:
    """The row and the line; both follow the selection.

    Parameters
    ----------
    failed
        Gets what goes wrong.
    mended
        Called when something went well.
    """

    def __init__(
        self, selection: Selection, failed: Callable[[BaseException], None], mended: Callable[[], None]
    ) -> None:
        self._selection, self._failed, self._mended = selection, failed, mended
        self._latest = Latest(failed)
        self._ids: tuple[str, ...] = ()
        self.table = PictureTable(side=SIDE, max_height=SIDE + 40)
        self.uploading = Uploading(selection, failed)
        self.unit = widgets.Combobox(
            placeholder="a class, or layer[channel]",
            description="unit",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=widgets.Layout(width="320px"),
        )
        self.standing = widgets.Label("")
        line = widgets.HBox([self.unit, self.standing, self.uploading.view])
        line.add_class("cnnviz-wrap")
        self.box = widgets.VBox([line, self.table])
        self.unit.observe(self._unit_typed, "value")
        self.table.on_msg(lambda _, content, buffers: self._picked(content))
        selection.observe(lambda change: self.show(), ["network", "images", "image", "unit"])
        self.show()

    def show(self) -> None:
        """Stand where the selection is; returns at once."""
        self._latest.request(self._draw)

    def _draw(self) -> None:
        selection = self._selection
        images, network, unit = selection.images, selection.network, selection.unit
        if self._ids != images.ids[:MOST]:
            self._ids = images.ids[:MOST]
            more = f", the first {MOST} of them here" if len(images) > MOST else ""
            cells = [
                Cell(_thumbnail(images, number), (), f"{id}: {label}" if label != id else id)
                for number, (id, label) in enumerate(zip(self._ids, images.labels, strict=False))
            ]
            self.table.show(cells, side=SIDE, caption=f"{len(images):,} images{more}" if len(images) else "")
            self.table.layout.display = "" if cells else "none"
        at = self._ids.index(selection.image) if selection.image in self._ids else -1
        if self.table.selected != at:
            self.table.selected = at
        named = unit.layer == network.output and bool(network.labels)
        self.standing.value = f"{unit}: {network.label(unit.channel)}" if named else str(unit)
        options = tuple(network.labels) + tuple(network.layers)
        if tuple(self.unit.options) != options:
            self.unit.options = options

    def _unit_typed(self, change: Any) -> None:
        if not change["new"].strip():
            return
        try:
            self._selection.unit = unit_called(change["new"], self._selection.network)
            self._mended()
        except Exception as error:  # shown, and the explorer lives on
            self._failed(error)

    def _picked(self, content: Any) -> None:
        at = content.get("index", -1)
        if content.get("type") == "choose" and 0 <= at < len(self._ids):
            self._selection.image = self._ids[at]

    def wait(self, seconds: float) -> None:
        """Wait until what was asked for is shown."""
        self.uploading.wait(seconds)
        self._latest.wait(seconds)

    def close(self) -> None:
        """Draw no more."""
        self.uploading.close()
        self._latest.close()


def _thumbnail(images: Any, number: int) -> bytes:
    try:
        return bytes(images.thumbnail_data(number, 2 * SIDE))
    except (OSError, ValueError):
        return b""  # told where the image is used

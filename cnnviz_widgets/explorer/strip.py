"""``Strip``: where the explorer's image and unit are chosen: a row of photographs, and a line that takes a class or a unit."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.panels import Selection
from cnnviz_widgets.panels._finding import places_holding
from cnnviz_widgets.panels._runner import Latest
from cnnviz_widgets.panels._uploading import Uploading
from cnnviz_widgets.views import Cell, PictureTable

MOST = 60
"""Photographs in the row at a time: what one looks through by hand."""
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


class Found:
    """The images of a collection whose label or id holds a text, page by page.

    Parameters
    ----------
    text
        Upper and lower case are one; empty for all images.

    Attributes
    ----------
    numbers : sequence of int
        Their places in the collection, growing.
    """

    def __init__(self, images: ImageSet, text: str) -> None:
        self.images, self.text = images, text
        self.numbers = places_holding(text, images.ids, images.labels)

    def page_of(self, image: Any) -> int | None:
        """The page that an image is on; None for one that is not among them."""
        if image not in self.images:
            return None
        number = self.images.number(image)
        at = bisect_left(self.numbers, number)
        return at // MOST if at < len(self.numbers) and self.numbers[at] == number else None

    @property
    def last(self) -> int:
        """The number of the last page, 0 also where there is nothing."""
        return max(0, len(self.numbers) - 1) // MOST

    def page(self, number: int) -> list[int]:
        """Places of the images on a page."""
        return list(self.numbers[MOST * number : MOST * (number + 1)])

    def caption(self, number: int) -> str:
        """What a page shows."""
        count, total = len(self.numbers), len(self.images)
        if not count:
            return f"No label or name of an image holds {self.text!r}." if total else ""
        which = f"{count:,} images" if count == total else f"{count:,} of {total:,} images"
        first, last = MOST * number + 1, min(MOST * (number + 1), count)
        return which if self.last == 0 else f"{first:,} to {last:,} of {count:,} images"


class Strip:
    """The row and the line; both follow the selection. A large collection is shown page by page; a text picks out some of it.

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
        self._lock = threading.RLock()
        self._found = Found(ImageSet.of(()), "")
        self._page: int | None = None  # None: that of the chosen image
        self._shown: tuple[Found, int] | None = None
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
        self.search = widgets.Text(
            placeholder="find an image or a label, then Enter",
            continuous_update=False,
            layout=widgets.Layout(width="270px"),
        )
        self.back, self.on = _button("‹", "The images before these"), _button("›", "The images after these")
        self.paging = widgets.HBox([self.search, self.back, self.on])
        line = widgets.HBox([self.unit, self.standing, self.uploading.view, self.paging])
        line.add_class("cnnviz-wrap")
        self.box = widgets.VBox([line, self.table])
        self._observe()
        self.show()

    def _observe(self) -> None:
        self.unit.observe(self._unit_typed, "value")
        self.search.observe(lambda change: self._to_page(0), "value")
        self.back.on_click(lambda button: self._turn(-1))
        self.on.on_click(lambda button: self._turn(1))
        self.table.on_msg(lambda _, content, buffers: self._picked(content))
        for handler, name in self._followed:
            self._selection.observe(handler, name)

    @property
    def _followed(self) -> tuple[tuple[Callable[[Any], None], str], ...]:
        """What is done when a trait of the selection changes."""
        return (
            (self._unit_changed, "network"),
            (self._unit_changed, "unit"),
            (self._images_changed, "images"),
            (self._image_changed, "image"),
        )

    def _unit_changed(self, change: Any) -> None:
        self.show()

    def _images_changed(self, change: Any) -> None:
        self.search.value = ""
        self._to_page(None)

    def _image_changed(self, change: Any) -> None:
        self._to_page(None)

    def show(self) -> None:
        """Stand where the selection is; returns at once."""
        self._latest.request(self._draw)

    def _to_page(self, page: int | None) -> None:
        """Show a page of what is found; None: the one with the chosen image."""
        with self._lock:
            self._page = page
        self.show()

    def _turn(self, by: int) -> None:
        with self._lock:
            found, page = self._standing()
            self._to_page(min(max(page + by, 0), found.last))

    def _draw(self) -> None:
        selection = self._selection
        network, unit = selection.network, selection.unit
        self._draw_images(selection.image)
        named = unit.layer == network.output and bool(network.labels)
        self.standing.value = f"{unit}: {network.label(unit.channel)}" if named else str(unit)
        options = tuple(network.labels) + tuple(network.layers)
        if tuple(self.unit.options) != options:
            self.unit.options = options

    def _draw_images(self, chosen: Any) -> None:
        found, page = self._standing()
        if self._shown != (found, page):
            self._show_page(found, page)
            self._shown = (found, page)
        at = self._ids.index(chosen) if isinstance(chosen, str) and chosen in self._ids else -1
        if self.table.selected != at:
            self.table.selected = at

    def _standing(self) -> tuple[Found, int]:
        """What is found by now, and the page of it to show."""
        images = self._selection.images
        text = self.search.value if len(images) > MOST else ""
        with self._lock:
            if self._found.images is not images or self._found.text != text:
                self._found = Found(images, text)
            found, shown = self._found, self._shown
            if self._page is None:
                at = found.page_of(self._selection.image)
                before = shown[1] if shown is not None and shown[0] is found else 0
                self._page = before if at is None else at
            self._page = min(self._page, found.last)
            return found, self._page

    def _show_page(self, found: Found, page: int) -> None:
        images, numbers = found.images, found.page(page)
        cells = [Cell(_thumbnail(images, number), (), _title(images, number)) for number in numbers]
        with self._lock:  # a click means what is shown
            self._ids = tuple(images.ids[number] for number in numbers)
            self.table.show(cells, side=SIDE, caption=found.caption(page))
        self.table.layout.display = "" if len(images) else "none"
        self.paging.layout.display = "" if len(images) > MOST else "none"
        for one, end in ((self.back, 0), (self.on, found.last)):
            one.disabled = page == end

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
        with self._lock:
            ids = self._ids
        if content.get("type") == "choose" and 0 <= at < len(ids):
            self._selection.image = ids[at]

    def wait(self, seconds: float) -> None:
        """Wait until what was asked for is shown."""
        self.uploading.wait(seconds)
        self._latest.wait(seconds)

    def close(self) -> None:
        """Follow the selection no more."""
        for handler, name in self._followed:
            self._selection.unobserve(handler, name)
        self.uploading.close()
        self._latest.close()


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))


def _title(images: ImageSet, number: int) -> str:
    id, label = images.ids[number], images.labels[number]
    return f"{id}: {label}" if label != id else id


def _thumbnail(images: ImageSet, number: int) -> bytes:
    try:
        return bytes(images.thumbnail_data(number, 2 * SIDE))
    except (OSError, ValueError):
        return b""  # told where the image is used

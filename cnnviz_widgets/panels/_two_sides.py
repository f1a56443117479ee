"""``TwoSides.show(sides)``: tiles, pictures or bars of two networks beside each other, with their difference below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnviz_widgets.engine.comparison import Answers, Sides
from cnnviz_widgets.views import BarChart, ImageGrid

from ._base import show_tiles
from ._enlarging import show_enlarged
from ._unit_controls import Guarded

_MOST_HIGH = 460


class TwoSides:
    """A column for each network, and a place below both for the difference.

    Parameters
    ----------
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    chosen
        Gets the side, 0 or 1, and the channel of the tile or bar that was clicked.
    """

    def __init__(self, user: Guarded, chosen: Callable[[int, int], None]) -> None:
        self._chosen = chosen
        self._orders: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * 3
        self.headings = [widgets.Label("") for _ in range(2)]
        self.focus = [ImageGrid(max_height=_MOST_HIGH) for _ in range(2)]
        self.grids = [ImageGrid(max_height=_MOST_HIGH) for _ in range(3)]
        self.bars = [BarChart() for _ in range(2)]
        for heading in self.headings:
            heading.add_class("cnnviz-section")
        for views in (self.grids, self.bars):
            for place, view in enumerate(views):
                view.observe(user(self._handler(place)), "selected")
        columns = [
            widgets.VBox([self.headings[place], self.focus[place], self.grids[place], self.bars[place]])
            for place in range(2)
        ]
        for column in columns:
            column.add_class("cnnviz-main")
        row = widgets.HBox(columns)
        row.add_class("cnnviz-row")
        self.box = widgets.VBox([row, self.grids[2]])

    def name(self, texts: Sequence[str]) -> None:
        """Write what stands above the columns."""
        for heading, text in zip(self.headings, texts, strict=True):
            heading.value = text

    def show(
        self,
        sides: Sides,
        captions: Sequence[str],
        channels: Sequence[int],
        *,
        tile_names: str = "channel",
        pictures: Sequence[tuple[Image.Image, str]] = (),
    ) -> None:
        """Show tiles.

        Parameters
        ----------
        captions
            Of the first, the second and the difference.
        channels
            The chosen one of the first and of the second; -1 for none.
        pictures
            Of each side, with its caption, above the tiles.
        """
        _hide(self.bars)
        self._enlarge(pictures)
        shown = [sides.first, sides.second, sides.difference]
        columns = _columns(sides)
        for place, (grid, tiles) in enumerate(zip(self.grids, shown, strict=True)):
            grid.layout.display = "none" if tiles is None else ""
            if tiles is None:
                self._orders[place] = np.zeros(0, np.int64)
                continue
            # a matrix is one tile: a click on it chooses nothing
            self._orders[place] = np.zeros(0, np.int64) if tiles.rows is not None else tiles.order
            show_tiles(
                grid,
                tiles,
                tile_names=tile_names,
                caption=captions[place],
                columns=0 if place == 2 and sides.first.block == 1 else columns,
                selected=self._place(place, channels[min(place, 1) if place < 2 else 0]),
            )

    def mark(self, channels: Sequence[int], pictures: Sequence[tuple[Image.Image, str]] = ()) -> None:
        """Choose other channels of what is shown."""
        self._enlarge(pictures)
        for place, view in enumerate([*self.grids, *self.bars]):
            side = place % 3
            at = self._place(side, channels[0 if side == 2 else side])
            if view.layout.display != "none" and view.selected != at:
                view.selected = at

    def show_bars(
        self, answers: Answers, channels: Sequence[int], captions: Sequence[str], *, percent: bool = False
    ) -> None:
        """Show named numbers, those of both sides on one axis."""
        _hide([*self.grids, *self.focus])
        numbers = [value for _, value in (*answers.first, *answers.second) if math.isfinite(value)]
        low, high = (0.0, 1.0) if percent else (min(0.0, *numbers, 0.0), max(0.0, *numbers, 0.0))
        for place, (view, lines) in enumerate(zip(self.bars, (answers.first, answers.second), strict=True)):
            self._orders[place] = np.array(answers.units[place], dtype=np.int64)
            view.layout.display = ""
            view.unit = "%" if percent else ""
            names, values = [name for name, _ in lines], [value for _, value in lines]
            at = self._place(place, channels[place])
            view.show(names, values, low=low, high=high, selected=at, caption=captions[place])

    def _enlarge(self, pictures: Sequence[tuple[Image.Image, str]]) -> None:
        if not pictures:
            _hide(self.focus)
        for grid, (picture, caption) in zip(self.focus, pictures, strict=False):
            grid.layout.display = ""
            show_enlarged(grid, picture, caption)

    def _place(self, side: int, channel: int) -> int:
        places = (self._orders[side] == channel).nonzero()[0]
        return int(places[0]) if len(places) else -1

    def _handler(self, place: int) -> Callable[[Any], None]:
        def clicked(change: Any) -> None:
            order = self._orders[place]
            if 0 <= change["new"] < len(order):
                self._chosen(1 if place == 1 else 0, int(order[change["new"]]))

        return clicked


def _hide(views: Sequence[Any]) -> None:
    for view in views:
        view.layout.display = "none"


def _columns(sides: Sides) -> int:
    """As many tiles in a row on both sides, so that what belongs together is at the same place; whole filters in a row."""
    tiles, block = sides.first, sides.first.block
    if block > 1:
        return block * max(1, 16 // block) if block <= 32 else 0
    widest = max(tiles.pixels.shape[2], sides.second.pixels.shape[2])
    most = 6 if widest >= 40 else 10 if widest >= 14 else 16
    return min(most, max(1, math.ceil(math.sqrt(len(tiles)))))

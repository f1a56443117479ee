"""``MadePart``: the images synthesized for a unit, from an atlas and made on demand; a part of a unit's card."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from cnnviz_widgets.engine.atlas import Atlas, Tile
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.unit_on_image import activation, tile_image, tiles_of
from cnnviz_widgets.views import Cell, PictureTable

from ._card_seen import section, sentence, show_only
from ._synthesis import Standing, Synthesis

SIDE = 150


class MadePart:
    """What an atlas holds of a unit, by all its recipes, and a button that climbs another image.

    Parameters
    ----------
    standing
        Gives the unit as it is chosen at this moment.
    told, failed
        See `Synthesis`.
    """

    def __init__(
        self, standing: Callable[[], Standing], told: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.table = PictureTable()
        self.told = sentence()
        self.synthesis = Synthesis(standing, told, failed)
        self.synthesis.button.on_click(lambda button: self.synthesis.press())
        self._measured: tuple[object, float | None] = (None, None)
        self.box = widgets.VBox([section("Synthesized for it"), self.table, self.told, self.synthesis.box])

    def show(self, network: Network, unit: Unit, atlas: Atlas | None, pool: str) -> None:
        """Show the images of a unit."""
        found, self.told.value = tiles_of(unit, atlas)
        self.table.show([_cell(name, tile) for name, tile in found], side=SIDE)
        show_only(self.table, bool(found))
        show_only(self.told, bool(self.told.value))
        self._measure(network, unit, found[0][1] if found else None, pool)
        self.synthesis.choose()

    def activation(self, unit: Unit) -> float | None:
        """That of the image that was made last, else of the atlas's first; measured as the collection is. None without one."""
        made = self.synthesis.made(unit)
        return self._measured[1] if made is None else made.activation

    def _measure(self, network: Network, unit: Unit, tile: Tile | None, pool: str) -> None:
        if tile is None:
            self._measured = (None, None)
            return
        key = (unit, tile.png, pool, network.stamp())
        if key != self._measured[0]:
            image = tile_image(network, tile)
            self._measured = (key, None if image is None else activation(network, unit, image, pool))

    def close(self) -> None:
        """End what runs."""
        self.synthesis.close()


def _cell(name: str, tile: Tile) -> Cell:
    state = f"score {tile.score:.4g}" if tile.finished else f"step {tile.step} of {tile.steps}"
    height, width = tile.size
    chance = "" if tile.probability is None else f", probability {tile.probability:.3f}"
    title = f"{tile.label} by {name}: {height} × {width} pixels, score {tile.score:.5g}{chance}; {tile.path}"
    return Cell(tile.png, (name, state), title)

"""``MapExport``: the map that is shown as a poster to be printed, and as a page that works without Python.

::

    MapPicture -> poster() -> Pillow image -> PNG;   page() -> the text of an HTML file
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index.building import THUMBNAIL
from cnnviz_widgets.engine.projections.poster import poster
from cnnviz_widgets.views import standalone

from ._export import File, Product
from ._map_coloring import Look
from ._map_making import Made, Mapped
from ._map_picture import SCALE, MapPicture

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

SIDE = 8000
ROOM = 96_000_000
"""Bytes of pictures in a page: thousands of images in 64 pixels, and large ones for the pointer."""


class MapExport:
    """What can be taken along of the map that is shown.

    Parameters
    ----------
    picture
        The map.
    title
        Gives the line above it.
    """

    def __init__(self, picture: MapPicture, title: Any) -> None:
        self._picture, self._title = picture, title
        told = f"A PNG of {SIDE:,} pixels: the map, or the grid where the slider is there"
        self.product = Product("Save poster", told, self._poster)

    def poster(self, side: int = SIDE) -> Image.Image:
        """The map, or the grid where the slider is nearer to it, with the images in their own colours.

        Parameters
        ----------
        side
            Pixels of the longer side.

        Raises
        ------
        ValueError
            No map yet, or a side that does not fit.
        """
        mapped, points, look, seams = self._standing()
        return poster(
            points,
            _pictures(mapped, side),
            side=side,
            labels=look.labels if look.values is None else (),
            colors=None if look.values is None else _colors(look.values),
            seams=seams,
            title=self._title(),
        )

    def figure(self) -> Figure:
        """The same as a Matplotlib figure.

        Raises
        ------
        ValueError
            No map yet.
        """
        from cnnviz_widgets import figures

        mapped, points, look, seams = self._standing()
        return figures.embedding(points, mapped.index, labels=look.labels, seams=seams, title=self._title())

    def _standing(self) -> tuple[Mapped, Any, Look, Any]:
        """What is shown: the images, the map or the grid, how they look, and the grid's seams where they are shown."""
        shown = self._picture.shown
        if shown is None:
            raise ValueError("there is no map yet: build the index, then save its map")
        mapped, made, look = shown
        if not isinstance(made, Made):
            return mapped, made, look, None
        if self._picture.view.morph < 0.5:
            return mapped, made.map, look, None
        torn = made.cells.seams(made.map.features) if self._picture.view.seams else None
        return mapped, made.cells, look, torn

    def page(self) -> str:
        """The map as the text of an HTML file: to pan, to zoom, to point at, to filter, from the map to the grid.

        Raises
        ------
        ValueError
            No map yet.
        """
        if self._picture.shown is None:
            raise ValueError("there is no map yet: build the index, then save its page")
        return standalone.page(self._picture.view, title=self._title(), most_bytes=ROOM)

    def _poster(self) -> File:
        file = io.BytesIO()
        self.poster().save(
            file, "PNG", compress_level=1
        )  # photographs hardly get smaller, and this takes a fifth of the time
        return File("map.png", file.getvalue(), "image/png")


def _pictures(mapped: Mapped, side: int) -> Any:
    """Row -> picture: the thumbnail, or where its place is larger than that the image itself, if it can still be opened."""
    index, whole = mapped.index, side / max(1.0, len(mapped.rows) ** 0.5) > THUMBNAIL

    def picture(row: int) -> Image.Image | bytes:
        id = index.ids[row]
        if whole:
            try:
                return index.images.openers[index.images.number(id)].open()
            except (ImageError, OSError):
                pass  # it was there when the index was built
        return index.thumbnail_data(id)

    return picture


def _colors(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(n, 3): the view's colours of values, grey where there is none."""
    known = np.isfinite(values)
    low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 0.0)
    share = np.where(known, (values - low) / ((high - low) or 1.0), 0)
    found = colormaps.table(SCALE)[np.clip(np.rint(255 * share), 0, 255).astype(np.int64)][:, :3]
    return np.where(known[:, None], found, 140).astype(np.uint8)

"""Hundreds to thousands of small images on one canvas, with their values under the pointer.

::

    uint8 (count, height, width[, 3]) + float32 (count, 2) -> ImageGrid.show(...) -> tiles; selected: index

The tiles travel as one binary buffer. Scalar tiles are coloured in the browser, so a tile costs one byte a pixel and
the value under the pointer can be told from the byte and the tile's range.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from cnnviz_widgets.views._base import View, joined


class ImageGrid(View):
    """Grid of equally large tiles; one can be selected by pointer or keys, from Python as well.

    Sends ``{"type": "open", "index": int}`` when a tile is opened by a double click or Enter.

    Attributes
    ----------
    pixels : bytes
        uint8 (count, height, width, depth), row-major.
    shape : list of int
        ``[count, height, width, depth]``; depth 1 is drawn through `colormap`, depth 3 is RGB.
    ranges : bytes
        float32 (count, 2): the value of byte 0 and of byte 255 in each tile.
    colormap : bytes
        uint8 (256, 3), or empty for grey.
    labels : list of str
        One per tile, or empty: then a tile is called by `tile_names` and its index.
    columns : int
        Tiles a row; 0 fits as many as the width holds.
    selected : int
        -1 for none.
    tile_size : int
        Longer edge of a tile in CSS pixels; 0 chooses by number and size, enlarging by whole factors.
    max_height : int
        Height in CSS pixels from which on the grid scrolls.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnviz_widgets.views import ImageGrid
    >>> grid = ImageGrid()
    >>> grid.show(np.zeros((2, 5, 5), np.uint8), np.array([[0, 1], [0, 2]]), tile_names="channel")
    >>> grid.shape
    [2, 5, 5, 1]
    """

    _esm = joined("_shared.js", "_tiles.js", "_tile_canvas.js", "image_grid.js")
    _css = joined("_shared.css", "image_grid.css")

    pixels = traitlets.Bytes().tag(sync=True, echo_update=False)
    shape = traitlets.List(traitlets.Int(min=0), [0, 0, 0, 1], minlen=4, maxlen=4).tag(sync=True)
    ranges = traitlets.Bytes().tag(sync=True, echo_update=False)
    colormap = traitlets.Bytes().tag(sync=True, echo_update=False)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    tile_names = traitlets.Unicode("tile").tag(sync=True)
    columns = traitlets.Int(0, min=0).tag(sync=True)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    caption = traitlets.Unicode().tag(sync=True)
    tile_size = traitlets.Int(0, min=0).tag(sync=True)
    max_height = traitlets.Int(560, min=80).tag(sync=True)

    def show(
        self,
        pixels: np.ndarray,
        ranges: np.ndarray,
        *,
        colormap: np.ndarray | None = None,
        labels: Sequence[str] = (),
        selected: int = -1,
        tile_names: str = "tile",
        caption: str = "",
        columns: int = 0,
    ) -> None:
        """Show other tiles, all at once: the browser never draws new pixels with an old shape.

        Parameters
        ----------
        pixels : ndarray
            uint8 (n, h, w), or (n, h, w, 3) for RGB; n may be 0.
        ranges : ndarray
            (n, 2), finite or not: the value of byte 0 and of byte 255 of each tile.
        colormap : ndarray, optional
            uint8 (256, 3) for tiles of depth 1; None is grey.
        labels : sequence of str
            None at all, or n of them.
        selected : int
            Index of the selected tile, -1 for none.

        Raises
        ------
        ValueError
            If a shape, a dtype, a length or the index does not fit.
        """
        pixels = _checked_pixels(pixels)
        count = len(pixels)
        ranges = np.asarray(ranges, dtype="<f4")
        if ranges.shape != (count, 2):
            raise ValueError(f"ranges has shape {ranges.shape}, expected ({count}, 2): low and high per tile")
        if labels and len(labels) != count:
            raise ValueError(f"{len(labels)} labels for {count} tiles; pass one per tile or none")
        if not -1 <= selected < max(count, 1):
            raise ValueError(f"selected is {selected}, expected -1 (none) to {count - 1}")
        self.assign(
            pixels=pixels.tobytes(),
            shape=list(pixels.shape),
            ranges=ranges.tobytes(),
            colormap=b"" if colormap is None else _checked_colormap(colormap).tobytes(),
            labels=[str(label) for label in labels],
            selected=selected if count else -1,
            tile_names=tile_names,
            caption=caption,
            columns=columns,
        )

    @traitlets.validate("shape")
    def _valid_shape(self, proposal: Any) -> list[int]:
        if proposal["value"][3] not in (1, 3):
            raise traitlets.TraitError(f"shape is {proposal['value']}, expected a depth (the last) of 1 or 3")
        return proposal["value"]

    @traitlets.validate("colormap")
    def _valid_colormap(self, proposal: Any) -> bytes:
        if len(proposal["value"]) not in (0, 768):
            raise traitlets.TraitError(f"colormap has {len(proposal['value'])} bytes, expected 768 (256 × 3) or 0")
        return proposal["value"]


def _checked_pixels(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels has dtype {pixels.dtype}, expected uint8; scale the values to 0..255 first")
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise ValueError(f"pixels has shape {pixels.shape}, expected (n, h, w) or (n, h, w, 3)")
    if len(pixels) and 0 in pixels.shape:
        raise ValueError(f"pixels has shape {pixels.shape}: its tiles have no pixel")
    return pixels


def _checked_colormap(colormap: np.ndarray) -> np.ndarray:
    colormap = np.asarray(colormap)
    if colormap.shape != (256, 3) or colormap.dtype != np.uint8:
        raise ValueError(f"colormap is {colormap.dtype} {colormap.shape}, expected uint8 (256, 3)")
    return colormap

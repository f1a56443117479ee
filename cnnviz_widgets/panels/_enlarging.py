"""``show_enlarged(grid, picture, caption)``: one picture, large enough for the back row."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cnnviz_widgets.views import ImageGrid

SIDE = 448
"""Pixels of the longer side below which a picture is enlarged."""


def show_enlarged(grid: ImageGrid, picture: Image.Image, caption: str) -> None:
    """Show a picture in a grid, by itself; photographs are enlarged smoothly, what is smaller keeps its pixels' edges."""
    factor = -(-SIDE // max(picture.size))
    if factor > 1:  # the view enlarges pixels by whole factors only; a photograph may be smooth
        smooth = Image.Resampling.LANCZOS if max(picture.size) >= 64 else Image.Resampling.NEAREST
        picture = picture.resize((picture.width * factor, picture.height * factor), smooth)
    pixels = np.asarray(picture.convert("RGB"))[None]
    grid.show(pixels, np.array([[0, 1]], dtype=np.float32), tile_names="image", caption=caption)

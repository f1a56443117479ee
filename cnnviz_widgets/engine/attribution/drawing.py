"""overlay(picture, map) -> PIL: an attribution over the photograph, which turns grey so that only the map has colours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.tiles import as_floats

SMALLEST = 224
"""Pixels of the shorter side below which the photograph is enlarged, so that a map on it can be seen."""


def overlay(
    picture: Any, map: Tensor | npt.NDArray[Any], *, colormap: str | None = None, opacity: float = 0.6
) -> Image.Image:
    """Lay a map of what matters over a photograph.

    With a sequential colour map zero is its darkest colour, the largest value its lightest, and all of the photograph is
    covered alike: what does not matter is dimmed. With a signed one zero is transparent, the largest value of either sign is
    opaque.

    Unlike `feature_maps.overlay` the photograph is shown in grey, and zero has its colour whatever the lowest value.

    Parameters
    ----------
    picture
        A path, a Pillow image or a uint8 array (H, W[, C]). One whose shorter side is below 224 pixels is enlarged by a whole
        factor, its pixels staying squares.
    map
        (h, w), enlarged bilinearly to the whole picture where it is of another size. NaN leaves the photograph as it is.
    colormap
        One of `colormaps.SEQUENTIAL` or `colormaps.SIGNED`; None: ``"RdBu_r"`` where a value is below zero, else ``"magma"``.
    opacity
        0 to 1.

    Returns
    -------
    PIL.Image.Image
        RGB, of the photograph's (enlarged) size.

    Raises
    ------
    ImageError, ValueError
        It is no picture, the map has another number of axes, or the opacity or colour map is none of these.

    Examples
    --------
    >>> laid = overlay(np.full((224, 224, 3), 100, np.uint8), np.eye(224, dtype=np.float32), opacity=0.5)
    >>> laid.getpixel((0, 1)), laid.getpixel((0, 0))
    ((50, 50, 52), (176, 176, 146))
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity={opacity}; expected 0 to 1")
    values = as_floats(map)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a map of the shape {values.shape} was given; expected (h, w)")
    if colormap is None:
        colormap = "RdBu_r" if bool((values < 0).any()) else "magma"
    signed = colormaps.is_signed(colormap)
    photo = open_image(picture).convert("L").convert("RGB")
    known = np.isfinite(values)
    levels = _enlarged(_levels(np.where(known, values, 0), signed), photo.size, Image.Resampling.BILINEAR)
    covered = _enlarged(known.astype(np.float32), photo.size, Image.Resampling.NEAREST)
    alpha = opacity * covered * (np.abs(2 * levels - 1) if signed else 1)
    color = colormaps.table(colormap)[np.rint(levels * 255).astype(np.uint8)]
    laid = np.asarray(photo) * (1 - alpha[..., None]) + color * alpha[..., None]
    drawn = Image.fromarray(np.rint(laid).astype(np.uint8))
    factor = math.ceil(SMALLEST / min(drawn.size))
    return drawn.resize((drawn.width * factor, drawn.height * factor), Image.Resampling.NEAREST)


def _levels(values: npt.NDArray[np.float32], signed: bool) -> npt.NDArray[np.float32]:
    """Places in the colour map, 0 to 1; zero is 0, or 0.5 if signed."""
    wide = values.astype(np.float64)
    most = float(np.abs(wide).max()) if signed else float(wide.max())
    shares = wide / most if most > 0 else np.zeros_like(wide)
    return ((shares + 1) / 2 if signed else shares.clip(0, 1)).astype(np.float32)


def _enlarged(
    values: npt.NDArray[np.float32], size: tuple[int, int], filter: Image.Resampling
) -> npt.NDArray[np.float64]:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size, filter) if picture.size != size else picture, dtype=np.float64).clip(0, 1)

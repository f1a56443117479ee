"""``thumbnail(value, side) -> bytes``: a small JPEG of a whole image, whatever it is made of.

::

    square(thumbnail(value, 128)) -> uint8 (16, 16, 3)       its middle, where images are seen by the thousand
"""

from __future__ import annotations

import io
import operator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from . import display
from .images import ImageError, open_image

_QUALITY = 85
"""About 6 kB for 128 pixels, so that ten thousand take 60 MB."""
SQUARE = 16
"""Pixels along a side of a square: 768 bytes."""


def thumbnail(value: Any, side: int) -> bytes:
    """The JPEG of an image scaled down, its proportions kept, to fit into a square of ``side`` pixels; never enlarged.

    Parameters
    ----------
    value
        What an `Opener` opens: a Pillow image, a uint8 array or a tensor in [0, 1].

    Raises
    ------
    ImageError
        An array or tensor that is no image.
    """
    if operator.index(side) < 1:
        raise ValueError(f"side={side!r}; expected a number of pixels")
    small = as_picture(value)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, subsampling=0)  # halved colours would be seen in so few pixels
    return file.getvalue()


def square(data: bytes, side: int = SQUARE) -> npt.NDArray[np.uint8]:
    """The middle of a thumbnail, as the smallest cells of a map of images show it.

    Parameters
    ----------
    data
        A JPEG.

    Returns
    -------
    ndarray
        uint8 (side, side, 3).

    Examples
    --------
    >>> square(thumbnail(Image.new("RGB", (40, 20), "white"), 32)).shape
    (16, 16, 3)
    """
    picture = Image.open(io.BytesIO(data))
    # decoded at an eighth, a quarter or a half of its size where that will do; the factor leaves something to smooth
    picture.draft("RGB", (2 * side, 2 * side))
    width, height = picture.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    smooth = Image.Resampling.BOX if edge >= 2 * side else Image.Resampling.BILINEAR
    middle = picture.convert("RGB").resize((side, side), smooth, box=(left, top, left + edge, top + edge))
    return np.asarray(middle)


def as_picture(value: Any) -> Image.Image:
    """A Pillow picture in mode ``"L"`` or ``"RGB"`` of its own, of what an `Opener` opens. Of more than three channels the first
    three are shown, of two their mean."""
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim == 3
        and value.shape[2] not in (1, 3, 4)
    ):
        value = torch.from_numpy(value.copy()).permute(2, 0, 1).float() / 255
    if not isinstance(value, Tensor):
        return open_image(value)
    values = (value[None] if value.dim() == 2 else value).detach()
    if values.dim() != 3 or not values.numel() or not values.is_floating_point():
        raise ImageError(
            f"a tensor of {value.dtype} and the shape {tuple(value.shape)} was given; expected floats (C, H, W) in [0, 1]"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageError(
            f"a tensor with values from {low:.3g} to {high:.3g} was given; expected [0, 1], not normalised"
        )
    return display.picture(display.pixels(values.float()[None])[0])

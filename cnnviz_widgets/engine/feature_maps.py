"""tiles(maps (C, H, W)) -> Tiles: where a layer's channels respond to one image, and how strongly.

A map is drawn on the scale of its own channel, which shows where it responds, or of the whole layer, which
shows which channels respond at all. `overlay` lays one map onto the image that caused it; `top` is for dense
layers, which have one number for each unit and no map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from . import colormaps
from .tiles import Choice, Tiles, as_floats, from_values, pick

SMALLEST_OVERLAY = 224
"""Pixels of the shorter side below which `overlay` enlarges the photograph, so that a map on it can be seen."""


def tiles(
    maps: torch.Tensor | npt.NDArray[Any],
    *,
    scale: Literal["channel", "layer"] = "channel",
    order: Literal["stored", "strength"] = "stored",
    strength: Literal["mean", "max"] = "mean",
    channels: Choice | None = None,
    limits: npt.NDArray[Any] | Sequence[float] | None = None,
    colormap: str = "viridis",
) -> Tiles:
    """Draw the channels of one layer for one image, a tile each.

    Parameters
    ----------
    maps : tensor or ndarray, shape (C, H, W)
        Activations of one image: `net.activations(image, [layer])[layer][0]`.
    scale : {"channel", "layer"}
        Whether each channel spans the whole range of bytes or all share one scale, that of all C channels also
        if only some are drawn.
    order : {"stored", "strength"}
        Order of the channels: as in the network, or strongest first.
    strength : {"mean", "max"}
        What `order="strength"` compares, see `strengths`.
    channels : slice, int or sequence of int, optional
        Which channels to draw; all by default. They are sorted by `order` all the same.
    limits : sequence of 2 floats, optional
        Value of byte 0 and of byte 255, in place of `scale`, for instance to compare images.
    colormap : str
        One of `colormaps.SEQUENTIAL`, for a scale from the lowest value to the highest, or of
        `colormaps.SIGNED`, for a scale symmetric about zero, which suits values before the nonlinearity.

    Returns
    -------
    Tiles
        Named "channel 12"; `order` holds each tile's channel. A channel that is the same everywhere is byte 0
        (a signed colour map shows zeros in its middle); infinite values and NaN are counted in `nonfinite`.

    Raises
    ------
    ValueError
        If the maps are not three-dimensional, or a choice does not fit them.

    Examples
    --------
    >>> found = tiles(torch.rand(16, 6, 6), order="strength", channels=slice(8))
    >>> found.pixels.shape, len(found.names)
    ((8, 6, 6), 8)
    """
    floats = _maps(maps)
    if scale not in ("channel", "layer"):
        raise ValueError(f"scale must be 'channel' or 'layer', not {scale!r}")
    signed = colormaps.is_signed(colormap)
    chosen = _ordered(floats, order, strength, channels)
    if limits is None:
        spans = colormaps.limits_of(floats, "each" if scale == "channel" else "all", signed)[chosen]
    else:
        spans = np.asarray(limits, dtype=np.float32)
        if spans.shape != (2,):
            raise ValueError(f"limits are two numbers, the values of byte 0 and of byte 255, not {limits!r}")
    return from_values(
        floats[chosen],
        signed=signed,
        limits=spans,
        colormap=colormap,
        names=[f"channel {i}" for i in chosen],
        order=chosen,
    )


def strengths(
    maps: torch.Tensor | npt.NDArray[Any], strength: Literal["mean", "max"] = "mean"
) -> npt.NDArray[np.float32]:
    """How strongly each channel responds, one number a channel.

    Parameters
    ----------
    maps : tensor or ndarray, shape (C, H, W)
        Activations of one image.
    strength : {"mean", "max"}
        "mean" over the map favours what fills the image (textures, the background); "max" favours what is
        found at one place. `net[layer][channel]` means the mean.

    Returns
    -------
    ndarray of float32, shape (C,)
        NaN where the map holds a NaN.

    Examples
    --------
    >>> strengths(torch.tensor([[[0.0, 4.0]], [[3.0, 3.0]]])).tolist()
    [2.0, 3.0]
    """
    floats = _maps(maps)
    if strength == "mean":
        # inf - inf is NaN, which is the right answer, not an error
        with np.errstate(invalid="ignore"):
            return floats.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    if strength == "max":
        return floats.max(axis=(1, 2))
    raise ValueError(f"strength must be 'mean' or 'max', not {strength!r}")


def overlay(
    photo: Image.Image | npt.NDArray[np.uint8],
    map: torch.Tensor | npt.NDArray[Any],
    *,
    opacity: float = 0.6,
    colormap: str = "viridis",
) -> Image.Image:
    """Lay one feature map over the photograph that caused it.

    The map is enlarged bilinearly to the whole photograph, so the photograph must be the crop that the network
    saw. A place is the more opaque the stronger the response: the lowest value of the map is transparent, the
    highest has the full `opacity`. With a signed colour map zero is transparent and the largest value of either
    sign opaque.

    Parameters
    ----------
    photo : PIL.Image.Image or ndarray of uint8, shape (H, W, 3), (H, W, 1) or (H, W)
        The crop. One whose shorter side is below 224 pixels, such as a digit of 8 x 8, is enlarged by a whole
        factor, its pixels staying squares.
    map : tensor or ndarray, shape (h, w)
        One channel's activations. Infinite values and NaN are drawn as no response.
    opacity : float
        Of the strongest response, 0 to 1.
    colormap : str
        One of `colormaps.SEQUENTIAL` or `colormaps.SIGNED`.

    Returns
    -------
    PIL.Image.Image
        RGB, of the photograph's (enlarged) size. A map that is the same everywhere has no strongest place and
        leaves the photograph as it is; with a signed colour map only zeros do.

    Raises
    ------
    ValueError
        If a shape, a type or the opacity is none of the above.

    Examples
    --------
    >>> overlay(np.zeros((8, 8), dtype=np.uint8), torch.eye(4)).size
    (224, 224)
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be 0 to 1, not {opacity}")
    base = _photo(photo)
    signed = colormaps.is_signed(colormap)
    level = Image.fromarray(_levels(map, signed))
    # Pillow's bilinear filter keeps each cell's edges on the edges of the pixels that it covers
    smooth = np.asarray(level.resize(base.size, Image.Resampling.BILINEAR), dtype=np.float64).clip(0, 1)
    color = colormaps.table(colormap)[np.rint(smooth * 255).astype(np.uint8)]
    alpha = (opacity * (np.abs(2 * smooth - 1) if signed else smooth))[..., None]
    return Image.fromarray(np.rint(np.asarray(base) * (1 - alpha) + color * alpha).astype(np.uint8))


def top(
    values: torch.Tensor | npt.NDArray[Any], labels: Sequence[str] | None = None, k: int = 5
) -> list[tuple[str, float, int]]:
    """Strongest units of a dense layer.

    Parameters
    ----------
    values : tensor or ndarray, shape (C,)
        One number for each unit, for one image: logits, probabilities or hidden activations.
    labels : sequence of str, optional
        A name for each unit; "unit 0", "unit 1", ... if there are none, as in hidden layers.
    k : int
        How many; all if there are fewer.

    Returns
    -------
    list of (label, value, index)
        Strongest first; of equal ones the one stored first, NaN last.

    Raises
    ------
    ValueError
        If the values have more than one dimension, the labels don't match them, or k is below 1.

    Examples
    --------
    >>> top(torch.tensor([0.25, 0.5, 0.25]), ["cat", "dog", "owl"], k=2)
    [('dog', 0.5, 1), ('cat', 0.25, 0)]
    """
    floats = as_floats(values)
    if floats.ndim != 1:
        raise ValueError(
            f"the values of a dense layer have shape (C,), these have {floats.shape}; "
            "values[0] takes the first image's, and tiles(maps) draws maps (C, H, W)"
        )
    if labels is not None and len(labels) != len(floats):
        raise ValueError(f"{len(floats)} values need as many labels, not {len(labels)}")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    first = np.argsort(-floats, kind="stable")[:k]
    return [(f"unit {i}" if labels is None else labels[i], float(floats[i]), int(i)) for i in first]


def _maps(maps: torch.Tensor | npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    shape = tuple(maps.shape)
    if len(shape) == 3 and 0 not in shape:
        return as_floats(maps)
    mend = {1: "top(values) lists those of a dense layer", 4: "maps[0] takes the first image's"}
    hint = mend.get(len(shape), "net.activations(image, [layer])[layer][0] gives them")
    raise ValueError(f"the maps of one image have shape (C, H, W), these have {shape}; {hint}")


def _ordered(
    maps: npt.NDArray[np.float32], order: str, strength: Literal["mean", "max"], channels: Choice | None
) -> npt.NDArray[np.int64]:
    if order not in ("stored", "strength"):
        raise ValueError(f"order must be 'stored' or 'strength', not {order!r}")
    chosen = pick(channels, len(maps), "channel")
    strong = strengths(maps, strength)
    # a strength that is NaN sorts last
    return chosen if order == "stored" else chosen[np.argsort(-strong[chosen], kind="stable")]


def _levels(map: torch.Tensor | npt.NDArray[Any], signed: bool) -> npt.NDArray[np.float32]:
    """Map as places in the colour map, 0 to 1; no response is 0, or 0.5 if signed."""
    floats = as_floats(map)
    if floats.ndim != 2 or floats.size == 0:
        raise ValueError(f"a map has shape (h, w), this one has {floats.shape}; maps[channel] takes one of them")
    low, high = colormaps.limits_of(floats[None], signed=signed)[0].astype(np.float64)
    nothing = 0.0 if signed else low
    if high == low:
        return np.full(floats.shape, 0.5 if signed else 0.0, dtype=np.float32)
    finite = np.where(np.isfinite(floats), floats, nothing).astype(np.float64)
    return ((finite - low) / (high - low)).astype(np.float32)


def _photo(photo: Image.Image | npt.NDArray[np.uint8]) -> Image.Image:
    """The photograph in RGB, enlarged by a whole factor if it is small."""
    if not isinstance(photo, Image.Image):
        array = np.asarray(photo)
        if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))):
            raise ValueError(
                f"a photograph is a PIL image or uint8 (H, W, 3), not {array.dtype} {array.shape}; "
                "(255 * image).byte().permute(1, 2, 0).numpy() makes one of floats (3, H, W) in [0, 1]"
            )
        photo = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    base = photo.convert("RGB")
    factor = math.ceil(SMALLEST_OVERLAY / min(base.size))
    if factor == 1:
        return base
    return base.resize((base.width * factor, base.height * factor), Image.Resampling.NEAREST)

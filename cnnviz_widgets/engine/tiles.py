"""from_values: floats (n, h, w[, 3]) -> Tiles: bytes of that shape, and which values they stand for.

Kernels and feature maps are floats on scales of their own; screens take bytes. Tiles keep, for each tile, the
value of byte 0 and the value of byte 255, so that a viewer can tell the value under the pointer without the
floats, and one buffer of bytes is all that travels to it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageColor

from . import colormaps

Choice = slice | int | Sequence[int] | npt.NDArray[np.int64]
"""Which filters, inputs or channels: as an index chooses from a list, or several of them."""

BACKGROUND = "#333333"
"""Between tiles: neither a colour map's end nor the grey or white of zero."""


@dataclass(frozen=True, eq=False, repr=False)
class Tiles:
    """Small pictures of one size, as bytes with the values they stand for.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n, h, w) or (n, h, w, 3)
        Scalars to be drawn through `colormap`, or red, green and blue.
    ranges : ndarray of float32, shape (n, 2)
        For each tile the value of byte 0 and of byte 255: value = low + byte / 255 * (high - low).
    names : tuple of str
        What each tile is: "filter 3", "filter 3, input 7", "channel 12".
    order : ndarray of int64, shape (n,)
        Stored index of each tile: the filter, or the channel. Several tiles of one filter repeat its index.
    colormap : str or None
        Name of the colour map for scalar tiles; None is grey. RGB tiles have none.
    nonfinite : ndarray of int64, shape (n,)
        How many values of each tile were infinite or not a number. Those are drawn, with byte 255 for +inf
        and byte 0 for -inf and NaN, but `ranges` says nothing about them.
    inputs : ndarray of int64, shape (n,), or None
        Input channel that each tile's weights read, where a tile shows one input channel of a filter.
    rows : ndarray of int64, shape (h,), or None
        Stored index of each pixel row, and `columns` of each pixel column, where the tile is a matrix.
    columns : ndarray of int64, shape (w,), or None
        See `rows`.
    block : int
        So many consecutive tiles belong together (the input channels of a filter); a picture keeps them in
        one row.
    note : str
        What a reader must know to read the picture right: tiles left out, an order that is only approximate.

    Raises
    ------
    ValueError
        If the arrays don't fit together.
    """

    pixels: npt.NDArray[np.uint8]
    ranges: npt.NDArray[np.float32]
    names: tuple[str, ...]
    order: npt.NDArray[np.int64]
    colormap: str | None
    nonfinite: npt.NDArray[np.int64]
    inputs: npt.NDArray[np.int64] | None = field(default=None, kw_only=True)
    rows: npt.NDArray[np.int64] | None = field(default=None, kw_only=True)
    columns: npt.NDArray[np.int64] | None = field(default=None, kw_only=True)
    block: int = field(default=1, kw_only=True)
    note: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
            raise ValueError(f"tiles are uint8 (n, h, w) or (n, h, w, 3), not {self.pixels.dtype} {shape}")
        if self.colormap is not None:
            colormaps.check(self.colormap)
        n = shape[0]
        found = (self.ranges.shape, len(self.names), self.order.shape, self.nonfinite.shape)
        if found != ((n, 2), n, (n,), (n,)):
            raise ValueError(
                f"{n} tiles need ranges ({n}, 2), {n} names, order ({n},) and nonfinite ({n},); got {found}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[1:3]
        colors = "RGB" if self.pixels.ndim == 4 else self.colormap or "gray"
        note = f", note={self.note!r}" if self.note else ""
        return f"Tiles({len(self)} of {height} x {width}, {colors}{note})"

    def values(self) -> npt.NDArray[np.float32]:
        """Values that the bytes stand for, within 1/510 of each tile's range; shape of `pixels`."""
        shape = (-1,) + (1,) * (self.pixels.ndim - 1)
        low, high = (self.ranges[:, i].astype(np.float64).reshape(shape) for i in (0, 1))
        return (low + self.pixels / 255 * (high - low)).astype(np.float32)

    def colored(self) -> npt.NDArray[np.uint8]:
        """Tiles as red, green and blue: uint8 (n, h, w, 3)."""
        if self.pixels.ndim == 4:
            return self.pixels
        return colormaps.table(self.colormap or "gray")[self.pixels]

    def default_columns(self) -> int:
        """How many tiles a row of the picture holds if nothing else is asked for.

        The picture comes out nearly square, with a full last row where a slightly wider picture has one, and
        the tiles of a block stay in one row unless there is only one block.
        """
        n, height, width = self.pixels.shape[:3]
        block = self.block if n > self.block else 1
        ideal = math.sqrt(n * height / width)
        fewest = max(1, math.ceil(ideal / block))
        blocks = math.ceil(n / block)
        full = (count for count in range(fewest, int(fewest * 1.5) + 1) if blocks % count == 0)
        return min(next(full, fewest), blocks or 1) * block

    def picture(
        self,
        columns: int | None = None,
        gap: int = 1,
        enlarge: int = 1,
        background: str | tuple[int, int, int] = BACKGROUND,
    ) -> Image.Image:
        """Draw all tiles as one image grid, row by row.

        Parameters
        ----------
        columns : int, optional
            Tiles in a row; None makes a nearly square picture, see `default_columns`.
        gap : int
            Pixels between tiles and around them.
        enlarge : int
            Each value becomes a square of so many pixels; kernels of 3 x 3 need 8 or more to be seen.
        background : str or tuple of int
            Colour of the gaps, as Pillow names colours or as (red, green, blue).

        Returns
        -------
        PIL.Image.Image
            RGB; rows * (h * enlarge + gap) + gap pixels high, and likewise wide.

        Raises
        ------
        ValueError
            If there are no tiles, or a number is out of its range.
        """
        if not len(self):
            raise ValueError("there are no tiles to draw")
        columns = self.default_columns() if columns is None else columns
        for name, given, least in (("columns", columns, 1), ("gap", gap, 0), ("enlarge", enlarge, 1)):
            if given < least:
                raise ValueError(f"{name} must be at least {least}, not {given}")
        color = ImageColor.getrgb(background)[:3] if isinstance(background, str) else background
        return Image.fromarray(_grid(self.colored(), columns, gap, enlarge, color))

    def save(self, path: str | Path, **drawing: Any) -> None:
        """Write `picture(**drawing)` to a file; the name's ending says the format. PNG keeps every pixel."""
        self.picture(**drawing).save(path)

    def _repr_png_(self) -> bytes | None:
        """Picture for the notebook, enlarged to about 640 pixels."""
        if not len(self):
            return None
        columns = self.default_columns()
        rows = math.ceil(len(self) / columns)
        height, width = self.pixels.shape[1:3]
        enlarge = max(1, 640 // max(columns * width, rows * height))
        buffer = io.BytesIO()
        self.picture(columns, gap=1 if enlarge < 4 else 2, enlarge=enlarge).save(buffer, "PNG")
        return buffer.getvalue()


def from_values(
    values: torch.Tensor | npt.NDArray[Any],
    scale: Literal["each", "all"] = "each",
    signed: bool = False,
    *,
    limits: npt.NDArray[Any] | None = None,
    colormap: str | None = None,
    names: Sequence[str] | None = None,
    order: npt.NDArray[np.int64] | None = None,
    **more: Any,
) -> Tiles:
    """Map floats to bytes, tile by tile.

    Parameters
    ----------
    values : tensor or ndarray, shape (n, h, w) or (n, h, w, 3)
        Any real type on any device; also one that requires a gradient. It is read as float32, and not
        changed.
    scale : {"each", "all"}
        Whether each tile spans the whole range of bytes, which shows its structure, or all tiles share one
        scale, so that they can be compared.
    signed : bool
        True puts zero at the middle of the bytes (127.5, stored as 128) and gives both signs the same scale;
        False stretches from the lowest to the highest value.
    limits : array-like, shape (2,) or (n, 2), optional
        Value of byte 0 and of byte 255, in place of `scale`; what lies outside is cut off. For a scale that
        must stay the same from one picture to the next.
    colormap : str, optional
        For `Tiles.colormap`. It colours only; `signed` is not inferred from it.
    names, order : optional
        For `Tiles`; "tile 0", "tile 1", ... and 0, 1, ... if not given.
    **more
        Further fields of `Tiles`: inputs, block, note, ...

    Returns
    -------
    Tiles
        A tile whose values are all alike is byte 0, and its range has no width; with `signed` that happens to
        zeros only, and they are in the middle. Infinite values and NaN don't count for the scale; `nonfinite`
        counts them.

    Raises
    ------
    ValueError
        If the shape or the scale is none of the above.
    TypeError
        If the values are not real numbers.

    Examples
    --------
    >>> tiles = from_values(np.array([[[-1.0, 0.0, 3.0]]]), signed=True)
    >>> tiles.pixels.tolist(), tiles.ranges.tolist()
    ([[[85, 128, 255]]], [[-3.0, 3.0]])
    """
    floats = as_floats(values)
    if floats.ndim not in (3, 4) or (floats.ndim == 4 and floats.shape[3] != 3) or 0 in floats.shape[1:]:
        raise ValueError(f"values have shape {floats.shape}; tiles are made of (n, h, w), or (n, h, w, 3) for colours")
    n = len(floats)
    chosen = colormaps.limits_of(floats, scale, signed) if limits is None else _check_limits(limits, n)
    return Tiles(
        pixels=colormaps.to_bytes(floats, chosen, signed),
        ranges=chosen,
        names=tuple(f"tile {i}" for i in range(n)) if names is None else tuple(names),
        order=np.arange(n) if order is None else order,
        colormap=colormap,
        nonfinite=np.count_nonzero(~np.isfinite(floats.reshape(n, math.prod(floats.shape[1:]))), axis=1),
        **more,
    )


def as_floats(values: torch.Tensor | npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Read real numbers of any type, device and layout as a float32 array.

    The array may share the tensor's memory: it is for reading only. float64 beyond float32's range becomes
    infinite.

    Raises
    ------
    TypeError
        If the values are complex or no numbers.
    """
    if isinstance(values, torch.Tensor):
        if values.is_complex():
            raise TypeError("values are complex; give values.abs() or values.real")
        plain = values.detach()
        return (plain.dequantize() if plain.is_quantized else plain).to(torch.float32).numpy(force=True)
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"values are {array.dtype}; real numbers are expected")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def pick(choice: Choice | None, size: int, what: str) -> npt.NDArray[np.int64]:
    """Indices 0 <= i < size that a choice stands for; negative ones count from the end."""
    if choice is None or isinstance(choice, slice):
        return np.arange(size)[choice or slice(None)]
    given = np.atleast_1d(np.asarray(choice))
    if given.size == 0:
        return given.astype(np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise TypeError(f"a choice of {what}s is a slice or a sequence of integers, not {choice!r}")
    wrong = given[(given < -size) | (given >= size)]
    if len(wrong):
        raise ValueError(f"no {what} {wrong[0]}; there are {size}, 0 to {size - 1}")
    return given.astype(np.int64) % size


def _check_limits(limits: npt.NDArray[Any], n: int) -> npt.NDArray[np.float32]:
    given = np.asarray(limits, dtype=np.float32)
    if given.shape not in ((2,), (n, 2)):
        raise ValueError(f"limits have shape (2,) or ({n}, 2), these have {given.shape}")
    if not np.isfinite(given).all() or (given[..., 0] > given[..., 1]).any():
        raise ValueError("limits are the values of byte 0 and of byte 255: finite, the lower one first")
    return np.ascontiguousarray(np.broadcast_to(given, (n, 2)))


def _grid(
    tiles: npt.NDArray[np.uint8], columns: int, gap: int, enlarge: int, color: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    n, height, width, _ = tiles.shape
    rows, h, w = math.ceil(n / columns), height * enlarge, width * enlarge
    cells = np.full((rows * columns, h + gap, w + gap, 3), color, dtype=np.uint8)
    cells[:n, :h, :w] = tiles.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    sheet = cells.reshape(rows, columns, h + gap, w + gap, 3).swapaxes(1, 2)
    framed = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), color, dtype=np.uint8)
    framed[gap:, gap:] = sheet.reshape(rows * (h + gap), columns * (w + gap), 3)
    return framed

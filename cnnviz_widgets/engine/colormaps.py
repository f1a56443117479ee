"""to_bytes(values, limits) -> bytes, table(name) -> the colour of each byte: uint8 (256, 3).

A viewer gets bytes, limits and a table, and can colour the bytes anew without the values. Two families are
offered. A sequential map runs from weak to strong with evenly growing lightness. A signed map has a neutral
middle and one hue for each sign; it belongs to values that are scaled symmetrically about zero. Rainbow maps
are left out, because their bands show edges that the values don't have.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SEQUENTIAL: tuple[str, ...] = ("viridis", "magma", "cividis", "gray")
SIGNED: tuple[str, ...] = ("RdBu_r", "PuOr_r")


def check(name: str) -> str:
    """Give back a colour map's name if it is offered.

    Raises
    ------
    ValueError
        If the name is none of `SEQUENTIAL` and `SIGNED`.
    """
    if name not in SEQUENTIAL + SIGNED:
        raise ValueError(
            f"no colour map {name!r}; sequential ones are {', '.join(SEQUENTIAL)}, "
            f"signed ones (zero in the middle) are {', '.join(SIGNED)}"
        )
    return name


def is_signed(name: str) -> bool:
    """Whether the middle of a colour map stands for zero, so that values need a symmetric scale."""
    return check(name) in SIGNED


def table(name: str) -> npt.NDArray[np.uint8]:
    """Colours of the bytes 0 to 255 in a named colour map, taken from Matplotlib.

    Parameters
    ----------
    name : str
        One of `SEQUENTIAL` ("viridis" is the default elsewhere) or `SIGNED` ("RdBu_r": negative blue,
        positive red).

    Returns
    -------
    ndarray of uint8, shape (256, 3)
        Red, green and blue, 0 to 255.

    Raises
    ------
    ValueError
        If the name is not offered.

    Examples
    --------
    >>> table("gray")[[0, 128, 255]].tolist()
    [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    check(name)
    # not pyplot: it would pick a backend and keep global state
    import matplotlib

    rgba: npt.NDArray[Any] = matplotlib.colormaps[name](np.arange(256))
    # its own bytes=True cuts off, and "gray" would not give back each byte
    return np.rint(255 * rgba[:, :3]).astype(np.uint8)


def limits_of(
    values: npt.NDArray[np.float32], scale: Literal["each", "all"] = "each", signed: bool = False
) -> npt.NDArray[np.float32]:
    """Value of byte 0 and of byte 255 for each of n groups of values: float32 (n, 2) from (n, ...).

    Only finite values count; a group without any gets (0, 0). `scale` and `signed` as in `tiles.from_values`.
    """
    if scale not in ("each", "all"):
        raise ValueError(f"scale must be 'each' or 'all', not {scale!r}")
    n = len(values)
    flat = values.reshape(n, -1) if values.size else np.zeros((n, 1), np.float32)
    finite = np.isfinite(flat)
    low = np.where(finite, flat, np.inf).min(axis=1)
    high = np.where(finite, flat, -np.inf).max(axis=1)
    if scale == "all" and n:
        low, high = np.full(n, low.min()), np.full(n, high.max())
    empty = low > high
    low, high = np.where(empty, 0, low), np.where(empty, 0, high)
    if signed:
        high = np.maximum(np.abs(low), np.abs(high))
        low = 0 - high
    return np.stack([low, high], axis=1).astype(np.float32)


def to_bytes(values: npt.NDArray[np.float32], limits: npt.NDArray[np.float32], signed: bool) -> npt.NDArray[np.uint8]:
    """Nearest byte of each value (n, ...) between its group's limits (n, 2).

    What lies outside is cut off; NaN is byte 0. Where both limits are equal, that value is byte 0, or the
    middle with `signed`.
    """
    # float64: high - low of two large float32 would overflow, and a small range on a large offset would
    # lose bits
    low, high = (limits[:, i].astype(np.float64).reshape((-1,) + (1,) * (values.ndim - 1)) for i in (0, 1))
    span = high - low
    start = np.where((span == 0) & signed, 127.5, 0)
    # without a range, what differs from the one value at all is cut off at byte 0 or 255: so steep, yet
    # finite
    slope = np.where(span > 0, 255 / np.where(span > 0, span, 1), 1e200)
    ordered = np.where(np.isnan(values), -np.inf, values).astype(np.float64)
    return np.rint(((ordered - low) * slope + start).clip(0, 255)).astype(np.uint8)

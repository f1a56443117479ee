"""What is given to a map, checked and made ready to travel.

::

    checked_points(points, name) -> float32 (n, 2)        coded(labels) -> names, int32 codes
    checked_atlas(thumbnails, places) -> Atlas or None    packed_palette(colors, names) -> bytes
    checked_seams(seams, count) -> bytes
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cnnviz_widgets.views.atlas import ThumbnailAtlas, hilbert_order

Color = Sequence[int]


class Atlas(Protocol):
    """What the map needs of a `ThumbnailAtlas`; another one may keep its pages on disk."""

    order: np.ndarray
    sides: tuple[int, ...]

    def page(self, level: int, number: int) -> bytes | None:
        """A page; None where `ImageMap.send_page` will be called for it later."""


def checked_points(points: np.ndarray, name: str, count: int | None = None) -> np.ndarray:
    with np.errstate(over="ignore"):  # too far for float32 is infinite, and left out
        places = np.asarray(points, dtype="<f4")
    if not places.size and places.ndim < 2:
        places = places.reshape(0, 2)
    wanted = "n" if count is None else count
    if places.ndim != 2 or places.shape[1] != 2 or count not in (None, len(places)):
        raise ValueError(f"{name} has shape {np.shape(points)}, expected ({wanted}, 2): x and y of each image")
    return places


def checked_values(values: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    numbers = np.asarray(values, dtype="<f4")
    if numbers.shape != (count,):
        raise ValueError(f"values has shape {numbers.shape}, expected ({count},): one per point")
    return numbers


def checked_seams(seams: np.ndarray | None, count: int) -> bytes:
    if seams is None:
        return b""
    pairs = np.asarray(seams, dtype=np.float64)
    if not pairs.size and pairs.ndim < 2:
        pairs = pairs.reshape(0, 3)
    if pairs.ndim != 2 or pairs.shape[1] != 3:
        raise ValueError(f"seams has shape {np.shape(seams)}, expected (m, 3): two indices and a strength of each pair")
    ends, strength = pairs[:, :2], np.nan_to_num(pairs[:, 2], nan=0.0)
    if not (np.isfinite(ends).all() and (ends == np.floor(ends)).all() and ((ends >= 0) & (ends < count)).all()):
        raise ValueError(f"seams has an index that is none; expected whole numbers from 0 to {count - 1}")
    if ((strength < 0) | (strength > 1)).any():
        raise ValueError(f"seams has strengths from {strength.min():.3g} to {strength.max():.3g}, expected 0 to 1")
    return np.column_stack([ends, strength]).astype("<f4").tobytes()


def checked_atlas(thumbnails: Any, places: np.ndarray) -> Atlas | None:
    if thumbnails is None:
        return None
    if not hasattr(thumbnails, "page"):
        if not callable(thumbnails) and len(thumbnails) != len(places):
            raise ValueError(f"{len(thumbnails)} thumbnails for {len(places)} points; pass one per point")
        return ThumbnailAtlas(thumbnails, hilbert_order(places))
    if len(thumbnails.order) != len(places):
        raise ValueError(f"thumbnails has an order of {len(thumbnails.order)} for {len(places)} points")
    return thumbnails


def thumbnail_of(atlas: Atlas) -> Callable[[int], bytes | None] | None:
    read = getattr(atlas, "thumbnail_data", None)
    return read if callable(read) else None


def coded(labels: Sequence[str | None]) -> tuple[list[str], bytes]:
    """The different labels, the most frequent first, and each image's as an index; nothing and None are no label."""
    texts = ["" if label is None else str(label) for label in labels]
    known, inverse, counts = np.unique(np.asarray(texts, dtype=object), return_inverse=True, return_counts=True)
    ranked = sorted((i for i in range(len(known)) if known[i]), key=lambda i: (-counts[i], known[i]))
    codes = np.full(len(known), -1, "<i4")
    codes[ranked] = np.arange(len(ranked))
    return [known[i] for i in ranked], codes[inverse].tobytes() if texts else b""


def packed_choice(indices: Iterable[int], count: int) -> bytes:
    wanted = np.unique(np.fromiter(indices, dtype=np.int64))
    if wanted.size and (wanted[0] < 0 or wanted[-1] >= count):
        raise ValueError(f"indices from {wanted[0]} to {wanted[-1]}, expected 0 to {count - 1}")
    return wanted.astype("<i4").tobytes()


def packed_palette(colors: Mapping[str, Color] | np.ndarray | None, names: list[str] | None) -> bytes:
    if colors is None or (names is not None and not names):
        return b""
    if isinstance(colors, Mapping):
        if names is None:
            raise ValueError("colors is a mapping; values need uint8 (256, 3), from the lowest to the highest")
        if missing := [name for name in names if name not in colors]:
            raise ValueError(f"colors has none for {missing[0]!r}; pass one per label")
        table, wanted = np.asarray([colors[name] for name in names]), (len(names), 3)
    else:
        table, wanted = np.asarray(colors), (256, 3) if names is None else (len(names), 3)
    if table.shape != wanted or not ((table >= 0) & (table <= 255)).all():
        raise ValueError(f"colors has shape {table.shape}, expected {wanted}: red, green and blue, 0 to 255")
    return table.astype(np.uint8).tobytes()

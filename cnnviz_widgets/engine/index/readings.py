"""``statistics(unit, row) -> Statistics``, ``levels(row, shares) -> ...``: what a unit's row of the table says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Unit

from .matches import Statistics

COUNTED = ("counts", "ranks", "exponent", "first", "seen", "fired", "dropped", "mean", "squares", "low", "high")
"""The columns that are read."""


def statistics(unit: Unit, row: Mapping[str, npt.NDArray[Any]]) -> Statistics:
    """How a unit's activations are spread."""
    seen, counts = int(row["seen"]), row["counts"].astype(np.int64)
    filled = counts.nonzero()[0]
    start, stop = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
    nothing = float("nan")
    return Statistics(
        unit=unit,
        images=seen,
        mean=float(row["mean"]) if seen else nothing,
        deviation=float(np.sqrt(row["squares"] / seen)) if seen else nothing,
        fires=float(row["fired"] / seen) if seen else nothing,
        lowest=float(row["low"]) if seen else nothing,
        highest=float(row["high"]) if seen else nothing,
        dropped=int(row["dropped"]),
        edges=_edges(row, np.arange(start, stop + 1)),
        counts=counts[start:stop],
    )


def levels(row: Mapping[str, npt.NDArray[Any]], shares: Sequence[float]) -> Iterator[tuple[float, float, float, int]]:
    """(share, low, high, rank of an image) for each share of images that is not to be outdone; nothing where none is counted."""
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}; expected 0 for the weakest to 1 for the strongest")
    below = np.cumsum(row["counts"])
    total = int(below[-1])
    for share in shares if total else ():
        found = int(np.searchsorted(below, max(1, round(share * total))))
        low, high = _edges(row, np.array([found, found + 1]))
        yield share, float(low), float(high), int(row["ranks"][found])


def _edges(row: Mapping[str, npt.NDArray[Any]], bins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.ldexp((row["first"] + bins).astype(np.float64), int(row["exponent"]))

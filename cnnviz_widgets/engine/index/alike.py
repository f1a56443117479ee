"""``folded(matches, features, least) -> matches``: one match in place of several that show nearly the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .matches import Match


def folded(matches: Sequence[Match], features: Mapping[str, npt.NDArray[np.float32]], least: float) -> list[Match]:
    """The matches, without those whose image is like that of an earlier one.

    Parameters
    ----------
    features
        By image id.
    least
        The cosine of two images' features from which on they count as alike.

    Examples
    --------
    >>> three = [Match(id, 1.0, (), (0, 0, 8, 8), "exact") for id in "abc"]
    >>> kept = folded(three, {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0]), "c": np.array([2.0, 0.1])}, 0.98)
    >>> [(match.id, match.folded) for match in kept]
    [('a', ('c',)), ('b', ())]
    """
    kept: list[Match] = []
    for match in matches:
        like = next(
            (i for i, other in enumerate(kept) if _cosine(features[match.id], features[other.id]) >= least), None
        )
        if like is None:
            kept.append(match)
        else:
            kept[like] = replace(kept[like], folded=(*kept[like].folded, match.id))
    return kept


def _cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else float(np.array_equal(one, other))

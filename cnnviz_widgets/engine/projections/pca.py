"""``PCA``: the two directions in which the features spread most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Positions, Projection
from .preparing import Floats


@dataclass(frozen=True)
class PCA(Projection):
    """Principal component analysis: a shadow of the features, the one that is largest.

    Linear, so distances that look large are large; but most of what tells images apart lies in other directions, and groups may
    cover each other. At once, also for many images.

    Examples
    --------
    >>> PCA().fit([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]).points.round(2).tolist()
    [[0.0, 0.5], [0.5, 0.5], [1.0, 0.5]]
    """

    places_by: ClassVar[str] = "the same two directions"

    @property
    def components(self) -> int:
        return 2

    def unfolding(self, values: Floats) -> Iterator[Positions]:
        yield _two_columns(values)

    def place(self, new: Floats, values: Floats, positions: Positions) -> Positions:
        return _two_columns(new)


def _two_columns(values: Floats) -> Positions:
    """(n, 2): the first two columns, zeros where there are fewer."""
    found = np.zeros((len(values), 2))
    found[:, : values.shape[1]] = values[:, :2]
    return found

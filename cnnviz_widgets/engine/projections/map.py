"""``Map``: where images lie in the plane, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.store import key_of

from .preparing import Floats, Preparation, checked
from .quality import Quality, measured

if TYPE_CHECKING:
    from .base import Projection


@dataclass(frozen=True, eq=False)
class Map:
    """Positions of images; made by `Projection.fit`, read by `open`.

    Attributes
    ----------
    points
        (n, 2) float32 in the unit square: the longer side of the map fills it, the shorter one lies in its middle, so that
        distances are true. x to the right, y downwards, though a map may be mirrored and turned at will.
    projection
        As it was given.
    recipe
        All that the points depend on: projection, digest of the features, versions, threads. `key` is its digest.
    made_by
        Whose code found the points.
    told
        Remarks, such as a knob that was lowered for want of images.
    done, total
        Steps; a map that was stopped on its way is fit for use, and says so by `finished`.
    """

    points: Floats
    projection: Projection
    recipe: Mapping[str, Any] = field(repr=False)
    made_by: str
    told: tuple[str, ...]
    done: int
    total: int
    features: Floats = field(repr=False)
    preparation: Preparation = field(repr=False)
    values: Floats = field(repr=False)
    positions: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(
        cls,
        positions: npt.NDArray[Any],
        projection: Projection,
        recipe: Mapping[str, Any],
        features: Floats,
        preparation: Preparation,
        values: Floats,
        *,
        told: tuple[str, ...] = (),
        done: int = 0,
        total: int = 0,
    ) -> Map:
        """The map of positions as a projection gives them, (n, 2) in units of its own."""
        kept = np.array(positions, np.float64)
        if kept.shape != (len(features), 2):
            raise ValueError(f"{projection} gave positions of the shape {kept.shape}; expected ({len(features)}, 2)")
        points = to_unit_square(kept, kept).astype(np.float32)
        made_by = projection.made_by
        return cls(points, projection, recipe, made_by, told, done, total, features, preparation, values, kept)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def key(self) -> str:
        """A digest of `recipe`: maps of the same key are the same, bit for bit."""
        return key_of(dict(self.recipe))

    @property
    def finished(self) -> bool:
        """Whether it was not stopped on its way."""
        return self.done >= self.total

    @property
    def places_by(self) -> str:
        """How `transform` finds the place of a new image."""
        return self.projection.places_by

    def transform(self, features: Any) -> Floats:
        """Where new images lie on the map as it is: (m, C) -> (m, 2), each on its own, whatever else is asked for.

        In the coordinates of `points`; what is unlike all fitted images may lie outside of the unit square.

        Raises
        ------
        ValueError
            Another number of columns, or values that are not finite.
        """
        new = checked(features, self.features.shape[1])
        if not len(new):
            return np.zeros((0, 2), np.float32)
        placed = self.projection.place(self.preparation(new), self.values, self.positions)
        return to_unit_square(placed, self.positions).astype(np.float32)

    def quality(self, k: int = 10, *, per_point: bool = False, sample: int = 2000) -> Quality:
        """How true the map is to the features, as they were given, by the projection's metric.

        Parameters
        ----------
        k
            How many neighbours are compared; at most a little less than half of the images.
        per_point
            Measure every image, and tell each one's share.
        sample
            How many images are measured else, drawn evenly; their neighbours are looked for among all.
        """
        return measured(self.features, self.points, k, self.projection.metric, None if per_point else sample)

    def save(self, path: str | Path) -> Path:
        """Keep it in a folder of its own below ``path``, whose name is from the key; returns that folder.

        Maps of other features or knobs lie beside it; an earlier one of the same key is replaced.

        Raises
        ------
        StoreError
            It can't be written there.
        """
        from .keeping import save

        return save(self, path)

    @classmethod
    def open(cls, path: str | Path, features: Any, projection: Projection | None = None) -> Map:
        """The map of these features that `save` kept below ``path``, with all that it could do, `transform` included.

        One that was made by other versions or with another number of threads is opened, and tells it: made anew, it would look
        different.

        Parameters
        ----------
        projection
            Which one, where several are kept.

        Raises
        ------
        StoreError
            There is none, or only of other features or by another projection; several, of which none was chosen; a damaged one.
        """
        from .keeping import opened

        return opened(path, checked(features), projection)


def to_unit_square(positions: npt.NDArray[np.float64], frame: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Positions moved and scaled so that ``frame`` fills the unit square, without a change of its proportions.

    Examples
    --------
    >>> line = np.array([[10.0, 3.0], [30.0, 3.0]])
    >>> to_unit_square(line, line).tolist()
    [[0.0, 0.5], [1.0, 0.5]]
    """
    if not len(frame):
        return positions
    low, high = frame.min(0), frame.max(0)
    extent = float((high - low).max())
    moved = (positions - low / 2 - high / 2) / (extent if extent > 0 else 1.0) + 0.5
    return np.clip(moved, 0, 1) if positions is frame else moved

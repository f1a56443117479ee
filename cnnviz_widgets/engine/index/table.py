"""``Table(units, k)``: what many images did to each unit, in a size that does not grow with the images.

    table(images A + images B) = table(images A) + table(images B)

Tables of disjoint images add up to the table of all, whatever the portions and the order: the k largest activations under a
total order (value, then image, then position) and the counts exactly, mean and deviation but for rounding. A table knows which
shards it covers, so that one that is already in it adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .spectrum import FIELDS, Spectra

NOTHING = torch.iinfo(torch.int64).min
"""The key of an empty place."""
_IMAGES = 0xFFFFFFFF


def keys_of(values: Tensor, numbers: Tensor) -> Tensor:
    """Values (float32) and image numbers as int64 that are ordered as they are to be: larger values first, then smaller numbers.

    NaN is given `NOTHING`.
    """
    bits = (values.float() + 0.0).view(torch.int32)  # there is one zero then
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    return torch.where(values.isnan(), NOTHING, (ordered << 32) | (_IMAGES - numbers.long()))


def read_keys(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values float32, image numbers int64) of keys; NaN and -1 for empty places."""
    empty = keys == NOTHING
    ordered = (keys >> 32).astype(np.int32)
    values = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(np.float32)
    return np.where(empty, np.float32(np.nan), values), np.where(empty, -1, _IMAGES - (keys & _IMAGES))


class OverlapError(ValueError):
    """Two tables have some of their images in common and others not, so their counts can't be added."""


@dataclass(eq=False)
class Table:
    """What the images of some shards did to units.

    Attributes
    ----------
    keys
        (U, k) int64, descending; see `keys_of`.
    positions
        (U, k) int32: where on the unit's map, counted row by row; -1 in a layer without positions.
    spectra
        How often which level is reached.
    seen, fired, dropped
        (U,) int64: images with a value, with one above zero, and with one left out since it is not finite.
    mean, squares
        (U,) float64: the mean of the values, and the sum of squares of their distances from it.
    shards
        Numbers of the shards that are in it.
    images
        How many images are in it.
    """

    keys: Tensor
    positions: Tensor
    spectra: Spectra
    seen: Tensor
    fired: Tensor
    dropped: Tensor
    mean: Tensor
    squares: Tensor
    shards: frozenset[int] = field(default_factory=frozenset)
    images: int = 0

    @classmethod
    def empty(cls, units: int, k: int) -> Table:
        """Of no images."""
        return cls(
            torch.full((units, k), NOTHING),
            torch.full((units, k), -1, dtype=torch.int32),
            Spectra.empty(units),
            seen=torch.zeros(units, dtype=torch.int64),
            fired=torch.zeros(units, dtype=torch.int64),
            dropped=torch.zeros(units, dtype=torch.int64),
            mean=torch.zeros(units, dtype=torch.float64),
            squares=torch.zeros(units, dtype=torch.float64),
        )

    @property
    def k(self) -> int:
        """How many of the largest activations are kept."""
        return self.keys.shape[1]

    def count(self, values: Tensor, dropped: Tensor, ranks: Tensor) -> None:
        """Take values (U, B) into spectrum and statistics, NaN for none; the largest ones go to `enter`."""
        missing = values.isnan()
        if missing.any():
            numbers = values.double().masked_fill_(missing, 0.0)
            seen = (~missing).sum(1)
        else:
            numbers, seen = values.double(), torch.full((len(values),), values.shape[1])
        mean = numbers.sum(1) / seen.clamp(min=1)
        squares = numbers.sub_(mean[:, None]).square_().masked_fill_(missing, 0.0).sum(1)
        self._add_moments(seen, mean, squares)
        self.fired += (values > 0).sum(1)
        self.dropped += dropped
        self.spectra.add(values, ranks)
        self.images += values.shape[1]

    def _add_moments(self, seen: Tensor, mean: Tensor, squares: Tensor) -> None:
        """Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1979), eq. 2.1."""
        total = (self.seen + seen).clamp(min=1)
        apart = mean - self.mean
        self.squares += squares + apart.square() * self.seen * seen / total
        self.mean += apart * seen / total
        self.seen += seen

    def enter(self, rows: Tensor, keys: Tensor, positions: Tensor) -> None:
        """Let other keys (n, m), of images that are not in it yet, compete with those of the units ``rows`` (n,)."""
        both = torch.cat([self.keys[rows], keys], 1)
        where = torch.cat([self.positions[rows], positions], 1)
        best = both.topk(self.k, dim=1)
        self.keys[rows], self.positions[rows] = best.values, where.gather(1, best.indices)

    def merge(self, other: Table) -> None:
        """Take another table's images in; those of a table whose shards are all here already are here already.

        Raises
        ------
        OverlapError
            The tables have some of their shards in common, but each has others.
        """
        if other.shards <= self.shards and other.shards:
            return
        if self.shards & other.shards:
            if not self.shards <= other.shards:
                raise OverlapError(
                    f"shards {sorted(self.shards & other.shards)} are in both tables, others in one of them; merge tables of "
                    "single shards, or of disjoint ones"
                )
            self.__dict__.update(Table.of(other.arrays(), other.shards, other.images).__dict__)
            return
        self.enter(torch.arange(len(self.keys)), other.keys, other.positions)
        self._add_moments(other.seen, other.mean, other.squares)
        self.fired += other.fired
        self.dropped += other.dropped
        self.spectra.merge(other.spectra)
        self.shards |= other.shards
        self.images += other.images

    def copy(self) -> Table:
        """One that changes without this one."""
        return Table.of(self.arrays(), self.shards, self.images)

    def __reduce__(self) -> tuple[Any, ...]:  # numpy's arrays travel by value, torch's tensors perhaps as open files
        return Table.of, (self.arrays(), self.shards, self.images)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array, one row a unit; what `of` takes."""
        return {**{name: getattr(self, name).numpy() for name in _OWN}, **self.spectra.arrays()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], shards: Iterable[int], images: int) -> Table:
        """The table whose `arrays` these are; they are copied."""
        own = {name: torch.from_numpy(np.array(arrays[name])) for name in _OWN}
        return cls(spectra=Spectra.of(arrays), shards=frozenset(shards), images=images, **own)


_OWN = ("keys", "positions", "seen", "fired", "dropped", "mean", "squares")
COLUMNS = (*_OWN, *FIELDS)
"""The names of a table's arrays."""

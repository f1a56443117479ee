"""``Spectra(units)``: how often each unit reaches which level, in at most `BINS` bins, with an image for each.

The bins of a unit are multiples of a power of two, the smallest one for which `BINS` bins reach from its lowest to its highest
value. So the bins follow from the lowest and the highest value alone, coarser bins are made of whole finer ones, and counts
stay whole numbers: whatever the order and the portions in which values come, the outcome is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BINS = 64
"""At least half of them lie between the lowest and the highest value, unless the values are too few bits apart."""
NOBODY = torch.iinfo(torch.int32).max
"""The rank of no image."""
_DIGITS = 24
"""Bits of a float32's mantissa: finer bins would tell nothing."""
_LOWEST = -149


@dataclass(eq=False)
class Spectra:
    """Counts of values per unit and level; see the module for the bins.

    Attributes
    ----------
    low, high
        (U,) float32: lowest and highest value; inf and -inf for a unit without any.
    exponent, first
        (U,): a bin is ``2 ** exponent`` wide, and bin 0 begins at ``first * 2 ** exponent``.
    counts
        (U, `BINS`) int32.
    ranks
        (U, `BINS`) int32: of the images in a bin the smallest rank, `NOBODY` in an empty one.
    """

    low: Tensor
    high: Tensor
    exponent: Tensor
    first: Tensor
    counts: Tensor
    ranks: Tensor

    @classmethod
    def empty(cls, units: int) -> Spectra:
        """Of no values."""
        return cls(
            torch.full((units,), torch.inf),
            torch.full((units,), -torch.inf),
            torch.full((units,), _LOWEST, dtype=torch.int32),
            torch.zeros(units, dtype=torch.int64),
            torch.zeros((units, BINS), dtype=torch.int32),
            torch.full((units, BINS), NOBODY, dtype=torch.int32),
        )

    def add(self, values: Tensor, ranks: Tensor) -> None:
        """Take in values (U, B), NaN for none, of images with these ranks (B,)."""
        if not values.shape[1]:
            return
        missing = values.isnan()
        some = bool(missing.any())
        self._reach(
            (values.masked_fill(missing, torch.inf) if some else values).amin(1),
            (values.masked_fill(missing, -torch.inf) if some else values).amax(1),
        )
        scale = torch.ldexp(torch.ones_like(self.first, dtype=torch.float64), -self.exponent)[:, None]
        places = (values.masked_fill(missing, 0.0) if some else values).double().mul_(scale).floor_()
        columns = places.sub_(self.first[:, None].double()).long()
        counted, everyone = torch.ones_like(values, dtype=torch.int32), ranks.int().expand(values.shape)
        if some:
            columns.masked_fill_(missing, 0)
            counted, everyone = counted.masked_fill_(missing, 0), everyone.masked_fill(missing, NOBODY)
        self.counts.scatter_add_(1, columns, counted)
        self.ranks.scatter_reduce_(1, columns, everyone, "amin")

    def merge(self, other: Spectra) -> None:
        """Take in what another has counted."""
        self._reach(other.low, other.high)
        same = (other.exponent == self.exponent) & (other.first == self.first)
        counts, ranks = other.counts, other.ranks
        moved = (~same & (other.low <= other.high)).nonzero().flatten()
        if len(moved):
            counts, ranks = counts.clone(), ranks.clone()
            to = (self.exponent[moved], self.first[moved])
            counts[moved], ranks[moved] = _moved(
                counts[moved], ranks[moved], (other.exponent[moved], other.first[moved]), to
            )
        self.counts += counts
        self.ranks = torch.minimum(self.ranks, ranks)

    def _reach(self, low: Tensor, high: Tensor) -> None:
        """Let the bins reach from ``low`` to ``high`` too."""
        filled = self.low <= self.high
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        exponent, first = bins(self.low, self.high)
        moved = (filled & ((exponent != self.exponent) | (first != self.first))).nonzero().flatten()
        if len(moved):
            to = (exponent[moved], first[moved])
            self.counts[moved], self.ranks[moved] = _moved(
                self.counts[moved], self.ranks[moved], (self.exponent[moved], self.first[moved]), to
            )
        self.exponent, self.first = exponent, first

    def arrays(self) -> dict[str, np.ndarray]:
        """What `of` takes."""
        return {name: getattr(self, name).numpy() for name in FIELDS}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Spectra:
        """The one whose `arrays` these are; they are copied."""
        return cls(*(torch.from_numpy(np.array(arrays[name])) for name in FIELDS))


FIELDS = ("low", "high", "exponent", "first", "counts", "ranks")


def bins(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """(exponent int32, first int64) of the bins from ``low`` to ``high``, both (U,); those of nothing where low > high."""
    none = ~(low <= high)
    low, high = (torch.where(none, 0.0, end).double() for end in (low, high))
    size = torch.maximum(low.abs(), high.abs())
    exponent = torch.maximum(_magnitude(size) - _DIGITS, _magnitude(high - low) - (BINS.bit_length() - 1) - 1)
    exponent = exponent.clamp_(min=_LOWEST)
    for _ in range(4):
        first, last = (torch.ldexp(end, -exponent).floor() for end in (low, high))
        wide = last - first >= BINS
        if not wide.any():
            break
        exponent = exponent + wide.int()
    return torch.where(none, _LOWEST, exponent).int(), torch.where(none, 0, first).long()


def _magnitude(values: Tensor) -> Tensor:
    """The exponent of a float: ``2 ** (e - 1) <= x < 2 ** e``; that of nothing for zero."""
    return torch.where(values > 0, torch.frexp(values).exponent, _LOWEST).int()


def _moved(
    counts: Tensor, ranks: Tensor, old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Counts and ranks (n, `BINS`) in coarser or shifted bins; empty bins may fall outside, and are dropped."""
    columns = old[1][:, None] + torch.arange(BINS)
    columns = (columns >> (new[0] - old[0])[:, None].long()) - new[1][:, None]
    columns.clamp_(0, BINS - 1)
    moved = torch.zeros_like(counts).scatter_add_(1, columns, counts)
    smallest = torch.full_like(ranks, NOBODY).scatter_reduce_(1, columns, ranks, "amin")
    return moved, smallest

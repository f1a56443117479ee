"""``reduced(maps, pool) -> Reduced``: a layer's maps as one number each, and where on the map it stands, for those asked about.

That goes over all that a network computes, so memory is read once, in the order in which it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reduced:
    """Maps (B, C, ...) as values.

    Attributes
    ----------
    values
        (B, C) float32: of what is finite in a map the largest, or the mean; NaN where nothing is.
    faulty
        (B, C): where the value would not be finite without leaving something out; None: nowhere.
    """

    values: Tensor
    faulty: Tensor | None
    _maps: Tensor
    _columns: Tensor | None

    def positions(self, images: Tensor, channels: Tensor) -> Tensor:
        """(n,) int64: the first place of the largest value in some maps, counted row by row; -1 where maps have no places."""
        if self._maps.dim() == 2:
            return torch.full_like(images, -1)
        if self._columns is None:
            return self._searched(images, channels)
        columns = self._columns[images, :, channels]
        hits = columns == columns.amax(1, keepdim=True)
        column = hits.byte().argmax(1)
        row = self._maps.permute(0, 2, 3, 1)[images, :, column, channels].argmax(1)
        found = row * self._maps.shape[3] + column
        tied = (hits.sum(1) > 1).nonzero().flatten()  # then a later column may have it in an earlier row
        found[tied] = self._searched(images[tied], channels[tied])
        return found

    def _searched(self, images: Tensor, channels: Tensor) -> Tensor:
        found = self._maps[images, channels].flatten(1)
        if self.faulty is not None:  # argmax takes NaN for the largest
            found = found.nan_to_num(-torch.inf, torch.inf, -torch.inf)
        return found.argmax(1)


def reduced(maps: Tensor, pool: str) -> Reduced:
    """Reduce maps (B, C, ...); in a dense layer's (B, C) the values are what is given."""
    values, columns = _values(maps, pool)
    values = values.float()
    finite = values.isfinite()
    if finite.all():
        return Reduced(values, None, maps, columns)
    maps = torch.where(maps.float().isfinite(), maps, torch.nan)
    if maps.dim() == 2:
        values = maps.float()
    elif pool == "mean":
        values = maps.flatten(2).nanmean(2).float()
    else:
        values = maps.nan_to_num(-torch.inf, torch.inf, -torch.inf).flatten(2).amax(2).float()
    # there may be nothing finite at all, and a sum may be too large
    return Reduced(torch.where(values.isfinite(), values, torch.nan), ~finite, maps, None)


def _values(maps: Tensor, pool: str) -> tuple[Tensor, Tensor | None]:
    """The largest or mean values (B, C), and on the way to the largest the largest of each column (B, W, C), perhaps."""
    if maps.dim() == 2:
        return maps, None
    axes = tuple(range(2, maps.dim()))
    if pool == "mean":
        return maps.mean(axes), None
    if maps.dim() == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last):
        # One axis after the other: both at once take up to fifteen times as long where channels lie next to each other. And a
        # position is then found in a row and a column, instead of being looked for in all of a map.
        columns = maps.permute(0, 2, 3, 1).amax(1)
        return columns.amax(1), columns
    return maps.amax(axes), None

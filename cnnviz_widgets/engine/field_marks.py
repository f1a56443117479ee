"""``Marks``: the rows and columns of the input that each element of a tensor depends on, and how they are joined.

Eight numbers for each element tell an interval of rows, one of columns, and by which way it came about. All of them join by
the maximum, so a sum of tensors, a mean along an axis and the windows of a convolution are one and the same thing here: which
old elements a new one is made of. Only how the windows lie differs, and a table of them is all that `windowed` asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Marks:
    """What each element of a tensor depends on.

    ``parts`` are eight tensors of the tensor's own shape, and all are joined by the maximum, which is why first rows and
    columns are kept negative. They are mostly expanded, an axis along which nothing changes having stride 0, so a map costs
    no more than its border. ``mixer`` names the operation that took in every position.
    """

    parts: tuple[Tensor, ...]
    mixer: str = ""
    unknown: str = ""

    def each(self, change: Callable[[Tensor], Tensor]) -> Marks:
        return replace(self, parts=tuple(change(part) for part in self.parts))

    @property
    def shape(self) -> torch.Size:
        return self.parts[0].shape


# row and column count positions on the map at hand, to tell an axis of positions from one of channels
TOP, BOTTOM, LEFT, RIGHT, CUT, WHOLE, ROW, COLUMN = range(8)
_NOTHING = (-math.inf, -math.inf, -math.inf, -math.inf, 0.0, 0.0, -math.inf, -math.inf)


def nothing(shape: Sequence[int]) -> Marks:
    return Marks(tuple(torch.tensor(value).expand(shape) for value in _NOTHING))


def boxes_of(marks: Marks) -> tuple[Tensor, Tensor, Tensor]:
    """(boxes (..., 4), cut, whole); an empty box where nothing is seen."""
    top, bottom, left, right = (marks.parts[part] for part in (TOP, BOTTOM, LEFT, RIGHT))
    boxes = torch.stack([-top, -left, bottom, right], -1)
    boxes = torch.where(boxes.isfinite().all(-1, keepdim=True), boxes, torch.zeros(()))
    return boxes.long(), marks.parts[CUT] > 0, marks.parts[WHOLE] > 0


def tight(part: Tensor) -> Tensor:
    """Without the copies along axes where nothing changes."""
    return part[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in part.stride())]


def joined(several: Sequence[Marks], shape: Sequence[int]) -> Marks:
    """What elements depend on that are made of several tensors' elements, broadcast to ``shape``."""
    parts = []
    for together in zip(*(marks.parts for marks in several), strict=True):
        part = tight(together[0])
        for other in together[1:]:
            part = torch.maximum(part, tight(other))
        parts.append(part.expand(shape))
    return Marks(tuple(parts), next((marks.mixer for marks in several if marks.mixer), ""))


def _varies(at: Tensor, axes: Sequence[int]) -> Tensor:
    """Whether positions differ along some axes, which are kept with size 1; padding counts as none."""
    low = at.masked_fill(at < 0, math.inf).amin(tuple(axes), keepdim=True)
    return at.amax(tuple(axes), keepdim=True) > low


def gathered(marks: Marks, axes: Sequence[int], name: str) -> Marks:
    """One element for all along ``axes``, which are kept with size 1."""
    if not axes:
        return marks
    shape = [1 if axis in axes else size for axis, size in enumerate(marks.shape)]
    parts = [tight(part).amax(tuple(axes), keepdim=True) for part in marks.parts]
    mixer = marks.mixer
    for at, low, high in ((ROW, TOP, BOTTOM), (COLUMN, LEFT, RIGHT)):
        moving = _varies(tight(marks.parts[at]), axes)
        all_of_it = (parts[low] == parts[low].max()) & (parts[high] == parts[high].max())
        if bool((whole := moving & all_of_it).any()):
            parts[WHOLE] = torch.maximum(parts[WHOLE], whole.float())
            mixer = mixer or name
    return Marks(tuple(part.expand(shape) for part in parts), mixer)


# in a table of windows: beyond the border, where padding stands; and no tap at all
_PADDED, _ABSENT = -1, -2


def windowed(marks: Marks, axis: int, table: Tensor, name: str, pools: bool = False) -> Marks:
    """Windows along an axis: ``table`` (out, k) tells for each new position which old ones it is made of."""
    count = marks.shape[axis]
    shape = [*marks.shape[:axis], len(table), *marks.shape[axis + 1 :]]
    carried = [bool(_varies(tight(marks.parts[at]), [axis]).any()) for at in (ROW, COLUMN)]
    # the axes of maps hold positions also where there is only one
    spatial = any(carried) or (marks.parts[0].dim() == 4 and axis >= 2)
    borders = bool((table < 0).any())
    parts = []
    for number, part in enumerate(marks.parts):
        small = tight(part)
        if small.shape[axis] < count and borders and not any(carried):
            small = small.expand([count if at == axis else size for at, size in enumerate(small.shape)])
        if small.shape[axis] == count:
            taps = small.index_select(axis, table.clamp(min=0).flatten()).unflatten(axis, table.shape)
            missing = (table < 0).view([*table.shape, *[1] * (small.dim() - axis - 1)])
            small = taps.masked_fill(missing, _NOTHING[number]).amax(axis + 1)
        parts.append(small)
    along = [len(table) if at == axis else 1 for at in range(len(shape))]
    if spatial:
        parts[CUT] = torch.maximum(parts[CUT], (table == _PADDED).any(1).float().view(along))
    mixer = marks.mixer
    if pools and any(carried):
        complete = torch.tensor([len(set(row) - {_PADDED, _ABSENT}) == count for row in table.tolist()])
        if bool(complete.any()):
            parts[WHOLE] = torch.maximum(parts[WHOLE], complete.float().view(along))
            mixer = mixer or name
    for at, carries in zip((ROW, COLUMN), carried, strict=True):
        if carries:
            parts[at] = torch.arange(len(table)).float().view(along)
    return Marks(tuple(part.expand(shape) for part in parts), mixer)


def taps(count: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    at = torch.arange(out)[:, None] * stride - padding + torch.arange(kernel) * dilation
    return at.masked_fill((at < 0) | (at >= count), _PADDED)


def transposed_taps(count: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    from_start = torch.arange(out)[:, None] + padding - torch.arange(kernel) * dilation
    at = from_start.div(stride, rounding_mode="floor")
    at = at.masked_fill((at < 0) | (at >= count), _PADDED)
    return at.masked_fill(from_start % stride != 0, _ABSENT)


def adaptive_taps(count: int, out: int) -> Tensor:
    spans = [range(at * count // out, -(-(at + 1) * count // out)) for at in range(out)]
    longest = max(len(span) for span in spans)
    return torch.tensor([[*span, *[_ABSENT] * (longest - len(span))] for span in spans])


def probed_taps(run: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """The windows of a function along one axis, (n, 1, n) -> (n, 1, out), found by where NaN arrives."""
    eye = torch.zeros(count, 1, count).masked_fill(torch.eye(count).bool()[:, None], math.nan)
    reached = run(eye).isnan()[:, 0].T
    rows = [row.nonzero().flatten().tolist() for row in reached]
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[_ABSENT] * (longest - len(row))] for row in rows])


def same(one: Marks, other: Marks) -> bool:
    if one.unknown or other.unknown:
        return one.unknown == other.unknown
    return one.shape == other.shape and all(map(torch.equal, map(tight, one.parts), map(tight, other.parts)))

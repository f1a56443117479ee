"""``receptive_field(network, unit) -> ReceptiveField``: which input pixels a unit saw; ``canvas(network, units) -> Canvas``.

One forward pass is watched operation by operation, below the modules, so that functions between them count as much. Each
element of each tensor carries the rows and columns of the input that it depends on, as an explicit interval. Padding,
strides, dilation, uneven borders, slices and branches then need no formulas of their own, and an operation that nobody
described is told as unknown, never guessed. What weights happen to be does not count: a connection with weight zero is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from .layers import Layer, Unit
from .network import Network
from .shadow import borrowed
from .tracing import Calls, tensors_in

Status = Literal["exact", "cut by the border", "whole image", "unknown"]
Box = tuple[int, int, int, int]

WORTHWHILE = 0.8
"""The part of the input's area from which on a canvas saves too little to be worth another path."""


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that a unit depends on.

    ``box`` is (top, left, bottom, right) in input pixels, half open, within the input. ``status`` tells what kind of box it
    is: ``"exact"``; ``"cut by the border"``, where the unit's window reaches into padding; ``"whole image"``, where an
    operation such as global pooling, attention or a dense layer takes in every position of a map, in one direction at
    least; ``"unknown"``, where the box is the whole input for want of better. ``reason`` names the operation, or is empty.
    """

    unit: Unit
    box: Box
    status: Status
    reason: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the box."""
        top, left, bottom, right = self.box
        return bottom - top, right - left


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """The receptive fields of all units of a layer."""

    layer: Layer
    input_size: tuple[int, int]
    marks: Marks = field(repr=False)

    def __getitem__(self, unit: Unit) -> ReceptiveField:
        if unit.layer.name != self.layer.name:
            raise ValueError(
                f"{unit} is no unit of {self.layer.name!r}; use receptive_fields(network, {unit.layer.name!r})[unit]"
            )
        marks = self.marks
        everything: Box = (0, 0, *self.input_size)
        if marks.unknown:
            return ReceptiveField(unit, everything, "unknown", marks.unknown)
        marks = marks.each(lambda part: part[0].select(self.layer.channel_axis, unit.channel))
        if (index := unit.index) is not None:
            marks = marks.each(lambda part: part[index])
        boxes, cut, whole = _read(marks)
        boxes = boxes[(boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])]
        box: Box | None = None
        if len(boxes):
            (top, left, _, _), (_, _, bottom, right) = boxes.amin(0).tolist(), boxes.amax(0).tolist()
            box = (top, left, bottom, right)
        if unit.index is None and math.prod(self.layer.positions) > 1 and not whole.all():
            return ReceptiveField(unit, box or everything, "whole image", "the mean over the map")
        if whole.any():
            return ReceptiveField(unit, box or everything, "whole image", f"{marks.mixer} over all positions")
        if box is None and not cut.any():
            return ReceptiveField(unit, everything, "unknown", "no way from the input to the unit was seen")
        return ReceptiveField(unit, box or (0, 0, 0, 0), "cut by the border" if cut.any() else "exact")

    @property
    def boxes(self) -> npt.NDArray[np.int64]:
        """(H, W, 4): top, left, bottom, right for each position, around all channels' boxes there.

        Channels differ where branches of several kernel sizes are joined; ``fields[unit]`` is for one of them.
        """
        everything = np.array([0, 0, *self.input_size], dtype=np.int64)
        if self.marks.unknown:
            return np.tile(everything, (*self.layer.positions, 1))
        boxes = _read(self.marks.each(lambda part: part[0].amax(self.layer.channel_axis)))[0]
        return boxes.numpy()

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """(H, 2): the input rows [first, last) that each row of the map depends on."""
        return self._intervals(0)

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """(W, 2): the input columns [first, last) that each column of the map depends on."""
        return self._intervals(1)

    def _intervals(self, axis: int) -> npt.NDArray[np.int64]:
        boxes = self.boxes
        if boxes.ndim != 3:
            shape = self.layer.shape
            raise ValueError(
                f"{self.layer.name!r} has the shape {shape}: no rows and columns; use boxes, or fields[unit]"
            )
        return np.stack([boxes[..., axis].min(1 - axis), boxes[..., axis + 2].max(1 - axis)], 1)

    def inside(self, unit: Unit, box: Box) -> Tensor:
        """Numbers of the channels that, at the unit's position, see neither padding nor anything outside of ``box``."""
        assert unit.index is not None
        place: tuple[Any, ...] = (0, slice(None), *unit.index)
        boxes, cut, whole = _read(self.marks.each(lambda part: part.movedim(self.layer.channel_axis + 1, 1)[place]))
        limits = torch.tensor(box)
        held = (boxes[:, :2] >= limits[:2]).all(1) & (boxes[:, 2:] <= limits[2:]).all(1) & (boxes[:, 2] > boxes[:, 0])
        return (held & ~cut & ~whole).nonzero().flatten()

    def period(self, channel: int) -> tuple[Period, Period] | None:
        """How rows and columns of the map step over the input; None where they do not keep a step."""
        if self.marks.unknown or len(self.layer.positions) != 2:
            return None
        marks = self.marks.each(lambda part: part[0].select(self.layer.channel_axis, channel))
        boxes, _, whole = _read(marks)
        middle = [size // 2 for size in self.layer.positions]
        if whole[middle[0], middle[1]]:
            return None
        down = _period(boxes[:, middle[1], 0::2])
        across = _period(boxes[middle[0], :, 1::2])
        return None if down is None or across is None else (down, across)


def receptive_field(network: Network, unit: Unit) -> ReceptiveField:
    """The input pixels that a unit depends on.

    Takes a forward pass; where many units are asked for, `receptive_fields` or `all_receptive_fields` takes one for all.

    Examples
    --------
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3))
    >>> net = Network(module, InputSpec(size=(1, 16, 16)))
    >>> receptive_field(net, net["2"][5, "center"])
    ReceptiveField(unit=2[5, center], box=(5, 5, 13, 13), status='exact', reason='')
    >>> receptive_field(net, net["0"][2, 0, 4]).status
    'cut by the border'
    """
    return receptive_fields(network, unit.layer)[unit]


def receptive_fields(network: Network, layer: str | Layer) -> ReceptiveFields:
    """The receptive fields of all units of a layer, from one forward pass.

    Examples
    --------
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3, stride=2)), InputSpec(size=(1, 9, 7)))
    >>> fields = receptive_fields(net, "0")
    >>> fields.rows.tolist(), fields.columns.tolist()
    ([[0, 3], [2, 5], [4, 7], [6, 9]], [[0, 3], [2, 5], [4, 7]])
    >>> fields.boxes[0, 2].tolist()
    [0, 4, 3, 7]
    """
    return all_receptive_fields(network)[network[layer].name]


def all_receptive_fields(network: Network) -> dict[str, ReceptiveFields]:
    """Layer name -> `ReceptiveFields`, in execution order, from one forward pass.

    That pass takes two to eight times as long as an ordinary one.
    """
    names = list(network.layers)
    spec = network.input
    watch = _Watch()
    found: dict[str, Marks] = {}

    def hooked(module: nn.Module) -> list[Any]:
        return _hook(network, module, watch, found)

    with torch.inference_mode(False), torch.enable_grad():
        # gradients, though nobody asks for them, keep torch on its ordinary path: the fast ones hide operations
        like = torch.zeros((), device=network.device, dtype=network.dtype)
        image = spec.neutral_image(like).expand(spec.size)[None].clone().requires_grad_()
        unknown = ""
        try:
            # nothing is kept for a backward pass that never comes
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda kept: kept):
                fed = spec.normalized(image).clone()
                watch.begin(fed)
                if (module := network.shadow()) is not None:
                    hooked(module)
                    _pass(network, module, fed, watch, found)
                else:
                    with borrowed(network.bare, hooked, network.written) as lent:
                        _pass(network, lent, fed, watch, found)
        except Exception as error:  # whatever the user's forward raises when it is watched
            unknown = f"the pass can't be watched: {error}"
    missed = Marks((), unknown=unknown or "the layer was not reached")
    return {name: ReceptiveFields(network[name], spec.size[1:], found.get(name, missed)) for name in names}


def _pass(network: Network, module: nn.Module, fed: Tensor, watch: _Watch, found: dict[str, Marks]) -> None:
    with watch:
        output = module(fed)
    for suffix, tensor in tensors_in(output):
        found.setdefault(network.root_name + suffix, watch.read(tensor))


def _hook(network: Network, module: nn.Module, watch: _Watch, found: dict[str, Marks]) -> list[Any]:
    calls, entries = Calls(), Calls()

    def after(name: str) -> Callable[..., None]:
        def told(part: nn.Module, inputs: Any, output: Any) -> None:
            call = calls.name(name)
            for suffix, tensor in tensors_in(output):
                found[call + suffix] = watch.read(tensor)

        return told

    def before(name: str) -> Callable[..., None]:
        def told(part: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            call = entries.name(name)
            for _, tensor in itertools.islice(tensors_in([*inputs, keywords]), 1):
                found[f"{call}:input"] = watch.read(tensor)

        return told

    named = [(name, part) for name, part in module.named_modules() if name]
    handles: list[Any] = [part.register_forward_hook(after(name)) for name, part in named]
    handles += [part.register_forward_pre_hook(before(name), with_kwargs=True) for name, part in named]
    return handles


@dataclass(frozen=True)
class Canvas:
    """A part of the input, as small as units allow, on which they and their gradients are what they are on all of it.

    ``shifts`` tells, layer by layer, how many rows and columns to take off a position, because the map of the canvas begins
    later than the map of the full input.
    """

    top: int
    left: int
    height: int
    width: int
    shifts: Mapping[str, tuple[int, int]]

    def crop(self, images: Tensor) -> Tensor:
        """(..., H, W) of the full input -> (..., height, width), a view."""
        return images[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def moved(self, unit: Unit) -> Unit:
        """Where on the canvas's map the unit is found, its position as numbers."""
        if unit.index is None:
            raise ValueError(f"{unit} has no position; only neurons have a place on a canvas, as layer[17, 'center']")
        index = tuple(at - off for at, off in zip(unit.index, self.shifts[unit.layer.name], strict=True))
        return Unit(unit.layer, unit.channel, index)


@dataclass(frozen=True)
class Refusal:
    """Why there is no smaller canvas."""

    reason: str


def canvas(
    network: Network, units: Iterable[Unit], fields: Mapping[str, ReceptiveFields] | None = None
) -> Canvas | Refusal:
    """The smallest part of the input that shows some neurons all they see, so that an ascent costs less.

    The part begins where the maps of all layers up to the neurons' begin anew, and its sides leave the same remainder as
    the full ones, because padding may depend on it. It is tried on a random image before it is given out: activations
    and gradients must be the same as on the full input.

    Parameters
    ----------
    units
        The neurons of one goal, which share the canvas.
    fields
        What `all_receptive_fields` gave for this network, where it is known already; else a forward pass is made.

    Returns
    -------
    Canvas or Refusal
        A refusal where a unit has no position, sees padding or the whole image, or where next to nothing would be saved.

    Examples
    --------
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 8, 3)), InputSpec(size=(1, 32, 32)))
    >>> unit = net["1"][5, "center"]
    >>> found = canvas(net, [unit])
    >>> found
    Canvas(top=12, left=12, height=8, width=8, shifts={'1': (6, 6)})
    >>> found.crop(torch.rand(1, 1, 32, 32)).shape, found.moved(unit)
    (torch.Size([1, 1, 8, 8]), 1[5, 0, 0])
    >>> canvas(net, [net["1"][5]])
    Refusal(reason='1[5] has no row and column')
    """
    units = tuple(dict.fromkeys(units))
    if not units:
        return Refusal("no units were given")
    for unit in units:
        if unit.index is None or len(unit.index) != 2:
            return Refusal(f"{unit} has no row and column")
    fields = all_receptive_fields(network) if fields is None else fields
    boxes: list[Box] = []
    for unit in units:
        seen = fields[unit.layer.name][unit]
        if seen.status != "exact":
            return Refusal(f"the receptive field of {unit} is {seen.status}{seen.reason and f': {seen.reason}'}")
        boxes.append(seen.box)
    periods = {unit.layer.name: fields[unit.layer.name].period(unit.channel) for unit in units}
    for name, period in periods.items():
        if period is None:
            return Refusal(f"the map of {name!r} has no regular step over the input")
    steps = _common_steps(fields, [unit.layer.name for unit in units])
    full = network.input.size[1:]
    (top, height), (left, width) = (
        _side(min(box[axis] for box in boxes), max(box[axis + 2] for box in boxes), steps[axis], full[axis])
        for axis in (0, 1)
    )
    if height * width >= WORTHWHILE * full[0] * full[1]:
        return Refusal(f"{height} × {width} pixels of {full[0]} × {full[1]} would be needed, which saves too little")
    shifts = {
        name: (top * period[0].positions // period[0].pixels, left * period[1].positions // period[1].pixels)
        for name, period in periods.items()
        if period is not None
    }
    found = Canvas(top, left, height, width, shifts)
    return _differs(network, found, units, fields) or found


def _common_steps(fields: Mapping[str, ReceptiveFields], names: Sequence[str]) -> tuple[int, int]:
    """The least shift of the input, in rows and columns, that shifts the map of every layer so far by whole positions."""
    order = list(fields)
    steps = (1, 1)
    for name in order[: max(order.index(name) for name in names) + 1]:
        if (period := fields[name].period(0)) is not None:
            steps = (math.lcm(steps[0], period[0].pixels), math.lcm(steps[1], period[1].pixels))
    return steps


def _side(first: int, last: int, step: int, full: int) -> tuple[int, int]:
    """Where the canvas begins along an axis, and how long it is."""
    begin = first - first % step
    return begin, last - begin + (full - (last - begin)) % step


def _differs(
    network: Network, found: Canvas, units: Sequence[Unit], fields: Mapping[str, ReceptiveFields]
) -> Refusal | None:
    """Whether the neurons, and their neighbours in other channels, notice that they are shown a canvas only."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, *network.input.size), generator=generator).to(network.device, network.dtype)
    tolerance = max(1e-4, 30 * torch.finfo(network.dtype).eps)
    box = (found.top, found.left, found.top + found.height, found.left + found.width)
    columns = {unit: fields[unit.layer.name].inside(unit, box) for unit in units}
    weights = {unit: torch.randn(len(inside), generator=generator).to(image) for unit, inside in columns.items()}
    seen: list[tuple[Tensor, Tensor]] = []
    for shown, place in ((image, lambda unit: unit), (found.crop(image), found.moved)):
        leaf = shown.detach().clone().requires_grad_()
        try:
            with torch.enable_grad(), network.recording([unit.layer.name for unit in units]) as record:
                values = record(leaf)
                read = [_column(values[unit.layer.name], place(unit))[columns[unit]] for unit in units]
                score = torch.stack(
                    [(part * weights[unit]).sum() for part, unit in zip(read, units, strict=True)]
                ).sum()
                (slope,) = torch.autograd.grad(score, leaf)
        except (RuntimeError, ValueError, IndexError) as error:
            return Refusal(f"the network can't run on {found.height} × {found.width} pixels: {error}")
        seen.append((torch.cat(read).detach(), slope))
    (large, large_slope), (small, small_slope) = seen
    placed = torch.zeros_like(large_slope)
    found.crop(placed).copy_(small_slope)
    for what, one, other in (("activations", large, small), ("gradients", large_slope, placed)):
        off = float((one - other).norm() / one.norm().clamp(min=torch.finfo(one.dtype).tiny))
        if not off <= tolerance:
            return Refusal(f"{what} on the canvas are off by {off:.1g} of their size")
    return None


def _column(values: Tensor, unit: Unit) -> Tensor:
    """The values of all channels at a neuron's position."""
    assert unit.index is not None
    place: tuple[Any, ...] = (0, slice(None), *unit.index)
    return values.movedim(unit.layer.channel_axis + 1, 1)[place]


class Period(NamedTuple):
    """After ``positions`` of the map, the intervals repeat ``pixels`` further on; 1 and the stride, unless enlarged."""

    positions: int
    pixels: int


def _period(intervals: Tensor) -> Period | None:
    """How (n, 2) intervals move on; the outermost ends, which the border may have clipped, do not count."""
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    first, last = intervals[:, 0], intervals[:, 1]
    for positions in range(1, min(len(intervals), 33)):
        steps = torch.cat([_steps(first, first > first.min(), positions), _steps(last, last < last.max(), positions)])
        if len(steps) and int(steps[0]) > 0 and bool((steps == steps[0]).all()):
            return Period(positions, int(steps[0]))
    return None


def _steps(ends: Tensor, free: Tensor, positions: int) -> Tensor:
    return (ends[positions:] - ends[:-positions])[free[positions:] & free[:-positions]]


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
_TOP, _BOTTOM, _LEFT, _RIGHT, _CUT, _WHOLE, _ROW, _COLUMN = range(8)
_NOTHING = (-math.inf, -math.inf, -math.inf, -math.inf, 0.0, 0.0, -math.inf, -math.inf)


def _nothing(shape: Sequence[int]) -> Marks:
    return Marks(tuple(torch.tensor(value).expand(shape) for value in _NOTHING))


def _read(marks: Marks) -> tuple[Tensor, Tensor, Tensor]:
    """(boxes (..., 4), cut, whole); an empty box where nothing is seen."""
    top, bottom, left, right = (marks.parts[part] for part in (_TOP, _BOTTOM, _LEFT, _RIGHT))
    boxes = torch.stack([-top, -left, bottom, right], -1)
    boxes = torch.where(boxes.isfinite().all(-1, keepdim=True), boxes, torch.zeros(()))
    return boxes.long(), marks.parts[_CUT] > 0, marks.parts[_WHOLE] > 0


def _tight(part: Tensor) -> Tensor:
    """Without the copies along axes where nothing changes."""
    return part[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in part.stride())]


def _joined(several: Sequence[Marks], shape: Sequence[int]) -> Marks:
    """What elements depend on that are made of several tensors' elements, broadcast to ``shape``."""
    parts = []
    for together in zip(*(marks.parts for marks in several), strict=True):
        part = _tight(together[0])
        for other in together[1:]:
            part = torch.maximum(part, _tight(other))
        parts.append(part.expand(shape))
    return Marks(tuple(parts), next((marks.mixer for marks in several if marks.mixer), ""))


def _varies(at: Tensor, axes: Sequence[int]) -> Tensor:
    """Whether positions differ along some axes, which are kept with size 1; padding counts as none."""
    low = at.masked_fill(at < 0, math.inf).amin(tuple(axes), keepdim=True)
    return at.amax(tuple(axes), keepdim=True) > low


def _gathered(marks: Marks, axes: Sequence[int], name: str) -> Marks:
    """One element for all along ``axes``, which are kept with size 1."""
    if not axes:
        return marks
    shape = [1 if axis in axes else size for axis, size in enumerate(marks.shape)]
    parts = [_tight(part).amax(tuple(axes), keepdim=True) for part in marks.parts]
    mixer = marks.mixer
    for at, low, high in ((_ROW, _TOP, _BOTTOM), (_COLUMN, _LEFT, _RIGHT)):
        moving = _varies(_tight(marks.parts[at]), axes)
        all_of_it = (parts[low] == parts[low].max()) & (parts[high] == parts[high].max())
        if bool((whole := moving & all_of_it).any()):
            parts[_WHOLE] = torch.maximum(parts[_WHOLE], whole.float())
            mixer = mixer or name
    return Marks(tuple(part.expand(shape) for part in parts), mixer)


# in a table of windows: beyond the border, where padding stands; and no tap at all
_PADDED, _ABSENT = -1, -2


def _windowed(marks: Marks, axis: int, table: Tensor, name: str, pools: bool = False) -> Marks:
    """Windows along an axis: ``table`` (out, k) tells for each new position which old ones it is made of."""
    count = marks.shape[axis]
    shape = [*marks.shape[:axis], len(table), *marks.shape[axis + 1 :]]
    carried = [bool(_varies(_tight(marks.parts[at]), [axis]).any()) for at in (_ROW, _COLUMN)]
    # the axes of maps hold positions also where there is only one
    spatial = any(carried) or (marks.parts[0].dim() == 4 and axis >= 2)
    borders = bool((table < 0).any())
    parts = []
    for number, part in enumerate(marks.parts):
        small = _tight(part)
        if small.shape[axis] < count and borders and not any(carried):
            small = small.expand([count if at == axis else size for at, size in enumerate(small.shape)])
        if small.shape[axis] == count:
            taps = small.index_select(axis, table.clamp(min=0).flatten()).unflatten(axis, table.shape)
            missing = (table < 0).view([*table.shape, *[1] * (small.dim() - axis - 1)])
            small = taps.masked_fill(missing, _NOTHING[number]).amax(axis + 1)
        parts.append(small)
    along = [len(table) if at == axis else 1 for at in range(len(shape))]
    if spatial:
        parts[_CUT] = torch.maximum(parts[_CUT], (table == _PADDED).any(1).float().view(along))
    mixer = marks.mixer
    if pools and any(carried):
        complete = torch.tensor([len(set(row) - {_PADDED, _ABSENT}) == count for row in table.tolist()])
        if bool(complete.any()):
            parts[_WHOLE] = torch.maximum(parts[_WHOLE], complete.float().view(along))
            mixer = mixer or name
    for at, carries in zip((_ROW, _COLUMN), carried, strict=True):
        if carries:
            parts[at] = torch.arange(len(table)).float().view(along)
    return Marks(tuple(part.expand(shape) for part in parts), mixer)


def _taps(count: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    at = torch.arange(out)[:, None] * stride - padding + torch.arange(kernel) * dilation
    return at.masked_fill((at < 0) | (at >= count), _PADDED)


def _transposed_taps(count: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    from_start = torch.arange(out)[:, None] + padding - torch.arange(kernel) * dilation
    at = from_start.div(stride, rounding_mode="floor")
    at = at.masked_fill((at < 0) | (at >= count), _PADDED)
    return at.masked_fill(from_start % stride != 0, _ABSENT)


def _adaptive_taps(count: int, out: int) -> Tensor:
    spans = [range(at * count // out, -(-(at + 1) * count // out)) for at in range(out)]
    longest = max(len(span) for span in spans)
    return torch.tensor([[*span, *[_ABSENT] * (longest - len(span))] for span in spans])


def _probed_taps(run: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """The windows of a function along one axis, (n, 1, n) -> (n, 1, out), found by where NaN arrives."""
    eye = torch.zeros(count, 1, count).masked_fill(torch.eye(count).bool()[:, None], math.nan)
    reached = run(eye).isnan()[:, 0].T
    rows = [row.nonzero().flatten().tolist() for row in reached]
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[_ABSENT] * (longest - len(row))] for row in rows])


class _Call:
    """An operation with its arguments by name."""

    def __init__(
        self, watch: _Watch, function: Any, args: tuple[Any, ...], keywords: dict[str, Any], output: Any
    ) -> None:
        self.function = function
        self.name = function._schema.name.split("::")[-1]
        self.label = self.name.strip("_").removesuffix("_with_indices")
        if any(
            argument.alias_info is not None and argument.alias_info.is_write for argument in function._schema.arguments
        ):
            self.name = self.name.removesuffix("_")
        names = [argument.name for argument in function._schema.arguments]
        self.values = {argument.name: argument.default_value for argument in function._schema.arguments}
        self.values |= dict(zip(names, args, strict=False)) | keywords
        self.args, self.keywords = args, keywords
        self.watch = watch
        self.outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def marks(self, name: str) -> Marks | None:
        value = self.values.get(name)
        return self.watch.of(value) if isinstance(value, Tensor) else None

    @property
    def main(self) -> Marks:
        """The marks of the first argument, the only one that may depend on the image."""
        first, *others = [leaf for leaf in tree_leaves((self.args, self.keywords)) if isinstance(leaf, Tensor)]
        if any(self.watch.of(other) is not None for other in others):
            raise NotImplementedError("places that depend on the image")
        return self.watch.of(first) or _nothing(first.shape)

    def rerun(self, part: Tensor) -> list[Tensor]:
        """The operation on another tensor in place of the first argument, which it moves about but does not change."""
        others = tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, self.args[1:])
        result = self.function(part, *others, **self.keywords)
        return [result] if isinstance(result, Tensor) else list(result)


def _numbers(value: Any, count: int, otherwise: int = 0) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value or [])
    return (listed or [otherwise]) * count if len(listed) <= 1 else listed


def _axes(value: Any, rank: int) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value or range(rank))
    return [axis % rank for axis in listed]


def _pointwise(call: _Call) -> list[Marks]:
    leaves = [leaf for leaf in tree_leaves((call.args, call.keywords)) if isinstance(leaf, Tensor)]
    several = [marks for leaf in leaves if (marks := call.watch.of(leaf)) is not None]
    return [_joined(several, output.shape) for output in call.outputs]


def _kept(call: _Call) -> list[Marks]:
    """The same elements at the same places."""
    return [call.main]


def _written(call: _Call) -> list[Marks]:
    """``copy_``: what stood there before is gone."""
    source = call.marks("src")
    return [_nothing(call.outputs[0].shape) if source is None else _joined([source], call.outputs[0].shape)]


def _reshaped(call: _Call) -> list[Marks]:
    return [call.main.each(lambda part: part.reshape(call.outputs[0].shape))]


def _restrided(call: _Call) -> list[Marks]:
    """Linear layers restride their result; a plain vector stays what it is."""
    marks = call.main
    if list(marks.shape) != list(call["size"]) or max(marks.shape) != marks.parts[0].numel():
        raise NotImplementedError
    return [marks]


def _moved(call: _Call) -> list[Marks]:
    """Elements at other places, some perhaps left out or repeated."""
    marks = call.main
    moved = [call.rerun(part) for part in marks.parts]
    return [replace(marks, parts=parts) for parts in zip(*moved, strict=True)]


def _mirrored(call: _Call) -> list[Marks]:
    """Padding that repeats pixels; counts as padding all the same."""
    (marks,) = _moved(call)
    border = nn.functional.pad(torch.zeros(call.main.shape), list(call["padding"]), value=1.0)
    parts = list(marks.parts)
    parts[_CUT] = torch.maximum(parts[_CUT], border)
    return [replace(marks, parts=tuple(parts))]


def _catenated(call: _Call) -> list[Marks]:
    tensors = call["tensors"]
    several = [call.watch.of(tensor) or _nothing(tensor.shape) for tensor in tensors if tensor.numel()]
    rank = call.outputs[0].dim()
    axis = (call["dim"] or 0) % rank
    parts = []
    for together in zip(*(marks.parts for marks in several), strict=True):
        constant = [at != axis and all(part.stride(at) == 0 for part in together) for at in range(rank)]
        cut_to = tuple(slice(0, 1) if same else slice(None) for same in constant)
        parts.append(torch.cat([part[cut_to] for part in together], axis).expand(call.outputs[0].shape))
    return [Marks(tuple(parts), next((marks.mixer for marks in several if marks.mixer), ""))]


def _padded(call: _Call) -> list[Marks]:
    marks = call.main
    pad = list(call["pad"])
    for number in range(len(pad) // 2):
        before, after = pad[2 * number : 2 * number + 2]
        axis = len(marks.shape) - 1 - number
        if before or after:
            count = marks.shape[axis]
            marks = _windowed(marks, axis, _taps(count, count + before + after, 1, 1, before, 1), call.name)
    return [marks]


def _convolved(call: _Call) -> list[Marks]:
    weight = call["weight"]
    output = call.outputs[0]
    several = [_gathered(w, range(len(w.shape)), call.label) for n in ("weight", "bias") if (w := call.marks(n))]
    several = [marks.each(lambda part: part.reshape(())) for marks in several]
    if (marks := call.marks("input")) is not None:
        groups, space = call["groups"], weight.dim() - 2
        channels = weight.shape[1] if call["transposed"] else weight.shape[0] // groups
        grouped = _gathered(marks.each(lambda part: part.unflatten(1, (groups, -1))), [2], call.label)
        shape = (len(output), groups, channels, *marks.shape[2:])
        marks = replace(grouped, parts=tuple(_spread(part.expand(shape)) for part in grouped.parts))
        padding, dilation = _numbers(call["padding"], space), _numbers(call["dilation"], space, 1)
        stride = _numbers(call["stride"], space, 1)
        taps = _transposed_taps if call["transposed"] else _taps
        for at in range(space):
            count, out, kernel = marks.shape[at + 2], output.shape[at + 2], weight.shape[at + 2]
            table = taps(count, out, kernel, stride[at], padding[at], dilation[at])
            marks = _windowed(marks, at + 2, table, call.name)
        several.append(marks)
    return [_joined(several, output.shape)]


def _spread(part: Tensor) -> Tensor:
    """(B, groups, channels, ...) -> (B, groups * channels, ...), expanded where it can be."""
    if part.stride(1) == 0 or part.shape[1] == 1:
        return part[:, :1].flatten(1, 2)[:, :1].expand(-1, part.shape[1] * part.shape[2], *part.shape[3:])
    small = _tight(part)
    small = small.expand(-1, part.shape[1], part.shape[2], *small.shape[3:]).flatten(1, 2)
    return small.expand(len(part), -1, *part.shape[3:])


def _pooled(call: _Call) -> list[Marks]:
    marks = call.main
    space = int(next(sign for sign in call.name if sign.isdigit()))
    first = len(marks.shape) - space
    kernel, padding = _numbers(call["kernel_size"], space), _numbers(call["padding"], space)
    stride = _numbers(call["stride"], space) if call["stride"] else kernel
    dilation = _numbers(call["dilation"], space, 1)
    for at in range(space):
        count, out = marks.shape[first + at], call.outputs[0].shape[first + at]
        table = _taps(count, out, kernel[at], stride[at], padding[at], dilation[at])
        marks = _windowed(marks, first + at, table, call.label, pools=True)
    return [marks] * len(call.outputs)


def _adaptively_pooled(call: _Call) -> list[Marks]:
    marks = call.main
    space = int(next(sign for sign in call.name if sign.isdigit()))
    for axis in range(len(marks.shape) - space, len(marks.shape)):
        out = call.outputs[0].shape[axis]
        if out != marks.shape[axis]:
            marks = _windowed(marks, axis, _adaptive_taps(marks.shape[axis], out), call.label, pools=True)
    return [marks] * len(call.outputs)


def _enlarged(call: _Call) -> list[Marks]:
    """Interpolation along two axes, each of which is probed by itself."""
    marks = call.main
    output = call.outputs[0]
    for axis in (2, 3):
        sides = [output.shape[axis] if at == axis else 1 for at in (2, 3)]

        def run(eye: Tensor, axis: int = axis, sides: list[int] = sides) -> Tensor:
            values = call.values | {"self": eye.unsqueeze(5 - axis), "output_size": sides}
            return call.function(**values).squeeze(5 - axis)

        marks = _windowed(marks, axis, _probed_taps(run, marks.shape[axis]), call.name)
    return [marks]


def _reduced(call: _Call) -> list[Marks]:
    marks = call.main
    axes = _axes(call["dim"], len(marks.shape))
    gathered = _gathered(marks, axes, call.label)
    if not call["keepdim"]:
        gathered = gathered.each(lambda part: part.squeeze(tuple(axes)))
    return [gathered] * len(call.outputs)


def _mixed_along(call: _Call) -> list[Marks]:
    """Every element along an axis is made of all of them, as in a softmax."""
    marks = call.main
    gathered = _gathered(marks, _axes(call["dim"], len(marks.shape)), call.label)
    if call.outputs[0].shape == marks.shape:
        return [_with_positions(gathered, marks)] * len(call.outputs)
    return [_joined([gathered], output.shape) for output in call.outputs]


def _with_positions(marks: Marks, before: Marks) -> Marks:
    """Elements that were gathered and given back to their places still have places."""
    parts = [part.expand(before.shape) for part in marks.parts[:_ROW]]
    return replace(marks, parts=(*parts, *before.parts[_ROW:]))


def _normalized_batch(call: _Call) -> list[Marks]:
    training = bool(call["training"]) or call.name == "_batch_norm_with_update"
    first = next(name for name in ("input", "self") if name in call.values)
    marks = call.marks(first)
    assert marks is not None
    if training:
        axes = [axis for axis in range(len(marks.shape)) if axis != 1]
        marks = _with_positions(_gathered(marks, axes, call.label), marks)
    return [marks]


def _normalized_groups(call: _Call) -> list[Marks]:
    marks = call.main
    count = math.prod(marks.shape[2:])
    if count > 1 or call["group"] != marks.shape[1]:
        grouped = marks.each(lambda part: part.unflatten(1, (call["group"], -1)))
        gathered = _gathered(grouped, range(2, len(grouped.shape)), call.label)
        shape = grouped.shape
        marks = _with_positions(_joined([gathered], shape), grouped).each(lambda part: part.reshape(marks.shape))
    return [marks]


def _normalized_layers(call: _Call) -> list[Marks]:
    marks = call.main
    axes = range(len(marks.shape) - len(call["normalized_shape"]), len(marks.shape))
    return [_joined([_with_positions(_gathered(marks, axes, call.label), marks)], marks.shape)]


def _multiplied(call: _Call) -> list[Marks]:
    """Matrix products, (..., n, k) by (..., k, m) with or without a summand."""
    names = [name for name in call.values if isinstance(call.values[name], Tensor)]
    *summand, left, right = names
    several = []
    if (marks := call.marks(left)) is not None:
        several.append(_gathered(marks, [len(marks.shape) - 1], call.label))
    if (marks := call.marks(right)) is not None:
        several.append(_gathered(marks, [len(marks.shape) - 2], call.label))
    several += [marks for name in summand if (marks := call.marks(name)) is not None]
    return [_joined(several, call.outputs[0].shape)]


def _attended(call: _Call) -> list[Marks]:
    several = []
    for name, axes in (
        ("query", (-1,)),
        ("key", (-2, -1)),
        ("value", (-2,)),
        ("attn_mask", (-1,)),
        ("attn_bias", (-1,)),
    ):
        if (marks := call.marks(name)) is not None:
            several.append(_gathered(marks, _axes(axes, len(marks.shape)), "attention"))
    return [_joined(several, call.outputs[0].shape)]


def _constant(call: _Call) -> list[Marks]:
    if (value := call.marks("value")) is not None:
        return [_joined([value], call.outputs[0].shape)]
    return [_nothing(output.shape) for output in call.outputs]


_NAMES: dict[Callable[[_Call], list[Marks]], str] = {
    _kept: "clone _to_copy detach alias lift lift_fresh contiguous",
    _pointwise: "hardswish hardtanh masked_fill _prelu_kernel where log_sigmoid_forward rrelu_with_noise",
    _written: "copy",
    _reshaped: "view _unsafe_view _reshape_alias reshape",
    _restrided: "as_strided",
    _moved: (
        "permute transpose t slice select expand squeeze unsqueeze split split_with_sizes unbind flip roll repeat unfold "
        "diagonal index_select index _unsafe_index gather pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle upsample_nearest1d upsample_nearest2d _upsample_nearest_exact2d upsample_nearest3d"
    ),
    _mirrored: "reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d",
    _catenated: "cat",
    _padded: "constant_pad_nd",
    _convolved: "convolution",
    _pooled: "max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d",
    _adaptively_pooled: "_adaptive_avg_pool2d adaptive_max_pool2d _adaptive_avg_pool3d adaptive_max_pool3d",
    _enlarged: "upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
    _reduced: (
        "mean sum amax amin max min var std var_mean std_mean prod logsumexp linalg_vector_norm any all argmax argmin"
    ),
    _mixed_along: "_softmax _log_softmax cumsum cumprod sort topk",
    _normalized_batch: (
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "miopen_batch_norm _batch_norm_no_update _batch_norm_with_update"
    ),
    _normalized_groups: "native_group_norm",
    _normalized_layers: "native_layer_norm _fused_rms_norm",
    _multiplied: "mm addmm bmm baddbmm",
    _attended: (
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_attention_math_for_mps _scaled_dot_product_fused_attention_overrideable"
    ),
    _constant: (
        "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full "
        "new_empty_strided zero fill"
    ),
}
_RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}


class _Watch(TorchDispatchMode):
    """Follows `Marks` through every operation of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self._known = WeakIdKeyDictionary()  # tensor -> (when, Marks)
        self._views = WeakIdKeyDictionary()  # view -> (tensor, the call that made it, the number among its results)
        self._overwritten: dict[int, tuple[int, str, Any]] = {}  # storage -> when, by what; held, so that its id stays
        self._clock = itertools.count()

    def begin(self, image: Tensor) -> None:
        """Each pixel sees itself."""
        rows = torch.arange(image.shape[2]).float()[:, None]
        columns = torch.arange(image.shape[3]).float()
        zero = torch.zeros(())
        parts = (-rows, rows + 1, -columns, columns + 1, zero, zero, rows, columns)
        self._set(image, Marks(tuple(part.expand(image.shape) for part in parts)))

    def read(self, tensor: Tensor) -> Marks:
        """The marks of a layer's value."""
        return self.of(tensor) or _nothing(tensor.shape)

    def of(self, tensor: Tensor) -> Marks | None:
        """None for what does not depend on the image."""
        when, marks = self._known.get(tensor, (-1, None))
        if self._overwritten and tensor.numel():
            since, name, _ = self._overwritten.get(tensor.untyped_storage().data_ptr(), (-1, "", None))
            if when < since:
                return Marks((), unknown=f"{name} writes into a part of another tensor")
        if marks is None and tensor.requires_grad:
            return Marks((), unknown="an operation that can't be seen")
        return marks

    def _set(self, tensor: Tensor, marks: Marks) -> None:
        self._known[tensor] = (next(self._clock), marks)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self._follow(func, args, kwargs or {}, output)
        return output

    def _follow(self, function: Any, args: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        call = _Call(self, function, args, keywords, output)
        given = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
        if call.outputs and given and function.is_view:
            for number, view in enumerate(call.outputs):
                self._views[view] = (given[0], _Call(self, function, (None, *args[1:]), keywords, None), number)
        tracked = [marks for tensor in given if (marks := self.of(tensor)) is not None]
        if not tracked:
            return
        found = self._ruled(call, tracked)
        writes = [a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        for name in writes:
            if isinstance(call[name], Tensor):
                self._overwrite(call[name], found[0], call.name)
        if not writes:
            for tensor, marks in itertools.zip_longest(call.outputs, found[: len(call.outputs)]):
                self._set(tensor, marks or Marks((), unknown=f"another result of {call.name}"))

    def _ruled(self, call: _Call, tracked: Sequence[Marks]) -> list[Marks]:
        rule = _RULES.get(call.name) if call.function.namespace == "aten" else None
        if rule is None and torch.Tag.pointwise in call.function.tags:
            rule = _pointwise
        unknown = next((marks.unknown for marks in tracked if marks.unknown), "")
        if rule is not None and (not unknown or rule is _constant):
            try:
                return rule(call)
            except Exception:  # arguments that the rule was not made for: said, not guessed
                unknown = f"{call.name} in a form that is not known"
        return [Marks((), unknown=unknown or call.function._schema.name)] * max(1, len(call.outputs))

    def _overwrite(self, tensor: Tensor, marks: Marks, name: str) -> None:
        """The tensor has new values, and so has every other that shares its memory."""
        before = self.of(tensor)
        if before is not None and _same(before, marks):
            return
        chain = []
        while tensor in self._views:
            base, call, number = self._views[tensor]
            chain.append((tensor, marks))
            marks = _put(self.of(base) or _nothing(base.shape), marks, call, number)
            tensor = base
        storage = tensor.untyped_storage()
        self._overwritten[storage.data_ptr()] = (next(self._clock), name, storage)
        for written, its_marks in [*chain, (tensor, marks)]:
            self._set(written, its_marks)


def _put(base: Marks, part: Marks, call: _Call, number: int) -> Marks:
    """The base's marks after a view of it was written."""
    unknown = base.unknown or part.unknown
    if not unknown and _RULES.get(call.name) not in (_kept, _moved, _reshaped):
        unknown = f"writing into {call.name}"
    if unknown:
        return Marks((), unknown=unknown)
    parts = []
    for whole, new in zip(base.parts, part.parts, strict=True):
        copied = whole.clone(memory_format=torch.contiguous_format)
        call.rerun(copied)[number].copy_(new)
        parts.append(copied)
    return Marks(tuple(parts), base.mixer or part.mixer)


def _same(one: Marks, other: Marks) -> bool:
    if one.unknown or other.unknown:
        return one.unknown == other.unknown
    return one.shape == other.shape and all(map(torch.equal, map(_tight, one.parts), map(_tight, other.parts)))

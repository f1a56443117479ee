"""``receptive_field(network, unit) -> ReceptiveField``: which input pixels a unit saw.

One forward pass is watched operation by operation, below the modules, so that functions between them count as much. Each
element of each tensor carries the rows and columns of the input that it depends on, as an explicit interval. Padding,
strides, dilation, uneven borders, slices and branches then need no formulas of their own, and an operation that nobody
described is told as unknown, never guessed. What weights happen to be does not count: a connection with weight zero is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .field_marks import Marks, boxes_of
from .field_tracing import Watch
from .layers import Layer, Unit
from .network import Network
from .shadow import borrowed
from .tracing import Calls, tensors_in

Status = Literal["exact", "cut by the border", "whole image", "unknown"]
Box = tuple[int, int, int, int]


class Period(NamedTuple):
    """After ``positions`` of the map, the intervals repeat ``pixels`` further on; 1 and the stride, unless enlarged."""

    positions: int
    pixels: int


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
        boxes, cut, whole = boxes_of(marks)
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
        boxes = boxes_of(self.marks.each(lambda part: part[0].amax(self.layer.channel_axis)))[0]
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
        boxes, cut, whole = boxes_of(self.marks.each(lambda part: part.movedim(self.layer.channel_axis + 1, 1)[place]))
        limits = torch.tensor(box)
        held = (boxes[:, :2] >= limits[:2]).all(1) & (boxes[:, 2:] <= limits[2:]).all(1) & (boxes[:, 2] > boxes[:, 0])
        return (held & ~cut & ~whole).nonzero().flatten()

    def period(self, channel: int) -> tuple[Period, Period] | None:
        """How rows and columns of the map step over the input; None where they do not keep a step."""
        ends = self.ends(channel)
        if ends is None:
            return None
        down, across = map(_period, ends)
        return None if down is None or across is None else (down, across)

    def ends(self, channel: int) -> tuple[Tensor, Tensor] | None:
        """(H, 2) rows and (W, 2) columns [first, last) that a channel sees from the middle column, and from the middle row.

        None where it sees all of them, or the layer has no rows and columns.
        """
        if self.marks.unknown or len(self.layer.positions) != 2:
            return None
        marks = self.marks.each(lambda part: part[0].select(self.layer.channel_axis, channel))
        boxes, _, whole = boxes_of(marks)
        middle = [size // 2 for size in self.layer.positions]
        if whole[middle[0], middle[1]]:
            return None
        return boxes[:, middle[1], 0::2], boxes[middle[0], :, 1::2]


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
    watch = Watch()
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


def _pass(network: Network, module: nn.Module, fed: Tensor, watch: Watch, found: dict[str, Marks]) -> None:
    with watch:
        output = module(fed)
    for suffix, tensor in tensors_in(output):
        found.setdefault(network.root_name + suffix, watch.read(tensor))


def _hook(network: Network, module: nn.Module, watch: Watch, found: dict[str, Marks]) -> list[Any]:
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

"""``canvas(network, units) -> Canvas``: a part of the input on which neurons see all that they see on the whole.

An ascent for a neuron in an early layer changes a few dozen pixels, and the network need not be run on all the others. Where
such a part may begin and how large it must be follows from the receptive fields; that it does is tried, not believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .layers import Unit
from .network import Network
from .receptive_field import Box, ReceptiveFields, all_receptive_fields

WORTHWHILE = 0.8
"""The part of the input's area from which on a canvas saves too little to be worth another path."""


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
    >>> from torch import nn
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

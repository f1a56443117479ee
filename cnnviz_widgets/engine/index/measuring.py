"""``Measuring(network, plan).shard(batches) -> n, n, ..., Part``: what some images do to all units, reduced while they pass.

A layer's output is reduced inside of the hook, at once to one value per unit and image, since operations in place may follow and
all maps together would not fit into memory. Only where a value is larger than the k-th known one is its position looked for:
among many images that is rare, k (1 + ln(n / k)) times in n.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network

from .loading import Batch
from .plan import Plan, identity_of
from .table import NOTHING, Table, keys_of


@dataclass(eq=False)
class Part:
    """What a shard gave.

    Attributes
    ----------
    table
        Without entries that the images known before it outdo, where the floor of these was told.
    numbers
        (n,) int64: the images that were measured, in the order in which they were.
    features
        Layer name -> (n, C) float32.
    thumbnails
        Per image a JPEG.
    faults
        Image number -> why it could not be measured.
    """

    table: Table
    numbers: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)
    thumbnails: list[bytes] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


class Measuring:
    """Runs a network on batches of images and keeps what the plan asks for; to be closed.

    Parameters
    ----------
    ranks
        (n,) int32: per image number its place in the order in which images stand for a level.
    """

    def __init__(self, network: Network, plan: Plan, ranks: Tensor) -> None:
        self.network, self.plan, self.ranks = network, plan, ranks
        self._layers = {layer.name: layer for layer in plan.layers}
        self._features = {layer.name: layer for layer in plan.features}
        self._offsets = plan.offsets
        self._record = network.recording(plan.hooked)
        self._device = network.device

    def close(self) -> None:
        """Let go of the network."""
        self._record.close()

    def shard(self, number: int, batches: Iterable[Batch], floor: Tensor | None = None) -> Iterator[int | Part]:
        """Measure the batches of a shard: how many of its images are done, after each; at last its `Part`.

        Parameters
        ----------
        floor
            (U,) int64: keys that an entry must exceed to matter; None: all matter.

        Raises
        ------
        RuntimeError
            A layer is not reached, or not what it was in the trial pass: the network's path depends on its input.
        """
        table = Table.empty(self.plan.units, self.plan.settings.k)
        floor = torch.full((self.plan.units,), NOTHING) if floor is None else floor
        part = Part(table, np.zeros(0, np.int64))
        numbers: list[int] = []
        done = 0
        features: dict[str, list[Tensor]] = {name: [] for name in self._features}
        for batch in batches:
            part.faults.update(batch.faults)
            part.thumbnails += batch.thumbnails
            done += len(batch.images)
            if not batch.numbers:
                continue
            looked = self.look(batch, torch.maximum(floor, table.keys[:, -1]))
            self._enter(table, looked, torch.tensor(batch.numbers))
            numbers += batch.numbers
            for name, values in looked.features.items():
                features[name].append(values[looked.places])
            yield done
        part.numbers = np.array(numbers, np.int64)
        for name, layer in self._features.items():
            kept = torch.cat(features[name]) if features[name] else torch.zeros(0, self.plan.width(layer))
            part.features[name] = kept.numpy()
        table.shards = frozenset([number])
        yield part

    def look(self, batch: Batch, threshold: Tensor) -> _Looked:
        """One pass."""
        images = batch.images.to(self._device, self.network.dtype)
        looked = _Looked(len(images), torch.tensor(batch.places), batch.numbers, self, threshold)
        with torch.no_grad():
            self._record.each(images, looked.take)
        if missed := set(self.plan.hooked) - looked.reached:
            raise RuntimeError(
                f"the layer {min(missed)!r} was not reached in a pass; the network's path depends on its input. Name the layers "
                "that are always reached: layers=[...]"
            )
        return looked

    def _enter(self, table: Table, looked: _Looked, numbers: Tensor) -> None:
        values = looked.values[looked.places].cpu().T.contiguous()
        positions = looked.positions[looked.places].cpu().T
        candidates = looked.candidates[looked.places].cpu().T
        rows = candidates.any(1).nonzero().flatten()
        keys = torch.where(candidates[rows], keys_of(values[rows], numbers), NOTHING)
        table.enter(rows, keys, positions[rows])
        table.count(values, looked.dropped.cpu(), self.ranks[numbers])


class _Looked:
    """What one pass gives, layer by layer, on the network's device.

    ``places`` are those of the images in the batch; in the others' stead neutral ones went through the network.
    """

    def __init__(self, count: int, places: Tensor, numbers: list[int], measuring: Measuring, threshold: Tensor) -> None:
        device, units = measuring._device, measuring.plan.units
        self.places = places
        self.values = torch.empty((count, units), device=device)
        self.positions = torch.full((count, units), -1, dtype=torch.int32, device=device)
        self.candidates = torch.zeros((count, units), dtype=torch.bool, device=device)
        self.dropped = torch.zeros(units, dtype=torch.int64, device=device)
        self.features: dict[str, Tensor] = {}
        self.reached: set[str] = set()
        self._measuring = measuring
        self._threshold = threshold.to(device)
        self._numbers = torch.zeros(count, dtype=torch.int64, device=device)
        self._numbers[places] = torch.tensor(numbers, device=device)
        self._real = torch.zeros(count, dtype=torch.bool, device=device)
        self._real[places] = True
        self._made: dict[str, tuple[object, ...]] = {}

    def take(self, name: str, tensor: Tensor) -> None:
        """Reduce a layer's output."""
        self.reached.add(name)
        plan = self._measuring.plan
        if name in plan.alias:
            if self._made.get(plan.alias[name]) != identity_of(tensor):
                raise RuntimeError(
                    f"the layer {name!r} gave what {plan.alias[name]!r} gives in a trial pass, and now does not: the network's "
                    f"path depends on its input. Name one of them: layers=[{name!r}, ...]"
                )
        elif name in self._measuring._layers:
            self._made[name] = identity_of(tensor)
            self._reduce(self._measuring._layers[name], tensor)
        if (kept := self._measuring._features.get(name)) is not None:
            maps = _channels_first(kept, tensor)
            self.features[name] = plan.features_of(kept, maps).cpu()

    def _reduce(self, layer: Layer, tensor: Tensor) -> None:
        if tuple(tensor.shape) != (len(self.values), *layer.shape):
            raise RuntimeError(
                f"the layer {layer.name!r} gives the shape {tuple(tensor.shape)} for {len(self.values)} images, expected "
                f"{(len(self.values), *layer.shape)}; leave it out: layers=[...]"
            )
        maps = _channels_first(layer, tensor)
        axes = tuple(range(2, maps.dim()))
        at = self._measuring._offsets[layer.name]
        part = slice(at, at + layer.channels)
        mean = self._measuring.plan.settings.pool == "mean"
        values = maps if not axes else maps.mean(axes) if mean else maps.amax(axes)
        finite = values.isfinite()
        if not finite.all():
            self.dropped[part] += (~finite & self._real[:, None]).sum(0)
            maps = torch.where(maps.isfinite(), maps, torch.nan)
            values = _reduced_finite(maps, axes, mean)
        values = values.float()
        self.values[:, part] = values
        ahead = keys_of(values, self._numbers[:, None]) > self._threshold[part]
        self.candidates[:, part] = ahead & self._real[:, None]
        if axes and not mean:
            images, channels = self.candidates[:, part].nonzero(as_tuple=True)
            if len(images):
                found = maps[images, channels].flatten(1)
                # argmax takes NaN for the largest
                found = found.nan_to_num(-torch.inf, torch.inf, -torch.inf) if not finite.all() else found
                self.positions[images, at + channels] = found.argmax(1).int()


def _reduced_finite(maps: Tensor, axes: tuple[int, ...], mean: bool) -> Tensor:
    """The largest or the mean value of those that are not NaN; NaN where all are."""
    if not axes:
        return maps
    if mean:
        return maps.nanmean(axes)
    largest = maps.nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(axes)
    return torch.where(maps.isnan().flatten(2).all(-1), torch.nan, largest)


def _channels_first(layer: Layer, tensor: Tensor) -> Tensor:
    return tensor.movedim(layer.channel_axis + 1, 1)

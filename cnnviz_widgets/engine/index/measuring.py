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

from .layout import layout_of
from .loading import Batch
from .plan import Plan, identity_of
from .reducing import reduced
from .table import NOTHING, Table, keys_of, read_keys


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
    squares
        Per JPEG its middle, uint8 (16, 16, 3).
    faults
        Image number -> why it could not be measured.
    """

    table: Table
    numbers: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)
    thumbnails: list[bytes] = field(default_factory=list)
    squares: list[np.ndarray] = field(default_factory=list)
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
        self._record.layout = layout_of(network)
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
            part.squares += batch.squares
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
        places = looked.places
        values = (looked.values if len(places) == len(looked.values) else looked.values[places]).cpu().T.contiguous()
        images, units, positions = looked.ahead()
        if len(images):
            rows, at = units.unique(return_inverse=True)
            entries = torch.full((len(rows), len(looked.values)), NOTHING)
            entries[at, images] = keys_of(looked.values[images, units], looked.numbers[images]).cpu()
            where = torch.full(entries.shape, -1, dtype=torch.int32)
            where[at, images] = positions
            table.enter(rows, entries, where)
        table.count(values, looked.dropped.cpu(), self.ranks[numbers])


class _Looked:
    """What one pass gives, layer by layer, on the network's device.

    ``places`` are those of the images in the batch; in the others' stead neutral ones went through the network.
    """

    def __init__(self, count: int, places: Tensor, numbers: list[int], measuring: Measuring, threshold: Tensor) -> None:
        device, units = measuring._device, measuring.plan.units
        self.places = places
        self.values = torch.empty((count, units), device=device)
        self.dropped = torch.zeros(units, dtype=torch.int64, device=device)
        self.features: dict[str, Tensor] = {}
        self.reached: set[str] = set()
        self.numbers = torch.zeros(count, dtype=torch.int64, device=device)
        self.numbers[places] = torch.tensor(numbers, device=device)
        self._measuring = measuring
        level, image = (torch.from_numpy(told) for told in read_keys(threshold.numpy()))
        self._level = torch.where(threshold == NOTHING, -torch.inf, level).to(device)
        self._image = image.to(device)
        self._real = torch.zeros(count, dtype=torch.bool, device=device)
        self._real[places] = True
        self._ahead: list[tuple[Tensor, Tensor, Tensor]] = []
        self._made: dict[str, object] = {}

    def ahead(self) -> tuple[Tensor, Tensor, Tensor]:
        """(images, units, positions) of the values that may be among the largest, on the CPU."""
        nothing = torch.zeros(0, dtype=torch.int64)
        found = zip(*self._ahead, strict=True) if self._ahead else ((nothing,),) * 3
        images, units, positions = (torch.cat(part).cpu() for part in found)
        return images, units, positions.int()

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
            # a copy, for what follows may overwrite the layer's own values
            self.features[name] = plan.features_of(kept, _channels_first(kept, tensor)).to("cpu", copy=True)

    def _reduce(self, layer: Layer, tensor: Tensor) -> None:
        if tuple(tensor.shape) != (len(self.values), *layer.shape):
            raise RuntimeError(
                f"the layer {layer.name!r} gives the shape {tuple(tensor.shape)} for {len(self.values)} images, expected "
                f"{(len(self.values), *layer.shape)}; leave it out: layers=[...]"
            )
        settings, at = self._measuring.plan.settings, self._measuring._offsets[layer.name]
        part = slice(at, at + layer.channels)
        found = reduced(_channels_first(layer, tensor), settings.pool)
        self.values[:, part] = found.values
        if found.faulty is not None:
            self.dropped[part] += (found.faulty & self._real[:, None]).sum(0)
        images, channels = self._candidates(found.values, part).nonzero(as_tuple=True)
        if len(images):
            placed = settings.pool == "max"
            positions = found.positions(images, channels) if placed else torch.full_like(images, -1)
            self._ahead.append((images, channels + at, positions))

    def _candidates(self, values: Tensor, part: slice) -> Tensor:
        """(B, C): which values lie above the threshold, or on it with a smaller number; as `keys_of` would order them."""
        level = self._level[part]
        ahead = (values > level) | ((values == level) & (self.numbers[:, None] < self._image[part]))
        ahead &= self._real[:, None]
        k = self._measuring.plan.settings.k
        if k < len(values) and int(ahead.sum()) > k * values.shape[1]:
            # no more than k of a batch can stay; only at the beginning are there more
            keys = torch.where(ahead, keys_of(values, self.numbers[:, None]), NOTHING)
            ahead &= keys >= keys.topk(k, dim=0).values[-1]
        return ahead


def _channels_first(layer: Layer, tensor: Tensor) -> Tensor:
    return tensor.movedim(layer.channel_axis + 1, 1)

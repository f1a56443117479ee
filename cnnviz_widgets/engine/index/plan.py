"""``plan(network, layers, ...) -> Plan``: what an index measures, found out by a trial pass before the long one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.tracing import version

from .layout import layout_of

Pool = Literal["max", "mean"]
POOLS: tuple[str, ...] = get_args(Pool)
MOST_K = 1000


@dataclass(frozen=True)
class Settings:
    """What of an index is a choice.

    Parameters
    ----------
    k
        How many of the largest activations are kept per unit.
    pool
        What of a unit's map is its activation for an image: ``"max"``, the largest value, whose position is kept, or
        ``"mean"``.
    batch
        Images that go through the network together. Another size changes the last bits.
    shard
        Images that are measured and written together, whole batches of them.
    """

    k: int = 9
    pool: Pool = "max"
    batch: int = 32
    shard: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_K:
            raise ValueError(f"k={self.k}; expected 1 to {MOST_K} images per unit")
        if self.pool not in POOLS:
            raise ValueError(f"pool={self.pool!r}; expected 'max' or 'mean'")
        if self.batch < 1 or self.shard < 1 or self.shard % self.batch:
            raise ValueError(
                f"batch={self.batch}, shard={self.shard}; expected 1 or more, and shards of whole batches: "
                f"shard={max(1, self.batch) * 8}"
            )


@dataclass(frozen=True)
class Plan:
    """Which layers are measured, and how.

    Attributes
    ----------
    layers
        Those that are measured, in execution order.
    alias
        Layer name -> the measured layer whose value it is: a block ends with the very tensor that its last part made.
    left_out
        Layer name -> why it can't be measured.
    features
        The layers whose features are kept: for each channel the mean over its map.
    flat
        Names of those that are kept as they are, position by position, for so the network's last dense layer takes them.
    """

    settings: Settings
    layers: tuple[Layer, ...]
    alias: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    features: tuple[Layer, ...] = ()
    flat: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """How many rows the table has."""
        return sum(layer.channels for layer in self.layers)

    @property
    def offsets(self) -> dict[str, int]:
        """Measured layer -> the row of its first channel."""
        offsets, row = {}, 0
        for layer in self.layers:
            offsets[layer.name] = row
            row += layer.channels
        return offsets

    @property
    def hooked(self) -> tuple[str, ...]:
        """The layers to look at in each pass."""
        names = [layer.name for layer in self.layers] + [*self.alias] + [layer.name for layer in self.features]
        return tuple(dict.fromkeys(names))

    def to_data(self) -> dict[str, Any]:
        """The plan as plain data, fit for JSON."""
        return {
            "k": self.settings.k,
            "pool": self.settings.pool,
            "batch": self.settings.batch,
            "shard": self.settings.shard,
            "layers": [_layer_data(layer) for layer in self.layers],
            "alias": dict(self.alias),
            "left_out": dict(self.left_out),
            "features": [_layer_data(layer) for layer in self.features],
            "flat": list(self.flat),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that `to_data` described."""
        settings = Settings(**{name: data[name] for name in ("k", "pool", "batch", "shard")})
        layers, features = (tuple(map(_layer, data[name])) for name in ("layers", "features"))
        return cls(settings, layers, data["alias"], data["left_out"], features, tuple(data["flat"]))

    def features_of(self, layer: Layer, maps: Tensor) -> Tensor:
        """What is kept of a layer's output (B, C, ...), channels first: (B, C), or all of it in a row."""
        if layer.name in self.flat:
            return maps.flatten(1).float()
        return (maps.mean(tuple(range(2, maps.dim()))) if maps.dim() > 2 else maps).float()

    def width(self, layer: Layer) -> int:
        """How many features of a layer are kept."""
        return math.prod(layer.shape) if layer.name in self.flat else layer.channels


def _layer_data(layer: Layer) -> list[Any]:
    return [layer.name, layer.kind, list(layer.shape), layer.channel_axis]


def _layer(data: Sequence[Any]) -> Layer:
    name, kind, shape, axis = data
    return Layer(name, kind, tuple(shape), axis)


def plan(
    network: Network,
    layers: Sequence[str | Layer] | str | Layer | None,
    features: Sequence[str | Layer] | str | Layer | None,
    settings: Settings,
) -> Plan:
    """Find out what can be measured, from a pass of two random images.

    Raises
    ------
    UnknownNameError
        No such layer.
    ValueError
        A layer that was asked for by name can't be measured.
    """
    wanted = list(network.layers.values()) if layers is None else _layers(network, layers)
    kept = [network.last_hidden] if features is None else _layers(network, features)
    seen = _trial(network, list(dict.fromkeys([*wanted, *kept])))
    measured: list[Layer] = []
    alias: dict[str, str] = {}
    left_out: dict[str, str] = {}
    made: dict[Any, str] = {}
    for layer in sorted(wanted, key=lambda layer: list(seen).index(layer.name) if layer.name in seen else -1):
        identity, fault = seen.get(layer.name, (None, "it was not reached in a pass of random images"))
        if fault and layers is not None:
            raise ValueError(f"the layer {layer.name!r} can't be measured: {fault}. net.layers lists the others")
        if fault:
            left_out[layer.name] = fault
        elif identity in made:
            alias[layer.name] = made[identity]
        else:
            made[identity] = layer.name
            measured.append(layer)
    usable = [layer for layer in kept if not seen.get(layer.name, (None, "missed"))[1]]
    if features is not None and len(usable) < len(kept):
        lost = next(layer for layer in kept if layer not in usable)
        raise ValueError(
            f"the layer {lost.name!r} gives no features: {seen.get(lost.name, ('', 'it was not reached'))[1]}"
        )
    flat = tuple(layer.name for layer in usable if _enters_flat(network, layer))
    return Plan(settings, tuple(measured), alias, left_out, tuple(usable), flat)


def _enters_flat(network: Network, layer: Layer) -> bool:
    """Whether the last dense layer takes every position of this one as a feature of its own."""
    if layer != network.last_hidden or math.prod(layer.positions) == 1:
        return False
    modules = dict(network.bare.named_modules())
    # a softmax may follow it, so it need not be the output
    called = [
        modules.get(network.owner(one.name))
        for one in network.layers.values()
        if one.kind != "input" and not one.positions
    ]
    dense = [part for part in called if isinstance(part, nn.Linear)]
    return bool(dense) and dense[-1].in_features == math.prod(layer.shape)


def _layers(network: Network, given: Sequence[str | Layer] | str | Layer) -> list[Layer]:
    listed = [given] if isinstance(given, str | Layer) else list(given)
    return list(dict.fromkeys(network[name] for name in listed))


def identity_of(tensor: Tensor) -> object:
    """Equal for two tensors of one pass that hold the same values, for they are one piece of memory in one state."""
    if tensor.is_inference():  # a user's own ``inference_mode``: such tensors do not tell when they are overwritten
        return object()
    return tensor.data_ptr(), version(tensor), tuple(tensor.shape), tuple(tensor.stride())


def _trial(network: Network, layers: Sequence[Layer]) -> dict[str, tuple[Any, str]]:
    """Layer name -> (identity of its value, what is wrong with it), in the order in which they came."""
    size = (2, *network.input.size)
    images = torch.rand(size, generator=torch.Generator().manual_seed(0)).to(network.device, network.dtype)
    known = {layer.name: layer for layer in layers}
    seen: dict[str, tuple[Any, str]] = {}
    held: list[Tensor] = []  # so that no memory is given out again

    def take(name: str, tensor: Tensor) -> None:
        held.append(tensor)
        fault = ""
        if tuple(tensor.shape) != (2, *known[name].shape):
            fault = f"it gives the shape {tuple(tensor.shape)} for two images, {known[name].shape} for one"
        seen[name] = (identity_of(tensor), fault)

    with network.recording(layers) as record, torch.no_grad():
        record.layout = layout_of(network)
        record.each(images, take)
    return seen

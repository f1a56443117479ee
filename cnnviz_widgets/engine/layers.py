"""``net[name] -> Layer``, ``layer[channel] -> Unit``: the addresses of a network's parts.

Both are plain hashable values, with no tensor and no module inside: they can be compared, stored, sent to another process
and used after the network is gone.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import UnknownNameError, near

Position = Literal["center"] | tuple[int, ...] | None


@dataclass(frozen=True)
class Layer:
    """One call of one module that returned a tensor.

    ``name`` is the module's dotted name, with ``@2`` for its second call in a forward pass; ``kind`` its class;
    ``shape`` the shape of the output of one image, without the batch: (C, H, W) for a feature map, (C,) for a dense layer.
    ``channel_axis`` is the axis of ``shape`` that counts channels, 0 but for layers that keep them last.

    Examples
    --------
    >>> layer = Layer("features.10", "Conv2d", (256, 13, 13))
    >>> layer[17], layer[17, "center"], layer[17, 2, 3]
    (features.10[17], features.10[17, center], features.10[17, 2, 3])
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    channel_axis: int = 0

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return self.shape[self.channel_axis]

    @property
    def positions(self) -> tuple[int, ...]:
        """The shape of one channel's map, (H, W); empty for a dense layer."""
        return self.shape[: self.channel_axis] + self.shape[self.channel_axis + 1 :]

    def __len__(self) -> int:
        return self.channels

    def __iter__(self) -> Iterator[Unit]:
        return (Unit(self, channel) for channel in range(self.channels))

    def __getitem__(self, key: int | tuple[int | str, ...]) -> Unit:
        """``[17]`` a channel, ``[17, "center"]`` and ``[17, 6, 6]`` one position of it.

        Raises
        ------
        IndexError
            No such channel or position; the text tells the shape.
        """
        channel, *where = key if isinstance(key, tuple) else (key,)
        position: Position = None
        if where == ["center"]:
            position = "center"
        elif where:
            position = tuple([self._index(at, size, "position") for at, size in self._pairs(where)])
        return Unit(self, self._index(channel, self.channels, "channel"), position)

    def _pairs(self, where: list[int | str]) -> Iterator[tuple[int | str, int]]:
        if len(where) != len(self.positions):
            raise IndexError(
                f"{self.name} has the shape {self.shape}: a position in it has {len(self.positions)} numbers, "
                f"given {tuple(where)}"
            )
        return zip(where, self.positions, strict=True)

    def _index(self, value: int | str, size: int, what: str) -> int:
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{what} {value!r} of {self.name}; expected a whole number or 'center'") from None
        if not -size <= number < size:
            raise IndexError(f"no {what} {number} in {self.name}: its shape is {self.shape}, so 0 to {size - 1}")
        return number % size


@dataclass(frozen=True, repr=False)
class Unit:
    """A channel of a layer, or, with a position, one neuron of it; in a dense layer every unit is a neuron.

    ``position`` None means the mean over the channel's map, ``"center"`` its middle (the right, lower one of an even size).
    """

    layer: Layer
    channel: int
    position: Position = None

    def __post_init__(self) -> None:
        if self.position is not None and not self.layer.positions:
            raise IndexError(
                f"{self.layer.name} is dense, with the shape {self.layer.shape}: a unit of it has no position; "
                f"use [{self.channel}]"
            )

    @property
    def index(self) -> tuple[int, ...] | None:
        """The position as numbers, or None for the whole channel."""
        if self.position == "center":
            return tuple(size // 2 for size in self.layer.positions)
        return self.position

    def __repr__(self) -> str:
        where = () if self.position is None else ("center",) if self.position == "center" else self.position
        return f"{self.layer.name}[{', '.join(str(part) for part in (self.channel, *where))}]"


class Layers(Mapping[str, Layer]):
    """Name -> `Layer` in execution order; prints as a table."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> Layer:
        if isinstance(name, Layer):
            name = name.name
        try:
            return self._layers[name]
        except KeyError:
            raise UnknownNameError(
                f"no layer {name!r}{near(str(name), self._layers)} net.layers lists all {len(self)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        rows = [(layer.name, layer.kind, shape_text(layer)) for layer in self._layers.values()]
        rows = [("layer", "kind", "shape"), *rows]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def shape_text(layer: Layer) -> str:
    """``"64 × 55 × 55"``."""
    return " × ".join(str(size) for size in layer.shape)

"""``Objective``: a score per image, and the arithmetic of scores."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Self, cast

from torch import Tensor

from cnnviz_widgets.engine.errors import near
from cnnviz_widgets.engine.knobs import Family
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.values import Values

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network


class Objective(Family):
    """A score per image, **higher is better**. A subclass is a frozen dataclass that gives `__call__` and prints as typed.

    What it reads follows from its fields: units, layers and other objectives.
    """

    @abstractmethod
    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Layer name -> the layer's output (B, ...) in; scores (B,) out."""
        raise NotImplementedError

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units it reads."""
        return tuple(dict.fromkeys(value for value in self._leaves() if isinstance(value, Unit)))

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers it reads; only these are recorded."""
        read = (value.layer if isinstance(value, Unit) else value for value in self._leaves())
        return tuple(dict.fromkeys(layer.name for layer in read))

    @property
    def local(self) -> bool:
        """Whether it reads single positions alone, so that an image of their receptive field gives the same score."""
        return all(isinstance(value, Unit) and value.index is not None for value in self._leaves())

    @property
    def together(self) -> bool:
        """Whether it compares the copies of one goal with each other, which then climb as a group."""
        return any(inner.together for inner in self._inner())

    def _inner(self) -> Iterator[Objective]:
        for value in self._values():
            if isinstance(value, Objective):
                yield value

    def _values(self) -> Iterator[Any]:
        return (getattr(self, f.name) for f in dataclasses.fields(cast(Any, self)))

    def _leaves(self) -> Iterator[Unit | Layer]:
        for value in self._values():
            if isinstance(value, Unit | Layer):
                yield value
            elif isinstance(value, Objective):
                yield from value._leaves()

    def mapped(self, change: Callable[[Unit], Unit]) -> Self:
        """The same objective of other units."""
        changed: dict[str, Any] = {}
        for f in dataclasses.fields(cast(Any, self)):
            value = getattr(self, f.name)
            if isinstance(value, Unit):
                changed[f.name] = change(value)
            elif isinstance(value, Objective):
                changed[f.name] = value.mapped(change)
        return dataclasses.replace(cast(Any, self), **changed)

    def bound(self, network: Network) -> Objective:
        """The objective as it is computed on a network, its units and layers checked.

        Raises
        ------
        ValueError
            A unit or layer is none of this network's, or the network can't tell what is asked for.
        """
        for value in self._leaves():
            _check(value, network)
        changed = {
            f.name: getattr(self, f.name).bound(network)
            for f in dataclasses.fields(cast(Any, self))
            if isinstance(getattr(self, f.name), Objective)
        }
        return dataclasses.replace(cast(Any, self), **changed) if changed else self

    def to_data(self) -> dict[str, Any]:
        """The objective as plain data, fit for JSON; units and layers by name."""
        values = {f.name: _told(getattr(self, f.name)) for f in dataclasses.fields(cast(Any, self))}
        return {"class": type(self).__name__, **values}

    @classmethod
    def read(cls, data: Any, network: Network) -> Objective:
        """The objective that `to_data` told, of this network's units. Only registered classes are made.

        Raises
        ------
        ValueError
            An unknown class, field, layer or unit.
        """
        name = data.get("class") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or name not in cls.registry:
            raise ValueError(f"no objective {name!r}{near(str(name), cls.registry)} known: {', '.join(cls.registry)}")
        member: Any = cls.registry[name]
        known = {f.name for f in dataclasses.fields(member)}
        if unknown := {key for key in data if key != "class"} - known:
            raise ValueError(f"{name} has no field {sorted(unknown)}; it has {sorted(known)}")
        try:
            read = {key: _read(value, network) for key, value in data.items() if key != "class"}
            for f in dataclasses.fields(member):
                if f.name in read:
                    _check_kind(name, f, read[f.name])
            return member(**read)
        except (TypeError, KeyError, IndexError) as error:
            raise ValueError(f"{name} can't be made of what was read: {error}") from error
        except RecursionError:
            raise ValueError("the objective is nested far too deeply") from None

    @staticmethod
    def ensure(value: Unit | Objective) -> Objective:
        """A unit stands for its activation.

        Raises
        ------
        TypeError
            Neither a unit nor an objective.
        """
        if isinstance(value, Objective):
            return value
        if isinstance(value, Unit):
            return cast(Objective, Objective.registry["Activation"](value))
        raise TypeError(
            f"{value!r} was given; expected a unit, as net['layer'][17], net.unit('flamingo'), or an objective"
        )

    # so that a NumPy number times an objective asks the objective
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Objective:
        return Sum(self, other) if isinstance(other, Objective) else NotImplemented

    def __radd__(self, other: Any) -> Objective:
        # sum() starts from 0
        return self if isinstance(other, Real) and other == 0 else NotImplemented

    def __sub__(self, other: Any) -> Objective:
        return Sum(self, -1 * other) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, weight: Any) -> Objective:
        return Weighted(self, float(weight)) if isinstance(weight, Real) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1 * self


@dataclass(frozen=True, repr=False)
class Weighted(Objective):
    """An objective times a number."""

    objective: Objective
    weight: float

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.weight * self.objective(activations)

    def __mul__(self, weight: Any) -> Objective:
        return Weighted(self.objective, self.weight * float(weight)) if isinstance(weight, Real) else NotImplemented

    __rmul__ = __mul__

    def __repr__(self) -> str:
        inner = f"({self.objective!r})" if isinstance(self.objective, Sum) else repr(self.objective)
        return f"-{inner}" if self.weight == -1 else f"{self.weight:.12g} * {inner}"


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """Two objectives at once; their layers are recorded in one pass."""

    left: Objective
    right: Objective

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.left(activations) + self.right(activations)

    def __repr__(self) -> str:
        right = repr(self.right)
        return f"{self.left!r} - {right[1:]}" if right.startswith("-") else f"{self.left!r} + {right}"


def _check(value: Unit | Layer, network: Network) -> None:
    layer = value.layer if isinstance(value, Unit) else value
    layers = network.layers
    if layers.get(layer.name) != layer:
        take = f"net[{layer.name!r}]" + (f"[{value.channel}]" if isinstance(value, Unit) else "")
        raise ValueError(
            f"{value if isinstance(value, Unit) else layer.name} is no {'unit' if isinstance(value, Unit) else 'layer'} of "
            f"this network{near(layer.name, layers)} take it from the network itself: {take}"
        )


def _check_kind(name: str, told: dataclasses.Field[Any], value: Any) -> None:
    """A field that is annotated with one of the kinds that are written down gets no other from a file."""
    kinds = {"Unit": Unit, "Layer": Layer, "Objective": Objective, "Values": Values, "str": str, "float": float | int}
    asked = getattr(told.type, "__name__", str(told.type))
    if asked in kinds and (not isinstance(value, kinds[asked]) or isinstance(value, bool)):
        raise ValueError(f"{name}.{told.name} is {str(value)[:80]}; expected {asked}")


def _told(value: Any) -> Any:
    if isinstance(value, Objective | Values):
        return value.to_data()
    if isinstance(value, Unit):
        position = list(value.position) if isinstance(value.position, tuple) else value.position
        return {"unit": [value.layer.name, value.channel, position]}
    if isinstance(value, Layer):
        return {"layer": value.name}
    return list(value) if isinstance(value, tuple) else value


def _read(value: Any, network: Network) -> Any:
    if isinstance(value, Mapping):
        if "class" in value:
            return Objective.read(value, network)
        if set(value) == {"layer"}:
            return network[value["layer"]]
        if set(value) == {"unit"}:
            layer, channel, position = value["unit"]
            where = position if isinstance(position, list) else [] if position is None else [position]
            return network[layer][(channel, *where)]
        return Values.from_data(value)
    if isinstance(value, list):
        return tuple(value)
    return value

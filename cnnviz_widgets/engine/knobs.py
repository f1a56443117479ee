"""``knob(default, low, high) -> dataclass field``: a setting together with what a slider needs to know of it.

A family member (a regularizer, a stepper, a parameterization) is a frozen dataclass whose fields are knobs. One line then
gives the constructor, the repr, the equality, the slider, the JSON and the range the contract tests draw from; nothing has
to be written twice, and a class that a user defines in a notebook cell appears in a panel with its sliders.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, Self

from .errors import near
from .values import Values


@dataclass(frozen=True)
class Knob:
    """What a control needs to know of one field.

    ``low`` and ``high`` bound the slider, not the value: a script may go beyond them.
    """

    low: float | None = None
    high: float | None = None
    scale: str = "linear"
    choices: tuple[Any, ...] = ()
    label: str = ""


def knob(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    scale: str = "linear",
    choices: tuple[Any, ...] = (),
    label: str = "",
) -> Any:
    """A dataclass field with its range and label.

    Parameters
    ----------
    default
        Its type, int, float, bool or str, is the type of the control.
    low, high
        The slider's ends; inside them every value must work.
    scale
        ``"linear"`` or ``"log"``; a logarithmic slider needs ``low > 0``.
    choices
        A menu instead of a slider.
    label
        What stands beside the control; empty: the field's name.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Posterize:
    ...     levels: int = knob(8, low=2, high=32)
    >>> Posterize(4)
    Posterize(levels=4)
    """
    if scale not in ("linear", "log"):
        raise ValueError(f"scale={scale!r}; expected 'linear' or 'log'")
    if scale == "log" and not (low is not None and low > 0):
        raise ValueError(f"a logarithmic knob needs low > 0, given low={low}")
    told = Knob(low, high, scale, tuple(choices), label)
    return field(default=default, metadata={"knob": told})


def knobs_of(member: Any) -> dict[str, Knob]:
    """Field name -> `Knob`, in the order of the constructor; fields that are no knobs are left out."""
    ordered = sorted(dataclasses.fields(member), key=lambda f: bool(f.kw_only))
    return {f.name: f.metadata["knob"] for f in ordered if "knob" in f.metadata}


class Family:
    """Base of a family: its direct subclasses (``Regularizer``, ``Stepper``, ...) each keep a registry by class name.

    A class registers itself when it is defined; defining one of the same name again, as running a notebook cell twice
    does, replaces the former. Names that begin with an underscore and abstract bases stay out.
    """

    registry: ClassVar[dict[str, type]]

    def __init_subclass__(cls, *, abstract: bool = False, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if Family in cls.__bases__:
            cls.registry = {}
        elif not abstract and not cls.__name__.startswith("_"):
            cls.registry[cls.__name__] = cls

    def __new__(cls, *given: Any, **named: Any) -> Self:
        """Tells of a class whose knobs have not become fields, which fails later and less clearly."""
        if forgotten := [name for name, value in vars(cls).items() if isinstance(value, dataclasses.Field)]:
            raise TypeError(
                f"{cls.__name__} has the knobs {forgotten}; write @dataclass(frozen=True) above its class line"
            )
        return super().__new__(cls)

    @classmethod
    def members(cls) -> Iterator[type[Self]]:
        """The registered classes in the order of their definition."""
        yield from list(cls.registry.values())

    def to_data(self) -> dict[str, Any]:
        """The member as plain data: ``{"class": name, field: value, ...}``, fit for JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}  # type: ignore[arg-type]
        told = {key: value.to_data() if isinstance(value, Values) else value for key, value in values.items()}
        return {"class": type(self).__name__, **told}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The member that `to_data` described. Only registered classes are made, nothing is imported or evaluated.

        Raises
        ------
        ValueError
            An unknown class, a field it does not have or that is missing, or a value of another kind than the field's.
        """
        family = cls.__name__.lower()
        name = data.get("class") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or name not in cls.registry:
            raise ValueError(
                f"no {family} {name!r}{near(str(name), cls.registry)} known: {', '.join(cls.registry)}. "
                f"A {family} of your own must be defined before a recipe that names it is read"
            )
        member = cls.registry[name]
        fields = {f.name: f for f in dataclasses.fields(member) if f.init}
        values = {key: value for key, value in data.items() if key != "class"}
        if unknown := set(values) - set(fields):
            raise ValueError(f"{name} has no field {sorted(unknown)}; it has {sorted(fields)}")
        for key, value in values.items():
            if _holds_values(fields[key]):
                absent = value is None and fields[key].default is None
                values[key] = None if absent else Values.from_data(value)
            elif type(value) not in (kinds := _kinds(fields[key])):
                expected = " or ".join(_KINDS[kind] for kind in kinds)
                raise ValueError(f"{name}.{key} is {value!r}; expected {expected}")
        needed = {key for key, f in fields.items() if f.default is MISSING and f.default_factory is MISSING}
        if missing := needed - set(values):
            raise ValueError(f"{name} needs the field {sorted(missing)}")
        return member(**values)


def _holds_values(told: dataclasses.Field[Any]) -> bool:
    """Whether a field is annotated ``Values`` or ``Values | None``; an annotation may be a text or the type itself."""
    return "Values" in re.findall(r"\w+", told.type if isinstance(told.type, str) else str(told.type))


_KINDS: dict[type, str] = {bool: "a truth value", int: "a whole number", float: "a number", str: "a text"}


def _kinds(told: dataclasses.Field[Any]) -> tuple[type, ...]:
    """The types that a field may be read as: what its annotation says, else its default's; for a number also a whole one."""
    annotated = {kind.__name__: kind for kind in _KINDS}.get(getattr(told.type, "__name__", str(told.type)))
    kind = annotated or type(told.default)
    if kind is float:
        return float, int
    return (kind,) if kind in _KINDS else tuple(_KINDS)

"""``knob(default, low, high) -> dataclass field``: a setting together with what a slider needs to know of it.

A family member (a regularizer, a stepper, a parameterization) is a frozen dataclass whose fields are knobs. One line then
gives the constructor, the repr, the equality, the slider, the JSON and the range the contract tests draw from; nothing has
to be written twice, and a class that a user defines in a notebook cell appears in a panel with its sliders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .errors import near


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
    return {f.name: f.metadata["knob"] for f in dataclasses.fields(member) if "knob" in f.metadata}


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

    @classmethod
    def members(cls) -> Iterator[type[Self]]:
        """The registered classes in the order of their definition."""
        yield from list(cls.registry.values())

    def to_data(self) -> dict[str, Any]:
        """The member as plain data: ``{"class": name, field: value, ...}``, fit for JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"class": type(self).__name__, **values}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The member that `to_data` described. Only registered classes are made, nothing is imported or evaluated.

        Raises
        ------
        ValueError
            An unknown class, a field it does not have, or a value that is no number, text or truth value.
        """
        family = cls.__name__.lower()
        name = data.get("class") if isinstance(data, Mapping) else None
        if name not in cls.registry:
            raise ValueError(
                f"no {family} {name!r}{near(str(name), cls.registry)} known: {', '.join(cls.registry)}. "
                f"A {family} of your own must be defined before a recipe that names it is read"
            )
        member = cls.registry[name]
        fields = {f.name for f in dataclasses.fields(member)}
        values = {key: value for key, value in data.items() if key != "class"}
        if unknown := set(values) - fields:
            raise ValueError(f"{name} has no field {sorted(unknown)}; it has {sorted(fields)}")
        for key, value in values.items():
            if not isinstance(value, bool | int | float | str):
                raise ValueError(f"{name}.{key} is {value!r}; expected a number, a text or a truth value")
        return member(**values)

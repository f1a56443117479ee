"""Knobs as fields, families as registries, and members as data."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from cnnviz_widgets.engine.knobs import Family, Knob, knob, knobs_of
from cnnviz_widgets.engine.regularizers import ClipSmallNorm, GaussianBlur, L2Decay, Regularizer


@dataclass(frozen=True)
class Sauce(Family):
    """A family that only these tests know."""


@dataclass(frozen=True)
class Mustard(Sauce):
    heat: float = knob(0.5, low=0.1, high=2.0, scale="log", label="how hot")
    spoons: int = knob(1, low=0, high=9)
    coarse: bool = knob(False)
    town: str = knob("Dijon", choices=("Dijon", "Meaux"))
    note: str = "no knob"


def test_one_line_gives_constructor_repr_equality_and_slider() -> None:
    assert repr(Mustard(0.7)) == "Mustard(heat=0.7, spoons=1, coarse=False, town='Dijon', note='no knob')"
    assert Mustard(0.7) == Mustard(heat=0.7) != Mustard()
    assert hash(Mustard()) == hash(Mustard())
    knobs = knobs_of(Mustard)
    assert list(knobs) == ["heat", "spoons", "coarse", "town"]
    assert knobs["heat"] == Knob(0.1, 2.0, "log", (), "how hot")
    assert knobs["town"].choices == ("Dijon", "Meaux")
    assert knobs_of(Mustard()) == knobs


def test_keyword_only_knobs_come_last_as_in_the_constructor() -> None:
    assert list(knobs_of(GaussianBlur)) == ["sigma", "every"]
    assert GaussianBlur(1.0, every=2) == GaussianBlur(sigma=1.0, every=2)
    with pytest.raises(TypeError, match="positional"):
        GaussianBlur(1.0, 2)  # type: ignore[misc]


def test_a_slider_does_not_bound_the_value() -> None:
    assert Mustard(heat=50.0).heat == 50.0


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"scale": "square"}, "'linear' or 'log'"),
        ({"scale": "log"}, "low > 0"),
        ({"scale": "log", "low": 0}, "low > 0"),
    ],
)
def test_a_knob_that_makes_no_slider_is_told(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        knob(1.0, **given)


def test_families_keep_apart_and_leave_out_bases() -> None:
    @dataclass(frozen=True)
    class _Secret(Sauce):
        pass

    class Creamy(Sauce, abstract=True):
        pass

    assert list(Sauce.members()) == [Mustard]
    assert Mustard not in set(Regularizer.members())
    assert {L2Decay, GaussianBlur, ClipSmallNorm} <= set(Regularizer.members())


def test_defining_a_class_again_replaces_it() -> None:
    def define(default: float) -> type[Sauce]:
        @dataclass(frozen=True)
        class Ketchup(Sauce):
            sweet: float = knob(default, low=0.0, high=1.0)

        return Ketchup

    first, second = define(0.2), define(0.3)
    try:
        assert Sauce.registry["Ketchup"] is second
        assert list(Sauce.registry) == ["Mustard", "Ketchup"]
        assert Sauce.from_data({"class": "Ketchup"}) == second(0.3)  # type: ignore[call-arg]
        assert first(0.2).to_data() == {"class": "Ketchup", "sweet": 0.2}  # type: ignore[call-arg]
    finally:
        del Sauce.registry["Ketchup"]


def test_a_class_without_the_decorator_is_told() -> None:
    class _Plain(Sauce):
        heat: float = knob(0.5)

    with pytest.raises(TypeError, match=r"_Plain has the knobs \['heat'\]; write @dataclass\(frozen=True\)"):
        _Plain(0.7)  # type: ignore[call-arg]


def test_members_are_frozen_and_can_be_copied() -> None:
    prior = GaussianBlur(0.7, every=3)
    with pytest.raises(AttributeError):
        prior.sigma = 2.0  # type: ignore[misc]
    assert copy.deepcopy(prior) == pickle.loads(pickle.dumps(prior)) == prior


def test_data_goes_both_ways() -> None:
    data = Mustard(0.7, 3, True, "Meaux").to_data()
    assert data == {"class": "Mustard", "heat": 0.7, "spoons": 3, "coarse": True, "town": "Meaux", "note": "no knob"}
    assert Sauce.from_data(data) == Mustard(0.7, 3, True, "Meaux")
    assert Sauce.from_data({"class": "Mustard", "heat": 2}) == Mustard(2.0)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"class": "Mustrad"}, "no sauce 'Mustrad'; did you mean 'Mustard'"),
        ({"class": "L2Decay"}, "no sauce 'L2Decay'"),
        ({"class": "__class__"}, "no sauce"),
        ({"class": ["Mustard"]}, "no sauce"),
        ({"class": None}, "no sauce"),
        ({}, "no sauce None"),
        ([], "no sauce None"),
        ("Mustard", "no sauce None"),
        ({"class": "Mustard", "__class__": "os"}, r"no field \['__class__'\]"),
        ({"class": "Mustard", "registry": {}}, "no field"),
        ({"class": "Mustard", "heat": "0.5"}, "heat is '0.5'; expected a number"),
        ({"class": "Mustard", "heat": True}, "heat is True; expected a number"),
        ({"class": "Mustard", "heat": None}, "expected a number"),
        ({"class": "Mustard", "heat": [1]}, "expected a number"),
        ({"class": "Mustard", "heat": {"class": "Mustard"}}, "expected a number"),
        ({"class": "Mustard", "spoons": 1.5}, "expected a whole number"),
        ({"class": "Mustard", "spoons": True}, "expected a whole number"),
        ({"class": "Mustard", "coarse": 1}, "expected a truth value"),
        ({"class": "Mustard", "town": 1}, "expected a text"),
    ],
)
def test_data_that_is_none_of_the_family_is_refused(data: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Sauce.from_data(data)


def test_a_field_without_a_default_is_needed() -> None:
    @dataclass(frozen=True)
    class Needy(Sauce):
        amount: float

    try:
        assert Sauce.from_data({"class": "Needy", "amount": 2}) == Needy(2.0)
        with pytest.raises(ValueError, match=r"Needy needs the field \['amount'\]"):
            Sauce.from_data({"class": "Needy"})
    finally:
        del Sauce.registry["Needy"]

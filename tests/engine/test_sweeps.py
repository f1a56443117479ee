"""Knobs of a recipe are turned one at a time, and what was turned is told in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.knobs import Knob
from cnnviz_widgets.engine.parameterizations import Fourier
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay
from cnnviz_widgets.engine.steppers import Adam, Constant
from cnnviz_widgets.engine.sweeps import Setting, differences, settings, sweep, varied

LUCID = Recipe(regularizers=[Jitter(8), L2Decay(0.1), Jitter(4)], stepper=Constant(50.0), steps=9, draws=2)


def test_settings_name_everything_that_can_be_turned() -> None:
    found = {name: told.value for name, told in settings(LUCID).items()}
    assert found["Jitter.pixels"] == 8
    assert found["Jitter#2.pixels"] == 4
    assert found["L2Decay.decay"] == 0.1
    assert found["Constant.size"] == 50.0
    assert found["Pixels.deviation"] == 10.0
    assert (found["steps"], found["seed"], found["draws"]) == (9, 0, 2)


@pytest.mark.parametrize("name", recipes.names())
def test_every_setting_of_a_preset_can_be_varied(name: str) -> None:
    recipe = recipes.get(name)
    for setting, told in settings(recipe).items():
        bounded = told.knob.low is not None or told.knob.choices or isinstance(told.value, bool)
        if not bounded or setting.endswith((".low", ".high")):  # these two bound each other
            continue
        for value in told.spread(2):
            made = varied(recipe, setting, value)
            assert settings(made)[setting].value == value
            others = {key: one.value for key, one in settings(made).items() if key != setting}
            assert others == {key: one.value for key, one in settings(recipe).items() if key != setting}


def test_of_two_of_a_class_the_one_that_is_meant_is_varied() -> None:
    assert varied(LUCID, "Jitter#2.pixels", 1).regularizers == (Jitter(8), L2Decay(0.1), Jitter(1))
    assert varied(LUCID, "Jitter.pixels", 1).regularizers == (Jitter(1), L2Decay(0.1), Jitter(4))
    assert varied(LUCID, "Constant.size", 7.0).stepper == Constant(7.0)
    assert varied(Recipe(parameterization=Fourier()), "Fourier.deviation", 0.3).parameterization == Fourier(
        deviation=0.3
    )


def test_a_setting_that_is_not_there_is_told() -> None:
    with pytest.raises(UnknownNameError, match=r"no setting 'L2Decay.decya'; did you mean 'L2Decay.decay'"):
        varied(LUCID, "L2Decay.decya", 0.5)
    with pytest.raises(KeyError):
        varied(LUCID, "GaussianBlur.sigma", 0.5)


@pytest.mark.parametrize(
    ("knob", "value", "count", "expected"),
    [
        (Knob(low=0.0, high=1.0), 0.3, 3, [0.0, 0.5, 1.0]),
        (Knob(low=0.01, high=1.0, scale="log"), 0.3, 3, [0.01, 0.1, 1.0]),
        (Knob(low=1, high=4), 2, 3, [1, 2, 4]),
        (Knob(low=1, high=2), 2, 6, [1, 2]),
        (Knob(low=1, high=1000, scale="log"), 5, 4, [1, 10, 100, 1000]),
        (Knob(choices=("a", "b", "c")), "b", 2, ["a", "b", "c"]),
        (Knob(), True, 5, [False, True]),
    ],
)
def test_values_from_one_end_of_a_slider_to_the_other(knob: Knob, value: Any, count: int, expected: list[Any]) -> None:
    assert Setting(knob, value).spread(count) == expected


def test_a_knob_without_ends_has_no_values_of_its_own() -> None:
    with pytest.raises(ValueError, match="no ends; give the values themselves"):
        Setting(Knob(), 3.0).spread(4)


def test_a_sweep_of_two_turns_the_last_fastest() -> None:
    found = sweep(LUCID, {"L2Decay.decay": [0.1, 0.2], "draws": [1, 2, 3]})
    assert [(one.regularizers[1], one.draws) for one in found] == [
        (L2Decay(decay), draws) for decay in (0.1, 0.2) for draws in (1, 2, 3)
    ]
    assert sweep(LUCID, {}) == [LUCID]


@pytest.mark.parametrize("counts", [(0,), (37,), (7, 6)])
def test_a_sweep_of_none_or_too_many_is_refused(counts: tuple[int, ...]) -> None:
    values = {name: list(range(1, count + 1)) for name, count in zip(("seed", "draws"), counts, strict=False)}
    with pytest.raises(ValueError, match="expected 1 to 36"):
        sweep(LUCID, values)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (LUCID, []),
        (varied(LUCID, "L2Decay.decay", 0.25), ["L2Decay.decay 0.1 → 0.25"]),
        (varied(LUCID, "Jitter#2.pixels", 5), ["Jitter#2.pixels 4 → 5"]),
        (LUCID.replace(draws=4, steps=90), ["steps 9 → 90", "draws 2 → 4"]),
        (LUCID.replace(regularizers=[Jitter(8)]), ["− L2Decay", "− Jitter#2"]),
        (LUCID.replace(regularizers=[*LUCID.regularizers, GaussianBlur()]), ["+ GaussianBlur"]),
        (LUCID.replace(stepper=Adam()), ["− Constant", "+ Adam"]),
        (LUCID.replace(parameterization=Fourier()), ["− Pixels", "+ Fourier"]),
        (varied(LUCID, "Constant.size", 1 / 3), ["Constant.size 50 → 0.333"]),
    ],
)
def test_differences_are_told_in_a_few_words(after: Recipe, told: list[str]) -> None:
    assert differences(LUCID, after) == told


def test_a_class_that_a_user_defines_is_swept_too() -> None:
    from cnnviz_widgets.engine.knobs import knob
    from cnnviz_widgets.engine.regularizers import Regularizer

    @dataclass(frozen=True)
    class _Fade(Regularizer):
        rate: float = knob(0.1, low=0.0, high=1.0)

    recipe = Recipe(regularizers=[_Fade()])
    found = sweep(recipe, {"_Fade.rate": settings(recipe)["_Fade.rate"].spread(3)})
    assert [one.regularizers[0].rate for one in found] == [0.0, 0.5, 1.0]  # type: ignore[attr-defined]

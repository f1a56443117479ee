"""The presets' numbers, recipes as code and as data."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from cnnviz_widgets.engine import parameterizations, recipes, regularizers, steppers
from cnnviz_widgets.engine.parameterizations import Fourier, Maco, Pixels
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import (
    ClipSmallContribution,
    ClipSmallNorm,
    GaussianBlur,
    Jitter,
    L2Decay,
    Noise,
    Padding,
    RandomCrop,
    RandomRotation,
    RandomScale,
)
from cnnviz_widgets.engine.steppers import Constant, Progress

NAMESPACE = {**vars(parameterizations), **vars(regularizers), **vars(steppers), **vars(recipes)}

UNUSUAL = Recipe(
    parameterization=Pixels(1.5),
    regularizers=(ClipSmallContribution(12.5), GaussianBlur(0.7, every=3), L2Decay(1e-4, every=2)),
    stepper=Constant(3.0),
    steps=17,
    seed=5,
    chunk=4,
)


# decay, sigma, every, percentile of the norm and of the contribution, the step rule and the number of steps
TABLE: dict[str, tuple[float, float, int, float, float, steppers.Stepper, int]] = {
    "none": (0, 0, 0, 0, 0, Progress(2.0, 1e8), 100),
    "yosinski-1": (0, 0.5, 4, 50, 0, Progress(2.0, 100.0), 500),
    "yosinski-2": (0.3, 0, 0, 20, 0, Constant(100.0, True), 750),
    "yosinski-3": (0.0001, 1.0, 4, 0, 0, Constant(100.0, True), 1000),
    "yosinski-4": (0, 0.5, 4, 0, 90, Progress(2.0, 1e8), 1000),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_presets_are_the_published_numbers(name: str) -> None:
    decay, sigma, every, norm, contribution, stepper, steps = TABLE[name]
    recipe = recipes.get(name)
    assert recipe.stepper == stepper
    assert recipe.steps == steps
    assert recipe.seed == 0
    assert recipe.chunk == 1
    assert recipe.parameterization == Pixels(10.0)
    # in the order in which the authors' program applies them
    expected: list[regularizers.Regularizer] = []
    expected += [L2Decay(decay, every=1)] if decay else []
    expected += [GaussianBlur(sigma, every=every)] if sigma else []
    expected += [ClipSmallNorm(norm, every=1)] if norm else []
    expected += [ClipSmallContribution(contribution, every=1)] if contribution else []
    assert list(recipe.regularizers) == expected


def test_names_lists_them_and_an_unknown_one_is_told() -> None:
    assert set(TABLE) < set(recipes.names())
    assert recipes.names()[0] == "natural"
    with pytest.raises(KeyError, match="no recipe 'yosinski-5'; did you mean 'yosinski-") as caught:
        recipes.get("yosinski-5")
    assert "recipes.names() lists natural, none, fooling" in str(caught.value)
    assert recipes.get(UNUSUAL) is UNUSUAL


def test_the_presets_of_other_papers_are_their_numbers() -> None:
    fooling, l2, lucid, maco = map(recipes.get, ("fooling", "l2", "lucid", "maco"))
    assert (fooling.parameterization, fooling.stepper) == (Pixels(1.0), steppers.ProbabilityProgress(0.02, 0.1, 1e7))
    assert (fooling.regularizers, fooling.steps) == ((), 500)
    assert l2.parameterization == Pixels(1.0)
    assert [type(prior).__name__ for prior in l2.regularizers] == ["L2Penalty"]
    views = (Padding(12), Jitter(8), RandomScale(0.9, 1.1), RandomRotation(10.0), Jitter(4))
    assert (lucid.parameterization, lucid.regularizers) == (Fourier(0.01, 1.0), views)
    assert (lucid.stepper, lucid.steps) == (steppers.Adam(0.05), 512)
    assert (maco.parameterization, maco.regularizers) == (Maco(), (RandomCrop(0.25, 0.3), Noise(0.05 * 255)))
    assert (maco.stepper, maco.draws) == (steppers.NAdam(1.0), 6)


NAMES = recipes.names()


@pytest.mark.parametrize("recipe", [UNUSUAL, *map(recipes.get, NAMES)], ids=["unusual", *NAMES])
def test_the_repr_is_code_and_json_goes_both_ways(recipe: Recipe) -> None:
    assert eval(repr(recipe), dict(NAMESPACE)) == recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert hash(Recipe.from_json(recipe.to_json())) == hash(recipe)
    assert repr(Recipe.from_json(recipe.to_json())) == repr(recipe)


def test_the_repr_runs_with_what_the_package_offers() -> None:
    import cnnviz_widgets as cnn

    offered = {**vars(cnn.recipes)}
    assert eval(repr(recipes.get("yosinski-4")), offered) == recipes.get("yosinski-4")
    assert eval(repr(UNUSUAL), {name: offered[name] for name in cnn.recipes.__all__}) == UNUSUAL


def test_what_json_leaves_out_is_the_default() -> None:
    assert Recipe.from_json("{}") == Recipe()
    assert Recipe.from_json('{"steps": 3}') == Recipe(steps=3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import os",
        "null",
        "3",
        '"none"',
        "[]",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"stepz": 3}',
        '{"__class__": "os.system"}',
        '{"__init__": []}',
        '{"steps": "3"}',
        '{"steps": 3.0}',
        '{"steps": true}',
        '{"steps": null}',
        '{"steps": -1}',
        '{"steps": {}}',
        '{"seed": 1e3}',
        '{"seed": 99999999999999999999999}',
        '{"chunk": 0}',
        '{"chunk": []}',
        '{"stepper": "Progress"}',
        '{"stepper": null}',
        '{"stepper": {"class": "Pixels"}}',
        '{"stepper": {"class": "Stepper"}}',
        '{"stepper": {"class": "os.system", "command": "true"}}',
        '{"stepper": {"class": "__import__"}}',
        '{"stepper": {"class": {"class": "Progress"}}}',
        '{"stepper": {"class": "Progress", "desired": "2"}}',
        '{"stepper": {"class": "Progress", "desired": NaN}}',
        '{"stepper": {"class": "Progress", "desired": Infinity}}',
        '{"stepper": {"class": "Progress", "__class__": 3}}',
        '{"stepper": {"class": "Progress", "update": 3}}',
        '{"parameterization": {"class": "Pixels", "deviation": {"class": "Pixels"}}}',
        '{"parameterization": {"class": "Pixels", "deviation": NaN}}',
        '{"parameterization": []}',
        '{"regularizers": {"class": "L2Decay"}}',
        '{"regularizers": "L2Decay"}',
        '{"regularizers": ["L2Decay"]}',
        '{"regularizers": [[{"class": "L2Decay"}]]}',
        '{"regularizers": [{"class": "L2Decay", "every": 0}]}',
        '{"regularizers": [{"class": "L2Decay", "every": 1.5}]}',
        '{"regularizers": [{"class": "L2Decay", "every": "1"}]}',
        '{"regularizers": [{"class": "L2Decay", "decay": [0.1]}]}',
        '{"regularizers": [{"class": "L2Decay", "decay": 7}]}',
        '{"regularizers": [{"class": "Regularizer"}]}',
        '{"regularizers": [{"class": "Family"}]}',
    ],
)
def test_a_text_that_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs from case to case
        Recipe.from_json(text)


def test_reading_a_recipe_makes_registered_classes_only() -> None:
    data = json.loads(UNUSUAL.to_json())
    assert data["regularizers"][1] == {"class": "GaussianBlur", "every": 3, "sigma": 0.7}
    data["regularizers"][1]["class"] = "GaussianBlurr"
    with pytest.raises(
        ValueError, match=r"no regularizer 'GaussianBlurr'; did you mean 'GaussianBlur'.*of your own must"
    ):
        Recipe.from_json(json.dumps(data))


def test_fields_are_replaced_whole() -> None:
    recipe = recipes.get("yosinski-1").replace(steps=3, regularizers=[L2Decay(0.1)])
    assert recipe.regularizers == (L2Decay(0.1),)
    assert recipe.stepper == recipes.get("yosinski-1").stepper
    assert recipe.replace(regularizers=L2Decay(0.2)).regularizers == (L2Decay(0.2),)
    with pytest.raises(TypeError, match="stepz"):
        recipe.replace(stepz=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.steps = 4  # type: ignore[misc]


def test_whole_numbers_of_numpy_become_pythons() -> None:
    recipe = Recipe(steps=np.int64(7), seed=np.int32(3))
    assert type(recipe.steps) is int
    assert recipe == Recipe(steps=7, seed=3)
    assert eval(repr(recipe), dict(NAMESPACE)) == recipe


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"steps": 2.5}, ValueError, "steps=2.5; expected a whole number from 0"),
        ({"chunk": 0}, ValueError, "chunk=0; expected a whole number from 1"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 2**64}, ValueError, "seed="),
        ({"steps": True}, ValueError, "steps=True"),
        ({"stepper": 3}, TypeError, "stepper=3; expected one of Constant, Progress"),
        ({"parameterization": Progress()}, TypeError, "parameterization=Progress.*expected one of Pixels"),
        ({"regularizers": [L2Decay]}, TypeError, "among the regularizers; expected L2Decay"),
        ({"regularizers": ["blur"]}, TypeError, "'blur' among the regularizers"),
    ],
)
def test_fields_that_fit_no_recipe_are_told(fields: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Recipe(**fields)

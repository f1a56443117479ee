"""Which units and recipes an atlas shows, and what is no such thing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.atlas.choosing import choose
from cnnviz_widgets.engine.atlas.plan import Plan
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from tests.engine.atlas import builds

NET = builds.network()


def chosen(
    layers: Any = None, units: Any = 2, given: Any = None, net: Network = NET, at: Any = None, **more: Any
) -> Plan:
    settings = {"steps": None, "coarse": 16, "chunk": None, "seed": 0, **more}
    return choose(net, layers, units, given, at=at, **settings)


def units_of(plan: Plan) -> list[str]:
    return [str(unit) for units in plan.units.values() for unit in units]


def test_units_are_numbers_mappings_or_lists() -> None:
    assert units_of(chosen(["4", "2"], 2)) == ["2[0, center]", "2[1, center]", "4[0, center]", "4[1, center]"]
    assert units_of(chosen("2", 100)) == [f"2[{channel}, center]" for channel in range(4)]
    assert units_of(chosen(units={"4": [3, -1, 3], NET["7"]: 2})) == ["4[3, center]", "4[5, center]", "7[0]", "7[2]"]
    assert units_of(chosen(units={"4": np.array([1, 2])})) == ["4[1, center]", "4[2, center]"]
    assert units_of(chosen(units=[NET["7"][1], NET["2"][3], NET["2"][0, 1, 2]])) == ["2[3]", "2[0, 1, 2]", "7[1]"]


def test_a_channel_is_shown_by_its_middle_neuron_where_that_sees_less() -> None:
    assert units_of(chosen("4", 1)) == units_of(chosen("4", 1, at="center")) == ["4[0, center]"]
    assert units_of(chosen("4", 1, at="channel")) == ["4[0]"]
    assert units_of(chosen(units=[NET["4"][1]], at="center")) == ["4[1, center]"]
    assert chosen("4", 1, at="channel").chunks[0][0].size == (19, 19)
    assert units_of(chosen("5", 1)) == ["5[0, center]"]  # after pooling, a map of one position


def test_what_is_climbed_is_the_value_before_the_nonlinearity() -> None:
    goals = [str(place.goal) for place in chosen(None, 1)]
    assert goals == ["activation(2[0, center], at='pre')", "activation(4[0, center], at='pre')", "7[0]"]


def test_recipes_are_names_values_or_mappings() -> None:
    own = Recipe(steps=5)
    assert chosen(given=None).recipes == ("default",)
    assert chosen(given="lucid").recipes == ("lucid",)
    assert chosen(given=["yosinski-1", recipes.get("l2"), own]).recipes == ("yosinski-1", "l2", "recipe 3")
    plan = chosen("2", 1, given={"mine": own, "usual": "default"})
    assert plan.recipes == ("mine", "usual")
    assert plan[NET["2"][0, "center"], "mine"].recipe == own.replace(chunk=9)


def test_larger_images_go_through_the_network_fewer_at_a_time(resnet: Network, real_network: Network) -> None:
    chunks = {place.recipe.chunk for place in chosen(None, 1, net=resnet)}
    assert chunks == {9}  # its images have 64 pixels
    plan = chosen(["bn1", "bn2", "classifier"], 4, net=real_network)
    assert [(chunk[0].unit.layer.name, len(chunk), chunk[0].recipe.chunk) for chunk in plan.chunks] == [
        ("bn1", 4, 9), ("bn2", 3, 3), ("bn2", 1, 3), ("classifier", 3, 3), ("classifier", 1, 3),
    ]  # fmt: skip
    assert [unit.channel for unit in plan.units["classifier"]] == [0, 250, 500, 750]
    assert [type(chunk[0].recipe.parameterization).__name__ for chunk in plan.chunks][-1] == "Maco"


def test_a_plan_is_read_back() -> None:
    plan = chosen(units=[NET["2"][1], NET["2"][0, 1, 2], NET["4"][2, "center"], NET["7"][0]], given=["l2", "default"])
    data = plan.to_data()
    assert Plan.from_data(data, NET) == plan
    assert [place.key for place in Plan.from_data(data, NET)] == [place.key for place in plan]
    assert len({place.key for place in plan}) == 8
    with pytest.raises(ValueError, match="it lacks 'chunks'"):
        Plan.from_data({**{name: value for name, value in data.items() if name != "chunks"}}, NET)


@pytest.mark.parametrize(
    "more", [{"seed": 1}, {"chunk": 3}, {"steps": 9}, {"given": Recipe()}, {"at": "channel"}], ids=str
)
def test_whatever_decides_an_image_is_in_its_key(more: dict[str, Any]) -> None:
    keys = {place.key for place in chosen("4", 2)}
    assert not keys & {place.key for place in chosen("4", 2, **more)}
    assert keys == {place.key for place in chosen("4", 2, coarse=3)}
    assert keys < {place.key for place in chosen(["4", "7"], 2)}


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"layers": "conv"}, UnknownNameError, "no layer 'conv'"),
        ({"layers": []}, ValueError, "at least one layer"),
        ({"units": 0}, ValueError, "units=0, .*at least one layer, and one unit of each"),
        ({"units": True}, ValueError, "units=True"),
        (
            {"units": 2.5},
            TypeError,
            "units=2.5; expected a number, a mapping of layers to channels, or a list of units",
        ),
        ({"units": "4"}, TypeError, "units='4'; expected a number"),
        ({"units": []}, ValueError, "at least one layer"),
        ({"units": {"4": []}}, ValueError, "one unit of each"),
        ({"units": {"4": [99]}}, IndexError, "no channel 99 in 4"),
        ({"units": {"4": ["ant"]}}, TypeError, "channel 'ant' of 4; expected a whole number"),
        ({"units": {"4": 2.5}}, TypeError, "2.5 for '4'; expected a number of units, or a list of channels or units"),
        ({"units": [3]}, TypeError, r"units=\[3\]; expected a number, a mapping"),
        ({"units": {"4": [NET["2"][0]]}}, ValueError, r"2\[0\] is no unit of '4'"),
        ({"layers": ["2"], "units": {"4": 1}}, ValueError, "units= tells of 4, layers= of 2; give one of them"),
        ({"given": "lucd"}, UnknownNameError, "no recipe 'lucd'"),
        ({"given": []}, ValueError, "no recipe was given"),
        ({"given": [3]}, TypeError, "3 among the recipes; expected a Recipe or one of default, natural"),
        ({"at": "middle"}, ValueError, "at='middle'; expected 'center', 'channel' or None"),
        ({"steps": 0}, ValueError, "steps=0; expected a whole number from 1"),
        ({"coarse": -1}, ValueError, "coarse=-1; expected a whole number from 0"),
        ({"chunk": 0}, ValueError, "chunk=0"),
        ({"seed": 1.5}, ValueError, "seed=1.5"),
    ],
    ids=str,
)
def test_what_is_none_of_these_is_told(arguments: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        chosen(**arguments)


def test_classes_may_have_recipes_of_their_own() -> None:
    net = NET
    plan = choose(net, None, 2, None, ["none", "l2"], at=None, steps=2, coarse=0, chunk=None, seed=0)
    inner = [layer.name for layer in net.main_layers if layer != net.output]
    assert plan.recipes_of(net.output.name) == ("none", "l2")
    assert {plan.recipes_of(name) for name in inner} == {("default",)}
    assert plan.recipes == ("default", "none", "l2")
    assert Plan.from_data(json.loads(json.dumps(plan.to_data())), net) == plan

"""``Plan``: the places of an atlas, each for one unit by one recipe, in the chunks that climb together.

A plan says all that decides an image, so that a place's key, a digest of it, tells whether an image on disk is the one wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.receptive_field import Box
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.store import key_of

SCHEMA = 1
_KEY_LETTERS = 24


@dataclass(frozen=True)
class Place:
    """One unit by one recipe.

    Attributes
    ----------
    unit
        A channel, or a neuron.
    name
        What the atlas calls the recipe.
    recipe
        How the image climbs, with the atlas's seed, chunk and steps.
    goal
        What is climbed: the unit's activation, before its nonlinearity where it has one.
    box
        (top, left, bottom, right) of what the unit sees, in input pixels; the picture shows this part.
    before
        The units before it in its chunk: in rare networks the place in a chunk decides the last bits.
    """

    unit: Unit
    name: str
    recipe: Recipe
    goal: Objective
    box: Box
    before: tuple[Unit, ...] = ()

    @cached_property
    def key(self) -> str:
        """A digest of all that decides the image beside the network."""
        made_of = {
            "schema": SCHEMA,
            "goal": self.goal.to_data(),
            "recipe": self.recipe.to_json(),
            "box": list(self.box),
            "before": [unit_data(unit) for unit in self.before],
        }
        return key_of(made_of)[:_KEY_LETTERS]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        top, left, bottom, right = self.box
        return bottom - top, right - left


@dataclass(frozen=True)
class Plan:
    """What is to be synthesized.

    Attributes
    ----------
    chunks
        Places whose images climb together: of one layer by one recipe, in order of depth.
    units
        Per layer its units, as they were asked for.
    recipes
        The recipes' names; not each layer need be shown by each.
    coarse
        After how many steps each place is shown for the first time; 0: only when it is finished.
    """

    chunks: tuple[tuple[Place, ...], ...]
    units: Mapping[str, tuple[Unit, ...]]
    recipes: tuple[str, ...]
    coarse: int
    _found: dict[tuple[Unit, str], Place] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_found", {(place.unit, place.name): place for place in self})

    def __iter__(self) -> Iterator[Place]:
        return (place for chunk in self.chunks for place in chunk)

    def __len__(self) -> int:
        return sum(map(len, self.chunks))

    def __getitem__(self, asked: tuple[Unit, str]) -> Place:
        return self._found[asked]

    def recipes_of(self, layer: str) -> tuple[str, ...]:
        """The names of the recipes that a layer's units are shown by."""
        unit = self.units[layer][0]
        return tuple(name for name in self.recipes if (unit, name) in self._found)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """In execution order."""
        return tuple(units[0].layer for units in self.units.values())

    def stages(self, chunk: Sequence[Place]) -> tuple[int, ...]:
        """The steps at which a chunk's images are shown: early, and at the end. Where the end is near there is one stage."""
        steps = chunk[0].recipe.steps
        return (self.coarse, steps) if 0 < 2 * self.coarse < steps else (steps,)

    def to_data(self) -> dict[str, Any]:
        """The plan as plain data, fit for JSON."""
        recipes = list(dict.fromkeys(place.recipe.to_json() for place in self))
        return {
            "schema": SCHEMA,
            "coarse": self.coarse,
            "names": list(self.recipes),
            "recipes": recipes,
            "units": {name: [unit_data(unit) for unit in units] for name, units in self.units.items()},
            "chunks": [
                [
                    {
                        "unit": unit_data(place.unit),
                        "name": place.name,
                        "recipe": recipes.index(place.recipe.to_json()),
                        "goal": place.goal.to_data(),
                        "box": list(place.box),
                    }
                    for place in chunk
                ]
                for chunk in self.chunks
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any], network: Network) -> Plan:
        """The plan that `to_data` described, of this network's units.

        Raises
        ------
        ValueError
            A layer, unit or recipe that there is none of, such as one with a regularizer that is not defined.
        """
        try:
            recipes = [Recipe.from_json(text) for text in data["recipes"]]
            chunks = tuple(_chunk(chunk, recipes, network) for chunk in data["chunks"])
            units = {name: tuple(_unit(unit, network) for unit in listed) for name, listed in data["units"].items()}
            return cls(chunks, units, tuple(map(str, data["names"])), int(data["coarse"]))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"it lacks {error}") from error


def unit_data(unit: Unit) -> list[Any]:
    """A unit as plain data."""
    position = list(unit.position) if isinstance(unit.position, tuple) else unit.position
    return [unit.layer.name, unit.channel, position]


def _unit(data: Any, network: Network) -> Unit:
    name, channel, position = data
    where = () if position is None else (position,) if isinstance(position, str) else tuple(position)
    return network[name][(channel, *where)]


def _chunk(data: Any, recipes: Sequence[Recipe], network: Network) -> tuple[Place, ...]:
    places: list[Place] = []
    for one in data:
        top, left, bottom, right = map(int, one["box"])
        before = tuple(place.unit for place in places)
        goal = Objective.read(one["goal"], network)
        recipe = recipes[one["recipe"]]
        unit = _unit(one["unit"], network)
        places.append(Place(unit, str(one["name"]), recipe, goal, (top, left, bottom, right), before))
    return tuple(places)

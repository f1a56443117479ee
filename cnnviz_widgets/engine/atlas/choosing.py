"""``choose(network, layers, units, recipes) -> Plan``: which units of which layers are shown, by which recipes.

Channels have no order that means anything, so the first ones are as good a sample as any, and a larger sample holds the smaller
one: nothing is made twice. Classes are often listed by kind, so there they are spread evenly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

from cnnviz_widgets.engine import recipes as presets
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective, activation
from cnnviz_widgets.engine.receptive_field import Box, ReceptiveFields, all_receptive_fields
from cnnviz_widgets.engine.recipes import Recipe

from .defaults import default_chunk, default_recipe
from .plan import Place, Plan

At = Literal["center", "channel"]
Units = int | Mapping[Any, Any] | Sequence[Unit]
Given = str | Recipe | Sequence[str | Recipe] | Mapping[str, str | Recipe] | None
DEFAULT = "default"
"""The name of the recipes that are chosen unit by unit."""


def choose(
    network: Network,
    layers: Sequence[str | Layer] | str | Layer | None,
    units: Units,
    given: Given,
    of_classes: Given = None,
    *,
    at: At | None,
    steps: int | None,
    coarse: int,
    chunk: int | None,
    seed: int,
) -> Plan:
    """What an atlas shows; see `Atlas.building`.

    Parameters
    ----------
    of_classes
        Recipes for the units of the output; None: the others'.

    Raises
    ------
    UnknownNameError, IndexError, TypeError, ValueError
        A layer, unit or recipe that there is none of, or a number out of range.
    """
    if at not in (None, "center", "channel"):
        raise ValueError(f"at={at!r}; expected 'center', 'channel' or None")
    for name, value, least in (("steps", steps, 1), ("coarse", coarse, 0), ("chunk", chunk, 1), ("seed", seed, 0)):
        if value is not None and not _is_whole(value, least):
            raise ValueError(f"{name}={value!r}; expected a whole number from {least}")
    named = _named(given)
    named_classes = named if of_classes is None else _named(of_classes)
    fields = network.once("receptive fields", lambda: all_receptive_fields(network))
    chosen = _chosen(network, fields, layers, units, at)
    chunks: list[tuple[Place, ...]] = []
    names: dict[str, None] = {}
    for layer_name, of_layer in chosen.items():
        ordered = sorted(of_layer, key=lambda unit: (unit.channel, str(unit.position)))
        seen = {unit: _seen(network, fields, unit) for unit in ordered}
        for name, recipe in (named_classes if layer_name == network.output.name else named).items():
            names[name] = None
            hows = {unit: _how(network, unit, seen[unit], recipe, steps, chunk, seed) for unit in ordered}
            for how in dict.fromkeys(hows.values()):
                alike = [unit for unit in ordered if hows[unit] == how]
                goals = {unit: goal_of(network, unit) for unit in alike}
                for start in range(0, len(alike), how.chunk):
                    group = alike[start : start + how.chunk]
                    places = [
                        Place(unit, name, how, goals[unit], seen[unit], tuple(group[:number]))
                        for number, unit in enumerate(group)
                    ]
                    chunks.append(tuple(places))
    return Plan(tuple(chunks), chosen, tuple(names), int(coarse))


def goal_of(network: Network, unit: Unit) -> Objective:
    """What is climbed for a unit: its value before the nonlinearity, where there always is a gradient, if it has one.

    A class is climbed by its score; that of a network that ends in a softmax by the score before it.
    """
    if unit.layer != network.output or network.gives_probabilities:
        before = activation(unit, at="pre")
        try:
            before.bound(network)
        except ValueError:
            return activation(unit)
        return before
    return activation(unit)


def _how(
    network: Network, unit: Unit, box: Box, recipe: Recipe | None, steps: int | None, chunk: int | None, seed: int
) -> Recipe:
    size = box[2] - box[0], box[3] - box[1]
    made = default_recipe(network, unit, size) if recipe is None else recipe
    return made.replace(steps=steps or made.steps, chunk=chunk or default_chunk(size), seed=seed)


def _named(given: Given) -> dict[str, Recipe | None]:
    """Name -> recipe, None for those that are chosen unit by unit."""
    if given is None:
        return {DEFAULT: None}
    if isinstance(given, Mapping):
        found = {str(name): _recipe(one) for name, one in given.items()}
    else:
        listed = [given] if isinstance(given, str | Recipe) else list(given)
        known = {presets.get(name): name for name in presets.names()}
        found = {}
        for number, one in enumerate(listed, 1):
            name = one if isinstance(one, str) else known.get(_recipe(one), f"recipe {number}")  # type: ignore[arg-type]
            found[name] = _recipe(one)
    if not found:
        raise ValueError(f"no recipe was given; expected one or several of {DEFAULT}, {', '.join(presets.names())}")
    return found


def _recipe(given: Any) -> Recipe | None:
    if not isinstance(given, str | Recipe):
        raise TypeError(
            f"{given!r} among the recipes; expected a Recipe or one of {DEFAULT}, {', '.join(presets.names())}"
        )
    return None if given == DEFAULT else presets.get(given)


def _chosen(
    network: Network,
    fields: Mapping[str, ReceptiveFields],
    layers: Sequence[str | Layer] | str | Layer | None,
    units: Units,
    at: At | None,
) -> dict[str, tuple[Unit, ...]]:
    """Layer name -> its units, in execution order."""
    listed = _layers(network, layers)
    wanted = _wanted(network, listed, units)
    if listed is not None and set(listed) != set(wanted):
        raise ValueError(
            f"units= tells of {', '.join(layer.name for layer in wanted) or 'no layer'}, layers= of "
            f"{', '.join(layer.name for layer in listed)}; give one of them, or the same layers"
        )
    if not wanted or not all(_is_whole(one, 1) if isinstance(one, Integral) else len(one) for one in wanted.values()):
        raise ValueError(f"units={units!r}, layers={layers!r}; expected at least one layer, and one unit of each")
    order = list(network.layers)
    found: dict[str, tuple[Unit, ...]] = {}
    for layer in sorted(wanted, key=lambda layer: order.index(layer.name)):
        asked = wanted[layer]
        numbers = _sample(network, layer, int(asked)) if isinstance(asked, Integral) else asked
        found[layer.name] = tuple(dict.fromkeys(_placed(network, fields, layer, one, at) for one in numbers))
    return found


def _wanted(network: Network, listed: list[Layer] | None, units: Units) -> dict[Layer, Any]:
    """Layer -> how many units, or which."""
    if isinstance(units, Mapping):
        wanted = {network[layer]: of_layer for layer, of_layer in units.items()}
        for layer, of_layer in wanted.items():
            if isinstance(of_layer, str) or not isinstance(of_layer, Integral | Iterable):
                raise TypeError(
                    f"{of_layer!r} for {layer.name!r}; expected a number of units, or a list of channels or units"
                )
        return {layer: one if isinstance(one, Integral) else list(one) for layer, one in wanted.items()}
    if isinstance(units, Integral):
        return dict.fromkeys(network.main_layers if listed is None else listed, units)
    if isinstance(units, str) or not isinstance(units, Iterable) or not all(isinstance(one, Unit) for one in units):
        raise TypeError(f"units={units!r}; expected a number, a mapping of layers to channels, or a list of units")
    wanted = {}
    for unit in units:
        wanted.setdefault(network[unit.layer], []).append(unit)
    return wanted


def _layers(network: Network, given: Sequence[str | Layer] | str | Layer | None) -> list[Layer] | None:
    if given is None:
        return None
    listed = [given] if isinstance(given, str | Layer) else list(given)
    return list(dict.fromkeys(network[name] for name in listed))


def _sample(network: Network, layer: Layer, count: int) -> list[int]:
    count = min(count, layer.channels)
    if layer == network.output:
        return [number * layer.channels // count for number in range(count)]
    return list(range(count))


def _placed(network: Network, fields: Mapping[str, ReceptiveFields], layer: Layer, given: Any, at: At | None) -> Unit:
    """A channel's number as the unit that is shown for it; a unit as it is, unless ``at`` says otherwise."""
    if isinstance(given, Unit):
        if given.layer != layer:
            raise ValueError(f"{given} is no unit of {layer.name!r}, which has the shape {layer.shape}")
        if at is None or given.position is not None:
            return given
    channel = given.channel if isinstance(given, Unit) else layer[given].channel
    if not layer.positions or at == "channel":
        return layer[channel]
    neuron = layer[channel, "center"]
    top, left, bottom, right = _seen(network, fields, neuron)
    _, height, width = network.input.size
    sees_less = (bottom - top, right - left) != (height, width)
    return neuron if at == "center" or sees_less else layer[channel]


def _seen(network: Network, fields: Mapping[str, ReceptiveFields], unit: Unit) -> Box:
    field = fields[unit.layer.name][unit]
    top, left, bottom, right = field.box
    if field.status == "unknown" or bottom <= top or right <= left:
        return 0, 0, *network.input.size[1:]
    return field.box


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) < 2**63

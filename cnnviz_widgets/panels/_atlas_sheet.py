"""``bands_of(atlas) -> bands``, ``changed(before, atlas) -> tiles``: an atlas as the sheet that `Poster` shows.

A tile's key is ``layer:channel:position:recipe``, with the parts of it that can be told apart by their places from the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnviz_widgets.engine.atlas import Atlas, Tile
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.progress import counted
from cnnviz_widgets.views import PosterBand, PosterTile

Key = tuple[Unit, str]


@dataclass(frozen=True, eq=False)
class Signature:
    """What of an atlas is shown: its plan, and how far each tile was."""

    plan: Any
    steps: Mapping[str, int]


def tile_key(unit: Unit, recipe: str) -> str:
    """``"blocks.2:17:center:lucid"``."""
    position = unit.position
    where = "" if position is None else position if isinstance(position, str) else ",".join(map(str, position))
    return f"{unit.layer.name}:{unit.channel}:{where}:{recipe}"


def keys(atlas: Atlas) -> dict[str, Key]:
    """Key -> unit and recipe of every tile, deep layers first."""
    return {
        tile_key(unit, recipe): (unit, recipe)
        for layer in reversed(atlas.layers)
        for unit in atlas.units(layer)
        for recipe in atlas.recipes_of(layer)
    }


def unit_of(atlas: Atlas, key: str) -> Unit | None:
    """The unit of a tile as panels share it: the channel; None where there is no such tile."""
    found = keys(atlas).get(key)
    return None if found is None else found[0].layer[found[0].channel]


def key_of(atlas: Atlas, unit: Unit) -> str:
    """The first tile of a unit's channel; empty where the atlas does not show it."""
    if unit.layer not in atlas.layers:
        return ""
    for known in atlas.units(unit.layer):
        if known.channel == unit.channel:
            return tile_key(known, atlas.recipes_of(unit.layer)[0])
    return ""


def bands_of(atlas: Atlas) -> list[PosterBand]:
    """One band for each layer, the deepest on top."""
    return [
        PosterBand(layer.name, list(_tiles(atlas, layer)), _about(atlas, layer)) for layer in reversed(atlas.layers)
    ]


def _tiles(atlas: Atlas, layer: Layer) -> Iterator[PosterTile]:
    for unit in atlas.units(layer):
        for recipe in atlas.recipes_of(layer):
            yield _poster_tile(atlas, unit, recipe)


def _poster_tile(atlas: Atlas, unit: Unit, recipe: str) -> PosterTile:
    tile, place = atlas.image(unit, recipe), atlas.place(unit, recipe)
    named = unit.layer == atlas.network.output and bool(atlas.network.labels)
    return PosterTile(
        tile_key(unit, recipe),
        None if tile is None else tile.png,
        side=(place.size[1], place.size[0]),
        label=atlas.label(unit) if named else "",
        lines=(str(unit), *_told(tile, recipe, atlas.fault(unit, recipe))),
        group=str(unit) if len(atlas.recipes_of(unit.layer)) > 1 else "",
        name=atlas.label(unit) if named else f"channel {unit.channel}",
        keep_contrast=True,
    )


def _told(tile: Tile | None, recipe: str, fault: str) -> tuple[str, ...]:
    if tile is None:
        return (f"recipe {recipe}", fault or "not made yet")
    probability = "" if tile.probability is None else f"probability {tile.probability:.3f}"
    state = f"step {tile.step} of {tile.steps}"
    return tuple(filter(None, [f"recipe {recipe}", f"{state} · score {tile.score:.4g}", probability, tile.note]))


def _about(atlas: Atlas, layer: Layer) -> str:
    height, width = atlas.receptive_size(layer)
    what = "classes" if layer == atlas.network.output and atlas.network.labels else "channels"
    return f"sees {height} × {width} pixels · {layer.channels:,} {what} · {layer.kind}"


def signature(atlas: Atlas) -> Signature:
    """How far an atlas is."""
    return Signature(atlas.plan, {key: atlas.step(*asked) for key, asked in keys(atlas).items()})


def changed(before: Signature, atlas: Atlas) -> list[PosterTile]:
    """The tiles of the same plan that are further than they were."""
    return [
        _poster_tile(atlas, *asked) for key, asked in keys(atlas).items() if atlas.step(*asked) != before.steps.get(key)
    ]


def targets(atlas: Atlas) -> dict[str, str]:
    """What can be flown to by name: classes, then layers -> key of a tile."""
    found: dict[str, str] = {}
    output = atlas.network.output
    if atlas.network.labels and output in atlas.layers:
        for unit in atlas.units(output):
            found[atlas.label(unit)] = key_of(atlas, unit)
    for layer in reversed(atlas.layers):
        found.setdefault(layer.name, key_of(atlas, atlas.units(layer)[0]))
    return found


def caption_of(atlas: Atlas) -> str:
    """What the sheet shows."""
    count = sum(len(atlas.units(layer)) for layer in atlas.layers)
    state = "" if atlas.complete else f", {atlas.finished:,} of {atlas.total:,} images finished"
    return (
        f"{counted(count, 'unit')} of {counted(len(atlas.layers), 'layer')} of {atlas.network.name}, deep layers on top; each "
        f"image is as large as what its unit sees of the input{state}."
    )

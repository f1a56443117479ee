"""``save(map, path)`` and ``opened(path, features, projection)``: maps on disk, each under its key.

::

    path/<key>/map.json                   what it was made from, how far it is, remarks; written last, with its own digest
               positions-<digest>.safetensors  points, and all that places new images
               lock                       held while it is written

A map is worth keeping: with other versions, or on another machine, it would look different.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnviz_widgets.engine.store import LOCK, Arrays, Folder, Record, StoreError, digest_of, key_of

from .base import SCHEMA, Projection, digest_of_features
from .map import Map, to_unit_square
from .preparing import Floats, Preparation

_MAP = "map.json"
_KEY_LETTERS = 20


def save(kept: Map, path: str | Path) -> Path:
    """See `Map.save`."""
    folder = Folder(Path(path).absolute() / kept.key[:_KEY_LETTERS])
    arrays: dict[str, np.ndarray] = {
        "positions": kept.positions,
        "values": kept.values,
        "mean": kept.preparation.mean,
        "components": kept.preparation.components,
    }
    with folder.locked("saving a map"):
        name = f"positions-{digest_of(kept.positions.tobytes())}.safetensors"
        data = {
            "recipe": dict(kept.recipe),
            "made by": kept.made_by,
            "told": list(kept.told),
            "done": kept.done,
            "total": kept.total,
            "scale": kept.preparation.scale,
            "arrays": folder.write_arrays(name, arrays).to_data(),
        }
        folder.write_json(_MAP, {**data, "digest": key_of(data)})
        folder.tidy({name, _MAP, LOCK})
    return folder.path


def opened(path: str | Path, features: Floats, projection: Projection | None) -> Map:
    """See `Map.open`."""
    where = Path(path).absolute()
    digest = digest_of_features(features)
    found, faults = _maps_in(where)
    fitting = [
        (folder, data)
        for folder, data in found
        if data["recipe"]["features"] == digest
        and (projection is None or data["recipe"]["projection"] == projection.to_data())
    ]
    if not fitting:
        raise StoreError(_missing(where, [data["recipe"] for _, data in found], faults, digest, projection))
    ways = {key_of(data["recipe"]["projection"]): data["recipe"]["projection"] for _, data in fitting}
    if len(ways) > 1:
        names = ", ".join(sorted(str(way.get("class")) for way in ways.values()))
        raise StoreError(
            f"{str(where)!r} holds {len(ways)} maps of these features, by {names}: open(..., projection=...)"
        )
    # one that would be made the same here comes first, then the newest
    folder, data = max(fitting, key=lambda one: (not _differs(one[1], features), (one[0].path / _MAP).stat().st_mtime))
    return _read(folder, data, features)


def _maps_in(where: Path) -> tuple[list[tuple[Folder, dict[str, Any]]], list[str]]:
    """Folder and record of each map below a path, and what is wrong with each that can't be read."""
    found, faults = [], []
    for path in sorted(where.glob(f"*/{_MAP}")):
        folder = Folder(path.parent)
        try:
            data = folder.read_json(_MAP)
            if not isinstance(data, dict) or data.pop("digest", None) != key_of(data):
                raise folder.damaged(_MAP, "its content has changed")
            if not folder.path.name.startswith(key_of(data["recipe"])[:_KEY_LETTERS]):
                raise folder.damaged(_MAP, "it is that of another map")
        except StoreError as error:
            faults.append(str(error))
            continue
        if data["recipe"].get("schema") == SCHEMA:
            found.append((folder, data))
        else:
            faults.append(f"{str(folder.path)!r} was written by another version of this package")
    return found, faults


def _missing(
    where: Path, recipes: list[dict[str, Any]], faults: list[str], digest: str, projection: Projection | None
) -> str:
    """Why no map fits."""
    if not recipes:
        told = f"no map in {str(where)!r}"
    elif not (same := [recipe for recipe in recipes if recipe["features"] == digest]):
        several = f"{len(recipes)} maps" if len(recipes) > 1 else "a map"
        told = f"{str(where)!r} holds {several} of other features; give those it was made of, or fit(...) anew"
    else:
        names = ", ".join(str(Projection.from_data(recipe["projection"])) for recipe in same)
        told = f"{str(where)!r} holds maps of these features, but none by {projection}: {names}"
    return ". ".join([told, *faults])


def _differs(data: Mapping[str, Any], features: Floats) -> str:
    """What was other where the map was made; empty for nothing."""
    recipe = data["recipe"]
    here = _projection(recipe).recipe(features)
    told = [
        f"{name} {known or 'absent'} (here {here['versions'].get(name) or 'absent'})"
        for name, known in recipe["versions"].items()
        if known != here["versions"].get(name)
    ]
    if recipe["threads"] != here["threads"]:
        told.append(f"{recipe['threads']} threads (here {here['threads']})")
    return "made with " + ", ".join(told) if told else ""


def _projection(recipe: Mapping[str, Any]) -> Projection:
    try:
        return Projection.from_data(recipe["projection"])
    except ValueError as error:
        raise StoreError(f"a map by a projection that is not known here: {error}") from error


def _read(folder: Folder, data: dict[str, Any], features: Floats) -> Map:
    try:
        arrays: Arrays = folder.arrays(Record.from_data(data["arrays"]))
        positions, values, mean, components = (
            np.array(arrays[name]) for name in ("positions", "values", "mean", "components")
        )
    except StoreError:
        raise
    except Exception as error:  # whatever a damaged file makes safetensors raise
        raise folder.damaged(_MAP, str(error)) from error
    projection = _projection(data["recipe"])
    differs = _differs(data, features)
    told = [*data["told"], *([differs] if differs else [])]
    return Map(
        to_unit_square(positions, positions).astype(np.float32),
        projection,
        data["recipe"],
        data["made by"],
        tuple(told),
        data["done"],
        data["total"],
        features,
        Preparation(projection.metric, data["scale"], mean, components),
        values,
        positions,
    )

"""``Archive``: an index on disk, shard by shard, so that a killed build goes on where it was.

::

    path/<key>/recipe.json             what it was made from, readable
               images.json             the ids and fingerprints of the images
               part-000012.safetensors what shard 12 keeps for each image: features, thumbnails and the squares in their
                                       middle; never changed
               table-000013.safetensors what shards 0 to 12 did to all units; takes the former one's place
               done.json               written last: which of these count, with length and digest
               lock                    held while a process builds

The key is a digest of the recipe, so another model, other images or other settings have a folder of their own. Whatever is read
is compared with a digest: a part and the table with that in ``done.json``, ``done.json`` with its own, the recipe with the key,
the images with the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnviz_widgets.engine.store import LOCK, Arrays, Folder, Record, StoreError, key_of
from cnnviz_widgets.engine.thumbnails import SQUARE

from .measuring import Part
from .roster import Roster
from .table import COLUMNS, Table

SCHEMA = 1
_RECIPE, _IMAGES, _DONE = "recipe.json", "images.json", "done.json"
_KEY_LETTERS = 20
SQUARES = (SQUARE, SQUARE, 3)


@dataclass(frozen=True)
class Done:
    """Which files of an archive count.

    Attributes
    ----------
    shards
        How many shards are in them, the first ones.
    images
        How many images these had, broken ones left out.
    parts
        One for each shard.
    faults
        Image number -> why it could not be measured.
    """

    shards: int
    images: int
    table: Record
    parts: tuple[Record, ...]
    faults: Mapping[int, str]

    def to_data(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        return {
            "shards": self.shards,
            "images": self.images,
            "table": self.table.to_data(),
            "parts": [part.to_data() for part in self.parts],
            "faults": {str(number): reason for number, reason in self.faults.items()},
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Done:
        """What `to_data` described."""
        return cls(
            int(data["shards"]),
            int(data["images"]),
            Record.from_data(data["table"]),
            tuple(map(Record.from_data, data["parts"])),
            {int(number): str(reason) for number, reason in data["faults"].items()},
        )


@dataclass(frozen=True)
class Archive:
    """The folder of one index.

    Attributes
    ----------
    recipe
        What it is made from: the digests of the network and of the images, and the plan.
    """

    folder: Folder
    recipe: Mapping[str, Any]

    @classmethod
    def at(cls, path: str | Path, recipe: Mapping[str, Any]) -> Archive:
        """The archive of that recipe below ``path``, which stays the same from another working directory."""
        return cls(Folder(Path(path).absolute() / key_of(recipe)[:_KEY_LETTERS]), recipe)

    def begin(self, roster: Roster, told: Mapping[str, Any]) -> Done | None:
        """Write down what it is made from, or find it written; what is done already.

        Parameters
        ----------
        told
            Facts for a reader that are not in the key.

        Raises
        ------
        StoreError
            The folder is damaged: what was done can't be told, or a part of it is not as it was written.
        """
        done = self.done()
        for part in done.parts if done else ():
            self.folder.arrays(part, whole=False)
        # both follow from what is at hand, so that damage to them costs nothing
        if not _reads(lambda: roster_in(self.folder.path, roster.digest)):
            self.folder.write_json(_IMAGES, {"ids": roster.ids, "fingerprints": roster.fingerprints})
        if not _reads(lambda: _recipe_in(self.folder)):
            self.folder.write_json(_RECIPE, {**self.recipe, "told": told})
        kept = {record.name for record in (done.table, *done.parts)} if done else set()
        self.folder.tidy(kept | {_RECIPE, _IMAGES, _DONE, LOCK})
        return done

    def done(self) -> Done | None:
        """What counts; None where nothing does.

        Raises
        ------
        StoreError
            The record is damaged.
        """
        data = self.folder.read_json(_DONE)
        if data is None:
            return None
        try:
            digest = data.pop("digest")
            done = Done.from_data(data)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self.folder.damaged(_DONE, f"it lacks {error}") from error
        if digest != key_of(data):
            raise self.folder.damaged(_DONE, "its content has changed")
        return done

    def save(self, before: Done | None, part: Part, table: Table) -> Done:
        """Add a shard: its part, the table with it, and then the record that both count."""
        number = before.shards if before else 0
        kept = self.folder.write_arrays(f"part-{number:06}.safetensors", _part_arrays(part))
        written = self.folder.write_arrays(f"table-{number + 1:06}.safetensors", table.arrays())
        done = Done(
            number + 1,
            table.images,
            written,
            (*(before.parts if before else ()), kept),
            {**(before.faults if before else {}), **part.faults},
        )
        data = done.to_data()
        self.folder.write_json(_DONE, {**data, "digest": key_of(data)})
        if before:
            self.folder.drop(before.table.name)
        return done

    def table(self, done: Done) -> Table:
        """The table, read and compared with its digest."""
        arrays = self.folder.arrays(done.table)
        return Table.of({name: arrays[name] for name in COLUMNS}, range(done.shards), done.images)


def _part_arrays(part: Part) -> dict[str, np.ndarray]:
    lengths = [len(data) for data in part.thumbnails]
    return {
        "numbers": part.numbers,
        "thumbnails": np.frombuffer(b"".join(part.thumbnails), np.uint8),
        "squares": np.stack(part.squares) if part.squares else np.zeros((0, *SQUARES), np.uint8),
        "ends": np.cumsum(lengths, dtype=np.int64) if lengths else np.zeros(0, np.int64),
        **{f"features {name}": values for name, values in part.features.items()},
    }


def part_of(arrays: Arrays, name: str) -> np.ndarray:
    """The features of a layer in a part's file."""
    return arrays[f"features {name}"]


def squares_of(arrays: Arrays) -> np.ndarray | None:
    """uint8 (n, 16, 16, 3) of a part's file; None in a file from before they were kept."""
    return arrays["squares"] if "squares" in arrays.names() else None


def recipes_in(path: str | Path) -> tuple[list[tuple[Path, dict[str, Any]]], list[str]]:
    """(folder, recipe) of each index below a path; and what is wrong with each that can't be read."""
    found, faults = [], []
    for recipe in sorted(Path(path).glob(f"*/{_RECIPE}")):
        try:
            data = _recipe_in(Folder(recipe.parent))
        except StoreError as error:
            faults.append(str(error))
            continue
        if data.get("schema") == SCHEMA:
            found.append((recipe.parent, data))
        else:
            faults.append(f"{recipe.parent.name} was written by another version of this package")
    return found, faults


def roster_in(folder: Path, digest: str) -> Roster:
    """The images of the index in a folder.

    Raises
    ------
    StoreError
        They are damaged: their digest is another.
    """
    data = Folder(folder).read_json(_IMAGES)
    try:
        roster = Roster(tuple(data["ids"]), tuple(data["fingerprints"]))
        same = roster.digest == digest
    except (KeyError, TypeError) as error:
        raise Folder(folder).damaged(_IMAGES, f"it lacks {error}") from error
    if not same:
        raise Folder(folder).damaged(_IMAGES, "its content has changed")
    return roster


def _recipe_in(folder: Folder) -> dict[str, Any]:
    data = folder.read_json(_RECIPE)
    recipe = {name: value for name, value in data.items() if name != "told"} if isinstance(data, dict) else None
    if key_of(recipe)[:_KEY_LETTERS] != folder.path.name:
        raise folder.damaged(_RECIPE, "its content has changed")
    return recipe or {}


def _reads(read: Callable[[], Any]) -> bool:
    try:
        read()
    except StoreError:
        return False
    return True

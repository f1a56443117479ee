"""``Shelf``: where the images of an atlas are, in memory or on disk, one file each.

::

    path/<key>/network.json                 what the images are of, readable
               plan.json                    which units by which recipes were asked for last
               <place>-coarse-<digest>.png  an image on its way; gone once the final one is there
               <place>-final-<digest>.png   an image
               <place>-fault-<digest>.txt   why there is none
               lock                         held while a process builds

The folder's key is a digest of the network, so other weights have a folder of their own; a place's key is one of all else that
decides an image. A file's name tells the digest of its content: what is damaged is found out and made anew, and a listing of
the folder is all that a build needs to go on. Images of former plans stay, and are used again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.store import NEW, Folder, StoreError, digest_of, key_of
from cnnviz_widgets.engine.travel import structure_of

from .plan import SCHEMA, Plan

Kind = Literal["coarse", "final", "fault"]
_ENDINGS: dict[Kind, str] = {"coarse": "png", "final": "png", "fault": "txt"}
_NAME = re.compile(r"([0-9a-f]+)-(coarse|final|fault)-([0-9a-f]{32})\.(?:png|txt)")
_NETWORK, _PLAN = "network.json", "plan.json"
_KEY_LETTERS = 20
_RANK: dict[str, int] = {"coarse": 0, "fault": 1, "final": 2}


class Shelf:
    """The images that there are; a mapping of places' keys to the kind of the newest file.

    Parameters
    ----------
    folder
        None: in memory.
    """

    def __init__(self, folder: Folder | None = None) -> None:
        self.folder = folder
        self._held: dict[str, bytes] = {}
        self._names: dict[str, str] = {}

    @classmethod
    def at(cls, path: str | Path | None, made_of: Mapping[str, Any]) -> Shelf:
        """The shelf of a network's images below ``path``, which stays the same from another working directory."""
        if path is None:
            return cls()
        return cls(Folder(Path(path).absolute() / key_of(made_of)[:_KEY_LETTERS]))

    def kind(self, key: str) -> Kind | None:
        """What there is of a place."""
        name = self._names.get(key)
        found = None if name is None else _NAME.fullmatch(name)
        return None if found is None else found[2]  # type: ignore[return-value]

    def put(self, key: str, kind: Kind, data: bytes) -> None:
        """Put a file there, in place of a coarser one."""
        name = f"{key}-{kind}-{digest_of(data)}.{_ENDINGS[kind]}"
        former = self._names.get(key)
        if self.folder is None:
            self._held[name] = data
        else:
            self.folder.write(name, data)
        self._names[key] = name
        if former is not None and former != name:
            self._drop(former)

    def _drop(self, name: str) -> None:
        if self.folder is None:
            self._held.pop(name, None)
        else:
            self.folder.drop(name)

    def read(self, key: str) -> bytes:
        """The newest file of a place.

        Raises
        ------
        StoreError
            It is gone, or not as it was written.
        """
        if self.folder is None:
            return self._held[self._names[key]]
        name = self._names[key]
        if not (self.folder.path / name).is_file():
            name = self._anew(key)
        try:
            return self._checked(name)
        except StoreError:
            if (self.folder.path / name).is_file():
                raise
        return self._checked(self._anew(key))  # gone this very moment

    def _anew(self, key: str) -> str:
        """The file of a place, after a build may have put the final image in place of a coarse one."""
        assert self.folder is not None
        self.look()
        if (name := self._names.get(key)) is None:
            raise self.folder.damaged(f"{key}-*", "it is gone")
        return name

    def _checked(self, name: str) -> bytes:
        assert self.folder is not None
        try:
            data = (self.folder.path / name).read_bytes()
        except OSError as error:
            raise self.folder.damaged(name, str(error.strerror or error)) from error
        found = _NAME.fullmatch(name)
        if found is None or digest_of(data) != found[3]:
            raise StoreError(
                f"{str(self.folder.path / name)!r} is damaged: its content has changed; build again to mend it"
            )
        return data

    def look(self) -> list[str]:
        """List the folder anew; the names of files that others have taken the place of."""
        if self.folder is None or not self.folder.path.is_dir():
            return []
        present = [path.name for path in self.folder.path.iterdir()]
        found = [match for match in map(_NAME.fullmatch, present) if match is not None]
        # the name decides between two that are equal otherwise, whatever the order of a listing
        found.sort(key=lambda match: (_RANK[match[2]], match[0]))
        names = {match[1]: match[0] for match in found}
        spare = [match[0] for match in found if names[match[1]] != match[0]]
        self._names = names
        return spare

    @contextlib.contextmanager
    def opened(self, made_of: Mapping[str, Any], plan: Plan, told: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder, take up what is in it, and write down what is asked for.

        Raises
        ------
        StoreError
            Another process builds there, or nothing can be written.
        """
        if self.folder is None:
            yield
            return
        with self.folder.locked("building an atlas"):
            self._tidy({place.key for place in plan})
            for name, data in ((_NETWORK, {**made_of, "told": told}), (_PLAN, _signed(plan.to_data()))):
                if _read(self.folder, name) != data:
                    self.folder.write_json(name, data)
            yield

    def _tidy(self, wanted: set[str]) -> None:
        """Remove what a killed process left, and what is damaged."""
        assert self.folder is not None
        spare = self.look()
        for path in list(self.folder.path.iterdir()):
            if path.name in spare or path.name.endswith(NEW) or path.name.startswith("weights-"):
                self.folder.drop(path.name)
        for key in wanted & self._names.keys():
            try:
                self._checked(self._names[key])
            except StoreError:
                self.folder.drop(self._names.pop(key))

    def copy(self) -> Shelf:
        """What there is now; what is put later is not in it."""
        other = Shelf(self.folder)
        other._held, other._names = dict(self._held), dict(self._names)
        return other


def made_of(network: Network, digest: str) -> dict[str, Any]:
    """What all images of a network are made from, as plain data."""
    return {
        "schema": SCHEMA,
        "weights": digest,
        "module": type(network.bare).__qualname__,
        "structure": structure_of(network.bare),
        "input": repr(network.input),
    }


def plan_in(shelf: Shelf, network: Network) -> Plan:
    """What was asked for last.

    Raises
    ------
    StoreError
        The record is damaged, or tells of what is not defined here.
    """
    assert shelf.folder is not None
    data = shelf.folder.read_json(_PLAN)
    try:
        digest = data.pop("digest")
        if digest != key_of(data):
            raise ValueError("its content has changed")
        return Plan.from_data(data, network)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise shelf.folder.damaged(_PLAN, str(error)) from error


def networks_in(path: str | Path) -> list[tuple[Path, dict[str, Any]]]:
    """(folder, what its images are of) of each atlas below a path that can be read."""
    found = []
    for file in sorted(Path(path).glob(f"*/{_NETWORK}")):
        data = _read(Folder(file.parent), _NETWORK)
        if isinstance(data, dict) and (file.parent / _PLAN).is_file():
            found.append((file.parent, data))
    return found


def _signed(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "digest": key_of(data)}


def _read(folder: Folder, name: str) -> Any:
    try:
        return folder.read_json(name)
    except StoreError:
        return None

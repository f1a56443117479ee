"""``Folder(path).write(name, data) -> Record``: results on disk that are there as a whole or not at all.

A file is written under another name, synced, and renamed; then its folder is synced. So whoever reads a name finds a complete
file, whatever was killed when. Numbers lie in safetensors files and everything else in JSON: nothing that is read is executed.
Which files belong together is told by a record that is written last, and names length and digest of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np
import safetensors
from safetensors.numpy import save

NEW = ".new"
"""How the name of a file ends that is being written."""


class StoreError(RuntimeError):
    """What is on disk is not what was expected there, or is in use."""


@dataclass(frozen=True)
class Record:
    """A file as it was written."""

    name: str
    bytes: int
    digest: str

    def to_data(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        return {"name": self.name, "bytes": self.bytes, "digest": self.digest}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Record:
        """The record that `to_data` described."""
        return cls(str(data["name"]), int(data["bytes"]), str(data["digest"]))


@dataclass(frozen=True)
class Folder:
    """A folder of results."""

    path: Path

    def write(self, name: str, data: bytes) -> Record:
        """Put a file there, in place of one that may be there."""
        self.path.mkdir(parents=True, exist_ok=True)
        new = self.path / (name + NEW)
        with new.open("wb") as file:
            _write(file, data)
            _sync(file.fileno())
        _rename(new, self.path / name)
        _sync_folder(self.path)
        return Record(name, len(data), digest_of(data))

    def write_json(self, name: str, data: Any) -> Record:
        """Put JSON there, readable."""
        return self.write(
            name, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
        )

    def write_arrays(
        self, name: str, arrays: Mapping[str, np.ndarray], told: Mapping[str, str] | None = None
    ) -> Record:
        """Put arrays there as a safetensors file."""
        plain = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        return self.write(name, save(plain, dict(told) if told else None))

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote; None where there is no such file.

        Raises
        ------
        StoreError
            The file is no JSON.
        """
        path = self.path / name
        try:
            return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{str(path)!r} is damaged: {error}; remove {str(self.path)!r} and build again") from error

    def arrays(self, record: Record, *, whole: bool = False) -> Arrays:
        """The arrays of a file, mapped into memory; ``whole`` reads it all to compare the digest too.

        Raises
        ------
        StoreError
            The file is gone, or not as it was written.
        """
        path = self.path / record.name
        size = path.stat().st_size if path.is_file() else -1
        damaged = size != record.bytes or (whole and digest_of(path.read_bytes()) != record.digest)
        if damaged:
            told = (
                "is gone"
                if size < 0
                else f"has {size:,} bytes, expected {record.bytes:,}"
                if size != record.bytes
                else "changed"
            )
            raise StoreError(f"{str(path)!r} {told}; remove {str(self.path)!r} and build again")
        return Arrays(path)

    def tidy(self, keep: set[str]) -> None:
        """Remove what a killed process left, and all but these files."""
        for path in self.path.iterdir():
            if path.name in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the folder against other processes; a process that is killed lets go.

        Raises
        ------
        StoreError
            Another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise StoreError(
                f"{str(self.path)!r} is in use: another process is {what} there. Wait for it, stop it, or give another path"
            ) from None
        try:
            yield
        finally:
            lock.release()


LOCK = "lock"


class Arrays:
    """The arrays of a safetensors file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._file = safetensors.safe_open(path, "numpy")

    def __getitem__(self, name: str) -> np.ndarray:
        return self._file.get_tensor(name)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Some rows of an array; only they are read."""
        return self._file.get_slice(name)[start:stop]

    def names(self) -> list[str]:
        """What is in it."""
        return list(self._file.keys())

    def told(self) -> dict[str, str]:
        """The texts that were written beside the arrays."""
        return self._file.metadata() or {}


def digest_of(data: bytes) -> str:
    """A digest of bytes, to find damage."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def key_of(recipe: Any) -> str:
    """SHA-256 of plain data, whatever the order of names."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(old: Path, new: Path) -> None:
    os.replace(old, new)  # noqa: PTH105 - the tests stop the process here


def _sync_folder(path: Path) -> None:
    """So that a rename outlives a power cut; Windows has no such thing and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)

"""``Folder(path).write(name, data) -> Record``: results on disk that are there as a whole or not at all.

A file is written under another name, synced, and renamed; then its folder is synced. So whoever reads a name finds a complete
file, whatever was killed when. Numbers lie in safetensors files and everything else in JSON: nothing that is read is executed.
Which files belong together is told by a record that is written last, and names length and digest of each.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
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
LOCK = "lock"
"""The file that a process holds while it writes into a folder."""
_MENDS = {
    errno.ENOSPC: "make room there and call again",
    errno.EDQUOT: "make room there and call again",
    errno.ENOTDIR: "give the path of a folder",
    errno.EEXIST: "give the path of a folder",
}
_SURROGATE = re.compile("[\ud800-\udfff]")


class StoreError(RuntimeError):
    """What is on disk is not what was expected there, is in use, or can't be written or read."""


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
        """Put a file there, in place of one that may be there.

        Raises
        ------
        StoreError
            It can't be written, as on a full disk; what was there before is as it was.
        """
        new = self.path / (name + NEW)
        with _explained(self.path, "written"):
            _make(self.path)
            try:
                with new.open("wb") as file:
                    _write(file, data)
                    _sync(file.fileno())
                _rename(new, self.path / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    new.unlink(missing_ok=True)
                raise
            _sync_folder(self.path)
        return Record(name, len(data), digest_of(data))

    def write_json(self, name: str, data: Any) -> Record:
        """Put JSON there, readable."""
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        # a file's name may hold bytes that are no text; Python has lone surrogates for them, which UTF-8 has not
        return self.write(name, _SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", text).encode())

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Record:
        """Put arrays there as a safetensors file."""
        return self.write(name, save({key: np.asarray(array, order="C") for key, array in arrays.items()}))

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote; None where there is no such file.

        Raises
        ------
        StoreError
            The file is no JSON, or can't be read.
        """
        path = self.path / name
        try:
            with _explained(path, "read"):
                return json.loads(path.read_bytes()) if path.exists() else None
        except (ValueError, RecursionError) as error:
            raise self.damaged(name, str(error)) from error

    def arrays(self, record: Record, *, whole: bool = True) -> Arrays:
        """The arrays of a file, mapped into memory.

        Parameters
        ----------
        whole
            Read it all and compare the digest; else only the length, where the digest was compared before.

        Raises
        ------
        StoreError
            The file is gone, or not as it was written.
        """
        path = self.path / record.name
        with _explained(path, "read"):
            if not path.is_file():
                raise self.damaged(record.name, "it is gone")
            size = path.stat().st_size
            if size != record.bytes:
                raise self.damaged(record.name, f"it has {size:,} bytes, expected {record.bytes:,}")
            if whole and _digest_of_file(path) != record.digest:
                raise self.damaged(record.name, "its content has changed")
            try:
                return Arrays(path)
            except safetensors.SafetensorError as error:
                raise self.damaged(record.name, str(error)) from error

    def damaged(self, name: str, reason: str) -> StoreError:
        """The error that a file of the folder is damaged, to be raised."""
        return StoreError(f"{str(self.path / name)!r} is damaged: {reason}; remove {str(self.path)!r} and build again")

    def drop(self, name: str) -> None:
        """Remove a file, or a folder; one that is still open elsewhere, where a system minds that, stays."""
        path = self.path / name
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def tidy(self, keep: set[str]) -> None:
        """Remove what a killed process left, and all but these files."""
        for path in list(self.path.iterdir()):
            if path.name not in keep:
                self.drop(path.name)

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the folder against other processes and other threads; a process that is killed lets go.

        Raises
        ------
        StoreError
            Another one holds it, or nothing can be written there.
        """
        # a generator may be closed by another thread than the one that began it
        lock = filelock.FileLock(self.path / LOCK, timeout=0, thread_local=False)
        with _explained(self.path, "written"):
            _make(self.path)
            try:
                lock.acquire()
            except filelock.Timeout:
                raise StoreError(
                    f"{str(self.path)!r} is in use: another process, or another call in this one, is {what} there. Wait for it, "
                    "stop it, or give another path"
                ) from None
        try:
            yield
        finally:
            lock.release()


class Arrays:
    """The arrays of a safetensors file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._file = safetensors.safe_open(path, "numpy")

    def __getitem__(self, name: str) -> np.ndarray:
        return self._file.get_tensor(name)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Some rows of an array; only they are read."""
        if start >= stop:  # of no rows safetensors makes an error
            return self[name][:0]
        return self._file.get_slice(name)[start:stop]

    def names(self) -> list[str]:
        """What is in it."""
        return list(self._file.keys())


def digest_of(data: bytes) -> str:
    """A digest of bytes, to find damage."""
    return _hash(data).hexdigest()


def key_of(recipe: Any) -> str:
    """SHA-256 of plain data, whatever the order of names."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _hash(data: bytes = b"") -> Any:
    return hashlib.blake2b(data, digest_size=16)


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hash).hexdigest()


@contextlib.contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    """What the system says about a path, as a `StoreError` that tells what mends it."""
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "give a path that you may write to" if what == "written" else "see to it")
        raise StoreError(f"{str(path)!r} can't be {what}: {error.strerror or error}; {mend}") from error
    except NotImplementedError as error:
        raise StoreError(f"{str(path)!r} can't be locked: {error}; give a path on another disk") from error


def _make(path: Path) -> None:
    """Make a folder, and those above it that are missing."""
    if path.is_dir():
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync_folder(folder.parent)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(old: Path, new: Path) -> None:
    os.replace(old, new)  # noqa: PTH105 - the tests stop the process here


def _sync_folder(path: Path) -> None:
    """So that a rename outlives a power cut; Windows has no such thing and needs none, and some shared disks refuse it."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)

"""``Opener: () -> picture``: where one image of a set comes from, opened when it is asked for.

One small class per kind of origin: `FileOpener`, `GivenOpener`, `CropOpener`, `SharedOpener`, `DatasetOpener`. They hold no open
file and can be pickled, so that a part of a set travels to another process; they can be used from several threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .images import ImageError, measure, open_image
from .keeping import Kept

IMAGE_KEYS = ("image", "img", "pixel_values")
"""Under which a dataset whose items are mappings keeps the image."""


@dataclass(frozen=True)
class Fault:
    """An image that was left out of a set, by its id, and why."""

    id: str
    reason: str


class Opener(ABC):
    """Opens one image."""

    @abstractmethod
    def open(self) -> Any:
        """The whole picture: a Pillow image, or the tensor or array that it is made of.

        Raises
        ------
        ImageError
            It can't be opened; the message says what is wrong with it.
        """

    def open_near(self, short: int) -> Any:
        """As `open`, but it may come scaled down, as long as the shorter side keeps ``2 * short`` pixels."""
        return self.open()

    def size(self) -> tuple[int, int]:
        """(height, width) of what `open` gives, where possible without decoding."""
        return extent(self.open())

    @abstractmethod
    def fingerprint(self) -> str:
        """A text that changes when the content does."""


@dataclass(frozen=True)
class FileOpener(Opener):
    """A file; its fingerprint is size and time of change, so a million files are checked without reading one."""

    path: str

    def open(self) -> Image.Image:
        return open_image(self.path)

    def open_near(self, short: int) -> Image.Image:
        return open_image(self.path, short=short)

    def size(self) -> tuple[int, int]:
        return measure(self.path)

    def fingerprint(self) -> str:
        try:
            found = Path(self.path).stat()
        except (OSError, ValueError):  # ValueError: a null character in the name
            return "missing"
        return f"{found.st_size} bytes of {found.st_mtime_ns}"


@dataclass(frozen=True, eq=False)
class GivenOpener(Opener):
    """A tensor, an array, a Pillow image or a file's bytes in memory; the fingerprint is a digest of all values."""

    value: Any
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def open(self) -> Any:
        if isinstance(self.value, Tensor | np.ndarray):
            return self.value
        with self._lock:  # a Pillow image may be decoded only now
            return open_image(self.value)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        with self._lock:
            for part in _content(self.value):
                digest.update(part)
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # a part of a tensor would be pickled with the whole
        value = self.value.detach().clone() if isinstance(self.value, Tensor) else self.value
        return GivenOpener, (value,)


@dataclass(frozen=True, eq=False)
class SharedOpener(Opener):
    """A picture that stays decoded for a while, since several crops are cut out of it; they must not change it.

    Parameters
    ----------
    number
        Its key among the pictures that share ``kept``.
    """

    inner: Opener
    number: int
    kept: Kept[Any]

    def open(self) -> Any:
        return self.kept.get(self.number, self.inner.open)

    def size(self) -> tuple[int, int]:
        return self.inner.size()

    def fingerprint(self) -> str:
        return self.inner.fingerprint()


@dataclass(frozen=True, eq=False)
class CropOpener(Opener):
    """A part of another image, (top, left, bottom, right) in pixels; bottom and right lie just outside."""

    inner: Opener
    box: tuple[int, int, int, int]

    def open(self) -> Any:
        whole = self.inner.open()
        height, width = extent(whole)
        top, left, bottom, right = self.box
        if bottom > height or right > width:
            raise ImageError(
                f"the crop {self.box} lies outside of an image of {height} × {width} pixels; has the file changed?"
            )
        if isinstance(whole, Image.Image):
            return whole.crop((left, top, right, bottom))
        return whole[..., top:bottom, left:right] if isinstance(whole, Tensor) else whole[top:bottom, left:right]

    def size(self) -> tuple[int, int]:
        top, left, bottom, right = self.box
        return bottom - top, right - left

    def fingerprint(self) -> str:
        return _at(self.inner.fingerprint(), self.box)


@dataclass(frozen=True, eq=False)
class DatasetOpener(Opener):
    """An item of a dataset, fetched when it is asked for.

    What the item holds can't be known without fetching it, so the fingerprint is the dataset's class, its length, a digest of
    what it prints as, such as its folder and transforms, and the number.
    """

    dataset: Any
    number: int

    def open(self) -> Any:
        kind = type(self.dataset).__name__
        try:
            item = self.dataset[self.number]
        except Exception as error:  # whatever the dataset's own code raises
            raise ImageError(
                f"item {self.number} of {kind} could not be fetched: {type(error).__name__}: {error}"
            ) from error
        if isinstance(item, Mapping):
            key = next((key for key in IMAGE_KEYS if key in item), None)
            if key is None:
                given = ", ".join(map(repr, item))
                raise ImageError(
                    f"item {self.number} of {kind} has {given}; expected the image under 'image', 'img' or 'pixel_values'"
                )
            item = item[key]
        elif isinstance(item, tuple | list):
            item = item[0] if item else None
        return item if isinstance(item, Tensor | np.ndarray) else open_image(item)

    def fingerprint(self) -> str:
        return f"{_dataset_mark(self.dataset)}, {self.number}"


def fault_of(opener: Opener) -> str:
    """Why an image can't be opened, else nothing. A JPEG is read to its end, but not all of it is computed."""
    try:
        opener.open_near(1)
    except ImageError as error:
        return str(error)
    return ""


def fingerprints(openers: Iterable[Opener]) -> list[str]:
    """Of each its fingerprint; an image that many crops are cut out of is looked at once, and so is a dataset."""
    known: dict[int, str] = {}

    def mark(opener: Opener) -> str:
        if isinstance(opener, CropOpener):
            return _at(mark(opener.inner), opener.box)
        if isinstance(opener, DatasetOpener):
            if id(opener.dataset) not in known:
                known[id(opener.dataset)] = _dataset_mark(opener.dataset)
            return f"{known[id(opener.dataset)]}, {opener.number}"
        if not isinstance(opener, SharedOpener):
            return opener.fingerprint()
        if id(opener) not in known:
            known[id(opener)] = mark(opener.inner)
        return known[id(opener)]

    return [mark(opener) for opener in openers]


def _dataset_mark(dataset: Any) -> str:
    """A text for a dataset as a whole; addresses, which differ from one process to the next, do not count."""
    kind = type(dataset)
    # a plain list would print all that it holds
    printed = "" if isinstance(dataset, list | tuple) else re.sub(r"0x[0-9a-fA-F]+", "", repr(dataset))
    told = hashlib.blake2b(printed.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{kind.__module__}.{kind.__qualname__} of {len(dataset)}, {told}"


def _at(whole: str, box: tuple[int, int, int, int]) -> str:
    return f"{whole} at {','.join(map(str, box))}"


def opener_of(one: Any) -> Opener:
    """The opener of whatever counts as one image. A path is made absolute, so that it is found from another folder or process."""
    if isinstance(one, str | os.PathLike):
        return FileOpener(os.path.abspath(one))  # noqa: PTH100 - resolve() would follow links, which may change
    return GivenOpener(_bytes_of(one) if hasattr(one, "read") else one)


def _bytes_of(file: Any) -> Any:
    """A file's bytes, which several threads can read; the file itself, which will complain on opening, where it has none."""
    try:
        if file.seekable():
            file.seek(0)
        data = file.read()
    except Exception:  # whatever the object at hand raises
        return file
    return data if isinstance(data, bytes) else file


def extent(value: Any) -> tuple[int, int]:
    """(height, width) of a Pillow image, a tensor (..., H, W) or an array (H, W[, C])."""
    if isinstance(value, Image.Image):
        return value.height, value.width
    if value.ndim < 2:
        raise ImageError(f"values of the shape {tuple(value.shape)} were given; expected an image")
    height, width = value.shape[-2:] if isinstance(value, Tensor) else value.shape[:2]
    return int(height), int(width)


def _content(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, Tensor):
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy(force=True)
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str} {value.shape}".encode(), np.ascontiguousarray(value).tobytes()
    if isinstance(value, Image.Image):
        try:
            return f"{value.mode} {value.size}".encode(), value.tobytes()
        except Exception:  # a file that is decoded only now, and broken
            return (f"{value.mode} {value.size} broken".encode(),)
    return (bytes(value),) if isinstance(value, bytes | bytearray | memoryview) else (type(value).__name__.encode(),)

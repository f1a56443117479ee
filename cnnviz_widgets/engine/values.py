"""``Values(array) <-> text``: an array as a value inside of a recipe.

A recipe can be compared, hashed, printed as code and written as JSON; an array can do none of these. `Values` is frozen, equal
by its digest, and has a text that is data alone: reading one decompresses numbers or opens a PNG of a known size, and
evaluates, imports and unpickles nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MOST_VALUES = 16_000_000
"""Larger arrays are refused: a recipe is something to keep, to send and to read back from a stranger."""

_HEAD = re.compile(r"(png|uint8|float16|float32) ([1-9]\d{0,8}(?:x[1-9]\d{0,8}){0,5}) ")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_SPARE = 1_000_000
"""Bytes that a text may be longer than its numbers: what cannot be compressed grows a little."""


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """An array that can't change, equal to another of the same type, shape and bytes.

    Parameters
    ----------
    array
        NumPy array or tensor of 1 to 6 dimensions. uint8, float16 and float32 stay; other numbers become float32. Half
        the text is saved by giving float16 where three digits are enough.

    Attributes
    ----------
    array
        The values, read-only.
    digest
        SHA-256 of type, shape and bytes, in hexadecimal.

    Raises
    ------
    ValueError
        No numbers, no values at all, or more than `MOST_VALUES`.

    Examples
    --------
    >>> Values([1, 2, 3])  # doctest: +ELLIPSIS
    Values.read('float32 3 ...')
    >>> eval(repr(Values([1, 2, 3]))) == Values([1.0, 2.0, 3.0])
    True
    """

    array: np.ndarray
    digest: str = ""

    def __init__(self, array: Any) -> None:
        if isinstance(array, Tensor):
            array = (array.float() if array.dtype == torch.bfloat16 else array).numpy(force=True)
        given = np.asarray(array)
        if given.dtype.kind not in "buif":
            raise ValueError(f"an array of {given.dtype} was given; expected uint8, float16 or float32 numbers")
        kind = given.dtype.name if given.dtype.name in ("uint8", "float16") else "float32"
        if not 0 < given.ndim <= 6 or not 0 < given.size <= MOST_VALUES:
            raise ValueError(
                f"an array of the shape {given.shape} was given; expected 1 to 6 dimensions and 1 to {MOST_VALUES:,} values"
            )
        little = np.dtype(kind).newbyteorder("<")
        data = given.astype(little).tobytes()
        # an array upon bytes can't be made writable again
        object.__setattr__(self, "array", np.frombuffer(data, little).reshape(given.shape))
        told = f"{kind} {given.shape} ".encode()
        object.__setattr__(self, "digest", hashlib.sha256(told + data).hexdigest())

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Values) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Values.read({self.text!r})"

    def __reduce__(self) -> tuple[type[Values], tuple[np.ndarray]]:
        return Values, (self.array,)

    @functools.cached_property
    def text(self) -> str:
        """What `read` takes: the kind, the shape, and the compressed bytes in base 85."""
        shape = self.array.shape
        if self.array.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
            kind, packed = "png", io.BytesIO()
            Image.fromarray(self.array).save(packed, "PNG")
            data = packed.getvalue()
        else:
            kind, data = self.array.dtype.name, zlib.compress(self.array.tobytes(), 9)
        return f"{kind} {'x'.join(map(str, shape))} {base64.b85encode(data).decode('ascii')}"

    @classmethod
    def read(cls, text: str) -> Values:
        """The values that `text` and the repr tell of.

        Raises
        ------
        ValueError
            Anything but such a text, or one that would unpack to another size than it says.
        """
        head = _HEAD.match(text) if isinstance(text, str) else None
        if head is None:
            start = text[:40] if isinstance(text, str) else type(text).__name__
            raise ValueError(f"{start!r} are no values; expected the text of Values.text, like 'float32 3 ...'")
        kind, shape = head[1], tuple(map(int, head[2].split("x")))
        item = np.dtype("uint8" if kind == "png" else kind).newbyteorder("<")
        count = math.prod(shape)
        if count > MOST_VALUES:
            raise ValueError(f"values of the shape {shape} were given; at most {MOST_VALUES:,} are read")
        if len(text) > 2 * count * item.itemsize + _SPARE:
            raise ValueError(f"{len(text):,} characters for values of the shape {shape}; that is more than they need")
        try:
            data = base64.b85decode(text[head.end() :])
        except ValueError:
            raise ValueError("the values are no base 85, as Values.text writes it; is the text complete?") from None
        if kind == "png":
            return cls(_from_png(data, shape))
        return cls(np.frombuffer(_unpacked(data, count * item.itemsize), item).reshape(shape))

    def to_data(self) -> dict[str, str]:
        """The values as plain data, fit for JSON: ``{"values": text}``."""
        return {"values": self.text}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Values:
        """The values that `to_data` described; a ``ValueError`` for anything else."""
        if not isinstance(data, Mapping) or set(data) != {"values"}:
            raise ValueError(f"{str(data)[:80]} was given; expected values: {{'values': text}}")
        return cls.read(data["values"])


def _unpacked(data: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"the values could not be unpacked: {error}") from None
    if len(unpacked) != size or not unpacker.eof:
        raise ValueError(f"the values unpack to another size than the {size:,} bytes of their shape")
    return unpacked


def _from_png(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    size = struct.unpack(">II", data[16:24]) if data.startswith(_PNG_START) and len(data) >= 24 else None
    if size != (shape[1:2] or (0,)) + shape[:1]:
        raise ValueError(f"the values are no PNG of the shape {shape}")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != size or picture.mode not in ("L", "RGB", "RGBA"):
                raise ValueError(f"a PNG of mode {picture.mode}")
            values = np.array(picture)
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and more for broken data
        raise ValueError(f"the values could not be read as a PNG: {error}") from None
    if values.shape != shape:
        raise ValueError(f"the values have the shape {values.shape}, and say {shape}")
    return values

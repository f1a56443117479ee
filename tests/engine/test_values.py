"""Arrays as values: equality, texts that rebuild them, and texts that are refused."""

from __future__ import annotations

import base64
import copy
import io
import json
import pickle
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import values
from cnnviz_widgets.engine.knobs import Family, knob, knobs_of
from cnnviz_widgets.engine.values import MOST_VALUES, Values

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "grey": RANDOM.integers(0, 256, (5, 7), np.uint8),
    "colour": RANDOM.integers(0, 256, (5, 7, 3), np.uint8),
    "transparent": RANDOM.integers(0, 256, (5, 7, 4), np.uint8),
    "many channels": RANDOM.integers(0, 256, (5, 7, 6), np.uint8),
    "half": RANDOM.normal(size=(3, 4, 5)).astype(np.float16),
    "single": RANDOM.normal(size=(3, 4, 5)).astype(np.float32),
    "big endian": np.arange(6, dtype=">f4"),
    "not finite": np.array([np.nan, np.inf, -0.0], np.float32),
    "strided": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-1],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_text_and_data_give_the_same_values_back(name: str) -> None:
    given = Values(ARRAYS[name])
    for again in (eval(repr(given)), Values.from_data(json.loads(json.dumps(given.to_data())))):
        assert again == given
        assert hash(again) == hash(given)
        assert again.array.dtype == given.array.dtype
        np.testing.assert_array_equal(again.array, ARRAYS[name])


def test_pictures_are_stored_as_pictures() -> None:
    text = Values(ARRAYS["colour"]).text
    assert text.startswith("png 5x7x3 ")
    picture = Image.open(io.BytesIO(base64.b85decode(text.split(" ")[2])))
    np.testing.assert_array_equal(np.asarray(picture), ARRAYS["colour"])


def test_type_shape_and_bytes_make_the_difference() -> None:
    zeros = Values(np.zeros((2, 6), np.float32))
    assert zeros == Values(torch.zeros(2, 6))
    others = [np.zeros((2, 6), np.float16), np.zeros((6, 2), np.float32), np.full((2, 6), -0.0, np.float32)]
    assert len({zeros, *map(Values, others)}) == 4
    assert zeros != "zeros"
    assert np.zeros(2, np.uint8).tobytes() == np.zeros(1, np.float16).tobytes()
    assert Values(np.zeros(2, np.uint8)) != Values(np.zeros(1, np.float16))


def test_what_is_no_eight_or_sixteen_bits_becomes_single() -> None:
    given = [np.arange(3), np.arange(3.0), [0, 1, 2], torch.arange(3), torch.arange(3.0, dtype=torch.bfloat16)]
    assert {Values(one) for one in given} == {Values(np.arange(3, dtype=np.float32))}
    assert Values(torch.ones(2, requires_grad=True).half()).array.dtype == np.float16


def test_values_do_not_change() -> None:
    source = np.zeros(3, np.float32)
    given = Values(source)
    source[0] = 1
    assert given == Values(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        given.array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        given.array.setflags(write=True)
    with pytest.raises(AttributeError):
        given.array = source  # type: ignore[misc]
    for twin in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        assert twin == given
        assert not twin.array.flags.writeable


@pytest.mark.parametrize("array", [np.zeros(0), np.float32(1), np.array(["a"]), np.zeros(3, complex), np.array([None])])
def test_what_is_no_array_of_numbers_is_told(array: Any) -> None:
    with pytest.raises(ValueError, match=r"was given; expected .*(dimensions|numbers)"):
        Values(array)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ValueError, match="16,000,000"):
        Values(np.broadcast_to(np.uint8(0), MOST_VALUES + 1))


def coded(data: bytes) -> str:
    return base64.b85encode(data).decode()


def png(width: int, height: int, mode: str = "L", said: tuple[int, int] | None = None) -> str:
    held = io.BytesIO()
    Image.new(mode, (width, height)).save(held, "PNG")
    data = held.getvalue()
    if said:
        head = data[12:16] + struct.pack(">II", *said) + data[24:29]
        data = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    return coded(data)


def jpeg() -> str:
    held = io.BytesIO()
    Image.new("L", (2, 2)).save(held, "JPEG")
    return coded(held.getvalue())


HOSTILE = {
    "nothing": "",
    "no text": 17,
    "code": "__import__('os').getcwd()",
    "another kind": "float64 1 " + coded(zlib.compress(b"\0" * 8)),
    "no shape": "float32  " + coded(zlib.compress(b"")),
    "an empty shape": "float32 0 " + coded(zlib.compress(b"")),
    "negative": "float32 -3 " + coded(zlib.compress(b"\0" * 12)),
    "many dimensions": "uint8 1x1x1x1x1x1x1 " + coded(zlib.compress(b"\0")),
    "digits": "uint8 " + "9" * 5000 + " x",
    "too many": f"uint8 4000x4001 {coded(b'')}",
    "no base 85": "float32 1 ééé",
    "cut off": Values(np.arange(100.0)).text[:-10],
    "not compressed": "float32 1 " + coded(b"\0" * 4),
    "more than said": "float32 1 " + coded(zlib.compress(b"\0" * 8)),
    "less than said": "float32 3 " + coded(zlib.compress(b"\0" * 8)),
    "a bomb": "uint8 10 " + coded(zlib.compress(b"\0" * 50_000_000)),
    "a long text": "uint8 1 " + "0" * 1_100_000,
    "a large PNG": "png 2x2 " + png(3000, 3000),
    "a PNG that says less": "png 2x2 " + png(2, 2, said=(30000, 30000)),
    "a PNG that holds less": "png 3000x3000 " + png(2, 2, said=(3000, 3000)),
    "a flat PNG": "png 4 " + png(4, 1),
    "another mode": "png 2x2 " + png(2, 2, "P"),
    "other channels": "png 2x2x3 " + png(2, 2),
    "a JPEG": "png 2x2 " + jpeg(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"values|characters"):
        Values.read(HOSTILE[name])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"values|characters"):
        Values.from_data({"values": HOSTILE[name]})


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched:
        def __init__(self) -> None:
            self.real = zlib.decompressobj()

        def decompress(self, data: bytes, most: int) -> bytes:
            asked.append(most)
            return self.real.decompress(data, most)

        @property
        def eof(self) -> bool:
            return self.real.eof

    monkeypatch.setattr(values, "zlib", type("z", (), {"decompressobj": Watched, "error": zlib.error}))
    with pytest.raises(ValueError, match="another size than the 10 bytes"):
        Values.read(HOSTILE["a bomb"])  # type: ignore[arg-type]
    assert asked == [11]


@pytest.mark.parametrize("data", [None, "float32", [1], {}, {"values": None}, {"values": "x", "more": 1}])
def test_other_data_is_a_value_error(data: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        Values.from_data(data)


class Shelf(Family):
    pass


@dataclass(frozen=True)
class Book(Shelf):
    pages: Values
    cover: Values | None = None
    price: float = knob(1.0, low=0.0, high=2.0)


def test_a_family_carries_values() -> None:
    pages, cover = Values(ARRAYS["single"]), Values(ARRAYS["colour"])
    for book in (Book(pages), Book(pages, cover, 2.0)):
        again = Shelf.from_data(json.loads(json.dumps(book.to_data())))
        assert again == book
        assert hash(again) == hash(book)
        assert eval(repr(book)) == book
    assert list(knobs_of(Book)) == ["price"]


@pytest.mark.parametrize(
    "fields", [{"pages": None}, {"pages": 3}, {"pages": "float32 1 x"}, {"pages": {"values": "x"}}, {}]
)
def test_a_family_takes_nothing_else_for_values(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|needs"):
        Shelf.from_data({"class": "Book", **fields})
    good = Book(Values(ARRAYS["single"])).to_data()
    with pytest.raises(ValueError, match="expected values"):
        Shelf.from_data({**good, "cover": 1.0})

"""Thumbnails: small JPEGs of whole images, made once for a set and all its parts."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError, open_image
from tests.engine.pictures import colours, counted


@pytest.mark.parametrize(
    ("given", "size", "mode"),
    [
        (colours(300, 200), (128, 85), "RGB"),
        (colours(20, 30), (20, 30), "RGB"),
        (colours(3000, 4), (128, 1), "RGB"),
        (colours(300, 200).convert("L"), (128, 85), "L"),
        (colours(300, 200).convert("RGBA"), (128, 85), "RGB"),
        (np.zeros((200, 300), np.uint8), (128, 85), "L"),
        (np.zeros((200, 300, 5), np.uint8), (128, 85), "RGB"),
        (torch.zeros(3, 200, 300), (128, 85), "RGB"),
        (torch.zeros(1, 200, 300), (128, 85), "L"),
        (torch.zeros(200, 300), (128, 85), "L"),
        (torch.zeros(2, 200, 300).half(), (128, 85), "L"),
        (torch.zeros(7, 200, 300).requires_grad_(), (128, 85), "RGB"),
    ],
)
def test_thumbnails_of_everything(given: Any, size: tuple[int, int], mode: str) -> None:
    images = ImageSet.of([given])
    made = images.thumbnail(0)
    assert (made.size, made.mode) == (size, mode)
    data = images.thumbnail_data("0")
    assert data[:2] == b"\xff\xd8"
    assert open_image(data).tobytes() == made.tobytes()


def test_a_thumbnail_looks_like_its_image(tmp_path: Path) -> None:
    samples = ImageSet.samples()
    for number in range(len(samples)):
        small = samples.thumbnail(number, 64)
        whole = samples[number].resize(small.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 6
    samples["china"].resize((2400, 1600)).save(tmp_path / "large.jpg")
    large = ImageSet.from_paths([tmp_path / "large.jpg"])
    for side in (16, 128, 500, 3000):
        assert large.thumbnail(0, side).size == (min(side, 2400), min(round(side / 1.5), 1600))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (torch.randn(3, 8, 8), r"expected \[0, 1\], not normalised"),
        (torch.rand(2, 3, 8, 8), "expected floats"),
        (3, "int was"),
    ],
)
def test_thumbnails_of_what_is_no_image(given: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        ImageSet.of([given]).thumbnail(0)
    with pytest.raises(ValueError, match="side=0; expected a number of pixels"):
        ImageSet.of([colours()]).thumbnail(0, 0)


def test_thumbnails_are_made_once_for_a_set_and_its_parts() -> None:
    images, openers = counted(6)
    first = images.thumbnail_data("4")
    assert images[2:].thumbnail_data("4") is first
    assert images.subset([5, 4]).thumbnail_data(1) is first
    assert images.subset(["4"])[:].thumbnail_data(0) is first
    assert openers[4].opened == 1
    images.thumbnail("4", 64)
    assert openers[4].opened == 2
    images[3:].thumbnail("3")
    images.thumbnail(3)
    assert openers[3].opened == 1
    again = pickle.loads(pickle.dumps(ImageSet.samples()))
    assert len(again._thumbnails) == 0


def test_many_threads_make_each_thumbnail_once() -> None:
    images, openers = counted(4)
    ready = threading.Barrier(8)

    def look(number: int) -> bytes:
        ready.wait(30)
        return images[:].thumbnail_data(number % 4)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, range(8)))
    assert [one.opened for one in openers] == [1] * 4
    assert len({id(data) for data in found}) == 4


def test_a_thumbnail_that_was_made_earlier() -> None:
    images, openers = counted()
    images.keep_thumbnail("1", 128, images.thumbnail_data(0))
    assert images.thumbnail_data("1") is images.thumbnail_data("0")
    assert openers[1].opened == 0
    with pytest.raises(UnknownNameError):
        images.keep_thumbnail("7", 128, b"")

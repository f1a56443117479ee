"""Which part of a picture a network sees: told by numbers, held against a picture whose pixels say where they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from cnnviz_widgets.engine.framing import Framing, framing
from cnnviz_widgets.engine.images import fit, prepare
from cnnviz_widgets.engine.input_spec import InputSpec

SIZES = [(100, 150), (150, 100), (64, 64), (220, 61), (37, 211), (32, 32), (20, 30), (31, 47)]
INPUTS = [(32, 32), (40, 24), (23, 31)]
REACH = {"nearest": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
"""How far a pixel of the input looks, in its own size."""


def ramp(height: int, width: int) -> np.ndarray:
    """(H, W, 3): the row in red, the column in green, white in blue."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full((height, width), 255)], -1).astype(np.uint8)


def check_shows(found: Framing, values: np.ndarray, interpolation: str, slack: float) -> None:
    """Each input pixel has the colour that the ramp has where the framing says that it comes from."""
    inner = 0
    for y, x in itertools.product(range(0, found.input[0], 3), range(0, found.input[1], 3)):
        top, left, bottom, right = found.to_picture((y, x, y + 1, x + 1))
        at, reach = ((top + bottom) / 2, (left + right) / 2), REACH[interpolation]
        spread = [max(1.0, size / scaled) * reach for size, scaled in zip(found.size, found.scaled, strict=True)]
        if not all(far <= here <= size - far for here, size, far in zip(at, found.size, spread, strict=True)):
            continue
        inner += 1
        assert values[y, x, 0] == pytest.approx(at[0] - 0.5, abs=slack), (y, x)
        assert values[y, x, 1] == pytest.approx(at[1] - 0.5, abs=slack), (y, x)
    assert inner


@pytest.mark.parametrize("interpolation", REACH)
@pytest.mark.parametrize("resize", [None, 34, 48, 33])
@pytest.mark.parametrize("crop", ["center", "squash"])
def test_it_is_the_way_back_from_the_input_to_the_picture(crop: str, resize: int | None, interpolation: str) -> None:
    for size, (height, width) in itertools.product(SIZES, INPUTS):
        spec = InputSpec((3, height, width), resize=resize, crop=crop, interpolation=interpolation)
        seen = np.asarray(fit(Image.fromarray(ramp(*size)), spec))
        assert seen.shape[:2] == (height, width)
        check_shows(framing(size, spec), seen, interpolation, 0.51 if interpolation == "nearest" else 1.0)


@pytest.mark.parametrize("size", SIZES)
def test_tensors_have_a_framing_of_their_own(size: tuple[int, int]) -> None:
    for height, width in INPUTS:
        spec = InputSpec((3, height, width), resize=48)
        tensor = torch.from_numpy(ramp(*size)).permute(2, 0, 1).float() / 255
        seen = prepare(tensor, spec)[0].permute(1, 2, 0).numpy() * 255
        found = framing(size, spec, tensor=True)
        check_shows(found, seen, "bilinear", 0.2)
        assert found.filled == (0, 0, height, width)


@pytest.mark.parametrize("size", SIZES)
def test_where_the_picture_is_scaled_to_less_the_rest_is_black_as_in_torchvision(size: tuple[int, int]) -> None:
    for (height, width), resize in itertools.product(INPUTS, (10, 13, 20)):
        spec = InputSpec((3, height, width), resize=resize)
        picture = Image.fromarray(ramp(*size))
        seen = np.asarray(fit(picture, spec))
        smaller = functional.resize(picture, resize)
        np.testing.assert_array_equal(seen, np.asarray(functional.center_crop(smaller, [height, width])))
        found = framing(size, spec)
        top, left, bottom, right = found.filled
        filled = np.zeros((height, width), bool)
        filled[top:bottom, left:right] = True
        np.testing.assert_array_equal(seen[:, :, 2] > 0, filled)
        assert not filled.all()


@pytest.mark.parametrize("tensor", [False, True])
def test_there_and_back(tensor: bool) -> None:
    for size, resize, crop in itertools.product(SIZES, (None, 20, 40), ("center", "squash")):
        found = framing(size, InputSpec((3, 32, 24), resize=resize, crop=crop), tensor=tensor)
        for span in ((0, 0, 32, 24), (3, 5, 4, 9), (-7, 2.5, 40, 23.25)):
            assert found.to_input(found.to_picture(span)) == pytest.approx(span)
        assert found.seen == found.to_picture((0, 0, 32, 24))
        if crop == "squash" and not tensor:
            assert found.seen == pytest.approx((0, 0, *size))


def test_a_picture_of_the_inputs_size_is_seen_as_it_is() -> None:
    for tensor in (False, True):
        found = framing((32, 24), InputSpec((3, 32, 24)), tensor=tensor)
        assert (found.seen, found.corner, found.scaled) == ((0, 0, 32, 24), (0, 0), (32, 24))

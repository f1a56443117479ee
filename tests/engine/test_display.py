"""Stretching for display, and pictures of any number of channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnviz_widgets.engine import display

NEUTRAL = torch.tensor([0.3, 0.5, 0.6]).view(3, 1, 1)


def faint(contrast: float = 1e-3, seed: int = 0) -> Tensor:
    noise = torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(seed))
    return NEUTRAL + contrast / 255 * noise


@pytest.mark.parametrize("stretch", ["symmetric", "percentile"])
def test_an_image_of_a_thousandth_of_a_level_is_seen(stretch: str) -> None:
    shown = display.pixels(display.stretched(faint(), NEUTRAL, stretch))
    assert shown.std() > 20
    assert np.ptp(shown) > 200
    assert np.ptp(display.pixels(display.stretched(faint(), NEUTRAL, "none"))[..., 0]) <= 1


@pytest.mark.parametrize("stretch", ["symmetric", "percentile"])
def test_neutral_becomes_middle_grey(stretch: str) -> None:
    image = faint(20.0)
    image[..., 3, 4] = NEUTRAL[:, 0, 0]
    shown = display.stretched(image, NEUTRAL, stretch)
    assert shown[0, :, 3, 4].tolist() == [0.5] * 3
    plain = display.stretched(NEUTRAL.expand(1, 3, 4, 4), NEUTRAL, stretch)
    assert torch.equal(plain, torch.full((1, 3, 4, 4), 0.5))


def test_symmetric_takes_the_farthest_pixel_to_the_end() -> None:
    image = NEUTRAL.expand(2, 3, 5, 5).clone()
    image[0, 1, 0, 0] += 0.02
    image[0, 2, 1, 1] -= 0.01
    image[1, 0, 0, 0] -= 0.1
    shown = display.stretched(image, NEUTRAL, "symmetric")
    assert shown[0, 1, 0, 0].item() == pytest.approx(1)
    assert shown[0, 2, 1, 1].item() == pytest.approx(0.25, abs=1e-5)
    # each image by its own farthest pixel
    assert shown[1, 0, 0, 0].item() == pytest.approx(0)


def test_percentile_is_not_decided_by_a_few_pixels() -> None:
    image = faint(1.0)
    image[0, :, 0, 0] = 1.0
    symmetric, percentile = (display.stretched(image, NEUTRAL, stretch) for stretch in ("symmetric", "percentile"))
    assert percentile.std() > 10 * symmetric.std()
    assert percentile[0, :, 0, 0].tolist() == [1, 1, 1]
    cut = ((percentile == 0) | (percentile == 1)).float().mean().item()
    assert cut == pytest.approx(0.005, abs=0.002)


def test_percentile_shows_a_small_patch_on_a_plain_image() -> None:
    image = NEUTRAL.expand(1, 3, 100, 100).clone()
    image[0, :, :3, :3] += torch.linspace(0, 1e-3, 9).view(3, 3)
    assert display.stretched(image, NEUTRAL, "percentile").max().item() == pytest.approx(1)


def test_none_leaves_the_image() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert torch.equal(display.stretched(image, NEUTRAL, "none"), image)
    assert display.stretched(image * 3 - 1, NEUTRAL, "none").min() == 0


def test_another_stretch_is_told() -> None:
    with pytest.raises(ValueError, match="stretch='max'; expected one of symmetric, percentile, none"):
        display.stretched(faint(), NEUTRAL, "max")


def test_contrast_is_in_levels_of_255() -> None:
    image = torch.cat([NEUTRAL + 2 / 255, NEUTRAL.clone()])[None].view(2, 3, 1, 1)
    assert display.contrast(image, NEUTRAL) == pytest.approx([2, 0], abs=1e-4)


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 6)), (2, (4, 6)), (3, (4, 6, 3)), (5, (4, 6, 3))])
def test_any_number_of_channels_becomes_a_picture(channels: int, shape: tuple[int, ...]) -> None:
    image = torch.arange(channels, dtype=torch.float32).view(1, -1, 1, 1).expand(1, -1, 4, 6) / 5
    (values,) = display.pixels(image)
    assert values.shape == shape
    assert values.dtype == np.uint8
    expected = {1: [0], 2: [round(0.1 * 255)], 3: [0, 51, 102], 5: [0, 51, 102]}[channels]
    assert np.atleast_1d(values[0, 0]).tolist() == pytest.approx(expected, abs=1)
    assert display.picture(values).size == (6, 4)


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shown = display.picture(values, side=10)
    assert shown.size == (9, 6)
    assert np.array_equal(np.asarray(shown), values.repeat(3, 0).repeat(3, 1))
    assert display.picture(values, side=2).size == (3, 2)


@pytest.mark.parametrize("number", [1, 3, 9])
def test_a_sheet_holds_all_pictures_and_captions(number: int) -> None:
    pictures = [display.picture(np.full((20, 30), 25 * i, np.uint8)) for i in range(number)]
    sheet = np.asarray(display.captioned(pictures, ["a rather long caption\nof two lines"] * number))
    found = {value for value in range(0, 225, 25) if (sheet == value).all(2).sum() >= 600}
    assert {25 * i for i in range(number)} <= found
    assert sheet.shape[1] > 120

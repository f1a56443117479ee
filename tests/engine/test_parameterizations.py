"""Pixels around the mean colour, in units of 0 to 255."""

from __future__ import annotations

import math

import pytest
import torch

from cnnviz_widgets.engine.parameterizations import Pixels

NEUTRAL = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)


def start(pixels: Pixels, seed: int = 0, shape: tuple[int, int, int] = (3, 64, 64)) -> torch.Tensor:
    return pixels.init(shape, NEUTRAL[: shape[0]], torch.Generator().manual_seed(seed))


def test_the_start_is_noise_about_the_mean_colour() -> None:
    latent = start(Pixels(10.0))
    assert latent.shape == (1, 3, 64, 64)
    assert latent.std().item() == pytest.approx(10, rel=0.05)
    assert latent.mean().item() == pytest.approx(0, abs=0.3)
    image = Pixels().decode(latent, NEUTRAL)
    assert image.mean((0, 2, 3)).tolist() == pytest.approx([0.2, 0.5, 0.9], abs=0.005)


def test_the_start_follows_the_seed_alone() -> None:
    assert torch.equal(start(Pixels(), 3), start(Pixels(), 3))
    assert not torch.equal(start(Pixels(), 3), start(Pixels(), 4))
    assert torch.allclose(start(Pixels(4.0), 3), 4 * start(Pixels(1.0), 3))
    double = Pixels().init((3, 8, 8), NEUTRAL.double(), torch.Generator().manual_seed(3))
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), start(Pixels(), 3, (3, 8, 8)))


def test_no_deviation_is_the_plain_mean_colour() -> None:
    image = Pixels().decode(start(Pixels(0.0)), NEUTRAL)
    assert torch.equal(image, NEUTRAL.expand(1, 3, 64, 64))


def test_a_wide_start_stays_in_range() -> None:
    image = Pixels().decode(start(Pixels(200.0)), NEUTRAL)
    assert image.min() >= -1e-6
    assert image.max() <= 1 + 1e-6


def test_encode_and_decode_undo_each_other() -> None:
    image = torch.rand(2, 3, 5, 7)
    assert torch.allclose(Pixels().decode(Pixels().encode(image, NEUTRAL), NEUTRAL), image, atol=1e-6)


def test_small_differences_from_the_mean_colour_survive() -> None:
    pixels, x = Pixels(), torch.full((1, 3, 2, 2), 1e-12)
    latent = pixels.from_around_neutral(x, NEUTRAL)
    assert torch.allclose(pixels.around_neutral(latent, NEUTRAL), x, rtol=1e-6, atol=0)


def test_constraining_clips_to_what_can_be_shown() -> None:
    latent = torch.tensor([-1000.0, 0.0, 1000.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    image = Pixels().decode(Pixels().constrain(latent, NEUTRAL), NEUTRAL)
    assert torch.allclose(image[0, :, 0, 0], torch.zeros(3), atol=1e-6)
    assert torch.equal(image[0, :, 0, 1], NEUTRAL.flatten())
    assert torch.allclose(image[0, :, 0, 2], torch.ones(3), atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, 256.0, math.nan, math.inf])
def test_a_deviation_out_of_range_is_told(value: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 255"):
        Pixels(value)

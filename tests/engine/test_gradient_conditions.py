"""What is done to a gradient before the step: its size, its smoothness, and that zero stays zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cnnviz_widgets.engine.regularizers import BlurGradient, GaussianBlur, NormalizeGradient


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_each_image_has_a_root_mean_square_of_one() -> None:
    gradient = random(3, 3, 5, 7) * torch.tensor([1e-6, 1.0, 1e6]).view(-1, 1, 1, 1)
    found = NormalizeGradient().condition(gradient)
    for given, made in zip(gradient.numpy(), found.numpy(), strict=True):
        assert np.allclose(made, given / np.sqrt(np.mean(given**2)), rtol=1e-12)


def test_a_gradient_of_zero_stays_zero_beside_one_that_is_not() -> None:
    gradient = random(2, 3, 4, 4).float()
    gradient[0] = 0
    found = NormalizeGradient().condition(gradient)
    assert not found[0].any()
    assert found[1].square().mean().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("size", [1e-40, 1e-30, 1e-21, 1e25, 1e37])
def test_sizes_whose_squares_single_precision_does_not_hold(size: float) -> None:
    gradient = torch.tensor([3.0, -4.0, 0.0, 5.0]).view(1, 1, 2, 2) * size
    expected = torch.tensor([3.0, -4.0, 0.0, 5.0]).view(1, 1, 2, 2) / math.sqrt(50 / 4)
    assert torch.allclose(NormalizeGradient().condition(gradient), expected, rtol=1e-3)


def test_numbers_that_are_none_are_not_hidden() -> None:
    gradient = torch.ones(2, 1, 2, 2)
    gradient[0, 0, 0, 0] = math.nan
    found = NormalizeGradient().condition(gradient)
    assert found[0].isnan().any()
    assert torch.equal(found[1], gradient[1])


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (13, 10)])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 5.0])
def test_a_smoothed_gradient_equals_scipy(sigma: float, shape: tuple[int, int]) -> None:
    gradient = random(2, 3, *shape)
    expected = gaussian_filter(gradient.numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=4.0)
    found = BlurGradient(sigma).condition(gradient)
    assert np.allclose(found.numpy(), expected, rtol=0, atol=1e-14)
    assert torch.equal(found, GaussianBlur(sigma).project(gradient, gradient, 0))


@pytest.mark.parametrize(("length", "kept"), [(12.0, 0.11), (24.0, 0.58)])
def test_a_wave_of_three_sigma_keeps_a_tenth_and_one_of_six_sigma_six_tenths(length: float, kept: float) -> None:
    wave = torch.cos(2 * math.pi * torch.arange(240, dtype=torch.float64) / length).view(1, 1, 1, -1)
    middle = slice(80, 160)
    found = BlurGradient(4.0).condition(wave)[..., middle].abs().max() / wave[..., middle].abs().max()
    assert found.item() == pytest.approx(kept, abs=0.01)


def test_no_sigma_changes_nothing() -> None:
    gradient = random(1, 3, 4, 4)
    assert torch.equal(BlurGradient(0).condition(gradient), gradient)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: BlurGradient(-1), "sigma=-1; expected 0 to 1000"),
        (lambda: BlurGradient(math.nan), "sigma=nan"),
        (lambda: NormalizeGradient(every=0), "every=0; expected a whole number of steps from 1"),
    ],
)
def test_values_that_mean_nothing_are_told(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

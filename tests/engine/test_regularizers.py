"""Each regularizer against a slow version of it; what holds for all of them is in the contracts."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cnnviz_widgets.engine.regularizers import (
    BorderCrop,
    ClipSmallContribution,
    ClipSmallNorm,
    GaussianBlur,
    L2Decay,
    Regularizer,
    filling,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_decay_takes_its_share_off() -> None:
    x = random(2, 3, 4, 5)
    assert torch.allclose(L2Decay(0.3).project(x, x, 0), 0.7 * x)
    assert torch.equal(L2Decay(0).project(x, x, 0), x)
    assert not L2Decay(1).project(x, x, 0).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (9, 14), (31, 8)])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.5, 1.0, 2.7, 6.0])
def test_blur_equals_scipy_including_the_border(sigma: float, shape: tuple[int, int]) -> None:
    x = random(2, 3, *shape)
    expected = gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=4.0)
    assert np.allclose(GaussianBlur(sigma).project(x, x, 0).numpy(), expected, rtol=0, atol=1e-14)
    single = GaussianBlur(sigma).project(x.float(), x.float(), 0)
    assert np.allclose(single.numpy(), expected, rtol=0, atol=2e-6)


def test_blur_keeps_the_mean_and_a_plain_image() -> None:
    x = random(1, 1, 12, 9)
    assert GaussianBlur(1.5).project(x, x, 0).mean().item() == pytest.approx(x.mean().item())
    plain = torch.full((1, 3, 12, 9), 0.25, dtype=torch.float64)
    assert torch.allclose(GaussianBlur(1.5).project(plain, plain, 0), plain)
    assert torch.equal(GaussianBlur(0).project(x, x, 0), x)


def slowly(x: np.ndarray, sizes: np.ndarray, percentile: float) -> np.ndarray:
    kept = x.copy()
    for number, image in enumerate(sizes):
        threshold = np.percentile(image, percentile)
        for row, column in itertools.product(*map(range, image.shape)):
            if image[row, column] < threshold:
                kept[number, :, row, column] = 0
    return kept


@pytest.mark.parametrize("percentile", [0, 12.5, 50, 90, 100])
@pytest.mark.parametrize("shape", [(3, 3, 7, 6), (2, 1, 5, 5)])
def test_both_clips_equal_a_loop_over_pixels(shape: tuple[int, ...], percentile: float) -> None:
    x, gradient = random(*shape), random(*shape, seed=1)
    norms = np.sqrt((x.numpy() ** 2).sum(1))
    found = ClipSmallNorm(percentile).project(x, gradient, 0).numpy()
    assert np.array_equal(found, slowly(x.numpy(), norms, percentile))
    contributions = np.abs((gradient.numpy() * -x.numpy()).sum(1))
    found = ClipSmallContribution(percentile).project(x, gradient, 0).numpy()
    assert np.array_equal(found, slowly(x.numpy(), contributions, percentile))


def test_equal_pixels_are_not_clipped() -> None:
    x = torch.ones(1, 3, 4, 4)
    assert torch.equal(ClipSmallNorm(90).project(x, x, 0), x)
    mostly_zero = torch.zeros(1, 1, 4, 4)
    mostly_zero[..., 0, 0] = 1
    assert torch.equal(ClipSmallNorm(50).project(mostly_zero, mostly_zero, 0), mostly_zero)


def test_a_gradient_that_reaches_few_pixels_clips_nothing() -> None:
    x, gradient = random(1, 3, 10, 10), torch.zeros(1, 3, 10, 10, dtype=torch.float64)
    gradient[..., :2, :2] = 1
    assert torch.equal(ClipSmallContribution(90).project(x, gradient, 0), x)


def test_contribution_sums_over_colours_before_taking_its_size() -> None:
    x = torch.tensor([1.0, 1.0, 0.5]).view(1, 3, 1, 1).repeat(1, 1, 1, 2)
    gradient = torch.tensor([[1.0, -1.0, 0.0], [0.1, 0.1, 0.1]]).T.reshape(1, 3, 1, 2)
    clipped = ClipSmallContribution(50).project(x, gradient, 0)
    assert clipped[0, :, 0, 0].tolist() == [0, 0, 0]
    assert clipped[0, :, 0, 1].tolist() == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("shape", "pixels", "kept"),
    [
        ((7, 9), 2, (slice(2, 5), slice(2, 7))),
        ((7, 9), 0, (slice(0, 7), slice(0, 9))),
        ((7, 10), 8, (slice(3, 4), slice(4, 6))),
        ((1, 2), 8, (slice(0, 1), slice(0, 2))),
    ],
)
def test_a_border_becomes_the_mean_colour(shape: tuple[int, int], pixels: int, kept: tuple[slice, slice]) -> None:
    x = random(2, 3, *shape)
    expected = torch.zeros_like(x)
    expected[..., kept[0], kept[1]] = x[..., kept[0], kept[1]]
    assert torch.equal(BorderCrop(pixels).project(x, x, 0), expected)


def test_the_four_of_the_paper_come_first() -> None:
    names = [kind.__name__ for kind in Regularizer.members()]
    assert names[:4] == ["L2Decay", "GaussianBlur", "ClipSmallNorm", "ClipSmallContribution"]
    order = ["BorderCrop", "L2Penalty", "NormalizeGradient", "Padding"]
    assert [name for name in names if name in order] == order


def test_every_counts_from_step_zero() -> None:
    blur = GaussianBlur(0.5, every=4)
    assert [step for step in range(10) if blur.acts_at(step)] == [0, 4, 8]
    priors = [blur, L2Decay(0.1), ClipSmallNorm(50, every=2)]
    assert filling(priors, "project", 0) == priors
    assert filling(priors, "project", 2) == priors[1:]
    assert filling(priors, "project", 3) == [priors[1]]
    assert filling(priors, "transform", 0) == []


def test_a_class_tells_its_moments() -> None:
    @dataclass(frozen=True)
    class _Two(Regularizer):
        def penalty(self, x: Tensor) -> Tensor:
            return x.flatten(1).mean(1)

        def condition(self, gradient: Tensor) -> Tensor:
            return gradient.sign()

    assert _Two.moments() == ("penalty", "condition")
    assert Regularizer.moments() == ()
    assert {prior: prior.moments() for prior in (L2Decay, GaussianBlur, ClipSmallNorm)} == dict.fromkeys(
        (L2Decay, GaussianBlur, ClipSmallNorm), ("project",)
    )


def test_each_moment_is_neutral_by_default() -> None:
    x, prior = random(2, 3, 4, 4), Regularizer()
    assert prior.transform(x, torch.Generator()) is x
    assert prior.condition(x) is x
    assert prior.project(x, x, 0) is x
    assert prior.penalty(x).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: L2Decay(1.5), "decay=1.5; expected 0 to 1"),
        (lambda: L2Decay(math.nan), "decay=nan"),
        (lambda: GaussianBlur(-1), "sigma=-1"),
        (lambda: GaussianBlur(math.inf), "sigma=inf"),
        (lambda: ClipSmallNorm(101), "percentile=101; expected 0 to 100"),
        (lambda: ClipSmallContribution(-0.1), "percentile=-0.1"),
        (lambda: BorderCrop(-1), "pixels=-1; expected a whole number of pixels from 0"),
        (lambda: L2Decay(0.1, every=0), "every=0; expected a whole number of steps from 1"),
        (lambda: GaussianBlur(1.0, every=1.5), "every=1.5"),
    ],
)
def test_values_that_mean_nothing_are_told(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

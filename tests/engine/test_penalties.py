"""Each penalty against its formula as a loop over pixels, and its slope where the image is plain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnviz_widgets.engine.regularizers import AlphaNorm, L1Penalty, L2Decay, L2Penalty, Regularizer, TotalVariation

PENALTIES = [
    L2Penalty(0.7),
    L1Penalty(0.7),
    AlphaNorm(1.0, 0.7),
    AlphaNorm(1.5, 0.7),
    AlphaNorm(6.0, 0.7),
    TotalVariation(1.0, 0.7),
    TotalVariation(1.5, 0.7),
    TotalVariation(2.0, 0.7),
    TotalVariation(3.0, 0.7),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(prior: Regularizer, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(prior.penalty(x).sum(), x)
    return found


def slowly(x: np.ndarray, cost: Callable[[float, float, float], float]) -> list[float]:
    """0.7 times the sum over pixels and colours of a cost of the value and its differences to the right and below."""
    images, colours, height, width = x.shape
    sums = [0.0] * images
    for image, colour, row, column in itertools.product(range(images), range(colours), range(height), range(width)):
        plane = x[image, colour]
        across = plane[row, column + 1] - plane[row, column] if column + 1 < width else 0.0
        down = plane[row + 1, column] - plane[row, column] if row + 1 < height else 0.0
        sums[image] += 0.7 * cost(plane[row, column], across, down)
    return sums


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 1, 1), (3, 2, 1, 6)])
@pytest.mark.parametrize(
    ("prior", "cost"),
    [
        (L2Penalty(0.7), lambda value, across, down: value**2),
        (L1Penalty(0.7), lambda value, across, down: abs(value)),
        (AlphaNorm(6.0, 0.7), lambda value, across, down: abs(value) ** 6),
        (AlphaNorm(2.5, 0.7), lambda value, across, down: abs(value) ** 2.5),
        (TotalVariation(1.0, 0.7), lambda value, across, down: math.hypot(across, down)),
        (TotalVariation(2.0, 0.7), lambda value, across, down: across**2 + down**2),
        (TotalVariation(2.6, 0.7), lambda value, across, down: (across**2 + down**2) ** 1.3),
    ],
    # a function's repr differs from process to process
    ids=lambda value: "formula" if callable(value) else repr(value),
)
def test_a_penalty_is_its_formula(prior: Regularizer, cost: Any, shape: tuple[int, ...]) -> None:
    x = random(*shape)
    assert prior.penalty(x).tolist() == pytest.approx(slowly(x.numpy(), cost), rel=1e-12)


@pytest.mark.parametrize("prior", PENALTIES, ids=repr)
def test_a_slope_is_that_of_the_formula(prior: Regularizer) -> None:
    x = random(2, 2, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(prior.penalty, (x,))


@pytest.mark.parametrize("prior", PENALTIES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plain_image_has_no_slope_and_costs_nothing(prior: Regularizer, dtype: torch.dtype) -> None:
    plain = torch.zeros(2, 3, 4, 5, dtype=dtype)
    assert prior.penalty(plain).tolist() == [0, 0]
    assert torch.equal(slope(prior, plain), plain)


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e-20, 1e-8])
def test_total_variation_stays_finite_where_squares_vanish(beta: float, size: float) -> None:
    x = torch.zeros(1, 1, 4, 4)
    x[..., 1, 1] = size
    found = slope(TotalVariation(beta, 1.0), x)
    assert found.isfinite().all()
    assert found.abs().max() <= 4


def test_an_image_pays_for_itself_alone() -> None:
    x = random(3, 3, 6, 5)
    others = x.clone()
    others[1:] = 100 * x[1:]
    for prior in PENALTIES:
        assert prior.penalty(others)[0] == prior.penalty(x)[0]
        assert torch.equal(slope(prior, others)[0], slope(prior, x)[0])


def test_no_weight_costs_nothing() -> None:
    x = random(2, 3, 4, 4)
    for prior in (L2Penalty(0), L1Penalty(0), AlphaNorm(6.0, 0), TotalVariation(1.0, 0)):
        assert prior.penalty(x).tolist() == [0, 0]


def test_noise_at_the_usual_start_costs_more_than_a_logit_brings() -> None:
    start = random(1, 3, 224, 224) * (10 / 255)
    for prior in (L2Penalty(), L1Penalty(), TotalVariation()):
        assert 20 < prior.penalty(start).item() < 30, prior


def test_an_alpha_norm_lets_noise_pass_and_stops_what_is_three_times_as_strong() -> None:
    start = random(1, 3, 224, 224) * (10 / 255)
    assert AlphaNorm().penalty(start).item() == pytest.approx(0.025, abs=0.01)
    assert AlphaNorm().penalty(3 * start).item() == pytest.approx(18, abs=2)


def test_a_squared_norm_is_a_decay_whose_share_grows_with_the_step() -> None:
    x, size, weight = random(1, 3, 4, 4), 100.0, 0.325
    in_grey_levels = 255 * x - size * slope(L2Penalty(weight), x) / 255
    share = 2 * size * weight / 255**2
    assert torch.allclose(in_grey_levels / 255, L2Decay(share).project(x, x, 0), rtol=1e-12)


def test_a_small_exponent_leaves_an_edge_alone_and_a_large_one_smears_it() -> None:
    edge, ramp = torch.zeros(1, 1, 1, 11), torch.linspace(0, 1, 11).view(1, 1, 1, 11)
    edge[..., 5:] = 1
    flat = TotalVariation(1.0, 1.0)
    assert flat.penalty(edge).item() == pytest.approx(flat.penalty(ramp).item(), rel=1e-5)
    steep = TotalVariation(2.0, 1.0)
    assert steep.penalty(edge).item() == pytest.approx(10 * steep.penalty(ramp).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: L2Penalty(-0.1), r"weight=-0\.1; expected 0 to 1e\+12"),
        (lambda: L2Penalty(math.nan), "weight=nan"),
        (lambda: L1Penalty(math.inf), "weight=inf"),
        (lambda: AlphaNorm(0.5), r"alpha=0\.5; expected 1 to 100"),
        (lambda: AlphaNorm(6.0, -1), "weight=-1"),
        (lambda: TotalVariation(0.9), r"beta=0\.9; expected 1 to 100"),
        (lambda: TotalVariation(2.0, -1), "weight=-1"),
        (lambda: TotalVariation(every=0), "every=0"),
    ],
)
def test_values_that_mean_nothing_are_told(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

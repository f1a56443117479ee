"""How far a step goes."""

from __future__ import annotations

import math

import pytest
import torch

from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.steppers import Constant, Progress, Stepper


def test_a_constant_step_is_size_times_gradient() -> None:
    gradient = torch.tensor([[[[0.01, -0.02]]]])
    assert torch.equal(Constant(100.0).update(gradient, torch.zeros(1)), 100 * gradient)


def test_progress_divides_by_each_images_own_squared_norm() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [1e-4, 0.0]]).view(4, 1, 1, 2)
    update = Progress(desired=2.0, largest=100.0).update(gradient, torch.zeros(4))
    sizes = [2 / 25, 2 / 0.25, 0, 100]
    expected = gradient * torch.tensor(sizes).view(4, 1, 1, 1)
    assert torch.allclose(update, expected)
    assert update.isfinite().all()


def test_progress_raises_a_linear_score_by_what_is_desired(grey_network: Network) -> None:
    unit = grey_network["0"][1, "center"]
    scores = [float(f.score) for f in ascend(grey_network, unit, stepper=Progress(0.03), steps=3, seed=2)]
    assert torch.tensor(scores).diff().tolist() == pytest.approx([0.03] * 3, rel=1e-3)


def test_a_constant_size_is_in_units_of_255(grey_network: Network) -> None:
    unit = grey_network["0"][1, "center"]
    start, after = ascend(grey_network, unit, stepper=Constant(100.0), steps=1)
    leaf = start.image.clone().requires_grad_()
    score = grey_network.module[0](grey_network.input.normalized(leaf))[0, 1, 4, 4]  # type: ignore[index, operator]
    (gradient,) = torch.autograd.grad(score, leaf)
    assert torch.allclose((after.image - start.image), 100 / 255**2 * gradient, atol=1e-6)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("make", [Constant, Progress, lambda value: Progress(2.0, value)])
def test_a_size_must_be_a_number_above_zero(make: type[Stepper], value: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        make(value)  # type: ignore[call-arg]

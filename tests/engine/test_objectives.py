"""What an objective scores, and how it prints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.objectives import Objective, activation

CONV = Layer("conv", "Conv2d", (4, 3, 5))
DENSE = Layer("head", "Linear", (6,))
LAST = Layer("norm", "LayerNorm", (3, 5, 4), channel_axis=2)
VALUES = {
    "conv": torch.arange(2 * 4 * 3 * 5, dtype=torch.float32).view(2, 4, 3, 5),
    "head": torch.arange(12, dtype=torch.float32).view(2, 6),
    "norm": torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).view(2, 3, 5, 4),
}
A, B, C = activation(CONV[0]), activation(CONV[1]), activation(DENSE[2])


def test_the_score_of_a_channel_a_position_and_a_logit() -> None:
    assert torch.equal(activation(CONV[1])(VALUES), VALUES["conv"][:, 1].mean((1, 2)))
    assert torch.equal(activation(CONV[1, 2, 4])(VALUES), VALUES["conv"][:, 1, 2, 4])
    assert torch.equal(activation(CONV[1, "center"])(VALUES), VALUES["conv"][:, 1, 1, 2])
    assert torch.equal(activation(DENSE[5])(VALUES), VALUES["head"][:, 5])


def test_channels_kept_last_count_as_channels() -> None:
    assert torch.equal(activation(LAST[3])(VALUES), VALUES["norm"][..., 3].mean((1, 2)))
    assert torch.equal(activation(LAST[3, 2, 4])(VALUES), VALUES["norm"][:, 2, 4, 3])


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (A + B, 1 * A(VALUES) + B(VALUES)),
        (A - 0.3 * B, A(VALUES) - 0.3 * B(VALUES)),
        (A - (B - C), A(VALUES) - B(VALUES) + C(VALUES)),
        (-(A + B) * 2, -2 * (A(VALUES) + B(VALUES))),
        (sum([A, B, C]), A(VALUES) + B(VALUES) + C(VALUES)),
        (np.float32(2.0) * A, 2 * A(VALUES)),
        (A * np.int64(3), 3 * A(VALUES)),
    ],
)
def test_arithmetic(goal: Objective, expected: torch.Tensor) -> None:
    assert torch.allclose(goal(VALUES), expected)


@pytest.mark.parametrize(
    ("goal", "printed"),
    [
        (A + B, "conv[0] + conv[1]"),
        (A - 0.3 * B, "conv[0] - 0.3 * conv[1]"),
        (A - B, "conv[0] - conv[1]"),
        (A - (B + C), "conv[0] - (conv[1] + head[2])"),
        (2 * (A + B), "2 * (conv[0] + conv[1])"),
        (2 * (3 * A), "6 * conv[0]"),
        (-A, "-conv[0]"),
        (1234567 * A, "1234567 * conv[0]"),
        (-0.5 * activation(CONV[1, "center"]) + C, "-0.5 * conv[1, center] + head[2]"),
    ],
)
def test_it_prints_as_typed(goal: Objective, printed: str) -> None:
    assert repr(goal) == printed


def test_it_names_each_unit_and_layer_once() -> None:
    goal = A - 2 * B + C + A
    assert goal.units == (CONV[0], CONV[1], DENSE[2])
    assert goal.layers == ("conv", "head")


def test_equal_objectives_are_equal() -> None:
    assert A + 2 * B == activation(CONV[0]) + 2 * activation(CONV[1]) != A + 3 * B
    assert len({A, activation(CONV[0]), B}) == 2


@pytest.mark.parametrize("wrong", [lambda: A + 3, lambda: A * B, lambda: A * "2", lambda: 1 + A, lambda: A - CONV[0]])
def test_what_is_no_arithmetic_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError):
        wrong()  # type: ignore[operator]


def test_only_units_and_objectives_are_goals() -> None:
    assert Objective.ensure(CONV[0]) == A
    assert Objective.ensure(A) is A
    with pytest.raises(TypeError, match=r"17 was given; expected a unit, as net\['layer'\]\[17\]"):
        Objective.ensure(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a unit"):
        activation(CONV)  # type: ignore[arg-type]

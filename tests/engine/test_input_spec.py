from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cnnviz_widgets.engine.input_spec import InputSpec


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"size": (3, 8)}, r"expected \(channels, height, width\)"),
        ({"size": 8}, r"expected \(channels, height, width\)"),
        ({"size": (3, 8, 0)}, r"expected \(channels, height, width\)"),
        ({"size": (3, 8.5, 8)}, r"expected \(channels, height, width\)"),
        ({"mean": (0.5, 0.5)}, "mean has 2 values; expected 1 or 3"),
        ({"std": 0.5}, "std is given without mean"),
        ({"mean": 0.5, "std": 0}, "expected values above 0"),
        ({"mean": (123.7, 116.3, 103.5)}, r"expected values in display range \[0, 1\]: divide by 255"),
        ({"crop": "centre"}, "expected 'center' or 'squash'"),
        ({"interpolation": "cubic"}, "expected 'nearest'"),
        ({"resize": 0}, "expected the shorter side"),
    ],
)
def test_an_input_spec_that_can_not_be(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        InputSpec(**fields)


def test_normalising_is_the_mean_and_deviation_of_the_spec() -> None:
    images = torch.rand(2, 3, 4, 4)
    made = InputSpec(size=(3, 4, 4), mean=(0.1, 0.2, 0.3), std=torch.tensor([0.5, 0.25, 0.125]))
    expected = (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    assert torch.equal(made.normalized(images), expected)
    assert made.neutral_image().flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    bare = InputSpec(size=(2, 4, 4))
    assert bare.neutral == (0.5, 0.5)
    assert torch.equal(bare.normalized(images), images)
    assert InputSpec(size=np.array([3, 4, 4]), mean=0.5).std == (1.0, 1.0, 1.0)  # type: ignore[arg-type]

"""Neurons climbed on the pixels that they see: the score is the whole network's, and what could not be done is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets.engine.ascent import Frame, ascend
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation, diversity, others
from cnnviz_widgets.engine.parameterizations import Fourier, Maco, Pixels, SigmoidPixels
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Padding
from cnnviz_widgets.engine.steppers import Adam, Constant, Progress

RECIPE = Recipe(stepper=Progress(0.05), steps=4, seed=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> Network:
    """Strides, pooling and padding on colour images that are no square."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
        nn.init.normal_(module[1].running_mean)  # type: ignore[arg-type]
    spec = InputSpec(size=(3, 40, 52), mean=(0.4, 0.5, 0.3), std=(0.2, 0.3, 0.25))
    return Network(module.eval(), spec, labels=["ant", "bee", "cat", "dog"])


def last(net: Network, goal: Any, recipe: Any = RECIPE, **fields: Any) -> Frame:
    *_, frame = ascend(net, goal, recipe, **fields)
    return frame


WAYS = {
    "pixels": RECIPE,
    "sigmoid": RECIPE.replace(parameterization=SigmoidPixels()),
    "waves": RECIPE.replace(parameterization=Fourier(), stepper=Adam(0.05)),
    "phases": RECIPE.replace(parameterization=Maco(), stepper=Adam(0.5)),
    "regularized": RECIPE.replace(
        parameterization=Fourier(), stepper=Constant(10.0), regularizers=(L2Decay(0.1), GaussianBlur(0.7))
    ),
}


@pytest.mark.parametrize("layer", ["0", "4", "5"])
@pytest.mark.parametrize("way", WAYS)
def test_the_score_is_that_of_the_image_in_the_whole_network(net: Network, way: str, layer: str) -> None:
    unit = net[layer][3, "center"]
    result = maximize(net, unit, WAYS[way])
    (path,) = result.paths
    top, left, height, width = path.canvas
    assert height * width < 0.5 * 40 * 52
    assert f"canvas {height} × {width} at row {top}, column {left}" in str(path)
    row, column = unit.index  # type: ignore[misc]
    value = net.activations(result.image, layer)[layer][0, 3, row, column]
    assert float(result.score) == pytest.approx(float(value), rel=1e-4, abs=1e-5)
    assert float(result.score) > float(result.curve[0])
    outside = torch.ones(40, 52, dtype=torch.bool)
    outside[top : top + height, left : left + width] = False
    neutral = torch.tensor(net.input.neutral).view(3, 1)
    assert torch.equal(result.image[0][:, outside], neutral.expand(3, int(outside.sum())))
    # what was climbed reaches to its borders
    assert (path.crop(result.image)[0] != neutral.view(3, 1, 1)).any(0).float().mean() > 0.5


@pytest.mark.parametrize("at", [(3, 3), (5, 8), (6, 4)])
def test_at_any_place(net: Network, at: tuple[int, int]) -> None:
    unit = net["4"][(1, *at)]
    result = maximize(net, unit, RECIPE)
    assert result.paths[0].canvas is not None
    value = net.activations(result.image, "4")["4"][0, 1, at[0], at[1]]
    assert float(result.score) == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_the_picture_shows_the_canvas_alone(net: Network) -> None:
    result = maximize(net, [net["4"][3, "center"], net.unit("bee")], RECIPE)
    _, _, height, width = result.paths[0].canvas
    neuron, bee = result.picture("none")
    assert neuron.size == (width, height)
    assert bee.size == (52, 40)
    shown = np.asarray(neuron, dtype=float)
    cropped = result.paths[0].crop(result.image[0]).permute(1, 2, 0).numpy() * 255
    assert np.abs(shown - cropped).max() <= 0.51
    assert result.image.shape == (2, 3, 40, 52)
    # contrast is of the part, which the grey around would dilute
    difference = result.paths[0].crop(result.image[0]) - torch.tensor(net.input.neutral).view(3, 1, 1)
    assert result.contrast[0] == pytest.approx(float(difference.square().mean().sqrt()) * 255, rel=1e-4)


def test_full_is_another_image_on_the_whole_input(net: Network) -> None:
    unit = net["4"][3, "center"]
    small, full = last(net, unit), last(net, unit, canvas="full")
    assert small.paths[0].canvas is not None
    assert full.paths[0].canvas is None
    assert full.paths[0].canvas_told == ""
    assert "canvas" not in str(full.paths[0])
    assert not torch.equal(small.image, full.image)
    neutral = net.input.neutral_image()
    assert (full.image - neutral)[..., :4, :4].any()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda net: net["0"][1, 0, 0], "the receptive field of 0[1, 0, 0] is cut by the border"),
        (lambda net: net["4"][1, 9, 12], "is cut by the border"),
        (
            lambda net: activation(net["0"][1, 20, 20]) + activation(net["0"][2, 0, 5]),
            "0[2, 0, 5] is cut by the border",
        ),
        (lambda net: activation(net["0"][1, 2, 2]) - activation(net["0"][2, 37, 48]), "saves too little"),
    ],
)
def test_a_refusal_is_told(net: Network, make: Any, told: str) -> None:
    frame = last(net, make(net))
    (path,) = frame.paths
    assert path.canvas is None
    assert told in path.canvas_told
    assert f"full canvas: {path.canvas_told}" in str(path)
    assert torch.equal(frame.image, last(net, make(net), canvas="full").image)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: net["4"][1],
        lambda net: net.output[1],
        lambda net: activation(net["4"][1, "center"]) + activation(net["4"][2]),
        lambda net: diversity(net["4"]) + activation(net["4"][1, "center"]),
    ],
)
def test_what_is_no_neuron_takes_the_full_canvas_quietly(net: Network, make: Any) -> None:
    (path,) = last(net, make(net)).paths
    assert path.canvas is None
    assert path.canvas_told == ""
    assert "canvas" not in str(path)


def test_neurons_of_two_layers_share_a_canvas(net: Network) -> None:
    first, second = net["0"][2, 21, 26], net["4"][5, 5, 6]
    goal = activation(first) + 0.5 * activation(second) - 0.1 * others(second)
    result = maximize(net, goal, RECIPE)
    assert result.paths[0].canvas is not None
    values = net.activations(result.image, ["0", "4"])
    rival = np.delete(values["4"][0, :, 5, 6].numpy(), 5).mean()
    expected = float(values["0"][0, 2, 21, 26] + 0.5 * values["4"][0, 5, 5, 6]) - 0.1 * float(rival)
    assert float(result.score) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert result.objectives == (goal,)
    assert "0[2, 21, 26] + 0.5 * 4[5, 5, 6]" in repr(result)


def test_before_the_nonlinearity_there_is_a_canvas_too(net: Network) -> None:
    result = maximize(net, activation(net["2"][1, "center"], at="pre"), RECIPE)
    assert result.paths[0].canvas is not None
    value = net.activations(result.image, "1")["1"][0, 1, 20, 26]
    assert float(result.score) == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_a_canvas_has_the_noise_of_its_own_size(net: Network) -> None:
    unit = net["4"][3, "center"]
    start = next(ascend(net, unit, RECIPE, parameterization=Pixels(30.0)))
    _, _, height, width = start.paths[0].canvas  # type: ignore[misc]
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2)) * 30 / 255
    expected = (noise + net.input.neutral_image()).clamp(0, 1)
    assert torch.allclose(start.paths[0].crop(start.image), expected, atol=1e-6)


def test_transformations_act_on_the_canvas(net: Network) -> None:
    fields: dict[str, Any] = {"regularizers": (Padding(2), Jitter(4)), "steps": 3}
    unit = net["4"][3, "center"]
    frame = last(net, [unit, net["4"][1]], RECIPE, **fields)
    assert frame.paths[0].canvas is not None
    assert torch.equal(frame.image[0], last(net, unit, RECIPE, **fields).image[0])

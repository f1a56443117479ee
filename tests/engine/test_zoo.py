"""Every convolutional classifier of torchvision, without training: listed, recorded, climbed, and left as it was.

One at a time and on small images, for memory and time. A tenth runs always, all of them in the long tests.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.recording import Recording
from tests.engine.intact import state_of

TRANSFORMERS = ("vit", "swin", "maxvit")
NAMES = sorted(name for name in models.list_models(module=models) if not name.startswith(TRANSFORMERS))
ALWAYS = {*NAMES[::10], "resnet18", "googlenet", "densenet121", "convnext_tiny"} - {"resnext101_64x4d"}  # the largest
SIZE = (3, 96, 96)


@pytest.fixture(scope="module", params=[pytest.param(n, marks=() if n in ALWAYS else pytest.mark.long) for n in NAMES])
def network(request: pytest.FixtureRequest) -> Iterator[cnn.Network]:
    torch.manual_seed(0)
    yield cnn.load(f"torchvision/{request.param}", weights=None, input=cnn.InputSpec(SIZE, mean=0.45, std=0.23))
    gc.collect()


def calls_of(module: nn.Module, images: Tensor) -> list[tuple[str, Tensor]]:
    """(name, output) of each call of each part, by plain hooks on the module itself in evaluation mode."""
    calls: list[tuple[str, Tensor]] = []
    count: Counter[str] = Counter()

    def noted(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            count[name] += 1
            calls.append((name if count[name] == 1 else f"{name}@{count[name]}", output.clone()))

    handles = [
        part.register_forward_hook(lambda part, inputs, output, name=name: noted(name, output))
        for name, part in module.named_modules()
        if name
    ]
    training = [part.training for part in module.modules()]
    with torch.no_grad():
        module.eval()(images)
    for part, flag in zip(module.modules(), training, strict=True):
        part.training = flag
    for handle in handles:
        handle.remove()
    return calls


def middle(network: cnn.Network) -> cnn.Layer:
    return network.main_layers[len(network.main_layers) // 2]


def test_layers_and_values_are_those_of_plain_hooks(network: cnn.Network) -> None:
    images = torch.rand(2, *SIZE)
    calls = calls_of(network.module, network.input.normalized(images))
    listed = [name for name in network.layers if not name.endswith(":input")]
    assert listed == [name for name, _ in calls]
    layer = middle(network)
    expected = dict(calls)[layer.name]
    del calls
    assert network.path == "shadow"
    assert layer.shape == tuple(expected.shape[1:])
    assert network.is_classifier
    assert network.output.channels == 1000
    with network.recording(layer) as record, torch.no_grad():
        assert torch.equal(record(images)[layer.name], expected)
        assert not record.complete


def steepest(network: cnn.Network, record: Recording, layer: cnn.Layer) -> tuple[cnn.Unit, float]:
    """A unit that this network's start image can move, and the length of its gradient there."""
    start = next(iter(cnn.ascend(network, layer[0], "none", steps=0))).image.requires_grad_()
    maps = record(start)[layer.name].movedim(layer.channel_axis + 1, 1).flatten(2).mean(2)[0]
    for channel in range(layer.channels):
        (slope,) = torch.autograd.grad(maps[channel], start, retain_graph=True)
        if 0 < slope.norm() < float("inf"):
            return layer[channel], float(slope.norm())
    raise AssertionError(f"no channel of {layer} has a gradient")


def test_an_ascent_raises_the_score_and_leaves_the_module_alone(network: cnn.Network) -> None:
    module = network.module.train()
    before = state_of(module)
    layer = middle(network)
    with network.recording(layer) as record:
        unit, slope = steepest(network, record, layer)
    # the activations of a network without training have any scale
    stepper = cnn.steppers.Progress(desired=0.5 * slope)
    scores = []
    for frame in cnn.ascend(network, unit, "none", steps=10, stepper=stepper):
        scores.append(float(frame.score))
        if frame.step == 5:
            assert state_of(module) == before
    assert len(scores) == 11
    assert scores[-1] > scores[0]
    assert state_of(module) == before


def test_breaking_off_leaves_the_module_alone(network: cnn.Network) -> None:
    module = network.module.train()
    before = state_of(module)
    for _ in cnn.ascend(network, middle(network)[0], "none", steps=10):
        break
    assert state_of(module) == before
    with network.recording(network.output) as record, pytest.raises((RuntimeError, ValueError)):
        record(torch.rand(2, 7, 96, 96))
    assert state_of(module) == before

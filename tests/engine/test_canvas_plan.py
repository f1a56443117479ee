"""Where a canvas lies, and that a neuron on it is what it is on the whole input, its gradient too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import SqueezeExcitation

from cnnviz_widgets.engine.canvas import Canvas, Refusal, canvas
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.receptive_field import ReceptiveFields, all_receptive_fields

from .modules import Function, Same, network_of


def padded() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=(2, 0)))


def gradients(network: Network, unit: Unit, images: Tensor) -> tuple[Tensor, Tensor]:
    leaf = images.clone().requires_grad_()
    with network.recording(unit.layer) as record:
        assert unit.index is not None
        score = record(leaf)[unit.layer.name][(slice(None), unit.channel, *unit.index)]
    return score.detach(), torch.autograd.grad(score.sum(), leaf)[0]


def same_on_canvas(network: Network, unit: Unit, found: Canvas | Refusal) -> Canvas:
    assert isinstance(found, Canvas), found
    images = torch.rand(2, *network.input.size)
    large, slope = gradients(network, unit, images)
    small, small_slope = gradients(network, found.moved(unit), found.crop(images))
    torch.testing.assert_close(small, large)
    torch.testing.assert_close(small_slope, found.crop(slope))
    assert slope.norm() == pytest.approx(float(small_slope.norm()))
    return found


@pytest.fixture(scope="module")
def larger_resnet() -> tuple[Network, dict[str, ReceptiveFields]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network_of(models.resnet18(), 100, 90)
    return network, all_receptive_fields(network)


@pytest.mark.parametrize("name", ["layer1.0.conv1", "layer1", "layer2.0.downsample.0", "layer2.0.conv1"])
def test_a_neuron_on_its_canvas_is_as_on_the_whole_input(
    larger_resnet: tuple[Network, dict[str, ReceptiveFields]], name: str
) -> None:
    network, fields = larger_resnet
    unit = network[name][5, "center"]
    found = same_on_canvas(network, unit, canvas(network, [unit], fields))
    step = math.ceil(100 / network[name].shape[1])
    assert found.top % step == found.left % step == 0
    assert (100 - found.height) % step == (90 - found.width) % step == 0
    assert found.shifts[name] == (found.top // step, found.left // step)


def test_neurons_of_several_layers_share_a_canvas(larger_resnet: tuple[Network, dict[str, ReceptiveFields]]) -> None:
    network, fields = larger_resnet
    units = [network["layer1"][3, 12, 11], network["maxpool"][1, 5, 9], network["conv1"][2, 33, 20]]
    found = canvas(network, units, fields)
    for unit in units:
        same_on_canvas(network, unit, found)


def test_padding_that_depends_on_the_size_stays_the_same() -> None:
    network = network_of(
        nn.Sequential(Same(3, 4, 3, stride=2), nn.ReLU(), Same(4, 4, 4, stride=2), Same(4, 4, 3)), 50, 45
    )
    unit = network["3"][1, "center"]
    found = same_on_canvas(network, unit, canvas(network, [unit]))
    assert ((50 - found.height) % 4, (45 - found.width) % 4) == (0, 0)


def test_pixels_and_places_left_over_at_the_end_do_not_hide_the_step() -> None:
    """Of 48 rows a kernel of 3 with stride 2 does not see the last, and the last place of the pool is a smaller one."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(4, 4, 3, padding=1))
    network = network_of(module, 48, 42)
    unit = network["2"][1, "center"]
    found = same_on_canvas(network, unit, canvas(network, [unit]))
    assert (found.height, found.width) == (16, 14)


def test_steps_between_the_layers_count() -> None:
    """The map is as fine as the input again, but only every fourth place is like another."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.Upsample(scale_factor=4), nn.Conv2d(4, 4, 3))
    network = network_of(module, 48, 40)
    unit = network["2"][1, 22, 19]
    found = same_on_canvas(network, unit, canvas(network, [unit]))
    assert (found.top % 4, found.left % 4) == (0, 0)
    assert found.shifts["2"] == (found.top, found.left)


@pytest.mark.parametrize(
    ("module", "key", "reason"),
    [
        (padded, (0,), "no row and column"),
        (padded, (0, 0, 8), "cut by the border"),
        (lambda: Function(SqueezeExcitation(4, 2)), (0, "center"), "whole image"),
        (lambda: Function(lambda x: torch.fft.rfft2(x).abs()), (0, "center"), "unknown: aten::_fft_r2c"),
        (lambda: nn.Conv2d(3, 4, (19, 16), padding=1), (0, "center"), "saves too little"),
        (lambda: Function(lambda x: x[:, :, 5:8, 5:8]), (0, "center"), "can't run on"),
        (lambda: Function(lambda x: x + torch.linspace(0, 1, x.shape[2])[:, None]), (0, "center"), "activations"),
    ],
)
def test_a_canvas_that_would_not_do_is_refused(
    module: Callable[[], nn.Module], key: tuple[int | str, ...], reason: str
) -> None:
    network = network_of(module())
    layer = list(network.layers.values())[-1]
    found = canvas(network, [layer[key]])
    assert isinstance(found, Refusal)
    assert reason in found.reason


@pytest.mark.real
def test_the_default_network_has_canvases(real_network: Network) -> None:
    fields = all_receptive_fields(real_network)
    sides = []
    for name in ("conv_stem", "blocks.0.0.conv_dw", "blocks.1", "blocks.2.1.conv_pw", "blocks.3"):
        unit = real_network[name][7, "center"]
        sides.append(same_on_canvas(real_network, unit, canvas(real_network, [unit], fields)).height)
    assert sides == [4, 8, 24, 48, 160]

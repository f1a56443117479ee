"""What is told of receptive fields, held against NaN: put into a row of the input, it arrives at all that sees the row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import SqueezeExcitation

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.receptive_field import (
    ReceptiveFields,
    all_receptive_fields,
    receptive_field,
    receptive_fields,
)

from .modules import Function, Same, network_of

WHOLE = "whole image"


class Branches(nn.Module):
    """Nothing but functions between its convolutions: branches, slices and joints."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.wide = nn.Conv2d(4, 4, 5, padding=2)
        self.end = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=True)
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)[:, :, 1:-1, 2:]
        wide = self.wide(x)[:, :, :-2, :-2]
        joined = torch.cat([pooled, wide], 1)
        return self.end(joined) + wide * pooled[:, :1]


class Attention(nn.Module):
    """Self-attention over the positions of a map, around which it returns to one."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.map = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.map(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))


def probed(network: Network, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Layer name -> (C, H, W, 4) boxes, by NaN in one row or column at a time."""
    ends: dict[str, list[Tensor]] = {name: [] for name in names}
    for axis in (2, 3):
        count = network.input.size[axis - 1]
        images = torch.full((count, *network.input.size), 0.5)
        for at in range(count):
            images.select(axis, at)[at] = torch.nan
        with network.recording(names) as record, torch.no_grad():
            values = record(images)
        for name in names:
            seen = values[name].movedim(network[name].channel_axis + 1, 1).isnan().int()
            last = torch.where(seen.any(0), count - seen.flip(0).argmax(0), 0)
            ends[name] += [seen.argmax(0), last]
    return {name: torch.stack([one[0], one[2], one[1], one[3]], -1).numpy() for name, one in ends.items()}


def agree(network: Network, fields: Mapping[str, ReceptiveFields]) -> None:
    """Every position, and every channel at some positions, sees what NaN says."""
    for name, expected in probed(network, list(fields)).items():
        layer = network[name]
        empty = (expected[..., 2:] <= expected[..., :2]).any(-1, keepdims=True)
        first = np.where(empty, 10**6, expected[..., :2]).min(0)
        around = np.concatenate([first, np.where(empty, 0, expected[..., 2:]).max(0)], -1)
        np.testing.assert_array_equal(fields[name].boxes, np.where(empty.all(0), 0, around), err_msg=name)
        for place in {tuple((size - 1) * part // 2 for size in layer.positions) for part in range(3)}:
            for channel in range(0, layer.channels, max(1, layer.channels // 8)):
                told = fields[name][Unit(layer, channel, place or None)]
                assert told.status != "unknown" or empty[(channel, *place)], told
                assert told.box == tuple(expected[(channel, *place)]) or empty[(channel, *place)], told


def sequence(*parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*parts)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": sequence(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, (5, 1)), nn.BatchNorm2d(4), nn.ReLU6()),
    "padded": sequence(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 5, padding=(2, 0))),
    "strided": sequence(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 4, stride=(3, 1), padding=1)),
    "dilated": sequence(nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding=3, dilation=3)),
    "grouped": sequence(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 9, 3, groups=3)),
    "same": sequence(Same(3, 4, 3, stride=2), nn.ReLU6(), Same(4, 4, 4, stride=2), Same(4, 4, 5)),
    "same by name": sequence(nn.Conv2d(3, 4, 4, padding="same"), nn.Conv2d(4, 4, 3, padding="same", dilation=2)),
    "pools": sequence(nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(3, 4, 2)),
    "padded pools": sequence(nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 1, padding=1)),
    "dilated pool": sequence(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, padding=1, dilation=2)),
    "adaptive": sequence(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((7, 4)), nn.AdaptiveMaxPool2d((3, 3))),
    "transposed": sequence(nn.Conv2d(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1)),
    "with gaps": sequence(nn.ConvTranspose2d(3, 4, 2, stride=3, output_padding=1), nn.Conv2d(4, 4, 3)),
    "nearest": sequence(nn.Conv2d(3, 4, 3, stride=2), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)),
    "bilinear": sequence(nn.Conv2d(3, 4, 3, stride=2), nn.Upsample(size=(23, 15), mode="bilinear"), nn.Conv2d(4, 4, 3)),
    "pixel shuffle": sequence(nn.Conv2d(3, 8, 3, stride=2), nn.PixelShuffle(2), nn.Conv2d(2, 4, 3)),
    "reflected": sequence(nn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect"), nn.ReplicationPad2d(1)),
    "around": sequence(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")),
    "normalized": sequence(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(3), nn.Conv2d(4, 4, 3), nn.PReLU(4), nn.GELU()),
    "functions": Branches,
    "channels last": lambda: Function(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)),
    "turned": lambda: Function(lambda x: x.transpose(2, 3).flip(2).roll(1, 3)),
    "windows": lambda: Function(lambda x: x[:, :, :16, :16].unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))),
    "every other": lambda: Function(lambda x: F.pad(x[:, :, ::2, 1::2], (0, 0, 0, 0, 2, 2))),
    "shuffled": lambda: Function(lambda x: x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2) * 2),
    "mean of channels": lambda: Function(
        lambda x: x * torch.sigmoid(x.mean(1, keepdim=True) + x.amax(1, keepdim=True))
    ),
    "written into": lambda: Function(into_a_part),
    "summed in place": lambda: Function(lambda x: x.clone()[:, :, 1:].add_(x[:, :, :-1])),
    "einsum": lambda: Function(lambda x: torch.einsum("bchw,dc->bdhw", x, torch.ones(5, 4))),
    "small": sequence(
        nn.Conv2d(3, 4, 16), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, (5, 2)), nn.Conv2d(4, 4, 3, 1, 1)
    ),
}


def into_a_part(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :2, 1:] = x[:, :2, :-1]
    out[:, 2:, :, :-1] += x[:, 2:, :, 1:]
    out[:, 1:3, :, 3] = 0
    return out


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", NETWORKS)
def test_units_see_what_nan_says(name: str) -> None:
    network = network_of(NETWORKS[name]())
    agree(network, all_receptive_fields(network))


MIXING: dict[str, Callable[[], nn.Module]] = {
    "global mean": lambda: Function(lambda x: x.mean((2, 3), keepdim=True)),
    "global pool": lambda: Function(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "pool as large as the map": lambda: Function(lambda x: F.avg_pool2d(x, (20, 17))),
    "mean of columns": lambda: Function(lambda x: x * x.mean(3, keepdim=True)),
    "largest": lambda: Function(lambda x: x.amax((2, 3))),
    "squeeze and excite": lambda: Function(SqueezeExcitation(4, 2)),
    "dense": lambda: Function(lambda x: x.flatten(1) @ torch.ones(4 * 20 * 17, 3)),
    "softmax": lambda: Function(lambda x: x.flatten(2).softmax(2).view_as(x)),
    "instance norm": lambda: Function(F.instance_norm),
    "group norm": lambda: Function(nn.GroupNorm(2, 4)),
    "layer norm": lambda: Function(lambda x: F.layer_norm(x, x.shape[1:])),
    "attention": Attention,
}


@pytest.mark.parametrize("name", MIXING)
def test_what_takes_in_every_position_is_told(name: str) -> None:
    network = network_of(MIXING[name]())
    fields = all_receptive_fields(network)
    agree(network, fields)
    last = list(fields.values())[-1]
    unit = last.layer[1, "center"] if last.layer.positions else last.layer[1]
    told = last[unit]
    assert told.status == WHOLE
    assert told.reason.endswith("over all positions")
    first = next(iter(fields.values()))
    assert first[first.layer[1, "center"]].status == "exact"


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet": models.resnet18,
    "googlenet": lambda: models.googlenet(init_weights=False, aux_logits=False),
    "densenet": lambda: models.DenseNet(8, (2, 2, 2), num_init_features=8),
    "mobilenet": models.mobilenet_v3_small,
    "shufflenet": models.shufflenet_v2_x0_5,
    "convnext": lambda: models.ConvNeXt(
        [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)]
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_units_of_known_architectures_see_what_nan_says(name: str) -> None:
    torch.manual_seed(0)
    network = network_of(ARCHITECTURES[name](), 48, 40)
    fields = all_receptive_fields(network)
    agree(network, {name: fields[name] for name in list(fields)[:: max(1, len(fields) // 12)]})
    assert fields[network.output.name][network.output[0]].status == WHOLE


@pytest.mark.real
def test_units_of_the_default_network_see_what_nan_says(real_network: Network) -> None:
    fields = all_receptive_fields(real_network)
    for name in ("conv_stem", "blocks.1.0.conv_dw", "blocks.2.0", "blocks.3.1"):
        layer = real_network[name]
        unit = layer[3, layer.shape[1] // 2 - 1, layer.shape[2] // 2 + 1]
        assert unit.index is not None
        top, left, bottom, right = fields[name][unit].box
        images = torch.full((8, *real_network.input.size), 0.5)
        for number, row in enumerate((top - 1, top, bottom - 1, bottom)):
            images[number, :, row] = torch.nan
        for number, column in enumerate((left - 1, left, right - 1, right), 4):
            images[number, :, :, column] = torch.nan
        with real_network.recording(name) as record, torch.no_grad():
            reached = record(images)[name][(slice(None), unit.channel, *unit.index)].isnan()
        assert reached.tolist() == [False, True, True, False] * 2
    # SAME padding stands at the end only, so the first of the map's positions is not cut
    assert fields["conv_stem"][real_network["conv_stem"][0, 0, 0]].status == "exact"
    assert fields["conv_stem"][real_network["conv_stem"][0, 111, 111]].status == "cut by the border"
    assert fields["blocks.3"][real_network["blocks.3"][0, "center"]].box == (54, 54, 201, 201)


class PaddedWithNan(nn.Module):
    """A convolution or pool whose padding is NaN, which shows who sees padding."""

    def __init__(self, part: nn.Conv2d | nn.MaxPool2d) -> None:
        super().__init__()
        pads = part.padding if isinstance(part.padding, tuple) else (part.padding, part.padding)
        self.pads = (pads[1], pads[1], pads[0], pads[0])
        self.part = part
        part.padding = (0, 0) if isinstance(part, nn.Conv2d) else 0

    def forward(self, x: Tensor) -> Tensor:
        return self.part(F.pad(x, self.pads, value=torch.nan))


def padded_with_nan(module: nn.Module) -> nn.Module:
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d | nn.MaxPool2d):
            setattr(module, name, PaddedWithNan(part))
        else:
            padded_with_nan(part)
    return module


@pytest.mark.parametrize(
    ("module", "size", "names"),
    [
        (NETWORKS["padded"], (20, 17), ["0", "2"]),
        (NETWORKS["strided"], (20, 17), ["0", "1"]),
        (NETWORKS["dilated"], (20, 17), ["1"]),
        (
            models.resnet18,
            (100, 90),
            ["conv1", "maxpool", "layer1.0.conv2", "layer1", "layer2.0.downsample.0", "layer2.0"],
        ),
    ],
)
def test_a_unit_is_cut_where_padding_reaches_it(
    module: Callable[[], nn.Module], size: tuple[int, int], names: list[str]
) -> None:
    network = network_of(module(), *size)
    fields = all_receptive_fields(network)
    twin = network_of(copy.deepcopy(network.module), *size)
    padded_with_nan(twin.module)
    values = twin.activations(torch.rand(1, 3, *size), names)
    for name in names:
        layer = network[name]
        _, height, width = layer.shape
        down = [(y, x) for y in range(height) for x in (width // 2, y * width // height)]
        for y, x in [*down, *((height // 2, x) for x in range(width))]:
            told = fields[name][layer[0, y, x]].status
            assert (told == "cut by the border") == bool(values[name][0, 0, y, x].isnan()), (name, y, x)


def test_a_channel_is_the_whole_image() -> None:
    network = network_of(NETWORKS["plain"]())
    told = receptive_field(network, network["0"][2])
    assert (told.box, told.status, told.reason) == ((0, 0, 20, 17), WHOLE, "the mean over the map")
    assert told.size == (20, 17)


def test_a_position_is_a_box_of_pixels() -> None:
    network = network_of(NETWORKS["plain"]())
    told = receptive_field(network, network["2"][1, 4, 5])
    assert (told.box, told.size, told.status) == ((4, 5, 11, 8), (7, 3), "exact")


def test_joined_branches_keep_their_own_fields() -> None:
    module = Function(lambda x: torch.cat([x, F.avg_pool2d(x, 5, 1, 2)], 1))
    network = network_of(module)
    fields = receptive_fields(network, "after")
    assert fields[network["after"][0, "center"]].size == (3, 3)
    assert fields[network["after"][7, "center"]].size == (7, 7)
    assert fields.rows[10].tolist() == [7, 14]
    assert fields.columns[8].tolist() == [5, 12]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.fft.rfft2(x).abs(), "aten::_fft_r2c"),
        (lambda x: F.grid_sample(x, torch.zeros(1, 5, 5, 2), align_corners=False), "aten::grid_sampler_2d"),
        (lambda x: x.gather(3, x.argsort(3)), "gather in a form that is not known"),
        (lambda x: x.as_strided((1, 4, 5, 5), (5, 5, 5, 1)), "as_strided in a form that is not known"),
        (lambda x: torch.from_numpy(x.detach().numpy()), "no way from the input to the unit was seen"),
    ],
)
def test_what_is_not_known_is_not_guessed(function: Callable[[Tensor], Tensor], reason: str) -> None:
    network = network_of(Function(function))
    told = receptive_field(network, network["after"][0, "center"])
    assert (told.status, told.reason, told.box) == ("unknown", reason, (0, 0, 20, 17))


def test_old_views_of_what_was_overwritten_are_not_guessed() -> None:
    def overwritten(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        x += x.roll(1, 2)
        return flat.view_as(x)

    network = network_of(Function(overwritten))
    told = receptive_field(network, network["after"][0, "center"])
    assert told.status == "unknown"
    assert "add" in told.reason


def test_second_calls_and_outputs_have_fields_of_their_own() -> None:
    relu = nn.Conv2d(3, 3, 3)
    network = network_of(nn.Sequential(relu, relu))
    assert receptive_field(network, network["0"][0, 3, 3]).size == (3, 3)
    assert receptive_field(network, network["0@2"][0, 3, 3]).size == (5, 5)


def test_a_module_that_cannot_be_copied_is_borrowed_and_given_back() -> None:
    class Held(nn.Conv2d):
        def __deepcopy__(self, memo: object) -> Held:
            raise TypeError

    network = network_of(Held(3, 4, 3))
    assert network.path == "borrowed"
    hooks = len(network.module._forward_hooks)
    assert receptive_field(network, network.output[0, 2, 2]).box == (2, 2, 5, 5)
    assert len(network.module._forward_hooks) == hooks
    assert all(parameter.requires_grad for parameter in network.module.parameters())


def test_a_field_of_another_layer_is_refused() -> None:
    network = network_of(NETWORKS["plain"]())
    with pytest.raises(ValueError, match="no unit of '0'"):
        receptive_fields(network, "0")[network["2"][0, "center"]]

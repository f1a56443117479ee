"""Crops keep a field's scale and centre, and are hatched exactly where the field leaves the picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnnviz_widgets.engine.field_crops import HATCH, cut, window
from cnnviz_widgets.engine.framing import framing
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.receptive_field import ReceptiveFields, all_receptive_fields

from .modules import Function, network_of

RED = (255, 0, 0)


class Sliced(nn.Module):
    """Drops the first rows and columns before anything is padded."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x[:, :, 3:, 2:])


MODULES: dict[str, Callable[[], nn.Module]] = {
    "padded": lambda: nn.Sequential(nn.Conv2d(3, 2, 5, padding=2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1)),
    "strided": lambda: nn.Sequential(
        nn.Conv2d(3, 2, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
    ),
    "dilated": lambda: nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=2, dilation=2), nn.Conv2d(2, 2, 3, padding=4, dilation=4)
    ),
    "uneven": lambda: nn.Sequential(nn.ZeroPad2d((0, 3, 2, 1)), nn.Conv2d(3, 2, (5, 3), stride=(1, 2), padding=(1, 2))),
    "enlarged": lambda: nn.Sequential(
        nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, padding=1)
    ),
    "sliced": Sliced,
}


def fields_of(network: Network) -> dict[str, ReceptiveFields]:
    return all_receptive_fields(network)


@pytest.mark.parametrize("kind", MODULES)
def test_the_full_window_is_the_field_on_a_larger_canvas(kind: str) -> None:
    """An image in the middle of a larger one: there the border cuts nothing, so the field there is the whole one."""
    module = MODULES[kind]()
    size, room = (40, 36), 32
    small, large = (
        fields_of(network_of(module, *size)),
        fields_of(network_of(module, *(side + 2 * room for side in size))),
    )
    cut_ones = 0
    for name, fields in small.items():
        layer, wide = fields.layer, large[name].layer
        if len(layer.positions) != 2:
            continue
        rows, columns = layer.positions
        # how many positions the room takes
        moved = [(there - here) // 2 for there, here in zip(wide.positions, layer.positions, strict=True)]
        for y, x in itertools.product({0, 1, 2, rows // 2, rows - 2, rows - 1}, {0, 1, columns // 2, columns - 1}):
            found = window(fields, layer[0, y, x])
            there = large[name][wide[0, y + moved[0], x + moved[1]]]
            assert there.status == "exact"
            assert found.box == tuple(edge - room for edge in there.box), (name, y, x)
            assert found.seen == fields[layer[0, y, x]].box
            if found.status == "exact":
                assert found.box == found.seen
            cut_ones += found.status == "cut by the border"
    assert cut_ones


@pytest.mark.parametrize("kind", ["padded", "strided", "dilated", "uneven"])
def test_scale_and_centre_are_kept_at_the_border(kind: str) -> None:
    for fields in fields_of(network_of(MODULES[kind](), 40, 36)).values():
        layer = fields.layer
        rows, columns = layer.positions
        found = {(y, x): window(fields, layer[0, y, x]).box for y in range(rows) for x in range(columns)}
        sizes = {(bottom - top, right - left) for top, left, bottom, right in found.values()}
        assert len(sizes) == 1
        for axis, count in ((0, rows), (1, columns)):
            middles = [sum(found[(n, 0) if axis == 0 else (0, n)][axis::2]) for n in range(count)]
            assert len(set(np.diff(middles))) <= 1, "the same step from each position to the next"


def test_a_field_larger_than_the_image_has_its_full_size_while_some_ends_lie_inside() -> None:
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(12)))
    fields = fields_of(network_of(deep, 20, 17))["11"]
    corner = window(fields, fields.layer[0, 0, 0])
    assert corner.box == (-12, -12, 13, 13)
    assert corner.seen == (0, 0, 13, 13)
    middle = window(fields, fields.layer[0, 10, 8])
    assert middle.box == (-2, -4, 23, 21)
    assert middle.seen == (0, 0, 20, 17)
    assert middle.status == "cut by the border"
    # no end of any field lies inside, so nothing tells how large it is
    deeper = fields_of(network_of(nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(30))), 20, 17))["29"]
    assert window(deeper, deeper.layer[0, 10, 8]).box == (0, 0, 20, 17)


def test_each_kind_of_field_has_its_status_and_where_the_box_says_nothing_a_mark() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 3, 3, stride=2),
        Function(lambda x: x * x.mean((2, 3), keepdim=True), 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    network = network_of(module, 21, 17)
    fields = fields_of(network)
    layer = network["0"]
    assert window(fields["0"], layer[0, 9, 9]).status == "exact"
    assert window(fields["0"], layer[0, 0, 9]).status == "cut by the border"
    assert window(fields["0"], layer[0, 9, 9]).mark is None
    for name in ("2", "2.after"):
        rows, columns = network[name].positions
        found = window(fields[name], network[name][0, 2, 3])
        assert (found.status, found.box, found.seen) == ("whole image", (0, 0, 21, 17), (0, 0, 21, 17))
        assert found.mark == (2.5 * 21 / rows, 3.5 * 17 / columns)
    for name in ("3", "4", "5"):
        unit = network[name][0, 0, 0] if name == "3" else network[name][0]
        assert window(fields[name], unit).status == "whole image"
    channel = window(fields["0"], layer[1])
    assert (channel.status, channel.mark, channel.box) == ("whole image", None, (0, 0, 21, 17))
    odd = network_of(Function(lambda x: torch.fft.fft2(x).real), 21, 17)
    unknown = window(fields_of(odd)["after"], odd["after"][0, 4, 5])
    assert unknown.status in ("unknown", "whole image")
    assert unknown.mark is not None


def hatched(crop: Image.Image) -> np.ndarray:
    """(H, W): whether a pixel is one of the two greys of padding."""
    values = np.asarray(crop.convert("RGB"))
    grey = (values == values[..., :1]).all(-1)
    return grey & np.isin(values[..., 0], HATCH)


@pytest.mark.parametrize(
    "box", [(-4, 2, 6, 12), (10, 20, 30, 40), (-8, -8, 40, 40), (0, 0, 32, 32), (28, -3, 36, 5), (-9, 3, -1, 11)]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_padding_is_hatched_exactly_where_the_window_leaves_the_input(
    box: tuple[int, int, int, int], mode: str
) -> None:
    photograph = Image.new("RGB", (96, 64), RED).convert(mode)
    spec = InputSpec((3, 32, 32))
    top, left, bottom, right = box
    scale = 6
    crop = cut(photograph, framing((64, 96), spec), box, scale * max(bottom - top, right - left))
    assert crop.picture.size == (scale * (right - left), scale * (bottom - top))
    assert crop.picture.mode == mode
    outside = np.ones((bottom - top, right - left), bool)
    outside[max(0, -top) : max(0, 32 - top), max(0, -left) : max(0, 32 - left)] = False
    np.testing.assert_array_equal(hatched(crop.picture), outside.repeat(scale, 0).repeat(scale, 1))
    assert crop.padding == pytest.approx(outside.mean())
    assert len(np.unique(np.asarray(crop.picture)[hatched(crop.picture)])) == (2 if outside.any() else 0)


def test_where_the_picture_is_smaller_than_the_input_its_surroundings_are_hatched_too() -> None:
    photograph = Image.new("RGB", (60, 40), RED)
    found = framing((40, 60), InputSpec((3, 32, 32), resize=20))
    assert found.filled == (6, 1, 26, 31)
    whole = cut(photograph, found, (0, 0, 32, 32), 64)
    expected = np.ones((64, 64), bool)
    expected[12:52, 2:62] = False
    np.testing.assert_array_equal(hatched(whole.picture), expected)
    assert whole.padding == pytest.approx(1 - 20 * 30 / 32**2)
    assert cut(photograph, found, (0, 0, 5, 9), 90).padding == 1


def test_a_crop_shows_the_photograph_below_the_box_at_its_own_resolution() -> None:
    rows, columns = np.mgrid[:200, :240]
    photograph = Image.fromarray(np.stack([rows, columns, 0 * rows], -1).astype(np.uint8))
    found = framing((200, 240), InputSpec((3, 50, 50)))
    assert found.seen == (0, 20, 200, 220)
    crop = cut(photograph, found, (10, 5, 30, 45), 160)
    assert crop.picture.size == (160, 80)
    assert crop.box == (40, 40, 120, 200)
    np.testing.assert_array_equal(np.asarray(crop.picture), np.asarray(photograph)[40:120, 40:200])
    large = np.asarray(cut(photograph, found, (0, 0, 1, 2), 160).picture)
    assert len(np.unique(large[..., 0])) == 4, "much enlarged pixels stay pixels"
    assert cut(photograph, found, (3, 4, 3, 4), 16).picture.size == (16, 16)


def test_fields_of_layers_without_rows_and_columns() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Conv1d(4, 2, 3))
    network = network_of(module, 8, 8)
    fields = fields_of(network)
    assert isinstance(network["2"], Layer)
    found = window(fields["2"], network["2"][0, 5])
    assert found.seen == fields["2"][network["2"][0, 5]].box
    assert found.mark is None

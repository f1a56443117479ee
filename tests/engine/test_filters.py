from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets.engine import colormaps, filters
from cnnviz_widgets.engine.sources import load


def gabor(angle: float, cycles: float, phase: float, color: tuple[float, float, float]) -> np.ndarray:
    """One 3 x 11 x 11 grating under a Gaussian window, in a colour direction."""
    result = np.zeros((3, 11, 11))
    for y in range(11):
        for x in range(11):
            u, v = (x - 5) / 11, (y - 5) / 11
            window = math.exp(-(u * u + v * v) / (2 * 0.22**2))
            wave = math.cos(2 * math.pi * cycles * (u * math.cos(angle) + v * math.sin(angle)) + phase)
            for c in range(3):
                result[c, y, x] = color[c] * window * wave
    return result


def gabors() -> torch.Tensor:
    """64 x 3 x 11 x 11: 48 gratings without colour, 8 coloured gratings, 8 coloured blobs, strengths 1 to 1/64."""
    made = [gabor(i % 12 * math.pi / 12, (1.2, 2, 3, 4)[i // 12], i * 0.7, (1, 1, 1)) for i in range(48)]
    opponents = [(1, -1, 0), (0.5, 0.5, -1), (1, 0, -1), (-0.3, 1, -0.7)]
    made += [gabor(i * math.pi / 8, 1.2, 0.5, opponents[i % 4]) for i in range(8)]
    made += [sign * gabor(0, 0, 0, color) for sign in (1, -1) for color in opponents]
    return torch.tensor(np.stack([f / (1 + i) for i, f in enumerate(made)]), dtype=torch.float32)


def rgb_bytes(kernel: torch.Tensor, scale: str) -> np.ndarray:
    """Each weight by the definition: zero is the middle, the largest weight of the filter or layer an end."""
    out, _, height, width = kernel.shape
    result = np.zeros((out, height, width, 3), dtype=np.uint8)
    for i in range(out):
        most = float((kernel if scale == "layer" else kernel[i]).abs().max())
        for c in range(3):
            for y in range(height):
                for x in range(width):
                    result[i, y, x, c] = round((float(kernel[i, c, y, x]) / most + 1) / 2 * 255)
    return result


def random_kernel(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", ["filter", "layer"])
def test_gabors_in_color(scale: str) -> None:
    kernel = gabors()
    found = filters.tiles(kernel, scale=scale)  # type: ignore[arg-type]
    assert found.pixels.shape == (64, 11, 11, 3)
    assert (found.pixels == rgb_bytes(kernel, scale)).all()
    assert found.names[63] == "filter 63"
    assert found.colormap is None
    assert found.inputs is None
    contrast = np.ptp(found.pixels.reshape(64, -1), axis=1)
    assert contrast.min() > 128 if scale == "filter" else contrast[-1] < 6


def test_gabors_keep_their_orientation_and_color() -> None:
    found = filters.tiles(gabors()).pixels.astype(int)
    # filter 0 is a wave along x, filter 6 a wave along y, both without colour
    along_x, along_y = np.ptp(found[0, 5, :, 0]), np.ptp(found[0, :, 5, 0])
    assert along_x > along_y
    assert np.ptp(found[6, :, 5, 0]) > np.ptp(found[6, 5, :, 0])
    assert (found[:48, ..., 0] == found[:48, ..., 1]).all()
    assert (found[:48, ..., 1] == found[:48, ..., 2]).all()
    red, green, blue = found[56, 5, 5]
    assert (red, green, blue) == (255, 0, 128)


def test_the_grid_shows_the_tiles() -> None:
    kernel = gabors()
    picture = np.asarray(filters.tile(kernel, enlarge=4, gap=2))
    assert picture.shape == (2 + 8 * 46, 2 + 8 * 46, 3)
    expected = rgb_bytes(kernel, "filter")
    for i in range(64):
        top, left = 2 + i // 8 * 46, 2 + i % 8 * 46
        assert (picture[top : top + 44 : 4, left : left + 44 : 4] == expected[i]).all()


def test_tile_passes_everything_on() -> None:
    kernel = random_kernel(6, 4, 3, 3)
    choices = {"order": "norm", "filters": [0, 3], "inputs": slice(2), "scale": "layer", "colormap": "PuOr_r"}
    expected = filters.tiles(kernel, **choices).picture(2, 3, 5, "red")  # type: ignore[arg-type]
    assert filters.tile(kernel, columns=2, gap=3, enlarge=5, background="red", **choices) == expected
    with pytest.raises(TypeError, match="colour"):
        filters.tile(kernel, colour=True)


@pytest.mark.parametrize("scale", ["filter", "layer"])
def test_slices_are_filter_major_on_one_scale(scale: str) -> None:
    kernel = random_kernel(4, 5, 3, 2) * torch.tensor([1.0, 10, 0.1, 3]).reshape(4, 1, 1, 1)
    found = filters.tiles(kernel, scale=scale)  # type: ignore[arg-type]
    assert found.pixels.shape == (20, 3, 2)
    assert found.block == 5
    assert found.colormap == "RdBu_r"
    for i in range(4):
        most = float((kernel if scale == "layer" else kernel[i]).abs().max())
        for j in range(5):
            at = i * 5 + j
            assert found.names[at] == f"filter {i}, input {j}"
            assert (found.order[at], found.inputs[at]) == (i, j)  # type: ignore[index]
            assert np.allclose(found.ranges[at], [-most, most])
            expected = np.rint((kernel[i, j].double().numpy() / most + 1) / 2 * 255)
            assert (found.pixels[at] == expected).all()
    assert np.abs(found.values().reshape(4, 5, 3, 2) - kernel.numpy()).max() <= found.ranges.max() / 255


def test_three_inputs_that_are_no_colors() -> None:
    kernel = random_kernel(2, 3, 5, 5)
    assert len(filters.tiles(kernel, rgb=False)) == 6
    assert len(filters.tiles(kernel, inputs=[0, 2])) == 4
    assert len(filters.tiles(random_kernel(6, 3, 5, 5), groups=2)) == 18


def test_grayscale_and_depthwise_have_one_tile_a_filter() -> None:
    gray = filters.tiles(nn.Conv2d(1, 8, 5).weight)
    assert gray.names == tuple(f"filter {i}" for i in range(8))
    depthwise = nn.Conv2d(4, 8, 3, groups=4)
    found = filters.tiles(depthwise.weight, groups=4)
    assert found.pixels.shape == (8, 3, 3)
    assert found.names[:3] == ("filter 0, input 0", "filter 1, input 0", "filter 2, input 1")
    assert found.inputs.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_names_tell_the_input_that_a_weight_reads(groups: int) -> None:
    conv = nn.Conv2d(6, 12, 3, groups=groups, bias=False, dilation=2).double()
    found = filters.tiles(conv.weight, groups=groups, rgb=False)
    middle = found.values()[:, 1, 1]
    # the response to a single lit input channel is the middle weight of that channel's tile
    with torch.no_grad():
        for at, (filter_, input_) in enumerate(zip(found.order, found.inputs, strict=True)):  # type: ignore[arg-type]
            image = torch.zeros(1, 6, 5, 5, dtype=torch.float64)
            image[0, input_, 2, 2] = 1
            response = float(conv(image)[0, filter_, 0, 0])
            assert abs(response - middle[at]) <= (found.ranges[at, 1] - found.ranges[at, 0]) / 500
            assert found.names[at] == f"filter {filter_}, input {input_}"


def test_chosen_filters_and_inputs() -> None:
    kernel = random_kernel(8, 3, 2, 2)
    found = filters.tiles(kernel, filters=[-1, 2], inputs=[4, 1, 7], groups=4)
    # filter 7 reads inputs 9 to 11 and filter 2 inputs 3 to 5
    assert found.names == ("filter 2, input 4",)
    everything = filters.tiles(kernel, groups=4)
    assert (found.pixels[0] == everything.pixels[everything.names.index("filter 2, input 4")]).all()
    with pytest.raises(ValueError, match=r"none of the chosen filters reads input channels \[11\]"):
        filters.tiles(kernel, filters=[0], inputs=[11], groups=4)
    plain = filters.tiles(kernel, filters=[5, 1], inputs=[2, 0])
    assert plain.names == ("filter 5, input 2", "filter 5, input 0", "filter 1, input 2", "filter 1, input 0")
    assert plain.block == 2


def test_a_choice_changes_no_tile() -> None:
    kernel = random_kernel(6, 4, 3, 3)
    for scale in ("filter", "layer"):
        all_ = filters.tiles(kernel, scale=scale)  # type: ignore[arg-type]
        some = filters.tiles(kernel, scale=scale, filters=[4], inputs=[2])  # type: ignore[arg-type]
        assert (some.pixels[0] == all_.pixels[4 * 4 + 2]).all()
        assert (some.ranges[0] == all_.ranges[4 * 4 + 2]).all()


def test_limit_keeps_whole_filters_and_tells() -> None:
    kernel = random_kernel(10, 4, 3, 3)
    found = filters.tiles(kernel, limit=10)
    assert found.order.tolist() == [0] * 4 + [1] * 4
    assert "8 of 40 tiles" in found.note
    assert filters.tiles(kernel, limit=3).names == tuple(f"filter 0, input {i}" for i in range(3))
    assert filters.tiles(kernel, limit=40).note == ""
    colored = filters.tiles(gabors(), limit=5, order="norm")
    assert len(colored) == 5
    assert "5 of 64" in colored.note
    with pytest.raises(ValueError, match="limit must be at least 1"):
        filters.tiles(kernel, limit=0)


def test_large_layers_are_limited_before_they_are_drawn() -> None:
    found = filters.tiles(torch.ones(512, 512, 3, 3), limit=2048)
    assert len(found) == 2048
    assert found.default_columns() == 512
    assert "2,048 of 262,144 tiles" in found.note


def test_order_by_norm() -> None:
    kernel = random_kernel(9, 3, 4, 4)
    kernel[3] = kernel[7]
    kernel[5] = 0
    norms = [math.sqrt(sum(float(w) ** 2 for w in f.flatten())) for f in kernel]
    expected = sorted(range(9), key=lambda i: (-norms[i], i))
    found = filters.tiles(kernel, order="norm")
    assert found.order.tolist() == expected
    assert found.order[-1] == 5
    assert found.names[0] == f"filter {expected[0]}"
    assert np.allclose(filters.norms(kernel), norms)
    stored = filters.tiles(kernel)
    assert (found.pixels == stored.pixels[expected]).all()
    assert filters.tiles(kernel, order="norm", filters=[5, 0]).order.tolist() == [0, 5]


def cosine_path(kernel: torch.Tensor, order: np.ndarray) -> float:
    flat = nn.functional.normalize(kernel.flatten(1).double()[torch.as_tensor(order)], dim=1)
    return float((1 - (flat[1:] * flat[:-1]).sum(1)).sum())


def test_similar_filters_become_neighbors() -> None:
    prototypes = random_kernel(4, 2, 5, 5)
    shuffled = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    family = shuffled % 4
    size = (1.0 + torch.arange(24)).reshape(-1, 1, 1, 1)
    kernel = (prototypes[family] + 0.1 * random_kernel(24, 2, 5, 5, seed=2)) * size
    order = filters.ordering(kernel)
    assert sorted(order.tolist()) == list(range(24))
    assert np.count_nonzero(np.diff(family.numpy()[order])) == 3
    assert cosine_path(kernel, order) < cosine_path(kernel, np.arange(24)) / 2
    assert filters.tiles(kernel, order="similarity").order[::2].tolist() == order.tolist()


def test_similarity_beats_chance_on_gabors() -> None:
    kernel = gabors()
    order = filters.ordering(kernel)
    random = np.random.default_rng(0)
    best = min(cosine_path(kernel, random.permutation(64)) for _ in range(200))
    assert cosine_path(kernel, order) < best * 0.8


def test_filters_like_no_other_stand_last() -> None:
    kernel = random_kernel(8, 2, 3, 3)
    kernel[1] = 0
    kernel[4, 0, 0, 0] = float("nan")
    kernel[6, 0, 0, 0] = float("inf")
    order = filters.ordering(kernel)
    assert order[-3:].tolist() == [1, 4, 6]
    assert sorted(order.tolist()) == list(range(8))
    assert filters.ordering(kernel, "norm")[[0, -2, -1]].tolist() == [6, 1, 4]
    assert filters.tiles(kernel, order="similarity").nonfinite.sum() == 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_similarity_of_few(n: int) -> None:
    assert sorted(filters.ordering(random_kernel(n, 3, 2, 2)).tolist()) == list(range(n))
    assert filters.ordering(torch.zeros(n, 3, 2, 2)).tolist() == list(range(n))


def test_an_order_that_is_not_the_best_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = random_kernel(40, 1, 3, 3)
    best = filters.ordering(kernel)
    assert filters.tiles(kernel, order="similarity").note == ""
    monkeypatch.setattr(filters, "MOST_OPTIMALLY_ORDERED", 39)
    found = filters.tiles(kernel, order="similarity", limit=10)
    assert "not the best" in found.note
    assert "10 of 40" in found.note
    plain = filters.ordering(kernel)
    assert sorted(plain.tolist()) == list(range(40))
    assert cosine_path(kernel, best) < cosine_path(kernel, plain)
    assert filters.tiles(kernel, order="similarity", filters=slice(39)).note == ""


def test_matrix_of_a_pointwise_convolution() -> None:
    kernel = random_kernel(6, 9, 1, 1)
    found = filters.matrix(kernel, order="norm", inputs=[8, 0, 3])
    rows = filters.ordering(kernel, "norm")
    most = float(kernel.abs().max())
    assert found.pixels.shape == (1, 6, 3)
    assert found.rows.tolist() == rows.tolist()  # type: ignore[union-attr]
    assert found.columns.tolist() == [8, 0, 3]  # type: ignore[union-attr]
    assert np.allclose(found.ranges, [[-most, most]])
    for y, row in enumerate(rows):
        for x, column in enumerate([8, 0, 3]):
            assert found.pixels[0, y, x] == round((float(kernel[row, column, 0, 0]) / most + 1) / 2 * 255)
    assert filters.tiles(kernel).pixels.shape == (54, 1, 1)


def test_matrix_of_groups_has_zeros_where_no_weight_is() -> None:
    conv = nn.Conv2d(6, 4, 1, groups=2, bias=False)
    found = filters.matrix(conv.weight, groups=2)
    image = torch.eye(6).reshape(6, 6, 1, 1)
    with torch.no_grad():
        expected = conv(image)[:, :, 0, 0].T.numpy()
    assert np.allclose(found.values()[0], expected, atol=found.ranges.max() / 250)
    assert (found.pixels[0, :2, 3:] == 128).all()
    assert (found.pixels[0, 2:, :3] == 128).all()


def test_matrix_is_for_pointwise_kernels() -> None:
    with pytest.raises(ValueError, match=r"this one is 3 x 5; filters\.tiles"):
        filters.matrix(torch.zeros(2, 2, 3, 5))


@pytest.mark.parametrize("draw", [filters.tiles, filters.matrix, filters.ordering, filters.norms, filters.tile])
@pytest.mark.parametrize("layer", [nn.Conv1d(3, 4, 5), nn.Conv3d(3, 4, 5), nn.Linear(3, 4)])
def test_only_two_dimensional_convolutions(draw: Callable[[torch.Tensor], object], layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\(out, in, height, width\), this one has \(4, 3"):
        draw(layer.weight)


def test_wrong_choices() -> None:
    kernel = random_kernel(6, 4, 3, 3)
    with pytest.raises(ValueError, match=r"rgb=True needs three input channels.*got 4"):
        filters.tiles(kernel, rgb=True)
    with pytest.raises(ValueError, match="rgb=True needs"):
        filters.tiles(gabors(), rgb=True, inputs=[0])
    with pytest.raises(ValueError, match="groups=4"):
        filters.tiles(kernel, groups=4)
    with pytest.raises(ValueError, match="'filter' or 'layer', not 'channel'"):
        filters.tiles(kernel, scale="channel")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'stored', 'norm' or 'similarity', not 'name'"):
        filters.tiles(kernel, order="name")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no filter 6; there are 6"):
        filters.tiles(kernel, filters=[6])
    with pytest.raises(ValueError, match="no input channel 4; there are 4"):
        filters.tiles(kernel, inputs=[4])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_of_weights(dtype: torch.dtype) -> None:
    kernel = random_kernel(4, 3, 3, 3).to(dtype)
    assert (filters.tiles(kernel).pixels == filters.tiles(kernel.float()).pixels).all()


def test_weights_are_left_alone() -> None:
    conv = nn.Conv2d(3, 4, 3)
    before = conv.weight.detach().clone()
    for order in ("stored", "norm", "similarity"):
        filters.tiles(conv.weight, order=order)  # type: ignore[arg-type]
    assert torch.equal(conv.weight, before)
    assert conv.weight.requires_grad


def test_a_filter_of_zeros_is_gray() -> None:
    assert (filters.tiles(torch.zeros(2, 3, 3, 3)).pixels == 128).all()
    middle = colormaps.table("RdBu_r")[128]
    assert (filters.tiles(torch.zeros(2, 2, 3, 3)).colored() == middle).all()


def test_the_first_layer_of_an_alexnet_with_known_weights(tmp_path: Path) -> None:
    """The textbook figure, from a file of weights to the picture."""
    state = load("torchvision/alexnet", weights=None).module.state_dict()
    kernel = gabors()
    torch.save({"state_dict": {**state, "features.0.weight": kernel}}, tmp_path / "alexnet.pth")
    net = load("torchvision/alexnet", weights=tmp_path / "alexnet.pth")
    assert tuple(net.filters("features.0").shape) == (64, 3, 11, 11)
    found = filters.tiles(net.filters("features.0"))
    for number in (0, 13, 47, 50, 63):
        reach = float(kernel[number].abs().max())
        expected = (kernel[number] / (2 * reach) + 0.5).permute(1, 2, 0).numpy() * 255
        assert np.abs(found.pixels[number].astype(float) - expected).max() <= 1
    assert found.picture(columns=8, gap=1).size == (8 * 12 + 1, 8 * 12 + 1)

"""Attributions against slow, obvious versions of the papers' formulas, on modules that stay as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from cnnviz_widgets import ImageError, ImageSet, InputSpec, Network, objectives
from cnnviz_widgets.engine import attribution
from cnnviz_widgets.engine.attribution import Attribution
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.images import fit
from tests.engine.intact import state_of
from tests.engine.modules import Function, network_of

METHODS: dict[str, Callable[..., Attribution]] = {
    "saliency": attribution.saliency,
    "SmoothGrad": lambda *given: attribution.smooth_grad(*given, samples=3),
    "Grad-CAM": attribution.grad_cam,
    "occlusion": attribution.occlusion,
}
methods = pytest.mark.parametrize("method", METHODS)


def picture(network: Network, seed: int = 0) -> Tensor:
    return torch.rand(network.input.size, generator=torch.Generator().manual_seed(seed))


def gradient(network: Network, image: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Of a score of the module's output with respect to the image, (C, H, W), by the bare module."""
    image = image.clone().requires_grad_()
    score(bare(network)(network.input.normalized(image[None]))).backward()
    assert image.grad is not None
    return image.grad


def bare(network: Network) -> nn.Module:
    """A copy of the module in evaluation mode, for what must not change the one that tests share."""
    return copy.deepcopy(network.module).eval()


# replicas


@pytest.mark.parametrize("name", ["grey_network", "resnet", "real_network"])
def test_saliency_is_the_gradient_of_the_logit(name: str, request: pytest.FixtureRequest) -> None:
    network = request.getfixturevalue(name)
    image = picture(network)
    found = attribution.saliency(network, image, network.output[3])
    expected = gradient(network, image, lambda scores: scores[0, 3]).abs().amax(0)
    assert torch.allclose(found.map, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))
    with torch.no_grad():
        scores = bare(network)(network.input.normalized(image[None]))
    assert found.score == pytest.approx(float(scores[0, 3]), rel=1e-4, abs=1e-5)
    assert found.probability == pytest.approx(float(scores.softmax(1)[0, 3]), rel=1e-3)


def test_saliency_is_what_small_changes_of_pixels_do() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 9, 4)).double()
    network = Network(module, InputSpec(size=(2, 5, 5), mean=0.4, std=0.3))
    image = torch.rand(2, 5, 5, dtype=torch.float64)

    def score(changed: Tensor) -> float:
        with torch.no_grad():
            return float(module(network.input.normalized(changed[None]))[0, 1])

    expected = np.zeros((5, 5))
    for channel, row, column in np.ndindex(2, 5, 5):
        shift = torch.zeros_like(image)
        shift[channel, row, column] = 1e-5
        slope = (score(image + shift) - score(image - shift)) / 2e-5
        expected[row, column] = max(expected[row, column], abs(slope))
    found = attribution.saliency(network, image, network.output[1])
    assert np.allclose(found.map.numpy(), expected, rtol=1e-4)


def test_smooth_grad_is_the_size_of_the_mean_gradient(grey_network: Network) -> None:
    image = picture(grey_network)
    generator = torch.Generator().manual_seed(4)
    reach = 0.2 * float(image.max() - image.min())
    total = torch.zeros_like(image)
    for _ in range(7):
        noisy = image + reach * torch.randn((1, *image.shape), generator=generator)[0]
        total += gradient(grey_network, noisy, lambda scores: scores[0, 2])
    found = attribution.smooth_grad(grey_network, image, grey_network.output[2], samples=7, noise=0.2, seed=4)
    assert torch.allclose(found.map, (total / 7).abs().amax(0), rtol=1e-4, atol=1e-7)
    assert found.score == attribution.saliency(grey_network, image, grey_network.output[2]).score


def test_without_noise_smooth_grad_is_saliency(grey_network: Network) -> None:
    image = picture(grey_network)
    smooth = attribution.smooth_grad(grey_network, image, samples=6, noise=0)
    assert torch.allclose(smooth.map, attribution.saliency(grey_network, image).map, rtol=1e-5)
    (one,) = attribution.smoothing(grey_network, image, samples=1)
    parts = list(attribution.smoothing(grey_network, image, samples=7))
    assert [part.done for part in parts] == [5, 7]
    assert one.total == 1


def slow_grad_cam(module: nn.Module, part: nn.Module, fed: Tensor, unit: int) -> Tensor:
    """Equations 1 and 2 of Selvaraju et al. 2017, place by place; (H, W) of the input."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # the network may go on with something in place

    handle = part.register_forward_hook(keep)
    score = module(fed)[0, unit]
    handle.remove()
    (slope,) = torch.autograd.grad(score, kept[-1])
    maps, slope = kept[-1].detach()[0], slope[0]
    channels, height, width = maps.shape
    found = torch.zeros(height, width)
    for channel in range(channels):
        weight = sum(float(slope[channel, y, x]) for y in range(height) for x in range(width)) / (height * width)
        found += weight * maps[channel]
    return functional.interpolate(found.clamp(min=0)[None, None], fed.shape[2:], mode="bilinear")[0, 0]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("grey_network", "1"),
        ("grey_network", "3"),
        ("grey_network", None),
        ("resnet", "layer3.0.bn2"),
        ("resnet", None),
    ],
)
def test_grad_cam_follows_its_equations(name: str, layer: str | None, request: pytest.FixtureRequest) -> None:
    network = request.getfixturevalue(name)
    image = picture(network, 1)
    found = attribution.grad_cam(network, image, network.output[1], layer)
    assert found.layer == (layer or {"grey_network": "4", "resnet": "layer4"}[name])
    fed, module = network.input.normalized(image[None]), bare(network)
    expected = slow_grad_cam(module, module.get_submodule(found.layer), fed, 1)
    assert torch.allclose(found.map, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))
    assert float(found.map.min()) >= 0
    assert float(found.map.max()) > 0


def test_grad_cam_sees_a_layer_before_what_follows_in_place() -> None:
    torch.manual_seed(3)
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)
    rest = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), second]
    quiet = Network(nn.Sequential(first, nn.ReLU(), *rest).eval(), InputSpec(size=(1, 6, 6)))
    inplace = Network(nn.Sequential(first, nn.ReLU(inplace=True), *rest).eval(), InputSpec(size=(1, 6, 6)))
    image = picture(quiet)
    for layer in ("0", "1"):
        one, other = (attribution.grad_cam(net, image, net.output[2], layer) for net in (quiet, inplace))
        assert torch.equal(one.map, other.map)
    assert bool((attribution.grad_cam(quiet, image, quiet.output[2], "0").map >= 0).all())


def slow_occlusion(network: Network, image: Tensor, unit: int, window: int, stride: int) -> Tensor:
    neutral = network.input.neutral_image(image)
    _, height, width = image.shape

    def score(of: Tensor) -> float:
        return float(network.activations(of, network.output)[network.output.name][0, unit])

    lost = [[[] for _ in range(width)] for _ in range(height)]  # type: list[list[list[float]]]
    for top in [*range(0, height - window, stride), height - window]:
        for left in [*range(0, width - window, stride), width - window]:
            hidden = image.clone()
            hidden[:, top : top + window, left : left + window] = neutral
            drop = score(image) - score(hidden)
            for y in range(top, top + window):
                for x in range(left, left + window):
                    lost[y][x].append(drop)
    return torch.tensor([[sum(drops) / len(drops) for drops in row] for row in lost])


@pytest.mark.parametrize(("window", "stride", "batch"), [(3, 2, 16), (2, 2, 1), (8, 1, 4), (5, 1, 3), (1, 1, 64)])
def test_occlusion_is_what_hiding_takes_away(grey_network: Network, window: int, stride: int, batch: int) -> None:
    image = picture(grey_network, 2)
    found = attribution.occlusion(
        grey_network, image, grey_network.output[4], window=window, stride=stride, batch=batch
    )
    expected = slow_occlusion(grey_network, image, 4, window, stride)
    assert torch.allclose(found.map, expected, rtol=1e-3, atol=1e-5)


def test_occlusion_comes_coarse_first_and_ends_the_same(resnet: Network) -> None:
    image = picture(resnet)
    # 15 × 15 windows, of which the 8 × 8 that lie side by side cover all
    parts = list(attribution.occluding(resnet, image, resnet.output[0], window=8, stride=4, batch=10))
    open_ = [int(part.result.map.isnan().sum()) for part in parts]
    assert [part.done for part in parts[:2]] == [9, 19]  # the image as it is takes a place in the first pass
    assert parts[-1].done == parts[-1].total == 15 * 15
    assert open_[0] > 0
    assert open_ == sorted(open_, reverse=True)
    assert open_[6] == 0  # 69 windows are done
    whole = attribution.occlusion(resnet, image, resnet.output[0], window=8, stride=4, batch=64)
    assert torch.allclose(parts[-1].result.map, whole.map, rtol=1e-3, atol=1e-5)
    assert {part.result.score for part in parts} == {parts[0].result.score}


def test_windows_may_be_oblong() -> None:
    network = network_of(Function(lambda x: x), height=12, width=7)
    found = attribution.occlusion(network, picture(network), network["after"][1], window=(4, 7), stride=(4, 1))
    assert tuple(found.map.shape) == (12, 7)
    assert all(len(row.unique()) == 1 for row in found.map)
    assert len(found.map[:, 0].unique()) == 3


# what may be asked


@methods
def test_of_a_unit_of_a_hidden_layer(method: str, resnet: Network) -> None:
    image = picture(resnet)
    whole = METHODS[method](resnet, image, resnet["layer2"][5])
    assert (whole.label, whole.probability) == ("layer2[5]", None)
    assert whole.score == pytest.approx(float(resnet.activations(image, "layer2")["layer2"][0, 5].mean()), rel=1e-4)
    neuron = METHODS[method](resnet, image, resnet["layer1"][5, 2, 12])
    if method != "Grad-CAM":
        field = neuron.map.nonzero()
        assert len(field) > 0
        assert int(field[:, 0].max()) < 40  # rows far below do not reach it
        assert int(field[:, 1].min()) > 15


@methods
def test_of_the_difference_of_two_classes(method: str, grey_network: Network) -> None:
    image, (one, other) = picture(grey_network), list(grey_network.output)[:2]
    found = METHODS[method](grey_network, image, objectives.activation(one) - objectives.activation(other))
    scores = grey_network.activations(image, grey_network.output)[grey_network.output.name][0]
    assert found.score == pytest.approx(float(scores[0] - scores[1]), abs=1e-5)
    assert found.label == "7[0] - 7[1]"


@methods
def test_without_a_goal_it_is_the_first_class(method: str, grey_network: Network) -> None:
    image = picture(grey_network)
    found = METHODS[method](grey_network, image)
    best, probability = grey_network.classify(image)[0][0]
    assert found.label == best
    assert found.probability == pytest.approx(probability, rel=1e-4)
    assert found.method == method


def test_of_a_probability(grey_network: Network) -> None:
    goal = objectives.probability(grey_network.output[1])
    found = attribution.occlusion(grey_network, picture(grey_network), goal)
    assert found.score == pytest.approx(found.probability, rel=1e-4)
    assert float(found.map.abs().max()) < 1


@methods
@pytest.mark.parametrize("name", ["grey_network", "resnet", "real_network"])
def test_leaves_the_module_as_it_was(method: str, name: str, request: pytest.FixtureRequest) -> None:
    network = request.getfixturevalue(name)
    network.module.train(name == "resnet")
    try:
        before = state_of(network.module)
        image = picture(network)
        kept = image.clone()
        if name == "real_network" and method == "occlusion":
            attribution.occlusion(network, image, window=112, stride=112)
        else:
            METHODS[method](network, image)
        assert state_of(network.module) == before
        assert torch.equal(image, kept)
        assert not image.requires_grad
    finally:
        network.module.eval()


class Uncopyable(nn.Module):
    """A module that can't be copied, so that it is borrowed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.dense = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("no copies")

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(functional.relu_(self.conv(x)).mean((2, 3)))


@methods
def test_on_a_module_that_cannot_be_copied(method: str) -> None:
    network = Network(Uncopyable(), InputSpec(size=(1, 9, 9)))
    assert network.path == "borrowed"
    before = state_of(network.module)
    found = METHODS[method](network, picture(network), network.output[0])
    assert bool(found.map.any())
    assert state_of(network.module) == before


@methods
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_whatever_the_callers_mode(method: str, mode: Any, grey_network: Network) -> None:
    expected = METHODS[method](grey_network, picture(grey_network)).map
    with mode():
        assert torch.allclose(METHODS[method](grey_network, picture(grey_network)).map, expected)


def test_between_two_steps_the_callers_mode_is_in_force(grey_network: Network) -> None:
    for steps in (
        attribution.occluding(grey_network, picture(grey_network)),
        attribution.smoothing(grey_network, picture(grey_network)),
    ):
        next(steps)
        assert torch.is_grad_enabled()
        with torch.no_grad():
            next(steps)
            assert not torch.is_grad_enabled()
        assert torch.is_grad_enabled()


@methods
def test_in_other_precision(method: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    image = torch.rand(1, 9, 9)
    maps = []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        network = Network(module.to(dtype), InputSpec(size=(1, 9, 9)))
        maps.append(METHODS[method](network, image, network.output[0]).map)
    assert {found.dtype for found in maps} == {torch.float32}
    assert torch.allclose(maps[0], maps[1], rtol=1e-3, atol=1e-5)
    # a difference of scores keeps the rounding of the scores
    rounding = abs(attribution.saliency(network, image, network.output[0]).score) / 128
    assert float((maps[2] - maps[0]).abs().max()) < max(0.05 * float(maps[0].abs().max()), rounding)


# what can't be answered


def test_grad_cam_needs_maps() -> None:
    dense = Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), InputSpec(size=(1, 8, 8)))
    with pytest.raises(ValueError, match=r"no layer with maps before 1.*use saliency or occlusion"):
        attribution.grad_cam(dense, picture(dense))
    assert bool(attribution.saliency(dense, picture(dense)).map.any())
    assert bool(attribution.occlusion(dense, picture(dense)).map.any())


def test_grad_cam_tells_which_layers_will_not_do(grey_network: Network) -> None:
    image = picture(grey_network)
    for layer in ("5", "7"):
        with pytest.raises(ValueError, match="no maps of more than one place"):
            attribution.grad_cam(grey_network, image, layer=layer)
    with pytest.raises(ValueError, match=r"no gradient leads from 0\[1\] to 4"):
        attribution.grad_cam(grey_network, image, grey_network["0"][1], "4")
    with pytest.raises(ValueError, match=r"no layer with maps before 0\[1\]"):
        attribution.grad_cam(grey_network, image, grey_network["0"][1])
    with pytest.raises(UnknownNameError, match=r"net.layers lists all"):
        attribution.grad_cam(grey_network, image, layer="conv")


def test_the_layer_of_grad_cam() -> None:
    pooled = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)]
    network = Network(nn.Sequential(nn.Sequential(*pooled[:3]), *pooled[3:]), InputSpec(size=(1, 8, 8)))
    assert attribution.cam_layer(network).name == "0.1"  # behind the nonlinearity, before the pooling
    assert attribution.cam_layer(network, network["0.1"][0]).name == "0.0"


class Cutting(nn.Module):
    """Its features are computed without gradients."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.dense = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.conv(x).relu().mean((2, 3))
        return self.dense(features)


def test_where_no_gradient_flows_occlusion_is_advised() -> None:
    network = Network(Cutting(), InputSpec(size=(1, 9, 9)))
    for method in ("saliency", "SmoothGrad", "Grad-CAM"):
        with pytest.raises(ValueError, match=r"no gradient leads from dense.*use occlusion"):
            METHODS[method](network, picture(network), network.output[1])
    assert bool(METHODS["occlusion"](network, picture(network), network.output[1]).map.any())


def test_a_gradient_that_is_no_number_is_told() -> None:
    network = network_of(Function(lambda x: (x - x).abs().sqrt() + x))
    for method in ("saliency", "SmoothGrad"):
        with pytest.raises(ValueError, match=r"values of the gradient of after\[0\] at the image are NaN"):
            METHODS[method](network, picture(network), network["after"][0])
    with pytest.raises(ValueError, match="at before are NaN"):
        attribution.grad_cam(network, picture(network), network["after"][0])
    assert bool(attribution.occlusion(network, picture(network), network["after"][0]).map.isfinite().all())


@methods
def test_a_score_that_is_no_number_is_told(method: str) -> None:
    network = network_of(Function(lambda x: x * float("nan")))
    with pytest.raises(ValueError, match=r"the score of after\[0\] is NaN or infinite"):
        METHODS[method](network, picture(network), network["after"][0])


def test_a_unit_that_is_off_is_told() -> None:
    network = network_of(Function(lambda x: (x - 100).relu()))
    for method in ("saliency", "SmoothGrad", "Grad-CAM"):
        found = METHODS[method](network, picture(network), network["after"][0])
        assert not bool(found.map.any())
        assert "the unit is off" in found.told
        assert found.overlay().size[0] >= 224
    module = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        for part in (module[0], module[4]):
            part.weight.fill_(-1)  # type: ignore[union-attr, operator]
        module[0].bias.fill_(5)  # type: ignore[union-attr, operator]
    against = attribution.grad_cam(Network(module, InputSpec(size=(3, 8, 8))), torch.rand(3, 8, 8))
    assert "nowhere above zero" in against.told


@methods
def test_what_is_no_question(method: str, grey_network: Network, resnet: Network) -> None:
    image, ask = picture(grey_network), METHODS[method]
    with pytest.raises(ValueError, match="2 images were given; expected one"):
        ask(grey_network, [image, image])
    with pytest.raises(TypeError, match="expected a unit"):
        ask(grey_network, image, "cat")
    with pytest.raises(ValueError, match="is no unit of this network"):
        ask(grey_network, image, resnet.output[3])
    with pytest.raises(ValueError, match="compares images with each other"):
        ask(grey_network, image, objectives.diversity(grey_network["2"]))
    with pytest.raises(ImageError):
        ask(grey_network, "nowhere.png")
    bare = network_of(Function(lambda x: x))
    with pytest.raises(ValueError, match=r"no class scores.*give a unit"):
        ask(bare, picture(bare))


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        (attribution.occluding, {"window": 9}, "window=9; expected a number of pixels.*from 1 to 8 and 8"),
        (attribution.occluding, {"window": 0}, "window=0"),
        (attribution.occluding, {"window": 2.5}, "window=2.5"),
        (attribution.occluding, {"window": (2, 3, 4)}, "window="),
        (attribution.occluding, {"window": 2, "stride": 3}, "so that no pixel is left out"),
        (attribution.occluding, {"batch": 0}, "batch=0"),
        (attribution.smoothing, {"samples": 0}, "samples=0"),
        (attribution.smoothing, {"noise": -1.0}, "noise=-1.0"),
        (attribution.smoothing, {"noise": float("nan")}, "noise=nan"),
    ],
)
def test_numbers_out_of_range_are_told_at_once(
    method: Callable[..., Any], given: dict[str, Any], told: str, grey_network: Network
) -> None:
    with pytest.raises(ValueError, match=told):
        method(grey_network, picture(grey_network), **given)


# pictures


def test_to_the_photographs_own_pixels(real_network: Network) -> None:
    photo = ImageSet.samples()["chelsea"]
    found = attribution.saliency(real_network, photo)
    size = (photo.height, photo.width)
    laid = found.to_picture(size)
    assert tuple(laid.shape) == size
    # fit brings it back to where it was, smoothed by two resizings
    smooth = functional.avg_pool2d(found.map[None, None], 9, 1, 4)[0, 0]
    known = laid.nan_to_num(0.0)
    back = np.asarray(fit(Image.fromarray(known.numpy()), real_network.input))
    again = functional.avg_pool2d(torch.tensor(back)[None, None], 9, 1, 4)[0, 0]
    assert float(torch.corrcoef(torch.stack([smooth.flatten(), again.flatten()]))[0, 1]) > 0.95
    seen = ~laid.isnan()
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    top, left, bottom, right = attribution.base.framing(size, real_network.input).seen
    assert abs(int(rows[0]) - top) <= 1
    assert abs(int(rows[-1]) + 1 - bottom) <= 1
    assert abs(int(columns[0]) - left) <= 1
    assert abs(int(columns[-1]) + 1 - right) <= 1


def test_a_map_lies_where_its_photograph_lies() -> None:
    network = Network(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten()), InputSpec(size=(1, 8, 8)))
    found = attribution.saliency(network, torch.rand(1, 8, 8), network["0"][0, 2, 5])
    laid = found.to_picture((80, 160))  # scaled by a tenth; 4 columns to either side are not seen
    assert bool(laid[:, :40].isnan().all())
    assert bool(laid[:, 120:].isnan().all())
    middle = laid[:, 40:120]
    assert divmod(int(middle.argmax()), 80)[0] in range(20, 30)
    assert divmod(int(middle.argmax()), 80)[1] in range(50, 60)
    assert torch.equal(found.to_picture((8, 8)), found.map)


def test_overlays(grey_network: Network, tmp_path: Path) -> None:
    found = attribution.grad_cam(grey_network, picture(grey_network))
    assert found.overlay().size == (224, 224)
    photo = Image.new("RGB", (600, 400), "orange")
    photo.save(tmp_path / "photo.png")
    laid = found.overlay(tmp_path / "photo.png", opacity=1.0)
    assert laid.size == (600, 400)
    # outside of what the network saw the photograph stays, in grey
    assert laid.getpixel((5, 200)) == (173, 173, 173)
    assert laid.getpixel((300, 200)) != (173, 173, 173)
    assert found._repr_png_()[:4] == b"\x89PNG"
    assert repr(found).startswith("Grad-CAM of 4 for ")
    with pytest.raises(ValueError, match="opacity=2; expected 0 to 1"):
        found.overlay(opacity=2)
    with pytest.raises(ValueError, match="no colour map 'jet'"):
        found.overlay(colormap="jet")


def test_overlay_of_a_map() -> None:
    grey = np.full((300, 300, 3), 80, np.uint8)
    values = np.zeros((3, 3), np.float32)
    values[0, 0], values[2, 2], values[1, 1] = 2, -2, np.nan
    laid = np.asarray(attribution.overlay(grey, values, opacity=1.0)).astype(int)
    red, blue, untouched = laid[0, 0], laid[-1, -1], laid[150, 150]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert untouched.tolist() == [80, 80, 80]
    assert laid[0, -1].tolist() == [80, 80, 80]  # zero is transparent
    assert np.array_equal(np.asarray(attribution.overlay(grey, values, opacity=0)), grey)
    bright = np.asarray(attribution.overlay(grey, np.abs(values), opacity=1.0)).astype(int)
    assert bright[0, 0].sum() > 600
    assert bright[0, -1].sum() < 20  # what does not matter is dimmed
    with pytest.raises(ValueError, match=r"\(3,\) was given; expected \(h, w\)"):
        attribution.overlay(grey, np.zeros(3, np.float32))


@pytest.mark.parametrize("method", ["Grad-CAM", "occlusion"])
def test_the_espresso_is_in_the_cup(method: str, real_network: Network) -> None:
    """The coffee fills the middle of that photograph, above it and to both sides there is table."""
    found = METHODS[method](real_network, ImageSet.samples()["coffee"], real_network.unit("espresso"))
    row, column = divmod(int(found.map.argmax()), 224)
    assert 30 < row < 130
    assert 40 < column < 170
    assert float(found.map[50:120, 60:150].mean()) > 2 * float(found.map.mean())

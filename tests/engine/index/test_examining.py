"""Winners are measured again: what changed says so, what did not does not, and the told box is what the neuron sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets.engine.framing import framing
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.examining import Sighting
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network

REACH = {"nearest": 0.0, "bilinear": 0.5, "bicubic": 1.5, "lanczos": 2.5}
"""How far scaling looks beyond a pixel of the input, in its own size."""


def photographs(folder: Path, count: int = 12, kind: str = "png", size: tuple[int, int] = (90, 120)) -> ImageSet:
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        small = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size[::-1]).save(folder / f"{number:02}.{kind}")
    return ImageSet.from_folder(folder)


def small_network(spec: InputSpec | None = None) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1)]
        module = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Network(module.eval(), spec or InputSpec((3, 32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))


UNITS = ("0", "2", "3", "4", "6")


def sightings(index: ActivationIndex) -> list[Sighting]:
    return [one for name in UNITS for unit in index.network[name] for one in index.examine(unit)]


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_what_did_not_change_has_no_fault_whatever_the_batch(tmp_path: Path, batch: int, pool: Any) -> None:
    index = ActivationIndex.build(small_network(), photographs(tmp_path / "a"), batch=batch, shard=batch * 2, pool=pool)
    found = sightings(index)
    assert len(found) == 9 * (6 + 6 + 8 + 8 + 4)
    for one in found:
        assert not one.fault
        assert one.score == pytest.approx(one.match.score, rel=1e-3, abs=1e-4)
        assert one.photograph is not None
        assert one.photograph.size == (120, 90)
        if one.map is not None and one.match.position:
            assert one.map[one.match.position] == one.map.max() == pytest.approx(one.score)
    assert {one.map is None for one in found if one.match.score != one.match.score} <= {True}


def test_resnet_has_no_faults(resnet: Network, tmp_path: Path) -> None:
    index = ActivationIndex.build(resnet, photographs(tmp_path / "a", 20), batch=10, shard=10, k=3)
    for name in ("conv1", "layer2.0.bn1", "layer4.1.relu@2", "avgpool", "fc"):
        for channel in range(0, resnet[name].channels, 97):
            assert not [one.fault for one in index.examine(resnet[name][channel]) if one.fault]


def test_dense_layers_and_means_have_no_map_and_no_position(tmp_path: Path) -> None:
    index = ActivationIndex.build(small_network(), photographs(tmp_path / "a"))
    one = index.examine(index.network["6"][1])[0]
    assert (one.map, one.match.position, one.window.status) == (None, (), "whole image")
    assert one.box == pytest.approx((0, 15, 90, 105), abs=1)


def repainted(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "other pixels": (
        repainted,
        r"gives -?[\d.e-]+ now, -?[\d.e-]+ was recorded: the image, its preprocessing or the weights",
    ),
    "gone": (Path.unlink, "no file"),
    "cut off": (truncated, "could not be read as an image"),
    "no image": (lambda path: path.write_text("words") and None, "is not an image that Pillow can read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_told_and_the_others_are_shown(tmp_path: Path, change: str) -> None:
    index = ActivationIndex.build(small_network(), photographs(tmp_path / "a"), k=12)
    act, text = CHANGES[change]
    act(tmp_path / "a" / "04.png")
    unit = index.network["3"][5]
    found = {one.match.id: one for one in index.examine(unit)}
    assert len(found) == 12
    assert [id for id, one in found.items() if one.fault] == ["04.png"]
    assert re.search(text, found["04.png"].fault)
    if change != "other pixels":
        bad = found["04.png"]
        assert (bad.photograph, bad.framing, bad.map, bad.box) == (None, None, None, None)
        assert np.isnan(bad.score)
        with pytest.raises(ValueError, match=r"'04\.png' can't be shown: .*" + text):
            bad.crop(32)


def test_changed_weights_are_told(tmp_path: Path) -> None:
    network = small_network()
    index = ActivationIndex.build(network, photographs(tmp_path / "a"))
    with torch.no_grad():
        network.module[3].weight.mul_(1.5)
    assert not any(one.fault for channel in range(6) for one in index.examine(network["2"][channel]))
    later = [one.fault for channel in range(8) for one in index.examine(network["3"][channel])]
    assert all(text.endswith("the image, its preprocessing or the weights changed") for text in later)


@pytest.mark.parametrize(
    "change", [{"resize": 48}, {"mean": (0.4, 0.5, 0.5)}, {"crop": "squash"}, {"interpolation": "nearest"}]
)
def test_changed_preprocessing_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    network = small_network()
    index = ActivationIndex.build(network, photographs(tmp_path / "a"))
    network.input = replace(network.input, **change)
    faults = [bool(one.fault) for channel in range(8) for one in index.examine(network["3"][channel])]
    assert np.mean(faults) > 0.9


def test_all_winners_may_be_gone(tmp_path: Path) -> None:
    index = ActivationIndex.build(small_network(), photographs(tmp_path / "a", 3))
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    assert all("no file" in one.fault for one in index.examine(index.network["3"][0]))


def neuron(network: Network, unit: Unit, position: tuple[int, ...], picture: Any) -> float:
    value = network.activations([picture], unit.layer)[unit.layer.name]
    return float(value[(0, unit.channel, *position)])


def check_box(network: Network, images: ImageSet, unit: Unit, reach: float) -> None:
    """Painting the box changes the neuron, painting all else does not; where scaling blurs, all but ``reach`` input pixels."""
    index = ActivationIndex.build(network, images, unit.layer, k=1)
    (found,) = index.examine(unit)
    assert found.photograph is not None
    assert found.framing is not None
    assert found.box is not None
    values = np.array(found.photograph)
    top, left, bottom, right = found.box
    assert found.window.status in ("exact", "cut by the border")
    inside = np.zeros(values.shape[:2], bool)
    inside[int(np.floor(top)) : int(np.ceil(bottom)), int(np.floor(left)) : int(np.ceil(right))] = True
    assert 0 < inside.mean() < 0.5
    painted, around = values.copy(), values.copy()
    painted[inside] = 255 - painted[inside]
    down, across = (found.framing.size[axis] / found.framing.scaled[axis] * reach for axis in (0, 1))
    kept = np.zeros_like(inside)
    rows = slice(max(0, int(np.floor(top - down))), int(np.ceil(bottom + down)))
    kept[rows, max(0, int(np.floor(left - across))) : int(np.ceil(right + across))] = True
    around[~kept] = 255 - around[~kept]
    score = found.match.score
    position = found.match.position
    size = max(abs(score), 1e-3)
    assert neuron(network, unit, position, values) == pytest.approx(score, abs=1e-4 * size)
    assert neuron(network, unit, position, around) == pytest.approx(score, abs=1e-4 * size)
    assert abs(neuron(network, unit, position, painted) - score) > 0.01 * size


@pytest.mark.parametrize("interpolation", REACH)
@pytest.mark.parametrize("crop", ["center", "squash"])
def test_the_box_is_what_a_neuron_of_a_grey_network_sees(grey_network: Network, interpolation: str, crop: str) -> None:
    spec = InputSpec((1, 16, 16), mean=0.4, std=0.2, interpolation=interpolation, crop=crop, resize=20)
    network = Network(grey_network.module, spec)
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 9), dtype=np.uint8).repeat(30, 0).repeat(30, 1)
        for name in ("0", "2"):
            for channel in (0, 3):
                check_box(network, ImageSet.from_arrays(pixels[None]), network[name][channel], REACH[interpolation])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_the_box_is_what_a_neuron_of_resnet_sees(resnet: Network, tmp_path: Path, interpolation: str) -> None:
    network = Network(resnet.module, replace(resnet.input, interpolation=interpolation))
    images = photographs(tmp_path / "a", 3, size=(300, 200))
    for name in ("conv1", "layer1.0.conv2"):
        for channel in (0, 17):
            check_box(network, images, network[name][channel], REACH[interpolation])


@pytest.mark.parametrize("kind", ["array", "tensor", "many channels", "portrait", "jpeg"])
def test_the_framing_is_that_of_what_the_set_gives(kind: str, tmp_path: Path) -> None:
    spec = InputSpec((3, 32, 32), resize=40)
    random = np.random.default_rng(0)
    network, values = small_network(spec), random.integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    images = ImageSet.from_arrays(values)
    expected = framing((60, 90), spec)
    if kind == "tensor":
        images = ImageSet.from_arrays(torch.from_numpy(values).permute(0, 3, 1, 2).float() / 255)
        expected = framing((60, 90), spec, tensor=True)
    elif kind == "many channels":
        spec = InputSpec((4, 32, 32), resize=40)
        module = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        network = Network(module, spec)
        images = ImageSet.from_arrays(random.integers(0, 256, (2, 60, 90, 4), dtype=np.uint8))
        expected = framing((60, 90), spec, tensor=True)
    elif kind == "portrait":
        images, expected = ImageSet.from_arrays(values.transpose(0, 2, 1, 3)), framing((90, 60), spec)
    elif kind == "jpeg":  # decoded at a fraction of its size for the network, and whole for the eye
        images, expected = photographs(tmp_path / "a", 2, "jpg", (1000, 1500)), framing((1000, 1500), spec)
    index = ActivationIndex.build(network, images, "0", k=1)
    (found,) = index.examine(network["0"][2])
    assert not found.fault
    assert found.framing == expected
    assert found.photograph is not None
    assert found.photograph.size == expected.size[::-1]
    assert found.whole(64).picture.size == (64, 64)
    assert found.crop(50).picture.size == (50, 50)

"""Networks, images and ends of a pass that are not as one expects: what an index makes of them, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.layout import layout_of
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.intact import state_of
from tests.engine.test_shadow import uncopyable

from .kinds import (
    InPlace,
    Repeated,
    Viewing,
    drawn,
    network_of,
    next_to_each_other,
    pictures,
)
from .plainly import all_maps, check


class Odd(nn.Module):
    """NaN and infinities where an image is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Identity()
        self.root = Root()
        self.log = Log()
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x) + self.log(self.root(x)).mean()


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (0.3 - x).sqrt()


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 / x.mean((2, 3)).round()


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_values_that_are_not_finite_are_left_out_and_counted(pool: Any) -> None:
    network = Network(Odd().eval(), InputSpec((3, 8, 8)))
    random = np.random.default_rng(0)
    images = ImageSet.from_arrays(
        (random.integers(0, 256, (20, 8, 8, 3)) * random.random((20, 1, 1, 1))).astype("uint8")
    )
    index = ActivationIndex.build(network, images, ["stem", "root", "log"], k=3, batch=4, shard=8, pool=pool)
    maps = all_maps(network, images)
    assert maps["root"].isnan().any()
    check(index, images, {name: maps[name] for name in ("stem", "root", "log")}, ["stem", "root", "log"])
    for channel in range(3):
        odd = ~maps["root"][:, channel].isfinite().flatten(1).all(1)
        told = index.statistics(network["root"][channel])
        assert told.dropped == int(odd.sum()) > 0
        assert told.images == int(maps["root"][:, channel].isfinite().flatten(1).any(1).sum())
        assert np.isfinite([match.score for match in index.top_images(network["root"][channel])]).all()
        assert np.isfinite([told.mean, told.deviation, told.lowest, told.highest]).all()


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_values_too_large_for_float32_are_not_finite(pool: Any) -> None:
    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
            self.part = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.part(x * self.weight * 1e40 * (x > 0.5))

    network = Network(Huge().eval(), InputSpec((1, 4, 4)))
    values = np.zeros((6, 4, 4), np.uint8)
    values[:3, 1, 2] = 255
    index = ActivationIndex.build(network, ImageSet.from_arrays(values), k=6, batch=2, shard=2, pool=pool)
    told = index.statistics(network["part"][0])
    assert (told.dropped, told.images) == (3, 6)
    assert (told.lowest, told.highest, told.mean) == (0, 0, 0)
    assert [match.score for match in index.top_images(network["part"][0])] == [0.0] * 6


class Choosy(nn.Module):
    """Its path depends on what it sees."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.second, self.same = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Identity()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        bright = bool(x.mean() > 0.6)
        x = self.first(x)
        if self.how == "missed" and not bright:
            x = self.second(x)
        if self.how == "shape" and bright:
            x = self.second(x[:, :, :5])
        elif self.how == "shape":
            x = self.second(x)
        if self.how == "alias":
            x = self.same(x + 1 if bright else x)
        return x.mean((2, 3))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("missed", r"the layer 'second' was not reached in a pass; .* layers=\["),
        ("shape", r"the layer 'second' gives the shape \(\d, 4, 5, 8\) for \d images.* leave it out: layers=\["),
        ("alias", r"the layer 'same' gave what 'first' gives in a trial pass, .* layers=\['same'"),
    ],
)
def test_a_path_that_depends_on_the_image_is_told_and_leaves_the_module_as_it_was(how: str, text: str) -> None:
    module = drawn(lambda: Choosy(how)).eval()
    before = state_of(module)
    network = Network(module, InputSpec((3, 8, 8)))
    values = np.random.default_rng(0).integers(0, 100, (30, 8, 8, 3)).astype(np.uint8)
    values[11] = 250
    images = ImageSet.from_arrays(values)
    with pytest.raises(RuntimeError, match=text):
        ActivationIndex.build(network, images, batch=1, shard=4)
    assert state_of(module) == before
    if how != "missed":  # as the message says
        lonely = ActivationIndex.build(network, images, ["same" if how == "alias" else "first"], batch=1, shard=4)
        assert lonely.complete


class Windows(nn.Module):
    """A part that cuts images into windows along the first axis, and one that a pass of two images does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cut, self.rare = nn.Conv2d(3, 4, 3), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if len(x) == 1:
            x = self.rare(x)
        return self.cut(x.flatten(0, 1)[: 4 if len(x) > 1 else 1, None]).mean() + x.mean((2, 3))


def test_layers_that_can_not_be_measured_are_left_out_and_told_and_refused_by_name() -> None:
    network = Network(drawn(Windows).eval(), InputSpec((3, 8, 8)))
    images = pictures(8, 8)
    index = ActivationIndex.build(network, images)
    assert "for two images" in index.plan.left_out["cut"]
    assert index.plan.left_out["rare"] == "it was not reached in a pass of random images"
    with pytest.raises(ValueError, match=r"'rare' is not in the index: it was not reached"):
        index.statistics(network["rare"][0])
    with pytest.raises(ValueError, match=r"'cut' can't be measured: it gives the shape .* net\.layers lists"):
        ActivationIndex.build(network, images, ["cut"])
    with pytest.raises(ValueError, match=r"'rare' gives no features: it was not reached"):
        ActivationIndex.build(network, images, features="rare")


@pytest.mark.parametrize("way", ["shadow", "borrowed"])
@pytest.mark.parametrize("ends", ["raises", "closed", "complete"])
def test_the_users_module_stays_as_it_was(way: str, ends: str) -> None:
    module = drawn(InPlace).train()
    if way == "borrowed":
        module = uncopyable(module)
    before = state_of(module)
    network = Network(module, InputSpec((3, 16, 16)))
    images = pictures(24)
    if ends == "raises":
        opened = iter(range(10**6))

        class Failing(type(images.openers[0])):  # type: ignore[misc]
            def open(self) -> Any:
                if next(opened) > 11:
                    raise ZeroDivisionError("in the middle")
                return super().open()

        images = replace(images, openers=tuple(Failing(one.value) for one in images.openers))
        with pytest.raises(ZeroDivisionError):
            ActivationIndex.build(network, images, batch=2, shard=4)
    else:
        steps = ActivationIndex.building(network, images, batch=2, shard=4)
        for progress in steps:
            assert state_of(module) == before
            if ends == "closed" and progress.done >= 10:
                break
        assert isinstance(steps, Iterator)
        steps.close()  # type: ignore[attr-defined]
    assert state_of(module) == before
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert module.training


@pytest.mark.parametrize("count", [0, 1])
def test_sets_of_no_and_of_one_image(count: int) -> None:
    network, images = network_of(drawn(next_to_each_other)), pictures(2).subset(range(count))
    *_, last = ActivationIndex.building(network, images, k=3)
    index, unit = last.result, network["1"][4]
    assert (last.done, last.total, index.complete, index.measured) == (count, count, True, count)
    assert [match.id for match in index.top_images(unit)] == list(images.ids)
    assert [match.id for match in index.top_images(unit, fold=True)] == list(images.ids)
    assert len(index.spectrum(unit)) == (7 if count else 0)
    assert index.statistics(unit).images == count
    assert np.isnan(index.statistics(unit).mean) == (count == 0)
    assert index.features().shape == (count, 6)
    assert index.neighbors(pictures(3), k=5).ids == (images.ids,) * 3
    assert index.neighbors(list(images.ids), without_itself=True).ids == ((),) * count
    assert index.units_for(pictures(3)[2]) == []
    assert len(index.examine(unit)) == count


def test_broken_images_are_in_faults_and_nowhere_else(tmp_path: Path) -> None:
    network, good = network_of(drawn(next_to_each_other)), pictures(20)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    files = ImageSet.from_paths([tmp_path / "broken.png", tmp_path / "gone.png"])
    broken = replace(files, ids=("broken", "gone"))
    everyone = ImageSet(good.ids + broken.ids, good.labels + broken.labels, good.openers + broken.openers)
    index = ActivationIndex.build(network, everyone, k=30, batch=4, shard=8)
    assert {fault.id for fault in index.faults} == set(broken.ids)
    assert all(fault.reason for fault in index.faults)
    assert (index.looked_at, index.measured, index.complete) == (22, 20, True)
    assert set(index.ids) == set(good.ids)
    assert len(index.features()) == 20
    for name in index.offsets:
        unit = network[name][1]
        assert {match.id for match in index.top_images(unit)} == set(good.ids)
        assert {level.id for level in index.spectrum(unit)} <= set(good.ids)
        assert index.statistics(unit).images == 20
    check(index, good, all_maps(network, good))
    with pytest.raises(ImageError, match="was not measured"):
        index.neighbors([broken.ids[0]])
    alone = ActivationIndex.build(network, broken, k=3)
    assert (alone.measured, alone.complete, alone.features().shape) == (0, True, (0, 6))


def test_a_fault_changes_no_other_images_last_bits(tmp_path: Path) -> None:
    network, good = network_of(drawn(next_to_each_other)), pictures(12)
    files = []
    for number in range(12):
        path = tmp_path / f"{number:02}.npy.png"
        Image.fromarray(good[number]).save(path)
        files.append(path)
    images = ImageSet.from_paths(files)
    before = ActivationIndex.build(network, images, k=12, batch=4)
    files[5].write_bytes(b"nothing")
    after = ActivationIndex.build(network, images, k=12, batch=4)
    for name in before.offsets:
        for unit in network[name]:
            one, other = before.top_images(unit), after.top_images(unit)
            assert [match for match in one if match.id != images.ids[5]] == other


def test_a_network_that_does_not_bear_channels_last_is_found_out() -> None:
    assert layout_of(network_of(drawn(next_to_each_other))) == "channels-last"
    assert layout_of(network_of(drawn(Viewing))) == "contiguous"
    assert layout_of(network_of(drawn(next_to_each_other).double())) == "contiguous"
    assert layout_of(network_of(uncopyable(drawn(Repeated)))) == "contiguous"
    assert layout_of(network_of(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)))) == "contiguous"

    class Strides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return torch.as_strided(x, (len(x), 4), (x.stride(0), 1))

    assert layout_of(network_of(Strides())) == "contiguous"

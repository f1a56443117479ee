"""One pass over a collection tells what a slow and obvious computation on all maps tells, for networks of many kinds."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import Permute

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.answers import ALIKE
from cnnviz_widgets.engine.index.layout import layout_of
from cnnviz_widgets.engine.index.loading import batches
from cnnviz_widgets.engine.index.measuring import Measuring, Part
from cnnviz_widgets.engine.index.plan import MOST_K, Settings, plan
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from tests.engine.intact import state_of
from tests.engine.test_shadow import uncopyable

from .plainly import all_maps, check, columns, table_of


def pictures(count: int, side: int = 16, channels: int = 3, seed: int = 0) -> ImageSet:
    """Images of blotches in different brightness, some of them twice, with labels."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 4, 4, channels)) * random.uniform(0.2, 1, (count, 1, 1, 1))
    large = small.repeat(side // 4, 1).repeat(side // 4, 2) + random.integers(0, 30, (count, side, side, channels))
    values = large.clip(0, 255).astype(np.uint8)
    if count > 9:
        values[7] = values[3]
    return ImageSet.from_arrays(values[..., 0] if channels == 1 else values, labels=[n % 3 for n in range(count)])


def network_of(module: nn.Module, side: int = 16) -> Network:
    return Network(module.eval(), InputSpec((3, side, side), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)))


class InPlace(nn.Module):
    """Everything is overwritten, a dense layer too, and a map by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3))
        self.dense = nn.Linear(8, 7)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=True)
        return self.head(self.act(self.dense(x.mean((2, 3)))))


class Repeated(nn.Module):
    """One activation and one convolution several times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for _ in range(3):
            x = x + self.act(self.conv(x))
        return self.head(x.amax((2, 3)))


class Viewing(nn.Module):
    """Does not bear any other layout in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4 * 7 * 7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x.view(len(x), -1))


class Inference(nn.Module):
    """Runs in an inference mode of its own, where tensors do not tell that they are overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 14 * 14, 4))

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x.clone())


class Same(nn.Module):
    """Blocks that end with the very tensor of their last part, and parts that give back what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Identity(), nn.Dropout())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x))


def next_to_each_other() -> nn.Module:
    """Like ConvNeXt: channels last between two permutations, a depthwise convolution, an odd number of channels."""
    return nn.Sequential(
        nn.Conv2d(3, 10, 2, stride=2),
        nn.Conv2d(10, 10, 3, padding=1, groups=10),
        Permute([0, 2, 3, 1]),
        nn.LayerNorm(10),
        nn.Linear(10, 14),
        nn.GELU(),
        Permute([0, 3, 1, 2]),
        nn.Conv2d(14, 6, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.Tanh())


def drawn(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


KINDS: dict[str, Callable[[], nn.Module]] = {
    "in place": InPlace,
    "called several times": Repeated,
    "channels last": next_to_each_other,
    "no dense layer": convolutions,
    "view": Viewing,
    "inference mode": Inference,
    "aliases": Same,
    "can't be copied": lambda: uncopyable(Repeated()),
    "float64": lambda: next_to_each_other().double(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_unit_of_every_layer_is_as_when_all_maps_are_kept(kind: str) -> None:
    network, images = network_of(drawn(KINDS[kind])), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16)
    assert (network.path == "borrowed") == (kind == "can't be copied")
    assert set(index.offsets) | set(index.plan.alias) == set(network.layers)
    assert index.complete
    check(index, images, all_maps(network, images))


def test_a_grey_network(grey_network: Network) -> None:
    images = pictures(41, 8, channels=1)
    for k, batch in ((1, 1), (9, 7), (50, 64)):
        index = ActivationIndex.build(grey_network, images, k=k, batch=batch, shard=batch * 2)
        check(index, images, all_maps(grey_network, images))


def test_resnet_with_any_batch(resnet: Network) -> None:
    images = pictures(40, 64)
    maps = all_maps(resnet, images)
    for batch in (1, 7, 64):
        index = ActivationIndex.build(resnet, images, k=5, batch=batch, shard=batch * 3)
        names = ["conv1", "layer1.0.relu@2", "layer2.0", "layer4.1.conv2", "avgpool", "fc"]
        check(index, images, maps, list(index.offsets) + list(index.plan.alias) if batch == 7 else names)


@pytest.mark.real
@pytest.mark.long
def test_the_default_network_on_photographs(real_network: Network) -> None:
    images = ImageSet.samples(64)
    index = ActivationIndex.build(real_network, images, shard=32)
    assert not index.plan.left_out
    names = list(index.offsets) + list(index.plan.alias)
    for at in range(0, len(names), 24):  # all maps at once would take several gigabytes
        some = names[at : at + 24]
        check(index, images, all_maps(real_network, images, some), some)


@pytest.mark.parametrize("kind", ["called several times", "channels last", "no dense layer"])
def test_the_mean_over_a_map_instead_of_its_maximum(kind: str) -> None:
    network, images = network_of(drawn(KINDS[kind])), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16, pool="mean")
    check(index, images, all_maps(network, images))
    unit = network[next(iter(index.offsets))][0]
    assert {match.position for match in index.top_images(unit)} == {()}
    assert {match.status for match in index.top_images(unit)} == {"whole image"}


def test_matches_levels_statistics_and_features_are_told_by_id() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    index = ActivationIndex.build(network, images, k=5, batch=8, shard=16, features=["conv", "act"])
    maps = all_maps(network, images)
    unit = network["conv@2"][3]
    values = maps["conv@2"][:, 3].flatten(1).amax(1)
    ordered = sorted(images.ids, key=lambda id: (-float(values[images.number(id)]), id))
    matches = index.top_images(unit)
    assert [match.id for match in matches][:1] == ordered[:1]
    for match in matches:
        at = images.number(match.id)
        assert match.score == pytest.approx(float(values[at]), rel=1e-5)
        row, column = match.position
        assert float(maps["conv@2"][at, 3, row, column]) == pytest.approx(match.score, rel=1e-5)
    assert index.top_images(unit, 2) == matches[:2]
    told = index.statistics(unit)
    assert (told.images, told.dropped) == (41, 0)
    assert told.mean == pytest.approx(float(values.mean()), rel=1e-5)
    assert told.deviation == pytest.approx(float(values.std(correction=0)), rel=1e-4)
    assert told.fires == float((values > 0).float().mean())
    for level in index.spectrum(unit):
        value = float(values[images.number(level.id)])
        assert level.low - 1e-5 <= value < level.high + 1e-5
    assert [level.id for level in index.spectrum(unit, (1.0, 0.0))] == [ordered[0], ordered[-1]]
    for name in ("conv", "act"):
        expected = maps[name].mean((2, 3)).numpy()
        np.testing.assert_allclose(index.features(name), expected, rtol=1e-4, atol=1e-5)
    assert index.ids == images.ids


def test_nothing_depends_on_the_order_of_the_set_or_on_labels() -> None:
    network, images = network_of(drawn(next_to_each_other)), pictures(41)
    expected = table_of(ActivationIndex.build(network, images, k=5, batch=8, shard=16))
    shuffled = images.subset(np.random.default_rng(1).permutation(41).tolist())
    index = ActivationIndex.build(network, shuffled, k=5, batch=8, shard=16)
    assert table_of(index) == expected
    assert index.ids == shuffled.ids
    unlabelled = replace(shuffled, labels=("",) * 41)
    assert table_of(ActivationIndex.build(network, unlabelled, k=5, batch=8, shard=16)) == expected
    assert table_of(ActivationIndex.build(network, images, k=5, batch=8, shard=16, workers=1)) == expected


def test_some_layers_alone_tell_what_they_tell_among_all() -> None:
    network, images = network_of(drawn(Repeated)), pictures(20)
    whole = ActivationIndex.build(network, images, k=5, batch=8, shard=16)
    some = ActivationIndex.build(network, images, ["conv@2", "stem"], k=5, batch=8, shard=16)
    assert set(some.offsets) == {"stem", "conv@2"}
    for name in ("stem", "conv@2"):
        for one, other in zip(
            columns(some, network[name]).values(), columns(whole, network[name]).values(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert some.features().shape == (20, 6)
    assert not some.holds("act")
    with pytest.raises(ValueError, match="'act' is not in the index: it was not among layers="):
        some.top_images(network["act"][0])
    single = ActivationIndex.build(network, images, network["conv@2"], k=5, batch=8, shard=16)
    assert list(single.offsets) == ["conv@2"]


def test_a_layer_that_gives_anothers_very_tensor_gives_the_same_answers() -> None:
    network, images = network_of(drawn(Same)), pictures(20)
    index = ActivationIndex.build(network, images, k=5)
    alias = {"block.0": "block.0.1", "block.1": "block.0.1", "block.2": "block.0.1", "block": "block.0.1"}
    assert alias.items() <= dict(index.plan.alias).items()
    assert not set(alias) & set(index.offsets)
    for name, original in alias.items():
        assert index.holds(name)
        one, other = (index.top_images(network[layer][2]) for layer in (name, original))
        assert one == other
        assert index.statistics(network[name][2]).mean == index.statistics(network[original][2]).mean


def test_what_follows_in_place_changes_no_features() -> None:
    network, images = network_of(drawn(InPlace)), pictures(20)
    index = ActivationIndex.build(network, images, features=["dense", "act", "stem.3"])
    maps = all_maps(network, images)
    assert (maps["dense"] < -1e-3).any()
    for name in ("dense", "act"):
        np.testing.assert_allclose(index.features(name), maps[name].numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(index.features("stem.3"), maps["stem.3"].mean((2, 3)).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("softmax", [False, True])
def test_features_keep_their_positions_where_the_last_dense_layer_takes_them_apart(softmax: bool) -> None:
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 4)]
    module = drawn(lambda: nn.Sequential(*parts, *([nn.Softmax(1)] if softmax else [])))
    network, images = network_of(module), pictures(12)
    index = ActivationIndex.build(network, images)
    assert network.last_hidden.name == "1"
    assert index.plan.flat == ("1",)
    expected = all_maps(network, images)["1"].flatten(1).numpy()
    np.testing.assert_allclose(index.features(), expected, rtol=1e-4, atol=1e-5)
    assert index.neighbors([images.ids[5]], k=1).ids == ((images.ids[5],),)


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


def test_progress_grows_and_ends_at_the_total_and_results_are_fit_for_use() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    told, unit = [], network["conv"][0]
    for progress in ActivationIndex.building(network, images, k=3, batch=8, shard=16):
        told.append(progress.done)
        index = progress.result
        assert progress.total == 41
        assert index.looked_at <= progress.done
        assert index.complete == (index.looked_at == 41)
        assert index.statistics(unit).images == index.looked_at == len(index.ids) == len(index.features())
        assert len(index.top_images(unit)) == min(3, index.looked_at)
        assert ("so far" in repr(index)) == (index.looked_at < 41)
    assert told[0] == 0
    assert told == sorted(set(told))
    assert told[-1] == 41
    assert progress.left == 0


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


def test_what_is_kept_does_not_grow_with_the_images(grey_network: Network) -> None:
    planned = plan(grey_network, None, None, Settings(k=9))

    def part_of(count: int) -> Part:
        images = pictures(count, 8, channels=1)
        measuring = Measuring(grey_network, planned, torch.arange(count, dtype=torch.int32))
        *_, part = measuring.shard(0, batches(images, range(count), grey_network.input, 32))
        measuring.close()
        assert isinstance(part, Part)
        return part

    few, many = part_of(40), part_of(400)
    assert len(pickle.dumps(many.table)) <= len(pickle.dumps(few.table)) + 8
    assert sum(array.nbytes for array in many.table.arrays().values()) <= planned.units * (9 * 12 + 64 * 8 + 64)
    assert {name: values.shape for name, values in many.features.items()} == {grey_network.last_hidden.name: (400, 6)}
    assert not many.thumbnails


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


def test_mistakes_are_told_with_what_mends_them() -> None:
    network, images = network_of(drawn(Repeated)), pictures(12)
    with pytest.raises(UnknownNameError, match="no layer 'conw'; did you mean 'conv'"):
        ActivationIndex.build(network, images, ["conw"])
    for k in (0, MOST_K + 1):
        with pytest.raises(ValueError, match=f"k={k}; expected 1 to {MOST_K}"):
            ActivationIndex.build(network, images, k=k)
    with pytest.raises(ValueError, match="pool='median'; expected 'max' or 'mean'"):
        ActivationIndex.build(network, images, pool="median")  # type: ignore[arg-type]
    for batch, shard in ((0, 8), (8, 0), (8, 12)):
        with pytest.raises(ValueError, match=f"batch={batch}, shard={shard}; expected .* whole batches: shard="):
            ActivationIndex.build(network, images, batch=batch, shard=shard)
    index = ActivationIndex.build(network, images, k=3)
    unit = network["conv"][0]
    with pytest.raises(ValueError, match=r"k=4; the index keeps 3 images per unit: build\(k="):
        index.top_images(unit, 4)
    with pytest.raises(ValueError, match=r"conv\[0, 2, 2\] is a neuron; the index holds channels: net\['conv'\]\[0\]"):
        index.top_images(network["conv"][0, 2, 2])
    with pytest.raises(ValueError, match=r"shape \(99, 1, 1\); 'conv' has \(6, 16, 16\)"):
        index.top_images(Unit(Layer("conv", "Conv2d", (99, 1, 1)), 80))
    with pytest.raises(ValueError, match="share -0.1; expected 0"):
        index.spectrum(unit, (-0.1,))
    with pytest.raises(ValueError, match=r"features of 'conv' were not kept, but of .* build\(features=\['conv'\]\)"):
        index.features("conv")
    with pytest.raises(TypeError):
        ActivationIndex.build(network, images, colour="red")


def test_units_for_an_image_are_those_that_answer_it_unusually() -> None:
    network, images = network_of(drawn(Repeated)), pictures(41)
    index = ActivationIndex.build(network, images, k=3)
    maps = all_maps(network, images)
    at = 17
    values = maps["conv@3"].flatten(2).amax(2).double()
    above = (values[at] - values.mean(0)) / values.std(0, correction=0)
    found = index.units_for(images.ids[at], "conv@3", k=4)
    assert [unit.channel for unit, _, _ in found] == above.argsort(descending=True)[:4].tolist()
    for unit, value, deviations in found:
        assert value == pytest.approx(float(values[at, unit.channel]), rel=1e-4)
        assert deviations == pytest.approx(float(above[unit.channel]), rel=1e-3)
    assert index.units_for(images[at], "conv@3", k=4) == found
    everywhere = index.units_for(images.ids[at], k=7)
    assert len(everywhere) == 7
    assert [d for *_, d in everywhere] == sorted((d for *_, d in everywhere), reverse=True)
    assert {unit.layer.name for unit, *_ in everywhere} <= {layer.name for layer in network.main_layers}
    other = ActivationIndex.build(network, images, ["stem"], k=3)
    assert {unit.layer.name for unit, *_ in other.units_for(images.ids[at])} == {"stem"}
    with pytest.raises(ValueError, match="'conv' is not in the index"):
        other.units_for(images.ids[at], "conv")
    with pytest.raises(ValueError, match="k=0; expected at least one unit"):
        index.units_for(images.ids[at], k=0)
    with pytest.raises(ImageError, match="2 images were given; expected one"):
        index.units_for([images[0], images[1]])


def test_near_duplicates_stand_for_each_other_on_demand() -> None:
    network, images = network_of(drawn(next_to_each_other)), pictures(12)
    index = ActivationIndex.build(network, images, k=12)
    features = dict(zip(index.ids, index.features() / np.linalg.norm(index.features(), axis=1)[:, None], strict=True))
    for name in ("0", "7"):
        plain, folded = (index.top_images(network[name][1], fold=fold) for fold in (False, True))
        expected: dict[str, list[str]] = {}
        for match in plain:
            like = next((id for id in expected if features[id] @ features[match.id] >= ALIKE), None)
            if like is None:
                expected[match.id] = []
            else:
                expected[like].append(match.id)
        assert {match.id: list(match.folded) for match in folded} == expected
        assert [match.id for match in folded] == list(expected)
        assert not {"3", "7"} <= set(expected)
        assert index.top_images(network[name][1], 2, fold=True) == folded[:2]
        first, second = (next(n for n, match in enumerate(plain) if match.id == id) for id in ("3", "7"))
        assert second == first + 1, "equal activations stand in the order of their ids"


def test_changed_weights_make_an_index_outdated() -> None:
    module = drawn(Repeated)
    network = network_of(module)
    index = ActivationIndex.build(network, pictures(4))
    assert not index.outdated()
    with torch.no_grad():
        module.conv.weight.mul_(2)
    assert "weights are no longer" in index.outdated()

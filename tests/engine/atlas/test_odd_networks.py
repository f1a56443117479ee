"""Networks of many kinds, and units that nothing raises: what can be shown is, and the rest says why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.threads import torch_threads
from tests.engine.atlas import builds
from tests.engine.index.kinds import KINDS, drawn
from tests.engine.index.kinds import network_of as kind_of


def check(net: Network, **more: object) -> Atlas:
    """All that an atlas is to show is there, of the size that it says."""
    atlas = Atlas.build(net, **{"units": 2, "steps": 4, "coarse": 0, **more})  # type: ignore[arg-type]
    assert atlas.complete
    for place in atlas.plan:
        tile = atlas.image(place.unit, place.name)
        if tile is None:
            assert atlas.fault(place.unit, place.name)
            continue
        assert tile.picture.size == (tile.size[1], tile.size[0])
        assert np.isfinite(tile.score)
    assert len(builds.pictures(atlas)) + len(atlas.faults) == atlas.total
    return atlas


def test_a_grey_network(grey_network: Network) -> None:
    atlas = check(grey_network, recipes=["default", "natural", "lucid"])
    tile = atlas.image(atlas.units(atlas.layers[0])[0])
    assert tile is not None
    assert tile.picture.mode == "L"
    assert tile.size == (3, 3)
    assert atlas.faults == ()


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_many_kinds(kind: str) -> None:
    atlas = check(kind_of(drawn(KINDS[kind])))
    # of one that runs in an inference mode of its own there are no gradients
    assert len(builds.pictures(atlas)) == (0 if kind == "inference mode" else atlas.total)


class Counting(nn.Module):
    """Counts its calls in a buffer, and can't be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.threads: set[int] = set()

    def __deepcopy__(self, memo: object) -> None:
        raise TypeError("not to be copied")

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.threads.add(threading.get_ident())
        return torch.relu(self.conv(x))


def test_a_module_that_cant_be_copied_is_the_users_own_between_two_steps() -> None:
    module = drawn(Counting)
    net = builds.network_of(module, (1, 8, 8))
    module.train()
    assert net.path == "borrowed"
    calls = int(module.calls)
    with torch_threads(3):
        for progress in Atlas.building(net, units=3, steps=4, chunk=1):
            assert module.training
            assert not module._forward_hooks
            assert not module.conv._forward_hooks
            atlas = progress.result
    assert (atlas.complete, atlas.faults) == (True, ())
    assert module.threads == {threading.get_ident()}
    assert calls == int(module.calls)


@pytest.mark.parametrize("threads", [0, -2, 1.5])
def test_threads_are_a_whole_number(grey_network: Network, threads: object) -> None:
    with pytest.raises(ValueError, match=rf"threads={threads}; expected a whole number from 1"):
        Atlas.build(grey_network, threads=threads)  # type: ignore[arg-type]


def test_a_network_of_dense_layers_alone() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
    atlas = check(builds.network_of(drawn(lambda: module), (1, 8, 8)))
    assert [layer.positions for layer in atlas.layers] == [(), ()]
    assert {tile_size(atlas, unit) for layer in atlas.layers for unit in atlas.units(layer)} == {(8, 8)}


def tile_size(atlas: Atlas, unit: object) -> tuple[int, int]:
    tile = atlas.image(unit)  # type: ignore[arg-type]
    assert tile is not None
    return tile.size


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (5, "RGB")])
def test_images_of_any_number_of_channels_have_a_picture(channels: int, mode: str) -> None:
    net = builds.network_of(drawn(lambda: nn.Sequential(nn.Conv2d(channels, 4, 3))), (channels, 12, 12))
    atlas = check(net, recipes="yosinski-1")
    tile = atlas.image(atlas.units("0")[0])
    assert tile is not None
    assert tile.picture.mode == mode


def test_a_network_that_ends_in_a_softmax_is_climbed_before_it() -> None:
    net = builds.network_of(drawn(lambda: nn.Sequential(*builds.module(), nn.Softmax(1))), (1, 20, 20))
    atlas = check(net, layers=[net.output])
    assert str(atlas.place(net.output[0]).goal) == f"activation({net.output[0]}, at='pre')"
    tile = atlas.image(net.output[0])
    assert tile is not None
    assert tile.probability is not None
    assert 0 < tile.probability < 1


@pytest.mark.long
def test_an_untrained_resnet(resnet: Network) -> None:
    atlas = check(resnet, units=1, recipes=["default", "yosinski-1", "yosinski-4"])
    assert atlas.faults == ()
    assert len(atlas.layers) > 15


class Dead(nn.Module):
    """One channel gives always zero, another nothing that is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = builds.module()[0]
        with torch.no_grad():
            self.conv.weight[1] = 0.0  # type: ignore[index, union-attr]
            self.conv.bias[2] = torch.nan  # type: ignore[index, union-attr]

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


@pytest.mark.parametrize("kept", [False, True])
def test_units_that_can_not_be_shown_tell_why_and_others_live_on(kept: bool, tmp_path: Path) -> None:
    path = tmp_path if kept else None
    net = builds.network_of(Dead())
    atlas = builds.build(path, net, layers=["conv"], units=4)
    assert [(fault.unit.channel, fault.recipe) for fault in atlas.faults] == [(1, "default"), (2, "default")]
    assert "conv[1, center] is exactly zero at step 0" in atlas.faults[0].reason
    assert "conv[2, center] is not finite at step 0" in atlas.faults[1].reason
    assert atlas.image(net["conv"][1]) is None
    assert atlas.fault(net["conv"][1]) == atlas.faults[0].reason
    assert atlas.fault(net["conv"][0]) == ""
    assert atlas.complete
    assert str(atlas).endswith("by default, 2 could not be made")
    alone = builds.build(None, net, units=[net["conv"][0, "center"]])
    mine, its = atlas.image(net["conv"][0]), alone.image(net["conv"][0])
    assert mine is not None
    assert its is not None
    assert mine.png == its.png
    if path is not None:
        with builds.counted() as climbed:
            builds.build(path, net, layers=["conv"], units=4)
        assert climbed == []
        assert Atlas.open(path, net).faults == atlas.faults


def test_what_a_users_regularizer_raises_is_told_and_tried_again(tmp_path: Path) -> None:
    trouble: Callable[[], bool] = lambda: broken  # noqa: E731
    broken = True

    @dataclass(frozen=True)
    class Troubled(Regularizer):
        def penalty(self, x: Tensor) -> Tensor:
            if trouble() and x.shape[-1] < 20:
                raise OverflowError("too much")
            return x.abs().flatten(1).mean(1)

    try:
        net, recipes = builds.network(), Recipe(regularizers=[Troubled()])
        atlas = builds.build(tmp_path, net, recipes=recipes)
        assert {fault.unit.layer.name for fault in atlas.faults} == {"2", "4"}
        assert {fault.reason for fault in atlas.faults} == {"OverflowError: too much"}
        assert (len(builds.pictures(atlas)), atlas.complete) == (3, False)
        broken = False
        mended = builds.build(tmp_path, net, recipes=recipes)
        assert (mended.faults, mended.complete, mended.recipes) == ((), True, ("recipe 1",))
    finally:
        Regularizer.registry.pop("Troubled")

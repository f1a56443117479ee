"""A small network and small images whose index takes a moment, and what of a build is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex, work
from cnnviz_widgets.engine.index.table import COLUMNS
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.openers import GivenOpener

COUNT, SHARD, BATCH = 40, 8, 4
SHARDS = COUNT // SHARD


def module(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3),
            nn.BatchNorm2d(3),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(3, 4),
        )


def network_of(own: nn.Module, channels: int = 1) -> Network:
    return Network(own.eval(), InputSpec(size=(channels, 8, 8), mean=0.4, std=0.2), name="tiny")


def network(seed: int = 0) -> Network:
    return network_of(module(seed))


def pixels(count: int = COUNT) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8))


def set_of(arrays: dict[str, Any]) -> ImageSet:
    return ImageSet(tuple(arrays), ("",) * len(arrays), tuple(map(GivenOpener, arrays.values())))


def named(count: int = COUNT) -> dict[str, Any]:
    """Ids as file names may be: with folders, line ends, bytes that are no text, and letters from anywhere."""
    kinds = ("birds/{}.png", "line\nend {}", "no text \udcff {}", "鳥 {} é", "\U0001f426{}")
    return {kinds[number % len(kinds)].format(number): array for number, array in enumerate(pixels(count))}


def images(count: int = COUNT) -> ImageSet:
    return set_of(named(count))


def settings(**more: Any) -> dict[str, Any]:
    return {"k": 3, "shard": SHARD, "batch": BATCH, "workers": 1, **more}


def build(path: Path | None, net: Network | None = None, given: Any = None, **more: Any) -> ActivationIndex:
    net = network() if net is None else net
    return ActivationIndex.build(net, images() if given is None else given, path=path, **settings(**more))


def building(path: Path | None, net: Network | None = None, given: Any = None, **more: Any) -> Iterator[Any]:
    net = network() if net is None else net
    return ActivationIndex.building(net, images() if given is None else given, path=path, **settings(**more))


def contents(path: Path) -> dict[str, bytes]:
    """Path below ``path`` -> bytes, of all files."""
    found = [file for file in path.rglob("*") if not file.is_dir()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}


def done_in(path: Path) -> int:
    """How many shards are marked as done in the only index below ``path``."""
    records = list(path.glob("*/done.json"))
    return json.loads(records[0].read_text())["shards"] if records else 0


@contextmanager
def counted() -> Iterator[list[int]]:
    """The shards that are measured here meanwhile."""
    measured: list[int] = []
    original = work.measuring

    def measuring(job: work.Job, *rest: Any) -> Any:
        measured.append(job.shard)
        return original(job, *rest)

    with mock.patch.object(work, "measuring", measuring):
        yield measured


def columns(index: ActivationIndex) -> dict[str, np.ndarray]:
    """All that an index knows about the units, and the features, by name."""
    found = {name: np.asarray(index.rows(name, 0, index.plan.units)) for name in COLUMNS}
    return {**found, **{f"features {one.name}": index.features(one.name) for one in index.plan.features}}


def same(one: ActivationIndex, other: ActivationIndex) -> None:
    """Assert that two indexes are equal bit for bit."""
    left, right = columns(one), columns(other)
    assert left.keys() == right.keys()
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)
    assert one.ids == other.ids
    assert one.faults == other.faults
    assert one.complete == other.complete

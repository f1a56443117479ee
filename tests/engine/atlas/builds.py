"""A small network whose atlas takes a moment, and what of a build is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from cnnviz_widgets.engine.atlas import Atlas, building
from cnnviz_widgets.engine.atlas.synthesis import Job
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress

STEPS, COARSE, CHUNK = 7, 2, 2
UNITS = 3
STAGES = 2
CHUNKS = 6
"""Two of each of the three main layers."""


def module(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 5),
        )


def network_of(own: nn.Module, size: tuple[int, int, int] = (1, 20, 20), labels: Any = None) -> Network:
    return Network(own.eval(), InputSpec(size=size, mean=0.4, std=0.2), labels, name="tiny")


def network(seed: int = 0) -> Network:
    return network_of(module(seed), labels=["ant", "bee", "cat", "dog", "emu"])


def settings(**more: Any) -> dict[str, Any]:
    return {"units": UNITS, "steps": STEPS, "coarse": COARSE, "chunk": CHUNK, **more}


def build(path: Path | None, net: Network | None = None, **more: Any) -> Atlas:
    return Atlas.build(network() if net is None else net, path=path, **settings(**more))


def built(path: Path | None, net: Network | None = None, **more: Any) -> Iterator[Progress[Atlas]]:
    return Atlas.building(network() if net is None else net, path=path, **settings(**more))


def contents(path: Path) -> dict[str, bytes]:
    """Path below ``path`` -> bytes, of all files."""
    found = [file for file in path.rglob("*") if not file.is_dir()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}


def pictures(atlas: Atlas) -> dict[tuple[str, str], bytes]:
    """(unit, recipe) -> PNG of each image that there is."""
    tiles = [atlas.image(place.unit, place.name) for place in atlas.plan]
    return {(str(tile.place.unit), tile.place.name): tile.png for tile in tiles if tile is not None}


def finished_in(path: Path) -> int:
    """How many finished images there are below ``path``."""
    return len(list(path.glob("*/*-final-*.png")))


@contextmanager
def counted() -> Iterator[list[tuple[str, int]]]:
    """The stages that are climbed here meanwhile: the first unit of each, and the step it goes to."""
    climbed: list[tuple[str, int]] = []
    original = building.synthesizing

    def synthesizing(job: Job, *rest: Any) -> Any:
        climbed.append((str(job.places[0].unit), job.steps))
        return original(job, *rest)

    with mock.patch.object(building, "synthesizing", synthesizing):
        yield climbed

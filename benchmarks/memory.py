"""What long use leaves behind: memory, threads, hooks and tensors after one long run and after many short ones.

Run ``python benchmarks/memory.py``. All happens in this process. Its memory is taken after a first short run, by when torch and
the allocator have what they keep, and again at the end of each part.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import torch
from torch import nn

import cnnviz_widgets as cnn
from cnnviz_widgets import parameterizations, regularizers, steppers
from cnnviz_widgets.engine.history import LIMIT, History

GROWTH = 50
"""Megabytes that a process may grow by after its first run."""

RECIPE = cnn.Recipe(
    parameterization=parameterizations.Fourier(),
    # one of each moment
    regularizers=[
        regularizers.Jitter(8),
        regularizers.TotalVariation(),
        regularizers.NormalizeGradient(),
        regularizers.GaussianBlur(0.5, every=4),
    ],
    stepper=steppers.Adam(0.05),
)


@dataclass(frozen=True)
class Left:
    """What a process holds: megabytes of memory, threads, hooks on the user's module, tensors, modules."""

    memory: float
    threads: int
    python_threads: int
    hooks: int
    tensors: int
    modules: int

    @classmethod
    def now(cls, module: nn.Module) -> Left:
        gc.collect()
        process = psutil.Process()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # attributes of torch that warn when they are looked at
            objects = gc.get_objects()
            tensors = sum(issubclass(type(one), torch.Tensor) for one in objects)
            modules = sum(issubclass(type(one), nn.Module) for one in objects)
        return cls(
            process.memory_info().rss / 2**20,
            process.num_threads(),
            threading.active_count(),
            sum(
                len(hooks) for part in module.modules() for name, hooks in vars(part).items() if name.endswith("_hooks")
            ),
            tensors,
            modules,
        )


def units(network: cnn.Network) -> Iterator[cnn.Unit]:
    """A logit, a channel and a neuron in turn: to the output, cut, and on a canvas of its own."""
    early = network.main_layers[len(network.main_layers) // 4]
    yield from itertools.cycle([network.output[0], early[0], early[0, "center"]])


def short(network: cnn.Network, unit: cnn.Unit, steps: int) -> None:
    for _ in cnn.ascend(network, unit, RECIPE, steps=steps):
        pass


def long(network: cnn.Network, unit: cnn.Unit, steps: int) -> tuple[float, int]:
    """Megabytes that the history of a run comes to at most, and how many steps it went."""
    most = 0
    with cnn.Ascent(network, [cnn.objectives.activation(unit)], [RECIPE.replace(steps=steps)]) as ascent:
        history = History(ascent)
        ascent.look()
        while not ascent.over:
            history.keep()
            most = max(most, history.size)
            ascent.advance()
            ascent.look()
        return most / 2**20, ascent.step


def tell(title: str, before: Left, after: Left) -> None:
    print(
        f"  {title:<24} {after.memory - before.memory:+7.1f} MB   threads {before.threads} -> {after.threads}"
        f" ({before.python_threads} -> {after.python_threads} of Python)   hooks {before.hooks} -> {after.hooks}"
        f"   tensors {before.tensors} -> {after.tensors}   modules {before.modules} -> {after.modules}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of the long run (default 1000)")
    parser.add_argument("--runs", type=int, default=100, help="short runs (default 100)")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    given = parser.parse_args()
    if given.steps < 1 or given.runs < 1:
        parser.error("--steps and --runs start from 1")
    if given.threads:
        torch.set_num_threads(given.threads)
    network = cnn.load()
    module = network.module
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {network.name}")
    fresh = Left.now(module)
    short(network, network.output[0], 10)
    first = Left.now(module)
    tell("the first run", fresh, first)
    kept, reached = long(network, network.output[0], given.steps)
    tell(f"a run of {reached} steps", first, Left.now(module))
    for unit, _ in zip(units(network), range(given.runs), strict=False):
        short(network, unit, 10)
    last = Left.now(module)
    tell(f"{given.runs} runs of 10 steps", first, last)
    grown = last.memory - first.memory
    print(f"  grown since the first run by {grown:.0f} MB; at most {GROWTH}: {'met' if grown <= GROWTH else 'missed'}")
    print(
        f"  history of the long run {kept:.1f} MB; at most {LIMIT / 2**20:.0f}: {'met' if kept * 2**20 <= LIMIT else 'missed'}"
    )


if __name__ == "__main__":
    main()

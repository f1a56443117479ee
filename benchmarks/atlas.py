"""What the images of an atlas cost: neurons together on what they see, beside one after the other on the whole input.

Run ``python benchmarks/atlas.py``. All layers of the first half of the default network; the more of the input a layer sees, the
less there is to save. Times are per image, medians of pairs run one after the other, so that a machine that is busy for a while
slows both; the ratio is the median of the pairs' ratios. Both climb by the same recipe for the same number of steps, opening the
network included, the atlas without a first round of coarse images. One after the other also ends the pass at the layer, and has
all of torch's threads. At last all these layers are built in one call, where chunks of one layer fill what another leaves free.
``--pairs`` sets how many, ``--steps`` how far images climb, ``--units`` how many there are of a layer.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median

import torch

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.atlas import Atlas


def together(network: cnn.Network, layers: list[str], units: int, steps: int) -> tuple[float, Atlas]:
    """Seconds an image, and the atlas."""
    start = time.perf_counter()
    atlas = Atlas.build(network, layers, units, steps=steps, coarse=0)
    return (time.perf_counter() - start) / atlas.total, atlas


def alone(network: cnn.Network, atlas: Atlas, layer: str) -> float:
    """Seconds of one image on the whole input."""
    place = atlas.place(atlas.units(layer)[0])
    start = time.perf_counter()
    cnn.maximize(network, place.goal, place.recipe.replace(canvas="full", chunk=1))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs (default 3)")
    parser.add_argument(
        "--steps", type=int, default=64, help="steps of each image (default 64, as the default recipes)"
    )
    parser.add_argument("--units", type=int, default=9, help="units of a layer (default 9)")
    given = parser.parse_args()
    if min(given.pairs, given.steps, given.units) < 1:
        parser.error("--pairs, --steps and --units start from 1")
    warnings.simplefilter("ignore")
    network = cnn.load()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {given.units} units, {given.steps} steps")
    print(f"{'layer':<16} {'sees':>9} {'first time':>11} {'atlas':>10} {'one by one':>11} {'ratio':>7}")
    ratios, slow_seconds = [], 0.0
    main_layers = [layer.name for layer in network.main_layers]
    layers = main_layers[: len(main_layers) // 2]
    for layer in layers:
        first, atlas = together(network, [layer], given.units, 1)
        pairs = []
        for _ in range(given.pairs):
            quick, atlas = together(network, [layer], given.units, given.steps)
            pairs.append((quick, alone(network, atlas, layer)))
        ratio = median(slow / quick for quick, slow in pairs)
        ratios.append(ratio)
        quick, slow = (median(column) for column in zip(*pairs, strict=True))
        slow_seconds += slow * atlas.total
        height, width = atlas.receptive_size(layer)
        seen, opening = f"{height} × {width}", first * atlas.total
        print(
            f"{layer:<16} {seen:>9} {opening:>9.1f} s {quick * 1000:>7.0f} ms {slow * 1000:>8.0f} ms {ratio:>6.1f}×",
            flush=True,
        )
    print(f"median of the layers' ratios: {median(ratios):.1f}; the least: {min(ratios):.1f}")
    builds = [together(network, layers, given.units, given.steps) for _ in range(given.pairs)]
    total = builds[0][1].total
    quick = median(each for each, _ in builds)
    print(
        f"all of them in one build: {total} images in {quick * total:.0f} s, {1 / quick:.2f} a second; one by one "
        f"{slow_seconds:.0f} s, {total / slow_seconds:.2f} a second: {slow_seconds / (quick * total):.1f}×"
    )


if __name__ == "__main__":
    main()

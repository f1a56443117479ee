"""Maps of many images beside scikit-learn's and openTSNE's: how long they take, and how true they are; and the grid.

Run ``python benchmarks/map.py``; ``pip install openTSNE umap-learn`` for rows of these two, which are left out else. All of them
get the same features along the same 50 principal components, and what these take is not counted. They run one after the other,
all of them ``--rounds`` times, so that a machine that is busy for a while slows all. The processor's seconds say more there than
the clock's.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cnnviz_widgets import projections
from cnnviz_widgets.engine.projections.preparing import Preparation
from cnnviz_widgets.engine.projections.quality import measured

Floats = npt.NDArray[np.float32]
Made = tuple[float, float, Floats]
CLASSES, KINDS, CAUSES = 60, 12, 40


def features(images: int, columns: int) -> Floats:
    """What a network's last layer gives for photographs, as it were.

    Classes of several kinds, each with a way of its own to vary, seen through many rectified columns with noise.
    """
    random = np.random.default_rng(0)
    kinds = 1.5 * random.normal(size=(KINDS, CAUSES))
    classes = kinds[random.integers(0, KINDS, CLASSES)] + random.normal(size=(CLASSES, CAUSES))
    ways = 0.5 * random.normal(size=(CLASSES, 6, CAUSES))
    label = random.choice(CLASSES, images, p=random.dirichlet(np.full(CLASSES, 3.0)))
    causes = classes[label] + 0.35 * random.normal(size=(images, CAUSES))
    causes += np.einsum("nw,nwc->nc", random.normal(size=(images, 6)), ways[label])
    seen = causes @ random.normal(size=(CAUSES, columns)) / np.sqrt(CAUSES)
    return np.maximum(seen + 0.3 * random.normal(size=seen.shape) - 0.2, 0).astype(np.float32)


def ours(projection: projections.Projection) -> Callable[[Floats], Floats]:
    return lambda values: projection.fit(values).points


def scikit_learn(values: Floats) -> Floats:
    from sklearn.manifold import TSNE

    return np.asarray(TSNE(random_state=0, n_jobs=torch.get_num_threads()).fit_transform(values))


def open_tsne(values: Floats) -> Floats:
    from openTSNE import TSNE

    return np.asarray(TSNE(random_state=0, n_jobs=torch.get_num_threads()).fit(values))


def umap_learn(values: Floats) -> Floats:
    from umap import UMAP

    return np.asarray(UMAP(random_state=0, n_jobs=1).fit_transform(values))


def ways(also: set[str]) -> dict[str, Callable[[Floats], Floats]]:
    """Name -> features to points, of what is installed and asked for."""
    found = {"TSNE, ours": ours(projections.TSNE()), "TSNE, scikit-learn": scikit_learn}
    if importlib.util.find_spec("openTSNE"):
        found["TSNE, openTSNE"] = open_tsne
    if importlib.util.find_spec("umap"):
        found |= {"UMAP, ours": ours(projections.UMAP()), "UMAP, umap-learn": umap_learn}
    return {name: way for name, way in found.items() if not also or also & {name.partition(", ")[2], name}}


def timed(way: Callable[[Floats], Floats], values: Floats) -> Made:
    """Seconds on the clock, of the processor, and the points."""
    clock, processor = time.perf_counter(), time.process_time()
    points = way(values)
    return time.perf_counter() - clock, time.process_time() - processor, points


def compared(images: int, columns: int, rounds: int, also: set[str]) -> Floats:
    """Print the table; our map's points."""
    raw = features(images, columns)
    start = time.perf_counter()
    values = Preparation.of(raw, "l2", 50)(raw)
    print(f"\n{images:,} images x {columns:,} columns; 50 principal components in {time.perf_counter() - start:.1f} s")
    print(f"Medians of {rounds} round{'s' if rounds > 1 else ''}; trustworthiness and neighbours kept, of 10")
    taken: dict[str, list[Made]] = {name: [] for name in ways(also)}
    for _ in range(rounds):
        for name, way in ways(also).items():
            taken[name].append(timed(way, values))
    for name, runs in taken.items():
        points = np.asarray(runs[-1][2], np.float32)
        found = measured(raw, points, 10, "l2", 2000)
        clock, processor = (median(column) for column in zip(*[run[:2] for run in runs], strict=True))
        print(
            f"  {name:<20} {clock:7.1f} s {processor:7.1f} s of the processor   "
            f"{found.trustworthiness:.4f}  {found.kept:.1%}",
            flush=True,
        )
    peers = [runs for name, runs in taken.items() if name.startswith("TSNE") and not name.endswith("ours")]
    if "TSNE, ours" in taken and peers:
        for column, what in ((0, "clock"), (1, "processor")):
            best = min(median(run[column] for run in runs) for runs in peers)
            ratio = median(run[column] for run in taken["TSNE, ours"]) / best
            print(f"  ours takes {ratio:.2f} times the faster other t-SNE, by the {what}")
    return np.asarray(next(iter(taken.values()))[-1][2], np.float32)


def gridded(points: Any) -> None:
    """Print what the grid takes, and how near it is to the best one, where that can be found."""
    print("\nThe grid: seconds of the processor, mean displacement in cells")
    for count in (1600, len(points)):
        chosen = points[:: max(1, len(points) // count)][:count].astype(np.float64)
        chosen = (chosen - chosen.min(0)) / np.ptp(chosen, axis=0).max()
        processor = time.process_time()
        found = projections.grid(chosen.clip(0, 1))
        taken = time.process_time() - processor
        moved = found.displacement.mean() * found.columns
        told = f", {found.cost / best(chosen, found):.4f} times the least sum of squares" if count <= 1600 else ""
        print(f"  {len(chosen):,} points: {taken:.1f} s, {moved:.2f} cells{told}")


def best(points: npt.NDArray[np.float64], found: projections.Grid) -> float:
    """The least sum of squared displacements that there is."""
    from scipy.optimize import linear_sum_assignment

    centres = (np.indices((found.columns, found.rows)).reshape(2, -1).T + 0.5) / (found.columns, found.rows)
    costs = np.square(points.clip(0, 1)[:, None] - centres).sum(2)
    return float(costs[linear_sum_assignment(costs)].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--columns", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves torch's own choice")
    parser.add_argument("--only", nargs="*", default=[], help="names such as ours, scikit-learn, openTSNE, umap-learn")
    given = parser.parse_args()
    if given.images < 100 or given.columns < 2 or given.rounds < 1:
        parser.error("--images start from 100, --columns from 2, --rounds from 1")
    if given.threads:
        torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    gridded(compared(given.images, given.columns, given.rounds, set(given.only)))


if __name__ == "__main__":
    main()

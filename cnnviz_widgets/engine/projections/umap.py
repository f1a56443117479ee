"""``UMAP``: as t-SNE a map of neighbourhoods, with more air between groups; by the package umap-learn."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from importlib.metadata import version
from typing import ClassVar, Self

import numpy as np
import torch

from cnnviz_widgets.engine.knobs import knob

from .base import Positions, Projection, lowered
from .neighborhoods import nearest
from .preparing import Floats

_FEW = 10_000
_SIDE = 10.0
"""How far the start reaches, and by how much its noise moves it, as umap-learn has it."""
_NOISE = 1e-4
_REPELLED = 5
"""Images that each attraction is paid for with."""


@dataclass(frozen=True)
class UMAP(Projection):
    """Uniform manifold approximation and projection (McInnes, Healy and Melville 2018).

    umap-learn gives the graph of neighbours and does the steps; neighbours are looked for exactly, and the start is the principal
    components', so that the map can be watched and a seed repeats it. It runs in one thread.

    Parameters
    ----------
    neighbors
        How many neighbours of an image count, itself included. More shows larger structure.
    min_dist
        How near images may come to each other on the map; small values make clumps.
    iterations
        Steps; 0: 500, and 200 for more than 10,000 images.
    dimensions
        Principal components that are kept at first.
    seed
        Of the pairs that are drawn.
    """

    libraries: ClassVar[tuple[str, ...]] = ("umap-learn", "numba", "scipy")

    neighbors: int = knob(15, low=2, high=200, scale="log")
    min_dist: float = knob(0.1, low=0.0, high=0.99, label="least distance")
    iterations: int = knob(0, low=0, high=1000, label="iterations, 0: by the number of images")
    _: KW_ONLY
    dimensions: int = knob(50, low=2, high=500, scale="log", label="components, principal ones kept first")
    seed: int = knob(0, low=0, high=99)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("neighbors", 2), ("min_dist", 0), ("iterations", 0), ("dimensions", 1)):
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}; expected a number from {least}")
        if self.min_dist > 1:
            raise ValueError(f"min_dist={self.min_dist}; expected 0 to 1")

    def check(self) -> None:
        if importlib.util.find_spec("umap") is None:
            raise ImportError(
                "umap-learn is not installed: pip install 'cnnviz_widgets[umap]'; TSNE() needs no package"
            )

    @property
    def made_by(self) -> str:
        return f"umap-learn {version('umap-learn')}"

    def steps(self, images: int) -> int:
        return self.iterations or (500 if images <= _FEW else 200)

    def suited(self, images: int) -> tuple[Self, str]:
        most = max(2, images)
        return (self, "") if self.neighbors <= most else lowered(self, "neighbors", most, images, "fewer")

    def unfolding(self, values: Floats) -> Iterator[Positions]:
        random = np.random.RandomState(self.seed)
        points = _start(values, random)
        yield points.astype(np.float64)
        if len(values) == 1:
            return
        layouts = importlib.import_module("umap.layouts")
        a, b = importlib.import_module("umap.umap_").find_ab_params(1.0, self.min_dist)
        heads, tails, every = self._edges(values, random)
        total = self.steps(len(values))
        due = every.copy()
        for step in range(total):
            chosen = due <= step
            due[chosen] += every[chosen]
            # of two epochs umap-learn's loop leaves the first one out: each edge is drawn in the second, at the full rate
            layouts.optimize_layout_euclidean(
                points,
                points,
                heads[chosen],
                tails[chosen],
                2,
                len(points),
                np.ones(int(chosen.sum())),
                a,
                b,
                random.randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3).astype(np.int64),
                initial_alpha=1 - step / total,
                negative_sample_rate=_REPELLED + 1.01,
                move_other=True,
            )
            yield points.astype(np.float64)

    def _edges(self, values: Floats, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of neighbours as two columns, and at how many steps each one's turn comes."""
        known = torch.from_numpy(values)
        rows, far = (found.numpy() for found in nearest(known, known, self.neighbors - 1, themselves=True))
        itself = np.arange(len(values))[:, None]
        graph, _, _ = importlib.import_module("umap.umap_").fuzzy_simplicial_set(
            values,
            self.neighbors,
            random,
            "euclidean",
            knn_indices=np.hstack([itself, rows]),
            knn_dists=np.hstack([np.zeros(itself.shape, np.float32), far]),
        )[:3]
        graph = graph.tocoo()
        graph.sum_duplicates()
        every = graph.data.max() / graph.data
        seldom = every > self.steps(len(values))  # never drawn
        return graph.row[~seldom], graph.col[~seldom], every[~seldom].astype(np.float64)


def _start(values: Floats, random: np.random.RandomState) -> np.ndarray:
    points = np.zeros((len(values), 2))
    points[:, : values.shape[1]] = values[:, :2]
    points *= _SIDE / (np.abs(points).max() or 1.0)
    points += random.normal(scale=_NOISE, size=points.shape)
    # umap-learn takes the coordinates as counted from 0
    reach = np.ptp(points, axis=0)
    return (_SIDE * (points - points.min(0)) / np.where(reach > 0, reach, 1)).astype(np.float32, order="C")

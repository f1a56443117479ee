"""``TSNE``: neighbours stay neighbours; what is far apart only stays apart.

Written for this package on torch alone: all the packages that offer it either can't be watched and stopped on their way, or can't
be installed everywhere. Forces between neighbours are summed up edge by edge, those between all points by `Repulsion`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from cnnviz_widgets.engine.knobs import knob

from .base import Positions, Projection, lowered
from .neighborhoods import nearest, weights
from .preparing import Floats
from .repulsion import Repulsion

START = 1e-4
"""Standard deviation of the start along x: close together, groups find each other before they push each other away."""
_NEIGHBORS = 3
"""Neighbours that get a share, in perplexities; further ones count as nothing."""
_EARLY = 250
_ALONE_PERPLEXITY, _ALONE_STEPS, _ALONE_RATE, _ALONE_LONGEST = 5.0, 150, 0.5, 0.5


@dataclass(frozen=True)
class TSNE(Projection):
    """t-distributed stochastic neighbour embedding (van der Maaten and Hinton 2008): shows groups, and groups within groups.

    Distances between groups and their sizes mean little. The start is the principal components', so that the map's large lines
    repeat (Kobak and Berens 2019).

    Parameters
    ----------
    perplexity
        About how many neighbours of an image count. More shows larger groups, and takes longer in proportion.
    exaggeration
        By what neighbours attract each other more in the first third of the way, at most 250 steps; more gathers groups sooner.
    learning_rate
        How far a step goes; 0: the number of images over four times the exaggeration, but at least 50 (Belkina et al. 2019).
    iterations
        Steps. Large sets need more until they stand still.
    dimensions
        Principal components that are kept at first.
    seed
        Of the little noise at the start; another seed shows what of the map is chance.
    """

    places_by: ClassVar[str] = "its own descent among the fitted images, which stay where they are"
    libraries: ClassVar[tuple[str, ...]] = ("scipy",)

    perplexity: float = knob(30.0, low=2.0, high=200.0, scale="log")
    exaggeration: float = knob(12.0, low=1.0, high=32.0, scale="log", label="early exaggeration")
    learning_rate: float = knob(0.0, low=0.0, high=2000.0, label="learning rate, 0: by the number of images")
    iterations: int = knob(750, low=50, high=3000)
    _: KW_ONLY
    dimensions: int = knob(50, low=2, high=500, scale="log", label="components, principal ones kept first")
    seed: int = knob(0, low=0, high=99)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (
            ("perplexity", 1),
            ("exaggeration", 1),
            ("learning_rate", 0),
            ("iterations", 1),
            ("dimensions", 1),
        ):
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}; expected a number from {least}")

    def steps(self, images: int) -> int:
        return self.iterations

    def suited(self, images: int) -> tuple[Self, str]:
        most = max(1.0, (images - 1) / _NEIGHBORS)
        if self.perplexity <= most:
            return self, ""
        return lowered(self, "perplexity", most, images, f"fewer than {_NEIGHBORS} times that")

    def unfolding(self, values: Floats) -> Iterator[Positions]:
        yield (start := _start(values, START, self.seed)).numpy()
        if len(values) == 1:
            return
        attraction = Attraction.of(torch.from_numpy(values), self.perplexity)
        rate = self.learning_rate or max(len(values) / self.exaggeration / 4, 50.0)
        for positions in self._descent(start, attraction, rate):
            yield positions.numpy()

    def _descent(self, points: Tensor, attraction: Attraction, rate: float) -> Iterator[Tensor]:
        """Gradient descent with momentum and a gain for each coordinate (Jacobs 1988), as in the authors' code."""
        repulsion = Repulsion()
        speed, gain = torch.zeros_like(points), torch.ones_like(points)
        early = min(_EARLY, self.iterations // 3)
        for step in range(self.iterations):
            potential, slope = repulsion.of(points).at(points)
            # all pairs but each point with itself; where points are sparse the grid's error could leave nothing
            pairs = max(float(potential.sum()) - len(points), 1e-6 * len(points))
            exaggeration, momentum = (self.exaggeration, 0.5) if step < early else (1.0, 0.8)
            gradient = 4 * (exaggeration * attraction.at(points) + slope / (2 * pairs))
            turned = gradient * speed < 0
            gain = torch.where(turned, gain + 0.2, gain * 0.8).clamp_(min=0.01)
            speed = momentum * speed - rate * gain * gradient
            points = points + speed
            points -= points.mean(0)
            yield points

    def place(self, new: Floats, values: Floats, positions: Positions) -> Positions:
        """Each new image on its own, at a small perplexity (Poličar et al. 2021, https://doi.org/10.1007/s10994-021-06043-1)."""
        fixed, known = torch.from_numpy(positions), torch.from_numpy(values)
        k = min(len(known), int(_NEIGHBORS * _ALONE_PERPLEXITY))
        rows, far = nearest(torch.from_numpy(new), known, k)
        share = weights(far, min(_ALONE_PERPLEXITY, max(1.0, k / _NEIGHBORS)))
        pulling = fixed[rows]
        points = _best_neighbor(pulling, share)
        if len(known) == 1:
            return np.asarray(points.numpy())
        potential, speed = Repulsion().of(fixed), torch.zeros_like(points)
        for _ in range(_ALONE_STEPS):
            around, slope = potential.at(points)
            apart = points[:, None] - pulling
            pull = (share / (1 + apart.square().sum(2)))[:, :, None]
            gradient = (pull * apart).sum(1) + slope / (2 * around.clamp(min=1e-3))[:, None]
            speed = 0.5 * speed - _ALONE_RATE * gradient
            speed *= _ALONE_LONGEST / speed.norm(dim=1, keepdim=True).clamp(min=_ALONE_LONGEST)
            points = points + speed
        return np.asarray(points.numpy())


def _best_neighbor(pulling: Tensor, share: Tensor) -> Tensor:
    """(m, 2): of each row of neighbours (m, k, 2) the one nearest to all of them as attraction counts it."""
    apart = torch.cdist(pulling, pulling).square()
    loss = (share[:, None] * torch.log1p(apart)).sum(2)
    return pulling[torch.arange(len(pulling)), loss.argmin(1)]


def _start(values: Floats, deviation: float, seed: int) -> Tensor:
    """(n, 2) float64: the first two principal components, small, with noise that tells equal images apart."""
    points = torch.zeros(len(values), 2, dtype=torch.float64)
    points[:, : values.shape[1]] = torch.from_numpy(values[:, :2])
    spread = points[:, 0].std(correction=0)
    if spread > 0:
        points *= deviation / spread
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points + 0.01 * deviation * noise


class Attraction:
    """What neighbours do to each other: a sum over pairs of images of which one is among the other's neighbours.

    Parameters
    ----------
    pairs
        (n, n), above the diagonal: how much a pair counts; twice their sum is 1.
    """

    def __init__(self, pairs: scipy.sparse.csr_array) -> None:
        self._share = torch.from_numpy(pairs.data.astype(np.float32))
        self._first = torch.from_numpy(np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr)))
        self._second = torch.from_numpy(pairs.indices.astype(np.int64))
        self._pull = torch.empty_like(self._share)
        self._matrix = scipy.sparse.csr_array((self._pull.numpy(), pairs.indices, pairs.indptr), shape=pairs.shape)
        self._matrix.data = self._pull.numpy()  # what is written there is in the matrix, and in its transpose
        self._transpose = self._matrix.T

    @classmethod
    def of(cls, values: Tensor, perplexity: float) -> Attraction:
        """The attraction of values (n, q)."""
        n = len(values)
        k = min(n - 1, math.ceil(_NEIGHBORS * perplexity))
        rows, far = nearest(values, values, k, themselves=True)
        share = weights(far, perplexity)
        ends = np.arange(0, n * k + 1, k)
        one_way = scipy.sparse.csr_array((share.numpy().ravel(), rows.numpy().ravel(), ends), shape=(n, n))
        pairs = scipy.sparse.triu(one_way + one_way.T, 1, format="csr")
        pairs.sort_indices()
        pairs.data /= 2 * n
        return cls(pairs)

    def at(self, points: Tensor) -> Tensor:
        """(n, 2) -> (n, 2): for each point the sum over its neighbours of share times difference over ``1 + d²``; float64."""
        near = points.float()
        both = torch.view_as_complex(near)  # a point's two numbers are fetched at once
        apart = torch.view_as_real(both.index_select(0, self._first).sub_(both.index_select(0, self._second)))
        across, down = apart.unbind(1)
        torch.div(self._share, torch.addcmul(across.square() + 1, down, down), out=self._pull)
        columns = torch.cat([near, near.new_ones(len(near), 1)], 1).numpy()
        summed = torch.from_numpy(self._matrix @ columns + self._transpose @ columns)
        return (summed[:, 2:] * near - summed[:, :2]).double()

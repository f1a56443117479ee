"""``Repulsion().of(points)``: what many points do to each other, in time that grows with their number, not with its square.

The points of t-SNE repel as charges of the potential ``1 / (1 + d²)`` do. Its sum over all points, at every point, is a
convolution: the points are spread on a fine grid by splines, the grid is convolved by FFT, and the result and its slope are read
at the points by the same splines. FIt-SNE (Linderman et al. 2019, https://doi.org/10.1038/s41592-018-0308-4) does so with four
charges and Lagrange polynomials; here one suffices, for force is the slope of a potential, and splines have slopes that are
continuous. Few points are compared pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import scipy.fft
import torch
from torch import Tensor

PAIRWISE = 700
"""Up to so many points are compared pair by pair."""
SPACING = 0.4
"""Between nodes of the grid, in units in which the potential falls to a half at 1. Forces are then true to a few percent where
points are sparse, and better where they are dense; the layout is as good as with less."""
_LEAST_NODES, _MOST_NODES = 50, 8
"""Along the longer side; the most for each square root of the number of points, which only lonely points need."""
_MARGIN = 2
"""Nodes beyond the points: the splines reach so far."""


Kernel = Callable[[float, tuple[int, int], torch.dtype], Tensor]


class Potential(Protocol):
    """What points do."""

    def at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """(m, 2) -> the sum over the points of ``1 / (1 + d²)``, (m,), and its gradient, (m, 2); float64.

        A point counts itself, too, as 1.
        """


class Repulsion:
    """Makes potentials, and keeps what is the same for one after the other."""

    def __init__(self) -> None:
        self._known: tuple[object, Tensor] | None = None

    def of(self, points: Tensor) -> Potential:
        """The potential of some points, (n, 2) float64."""
        return Pairwise(points) if len(points) <= PAIRWISE else OnGrid(points, self._kernel)

    def _kernel(self, spacing: float, sides: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """The potential of a point on the nodes of a periodic grid, as a spectrum; freed of what two splines will blur."""
        which = (spacing, sides, dtype)
        if self._known is None or self._known[0] != which:
            nodes = [torch.arange(side, dtype=torch.float64) for side in sides]
            down, right = (
                torch.minimum(node, side - node).mul_(spacing).square_()
                for node, side in zip(nodes, sides, strict=True)
            )
            spectrum = torch.fft.rfft2(1 / (1 + down[:, None] + right)).real
            # the spectrum of a cubic spline's values at the nodes, 1/6, 4/6, 1/6
            blur = [(2 + torch.cos(2 * torch.pi / side * node)) / 3 for node, side in zip(nodes, sides, strict=True)]
            spectrum /= (blur[0][:, None] * blur[1][: spectrum.shape[1]]).square_()
            self._known = which, spectrum.to(dtype)
        return self._known[1]


class Pairwise:
    """The potential of points, point by point."""

    def __init__(self, points: Tensor) -> None:
        self._points = points.double()

    def at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """See `Potential`."""
        across = places[:, 0, None].double() - self._points[:, 0]
        down = places[:, 1, None].double() - self._points[:, 1]
        near = 1 / (1 + across.square() + down.square())
        steep = -2 * near.square()
        return near.sum(1), torch.stack([(steep * across).sum(1), (steep * down).sum(1)], 1)


class OnGrid:
    """The potential of points, as a spline on a grid that reaches from the first to the last of them."""

    def __init__(self, points: Tensor, kernel: Kernel) -> None:
        self._low = points.amin(0).double()
        self._reach = points.amax(0).double() - self._low
        extent = float(self._reach.max())
        finest = max(extent / _LEAST_NODES, 1e-9)
        # in steps, so that the map may grow for a while before another kernel is needed
        finest = 2.0 ** (math.floor(8 * math.log2(finest)) / 8)
        self._spacing = max(min(SPACING, finest), extent / (_MOST_NODES * len(points) ** 0.5))
        # while all points are close together, their forces are small differences of large potentials
        self._dtype: torch.dtype = torch.float32 if extent > 1 else torch.float64
        self._nodes = [int(reach / self._spacing) + 2 * _MARGIN + 1 for reach in self._reach.tolist()]
        # twice as many, so that no point feels the periodic images; in coarse steps, so that kernels last
        sides = [scipy.fft.next_fast_len(-(-2 * nodes // 32) * 32, real=True) for nodes in self._nodes]
        places, across, down, _ = self._splines(points)
        spread = (across[:, :, None] * down[:, None]).view(len(points), -1)
        count = self._nodes[0] * self._nodes[1]
        density = np.bincount(places.numpy().ravel(), spread.numpy().ravel(), minlength=count)
        on_nodes = torch.from_numpy(density).to(self._dtype).view(*self._nodes)
        spectrum = torch.fft.rfft2(on_nodes, s=sides) * kernel(self._spacing, (sides[0], sides[1]), self._dtype)
        values = torch.fft.irfft2(spectrum, s=sides)
        self._values = values[: self._nodes[0], : self._nodes[1]].reshape(-1)

    def at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """See `Potential`; a place beyond the outermost points is taken as one at the edge."""
        nodes, across, down, slopes = self._splines(places)
        values = self._values[nodes].view(-1, 4, 4)
        along = (values * down[:, None]).sum(2)
        potential = (along * across).sum(1)
        first = (along * slopes[0]).sum(1)
        second = ((values * slopes[1][:, None]).sum(2) * across).sum(1)
        return potential.double(), torch.stack([first, second], 1).double() / self._spacing

    def _splines(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """For each place the 16 nodes around it, (m, 16); their cubic weights along each axis, (m, 4); the slopes of these."""
        where = (places.double() - self._low).clamp_(min=0)
        where = torch.minimum(where, self._reach) / self._spacing + 1
        node = where.floor()
        past = (where - node).to(self._dtype)
        node = node.long()
        around = (torch.arange(-1, 3)[:, None] * self._nodes[1] + torch.arange(-1, 3)).flatten()
        nodes = (node[:, 0] * self._nodes[1] + node[:, 1])[:, None] + around
        (across, slope), (down, steep) = _cubic(past[:, 0]), _cubic(past[:, 1])
        return nodes, across, down, (slope, steep)


def _cubic(past: Tensor) -> tuple[Tensor, Tensor]:
    """What the nodes before and after a place count, (m, 4), and the slopes, for the share of the way that it is past a node."""
    left = 1 - past
    weight = [left**3, 4 - 6 * past**2 + 3 * past**3, 4 - 6 * left**2 + 3 * left**3, past**3]
    slope = [-(left**2), 3 * past**2 - 4 * past, 4 * left - 3 * left**2, past**2]
    return torch.stack(weight, 1) / 6, torch.stack(slope, 1) / 2

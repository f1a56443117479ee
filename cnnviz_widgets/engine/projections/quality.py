"""``measured(features, points, k) -> Quality``: how many neighbours a map keeps, and how many it invents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .preparing import Floats, centered

_PAIRS = 2**22


@dataclass(frozen=True, eq=False)
class Quality:
    """How true a map is to the features.

    Attributes
    ----------
    k
        How many neighbours were compared: as asked, or fewer on a small map. 0 on one too small to tell.
    trustworthiness
        1 where all neighbours on the map are neighbours by their features, too; it falls with the rank that a false neighbour
        really has (Venna and Kaski 2001, as scikit-learn's ``trustworthiness``). NaN on a map too small to tell.
    kept
        The share of the k nearest by features that are among the k nearest on the map.
    rows
        Which images were measured.
    trustworthiness_of, kept_of
        The same for each of these, (m,).
    """

    k: int
    trustworthiness: float
    kept: float
    rows: npt.NDArray[np.int64]
    trustworthiness_of: npt.NDArray[np.float64]
    kept_of: npt.NDArray[np.float64]

    def __str__(self) -> str:
        return f"{self.kept:.0%} of the {self.k} nearest kept, trustworthiness {self.trustworthiness:.3f}"


def measured(features: Floats, points: Floats, k: int, metric: str, sample: int | None) -> Quality:
    """The quality of a map.

    Parameters
    ----------
    sample
        Measure so many images, evenly spread over the rows; None: all.
    """
    if k < 1 or (sample is not None and sample < 1):
        raise ValueError(f"k={k}, sample={sample}; expected at least 1")
    n = len(features)
    k = min(k, (n - 1) // 2)
    if k < 1:
        none = np.full(n, np.nan)
        return Quality(0, float("nan"), float("nan"), np.arange(n), none, none)
    rows = np.unique(np.linspace(0, n - 1, n if sample is None else min(sample, n)).astype(np.int64))
    prepared, *_ = centered(features, metric)
    flat = torch.from_numpy(points.astype(np.float64))
    penalties, kept = [], []
    step = max(1, _PAIRS // n)
    for at in range(0, len(rows), step):
        chosen = torch.from_numpy(rows[at : at + step])
        ranks = _ranks(prepared, flat, chosen, k)
        penalties.append((ranks - k).clamp(min=0).double().sum(1))
        kept.append((ranks <= k).double().mean(1))
    lost, share = torch.cat(penalties).numpy(), torch.cat(kept).numpy()
    trust = 1 - lost * 2 / (k * (2 * n - 3 * k - 1))
    return Quality(k, float(trust.mean()), float(share.mean()), rows, trust, share)


def _ranks(features: Tensor, points: Tensor, chosen: Tensor, k: int) -> Tensor:
    """For each chosen image, the ranks by features of its k nearest on the map, from 1; equally far ones share one."""
    on_map = torch.cdist(points[chosen], points, compute_mode="donot_use_mm_for_euclid_dist")
    far = torch.addmm(features.square().sum(1)[None], features[chosen], features.T, alpha=-2)
    for distances in (on_map, far):
        distances[torch.arange(len(chosen)), chosen] = torch.inf
    near = on_map.topk(k, largest=False).indices
    asked = far.gather(1, near)
    return torch.searchsorted(far.sort(1).values, asked) + 1

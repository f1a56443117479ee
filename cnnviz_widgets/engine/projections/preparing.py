"""``Preparation.of(features, metric, dimensions)``: features as a projection takes them: centred, along principal components.

Tens of principal components hold what the neighbours of an image are; with fewer columns all that follows is faster, and the
noise of the others stays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
EXACT = 2048
"""Up to so many images or columns the components come from an eigendecomposition; beyond, by subspace iteration."""
_OVERSAMPLED, _ITERATIONS = 20, 6
_NAMED = 5


def checked(features: Any, columns: int | None = None) -> Floats:
    """The features as float32 (n, C).

    Parameters
    ----------
    columns
        How many there must be; None: any number.

    Raises
    ------
    ValueError
        No features, another shape, or values that are not finite.
    """
    given = features.detach().cpu().numpy() if isinstance(features, Tensor) else np.asarray(features)
    if given.ndim != 2:
        mend = "; a single column is features[:, None]" if given.ndim == 1 else ""
        raise ValueError(f"features of the shape {given.shape}; expected (n, C), a row for each image{mend}")
    if columns is not None and given.shape[1] != columns:
        raise ValueError(
            f"features with {given.shape[1]} columns; the map was made of {columns}: take the same layer's features"
        )
    if columns is None and not given.size:
        raise ValueError(f"features of the shape {given.shape}; expected at least one image and one column")
    if given.dtype.kind not in "fiub":
        raise ValueError(f"features of the type {given.dtype}; expected real numbers")
    with np.errstate(over="ignore"):  # told below
        values = np.ascontiguousarray(given, np.float32)
    if len(bad := np.flatnonzero(~np.isfinite(values).all(1))):
        rows = ", ".join(map(str, bad[:_NAMED])) + (f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else "")
        raise ValueError(
            f"features of row{'s' if len(bad) > 1 else ''} {rows} are not finite; "
            "features[numpy.isfinite(features).all(1)] leaves them out"
        )
    return values


@dataclass(frozen=True, eq=False)
class Preparation:
    """How features become the values that a projection takes: scaled, centred, turned.

    Attributes
    ----------
    metric
        ``"cosine"`` divides each row by its length; of such rows the Euclidean distance ranks as the cosine does.
    scale
        What the values are divided by, so that no square overflows.
    mean
        (C,), after scaling.
    components
        (q, C): orthonormal rows, the direction of the largest spread first.
    """

    metric: str
    scale: float
    mean: Floats
    components: Floats

    @classmethod
    def of(cls, features: Floats, metric: str, dimensions: int, seed: int = 0) -> Preparation:
        """The preparation that suits these features.

        Parameters
        ----------
        dimensions
            How many components, at most as many as rows or columns.
        seed
            Where subspace iteration starts.
        """
        centred, scale, mean = centered(features, metric)
        found = principal_components(centred, dimensions, seed)
        return cls(metric, scale, mean.numpy(), found.numpy())

    def __call__(self, features: Floats) -> Floats:
        """(n, C) -> (n, q)."""
        centred = _scaled(features, self.metric, self.scale).sub_(torch.from_numpy(self.mean))
        return (centred @ torch.from_numpy(self.components).T).numpy()


def centered(features: Floats, metric: str) -> tuple[Tensor, float, Tensor]:
    """The features such that Euclidean distances rank as the metric does; what they were divided by, and their mean then."""
    scale = (float(np.abs(features).max(initial=0.0)) or 1.0) if metric == "l2" else 1.0
    values = _scaled(features, metric, scale)
    mean = values.mean(0, dtype=torch.float64).float()
    return values.sub_(mean), scale, mean


def _scaled(features: Floats, metric: str, scale: float) -> Tensor:
    """A copy, divided by ``scale``, or each row by its own length."""
    values = torch.from_numpy(np.array(features))
    if metric == "l2":
        return values.div_(scale)
    # by the largest value first: squares of float32 may overflow
    values.div_(_or_one(values.abs().amax(1, keepdim=True)))
    return values.div_(_or_one(values.norm(dim=1, keepdim=True)))


def _or_one(sizes: Tensor) -> Tensor:
    return torch.where(sizes > 0, sizes, 1.0)


def principal_components(centred: Tensor, most: int, seed: int = 0) -> Tensor:
    """(q, C): the directions of the largest spread of (n, C), orthonormal; each one's largest entry is positive.

    Examples
    --------
    >>> line = torch.tensor([[-3.0, -4.0], [0.0, 0.0], [3.0, 4.0]])
    >>> [[round(value, 3) for value in row] for row in principal_components(line, 1).tolist()]
    [[0.6, 0.8]]
    """
    rows, columns = centred.shape
    q = min(most, rows, columns)
    if columns <= EXACT:
        found = torch.linalg.eigh((centred.T @ centred).double())[1].flip(1).T[:q]
    elif rows <= EXACT:
        found = _directions(torch.linalg.eigh((centred @ centred.T).double())[1].flip(1).T[:q].float() @ centred)
    else:
        width = min(q + _OVERSAMPLED, rows, columns)
        basis = torch.randn(columns, width, generator=torch.Generator().manual_seed(seed))
        for _ in range(_ITERATIONS):
            basis = torch.linalg.qr(centred.T @ torch.linalg.qr(centred @ basis)[0])[0]
        small = centred @ basis
        found = torch.linalg.eigh((small.T @ small).double())[1].flip(1).T[:q] @ basis.T.double()
    found = found.float()
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -found, found)


def _directions(rows: Tensor) -> Tensor:
    """Rows of length 1; those that are nothing but rounding become zero."""
    size = rows.norm(dim=1, keepdim=True)
    return torch.where(size > 1e-5 * size.max(), rows / size.clamp(min=torch.finfo(rows.dtype).tiny), 0.0)

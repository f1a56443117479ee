"""``nearest(queries, features, k) -> (rows, distances)``: exact nearest neighbours, in blocks.

A block of features is compared with all queries and leaves its k nearest; what is known so far and these make the next k. So the
memory does not grow with the collection, and the outcome is that of one large comparison: nearer first, then the earlier row.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Metric = Literal["l2", "cosine"]
METRICS: tuple[str, ...] = get_args(Metric)
BLOCK = 16_384
"""Rows that are compared at a time."""
_SAMPLED = 100
"""Queries whose exact neighbours are looked for, too, to tell how many an approximate search finds."""


def check_metric(metric: str) -> None:
    """Raise ``ValueError`` unless it is one of `METRICS`."""
    if metric not in METRICS:
        raise ValueError(
            f"metric={metric!r}; expected 'l2', the Euclidean distance, or 'cosine', which ignores the length"
        )


def directions(values: Tensor) -> Tensor:
    """Each row divided by its length; a row of zeros has none and stays zero."""
    return torch.nn.functional.normalize(values, dim=1, eps=1e-12)


def nearest(
    queries: np.ndarray,
    blocks: Iterable[np.ndarray],
    k: int,
    metric: Metric = "l2",
    leave_out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of a table that comes in blocks.

    Parameters
    ----------
    queries
        (Q, C) float.
    blocks
        (n, C) each, one after the other.
    leave_out
        (Q,) int64: a row that does not count for that query, -1 for none.

    Returns
    -------
    tuple
        (Q, k') int64 rows and (Q, k') float32 distances, k' being k or as many as there are; Euclidean ones, or 1 - cosine.
        Features that are not finite are infinitely far, and given as row -1 where nothing nearer is left.
    """
    check_metric(metric)
    asked = torch.from_numpy(np.ascontiguousarray(queries)).double()
    asked = directions(asked) if metric == "cosine" else asked
    best = torch.full((len(asked), 0), torch.inf, dtype=torch.float64)
    rows = torch.full((len(asked), 0), -1, dtype=torch.int64)
    start = 0
    for block in blocks:
        for part in torch.from_numpy(np.ascontiguousarray(block)).split(BLOCK):
            far = _distances(asked, part.double(), metric)
            if leave_out is not None:
                own = torch.from_numpy(leave_out) - start
                inside = (own >= 0) & (own < len(part))
                far[inside.nonzero().flatten(), own[inside]] = torch.inf
            best, rows = _nearer(best, rows, far, start, k)
            start += len(part)
    rows = torch.where(best.isinf(), -1, rows)
    return rows.numpy(), (best.clamp(min=0).sqrt() if metric == "l2" else best).float().numpy()


def _distances(queries: Tensor, part: Tensor, metric: str) -> Tensor:
    """(Q, n): squared Euclidean distances, or 1 - cosine; in double precision, where the shortcut through the product is safe."""
    part = directions(part) if metric == "cosine" else part
    product = queries @ part.T
    far = 1 - product if metric == "cosine" else queries.square().sum(1)[:, None] - 2 * product + part.square().sum(1)
    return far.nan_to_num(nan=torch.inf, posinf=torch.inf)


def _nearer(best: Tensor, rows: Tensor, far: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    together = torch.cat([best, far], 1)
    numbers = torch.cat([rows, (torch.arange(far.shape[1]) + start).expand(len(far), -1)], 1)
    order = together.argsort(dim=1, stable=True)[:, :k]  # earlier rows stand further left
    return together.gather(1, order), numbers.gather(1, order)


def approximate(
    queries: np.ndarray, features: np.ndarray, k: int, metric: Metric = "l2", leave_out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """As `nearest`, by FAISS's HNSW graph (Malkov and Yashunin 2016), and the share of the true neighbours that it finds.

    Building the graph pays from some thousand queries on; before that the exact search is faster.

    Raises
    ------
    ImportError
        FAISS is not installed.
    """
    check_metric(metric)
    if importlib.util.find_spec("faiss") is None:
        raise ImportError("FAISS is not installed: pip install 'cnnviz_widgets[faiss]'; search='exact' needs no FAISS")
    import faiss

    def fed(values: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.array(values, np.float32)).nan_to_num(0.0, 0.0, 0.0)
        return (directions(tensor) if metric == "cosine" else tensor).numpy()

    graph = faiss.IndexHNSWFlat(features.shape[1], 32)
    graph.add(fed(features))
    graph.hnsw.efSearch = max(64, 2 * (k + 1))
    far, rows = graph.search(fed(queries), min(k + 1, len(features)))
    if leave_out is not None:
        far = np.where(rows == leave_out[:, None], np.inf, far)
        order = np.argsort(far, axis=1, kind="stable")
        far, rows = np.take_along_axis(far, order, 1), np.take_along_axis(rows, order, 1)
    far, rows = far[:, :k], rows[:, :k]
    sample = np.linspace(0, len(queries) - 1, min(_SAMPLED, len(queries))).astype(int)
    true, _ = nearest(queries[sample], [features], k, metric, None if leave_out is None else leave_out[sample])
    hits = [len(set(row) & set(other)) for row, other in zip(true.tolist(), rows[sample].tolist(), strict=True)]
    recall = sum(hits) / max(1, true.size)
    return (
        rows.astype(np.int64),
        (far / 2 if metric == "cosine" else np.sqrt(np.maximum(far, 0))).astype(np.float32),
        recall,
    )

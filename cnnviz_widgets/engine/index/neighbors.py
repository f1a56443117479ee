"""``nearest(queries, blocks, k) -> (rows, distances)``: exact nearest neighbours, in blocks.

A block of features is compared with all queries and leaves its k nearest; what is known so far and these make the next k. So the
memory does not grow with the collection, and the outcome is that of one large comparison: nearer first, then the earlier row.
One product of matrices finds those that may be among the nearest; the distances of these are then computed pair by pair, so that
equal images are equally far wherever they stand.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Metric = Literal["l2", "cosine"]
METRICS: tuple[str, ...] = get_args(Metric)
BLOCK = 16_384
"""Most rows that are compared at a time; fewer with many queries."""
_PAIRS = 2**22
_SAMPLED = 100
"""Queries whose exact neighbours are looked for, too, to tell how many an approximate search finds."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def check_metric(metric: str) -> None:
    """Raise ``ValueError`` unless it is one of `METRICS`."""
    if metric not in METRICS:
        raise ValueError(
            f"metric={metric!r}; expected 'l2', the Euclidean distance, or 'cosine', which ignores the length"
        )


def directions(values: Floats) -> Floats:
    """Each row divided by its length; a row of zeros has none and stays zero.

    Examples
    --------
    >>> directions(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    with np.errstate(invalid="ignore"):
        lengths = np.sqrt(np.square(values).sum(1, keepdims=True))
        return np.asarray(values / np.where(lengths == 0, 1, lengths))


def nearest(
    queries: npt.NDArray[np.float32],
    blocks: Iterable[npt.NDArray[np.float32]],
    k: int,
    metric: Metric = "l2",
    leave_out: Rows | None = None,
) -> tuple[Rows, npt.NDArray[np.float32]]:
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

    Examples
    --------
    >>> rows, far = nearest(np.array([[0.0, 0.0]]), [np.array([[3.0, 4.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])], k=2)
    >>> rows.tolist(), far.tolist()
    ([[1, 2]], [[1.0, 1.0]])
    """
    check_metric(metric)
    asked = np.ascontiguousarray(queries, np.float64)
    asked = directions(asked) if metric == "cosine" else asked
    best, rows, start = np.full((len(asked), 0), np.inf), np.full((len(asked), 0), -1), 0
    size = max(1, min(BLOCK, _PAIRS // max(1, len(asked))))
    for block in blocks:
        for at in range(0, len(block), size):
            part = np.ascontiguousarray(block[at : at + size], np.float64)
            part = directions(part) if metric == "cosine" else part
            own = None if leave_out is None else leave_out - start
            far, numbers = _near(asked, part, k, metric, own)
            best, rows = np.hstack([best, far]), np.hstack([rows, np.where(numbers < 0, -1, numbers + start)])
            order = best.argsort(1, kind="stable")[:, :k]  # earlier rows stand further left
            best, rows = np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)
            start += len(part)
    return rows, (np.sqrt(best) if metric == "l2" else best).astype(np.float32)


def _near(queries: Floats, part: Floats, k: int, metric: str, own: Rows | None) -> tuple[Floats, Rows]:
    """(Q, m) distances, squared ones, and rows in ``part`` of those that may be among the k nearest; inf and -1 fill up."""
    with np.errstate(invalid="ignore"):
        sizes = np.square(queries).sum(1)[:, None] + np.square(part).sum(1)
        far = sizes - 2 * (queries @ part.T)
    slack = sizes * (2.0**-50 * queries.shape[1] + 2.0**-50)  # more than rounding can do
    if metric == "cosine":
        alone = (queries == 0).all(1)[:, None] | (part == 0).all(1)
        far[alone] = 2.0
    lost = ~np.isfinite(far)
    if own is not None:
        inside = ((own >= 0) & (own < len(part))).nonzero()[0]
        lost[inside, own[inside]] = True
    least, most = np.where(lost, np.inf, far - slack), np.where(lost, np.inf, far + slack)
    if k < len(part):
        lost |= least > np.partition(most, k - 1, axis=1)[:, k - 1 : k]
    query, row = (~lost).nonzero()
    place = np.arange(len(query)) - np.searchsorted(query, query)
    width = int(place.max(initial=min(k, len(part)) - 1)) + 1
    told, rows = np.full((len(queries), width), np.inf), np.full((len(queries), width), -1)
    rows[query, place] = row
    told[query, place] = _pairwise(queries, part, query, row)
    if metric == "cosine":
        told[query, place] = np.where(alone[query, row], 1.0, told[query, place] / 2)
    return told, rows


def _pairwise(queries: Floats, part: Floats, query: Rows, row: Rows) -> Floats:
    """(n,): squared distances of pairs, each summed up in the same order."""
    found = np.empty(len(query))
    step = max(1, _PAIRS // max(1, queries.shape[1]))
    for at in range(0, len(query), step):
        apart = queries[query[at : at + step]] - part[row[at : at + step]]
        found[at : at + step] = np.square(apart, out=apart).sum(1)
    return found


def approximate(
    queries: npt.NDArray[np.float32],
    features: npt.NDArray[np.float32],
    k: int,
    metric: Metric = "l2",
    leave_out: Rows | None = None,
) -> tuple[Rows, npt.NDArray[np.float32], float]:
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

    def fed(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        wanted = directions(values.astype(np.float64)) if metric == "cosine" else values
        return np.ascontiguousarray(wanted, np.float32)

    # FAISS knows no values that are not finite
    usable, known = (np.flatnonzero(np.isfinite(values).all(1)) for values in (queries, features))
    width = min(k, len(features))
    rows, far = np.full((len(queries), width), -1), np.full((len(queries), width), np.inf, np.float32)
    if len(known) and len(usable):
        graph = faiss.IndexHNSWFlat(features.shape[1], 32)
        graph.add(fed(features[known]))
        graph.hnsw.efSearch = max(64, 2 * (k + 1))
        found, near = graph.search(fed(queries[usable]), min(k + 1, len(known)))
        numbers = np.where(near < 0, -1, known[near])
        own = np.full(len(usable), -1) if leave_out is None else leave_out[usable]
        gone = (numbers < 0) | (numbers == own[:, None])
        found = np.where(gone, np.inf, np.maximum(found, 0))
        order = np.argsort(found, axis=1, kind="stable")[:, :width]
        found, numbers = np.take_along_axis(found, order, 1), np.take_along_axis(np.where(gone, -1, numbers), order, 1)
        rows[usable, : order.shape[1]] = numbers
        far[usable, : order.shape[1]] = found / 2 if metric == "cosine" else np.sqrt(found)
    return rows, far, _recall(rows, queries, features, k, metric, leave_out)


def _recall(
    rows: Rows,
    queries: npt.NDArray[np.float32],
    features: npt.NDArray[np.float32],
    k: int,
    metric: Metric,
    leave_out: Rows | None,
) -> float:
    """The share of the true neighbours that is among the found ones, told from some of the queries; 1 where there are none."""
    sample = np.linspace(0, len(queries) - 1, min(_SAMPLED, len(queries))).astype(int)
    true, _ = nearest(queries[sample], [features], k, metric, None if leave_out is None else leave_out[sample])
    wanted = [set(line) - {-1} for line in true.tolist()]
    hits = sum(len(line & set(found)) for line, found in zip(wanted, rows[sample].tolist(), strict=True))
    return hits / total if (total := sum(map(len, wanted))) else 1.0

"""``nearest(queries, values, k) -> rows, distances`` and ``weights(distances, perplexity)``: who is near, what each counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_PAIRS = 2**23
"""Distances that are held at a time."""


def nearest(queries: Tensor, values: Tensor, k: int, *, themselves: bool = False) -> tuple[Tensor, Tensor]:
    """The k nearest rows of ``values`` (n, q) for each of ``queries`` (m, q), nearest first: rows and distances, (m, k).

    Parameters
    ----------
    themselves
        The queries are the values; none is its own neighbour.
    """
    sizes, found = values.square().sum(1), []
    step = max(1, _PAIRS // len(values))
    for at in range(0, len(queries), step):
        part = queries[at : at + step]
        far = torch.addmm(sizes[None], part, values.T, alpha=-2)  # but for each query's own square
        if themselves:
            far.diagonal(at).fill_(torch.inf)
        found.append(far.topk(k, largest=False, sorted=True).indices)
    rows = torch.cat(found)
    # the product of two matrices does not tell near ones apart well
    far, order = torch.sort(_apart(queries, values, rows), dim=1, stable=True)
    return rows.gather(1, order), far


def _apart(queries: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """(m, k): the distances of queries to some rows each, column by column, so that memory stays small."""
    total = torch.zeros(rows.shape)
    for column in range(values.shape[1]):
        total += (queries[:, column, None] - values[:, column][rows]).square_()
    return total.sqrt_()


def weights(distances: Tensor, perplexity: float) -> Tensor:
    """(m, k) distances -> what each neighbour counts, rows that add up to 1: a Gaussian of that perplexity.

    Perplexity, ``exp`` of the entropy, is the number of neighbours that count, were all of them to count the same (van der Maaten
    and Hinton 2008, equation 1).

    Examples
    --------
    >>> even = weights(torch.tensor([[1.0, 1.0, 1.0, 9.0]]), 3.0)
    >>> [round(value, 2) for value in even[0].tolist()]
    [0.33, 0.33, 0.33, 0.0]
    """
    far = distances.double().square()
    far = far - far.amin(1, keepdim=True)
    # the mean distance gives the scale, so that a bounded search finds every width
    far /= far.mean(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    low, high = (torch.full((len(far), 1), end, dtype=torch.float64) for end in (-30.0, 30.0))
    for _ in range(50):
        middle = (low + high) / 2
        width = middle.exp()
        kept = torch.exp(-far * width)
        total = kept.sum(1, keepdim=True)
        entropy = total.log() + width * (far * kept).sum(1, keepdim=True) / total
        wide = entropy > math.log(perplexity)
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    return kept / total

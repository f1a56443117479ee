"""tiles(kernel (out, in, kh, kw)) -> Tiles: what a convolution looks for, weight by weight.

A filter of the first layer sees colours, so its weights are drawn as colours: the well-known figure of
AlexNet's 11 x 11 filters (Krizhevsky, Sutskever and Hinton 2012, figure 3). Deeper filters see channels that
have no colour; there each input channel's slice is a tile of its own, in a colour map with a neutral zero.
Zero weight is mid grey, or the colour map's middle, everywhere: a filter that does nothing looks like
nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from .colormaps import limits_of
from .tiles import BACKGROUND, Choice, Tiles, as_floats, from_values, pick

Order = Literal["stored", "norm", "similarity"]

MOST_OPTIMALLY_ORDERED = 1024
"""Filters that "similarity" still orders optimally: 1,024 take 1.6 s, twice as many 8 times as long."""


def tiles(
    kernel: torch.Tensor,
    *,
    scale: Literal["filter", "layer"] = "filter",
    order: Order = "stored",
    rgb: bool | None = None,
    filters: Choice | None = None,
    inputs: Choice | None = None,
    limit: int | None = None,
    groups: int = 1,
    colormap: str = "RdBu_r",
) -> Tiles:
    """Draw a kernel's filters, one RGB tile a filter or one tile for each input channel of a filter.

    A 1 x 1 kernel gives single pixels here; `matrix` draws it as one picture instead.

    Parameters
    ----------
    kernel : tensor, shape (out, in_per_group, kh, kw)
        Weights of a two-dimensional convolution, as `net.filters(layer)` gives them.
    scale : {"filter", "layer"}
        Whether each filter spans the whole range of bytes, which shows the shape of weak ones too, or all of
        the layer shares one scale, which shows which are weak. Also what is not drawn counts for the scale,
        so that a tile looks the same whatever else is chosen.
    order : {"stored", "norm", "similarity"}
        Order of the filters: as in the network, by falling L2 norm, or so that neighbours look alike (see
        `ordering`).
    rgb : bool, optional
        Whether the three input channels are drawn as red, green and blue. None does so where the kernel has
        three input channels, one group, and `inputs` is not given; pass False where those three are no
        colours.
    filters : slice, int or sequence of int, optional
        Which filters to draw; all by default. They are sorted by `order` all the same.
    inputs : slice, int or sequence of int, optional
        Which input channels to draw, counted over all groups; all by default.
    limit : int, optional
        At most so many tiles, cut to whole filters where at least one filter fits: 512 filters of 512 inputs
        are 262,144 tiles. What is left out is told in `Tiles.note`.
    groups : int
        Of the convolution. A depthwise kernel (out, 1, kh, kw) has as many groups as input channels.
    colormap : str
        For tiles that are not RGB; one of `colormaps.SIGNED`.

    Returns
    -------
    Tiles
        Filter after filter, the inputs of each side by side; ranges are symmetric about zero, `order` holds
        each tile's filter and `inputs` its input channel.

    Raises
    ------
    ValueError
        If the kernel is not four-dimensional, or a choice does not fit it.

    Examples
    --------
    >>> tiles(torch.randn(64, 3, 11, 11)).pixels.shape
    (64, 11, 11, 3)
    >>> tiles(torch.randn(8, 16, 3, 3), filters=[5], inputs=slice(2)).names
    ('filter 5, input 0', 'filter 5, input 1')
    """
    weights = _weights(kernel, groups)
    colored = _is_rgb(weights, rgb, inputs, groups)
    if scale not in ("filter", "layer"):
        raise ValueError(f"scale must be 'filter' or 'layer', not {scale!r}")
    limits = limits_of(weights, "each" if scale == "filter" else "all", signed=True)
    rows, note = _ordered(weights, order, filters)
    if colored:
        kept, more = _first(rows, limit, 1)
        return from_values(
            weights[kept].transpose(0, 2, 3, 1),
            signed=True,
            limits=limits[kept],
            order=kept,
            names=[f"filter {i}" for i in kept],
            note=_join(note, more),
        )
    which, slices, block = _pairs(rows, weights.shape[1], len(weights), groups, inputs)
    which, more = _first(which, limit, block)
    slices = slices[: len(which)]
    reads = slices + _offset(which, weights.shape[1], len(weights), groups)
    named = weights.shape[1] * groups > 1
    return from_values(
        weights[which, slices],
        signed=True,
        limits=limits[which],
        order=which,
        colormap=colormap,
        names=[f"filter {f}, input {i}" if named else f"filter {f}" for f, i in zip(which, reads, strict=True)],
        inputs=reads,
        block=block,
        note=_join(note, more),
    )


def tile(
    kernel: torch.Tensor,
    *,
    columns: int | None = None,
    gap: int = 1,
    enlarge: int = 4,
    background: str | tuple[int, int, int] = BACKGROUND,
    **choices: Any,
) -> Image.Image:
    """Draw a kernel as one image grid: `tiles(kernel, **choices).picture(...)`.

    Parameters
    ----------
    columns, gap, enlarge, background
        As in `Tiles.picture`; each weight is a square of `enlarge` pixels.
    **choices
        Keywords of `tiles`: scale, order, rgb, filters, inputs, limit, groups, colormap.

    Examples
    --------
    >>> tile(torch.randn(64, 3, 11, 11), enlarge=4).size
    (361, 361)
    """
    return tiles(kernel, **choices).picture(columns, gap, enlarge, background)


def matrix(
    kernel: torch.Tensor,
    *,
    order: Order = "stored",
    filters: Choice | None = None,
    inputs: Choice | None = None,
    groups: int = 1,
    percentile: float = 100.0,
    colormap: str = "RdBu_r",
) -> Tiles:
    """Draw a 1 x 1 kernel as the matrix it is: a row for each filter, a column for each input channel.

    Parameters
    ----------
    kernel : tensor, shape (out, in_per_group, 1, 1)
        Weights of a pointwise convolution.
    order, filters, inputs, groups, colormap
        As in `tiles`; the order is the order of the rows. With groups the matrix has zeros where no weight
        is, as the whole layer's matrix does.
    percentile
        Of the weights' sizes, where the colours end; larger weights share the last one, which `note` tells. A few
        large weights else make all others look like zero; 99 shows the structure.

    Returns
    -------
    Tiles
        One tile (1, rows, columns) on one scale, symmetric about zero. Its `rows` and `columns` name filters
        and inputs.

    Raises
    ------
    ValueError
        If the kernel is larger than 1 x 1 (use `tiles`), not four-dimensional, or a choice does not fit it.

    Examples
    --------
    >>> matrix(torch.randn(32, 96, 1, 1), order="norm").pixels.shape
    (1, 32, 96)
    """
    weights = _weights(kernel, groups)
    out, seen = weights.shape[:2]
    if weights.shape[2:] != (1, 1):
        size = " x ".join(map(str, weights.shape[2:]))
        raise ValueError(f"a matrix is drawn of a 1 x 1 kernel, this one is {size}; filters.tiles(...) draws it")
    dense = np.zeros((out, seen * groups), dtype=np.float32)
    reads = np.arange(seen) + _offset(np.arange(out), seen, out, groups)[:, None]
    np.put_along_axis(dense, reads, weights[:, :, 0, 0], axis=1)
    rows, note = _ordered(weights, order, filters)
    columns = pick(inputs, seen * groups, "input channel")
    limits = limits_of(dense[None], signed=True)
    finite = np.abs(weights[np.isfinite(weights)])
    if percentile < 100 and finite.size and (reach := float(np.percentile(finite, percentile))) > 0:
        limits = np.array([[-reach, reach]], dtype=np.float32)
        clipped = f"the {100 - percentile:g}% largest weights share the darkest colours"
        note = f"{note}; {clipped}" if note else clipped
    return from_values(
        dense[rows][:, columns][None],
        signed=True,
        limits=limits,
        colormap=colormap,
        names=(f"{len(rows)} filters x {len(columns)} inputs",),
        rows=rows,
        columns=columns,
        note=note,
    )


def norms(kernel: torch.Tensor) -> npt.NDArray[np.float64]:
    """L2 norm of each filter, shape (out,)."""
    return _norms(_weights(kernel, 1))


def ordering(kernel: torch.Tensor, order: Order = "similarity") -> npt.NDArray[np.int64]:
    """Stored indices of a kernel's filters in the order in which they are drawn.

    Parameters
    ----------
    kernel : tensor, shape (out, in_per_group, kh, kw)
        Weights of a two-dimensional convolution.
    order : {"stored", "norm", "similarity"}
        "norm": falling L2 norm. "similarity": leaves of an average-linkage tree over the cosine distances of
        the filters, turned so that the sum of distances between neighbours is least (Bar-Joseph, Gifford and
        Jaakkola 2001, "Fast optimal leaf ordering for hierarchical clustering"). Above 1,024 filters the
        tree's branches stay as they come, and `Tiles.note` says so. Filters that are zero or not finite are
        like no other and stand last.

    Returns
    -------
    ndarray of int64, shape (out,)
        Of equal norms the one stored first stands first.
    """
    return _ordered(_weights(kernel, 1), order, None)[0]


def _weights(kernel: torch.Tensor, groups: int) -> npt.NDArray[np.float32]:
    shape = tuple(kernel.shape)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"a kernel has shape (out, in, height, width), this one has {shape}; "
            "only two-dimensional convolutions are drawn, net.filters(layer) gives their kernels"
        )
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"{shape[0]} filters can't be shared out to groups={groups}; pass the convolution's groups")
    return as_floats(kernel)


def _is_rgb(weights: npt.NDArray[np.float32], rgb: bool | None, inputs: Choice | None, groups: int) -> bool:
    fits = weights.shape[1] == 3 and groups == 1 and inputs is None
    if rgb and not fits:
        raise ValueError(
            "rgb=True needs three input channels, one group and all inputs; "
            f"got {weights.shape[1]} input channels, groups={groups}, inputs={inputs!r}; "
            "rgb=False draws one tile for each input channel"
        )
    return fits if rgb is None else rgb


def _ordered(
    weights: npt.NDArray[np.float32], order: Order, filters: Choice | None
) -> tuple[npt.NDArray[np.int64], str]:
    """Chosen filters in order, and what is to be said about that order."""
    chosen = pick(filters, len(weights), "filter")
    if order == "stored":
        return chosen, ""
    if order == "norm":
        # a norm that is NaN sorts last
        return chosen[np.argsort(-_norms(weights[chosen]), kind="stable")], ""
    if order != "similarity":
        raise ValueError(f"order must be 'stored', 'norm' or 'similarity', not {order!r}")
    optimal = len(chosen) <= MOST_OPTIMALLY_ORDERED
    note = "" if optimal else f"{len(chosen):,} filters: neighbours look alike, but the order is not the best one"
    return chosen[_leaves(weights[chosen], optimal)], note


def _norms(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    flat = weights.reshape(len(weights), int(np.prod(weights.shape[1:]))).astype(np.float64)
    return np.linalg.norm(flat, axis=1)


def _leaves(weights: npt.NDArray[np.float32], optimal: bool) -> npt.NDArray[np.int64]:
    length = _norms(weights)
    usable = np.isfinite(length) & (length > 0)
    alike, others = np.flatnonzero(usable), np.flatnonzero(~usable)
    if len(alike) < 3:
        return np.concatenate([alike, others])
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    unit = weights[alike].reshape(len(alike), -1) / length[alike, None]
    distance = (1 - unit @ unit.T).clip(0)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=optimal)
    return np.concatenate([alike[leaves_list(tree)], others])


def _offset(which: npt.NDArray[np.int64], seen: int, out: int, groups: int) -> npt.NDArray[np.int64]:
    """First input channel that each filter reads: groups of filters read consecutive groups of channels."""
    return which // (out // groups) * seen


def _pairs(
    rows: npt.NDArray[np.int64], seen: int, out: int, groups: int, inputs: Choice | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Filter and slice of each tile, filter after filter; tiles of each filter, 1 where they differ."""
    chosen = pick(inputs, seen * groups, "input channel")
    slices = chosen[None] - _offset(rows, seen, out, groups)[:, None]
    row, column = np.nonzero((slices >= 0) & (slices < seen))
    if len(rows) and len(chosen) and not len(row):
        raise ValueError(f"none of the chosen filters reads input channels {chosen.tolist()} (groups={groups})")
    counts = np.unique(np.bincount(row)[np.unique(row)])
    return rows[row], slices[row, column], int(counts[0]) if len(counts) == 1 else 1


def _first(which: npt.NDArray[np.int64], limit: int | None, block: int) -> tuple[npt.NDArray[np.int64], str]:
    """First tiles within the limit, and what is to be said about the others."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    if limit is None or len(which) <= limit:
        return which, ""
    kept = limit // block * block if limit >= block else limit
    return which[:kept], f"the first {kept:,} of {len(which):,} tiles; filters=... and inputs=... choose others"


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)

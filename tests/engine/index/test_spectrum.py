"""Bins follow from the lowest and the highest value, counts are a histogram's, and an image for a level is of that level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz_widgets.engine.index.readings import COUNTED, levels, statistics
from cnnviz_widgets.engine.index.spectrum import BINS, NOBODY, Spectra, bins
from cnnviz_widgets.engine.index.table import Table
from cnnviz_widgets.engine.layers import Layer

from .test_table import Data, data, table_of

quickly = settings(max_examples=200, deadline=None, derandomize=True)
ENDS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-23, 1e-45, 3.4e38, -3.4e38, 2.0**-126]),
)


@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=8))
@quickly
def test_at_most_64_bins_and_at_least_32_unless_the_values_are_too_few_bits_apart(
    ends: list[tuple[float, float]],
) -> None:
    low, high = (torch.tensor([pick(pair) for pair in ends], dtype=torch.float32) for pick in (min, max))
    exponent, first = bins(low, high)
    width = np.ldexp(1.0, exponent.numpy())
    last = np.floor(high.double().numpy() / width).astype(np.int64)
    assert (first.numpy() == np.floor(low.double().numpy() / width)).all()
    used = last - first.numpy() + 1
    assert (used >= 1).all()
    assert (used <= BINS).all()
    for at, count in enumerate(used):
        size = max(abs(float(low[at])), abs(float(high[at])))
        finest = max(2.0 ** (np.frexp(size)[1] - 24), 2.0**-149)  # between neighbouring floats of that size
        assert count >= BINS // 2 or width[at] <= finest, (low[at], high[at])


def row_of(table: Table, unit: int) -> dict[str, np.ndarray]:
    arrays = table.arrays()
    return {name: arrays[name][unit] for name in COUNTED}


@given(data())
@quickly
def test_counts_are_numpys_over_the_told_edges(data: Data) -> None:
    table = table_of(data, dict(enumerate(data.shards)))
    layer = Layer("a", "Conv2d", (len(data.values), 2, 2))
    for unit, values in enumerate(data.values):
        told = statistics(layer[unit], row_of(table, unit))
        known = values[~np.isnan(values)].astype(np.float64)
        assert told.images == len(known) == told.counts.sum()
        assert told.dropped == len(values) - len(known)
        if not len(known):
            assert np.isnan([told.mean, told.deviation, told.fires, told.lowest, told.highest]).all()
            assert not told.counts.size
            assert np.isnan(told.share_below(0.0))
            continue
        edges = told.edges
        assert len(edges) == len(told.counts) + 1
        assert edges[0] <= known.min()
        assert known.max() < edges[-1]
        assert told.counts[0]
        assert told.counts[-1]
        # numpy's last bin is closed, ours is not
        expected = np.histogram(known, np.append(edges, np.inf))[0]
        assert expected[-1] == 0
        np.testing.assert_array_equal(told.counts, expected[:-1])
        width = edges[1] - edges[0]
        for value in known:
            below, near = (known < value - width).mean(), (known < value + width).mean()
            assert below - 1e-9 <= told.share_below(float(value)) <= near + 1e-9
        assert told.share_below(told.highest + abs(told.highest) + 1) == 1
        assert told.share_below(told.lowest - abs(told.lowest) - 1) == 0


@given(data(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
@quickly
def test_a_levels_image_lies_in_its_bin_and_so_many_images_do_not_outdo_it(data: Data, shares: list[float]) -> None:
    table = table_of(data, dict(enumerate(data.shards)))
    ranked = np.argsort(data.ranks)
    for unit, values in enumerate(data.values):
        known = values[~np.isnan(values)].astype(np.float64)
        found = list(levels(row_of(table, unit), shares))
        assert len(found) == (len(shares) if len(known) else 0)
        for asked, (share, low, high, rank) in zip(shares, found, strict=False):
            assert share == asked
            value = float(values[ranked[rank]])
            assert low <= value < high
            wanted = max(1, round(share * len(known)))
            assert (known < high).sum() >= wanted > (known < low).sum()
            inside = [int(data.ranks[n]) for n, v in enumerate(values.astype(np.float64)) if low <= v < high]
            assert rank == min(inside)


def test_the_ends_of_a_spectrum_are_the_strongest_and_the_weakest_image() -> None:
    spectra = Spectra.empty(1)
    values = torch.tensor([[3.0, -7.0, 0.0, 0.5, 3.0]])
    spectra.add(values, torch.tensor([4, 3, 2, 1, 0]))
    row = {**{name: values[0] for name, values in spectra.arrays().items()}, "seen": np.int64(5)}
    found = list(levels(row, (1.0, 0.5, 0.0)))
    assert [rank for *_, rank in found] == [0, 2, 3]
    with pytest.raises(ValueError, match=r"share 1\.5; expected 0"):
        list(levels(row, (1.5,)))


def test_zeros_alone_and_zeros_beside_huge_and_denormal_values() -> None:
    for row in ([0.0, -0.0], [0.0, 1e-45], [0.0, 3.4028235e38], [-3.4028235e38, 3.4028235e38], [1e-45, 3.4e38]):
        values = torch.tensor([row])
        together, apart = Spectra.empty(1), Spectra.empty(1)
        together.add(values, torch.tensor([0, 1]))
        apart.add(values[:, 1:], torch.tensor([1]))
        apart.add(values[:, :1], torch.tensor([0]))
        assert int(together.counts.sum()) == 2
        assert ((together.ranks < NOBODY) == (together.counts > 0)).all()
        for name, found in together.arrays().items():
            np.testing.assert_array_equal(found, apart.arrays()[name])

"""Tables of parts add up to the table of all, whatever the parts, their order, repetitions and the way they are added."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz_widgets.engine.index.spectrum import FIELDS
from cnnviz_widgets.engine.index.table import COLUMNS, NOTHING, OverlapError, Table, keys_of, read_keys

EXACT = tuple(name for name in COLUMNS if name not in ("mean", "squares"))
ODD = [0.0, -0.0, 1.0, 1.0, -1.0, 0.5, 1e-45, -1e-45, 1e-40, 3e-39, 1e-30, 3.4e38, -3.4e38, 2.0**-126, 16777216.0]
quickly = settings(max_examples=150, deadline=None, derandomize=True)


@dataclass
class Data:
    """Values (U, N) with NaN for none, positions alike, an order of ranks, and how it is cut into shards and batches."""

    values: np.ndarray
    positions: np.ndarray
    ranks: np.ndarray
    k: int
    shards: list[list[int]]
    batch: int


@st.composite
def data(draw: st.DrawFn) -> Data:
    units, images = draw(st.integers(1, 4)), draw(st.sampled_from([0, 1, 2, 3, 5, 12, 12, 40, 40]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["odd", "few", "zero", "normal", "near", "tiny", "falling"]))
    values = {
        "odd": lambda: random.choice(ODD, (units, images)),
        "few": lambda: random.integers(-2, 3, (units, images)) * 0.5,
        "zero": lambda: random.choice([0.0, -0.0], (units, images)),
        "normal": lambda: random.normal(size=(units, images)) * 10.0 ** random.integers(-40, 38, (units, 1)),
        "near": lambda: 1e6 + random.integers(0, 9, (units, images)) / 16,
        "tiny": lambda: random.integers(-40, 40, (units, images)) * 2.0**-149,
        "falling": lambda: np.sort(random.normal(size=(units, images)))[:, ::-1],
    }[kind]().astype(np.float32)
    if draw(st.booleans()):
        values[random.random(values.shape) < draw(st.sampled_from([0.2, 1.0]))] = np.nan
    order = random.permutation(images) if draw(st.booleans()) else np.arange(images)
    cuts = sorted(draw(st.lists(st.integers(0, images), max_size=5)))
    shards = [part.tolist() for part in np.split(order, cuts)]
    return Data(
        values,
        random.integers(0, 50, values.shape).astype(np.int32),
        random.permutation(images).astype(np.int32),
        draw(st.sampled_from([1, 2, 3, 9, 60])),
        shards,
        draw(st.sampled_from([1, 3, 64])),
    )


def table_of(data: Data, shards: dict[int, list[int]], floor: torch.Tensor | None = None) -> Table:
    """As `Measuring` makes it: batch by batch, and of the largest only those above what is known."""
    table = Table.empty(len(data.values), data.k)
    floor = torch.full((len(data.values),), NOTHING) if floor is None else floor
    for shard in shards.values():
        for at in range(0, len(shard), data.batch):
            numbers = np.array(shard[at : at + data.batch])
            values = torch.from_numpy(data.values[:, numbers])
            keys = keys_of(values, torch.from_numpy(numbers))
            above = keys > torch.maximum(floor, table.keys[:, -1])[:, None]
            rows = above.any(1).nonzero().flatten()
            positions = torch.where(above, torch.from_numpy(data.positions[:, numbers]), -1)
            table.enter(rows, torch.where(above, keys, NOTHING)[rows], positions[rows])
            dropped = torch.from_numpy(np.isnan(data.values[:, numbers]).sum(1))
            table.count(values, dropped, torch.from_numpy(data.ranks[numbers]))
    table.shards = frozenset(shards)
    return table


def check_same(table: Table, other: Table) -> None:
    one, two = table.arrays(), other.arrays()
    for name in EXACT:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    sizes = np.where(one["seen"] > 0, np.maximum(np.abs(one["low"]), np.abs(one["high"])), 0.0).astype(np.float64)
    assert (np.abs(one["mean"] - two["mean"]) <= 1e-6 * np.abs(two["mean"]) + 1e-12 * sizes).all()
    slack = 1e-6 * two["squares"] + 1e-12 * sizes**2 * np.maximum(one["seen"], 1)
    assert (np.abs(one["squares"] - two["squares"]) <= slack).all()
    assert table.images == other.images


@given(data())
@quickly
def test_a_table_is_what_sorting_all_values_gives(data: Data) -> None:
    numbers = [number for shard in data.shards for number in shard]
    table = table_of(data, dict(enumerate(data.shards)))
    values, found = read_keys(table.keys.numpy())
    for unit, row in enumerate(data.values):
        known = [number for number in numbers if not np.isnan(row[number])]
        best = sorted(known, key=lambda number: (-row[number], number))[: data.k]
        assert found[unit, : len(best)].tolist() == best
        assert found[unit, len(best) :].tolist() == [-1] * (data.k - len(best))
        assert values[unit, : len(best)].tolist() == row[best].tolist()
        assert table.positions[unit].tolist() == data.positions[unit, best].tolist() + [-1] * (data.k - len(best))
        told = row[known].astype(np.float64)
        assert table.seen[unit] == len(known)
        assert table.fired[unit] == (told > 0).sum()
        assert table.dropped[unit] == len(row) - len(known)
        if len(known):
            size = np.abs(told).max()
            assert abs(table.mean[unit] - told.mean()) <= 1e-12 * size
            assert abs(table.squares[unit] - told.var() * len(told)) <= 1e-10 * len(told) * size**2
            assert (table.spectra.low[unit], table.spectra.high[unit]) == (told.min(), told.max())
    assert table.images == len(numbers)


@given(data(), st.data())
@quickly
def test_shards_merge_in_any_order_any_tree_and_any_number_of_times(data: Data, draws: st.DataObject) -> None:
    whole = table_of(data, dict(enumerate(data.shards)))
    chosen = list(range(len(data.shards)))
    chosen += draws.draw(st.lists(st.sampled_from(chosen), max_size=3))
    tables = [table_of(data, {number: data.shards[number]}) for number in draws.draw(st.permutations(chosen))]
    while len(tables) > 1:
        one = tables.pop(draws.draw(st.integers(0, len(tables) - 1)))
        other = tables.pop(draws.draw(st.integers(0, len(tables) - 1)))
        if one.shards & other.shards and not (one.shards <= other.shards or other.shards <= one.shards):
            before = one.arrays()
            with pytest.raises(OverlapError, match="are in both tables"):
                one.merge(other)
            for name, values in before.items():
                np.testing.assert_array_equal(values, one.arrays()[name])
            # as whoever holds both would go on: the rest of the other one shard by shard
            for number in sorted(other.shards - one.shards):
                one.merge(table_of(data, {number: data.shards[number]}))
        else:
            untouched = pickle.dumps(other)
            one.merge(other)
            assert pickle.dumps(other) == untouched
        tables.append(one)
    check_same(tables[0], whole)
    assert tables[0].shards == frozenset(range(len(data.shards)))


@given(data(), st.data())
@quickly
def test_entries_that_earlier_shards_outdo_need_not_be_in_later_ones(data: Data, draws: st.DataObject) -> None:
    whole = table_of(data, dict(enumerate(data.shards)))
    table = Table.empty(len(data.values), data.k)
    floors = [table.keys[:, -1].clone()]
    for number in range(len(data.shards)):
        # a worker may have been told the floor of any earlier time
        floor = draws.draw(st.sampled_from(floors))
        table.merge(table_of(data, {number: data.shards[number]}, floor))
        floors.append(table.keys[:, -1].clone())
    check_same(table, whole)


@given(data())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_copies_and_pickles_are_the_same_and_change_alone(data: Data) -> None:
    table = table_of(data, dict(enumerate(data.shards)))
    for other in (table.copy(), pickle.loads(pickle.dumps(table))):
        check_same(other, table)
        assert other.shards == table.shards
        other.keys += 1
        other.spectra.counts += 1
        check_same(table, table_of(data, dict(enumerate(data.shards))))


FLOATS = st.floats(width=32, allow_nan=False)


@given(st.lists(st.tuples(st.one_of(FLOATS, st.sampled_from(ODD)), st.integers(0, 2**32 - 1)), min_size=2, max_size=20))
@quickly
def test_keys_are_ordered_as_larger_values_then_smaller_numbers(pairs: list[tuple[float, int]]) -> None:
    values, numbers = np.array([value for value, _ in pairs], np.float32), np.array([n for _, n in pairs], np.int64)
    keys = keys_of(torch.from_numpy(values), torch.from_numpy(numbers)).numpy()
    expected = sorted(range(len(pairs)), key=lambda at: (-values[at], numbers[at]))
    assert [(values[at], numbers[at]) for at in np.argsort(-keys, kind="stable")] == [
        (values[at], numbers[at]) for at in expected
    ]
    same = (values[:, None] == values) & (numbers[:, None] == numbers)
    assert ((keys[:, None] == keys) == same).all()
    assert (keys > NOTHING).all()
    read = read_keys(keys)
    np.testing.assert_array_equal(read[0], values)
    np.testing.assert_array_equal(read[1], numbers)
    assert not np.signbit(read[0][read[0] == 0]).any()


def test_nan_is_no_key_and_reads_as_nobody() -> None:
    keys = keys_of(torch.tensor([float("nan"), -float("nan")]), torch.tensor([0, 5]))
    assert keys.tolist() == [NOTHING, NOTHING]
    values, numbers = read_keys(keys.numpy())
    assert np.isnan(values).all()
    assert numbers.tolist() == [-1, -1]


def test_overlapping_tables_are_refused_and_say_which_shards() -> None:
    def covering(*shards: int) -> Table:
        table = Table.empty(2, 3)
        table.shards = frozenset(shards)
        return table

    one = covering(1, 2)
    with pytest.raises(OverlapError, match=r"\[2\] are in both"):
        one.merge(covering(2, 3))
    assert one.shards == {1, 2}
    one.merge(covering(2))
    assert one.shards == {1, 2}
    one.merge(covering(1, 2, 5))
    assert one.shards == {1, 2, 5}


def test_arrays_name_all_that_is_stored() -> None:
    arrays: dict[str, Any] = Table.empty(3, 2).arrays()
    assert tuple(arrays) == COLUMNS
    assert set(FIELDS) < set(COLUMNS)
    assert all(len(values) == 3 for values in arrays.values())

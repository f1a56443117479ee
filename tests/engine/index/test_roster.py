"""The images of a set by number, rank and shard, which depend on their ids alone and not on the order of the set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index.roster import Roster
from tests.engine.index import builds

NAMES = st.text() | st.binary().map(lambda data: data.decode(errors="surrogateescape"))
ROSTERS = st.dictionaries(NAMES, st.text(max_size=3)).map(
    lambda known: Roster(tuple(sorted(known)), tuple(known[name] for name in sorted(known)))
)


@given(ROSTERS, st.integers(1, 9))
def test_shards_take_each_image_once_and_follow_the_ranks(roster: Roster, size: int) -> None:
    shards = roster.shards(size, size)
    count = len(roster.ids)
    assert [len(shard) for shard in shards[:-1]] == [size] * (len(shards) - 1)
    assert len(shards) == max(1, -(-count // size))
    assert sorted(np.concatenate(shards).tolist()) == list(range(count))
    ranks = roster.ranks.numpy()
    assert ranks[roster.order].tolist() == list(range(count))
    for number, shard in enumerate(shards):
        assert sorted(ranks[shard].tolist()) == list(range(number * size, number * size + len(shard)))
        assert shard.tolist() == sorted(shard.tolist())


@given(st.integers(0, 300), st.integers(1, 4), st.integers(5, 12))
def test_large_shards_grow_to_their_size(count: int, batch: int, batches: int) -> None:
    roster = Roster(tuple(f"{number:03}" for number in range(count)), ("",) * count)
    shards, size = roster.shards(batch * batches, batch), batch
    for shard in shards[:-1]:
        assert len(shard) == size
        size = min(batch * batches, 2 * size)
    assert 0 < len(shards[-1]) <= size or count == 0
    numbers = np.concatenate(shards)
    assert sorted(numbers.tolist()) == list(range(count))
    # one after the other by rank, whatever their sizes
    ends = np.cumsum([len(shard) for shard in shards]).tolist()
    for shard, start, stop in zip(shards, [0, *ends], ends, strict=False):
        assert sorted(roster.ranks.numpy()[shard].tolist()) == list(range(start, stop))


@given(st.permutations(list(builds.named(12).items())))
def test_the_order_of_the_set_does_not_matter(items: list[tuple[str, Any]]) -> None:
    images = builds.set_of(dict(items))
    roster, known = Roster.of(images), Roster.of(builds.images(12))
    assert roster == known
    assert roster.digest == known.digest
    assert roster.order.tolist() == known.order.tolist()
    assert [images.ids[place] for place in roster.in_set(images)] == list(roster.ids)


def test_the_first_shard_of_a_sorted_set_is_a_fair_sample() -> None:
    roster = Roster(tuple(f"class {number // 100}/{number:04}" for number in range(1000)), ("",) * 1000)
    first = [roster.ids[number] for number in roster.shards(200, 50)[0]]
    counts = [sum(name.startswith(f"class {number}/") for name in first) for number in range(10)]
    assert sum(counts) == 200
    assert 8 <= min(counts) <= max(counts) <= 34  # 20 of each, give or take three deviations


@given(ROSTERS, st.data())
def test_any_change_changes_the_digest_and_is_told(roster: Roster, data: st.DataObject) -> None:
    known = dict(zip(roster.ids, roster.fingerprints, strict=True))
    new = data.draw(NAMES.filter(lambda name: name not in known))
    cases = [({**known, new: "1"}, "1 new")]
    if known:
        name = data.draw(st.sampled_from(sorted(known)))
        cases += [({**known, name: known[name] + "1"}, "1 changed")]
        cases += [({one: mark for one, mark in known.items() if one != name}, "1 gone")]
    for changed, expected in cases:
        other = Roster(tuple(sorted(changed)), tuple(changed[name] for name in sorted(changed)))
        assert other.digest != roster.digest
        told = roster.changes(other)
        assert told.startswith(expected)
        assert told.isprintable()
    assert roster.changes(roster) == ""


def test_fingerprints_that_change_places_change_the_digest() -> None:
    assert Roster(("a", "b"), ("1", "2")).digest != Roster(("a", "b"), ("2", "1")).digest
    assert Roster(("a", "b"), ("", "")).digest != Roster(('a", "b',), ("",)).digest


def test_of_many_changes_three_are_named() -> None:
    known = Roster((), ())
    other = Roster(tuple(f"{number}.png" for number in range(5)), ("",) * 5)
    assert known.changes(other) == "5 new (0.png, 1.png, 2.png, ...)"
    assert other.changes(known) == "5 gone (0.png, 1.png, 2.png, ...)"


def test_an_id_that_stands_twice_is_refused() -> None:
    images = builds.images(2)
    twice = ImageSet.__new__(ImageSet)
    twice.__dict__.update(images.__dict__, ids=("a", "a"))
    with pytest.raises(ValueError, match="the id 'a' stands twice among the images; give each its own"):
        Roster.of(twice)

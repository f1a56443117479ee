"""Images are decoded ahead of use, but not far, and in their order, faults and all."""

from __future__ import annotations

import threading

import pytest
import torch

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index.loading import AHEAD, batches
from cnnviz_widgets.engine.input_spec import InputSpec
from tests.engine.pictures import colours, counted

SPEC = InputSpec((3, 16, 16), mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_no_more_than_some_batches_wait_to_be_used(workers: int | None) -> None:
    images, openers = counted(40)
    loaded = batches(images, range(40), SPEC, 4, workers=workers)
    for used in range(1, 6):
        next(loaded)
        assert 4 * used <= sum(one.opened for one in openers) <= 4 * (used + AHEAD)
    loaded.close()  # type: ignore[attr-defined]
    assert sum(one.opened for one in openers) <= 4 * (5 + AHEAD)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cnnviz-decoding")]
    assert max(one.opened for one in openers) == 1


def test_images_keep_their_places_and_a_fault_leaves_a_neutral_one() -> None:
    good = ImageSet.of([colours(seed=seed) for seed in range(7)])
    bad = ImageSet.from_paths(["/nowhere/a.png"])
    ids = (*good.ids[:5], "bad", *good.ids[5:])
    images = ImageSet(ids, ids, (*good.openers[:5], *bad.openers, *good.openers[5:]))
    numbers = [30, 31, 32, 33, 34, 35, 36, 37]
    found = list(batches(images, numbers, SPEC, 3, thumbnail=20))
    assert [len(batch.images) for batch in found] == [3, 3, 2]
    assert [batch.numbers for batch in found] == [[30, 31, 32], [33, 34], [36, 37]]
    assert [batch.places for batch in found] == [[0, 1, 2], [0, 1], [0, 1]]
    assert [list(batch.faults) for batch in found] == [[], [35], []]
    assert "no file" in found[1].faults[35]
    assert [len(batch.thumbnails) for batch in found] == [3, 2, 2]
    assert [[middle.shape for middle in batch.squares] for batch in found] == [[(16, 16, 3)] * n for n in (3, 2, 2)]
    assert torch.equal(found[1].images[2], SPEC.neutral_image().expand(SPEC.size))
    for batch in found:
        for place, number in zip(batch.places, batch.numbers, strict=True):
            assert torch.equal(batch.images[place], images.prepare(number - 30, SPEC))
            assert batch.images.dtype == torch.float32


def test_other_errors_than_broken_images_are_raised() -> None:
    images, openers = counted(9)

    def interrupted() -> None:
        raise KeyError("a mistake of ours")

    openers[4].open = interrupted  # type: ignore[method-assign]
    loaded = batches(images, range(9), SPEC, 2)
    assert len(next(loaded).images) == 2
    with pytest.raises(KeyError, match="a mistake"):
        list(loaded)
    assert list(batches(images, [], SPEC, 2)) == []

"""What an index keeps for each image: row by row, from memory and from files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.engine import store
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex, archive
from cnnviz_widgets.engine.index.parts import Parts
from cnnviz_widgets.engine.thumbnails import square
from tests.engine.index import builds

LAYERS = ["4", "0"]
COUNT = 70
"""More shards of one image than files are open at a time."""


@pytest.fixture(scope="module")
def coloured() -> ImageSet:
    """Images of one colour each, one of them broken."""
    arrays = {f"{number:02}": np.full((9, 12), 3 * number, np.uint8) for number in range(COUNT)}
    return builds.set_of({**arrays, "33": b"no image"})


def test_rows_are_the_same_from_files_and_from_memory(tmp_path: Path, coloured: ImageSet) -> None:
    net = builds.network()
    options = {"given": coloured, "features": LAYERS, "shard": 1, "batch": 1}
    files, memory = builds.build(tmp_path, net, **options), builds.build(None, net, **options)
    assert (len(files.parts), len(memory.parts)) == (COUNT, COUNT)
    assert files.parts.numbers.tolist() == memory.parts.numbers.tolist()
    assert sorted(files.parts.numbers) == [number for number in range(COUNT) if number != 33]
    for layer, channels in zip(LAYERS, (3, 3), strict=True):
        features = files.parts.features(layer)
        assert (features.shape, features.dtype) == ((COUNT - 1, channels), np.float32)
        np.testing.assert_array_equal(features, memory.parts.features(layer))
        np.testing.assert_array_equal(features, np.concatenate(list(files.parts.blocks(layer))))
        for row in (0, 1, 40, COUNT - 2):
            np.testing.assert_array_equal(files.parts.feature(layer, row), features[row])
            np.testing.assert_array_equal(memory.parts.feature(layer, row), features[row])
    assert not np.array_equal(files.parts.features("4"), files.parts.features("0"))


@pytest.mark.parametrize("shard", [1, 8])
def test_each_image_has_its_thumbnail_in_a_file(tmp_path: Path, coloured: ImageSet, shard: int) -> None:
    index = builds.build(tmp_path, given=coloured, shard=shard, batch=1)
    for row, number in enumerate(index.parts.numbers):
        picture = Image.open(io.BytesIO(index.parts.thumbnail(row)))
        assert picture.size == (12, 9)
        assert np.asarray(picture).mean() == pytest.approx(3 * number, abs=2)
    assert builds.build(None, given=coloured, shard=shard, batch=1).parts.thumbnail(0) == b""


def test_the_middles_of_the_thumbnails_come_in_the_order_of_the_ids(tmp_path: Path, coloured: ImageSet) -> None:
    net = builds.network()
    built = builds.build(tmp_path, net, coloured)
    small = built.small_thumbnails()
    assert small is not None
    assert (small.shape, small.dtype) == ((COUNT - 1, 16, 16, 3), np.uint8)
    for name, middle in zip(built.ids, small, strict=True):
        np.testing.assert_array_equal(middle, square(built.thumbnail_data(name)))
    assert len({middle.tobytes() for middle in small}) > COUNT / 2
    np.testing.assert_array_equal(ActivationIndex.open(tmp_path, net, coloured).small_thumbnails(), small)
    turned = coloured.subset(list(reversed(coloured.ids)))
    np.testing.assert_array_equal(ActivationIndex.open(tmp_path, net, turned).small_thumbnails(), small[::-1])
    assert builds.build(None, net, coloured).small_thumbnails() is None


def test_the_middles_of_an_index_that_is_not_complete(tmp_path: Path, coloured: ImageSet) -> None:
    for progress in builds.building(tmp_path, given=coloured):
        index = progress.result
        small = index.small_thumbnails()
        assert small.shape == (len(index.ids), 16, 16, 3)
        if progress.done > 20:
            break
    assert 0 < len(small) < COUNT
    np.testing.assert_array_equal(small[-1], square(index.thumbnail_data(index.ids[-1])))


def test_an_index_from_before_there_were_middles_has_none(
    tmp_path: Path, coloured: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, arrays = builds.network(), archive._part_arrays
    with monkeypatch.context() as former:
        former.setattr(archive, "_part_arrays", lambda part: {k: v for k, v in arrays(part).items() if k != "squares"})
        for progress in builds.building(tmp_path, net, coloured):
            if progress.done > 20:
                break
    assert progress.result.small_thumbnails() is None
    whole = builds.build(tmp_path, net, coloured)
    assert whole.complete
    assert whole.small_thumbnails() is None
    assert whole.thumbnail_data(whole.ids[-1])


def test_a_file_is_compared_with_its_digest_once(
    tmp_path: Path, coloured: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = builds.network()
    builds.build(tmp_path, net, coloured, shard=1, batch=1, features=["4"])
    compared: list[str] = []
    original = store._digest_of_file
    monkeypatch.setattr(store, "_digest_of_file", lambda path: compared.append(path.name) or original(path))
    parts = ActivationIndex.open(tmp_path, net, coloured).parts
    compared.clear()
    for _ in range(2):
        list(parts.blocks("4"))
        parts.thumbnail(0)
    assert len(compared) == len(set(compared)) == COUNT


def test_of_no_shards_there_are_no_rows() -> None:
    parts = Parts()
    assert (len(parts), parts.numbers.shape, parts.features("any").shape) == (0, (0,), (0, 0))
    assert list(parts.blocks("any")) == []

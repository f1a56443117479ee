"""Answers as one picture: the winners that still answer so, and queries beside their neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets import ActivationIndex, ImageSet
from tests.engine.index.builds import build, network, pixels, settings


@pytest.fixture
def index() -> ActivationIndex:
    return build(None)


def at(sheet: Image.Image, row: int, column: int, side: int) -> np.ndarray:
    """The picture in a place of a sheet."""
    band = max(18, side // 9)
    left, top = column * (side + 6), row * (side + band + 6) + band
    return np.asarray(sheet.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("crops", [False, True])
def test_winners_in_order(index: ActivationIndex, crops: bool) -> None:
    unit = index.network["0"][1]
    sheet = index.sheet(unit, crops=crops, side=96, columns=3)
    assert sheet.size == (3 * 102 - 6, 96 + 18)
    for column, one in enumerate(index.examine(unit)):
        expected = (one.crop(96) if crops else one.whole(96)).picture.convert("RGB")
        assert np.array_equal(at(sheet, 0, column, 96), np.asarray(expected))


def test_what_changed_since_is_left_out(index: ActivationIndex) -> None:
    with torch.no_grad():
        index.network.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    with pytest.raises(ValueError, match="no image of the collection to show for 0\\[1\\]"):
        index.sheet(index.network["0"][1])


def test_queries_beside_their_neighbours(index: ActivationIndex) -> None:
    ids = list(index.ids[:2])
    found = index.neighbors(ids, k=3)
    sheet = index.neighbor_sheet(found, side=64)
    assert sheet.size == (4 * 70 - 6, 2 * (64 + 18 + 6) - 6)
    for row, id in enumerate(ids):
        for column, shown in enumerate([id, *found.ids[row]]):
            small = index.images.thumbnail(shown).convert("RGB").resize((64, 64), Image.Resampling.NEAREST)
            assert np.array_equal(at(sheet, row, column, 64), np.asarray(small))


def test_queries_of_one_s_own_are_given_again(index: ActivationIndex) -> None:
    own = pixels(2)
    found = index.neighbors(own, k=2)
    with pytest.raises(ValueError, match="'query 0' is not of the collection; give the pictures"):
        index.neighbor_sheet(found)
    with pytest.raises(ValueError, match="1 queries were given for 2 rows"):
        index.neighbor_sheet(found, own[:1])
    sheet = index.neighbor_sheet(found, own, side=64)
    assert at(sheet, 1, 0, 64)[::8, ::8, 0].tolist() == own[1].tolist()


def test_fewer_neighbours_than_asked_for() -> None:
    few = ActivationIndex.build(network(), pixels(2), **settings())
    assert few.neighbor_sheet(few.neighbors(["0"], k=5), side=32).size == (3 * 38 - 6, 32 + 18)


def test_a_deleted_file_is_grey(tmp_path: Path) -> None:
    for number, values in enumerate(pixels(4)):
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    index = ActivationIndex.build(network(), ImageSet.from_folder(tmp_path), **settings())
    found = index.neighbors(["0.png"], k=3, without_itself=True)
    (tmp_path / found.ids[0][0]).unlink()
    sheet = index.neighbor_sheet(found, side=64)
    assert np.unique(at(sheet, 0, 1, 64)).tolist() == [211]
    assert len(np.unique(at(sheet, 0, 2, 64))) > 1

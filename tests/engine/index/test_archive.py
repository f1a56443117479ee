"""An index on disk: found where it fits, told where it is damaged, and nothing of another one is mixed in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.building import Build
from cnnviz_widgets.engine.store import StoreError
from tests.engine.index import builds


def folders(path: Path) -> list[Path]:
    return sorted(file.parent for file in path.glob("*/recipe.json"))


def test_another_network_has_a_folder_of_its_own(tmp_path: Path) -> None:
    builds.build(tmp_path / "one")
    builds.build(tmp_path / "both")
    first = builds.contents(tmp_path / "both")
    with builds.counted() as measured:
        builds.build(tmp_path / "both", builds.network(seed=1))
    assert len(measured) == builds.SHARDS
    assert len(folders(tmp_path / "both")) == 2
    assert builds.contents(tmp_path / "one") == first
    assert first.items() <= builds.contents(tmp_path / "both").items()
    with pytest.raises(StoreError, match="of other weights or preprocessing"):
        ActivationIndex.open(tmp_path / "one", builds.network(seed=1), builds.images())


def test_the_same_weights_in_another_module_are_another_network(tmp_path: Path) -> None:
    own = builds.module()
    builds.build(tmp_path, builds.network_of(own), layers=["5"])
    other = copy.deepcopy(own)
    other[2] = nn.Hardswish()
    with pytest.raises(StoreError, match="of another module with the same weights"):
        ActivationIndex.open(tmp_path, builds.network_of(other), builds.images())
    padded = copy.deepcopy(own)
    padded[1].eps = 0.1
    with builds.counted() as measured:
        builds.build(tmp_path, builds.network_of(padded), layers=["5"])
    assert len(measured) == builds.SHARDS


def test_changed_images_are_noticed_and_told(tmp_path: Path) -> None:
    arrays = builds.named()
    net = builds.network()
    builds.build(tmp_path, net, builds.set_of(arrays))
    first, second, *_ = arrays
    changed = {"new\nimage": arrays[first], **arrays, second: 255 - arrays[second]}
    del changed[first]
    other = builds.set_of(changed)
    with pytest.raises(StoreError) as told:
        ActivationIndex.open(tmp_path, net, other)
    assert rf"of other images: 1 new ('new\nimage'), 1 gone ({first}), 1 changed ({second!r})" in str(told.value)
    str(told.value).encode()  # it can be printed
    before = builds.contents(tmp_path)
    *_, last = builds.building(tmp_path, net, other)
    assert last.told == "The folder also holds 1 other index (1 of other images), left as they are."
    assert before.items() <= builds.contents(tmp_path).items()
    builds.same(last.result, builds.build(None, net, other))
    builds.same(ActivationIndex.open(tmp_path, net, other), last.result)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number, array in enumerate(builds.pixels(8)):
        Image.fromarray(array).save(photographs / f"{number}.png")
    net = builds.network()
    builds.build(tmp_path / "index", net, ImageSet.from_folder(photographs))
    Image.fromarray(builds.pixels(9)[8]).save(photographs / "3.png")
    with pytest.raises(StoreError, match=r"1 changed \(3\.png\)"):
        ActivationIndex.open(tmp_path / "index", net, ImageSet.from_folder(photographs))


@pytest.mark.parametrize(
    "other", [{"k": 2}, {"pool": "mean"}, {"shard": 16}, {"layers": ["0"]}, {"features": ["0"]}], ids=str
)
def test_other_settings_have_a_folder_of_their_own(tmp_path: Path, other: dict[str, Any]) -> None:
    builds.build(tmp_path)
    before = builds.contents(tmp_path)
    built = builds.build(tmp_path, **other)
    assert len(folders(tmp_path)) == 2
    assert before.items() <= builds.contents(tmp_path).items()
    builds.same(built, builds.build(None, **other))


def broken(ids: list[str]) -> ImageSet:
    return builds.set_of({**builds.named(), **dict.fromkeys(ids, b"no image")})


def test_a_broken_image_changes_no_other_one(tmp_path: Path) -> None:
    net = builds.network()
    bad = list(builds.named())[7]
    whole = builds.build(tmp_path / "whole", net)
    built = builds.build(tmp_path / "broken", net, broken([bad]))
    assert [fault.id for fault in built.faults] == [bad]
    row = whole.ids.index(bad)
    assert (*whole.ids[:row], *whole.ids[row + 1 :]) == built.ids
    for name in [layer.name for layer in built.plan.features]:
        features = torch.from_numpy(whole.features(name))
        assert torch.equal(torch.cat([features[:row], features[row + 1 :]]), torch.from_numpy(built.features(name)))
    unit = net["0"][1]
    others = [match for match in whole.top_images(unit, k=3) if match.id != bad]
    assert built.top_images(unit, k=len(others)) == others


@pytest.mark.parametrize("count", [0, 1])
def test_an_index_of_few_images(tmp_path: Path, count: int) -> None:
    given = builds.images(count) if count else ImageSet((), (), ())
    net = builds.network()
    built = builds.build(tmp_path, net, given)
    assert built.complete
    assert built.features().shape == (count, 3)
    assert len(built.top_images(net["0"][0])) == count
    builds.same(ActivationIndex.open(tmp_path, net, given), built)
    builds.same(builds.build(None, net, given), built)


def test_an_index_of_broken_images_alone(tmp_path: Path) -> None:
    net, given = builds.network(), broken(list(builds.named()))
    built = builds.build(tmp_path, net, given)
    assert len(built.faults) == builds.COUNT
    assert (built.complete, built.measured, built.top_images(net["0"][0])) == (True, 0, [])
    builds.same(ActivationIndex.open(tmp_path, net, given), built)


def damage(file: Path, place: int = -3) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("file", ["done.json", "table-000005.safetensors", "part-000002.safetensors"])
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_damage_is_told_and_never_built_upon(tmp_path: Path, file: str, how: str) -> None:
    net, images = builds.network(), builds.images()
    builds.build(tmp_path, net, images)
    where = folders(tmp_path)[0] / file
    if how == "changed":
        damage(where, where.read_bytes().index(b"40") if file == "done.json" else -3)  # how many images there were
    elif how == "cut":
        where.write_bytes(where.read_bytes()[:-5])
    else:
        where.unlink()
    if (file, how) == ("done.json", "gone"):
        with builds.counted() as measured:
            builds.build(tmp_path, net, images)
        assert len(measured) == builds.SHARDS
        return

    def use() -> None:
        index = ActivationIndex.open(tmp_path, net, images)
        index.features()

    with pytest.raises(StoreError, match=f"{file}.*is damaged.*build again"):
        use()
    if (file, how) != ("part-000002.safetensors", "changed"):  # a build reads no parts, and sees to their lengths alone
        with pytest.raises(StoreError, match=f"{file}.*is damaged.*build again"):
            builds.build(tmp_path, net, images)


@pytest.mark.parametrize("file", ["recipe.json", "images.json"])
def test_what_follows_from_network_and_images_is_written_again_where_it_is_damaged(tmp_path: Path, file: str) -> None:
    net, images = builds.network(), builds.images()
    builds.build(tmp_path, net, images)
    before = builds.contents(tmp_path)
    where = folders(tmp_path)[0] / file
    damage(where, where.read_bytes().index(b"8" if file == "recipe.json" else b"birds"))
    with builds.counted() as measured:
        builds.build(tmp_path, net, images)
    assert measured == []
    assert builds.contents(tmp_path) == before


def test_a_damaged_recipe_is_told_where_it_is_all_there_is(tmp_path: Path) -> None:
    net, images = builds.network(), builds.images()
    builds.build(tmp_path, net, images)
    (folders(tmp_path)[0] / "recipe.json").write_text("{")
    with pytest.raises(StoreError, match=r"recipe\.json.*is damaged"):
        ActivationIndex.open(tmp_path, net, images)


def test_one_damaged_index_does_not_hide_another_that_fits(tmp_path: Path) -> None:
    net, images = builds.network(), builds.images()
    bad = builds.build(tmp_path, net, images).path
    good = builds.build(tmp_path, net, images, k=2)
    assert bad is not None
    damage(bad / "done.json")
    builds.same(ActivationIndex.open(tmp_path, net, images), good)


def test_finding_the_path_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StoreError, match="give the path of a folder"):
        builds.build(tmp_path / "file")
    with pytest.raises(StoreError, match="no index at"):
        ActivationIndex.open(tmp_path / "file", builds.network(), builds.images())


def test_the_shards_are_a_fair_sample_in_whatever_order_the_images_come(tmp_path: Path) -> None:
    arrays = builds.named()
    backwards = dict(reversed(arrays.items()))
    net = builds.network()
    builds.build(tmp_path / "one", net, builds.set_of(arrays))
    builds.build(tmp_path / "other", net, builds.set_of(backwards))
    assert builds.contents(tmp_path / "one") == builds.contents(tmp_path / "other")
    build = Build(
        net, builds.set_of(arrays), builds.build(None, net).plan, path=None, workers=1, device=None, threads=None
    )
    assert [len(shard) for shard in build.shards] == [builds.SHARD] * builds.SHARDS
    assert sorted(number for shard in build.shards for number in shard) == list(range(builds.COUNT))

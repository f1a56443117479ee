"""The samples: real photographs and, of them, as many crops as wanted."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnnviz_widgets.engine import cropping, photographs
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.openers import CropOpener, FileOpener, GivenOpener

FIRST = ("chelsea", "coffee", "astronaut", "rocket", "motorcycle_left", "flower", "china")


def test_samples_are_real_photographs() -> None:
    samples = ImageSet.samples()
    assert samples.ids[:7] == FIRST
    assert len(set(samples.ids)) == len(samples) == len(set(samples.labels)) == 9
    assert all(picture.mode == "RGB" and min(picture.size) >= 300 for picture in samples)
    assert samples.labels[samples.number("chelsea")] == "a cat"
    assert not samples.labelled


def test_samples_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    real = photographs.importlib.util.find_spec
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None if name == "skimage" else real(name))
    assert ImageSet.samples().ids == ("flower", "china", "grace_hopper")
    assert len(ImageSet.samples(300)) == 300


@pytest.mark.parametrize("n", [1, 2, 7, 9, 13, 14, 15, 16, 27, 28, 100, 999, 6400, 20000])
def test_any_number_of_samples(n: int) -> None:
    samples = ImageSet.samples(n)
    whole = photographs.photographs(grey=True)
    assert len(samples) == len(set(samples.ids)) == n
    assert samples.ids[:14] == tuple(one.id for one in whole)[:n]
    assert samples.labels[:14] == tuple(one.label for one in whole)[:n]
    counts = Counter(samples.labels)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert samples.labelled == (n > 14)
    for name, label, opener in zip(samples.ids[14:], samples.labels[14:], samples.openers[14:], strict=True):
        assert isinstance(opener, CropOpener)
        top, left, bottom, right = opener.box
        assert name == f"{name.split('@')[0]}@{top},{left},{bottom},{right}"
        assert label == next(one.label for one in whole if one.id == name.split("@")[0])
        assert bottom - top == right - left >= 48
    assert ImageSet.samples(n).ids == samples.ids


def test_samples_show_what_their_ids_say() -> None:
    samples = ImageSet.samples(300)
    for name, picture in zip(samples.ids[14::13], list(samples)[14::13], strict=True):
        whole, box = name.split("@")
        top, left, bottom, right = map(int, box.split(","))
        assert picture.tobytes() == samples[whole].crop((left, top, right, bottom)).tobytes()
        assert re.fullmatch(r"\w+@\d+,\d+,\d+,\d+", name)


def test_thousands_of_samples_read_no_pixels_and_decode_each_photograph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()
    real = FileOpener.open

    def counting(self: FileOpener) -> object:
        opened[self.path] += 1
        return real(self)

    monkeypatch.setattr(FileOpener, "open", counting)
    samples = ImageSet.samples(6400)
    assert not opened
    crops = samples[14:]
    with ThreadPoolExecutor(4) as pool:
        # in no order, as an index goes through them
        sizes = list(pool.map(lambda number: crops[number].size, np.random.default_rng(0).permutation(len(crops))))
    assert len(sizes) == 6386
    assert set(opened.values()) == {1}
    assert len(opened) == 14


@pytest.mark.parametrize("n", [0, -1])
def test_no_samples(n: int) -> None:
    with pytest.raises(ValueError, match="expected at least one image"):
        ImageSet.samples(n)


def test_half_a_sample() -> None:
    with pytest.raises(TypeError):
        ImageSet.samples(2.5)  # type: ignore[arg-type]


# crops of any set


@pytest.mark.parametrize("size", [(48, 48), (48, 60), (50, 300), (100, 100), (301, 451), (427, 640)])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 50, 400])
@pytest.mark.parametrize("largest", [1.0, 0.5**0.5])
def test_crops_are_different_and_lie_within(size: tuple[int, int], count: int, largest: float) -> None:
    height, width = size
    if count > cropping.room(height, width, largest):
        with pytest.raises(ValueError, match=f"{count} crops of {height} × {width} pixels; there are"):
            cropping.boxes(height, width, count, largest)
        return
    found = cropping.boxes(height, width, count, largest)
    assert len(set(found)) == len(found) == count
    for top, left, bottom, right in found:
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert bottom - top == right - left >= 48
    sides = [bottom - top for top, _, bottom, _ in found]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == max(48, round(min(size) * largest))


def test_all_crops_that_there_are() -> None:
    assert len(set(cropping.boxes(50, 52, cropping.room(50, 52)))) == cropping.room(50, 52) == 3 + 3 * 5


def test_crops_overlap_by_half_and_cover_the_image() -> None:
    found = cropping.boxes(400, 600, 300)
    seen = np.zeros((400, 600), int)
    for top, left, bottom, right in found:
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 3
    assert len({bottom - top for top, _, bottom, _ in found}) >= 5
    second = [box for box in found if box[2] - box[0] == 283]
    rows, columns = ({box[side] for box in second} for side in (0, 1))
    assert len(second) == len(rows) * len(columns)
    assert max(np.diff(sorted(columns))) <= 283 / 2


def numbered_pixels(height: int, width: int, start: int = 0) -> np.ndarray:
    """Every pixel has a colour of its own."""
    numbers = np.arange(start, start + height * width)
    return np.stack([numbers >> 16, (numbers >> 8) & 255, numbers & 255], -1).astype(np.uint8).reshape(height, width, 3)


def pixels_of(images: ImageSet) -> set[int]:
    parts = [np.asarray(image).astype(int).reshape(-1, 3) @ [65536, 256, 1] for image in images]
    return set(np.concatenate(parts).tolist())


@pytest.mark.parametrize("size", [(101, 151), (97, 200), (150, 163)])
@pytest.mark.parametrize("cut", [0.5, 1 / 3, 0.61])
def test_crops_of_disjoint_regions_share_no_pixel(size: tuple[int, int], cut: float) -> None:
    images = ImageSet.from_arrays([numbered_pixels(*size), numbered_pixels(*size, start=size[0] * size[1])])
    if min(cut, 1 - cut) * size[1] < 48:
        with pytest.raises(ImageError, match="48"):
            _ = images.crops(20, (0, 0, 1, cut)), images.crops(20, (0, cut, 1, 1))
        return
    left, right = images.crops(20, (0, 0, 1, cut)), images.crops(20, (0, cut, 1, 1))
    assert len(left) == len(right) == 20
    assert not set(left.ids) & set(right.ids)
    assert not pixels_of(left) & pixels_of(right)
    assert pixels_of(left) | pixels_of(right) <= pixels_of(images)


def test_crops_keep_labels_and_are_shared_out() -> None:
    images = ImageSet.from_arrays([numbered_pixels(50, 50), numbered_pixels(400, 400)], labels=["small", "large"])
    crops = images.crops(100)
    assert Counter(crops.labels) == {"small": 10, "large": 90}
    assert crops.ids[0] == "0@0,0,50,50"
    assert crops[0].shape == (50, 50, 3)
    assert crops.crops(120).labels.count("small") >= 10
    assert images.crops(3, (0.25, 0.25, 1, 1)).faults[0].id == "0"


def test_crops_of_arrays_and_of_broken_images() -> None:
    images = ImageSet.of([np.zeros((60, 60), np.uint8), "gone.png", np.zeros((20, 90), np.uint8)])
    crops = images.crops(3)
    assert crops.labels == ("image 0",) * 3
    assert [fault.id for fault in crops.faults] == ["1", "2"]
    assert "no file" in crops.faults[0].reason
    assert "has 20 × 90 pixels; a crop has at least 48 × 48" in crops.faults[1].reason
    with pytest.raises(ImageError, match=r"5 crops were asked for, and 0 different ones .* 1 image; .*20 × 90"):
        images[2:].crops(5)


def test_more_crops_than_there_are() -> None:
    images = ImageSet.from_arrays(np.zeros((1, 49, 49), np.uint8))
    assert len(images.crops(5)) == 5
    with pytest.raises(
        ImageError, match="6 crops were asked for, and 5 different ones of 48 pixels or more fit into 1 im"
    ):
        images.crops(6)
    with pytest.raises(ValueError, match=r"1 crops of 2 images; .*images\[:1\].crops\(1\)"):
        ImageSet.from_arrays(np.zeros((2, 49, 49), np.uint8)).crops(1)
    with pytest.raises(ValueError, match="n=0; expected at least one"):
        images.crops(0)
    with pytest.raises(ImageError, match="fit into 0 images"):
        ImageSet.of([]).crops(1)


@pytest.mark.parametrize(
    "region", [(0, 0, 1), (0, 0, 0, 1), (0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 2), "left", None, 3]
)
def test_regions_that_are_none(region: object) -> None:
    with pytest.raises(ValueError, match=r"expected \(top, left, bottom, right\) as fractions"):
        ImageSet.samples().crops(20, region)  # type: ignore[arg-type]


def test_shares_are_even_as_far_as_there_is_room() -> None:
    assert cropping.shares(7, [9, 9, 9]) == [3, 2, 2]
    assert cropping.shares(20, [1, 100, 3, 100]) == [1, 8, 3, 8]
    assert cropping.shares(0, [1, 2]) == [0, 0]
    assert isinstance(ImageSet.from_arrays(np.zeros((1, 99, 99), np.uint8)).openers[0], GivenOpener)

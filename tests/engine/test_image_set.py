from __future__ import annotations

import gc
import io
import os
import pickle
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError, prepare
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.openers import Fault, FileOpener, GivenOpener
from tests.engine.pictures import Counting, colours, counted

SMALL = InputSpec(size=(3, 32, 32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of two images, and one that stands alone."""
    for number, name in enumerate(["dogs/b.png", "cats/a.png", "cats/deep/c.JPG", "dogs/a.png", "alone.webp"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture = colours(seed=number)
        picture.save(tmp_path / name, "JPEG" if name.endswith("JPG") else None)
    return tmp_path


def test_images_by_number_by_id_and_in_slices() -> None:
    samples = ImageSet.samples()
    assert samples["chelsea"].tobytes() == samples[samples.ids.index("chelsea")].tobytes()
    assert samples[np.int64(2)].tobytes() == samples[2].tobytes() == samples[2 - len(samples)].tobytes()
    assert samples[1:3].ids == samples.ids[1:3]
    assert samples[::-1].ids == samples.ids[::-1]
    assert prepare(samples[:2], SMALL).shape == (2, 3, 32, 32)
    with pytest.raises(UnknownNameError, match="no image 'chelsie'; did you mean 'chelsea'"):
        samples["chelsie"]
    for number in (99, 9, -10):
        with pytest.raises(IndexError, match=f"no image {number}; the set has 9, numbered from 0"):
            samples[number]
    with pytest.raises(TypeError):
        samples[0.5]


def test_ids_are_found_at_once_and_not_all_told() -> None:
    images = ImageSet.from_arrays(np.zeros((5000, 2, 2), np.uint8))
    assert images.number("4321") == 4321
    assert "4321" in images
    assert "5000" not in images
    assert 3 not in images
    with pytest.raises(UnknownNameError, match=r"no image '50000'; did you mean .* 5000 in all") as told:
        images.number("50000")
    assert len(str(told.value)) < 300
    with pytest.raises(UnknownNameError, match="no image 3; the ids are none"):
        ImageSet.of([]).number(3)  # type: ignore[arg-type]


def test_a_set_is_told_in_a_line() -> None:
    assert repr(ImageSet.samples(5000)) == "<ImageSet of 5000: chelsea, coffee, astronaut, …>"
    assert repr(ImageSet.of([])) == "<ImageSet of 0: nothing>"
    assert (
        repr(ImageSet(("a",), ("b",), (GivenOpener(1),), (Fault("c", "broken"),))) == "<ImageSet of 1: a; 1 left out>"
    )


def test_a_set_of_whatever_counts_as_images(tmp_path: Path) -> None:
    path = tmp_path / "tree.png"
    Image.new("RGB", (7, 5), "red").save(path)
    made = ImageSet.of([path, torch.rand(3, 8, 8), str(tmp_path / "missing.png"), Image.new("RGB", (7, 5), "red")])
    assert made.labels == ("tree", "image 1", "missing", "image 3")
    assert made.ids == ("0", "1", "2", "3")
    assert made[0].size == (7, 5)
    assert prepare([made[0], made[1]], InputSpec(size=(3, 8, 8))).shape == (2, 3, 8, 8)
    with pytest.raises(ImageError, match="no file"):
        made[2]
    assert ImageSet.of(made) is made
    assert len(ImageSet.of(torch.rand(4, 3, 8, 8))) == 4
    assert len(ImageSet.of(torch.rand(3, 8, 8))) == len(ImageSet.of(path)) == 1
    assert len(ImageSet.of(np.zeros((4, 8, 8, 3), np.uint8))) == 4
    assert ImageSet.of(io.BytesIO(path.read_bytes()))[0].size == (7, 5)
    assert not len(ImageSet.of(()))


def test_a_set_is_equal_to_itself_alone() -> None:
    first, second = ImageSet.samples(), ImageSet.samples()
    assert first == first
    assert first != second
    assert len({first, second, first}) == 2
    with pytest.raises(AttributeError):
        first.ids = ()  # type: ignore[misc]


def test_parts_that_do_not_fit_together() -> None:
    with pytest.raises(ValueError, match="2 ids, 1 labels and 0 openers"):
        ImageSet(("a", "b"), ("c",), ())
    one = GivenOpener(colours())
    with pytest.raises(ValueError, match="the id 'a' was given twice"):
        ImageSet(("a", "a"), ("b", "c"), (one, one))


@pytest.mark.parametrize(
    "chosen",
    [
        [3, 1],
        ["3", "1"],
        [3, "1"],
        np.array([3, 1]),
        torch.tensor([3, 1]),
        np.array([3, 1], np.uint8),
        (-2, -4),
        iter([3, 1]),
    ],
)
def test_a_part_keeps_ids_and_labels(chosen: Any) -> None:
    images = ImageSet.from_arrays(np.arange(5, dtype=np.uint8).repeat(16).reshape(5, 4, 4), labels="abcde")
    part = images.subset(chosen)
    assert (part.ids, part.labels) == (("3", "1"), ("d", "b"))
    assert [int(image[0, 0]) for image in part] == [3, 1]
    assert part.number("1") == 1
    with pytest.raises(UnknownNameError):
        part.number("0")


def test_other_parts() -> None:
    images = ImageSet.from_arrays(np.zeros((3, 4, 4), np.uint8))
    assert images.subset(np.array([True, False, True])).ids == images.subset(torch.tensor([True, False, True])).ids
    assert images.subset([]).ids == images.subset(np.array([], int)).ids == ()
    with pytest.raises(ValueError, match="the id '1' was given twice"):
        images.subset([1, 1])
    with pytest.raises(IndexError):
        images.subset([3])
    with pytest.raises(TypeError):
        images.subset(np.array([0.5]))
    with pytest.raises(TypeError, match=r"images.subset\(\['1'\]\)"):
        images.subset("1")


def test_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageSet.from_folder(folder)
    assert images.ids == ("alone.webp", "cats/a.png", "cats/deep/c.JPG", "dogs/a.png", "dogs/b.png")
    assert images.labels == ("alone", "cats", "deep", "dogs", "dogs")
    assert images.labelled
    assert not images.faults
    assert images["dogs/b.png"].tobytes() == colours(seed=0).tobytes()
    monkeypatch.chdir(folder.parent)
    again = ImageSet.from_folder(folder.name)
    monkeypatch.chdir("/")
    assert again.ids == images.ids
    assert again.fingerprints() == images.fingerprints()
    assert [one.tobytes() for one in again] == [one.tobytes() for one in images]


def test_nothing_is_read_of_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(Image, "open", refuse)
    images = ImageSet.from_folder(folder)
    assert len(set(images.fingerprints())) == 5


def test_paths(folder: Path) -> None:
    given = [folder / "cats/a.png", str(folder / "dogs/a.png"), folder / "cats/a.png", folder / "gone.png"]
    images = ImageSet.from_paths(given)
    first = (folder / "cats/a.png").as_posix()
    assert images.ids == (first, (folder / "dogs/a.png").as_posix(), f"{first} (2)", str(folder / "gone.png"))
    assert images.labels == ("a", "a", "a", "gone")
    assert images[0].tobytes() == images[2].tobytes()
    assert images.fingerprints([3]) == ["missing"]
    checked = images.checked()
    assert checked.ids == images.ids[:3]
    assert checked.faults == (Fault(images.ids[3], f"no file {str(folder / 'gone.png')!r}"),)
    assert len(ImageSet.from_paths(folder / "cats/a.png")) == 1
    assert ImageSet.from_paths(iter(given), labels=[1, 2, 1, "x"]).labels == ("1", "2", "1", "x")
    with pytest.raises(ValueError, match="2 labels for 4 images; expected one for each"):
        ImageSet.from_paths(given, labels=[1, 2])


@pytest.mark.parametrize(
    ("arrays", "shape"),
    [
        (np.zeros((4, 9, 8), np.uint8), (9, 8)),
        (np.zeros((4, 9, 8, 1), np.uint8), (9, 8, 1)),
        (np.zeros((4, 9, 8, 3), np.uint8), (9, 8, 3)),
        (torch.zeros(4, 3, 9, 8), (3, 9, 8)),
        ([np.zeros((9, 8), np.uint8)] * 4, (9, 8)),
        ([torch.zeros(1, 9, 8)] * 4, (1, 9, 8)),
    ],
)
def test_arrays(arrays: Any, shape: tuple[int, ...]) -> None:
    images = ImageSet.from_arrays(arrays, labels=np.array([1, 0, 1, 2]))
    assert images.ids == ("0", "1", "2", "3")
    assert images.labels == ("1", "0", "1", "2")
    assert tuple(images[3].shape) == shape
    channels = shape[0] if isinstance(images[0], torch.Tensor) else 3
    assert images.prepare(0, InputSpec(size=(channels, 8, 8))).shape == (channels, 8, 8)
    assert ImageSet.from_arrays(arrays).labels == ("image 0", "image 1", "image 2", "image 3")
    assert not ImageSet.from_arrays(arrays).labelled
    with pytest.raises(ValueError, match="3 labels for 4 images"):
        ImageSet.from_arrays(arrays, labels=[1, 2, 3])


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (np.zeros((9, 8), np.uint8), r"uint8 \(9, 8\) was given; expected uint8 \(N, H, W\)"),
        (np.zeros((4, 9, 8)), "an array of float64"),
        (torch.zeros(3, 9, 8), r"\[tensor\] for a single image"),
        (torch.zeros(4, 3, 9, 8, dtype=torch.uint8), r"tensor.float\(\) / 255"),
    ],
)
def test_arrays_of_another_kind(arrays: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        ImageSet.from_arrays(arrays)


@pytest.mark.parametrize("spec", [SMALL, InputSpec(size=(1, 20, 30)), InputSpec(size=(3, 16, 16), resize=20)], ids=str)
def test_prepared_images_are_those_of_prepare(spec: InputSpec) -> None:
    given = [
        colours(),
        np.asarray(colours(50, 50)),
        colours(70, 30).convert("L"),
        torch.rand(spec.size[0], 40, 41).double(),
    ]
    images = ImageSet.of(given)
    for number, one in enumerate(given):
        made = images.prepare(str(number), spec)
        assert (made.shape, made.dtype, made.is_contiguous()) == (spec.size, torch.float32, True)
        assert torch.equal(made, prepare([one], spec)[0].float())
    assert torch.equal(prepare(images[:3], spec), torch.stack([images.prepare(number, spec) for number in range(3)]))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (torch.randn(3, 8, 8), r"image '1': a tensor with values from .* expected \[0, 1\], not normalised"),
        (torch.rand(1, 8, 8), "image '1': a tensor of the shape"),
        (np.zeros((8, 8, 3)), "image '1': an array of float64"),
        (torch.rand(2, 3, 8, 8), r"image '1' is a tensor of 2; ImageSet.from_arrays\(tensor\) takes it apart"),
        ("gone.png", "no file '.*gone.png'"),
    ],
)
def test_an_error_in_preparing_names_the_image(given: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        ImageSet.of([colours(), given]).prepare(1, SMALL)


def test_one_look_decodes_once() -> None:
    images, openers = counted()
    image, data = images.look(0, SMALL, 48)
    assert torch.equal(image, images.prepare("1", SMALL))
    assert data == images.thumbnail_data("2", 48)
    assert [one.opened for one in openers] == [1, 1, 1]
    assert openers[0].near == openers[1].near == [32]
    assert images.look(0, SMALL)[1] == b""
    images.look(1, SMALL, 65)
    assert openers[1].near == [32, 32, 65]
    images.look(0, InputSpec(size=(3, 20, 30), resize=40))
    assert openers[0].near[-1] == 40


def test_checking_opens_each_image_once_and_keeps_the_good() -> None:
    images, openers = counted(20)
    mixed = ImageSet(
        (*images.ids, "bad"), (*images.labels, "x"), (*images.openers, FileOpener("/gone.png")), (Fault("a", "b"),)
    )
    checked = mixed.checked(workers=3)
    assert [one.opened for one in openers] == [1] * 20
    assert checked.ids == images.ids
    assert checked.faults == (Fault("a", "b"), Fault("bad", "no file '/gone.png'"))
    assert checked.thumbnail_data(0) is mixed.thumbnail_data(0)
    assert not len(ImageSet.of(["gone.png"]).checked())
    assert not len(ImageSet.of([]).checked())


def test_an_interrupt_ends_checking() -> None:
    class Interrupting(Counting):
        def open(self) -> Any:
            raise KeyboardInterrupt

    images, openers = counted(500)
    with pytest.raises(KeyboardInterrupt):
        ImageSet(images.ids, images.labels, (Interrupting(), *openers[1:])).checked(workers=1)
    assert sum(one.opened for one in openers) < 500


def test_pickling_a_part_pickles_no_more(folder: Path) -> None:
    images = ImageSet.from_arrays(np.zeros((1000, 64, 64), np.uint8))
    assert len(pickle.dumps(images[5:6])) < 6000
    assert len(pickle.dumps(ImageSet.from_arrays(torch.zeros(1000, 3, 32, 32))[5:6])) < 20_000
    samples = ImageSet.samples(5000)
    samples.thumbnail(40)
    assert len(pickle.dumps(samples[30:33])) < 2000
    again = pickle.loads(pickle.dumps(samples[30:90]))
    assert (again.ids, again.labels) == (samples.ids[30:90], samples.labels[30:90])
    assert again[3].tobytes() == samples[33].tobytes()
    from_folder = pickle.loads(pickle.dumps(ImageSet.from_folder(folder)))
    assert from_folder.number("dogs/a.png") == 3
    assert (
        pickle.loads(pickle.dumps(ImageSet(("a",), ("b",), (GivenOpener(1),), (Fault("c", "d"),)))).faults[0].reason
        == "d"
    )


def test_fingerprints_follow_their_images(folder: Path) -> None:
    images = ImageSet.from_folder(folder)
    before = images.fingerprints()
    os.utime(folder / "cats/a.png", ns=(5, 5))
    after = images.fingerprints()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True, True]
    assert images.fingerprints(["dogs/b.png", 0]) == [after[4], after[0]]
    assert images.fingerprints(np.array([1])) == [after[1]]
    assert images.subset([3]).fingerprints() == [after[3]]


def test_crops_of_one_image_are_known_by_its_content_read_once() -> None:
    images, openers = counted(2)
    marks: list[int] = []
    openers[0].fingerprint = openers[1].fingerprint = lambda: str(marks.append(1))  # type: ignore[method-assign, func-returns-value]
    crops = images.crops(200)
    found = crops.fingerprints()
    assert len(marks) == 2
    assert len(set(found)) == len({name.split("@")[1] for name in crops.ids})
    assert found[7] == crops.openers[7].fingerprint()
    again = crops.crops(400)
    assert again.fingerprints([3]) == [again.openers[3].fingerprint()]


def test_labels_are_classes_where_one_stands_twice() -> None:
    arrays = np.zeros((3, 4, 4), np.uint8)
    assert ImageSet.from_arrays(arrays, labels=["a", "b", "a"]).labelled
    assert not ImageSet.from_arrays(arrays, labels=["a", "b", "c"]).labelled
    assert not ImageSet.of([]).labelled
    assert Counter(ImageSet.samples(100).labels)["a cat"] == 8


def test_a_set_that_is_dropped_is_gone() -> None:
    images = ImageSet.samples(50)
    _ = images[40], images.thumbnail(41)
    seen = weakref.ref(images)
    del images
    gc.collect()
    assert seen() is None

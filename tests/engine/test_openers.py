"""Where an image comes from: opened late, from any thread or process, with a fingerprint that follows its content."""

from __future__ import annotations

import io
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError, fit, measure, open_image, prepare
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.keeping import Kept
from cnnviz_widgets.engine.openers import (
    CropOpener,
    DatasetOpener,
    FileOpener,
    GivenOpener,
    Opener,
    SharedOpener,
    extent,
    opener_of,
)


def colours(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def photograph(width: int, height: int) -> Image.Image:
    """A real one with some of a camera's noise."""
    scaled = ImageSet.samples()["china"].resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    return Image.fromarray((np.asarray(scaled) + noise).clip(0, 255).astype(np.uint8))


class Pictures:
    """A dataset of three."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    colours().save(tmp_path / "a.png")
    return tmp_path / "a.png"


def openers(path: Path) -> dict[str, Opener]:
    return {
        "file": FileOpener(str(path)),
        "picture": GivenOpener(colours()),
        "bytes": GivenOpener(path.read_bytes()),
        "array": GivenOpener(np.asarray(colours())),
        "grey array": GivenOpener(np.asarray(colours().convert("L"))),
        "tensor": GivenOpener(torch.rand(3, 40, 60)),
        "grey tensor": GivenOpener(torch.rand(40, 60)),
        "crop of a file": CropOpener(FileOpener(str(path)), (3, 5, 33, 45)),
        "crop of an array": CropOpener(GivenOpener(np.asarray(colours())), (3, 5, 33, 45)),
        "crop of a tensor": CropOpener(GivenOpener(torch.rand(3, 40, 60)), (3, 5, 33, 45)),
        "crop of a crop": CropOpener(CropOpener(FileOpener(str(path)), (3, 5, 33, 45)), (1, 2, 21, 32)),
        "shared": SharedOpener(FileOpener(str(path)), 0, Kept(len)),
        "dataset": DatasetOpener(Pictures([(colours(), 1)]), 0),
        "dataset of tensors": DatasetOpener(Pictures([{"pixel_values": torch.rand(3, 40, 60)}]), 0),
    }


KINDS = ["file", "picture", "bytes", "array", "grey array", "tensor", "grey tensor", "crop of a file"]
KINDS += ["crop of an array", "crop of a tensor", "crop of a crop", "shared", "dataset", "dataset of tensors"]


def values(opened: Any) -> np.ndarray:
    return np.asarray(opened)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_alike_again_and_after_pickling(kind: str, path: Path) -> None:
    opener = openers(path)[kind] if kind != "shared" else SharedOpener(FileOpener(str(path)), 0, Kept(extent_of))
    first = values(opener.open())
    assert opener.size() == extent(opener.open())
    assert opener.fingerprint() == opener.fingerprint()
    again = pickle.loads(pickle.dumps(opener))
    assert again.fingerprint() == opener.fingerprint()
    assert np.array_equal(values(again.open()), first)
    assert np.array_equal(values(opener.open_near(100)), first)


def extent_of(value: Any) -> int:
    return value.height * value.width


def test_a_file_is_known_by_its_size_and_its_time(path: Path) -> None:
    opener = FileOpener(str(path))
    before = opener.fingerprint()
    os.utime(path, ns=(1, 1))
    touched = opener.fingerprint()
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(1, 1))
    assert len({before, touched, opener.fingerprint()}) == 3
    path.unlink()
    assert opener.fingerprint() == FileOpener("a\0b").fingerprint() == "missing"
    with pytest.raises(ImageError, match="no file"):
        opener.open()


@pytest.mark.parametrize("kind", ["array", "tensor", "grey tensor"])
def test_what_is_given_is_known_by_its_values(kind: str, path: Path) -> None:
    opener = openers(path)[kind]
    before = opener.fingerprint()
    changed = opener.open().copy() if "array" in kind else opener.open().clone()
    assert GivenOpener(changed).fingerprint() == before
    changed[0, 0] += 1
    assert GivenOpener(changed).fingerprint() != before
    assert GivenOpener(changed.reshape(-1)).fingerprint() != GivenOpener(changed).fingerprint()
    assert GivenOpener(torch.zeros(3, 4, 4).bfloat16()).fingerprint() != before


def test_other_fingerprints(path: Path) -> None:
    whole = FileOpener(str(path))
    crops = [CropOpener(whole, box).fingerprint() for box in ((0, 0, 9, 9), (0, 0, 9, 8))]
    assert len({whole.fingerprint(), *crops}) == 3
    three = [DatasetOpener(Pictures([1, 2, 3]), number).fingerprint() for number in range(3)]
    assert len({*three, DatasetOpener(Pictures([1, 2]), 0).fingerprint()}) == 4
    broken = Image.open(io.BytesIO(path.read_bytes()[:-3000]))
    assert "" not in (GivenOpener(broken).fingerprint(), GivenOpener(3).fingerprint())


def test_a_part_of_a_tensor_is_pickled_without_the_whole() -> None:
    many = torch.rand(1000, 3, 8, 8)
    assert len(pickle.dumps(GivenOpener(many[3]))) < 3000
    assert len(pickle.dumps(GivenOpener(np.zeros((1000, 8, 8), np.uint8)[3]))) < 1000
    kept = pickle.loads(pickle.dumps(GivenOpener(many[3].requires_grad_())))
    assert torch.equal(kept.open(), many[3])


def test_a_path_is_found_from_another_folder(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(path.parent)
    opener = opener_of("a.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert opener.open().size == (60, 40)


def test_a_file_object_is_read_at_once(path: Path) -> None:
    with path.open("rb") as file:
        file.read(10)
        opener = opener_of(file)
    assert opener.open().tobytes() == colours().tobytes()
    closed = opener_of(file)
    with pytest.raises(ImageError, match="could not be read"):
        closed.open()


def test_a_picture_that_is_not_decoded_yet_is_opened_by_many_threads(path: Path) -> None:
    for _ in range(10):
        opener = GivenOpener(Image.open(path))
        with ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda _, one=opener: one.open().tobytes(), range(16)))
        assert set(opened) == {colours().tobytes()}


def test_a_crop_of_a_file_that_changed_is_told(path: Path) -> None:
    opener = CropOpener(FileOpener(str(path)), (0, 0, 40, 60))
    assert opener.open().size == (60, 40)
    colours(50, 40).save(path)
    with pytest.raises(ImageError, match=r"lies outside of an image of 40 × 50 pixels; has the file changed"):
        opener.open()


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"picture": 1, "id": 2}, "has 'picture', 'id'; expected the image under 'image', 'img' or 'pixel_values'"),
        ((), "NoneType was given"),
        ([3, 4], "int was given"),
        ({"image": None}, "NoneType was given"),
    ],
)
def test_items_without_an_image(item: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        DatasetOpener(Pictures([item]), 0).open()


def test_whatever_a_dataset_raises_names_the_item() -> None:
    with pytest.raises(ImageError, match="item 7 of Pictures could not be fetched: IndexError: list index"):
        DatasetOpener(Pictures([]), 7).open()


# what JPEG's own scaling saves, and what it costs


@pytest.mark.parametrize(
    ("size", "short", "decoded"),
    [
        ((3000, 2000), 224, (750, 500)),
        ((3000, 2000), 500, (1500, 1000)),
        ((3000, 2000), 501, (3000, 2000)),
        ((3000, 2000), 100, (375, 250)),
        ((3000, 2000), 1, (375, 250)),
        ((449, 447), 224, (449, 447)),
        ((999, 899), 224, (500, 450)),
    ],
)
def test_a_jpeg_is_decoded_at_the_size_that_is_promised(
    size: tuple[int, int], short: int, decoded: tuple[int, int], tmp_path: Path
) -> None:
    Image.new("RGB", size, "teal").save(tmp_path / "a.jpg")
    Image.new("RGB", size, "teal").save(tmp_path / "a.png", compress_level=1)
    near = FileOpener(str(tmp_path / "a.jpg")).open_near(short)
    assert near.size == decoded
    assert min(near.size) >= 2 * short or near.size == size
    assert FileOpener(str(tmp_path / "a.jpg")).open().size == size
    assert FileOpener(str(tmp_path / "a.png")).open_near(short).size == size


SPECS = [
    InputSpec(size=(3, 224, 224)),
    InputSpec(size=(3, 224, 224), resize=256, interpolation="bicubic"),
    InputSpec(size=(1, 96, 160)),
    InputSpec(size=(3, 100, 50), crop="squash"),
    InputSpec(size=(3, 299, 299), resize=320, interpolation="lanczos"),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large") / "a.jpg"
    photograph(3000, 2000).save(made, quality=92)
    return made


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_large_photograph_is_prepared_from_a_fraction_of_its_pixels(spec: InputSpec, large: Path) -> None:
    images = ImageSet.from_paths([large])
    quick, full = images.prepare(0, spec), prepare(large, spec)[0]
    assert quick.shape == full.shape == spec.size
    assert float((quick - full).abs().mean()) < 1 / 255
    near = images.openers[0].open_near(spec.resize or max(spec.size[1:]))
    assert near.width * near.height * 4 <= 3000 * 2000
    assert min(fit(near, spec).size) > 0


def test_a_small_jpeg_is_prepared_bit_for_bit(tmp_path: Path) -> None:
    photograph(440, 300).save(tmp_path / "a.jpg")
    spec = InputSpec(size=(3, 224, 224))
    assert torch.equal(ImageSet.from_paths([tmp_path / "a.jpg"]).prepare(0, spec), prepare(tmp_path / "a.jpg", spec)[0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_rotation_is_applied_to_every_size(orientation: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.bin"
    picture = Image.new("RGB", (320, 160), "black")
    picture.paste("white", (0, 0, 160, 80))
    picture.save(path, kind, exif=exif)
    opened, near = open_image(path), open_image(path, short=20)
    assert measure(path) == (opened.height, opened.width) == ((160, 320) if orientation < 5 else (320, 160))
    assert near.size == (opened.size if kind != "JPEG" else (opened.width // 4, opened.height // 4))
    small = [one.convert("L").resize((2, 2), Image.Resampling.BOX).tobytes() for one in (opened, near)]
    assert np.abs(np.frombuffer(small[0], np.uint8).astype(int) - np.frombuffer(small[1], np.uint8)).max() < 8


def test_bombs_are_refused_before_they_are_scaled_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colours(100, 100).save(tmp_path / "a.jpg")
    monkeypatch.setattr("cnnviz_widgets.engine.images.MOST_PIXELS", 9999)
    for work in (lambda one: one.open_near(1), lambda one: one.open(), lambda one: one.size()):
        with pytest.raises(ImageError, match="100 × 100 pixels"):
            work(FileOpener(str(tmp_path / "a.jpg")))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "ICO", "PPM", "TGA", "PNG"])
def test_the_size_of_any_format_is_that_of_the_opened_picture(kind: str, tmp_path: Path) -> None:
    colours(64, 48).save(tmp_path / "a.bin", kind)
    assert measure(tmp_path / "a.bin") == open_image(tmp_path / "a.bin").size[::-1]


# what is kept


def test_a_shared_picture_is_opened_once_by_many_threads() -> None:
    opened: list[int] = []
    ready = threading.Barrier(8)

    class Counting(Opener):
        def open(self) -> Any:
            opened.append(1)
            return colours()

        def fingerprint(self) -> str:
            return ""

    shared = SharedOpener(Counting(), 0, Kept(extent_of))

    def crop(number: int) -> bytes:
        ready.wait(30)
        return CropOpener(shared, (0, number, 20, number + 20)).open().tobytes()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(crop, range(8)))
    assert opened == [1]
    assert found == [colours().crop((number, 0, number + 20, 20)).tobytes() for number in range(8)]


def test_only_the_last_used_pictures_are_kept() -> None:
    kept: Kept[bytes] = Kept(len, most=10)
    made: list[str] = []

    def make(name: str, size: int) -> bytes:
        made.append(name)
        return bytes(size)

    for name in ("a", "b", "a", "c", "a", "b"):
        kept.get(name, lambda name=name: make(name, 4))
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == 2
    kept.get("large", lambda: make("large", 50))
    assert len(kept) == 1
    assert len(kept.get("large", lambda: make("large", 50))) == 50
    assert made[-1] == "large"
    assert made.count("large") == 1
    assert len(pickle.loads(pickle.dumps(kept))) == 0


def test_what_could_not_be_made_is_tried_again() -> None:
    kept: Kept[bytes] = Kept(len)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: bytes(1 // 0))
    assert kept.get("a", lambda: b"made") == b"made"


def digest(images: ImageSet) -> tuple[Any, ...]:
    """What another process finds."""
    small = InputSpec(size=(3, 16, 16))
    sums = [float(images.prepare(number, small).double().sum()) for number in range(len(images))]
    return images.ids, images.labels, images.fingerprints(), sums


def test_sets_travel_to_a_new_process(path: Path) -> None:
    (path.parent / "photos").mkdir()
    colours().save(path.parent / "photos" / "b.png")
    sets = [
        ImageSet.samples(40)[10:20],
        ImageSet.from_folder(path.parent / "photos"),
        ImageSet.from_arrays(torch.rand(5, 3, 20, 20))[1:3],
        ImageSet.of([path, colours(), np.asarray(colours()), path.read_bytes()]),
        ImageSet.from_dataset(Pictures([colours(), colours(seed=1)])),
        ImageSet.from_dataset(Pictures([colours(100, 100)])).crops(3),
    ]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(digest, sets)) == [digest(images) for images in sets]

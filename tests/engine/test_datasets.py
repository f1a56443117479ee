"""Datasets as image sets: items fetched late, labels told without decoding where the dataset can."""

from __future__ import annotations

import itertools
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets as vision
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.transforms import v2 as transforms

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.input_spec import InputSpec

SMALL = InputSpec(size=(3, 8, 8))


def colours(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8))


class Told:
    """A dataset that tells of its items what it is given, and can't be asked for one unless it is opened."""

    def __init__(self, count: int = 4, **told: Any) -> None:
        self.count = count
        self.fetched: list[int] = []
        for name, value in told.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        self.fetched.append(number)
        return colours(number), 0


UNKNOWN = ("image 0", "image 1", "image 2", "image 3")


@pytest.mark.parametrize(
    ("told", "labels"),
    [
        ({}, UNKNOWN),
        ({"targets": [1, 0, 1, 2]}, ("1", "0", "1", "2")),
        ({"targets": torch.tensor([1, 0, 1, 2]), "classes": ["a", "b", "c"]}, ("b", "a", "b", "c")),
        ({"labels": np.array([1, 0, 1, -1]), "classes": ["a", "b"]}, ("b", "a", "b", "image 3")),
        ({"_labels": [1, 0, 1, 0], "classes": [("tench", "Tinca tinca"), ("dog",)]}, ("dog", "tench", "dog", "tench")),
        ({"y": [1, 0, 1, 0], "categories": ["a", "b"]}, ("b", "a", "b", "a")),
        ({"samples": [("x", 1), ("y", 0), ("z", 1), ("w", 1)], "classes": ["a", "b"]}, ("b", "a", "b", "b")),
        ({"_samples": [("x", 1), ("y", 0), ("z", 1), ("w", 1)]}, ("1", "0", "1", "1")),
        ({"imgs": [("x", "owl"), ("y", "cat"), ("z", "owl"), ("w", "owl")]}, ("owl", "cat", "owl", "owl")),
        ({"targets": ["owl", "cat", "owl", "owl"], "classes": ["a"]}, ("owl", "cat", "owl", "owl")),
        ({"targets": [1, 0, 1]}, UNKNOWN),
        ({"targets": None, "labels": "abcd"}, UNKNOWN),
        ({"targets": [{"boxes": []}] * 4}, UNKNOWN),
        ({"targets": np.zeros((4, 40))}, UNKNOWN),
        ({"targets": [0.5, 0.25, 1.0, 2.0]}, UNKNOWN),
        ({"targets": [True, False, True, True], "classes": ["no", "yes"]}, ("yes", "no", "yes", "yes")),
        ({"targets": {"a": 1, "b": 2, "c": 3, "d": 4}}, UNKNOWN),
        ({"samples": ["x", "y", "z", "w"]}, UNKNOWN),
        ({"targets": [np.int64(1), torch.tensor(0), 1, 0], "classes": ["a", "b"]}, ("b", "a", "b", "a")),
        ({"targets": [7, 0, 1, 0], "classes": ["a", "b"]}, ("image 0", "a", "b", "a")),
    ],
)
def test_labels_without_fetching_an_item(told: dict[str, Any], labels: tuple[str, ...]) -> None:
    dataset = Told(**told)
    images = ImageSet.from_dataset(dataset)
    assert images.labels == labels
    assert images.ids == ("0", "1", "2", "3")
    assert not dataset.fetched
    assert images[2].tobytes() == colours(2).tobytes()
    assert dataset.fetched == [2]


def test_given_labels_come_first() -> None:
    images = ImageSet.from_dataset(Told(targets=[1, 1, 1, 1]), labels=["a", "b", "c", 4])
    assert images.labels == ("a", "b", "c", "4")
    with pytest.raises(ValueError, match="1 labels for 4 images"):
        ImageSet.from_dataset(Told(), labels=["a"])


def test_a_part_and_a_join_know_their_labels() -> None:
    first, second = Told(targets=[0, 1, 0, 1], classes=["a", "b"]), Told(targets=[0, 1, 2, 3])
    joined = ConcatDataset([first, Subset(second, [3, 2]), Told(2)])  # type: ignore[arg-type, list-item]
    assert ImageSet.from_dataset(joined).labels == ("a", "b", "a", "b", "3", "2", "image 6", "image 7")
    part = Subset(joined, torch.tensor([5, 0, 6]).tolist())
    images = ImageSet.from_dataset(part)
    assert images.labels == ("2", "a", "image 2")
    assert images[0].tobytes() == colours(2).tobytes()
    assert ImageSet.from_dataset(Subset(first, np.array([1, 3]))).labels == ("b", "b")  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["cat/x.png", "cat/y.png", "dog/z.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        colours(number).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("transform", [None, transforms.ToImage(), transforms.Compose([transforms.PILToTensor()])])
def test_torchvisions_folder(folder: Path, transform: Any) -> None:
    images = ImageSet.from_dataset(vision.ImageFolder(str(folder), transform=transform))
    assert images.labels == ("cat", "cat", "dog")
    if transform is None:
        assert images[2].tobytes() == colours(2).tobytes()
        assert images.prepare(0, SMALL).shape == (3, 8, 8)
    else:
        with pytest.raises(ImageError, match=r"image '0': .*expected floats in \[0, 1\]: tensor.float\(\) / 255"):
            images.prepare(0, SMALL)


def test_tensors_of_a_dataset(folder: Path) -> None:
    plain = transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])
    images = ImageSet.from_dataset(vision.ImageFolder(str(folder), transform=plain))
    assert images.prepare("1", SMALL).shape == (3, 8, 8)
    assert images.thumbnail(1, 20).size == (20, 13)
    normal = transforms.Compose([plain, transforms.Normalize([0.5] * 3, [0.2] * 3)])
    images = ImageSet.from_dataset(vision.ImageFolder(str(folder), transform=normal))
    with pytest.raises(ImageError, match=r"image '1': a tensor with values from .*expected \[0, 1\], not normalised"):
        images.prepare("1", SMALL)


def test_torchvisions_made_up_images() -> None:
    images = ImageSet.from_dataset(vision.FakeData(size=5, image_size=(3, 20, 24), num_classes=3))
    assert images.labels[4] == "image 4"
    assert images[4].size == (24, 20)


def test_tensors_with_targets() -> None:
    values, targets = torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 0, 1, 4])
    images = ImageSet.from_dataset(TensorDataset(values, targets))
    assert images.labels == ("0", "1", "0", "1", "4")
    assert torch.equal(images[3], values[3])
    assert torch.equal(images.prepare(3, SMALL), values[3])
    assert ImageSet.from_dataset(TensorDataset(values)).labels[2] == "image 2"
    assert ImageSet.from_dataset(TensorDataset(values, torch.rand(5))).labels[2] == "image 2"


Pair = namedtuple("Pair", ["picture", "target"])


@pytest.mark.parametrize(
    "item",
    [
        colours(),
        (colours(), 3),
        [colours(), {"boxes": []}],
        (colours(), 3, "more"),
        Pair(colours(), 3),
        {"image": colours(), "label": 3},
        {"img": np.asarray(colours())},
        {"pixel_values": torch.from_numpy(np.array(colours())).permute(2, 0, 1) / 255, "labels": torch.tensor(3)},
        (np.asarray(colours()), 3),
    ],
    ids=range(9),
)
def test_items_of_every_form(item: Any) -> None:
    class One:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, number: int) -> Any:
            return item

    images = ImageSet.from_dataset(One())
    spec = InputSpec(size=(3, 40, 60))
    torch.testing.assert_close(images.prepare(0, spec), torch.from_numpy(np.array(colours())).permute(2, 0, 1) / 255)


def test_lists_of_items() -> None:
    pairs = [(colours(number), number % 2) for number in range(4)]
    assert ImageSet.from_dataset(pairs).labels == ("0", "1", "0", "1")
    rows = [{"image": picture, "label": f"class {target}"} for picture, target in pairs]
    assert ImageSet.from_dataset(rows).labels == ("class 0", "class 1", "class 0", "class 1")
    assert ImageSet.from_dataset([picture for picture, _ in pairs]).labels == UNKNOWN
    assert len(ImageSet.from_dataset([])) == 0


def test_columns_tell_their_labels() -> None:
    class Names:
        names = ("cat", "dog")

    class Columns(Told):
        column_names = ["image", "label"]
        features = {"image": None, "label": Names()}

        def __getitem__(self, key: Any) -> Any:
            return [0, 1, 1, 0] if key == "label" else {"image": colours(key), "label": 0}

    images = ImageSet.from_dataset(Columns())
    assert images.labels == ("cat", "dog", "dog", "cat")
    assert images[3].tobytes() == colours(3).tobytes()


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 4


@pytest.mark.parametrize("given", [Stream(), Dataset(), itertools.count(), 3, None, {1, 2}])
def test_what_has_no_numbered_items(given: Any) -> None:
    with pytest.raises(TypeError, match=r"can't be asked for an item by its number; .*ImageSet.from_dataset\(list\("):
        ImageSet.from_dataset(given)


def test_several_datasets_at_once() -> None:
    with pytest.raises(TypeError, match=r"a dict with 'train', 'test' was given; .*datasets\['train'\]"):
        ImageSet.from_dataset({"train": Told(), "test": Told()})


def test_a_broken_item_is_left_out_on_checking() -> None:
    class Holes(Told):
        def __getitem__(self, number: int) -> Any:
            if number == 1:
                raise OSError("disk on fire")
            return super().__getitem__(number)

    checked = ImageSet.from_dataset(Holes(targets=[5, 6, 7, 8])).checked()
    assert checked.labels == ("5", "7", "8")
    assert checked.faults[0].id == "1"
    assert checked.faults[0].reason == "item 1 of Holes could not be fetched: OSError: disk on fire"

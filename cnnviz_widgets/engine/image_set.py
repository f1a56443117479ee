"""``ImageSet: number or id -> picture``: a collection of images, each opened when it is asked for.

Samples, a folder, paths, arrays, a dataset, or whatever counts as images; parts and crops of these. Ids and labels stay the same
between runs. One bad file is reported, in ``faults`` or when it is opened, and is not fatal.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from . import cropping, datasets, folders, images
from .errors import UnknownNameError, near
from .images import ImageError, is_one
from .input_spec import InputSpec
from .keeping import Kept
from .openers import DatasetOpener, Fault, FileOpener, GivenOpener, Opener, fault_of, fingerprints, opener_of
from .photographs import photographs
from .thumbnails import thumbnail

_FEW = 12
"""Ids that an error lists."""

_WAITING = 4096
"""Images that wait for a thread; each costs a kilobyte."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet(Sequence[Any]):
    """Images by number or id, decoded when asked for.

    ``images[3]`` and ``images["chelsea"]`` give a Pillow picture, or the tensor or array that the image is made of where the set
    comes from those; a slice gives a set. A set is itself alone: equal and hashed by identity. It can be pickled, without its
    thumbnails.

    Attributes
    ----------
    ids
        One for each image, all different.
    labels
        What each image shows: a class, where several images have the same one, else a name.
    openers
        How each is opened.
    faults
        What was left out, and why.

    Examples
    --------
    >>> images = ImageSet.samples()
    >>> images["china"].size, images.labels[images.number("china")]
    ((640, 427), 'a temple')
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    openers: tuple[Opener, ...]
    faults: tuple[Fault, ...] = ()
    _thumbnails: Kept[bytes] = field(default_factory=lambda: Kept(len))

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.labels) == len(self.openers):
            raise ValueError(
                f"{len(self.ids)} ids, {len(self.labels)} labels and {len(self.openers)} openers were given"
            )
        if len(set(self.ids)) < len(self.ids):
            twice = next(name for number, name in enumerate(self.ids) if name in self.ids[:number])
            raise ValueError(f"the id {twice!r} was given twice; each image of a set has its own")

    @classmethod
    def samples(cls, n: int | None = None) -> ImageSet:
        """Real photographs that come with installed packages, offline: scikit-learn's, Matplotlib's and scikit-image's.

        The label is the photograph's subject; the id is the name of its file.

        Parameters
        ----------
        n
            So many images: the photographs, some of them grey, then crops of them, overlapping and at several scales, with ids
            like ``"chelsea@120,40,264,184"``: top, left, bottom and right in pixels. None: the coloured photographs.

        Examples
        --------
        >>> len(ImageSet.samples(200)), ImageSet.samples(200).labelled
        (200, True)
        """
        found = photographs(grey=n is not None)
        whole = cls(
            tuple(one.id for one in found),
            tuple(one.label for one in found),
            tuple(FileOpener(one.path) for one in found),
        )
        if n is None:
            return whole
        count = _count(n)
        if count <= len(whole):
            return whole[:count]
        # a square photograph must not come again as its own largest crop
        more = whole._cropped(count - len(whole), largest=0.5**0.5)
        return cls(whole.ids + more.ids, whole.labels + more.labels, whole.openers + more.openers)

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> ImageSet:
        """The images in a folder and in the folders below it, sorted.

        The id is the path within the folder, the label the name of the folder that the file lies in, or its own name where it
        lies in ``path`` itself. Links are followed, each folder is read once, other files are passed over. Nothing is decoded:
        what can be seen to be no image is in `faults`, a broken one is told when it is opened, or by `checked`.

        Raises
        ------
        ImageError
            No such folder, or no image in it.
        """
        found = folders.search(path)
        ids = tuple(found.files)
        return cls(
            ids, tuple(map(folders.label_of, ids)), tuple(map(FileOpener, found.files.values())), tuple(found.faults)
        )

    @classmethod
    def from_paths(cls, paths: Iterable[str | os.PathLike[str]], labels: Iterable[Any] | None = None) -> ImageSet:
        """Image files by their paths, which are the ids; a path given again gets ``" (2)"``. A missing file is told on opening.

        Parameters
        ----------
        labels
            One for each; without them the names of the files.
        """
        listed = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
        ids: dict[str, None] = {}
        for path in listed:
            ids[folders.single(path.replace(os.sep, "/"), ids)] = None
        stems = [Path(path).stem for path in listed]
        return cls(tuple(ids), datasets.given(labels, stems), tuple(map(opener_of, listed)))

    @classmethod
    def from_arrays(cls, arrays: Any, labels: Iterable[Any] | None = None) -> ImageSet:
        """Images in memory; the ids are their numbers.

        Parameters
        ----------
        arrays
            uint8 (N, H, W) or (N, H, W, C), a float tensor (N, C, H, W) in [0, 1], or a list of single ones.
        labels
            One for each, as class numbers or names.

        Examples
        --------
        >>> digits = ImageSet.from_arrays(np.zeros((4, 28, 28), np.uint8), labels=[7, 2, 1, 7])
        >>> digits.labels, digits.labelled, digits[2].shape
        (('7', '2', '1', '7'), True, (28, 28))
        """
        datasets.check_arrays(arrays)
        listed = list(arrays)
        names = [f"image {number}" for number in range(len(listed))]
        return cls(_numbered(len(listed)), datasets.given(labels, names), tuple(map(GivenOpener, listed)))

    @classmethod
    def from_dataset(cls, dataset: Any, labels: Iterable[Any] | None = None) -> ImageSet:
        """The images of a dataset with ``len(dataset)`` and ``dataset[number]``, each fetched when it is asked for.

        An item is an image, a tuple that begins with one, or a mapping with ``"image"``, ``"img"`` or ``"pixel_values"``: Pillow
        images, uint8 arrays, or tensors in [0, 1] that are not normalised. Items are fetched from several threads.

        Parameters
        ----------
        labels
            One for each. Without them what the dataset tells without decoding: its targets, with the names of its classes.

        Raises
        ------
        TypeError
            A dataset that can only be gone through from its start.
        """
        datasets.check(dataset)
        count = len(dataset)
        told = [None] * count if labels is not None else datasets.labels(dataset)
        names = [f"image {number}" if label is None else label for number, label in enumerate(told)]
        openers = tuple(DatasetOpener(dataset, number) for number in range(count))
        return cls(_numbered(count), datasets.given(labels, names), openers)

    @classmethod
    def of(cls, images: Any) -> ImageSet:
        """Whatever counts as images as a set; opening, and complaining about a broken one, waits until it is asked for.

        The ids are the places in what was given, the labels the files' names where there are any.
        """
        if isinstance(images, ImageSet):
            return images
        listed = [images] if is_one(images) or (isinstance(images, Tensor) and images.dim() < 4) else list(images)
        named = [Path(os.fspath(one)).stem if isinstance(one, str | os.PathLike) else "" for one in listed]
        labels = tuple(name or f"image {number}" for number, name in enumerate(named))
        return cls(_numbered(len(listed)), labels, tuple(map(opener_of, listed)))

    def __repr__(self) -> str:
        named = ", ".join(self.ids[:3]) + (", …" if len(self) > 3 else "")
        left_out = f"; {len(self.faults)} left out" if self.faults else ""
        return f"<ImageSet of {len(self)}: {named or 'nothing'}{left_out}>"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self.subset(range(len(self))[key])
        return self.openers[self._place(key)].open()

    def __contains__(self, key: object) -> bool:
        """Whether there is an image of that id. Pictures themselves are not compared: all would have to be opened."""
        return isinstance(key, str) and key in self._numbers

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageSet, (self.ids, self.labels, self.openers, self.faults)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.ids)}

    @property
    def labelled(self) -> bool:
        """Whether some label stands on two images or more, so that labels are classes and not names."""
        return len(set(self.labels)) < len(self.labels)

    def number(self, id: str) -> int:
        """The place of the image of that id.

        Raises
        ------
        UnknownNameError
            There is none, a ``KeyError``.
        """
        try:
            return self._numbers[id]
        except (KeyError, TypeError):
            listed = ", ".join(self.ids[:_FEW]) + (f", … {len(self)} in all" if len(self) > _FEW else "")
            raise UnknownNameError(f"no image {id!r}{near(str(id), self.ids)} the ids are {listed or 'none'}") from None

    def _place(self, key: Any) -> int:
        if isinstance(key, str):
            return self.number(key)
        number = operator.index(key)
        if not -len(self) <= number < len(self):
            raise IndexError(f"no image {number}; the set has {len(self)}, numbered from 0")
        return number % len(self)

    def subset(self, numbers_or_ids: Iterable[Any]) -> ImageSet:
        """These images in this order, under the same ids and labels; the thumbnails are shared.

        Parameters
        ----------
        numbers_or_ids
            Numbers or ids, also an array or tensor of numbers, or one of bools, one for each image.
        """
        if isinstance(numbers_or_ids, str):
            raise TypeError(
                f"the id {numbers_or_ids!r} was given; expected several: images.subset([{numbers_or_ids!r}])"
            )
        if isinstance(numbers_or_ids, Tensor | np.ndarray):
            given = np.asarray(numbers_or_ids.tolist())
            if given.dtype == bool and given.shape == (len(self),):
                given = given.nonzero()[0]
            numbers_or_ids = given.tolist()
        places = [self._place(key) for key in numbers_or_ids]
        return ImageSet(
            tuple(self.ids[place] for place in places),
            tuple(self.labels[place] for place in places),
            tuple(self.openers[place] for place in places),
            self.faults,
            self._thumbnails,
        )

    def crops(self, n: int, region: tuple[float, float, float, float] = cropping.WHOLE) -> ImageSet:
        """``n`` square crops of the images, at several scales and overlapping, shared out evenly; no two are the same.

        The larger ones come first, then smaller ones, down to 48 pixels. The label is the image's, the id
        ``"chelsea@120,40,264,184"``: top, left, bottom and right in pixels. The crops of an image stand together and share one
        decoded picture.

        Parameters
        ----------
        region
            (top, left, bottom, right) as fractions of each image. Crops lie within it, so those of ``(0, 0, 1, 0.5)`` and of
            ``(0, 0.5, 1, 1)`` have no pixel in common.

        Raises
        ------
        ValueError
            Fewer crops than images, or no such region.
        ImageError
            Not so many crops fit. Images that none fits in, or that can't be opened, are in `faults`.

        Examples
        --------
        >>> ImageSet.samples().subset(["china"]).crops(3).ids
        ('china@0,0,427,427', 'china@0,213,427,640', 'china@62,169,364,471')
        """
        count = _count(n)
        if count < len(self):
            raise ValueError(
                f"{count} crops of {len(self)} images; expected at least one of each: images[:{count}].crops({count})"
            )
        return self._cropped(count, cropping.check_region(region))

    def _cropped(self, count: int, region: cropping.Region = cropping.WHOLE, largest: float = 1.0) -> ImageSet:
        made, faults = cropping.crops(self.ids, self.openers, count, region, largest)
        return ImageSet(
            tuple(crop.id for crop in made),
            tuple(self.labels[crop.number] for crop in made),
            tuple(crop.opener for crop in made),
            (*self.faults, *faults),
        )

    def prepare(self, key: int | str, spec: InputSpec) -> Tensor:
        """An image as float32 (C, H, W) in [0, 1] at a network's size. Differs from the module's `images.prepare` where a JPEG is
        much larger than that: it is decoded at half its size or less, which takes a fraction of the time.

        Raises
        ------
        ImageError
            The image can't be opened, or is none for such a network.
        """
        return self.look(key, spec)[0]

    def look(self, key: int | str, spec: InputSpec, side: int = 0) -> tuple[Tensor, bytes]:
        """What `prepare` gives and what `thumbnail_data` gives, of one decoding; no thumbnail, and no bytes, where ``side`` is 0.

        The thumbnail is not kept: whoever goes through a large set decides that with `keep_thumbnail`.
        """
        place = self._place(key)
        short = spec.resize or max(spec.size[1:])
        opener, name = self.openers[place], self.ids[place]
        value = opener.open_near(short)
        try:
            prepared = images.prepare([value], spec)
        except ImageError as error:
            raise ImageError(f"image {name!r}: {error}") from None
        if len(prepared) > 1:
            raise ImageError(
                f"image {name!r} is a tensor of {len(prepared)}; ImageSet.from_arrays(tensor) takes it apart"
            )
        image = prepared[0].detach().float().contiguous()
        if not side:
            return image, b""
        # what was decoded for the network may be too small for a large thumbnail
        near = value if side <= 2 * short else opener.open_near(side)
        return image, thumbnail(near, side)

    def fingerprints(self, numbers: Iterable[Any] | None = None) -> list[str]:
        """For each image, or these, a text that changes with its content; files are not read for it."""
        places = range(len(self)) if numbers is None else [self._place(key) for key in numbers]
        return fingerprints(self.openers[place] for place in places)

    def thumbnail(self, key: int | str, side: int = 128) -> Image.Image:
        """The whole image scaled down to fit into ``side`` × ``side`` pixels, in its proportions; a small one stays as it is.

        It is made once, and kept as a JPEG while the set or a part of it lives.
        """
        return images.open_image(self.thumbnail_data(key, side))

    def thumbnail_data(self, key: int | str, side: int = 128) -> bytes:
        """The `thumbnail` as the bytes of a JPEG file."""
        place = self._place(key)
        return self._thumbnails.get(
            (self.ids[place], side), lambda: thumbnail(self.openers[place].open_near(side), side)
        )

    def keep_thumbnail(self, key: int | str, side: int, data: bytes) -> None:
        """Take the bytes of a JPEG file, made earlier, for that thumbnail."""
        self._thumbnails.put((self.ids[self._place(key)], side), data)

    def checked(self, workers: int = 4) -> ImageSet:
        """The images that can be opened. Each is opened once, by ``workers`` threads; `faults` tells what is left out and why."""
        reasons: list[str] = []
        with ThreadPoolExecutor(workers) as pool:
            try:
                for start in range(0, len(self), _WAITING):
                    reasons += pool.map(fault_of, self.openers[start : start + _WAITING])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # an interrupt need not wait for the others
                raise
        good = self.subset(place for place, reason in enumerate(reasons) if not reason)
        bad = (Fault(name, reason) for name, reason in zip(self.ids, reasons, strict=True) if reason)
        return replace(good, faults=(*self.faults, *bad))


def _count(n: Any) -> int:
    count = operator.index(n)
    if count < 1:
        raise ValueError(f"n={n!r}; expected at least one image")
    return count


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))

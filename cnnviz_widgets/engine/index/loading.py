"""``batches(images, numbers, spec) -> Batch, Batch, ...``: images decoded by threads while the network looks at earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.thumbnails import square

AHEAD = 2
"""Batches that are decoded ahead of the one in use."""


@dataclass(eq=False)
class Batch:
    """Images that go through the network together.

    Attributes
    ----------
    images
        (B, C, H, W) float32 in [0, 1]; a neutral one in place of each that could not be opened, so that a fault changes no other
        image's last bits.
    numbers, places
        Of those that were opened: the numbers, and the places among the B.
    thumbnails
        A JPEG of each that was opened; none where none were asked for.
    squares
        Of each JPEG its middle, uint8 (16, 16, 3).
    faults
        Number -> why the image could not be opened.
    """

    images: Tensor
    numbers: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    squares: list[np.ndarray] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def default_workers() -> int:
    """How many threads decode, unless told otherwise."""
    return min(8, os.cpu_count() or 1)


def batches(
    images: ImageSet,
    numbers: Sequence[int],
    spec: InputSpec,
    size: int,
    *,
    workers: int | None = None,
    thumbnail: int = 0,
) -> Generator[Batch, None, None]:
    """Batches of up to ``size`` images.

    Parameters
    ----------
    images
        Opened in their order.
    numbers
        What the results call them, one for each.
    workers
        Threads that decode; None: as many as there are processors, at most 8.
    thumbnail
        Longest side of the thumbnails in pixels; 0: none.
    """
    with ThreadPoolExecutor(workers or default_workers(), thread_name_prefix="cnnviz-decoding") as pool:
        waiting: deque[tuple[Sequence[int], list[Future[_Opened]]]] = deque()
        try:
            for at in range(0, len(numbers), size):
                places = range(at, min(at + size, len(numbers)))
                waiting.append(
                    (numbers[at : at + size], [pool.submit(_open, images, i, spec, thumbnail) for i in places])
                )
                if len(waiting) > AHEAD:
                    yield _joined(*waiting.popleft(), spec)
            while waiting:
                yield _joined(*waiting.popleft(), spec)
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()


_Opened = tuple[Tensor, bytes, np.ndarray | None] | str


def _open(images: ImageSet, place: int, spec: InputSpec, thumbnail: int) -> _Opened:
    try:
        image, data = images.look(place, spec, thumbnail)
        return image, data, square(data) if data else None
    except ImageError as error:
        return str(error)


def _joined(numbers: Sequence[int], futures: Sequence[Future[_Opened]], spec: InputSpec) -> Batch:
    batch = Batch(spec.neutral_image().expand(len(numbers), *spec.size).clone())
    for place, (number, future) in enumerate(zip(numbers, futures, strict=True)):
        opened = future.result()
        if isinstance(opened, str):
            batch.faults[int(number)] = opened
            continue
        batch.images[place], data, middle = opened
        batch.numbers.append(int(number))
        batch.places.append(place)
        if middle is not None:
            batch.thumbnails.append(data)
            batch.squares.append(middle)
    return batch

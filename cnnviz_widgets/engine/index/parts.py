"""``Parts``: what an index keeps for each image, shard after shard, in memory or on disk.

A row counts through the shards in their order; it is read when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.store import Folder, Record

from .archive import SQUARES, part_of, squares_of
from .measuring import Part


class Parts:
    """The parts of the shards that are done."""

    def __init__(
        self, memory: Sequence[Part] = (), folder: Folder | None = None, records: Sequence[Record] = ()
    ) -> None:
        self._memory, self._folder, self._records = tuple(memory), folder, tuple(records)
        # one open file a shard, the latest ones
        self._file = lru_cache(maxsize=64)(self._opened)
        self._compared: set[int] = set()
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    @classmethod
    def of_memory(cls, parts: Sequence[Part]) -> Parts:
        """Parts in memory."""
        return cls(parts)

    @classmethod
    def of_records(cls, folder: Folder, records: Sequence[Record]) -> Parts:
        """Parts in files."""
        return cls(folder=folder, records=records)

    def _opened(self, number: int) -> Any:
        assert self._folder is not None
        # a file that is opened again was compared with its digest before, and is never changed
        found = self._folder.arrays(self._records[number], whole=number not in self._compared)
        self._compared.add(number)
        return found

    def __len__(self) -> int:
        return len(self._memory) + len(self._records)

    def _numbers_of(self, number: int) -> npt.NDArray[np.int64]:
        return self._memory[number].numbers if self._memory else self._file(number)["numbers"]

    def _features_of(self, number: int, layer: str) -> npt.NDArray[np.float32]:
        return self._memory[number].features[layer] if self._memory else part_of(self._file(number), layer)

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(n,): the image number of each row."""
        found = [self._numbers_of(number) for number in range(len(self))]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @cached_property
    def _starts(self) -> list[int]:
        lengths = [len(self._numbers_of(number)) for number in range(len(self))]
        return [0, *np.cumsum(lengths).tolist()]

    def blocks(self, layer: str) -> Iterator[npt.NDArray[np.float32]]:
        """(n, C) for each shard."""
        return (self._features_of(number, layer) for number in range(len(self)))

    def features(self, layer: str) -> npt.NDArray[np.float32]:
        """(n, C): all rows."""
        known = self._known.get(layer)
        if known is None:  # one layer's at a time is kept, and several threads may ask for different ones
            found = list(self.blocks(layer))
            known = np.concatenate(found) if found else np.zeros((0, 0), np.float32)
            self._known = {layer: known}
        return known

    def feature(self, layer: str, row: int) -> npt.NDArray[np.float32]:
        """(C,): one row."""
        shard = bisect_right(self._starts, row) - 1
        return self._features_of(shard, layer)[row - self._starts[shard]]

    def thumbnail(self, row: int) -> bytes:
        """The JPEG of one row; empty where none is kept."""
        if self._memory:
            return b""
        shard = bisect_right(self._starts, row) - 1
        place, file = row - self._starts[shard], self._file(shard)
        ends = file["ends"]
        if not len(ends):
            return b""
        start = int(ends[place - 1]) if place else 0
        return file.rows("thumbnails", start, int(ends[place])).tobytes()

    def squares(self) -> npt.NDArray[np.uint8] | None:
        """(n, 16, 16, 3): the middle of each thumbnail; None where they are not kept, be it of one shard."""
        if self._memory:
            return None
        found = [squares_of(self._file(number)) for number in range(len(self))]
        if any(block is None or len(block) != len(self._numbers_of(number)) for number, block in enumerate(found)):
            return None
        return np.concatenate([np.zeros((0, *SQUARES), np.uint8), *found])

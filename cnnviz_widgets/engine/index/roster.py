"""``Roster(images)``: the images of a set by number and by shard, whatever order the set has them in.

A number is an image's place among the sorted ids; it decides between equal activations. A rank is its place in an order that a
hash of the ids gives: shards follow that order, so that what is measured first is a fair sample of the whole, also of a set that
is sorted by class.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from cnnviz_widgets.engine.image_set import ImageSet


@dataclass(frozen=True)
class Roster:
    """The ids of a set, sorted, with a fingerprint of each image."""

    ids: tuple[str, ...]
    fingerprints: tuple[str, ...]

    @classmethod
    def of(cls, images: ImageSet) -> Roster:
        """The roster of a set.

        Raises
        ------
        ValueError
            An id stands twice, so results could not be told apart.
        """
        together = sorted(zip(images.ids, images.fingerprints(), strict=True))
        ids = tuple(name for name, _ in together)
        if len(set(ids)) < len(ids):
            twice = next(name for name, other in itertools.pairwise(ids) if name == other)
            raise ValueError(f"the id {twice!r} stands twice among the images; give each its own")
        return cls(ids, tuple(mark for _, mark in together))

    @cached_property
    def order(self) -> np.ndarray:
        """(n,) int64: the images' numbers by rank."""
        hashes = [hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest() for name in self.ids]
        return np.array(sorted(range(len(hashes)), key=hashes.__getitem__), np.int64)

    @cached_property
    def ranks(self) -> Tensor:
        """(n,) int32: each number's rank."""
        ranks = np.empty(len(self.ids), np.int32)
        ranks[self.order] = np.arange(len(self.ids), dtype=np.int32)
        return torch.from_numpy(ranks)

    def shards(self, size: int, batch: int = 1) -> list[np.ndarray]:
        """The images' numbers, shard by shard; one empty shard of no images.

        Shards of more than four batches grow to their size, from one batch on: there is something to see soon. Within a shard
        numbers are sorted, so that crops of one photograph, which is decoded once for them, stand together.
        """
        found: list[np.ndarray] = []
        at, grown = 0, batch if size > 4 * batch else size
        while at < len(self.ids) or not found:
            found.append(np.sort(self.order[at : at + grown]))
            at, grown = at + grown, min(size, 2 * grown)
        return found

    def in_set(self, images: ImageSet) -> np.ndarray:
        """(n,) int64: each number's place in the set."""
        return np.array([images.number(name) for name in self.ids], np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids and fingerprints."""
        return hashlib.sha256(json.dumps([self.ids, self.fingerprints]).encode()).hexdigest()

    def changes(self, other: Roster) -> str:
        """What is different in another roster, in a sentence; empty where nothing is."""
        before, after = (dict(zip(one.ids, one.fingerprints, strict=True)) for one in (self, other))
        told = [
            f"{len(names)} {what} ({_some(names)})"
            for what, names in (
                ("new", sorted(after.keys() - before.keys())),
                ("gone", sorted(before.keys() - after.keys())),
                ("changed", sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
            )
            if names
        ]
        return ", ".join(told)


def _some(names: Sequence[str]) -> str:
    # a name may hold line ends, and bytes that are no text
    told = [name if name.isprintable() else repr(name) for name in names[:3]]
    return ", ".join(told) + (", ..." if len(names) > 3 else "")

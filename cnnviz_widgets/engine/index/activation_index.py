"""``ActivationIndex.build(network, images) -> index``: one pass over a collection, then answers without another.

Which images excite a unit most and where, which stand for its lower levels, how its activations are spread, and which images are
near each other in a layer's features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.openers import Fault
from cnnviz_widgets.engine.progress import Clock, Progress
from cnnviz_widgets.engine.receptive_field import ReceptiveFields, all_receptive_fields

from .alike import folded
from .building import THUMBNAIL, Build
from .examining import Sighting, examine
from .matches import Level, Match, Neighbors, Statistics
from .neighbors import Metric, approximate, nearest
from .opening import find, others_told
from .parts import Parts
from .plan import Plan, Pool, Settings, plan
from .queries import queries, units_for
from .roster import Roster
from .table import NOTHING, read_keys
from .work import Makes

Rows = Callable[[str, int, int], npt.NDArray[Any]]
SHARES = (1.0, 0.99, 0.9, 0.75, 0.5, 0.25, 0.0)
"""Which levels of a unit are shown unless others are asked for."""
ALIKE = 0.98
"""How alike two winners must be, as the cosine of their features, to be folded."""


class ActivationIndex:
    """What a collection of images does to the units of a network.

    Made by `build` or `building`, found again by `open`. It also answers while it is not complete: then for the images so far,
    which are a fair sample.

    Attributes
    ----------
    network, images
        What it was made with.
    plan
        Which layers, and the settings.
    looked_at, total
        How many images have been looked at, and how many there are.
    faults
        Images that could not be measured, each with its reason.
    path
        The folder it is kept in; None in memory.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    >>> index = ActivationIndex.build(net, images, k=3)
    >>> [match.position for match in index.top_images(net["1"][2])][0]  # doctest: +ELLIPSIS
    (..., ...)
    >>> index.features().shape, index.complete
    ((20, 144), True)
    >>> index.neighbors(images[4], k=1).ids
    (('4',),)
    """

    def __init__(
        self,
        network: Network,
        images: ImageSet,
        plan: Plan,
        roster: Roster,
        rows: Rows,
        parts: Parts,
        *,
        looked_at: int,
        faults: Mapping[int, str],
        digest: str,
        path: Path | None = None,
    ) -> None:
        self.network, self.images, self.plan = network, images, plan
        self.looked_at, self.total, self.path, self.digest = looked_at, len(roster.ids), path, digest
        self.faults = tuple(Fault(roster.ids[number], reason) for number, reason in sorted(faults.items()))
        self._roster, self.rows, self.parts = roster, rows, parts
        self.offsets = plan.offsets

    @classmethod
    def build(
        cls,
        network: Network,
        images: Any,
        layers: Sequence[str | Layer] | str | Layer | None = None,
        k: int = 9,
        path: str | Path | None = None,
        executor: Executor | Makes | None = None,
        **settings: Any,
    ) -> ActivationIndex:
        """Measure a collection, or go on with what is at ``path`` already. Takes what `building` takes."""
        index = None
        for progress in cls.building(network, images, layers, k, path, executor, **settings):
            index = progress.result
        assert index is not None
        return index

    @classmethod
    def building(
        cls,
        network: Network,
        images: Any,
        layers: Sequence[str | Layer] | str | Layer | None = None,
        k: int = 9,
        path: str | Path | None = None,
        executor: Executor | Makes | None = None,
        *,
        features: Sequence[str | Layer] | str | Layer | None = None,
        pool: Pool = "max",
        batch: int = 32,
        shard: int = 256,
        workers: int | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> Iterator[Progress[ActivationIndex]]:
        """Measure a collection, step by step: progress after each batch, with the index of what is done.

        To stop is to ask no more. With a ``path`` the next call goes on after the last shard that was finished, also when the
        process was killed, and ends with the same bytes as if nothing had happened.

        Parameters
        ----------
        images
            An `ImageSet`, or whatever counts as images.
        layers
            Which ones; None: all that can be measured. Fewer take less memory and less time.
        k
            How many of the largest activations are kept per unit.
        path
            A folder to keep it in. Each combination of weights, preprocessing, images and settings has its own folder in it.
        executor
            Measures the shards elsewhere: any ``concurrent.futures.Executor``, such as Dask's ``client.get_executor()``, or a
            function that makes one, which is called again if its workers die. A process pool must not fork.
        features
            Layers whose pooled features are kept, for neighbours and maps; None: the last hidden one.
        pool
            ``"max"``: a unit's activation is the maximum over its map; ``"mean"``: the mean, which has no position.
        batch, shard
            See `Settings`; another size changes the last bits.
        workers
            Threads that decode images.
        device, threads
            Of the workers of an executor; None: as here. The number of torch's threads decides the last bits.

        Raises
        ------
        UnknownNameError, ValueError
            A layer that is not there, or that can't be measured; settings out of range.
        TypeError
            No executor, or a network or images that can't be sent to its workers.
        StoreError
            The folder is damaged, or another process builds there.
        BuildError
            Workers failed, or the weights changed meanwhile.
        """
        given = ImageSet.of(images)
        planned = plan(network, layers, features, Settings(k, pool, batch, shard))
        build = Build(
            network, given, planned, path=path, workers=workers, device=device, threads=threads
        )  # fmt: skip
        told = "" if path is None else others_told(path, build.recipe)
        with build.opened():
            index = cls._of(build)
            clock = Clock(build.looked_at, len(build.roster.ids))
            if build.done is not None and not build.finished:
                told = f"Goes on after {build.looked_at:,} images that were done before. {told}".strip()
            yield clock.at(build.looked_at, index, told)
            shards = len(build.table.shards)
            for done in build.steps(executor):
                if len(build.table.shards) != shards:
                    shards, index = len(build.table.shards), cls._of(build)
                yield clock.at(done, index, told)

    @classmethod
    def _of(cls, build: Build) -> ActivationIndex:
        arrays = build.table.arrays()
        parts = (
            Parts.of_records(build.archive.folder, build.done.parts)
            if build.archive is not None and build.done is not None
            else Parts.of_memory(build.parts)
        )
        return cls(
            build.network,
            build.images,
            build.plan,
            build.roster,
            lambda name, start, stop: arrays[name][start:stop],
            parts,
            looked_at=build.looked_at,
            faults=dict(build.faults),
            digest=build.digest,
            path=build.archive.folder.path if build.archive else None,
        )

    @classmethod
    def open(cls, path: str | Path, network: Network, images: Any) -> ActivationIndex:
        """The index that was built at ``path`` with these weights and images, complete or not; nothing is measured.

        Raises
        ------
        StoreError
            There is none, or only of other weights or images; the text tells the difference.
        """
        given = ImageSet.of(images)
        found = find(path, network, given)
        done, planned = found.done, found.plan
        return cls(
            network,
            given,
            planned,
            found.roster,
            found.archive.folder.arrays(done.table).rows,
            Parts.of_records(found.archive.folder, done.parts),
            looked_at=sum(map(len, found.roster.shards(planned.settings.shard)[: done.shards])),
            faults=done.faults,
            digest=found.digest,
            path=found.archive.folder.path,
        )

    @property
    def complete(self) -> bool:
        """Whether all images have been looked at."""
        return self.looked_at >= self.total

    @property
    def measured(self) -> int:
        """How many images are in it: those looked at, without faults."""
        return self.looked_at - len(self.faults)

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Row of the features -> place in the set of images."""
        return self._roster.in_set(self.images)[self.parts.numbers]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The images that are in it, in the set's order; the rows of `features`."""
        return tuple(self.images.ids[place] for place in np.sort(self._places))

    def holds(self, layer: str | Layer) -> bool:
        """Whether the units of a layer are in it."""
        name = layer.name if isinstance(layer, Layer) else layer
        return name in self.offsets or name in self.plan.alias

    def row(self, unit: Unit) -> int:
        """The unit's row in the table.

        Raises
        ------
        ValueError
            The layer is not in the index, or the unit is a single neuron, while the index holds channels.
        """
        name = unit.layer.name
        if not self.holds(name):
            why = self.plan.left_out.get(name, "it was not among layers=")
            raise ValueError(
                f"{name!r} is not in the index: {why}. It holds {len(self.offsets)} layers: index.plan.layers"
            )
        if unit.position is not None:
            raise ValueError(f"{unit} is a neuron; the index holds channels: net[{name!r}][{unit.channel}]")
        return self.offsets[self.plan.alias.get(name, name)] + unit.channel

    def top_images(self, unit: Unit, k: int | None = None, *, fold: bool = False) -> list[Match]:
        """The images for which a unit's activation is largest, the largest first; equal ones in the order of their ids.

        They are as they were recorded; `examine` measures them again.

        Parameters
        ----------
        k
            How many, at most those that the index keeps; None: all of these.
        fold
            Keep one of near-duplicates, those whose features' cosine is at least `ALIKE`; `Match.folded` names the others. Fewer
            than k may remain.
        """
        row = self.row(unit)
        kept = self.plan.settings.k
        if k is not None and not 1 <= k <= kept:
            raise ValueError(f"k={k}; the index keeps {kept} images per unit: build(k=...) keeps more")
        keys, positions = (self.rows(name, row, row + 1)[0] for name in ("keys", "positions"))
        values, numbers = read_keys(keys)
        matches = [
            self._match(unit, int(number), float(value), int(position))
            for key, value, number, position in zip(keys, values, numbers, positions, strict=True)
            if key != NOTHING
        ]
        if fold:
            matches = folded(matches, {match.id: self._feature(match.id) for match in matches}, ALIKE)
        return matches[:k]

    def examine(self, unit: Unit, k: int | None = None, *, fold: bool = False) -> list[Sighting]:
        """`top_images`, each opened and measured again: what changed since says so, the others bring photograph, map and crop."""
        return examine(self, unit, self.top_images(unit, k, fold=fold))

    def _match(self, unit: Unit, number: int, score: float, position: int) -> Match:
        layer = unit.layer
        where = () if position < 0 else tuple(int(at) for at in np.unravel_index(position, layer.positions))
        field = self.fields(layer)[layer[(unit.channel, *where)] if where else unit]
        return Match(self._roster.ids[number], score, where, field.box, field.status)

    def fields(self, layer: str | Layer) -> ReceptiveFields:
        """The receptive fields of a layer's units."""
        known = self.network.once("receptive fields", lambda: all_receptive_fields(self.network))
        return known[self.network[layer].name]

    def spectrum(self, unit: Unit, shares: Sequence[float] = SHARES) -> list[Level]:
        """Images for the levels of a unit's activation, from its strongest to its weakest.

        Parameters
        ----------
        shares
            For each the image that so many of all images do not outdo: 1 the strongest, 0.5 the median, 0 the weakest.
        """
        row = self.row(unit)
        counts, ranks, exponent, first = (
            self.rows(name, row, row + 1)[0] for name in ("counts", "ranks", "exponent", "first")
        )
        total = int(counts.sum())
        if not total:
            return []
        below = np.cumsum(counts)
        levels = []
        for share in shares:
            if not 0 <= share <= 1:
                raise ValueError(f"share {share}; expected 0 for the weakest to 1 for the strongest")
            bin_ = int(np.searchsorted(below, max(1, round(share * total))))
            low, high = (float(np.ldexp(float(first + at), int(exponent))) for at in (bin_, bin_ + 1))
            number = int(self._roster.order[ranks[bin_]])
            levels.append(Level(share, low, high, self._roster.ids[number]))
        return levels

    def statistics(self, unit: Unit) -> Statistics:
        """How a unit's activations are spread over the collection."""
        row = self.row(unit)
        names = ("counts", "exponent", "first", "seen", "fired", "dropped", "mean", "squares", "low", "high")
        told = {name: self.rows(name, row, row + 1)[0] for name in names}
        seen, counts = int(told["seen"]), told["counts"].astype(np.int64)
        filled = counts.nonzero()[0]
        start, stop = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
        edges = np.ldexp((told["first"] + np.arange(start, stop + 1)).astype(np.float64), int(told["exponent"]))
        nothing = float("nan")
        return Statistics(
            unit,
            seen,
            float(told["mean"]) if seen else nothing,
            float(np.sqrt(told["squares"] / seen)) if seen else nothing,
            float(told["fired"] / seen) if seen else nothing,
            float(told["low"]) if seen else nothing,
            float(told["high"]) if seen else nothing,
            int(told["dropped"]),
            edges,
            counts[start:stop],
        )

    def features(self, layer: str | Layer | None = None) -> npt.NDArray[np.float32]:
        """(n, C): the pooled features of the images `ids`, the mean over the map, of a layer; None: the last hidden one."""
        order = np.argsort(self._places, kind="stable")
        return self.parts.features(self.feature_layer(layer))[order]

    def feature_layer(self, layer: str | Layer | None) -> str:
        """The name of a layer whose features are kept; None: the last hidden one.

        Raises
        ------
        ValueError
            They are not kept.
        """
        name = self.network[layer].name if layer is not None else ""
        kept = [known.name for known in self.plan.features]
        if not name and kept:
            return self.network.last_hidden.name if self.network.last_hidden.name in kept else kept[0]
        if name not in kept:
            raise ValueError(
                f"features of {name!r} were not kept, but of {kept}; build(features=[{name!r}]) keeps them"
            )
        return name

    def _feature(self, id: str) -> npt.NDArray[np.float32]:
        layer = self.feature_layer(None)
        return self.parts.feature(layer, self.row_of(id))

    def row_of(self, id: str) -> int:
        """The row of an image in the kept features.

        Raises
        ------
        UnknownNameError, ImageError
            No such image, or it was not measured.
        """
        try:
            return self.rows_by_id[id]
        except KeyError:
            self.images.number(id)
            raise ImageError(
                f"the image {id!r} was not measured (yet); index.faults tells which could not be"
            ) from None

    @cached_property
    def rows_by_id(self) -> dict[str, int]:
        """Image id -> row of the kept features."""
        return {self.images.ids[place]: row for row, place in enumerate(self._places)}

    def neighbors(
        self,
        query_images: Any,
        layer: str | Layer | None = None,
        k: int = 5,
        *,
        metric: Metric = "l2",
        without_itself: bool = False,
        labels: Sequence[str] | None = None,
        search: str = "exact",
    ) -> Neighbors:
        """The images nearest to some queries in a layer's features.

        Parameters
        ----------
        query_images
            Ids of the set, or images of one's own.
        layer
            One of those whose features are kept; None: the last hidden one.
        metric
            ``"l2"``, the distance of Krizhevsky et al. 2012, or ``"cosine"``.
        without_itself
            Leave out the query where it is of the set: it is its own nearest neighbour.
        labels
            The queries' labels, where they are not of the set; with them hits can be told.
        search
            ``"exact"``, or ``"faiss"``: approximate, which pays from thousands of queries on; `Neighbors.recall` tells the share
            of the true neighbours that it finds.
        """
        if k < 1:
            raise ValueError(f"k={k}; expected at least one neighbour")
        name = self.feature_layer(layer)
        asked = queries(self, query_images, name, labels)
        own = np.array([self.rows_by_id.get(id, -1) for id in asked.ids]) if without_itself else None
        recall = 1.0
        if search == "exact":
            rows, far = nearest(asked.features, self.parts.blocks(name), k, metric, own)
        elif search == "faiss":
            rows, far, recall = approximate(asked.features, self.parts.features(name), k, metric, own)
        else:
            raise ValueError(f"search={search!r}; expected 'exact' or 'faiss'")
        places = self._places
        found = [[int(places[row]) for row in line if row >= 0] for line in rows]
        return Neighbors(
            tuple(asked.ids),
            tuple(asked.labels),
            tuple(tuple(self.images.ids[place] for place in line) for line in found),
            tuple(
                tuple(float(d) for d, row in zip(line, r, strict=True) if row >= 0)
                for line, r in zip(far, rows, strict=True)
            ),
            tuple(tuple(self.images.labels[place] for place in line) for line in found),
            name,
            metric,
            recall,
        )

    def units_for(self, image: Any, layer: str | Layer | None = None, k: int = 10) -> list[tuple[Unit, float, float]]:
        """The units that answer an image most, measured by how they answer the collection.

        Parameters
        ----------
        image
            An id of the set, or an image.
        layer
            One that is in the index; None: all main layers.

        Returns
        -------
        list
            (unit, activation, how many deviations it lies above the unit's mean over the collection), the most unusual first.
        """
        return units_for(self, image, layer, k)

    def thumbnail_data(self, id: str) -> bytes:
        """A small JPEG of an image; from the index where it keeps them, else made now."""
        place = self.images.number(id)
        if id in self.rows_by_id and (data := self.parts.thumbnail(self.rows_by_id[id])):
            return data
        return self.images.thumbnail_data(place, THUMBNAIL)

    def outdated(self) -> str:
        """Why it does not tell of the network as it is now, in a sentence; empty where it does."""
        if self.network.digest() != self.digest:
            return "The weights are no longer those that the index was built with."
        return ""

    def __repr__(self) -> str:
        state = "" if self.complete else f", {self.looked_at:,} of them so far"
        bad = f", {len(self.faults)} could not be measured" if self.faults else ""
        return (
            f"ActivationIndex of {self.network.name}: {self.plan.units:,} units of {len(self.plan.layers)} layers, "
            f"{self.total:,} images{state}{bad}, k={self.plan.settings.k}"
        )

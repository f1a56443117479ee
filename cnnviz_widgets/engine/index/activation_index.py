"""``ActivationIndex.build(network, images) -> index``: one pass over a collection, then answers without another.

Which images excite a unit most and where, which stand for its lower levels, how its activations are spread, and which images are
near each other in a layer's features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import Makes, check_executor
from cnnviz_widgets.engine.progress import Clock, Progress

from .answers import Answers
from .building import Build
from .opening import find, others_told
from .parts import Parts
from .plan import Pool, Settings, plan


class ActivationIndex(Answers):
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
    >>> import numpy as np
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
        check_executor(executor)
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
        shards = found.roster.shards(planned.settings.shard, planned.settings.batch)
        return cls(
            network,
            given,
            planned,
            found.roster,
            found.table.rows,
            Parts.of_records(found.archive.folder, done.parts),
            looked_at=sum(map(len, shards[: done.shards])),
            faults=done.faults,
            digest=found.digest,
            path=found.archive.folder.path,
        )

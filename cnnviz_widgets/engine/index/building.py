"""``building(network, images, ...) -> Progress, Progress, ...``: the long pass, one shard after the other.

Shards are measured here or by an executor's workers, and added up in order. Each is on disk before it counts, where there is a
path; stopping is not asking for more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import BuildError, Makes, WorkError
from cnnviz_widgets.engine.travel import Ticket, structure_of

from . import work
from .archive import SCHEMA, Archive, Done
from .measuring import Part
from .plan import Plan
from .roster import Roster
from .table import Table

THUMBNAIL = 128
"""Longest side of the thumbnails that an index keeps, in pixels."""


class Build:
    """A build under way: what is done, and how to go on.

    Parameters
    ----------
    path
        Where to keep it; None: in memory.
    workers
        Threads that decode images, in each process.
    device, threads
        For the workers of an executor; None: as here.
    """

    def __init__(
        self,
        network: Network,
        images: ImageSet,
        plan: Plan,
        *,
        path: str | Path | None,
        workers: int | None,
        device: str | None,
        threads: int | None,
    ) -> None:
        self.network, self.images, self.plan = network, images, plan
        self.workers, self.device, self.threads = workers, device, threads
        self.roster = Roster.of(images)
        self.digest, self._stamp = network.digest(), network.stamp()
        self.recipe = recipe_of(self.digest, network, plan, self.roster)
        self.archive = None if path is None else Archive.at(path, self.recipe)
        self.table = Table.empty(plan.units, plan.settings.k)
        self.parts: list[Part] = []
        self.done: Done | None = None
        self.faults: dict[int, str] = {}
        self.shards = self.roster.shards(plan.settings.shard, plan.settings.batch)

    @property
    def finished(self) -> bool:
        """Whether all shards are in."""
        return len(self.table.shards) == len(self.shards)

    @property
    def looked_at(self) -> int:
        """How many images are done, broken ones too."""
        return sum(len(self.shards[number]) for number in range(len(self.table.shards)))

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the archive, and take up what is in it."""
        with contextlib.ExitStack() as stack:
            if self.archive is not None:
                stack.enter_context(self.archive.folder.locked("building an index"))
                self.done = self.archive.begin(self.roster, {"network": self.network.name, "torch": torch.__version__})
                if self.done is not None:
                    self.table = self.archive.table(self.done)
                    self.faults = dict(self.done.faults)
            yield

    def steps(self, executor: Executor | Makes | None) -> Iterator[int]:
        """Images that are done, after each batch here, or each shard elsewhere.

        Raises
        ------
        BuildError
            The weights changed meanwhile, or workers failed.
        """
        rest = list(range(len(self.table.shards), len(self.shards)))
        if not rest:
            return
        if executor is None:
            yield from self._here(rest)
            return
        with contextlib.ExitStack() as stack:
            try:
                found = work.parts(executor, lambda pool: self._jobs(rest, pool, stack), self._floor)
                with contextlib.closing(found):  # before what the stack holds, which the workers may still read
                    for part in found:
                        self._take(part)
                        yield self.looked_at
            except WorkError as error:
                raise BuildError(
                    f"{error}. {self.looked_at:,} of {len(self.roster.ids):,} images are done; "
                    + ("call again to go on" if self.archive else "give path= to keep what is done, and call again")
                ) from error

    def _here(self, rest: Sequence[int]) -> Iterator[int]:
        with Ticket.of(self.network, None, digest=self.digest) as ticket:
            for number in rest:
                before = self.looked_at
                found = work.measuring(self._job(ticket, number), self.network, self._floor())
                with contextlib.closing(found):
                    for told in found:
                        if isinstance(told, Part):
                            self._take(told)
                            yield self.looked_at
                        elif told < len(self.shards[number]):
                            yield before + told

    def _jobs(self, rest: Sequence[int], executor: Executor, stack: contextlib.ExitStack) -> list[work.Job]:
        folder = self.archive.folder.path if self.archive else None
        ticket = stack.enter_context(
            Ticket.of(
                self.network,
                executor,
                digest=self.digest,
                folder=folder,
                device=self.device,
                threads=self.threads,
            )
        )
        jobs = [self._job(ticket, number) for number in rest]
        work.check_travels(jobs[0], executor)
        return jobs

    def _job(self, ticket: Ticket, number: int) -> work.Job:
        numbers = self.shards[number]
        chosen = self.images.subset([self.roster.ids[i] for i in numbers])
        chosen = replace(chosen, faults=())
        ranks = self.roster.ranks.numpy()[numbers]
        thumbnail = THUMBNAIL if self.archive else 0
        return work.Job(ticket, self.plan, number, chosen, numbers, ranks, thumbnail, self.workers)

    def _floor(self) -> np.ndarray:
        return self.table.keys[:, -1].numpy().copy()

    def _take(self, part: Part) -> None:
        if self.network.stamp() != self._stamp:
            raise BuildError(
                f"the network's weights changed while the index was built; {self.looked_at:,} of {len(self.roster.ids):,} images "
                "were measured with the former ones. Build again"
            )
        table = self.table.copy()
        table.merge(part.table)
        if self.archive is not None:
            self.done = self.archive.save(self.done, part, table)
        else:
            self.parts.append(replace(part, table=None, thumbnails=[], squares=[]))  # type: ignore[arg-type]
        self.table = table
        self.faults.update(part.faults)


def recipe_of(digest: str, network: Network, plan: Plan, roster: Roster) -> dict[str, Any]:
    """What an index is made from, as plain data."""
    return {
        "schema": SCHEMA,
        "weights": digest,
        "module": type(network.bare).__qualname__,
        "structure": structure_of(network.bare),
        "input": repr(network.input),
        "images": {"count": len(roster.ids), "digest": roster.digest},
        "plan": plan.to_data(),
    }

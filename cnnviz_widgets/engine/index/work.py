"""``parts(executor, jobs) -> Part, Part, ...``: shards measured elsewhere, in order, whatever happens to the workers.

All that is asked of an executor is ``submit`` with positional arguments and futures to wait for; retrying, ordering and keeping
few pieces under way happens here. A piece of work says everything by value, so it may be done twice, anywhere.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.travel import MENDS, Ticket, TravelError, is_process_pool

from .loading import batches
from .measuring import Measuring, Part
from .plan import Plan

TRIES = 3
UNDER_WAY = 8
"""Shards that are with the workers at a time, so that results that come too early do not fill the memory."""

Makes = Callable[[], Executor]


class WorkError(RuntimeError):
    """Workers that failed; what was done by then is kept where there is a path."""


@dataclass(frozen=True, eq=False)
class Job:
    """A shard to measure.

    Attributes
    ----------
    images
        Those of the shard, in its order, with their ``numbers`` and ``ranks``.
    thumbnail
        Longest side of the thumbnails in pixels; 0 for none.
    workers
        Threads that decode.
    """

    ticket: Ticket
    plan: Plan
    shard: int
    images: ImageSet
    numbers: np.ndarray
    ranks: np.ndarray
    thumbnail: int
    workers: int | None


def measured(job: Job, floor: np.ndarray | None, attempt: str) -> Part:
    """What a job gives; runs in a worker. ``attempt`` tells one try from another to engines that keep what they know."""
    *_, part = measuring(job, job.ticket.network(), floor)
    assert isinstance(part, Part)
    return part


def measuring(job: Job, network: Any, floor: np.ndarray | None) -> Iterator[int | Part]:
    """How many images of the job are done, after each batch; at last its `Part`."""
    # by image number; those of others are never looked at
    ranks = torch.full((int(job.numbers.max(initial=-1)) + 1,), 0, dtype=torch.int32)
    ranks[torch.from_numpy(job.numbers)] = torch.from_numpy(job.ranks)
    runs = Measuring(network, job.plan, ranks)
    try:
        loaded = batches(
            job.images,
            job.numbers.tolist(),
            network.input,
            job.plan.settings.batch,
            workers=job.workers,
            thumbnail=job.thumbnail,
        )
        yield from runs.shard(job.shard, loaded, None if floor is None else torch.from_numpy(floor))
    finally:
        runs.close()


def parts(
    executor: Executor | Makes, jobs_for: Callable[[Executor], Sequence[Job]], floor: Callable[[], np.ndarray]
) -> Iterator[Part]:
    """The jobs' parts in their order.

    Parameters
    ----------
    executor
        An executor, or a function that makes one, which is asked again where a pool broke.
    jobs_for
        Gives the jobs as an executor must be told them.
    floor
        Gives the keys that entries must exceed by now.

    Raises
    ------
    WorkError
        A pool broke, or a shard failed `TRIES` times.
    """
    makes = None if isinstance(executor, Executor) else executor
    current = executor if isinstance(executor, Executor) else executor()
    pool = _Pool(check(current), floor)
    jobs = jobs_for(current)
    tries, at = 0, 0
    try:
        while at < len(jobs):
            try:
                for part in pool.run(jobs[at:]):
                    tries = 0
                    at += 1
                    yield part
            except BrokenExecutor as error:
                tries += 1
                if makes is None or tries >= TRIES:
                    raise WorkError(
                        f"the pool broke ({_first_line(error)}); given a function that makes a pool, executor= goes on by itself"
                    ) from error
                pool.drop()
                current.shutdown(wait=False, cancel_futures=True)
                current = makes()
                pool = _Pool(check(current), floor)
                jobs = jobs_for(current)
    finally:
        pool.drop()
        if makes is not None:
            current.shutdown(wait=True, cancel_futures=True)


def check(executor: Any) -> Executor:
    """An executor as it is.

    Raises
    ------
    TypeError
        It is none.
    """
    if not isinstance(executor, Executor):
        raise TypeError(
            f"executor={type(executor).__name__}; expected a concurrent.futures.Executor, such as ThreadPoolExecutor(2) or "
            "Dask's client.get_executor(), or a function that makes one"
        )
    return executor


def check_travels(job: Job, executor: Executor) -> None:
    """Find out before anything runs whether the images can be sent.

    Raises
    ------
    TravelError
        They can't be pickled.
    """
    if not is_process_pool(executor):
        return
    try:
        pickle.dumps((job.images, job.plan))
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError and what a __reduce__ raises
        raise TravelError(f"the images can't be sent to a process pool: {error}; {MENDS}") from error


class _Pool:
    """Keeps some jobs under way on one executor, and hands out their parts in order."""

    def __init__(self, executor: Executor, floor: Callable[[], np.ndarray]) -> None:
        self._executor, self._floor = executor, floor
        self._run = uuid.uuid4().hex
        self._futures: dict[int, Future[Part]] = {}
        self._tries: dict[int, int] = {}

    def run(self, jobs: Sequence[Job]) -> Iterator[Part]:
        """The parts of these jobs."""
        self._futures, self._tries = {}, {}
        sent = 0
        for at in range(len(jobs)):
            while True:
                while sent < len(jobs) and sent < at + UNDER_WAY:
                    self._submit(sent, jobs[sent])
                    sent += 1
                wait(list(self._futures.values()), return_when=FIRST_COMPLETED)
                self._retry(jobs)
                if self._futures[at].done():
                    break
            yield self._futures.pop(at).result()

    def _submit(self, at: int, job: Job) -> None:
        self._tries[at] = self._tries.get(at, 0) + 1
        # a keyword argument may be taken for one of the engine's own, and equal calls for one and the same
        self._futures[at] = self._executor.submit(measured, job, self._floor(), f"{self._run} {at} {self._tries[at]}")

    def _retry(self, jobs: Sequence[Job]) -> None:
        for at, future in list(self._futures.items()):
            error = future.exception() if future.done() and not future.cancelled() else None
            if future.cancelled():
                error = RuntimeError("the executor cancelled it")
            if error is None:
                continue
            if isinstance(error, BrokenExecutor):
                raise error
            if self._tries[at] >= TRIES:
                raise WorkError(
                    f"shard {jobs[at].shard} failed {TRIES} times, at last with: {_first_line(error)}"
                ) from error
            self._submit(at, jobs[at])

    def drop(self) -> None:
        """Take back what has not begun."""
        for future in self._futures.values():
            future.cancel()


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""``parts(executor, jobs) -> Part, Part, ...``: shards measured elsewhere, in order.

What happens where workers fail is told in `cnnviz_widgets.engine.pool`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.pool import Makes, results
from cnnviz_widgets.engine.travel import Ticket, pickled

from .loading import batches
from .measuring import Measuring, Part
from .plan import Plan


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

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        # else each image is looked at, although the attempt tells the work from all other
        return self.shard, *self.ticket.__dask_tokenize__()


def measured(job: Job, floor: np.ndarray | None, attempt: str) -> Part:
    """What a job gives; runs in a worker. ``attempt`` tells one try from another to engines that keep what they know."""
    *_, part = measuring(job, job.ticket.network(), floor)
    assert isinstance(part, Part)
    return part


def measuring(job: Job, network: Any, floor: np.ndarray | None) -> Generator[int | Part]:
    """How many images of the job are done, after each batch; at last its `Part`."""
    # by image number; those of others are never looked at
    ranks = torch.full((int(job.numbers.max(initial=-1)) + 1,), 0, dtype=torch.int32)
    # copies: what came from elsewhere may be read only
    ranks[torch.tensor(job.numbers)] = torch.tensor(job.ranks)
    settings = job.plan.settings
    with contextlib.closing(Measuring(network, job.plan, ranks)) as runs:
        loaded = batches(
            job.images,
            job.numbers.tolist(),
            network.input,
            settings.batch,
            workers=job.workers,
            thumbnail=job.thumbnail,
        )
        # its threads end here, also where a traceback holds on to the generator
        with contextlib.closing(loaded):
            yield from runs.shard(job.shard, loaded, None if floor is None else torch.tensor(floor))


def parts(
    executor: Executor | Makes, jobs_for: Callable[[Executor], Sequence[Job]], floor: Callable[[], np.ndarray]
) -> Generator[Part]:
    """The jobs' parts in their order; ``jobs_for`` and errors as of `pool.results`.

    Parameters
    ----------
    floor
        Gives the keys that entries must exceed by now.
    """
    return results(
        executor,
        jobs_for,
        lambda job, attempt: (measured, job, floor(), attempt),
        lambda job: f"shard {job.shard}",
    )


def check_travels(job: Job, executor: Executor) -> None:
    """Find out before anything runs whether the images can be sent.

    Raises
    ------
    TravelError
        They can't be pickled.
    """
    if not isinstance(executor, ThreadPoolExecutor):
        pickled((job.images, job.plan), executor, "the images")

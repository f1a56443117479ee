"""``results(executor, jobs, call) -> Result, Result, ...``: work done elsewhere, in order, whatever happens to the workers.

All that is asked of an executor is ``submit`` with positional arguments and futures to wait for; retrying, ordering and keeping
few pieces under way happens here. A piece of work says everything by value, so it may be done twice, anywhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any, Generic, TypeVar

from .travel import refuse_forks

TRIES = 3
UNDER_WAY = 8
"""Pieces of work that are with the workers at a time, or two for each worker where these are more: no worker waits, and results
that come too early do not fill the memory."""

Job = TypeVar("Job")
Makes = Callable[[], Executor]
Call = Callable[[Job, str], tuple[Any, ...]]
"""A job, and a text that tells one try from another to engines that keep what they know -> a function and its arguments."""


class WorkError(RuntimeError):
    """Workers that failed; what was done by then is kept where there is a path."""


class BuildError(RuntimeError):
    """A build that ended before its time; what was done by then is kept where there is a path."""


def results(
    executor: Executor | Makes,
    jobs_for: Callable[[Executor], Sequence[Job]],
    call: Call[Job],
    name: Callable[[Job], str],
) -> Generator[Any]:
    """What the jobs give, in their order.

    Parameters
    ----------
    executor
        An executor, or a function that makes one, which is asked again where a pool broke.
    jobs_for
        Gives the jobs as an executor must be told them.
    call
        What is to be run for a job.
    name
        How an error calls a job.

    Raises
    ------
    TypeError
        No executor, and nothing that makes one.
    WorkError
        A pool broke, or a job failed `TRIES` times.
    """
    makes = executor if callable(executor) and not isinstance(executor, Executor) else None
    pool: _Pool[Job] | None = None
    at = broken = 0
    finished = False
    try:
        while not finished:
            pool = _Pool(check(makes() if makes else executor), call, name)
            jobs = jobs_for(pool.executor)
            try:
                for result in pool.run(jobs[at:]):
                    broken, at = 0, at + 1
                    yield result
                finished = True
            except BrokenExecutor as error:
                broken += 1
                if makes is None or broken == TRIES:
                    raise WorkError(_broken(error, name(jobs[at]), makes is not None)) from error
                pool.close(shutdown=True)
    finally:
        if pool is not None:
            pool.close(shutdown=makes is not None, wait=finished)


def _broken(error: BaseException, job: str, makes: bool) -> str:
    if makes:
        return f"{TRIES} pools broke in a row, at last with: {first_line(error)}; {job} may be too much for a worker"
    return f"the pool broke ({first_line(error)}); given a function that makes a pool, executor= goes on by itself"


def check_executor(executor: Any) -> None:
    """Raise ``TypeError`` or `TravelError` for what can't be asked to work; a function is asked for its executor later."""
    if executor is None or (callable(executor) and not isinstance(executor, Executor)):
        return
    refuse_forks(check(executor))


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


class _Pool(Generic[Job]):
    """Keeps some jobs under way on one executor, and hands out their results in order."""

    def __init__(self, executor: Executor, call: Call[Job], name: Callable[[Job], str]) -> None:
        self.executor, self._call, self._name = executor, call, name
        self._run = uuid.uuid4().hex
        self._futures: dict[int, Future[Any]] = {}
        self._tries: dict[int, int] = {}

    def run(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """What these jobs give."""
        sent = 0
        for at in range(len(jobs)):
            ahead = min(len(jobs), at + max(UNDER_WAY, 2 * _workers(self.executor)))
            for new in range(sent, ahead):
                self._submit(new, jobs[new])
            sent = max(sent, ahead)
            # what is there is handed out before others are seen to, which may be lost
            while not self._came(at):
                self._retry(jobs)
                wait([one for one in self._futures.values() if not one.done()], return_when=FIRST_COMPLETED)
            yield self._futures.pop(at).result()

    def _came(self, at: int) -> bool:
        future = self._futures[at]
        return future.done() and not future.cancelled() and future.exception() is None

    def _submit(self, at: int, job: Job) -> None:
        self._tries[at] = self._tries.get(at, 0) + 1
        try:
            # a keyword argument may be taken for one of the engine's own, and equal calls for one and the same
            self._futures[at] = self.executor.submit(*self._call(job, f"{self._run} {at} {self._tries[at]}"))
        except BrokenExecutor:
            raise
        except Exception as error:  # such as RuntimeError after a shutdown
            raise WorkError(f"{type(self.executor).__name__} takes no work: {first_line(error)}") from error

    def _retry(self, jobs: Sequence[Job]) -> None:
        for at, future in list(self._futures.items()):
            if not future.done() or self._came(at):
                continue
            error = RuntimeError("the executor cancelled it") if future.cancelled() else future.exception()
            assert error is not None
            if isinstance(error, BrokenExecutor):
                raise error
            if self._tries[at] >= TRIES:
                raise WorkError(
                    f"{self._name(jobs[at])} failed {TRIES} times, at last with: {first_line(error)}"
                ) from error
            self._submit(at, jobs[at])

    def close(self, *, shutdown: bool, wait: bool = False) -> None:
        """Take back what has not begun; ``shutdown`` ends the executor, which may not know to cancel anything itself."""
        for future in self._futures.values():
            future.cancel()
        if shutdown:
            self.executor.shutdown(wait=wait)


def _workers(executor: Any) -> int:
    """How many workers there are by now, where that can be told; 0 else."""
    if (client := getattr(executor, "_client", None)) is not None:  # Dask
        try:
            return sum(client.nthreads().values())
        except Exception:  # a client that is closed, which tells so itself when it is given work
            return 0
    known = getattr(executor, "_max_workers", 0)
    return known if isinstance(known, int) else 0


def first_line(error: BaseException) -> str:
    """``"OverflowError: too large"``, for a sentence of another error."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""Shards that are measured elsewhere: whatever measures them, and whatever happens to it, the index is the same bit for bit."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnviz_widgets.engine import pool as pools
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex, work
from cnnviz_widgets.engine.index.building import BuildError
from cnnviz_widgets.engine.travel import Ticket
from tests.engine.index import builds
from tests.engine.index.travelling import (
    NOTEBOOK,
    Backwards,
    Elsewhere,
    Inline,
    Threads,
    Watched,
    troubled,
)

ROOT = Path(__file__).parents[3]
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Workers find the tests, and their threads do not spin while they wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        yield


@pytest.fixture(scope="module")
def processes(environment: None) -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        yield pool


@pytest.fixture(scope="module")
def dask(environment: None) -> Iterator[Any]:
    """A client of two workers."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that had no executor."""
    path = tmp_path_factory.mktemp("whole")
    builds.build(path)
    return path


def check(executor: Any, whole: Path, path: Path) -> None:
    """With it, in memory and on disk, an index is what it is without it."""
    plain = ActivationIndex.open(whole, builds.network(), builds.images())
    builds.same(builds.build(None, executor=executor), plain)
    with builds.counted():
        builds.same(builds.build(path, executor=executor), plain)
    assert builds.contents(path) == builds.contents(whole)


@pytest.mark.parametrize("executor", [Inline, Elsewhere, Threads], ids=lambda kind: kind.__name__)
def test_executors_of_ones_own_give_the_same_index(executor: type[Executor], whole: Path, tmp_path: Path) -> None:
    check(executor(), whole, tmp_path)


def test_threads_give_the_same_index(whole: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        check(pool, whole, tmp_path)


def test_processes_give_the_same_index(processes: Executor, whole: Path, tmp_path: Path) -> None:
    check(processes, whole, tmp_path)


@pytest.mark.long
def test_loky_gives_the_same_index(whole: Path, tmp_path: Path) -> None:
    import loky

    with loky.ProcessPoolExecutor(2) as pool:
        check(pool, whole, tmp_path)


def test_dask_gives_the_same_index(dask: Any, whole: Path, tmp_path: Path) -> None:
    executor = dask.get_executor()
    check(executor, whole, tmp_path)
    assert pools._workers(executor) == 2
    check(lambda: dask.get_executor(pure=False), whole, tmp_path / "made")


def test_results_that_come_backwards_give_the_same_index(whole: Path, tmp_path: Path) -> None:
    for path in (None, tmp_path):
        executor = Backwards(builds.SHARDS)
        found = builds.build(path, executor=executor)
        assert executor.order == [4, 3, 2, 1, 0]
        builds.same(found, ActivationIndex.open(whole, builds.network(), builds.images()))
    assert builds.contents(tmp_path) == builds.contents(whole)


def test_waiting_for_a_slow_shard_does_not_keep_a_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    original = pools.wait

    def wait(futures: list[Future[Any]], **more: Any) -> Any:
        waits.append(len(futures))
        return original(futures, **more)

    monkeypatch.setattr(pools, "wait", wait)
    executor = Backwards(builds.SHARDS)
    builds.build(None, executor=executor)
    assert 1 <= len(waits) <= builds.SHARDS
    assert all(waits)


class Held(Elsewhere):
    """Counts the pieces of work that it was given and whose results were not taken yet."""

    def __init__(self, workers: int | None = None) -> None:
        super().__init__()
        self.most = self.taken = 0
        if workers:
            self._max_workers = workers

    def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        future = super().submit(call, *arguments)
        self.most = max(self.most, len(self.sent) - self.taken)
        return future


@pytest.mark.parametrize(("workers", "expected"), [(None, 8), (2, 8), (6, 12), (100, 20)])
def test_as_many_shards_are_under_way_as_the_workers_need(workers: int | None, expected: int) -> None:
    executor = Held(workers)
    for progress in builds.building(None, given=builds.images(20 * 4), shard=4, executor=executor):
        executor.taken = progress.done // 4
    assert executor.most == expected


def test_progress_is_told_shard_by_shard(tmp_path: Path) -> None:
    told = [(one.done, one.result.looked_at) for one in builds.building(tmp_path, executor=Inline())]
    assert told == [(done, done) for done in (0, 8, 16, 24, 32, 40)]


def test_a_build_goes_on_with_an_executor_and_without(whole: Path, tmp_path: Path) -> None:
    executors = (None, Inline(), Elsewhere(), None)
    for executor in executors:
        steps = builds.building(tmp_path, executor=executor)
        before = next(steps).done
        while next(steps).done < before + builds.SHARD:
            pass
        steps.close()  # type: ignore[attr-defined]
    assert builds.done_in(tmp_path) == len(executors)
    builds.build(tmp_path, executor=Elsewhere())
    assert builds.contents(tmp_path) == builds.contents(whole)


def test_a_shard_that_fails_twice_is_tried_again(whole: Path, tmp_path: Path) -> None:
    executor = Elsewhere()
    index = builds.build(tmp_path / "index", given=troubled(tmp_path / "trouble", 2), executor=executor)
    assert len(executor.sent) == builds.SHARDS + 2
    assert index.faults == ()
    assert builds.contents(tmp_path / "index") == builds.contents(whole)


def test_a_shard_that_always_fails_ends_the_build_which_can_go_on(whole: Path, tmp_path: Path) -> None:
    images = troubled(tmp_path / "trouble", 3, place=0)
    with pytest.raises(BuildError) as told:
        builds.build(tmp_path / "index", given=images, executor=Elsewhere())
    done = builds.done_in(tmp_path / "index")
    assert str(told.value) == (
        f"shard {done} failed 3 times, at last with: OverflowError: trouble 2. {done * builds.SHARD} of 40 images are done; "
        "call again to go on"
    )
    assert 0 < done < builds.SHARDS
    executor = Elsewhere()
    builds.build(tmp_path / "index", given=images, executor=executor)
    assert len(executor.sent) == builds.SHARDS - done
    assert builds.contents(tmp_path / "index") == builds.contents(whole)


def test_a_build_in_memory_that_ends_tells_of_paths(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="images are done; give path= to keep what is done, and call again"):
        builds.build(None, given=troubled(tmp_path / "trouble", 3), executor=Elsewhere())


def test_what_came_before_a_pool_broke_is_kept(tmp_path: Path) -> None:
    class Breaking(Elsewhere):
        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            future = super().submit(call, *arguments)
            if len(self.sent) == 4:
                future = Future()
                future.set_exception(pools.BrokenExecutor("a worker is gone"))
            return future

    with pytest.raises(BuildError, match=r"pool broke \(BrokenExecutor: a worker is gone\).* 24 of 40 images are done"):
        builds.build(tmp_path, executor=Breaking())
    assert builds.done_in(tmp_path) == 3


def test_a_pool_that_takes_no_work_is_told(tmp_path: Path) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(BuildError, match=r"ThreadPoolExecutor takes no work: RuntimeError: cannot schedule .* 0 of 40"):
        builds.build(tmp_path, executor=pool)


@pytest.mark.long
def test_a_killed_worker_of_a_given_pool_ends_the_build_which_can_go_on(whole: Path, tmp_path: Path) -> None:
    images = troubled(tmp_path / "killed", 1, kills=True)
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
        pytest.raises(BuildError, match=r"the pool broke \(BrokenProcessPool.* of 40 images are done; call again"),
    ):
        builds.build(tmp_path / "index", given=images, executor=pool)
    done = builds.done_in(tmp_path / "index")
    with builds.counted() as measured:
        builds.build(tmp_path / "index", given=images)
    assert measured == list(range(done, builds.SHARDS))
    assert builds.contents(tmp_path / "index") == builds.contents(whole)


def test_pools_that_are_made_as_needed_finish_by_themselves(whole: Path, tmp_path: Path) -> None:
    made: list[ProcessPoolExecutor] = []

    def make() -> Executor:
        made.append(ProcessPoolExecutor(1, mp_context=SPAWN))
        return made[-1]

    images = troubled(tmp_path / "killed", 1, kills=True)
    builds.build(tmp_path / "index", given=images, executor=make)
    assert len(made) == 2
    assert builds.contents(tmp_path / "index") == builds.contents(whole)
    with pytest.raises(RuntimeError, match="shutdown"):
        made[-1].submit(print)


def test_pools_that_break_again_and_again_are_told(tmp_path: Path) -> None:
    class Broken(Inline):
        ended = 0

        def submit(self, *_: Any) -> Future[Any]:  # type: ignore[override]
            raise pools.BrokenExecutor("no worker lives")

        def shutdown(self, wait: bool = True) -> None:  # type: ignore[override]
            Broken.ended += 1  # as Dask's, which takes no other argument

    with pytest.raises(BuildError, match=r"3 pools broke in a row, .*no worker lives; shard 0 may be too much"):
        builds.build(tmp_path, executor=Broken)
    assert Broken.ended == 3


def test_dask_finishes_though_a_worker_is_killed(dask: Any, whole: Path, tmp_path: Path) -> None:
    images = troubled(tmp_path / "killed", 1, kills=True)
    builds.build(tmp_path / "index", given=images, executor=dask.get_executor())
    assert (tmp_path / "killed 0").exists()
    assert builds.contents(tmp_path / "index") == builds.contents(whole)


def test_a_build_that_is_stopped_takes_back_what_has_not_begun(tmp_path: Path) -> None:
    class Slow(Executor):
        def __init__(self) -> None:
            self.futures: list[Future[Any]] = []

        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            future = Inline().submit(call, *arguments) if not self.futures else Future()
            self.futures.append(future)
            return future

    executor = Slow()
    steps = builds.building(tmp_path, executor=executor)
    while next(steps).done < builds.SHARD:
        pass
    assert not any(future.cancelled() for future in executor.futures)
    steps.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in executor.futures] == [False, True, True, True, True]
    assert not list(tmp_path.rglob("weights-*"))
    assert builds.build(tmp_path).complete  # the folder is free


def test_a_closed_client_of_dask_is_told(dask: Any, tmp_path: Path) -> None:
    import distributed

    with distributed.Client(dask.scheduler.address) as client:
        executor = client.get_executor()
    with pytest.raises(BuildError, match="ClientExecutor takes no work"):
        builds.build(tmp_path, executor=executor)


def test_an_executor_that_cancels_is_asked_again(whole: Path, tmp_path: Path) -> None:
    class Cancelling(Elsewhere):
        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            future = super().submit(call, *arguments)
            if len(self.sent) == 2:
                future = Future()
                future.cancel()
            return future

    builds.build(tmp_path, executor=Cancelling())
    assert builds.contents(tmp_path) == builds.contents(whole)


def test_what_a_notebook_defines_goes_with_dask(dask: Any) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, names)
    net, images = builds.network_of(names["Own"]()), ImageSet.from_dataset(names["Images"]())
    builds.same(builds.build(None, net, images, executor=dask.get_executor()), builds.build(None, net, images))


def test_a_network_is_loaded_once_in_each_process_and_runs_with_as_many_threads_as_told(
    processes: Executor, tmp_path: Path
) -> None:
    net = builds.network_of(Watched(tmp_path / "log"))
    builds.build(None, net, executor=processes, threads=1)
    told = Counter((tmp_path / "log").read_text().splitlines())
    workers = {line.split()[0] for line in told}
    assert 1 <= len(workers) <= 2
    assert str(os.getpid()) not in workers
    assert all(told[f"{worker} loaded"] == 1 for worker in workers)
    assert {line.partition(" ")[2] for line in told} == {"loaded", "ran with 1 threads"}


def test_a_job_costs_dask_no_look_at_its_images() -> None:
    from dask.base import tokenize

    class Job(work.Job):
        pass

    net = builds.network()
    with Ticket.of(net, None, digest=net.digest()) as ticket:
        job = Job(ticket, None, 3, None, np.arange(2), np.arange(2), 0, None)  # type: ignore[arg-type]
        other = Job(ticket, None, 4, None, np.arange(2), np.arange(2), 0, None)  # type: ignore[arg-type]
        assert tokenize(job, "one") == tokenize(job, "one") != tokenize(job, "another")
        assert tokenize(job) != tokenize(other)

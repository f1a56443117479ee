"""Images that are synthesized elsewhere, or in another order: whatever happens, they are the same bit for bit."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from dask.base import tokenize
from torch import Tensor

from cnnviz_widgets.engine import pool as pools
from cnnviz_widgets.engine.atlas import synthesis
from cnnviz_widgets.engine.pool import BuildError
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Regularizer
from cnnviz_widgets.engine.travel import Ticket, TravelError
from tests.engine.atlas import builds
from tests.engine.index.travelling import Backwards, Elsewhere, Inline, Threads

ROOT = Path(__file__).parents[3]
SPAWN = multiprocessing.get_context("spawn")
STAGES = 2 * builds.CHUNKS


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Workers find the tests, and their threads do not spin while they wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that had no executor."""
    path = tmp_path_factory.mktemp("whole")
    builds.build(path)
    return path


def check(executor: Any, whole: Path, path: Path) -> None:
    """With it, in memory and on disk, an atlas is what it is without it."""
    kept = builds.build(path, executor=executor)
    assert builds.contents(path) == builds.contents(whole)
    assert builds.pictures(builds.build(None, executor=executor)) == builds.pictures(kept)
    assert len(builds.pictures(kept)) == 9


@pytest.mark.parametrize("executor", [Inline, Elsewhere, Threads], ids=lambda kind: kind.__name__)
def test_executors_of_ones_own_give_the_same_images(executor: type[Executor], whole: Path, tmp_path: Path) -> None:
    check(executor(), whole, tmp_path)


def test_threads_give_the_same_images(whole: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        check(pool, whole, tmp_path)


def test_processes_give_the_same_images(whole: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        check(pool, whole, tmp_path)


@pytest.mark.long
def test_loky_gives_the_same_images(whole: Path, tmp_path: Path) -> None:
    import loky

    with loky.ProcessPoolExecutor(2) as pool:
        check(pool, whole, tmp_path)


@pytest.mark.long
def test_dask_gives_the_same_images(whole: Path, tmp_path: Path) -> None:
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        check(client.get_executor(), whole, tmp_path)


def test_work_that_is_done_backwards_gives_the_same_images(whole: Path, tmp_path: Path) -> None:
    # as many as there are under way are waited for
    executor = Backwards(STAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "UNDER_WAY", STAGES)
        builds.build(tmp_path, executor=executor)
    assert executor.order == list(reversed(range(STAGES)))
    assert builds.contents(tmp_path) == builds.contents(whole)


def test_layers_units_and_recipes_in_another_order_give_the_same_images(tmp_path: Path) -> None:
    one = builds.build(None, units={"2": [0, 1, 3], "4": [5, 2]}, recipes=["lucid", "yosinski-4"])
    other = builds.build(None, units={"4": [2, 5], "2": [3, 0, 1]}, recipes=["yosinski-4", "lucid"])
    assert builds.pictures(one) == builds.pictures(other)
    assert [unit.channel for unit in other.units("2")] == [3, 0, 1]


def test_more_units_and_recipes_cost_only_themselves(tmp_path: Path) -> None:
    few = builds.build(tmp_path, layers=["2", "4"], units=2)
    with builds.counted() as climbed:
        more = builds.build(tmp_path, layers=["2", "4"], units=4, recipes=["default", "lucid"])
    before, after = builds.pictures(few), builds.pictures(more)
    assert before.items() <= after.items()
    assert len(after) == 16
    assert sorted(set(climbed)) == sorted(
        {(unit, steps) for unit in ("2[0, center]", "2[2, center]", "4[0, center]", "4[2, center]") for steps in (2, 7)}
    )
    assert len(climbed) == 2 * (2 + 4)  # the units that are new by the first recipe, and all by the second
    builds.build(tmp_path / "anew", layers=["2", "4"], units=4, recipes=["default", "lucid"])
    found, anew = builds.contents(tmp_path / few.path.name), builds.contents(tmp_path / "anew" / few.path.name)  # type: ignore[union-attr]
    assert found == anew


def test_a_build_goes_on_with_an_executor_and_without(whole: Path, tmp_path: Path) -> None:
    for executor in (None, Inline(), Elsewhere(), None):
        steps = builds.built(tmp_path, executor=executor)
        before = next(steps).done
        while next(steps).done < before + builds.CHUNK * builds.STEPS:
            pass
        steps.close()  # type: ignore[attr-defined]
    assert 0 < builds.finished_in(tmp_path) < 9
    builds.build(tmp_path, executor=Elsewhere())
    assert builds.contents(tmp_path) == builds.contents(whole)


def test_an_executor_that_always_fails_ends_the_build_which_can_go_on(whole: Path, tmp_path: Path) -> None:
    class Failing(Elsewhere):
        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            if arguments[0].places[0].unit.layer.name == "4":
                return Inline.submit(self, _fail)
            return super().submit(call, *arguments)

    with pytest.raises(
        BuildError,
        match=r"the images of 4\[0, center\] and others by 'default' failed 3 times, at last with: OSError: no room\. "
        r"6 of 81 steps are done; call again to go on",
    ):
        builds.build(tmp_path, executor=Failing())
    builds.build(tmp_path)
    assert builds.contents(tmp_path) == builds.contents(whole)
    with pytest.raises(BuildError, match="give path= to keep what is done"):
        builds.build(None, executor=Failing())


def _fail() -> None:
    raise OSError("no room")


def test_pools_that_break_are_made_anew(whole: Path, tmp_path: Path) -> None:
    made: list[Executor] = []

    class Breaking(Inline):
        def __init__(self) -> None:
            self.left = 5

        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            self.left -= 1
            if self.left < 0:
                future: Future[Any] = Future()
                future.set_exception(pools.BrokenExecutor("a worker is gone"))
                return future
            return super().submit(call, *arguments)

    def make() -> Executor:
        made.append(Breaking())
        return made[-1]

    builds.build(tmp_path, executor=make)
    assert len(made) == 3
    assert builds.contents(tmp_path) == builds.contents(whole)
    with pytest.raises(BuildError, match="the pool broke"):
        builds.build(tmp_path / "given", executor=Breaking())


def test_what_is_no_executor_is_told_at_once() -> None:
    with pytest.raises(TypeError, match=r"executor=int; expected a concurrent\.futures\.Executor"):
        builds.build(None, executor=3)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool, pytest.raises(TravelError):
        builds.build(None, executor=pool)


def test_a_recipe_that_can_not_travel_is_told() -> None:
    @dataclass(frozen=True)
    class Own(Regularizer):
        def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
            return image

    try:
        with (
            ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
            pytest.raises(TravelError, match="a recipe can't be sent to the workers of ProcessPoolExecutor"),
        ):
            builds.build(None, recipes=Recipe(regularizers=[Own()]), executor=pool)
    finally:
        Regularizer.registry.pop("Own")


def test_a_job_costs_dask_no_look_at_its_recipes() -> None:
    class Job(synthesis.Job):
        pass

    net = builds.network()
    atlas = builds.build(None, net, layers="7", steps=1)
    with Ticket.of(net, None, digest=net.digest()) as ticket:
        jobs = [Job(ticket, atlas.plan.chunks[at], 3, True) for at in (0, 0, 1)]
        assert tokenize(jobs[0]) == tokenize(jobs[1]) != tokenize(jobs[2])


def test_a_build_that_is_stopped_takes_back_what_has_not_begun(tmp_path: Path) -> None:
    class Slow(Executor):
        def __init__(self) -> None:
            self.futures: list[Future[Any]] = []

        def submit(self, call: Any, /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            future = Inline().submit(call, *arguments) if not self.futures else Future()
            self.futures.append(future)
            return future

    executor = Slow()
    steps = builds.built(tmp_path, executor=executor)
    while not next(steps).done:
        pass
    steps.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in executor.futures] == [False, *[True] * (len(executor.futures) - 1)]
    assert len(executor.futures) > 4
    assert not list(tmp_path.rglob("weights-*"))
    assert builds.build(tmp_path).complete  # the folder is free

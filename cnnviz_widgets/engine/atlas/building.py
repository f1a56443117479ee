"""``Build``: the synthesis of an atlas, chunk after chunk, first all of them for a few steps, then each to its end.

Chunks climb here, side by side, or with an executor's workers. Each image is on disk before it counts, where there is a path;
stopping is not asking for more.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from cnnviz_widgets.engine import pool
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import BuildError, Makes, WorkError
from cnnviz_widgets.engine.progress import Clock, Progress
from cnnviz_widgets.engine.side_by_side import side_by_side, workers_for
from cnnviz_widgets.engine.travel import Ticket, pickled

from .pace import Pace, Stage
from .plan import Plan
from .shelf import Shelf, made_of
from .synthesis import Job, Made, made, synthesizing

Result = TypeVar("Result")


class Build:
    """A build under way: what there is, and how to go on.

    Parameters
    ----------
    path
        Where to keep it; None: in memory.
    device
        For the workers of an executor; None: as here.
    threads
        torch's threads for each chunk on a CPU; None: one.

    Attributes
    ----------
    done, total
        Steps of single images, those of all stages.
    version
        Counts the times that an image came.
    """

    def __init__(
        self, network: Network, plan: Plan, *, path: str | Path | None, device: str | None, threads: int | None
    ) -> None:
        self.network, self.plan = network, plan
        self.device, self.threads = device, threads or 1
        self.digest, self._stamp = network.digest(), network.stamp()
        self.made_of = made_of(network, self.digest)
        self.shelf = Shelf.at(path, self.made_of)
        self.failed: dict[str, str] = {}
        self.version = 0
        names = list(network.layers)
        self._pace = Pace({name: (number + 1) / len(names) for number, name in enumerate(names)})

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder, and take up what is in it."""
        told = {"network": self.network.name, "torch": torch.__version__}
        with self.shelf.opened(self.made_of, self.plan, told):
            stages = self._stages()
            self._rest = [stage for stage in stages if self._lacks(stage)]
            self.total = sum(map(_size, stages))
            self.done = self.total - sum(map(_size, self._rest))
            self._cost = sum(map(self._cost_of, stages))
            self._spent = self._cost - sum(map(self._cost_of, self._rest))
            self._clocks = Clock(self.done, self.total), Clock(round(self._spent), round(self._cost))
            self._under_way: dict[int, tuple[Stage, int]] = {}
            self._seconds, self._workers = 0.0, 1
            yield

    def _stages(self) -> list[Stage]:
        """First every chunk's first stage, then every chunk's second one, if it has one."""
        rounds: list[list[Stage]] = [[], []]
        for chunk in self.plan.chunks:
            stages = self.plan.stages(chunk)
            for number, steps in enumerate(stages):
                rounds[number].append((chunk, steps, number == len(stages) - 1))
        return [*rounds[0], *rounds[1]]

    def _lacks(self, stage: Stage) -> bool:
        places, _, finished = stage
        enough = ("final", "fault") if finished else ("coarse", "final", "fault")
        return any(self.shelf.kind(place.key) not in enough for place in places)

    def _cost_of(self, stage: Stage) -> float:
        """About how long a stage takes, for the time that is left: steps are not alike."""
        return stage[1] * self._pace.cost(stage)

    def progress(self, result: Result, told: str = "") -> Progress[Result]:
        """How far it is, with what is under way."""
        begun = [(stage, min(1.0, step / stage[1])) for stage, step in self._under_way.values()]
        done = self.done + round(sum(share * _size(stage) for stage, share in begun))
        spent = self._spent + sum(share * self._cost_of(stage) for stage, share in begun)
        steps, costs = self._clocks
        now, left = steps.at(done, result, told), costs.at(round(spent), None).left
        if self._pace.known:
            seconds = self._seconds - sum(share * self._pace.seconds(stage) for stage, share in begun)
            longest = max((self._pace.seconds(stage) for stage in self._rest[-self._workers :]), default=0.0)
            left = max(seconds / self._workers, min(seconds, longest))
        return now if now.done >= now.total else replace(now, left=left)

    def steps(self, executor: Executor | Makes | None) -> Iterator[None]:
        """Whenever it has got on: after each step here, or after each stage elsewhere.

        Raises
        ------
        BuildError
            The weights changed meanwhile, or workers failed.
        """
        if not self._rest:
            return
        if executor is None:
            yield from self._here()
            return
        rest = list(self._rest)  # a pool that takes the place of a broken one is told the same jobs
        with contextlib.ExitStack() as stack:
            try:
                found = pool.results(
                    executor,
                    lambda workers: self._jobs(rest, workers, stack),
                    lambda job, attempt: (made, job, attempt),
                    str,
                )
                with contextlib.closing(found):  # before what the stack holds, which the workers may still read
                    for result in found:
                        self._take(self._rest[0], result)
                        yield
            except WorkError as error:
                raise BuildError(
                    f"{error}. {self.done:,} of {self.total:,} steps are done; "
                    + (
                        "call again to go on"
                        if self.shelf.folder
                        else "give path= to keep what is done, and call again"
                    )
                ) from error

    def _here(self) -> Iterator[None]:
        stages = list(self._rest)
        spans: list[list[float]] = [[] for _ in stages]
        on_cpu = self.network.device.type == "cpu"
        threads = self.threads if on_cpu else torch.get_num_threads()
        # a module that can't be copied is the user's own, who may use it while this rests
        at_once = on_cpu and self.network.copies
        self._workers = workers_for(threads) if at_once else 1
        with Ticket.of(self.network, None, digest=self.digest, threads=threads) as ticket:
            tasks = [functools.partial(synthesizing, Job(ticket, *stage), self.network) for stage in stages]
            with contextlib.closing(side_by_side(tasks, self._workers, threads)) as found:
                for number, told, seconds in found:
                    stage = stages[number]
                    spans[number].append(seconds)
                    if isinstance(told, Made):
                        self._pace.learn(stage, spans[number])
                        self._under_way.pop(number, None)
                        self._take(stage, told)
                        self._seconds = sum(map(self._pace.seconds, self._rest))
                        yield
                    elif told < stage[1]:
                        self._under_way[number] = stage, told
                        yield

    def _jobs(self, rest: Sequence[Stage], workers: Executor, stack: contextlib.ExitStack) -> Sequence[Job]:
        ticket = stack.enter_context(
            Ticket.of(
                self.network,
                workers,
                digest=self.digest,
                folder=self.shelf.folder.path if self.shelf.folder else None,
                device=self.device,
                threads=self.threads,
            )
        )
        if not isinstance(workers, ThreadPoolExecutor):
            pickled([place.recipe for place in self.plan], workers, "a recipe")
        return [Job(ticket, *stage) for stage in rest]

    def _take(self, stage: Stage, result: Made) -> None:
        """Keep what came of a stage."""
        if self.network.stamp() != self._stamp:
            raise BuildError(
                f"the network's weights changed while the atlas was built; {self.done:,} of {self.total:,} steps were made with "
                "the former ones. Build again"
            )
        self._rest = [one for one in self._rest if one is not stage]
        for key, picture in result.pictures.items():
            # the final image may be there already, where a build ended between those of a chunk
            if stage[2] or self.shelf.kind(key) is None:
                self.shelf.put(key, "final" if stage[2] else "coarse", picture)
        for key, reason in result.faults.items():
            if self.shelf.kind(key) != "fault":
                self.shelf.put(key, "fault", reason.encode(errors="replace"))
        self.failed.update(result.failed)
        self.done += _size(stage)
        self._spent += self._cost_of(stage)
        self.version += 1


def _size(stage: Stage) -> int:
    return len(stage[0]) * stage[1]

"""Builds that are ended in their midst, and what comes of them: ``python -m tests.engine.index.crashing points 40 FOLDER``.

A process of its own, since each build is a fork: forked processes hang once torch has used several threads.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from cnnviz_widgets.engine import store
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.network import Network
from tests.engine.index import builds

CRASHED = 70
STEPS = ("_write", "_sync", "_rename")


@dataclass(frozen=True)
class Point:
    """Where a process ends: before or after the nth step of the store, or when half of it is written."""

    number: int
    when: str


@dataclass
class Steps:
    """Counts the steps of the store, and ends the process at one."""

    end: Point | None = None
    seen: int = 0
    writes: tuple[int, ...] = ()

    def install(self) -> None:
        for name in STEPS:
            setattr(store, name, self._watched(name, getattr(store, name)))

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> None:
            number, self.seen = self.seen, self.seen + 1
            self.writes += (number,) if name == "_write" else ()
            if self.end == Point(number, "before"):
                os._exit(CRASHED)
            if self.end == Point(number, "half"):
                file, data = arguments
                original(file, data[: len(data) // 2])
                os._exit(CRASHED)
            original(*arguments)
            if self.end == Point(number, "after"):
                os._exit(CRASHED)

        return step


def forked(run: Callable[[], Any]) -> tuple[int, Any]:
    """(exit status, result) of a function in a child process; a negative status tells the signal."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _child(run, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(data) if data else None


def _child(run: Callable[[], Any], write: int) -> NoReturn:
    status = 1
    try:
        result = json.dumps(run()).encode()
        with os.fdopen(write, "wb") as pipe:
            pipe.write(result)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclass(frozen=True)
class Whole:
    """A build to the end, which tells the shards that it measured. What takes long the first time is done before any fork."""

    count: int
    network: Network
    images: ImageSet

    @classmethod
    def of(cls, count: int) -> Whole:
        build = cls(count, builds.network(), builds.images(count))
        builds.build(None, build.network, build.images)
        return build

    @property
    def shards(self) -> int:
        return self.count // builds.SHARD

    def __call__(self, path: Path) -> list[int]:
        with builds.counted() as measured:
            builds.build(path, self.network, self.images)
        return measured


class Trials:
    """Compares what ended builds come to with a build that nobody disturbed."""

    def __init__(self, folder: Path, build: Whole) -> None:
        self.folder, self.build = folder, build
        self.faults: list[str] = []
        start = time.monotonic()
        assert forked(lambda: build(folder / "undisturbed"))[0] == 0
        self.seconds = time.monotonic() - start
        self.expected = builds.contents(folder / "undisturbed")

    def finish(self, path: Path, told: str) -> None:
        """Build on where a process was ended, and note what is wrong."""
        done = builds.done_in(path)
        status, measured = forked(lambda: self.build(path))
        if status:
            self.faults.append(f"{told}: the next build ended with {status}")
            return
        if measured != list(range(done, self.build.shards)):
            self.faults.append(f"{told}: {done} shards were done, and it measured {measured}")
        found = builds.contents(path)
        for name in sorted(found.keys() | self.expected.keys()):
            if found.get(name) != self.expected.get(name):
                state = "lost" if name not in found else "stray" if name not in self.expected else "different"
                self.faults.append(f"{told}: {name} is {state}")


def points(folder: Path, count: int) -> dict[str, Any]:
    """End a build of ``count`` images at every step of the store."""
    build = Whole.of(count)
    trials = Trials(folder, build)

    def undisturbed() -> tuple[int, tuple[int, ...]]:
        steps = Steps()
        steps.install()
        build(folder / "counted")
        return steps.seen, steps.writes

    _, (steps, writes) = forked(undisturbed)
    ends = [Point(number, when) for number in range(steps) for when in ("before", "after")]
    ends += [Point(number, "half") for number in writes]
    done, states = set(), []
    for end in ends:
        path = folder / f"{end.when} {end.number}"

        def crash(end: Point = end, path: Path = path) -> None:
            Steps(end).install()
            build(path)

        status, _ = forked(crash)
        if status != CRASHED:
            trials.faults.append(f"{end}: not reached, {status}")
        done.add(builds.done_in(path))
        # what comes of it follows from what is on disk: after one step and before the next that is often the same
        if (state := builds.contents(path)) not in states:
            states.append(state)
            trials.finish(path, str(end))
    return {
        "steps": steps,
        "writes": len(writes),
        "points": len(ends),
        "states": len(states),
        "done": sorted(done),
        "faults": trials.faults,
    }


def kills(folder: Path, count: int) -> dict[str, Any]:
    """Kill builds at random moments, up to three times each."""
    build, chance = Whole.of(builds.COUNT), random.Random(0)
    trials = Trials(folder, build)
    killed, done = 0, set()
    for number in range(10 * count):
        path = folder / str(number)
        for _ in range(chance.randint(1, 3)):
            child = os.fork()
            if not child:
                _child(lambda path=path: build(path), os.open(os.devnull, os.O_WRONLY))  # type: ignore[misc]
            time.sleep(chance.uniform(0, trials.seconds))
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            done.add(builds.done_in(path))
        trials.finish(path, f"build {number}")
        if killed >= count:
            break
    return {"killed": killed, "builds": number + 1, "done": sorted(done), "faults": trials.faults}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    what, number, below = sys.argv[1:]
    began = time.monotonic()
    outcome = {"points": points, "kills": kills}[what](Path(below), int(number))
    sys.stdout.write(json.dumps({**outcome, "seconds": time.monotonic() - began}))

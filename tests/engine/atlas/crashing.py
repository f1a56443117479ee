"""Builds of an atlas that are ended in their midst: ``python -m tests.engine.atlas.crashing points FOLDER [BUILDS]``.

A process of its own, since each build is a fork: forked processes hang once torch has used several threads.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.engine.atlas import builds
from tests.engine.index.crashing import CRASHED, Point, Steps, forked

LAYERS = ["2", "7"]


def build(path: Path | None, net: Any) -> list[tuple[str, int]]:
    with builds.counted() as climbed:
        builds.build(path, net, layers=LAYERS, steps=5)
    return climbed


def points(folder: Path) -> dict[str, Any]:
    """End a build at every step of the store, and go on."""
    net = builds.network()
    build(None, net)
    steps = Steps()

    def undisturbed() -> tuple[int, tuple[int, ...]]:
        steps.install()
        build(folder / "undisturbed", net)
        return steps.seen, steps.writes

    status, (count, writes) = forked(undisturbed)
    assert status == 0
    expected = builds.contents(folder / "undisturbed")
    ends = [Point(number, when) for number in range(count) for when in ("before", "after")]
    ends += [Point(number, "half") for number in writes]
    faults, states, finished = [], [], set()
    for end in ends:
        path = folder / f"{end.when} {end.number}"

        def crash(end: Point = end, path: Path = path) -> None:
            Steps(end).install()
            build(path, net)

        if (status := forked(crash)[0]) != CRASHED:
            faults.append(f"{end}: not reached, {status}")
        finished.add(builds.finished_in(path))
        if (state := builds.contents(path)) in states:
            continue
        states.append(state)
        faults += _finish(path, str(end), net, expected)
    return {"writes": len(writes), "states": len(states), "finished": sorted(finished), "faults": faults}


def kills(folder: Path, count: str) -> dict[str, Any]:
    """Kill ``count`` builds at random moments, twice each."""
    net, chance = builds.network(), random.Random(0)
    build(None, net)
    began = time.monotonic()
    assert forked(lambda: build(folder / "undisturbed", net))[0] == 0
    seconds = time.monotonic() - began
    expected = builds.contents(folder / "undisturbed")
    killed, faults = 0, []
    for number in range(int(count)):
        path = folder / str(number)
        for _ in range(2):
            child = os.fork()
            if not child:
                build(path, net)
                os._exit(0)
            time.sleep(chance.uniform(0, 0.6 * seconds))  # before it can have come to its end
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        faults += _finish(path, f"build {number}", net, expected)
    return {"killed": killed, "faults": faults}


def _finish(path: Path, told: str, net: Any, expected: dict[str, bytes]) -> list[str]:
    """Build on where a process was ended; what is wrong."""
    done = sum(len(list(path.glob(f"*/*-{kind}-*.png"))) for kind in ("coarse", "final"))
    status, climbed = forked(lambda: build(path, net))
    if status:
        return [f"{told}: the next build ended with {status}"]
    faults = []
    # four chunks of two stages; what is on disk as a whole is not climbed again
    if done >= 6 and len(climbed) >= 8:
        faults.append(f"{told}: {done} images were done, and {len(climbed)} stages were climbed")
    found = builds.contents(path)
    names = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
    return faults + [f"{told}: {name} is different" for name in sorted(names)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    what, below, *more = sys.argv[1:]
    trials: dict[str, Callable[..., dict[str, Any]]] = {"points": points, "kills": kills}
    sys.stdout.write(json.dumps(trials[what](Path(below), *more)))

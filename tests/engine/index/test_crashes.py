"""A build that ends in its midst, whatever ended it: nothing is lost, nothing counts twice, no other index is mixed in."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnviz_widgets.engine import store
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.building import BuildError
from cnnviz_widgets.engine.store import StoreError
from tests.engine.index import builds

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}


def crashing(*arguments: Any) -> dict[str, Any]:
    """What the trials of `crashing.py` tell."""
    command = [sys.executable, "-m", "tests.engine.index.crashing", *map(str, arguments)]
    finished = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def check_points(told: dict[str, Any], shards: int) -> None:
    # writing, syncing, renaming, and syncing the folder, of what it is made from (2 files) and of each shard (3), and two folders
    # that are made
    assert told["steps"] == 4 * (2 + 3 * shards) + 2
    assert told["writes"] == 2 + 3 * shards
    assert told["points"] == 2 * told["steps"] + told["writes"]
    # nothing at all, and of each file: begun, half there, whole, and in its place
    assert told["states"] == 4 * told["writes"] + 1
    assert told["done"] == list(range(shards + 1))  # there were crashes after each number of shards
    assert told["faults"] == []


@pytest.mark.long
def test_a_crash_at_any_step_costs_nothing_that_was_done(tmp_path: Path) -> None:
    check_points(crashing("points", 2 * builds.SHARD, tmp_path), 2)


@pytest.mark.long
def test_a_crash_at_any_step_of_a_longer_build_costs_nothing_that_was_done(tmp_path: Path) -> None:
    check_points(crashing("points", builds.COUNT, tmp_path), builds.SHARDS)


def test_builds_that_are_killed_at_random_moments_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    told = crashing("kills", 12, tmp_path)
    assert told["faults"] == []
    assert told["killed"] >= 12
    assert len(told["done"]) > 2


@pytest.mark.long
def test_builds_that_are_killed_two_hundred_times_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    told = crashing("kills", 200, tmp_path)
    assert told["faults"] == []
    assert told["killed"] >= 200
    assert told["done"] == list(range(builds.SHARDS + 1))


RESNET = """
import sys, numpy as np, torch
from torchvision.models import resnet18
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
torch.manual_seed(0)
net = Network(resnet18().eval(), InputSpec(size=(3, 64, 64)))
images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (96, 70, 80, 3), dtype=np.uint8))
ActivationIndex.build(net, images, path=sys.argv[1], batch=8, shard=8, workers=1)
"""


@pytest.mark.long
def test_a_program_that_is_killed_five_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RESNET]
    subprocess.run([*command, str(tmp_path / "undisturbed")], env=ENVIRONMENT, check=True)
    path = tmp_path / "killed"
    for number in range(5):
        done = builds.done_in(path)
        assert done == pytest.approx(2 * number, abs=number)
        program = subprocess.Popen([*command, str(path)], env=ENVIRONMENT)
        while builds.done_in(path) < done + 2:  # it gets on by two shards before it is killed
            assert program.poll() is None
            time.sleep(0.01)
        time.sleep(0.03 * number)
        program.kill()
        assert program.wait() == -signal.SIGKILL
    subprocess.run([*command, str(path)], env=ENVIRONMENT, check=True)
    assert builds.contents(path) == builds.contents(tmp_path / "undisturbed")


def stopped(path: Path, shards: int, **more: Any) -> None:
    """A build that is stopped once so many shards are done."""
    steps = builds.building(path, **more)
    for progress in steps:
        if progress.done == shards * builds.SHARD:
            break
    steps.close()  # type: ignore[attr-defined]


def test_a_build_that_is_stopped_goes_on_later(tmp_path: Path) -> None:
    builds.build(tmp_path / "whole")
    stopped(tmp_path / "stopped", 2)
    with builds.counted() as measured:
        told = [progress.told for progress in builds.building(tmp_path / "stopped")]
    assert measured == [2, 3, 4]
    assert told[0].startswith("Goes on after 16 images")
    assert builds.contents(tmp_path / "stopped") == builds.contents(tmp_path / "whole")


def test_a_build_that_is_stopped_within_a_shard_measures_that_shard_anew(tmp_path: Path) -> None:
    builds.build(tmp_path / "whole")
    steps = builds.building(tmp_path / "stopped")
    assert [next(steps).done for _ in range(4)] == [0, 4, 8, 12]
    steps.close()  # type: ignore[attr-defined]
    with builds.counted() as measured:
        builds.build(tmp_path / "stopped")
    assert measured == [1, 2, 3, 4]
    assert builds.contents(tmp_path / "stopped") == builds.contents(tmp_path / "whole")


def test_a_finished_build_measures_nothing_again(tmp_path: Path) -> None:
    first = builds.build(tmp_path)
    before = builds.contents(tmp_path)
    with builds.counted() as measured:
        builds.same(builds.build(tmp_path), first)
    assert measured == []
    assert builds.contents(tmp_path) == before


def test_an_index_so_far_is_found_while_it_is_built(tmp_path: Path) -> None:
    net, images = builds.network(), builds.images()
    steps = builds.building(tmp_path, net, images)
    for progress in steps:
        if progress.done >= builds.SHARD:
            found = ActivationIndex.open(tmp_path, net, images)
            assert found.looked_at == progress.result.looked_at
            builds.same(found, progress.result)
    assert found.complete


def test_a_table_that_is_replaced_while_it_is_looked_for_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = builds.network(), builds.images()
    steps = builds.building(tmp_path, net, images)
    while next(steps).done < builds.SHARD:
        pass
    original = store.Folder.arrays

    def arrays(self: store.Folder, record: store.Record, **more: Any) -> Any:
        monkeypatch.setattr(store.Folder, "arrays", original)
        while next(steps).done < 2 * builds.SHARD:
            pass
        return original(self, record, **more)

    monkeypatch.setattr(store.Folder, "arrays", arrays)
    assert ActivationIndex.open(tmp_path, net, images).looked_at == 2 * builds.SHARD


def test_the_second_of_two_builds_at_once_is_told(tmp_path: Path) -> None:
    steps = builds.building(tmp_path)
    next(steps)
    with pytest.raises(StoreError, match=r"in use: another process, or another call in this one, is building an index"):
        builds.build(tmp_path)
    builds.build(tmp_path, k=2)  # another index may be built meanwhile
    assert [*steps][-1].result.complete
    builds.build(tmp_path)


def test_a_build_that_another_thread_stops_lets_go_of_the_folder(tmp_path: Path) -> None:
    steps = builds.building(tmp_path)
    next(steps)
    thread = threading.Thread(target=steps.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    assert builds.build(tmp_path).complete


def test_weights_that_change_meanwhile_end_the_build_and_keep_what_was_done(tmp_path: Path) -> None:
    own = builds.module()
    before = copy.deepcopy(own)
    net = builds.network_of(own)
    steps = builds.building(tmp_path, net)
    while next(steps).done < 20:
        pass
    with torch.no_grad():
        own[0].weight.add_(1.0)
    with pytest.raises(BuildError, match="weights changed while the index was built; 16 of 40 images were measured"):
        list(steps)
    assert builds.done_in(tmp_path) == 2
    found = ActivationIndex.open(tmp_path, builds.network_of(before), builds.images())
    assert found.looked_at == 16
    with builds.counted() as measured:
        builds.build(tmp_path, builds.network_of(before))
    assert measured == [2, 3, 4]


def test_a_build_goes_on_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = builds.building(Path("index"))
    next(steps)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    index = [*steps][-1].result
    assert index.path is not None
    assert index.path.parent == tmp_path / "index"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_full_disk_is_told_and_costs_nothing_that_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds.build(tmp_path / "whole")
    original, writes = store._write, []

    def full(file: Any, data: bytes) -> None:
        writes.append(len(data))
        if len(writes) == 7:
            original(file, data[:9])
            raise OSError(28, os.strerror(28))
        original(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", full)
        with pytest.raises(StoreError, match=r"can't be written: No space left on device; make room"):
            builds.build(tmp_path / "full")
    assert builds.done_in(tmp_path / "full") == 1
    assert not list((tmp_path / "full").rglob("*.new"))
    with builds.counted() as measured:
        builds.build(tmp_path / "full")
    assert measured == [1, 2, 3, 4]
    assert builds.contents(tmp_path / "full") == builds.contents(tmp_path / "whole")

"""A build that ends in its midst, whatever ended it: nothing is lost, and the atlas is in the end what it is otherwise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnviz_widgets.engine import store
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.store import StoreError
from cnnviz_widgets.engine.threads import torch_threads
from tests.engine.atlas import builds

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}


def crashing(*arguments: Any) -> dict[str, Any]:
    """What the trials of `crashing.py` tell."""
    command = [sys.executable, "-m", "tests.engine.atlas.crashing", *map(str, arguments)]
    finished = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.long
def test_a_crash_at_any_step_costs_nothing_that_was_done(tmp_path: Path) -> None:
    told = crashing("points", tmp_path)
    # the network, the plan, and for each of 6 images a coarse and a final one
    assert told["writes"] == 2 + 2 * 6
    assert told["finished"] == list(range(7))
    assert told["states"] >= 3 * told["writes"]
    assert told["faults"] == []


@pytest.mark.parametrize("builds", [1, pytest.param(6, marks=pytest.mark.long)])
def test_builds_that_are_killed_at_random_moments_end_as_if_nothing_had_happened(tmp_path: Path, builds: int) -> None:
    told = crashing("kills", tmp_path, builds)
    assert told["faults"] == []
    assert told["killed"] >= builds


@pytest.mark.parametrize("stopped_at", [1, 4, 8])
def test_chunks_side_by_side_that_are_stopped_go_on(tmp_path: Path, stopped_at: int) -> None:
    """Which ones are done by then is up to chance; that none is made twice is not."""
    path = tmp_path / "stopped"
    with torch_threads(3):
        builds.build(tmp_path / "whole")
        steps = builds.built(path)
        for progress in steps:
            if progress.result.finished >= stopped_at:
                break
        steps.close()  # type: ignore[attr-defined]
        before = Atlas.open(path, builds.network())
        assert stopped_at <= before.finished <= 9
        lacking = [
            chunk for chunk in before.plan.chunks if any(before.step(place.unit) < builds.STEPS for place in chunk)
        ]
        with builds.counted() as climbed:
            builds.build(path)
    again = [first for first, last in climbed if last == builds.STEPS]
    assert sorted(again) == sorted(str(chunk[0].unit) for chunk in lacking)
    assert builds.contents(path) == builds.contents(tmp_path / "whole")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With which chunks climb one after the other."""
    with torch_threads(1):
        yield


@pytest.mark.usefixtures("one_thread")
def test_a_build_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    builds.build(tmp_path / "whole")
    path = tmp_path / "stopped"
    steps = builds.built(path)
    for progress in steps:
        if progress.result.finished == 5:
            break
    steps.close()  # type: ignore[attr-defined]
    opened = Atlas.open(path, builds.network())
    assert (opened.finished, len(builds.pictures(opened)), opened.complete) == (5, 9, False)
    assert str(opened) == "Atlas of tiny: 9 images of 9 units of 3 layers by default, 5 of them finished so far"
    with builds.counted() as climbed:
        told = list(builds.built(path))
    assert climbed == [("4[2, center]", 7), ("7[0]", 7), ("7[3]", 7)]
    assert told[0].told == f"Goes on after {told[0].done} steps that were done before."
    # the chunk of the fifth image has one place only, so four are done, and each chunk's coarse images
    assert told[0].done == 9 * builds.COARSE + 5 * builds.STEPS
    assert builds.contents(path) == builds.contents(tmp_path / "whole")
    with builds.counted() as climbed:
        assert next(builds.built(path)).result.complete
        assert builds.build(path).complete
    assert climbed == []


def test_a_damaged_image_is_told_and_made_anew(tmp_path: Path) -> None:
    atlas = builds.build(tmp_path / "whole")
    before = builds.contents(tmp_path / "whole")
    files = sorted((tmp_path / "whole").glob("*/*-final-*.png"))
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)
    files[1].unlink()
    broken = next(place.unit for place in atlas.plan if place.key == files[0].name.partition("-")[0])
    with pytest.raises(StoreError, match="is damaged: its content has changed; build again to mend it"):
        atlas.image(broken)
    gone = next(place.unit for place in atlas.plan if place.key == files[1].name.partition("-")[0])
    with pytest.raises(StoreError, match="is damaged: it is gone"):
        atlas.image(gone)
    builds.build(tmp_path / "whole")
    assert builds.contents(tmp_path / "whole") == before
    assert atlas.image(broken) is not None


@pytest.mark.parametrize("content", [b"{}", b"no JSON", b'{"digest": "x"}', b"[]", b"null"])
def test_a_damaged_plan_is_told_and_written_anew(content: bytes, tmp_path: Path) -> None:
    net = builds.network()
    atlas = builds.build(tmp_path, net, layers="7", steps=1)
    before = builds.contents(tmp_path)
    assert atlas.path is not None
    (atlas.path / "plan.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"plan.json' is damaged"):
        Atlas.open(tmp_path, net)
    with builds.counted() as climbed:
        builds.build(tmp_path, net, layers="7", steps=1)
    assert climbed == []
    assert builds.contents(tmp_path) == before


def test_two_builds_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    first = builds.built(tmp_path)
    next(first)
    with pytest.raises(StoreError, match=r"is in use: .* is building an atlas there"):
        builds.build(tmp_path)
    # nor does the one wait for the other where they are threads
    told: list[BaseException] = []

    def other() -> None:
        try:
            builds.build(tmp_path)
        except StoreError as error:
            told.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(told) == 1
    first.close()  # type: ignore[attr-defined]
    assert builds.build(tmp_path).complete


def test_a_full_disk_is_told_and_costs_nothing_that_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, written = store._write, []

    def write(file: Any, data: bytes) -> None:
        written.append(len(data))
        if len(written) == 8:
            raise OSError(28, "No space left on device")
        original(file, data)

    monkeypatch.setattr(store, "_write", write)
    with pytest.raises(StoreError, match="No space left on device; make room there and call again"):
        builds.build(tmp_path / "full")
    assert not list(tmp_path.rglob("*.new"))
    builds.build(tmp_path / "full")
    builds.build(tmp_path / "whole")
    assert builds.contents(tmp_path / "full") == builds.contents(tmp_path / "whole")


@pytest.mark.usefixtures("one_thread")
def test_an_image_that_is_replaced_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for progress in builds.built(tmp_path):
        opened = progress.result
        if len(builds.pictures(opened)) == builds.UNITS * 3 and not opened.finished:
            break
    place = next(iter(opened.plan))
    assert opened.step(place.unit) == builds.COARSE
    builds.build(tmp_path / "whole")
    final = next((tmp_path / "whole").glob(f"*/{place.key}-final-*.png"))
    is_file, folder = Path.is_file, opened.path
    assert folder is not None

    def replaced(path: Path) -> bool:
        """True of a file that is gone as soon as it is told."""
        there = is_file(path)
        if path.name.startswith(f"{place.key}-coarse"):
            path.unlink(missing_ok=True)
            shutil.copy(final, folder)
        return there

    monkeypatch.setattr(Path, "is_file", replaced)
    tile = opened.image(place.unit)
    assert tile is not None
    assert tile.finished

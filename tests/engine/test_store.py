"""Results on disk: there as a whole or not at all, told where they are damaged, held by one process at a time."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz_widgets.engine import store
from cnnviz_widgets.engine.store import LOCK, NEW, Folder, Record, StoreError, digest_of, key_of
from tests.engine.index import builds

NOBODY = 65534
ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([-1, 2]), "none": np.zeros((0, 5))}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "folder")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store asks of the system, in order."""
    told: list[str] = []

    def watch(module: Any, name: str, tell: Callable[..., str]) -> None:
        original = getattr(module, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            told.append(tell(*arguments))
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, watched)

    def synced(descriptor: int) -> str:
        return f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}"

    watch(store, "_write", lambda file, data: f"write {Path(file.name).name} {len(data)}")
    watch(os, "fsync", synced)
    watch(os, "replace", lambda old, new: f"rename {Path(old).name} {Path(new).name}")
    return told


def test_a_file_is_written_under_another_name_synced_renamed_and_its_folder_synced(
    folder: Folder, calls: list[str]
) -> None:
    folder.path.mkdir()
    folder.write("name", b"12345")
    assert calls == ["write name.new 5", "sync name.new", "rename name.new name", "sync folder"]
    assert [file.name for file in folder.path.iterdir()] == ["name"]
    assert (folder.path / "name").read_bytes() == b"12345"


def test_folders_that_are_made_are_synced_into_those_above_them(tmp_path: Path, calls: list[str]) -> None:
    Folder(tmp_path / "one" / "two").write("name", b"")
    assert set(calls[:2]) == {f"sync {tmp_path.name}", "sync one"}
    assert calls[2:] == ["write name.new 0", "sync name.new", "rename name.new name", "sync two"]


def test_bytes_reach_the_file_before_it_is_synced(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    folder.path.mkdir()
    folder.write("name", bytes(100_001))
    assert sizes[0] == 100_001


@pytest.mark.parametrize("step", ["_write", "_sync", "_rename"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_what_was_there_stays_where_writing_fails(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    before = folder.write("name", b"before")

    def fail(*_: Any) -> None:
        raise error

    expected = pytest.raises(StoreError, match=r"folder' can't be written: No space left on device; make room")
    with monkeypatch.context() as patch:
        patch.setattr(store, step, fail)
        with expected if isinstance(error, OSError) else pytest.raises(KeyboardInterrupt):
            folder.write("name", b"behind")
    assert builds.contents(folder.path) == {"name": b"before"}
    assert folder.write("name", b"before") == before


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_disk_that_syncs_no_folders_is_written_to_all_the_same(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == folder.path:
            raise OSError(number, os.strerror(number))
        original(descriptor)

    folder.path.mkdir()
    monkeypatch.setattr(os, "fsync", fsync)
    folder.write("name", b"data")
    assert (folder.path / "name").read_bytes() == b"data"


def test_a_file_takes_the_place_of_the_former_one(folder: Folder) -> None:
    folder.write("name", b"longer than the other one")
    record = folder.write("name", b"short")
    assert (record.bytes, (folder.path / "name").read_bytes()) == (5, b"short")


def test_arrays_come_back_as_they_were(folder: Folder) -> None:
    record = folder.write_arrays("arrays", {**ARRAYS, "one": np.array(7), "turned": ARRAYS["a"].T})
    found = folder.arrays(record)
    assert sorted(found.names()) == ["a", "b", "none", "one", "turned"]
    for name, values in {**ARRAYS, "one": np.array(7), "turned": ARRAYS["a"].T}.items():
        np.testing.assert_array_equal(found[name], values, strict=True)
    np.testing.assert_array_equal(found.rows("a", 1, 3), ARRAYS["a"][1:3])
    assert found.rows("none", 0, 0).shape == (0, 5)
    assert found.rows("a", 3, 3).shape == (0, 4)


def test_equal_arrays_are_equal_bytes(folder: Folder) -> None:
    backwards = dict(reversed(ARRAYS.items()))
    assert len({folder.write_arrays("arrays", one).digest for one in (ARRAYS, backwards, ARRAYS)}) == 1


def test_a_record_comes_back_from_json(folder: Folder) -> None:
    record = folder.write("name", b"data")
    assert Record.from_data(json.loads(json.dumps(record.to_data()))) == record
    assert record == Record("name", 4, digest_of(b"data"))


@pytest.mark.parametrize("whole", [True, False])
def test_an_array_file_of_another_length_is_told(folder: Folder, whole: bool) -> None:
    record = folder.write_arrays("arrays", ARRAYS)
    file = folder.path / "arrays"
    data = file.read_bytes()
    for cut in (b"", data[:7], data[: len(data) // 2], data[:-1], data + b"\0"):
        file.write_bytes(cut)
        with pytest.raises(
            StoreError, match=f"has {len(cut):,} bytes, expected {len(data):,}; remove .*folder' and build"
        ):
            folder.arrays(record, whole=whole)
    file.unlink()
    with pytest.raises(StoreError, match="arrays' is damaged: it is gone"):
        folder.arrays(record, whole=whole)


def test_any_changed_bit_of_an_array_file_is_told(folder: Folder) -> None:
    record = folder.write_arrays("arrays", ARRAYS)
    file = folder.path / "arrays"
    data = file.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises(StoreError, match="content has changed"):
            folder.arrays(record)
    file.write_bytes(b"\xff" * len(data))  # not even the head can be read
    with pytest.raises(StoreError, match="is damaged"):
        folder.arrays(record, whole=False)


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"\xff", b'{"a": \xff}', b"[" * 100_000, b"nothing"], ids=len)
def test_what_is_no_json_is_told(folder: Folder, data: bytes) -> None:
    folder.write("told.json", data)
    with pytest.raises(StoreError, match=r"told\.json' is damaged: .*; remove .*folder' and build again"):
        folder.read_json("told.json")


def test_a_json_file_that_is_not_there_is_none(folder: Folder) -> None:
    assert folder.read_json("told.json") is None


def test_json_is_readable_for_people_and_programs(folder: Folder) -> None:
    data = {"ids": ["鳥 é", "line\nend", 'quote " \\', "no text \udcff\udc80", "\U0001f426", "\u2028"], "count": 3}
    folder.write_json("told.json", data)
    text = (folder.path / "told.json").read_bytes().decode()  # UTF-8, without exceptions
    assert "鳥 é" in text
    assert text.count("\n") > 6
    assert json.loads(text) == data == folder.read_json("told.json")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.binary().map(os.fsdecode)))
def test_any_name_that_a_file_can_have_comes_back_from_json(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place))
        folder.write_json("told.json", names)
        assert folder.read_json("told.json") == names


def test_nothing_on_disk_is_pickled(tmp_path: Path) -> None:
    builds.build(tmp_path)
    found = builds.contents(tmp_path)
    assert {Path(name).suffix for name in found} == {".json", ".safetensors", ""}
    assert {Path(name).name for name in found if not Path(name).suffix} == {LOCK}
    for name, data in found.items():
        if name.endswith(".json"):
            json.loads(data)
        assert not data.startswith(b"\x80")  # a pickle
        assert not data.startswith(b"PK")  # an archive of torch or numpy, which may hold one
        assert len(Path(name).parts) == 2
        assert set(name) <= set("0123456789abcdefghijklmnopqrstuvwxyz-./")  # fit for any system


def test_the_key_of_a_recipe_does_not_know_the_order_of_names() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert len({key_of(one) for one in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": "\udcff"})}) == 6
    assert len(key_of({})) == 64


def test_digests_differ() -> None:
    assert len({digest_of(data) for data in (b"", b"\0", b"\0\0", b"a")}) == 4


def test_tidying_keeps_what_is_named(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    for name in ("keep", "stray", f"keep{NEW}"):
        folder.write(name, b"data")
    (folder.path / "weights-abc" / "inner").mkdir(parents=True)
    (folder.path / "weights-abc" / "inner" / "file").write_text("stray")
    (folder.path / "link").symlink_to(outside)
    folder.tidy({"keep", "not there"})
    assert [path.name for path in folder.path.iterdir()] == ["keep"]
    assert (outside / "file").read_text() == "stays"


def test_what_can_not_be_removed_is_left(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("open elsewhere", b"data")

    def unlink(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "in use")  # as Windows says

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        folder.drop("open elsewhere")
        folder.tidy(set())
    assert (folder.path / "open elsewhere").exists()


HOLD = """
import sys, time
from pathlib import Path
from cnnviz_widgets.engine.store import Folder
with Folder(Path(sys.argv[1])).locked("building an index"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


def test_a_locked_folder_refuses_another_process_and_is_free_when_that_is_killed(folder: Folder) -> None:
    with held(folder.path) as other:
        with (
            pytest.raises(StoreError, match=r"folder' is in use: another process.* is building an index there. Wait"),
            folder.locked("building an index"),
        ):
            pytest.fail("held twice")
        other.send_signal(signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
        with folder.locked("building an index"):
            pass


def test_a_locked_folder_refuses_the_same_process(folder: Folder) -> None:
    with folder.locked("testing"):
        with pytest.raises(StoreError, match="another call in this one, is testing"), folder.locked("testing"):
            pytest.fail("held twice")
        with Folder(folder.path.with_name("other")).locked("testing"):
            pass
    with folder.locked("testing"):
        pass


def test_a_lock_is_let_go_of_by_another_thread_and_after_an_error(folder: Folder) -> None:
    def hold() -> Iterator[None]:
        with folder.locked("testing"):
            yield

    holding = hold()
    next(holding)
    thread = threading.Thread(target=holding.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    with pytest.raises(ZeroDivisionError), folder.locked("testing"):
        raise ZeroDivisionError
    with folder.locked("testing"):
        pass


def test_a_disk_without_locks_is_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: Any) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr(store.filelock.FileLock, "acquire", acquire)
    with pytest.raises(StoreError, match="can't be locked: no flock; give a path"), folder.locked("testing"):
        pytest.fail("held")


@contextmanager
def nobody() -> Iterator[None]:
    """A person who may not write; tests often run as one who may do anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that anybody may go into; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_folder_that_may_not_be_written_to_is_told(open_path: Path) -> None:
    folder = Folder(open_path / "folder")
    record = folder.write_arrays("arrays", ARRAYS)
    folder.path.chmod(0o555)
    below = Folder(folder.path / "below")
    try:
        with nobody():
            for one, write in ((folder, lambda: folder.write("name", b"")), (below, lambda: below.write("name", b""))):
                with pytest.raises(StoreError, match="can't be written: Permission denied; give a path that you may"):
                    write()
                with pytest.raises(StoreError, match="can't be written: Permission denied"), one.locked("testing"):
                    pytest.fail("held")
            np.testing.assert_array_equal(folder.arrays(record)["b"], ARRAYS["b"])
    finally:
        folder.path.chmod(0o755)


def test_a_file_that_may_not_be_read_is_told(open_path: Path) -> None:
    folder = Folder(open_path)
    record = folder.write_arrays("arrays", ARRAYS)
    folder.write_json("told.json", {})
    for name in ("arrays", "told.json"):
        (folder.path / name).chmod(0)
    with nobody():
        with pytest.raises(StoreError, match="arrays' can't be read: Permission denied"):
            folder.arrays(record)
        with pytest.raises(StoreError, match=r"told\.json' can't be read: Permission denied"):
            folder.read_json("told.json")


def test_the_path_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"can't be written: .*; give the path of a folder"):
            Folder(path).write("name", b"")
        with pytest.raises(StoreError, match="give the path of a folder"), Folder(path).locked("testing"):
            pytest.fail("held")
        assert Folder(path).read_json("name") is None

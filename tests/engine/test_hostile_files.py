"""One bad file does not spoil a folder: the others stay, it is told by its id, nothing hangs, no warning leaks out."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import tempfile
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image, ImageFile

from cnnviz_widgets.engine.folders import suffixes
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.openers import FileOpener

T = TypeVar("T")
NOBODY = 65534


def encoded(kind: str, width: int = 60, height: int = 50, **options: Any) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG that says it has that size, of the chunks given."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IEND", b"")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside.png", encoded("PNG"))
    return file.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


def lying_bmp() -> bytes:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", 5000, 5000)
    return bytes(data)


def told_too_many_tags() -> bytes:
    return b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x01" * 300


PIXELS = zlib.compress(b"\0" * (3 * 4 + 1) * 4)

BROKEN: dict[str, tuple[bytes, str]] = {
    "half.jpg": (half(encoded("JPEG")), "could not be read as an image: .*truncated"),
    "half progressive.jpeg": (half(encoded("JPEG", progressive=True)), "could not be read as an image: .*truncated"),
    "half.png": (half(encoded("PNG")), "could not be read as an image"),
    "half.gif": (half(encoded("GIF", 200, 200)), "could not be read as an image"),
    "half.tif": (half(encoded("TIFF")), "could not be read as an image|not an image that Pillow"),
    "half.webp": (half(encoded("WEBP", 200, 200)), "could not be read as an image|not an image that Pillow"),
    "half.bmp": (half(encoded("BMP")), "could not be read as an image: .*truncated"),
    "head.png": (encoded("PNG")[:40], "could not be read as an image|not an image that Pillow"),
    "two bytes.jpg": (b"\xff\xd8", "not an image that Pillow"),
    "zeros.jpg": (bytes(5000), "not an image that Pillow"),
    "words.jpg": (b"not a picture at all\n" * 20, "not an image that Pillow"),
    "page.png": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image that Pillow"),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not an image that Pillow"),
    "archive.png": (zipped(), "not an image that Pillow"),
    "noise.ico": (b"\x00\x00\x01\x00\x09\x00" + bytes(range(200)), "could not be read as an image|not an image"),
    "bomb.png": (png(60000, 60000, chunk(b"IDAT", PIXELS)), "too large to decode safely"),
    "small bomb.png": (png(10500, 10000, chunk(b"IDAT", PIXELS)), "10500 × 10000 pixels; at most 100 million"),
    "no pixels.png": (png(0, 4, chunk(b"IDAT", PIXELS)), "has 0 × 4 pixels|could not be read|not an image that Pillow"),
    "no data.png": (png(4, 4), "could not be read as an image"),
    "wrong sum.png": (flipped(png(4, 4, chunk(b"IDAT", PIXELS)), 45), "could not be read as an image"),
    "no zlib.png": (png(4, 4, chunk(b"IDAT", b"these are no compressed bytes")), "could not be read as an image"),
    "text bomb.png": (
        png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))), chunk(b"IDAT", PIXELS)),
        "could not be read as an image|not an image that Pillow",
    ),
    "lying.bmp": (lying_bmp(), "could not be read as an image"),
    "tags.tif": (told_too_many_tags(), "could not be read as an image|not an image that Pillow"),
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    # the path of a socket is at most 107 bytes long
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(before)


def folder(path: Path) -> None:
    path.mkdir()


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.parent / "pipe.txt")
    path.symlink_to(path.parent / "pipe.txt")


SEEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty.jpg": (Path.touch, "an empty file"),
    "pipe.jpg": (pipe, "a named pipe, not an image file"),
    "linked pipe.jpg": (link_to_pipe, "a named pipe, not an image file"),
    "socket.PNG": (listening, "a socket, not an image file"),
    "device.png": (link_to("/dev/zero"), "a device, not an image file"),
    "folder.png": (folder, "a folder, not an image file"),
    "dangling.png": (link_to("gone.png"), "a link to 'gone.png', which is not there"),
    "circle.png": (link_to("circle.png"), "could not be read: Too many levels of symbolic links"),
}


def in_time(work: Callable[[], T]) -> T:
    """What ``work`` returns, or a failure where it waits forever."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]
    return done[0]


@contextmanager
def silent() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    assert not [str(warning.message) for warning in told]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images."""
    (tmp_path / "photos" / "trees").mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").write_bytes(encoded("JPEG"))
    (tmp_path / "photos" / "trees" / "z.png").write_bytes(encoded("PNG"))
    return tmp_path / "photos"


GOOD = ("a.jpg", "trees/z.png")


@pytest.mark.parametrize("name", BROKEN)
def test_what_shows_on_decoding_is_told_by_opening_and_by_checking(name: str, photos: Path) -> None:
    data, reason = BROKEN[name]
    (photos / name).write_bytes(data)
    with silent():
        images = in_time(lambda: ImageSet.from_folder(photos))
        assert set(images.ids) == {*GOOD, name}
        with pytest.raises(ImageError, match=reason) as told:
            in_time(lambda: images[name])
        assert name in str(told.value)
        with pytest.raises(ImageError, match=name):
            in_time(lambda: images.thumbnail(name))
        checked = in_time(lambda: images.checked(workers=2))
    assert checked.ids == GOOD
    assert [(fault.id, name in fault.reason) for fault in checked.faults] == [(name, True)]
    assert [picture.size for picture in checked] == [(60, 50)] * 2


@pytest.mark.parametrize("name", SEEN)
def test_what_shows_without_opening_is_no_part_of_the_set(name: str, photos: Path) -> None:
    make, reason = SEEN[name]
    make(photos / name)
    with silent():
        images = in_time(lambda: ImageSet.from_folder(photos))
        assert in_time(images.checked).ids == images.ids == GOOD
    assert [fault.id for fault in images.faults] == [name]
    assert reason in images.faults[0].reason
    assert images[1:].faults == images.faults


@pytest.mark.parametrize("name", [name for name in SEEN if name != "empty.jpg"])
def test_given_by_its_path_it_is_told_on_opening(name: str, photos: Path) -> None:
    SEEN[name][0](photos / name)
    images = ImageSet.from_paths([photos / "a.jpg", photos / name])
    with pytest.raises(ImageError, match=name):
        in_time(lambda: images[1])
    assert in_time(images.checked).labels == ("a",)


def test_images_in_a_folder_that_is_named_like_an_image(photos: Path) -> None:
    (photos / "folder.png").mkdir()
    (photos / "folder.png" / "b.gif").write_bytes(encoded("GIF"))
    images = ImageSet.from_folder(photos)
    assert images.ids == ("a.jpg", "folder.png/b.gif", "trees/z.png")
    assert images.labels == ("a", "folder.png", "trees")
    assert [fault.id for fault in images.faults] == ["folder.png"]


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that everyone can reach, and, where the tests run as root, a user who may not read everything."""
    suffixes()  # Pillow's plugins are imported as root
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        Path(made, "good.png").write_bytes(encoded("PNG"))
        Path(made, "secret.jpg").write_bytes(encoded("JPEG"))
        Path(made, "secret.jpg").chmod(0)
        Path(made, "closed").mkdir()
        Path(made, "closed", "inside.jpg").write_bytes(encoded("JPEG"))
        Path(made, "closed").chmod(0)
        mine = os.geteuid()
        try:
            if not mine:
                os.seteuid(NOBODY)
            yield Path(made)
        finally:
            os.seteuid(mine)
            Path(made, "closed").chmod(stat.S_IRWXU)


def test_what_may_not_be_read() -> None:
    with as_nobody() as made, silent():
        images = ImageSet.from_folder(made)
        assert images.ids == ("good.png",)
        assert [fault.id for fault in images.faults] == ["closed", "secret.jpg"]
        assert "a folder that could not be read: Permission denied" in images.faults[0].reason
        assert "may not be read; change its permissions" in images.faults[1].reason
        with pytest.raises(ImageError, match=r"secret.jpg' may not be read; change its permissions"):
            FileOpener(str(made / "secret.jpg")).open()
        with pytest.raises(ImageError, match=r"no image in .* that can be read: '.': a folder that could not be read"):
            ImageSet.from_folder(made / "closed")


def test_broken_exif_is_no_reason_to_leave_a_photograph_out(photos: Path) -> None:
    data = encoded("JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\x7f" + b"\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff" * 3
    (photos / "exif.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    with silent():
        images = ImageSet.from_folder(photos).checked()
        assert images.ids == ("a.jpg", "exif.jpg", "trees/z.png")
        assert images["exif.jpg"].tobytes() == images["a.jpg"].tobytes()
        assert images.openers[1].size() == (50, 60)


def test_warnings_of_others_stay_as_they_were(photos: Path) -> None:
    before = list(warnings.filters)
    images = ImageSet.from_folder(photos)
    threads = [threading.Thread(target=lambda: [images[0] for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_links_in_a_circle_and_to_the_same_folder(photos: Path) -> None:
    (photos / "again").symlink_to(photos, target_is_directory=True)
    (photos / "trees" / "up").symlink_to("..", target_is_directory=True)
    elsewhere = photos.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.png").write_bytes(encoded("PNG"))
    (photos / "linked").symlink_to(elsewhere, target_is_directory=True)
    (photos / "linked twice").symlink_to(elsewhere, target_is_directory=True)
    (photos / "b.jpg").symlink_to(photos / "a.jpg")
    images = in_time(lambda: ImageSet.from_folder(photos))
    assert images.ids == ("a.jpg", "b.jpg", "linked/far.png", "trees/z.png")
    assert images.labels == ("a", "b", "linked", "trees")
    assert not images.faults


def test_what_is_silently_passed_over(photos: Path) -> None:
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "._a.jpg", "data.h5", "film.mpg", "a.jpg.part", "figure.eps"):
        (photos / name).write_bytes(b"something")
    (photos / "__MACOSX").mkdir()
    (photos / "__MACOSX" / "b.jpg").write_bytes(encoded("JPEG"))
    images = ImageSet.from_folder(photos)
    assert images.ids == GOOD
    assert not images.faults


def test_names_of_any_kind(photos: Path) -> None:
    odd = ["новый.jpg", "a\nb.png", 'quote".jpg', "<b>.PNG", "100%.JPG", " .jpg", "-.jpg", "\u00e9.jpg", "e\u0301.jpg"]
    for name in odd:
        (photos / name).write_bytes(encoded("PNG"))
    Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.jpg")).write_bytes(encoded("PNG"))
    images = ImageSet.from_folder(photos)
    assert set(images.ids) == {*GOOD, *odd, "caf\\xe9.jpg"}
    assert len(images) == 12
    assert list(images.ids) == sorted(images.ids)
    assert "".join(images.ids).encode()
    assert images["caf\\xe9.jpg"].size == (60, 50)
    assert in_time(images.checked).ids == images.ids


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, r"no folder '.*x'; it is looked for in"),
        (Path.mkdir, r"no image in '.*x': it is empty; expected \.jpg, \.png"),
        (Path.touch, r"is a file; expected a folder, or ImageSet\.from_paths\(\["),
        (pipe, "is a named pipe; expected a folder"),
        (link_to("x"), "could not be read: .*Too many levels"),
    ],
)
def test_what_is_no_folder_of_images(make: Callable[[Path], Any], told: str, tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(ImageError, match=told):
        in_time(lambda: ImageSet.from_folder(tmp_path / "x"))


def test_a_folder_of_other_files_tells_what_is_there(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv"):
        (tmp_path / name).write_text("words")
    with pytest.raises(ImageError, match=r"3 other files \(\.txt, \.csv\); expected \.jpg, \.png"):
        ImageSet.from_folder(tmp_path)
    with pytest.raises(ImageError, match="no folder ''"):
        ImageSet.from_folder("")
    with pytest.raises(ImageError, match=r"could not be read: .*null"):
        ImageSet.from_folder("a\0b")


def test_a_folder_of_bad_files_alone_tells_the_first_reasons(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").touch()
    with pytest.raises(ImageError, match=r"that can be read: '0.jpg': an empty file .*'2.jpg': .*; and 2 more"):
        ImageSet.from_folder(tmp_path)


def test_truncated_files_are_not_read_as_far_as_they_go() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES

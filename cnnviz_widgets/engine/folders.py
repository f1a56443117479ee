"""``search(folder) -> Found``: the image files below a folder, and what looks like one and is none.

Nothing is decoded, and nothing that might wait forever, as a pipe does, is opened.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from PIL import Image

from .images import ImageError, what_else
from .openers import Fault

# Pillow knows these by their head and can't decode them without a program or a library of their own
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@dataclass
class Found:
    """What a search has come upon."""

    files: dict[str, str] = field(default_factory=dict)
    """Id -> path."""
    faults: list[Fault] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """How many files of each other suffix were passed over."""


def suffixes() -> frozenset[str]:
    """The suffixes, in lower case, of the files that Pillow can open."""
    known = Image.registered_extensions()
    return frozenset(end for end, kind in known.items() if kind in Image.OPEN and kind not in _NOT_DECODED)


def search(folder: str | os.PathLike[str]) -> Found:
    """Look through a folder and all below it, links followed, each folder once.

    The ids are the paths within the folder, with slashes; files are sorted by them.

    Raises
    ------
    ImageError
        No such folder, or one without an image in it.
    """
    given = os.fspath(folder)
    root = os.path.abspath(given) if given else given  # noqa: PTH100 - resolve() would follow links
    _check(given)
    wanted, found = suffixes(), Found()
    for inside, entry in _entries(root, found):
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - many files, and Path is slow
        if suffix in wanted and not entry.name.startswith("._"):
            if reason := _fault(entry):
                found.faults.append(Fault(inside, reason))
            else:
                found.files[single(inside, found.files)] = entry.path
        elif not _is_folder(entry):
            found.others[suffix] += 1
    found.files = dict(sorted(found.files.items()))
    found.faults.sort(key=lambda fault: fault.id)
    if not found.files:
        raise ImageError(_nothing(given, found, wanted))
    return found


def _check(given: str) -> None:
    try:
        mode = os.stat(given).st_mode  # noqa: PTH116 - Path("") would be the current folder
    except FileNotFoundError:
        raise ImageError(f"no folder {given!r}; it is looked for in {os.getcwd()!r}") from None  # noqa: PTH109
    except (OSError, ValueError) as error:
        raise ImageError(f"the folder {given!r} could not be read: {error}") from None
    if not stat.S_ISDIR(mode):
        kind = what_else(mode) or "a file"
        raise ImageError(f"{given!r} is {kind}; expected a folder, or ImageSet.from_paths([{given!r}])")


def _entries(root: str, found: Found) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path within the folder, entry) of everything in it. Links to folders come last, and only if they lead to new ones."""
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, str]] = [(root, "")]
    links: list[tuple[str, str]] = []
    while folders or links:
        path, inside = folders.pop() if folders else links.pop(0)
        try:
            here = Path(path).stat()
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            found.faults.append(Fault(inside or ".", f"a folder that could not be read: {error.strerror}"))
            continue
        for entry in entries:
            place = f"{inside}/{_text(entry.name)}" if inside else _text(entry.name)
            yield place, entry
            if _is_folder(entry) and entry.name != "__MACOSX":
                (links if entry.is_symlink() else folders).append((entry.path, place))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _fault(entry: os.DirEntry[str]) -> str:
    """Why a file can't be an image, as far as can be seen without opening it; else nothing."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return f"a link to {os.readlink(entry.path)!r}, which is not there"  # noqa: PTH115
    except OSError as error:
        return f"it could not be read: {error.strerror}"
    if kind := what_else(found.st_mode):
        return f"{kind}, not an image file"
    if not found.st_size:
        return "an empty file of 0 bytes"
    own = os.access in os.supports_effective_ids
    if not os.access(entry.path, os.R_OK, effective_ids=own):
        return "it may not be read; change its permissions"
    return ""


def _text(name: str) -> str:
    """A name of undecodable bytes as text that can be written anywhere."""
    return os.fsencode(name).decode("utf-8", "backslashreplace") if not name.isascii() else name


def single(name: str, known: Container[str]) -> str:
    """The name, with a number where it is known already."""
    number, single = 2, name
    while single in known:
        single, number = f"{name} ({number})", number + 1
    return single


def _nothing(given: str, found: Found, wanted: frozenset[str]) -> str:
    if found.faults:
        told = "; ".join(f"{fault.id!r}: {fault.reason}" for fault in found.faults[:3])
        more = f"; and {len(found.faults) - 3} more" if len(found.faults) > 3 else ""
        return f"no image in {given!r} that can be read: {told}{more}"
    usual = [end for end in (".jpg", ".png", ".webp", ".gif", ".bmp", ".tif") if end in wanted]
    count = sum(found.others.values())
    kinds = ", ".join(end or "without suffix" for end, _ in found.others.most_common(5))
    there = f"{count} other file{'s' * (count != 1)} ({kinds})" if count else "it is empty"
    return f"no image in {given!r}: {there}; expected {', '.join(usual)} or another format that Pillow opens"


def label_of(inside: str) -> str:
    """The name of the folder that a file lies in, or its own without the suffix where it lies in none."""
    path = PurePath(inside)
    return path.parent.name or path.stem

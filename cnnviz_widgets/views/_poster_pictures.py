"""A poster's pictures in Python: kept as they were given, made smaller when a page asks for them.

::

    PosterPictures(tiles) .encoded(index, level) -> Encoded        .coarse() -> one sheet of all that were seen small

Any thread may ask; a picture that is slow to come holds no other up.
"""

import io
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

_LOG = logging.getLogger(__name__)

Picture = bytes | Image.Image
SIDES = (32, 64, 128, 256, 1024)
"""Longer sides of a picture, level by level; one that is smaller travels as it is."""
_QUALITIES = (85, 85, 88, 92, 92)
_GREY = 127.5
_MOST_STRETCH = 4.0
"""Beyond that it would be noise that one sees."""


@dataclass(frozen=True)
class PosterTile:
    """One picture of a `Poster`.

    Parameters
    ----------
    key
        What it is called in messages and in `Poster.update`; no two tiles of a poster have the same.
    picture
        The bytes of a JPEG or PNG file, a Pillow image, or a function that returns one of them, called on a thread of the
        poster's own each time that a page needs the picture in another size; None while there is no picture yet.
    side
        How large it is drawn, or width and height; only how it compares with the other tiles' matters.
    label
        Written below, such as a class name; empty for nothing.
    lines
        What is told beside the pointer and, from near, on the picture: score, step, recipe.
    name
        What it is called beside the pointer and when it is selected, such as ``"channel 17"``; empty: its label, or its key.
    group
        Neighbours in a band of the same group that is not empty stand close together as a block, above the label of the first.
    keep_contrast
        Whether the picture, made smaller, is stretched about middle grey until it has as much contrast as the whole; else what is
        fine averages out to grey, as most of a synthesized picture does.

    Raises
    ------
    ValueError
        If the key is empty, the picture is of another type, or a side is not above 0.

    Examples
    --------
    >>> from cnnviz_widgets.views import PosterTile
    >>> PosterTile("classifier:281", None, side=224, label="tabby").lines
    ()
    """

    key: str
    picture: Picture | Callable[[], Picture | None] | None = None
    side: float | tuple[float, float] = 1.0
    label: str = ""
    lines: tuple[str, ...] = ()
    group: str = ""
    name: str = ""
    keep_contrast: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not self.key:
            raise ValueError(f"key is {self.key!r}, expected a text that names the tile, such as 'conv_stem:17'")
        if not (self.picture is None or isinstance(self.picture, bytes | Image.Image) or callable(self.picture)):
            raise ValueError(
                f"the picture of {self.key!r} is a {type(self.picture).__name__}, expected the bytes of a JPEG or PNG file, "
                "a Pillow image, a function that returns one, or None"
            )
        if isinstance(self.lines, str):
            raise ValueError(f"the lines of {self.key!r} are the text {self.lines!r}, expected a tuple of texts")
        try:
            sides = np.atleast_1d(np.asarray(self.side, dtype=float))
        except (TypeError, ValueError):
            sides = np.empty(0)
        if sides.shape not in ((1,), (2,)) or not (np.isfinite(sides).all() and (sides > 0).all()):
            raise ValueError(
                f"the side of {self.key!r} is {self.side!r}, expected a number above 0, or width and height"
            )

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        width, height = self.side if isinstance(self.side, tuple) else (self.side, self.side)
        return float(width), float(height)


class Encoded(NamedTuple):
    """A picture as it travels; ``data`` is empty where there is none, `finest` when no level has more of it."""

    revision: int
    lines: tuple[str, ...]
    finest: bool
    data: bytes


class PosterPictures:
    """The pictures of one poster, each with a revision that grows when it is replaced.

    Parameters
    ----------
    tiles : sequence of PosterTile
        Those without a picture have revision 0, the others 1.
    """

    def __init__(self, tiles: Sequence[PosterTile]) -> None:
        self._lock = threading.Lock()
        self._tiles = list(tiles)
        self._revisions = np.array([int(tile.picture is not None) for tile in tiles], "<i4")
        self._small: dict[int, tuple[int, np.ndarray]] = {}

    @property
    def revisions(self) -> bytes:
        """int32 (n,)."""
        with self._lock:
            return self._revisions.tobytes()

    @property
    def made(self) -> int:
        """How many tiles have a picture."""
        with self._lock:
            return sum(tile.picture is not None for tile in self._tiles)

    def replace(self, index: int, tile: PosterTile) -> None:
        """Another picture and other lines in the place of a tile."""
        with self._lock:
            self._tiles[index] = tile
            self._revisions[index] += 1

    def encoded(self, index: int, level: int) -> Encoded:
        """A picture with a longer side of at most ``SIDES[level]``; empty where there is none or it can't be read."""
        with self._lock:
            tile, revision = self._tiles[index], int(self._revisions[index])
        lines = tuple(str(line) for line in tile.lines)
        try:
            picture = tile.picture() if callable(tile.picture) else tile.picture
            if picture is None:
                return Encoded(revision, lines, True, b"")
            finest, data, image = _sized(picture, level, tile.keep_contrast)
        except Exception:
            _LOG.exception("no picture of %s for the poster", tile.key)
            return Encoded(revision, (*lines, "its picture can't be read"), True, b"")
        if level == 0:
            self._remember(index, revision, np.asarray(image.convert("RGB")))
        return Encoded(revision, lines, finest, data)

    def _remember(self, index: int, revision: int, pixels: np.ndarray) -> None:
        with self._lock:
            self._small[index] = (revision, pixels)

    def coarse(self) -> bytes:
        """All pictures that were asked for at level 0, on one sheet.

        Returns
        -------
        bytes
            int32 (n, 3), per tile the revision, width and height of its picture, 0 for none; then a JPEG with cells of
            ``SIDES[0]`` pixels, as many a line as the square root of n rounded up, each picture in its cell's upper left.
            Empty if none was asked for.
        """
        with self._lock:
            small, count = dict(self._small), len(self._tiles)
        if not small:
            return b""
        side = SIDES[0]
        columns = int(np.ceil(np.sqrt(count)))
        sheet = np.zeros((-(-count // columns) * side, columns * side, 3), np.uint8)
        head = np.zeros((count, 3), "<i4")
        for index, (revision, pixels) in small.items():
            height, width = pixels.shape[:2]
            top, left = index // columns * side, index % columns * side
            # What is beside a picture continues it, so that the JPEG's blocks keep its edges clean.
            fill = ((0, side - height), (0, side - width), (0, 0))
            sheet[top : top + side, left : left + side] = np.pad(pixels, fill, mode="edge")
            head[index] = (revision, width, height)
        return head.tobytes() + _jpeg(Image.fromarray(sheet), 80)


def _sized(picture: Picture, level: int, keep_contrast: bool = False) -> tuple[bool, bytes, Image.Image]:
    """Whether it is the whole picture, its bytes, and its pixels."""
    opened = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    width, height = opened.size
    scale = SIDES[level] / max(width, height)
    if scale >= 1 and isinstance(picture, bytes) and opened.format in ("JPEG", "PNG"):
        return True, picture, opened
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1 and isinstance(picture, bytes) and not keep_contrast:
        opened.draft("RGB", (2 * size[0], 2 * size[1]))
    rgb = opened.convert("RGB")
    image = rgb.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC) if scale < 1 else rgb
    if keep_contrast and scale < 1:
        image = _with_contrast_of(rgb, image)
    if max(image.size) < SIDES[0]:
        return scale >= 1, _png(image), image
    return scale >= 1, _jpeg(image, _QUALITIES[level]), image


def _differences(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32) - _GREY


def _with_contrast_of(whole: Image.Image, image: Image.Image) -> Image.Image:
    """A smaller copy, stretched about middle grey until its values spread as far as those of the whole picture."""
    small = _differences(image)
    factor = min(_MOST_STRETCH, float(_differences(whole).std() / max(small.std(), 1.0)))
    if factor <= 1:
        return image
    return Image.fromarray((small * factor + _GREY).round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    """Of few pixels a JPEG is larger, and blurs those that are seen one by one."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()

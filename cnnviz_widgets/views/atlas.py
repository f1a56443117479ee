"""Thumbnails by the thousand as JPEG pages, each page holding images that lie near each other.

::

    points (n, 2) -> hilbert_order(...) -> order (n,)
    ThumbnailAtlas(thumbnails, order).page(level, number) -> bytes of a JPEG

A page holds a level's equally large square cells, row by row: cell k of a level is image ``order[k]``, on page
``k // capacity(side)``. What lies together on a map lies together on the pages, so that a part of the map needs few of them.

Each picture is cropped to the square in its middle, as most networks see it: squares lie close together without a gap, a
cell needs no shape of its own, and the whole picture is shown elsewhere. Colours are not subsampled, and the sides are
multiples of the 8 pixels of a JPEG block, so that no cell bleeds into its neighbours.
"""

import io
import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Thumbnail = bytes | Image.Image

PAGE_SIDE = 2048
SIDES = (8, 16, 32, 64, 128)
_HILBERT_BITS = 16
SMALL_SIDE = 16
_SMALL = (SMALL_SIDE, SMALL_SIDE, 3)
_MISSING = 128
_KEPT_BYTES = 64_000_000


def capacity(side: int) -> int:
    """Cells of a page.

    Examples
    --------
    >>> from cnnviz_widgets.views.atlas import capacity
    >>> capacity(64)
    1024
    """
    return (PAGE_SIDE // side) ** 2


def hilbert_order(points: np.ndarray) -> np.ndarray:
    """Indices of points along a Hilbert curve through them; those without a finite position come last.

    Parameters
    ----------
    points : ndarray
        (n, 2).

    Returns
    -------
    ndarray
        int32 (n,), a permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnviz_widgets.views.atlas import hilbert_order
    >>> hilbert_order(np.array([[0, 0], [9, 0], [0, 9], [9, 9], [1, 1]])).tolist()
    [0, 4, 2, 3, 1]
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(points).all(axis=1)
    along = np.full(len(points), np.iinfo(np.int64).max)
    if finite.any():
        low = points[finite].min(axis=0)
        span = max(float((points[finite].max(axis=0) - low).max()), np.finfo(np.float64).tiny)
        steps = np.round((points[finite] - low) / span * (2**_HILBERT_BITS - 1)).astype(np.int64)
        along[finite] = _hilbert_distance(steps[:, 0], steps[:, 1])
    return np.argsort(along, kind="stable").astype(np.int32)


def _hilbert_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far along the curve each place is: quadrant by quadrant from the largest, each turned as the curve is there."""
    x, y = x.copy(), y.copy()
    distance = np.zeros_like(x)
    for bit in range(_HILBERT_BITS - 1, -1, -1):
        right, upper = (x >> bit) & 1, (y >> bit) & 1
        distance += ((3 * right) ^ upper) << (2 * bit)
        turned = upper == 0
        mirrored = turned & (right == 1)
        most = (1 << bit) - 1
        x, y = x & most, y & most
        x[mirrored], y[mirrored] = most - x[mirrored], most - y[mirrored]
        x[turned], y[turned] = y[turned], x[turned]
    return distance


def square(thumbnail: Thumbnail, side: int) -> np.ndarray:
    """The middle of a picture as uint8 (side, side, 3); what is no picture becomes grey."""
    try:
        picture = Image.open(io.BytesIO(thumbnail)) if isinstance(thumbnail, bytes) else thumbnail
        # A JPEG is decoded at an eighth, a quarter or a half of its size where that will do; the factor leaves the final
        # scaling something to smooth.
        picture.draft("RGB", (2 * side, 2 * side))
        width, height = picture.size
        edge = min(width, height)
        left, top = (width - edge) / 2, (height - edge) / 2
        box = (left, top, left + edge, top + edge)
        rgb = picture.convert("RGB")
        smooth = Image.Resampling.BOX if edge >= 2 * side else Image.Resampling.BILINEAR
        return np.asarray(rgb.resize((side, side), smooth, box=box))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return np.full((side, side, 3), _MISSING, np.uint8)


def _shrunk(small: np.ndarray, side: int) -> np.ndarray:
    """uint8 (n, 16, 16, 3) as uint8 (n, side, side, 3), of a side that divides 16."""
    factor = SMALL_SIDE // side
    if factor == 1:
        return small
    return small.reshape(-1, side, factor, side, factor, 3).mean(axis=(2, 4)).round().astype(np.uint8)


class ThumbnailAtlas:
    """Pages of thumbnails at several sizes, made when asked for and kept as long as they are few.

    Any thread may ask, several at once.

    Parameters
    ----------
    thumbnails : sequence or callable
        Bytes of an image file or Pillow images, one per image, or a function that returns the one of an index. For the two
        smallest sizes each is asked for once and kept as 16 x 16 pixels, for each larger size again.
    order : ndarray
        int (n,), a permutation: which image is in which cell, such as `hilbert_order` of the positions.
    sides : sequence of int
        Sides of the cells in pixels, growing, each a multiple of 8 that divides 2048.
    small : ndarray, optional
        uint8 (n, 16, 16, 3): every thumbnail's `square` where it is kept already, so that the two smallest sizes, which a map
        asks for first, need no decoding.
    quality : int
        Of the JPEG. At 80 a photograph takes about 300 bytes in 32 pixels and 1 kB in 64.

    Raises
    ------
    ValueError
        If the order is no permutation or a side does not fit.

    Examples
    --------
    >>> from PIL import Image
    >>> from cnnviz_widgets.views.atlas import ThumbnailAtlas
    >>> atlas = ThumbnailAtlas([Image.new("RGB", (40, 30), "red")] * 3, [2, 0, 1])
    >>> atlas.pages(0), atlas.page(0, 0)[:2]
    (1, b'\\xff\\xd8')
    """

    def __init__(
        self,
        thumbnails: Sequence[Thumbnail] | Callable[[int], Thumbnail],
        order: Sequence[int] | np.ndarray,
        *,
        sides: Sequence[int] = SIDES,
        small: np.ndarray | None = None,
        quality: int = 80,
    ) -> None:
        self.order = np.asarray(order, dtype=np.int32).reshape(-1)
        count = len(self.order)
        if not np.array_equal(np.sort(self.order), np.arange(count)):
            raise ValueError(f"order is no permutation of 0 to {count - 1}")
        if not callable(thumbnails) and len(thumbnails) != count:
            raise ValueError(f"{len(thumbnails)} thumbnails for an order of {count}; pass one per image")
        self.sides = tuple(map(operator.index, sides))
        if not self.sides or any(side < 8 or side % 8 or PAGE_SIDE % side for side in self.sides):
            raise ValueError(f"sides is {sides}, expected multiples of 8 that divide {PAGE_SIDE}")
        if list(self.sides) != sorted(set(self.sides)):
            raise ValueError(f"sides is {sides}, expected growing numbers")
        self.thumbnail: Callable[[int], Thumbnail] = thumbnails if callable(thumbnails) else thumbnails.__getitem__
        self._quality = quality
        if small is not None and (small.shape != (count, *_SMALL) or small.dtype != np.uint8):
            raise ValueError(f"small is {small.dtype} {small.shape}, expected uint8 {(count, *_SMALL)}")
        # made here and not by the first that asks: of two at once the later would wipe out what the earlier has read
        self._small = np.zeros((count, *_SMALL), np.uint8) if small is None else small
        self._known = np.full(count, small is not None)
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def pages(self, level: int) -> int:
        """How many pages a level has."""
        return -(-len(self.order) // capacity(self.sides[level]))

    def page(self, level: int, number: int) -> bytes:
        """The JPEG of a page, as high as its cells need.

        A thumbnail that cannot be read becomes a grey cell.

        Raises
        ------
        IndexError
            If there is no such level or page.
        """
        if not 0 <= level < len(self.sides) or not 0 <= number < self.pages(level):
            raise IndexError(f"no page {number} of level {level}")
        with self._lock:
            if (level, number) in self._kept:
                self._kept.move_to_end((level, number))
                return self._kept[level, number]
        data = self._encoded(self._painted(level, number))
        with self._lock:
            self._kept[level, number] = data
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return data

    def reordered(self, order: np.ndarray) -> "ThumbnailAtlas":
        """The same thumbnails in another order; what was read of them is kept."""
        other = ThumbnailAtlas(self.thumbnail, order, sides=self.sides, quality=self._quality)
        other._small, other._known = self._small, self._known
        return other

    def thumbnail_data(self, index: int) -> bytes:
        """The bytes of an image file that shows a whole thumbnail; empty where it cannot be read."""
        found = self._read(index)
        if isinstance(found, bytes):
            return found
        file = io.BytesIO()
        found.convert("RGB").save(file, "JPEG", quality=90)
        return file.getvalue()

    def _painted(self, level: int, number: int) -> np.ndarray:
        side = self.sides[level]
        images = self.order[number * capacity(side) : (number + 1) * capacity(side)]
        columns = PAGE_SIDE // side
        rows = -(-len(images) // columns)
        page = np.zeros((rows, side, columns, side, 3), np.uint8)
        if not SMALL_SIDE % side and self._known[images].all():
            cells = np.arange(len(images))
            page[cells // columns, :, cells % columns] = _shrunk(self._small[images], side)
            return page.reshape(rows * side, columns * side, 3)
        for cell, image in enumerate(images):
            page[cell // columns, :, cell % columns] = self._square(int(image), side)
        return page.reshape(rows * side, columns * side, 3)

    def _square(self, image: int, side: int) -> np.ndarray:
        if side > SMALL_SIDE or SMALL_SIDE % side:
            return square(self._read(image), side)
        if not self._known[image]:
            self._small[image] = square(self._read(image), SMALL_SIDE)
            self._known[image] = True
        return _shrunk(self._small[image : image + 1], side)[0]

    def _read(self, image: int) -> Thumbnail:
        try:
            return self.thumbnail(image)
        except (OSError, ValueError):
            return b""

    def _encoded(self, page: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(page).save(file, "JPEG", quality=self._quality, subsampling=0)
        return file.getvalue()

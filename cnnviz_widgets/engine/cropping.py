"""``boxes(height, width, count) -> [(top, left, bottom, right), ...]``: overlapping squares at several scales.

A few photographs become a collection: large crops first, each scale smaller by the square root of two and overlapping by about
half; when all scales down to `SMALLEST` are laid and more are wanted, they overlap more. Nothing is random.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .images import ImageError
from .keeping import Kept
from .openers import CropOpener, Fault, Opener, SharedOpener, extent

SMALLEST = 48
"""Pixels of the side of the smallest crop; less shows a texture's grain and no thing."""

MOST_KEPT = 64 * 2**20
"""Bytes of decoded pictures that wait for their next crop: all the samples, or a few large photographs."""

Box = tuple[int, int, int, int]
Region = tuple[float, float, float, float]
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Crop:
    """A part of an image.

    Attributes
    ----------
    number
        The image's place among those it was cut from.
    """

    id: str
    number: int
    opener: Opener


def sides(height: int, width: int, largest: float = 1.0) -> list[int]:
    """The sides of the squares, falling, from ``largest`` times the shorter side to `SMALLEST`; none where it is smaller."""
    short = min(height, width)
    if short < SMALLEST:
        return []
    scaled = (round(short * largest * 0.5 ** (n / 2)) for n in itertools.count())
    return [*itertools.takewhile(lambda side: side > SMALLEST, scaled), SMALLEST]


def room(height: int, width: int, largest: float = 1.0) -> int:
    """How many different squares there can be."""
    return sum((height - side + 1) * (width - side + 1) for side in sides(height, width, largest))


def boxes(height: int, width: int, count: int, largest: float = 1.0) -> list[Box]:
    """So many different squares within ``height`` × ``width`` pixels.

    Examples
    --------
    >>> boxes(100, 150, 3)
    [(0, 0, 100, 100), (0, 50, 100, 150), (14, 39, 85, 110)]

    Raises
    ------
    ValueError
        There is no `room` for so many.
    """
    if count > room(height, width, largest):
        raise ValueError(f"{count} crops of {height} × {width} pixels; there are {room(height, width, largest)}")
    chosen: list[Box] = []
    scales = sides(height, width, largest)
    for side in scales:
        laid = _grid(height, width, side, 1.0)
        if len(laid) > count - len(chosen):
            return chosen + _just_enough(height, width, [side], count - len(chosen), 0.1)
        chosen += laid
    return chosen if len(chosen) == count else _just_enough(height, width, scales, count, 1.0)


def _just_enough(height: int, width: int, scales: list[int], count: int, density: float) -> list[Box]:
    """The thinnest grids that hold so many, thinned out evenly where they hold more."""
    found = [_grid(height, width, side, 0.0)[0] for side in scales]
    while len(found) < count:
        found = [box for side in scales for box in _grid(height, width, side, density)]
        density *= 1.1
    return [found[(2 * number + 1) * len(found) // (2 * count)] for number in range(count)]


def _grid(height: int, width: int, side: int, density: float) -> list[Box]:
    """Squares whose distance is at most half their side, divided by the density; at density 0 the one in the middle."""
    rows, columns = (_starts(length - side, side, density) for length in (height, width))
    return [(top, left, top + side, left + side) for top in rows for left in columns]


def _starts(spare: int, side: int, density: float) -> list[int]:
    steps = min(spare, math.ceil(2 * spare * density / side))
    return [number * spare // steps for number in range(steps + 1)] if steps else [spare // 2]


def shares(count: int, most: Sequence[int]) -> list[int]:
    """``count`` shared out as evenly as ``most``, how much each can take, allows.

    Examples
    --------
    >>> shares(10, [2, 9, 9])
    [2, 4, 4]
    """
    given = [0] * len(most)
    while left := count - sum(given):
        free = [place for place, taken in enumerate(given) if taken < most[place]]
        each, over = divmod(left, len(free))
        for number, place in enumerate(free):
            given[place] += min(each + (number < over), most[place] - given[place])
    return given


def window(height: int, width: int, region: Region) -> Box:
    """The whole pixels inside a region given as fractions, so that regions that only touch share none."""
    top, left, bottom, right = region
    return math.ceil(top * height), math.ceil(left * width), math.floor(bottom * height), math.floor(right * width)


def check_region(region: Any) -> Region:
    """Four fractions (top, left, bottom, right); a ``ValueError`` for anything else."""
    try:
        top, left, bottom, right = (float(edge) for edge in region)
    except (TypeError, ValueError):
        top = left = bottom = right = math.nan
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise ValueError(
            f"region={region!r}; expected (top, left, bottom, right) as fractions of the image: (0, 0, 1, 0.5) is its left half"
        )
    return top, left, bottom, right


def crops(
    ids: Sequence[str], openers: Sequence[Opener], count: int, region: Region = WHOLE, largest: float = 1.0
) -> tuple[list[Crop], list[Fault]]:
    """``count`` crops of these images, and the images that none fits in.

    Raises
    ------
    ImageError
        Not so many crops fit, or none.
    """
    windows, faults = _windows(ids, openers, region)
    rooms = [room(bottom - top, right - left, largest) for top, left, bottom, right in windows.values()]
    if sum(rooms) < count:
        reasons = f"; {faults[0].reason}" if faults else ""
        raise ImageError(
            f"{count} crops were asked for, and {sum(rooms)} different ones of {SMALLEST} pixels or more fit into "
            f"{len(ids)} image{'s' * (len(ids) != 1)}{reasons}"
        )
    kept: Kept[Any] = Kept(_weight, MOST_KEPT)
    made: list[Crop] = []
    for share, (number, (top, left, bottom, right)) in zip(shares(count, rooms), windows.items(), strict=True):
        shared = SharedOpener(openers[number], number, kept)
        for box in boxes(bottom - top, right - left, share, largest):
            moved = (box[0] + top, box[1] + left, box[2] + top, box[3] + left)
            name = f"{ids[number]}@{','.join(map(str, moved))}"
            made.append(Crop(name, number, CropOpener(shared, moved)))
    return made, faults


def _windows(ids: Sequence[str], openers: Sequence[Opener], region: Region) -> tuple[dict[int, Box], list[Fault]]:
    found: dict[int, Box] = {}
    faults: list[Fault] = []
    for number, opener in enumerate(openers):
        try:
            top, left, bottom, right = box = window(*opener.size(), region)
        except ImageError as error:
            faults.append(Fault(ids[number], str(error)))
            continue
        if min(bottom - top, right - left) >= SMALLEST:
            found[number] = box
        else:
            size = f"{max(bottom - top, 0)} × {max(right - left, 0)}"
            faults.append(
                Fault(ids[number], f"the region has {size} pixels; a crop has at least {SMALLEST} × {SMALLEST}")
            )
    return found, faults


def _weight(picture: Any) -> int:
    height, width = extent(picture)
    return height * width * 4 if not hasattr(picture, "nbytes") else int(picture.nbytes)

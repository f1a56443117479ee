"""Pictures to make sets of, and sets that count how often they are opened."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.openers import Opener


def colours(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


class Counting(Opener):
    """An opener that counts its openings."""

    def __init__(self) -> None:
        self.opened = 0
        self.near: list[int] = []

    def open(self) -> Any:
        self.opened += 1
        return colours(300, 200)

    def open_near(self, short: int) -> Any:
        self.near.append(short)
        return self.open()

    def fingerprint(self) -> str:
        return "the same"


def counted(n: int = 3) -> tuple[ImageSet, list[Counting]]:
    openers = [Counting() for _ in range(n)]
    names = tuple(str(number) for number in range(n))
    return ImageSet(names, names, tuple(openers)), openers

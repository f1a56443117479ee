"""The pixels that the browser has drawn."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from playwright.sync_api import Locator

_READ = """async (source) => {
  if (source instanceof HTMLImageElement) await source.decode();
  const canvas = document.createElement('canvas');
  canvas.width = source.naturalWidth || source.width;
  canvas.height = source.naturalHeight || source.height;
  canvas.getContext('2d').drawImage(source, 0, 0);
  return canvas.toDataURL('image/png');
}"""


@dataclass(frozen=True)
class Pixels:
    """A picture read from the page: ``values`` is uint8 RGBA of shape (height, width, 4)."""

    values: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def average(self) -> tuple[float, float, float, float]:
        """Mean of red, green, blue and alpha, each 0..255."""
        red, green, blue, alpha = (float(value) for value in self.values.mean(axis=(0, 1)))
        return red, green, blue, alpha

    @property
    def digest(self) -> str:
        """The same for the same picture, and only then."""
        return hashlib.sha256(repr(self.values.shape).encode() + self.values.tobytes()).hexdigest()

    def at(self, x: int, y: int) -> tuple[int, int, int, int]:
        """Red, green, blue and alpha of one pixel, counted from the upper left corner."""
        red, green, blue, alpha = (int(value) for value in self.values[y, x])
        return red, green, blue, alpha


def read_pixels(locator: Locator) -> Pixels:
    """What one ``canvas`` or ``img`` holds now, in its own pixels, whatever its size on the page."""
    address: str = locator.evaluate(_READ)
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return Pixels(np.asarray(picture.convert("RGBA")).copy())

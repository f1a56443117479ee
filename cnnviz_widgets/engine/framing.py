"""``framing(size, spec) -> Framing``: which part of a picture a network sees, and how its pixels lie in the input.

Resizing and cropping, told by numbers alone: what `images.fit` does to pixels, and the way back from the input to the photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .input_spec import InputSpec

Span = tuple[float, float, float, float]
"""(top, left, bottom, right)."""


@dataclass(frozen=True)
class Framing:
    """A picture of ``size`` pixels is scaled to ``scaled``, and the input begins ``corner`` pixels inside of that.

    All are (height, width).
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    input: tuple[int, int]

    def to_picture(self, span: Span) -> Span:
        """Input pixels -> pixels of the picture; what lies outside of the input may lie outside of the picture."""
        return self._each(span, lambda value, axis: (value + self.corner[axis]) * self.size[axis] / self.scaled[axis])

    def to_input(self, span: Span) -> Span:
        """Pixels of the picture -> input pixels."""
        return self._each(span, lambda value, axis: value * self.scaled[axis] / self.size[axis] - self.corner[axis])

    @property
    def seen(self) -> Span:
        """The part of the picture that the network sees, in the picture's pixels."""
        return self.to_picture((0, 0, *self.input))

    @property
    def filled(self) -> tuple[int, int, int, int]:
        """The part of the input that shows the picture, in input pixels; all of it unless the picture is scaled to less."""
        (top, left), (height, width) = self.corner, self.input
        return max(0, -top), max(0, -left), min(height, self.scaled[0] - top), min(width, self.scaled[1] - left)

    @staticmethod
    def _each(span: Span, change: Callable[[float, int], float]) -> Span:
        top, left, bottom, right = span
        return change(top, 0), change(left, 1), change(bottom, 0), change(right, 1)


def framing(size: tuple[int, int], spec: InputSpec, *, tensor: bool = False) -> Framing:
    """The framing of a picture of ``size`` (height, width).

    Parameters
    ----------
    tensor
        Whether it is a tensor, which is scaled until it just covers the input, whatever the `InputSpec` says of resizing.

    Examples
    --------
    >>> framing((300, 450), InputSpec(size=(3, 224, 224), resize=256)).seen  # doctest: +ELLIPSIS
    (18.75, 93.75, 281.25, 356.25)
    """
    _, height, width = spec.size
    down, across = size
    if tensor:
        if size == (height, width):
            return Framing(size, size, (0, 0), (height, width))
        factor = max(height / down, width / across)
        scaled = (max(height, round(down * factor)), max(width, round(across * factor)))
        return Framing(size, scaled, ((scaled[0] - height) // 2, (scaled[1] - width) // 2), (height, width))
    if spec.crop == "squash":
        return Framing(size, (height, width), (0, 0), (height, width))
    if spec.resize is None:
        factor = max(height / down, width / across)
        scaled = (max(height, int(down * factor)), max(width, int(across * factor)))
    else:
        short = max(spec.resize, 1)
        scaled = (int(short * down / across), short) if across <= down else (short, int(short * across / down))
    corner = (_corner(scaled[0], height), _corner(scaled[1], width))
    return Framing(size, scaled, corner, (height, width))


def _corner(scaled: int, size: int) -> int:
    """Where a crop in the middle begins; before the picture where that is smaller, which torchvision then fills up with black."""
    return round((scaled - size) / 2.0) if scaled >= size else -((size - scaled) // 2)

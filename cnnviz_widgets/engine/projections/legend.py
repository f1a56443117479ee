"""``Legend.of(title, entries, ...) -> Legend``: the line above a poster and the names of its colours below."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
MOST_ENTRIES = 60
COLORS = (
    "#3b8fd4",
    "#e8862e",
    "#2ba884",
    "#d1569c",
    "#c9a227",
    "#8a6fd1",
    "#d9534a",
    "#4fb3bf",
    "#7f9a3a",
    "#a3714f",
)
"""As on the map in a panel: told apart on a light and on a dark ground, the first ones also by the colour-blind."""
NO_LABEL: Color = (140, 140, 140)
_GOLDEN_ANGLE = 137.508
_TITLE, _TEXT = 0.026, 0.0115
"""Heights of the letters, in the poster's longer side."""
_LEAST_MARGIN = 0.012
_LINE = 1.7
"""Distance of lines, in the height of their letters."""


def color_of(color: Any) -> Color:
    """Red, green and blue, 0 to 255, of a colour as Pillow knows it or of three numbers.

    Raises
    ------
    ValueError
        Neither.
    """
    try:
        red, green, blue = ImageColor.getrgb(color)[:3] if isinstance(color, str) else (int(value) for value in color)
    except (TypeError, ValueError):
        raise ValueError(f"the colour {color!r}; expected a name, '#rrggbb', or red, green and blue") from None
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"the colour {color!r}; expected red, green and blue from 0 to 255")
    return red, green, blue


def label_color(index: int) -> Color:
    """A colour for any number of labels, the same as on the map in a panel."""
    if index < len(COLORS):
        return color_of(COLORS[index])
    saturation, lightness = 0.45 + 0.2 * (index % 2), 0.5 + 0.08 * (index % 3 - 1)
    shares = colorsys.hls_to_rgb(index * _GOLDEN_ANGLE % 360 / 360, lightness, saturation)
    return color_of([round(255 * share) for share in shares])


def counted(labels: Sequence[str | None]) -> dict[str, int]:
    """The different labels, the most frequent first, with their numbers; nothing and None are no label."""
    counts: dict[str, int] = {}
    for label in labels:
        if label is not None and str(label):
            counts[str(label)] = counts.get(str(label), 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def palette(labels: Sequence[str | None], colors: Mapping[str, Any] | None) -> dict[str, Color]:
    """A colour per label, the most frequent first.

    Raises
    ------
    ValueError
        Colours were given, but not for all labels.
    """
    ranked = list(counted(labels))
    if colors is None:
        return {label: label_color(i) for i, label in enumerate(ranked)}
    if missing := [label for label in ranked if label not in colors]:
        raise ValueError(f"colors has none for the label {missing[0]!r}; pass one per label")
    return {label: color_of(colors[label]) for label in ranked}


def typeface(font: str | None, size: int) -> Font:
    """A font of a height in pixels, Pillow's own without a path.

    Raises
    ------
    OSError
        There is no font that can be read.
    """
    try:
        return ImageFont.load_default(size) if font is None else ImageFont.truetype(font, size)
    except OSError as error:
        raise OSError(
            f"no font can be read from {font!r} ({error}); expected the path of a TrueType or OpenType file"
        ) from None


def line_of(text: str) -> str:
    """A text on one line; halves of characters, which no font has, become question marks."""
    return " ".join(str(text).encode("utf-8", "replace").decode("utf-8").split())


@dataclass(frozen=True)
class Legend:
    """Texts around a poster: its title above, and below the labels in columns.

    Attributes
    ----------
    above, below
        Pixels that they need.
    """

    title: str
    entries: tuple[tuple[str, Color | None], ...]
    size: tuple[int, int]
    margin: int
    step: int
    columns: int
    above: int
    below: int
    fonts: tuple[Font, Font]

    @classmethod
    def of(
        cls,
        title: str,
        named: Sequence[tuple[str, Color, int]],
        size: tuple[int, int],
        margin: int,
        font: str | None = None,
    ) -> Legend:
        """Lay out the texts of a poster.

        Parameters
        ----------
        named
            Label, colour and number of images; of many the first ones are told.
        size
            Width and height of the poster without them.
        """
        longer = max(size)
        margin = max(margin, round(_LEAST_MARGIN * longer))
        step, letters = max(8, round(_TEXT * longer)), max(11, round(_TITLE * longer))
        body, head = typeface(font, step), typeface(font, letters)
        room = max(step, size[0] - 2 * margin)
        texts: list[tuple[str, Color | None]] = [
            (f"{line_of(name)}  {count:,}", color) for name, color, count in named[:MOST_ENTRIES]
        ]
        if len(named) > MOST_ENTRIES:
            texts.append((f"and {len(named) - MOST_ENTRIES:,} more", None))
        widest = max((body.getlength(text) for text, _ in texts), default=0.0) + 3.5 * step
        columns = max(1, min(int(room / widest), len(texts)))
        fitting = tuple((_shortened(text, body, room / columns - 2 * step), color) for text, color in texts)
        lines = math.ceil(len(texts) / columns)
        line = _shortened(line_of(title), head, room)
        above = round(1.5 * letters) + margin if line else 0
        below = round(_LINE * step * lines) + margin if lines else 0
        return cls(line, fitting, size, margin, step, columns, above, below, (head, body))

    def draw(self, canvas: Image.Image, ink: Color) -> None:
        """Onto a picture that has room for them above and below."""
        brush = ImageDraw.Draw(canvas)
        head, body = self.fonts
        if self.title:
            brush.text((self.margin, self.margin), self.title, fill=ink, font=head)
        lines = math.ceil(len(self.entries) / self.columns)
        across = (self.size[0] - 2 * self.margin) / self.columns
        for i, (text, color) in enumerate(self.entries):
            x = self.margin + across * (i // lines)
            y = self.above + self.size[1] + _LINE * self.step * (i % lines)
            if color is not None:
                brush.rounded_rectangle((x, y, x + self.step, y + self.step), radius=self.step / 5, fill=color)
            brush.text((x + 1.5 * self.step, y + self.step / 2), text, fill=ink, font=body, anchor="lm")


def _shortened(text: str, font: Font, room: float) -> str:
    """A text that fits, its end left out where it does not."""
    if font.getlength(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle].rstrip() + "…") <= room else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""

"""``wrapped(text, width, size) -> lines``: text that fits, measured without drawing it.

Text is in the family that Matplotlib's ``font.family`` names, DejaVu Sans unless it is set. It lacks the scripts of East Asia:
name a font that has them as a second family, ``matplotlib.rcParams["font.family"] = ["DejaVu Sans", "Noto Sans CJK JP"]``.
"""

from __future__ import annotations

import math

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

_LEADING = 1.3
"""From line to line, in sizes of the letters."""


def height_of(size: float) -> float:
    """Inches from one line of letters of ``size`` points to the next."""
    return _LEADING * size / 72


def length_of(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a text takes in letters of ``size`` points, all on one line."""
    text = plain(text)
    if not text:
        return 0.0
    width, _, _ = TextToPath().get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return float(width) / 72


def plain(text: str) -> str:
    """A text on one line, for labels and names of files may hold line ends, and bytes that are no text."""
    return " ".join(str(text).encode(errors="replace").decode().split())


def shortened(text: str, width: float, size: float, weight: str = "normal") -> str:
    """A line with its end left out, and an ellipsis for it, where it is longer than ``width`` inches.

    Examples
    --------
    >>> shortened("German short-haired pointer", 1.0, 8)
    'German short-h…'
    """
    if length_of(text, size, weight) <= width:
        return text
    fits, fails = 0, len(text)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if length_of(text[:middle].rstrip() + "…", size, weight) <= width:
            fits = middle
        else:
            fails = middle
    return text[:fits].rstrip() + "…" if fits else ""


def wrapped(text: str, width: float, size: float, lines: int = 1, weight: str = "normal") -> list[str]:
    """A text broken between its words into at most so many lines; what is over is left out.

    Examples
    --------
    >>> wrapped("German short-haired pointer", 1.0, 8, lines=2)
    ['German', 'short-haired poi…']
    """
    words = plain(text).split(" ")
    if not math.isfinite(width) or not any(words):
        return [" ".join(words)] if any(words) else []
    told: list[str] = []
    while words and len(told) < lines - 1:
        count = 1
        while count < len(words) and length_of(" ".join(words[: count + 1]), size, weight) <= width:
            count += 1
        told.append(shortened(" ".join(words[:count]), width, size, weight))
        words = words[count:]
    return [*told, shortened(" ".join(words), width, size, weight)] if words else told


def number(value: float) -> str:
    """A number in three digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def percent(share: float) -> str:
    """A probability.

    Examples
    --------
    >>> percent(0.996), percent(0.0312), percent(1.2e-7)
    ('99.6 %', '3.1 %', '< 0.1 %')
    """
    return "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"

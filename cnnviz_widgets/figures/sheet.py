"""``Sheet(look)``: pictures and text at places in inches from the upper left corner -> ``finish() -> Figure``.

Pyplot keeps a register of figures, picks a backend, and is of no use outside of the main thread; so figures are made without it,
and any thread may make one. All pictures of a figure lie in one set of axes whose unit is the inch: hundreds of axes would take
seconds.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import Rectangle
from PIL import Image

from .lettering import height_of, length_of, wrapped

SCREEN = 144
"""Dots an inch in a notebook."""
PRINT = 300
"""Dots an inch in a file, unless others are asked for: what journals want of pictures."""
MARGIN = 0.08
"""Inches around all."""


class Figure(MatplotlibFigure):
    """A Matplotlib figure that shows itself in a notebook without pyplot, and is saved at `PRINT` dots an inch."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As Matplotlib's; ``dpi=`` counts for photographs in PDF and SVG, too."""
        options.setdefault("dpi", PRINT)
        super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        super().savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


@dataclass(frozen=True)
class Look:
    """What all figures let one choose.

    Parameters
    ----------
    width
        Inches: of the whole figure where there is enough to fill it.
    text
        Points of ordinary text.
    dark
        Light on dark, for slides.
    """

    width: float = 6.5
    text: float = 8.0
    dark: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 200:
            raise ValueError(f"width={self.width!r}; expected inches, 1 to 200")
        if not 1 <= self.text <= 200:
            raise ValueError(f"text={self.text!r}; expected points, 1 to 200")

    @property
    def paper(self) -> str:
        """The colour below all."""
        return "#15171b" if self.dark else "#ffffff"

    @property
    def ink(self) -> str:
        """Of text."""
        return "#f4f4f4" if self.dark else "#161616"

    @property
    def soft(self) -> str:
        """Of remarks and axes."""
        return "#b4b8c0" if self.dark else "#555555"

    @property
    def accent(self) -> str:
        """Of curves and bars; told from grey by the colour-blind, too."""
        return "#ffb000" if self.dark else "#c2410c"

    @property
    def mark(self) -> str:
        """Of frames: a red that none of the colour maps for activations holds."""
        return "#ff3b5c" if self.dark else "#e8112d"

    @property
    def line(self) -> float:
        """Inches from one line of text to the next."""
        return height_of(self.text)

    @property
    def inner(self) -> float:
        """Inches between the margins."""
        return self.width - 2 * MARGIN


class Sheet:
    """A figure under way; it grows to what is put on it."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.figure = Figure(figsize=(look.width, look.width), dpi=SCREEN, facecolor=look.paper)
        self.paper: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.paper.set_axis_off()
        self.paper.set_autoscale_on(False)
        self._plots: list[tuple[Axes, tuple[float, float, float, float]]] = []

    def picture(
        self, shown: Image.Image | np.ndarray, left: float, top: float, width: float, height: float | None = None
    ) -> float:
        """Put a picture; without a height in its proportions. Returns its lower edge.

        Pixels that can be told apart stay squares, in vector files too; where there are more to the inch than a screen has dots
        they are averaged.
        """
        pixels = np.asarray(shown if isinstance(shown, np.ndarray) else _plain(shown))
        tall = width * pixels.shape[0] / pixels.shape[1] if height is None else height
        dense = max(pixels.shape[1] / width, pixels.shape[0] / tall) > SCREEN
        image = self.paper.imshow(
            pixels,
            cmap="gray",
            vmin=0,
            vmax=255,
            aspect="auto",
            extent=(left, left + width, top + tall, top),
            interpolation="antialiased" if dense else "none",
            resample=True,
        )
        # images that are clipped would be joined to one, at its resolution, in vector files
        image.set_clip_on(False)
        return top + tall

    def frame(
        self, left: float, top: float, width: float, height: float, *, color: str = "", points: float = 1.0
    ) -> None:
        """An outline, outside of what it surrounds."""
        off = points / 144
        box = Rectangle(
            (left - off, top - off),
            width + 2 * off,
            height + 2 * off,
            fill=False,
            edgecolor=color or self.look.mark,
            linewidth=points,
            joinstyle="miter",
            clip_on=False,
            zorder=3,
        )
        self.paper.add_patch(box)

    def text(
        self,
        text: str,
        left: float,
        top: float,
        *,
        width: float = math.inf,
        lines: int = 1,
        align: str = "left",
        color: str = "",
        scale: float = 1.0,
        weight: str = "normal",
    ) -> float:
        """Put text below ``top``, broken into at most so many lines of ``width`` inches. Returns its lower edge.

        Parameters
        ----------
        align
            What ``left`` is: the left end, the ``"center"`` or the ``"right"`` end of the lines.
        scale
            Times the size of ordinary text.
        """
        size = self.look.text * scale
        told = wrapped(text, width, size, lines, weight)
        for number, line in enumerate(told):
            self.paper.text(
                left,
                top + (number + 0.5) * height_of(size),
                line,
                ha=align,
                va="center",
                color=color or self.look.ink,
                fontsize=size,
                fontweight=weight,
                parse_math=False,
                usetex=False,
                clip_on=False,
                zorder=4,
            )
        return top + len(told) * height_of(size)

    def heading(self, title: str, remark: str = "", *, width: float = 0.0) -> float:
        """The title and what is to be said below it, at the top. Returns where the rest begins."""
        width = width or self.look.inner
        top = MARGIN
        if title:
            top = self.text(title, MARGIN, top, width=width, lines=2, scale=1.2, weight="bold")
        if remark:
            top = self.text(remark, MARGIN, top, width=width, lines=4, color=self.look.soft)
        return top + (0.6 * self.look.line if title or remark else 0)

    def scale(self, table: np.ndarray, low: str, high: str, right: float, top: float) -> float:
        """A scale of colours, uint8 (256, 3), between its two ends in words, up to ``right``. Returns the lower edge."""
        line, width = self.look.line, 0.9
        spare = 0.06
        self.text(high, right, top, align="right", color=self.look.soft)
        end = right - spare - length_of(high, self.look.text)
        self.picture(table[None], end - width, top + 0.2 * line, width, 0.6 * line)
        self.text(low, end - width - spare, top, align="right", color=self.look.soft)
        return top + line

    def plot(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes for a curve, at a place in inches."""
        axes = self.figure.add_axes((0, 0, 1, 1))
        dress(axes, self.look)
        self._plots.append((axes, (left, top, width, height)))
        return axes

    def finish(self, height: float, width: float = 0.0) -> Figure:
        """The figure, cut to what is on it."""
        wide, tall = width or self.look.width, height + MARGIN
        self.figure.set_size_inches(wide, tall)
        self.paper.set_xlim(0, wide)
        self.paper.set_ylim(tall, 0)
        for axes, (left, top, across, down) in self._plots:
            axes.set_position((left / wide, 1 - (top + down) / tall, across / wide, down / tall))
        return self.figure


def dress(axes: Axes, look: Look) -> None:
    """Axes in the colours and letters of a look."""
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(look.soft)
        spine.set_linewidth(0.6)
    axes.tick_params(colors=look.soft, labelcolor=look.ink, labelsize=look.text, width=0.6, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set(color=look.ink, fontsize=look.text)


def name_axes(axes: Axes, look: Look, across: str, down: str) -> None:
    """Write what the axes count."""
    for label, text in ((axes.xaxis.label, across), (axes.yaxis.label, down)):
        label.set(text=text, color=look.ink, fontsize=look.text, parse_math=False, usetex=False)


def outlined(shown: Image.Image, color: str, share: float = 0.07) -> Image.Image:
    """A picture with a frame of a colour within its edges."""
    pixels = np.array(_plain(shown).convert("RGB"))
    thick = max(1, round(share * min(pixels.shape[:2])))
    tone = np.rint(255 * np.array(to_rgba(color)[:3])).astype(np.uint8)
    pixels[:thick], pixels[-thick:], pixels[:, :thick], pixels[:, -thick:] = tone, tone, tone, tone
    return Image.fromarray(pixels)


def _plain(shown: Image.Image) -> Image.Image:
    return shown if shown.mode in ("L", "RGB") else shown.convert("RGB")

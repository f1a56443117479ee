"""``draw_bars(sheet, [(name, value), ...], ...)``: named numbers as bars, with the numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from .lettering import length_of, number
from .sheet import Sheet


def draw_bars(sheet: Sheet, named: Sequence[tuple[str, float]], left: float, top: float, across: float) -> float:
    """Draw them on ``across`` inches, the first at the top. Returns the lower edge."""
    look = sheet.look
    values = np.array([value for _, value in named])
    finite = np.where(np.isfinite(values), values, 0.0)
    low, high = min(0.0, float(finite.min(initial=0))), max(0.0, float(finite.max(initial=0)))
    told = [number(value) for value in values]
    names = min(0.45 * across, max((length_of(name, look.text) for name, _ in named), default=0.0))
    numbers = max((length_of(text, look.text) for text in told), default=0.0)
    start, step = left + names + 0.08, 1.15 * look.line
    inch = (across - names - numbers - 0.16) / (high - low or 1.0)
    for row, (name, _) in enumerate(named):
        y = top + row * step
        sheet.text(name, start - 0.08, y, width=names + 1e-6, align="right")
        begin, end = sorted((start - low * inch, start + (finite[row] - low) * inch))
        bar = Rectangle((begin, y + 0.15 * look.line), end - begin, 0.7 * look.line, color=look.accent, linewidth=0)
        sheet.paper.add_patch(bar)
        sheet.text(told[row], max(end, start - low * inch) + 0.06, y, color=look.soft)
    return top + len(named) * step

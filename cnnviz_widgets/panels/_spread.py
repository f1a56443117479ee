"""``Spread``: how a unit's activation is spread over a collection, with the best photograph and the synthesized image on it."""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets as widgets
import numpy as np

from cnnviz_widgets.engine.index import Statistics
from cnnviz_widgets.views import Histogram, Mark


class Spread:
    """A histogram with its numbers in words; two threads may show what they know, one after the other."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.log_counts = widgets.Checkbox(value=False, description="counts on a log scale", indent=False)
        self.numbers = widgets.Label("")
        self.numbers.add_class("cnnviz-verdict")
        # in the browser, at once and whatever the kernel does
        self._link = widgets.jslink((self.log_counts, "value"), (self.histogram, "log_counts"))
        self.column: list[widgets.Widget] = [self.histogram, self.log_counts, self.numbers]
        self.lock = threading.RLock()
        self.told: Statistics | None = None

    def show(self, told: Statistics | None, activation: float | None = None, caption: str = "") -> None:
        """Show a unit's statistics, and the activation of the image that was synthesized for it."""
        with self.lock:
            self.told = told
            if told is None or not told.images:
                self.histogram.show([], [], caption=caption or ("" if told is None else "no values"))
                self.numbers.value = ""
                return
            marks = [Mark(told.highest, "best photograph")]
            verdict = ""
            if activation is not None and np.isfinite(activation):
                marks.append(Mark(activation, "synthesized", "accent"))
                verdict = f" Synthesized: {activation:.4g}, {beside_best(activation, told)}."
            shown: Any = (told.edges.tolist(), told.counts.tolist())
            self.histogram.show(*shown, marks=marks, caption=caption)
            self.numbers.value = (
                f"{told.images:,} images: mean {told.mean:.3g}, deviation {told.deviation:.3g}; "
                f"above zero for {told.fires:.0%}.{verdict}"
            )

    def close(self) -> None:
        """Take the link off, which stands in no box."""
        self._link.close()


def beside_best(activation: float, told: Statistics) -> str:
    """How an activation stands beside the best photograph's, in words."""
    if told.highest > 0 and activation > 0:
        return f"{activation / told.highest:.2g} times the best photograph"
    if told.deviation > 0:
        apart = (activation - told.highest) / told.deviation
        return f"{abs(apart):.2g} deviations {'above' if apart >= 0 else 'below'} the best photograph"
    return "the photographs all answer alike"

"""How often which value occurs, and where single values lie among them.

::

    edges (n + 1), counts (n) + Mark, Mark, ... -> Histogram.show(...) -> bars over an axis; selected: index of a bin
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from cnnviz_widgets.views._base import View, joined

LIMIT = 1000
TONES = ("", "accent", "muted")


@dataclass(frozen=True)
class Mark:
    """A value on the axis of a `Histogram`.

    Parameters
    ----------
    value
        What is not finite is written below the axis but not drawn.
    label
        Written beside the line.
    tone
        ``"accent"`` for what matters most, ``"muted"`` for what matters less.

    Raises
    ------
    ValueError
        If the tone is none of these.

    Examples
    --------
    >>> from cnnviz_widgets.views import Mark
    >>> Mark(9.3, "best photograph", tone="accent").value
    9.3
    """

    value: float
    label: str
    tone: str = ""

    def __post_init__(self) -> None:
        if self.tone not in TONES:
            raise ValueError(f"tone is {self.tone!r}, expected one of {', '.join(map(repr, TONES))}")


class Histogram(View):
    """Numbers of images as bars over a range of values, with marks; a bin can be selected by pointer or keys.

    Attributes
    ----------
    edges : bytes
        float64 (n + 1,), increasing; little endian.
    counts : bytes
        float64 (n,), whole numbers.
    marks : list of dict
        ``value``, ``label`` and ``tone`` of each `Mark`. The axis is as long as it must be to show them.
    unit : str
        Follows values that are written out.
    log_counts : bool
        Bars as high as log(1 + count), so that single images stay visible beside thousands.
    selected : int
        Index of a bin, -1 for none; what is beyond the last bin becomes -1.

    Examples
    --------
    >>> from cnnviz_widgets.views import Histogram, Mark
    >>> histogram = Histogram(log_counts=True)
    >>> histogram.show([0, 1, 2], [120, 3], marks=[Mark(7.5, "synthesized", "accent")])
    >>> len(histogram.edges), histogram.marks[0]["value"]
    (24, 7.5)
    """

    _esm = joined("_shared.js", "_axis.js", "histogram.js")
    _css = joined("_shared.css", "histogram.css")

    edges = traitlets.Bytes().tag(sync=True, echo_update=False)
    counts = traitlets.Bytes().tag(sync=True, echo_update=False)
    marks = traitlets.List(traitlets.Dict()).tag(
        # JSON has no NaN and no infinity: the browser would refuse the whole message.
        sync=True,
        to_json=lambda marks, _: [mark | {"value": _json_number(mark["value"])} for mark in marks],
        from_json=lambda marks, _: [mark | {"value": float(mark["value"])} for mark in marks],
    )
    unit = traitlets.Unicode().tag(sync=True)
    log_counts = traitlets.Bool(False).tag(sync=True)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    caption = traitlets.Unicode().tag(sync=True)

    def show(
        self,
        edges: Sequence[float] | np.ndarray,
        counts: Sequence[int] | np.ndarray,
        *,
        marks: Sequence[Mark] = (),
        unit: str = "",
        caption: str = "",
    ) -> None:
        """Show other counts or other marks in one update; the selection stays while the edges do.

        Parameters
        ----------
        edges : sequence of float
            n + 1 ends of the bins, increasing. With no counts it may be empty; then the caption alone is shown.
        counts : sequence of int
            n, how many images lie in each bin.

        Raises
        ------
        ValueError
            If there are more than 1000 bins, the lengths do not fit, or edges or counts are not such.
        """
        ends = np.asarray(edges, dtype="<f8")
        heights = np.asarray(counts, dtype="<f8")
        _check_bins(ends, heights)
        state: dict[str, Any] = {
            "edges": ends.tobytes() if len(heights) else b"",
            "counts": heights.tobytes(),
            "marks": [{"value": float(mark.value), "label": str(mark.label), "tone": mark.tone} for mark in marks],
            "unit": unit,
            "caption": caption,
        }
        with self._lock:
            if state["edges"] != self.edges:
                state["selected"] = -1
            self.assign(**state)

    @traitlets.validate("edges", "counts")
    def _valid_numbers(self, proposal: Any) -> bytes:
        if len(proposal["value"]) % 8:
            raise traitlets.TraitError(
                f"{proposal['trait'].name} has {len(proposal['value'])} bytes, expected 8 a number (float64)"
            )
        return proposal["value"]

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Any) -> int:
        """A click on a bin may arrive when the bins are others already."""
        return proposal["value"] if proposal["value"] < len(self.counts) // 8 else -1


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _check_bins(edges: np.ndarray, counts: np.ndarray) -> None:
    if edges.ndim != 1 or counts.ndim != 1:
        raise ValueError(f"edges has shape {edges.shape} and counts {counts.shape}, expected (n + 1,) and (n,)")
    if len(counts) > LIMIT:
        raise ValueError(f"{len(counts)} bins, expected at most {LIMIT}; count with fewer edges")
    if len(edges) != len(counts) + 1 and (len(edges) or len(counts)):
        raise ValueError(
            f"{len(edges)} edges for {len(counts)} counts, expected {len(counts) + 1}: one more than counts"
        )
    if not np.isfinite(edges).all():
        raise ValueError(f"edges has {edges[~np.isfinite(edges)][0]}, expected finite numbers")
    if (falling := np.flatnonzero(np.diff(edges) <= 0)).size:
        first = falling[0]
        raise ValueError(f"edges has {edges[first]} before {edges[first + 1]}, expected increasing numbers")
    # NaN is unlike everything, itself included, and infinity is no number of images.
    odd = counts[~((counts >= 0) & (counts == np.floor(counts)) & np.isfinite(counts))]
    if odd.size:
        raise ValueError(f"counts has {odd[0]}, expected whole numbers from 0 on")

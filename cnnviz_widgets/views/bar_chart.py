"""A few labelled numbers as horizontal bars: class probabilities, the strongest units of a layer.

::

    labels, values -> BarChart.show(...) -> bars; selected: index
"""

import math
from collections.abc import Sequence
from typing import Any

import traitlets

from cnnviz_widgets.views._base import View, joined

LIMIT = 200


class BarChart(View):
    """Horizontal bars with label and number; negative values go left of a zero line.

    Sends ``{"type": "open", "index": int}`` when a bar is opened by a double click or Enter.

    Attributes
    ----------
    labels : list of str
    values : list of float
        As many as labels. What is not finite is written but has no bar.
    unit : str
        ``"%"`` writes probabilities 0..1 as percent; any other text follows the number.
    low, high : float
        Ends of the axis; equal means automatic, zero always included.
    selected : int
        -1 for none.

    Examples
    --------
    >>> from cnnviz_widgets.views import BarChart
    >>> chart = BarChart(unit="%")
    >>> chart.show(["flamingo", "crane"], [0.91, 0.04])
    >>> chart.values
    [0.91, 0.04]
    """

    _esm = joined("_shared.js", "bar_chart.js")
    _css = joined("_shared.css", "bar_chart.css")

    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    values = traitlets.List(traitlets.Float()).tag(
        # JSON has no NaN and no infinity: the browser would refuse the whole message.
        sync=True,
        to_json=lambda values, _: [value if math.isfinite(value) else str(value) for value in values],
        from_json=lambda values, _: [float(value) for value in values],
    )
    unit = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float(0.0).tag(sync=True)
    high = traitlets.Float(0.0).tag(sync=True)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    caption = traitlets.Unicode().tag(sync=True)

    def show(
        self,
        labels: Sequence[str],
        values: Sequence[float],
        *,
        low: float = 0.0,
        high: float = 0.0,
        selected: int = -1,
        caption: str = "",
    ) -> None:
        """Show other bars in one update.

        Raises
        ------
        ValueError
            If there are more than 200 bars, or not as many labels as values, or `selected` is out of range.
        """
        if len(labels) != len(values):
            raise ValueError(f"{len(labels)} labels for {len(values)} values; pass one label per value")
        if len(labels) > LIMIT:
            raise ValueError(f"{len(labels)} bars, expected at most {LIMIT}; pass the largest ones only")
        if not -1 <= selected < max(len(values), 1):
            raise ValueError(f"selected is {selected}, expected -1 (none) to {len(values) - 1}")
        self.assign(
            labels=[str(label) for label in labels],
            values=[float(value) for value in values],
            low=float(low),
            high=float(high),
            selected=selected if len(values) else -1,
            caption=caption,
        )

    @traitlets.validate("low", "high")
    def _valid_end(self, proposal: Any) -> float:
        if not math.isfinite(proposal["value"]):
            raise traitlets.TraitError(f"{proposal['trait'].name} is {proposal['value']}, expected a finite number")
        return proposal["value"]

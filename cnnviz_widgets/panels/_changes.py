"""``Changes``: what training changed, a bar for each layer, and a map of all layers with all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np

from cnnviz_widgets.engine.changes import activation_similarities, weight_changes
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart

from ._layer_map import LayerMap
from ._unit_controls import Guarded

MOST_BARS = 200
"""As many as the view draws."""
_TOLD = {
    "weights": "relative change of each layer's weights: the norm of the difference over that of the first",
    "cosine": "cosine between the activations of both for the image: 1 is the same direction",
    "cka": "linear CKA of both over the places of the image's maps: 1 is the same but for a rotation of the channels",
}


class Changes:
    """A measure, its bars, whose click chooses a layer, and the map.

    Parameters
    ----------
    layer_map
        Shown below the bars.
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    chosen
        Gets the name of the layer whose bar was clicked.
    changed
        Called when another measure was chosen.
    """

    def __init__(
        self, layer_map: LayerMap, user: Guarded, chosen: Callable[[str], None], changed: Callable[[Any], None]
    ) -> None:
        self.map = layer_map
        self._chosen = chosen
        self._names: list[str] = []
        self.measure = widgets.Dropdown(
            options=[
                ("weights", "weights"),
                ("activations of the image, cosine", "cosine"),
                ("activations of the image, CKA", "cka"),
            ],
            description="Measure",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="auto"),
        )
        self.bars = BarChart()
        self.measure.observe(user(changed), "value")
        self.bars.observe(user(self._clicked), "selected")
        self.box = widgets.VBox([self.measure, self.bars, layer_map.box])

    def found(self, first: Network, second: Network, image: Callable[[], Any] | None, measure: str) -> dict[str, float]:
        """Layer -> number; ``ValueError`` where it can't be told."""
        if measure == "weights":
            return weight_changes(first, second)
        if image is None:
            raise ValueError("activations are compared for an image: open one above, or choose the weights")
        return activation_similarities(first, second, image(), measure)

    def show(self, values: dict[str, float], measure: str, layer: str) -> None:
        """Show the bars, and mark the layer's."""
        kept = _largest(values, measure)
        self._names = list(kept)
        place = self._names.index(layer) if layer in kept else -1
        left_out = "" if len(kept) == len(values) else f"; the {len(kept)} most changed of {len(values)} layers"
        low, high = (0.0, 0.0) if measure == "weights" else (min(0.0, *kept.values(), 0.0), 1.0)
        self.bars.show(
            self._names, list(kept.values()), low=low if np.isfinite(low) else 0.0, high=high, selected=place,
            caption=f"{_TOLD[measure]}{left_out}",
        )  # fmt: skip

    def blank(self) -> None:
        """Show no bars."""
        self._names = []
        self.bars.show([], [])

    def code(self, image: str) -> str:
        """The call that gives the bars."""
        if self.measure.value == "weights":
            return "cnn.changes.weight_changes(first, second)"
        return f"cnn.changes.activation_similarities(first, second, {image}, {self.measure.value!r})"

    def _clicked(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._names):
            self._chosen(self._names[change["new"]])


def _largest(values: dict[str, float], measure: str) -> dict[str, float]:
    """The layers that changed most, in the order of the network, where there are more than can be drawn."""
    if len(values) <= MOST_BARS:
        return values
    signs = 1 if measure == "weights" else -1
    ranked = sorted(
        values, key=lambda name: signs * values[name] if np.isfinite(values[name]) else np.inf, reverse=True
    )
    kept = set(ranked[:MOST_BARS])
    return {name: value for name, value in values.items() if name in kept}

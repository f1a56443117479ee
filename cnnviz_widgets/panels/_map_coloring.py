"""``Coloring.look(mapped, made) -> Look``: what the images of a map are coloured by, a label or a number for each.

Labels and clusters are kinds; a unit's activation, what a map keeps of the neighbours, and how far the grid moves an image are
numbers. The last two tell where a map is not to be believed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.projections import Map

from ._map_making import Made, Mapped
from ._selection import Selection

LABEL, CLUSTER, UNIT, KEPT, MOVED = "label", "cluster", "unit", "neighbours kept", "moved by the grid"
_MANY = 5000
"""Images from which on clusters are found batch by batch."""
_NARROW = {"description_width": "initial"}


@dataclass(frozen=True, eq=False)
class Look:
    """What images look like on a map beside their thumbnails.

    Attributes
    ----------
    labels
        One for each image, or none at all.
    values
        (n,): numbers that colour the images in place of the labels.
    name
        What the numbers are.
    told
        Why it is not what was asked for; empty where it is.
    """

    labels: list[str]
    values: npt.NDArray[np.float32] | None = None
    name: str = ""
    told: str = ""

    def same(self, other: Look) -> bool:
        """Whether both look the same."""
        if (self.values is None) != (other.values is None) or self.name != other.name:
            return False
        same = self.values is other.values or np.array_equal(
            np.asarray(self.values), np.asarray(other.values), equal_nan=True
        )
        return same and self.labels == other.labels


PLAIN = Look([])


@dataclass(frozen=True)
class Asked:
    """The controls as they stood when a drawing was asked for."""

    way: str
    count: int
    unit: Unit


class Coloring:
    """A menu of what gives the colours, and beside it what the chosen way needs.

    Parameters
    ----------
    selection
        Its unit is the one that is coloured by; the channel beside the menu moves it.
    layer
        Gives the layer whose features are shown.
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    changed
        Called when something else is asked for.
    """

    def __init__(
        self,
        selection: Selection,
        layer: Callable[[], str],
        user: Callable[[Callable[[Any], None]], Callable[[Any], None]],
        changed: Callable[[], None],
    ) -> None:
        self._selection, self._layer, self._changed = selection, layer, changed
        self._clusters: tuple[Mapped | None, int, list[str]] = (None, 0, [])
        self.menu = widgets.Dropdown(
            options=[LABEL, CLUSTER, UNIT, KEPT, MOVED],
            description="colour by",
            style=_NARROW,
            layout=widgets.Layout(width="230px"),
        )
        self.count = widgets.IntSlider(value=8, min=2, max=30, description="clusters", style=_NARROW)
        self.channel = widgets.BoundedIntText(
            value=0, min=0, max=0, description="channel", style=_NARROW, layout=widgets.Layout(width="150px")
        )
        for control in (self.count, self.channel):
            control.layout.display = "none"
        self.menu.observe(user(self._chosen), "value")
        self.count.observe(user(lambda change: changed()), "value")
        self.channel.observe(user(self._channel_chosen), "value")
        self.widgets = [self.menu, self.count, self.channel]

    def asked(self) -> Asked:
        """What is asked for at this moment."""
        return Asked(self.menu.value, self.count.value, self._selection.unit)

    def by_unit(self) -> None:
        """Colour by the selection's unit from now on."""
        self.menu.value = UNIT
        self._show()
        self._changed()

    def _show(self) -> None:
        self.count.layout.display = "" if self.menu.value == CLUSTER else "none"
        self.channel.layout.display = "" if self.menu.value == UNIT else "none"

    def _chosen(self, change: Any) -> None:
        self._show()
        index, unit = self._selection.index, self._selection.unit
        if change["new"] == UNIT and index is not None and not _kept(index, unit):
            self._selection.unit = self._selection.network[self._layer()][0]
        self._changed()

    def _channel_chosen(self, change: Any) -> None:
        index, unit = self._selection.index, self._selection.unit
        layer = unit.layer if index is not None and _kept(index, unit) else self._selection.network[self._layer()]
        self._selection.unit = layer[min(int(change["new"]), layer.channels - 1)]

    def look(self, mapped: Mapped, made: Made | Map, asked: Asked) -> Look:
        """What the images of a map look like; a map that is still under way has no numbers of its own."""
        labels = mapped.labels if mapped.index.images.labelled else []
        if asked.way == CLUSTER:
            return Look(self._named(mapped, asked.count))
        if asked.way == UNIT:
            return self._by_unit(mapped, asked.unit, labels)
        if asked.way in (KEPT, MOVED) and isinstance(made, Made):
            if asked.way == MOVED:
                return Look(labels, made.moved, "moved by the grid, in sides of the map")
            if made.kept is None:
                return Look(labels, told="Of a map of so few images the neighbours kept can't be told.")
            return Look(labels, made.kept, "share of the nearest neighbours kept")
        return Look(labels)

    def _by_unit(self, mapped: Mapped, unit: Unit, labels: list[str]) -> Look:
        if not _kept(mapped.index, unit):
            names = [layer.name for layer in mapped.index.plan.features]
            return Look(
                labels,
                told=f"No colours by {unit}: the index keeps features of {', '.join(names)}; "
                f"build(features=[{unit.layer.name!r}]) keeps those of this unit's layer.",
            )
        self.channel.max = max(self.channel.max, unit.channel)
        if self.channel.value != unit.channel:
            self.channel.value = unit.channel
        self.channel.max = unit.layer.channels - 1
        return Look(labels, mapped.index.values(unit), f"activation of {unit}")

    def _named(self, mapped: Mapped, count: int) -> list[str]:
        if self._clusters[:2] != (mapped, count):
            self._clusters = (mapped, count, clusters(mapped, count))
        return self._clusters[2]


def _kept(index: Any, unit: Unit) -> bool:
    return unit.layer.name in {layer.name for layer in index.plan.features}


def clusters(mapped: Mapped, count: int) -> list[str]:
    """A cluster's name for each image, by k-means on the features; the largest cluster is the first."""
    from sklearn.cluster import KMeans, MiniBatchKMeans  # takes a second, which those who do not ask need not wait
    from sklearn.exceptions import ConvergenceWarning

    features = mapped.features
    finder = KMeans if len(features) <= _MANY else MiniBatchKMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than clusters
        found = finder(min(count, len(features)), n_init=4, random_state=0).fit_predict(features)
    ranked = [int(code) for code, _ in Counter(found.tolist()).most_common()]
    names = {code: f"cluster {number + 1}{_mostly(mapped, found == code)}" for number, code in enumerate(ranked)}
    return [names[code] for code in found.tolist()]


def _mostly(mapped: Mapped, members: npt.NDArray[np.bool_]) -> str:
    """The label that more than half of a cluster's images have."""
    if not mapped.index.images.labelled:
        return ""
    labels = Counter(mapped.labels[row] for row in np.flatnonzero(members))
    label, times = labels.most_common(1)[0]
    return f": {label}" if times * 2 > members.sum() else ""

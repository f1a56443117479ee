"""``ImagesPart``, ``RelationsPart``: what a collection says of a unit; parts of a unit's card."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.unit_facts import UnitFacts
from cnnviz_widgets.views import BarChart, PictureTable

from ._card_seen import section, show_only
from ._cells import Winners, winners
from ._selection import Selection

SIDE = 112
REMEMBERED = 12


class ImagesPart:
    """The images that excite a unit most, as crops or whole; a click makes one the selection's."""

    def __init__(self, selection: Selection, redraw: Callable[[], None]) -> None:
        self._selection = selection
        self._known: OrderedDict[Any, Winners] = OrderedDict()
        self._known_of: ActivationIndex | None = None
        self._ids: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self.view = widgets.ToggleButtons(
            options=[("what it sees", "crop"), ("whole", "whole")],
            style={"button_width": "auto"},
            tooltips=["The unit's receptive field alone", "The image as the network sees it"],
        )
        self.table = PictureTable(overlay_opacity=0.0)
        self.box = widgets.VBox([section("Images that excite it most"), self.view, self.table])
        self.view.observe(lambda change: redraw(), "value")
        self.table.on_msg(lambda _, content, buffers: self._chosen(content))

    def show(self, index: ActivationIndex | None, unit: Unit) -> str:
        """Show the winners; what is to be said of those that are not shown."""
        show_only(self.box, index is not None)
        if index is None:
            with self._lock:
                self._ids = ()
                self.table.show([])
            return ""
        found = self._winners(index, unit)
        crops = self.view.value == "crop"
        with self._lock:
            self._ids = found.ids
            caption = found.size if crops else ""
            self.table.show(found.crops if crops else found.whole, selected=self._place(), side=SIDE, caption=caption)
        return found.told

    def mark(self) -> None:
        """Mark the chosen image where it is among those shown."""
        with self._lock:
            if self.table.selected != self._place():
                self.table.selected = self._place()

    def _place(self) -> int:
        image = self._selection.image
        return self._ids.index(image) if isinstance(image, str) and image in self._ids else -1

    def _winners(self, index: ActivationIndex, unit: Unit) -> Winners:
        """The winners, measured again; remembered while index, weights and these images' files are the same."""
        if index is not self._known_of:
            self._known.clear()
            self._known_of = index
        ids = [match.id for match in index.top_images(unit)]
        key = (index.network.stamp(), unit, *index.images.fingerprints(ids))
        if key not in self._known:
            self._known[key] = winners(index, unit, fold=False, side=SIDE)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _chosen(self, content: Any) -> None:
        at = content.get("index", -1)
        if content.get("type") == "choose" and 0 <= at < len(self._ids):
            self._selection.image = self._ids[at]


class UnitBars:
    """Units, or classes, as bars; a click on one makes it the selection's."""

    def __init__(self, selection: Selection, title: str) -> None:
        self._selection = selection
        self._units: list[Unit | None] = []
        self.bars = BarChart()
        self.box = widgets.VBox([section(title), self.bars])
        self.bars.observe(self._chosen, "selected")

    def show(self, names: Sequence[str], units: Sequence[Unit | None], values: Sequence[float], caption: str) -> None:
        """Show others; none hides it all."""
        self._units = list(units)
        self.bars.show(list(names), list(values), caption=caption)
        show_only(self.box, bool(names))

    def _chosen(self, change: Any) -> None:
        units = self._units
        if 0 <= change["new"] < len(units) and (unit := units[change["new"]]) is not None:
            self._selection.unit = unit


class RelationsPart:
    """The units that are like one, the labels it goes with, and the weights between it and the classes."""

    MOST = 8

    def __init__(self, selection: Selection) -> None:
        self.similar = UnitBars(selection, "Units like it")
        self.labels = UnitBars(selection, "Labels it goes with")
        self.weights = UnitBars(selection, "Weights of the last layer")
        self.boxes = [self.similar.box, self.labels.box, self.weights.box]

    def show(self, network: Network, facts: UnitFacts | None) -> None:
        """Show what is known; nothing where there are no facts."""
        similar = facts.similar if facts is not None else None
        found = list(similar or ())
        self.similar.show(
            [name_of(network, one.unit) for one in found],
            [one.unit for one in found],
            [one.likeness for one in found],
            f"of {similar.unit.layer.name}: {similar.told}" if similar is not None else "",
        )
        labels = facts.labels if facts is not None else None
        goes = list(labels or ())
        judged = labels is not None and labels.basis == "values"
        self.labels.show(
            [one.label for one in goes],
            [_class(network, one.label) for one in goes],
            [one.auc if judged else one.among for one in goes],
            labels.told if labels is not None else "",
        )
        self._show_weights(network, facts)

    def _show_weights(self, network: Network, facts: UnitFacts | None) -> None:
        weights = facts.weights if facts is not None else None
        strongest = weights.strongest(self.MOST) if weights is not None else []
        ours = weights is not None and weights.unit.layer == network.output
        told = "by how much each class's score rises where the unit's activation rises by one"
        if ours:
            told = f"by how much the score rises where one of {network.last_hidden.name} rises by one"
        self.weights.show(
            [name_of(network, unit) for unit, _ in strongest],
            [unit for unit, _ in strongest],
            [value for _, value in strongest],
            f"{told}; the largest of {len(weights.others):,}" if weights is not None else "",
        )


def name_of(network: Network, unit: Unit) -> str:
    """A class's name, or the unit's number in its layer, as it is typed behind the layer."""
    if unit.layer == network.output and network.labels:
        return network.label(unit.channel)
    return f"[{unit.channel}]"


def _class(network: Network, label: str) -> Unit | None:
    """The output unit of a label, where a class is called so."""
    if not network.labels:
        return None
    try:
        return network.unit(label)
    except UnknownNameError:
        return None

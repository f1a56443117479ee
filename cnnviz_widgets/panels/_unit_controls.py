"""``UnitControls``: layer, class and channel, with buttons to the next and the previous unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ._base import fill_tree, layer_tree
from ._selection import Selection

Guarded = Callable[[Callable[[Any], None]], Callable[[Any], None]]


class UnitControls:
    """Controls that move the selection's unit, and follow it.

    Parameters
    ----------
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    """

    def __init__(self, selection: Selection, user: Guarded, *, max_height: int = 320) -> None:
        self._selection = selection
        self.tree = layer_tree(selection.network, selection.layer.name, max_height=max_height)
        self.label = widgets.Combobox(
            description="class", placeholder="type a class name", ensure_option=True, **_narrow()
        )
        self.channel = widgets.IntSlider(min=0, max=0, description="channel", **_narrow())
        self.previous = _button("‹ previous", "The unit before this one")
        self.next = _button("next ›", "The unit after this one")
        self.tree.observe(user(self._layer_chosen), "selected")
        self.label.observe(user(self._label_chosen), "value")
        self.channel.observe(user(self._channel_chosen), "value")
        self.previous.on_click(user(lambda button: self.move(-1)))
        self.next.on_click(user(lambda button: self.move(1)))
        steps = widgets.HBox([self.previous, self.next])
        steps.add_class("cnnviz-wrap")
        self.column: list[widgets.Widget] = [self.tree, self.label, self.channel, steps]

    def move(self, by: int) -> None:
        """Choose a unit so many further on in the layer; behind the last one comes the first."""
        layer, unit = self._selection.layer, self._selection.unit
        self._selection.unit = layer[(unit.channel + by) % layer.channels]

    def refill(self) -> None:
        """List another network's layers."""
        fill_tree(self.tree, self._selection.network, self._selection.layer.name)

    def show(self) -> None:
        """Stand at the selection's unit."""
        network, unit = self._selection.network, self._selection.unit
        if network.layers.get(unit.layer.name) != unit.layer:  # both are about to change
            return
        if self.tree.selected != unit.layer.name:
            self.tree.selected = unit.layer.name
        self.channel.max = max(self.channel.max, unit.channel)
        if self.channel.value != unit.channel:
            self.channel.value = unit.channel
        self.channel.max = unit.layer.channels - 1
        names = list(network.labels)
        shown = bool(names) and unit.layer == network.output
        self.label.layout.display = "" if shown else "none"
        if shown:
            if list(self.label.options) != names:
                self.label.options = names
            self.label.value = names[unit.channel]

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self._selection.layer = self._selection.network[change["new"]]

    def _label_chosen(self, change: Any) -> None:
        if change["new"]:
            self._selection.unit = self._selection.network.unit(change["new"])

    def _channel_chosen(self, change: Any) -> None:
        layer = self._selection.layer
        self._selection.unit = layer[min(int(self.channel.value), layer.channels - 1)]


def _narrow() -> dict[str, Any]:
    return {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="98%")}


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))

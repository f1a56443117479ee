"""``ObjectiveEditor.objective(unit)``: what is climbed, as menus and faders: a unit, plus or minus others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine import objectives
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.objectives import Objective

from ._controls import Changed, wide

_KINDS: dict[str, tuple[str, Callable[[Unit], Objective], str]] = {
    "value": ("its activation", objectives.activation, "objectives.activation({unit})"),
    "max": (
        "its strongest position",
        lambda unit: objectives.activation(unit, reduce="max"),
        "objectives.activation({unit}, reduce='max')",
    ),
    "pre": (
        "before the nonlinearity",
        lambda unit: objectives.activation(unit, at="pre"),
        "objectives.activation({unit}, at='pre')",
    ),
    "post": (
        "behind the nonlinearity",
        lambda unit: objectives.activation(unit, at="post"),
        "objectives.activation({unit}, at='post')",
    ),
    "probability": ("its probability (softmax)", objectives.probability, "objectives.probability({unit})"),
    "layer": (
        "its whole layer (DeepDream)",
        lambda unit: objectives.deep_dream(unit.layer),
        "objectives.deep_dream({layer})",
    ),
}


class _Term:
    """Another unit with a fader."""

    def __init__(self, unit: Unit, name: str, changed: Changed, removed: Callable[[_Term], None]) -> None:
        self.unit = unit
        self.fader = widgets.FloatSlider(value=-1.0, min=-2.0, max=2.0, step=0.05, description=name, **wide())
        self.fader.layout.width = "88%"
        self.fader.observe(changed, "value")
        remove = widgets.Button(
            icon="times", description="", tooltip=f"Without {name}", layout=widgets.Layout(width="34px")
        )
        remove.on_click(lambda button: removed(self))
        self.box = widgets.HBox([self.fader, remove])

    @property
    def weight(self) -> float:
        return _round(self.fader)

    def close(self) -> None:
        for widget in (self.box, *self.box.children):
            for part in (widget, widget.layout, getattr(widget, "style", None)):
                if part is not None:
                    part.close()


class ObjectiveEditor:
    """The kind of objective for the selected unit, and faders for what else counts.

    Parameters
    ----------
    changed
        Gets every change.
    named
        How a unit is called.
    adopted
        Is given each widget that is made after the panel was built.
    """

    def __init__(
        self, changed: Changed, named: Callable[[Unit], str], adopted: Callable[[widgets.Widget], None]
    ) -> None:
        self._changed, self._named, self._adopted = changed, named, adopted
        options = [(label, key) for key, (label, _, _) in _KINDS.items()]
        self.kind = widgets.Dropdown(options=options, value="value", description="climb", **wide())
        self.rivals = widgets.FloatSlider(
            value=0.0, min=0.0, max=2.0, step=0.05, description="minus other channels", **wide()
        )
        self.minimise = widgets.Checkbox(value=False, description="look for the least instead", indent=False)
        self.copies = widgets.IntSlider(value=1, min=1, max=6, description="copies", **wide())
        self.diversity = widgets.FloatSlider(value=0.0, min=0.0, max=50.0, step=0.5, description="diversity", **wide())
        self.add = widgets.Button(
            description="Weigh in this unit",
            tooltip="Keep the selected unit as a fader, then select another one",
            layout=widgets.Layout(width="auto"),
        )
        self.terms: list[_Term] = []
        self._faders = widgets.VBox([])
        for control in (self.kind, self.rivals, self.minimise, self.copies, self.diversity):
            control.observe(changed, "value")
        self.copies.observe(self._show_diversity, "value")
        self._show_diversity(None)
        self.box = widgets.VBox(
            [self.kind, self.rivals, self._faders, self.add, self.minimise, self.copies, self.diversity]
        )

    def _show_diversity(self, change: Any) -> None:
        self.diversity.layout.display = "" if self.copies.value > 1 else "none"

    def weigh_in(self, unit: Unit) -> None:
        """Add a fader for a unit."""
        if any(term.unit == unit for term in self.terms):
            return
        term = _Term(unit, self._named(unit), self._changed, self._remove)
        self._adopted(term.box)
        self.terms.append(term)
        self._faders.children = tuple(held.box for held in self.terms)
        self._changed(None)

    def _remove(self, term: _Term) -> None:
        self.terms.remove(term)
        self._faders.children = tuple(held.box for held in self.terms)
        self._changed(None)
        term.close()

    def clear(self) -> None:
        """The unit's activation alone, as before anything was set."""
        for term in list(self.terms):
            self.terms.remove(term)
            term.close()
        self._faders.children = ()
        self.kind.value, self.rivals.value, self.minimise.value = "value", 0.0, False
        self.copies.value, self.diversity.value = 1, 0.0

    def objective(self, unit: Unit, network: Network) -> Objective:
        """What the controls make for a unit; ``ValueError`` where the network can't give it."""
        goal = _KINDS[self.kind.value][1](unit)
        if rivals := _round(self.rivals):
            goal = goal - rivals * objectives.others(unit)
        for term in self.terms:
            if term.weight and term.unit != unit:
                goal = goal + term.weight * objectives.activation(term.unit)
        if self.minimise.value:
            goal = -goal
        if self.copies.value > 1 and (diverse := _round(self.diversity)):
            goal = goal + diverse * objectives.diversity(_textured(unit.layer, network))
        goal.bound(network)
        return goal

    def code(self, unit: Unit, network: Network, named: Callable[[Unit], str]) -> str:
        """The Python expression that makes the same objective; ``named`` gives that of a unit."""
        told = named(unit)
        layer = f"net[{unit.layer.name!r}]"
        plain = self.kind.value == "value"
        parts = [_KINDS[self.kind.value][2].format(unit=told, layer=layer)]
        if rivals := _round(self.rivals):
            parts.append(f" - {rivals:g} * objectives.others({told})")
        for term in self.terms:
            if (weight := term.weight) and term.unit != unit:
                sign = "-" if weight < 0 else "+"
                parts.append(f" {sign} {abs(weight):g} * objectives.activation({named(term.unit)})")
        diverse = _round(self.diversity) if self.copies.value > 1 else 0.0
        if plain and len(parts) == 1 and not self.minimise.value and not diverse:
            return told
        text = "".join(parts)
        if self.minimise.value:
            text = f"-({text})" if len(parts) > 1 else f"-{text}"
        if diverse:
            text += f" + {diverse:g} * objectives.diversity(net[{_textured(unit.layer, network).name!r}])"
        return text


def _round(slider: widgets.FloatSlider) -> float:
    """As the code says it; a browser makes 0.15000000000000002 of 0.15."""
    return float(f"{slider.value:g}")


def _textured(layer: Layer, network: Network) -> Layer:
    """The layer itself, or for a dense one the last main layer with maps."""
    if len(layer.positions) == 2:
        return layer
    return next((main for main in reversed(network.main_layers) if len(main.positions) == 2), layer)

"""``ComparePanel``: two networks, or two checkpoints of one, side by side on the same unit, image or class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine import colormaps, comparison
from cnnviz_widgets.engine.layers import Unit, shape_text
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pairing import nearest_convolution, paired, paired_convolution, paired_layer

from ._base import Panel, beside
from ._changes import Changes
from ._code import unit_code
from ._compared_kernels import kernel_captions, kernels, kernels_code
from ._compared_maps import ComparedMaps, Layers, Opening, Setting, Two, has_maps, maps_code
from ._layer_map import LayerMap
from ._photograph import Photograph
from ._selection import Selection
from ._twin_climbs import Goal, TwinClimbs, told_of
from ._two_sides import TwoSides
from ._unit_controls import UnitControls

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

MODES = ("activations", "filters", "classes", "maximization", "what changed")
MOST_BARS = 20
_IN_PYTHON = "; filters=... and inputs=... choose others"


class ComparePanel(Panel):
    """Two networks side by side: activations, filters, classes, synthesized images, and what changed from one to the other.

    The panel follows the selection of the first network; the second follows by `pairing.paired`, and what does not answer exactly
    is said. Each network gets the photograph its own way, at its size and with its normalisation. Training of either shows.

    Parameters
    ----------
    first, second
        A `Network` each: two architectures, or two checkpoints of one, such as one of ``copy.deepcopy(module)`` made before
        training and one of the module itself. Set ``panel.second`` to look at another.
    images
        Images to choose from, and to compare all layers over: an `ImageSet`, a list, or one.
    names
        What the two are called.
    selection
        A `Selection` of the first network to share with other panels; None: one of its own.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> spec = InputSpec(size=(1, 8, 8))
    >>> first, second = (Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), spec) for _ in range(2))
    >>> panel = ComparePanel(first, second)
    >>> panel.mode.value = "filters"
    >>> print(panel.code())
    cnn.comparison.kernels(first.filters('0'), second.filters('0'), scale='filter', order='stored')
    >>> panel.close()
    """

    title = "Compare"
    page_holds = (
        "what is shown; of activations, filters and classes with up to seven other units of the layer to choose among"
    )

    def __init__(
        self,
        first: Network,
        second: Network,
        images: Any = (),
        *,
        names: Sequence[str] = ("first", "second"),
        selection: Selection | None = None,
    ) -> None:
        shared = Selection.of(first, images, selection)
        if len(names) != 2:
            raise ValueError(f"names={names!r}; expected two, what the first and the second network are called")
        self.names = (str(names[0]), str(names[1]))
        self._second = _network(second)
        self._maps = ComparedMaps()
        self._shown: tuple[Any, ...] = ()
        super().__init__(shared)
        self._follow_training(lambda panel: panel.second)

    @property
    def second(self) -> Network:
        """The network that the selection's is compared with; may be set."""
        return self._second

    @second.setter
    def second(self, network: Network) -> None:
        self._second = _network(network)
        self.refresh()

    def _build(self) -> list[widgets.Widget]:
        self.mode = widgets.ToggleButtons(options=list(MODES), style={"button_width": "auto"})
        self.mode.add_class("cnnviz-modes")
        self.photograph = Photograph(self.selection, self._user, self._failed)
        self.units = UnitControls(self.selection, self._user)
        self.tree = self.units.tree
        self.scale = _menu("Scale over", [("each tile", "channel"), ("the layer", "layer")])
        self.shared = widgets.Checkbox(value=True, description="one range for both", indent=False)
        self.order = _menu("Order", ["stored", "strength"])
        self.kernel_order = _menu("Order", ["stored", "norm", "similarity"])
        self.colormap = _menu("Colours", [*colormaps.SEQUENTIAL, *colormaps.SIGNED])
        self.menus = widgets.HBox([self.scale, self.order, self.kernel_order, self.colormap, self.shared])
        self.menus.add_class("cnnviz-wrap")
        self.sides = TwoSides(self._user, self._channel_chosen)
        self.verdict = widgets.Label("")
        self.verdict.add_class("cnnviz-verdict")
        layer_map = LayerMap(self._standing, self._user, self._layer_chosen, self._failed, self._tell_code)
        redraw = self._user(lambda change: self.refresh())
        self.changes = Changes(layer_map, self._user, self._layer_chosen, lambda change: self.refresh())
        self.climbs = TwinClimbs(self._goals, self.names, self._failed, self._user(lambda change: self._tell_code()))
        for control in (self.mode, self.scale, self.order, self.kernel_order, self.colormap, self.shared):
            control.observe(redraw, "value")
        body = [self.menus, self.verdict, self.sides.box, self.climbs.box, self.changes.box]
        row = beside(self.units.column, body)
        return [self.mode, self.photograph.box, row]

    def _standing(self) -> tuple[Network, Network, Any]:
        return self.network, self.second, self.selection.images

    def _goals(self) -> tuple[Goal, Goal]:
        other, remark = paired(self.network, self.second, self.selection.unit)
        if other is None:
            raise ValueError(f"there is nothing to climb in the second network: {remark}")
        return Goal(self.network, self.selection.unit), Goal(self.second, other)

    def _drawing(self) -> Callable[[], None]:
        mode, unit, networks = self.mode.value, self.selection.unit, (self.network, self.second)
        with self._own_changes():
            self._arrange(mode)
        opening = self.photograph.opening()
        draw = {
            "activations": self._draw_activations,
            "filters": self._draw_filters,
            "classes": self._draw_classes,
            "maximization": self._draw_climbs,
            "what changed": self._draw_changes,
        }[mode]

        def drawing() -> None:
            self.units.show()
            draw(networks, unit, opening)

        return drawing

    def _arrange(self, mode: str) -> None:
        """Show what belongs to a mode."""
        tiles = mode == "filters" or (mode == "activations" and has_maps(self.selection.layer))
        visible = {
            self.menus: tiles,
            self.shared: mode == "activations",
            self.order: mode == "activations",
            self.kernel_order: mode == "filters",
            self.colormap: mode == "activations",
            self.verdict: mode == "classes",
            self.sides.box: mode in ("activations", "filters", "classes"),
            self.climbs.box: mode == "maximization",
            self.changes.box: mode == "what changed",
            self.photograph.box: mode not in ("filters", "maximization"),
        }
        for widget, shown in visible.items():
            display_ = "" if shown else "none"
            if widget.layout.display != display_:
                widget.layout.display = display_

    def _draw_activations(self, networks: Two, unit: Unit, opening: Opening) -> None:
        if opening is None:
            self._blank()
            return
        first, second = networks
        other, remark = paired(first, second, unit)
        layers = (unit.layer, paired_layer(first, second, unit.layer)[0])
        channels = (unit.channel, -1 if other is None else other.channel)
        self._head(networks, (str(unit), layers[1].name if other is None else str(other)))
        if not all(map(has_maps, layers)):
            answers = comparison.strongest(first, second, opening[1](), unit.layer, MOST_BARS, unit.channel)
            captions = [
                f"{layer.name}: {len(lines)} of {layer.channels} units"
                for layer, lines in zip(layers, (answers.first, answers.second), strict=True)
            ]
            self.sides.show_bars(answers, channels, captions)
            self._shown = ()
        else:
            self._draw_maps(networks, layers, channels, opening)
        self._remark(networks, remark)

    def _draw_maps(self, networks: Two, layers: Layers, channels: tuple[int, int], opening: Opening) -> None:
        setting = self._setting()
        seen = self._maps.look(networks, layers, opening, self.selection.images)
        pictures = seen.laid(channels, setting.colormap)
        if self._shown == (seen.key, setting):
            self.sides.mark(channels, pictures)
            return
        sides = seen.sides(setting)
        captions = [f"{layer.name}: {shape_text(layer)}" for layer in layers]
        self.sides.show(sides, [*captions, _difference(sides, "activations")], channels, pictures=pictures)
        self._shown = (seen.key, setting)

    def _draw_filters(self, networks: Two, unit: Unit, opening: Opening) -> None:
        self._shown = ()
        own, other, remark = paired_convolution(*networks, unit.layer)
        sides = kernels(networks, (own, other), *self._kernel_setting())
        self._head(networks, (own.name, other.name))
        channel = unit.channel if own.channels == unit.layer.channels else -1
        captions = [*kernel_captions(networks, (own, other)), _difference(sides, "weights")]
        channels = (channel, channel if channel < other.channels else -1)
        self.sides.show(sides, captions, channels, tile_names="filter")
        notes = dict.fromkeys(tiles.note.replace(_IN_PYTHON, "") for tiles in sides.all.values() if tiles.note)
        self._remark(networks, remark, *(f"{note[:1].upper()}{note[1:]}." for note in notes))

    def _draw_classes(self, networks: Two, unit: Unit, opening: Opening) -> None:
        self._shown = ()
        if opening is None:
            self._blank()
            return
        answers = comparison.classes(*networks, opening[1]())
        self._head(networks, ("what it sees", "what it sees"))
        other = paired(*networks, unit)[0]
        mine = unit.channel if unit.layer == networks[0].output else -1
        theirs = other.channel if other is not None and other.layer == networks[1].output else -1
        self.sides.show_bars(answers, (mine, theirs), ("", ""), percent=True)
        self.verdict.value = answers.told
        self._remark(networks)

    def _draw_climbs(self, networks: Two, unit: Unit, opening: Opening) -> None:
        self.climbs.suggest("natural" if unit.layer == networks[0].output else "lucid")
        other, remark = paired(*networks, unit)
        if other is None:
            self._remark(networks, f"There is nothing to climb in the second network. {remark}")
            return
        told = [told_of(Goal(network, one)) for network, one in zip(networks, (unit, other), strict=True)]
        self._remark(networks, f"Run both climbs {' and '.join(dict.fromkeys(told))}.", remark)

    def _draw_changes(self, networks: Two, unit: Unit, opening: Opening) -> None:
        layer, remark = paired_layer(*networks, unit.layer)
        self.changes.map.follow(unit.layer.name, layer.name)
        measure = self.changes.measure.value
        try:
            found = self.changes.found(*networks, None if opening is None else opening[1], measure)
        except ValueError as error:
            self.changes.blank()
            self._remark(
                networks, f"{str(error)[:1].upper()}{str(error)[1:]}. Compare all layers works for any two networks."
            )
            return
        self.changes.show(found, measure, unit.layer.name)
        main = len(networks[0].main_layers)
        few = (
            f"{len(found)} of the first network's {main} main layers can be compared: they have the same shape in both."
        )
        partly = measure != "weights" and len(found) < main
        self._remark(networks, few if partly else "", "" if layer.name == unit.layer.name else remark)

    def _head(self, networks: Two, units: Sequence[str]) -> None:
        self.sides.name(
            [f"{name}: {network.name}, {told}" for name, network, told in zip(self.names, networks, units, strict=True)]
        )

    def _remark(self, networks: Two, *texts: str) -> None:
        same = ""
        if networks[0].bare is networks[1].bare:
            same = (
                "Both are the same module, so nothing differs: keep a checkpoint with copy.deepcopy(module) before training, "
                "and give a Network of it."
            )
        self._say(" ".join(text for text in (same, *texts) if text))

    def _blank(self) -> None:
        self.sides.name(["", ""])
        self._say(
            "No image yet: open one above, drop it there, or give images: cnn.ComparePanel(first, second, images)."
        )

    def _channel_chosen(self, side: int, channel: int) -> None:
        """A tile or bar was clicked; for one of the second, the first one's unit that answers to it is chosen."""
        first, second = self.network, self.second
        layer = self.selection.layer
        if self.mode.value == "filters":
            nearest = nearest_convolution(first, layer)
            layer = layer if layer.channels == nearest.channels else nearest
        elif self.mode.value == "classes":
            layer = first.output
        unit: Unit | None = layer[channel] if channel < layer.channels else None
        if side == 1 and layer == first.output and self.mode.value != "filters":
            unit = paired(second, first, second.output[channel])[0]
        if unit is None:
            self._say(f"The first network has nothing that answers to channel {channel} of the second.")
        else:
            self.selection.unit = unit

    def _layer_chosen(self, name: str) -> None:
        self.selection.layer = self.network[name]

    def _follow(self, name: str) -> None:
        with self._own_changes():
            if name in ("image", "images"):
                self.photograph.fill()
            elif name == "network":
                self.units.refill()
        self.refresh()

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until what was uploaded is opened and a map of the layers under way is done."""
        self.photograph.wait(seconds)
        super().wait(seconds)
        self.changes.map.wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.photograph.close()
            self.climbs.close()
            self.changes.map.close()
        super().close()

    def _page_units(self) -> list[Unit]:
        return super()._page_units() if self.mode.value in ("activations", "filters", "classes") else []

    def _alike(self, selection: Selection) -> ComparePanel:
        return type(self)(selection.network, self.second, names=self.names, selection=selection)

    def figure(self) -> Figure:
        """Both sides of what is shown; of what changed the map of all layers, where it has been made, else the bars."""
        from cnnviz_widgets import figures

        mode, networks = self.mode.value, (self.network, self.second)
        if mode == "what changed":
            if self.changes.map.found is not None:
                return figures.layer_similarity(self.changes.map.found, names=self.names)
            opening = self.photograph.opening()
            measure = self.changes.measure.value
            return figures.changes(self.changes.found(*networks, None if opening is None else opening[1], measure))
        return figures.side_by_side(self._found(mode, networks), names=self.names)

    def _found(self, mode: str, networks: Two) -> Any:
        unit, opening = self.selection.unit, self.photograph.opening()
        if mode == "filters":
            return kernels(networks, paired_convolution(*networks, unit.layer)[:2], *self._kernel_setting())
        if mode == "maximization":
            if (results := self.climbs.results()) is None:
                raise ValueError("there is no image yet: press Run both")
            return results
        if opening is None:
            raise ValueError("there is no image: choose one, or open a file")
        if mode == "classes":
            return comparison.classes(*networks, opening[1]())
        layers = (unit.layer, paired_layer(*networks, unit.layer)[0])
        if not all(map(has_maps, layers)):
            return comparison.strongest(*networks, opening[1](), unit.layer, MOST_BARS, unit.channel)
        return ComparedMaps().look(networks, layers, opening, None).sides(self._setting())

    def figure_code(self) -> str:
        mode = self.mode.value
        if mode == "what changed":
            mapped = self.changes.map.found is not None
            return (
                f"cnn.figures.layer_similarity(found, names={self.names!r})" if mapped else "cnn.figures.changes(found)"
            )
        needs = {
            "activations": self.selection.image,
            "classes": self.selection.image,
            "filters": self._convolutions() or None,
        }
        return f"cnn.figures.side_by_side(found, names={self.names!r})" if needs.get(mode, mode) is not None else ""

    def whole_code(self) -> str:
        """The code whose last value has a name where a figure is made of it."""
        *before, last = self.code().split("\n")
        figure = self.figure_code()
        named = "\n".join([*before, f"found = {last}" if figure else last])
        return f"{named}\n\n# as a figure; figure.savefig('name.pdf') keeps it\nfigure = {figure}" if figure else named

    def code(self) -> str:
        """Python code that gives the same."""
        mode, unit, image = self.mode.value, self.selection.unit, self.photograph.code()
        first, second = self.network, self.second
        opened = [self.photograph.remark()] if self.photograph.remark() else []
        if mode == "filters":
            found = self._convolutions()
            return "" if found is None else kernels_code((first, second), found, *self._kernel_setting())
        if mode == "classes":
            return "\n".join([*opened, f"cnn.comparison.classes(first, second, {image})"])
        if mode == "what changed":
            if self.changes.map.found is not None:
                return self.changes.map.code()
            return "\n".join([*([] if self.changes.measure.value == "weights" else opened), self.changes.code(image)])
        if mode == "maximization":
            goal = unit_code(unit, first).replace("net", "first", 1)
            goals = f"[(first, {goal}), (second, cnn.pairing.paired(first, second, {goal})[0])]"
            return f"[cnn.maximize(net, goal, {self.climbs.code()}) for net, goal in {goals}]"
        layer = paired_layer(first, second, unit.layer)[0]
        if not (has_maps(unit.layer) and has_maps(layer)):
            asked = f"{unit.layer.name!r}, k={MOST_BARS}, also={unit.channel}"
            call = f"cnn.comparison.strongest(first, second, {image}, {asked})"
            return "\n".join([*opened, call])
        return "\n".join([*opened, *maps_code(image, (unit.layer, layer), self._setting())])

    def _convolutions(self) -> Layers | None:
        """The convolutions whose kernels are shown; None where a network has none."""
        if not (self.network.convolutions and self.second.convolutions):
            return None
        return paired_convolution(self.network, self.second, self.selection.layer)[:2]

    def _setting(self) -> Setting:
        return Setting(self.scale.value, self.order.value, self.shared.value, self.colormap.value)

    def _kernel_setting(self) -> tuple[str, str]:
        return "filter" if self.scale.value == "channel" else "layer", self.kernel_order.value


def _menu(label: str, options: Sequence[Any]) -> widgets.Dropdown:
    """With a layout of its own, since each is hidden by itself."""
    look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="auto")}
    return widgets.Dropdown(options=list(options), description=label, **look)


def _network(given: Any) -> Network:
    if not isinstance(given, Network):
        raise TypeError(
            f"{type(given).__name__} was given as the second; expected a Network: cnn.load(...) or "
            "cnn.Network(module, cnn.InputSpec(size=...))"
        )
    return given


def _difference(sides: comparison.Sides, what: str) -> str:
    if sides.change is None:
        return ""
    return f"difference of {what}, second minus first: {sides.change:.3g} times as large as the first"

"""``TopImagesPanel``: the images of a collection that excite a unit most."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from cnnviz_widgets.engine.index import ActivationIndex, Statistics
from cnnviz_widgets.engine.index.examining import Sighting
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart, Cell, Histogram, Mark, PictureTable

from ._base import Panel, beside
from ._cells import crop_cell, whole_cell
from ._code import index_code, unit_code
from ._indexing import IndexBuilder, nearest_layer
from ._selection import Selection
from ._synthesis import Synthesis
from ._unit_controls import UnitControls

SIDE, SMALL = 136, 76
REMEMBERED = 24
LIKED = 8
"""Units that are listed for an image."""


class TopImagesPanel(Panel):
    """The images of a collection that excite a unit most, whole or cut to what the unit sees, with the activation laid over them.

    Each is measured again before it is shown; what no longer answers as it was recorded is told, not shown. Below them stand
    images for lower levels of the unit's activation; beside them its histogram over the collection, and on it the image that can
    be synthesized for it. A click on an image makes it the selection's.

    Parameters
    ----------
    network
        A `Network`.
    index
        An `ActivationIndex`; None: it is built in the panel, from ``images``.
    images
        The collection, where there is no index.
    path
        Where an index that the panel builds is kept; None: in memory.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from cnnviz_widgets import ActivationIndex, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> index = ActivationIndex.build(net, [np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8) * 255], k=1)
    >>> panel = TopImagesPanel(net, index)
    >>> panel.wait()
    >>> len(panel.table.cells)
    1
    >>> panel.close()
    """

    title = "Top images"

    def __init__(
        self,
        network: Network,
        index: ActivationIndex | None = None,
        images: Any = (),
        *,
        path: str | Path | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._path = path
        self._known: OrderedDict[Any, list[Sighting]] = OrderedDict()
        self._statistics: Statistics | None = None
        self._ids: list[str] = []
        self._level_ids: list[str] = []
        self._liked: list[Unit] = []
        super().__init__(Selection.of(network, images, selection, index))

    def _build(self) -> list[widgets.Widget]:
        self.units = UnitControls(self.selection, self._user)
        self.tree, self.channel, self.label = self.units.tree, self.units.channel, self.units.label
        self.builder = IndexBuilder(self.selection, self._path, self._build_failed)
        self.view = widgets.ToggleButtons(
            options=[("whole", "whole"), ("what it sees", "crop")],
            style={"button_width": "auto"},
            tooltips=["The image as the network sees it", "The unit's receptive field alone"],
        )
        self.opacity = widgets.FloatSlider(
            value=0.0, min=0, max=1, step=0.05, description="activation over it", style={"description_width": "initial"}
        )
        self.fold = widgets.Checkbox(value=False, description="fold near-duplicates", indent=False)
        self.table = PictureTable(overlay_opacity=0.0)
        self.levels = PictureTable(overlay_opacity=0.0)
        self.histogram = Histogram()
        self.log_counts = widgets.Checkbox(value=False, description="counts on a log scale", indent=False)
        self.numbers = widgets.Label("")
        self.numbers.add_class("cnnviz-verdict")
        self.synthesis = Synthesis(self._synthesized, self._failed)
        self.liked = BarChart(unit="σ")
        self.likes = widgets.Button(
            description="Which units like the chosen image most?", layout=widgets.Layout(width="auto")
        )
        # in the browser, at once and whatever the kernel does
        self._links = [
            widgets.jslink((self.opacity, "value"), (self.table, "overlay_opacity")),
            widgets.jslink((self.log_counts, "value"), (self.histogram, "log_counts")),
        ]
        self._observe()
        looks = widgets.HBox([self.view, self.opacity, self.fold])
        looks.add_class("cnnviz-wrap")
        self.levels_title = _section("Weaker answers, from nearly the strongest to the weakest")
        middle = [looks, self.table, self.levels_title, self.levels]
        right = [
            _section("Activation over the collection"), self.histogram, self.log_counts, self.numbers,
            _section("Synthesized for it"), self.synthesis.box, self.likes, self.liked,
        ]  # fmt: skip
        row = beside(self.units.column, middle, right)
        row.children[1].add_class("cnnviz-broad")
        return [self.builder.box, row]

    def _observe(self) -> None:
        self.builder.button.on_click(self._user(lambda button: self.builder.pressed()))
        for control in (self.view, self.fold):
            control.observe(self._user(lambda change: self.refresh()), "value")
        self.table.on_msg(lambda _, content, buffers: self._chosen(content, self._ids))
        self.levels.on_msg(lambda _, content, buffers: self._chosen(content, self._level_ids))
        self.synthesis.button.on_click(self._user(lambda button: self._synthesize()))
        self.likes.on_click(self._user(lambda button: self._ask_likes()))
        self.liked.observe(self._user(self._liked_chosen), "selected")

    # what is shown

    def shown_unit(self) -> tuple[Unit, str]:
        """The unit whose images are shown, and a remark where it is not the one selected."""
        unit, index = self.selection.unit, self.selection.index
        plain = unit.layer[unit.channel]
        if index is None or index.holds(unit.layer):
            remark = f"The index knows channels: shown is {plain}, not the neuron." if unit.position is not None else ""
            return plain, remark
        near = nearest_layer(self.network, unit.layer, index)
        other = near[min(unit.channel, near.channels - 1)]
        return other, f"{unit.layer.name} is not in the index; shown is {other}."

    def _drawing(self) -> Callable[[], None]:
        unit, remark = self.shown_unit()
        index, network, selected = self.selection.index, self.network, self.selection.unit
        setting = (self.view.value, self.fold.value)
        self.builder.show()
        return lambda: self._draw(index, unit, selected, network, remark, *setting)

    def _draw(
        self,
        index: ActivationIndex | None,
        unit: Unit,
        selected: Unit,
        network: Network,
        remark: str,
        view: str,
        fold: bool,
    ) -> None:
        self.units.show(selected, network)
        if index is None:
            self._blank()
            return
        if index.network is not network:  # both are about to change
            return
        sightings = self._sightings(index, unit, fold)
        told = [remark]
        good = [one for one in sightings if not one.fault]
        self.opacity.disabled = view == "crop" or all(one.map is None or one.map.size < 2 for one in good)
        if bad := [one for one in sightings if one.fault]:
            told.append(_faults(bad, len(sightings)))
        self._draw_images(good, unit, view)
        self._draw_levels(index, unit)
        self._statistics = index.statistics(unit)
        self.synthesis.choose(unit, network)
        self._draw_histogram(unit)
        if index.faults:
            first = index.faults[0]
            told.append(f"{len(index.faults)} images could not be read, such as {first.id}: {first.reason}.")
        if self._statistics.dropped:
            told.append(f"{self._statistics.dropped} images gave NaN or infinite values and are left out.")
        self._say(" ".join(text for text in told if text))

    def _blank(self) -> None:
        self._ids, self._level_ids, self._statistics = [], [], None
        self.table.show([])
        self.levels.show([])
        self.levels_title.layout.display = "none"
        self.histogram.show([], [])
        self.numbers.value = ""
        count = len(self.selection.images)
        self._say(
            self.builder.missing(count)
            or "No images yet: give some, cnn.TopImagesPanel(net, images=cnn.ImageSet.from_folder(...)), or an index."
        )

    def _sightings(self, index: ActivationIndex, unit: Unit, fold: bool) -> list[Sighting]:
        """The winners, measured again; remembered while index and weights are the same."""
        key = (id(index), index.network.stamp(), unit, fold)
        if key not in self._known:
            self._known[key] = index.examine(unit, fold=fold)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _draw_images(self, sightings: list[Sighting], unit: Unit, view: str) -> None:
        make = crop_cell if view == "crop" else whole_cell
        cells = [make(one, self._lines(one), SIDE) for one in sightings]
        self._ids = [one.match.id for one in sightings]
        image = self.selection.image
        place = self._ids.index(image) if isinstance(image, str) and image in self._ids else -1
        size = _size(sightings, unit) if view == "crop" else ""
        self.table.show(cells, selected=place, side=SIDE, caption=f"{self._name(unit)}{size}")

    def _lines(self, one: Sighting) -> tuple[str, ...]:
        images = self.selection.images
        name = images.labels[images.number(one.match.id)] if one.match.id in images else one.match.id
        more = f"and {len(one.match.folded)} like it" if one.match.folded else ""
        return tuple(line for line in (f"{one.match.score:.4g}", name, more) if line)

    def _name(self, unit: Unit) -> str:
        network = self.network
        if unit.layer == network.output and network.labels:
            return f"{network.label(unit.channel)} ({unit})"
        return repr(unit)

    def _draw_levels(self, index: ActivationIndex, unit: Unit) -> None:
        levels = [level for level in index.spectrum(unit) if level.share < 1]
        cells = []
        for level in levels:
            lines = (_share(level.share), f"{level.low:.3g} to {level.high:.3g}")
            cells.append(Cell(index.thumbnail_data(level.id), lines, f"{level.id}: {lines[0]}, {lines[1]}"))
        self._level_ids = [level.id for level in levels]
        self.levels_title.layout.display = "" if cells else "none"
        self.levels.show(cells, side=SMALL)

    def _draw_histogram(self, unit: Unit) -> None:
        told = self._statistics
        if told is None:
            return
        if not told.images:
            self.histogram.show([], [], caption="no values")
            self.numbers.value = ""
            return
        marks = [Mark(told.highest, "best photograph")]
        made = self.synthesis.choose(unit, self.network)
        verdict = ""
        if made is not None and np.isfinite(made.activation):
            marks.append(Mark(made.activation, "synthesized", "accent"))
            verdict = f" Synthesized: {made.activation:.4g}, {beside_best(made.activation, told)}."
        self.histogram.show(told.edges.tolist(), told.counts.tolist(), marks=marks)
        self.numbers.value = (
            f"{told.images:,} images: mean {told.mean:.3g}, deviation {told.deviation:.3g}; "
            f"above zero for {told.fires:.0%}.{verdict}"
        )

    # what the user does

    def _build_failed(self, error: BaseException | None) -> None:
        if error is None:
            self._mended()
        else:
            self._failed(error, lasting=True)

    def _chosen(self, content: Any, ids: list[str]) -> None:
        index = content.get("index", -1)
        if content.get("type") == "choose" and 0 <= index < len(ids) and not self._closed:
            self.selection.image = ids[index]

    def _synthesize(self) -> None:
        index, (unit, _) = self.selection.index, self.shown_unit()
        self.synthesis.choose(unit, self.network)
        self.synthesis.press(unit, self.network, "max" if index is None else index.plan.settings.pool)

    def _synthesized(self) -> None:
        with self._own_changes():
            self._draw_histogram(self.shown_unit()[0])

    def _ask_likes(self) -> None:
        index, image, (unit, _) = self.selection.index, self.selection.image, self.shown_unit()
        if index is None or image is None:
            raise ValueError(
                "choose an image first: click on one; and build the index, which the units are compared with"
            )
        network = self.network
        self._latest.request(lambda: self._drawn(lambda: self._draw_likes(index, image, unit.layer, network)))

    def _draw_likes(self, index: ActivationIndex, image: Any, layer: Layer, network: Network) -> None:
        found = index.units_for(image, layer, LIKED)
        self._liked = [unit for unit, _, _ in found]
        names = [
            network.label(unit.channel)
            if unit.layer == network.output and network.labels
            else f"channel {unit.channel}"
            for unit in self._liked
        ]
        what = image if isinstance(image, str) else "your image"
        self.liked.show(
            names,
            [above for _, _, above in found],
            caption=f"units of {layer.name} for {what}: by how many deviations σ they answer it above their mean",
        )

    def _liked_chosen(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._liked):
            self.selection.unit = self._liked[change["new"]]

    def _follow(self, name: str) -> None:
        if name == "network":
            with self._own_changes():
                self.units.refill(self.network)
        if name == "image":
            image = self.selection.image
            place = self._ids.index(image) if isinstance(image, str) and image in self._ids else -1
            if self.table.selected != place:
                self.table.selected = place
            return
        self.refresh()

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
            self.synthesis.close()
            for link in self._links:
                link.close()
        super().close()

    def code(self) -> str:
        """Python code that gives the same images."""
        unit, _ = self.shown_unit()
        fold = ", fold=True" if self.fold.value else ""
        return (
            f"{index_code(self.selection.index, self._path)}\nindex.top_images({unit_code(unit, self.network)}{fold})"
        )


def beside_best(activation: float, told: Statistics) -> str:
    """How an activation stands beside the best photograph's, in words."""
    if told.highest > 0 and activation > 0:
        return f"{activation / told.highest:.2g} times the best photograph"
    if told.deviation > 0:
        apart = (activation - told.highest) / told.deviation
        return f"{abs(apart):.2g} deviations {'above' if apart >= 0 else 'below'} the best photograph"
    return "the photographs all answer alike"


def _section(text: str) -> widgets.Label:
    label = widgets.Label(text)
    label.add_class("cnnviz-section")
    return label


def _share(share: float) -> str:
    return "median" if share == 0.5 else "weakest" if share == 0 else f"{share:.0%}"


def _size(sightings: list[Sighting], unit: Unit) -> str:
    windows = [one.window for one in sightings]
    if not windows or windows[0].status in ("whole image", "unknown"):
        return ": sees the whole image"
    top, left, bottom, right = windows[0].box
    cut = sum(one.status == "cut by the border" for one in windows)
    hatched = f", hatched where {cut} of them look beyond the border" if cut else ""
    return f": sees {bottom - top} × {right - left} pixels of the input{hatched}"


def _faults(bad: list[Sighting], count: int) -> str:
    return f"{len(bad)} of {count} images are not shown: {bad[0].match.id} {bad[0].fault}. Build the index anew."

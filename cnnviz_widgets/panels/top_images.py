"""``TopImagesPanel``: the images of a collection that excite a unit most."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.index import ActivationIndex, Statistics
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart, PictureTable

from ._base import Panel, beside
from ._cells import Winners, small_cell, winners
from ._code import index_code, unit_code
from ._indexing import IndexBuilder, nearest_layer
from ._selection import Selection
from ._spread import Spread
from ._synthesis import Synthesis
from ._unit_controls import UnitControls

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

SIDE, SMALL = 152, 66
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
        self._known: OrderedDict[Any, Winners] = OrderedDict()
        self._known_of: ActivationIndex | None = None
        self._marking = threading.RLock()
        self._ids: tuple[str, ...] = ()
        self._level_ids: tuple[str, ...] = ()
        self._liked: list[Unit] = []
        self._likes_of: Any = None
        super().__init__(Selection.of(network, images, selection, index))

    def _build(self) -> list[widgets.Widget]:
        self.units = UnitControls(self.selection, self._user)
        self.tree, self.channel, self.label = self.units.tree, self.units.channel, self.units.label
        self.builder = IndexBuilder(self.selection, self._path, self._build_told)
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
        self.spread = Spread()
        self.histogram, self.log_counts, self.numbers = self.spread.column
        self.synthesis = Synthesis(self._standing, self._synthesized, self._failed)
        self.liked = BarChart(unit="σ")
        self.likes = widgets.Button(description="Units that like the chosen image", layout=widgets.Layout(width="auto"))
        # in the browser, at once and whatever the kernel does
        self._link = widgets.jslink((self.opacity, "value"), (self.table, "overlay_opacity"))
        self._observe()
        looks = widgets.HBox([self.view, self.opacity, self.fold])
        looks.add_class("cnnviz-wrap")
        self.levels_title = _section("Weaker answers, from nearly the strongest to the weakest")
        middle = [looks, self.table, self.levels_title, self.levels]
        right = [
            _section("Activation over the collection"), *self.spread.column,
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
        self.synthesis.button.on_click(self._user(lambda button: self.synthesis.press()))
        self.likes.on_click(self._user(lambda button: self._ask_likes()))
        self.liked.observe(self._user(self._liked_chosen), "selected")

    # what is shown

    def shown_unit(self) -> tuple[Unit, str]:
        """The unit whose images are shown, and a remark where it is not the one selected."""
        unit, index = self.selection.unit, self.selection.index
        plain = unit.layer[unit.channel]
        if index is None or index.holds(unit.layer):
            told = f"The index knows channels: shown is {plain}, not the neuron {unit}."
            return plain, "" if index is None or unit.position is None else told
        near = nearest_layer(unit.layer, index.network, index.holds)
        other = near[min(unit.channel, near.channels - 1)]
        return other, f"{unit.layer.name} is not in the index; shown is {other}."

    def _standing(self) -> tuple[Unit, Network, str]:
        index = self.selection.index
        return self.shown_unit()[0], self.network, "max" if index is None else index.plan.settings.pool

    def _drawing(self) -> Callable[[], None]:
        unit, remark = self.shown_unit()
        index, network = self.selection.index, self.network
        setting = (self.view.value, self.fold.value)
        self.builder.show()
        asked = self._likes_of
        return lambda: self._draw(index, unit, network, remark, *setting, asked)

    def _draw(
        self,
        index: ActivationIndex | None,
        unit: Unit,
        network: Network,
        remark: str,
        view: str,
        fold: bool,
        asked: Any,
    ) -> None:
        self.units.show()
        self.synthesis.choose()
        if index is None:
            self._blank()
            return
        if index.network is not network:  # both are about to change
            return
        found = self._winners(index, unit, fold)
        self._draw_images(found, unit, network, view)
        outdated = self.builder.outdated(index)
        # what was counted with other weights can't be looked at again, as the winners can
        stale = bool(outdated and found.told)
        self._draw_levels(index, None if stale else unit)
        statistics = index.statistics(unit)
        self._draw_spread(None if stale else statistics, "of other weights: build the index anew" if stale else "")
        told = [remark, outdated, found.told, _ties(index, unit, statistics), *_left_out(index, statistics)]
        self._say(" ".join(filter(None, told)))
        self._draw_likes(index, unit, network, asked)

    def _blank(self) -> None:
        with self._marking:
            self._ids, self._level_ids = (), ()
            self.table.show([])
            self.levels.show([])
        self.levels_title.layout.display = "none"
        self.spread.show(None)
        count = len(self.selection.images)
        self._say(
            self.builder.missing(count)
            or "No images yet: give some, cnn.TopImagesPanel(net, images=cnn.ImageSet.from_folder(...)), or an index."
        )

    def _winners(self, index: ActivationIndex, unit: Unit, fold: bool) -> Winners:
        """The winners, measured again; remembered while index, weights and these images' files are the same."""
        if index is not self._known_of:
            self._known.clear()
            self._known_of = index
        ids = [match.id for match in index.top_images(unit, fold=fold)]
        key = (index.network.stamp(), unit, fold, *index.images.fingerprints(ids))
        if key not in self._known:
            self._known[key] = winners(index, unit, fold=fold, side=SIDE)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _draw_images(self, found: Winners, unit: Unit, network: Network, view: str) -> None:
        cells = found.crops if view == "crop" else found.whole
        self.opacity.disabled = not any(cell.overlay for cell in cells)
        size = f": {found.size}" if view == "crop" else ""
        with self._marking:
            self._ids = found.ids
            place = self._place(self._ids)
            self.table.show(cells, selected=place, side=SIDE, caption=f"{_name(unit, network)}{size}")

    def _draw_levels(self, index: ActivationIndex, unit: Unit | None) -> None:
        levels = [level for level in index.spectrum(unit) if level.share < 1] if unit is not None else []
        cells = []
        for level in levels:
            lines = (_share(level.share), f"{level.low:.3g} to {level.high:.3g}")
            cells.append(small_cell(index, level.id, lines, f"{level.id}: {lines[0]}, {lines[1]}"))
        self.levels_title.layout.display = "" if cells else "none"
        with self._marking:
            self._level_ids = tuple(level.id for level in levels)
            self.levels.show(cells, selected=self._place(self._level_ids), side=SMALL)

    def _place(self, ids: tuple[str, ...]) -> int:
        image = self.selection.image
        return ids.index(image) if isinstance(image, str) and image in ids else -1

    def _mark(self) -> None:
        """Mark the chosen image where it is among those shown."""
        with self._marking:
            for table, ids in ((self.table, self._ids), (self.levels, self._level_ids)):
                if table.selected != self._place(ids):
                    table.selected = self._place(ids)

    def _draw_spread(self, told: Statistics | None, caption: str = "") -> None:
        with self.spread.lock:
            made = None if told is None else self.synthesis.made(told.unit)
            self.spread.show(told, None if made is None else made.activation, caption)

    # what the user does

    def _build_told(self, error: BaseException | None) -> None:
        if error is None:
            self._lasting = False
            self._mended()
        else:
            self._failed(error, lasting=True)
        self.refresh()

    def _chosen(self, content: Any, ids: tuple[str, ...]) -> None:
        at = content.get("index", -1)
        if content.get("type") == "choose" and 0 <= at < len(ids) and not self._closed:
            self.selection.image = ids[at]
            self._mark()

    def _synthesized(self) -> None:
        with self._own_changes(), self.spread.lock:
            if self.spread.told is not None:
                self._draw_spread(self.spread.told)

    def _ask_likes(self) -> None:
        index, image = self.selection.index, self.selection.image
        if index is None or image is None:
            raise ValueError(
                "choose an image first: click on one; and build the index, which the units are compared with"
            )
        self._likes_of = image
        self.refresh()

    def _draw_likes(self, index: ActivationIndex, unit: Unit, network: Network, image: Any) -> None:
        """The units for the image that was asked about, in the layer that is shown; nothing where none was asked for."""
        if image is None:
            return
        found = index.units_for(image, unit.layer, LIKED)
        self._liked = [one for one, _, _ in found]
        named = unit.layer == network.output and bool(network.labels)
        self.liked.show(
            [network.label(one.channel) if named else f"channel {one.channel}" for one in self._liked],
            [above for _, _, above in found],
            caption=f"units of {unit.layer.name} for {image if isinstance(image, str) else 'your image'}: "
            "by how many deviations σ they answer it above their mean",
        )
        if self._likes_of is image:  # and no other was asked about meanwhile
            self._likes_of = None

    def _liked_chosen(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._liked):
            self.selection.unit = self._liked[change["new"]]

    def _follow(self, name: str) -> None:
        if name == "image":
            self._mark()
            return
        if name == "network":
            self._liked = []
            with self._own_changes():
                self.units.refill()
                self.liked.show([], [])
        self.refresh()

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
            self.synthesis.close()
            self.spread.close()
            self._link.close()
        super().close()

    def figure(self) -> Figure:
        """The images that excite the unit most, measured again."""
        from cnnviz_widgets import figures

        index = self.selection.index
        if index is None or not index.measured:
            raise ValueError("there is no index yet: press Build index")
        return figures.top_images(index, self.shown_unit()[0], crops=self.view.value == "crop", fold=self.fold.value)

    def figure_code(self) -> str:
        looks = (", crops=True" if self.view.value == "crop" else "") + (", fold=True" if self.fold.value else "")
        return f"cnn.figures.top_images(index, {unit_code(self.shown_unit()[0], self.network)}{looks})"

    def code(self) -> str:
        """Python code that gives the same images."""
        unit, _ = self.shown_unit()
        looks = (", crops=True" if self.view.value == "crop" else "") + (", fold=True" if self.fold.value else "")
        return f"{index_code(self.selection.index, self._path)}\nindex.sheet({unit_code(unit, self.network)}{looks})"


def _name(unit: Unit, network: Network) -> str:
    named = unit.layer == network.output and network.labels
    return f"{network.label(unit.channel)} ({unit})" if named else repr(unit)


def _ties(index: ActivationIndex, unit: Unit, told: Statistics) -> str:
    """A remark where the winners are equal, as at the upper end of a ReLU6, so that their order says nothing."""
    scores = [match.score for match in index.top_images(unit)]
    if len(scores) < 2 or scores[0] > scores[-1]:
        return ""
    if told.lowest == told.highest:
        return f"The unit gives {told.highest:.4g} for every image."
    try:
        before = index.network.beside_nonlinearity(unit.layer, "pre").name
    except ValueError:  # no module gives that value
        before = ""
    apart = f"; {before}, before the nonlinearity, tells them apart" if before and before != unit.layer.name else ""
    return f"All {len(scores)} give {scores[0]:.4g}, and others may, too: those whose ids come first are shown{apart}."


def _left_out(index: ActivationIndex, told: Statistics) -> list[str]:
    """What of the collection is not in the answers, in sentences."""
    sentences = []
    if index.faults:
        first = index.faults[0]
        sentences.append(f"{_images(len(index.faults))} could not be read, such as {first.id}: {first.reason}.")
    if told.dropped:
        sentences.append(f"{_images(told.dropped)} gave NaN or infinite values and count for nothing.")
    return sentences


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _section(text: str) -> widgets.Label:
    label = widgets.Label(text)
    label.add_class("cnnviz-section")
    return label


def _share(share: float) -> str:
    return "median" if share == 0.5 else "least" if share == 0 else f"{share:.0%}"

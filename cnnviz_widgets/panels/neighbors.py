"""``NeighborsPanel``: images beside those that are nearest to them in a layer's features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.index import ActivationIndex, Neighbors
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import PictureTable
from cnnviz_widgets.views.picture_table import LIMIT

from ._base import Panel, beside, fill_tree, layer_tree
from ._code import index_code
from ._indexing import IndexBuilder, layer_with_features
from ._neighbor_rows import Asked, asked, cells_of, of_different_classes, queries_code, same
from ._selection import Selection
from ._uploading import Uploading

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

SIDE = 112
ROWS = 4
"""Queries beside the chosen image, to begin with: one of each of so many classes."""
JUDGED = 500
"""Queries for the hit rate that the caption tells, where these take no more products of features than `WORK`."""
WORK = 2_000_000_000


class NeighborsPanel(Panel):
    """The classic figure (Krizhevsky et al. 2012, figure 4): queries in the first column, the nearest images right of them.

    The first row is the selection's image; a click on any image makes it that one. An image of one's own can be dropped in.

    Parameters
    ----------
    network
        A `Network`.
    index
        An `ActivationIndex` that keeps features; None: it is built in the panel, from ``images``.
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
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> index = ActivationIndex.build(net, list(np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)), k=1)
    >>> panel = NeighborsPanel(net, index)
    >>> panel.wait()
    >>> panel.neighbors.queries[0], len(panel.neighbors.ids[0])
    ('0', 5)
    >>> panel.close()
    """

    title = "Nearest neighbours"
    page_holds = "the rows as they are"

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
        self._layer: Layer | None = None
        self._pinned: list[Any] | None = None  # None: chosen anew from what is there
        self._listed: list[Any] = []
        self._rows: list[list[Any]] = []
        self._rates: dict[Any, str] = {}
        self._rates_of: ActivationIndex | None = None
        self.neighbors: Neighbors | None = None
        super().__init__(Selection.of(network, images, selection, index))

    def _build(self) -> list[widgets.Widget]:
        self.tree = layer_tree(self.network, self.layer.name, max_height=420)
        self.builder = IndexBuilder(self.selection, self._path, self._build_told, lambda: [self.layer])
        self.metric = widgets.Dropdown(
            options=[("Euclidean (L2)", "l2"), ("cosine", "cosine")], description="distance",
            layout=widgets.Layout(width="auto"), style={"description_width": "initial"},
        )  # fmt: skip
        self.k = widgets.IntSlider(
            value=5, min=1, max=12, description="neighbours", style={"description_width": "initial"}
        )
        self.own = widgets.Checkbox(value=True, description="leave out the image itself", indent=False)
        self.pin = _button("Keep this row", "Keep the chosen image's row, below")
        self.clear = _button("Clear rows", "Only the chosen image's row")
        self._uploading = Uploading(self.selection, self._failed)
        self.upload = self._uploading.view
        self.table = PictureTable(max_height=900)
        self._observe()
        source = _row([self.upload, self.pin, self.clear])
        looks = _row([self.metric, self.k, self.own])
        return [self.builder.box, beside([self.tree], [source, looks, self.table])]

    def _observe(self) -> None:
        self.builder.button.on_click(self._user(lambda button: self.builder.pressed()))
        self.tree.observe(self._user(self._layer_chosen), "selected")
        for control in (self.metric, self.k, self.own):
            control.observe(self._user(lambda change: self.refresh()), "value")
        self.table.on_msg(lambda _, content, buffers: self._chosen(content))
        self.pin.on_click(self._user(lambda button: self._pin()))
        self.clear.on_click(self._user(lambda button: self._clear()))

    @property
    def layer(self) -> Layer:
        """The layer that is asked for: the last hidden one until another is chosen."""
        return self.network.last_hidden if self._layer is None else self._layer

    def shown_layer(self) -> tuple[Layer, str]:
        """The layer whose features are compared, and a remark where it is not the one asked for."""
        return layer_with_features(self.layer, self.selection.index)

    def _drawing(self) -> Callable[[], None]:
        index, network, (layer, remark) = self.selection.index, self.network, self.shown_layer()
        setting = (self.metric.value, self.k.value, self.own.value)
        self.builder.show()
        return lambda: self._draw(index, network, layer, remark, *setting)

    def _draw(
        self,
        index: ActivationIndex | None,
        network: Network,
        layer: Layer,
        remark: str,
        metric: str,
        k: int,
        own: bool,
    ) -> None:
        if self.tree.selected != self.layer.name and self.layer.name in network.layers:
            self.tree.selected = self.layer.name
        if index is None or not index.measured:
            self._blank(index)
            return
        if index.network is not network:  # both are about to change
            return
        chosen = self.selection.image
        rows = asked(index, self._queries(index, chosen, k), layer, k, metric, own)
        told = [remark, f"{outdated} Build it anew." if (outdated := self.builder.outdated(index)) else "", *rows.told]
        self._say(" ".join(filter(None, told)) or ("" if rows.queries else "Choose an image: open or drop one above."))
        self._show(index, rows, k, chosen, self._caption(index, layer, metric))
        self._tell_rate(index, layer, metric)

    def _blank(self, index: ActivationIndex | None) -> None:
        self.table.show([])
        self._rows, self.neighbors = [], None
        count = len(self.selection.images)
        if index is not None and index.complete and count:
            self._say("No image of the collection could be measured.")
            return
        self._say(
            self.builder.missing(count)
            or "No images yet: give some, cnn.NeighborsPanel(net, images=cnn.ImageSet.from_folder(...)), or an index."
        )

    def _queries(self, index: ActivationIndex, chosen: Any, k: int) -> list[Any]:
        """The chosen image, then the rows that are kept."""
        kept = self._pinned
        self._listed = of_different_classes(index, ROWS) if kept is None else kept
        listed = [chosen] if chosen is not None else []
        listed += [one for one in self._listed if not same(one, chosen)]
        return listed[: LIMIT // (k + 1)]

    def _show(self, index: ActivationIndex, rows: Asked, k: int, chosen: Any, caption: str) -> None:
        cells, shown = cells_of(index, rows, k)
        self.neighbors, self._rows = rows.found, shown
        if not cells:
            self.table.show([])
            return
        heads = ["query", *[_ordinal(number + 1) for number in range(k)]]
        first = 0 if same(rows.queries[0], chosen) else -1
        self.table.show(cells, columns=k + 1, lead=True, heads=heads, selected=first, side=SIDE, caption=caption)

    def _caption(self, index: ActivationIndex, layer: Layer, metric: str) -> str:
        what = "Euclidean distance" if metric == "l2" else "1 − cosine"
        flat = "all its positions" if layer.name in index.plan.flat else "the mean over each map"
        told = f"{what} between features of {layer.name}" + (f" ({flat})" if layer.positions else "")
        if index is not self._rates_of:
            self._rates.clear()
            self._rates_of = index
        return f"{told}{self._rates.get((layer.name, metric), '')}."

    def _tell_rate(self, index: ActivationIndex, layer: Layer, metric: str) -> None:
        """Add to the caption how often the nearest other image has the same label; found out when all are measured."""
        if (layer.name, metric) in self._rates or not (index.complete and index.images.labelled and index.measured > 2):
            return
        most = max(20, min(JUDGED, WORK // (len(index.ids) * index.plan.width(layer))))
        ids = index.ids[:: -(-len(index.ids) // most)]
        hits = index.neighbors(list(ids), layer, 1, metric=metric, without_itself=True).first_hits  # type: ignore[arg-type]
        self._rates[layer.name, metric] = (
            ""
            if hits is None
            else f". The nearest other image has the same label for {hits:.0%} of {len(ids):,} images"
        )
        self.table.caption = self._caption(index, layer, metric)

    # what the user does

    def _build_told(self, error: BaseException | None) -> None:
        if error is None:
            self._lasting = False
            self._mended()
        else:
            self._failed(error, lasting=True)
        self.refresh()

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self._layer = self.network[change["new"]]
            if self.selection.layer == self._layer:
                self.refresh()
            else:
                self.selection.layer = self._layer

    def _chosen(self, content: Any) -> None:
        at, rows = content.get("index", -1), self._rows
        if content.get("type") != "choose" or self._closed or not rows:
            return
        row, column = divmod(at, len(rows[0]))
        if 0 <= row < len(rows) and rows[row][column] is not None:
            self.selection.image = rows[row][column]

    def _pin(self) -> None:
        chosen = self.selection.image
        if chosen is None or self.selection.index is None:
            raise ValueError("there is no row to keep yet: choose an image, and build the index")
        self._pinned = [chosen, *(one for one in self._listed if not same(one, chosen))]
        self.refresh()

    def _clear(self) -> None:
        self._pinned = []
        self.refresh()

    def _follow(self, name: str) -> None:
        if name in ("network", "images"):
            self._pinned = None
        if name == "network":
            self._layer = None
            with self._own_changes():
                fill_tree(self.tree, self.network, self.layer.name)
        elif name == "layer":
            self._layer = self.selection.layer
        if name != "unit":
            self.refresh()

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until what was uploaded is opened."""
        self._uploading.wait(seconds)
        super().wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
            self._uploading.close()
        super().close()

    def _page_units(self) -> list[Unit]:
        return []

    def figure(self) -> Figure:
        """Queries in the first column, the nearest images right of them."""
        from cnnviz_widgets import figures

        index, queries = self.selection.index, [row[0] for row in self._rows]
        if index is None or not queries:
            raise ValueError("there are no neighbours yet: build the index and choose an image")
        layer, _ = self.shown_layer()
        return figures.neighbors(index, queries, layer, self.k.value, metric=self.metric.value)

    def figure_code(self) -> str:
        layer, _ = self.shown_layer()
        _, query, _ = queries_code([row[0] for row in self._rows], self.selection.images)
        return f"cnn.figures.neighbors(index, {query}, {layer.name!r}, {self.k.value}, metric={self.metric.value!r})"

    def code(self) -> str:
        """Python code that gives the same neighbours: of the collection's queries, or of the chosen image of one's own."""
        (layer, _), chosen = self.shown_layer(), self.selection.image
        rows = [row[0] for row in self._rows if not same(row[0], chosen)]
        before, query, shown = queries_code([chosen, *rows] if chosen is not None else rows, self.selection.images)
        needed = [] if layer.name == self.network.last_hidden.name else [layer.name]
        own = ", without_itself=True" if self.own.value else ""
        asked_for = f"{query}, {layer.name!r}, k={self.k.value}, metric={self.metric.value!r}{own}"
        return "\n".join(
            [
                index_code(self.selection.index, self._path, needed),
                *before,
                f"found = index.neighbors({asked_for})",
                f"index.neighbor_sheet(found{shown})",
            ]
        )


def _ordinal(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))


def _row(children: list[widgets.Widget]) -> widgets.Widget:
    row = widgets.HBox(children)
    row.add_class("cnnviz-wrap")
    return row

"""``NeighborsPanel``: images beside those that are nearest to them in a layer's features."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.index import ActivationIndex, Neighbors
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.thumbnails import thumbnail
from cnnviz_widgets.views import Cell, ImageUpload, PictureTable

from ._base import Panel, beside, fill_tree, layer_tree
from ._code import index_code
from ._indexing import IndexBuilder
from ._selection import Selection

SIDE = 104
THUMBNAIL = 224
ROWS = 4
"""Queries beside the chosen image, to begin with: one of each of so many classes."""
JUDGED = 500
"""Queries for the hit rate that the caption tells."""


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
        self._rows: list[list[Any]] = []
        self._rates: dict[Any, str] = {}
        self.neighbors: Neighbors | None = None
        super().__init__(Selection.of(network, images, selection, index))

    def _build(self) -> list[widgets.Widget]:
        self.tree = layer_tree(self.network, self.layer.name, max_height=420)
        self.builder = IndexBuilder(self.selection, self._path, self._build_failed, self._wanted)
        self.metric = widgets.Dropdown(
            options=[("Euclidean (L2)", "l2"), ("cosine", "cosine")], description="distance",
            layout=widgets.Layout(width="auto"), style={"description_width": "initial"},
        )  # fmt: skip
        self.k = widgets.IntSlider(
            value=6, min=1, max=12, description="neighbours", style={"description_width": "initial"}
        )
        self.own = widgets.Checkbox(value=True, description="leave out the image itself", indent=False)
        self.pin = _button("Keep this row", "Keep the chosen image's row, below")
        self.clear = _button("Clear rows", "Only the chosen image's row")
        self.upload = ImageUpload()
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
        self.upload.on_upload(self._uploaded)
        self.upload.on_refused(lambda name, reason: self._failed(ValueError(f"{name}: {reason}")))

    @property
    def layer(self) -> Layer:
        """The layer that is asked for: the last hidden one until another is chosen."""
        return self.network.last_hidden if self._layer is None else self._layer

    def shown_layer(self) -> tuple[Layer, str]:
        """The layer whose features are compared, and a remark where it is not the one asked for."""
        index, layer = self.selection.index, self.layer
        kept = index.plan.features if index is not None else ()
        if index is None or layer in kept or not kept:
            return layer, ""
        names = list(self.network.layers)
        at = names.index(layer.name)
        near = min(kept, key=lambda one: (abs(names.index(one.name) - at), -names.index(one.name)))
        told = f"Features of {layer.name} are not kept, shown are those of {near.name}; Build anew keeps them, too."
        return near, told

    def _wanted(self) -> list[Layer]:
        return [self.layer]

    def _drawing(self) -> Callable[[], None]:
        index, network, (layer, remark) = self.selection.index, self.network, self.shown_layer()
        asked, chosen = self.layer, self.selection.image
        setting = (self.metric.value, self.k.value, self.own.value)
        self.builder.show()
        return lambda: self._draw(index, network, layer, asked, remark, chosen, *setting)

    def _draw(
        self,
        index: ActivationIndex | None,
        network: Network,
        layer: Layer,
        asked: Layer,
        remark: str,
        chosen: Any,
        metric: str,
        k: int,
        own: bool,
    ) -> None:
        if self.tree.selected != asked.name:
            self.tree.selected = asked.name
        if index is None or not index.measured:
            self._blank(index)
            return
        if index.network is not network:  # both are about to change
            return
        queries = self._queries(index, chosen)
        if not queries:
            self._say("Choose an image: open or drop one above.")
            self.table.show([])
            return
        found = [index.neighbors([one], layer, k, metric=metric, without_itself=own) for one in queries]  # type: ignore[arg-type]
        self.neighbors = _joined(found)
        self._show(index, queries, self.neighbors, k)
        told = [remark]
        if outdated := index.outdated():
            told.append(f"{outdated} Build it anew.")
        self._say(" ".join(text for text in told if text))
        self.table.caption = self._caption(index, layer, metric, own)

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

    def _queries(self, index: ActivationIndex, chosen: Any) -> list[Any]:
        """The chosen image and the rows that are kept; those that the index does not know yet wait."""
        listed = [chosen] if chosen is not None else []
        for one in self._kept_rows(index):
            if not any(_same(one, other) for other in listed):
                listed.append(one)
        return [one for one in listed if not _is_id(one, index.images) or one in index.rows_by_id]

    def _kept_rows(self, index: ActivationIndex) -> list[Any]:
        return _of_different_classes(index, ROWS) if self._pinned is None else self._pinned

    def _show(self, index: ActivationIndex, queries: Sequence[Any], found: Neighbors, k: int) -> None:
        images, cells, rows = index.images, [], []
        for number, query in enumerate(queries):
            label = found.labels[number] or _label(query, images)
            cells.append(Cell(_small(query, index), (label,), f"query: {_name(query)}", tone="query"))
            row: list[Any] = [query]
            for id, far, other in zip(
                found.ids[number], found.distances[number], found.neighbor_labels[number], strict=True
            ):
                known = found.labels[number]
                tone = "" if not known else "hit" if other == known else "miss"
                cells.append(
                    Cell(index.thumbnail_data(id), (other, f"{far:.4g}"), f"{id}: {other}, {far:.5g}", tone=tone)
                )
                row.append(id)
            for _ in range(k + 1 - len(row)):  # fewer images than neighbours asked for
                cells.append(Cell(b"", ("none",)))
                row.append(None)
            rows.append(row)
        self._rows = rows
        heads = ["query", *[_ordinal(number + 1) for number in range(k)]]
        self.table.show(cells, columns=k + 1, lead=True, heads=heads, selected=0, side=SIDE)

    def _caption(self, index: ActivationIndex, layer: Layer, metric: str, own: bool) -> str:
        what = "Euclidean distance" if metric == "l2" else "1 − cosine"
        flat = (
            "all its positions"
            if layer.name in index.plan.flat
            else "the mean over each map"
            if layer.positions
            else ""
        )
        told = f"{what} between features of {layer.name}" + (f" ({flat})" if flat else "")
        key = (id(index), layer.name, metric)
        if index.images.labelled and index.measured > 2:
            if key not in self._rates:
                asked = index.ids[:: max(1, len(index.ids) // JUDGED)][:JUDGED]
                rates = index.neighbors(list(asked), layer, 1, metric=metric, without_itself=True)  # type: ignore[arg-type]
                hits = rates.first_hits
                self._rates[key] = "" if hits is None else (
                    f". The nearest other image has the same label for {hits:.0%} of {len(asked):,} images"
                )  # fmt: skip
            told += self._rates[key]
        return told + "."

    # what the user does

    def _build_failed(self, error: BaseException | None) -> None:
        if error is None:
            self._mended()
        else:
            self._failed(error, lasting=True)

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self._layer = self.network[change["new"]]
            if self.selection.layer == self._layer:
                self.refresh()
            else:
                self.selection.layer = self._layer

    def _chosen(self, content: Any) -> None:
        at = content.get("index", -1)
        if content.get("type") != "choose" or self._closed or not self._rows:
            return
        row, column = divmod(at, len(self._rows[0]))
        if 0 <= row < len(self._rows) and self._rows[row][column] is not None:
            self.selection.image = self._rows[row][column]

    def _pin(self) -> None:
        chosen, index = self.selection.image, self.selection.index
        if chosen is None or index is None:
            raise ValueError("there is no row to keep yet: choose an image, and build the index")
        kept = self._kept_rows(index)
        self._pinned = [chosen, *(one for one in kept if not _same(one, chosen))]
        self.refresh()

    def _clear(self) -> None:
        self._pinned = []
        self.refresh()

    def _uploaded(self, name: str, data: bytes, scaled: bool) -> None:
        try:
            picture = open_image(io.BytesIO(data))
        except ValueError as error:
            self._failed(ValueError(str(error).replace("the given file", name)))
            return
        picture.name = name  # type: ignore[attr-defined]
        self.selection.image = picture

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

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
        super().close()

    def code(self) -> str:
        """Python code that gives the same neighbours."""
        index, (layer, _) = self.selection.index, self.shown_layer()
        chosen = self.selection.image
        query = repr([chosen]) if _is_id(chosen, self.selection.images) else _file_code(chosen)
        kept = index is not None and layer in index.plan.features
        features = "" if kept and layer == self.network.last_hidden else f", features=[{layer.name!r}]"
        own = ", without_itself=True" if self.own.value else ""
        lines = [index_code(index, self._path, features)]
        if query is None:
            lines.append("# the image as it was opened in the panel: put its path here")
            query = "image"
        lines.append(f"index.neighbors({query}, {layer.name!r}, k={self.k.value}, metric={self.metric.value!r}{own})")
        return "\n".join(lines)


def _joined(found: Sequence[Neighbors]) -> Neighbors:
    together: dict[str, Any] = {
        name: tuple(part for one in found for part in getattr(one, name))
        for name in ("queries", "labels", "ids", "distances", "neighbor_labels")
    }
    return replace(found[0], **together)


def _of_different_classes(index: ActivationIndex, count: int) -> list[str]:
    """Some images of the index: one of each of the first classes, or spread evenly where labels are no classes."""
    images = index.images
    if not images.labelled:
        return list(index.ids[:: max(1, len(index.ids) // count)][:count])
    seen: dict[str, str] = {}
    for id in index.ids:
        seen.setdefault(images.labels[images.number(id)], id)
    ids = list(seen.values())
    return ids[:: max(1, len(ids) // count)][:count]


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and isinstance(other, str) and one == other)


def _is_id(image: Any, images: ImageSet) -> bool:
    return isinstance(image, str) and image in images


def _name(image: Any) -> str:
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else "your image"


def _label(image: Any, images: ImageSet) -> str:
    return images.labels[images.number(image)] if _is_id(image, images) else Path(_name(image)).name


def _small(image: Any, index: ActivationIndex) -> bytes:
    if _is_id(image, index.images):
        return index.thumbnail_data(image)
    opener = ImageSet.of([image] if isinstance(image, str) else image).openers[0]
    return thumbnail(opener.open(), THUMBNAIL)


def _file_code(image: Any) -> str | None:
    return repr(image) if isinstance(image, str | os.PathLike) else None


def _ordinal(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))


def _row(children: list[widgets.Widget]) -> widgets.Widget:
    row = widgets.HBox(children)
    row.add_class("cnnviz-wrap")
    return row

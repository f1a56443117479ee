"""``EmbeddingPanel``: the images of a collection where a projection of a layer's features puts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ipywidgets as widgets

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.engine.projections import PCA, Map, Projection
from cnnviz_widgets.views.standalone import Part

from ._base import Panel, beside, fill_tree, layer_tree
from ._code import index_code
from ._export import Product
from ._indexing import IndexBuilder, layer_with_features
from ._map_coloring import UNIT, Asked, Coloring
from ._map_export import ROOM, SIDE, MapExport
from ._map_guest import Visitor
from ._map_making import Made, MapMaker, Mapped
from ._map_methods import RunBar, described, methods, projection_code, reported, titled
from ._map_picture import MapPicture, Standing
from ._map_search import Searching
from ._map_sheet import ChosenSheet
from ._map_telling import Telling
from ._page import bring_up_to_date, part_of, units_beside
from ._selection import Selection
from ._uploading import Uploading

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure


PAGE_UNITS = 4
"""Units that a page offers where they colour the map: each holds it anew."""


class EmbeddingPanel(Panel):
    """A map of the images: those that the network finds alike lie side by side, as thumbnails to pan and zoom.

    Principal components show at once; Run makes the chosen map before one's eyes, and remembers it. A click makes an image the
    selection's; several are chosen by lasso or by their label; an image of one's own is placed among the others.

    Parameters
    ----------
    network
        A `Network`.
    index
        An `ActivationIndex` that keeps features; None: it is built in the panel, from ``images``.
    images
        The collection, where there is no index.
    path
        Where an index that the panel builds is kept; None: in memory. Finished maps are kept beside an index on disk.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from cnnviz_widgets import ActivationIndex, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> index = ActivationIndex.build(net, list(np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8)), k=1)
    >>> panel = EmbeddingPanel(net, index)
    >>> panel.run()
    >>> panel.wait()
    >>> panel.map.finished, panel.map.points.shape
    (True, (9, 2))
    >>> panel.close()
    """

    title = "Embedding"
    page_holds = (
        "the map, to zoom and to point at; coloured by a unit, with up to three others of its layer to choose among"
    )

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
        self._visitor = Visitor()
        self._way: tuple[Mapped | None, Projection] = (None, PCA())  # what made the map that is shown
        self.maker = MapMaker(self._moved, self._ended_run)
        self.map: Map | None = None
        super().__init__(Selection.of(network, images, selection, index))

    def _build(self) -> list[widgets.Widget]:
        self.tree = layer_tree(self.network, self.layer.name, max_height=300)
        self.builder = IndexBuilder(self.selection, self._path, self._build_told, lambda: [self.layer])
        self.method = methods(self._user(lambda change: self.refresh()))
        self.runs = RunBar(self.maker)
        self.coloring = Coloring(self.selection, lambda: self.shown_layer()[0].name, self._user, self.refresh)
        self.seams = widgets.Checkbox(
            value=False,
            description="seams of the grid",
            tooltip="Lines between neighbours on the grid that are far from each other by their features",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self.uploading = Uploading(self.selection, self._failed)
        self.upload = self.uploading.view
        self.picture = MapPicture()
        self.view = self.picture.view
        self.searching = Searching(self.picture, self.selection, self._user, self._failed, self._mended)
        self.search = self.searching.text
        self.sheet = ChosenSheet(self.picture, self.selection, self._failed)
        self.telling = Telling(self.picture, self._failed, self._told_unit)
        self._taking = MapExport(self.picture, lambda: self.view.caption.partition(":")[0])
        self._observe()
        looks = _row([*self.coloring.widgets, self.seams, self.search, self.sheet.button])
        side = [self.tree, self.method.box, self.runs.box]
        body = beside(side, [self.upload, looks, self.view, self.sheet.table, self.telling.box])
        return [self.builder.box, body]

    def _observe(self) -> None:
        self.builder.button.on_click(self._user(lambda button: self.builder.pressed()))
        self.tree.observe(self._user(self._layer_chosen), "selected")
        self.runs.button.on_click(self._user(lambda button: self.stop() if self.maker.running else self.run()))
        self.seams.observe(self._user(lambda change: self.refresh()), "value")
        self.view.on_msg(lambda _, content, buffers: self._picked(content))

    @property
    def layer(self) -> Layer:
        """The layer that is asked for: the last hidden one until another is chosen."""
        return self.network.last_hidden if self._layer is None else self._layer

    @property
    def projection(self) -> Projection:
        """The method as its sliders stand."""
        return cast(Projection, self.method.make())

    @projection.setter
    def projection(self, value: Projection) -> None:
        self.method.check(value)
        with self._own_changes():
            self.method.show(value)
        self.refresh()

    @property
    def chosen(self) -> ImageSet:
        """The images chosen together."""
        return self.selection.images.subset(self.picture.chosen())

    def shown_layer(self) -> tuple[Layer, str]:
        """The layer whose features are mapped, and a remark where it is not the one asked for."""
        return layer_with_features(self.layer, self.selection.index)

    def run(self) -> None:
        """Make the map; returns at once."""
        index = self.selection.index
        if index is None or not index.measured:
            raise ValueError("there are no features yet: build the index, then Run")
        self.maker.start(self.maker.mapped(index, self.shown_layer()[0].name), self.projection)
        self._lasting = False
        self._mended()
        self.runs.tell()

    def stop(self) -> None:
        """End after the step under way; the unfinished map stays. Returns at once."""
        self.maker.stop()

    def _drawing(self) -> Callable[[], None]:
        index, network, (layer, remark) = self.selection.index, self.network, self.shown_layer()
        projection, colors, seams = self.projection, self.coloring.asked(), self.seams.value
        # read here: a drawing that was asked for before a scene was set does not show its map yet
        awaited = self.picture.awaited
        self.builder.show()
        return lambda: self._draw(index, network, layer, remark, projection, colors, seams, awaited)

    def _draw(
        self,
        index: ActivationIndex | None,
        network: Network,
        layer: Layer,
        remark: str,
        projection: Projection,
        colors: Asked,
        seams: bool,
        awaited: Standing | None,
    ) -> None:
        if self.tree.selected != self.layer.name and self.layer.name in network.layers:
            self.tree.selected = self.layer.name
        if index is None or not index.measured:
            self._blank(index)
            return
        if index.network is not network:  # both are about to change
            return
        job = self.maker.job
        mapped = job[0] if job is not None and job[0].index is index else self.maker.mapped(index, layer.name)
        if mapped.layer != layer.name:
            remark = f"The map of {mapped.layer} is still under way; that of {layer.name} shows when it is done."
        told = [remark, f"{outdated} Build it anew." if (outdated := self.builder.outdated(index)) else ""]
        if mapped.fault:
            self.picture.blank()
            self.map = None
            self._say(" ".join(filter(None, [*told, mapped.fault])))
            return
        guest, about = self._visitor.at(mapped, self.selection.image)
        made, caption = self._standing(mapped, projection)
        self.map = made.map if isinstance(made, Made) else made
        look = self.coloring.look(mapped, made, colors)
        self.picture.show(mapped, made, look, guest, self.selection.image, caption, seams=seams)
        if awaited is not None:
            self.picture.resume(awaited)
        self.sheet.tell()
        self.telling.tell()
        sewn = SEAMS if seams and isinstance(made, Made) else ""
        self._say(" ".join(filter(None, [*told, look.told, sewn, about])))

    def _blank(self, index: ActivationIndex | None) -> None:
        self.picture.blank()
        self.map = None
        count = len(self.selection.images)
        if index is not None and index.complete and count:
            self._say("No image of the collection could be measured.")
            return
        self._say(
            self.builder.missing(count)
            or "No images yet: give some, cnn.EmbeddingPanel(net, images=cnn.ImageSet.from_folder(...)), or an index."
        )

    def _standing(self, mapped: Mapped, projection: Projection) -> tuple[Made | Map, str]:
        """The map to show, and what is said of it: the one on its way, the one that is known, or principal components."""
        job, newest = self.maker.job, self.maker.newest
        if job is not None and newest is not None and job[0] is mapped:
            self._way = job
            return newest, described(job[1], mapped)
        if (made := self.maker.known(mapped, projection)) is not None:
            self._way = (mapped, projection)
            return made, reported(projection, mapped, made)
        way = self._way[1] if self._way[0] is mapped else PCA()
        if (made := self.maker.known(mapped, way)) is None:
            way = PCA()
            made = self.maker.known(mapped, way)
        assert made is not None
        self._way = (mapped, way)
        knobs = " with these knobs" if type(way) is type(projection) else ""
        return made, f"{reported(way, mapped, made)} Run makes the map by {titled(projection)}{knobs}."

    def save_poster(self, path: str | Path, side: int = SIDE) -> Path:
        """Write the map, or the grid where the slider is nearer to it, as a picture to be printed.

        Parameters
        ----------
        path
            Of the file; its ending says the format, such as ``.png``, ``.jpg`` or ``.pdf``.
        side
            Pixels of the longer side.

        Raises
        ------
        ValueError
            No map yet, a side that does not fit, or an ending that is no format of pictures.
        """
        self._taking.poster(side).save(path)
        return Path(path)

    def _page(self, units: Sequence[Unit] = ()) -> str:
        if units:
            return super()._page(units)
        bring_up_to_date(self)
        return self._taking.page()

    def _page_part(self, units: Sequence[Unit]) -> Part:
        return part_of(self, units, ROOM)

    def _page_units(self) -> list[Unit]:
        return units_beside(self.selection.unit, PAGE_UNITS) if self.coloring.menu.value == UNIT else []

    def _products(self) -> dict[str, Product]:
        return {**super()._products(), "poster": self._taking.product}

    def figure(self) -> Figure:
        """The map, or the grid where the slider is nearer to it."""
        return self._taking.figure()

    # what the maker tells, on its thread

    def _moved(self, mapped: Mapped, progress: Progress[Map]) -> None:
        job = self.maker.job
        if self._closed or job is None:
            return
        self.runs.tell(progress)
        self.map = progress.result
        shown = mapped.index is self.selection.index
        if shown and not self.picture.move(mapped, progress.result, described(job[1], mapped)):
            self.refresh()

    def _ended_run(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self.runs.tell()
        if error is not None:
            self._failed(error, lasting=True)
        self.refresh()

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

    def _told_unit(self, unit: Unit) -> None:
        self.selection.unit = unit
        self.coloring.by_unit()

    def _picked(self, content: Any) -> None:
        if content.get("type") == "choose" and not self._closed:
            image = self.picture.image(int(content.get("index", -1)))
            if image is not None:
                self.selection.image = image

    def _follow(self, name: str) -> None:
        job = self.maker.job
        if name in ("network", "images", "index") and job is not None and job[0].index is not self.selection.index:
            self.maker.stop()
        if name == "network":
            self._layer = None
            with self._own_changes():
                fill_tree(self.tree, self.network, self.layer.name)
        elif name == "layer":
            self._layer = self.selection.layer
        if name != "unit" or self.coloring.menu.value == UNIT:
            self.refresh()

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until the map under way is done and what was asked for is made."""
        for part in self._parts():
            part.wait(seconds)
        super().wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
            for part in self._parts():
                part.close()
        super().close()

    def _parts(self) -> list[Any]:
        """What works on threads of its own."""
        return [self.uploading, self.searching, self.sheet, self.telling, self.maker]

    def figure_code(self) -> str:
        on_grid = self.view.morph >= 0.5
        seams = f", seams={_CELLS}.seams(map_.features)" if on_grid and self.seams.value else ""
        return f"cnn.figures.embedding({_CELLS if on_grid else 'map_'}, index{seams})"

    def code(self) -> str:
        """Python code that gives the same map."""
        layer, _ = self.shown_layer()
        needed = [] if layer.name == self.network.last_hidden.name else [layer.name]
        made = projection_code(self.projection)
        lines = [
            index_code(self.selection.index, self._path, needed),
            f"map_ = {made}.fit(index.features({layer.name!r}))",
            "map_.points",
        ]
        return "\n".join([*lines, *filter(None, [self.telling.code()])])


SEAMS = (
    "Lines between neighbours on the grid: they are further apart by their features than half of all are, the stronger the line "
    "the further."
)
_CELLS = "cnn.projections.grid(map_.points)"


def _row(children: list[widgets.Widget]) -> widgets.Widget:
    row = widgets.HBox(children)
    row.add_class("cnnviz-wrap")
    return row

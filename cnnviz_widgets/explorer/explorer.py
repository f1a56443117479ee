"""``Explorer``: a network, its images, and every panel on them, laid out for the screen at hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets import panels
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.panels import Panel, Scenes, Selection
from cnnviz_widgets.panels._base import _replace_of_same_cell, close_looks
from cnnviz_widgets.panels._export import Export, File, Product
from cnnviz_widgets.panels._page import part_of_panels, units_beside
from cnnviz_widgets.panels._scene import SceneError, restore_all, scene_of
from cnnviz_widgets.views import Note, standalone
from cnnviz_widgets.views._base import free_route

from .slots import Shelf, Slot
from .strip import Strip

LAYOUTS = {"side by side": ("Activations", "Unit card"), "one column": ("Activations",), "projector": ("Activations",)}
"""Layout -> the panels that it begins with, a slot for each."""
_LARGE = "cnnviz-large"
INDEX, ATLAS, SCENES = "index", "atlas", "scenes.json"
"""Where index, atlas and scenes are kept below the explorer's path."""
VERSION = 1
PAGE_UNITS = 4
"""Units that Save page offers: each is shown in every open panel."""


class Explorer(widgets.VBox):
    """All panels on one selection: choose a photograph, click on a channel, and every panel follows.

    What is not built yet, an index of the images or the synthesized images of all layers, is built in its panel, with progress.
    A panel that nobody sees puts off drawing.

    Parameters
    ----------
    network
        A `Network`.
    images
        The collection: whatever counts as images. None: the photographs that `ImageSet.samples` finds.
    index, atlas
        What is built already.
    second
        Another network, or another checkpoint, to compare with; None: there is no panel to compare.
    path
        A folder for what the explorer builds; None: in memory.
    layout
        ``"side by side"``: two panels, below each other where the page is narrow; ``"one column"``; ``"projector"``: one panel in
        large type.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> explorer = Explorer(net, [np.zeros((8, 8), np.uint8)], layout="one column")
    >>> explorer.show_panel("Filters").layer
    0: Conv2d (4, 6, 6)
    >>> explorer.close()
    """

    children: tuple[Any, ...]
    _closed = True
    """Also before it is open: a widget that could not be made is closed when it is collected."""

    def __init__(
        self,
        network: Network,
        images: Any = None,
        *,
        index: ActivationIndex | None = None,
        atlas: Atlas | None = None,
        second: Network | None = None,
        path: str | Path | None = None,
        layout: str = "side by side",
        selection: Selection | None = None,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r}; expected one of {', '.join(map(repr, LAYOUTS))}")
        if images is None:
            images = ImageSet.samples() if index is None and selection is None else ()
        self._path = None if path is None else Path(path)
        self.second = second
        self._lock = threading.RLock()
        self.selection = Selection.of(network, images, selection, index)
        if atlas is not None:
            self.selection.atlas = atlas
        self.shelf = Shelf(self._makers())
        self.note = Note()
        self.strip = Strip(self.selection, self._failed, self._mended)
        self.slots = [Slot(self.shelf, self._failed, self._moved) for _ in range(2)]
        self.arrangement = widgets.ToggleButtons(options=list(LAYOUTS), value=None, style={"button_width": "auto"})
        self.name = widgets.Label(network.name)
        self.name.add_class("cnnviz-title")
        told = (
            "The open panels as one HTML file that works without Python and the internet: the chosen unit, and up to three "
            "others of its layer to choose among"
        )
        self.export = Export({"page": Product("Save page", told, self._offered_page)}, self._failed)
        heading = widgets.HBox([self.name, widgets.HBox([self.arrangement, self.export.box])])
        heading.add_class("cnnviz-heading")
        self.row = widgets.HBox([slot.box for slot in self.slots])
        self.row.add_class("cnnviz-explorer-row")
        super().__init__([heading, self.strip.box, self.row, self.note])
        self._closed = False
        for name in ("cnnviz-panel", "cnnviz-explorer"):
            self.add_class(name)
        self.arrangement.observe(self._arranged, "value")
        self.selection.observe(self._network_changed, "network")
        _free(self)
        _replace_of_same_cell(self)
        self.arrange(layout)
        self.scenes = Scenes(self, None if self._path is None else self._path / SCENES)
        self.children = (heading, self.scenes, *self.children[1:])

    def _makers(self) -> Mapping[str, Callable[[], Panel]]:
        def index_path() -> Path | None:
            return None if self._path is None else self._path / INDEX

        def atlas_path() -> Path | None:
            return None if self._path is None else self._path / ATLAS

        def made(kind: Any, **more: Callable[[], Any]) -> Callable[[], Panel]:
            return lambda: kind(
                self.selection.network, selection=self.selection, **{name: get() for name, get in more.items()}
            )

        found = {
            "Activations": made(panels.ActivationPanel),
            "Filters": made(panels.FilterPanel),
            "Maximization": made(panels.MaximizationPanel),
            "Top images": made(panels.TopImagesPanel, path=index_path),
            "Neighbours": made(panels.NeighborsPanel, path=index_path),
            "Embedding": made(panels.EmbeddingPanel, path=index_path),
            "All layers": made(panels.AtlasPanel, path=atlas_path),
            "Unit card": made(panels.UnitCard, path=index_path),
        }
        if self.second is not None:
            found["Compare"] = made(panels.ComparePanel, second=lambda: self.second)
        return found

    @property
    def network(self) -> Network:
        """The network that is explored."""
        return self.selection.network

    @property
    def panels(self) -> dict[str, Panel]:
        """The panels that are open, by name."""
        return self.shelf.opened()

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the panels that are seen, from left to right."""
        count = len(LAYOUTS[self.arrangement.value])
        return tuple(slot.name for slot in self.slots[:count])

    def show_panel(self, name: str, slot: int = 0) -> Panel:
        """Show a panel.

        Parameters
        ----------
        name
            Of the panel, as on its button.
        slot
            0, or 1 for the right one of two.

        Raises
        ------
        ValueError
            There is none of that name, or no such slot.
        """
        if not 0 <= slot < len(self.shown):
            raise ValueError(
                f"slot={slot}; the layout {self.arrangement.value!r} has {len(self.shown)}, counted from 0"
            )
        self.slots[slot].choose(name)
        return self.shelf[name]

    def arrange(self, layout: str) -> None:
        """Lay the panels out in another way.

        Raises
        ------
        ValueError
            There is no such layout.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r}; expected one of {', '.join(map(repr, LAYOUTS))}")
        self.arrangement.value = layout
        names = LAYOUTS[layout]
        for number, slot in enumerate(self.slots):
            slot.box.layout.display = "" if number < len(names) else "none"
            if number >= len(names):
                slot.choose("")
            elif not slot.name:
                taken = {other.name for other in self.slots}
                slot.choose(next(name for name in (names[number], *self.shelf.names) if name not in taken))
        if layout == "projector":
            self.add_class(_LARGE)
        else:
            self.remove_class(_LARGE)
        self._wake()

    def scene(self) -> dict[str, Any]:
        """What is selected and set in the panels that are seen: plain data, fit for JSON."""
        return {
            "cnnviz_explorer": VERSION,
            "layout": self.arrangement.value,
            "shown": list(self.shown),
            "panels": {name: scene_of(self.shelf[name]) for name in self.shown if name},
        }

    def show_scene(self, scene: Mapping[str, Any]) -> None:
        """Show a scene again.

        Raises
        ------
        SceneError
            It is none of an explorer, or what it tells does not fit; all is as it was then.
        """
        if not isinstance(scene, Mapping) or scene.get("cnnviz_explorer") != VERSION:
            raise SceneError(f"{str(scene)[:60]!r} is no scene of an explorer; expected what explorer.scene() gave")
        layout, shown, told = scene.get("layout"), scene.get("shown"), scene.get("panels")
        known = set(self.shelf.names)
        if not (
            isinstance(layout, str)
            and layout in LAYOUTS
            and isinstance(shown, list)
            and len(shown) == len(LAYOUTS[layout])
            and isinstance(told, Mapping)
            and {*shown, *told} <= known
        ):
            raise SceneError(f"no layout {layout!r} with the panels {shown!r}; there are {', '.join(self.shelf.names)}")
        restore_all({name: self.shelf[name] for name in told}, told)
        self.arrange(layout)
        for slot, name in zip(self.slots, shown, strict=False):
            slot.choose(name)

    def export_html(self, path: str | Path, units: Sequence[Unit] = ()) -> Path:
        """Write the open panels as they are now as one HTML file, which works without Python and the internet.

        Parameters
        ----------
        units
            The page offers these to choose among, for all panels at once; see `Panel.export_html`. None: the chosen one.

        Raises
        ------
        TypeError, ValueError
            Something else among the units; no file is written then.
        """
        text = self._page(units)
        Path(path).write_text(text, encoding="utf-8")
        return Path(path)

    def _page(self, units: Sequence[Unit]) -> str:
        opened = self.shelf.opened()
        shown = {name: opened[name] for name in sorted(opened, key=self.shelf.names.index)}
        return standalone.page(part_of_panels(shown, self.selection, units), title=f"Explorer · {self.network.name}")

    def _offered_page(self) -> File:
        units = units_beside(self.selection.unit, PAGE_UNITS)
        return File("explorer.html", self._page(units).encode(), "text/html")

    def _moved(self, slot: Slot, name: str, before: str) -> None:
        """A slot shows another panel: where the other one showed that, they change places; what nobody sees rests."""
        for other in self.slots:
            if other is not slot and name and other.name == name:
                other.choose(before if other.box.layout.display != "none" else "")
        self._wake()

    def _wake(self) -> None:
        seen = {slot.name for slot in self.slots if slot.box.layout.display != "none"}
        for name, panel in self.shelf.opened().items():
            _free(panel)
            if panel.asleep != (name not in seen):
                panel.asleep = name not in seen

    def _arranged(self, change: Any) -> None:
        if change["new"] and not self._closed:
            self.arrange(change["new"])

    def _network_changed(self, change: Any) -> None:
        self.name.value = change["new"].name

    def _failed(self, error: BaseException) -> None:
        if not self._closed:
            self.note.show(str(error) or type(error).__name__, kind="error")

    def _mended(self) -> None:
        if self.note.kind == "error":
            self.note.show("")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until what was asked for is drawn in every open panel; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        self.strip.wait(seconds)
        self.export.wait(seconds)
        for panel in self.shelf:
            panel.wait(seconds)

    def close(self) -> None:
        """End what runs in all panels and take them off the page; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.selection.unobserve(self._network_changed, "network")
        self.strip.close()
        self.export.close()
        self.scenes.close()
        self.shelf.close()
        own = [widget for widget in _own(self) if not isinstance(widget, Panel)]
        for widget in own[1:]:
            widget.close()
        super().close()
        close_looks(own)

    def code(self) -> str:
        """Python code that opens the explorer, and that of each panel that is seen."""
        where = "" if self._path is None else f", path={str(self._path)!r}"
        lines = [f"cnn.Explorer(net, images{where}, layout={self.arrangement.value!r})"]
        lines += [f"# {name}\n{self.shelf[name].whole_code()}" for name in self.shown if name]
        return "\n\n".join(lines)


def _own(widget: Any) -> list[Any]:
    found = [widget]
    for child in getattr(widget, "children", ()):
        if not isinstance(child, Panel):
            found += _own(child)
    return found


def _free(widget: Any) -> None:
    """What is typed and clicked does not wait for a busy cell, where the kernel can do that."""
    for one in _own(widget):
        free_route(one)

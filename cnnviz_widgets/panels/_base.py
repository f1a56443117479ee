"""``Panel``: what the panels have in common.

A panel does not compute; it asks the engine, on a worker thread, and hands the answer to views. Handlers of widget messages
run on whatever thread the kernel likes, so they only change the selection or put a request.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import ipykernel
import ipywidgets as widgets
from IPython import get_ipython

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.layers import shape_text
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.tiles import Tiles
from cnnviz_widgets.views import ImageGrid, LayerTree, Note
from cnnviz_widgets.views._base import free_route

from ._runner import Latest
from ._selection import Selection

TRAINING_EVERY = 1.0
"""Seconds between two looks at whether the weights have changed."""


class Panel(widgets.VBox):
    """Base of the panels: a title, a note for errors and remarks, the code that gives the same, and an end.

    A subclass builds its widgets in ``_build() -> list``, draws in ``_drawing() -> callable``, and tells its Python
    equivalent in `code`. ``_drawing`` is called on the caller's thread and reads the controls; what it returns runs on the
    panel's worker.
    """

    title: ClassVar[str] = ""
    _closed = True
    """Also before it is open: a widget that could not be made is closed when it is collected."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.note = Note()
        self.remark = Note()
        self._latest = Latest(self._failed)
        self._ended = threading.Event()
        self._guard = threading.local()
        self._code = Note(kind="code")
        self._show_code = widgets.ToggleButton(description="Show code", tooltip="The Python code that gives the same")
        self._show_code.observe(self._code_toggled, "value")
        body = self._build()
        heading = widgets.HBox([_heading(self.title), self._show_code])
        heading.add_class("cnnviz-heading")
        super().__init__([heading, *body, self.remark, self.note, self._code])
        self.add_class("cnnviz-panel")
        for widget in _descendants(self):
            free_route(widget)
        self._closed = False
        self._lasting = False
        selection.observe(self._selection_changed)
        _replace_of_same_cell(self)
        self._say("")
        self._stamp = selection.network.stamp()
        self.refresh()
        threading.Thread(
            target=_follow_training, args=(weakref.ref(self), self._ended), name="cnnviz-training", daemon=True
        ).start()

    def _build(self) -> list[widgets.Widget]:
        raise NotImplementedError

    def _drawing(self) -> Callable[[], None]:
        raise NotImplementedError

    def code(self) -> str:
        """Python code that gives what the panel shows."""
        raise NotImplementedError

    @property
    def network(self) -> Network:
        """The network the panel looks at."""
        return self.selection.network

    def refresh(self) -> None:
        """Draw again, as after a change of the weights; returns at once."""
        if self._closed:
            return
        try:
            drawing = self._drawing()
        except Exception as error:  # shown, and the panel lives on
            self._failed(error)
            return
        self._latest.request(lambda: self._drawn(drawing))
        self._tell_code()

    def _drawn(self, drawing: Callable[[], None]) -> None:
        with self._own_changes():
            drawing()
            self._mended()

    def _mended(self) -> None:
        """Take an error off that what was just done has put right."""
        if self.note.kind == "error" and not self._lasting:
            self.note.show("")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until what was asked for is drawn; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        self._latest.wait(seconds)

    def close(self) -> None:
        """End what runs and take the panel off the page; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._ended.set()
        self.selection.unobserve(self._selection_changed)
        self._latest.close()
        everything = list(_descendants(self))
        for widget in everything[1:]:
            widget.close()
        super().close()
        for widget in everything:
            for part in (widget.layout, getattr(widget, "style", None)):
                if isinstance(part, widgets.Widget):  # ipywidgets keeps these alive for ever
                    part.close()

    def _selection_changed(self, change: Any) -> None:
        if not self._closed:
            self._follow(change["name"])

    def _follow(self, name: str) -> None:
        """The selection's trait ``name`` changed."""
        self.refresh()

    @contextlib.contextmanager
    def _own_changes(self) -> Iterator[None]:
        """Marks this thread's changes of traits as the panel's own, not the user's; see `_user`."""
        before = getattr(self._guard, "own", False)
        self._guard.own = True
        try:
            yield
        finally:
            self._guard.own = before

    def _user(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        """A handler that stays quiet while the panel itself sets traits, and shows what goes wrong."""

        def handled(change: Any) -> None:
            if getattr(self._guard, "own", False) or self._closed:
                return
            try:
                handler(change)
            except Exception as error:  # shown, and the panel lives on
                self._failed(error)

        return handled

    def _say(self, text: str) -> None:
        """Set the remark; what the kernel can't do is said before it."""
        self.remark.text = " ".join(part for part in (_kernel_remark(), text) if part)

    def _failed(self, error: BaseException, *, lasting: bool = False) -> None:
        """Show an error until the next drawing that succeeds, or, ``lasting``, until another text takes its place."""
        if not self._closed:
            self._lasting = lasting
            self.note.show(str(error) or type(error).__name__, kind="error")

    def _code_toggled(self, change: Any) -> None:
        self._show_code.description = "Hide code" if change["new"] else "Show code"
        self._tell_code()

    def _tell_code(self) -> None:
        self._code.text = self.code() if self._show_code.value else ""


def _kernel_remark() -> str:
    if int(ipykernel.__version__.split(".")[0]) >= 7:
        return ""
    return (
        f"With ipykernel {ipykernel.__version__}, buttons and sliders wait for a running cell to end; "
        "ipykernel 7.1 and later do not."
    )


def _heading(title: str) -> widgets.Widget:
    heading = widgets.Label(title)
    heading.add_class("cnnviz-title")
    return heading


def _descendants(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _descendants(child)


_panels_of_cells: dict[str, tuple[str, weakref.WeakSet[Panel]]] = {}


def _replace_of_same_cell(panel: Panel) -> None:
    """A cell that is run again replaces the panels that it made before, and what runs in them ends."""
    shell = get_ipython()
    parent = shell.get_parent() if shell is not None and hasattr(shell, "get_parent") else {}
    cell = (parent.get("metadata") or {}).get("cellId")
    execution = (parent.get("header") or {}).get("msg_id", "")
    if not cell:
        return
    former, panels = _panels_of_cells.get(cell, ("", weakref.WeakSet()))
    if former != execution:
        for old in list(panels):
            old.close()
        panels = weakref.WeakSet()
    panels.add(panel)
    _panels_of_cells[cell] = (execution, panels)


def _follow_training(reference: weakref.ref[Panel], ended: threading.Event) -> None:
    """Draw again when the weights have changed, until the panel is gone."""
    while not ended.wait(TRAINING_EVERY):
        panel = reference()
        if panel is None or panel._closed:
            return
        with contextlib.suppress(RuntimeError):  # the module's parts are just being exchanged: next time
            stamp = panel.network.stamp()
            if stamp != panel._stamp:
                panel._stamp = stamp
                panel.refresh()
        del panel


def beside(left: list[widgets.Widget], *columns: list[widgets.Widget]) -> widgets.Widget:
    """A narrow column for choosing, and wider ones that share the rest; one below the other where the page is narrow."""
    side = widgets.VBox(left)
    side.add_class("cnnviz-side")
    mains = [widgets.VBox(column) for column in columns]
    for main in mains:
        main.add_class("cnnviz-main")
    row = widgets.HBox([side, *mains])
    row.add_class("cnnviz-row")
    return row


def show_tiles(grid: ImageGrid, tiles: Tiles, **told: Any) -> None:
    """Hand the engine's tiles to the view."""
    table = None if tiles.pixels.ndim == 4 else colormaps.table(tiles.colormap or "gray")
    grid.show(tiles.pixels, tiles.ranges, colormap=table, labels=list(tiles.names), **told)


def layer_tree(network: Network, selected: str = "", *, main_only: bool = True, max_height: int = 420) -> LayerTree:
    """The view that lists a network's layers, the main ones emphasised."""
    tree = LayerTree(main_only=main_only, max_height=max_height)
    fill_tree(tree, network, selected)
    return tree


def fill_tree(tree: LayerTree, network: Network, selected: str) -> None:
    """List another network's layers."""
    main = {layer.name for layer in network.main_layers}
    tree.show(
        [
            {"name": layer.name, "kind": layer.kind, "shape": shape_text(layer), "main": layer.name in main}
            for layer in network.layers.values()
        ],
        selected=selected,
    )

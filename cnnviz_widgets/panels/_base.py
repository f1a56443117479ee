"""``Panel``: what the panels have in common.

A panel does not compute; it asks the engine, on a worker thread, and hands the answer to views. Handlers of widget messages
run on whatever thread the kernel likes, so they only change the selection or put a request.
"""

from __future__ import annotations

import contextlib
import io
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import ipykernel
import ipywidgets as widgets
from IPython import get_ipython

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.layers import Unit, shape_text
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.tiles import Tiles
from cnnviz_widgets.views import ImageGrid, LayerTree, Note, standalone
from cnnviz_widgets.views._base import free_route
from cnnviz_widgets.views.standalone import Part

from ._card import Card
from ._export import Export, File, Product
from ._page import part_of, units_beside
from ._runner import Latest
from ._selection import PrivateSelection, Selection

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

DPI = 200
PAGE_UNITS = 8
"""Units that Save page offers: in most panels they take some seconds together."""
TRAINING_EVERY = 1.0
"""Seconds between two looks at whether the weights have changed."""


class Panel(widgets.VBox):
    """Base of the panels: a title, a note for errors and remarks, the code that gives the same, and an end.

    A subclass builds its widgets in ``_build() -> list``, draws in ``_drawing() -> callable``, tells its Python equivalent in
    `code`, and gives its picture in `figure`. ``_drawing`` is called on the caller's thread and reads the controls; what it
    returns runs on the panel's worker.
    """

    children: tuple[Any, ...]
    title: ClassVar[str] = ""
    offers_card: ClassVar[bool] = True
    """Whether the heading opens the card of the chosen unit; not where the panel is one, or stands beside one."""
    page_holds: ClassVar[str] = "the chosen unit, and up to seven others of its layer to choose among"
    """What the button Save page takes, for its tooltip."""
    _closed = True
    """Also before it is open: a widget that could not be made is closed when it is collected."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.note = Note()
        self.remark = Note()
        self._latest = Latest(self._show_error)
        self._errors = 0
        self._ended = threading.Event()
        self._guard = threading.local()
        self._code = Note(kind="code")
        self._show_code = widgets.ToggleButton(description="Show code", tooltip="The Python code that gives the same")
        self._show_code.observe(self._code_toggled, "value")
        self._card: Card | None = None
        self._asleep, self._stale = isinstance(selection, PrivateSelection), False
        body = self._build()
        self.export = Export(self._products(), self._failed)
        offered = [self.export.box, *self._card_buttons(), self._show_code]
        heading = widgets.HBox([_heading(self.title), widgets.HBox(offered)])
        heading.add_class("cnnviz-heading")
        super().__init__([heading, *body, self.remark, self.note, self._code])
        self.add_class("cnnviz-panel")
        for widget in _descendants(self):
            free_route(widget)
        self._closed = False
        self._lasting = False
        selection.observe(self._selection_changed)
        if not isinstance(selection, PrivateSelection):
            _replace_of_same_cell(self)
        self._say("")
        self._follow_training(lambda panel: panel.network)
        self.refresh()

    def _build(self) -> list[widgets.Widget]:
        raise NotImplementedError

    def _drawing(self) -> Callable[[], None]:
        raise NotImplementedError

    def code(self) -> str:
        """Python code that gives what the panel shows."""
        raise NotImplementedError

    def figure_code(self) -> str:
        """Python code that gives `figure`, of what `code` gives; empty where there is none."""
        return ""

    def figure(self) -> Figure:
        """What the panel shows as a Matplotlib figure; see `cnn.figures`.

        Raises
        ------
        ValueError
            There is nothing to show yet.
        """
        raise NotImplementedError

    def save_figure(self, path: str | Path, dpi: float = DPI) -> Path:
        """Write `figure` to a file; its ending says the format: ``.png``, ``.pdf`` or ``.svg``.

        Parameters
        ----------
        dpi
            Pixels an inch, of a PNG.
        """
        self.figure().savefig(path, dpi=dpi)
        return Path(path)

    def export_html(self, path: str | Path, units: Sequence[Unit] = ()) -> Path:
        """Write the panel as it is now as one HTML file, which works without Python and the internet.

        Parameters
        ----------
        units
            The page offers these to choose among. Those that are not chosen are shown by another panel that is set in the same
            way, so nothing moves; each takes as long as it takes in the panel. None: the panel as it is.

        Raises
        ------
        TypeError, ValueError
            Something else among the units, or one that can't be shown; no file is written then.
        """
        text = self._page(units)
        Path(path).write_text(text, encoding="utf-8")
        return Path(path)

    def _page(self, units: Sequence[Unit] = ()) -> str:
        return standalone.page(self._page_part(units), title=f"{self.title} · {self.network.name}")

    def _page_part(self, units: Sequence[Unit]) -> Part:
        """What the page shows."""
        return part_of(self, units)

    def _page_units(self) -> list[Unit]:
        """The units that Save page offers; none where what is shown does not depend on one, or takes minutes to be made."""
        return units_beside(self.selection.unit, PAGE_UNITS)

    def _alike(self, selection: Selection) -> Panel:
        """A panel of this kind on another selection, to be set as this one is."""
        make: Callable[..., Panel] = type(self)
        return make(selection.network, selection=selection)

    def _products(self) -> dict[str, Product]:
        """What the buttons in the heading give to be saved."""
        name = self.title.lower().replace(" ", "-")
        found = {}
        if type(self).figure is not Panel.figure:
            told = "The picture for a paper or slides, as PNG; panel.save_figure('name.pdf') writes PDF"
            found["figure"] = Product("Save figure", told, lambda: File(f"{name}.png", self._png(), "image/png"))
        told = f"One HTML file that works without Python and the internet: {self.page_holds}"
        found["page"] = Product("Save page", told, lambda: File(f"{name}.html", self._offered_page(), "text/html"))
        return found

    def _offered_page(self) -> bytes:
        return self._page(self._page_units()).encode()

    def _png(self) -> bytes:
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=DPI)
        return file.getvalue()

    def scene(self) -> dict[str, Any]:
        """What is selected and set, as plain data fit for JSON, for `show_scene`.

        An image of one's own, as an upload is, is not in it; ``"left_out"`` says so then.
        """
        from ._scene import scene_of  # it knows parts that are built upon this module

        return scene_of(self)

    def show_scene(self, scene: dict[str, Any]) -> None:
        """Select and set what `scene` told; returns at once, the picture follows.

        Raises
        ------
        ValueError
            A layer, unit, image, control or value does not fit this panel; it is as it was then.
        """
        from ._scene import restore

        restore(self, scene)

    @property
    def asleep(self) -> bool:
        """Whether the panel puts off drawing, as while nobody sees it; one on a `PrivateSelection` begins so."""
        return self._asleep

    @asleep.setter
    def asleep(self, value: bool) -> None:
        self._asleep = value
        if not value and self._stale:
            self.refresh()

    @property
    def network(self) -> Network:
        """The network the panel looks at."""
        return self.selection.network

    def _follow_training(self, network_of: Callable[[Any], Network]) -> None:
        """Draw again when the weights of a network have changed; the function must not hold the panel, which it is given."""
        arguments = weakref.ref(self), self._ended, network_of, network_of(self).stamp()
        threading.Thread(target=follow_training, args=arguments, name="cnnviz-training", daemon=True).start()

    def refresh(self) -> None:
        """Draw again, as after a change of the weights; returns at once."""
        if self._closed:
            return
        self._stale = self._asleep
        if not self._asleep:
            self._draw_anew()

    def catch_up(self) -> None:
        """Draw what was put off, and sleep on; returns at once."""
        if self._stale and not self._closed:
            self._stale = False
            self._draw_anew()

    def _draw_anew(self) -> None:
        ticket, errors = self._latest.ticket(), self._errors
        try:
            drawing = self._drawing()
        except Exception as error:  # shown, and the panel lives on
            self._failed(error)
            return
        self._latest.request(lambda: self._drawn(drawing, errors), ticket)
        self._tell_code()
        if self._card is not None:
            self._card.refresh()

    def _drawn(self, drawing: Callable[[], None], errors: int | None = None) -> None:
        """Draw, and take an error off, but for one that came after so many ``errors``: that is about another thing."""
        with self._own_changes():
            drawing()
            if errors is None or errors == self._errors:
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
        self.export.wait(seconds)
        if self._card is not None and self._card.shown:
            self._card.wait(seconds)

    def close(self) -> None:
        """End what runs and take the panel off the page; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._ended.set()
        self.selection.unobserve(self._selection_changed)
        self._latest.close()
        self.export.close()
        if self._card is not None:
            self._card.close()
        everything = list(_descendants(self))
        for widget in everything[1:]:
            widget.close()
        super().close()
        close_looks(everything)

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
        self._errors += 1
        self._show_error(error, lasting)

    def _show_error(self, error: BaseException, lasting: bool = False) -> None:
        """Show an error; one of a drawing is taken off by any that succeeds, also by one that was asked for before."""
        if not self._closed:
            self._lasting = lasting
            self.note.show(str(error) or type(error).__name__, kind="error")

    def _card_buttons(self) -> list[widgets.Widget]:
        if not self.offers_card:
            return []
        self._show_card = widgets.ToggleButton(description="Unit card", tooltip="All that is known of the chosen unit")
        self._show_card.observe(self._card_toggled, "value")
        return [self._show_card]

    def _card_toggled(self, change: Any) -> None:
        if self._closed:
            return
        try:
            if self._card is None:  # some forty widgets, which most panels need not have
                self._card = Card(self.selection, getattr(self, "_path", None))
                self.children = (*self.children, self._card.box)
            self._card.show(change["new"])
        except Exception as error:  # shown, and the panel lives on
            self._failed(error)

    def _code_toggled(self, change: Any) -> None:
        self._show_code.description = "Hide code" if change["new"] else "Show code"
        self._tell_code()

    def _tell_code(self) -> None:
        self._code.text = self.whole_code() if self._show_code.value else ""

    def whole_code(self) -> str:
        """`code` and `figure_code`, as Show code tells them."""
        figure = self.figure_code()
        told = f"# as a figure; figure.savefig('name.pdf') keeps it\nfigure = {figure}" if figure else ""
        return "\n\n".join(filter(None, [self.code(), told]))


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


def close_looks(closed: list[widgets.Widget]) -> None:
    """Close the layouts and styles of widgets: ipywidgets keeps these alive for ever."""
    for widget in closed:
        for part in (widget.layout, getattr(widget, "style", None)):
            if isinstance(part, widgets.Widget):
                part.close()


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


def follow_training(
    reference: weakref.ref[Any], ended: threading.Event, network_of: Callable[[Any], Network], shown: int
) -> None:
    """Draw a panel again when the weights of a network of its have changed from those of a stamp, until the panel is gone.

    A module that can't be copied is run itself, which must not happen in the midst of a step of training: it is looked at once
    its weights have rested for a moment.
    """
    before = shown
    while not ended.wait(TRAINING_EVERY):
        panel = reference()
        if panel is None or panel._closed:
            return
        with contextlib.suppress(Exception):  # the module's parts are just being exchanged: next time
            stamp = network_of(panel).stamp()
            if stamp != shown and (stamp == before or network_of(panel).copies):
                shown = stamp
                panel.refresh()
            before = stamp
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

"""``Slot``: a place that shows one panel of several, chosen by name; a panel opens when it is first chosen.

::

    Shelf(makers)[name] -> the panel, made when it is first asked for
    Slot(shelf).choose(name) -> the panel is shown there; those that no slot shows put off drawing
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.panels import Panel

Makes = Callable[[], Panel]


class Shelf:
    """Panels by name, each made when it is first asked for.

    Parameters
    ----------
    makers
        What makes each panel.
    """

    def __init__(self, makers: Mapping[str, Makes]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Panel] = {}
        self._lock = threading.RLock()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, open or not."""
        return tuple(self._makers)

    def __getitem__(self, name: str) -> Panel:
        with self._lock:
            if name not in self._makers:
                raise ValueError(f"there is no panel {name!r}; there are {', '.join(self._makers)}")
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]

    def opened(self) -> dict[str, Panel]:
        """Those that are open."""
        with self._lock:
            return dict(self._made)

    def __iter__(self) -> Iterator[Panel]:
        return iter(self.opened().values())

    def close(self) -> None:
        """Close all that are open."""
        for panel in self:
            panel.close()


class Slot:
    """Buttons with the panels' names, and the chosen panel below them.

    Parameters
    ----------
    shelf
        The panels, shared with other slots.
    failed
        Gets what goes wrong where a panel is opened.
    changed
        Called with the name of the panel that is shown now, and that of the one before; on whatever thread.
    """

    def __init__(
        self, shelf: Shelf, failed: Callable[[BaseException], None], changed: Callable[[Slot, str, str], None]
    ) -> None:
        self._shelf, self._failed, self._changed = shelf, failed, changed
        self.name = ""
        self.tabs = widgets.ToggleButtons(options=list(shelf.names), value=None, style={"button_width": "auto"})
        self.tabs.add_class("cnnviz-tabs")
        self.place = widgets.VBox()
        self.box = widgets.VBox([self.tabs, self.place])
        self.box.add_class("cnnviz-explorer-slot")
        self.tabs.observe(self._chosen, "value")

    def choose(self, name: str) -> None:
        """Show a panel; empty for none.

        Raises
        ------
        ValueError
            There is none of that name.
        """
        if name == self.name:
            return
        panel = self._shelf[name] if name else None
        before, self.name = self.name, name
        if self.tabs.value != (name or None):
            self.tabs.value = name or None
        self.place.children = () if panel is None else (panel,)
        self._changed(self, name, before)

    def _chosen(self, change: Any) -> None:
        if change["new"] and change["new"] != self.name:
            try:
                self.choose(change["new"])
            except Exception as error:  # shown, and the explorer lives on
                self.tabs.value = self.name or None
                self._failed(error)

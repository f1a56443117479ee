"""``Export(makers, failed)``: buttons that make a file on a thread of their own and hand it to the browser to save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ipywidgets as widgets

from cnnviz_widgets.views import Download

from ._runner import Latest


@dataclass(frozen=True, eq=False)
class File:
    """A file to be saved: its name, its content and its type, such as ``"image/png"``."""

    name: str
    data: bytes
    mime: str


@dataclass(frozen=True)
class Product:
    """What a button says, what it says of it, and what makes the file."""

    name: str
    tooltip: str
    make: Callable[[], File]


class Export:
    """A row of buttons; while a file is being made its button says so.

    Parameters
    ----------
    failed
        Gets what goes wrong.

    Attributes
    ----------
    saved
        Name -> the file that was made last, for scripts and tests.
    """

    def __init__(self, products: Mapping[str, Product], failed: Callable[[BaseException], None]) -> None:
        self._workers = {key: Latest(failed) for key in products}
        self.saved: dict[str, File] = {}
        self.download = Download()
        self.buttons = {key: self._button(key, product) for key, product in products.items()}
        self.box = widgets.HBox([*self.buttons.values(), self.download])
        self.box.add_class("cnnviz-wrap")

    def _button(self, key: str, product: Product) -> widgets.Button:
        button = widgets.Button(description=product.name, tooltip=product.tooltip, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self._workers[key].request(lambda: self._make(key, product)))
        return button

    def _make(self, key: str, product: Product) -> None:
        button = self.buttons[key]
        button.disabled, button.description = True, "Making it …"
        try:
            file = product.make()
            self.saved[key] = file
            self.download.offer(file.name, file.data, file.mime)
        finally:
            button.disabled, button.description = False, product.name

    def wait(self, seconds: float) -> None:
        """Wait until what was asked for is made."""
        for worker in self._workers.values():
            worker.wait(seconds)

    def close(self) -> None:
        """Make no more."""
        for worker in self._workers.values():
            worker.close()

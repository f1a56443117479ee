"""``Photograph(selection, ...)``: the image that a panel looks at, chosen from the collection or opened from a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ._selection import Selection
from ._unit_controls import Guarded
from ._uploading import Uploading


class Photograph:
    """A menu of the selection's images, with a field to drop another one on.

    Parameters
    ----------
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    failed
        Gets what goes wrong.
    """

    def __init__(self, selection: Selection, user: Guarded, failed: Callable[[BaseException], None]) -> None:
        self._selection = selection
        self.menu = widgets.Dropdown(
            description="Image", style={"description_width": "initial"}, layout=widgets.Layout(width="auto")
        )
        self._uploading = Uploading(selection, failed)
        self.upload = self._uploading.view
        self.fill()
        self.menu.observe(user(self._chosen), "value")
        self.box = widgets.HBox([self.menu, self.upload])
        self.box.add_class("cnnviz-wrap")

    def fill(self) -> None:
        """List the images, the chosen one on top; the panel marks this as its own change."""
        images, chosen = self._selection.images, self._selection.image
        options = [(str(label), name) for name, label in zip(images.ids, images.labels, strict=True)]
        listed = chosen in images
        if not listed:
            options.append(("none: open one" if chosen is None else _file_of(chosen) or "your image", ""))
        self.menu.options = options
        self.menu.value = chosen if listed else ""

    def opening(self) -> tuple[Any, Callable[[], Any]] | None:
        """What tells the chosen image from others, and what opens it, which may take a while; None without an image."""
        images, chosen = self._selection.images, self._selection.image
        if chosen is None:
            return None
        if chosen in images:
            return (id(images), chosen), lambda: images[chosen]
        return (id(chosen),), lambda: chosen

    def code(self) -> str:
        """The image in Python."""
        images, chosen = self._selection.images, self._selection.image
        if chosen in images:
            return f"images[{images.number(chosen)}]"
        return repr(name) if (name := _file_of(chosen)) else "image"

    def remark(self) -> str:
        """The line that goes before code that names a file of which the path is not known; empty where none does."""
        chosen = self._selection.image
        if chosen is None or chosen in self._selection.images or os.path.exists(_file_of(chosen)):  # noqa: PTH110 - an upload's name is no path
            return ""
        return "# the image as it was opened in the panel: put its path here"

    def _chosen(self, change: Any) -> None:
        if change["new"]:
            self._selection.image = change["new"]

    def wait(self, seconds: float) -> None:
        """Wait until what was uploaded is opened."""
        self._uploading.wait(seconds)

    def close(self) -> None:
        """Open no more."""
        self._uploading.close()


def _file_of(chosen: Any) -> str:
    """The file that an image of its own comes from, where it is known."""
    name = chosen if isinstance(chosen, str | os.PathLike) else getattr(chosen, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else ""

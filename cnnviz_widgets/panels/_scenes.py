"""``Scenes(owner)``: a lecture's scenes: kept under names, shown one after the other, and saved as one JSON file.

Whatever has ``scene() -> data`` and ``show_scene(data)`` can own them: a panel, or several together.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ipywidgets as widgets

from cnnviz_widgets.views import Download, ImageUpload, Note, Presenter
from cnnviz_widgets.views._base import free_route

VERSION = 1
LONGEST = 64 * 2**20
"""Bytes of a file of scenes that are read; a photograph that a recipe starts from takes a few."""
MOST = 500


class Owner(Protocol):
    """What has scenes."""

    def scene(self) -> dict[str, Any]:
        """What is selected and set, as plain data."""

    def show_scene(self, scene: dict[str, Any], /) -> None:
        """Show it again; ``ValueError`` where it does not fit."""


class Scenes(widgets.VBox):
    """A bar that leads through scenes, and below it what makes them.

    The first state, to which Reset goes back, is that of the moment when this is made.

    Parameters
    ----------
    owner
        A panel, or whatever else has ``scene()`` and ``show_scene(data)``.
    path
        A JSON file. The scenes in it are there at once, and every change is written to it. None: they last as long as this.

    Raises
    ------
    TypeError
        The owner has no scenes.
    ValueError
        The file at ``path`` holds no scenes.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import FilterPanel, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> panel = FilterPanel(net)
    >>> scenes = Scenes(panel)
    >>> scenes.keep("all filters")
    >>> panel.only.value = True
    >>> scenes.keep("one filter")
    >>> scenes.go("all filters")
    >>> panel.only.value, scenes.names
    (False, ['all filters', 'one filter'])
    >>> scenes.close()
    >>> panel.close()
    """

    def __init__(self, owner: Owner, path: str | Path | None = None) -> None:
        if not (callable(getattr(owner, "scene", None)) and callable(getattr(owner, "show_scene", None))):
            raise TypeError(
                f"{type(owner).__name__} was given; expected a panel, or what else has scene() and show_scene(data)"
            )
        self._owner = owner
        self.path = None if path is None else Path(path)
        self._lock = threading.RLock()
        self._kept: dict[str, dict[str, Any]] = {}
        self._at = -1
        self._telling = False
        self._first = owner.scene()
        if self.path is not None and self.path.exists():
            self._kept = _read(self.path.read_bytes()[: LONGEST + 1], str(self.path))
        self.presenter, self.note = Presenter(), Note()
        self.name = widgets.Text(placeholder="name of the scene", layout=widgets.Layout(width="220px"))
        self.save = _button(
            "Save scene", "Keep what is selected and set under this name; one of the same name is replaced"
        )
        self.remove = _button("Remove", "Forget the scene that is chosen in the list")
        self.earlier, self.later = _button("Move up", "One place up"), _button("Move down", "One place down")
        self.list = widgets.Select(options=[], rows=5, layout=widgets.Layout(width="auto"))
        self.download = Download()
        self.file = _button("Save file", "All scenes as one JSON file")
        self.upload = ImageUpload(label="Open file…", accept=".json,application/json", whole=True, limit=9_000_000)
        self._observe()
        making = _row([self.name, self.save])
        ordering = _row([self.earlier, self.later, self.remove, self.file, self.upload, self.download])
        self.making = widgets.Accordion([widgets.VBox([making, self.list, ordering])], titles=("Scenes",))
        super().__init__([self.presenter, self.making, self.note])
        self.add_class("cnnviz-scenes")
        for widget in _within(self):
            free_route(widget)
        self._tell()

    def _observe(self) -> None:
        self.presenter.on_go(lambda to: self._trying(lambda: self._went(to)))
        self.save.on_click(lambda _: self._trying(lambda: self.keep(self.name.value)))
        self.remove.on_click(lambda _: self._trying(lambda: self.forget(self._chosen())))
        self.earlier.on_click(lambda _: self._trying(lambda: self.move(self._chosen(), -1)))
        self.later.on_click(lambda _: self._trying(lambda: self.move(self._chosen(), 1)))
        self.list.observe(lambda change: self._trying(self._picked), "value")
        self.file.on_click(lambda _: self._trying(self._offer))
        self.upload.on_upload(lambda name, data, scaled: self._trying(lambda: self.load(data, name)))

    # what a script may do, too

    @property
    def names(self) -> list[str]:
        """The names of the scenes, in their order."""
        return list(self._kept)

    @property
    def at(self) -> int:
        """The number of the scene that was shown last, -1 before the first one and after `reset`."""
        return self._at

    def keep(self, name: str) -> None:
        """Keep what is selected and set, as the last scene, or in the place of the one of that name.

        Raises
        ------
        ValueError
            An empty name, or more scenes than there can be.
        """
        name = name.strip()
        if not name:
            raise ValueError("the scene needs a name: type one beside the button")
        if name not in self._kept and len(self._kept) >= MOST:
            raise ValueError(f"there are {MOST} scenes already; remove some")
        scene = self._owner.scene()
        with self._lock:
            self._kept[name] = scene
            self._at = self.names.index(name)
            self.name.value = ""
            self._changed()
        self.note.show(" ".join(_left_out(scene)))

    def forget(self, name: str) -> None:
        """Remove a scene; ``ValueError`` where there is none of that name."""
        with self._lock:
            number = self._number(name)
            del self._kept[name]
            if self._at >= number:
                self._at = -1 if self._at == number else self._at - 1
            self._changed()

    def move(self, name: str, by: int) -> None:
        """Move a scene so many places down, or up where it is negative."""
        with self._lock:
            number, names = self._number(name), self.names
            shown = names[self._at] if self._at >= 0 else None
            names.insert(min(max(number + by, 0), len(names) - 1), names.pop(number))
            self._kept = {one: self._kept[one] for one in names}
            self._at = -1 if shown is None else names.index(shown)
            self._changed(name)

    def go(self, to: str | int) -> None:
        """Show a scene.

        Parameters
        ----------
        to
            Its name or its number.

        Raises
        ------
        ValueError
            There is none of that name or number, or it does not fit; what was shown is shown still.
        """
        with self._lock:
            number = self._number(to) if isinstance(to, str) else to
            if not 0 <= number < len(self._kept):
                raise ValueError(f"no scene number {number}; there are {len(self._kept)}")
            name = self.names[number]
            try:
                self._owner.show_scene(self._kept[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            self._at = number
            self._tell()
        self.note.show("")

    def next(self) -> None:
        """Show the scene after this one; at the last one nothing happens."""
        with self._lock:
            if self._at + 1 < len(self._kept):
                self.go(self._at + 1)

    def previous(self) -> None:
        """Show the scene before this one; at the first one nothing happens."""
        with self._lock:
            if self._at > 0:
                self.go(self._at - 1)

    def reset(self) -> None:
        """Show again what was selected and set when this was made."""
        with self._lock:
            self._owner.show_scene(self._first)
            self._at = -1
            self._tell()
        self.note.show("")

    def to_json(self) -> str:
        """All scenes as the text of a file, for `load`."""
        rows = [{"name": name, "scene": scene} for name, scene in self._kept.items()]
        return json.dumps({"cnnviz_scenes": VERSION, "scenes": rows}, indent=1, ensure_ascii=False, allow_nan=False)

    def load(self, data: bytes | str, name: str = "the file") -> None:
        """Take the scenes of a file in the place of those that are here; none of them is shown yet.

        Raises
        ------
        ValueError
            It holds no scenes; those that are here stay.
        """
        read = _read(data, name)
        with self._lock:
            self._kept, self._at = read, -1
            self._changed()
        self.note.show("")
        self.upload.status = f"{name}: {len(read)} scenes"

    def close(self) -> None:
        """Take it off the page; the owner stays as it is."""
        everything = list(_within(self))
        for widget in everything[1:]:
            widget.close()
        super().close()
        for widget in everything:
            for part in (widget.layout, getattr(widget, "style", None)):
                if isinstance(part, widgets.Widget):  # ipywidgets keeps these alive for ever
                    part.close()

    # what the user does

    def _went(self, to: str) -> None:
        with self._lock:
            if to == "first" and self._kept:
                self.go(0)
            elif to != "first":
                {"next": self.next, "previous": self.previous, "reset": self.reset}[to]()

    def _picked(self) -> None:
        with self._lock:
            if not self._telling and self.list.index is not None and self.list.index != self._at:
                self.go(self.list.index)

    def _chosen(self) -> str:
        if self.list.index is None:
            raise ValueError("choose a scene in the list first")
        return self.names[self.list.index]

    def _offer(self) -> None:
        if not self._kept:
            raise ValueError("there are no scenes to save yet; Save scene keeps one")
        self.download.offer("scenes.json", self.to_json().encode(), "application/json")

    def _trying(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # shown, and the scenes live on
            self.note.show(str(error) or type(error).__name__, kind="error")

    def _number(self, name: str) -> int:
        if name not in self._kept:
            raise ValueError(f"no scene {name!r}; there are {', '.join(map(repr, self._kept)) or 'none yet'}")
        return self.names.index(name)

    def _changed(self, chosen: str = "") -> None:
        """Tell it, and write it to the file."""
        self._tell(chosen)
        if self.path is not None:
            _write(self.path, self.to_json())

    def _tell(self, chosen: str = "") -> None:
        """Show where one is; the list is set without being heard as the user's choice."""
        names = self.names
        self.presenter.show(names, self._at)
        shown = names.index(chosen) if chosen else self._at
        self._telling = True
        try:
            if list(self.list.options) != names:
                self.list.options = names
            self.list.index = shown if shown >= 0 else None
        finally:
            self._telling = False


def _read(data: bytes | str, name: str) -> dict[str, dict[str, Any]]:
    """The scenes of a file by their names; nothing in it is evaluated."""
    if len(data) > LONGEST:
        raise ValueError(f"{name} has more than {LONGEST // 2**20} MiB; expected a file that Save file wrote")
    try:
        read = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}") from error
    rows = read.get("scenes") if isinstance(read, dict) else None
    if not isinstance(rows, list) or "cnnviz_scenes" not in read:
        raise ValueError(f"{name} holds no scenes; expected a file that Save file wrote")
    if read["cnnviz_scenes"] != VERSION:
        raise ValueError(f"{name} has the format {read['cnnviz_scenes']!r}; this version reads {VERSION}")
    if len(rows) > MOST:
        raise ValueError(f"{name} has {len(rows)} scenes; expected at most {MOST}")
    kept: dict[str, dict[str, Any]] = {}
    for row in rows:
        told = row.get("name") if isinstance(row, dict) else None
        if not isinstance(told, str) or not told.strip() or not isinstance(row.get("scene"), dict):
            raise ValueError(f"{name} holds {str(row)[:60]!r}; expected a scene with its name")
        if told in kept:
            raise ValueError(f"{name} holds two scenes {told!r}")
        kept[told] = row["scene"]
    return kept


def _write(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _left_out(scene: Any) -> list[str]:
    """What scenes say that they do not keep; those of several panels lie in each other."""
    if not isinstance(scene, dict):
        return []
    own = [str(told) for told in scene.get("left_out", [])]
    inner = [told for value in scene.values() for told in _left_out(value)]
    return list(dict.fromkeys([*own, *inner]))


def _within(widget: widgets.Widget) -> list[widgets.Widget]:
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in _within(child))]


def _button(text: str, tip: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))


def _row(children: list[widgets.Widget]) -> widgets.Widget:
    row = widgets.HBox(children)
    row.add_class("cnnviz-wrap")
    return row

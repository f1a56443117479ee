"""What every view shares: its joined sources, one message for many traits, and its message route.

::

    joined(*file names) -> the text of these files, one after the other
    free_route(widget)  -> nothing; messages to this widget's Python side no longer wait for a busy cell
    View.assign(**traits) -> nothing; sets them all, sends one message
    View.recording()    -> what a page without Python needs to show it as it is

A browser loads one module per widget and a module loaded from text cannot import its neighbours, so what the
views share is written once in ``_shared.js`` and joined in front of each view's own text.
"""

import threading
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from cnnviz_widgets.views._recording import Recording

_FOLDER = Path(__file__).parent
_INHERITED = {*ipywidgets.DOMWidget.class_traits(sync=True), "_anywidget_id", "_esm", "_css"}
ROOM = 32_000_000
"""Bytes of pictures in the recording of one view, by default; in a file base64 adds a third."""


def joined(*names: str) -> str:
    """Text of source files of this folder, in the given order.

    Parameters
    ----------
    names : str
        File names such as ``"_shared.js"``; top-level names in them must differ, as they end up in one module.

    Raises
    ------
    FileNotFoundError
        If a file is missing from the installed package.
    """
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def free_route(widget: Any) -> None:
    """Let a widget's messages reach Python also while a cell runs, on kernels that support it.

    ipykernel 7.4 hands a widget's incoming messages to the thread that last sent on it, which for a new widget is
    the main one, busy for as long as a cell runs. Older kernels lack the attribute and are left as they are.
    Only a widget whose handlers are safe on any thread may have its route freed.
    """
    comm = getattr(widget, "comm", None)
    if comm is not None and hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


class View(anywidget.AnyWidget):
    """Base of the views: state in synced traits, so that a page reload shows the same again.

    A worker thread may call every public method. Changes made through `assign` and messages sent through
    `send` are ordered by one lock.
    """

    def __init__(self, **traits: Any) -> None:
        self._lock = threading.RLock()
        self._batch = threading.local()
        super().__init__(**traits)
        free_route(self)

    def assign(self, **traits: Any) -> None:
        """Set several traits and tell the browser in one message, so that it never sees half of a change.

        ``hold_sync`` does the same for one thread only: its flag is shared, so a worker inside it would also hold
        back what another thread sets.

        Raises
        ------
        traitlets.TraitError
            If a name is not a synced trait or a value is not of its type; nothing is set then.
        """
        known = self.traits(sync=True)
        if unknown := sorted(set(traits) - set(known)):
            raise traitlets.TraitError(f"{type(self).__name__} has no synced trait {unknown[0]!r}")
        checked = {name: known[name]._validate(self, value) for name, value in traits.items()}
        with self._lock:
            self._batch.open = True
            try:
                for name, value in checked.items():
                    setattr(self, name, value)
            finally:
                self._batch.open = False
            self.send_state(list(checked))

    def notify_change(self, change: Any) -> None:
        """Tell observers, and the browser unless this thread is inside `assign`."""
        if getattr(self._batch, "open", False):
            traitlets.HasTraits.notify_change(self, change)
        else:
            super().notify_change(change)

    def send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        """Send a message that is not kept; a view opened later will not see it."""
        with self._lock:
            super().send(content, buffers)

    def recording(self, most_bytes: int = ROOM) -> Recording:
        """The view as it is now, for a page without Python; see `standalone.page`.

        A view that answers its page's messages adds the answers here. May be called on any thread.

        Parameters
        ----------
        most_bytes : int
            Of pictures that the page would ask for; what does not fit is left out, the sharpest first.
        """
        with self._lock:
            state = self.get_state([name for name in self.traits(sync=True) if name not in _INHERITED])
        return Recording(str(self._esm), str(self._css), state)

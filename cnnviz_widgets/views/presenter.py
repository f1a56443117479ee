"""A small bar for the lecture hall: to the next scene and back, also by a clicker; large type, a black screen, full screen.

::

    show(names, at) -> the bar, saying where one is
    a button or a key -> on_go(callback): callback(to)

Message from the browser:

- ``{"type": "go", "to": "next" | "previous" | "first" | "reset"}``: a button was pressed, or a key. What the scenes are, and
  showing them, is Python's part.

Black screen and full screen are the page's own, and last until they are ended or the page is left.
"""

from collections.abc import Callable, Sequence
from typing import Any

import traitlets
from ipywidgets import CallbackDispatcher

from cnnviz_widgets.views._base import View, joined

PLACES = ("next", "previous", "first", "reset")


class Presenter(View):
    """Buttons and keys that lead through scenes; it knows their names only.

    Keys: PageDown and PageUp, which clickers send, and the arrows to the next and the previous scene; Home to the first; "b" or
    "." a black screen and back; "f" full screen of the panel around it, as F5 does; Escape ends presenting. They act while the
    bar has the focus and, with `presenting`, wherever on the page the focus is, but for text fields and cells being edited;
    the arrows and Home are left to a slider, a menu or a view that has the focus.

    Attributes
    ----------
    names : list of str
        What the scenes are called, in their order.
    at : int
        The one that is shown, -1 for none of them.
    large : bool
        Whether everything in the panel around the bar is written larger, for the back row. Inside of no panel: in the nearest
        element that holds panels.
    presenting : bool
        Whether keys act wherever the focus is.

    Examples
    --------
    >>> from cnnviz_widgets.views import Presenter
    >>> presenter = Presenter()
    >>> presenter.show(["edges", "eyes", "faces"], 1)
    >>> presenter.on_go(lambda to: print(to))
    """

    _esm = joined("_shared.js", "presenter.js")
    _css = joined("_shared.css", "presenter.css", "panel.css")

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    at = traitlets.Int(-1, min=-1).tag(sync=True)
    large = traitlets.Bool(False).tag(sync=True, echo_update=False)
    presenting = traitlets.Bool(False).tag(sync=True, echo_update=False)

    def __init__(self, **traits: Any) -> None:
        self._go = CallbackDispatcher()
        super().__init__(**traits)
        self.on_msg(self._receive)

    def show(self, names: Sequence[str], at: int) -> None:
        """Show where one is among the scenes.

        Raises
        ------
        ValueError
            There are not that many names.
        """
        if not -1 <= at < len(names):
            raise ValueError(f"at is {at}, expected -1 to {len(names) - 1} with {len(names)} names")
        self.assign(names=list(names), at=at)

    def on_go(self, callback: Callable[[str], object], remove: bool = False) -> None:
        """Have `callback(to)` called for each button and key, or with `remove` no longer.

        Calls may come on any thread, also while a cell runs.

        Parameters
        ----------
        callback : callable
            Gets ``"next"``, ``"previous"``, ``"first"`` or ``"reset"``.
        """
        self._go.register_callback(callback, remove=remove)

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if content.get("type") == "go" and content.get("to") in PLACES:
            self._go(content["to"])

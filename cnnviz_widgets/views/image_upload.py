"""An image from the user's own disk, chosen, dropped or pasted.

::

    a file -> on_upload(callback): callback(name, data, scaled)
           -> on_refused(callback): callback(name, reason)

Messages from the browser:

- ``{"type": "file", "name", "size", "scaled", "number"}`` with one buffer: the bytes of the file, or of a smaller
  JPEG of it where ``scaled``. ``size`` is the size in bytes before that; ``number`` counts the files of a page.
- ``{"type": "refused", "name", "size", "reason", "number"}``: nothing was sent, ``reason`` says why.

A Jupyter server of default settings takes messages up to 10 MiB and drops the connection at a larger one, so what is
above a limit below that is scaled down before it is sent, or refused.
"""

from collections.abc import Callable
from typing import Any

import traitlets
from ipywidgets import CallbackDispatcher

from cnnviz_widgets.views._base import View, joined


class ImageUpload(View):
    """A button that opens an image file; images can be dropped onto it and pasted into it as well.

    The bytes are handed on as they are, texts inside a PNG included: whether they are an image is for the callback to
    find out. Only a file above `limit` is decoded in the browser, turned as its EXIF data says and sent as a JPEG of at
    most 2048 pixels a side, without its texts; `whole` has such a file refused instead. A picture that was copied and
    pasted has lost its texts already, as browsers make a new file of it.

    Attributes
    ----------
    label : str
        Text of the button.
    status : str
        Text beside it. Emptied when a file arrives; the view then shows the file's name and size until the status is
        set again.
    accept : str
        What the file dialog offers, as in HTML: ``"image/*"`` or ``".png,.jpg"``. Not applied to what is dropped.
    limit : int
        Bytes that are sent as they are. Above 10 million the server may drop the connection.
    whole : bool
        Whether a file above `limit` is refused rather than scaled down: where the bytes themselves matter, as a recipe
        kept in a PNG, more than the picture.

    Examples
    --------
    >>> from cnnviz_widgets.views import ImageUpload
    >>> upload = ImageUpload(label="Open photo…")
    >>> upload.on_upload(lambda name, data, scaled: print(name, len(data)))
    """

    _esm = joined("_shared.js", "image_upload.js")
    _css = joined("_shared.css", "image_upload.css")

    label = traitlets.Unicode("Open image…").tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    accept = traitlets.Unicode("image/*").tag(sync=True)
    limit = traitlets.Int(8_000_000, min=1).tag(sync=True)
    whole = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._uploaded = CallbackDispatcher()
        self._refused = CallbackDispatcher()
        super().__init__(**traits)
        self.on_msg(self._receive)

    def on_upload(self, callback: Callable[[str, bytes, bool], object], remove: bool = False) -> None:
        """Have `callback(name, data, scaled)` called for each file, or with `remove` no longer.

        Calls may come on any thread, also while a cell runs, so a callback should only pass the data on.

        Parameters
        ----------
        callback : callable
            Gets the file's name, its bytes (not checked to be an image), and whether they are a smaller JPEG of it.
        """
        self._uploaded.register_callback(callback, remove=remove)

    def on_refused(self, callback: Callable[[str, str], object], remove: bool = False) -> None:
        """Have `callback(name, reason)` called for each file that the browser could not send, or no longer.

        The view shows the reason itself.
        """
        self._refused.register_callback(callback, remove=remove)

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        name = str(content.get("name", ""))
        match content.get("type"):
            case "file" if buffers:
                self._clear_status()
                self._uploaded(name, bytes(buffers[0]), bool(content.get("scaled")))
            case "refused":
                self._clear_status()
                self._refused(name, str(content.get("reason", "")))

    def _clear_status(self) -> None:
        """Make the next status a change, also if it says the same again."""
        if self.status:
            self.assign(status="")

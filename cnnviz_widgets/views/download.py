"""A file made in Python that the browser saves, at once and without a sign of its own.

::

    offer(name, data, mime) -> the browser's folder of downloads, or its question where to save

Message to the browser:

- ``{"type": "file", "name", "mime"}`` with one buffer: the bytes. Each page where the view is displayed saves them, once
  however often it is displayed there; nothing is kept, so a page opened later does not.

A link in an output would need the bytes as base64 in the notebook's file; a path on the server's disk would be of no use
to someone whose kernel runs elsewhere.
"""

from typing import Any

from cnnviz_widgets.views._base import View, joined


class Download(View):
    """Hands files to the browser to save; takes no room itself, but has to be displayed.

    Browsers let a page save a file in answer to a click; one that saves many in a row may be asked for permission first.

    Examples
    --------
    >>> from cnnviz_widgets.views import Download
    >>> download = Download()
    >>> download.offer("unit 17.png", b"PNG bytes", "image/png")
    """

    _esm = joined("_shared.js", "download.js")
    _css = ""

    def offer(self, name: str, data: bytes, mime: str = "application/octet-stream") -> None:
        """Have the browser save a file. May be called on any thread.

        Parameters
        ----------
        name : str
            Name of the file. The browser puts another character where the reader's system has no such names, and a
            number behind a name that is taken.
        data : bytes
            Its content, at least one byte.
        mime : str
            Its type, such as ``"image/png"``; browsers may put the ending of this type behind a name that has none.

        Raises
        ------
        ValueError
            If the name or the content is empty.
        """
        if not name.strip():
            raise ValueError(f"name is {name!r}, expected the name of a file, such as 'picture.png'")
        if not data:
            raise ValueError(f"the content of {name!r} is empty, expected at least one byte")
        message: dict[str, Any] = {"type": "file", "name": name, "mime": mime}
        self.send(message, [bytes(data)])

"""``Uploading(selection, failed)``: a photograph dropped on a panel becomes the selection's image."""

from __future__ import annotations

import io
from collections.abc import Callable

from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.views import ImageUpload

from ._runner import Latest
from ._selection import Selection


class Uploading:
    """The view that takes files, and a thread that decodes them: a large one would hold up the kernel's.

    Parameters
    ----------
    failed
        Gets what goes wrong; what was chosen before stays chosen.
    """

    def __init__(self, selection: Selection, failed: Callable[[BaseException], None]) -> None:
        self._selection, self._closed = selection, False
        self._opening = Latest(failed)
        self.view = ImageUpload()
        self.view.on_upload(self._uploaded)
        self.view.on_refused(lambda name, reason: failed(ValueError(f"{name}: {reason}")))

    def _uploaded(self, name: str, data: bytes, scaled: bool) -> None:
        self._opening.request(lambda: self._open(name, data))

    def _open(self, name: str, data: bytes) -> None:
        try:
            picture = open_image(io.BytesIO(data))
        except ValueError as error:
            raise ValueError(str(error).replace("the given file", name)) from None
        picture.name = name  # type: ignore[attr-defined]
        if not self._closed:
            self._selection.image = picture

    def wait(self, seconds: float) -> None:
        """Wait until what was uploaded is opened."""
        self._opening.wait(seconds)

    def close(self) -> None:
        """Open no more."""
        self._closed = True
        self._opening.close()

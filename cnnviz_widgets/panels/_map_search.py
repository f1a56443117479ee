"""``Searching``: images found on a map by a text in their label or name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ._map_picture import MapPicture
from ._runner import Latest
from ._selection import Selection


class Searching:
    """A line of text; what it finds is chosen, and the one in the middle becomes the selection's image.

    Parameters
    ----------
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    failed
        Gets what goes wrong, and that nothing was found.
    mended
        Called after a search that went well.
    """

    def __init__(
        self,
        picture: MapPicture,
        selection: Selection,
        user: Callable[[Callable[[Any], None]], Callable[[Any], None]],
        failed: Callable[[BaseException], None],
        mended: Callable[[], None],
    ) -> None:
        self._picture, self._selection, self._mended = picture, selection, mended
        self._latest = Latest(failed)
        self.text = widgets.Text(
            placeholder="find a label, then Enter", continuous_update=False, layout=widgets.Layout(width="200px")
        )
        self.text.observe(user(self._asked), "value")

    def _asked(self, change: Any) -> None:
        text = change["new"]
        self._latest.request(lambda: self._find(text))

    def _find(self, text: str) -> None:
        found = self._picture.find(text)
        if found is not None:
            self._selection.image = found
        elif text.strip():
            raise ValueError(f"no label or name of an image holds {text!r}")
        self._mended()

    def wait(self, seconds: float) -> None:
        """Wait until the search is done."""
        self._latest.wait(seconds)

    def close(self) -> None:
        """Search no more."""
        self._latest.close()

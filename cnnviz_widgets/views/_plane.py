"""``PlaneView``: a view of a plane that one pans and zooms, which tells where one looks and can be told.

::

    []               all there is
    [x, y, nearer]   the middle of what is seen, in the view's world, a square of side 1 with y downwards; and how much nearer
                     than all there is, as a power of two: the same part of the plane on screens of any size

Message to the browser:

- ``{"type": "camera", "camera"}``: go there, whatever the page's own `camera` is by now. A page that is opened later begins
  where the trait says.

The page sets `camera` when it has come to rest, a quarter of a second after the last movement.
"""

from collections.abc import Sequence
from typing import Any

import traitlets

from cnnviz_widgets.views._base import View

RANGES = ((-0.2, 1.2), (-0.2, 1.2), (-8.0, 32.0))
"""Of x, y and nearer; the page lets the middle go a little beyond the edges."""


def checked_camera(camera: Any) -> list[float]:
    """The numbers of a camera.

    Raises
    ------
    ValueError
        It is neither empty nor three numbers of which each is in its range.
    """
    listed: list[Any] = list(camera) if isinstance(camera, list | tuple) else [None]
    if not listed or (len(listed) == 3 and all(map(_is_within, listed, RANGES))):
        return [float(value) for value in listed]
    (low, high), _, (furthest, nearest) = RANGES
    raise ValueError(
        f"camera is {str(camera)[:60]}; expected [] for all, or [x, y, nearer]: x and y from {low:g} to {high:g}, nearer from "
        f"{furthest:g} to {nearest:g}"
    )


def _is_within(value: Any, ends: tuple[float, float]) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and ends[0] <= value <= ends[1]


class PlaneView(View):
    """Base of the views that one pans and zooms.

    Attributes
    ----------
    camera : list of float
        Where one looks, see this module. With several pages on one view, where somebody moved last.
    """

    camera = traitlets.List(traitlets.Float()).tag(sync=True, echo_update=False)

    def move_camera(self, camera: Sequence[float]) -> None:
        """Go elsewhere, before the eyes of whoever looks.

        Parameters
        ----------
        camera : sequence of float
            Empty for all there is, or ``(x, y, nearer)`` as `camera` tells it.

        Raises
        ------
        ValueError
            If it is nothing of that kind.
        """
        place = checked_camera(camera)
        with self._lock:
            self.camera = place
            self.send({"type": "camera", "camera": place})

    @traitlets.validate("camera")
    def _valid_camera(self, proposal: Any) -> list[float]:
        try:
            return checked_camera(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None

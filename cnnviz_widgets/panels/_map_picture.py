"""``MapPicture.show(mapped, made, ...)``: a map of an index's images in an `ImageMap`, with a guest among them.

::

    Map.points, y downwards -> ImageMap.points, y upwards; rows of the features, then the guest
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.projections import Map
from cnnviz_widgets.views import ImageMap, ThumbnailAtlas
from cnnviz_widgets.views.atlas import hilbert_order, square

from ._finding import places_holding
from ._map_coloring import PLAIN, Look
from ._map_guest import Guest
from ._map_making import Made, Mapped

HEIGHT = 600
GUEST = "your image"
SCALE = "viridis"
"""The colours of numbers."""
_GLIDE = 0.15
"""Seconds between two states of a map that unfolds."""


@dataclass(frozen=True)
class Standing:
    """What somebody did to a map, to be done to it again.

    Attributes
    ----------
    chosen
        Ids of the images chosen together; None leaves the choice as it is.
    hidden
        Labels that are filtered out; those that the map does not tell are passed over.
    morph, camera, look
        As `ImageMap` has them. Without a grid there is no way to it.
    """

    chosen: tuple[str, ...] | None = ()
    hidden: tuple[str, ...] = ()
    morph: float = 0.0
    camera: tuple[float, ...] = ()
    look: str = "auto"


class MapPicture:
    """The view, and what it shows; any thread may call."""

    def __init__(self) -> None:
        self.view = ImageMap(height=HEIGHT)
        self._lock = threading.RLock()
        self._look = PLAIN
        self.shown: tuple[Mapped, Made | Map, Look] | None = None
        self._atlas: ThumbnailAtlas | None = None
        self._placed: tuple[Map | None, Guest | None, Any] = (None, None, None)
        self.mapped: Mapped | None = None
        self.guest: Guest | None = None
        self.awaited: Standing | None = None
        """What is to be done to the next map that is drawn; see `resume`."""

    def blank(self) -> None:
        """Show nothing."""
        with self._lock:
            self.mapped = self.guest = self._atlas = None
            self._look, self.shown = PLAIN, None
            self.view.show(np.zeros((0, 2)))

    def show(
        self,
        mapped: Mapped,
        made: Made | Map,
        look: Look,
        guest: Guest | None,
        chosen: Any,
        caption: str,
        *,
        seams: bool = False,
    ) -> None:
        """Show a map, at rest or on its way, gliding there where its images are those shown already.

        Parameters
        ----------
        chosen
            Id of the image to select, or the guest's own.
        seams
            Show where the grid has torn the features apart.
        """
        at_rest = made if isinstance(made, Made) else None
        map_ = at_rest.map if at_rest is not None else made
        assert isinstance(map_, Map)
        with self._lock:
            places = _upwards(self._with_guest(map_, guest, at_rest is not None))
            cells = None if at_rest is None else _upwards(_with_beside(at_rest.grid, guest))
            selected = self._row(mapped, guest, chosen)
            torn = at_rest.seams if seams and at_rest is not None else None
            if self._same(mapped, guest) and look.same(self._look):
                self._glide(places, cells, torn, selected, caption)
            else:
                self._renew(mapped, places, cells, torn, look, guest, selected, caption)
            self.mapped, self.guest, self._look = mapped, guest, look
            self.shown = (mapped, made, look)

    def _same(self, mapped: Mapped, guest: Guest | None) -> bool:
        """Whether these images are shown already, perhaps by another layer's features."""
        known = self.mapped is not None and mapped.index is self.mapped.index
        return known and (guest.image if guest else None) is (self.guest.image if self.guest else None)

    def _glide(self, places: Any, cells: Any, torn: Any, selected: int, caption: str) -> None:
        view = self.view
        packed, packed_cells = places.tobytes(), b"" if cells is None else cells.tobytes()
        if view.selected != selected:
            view.selected = selected
        if view.caption != caption:
            view.caption = caption
        if (view.points, view.grid) != (packed, packed_cells):
            more = {} if packed_cells else {"morph": 0.0}
            # seams of the former grid would lie on the new one
            view.assign(points=packed, grid=packed_cells, seams=b"", duration=600, **more)
            if packed_cells:
                view.reorder()
        view.sew(torn)

    def _renew(
        self,
        mapped: Mapped,
        places: Any,
        cells: Any,
        torn: Any,
        look: Look,
        guest: Guest | None,
        selected: int,
        caption: str,
    ) -> None:
        order, same = hilbert_order(places), self._same(mapped, guest)
        kept = self.view.chosen_indices if same else ()  # beside others' choice a new guest would look pale
        if same and self._atlas is not None:
            self._atlas = self._atlas.reordered(order)
        else:
            self._atlas = ThumbnailAtlas(lambda row: _thumbnail(mapped, guest, row), order, small=_small(mapped, guest))
        labels, values = look.labels, look.values
        if guest is not None:
            labels = [*(labels or [""] * len(mapped.rows)), GUEST]
            values = None if values is None else np.append(values, np.float32("nan"))
        self.view.show(
            places,
            labels,
            values=values,
            values_name=look.name,
            colors=None if values is None else colormaps.table(SCALE)[:, :3],
            titles=[*mapped.index.ids, *([guest.name] if guest is not None else [])],
            grid=cells,
            seams=torn,
            thumbnails=self._atlas,
            selected=selected,
            chosen=[row for row in kept if row < len(mapped.rows)],
            camera=self.view.camera if same else (),
            caption=caption,
        )
        if guest is not None and not same and selected == len(mapped.rows):
            self.view.fly_to(selected)

    def move(self, mapped: Mapped, state: Map, caption: str) -> bool:
        """Show another state of a map on its way; whether its images are those that are shown."""
        with self._lock:
            if mapped is not self.mapped:
                return False
            if self.view.grid or self.view.caption != caption:
                self.view.assign(grid=b"", seams=b"", morph=0.0, caption=caption)
            self.view.move(_upwards(self._with_guest(state, self.guest, False)), _GLIDE)
            return True

    def standing(self) -> Standing:
        """What was done to the map, or is about to be."""
        with self._lock:
            if self.awaited is not None:
                return self.awaited
            view = self.view
            hidden = tuple(view.label_names[code] for code in view.hidden if code < len(view.label_names))
            return Standing(tuple(self.chosen()), hidden, view.morph, tuple(view.camera), view.look)

    def resume(self, standing: Standing) -> None:
        """Do to the map that is shown what was done to one before."""
        with self._lock:
            if self.awaited is standing:
                self.awaited = None
            view, rows = self.view, self.mapped.rows if self.mapped is not None else {}
            codes = {label: code for code, label in enumerate(view.label_names)}
            view.assign(
                hidden=[codes[label] for label in standing.hidden if label in codes],
                morph=standing.morph if view.grid else 0.0,
                look=standing.look,
            )
            if standing.chosen is not None:
                view.choose(rows[id] for id in standing.chosen if id in rows)
            view.move_camera(standing.camera)

    def fly(self, mapped: Mapped, image: Any) -> None:
        """Select an image, an id or the guest's own, and bring it before the eyes."""
        with self._lock:
            if mapped is self.mapped and (row := self._row(mapped, self.guest, image)) >= 0:
                self.view.fly_to(row)

    # Without the lock: the page's messages come here while the view's own lock is held.

    def image(self, row: int) -> Any:
        """The id in a row, or the guest's image; None where there is none."""
        mapped, guest = self.mapped, self.guest
        ids = mapped.index.ids if mapped is not None else ()
        if 0 <= row < len(ids):
            return ids[row]
        return guest.image if guest is not None and row == len(ids) else None

    def chosen(self) -> list[str]:
        """Ids of the images chosen together."""
        mapped = self.mapped
        ids = mapped.index.ids if mapped is not None else ()
        return [ids[row] for row in self.view.chosen_indices if row < len(ids)]

    def find(self, text: str) -> str | None:
        """Choose the images whose label or id holds a text and fly to the one in their middle; its id, None without any."""
        with self._lock:
            mapped = self.mapped
            if mapped is None:
                return None
            found = places_holding(text, mapped.index.ids, mapped.labels) if text.strip() else []
            self.view.choose(found)
            if not found:
                return None
            places = np.frombuffer(self.view.points, "<f4").reshape(-1, 2)[found]
            middle = found[int(np.abs(places - np.median(places, 0)).sum(1).argmin())]
            self.view.fly_to(middle)
            return mapped.index.ids[middle]

    def _with_guest(self, state: Map, guest: Guest | None, at_rest: bool) -> npt.NDArray[np.float32]:
        """Points with the guest's: its own place on a map at rest, on the way that of the nearest image."""
        if guest is None:
            return state.points
        if not at_rest:
            return np.vstack([state.points, state.points[guest.nearest]])
        if self._placed[0] is not state or self._placed[1] is not guest:
            self._placed = (state, guest, state.transform(guest.features))
        return np.vstack([state.points, self._placed[2]])

    @staticmethod
    def _row(mapped: Mapped, guest: Guest | None, chosen: Any) -> int:
        if guest is not None and chosen is guest.image:
            return len(mapped.rows)
        return mapped.rows.get(chosen, -1) if isinstance(chosen, str) else -1


def _with_beside(cells: npt.NDArray[np.float32], guest: Guest | None) -> npt.NDArray[np.float32]:
    """Cells with the guest's: between that of the nearest image and the next one."""
    if guest is None:
        return cells
    return np.vstack([cells, cells[guest.nearest] + np.float32(0.5 / np.ceil(np.sqrt(len(cells))))])


def _upwards(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same picture where y grows upwards."""
    return np.stack([points[:, 0], 1 - points[:, 1]], 1).astype("<f4")


def _thumbnail(mapped: Mapped, guest: Guest | None, row: int) -> bytes:
    if row < len(mapped.index.ids):
        return mapped.index.thumbnail_data(mapped.index.ids[row])
    return guest.thumbnail if guest is not None else b""


def _small(mapped: Mapped, guest: Guest | None) -> npt.NDArray[np.uint8] | None:
    """(n, 16, 16, 3): the middles of all thumbnails where the index keeps them, so that none is decoded to be seen from afar."""
    kept = mapped.index.small_thumbnails()
    if kept is None or guest is None:
        return kept
    return np.concatenate([kept, square(guest.thumbnail, kept.shape[1])[None]])

"""Thousands of images at their places in the plane, seen whole and from near, on a canvas without a GPU.

::

    points (n, 2), labels, thumbnails -> ImageMap.show(...) -> a map to pan and zoom; selected: index, chosen: indices
        any time after: move(points)    fly_to(index)    move_camera(camera)    morph = 0 .. 1    choose(indices)    sew(seams)

Messages from the browser:

- ``{"type": "pages", "version", "wanted": [[level, number], ...]}``: pages that it needs now, the most urgent first; each is
  asked for once, and a few at a time.
- ``{"type": "large", "version", "index"}``: the pointer rests on an image.
- ``{"type": "choose", "index"}`` at every click on an image, also when it is the selected one already.
- ``{"type": "open", "index"}`` at a double click or Enter.

Messages to the browser:

- ``{"type": "page", "version", "level", "number"}`` with buffer JPEG, empty where there is none.
- ``{"type": "large", "version", "index"}`` with buffer JPEG or PNG, empty where there is none.
- ``{"type": "fly", "index"}``, and ``{"type": "camera", "camera"}`` of `PlaneView`.

Positions, labels and the selection are traits; thumbnails are messages, so that none travels before it is seen, and none
twice: a page that is opened again asks for what it needs. What does not bear the present version is ignored.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import traitlets

from cnnviz_widgets.views._base import ROOM, joined
from cnnviz_widgets.views._map_arguments import (
    Atlas,
    Color,
    checked_atlas,
    checked_points,
    checked_seams,
    checked_values,
    coded,
    packed_choice,
    packed_palette,
    thumbnail_of,
)
from cnnviz_widgets.views._map_errands import Errands
from cnnviz_widgets.views._map_recording import map_recording
from cnnviz_widgets.views._plane import PlaneView, checked_camera
from cnnviz_widgets.views._recording import Recording
from cnnviz_widgets.views.atlas import Thumbnail, ThumbnailAtlas, hilbert_order

_LOG = logging.getLogger(__name__)


class ImageMap(PlaneView):
    """Images at 2D positions: coloured points from afar, the images themselves from near.

    Parameters
    ----------
    **traits
        Such as ``height=700``.

    Attributes
    ----------
    points : bytes
        float32 (n, 2), little endian; y grows upwards as in a plot. What is not finite is left out.
    grid : bytes
        float32 (n, 2), or empty: other positions of the same images, such as a grid without overlaps.
    morph : float
        0 shows `points`, 1 shows `grid`, between them each image is on its way. The page has a slider for it.
    duration : int
        Milliseconds that images take to new positions.
    version : int
        Counts the calls of `show` and `reorder`: pages of another version are not mixed up with these.
    order : bytes
        int32 (n,): which image is in which cell of the pages.
    sides : list of int
        Sides of the cells, level by level; empty without thumbnails.
    label_names : list of str
        The labels, the most frequent first.
    codes : bytes
        int32 (n,): index of each image's label, -1 for none; or empty.
    titles : list of str
        What a single image is called, such as its file; or empty.
    values : bytes
        float32 (n,) that colour the points instead of the labels, or empty; what is not finite is grey, and counted.
    values_name : str
        What they are, above their scale and beside each of them.
    palette : bytes
        uint8 (k, 3): a colour per label, or 256 from the lowest to the highest value; empty for the map's own.
    seams : bytes
        float32 (m, 3), or empty: two images that are neighbours on the grid, and 0 to 1, how far they really are from each
        other. A line on their border tells it where `morph` is 1; while the images leave the grid it fades.
    hidden : list of int
        Labels that are filtered out, by a click in the legend or from Python.
    look : str
        ``"auto"``; ``"points"`` or ``"images"`` at every zoom.
    selected : int
        -1 for none; what is beyond the last image becomes -1.
    chosen : bytes
        int32 (k,): the images chosen together by lasso, rectangle or `choose`; see `chosen_indices`.
    camera : list of float
        Where one looks, see `PlaneView`.
    height : int
        Of the map in CSS pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> from cnnviz_widgets.views import ImageMap
    >>> map_ = ImageMap()
    >>> pictures = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    >>> map_.show(np.array([[0, 0], [1, 0], [0, 1]]), ["warm", "cold", "cold"], thumbnails=pictures)
    >>> map_.label_names
    ['cold', 'warm']
    """

    _esm = joined(
        "_shared.js",
        "_map_layout.js",
        "_map_camera.js",
        "_map_pages.js",
        "_map_look.js",
        "_map_seams.js",
        "_map_data.js",
        "_map_paint.js",
        "_map_tiles.js",
        "_map_signs.js",
        "_map_surface.js",
        "_map_input.js",
        "_map_legend.js",
        "_map_tip.js",
        "image_map.js",
    )
    _css = joined("_shared.css", "image_map.css")

    points = traitlets.Bytes().tag(sync=True, echo_update=False)
    grid = traitlets.Bytes().tag(sync=True, echo_update=False)
    morph = traitlets.Float(0.0).tag(sync=True, echo_update=False)
    duration = traitlets.Int(600, min=0).tag(sync=True)
    version = traitlets.Int(0).tag(sync=True)
    order = traitlets.Bytes().tag(sync=True, echo_update=False)
    sides = traitlets.List(traitlets.Int(min=8)).tag(sync=True)
    label_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    codes = traitlets.Bytes().tag(sync=True, echo_update=False)
    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    values = traitlets.Bytes().tag(sync=True, echo_update=False)
    values_name = traitlets.Unicode().tag(sync=True)
    seams = traitlets.Bytes().tag(sync=True, echo_update=False)
    palette = traitlets.Bytes().tag(sync=True, echo_update=False)
    hidden = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)
    look = traitlets.Enum(["auto", "points", "images"], "auto").tag(sync=True, echo_update=False)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    # A message from the browser holds a view of its memory, which is not bytes yet.
    chosen = traitlets.Bytes().tag(sync=True, echo_update=False, from_json=lambda value, _: bytes(value))
    caption = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(560, min=120).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._count = 0
        self._atlas: Atlas | None = None
        self._large: Callable[[int], bytes | None] | None = None
        self._errands = Errands()
        super().__init__(**traits)
        self.on_msg(self._receive)

    def show(
        self,
        points: np.ndarray,
        labels: Sequence[str | None] = (),
        *,
        titles: Sequence[str] = (),
        values: Sequence[float] | np.ndarray | None = None,
        values_name: str = "",
        grid: np.ndarray | None = None,
        seams: np.ndarray | None = None,
        thumbnails: Atlas | Sequence[Thumbnail] | Callable[[int], Thumbnail] | None = None,
        large: Callable[[int], bytes | None] | None = None,
        colors: Mapping[str, Color] | np.ndarray | None = None,
        selected: int = -1,
        chosen: Iterable[int] = (),
        camera: Sequence[float] = (),
        caption: str = "",
    ) -> None:
        """Show other images, all at once; nothing is filtered then.

        Parameters
        ----------
        points : ndarray
            (n, 2); n may be 0. Images without a finite position are left out, and the map says how many.
        labels : sequence of str
            None at all, or one per image: the legend, with the number of images of each.
        titles : sequence of str
            None at all, or one per image, for the tooltip.
        values : sequence of float, optional
            One per image: colours instead of the labels' own; the legend becomes a scale. NaN where it is not known.
        values_name : str
            What the values are, such as ``"activation of layer3[17]"``.
        grid : ndarray, optional
            (n, 2): the other end of `morph`.
        seams : ndarray, optional
            (m, 3), see `sew`.
        thumbnails : Atlas, sequence or callable, optional
            JPEG bytes or Pillow images per image, or a function that returns one; an `Atlas` where the caller keeps pages
            itself. Asked on a thread of the map's own. Without any the map shows points.
        large : callable, optional
            Bytes of the picture shown under the pointer, for an index, on the same thread; None where `send_large` will be
            called later. By default the thumbnail.
        colors : mapping or ndarray, optional
            Labels with their red, green and blue, 0 to 255; with values, uint8 (256, 3).
        selected : int
            Index of the selected image, -1 for none.
        chosen : iterable of int
            Images that are chosen together from the beginning.
        camera : sequence of float
            Where one looks from the beginning, as `PlaneView` tells it; by default at all of them.

        Raises
        ------
        ValueError
            If a shape, a length, a colour, the camera or the index does not fit.
        """
        places = checked_points(points, "points")
        count = len(places)
        for name, given in (("labels", labels), ("titles", titles)):
            if len(given) not in (0, count):
                raise ValueError(f"{len(given)} {name} for {count} points; pass one per point or none")
        if not -1 <= selected < max(count, 1):
            raise ValueError(f"selected is {selected}, expected -1 (none) to {count - 1}")
        names, codes = coded(labels)
        atlas = checked_atlas(thumbnails, places)
        state: dict[str, Any] = {
            "points": places.tobytes(),
            "grid": b"" if grid is None else checked_points(grid, "grid", count).tobytes(),
            "morph": self.morph if grid is not None else 0.0,
            "order": b"" if atlas is None else np.asarray(atlas.order, "<i4").tobytes(),
            "sides": [] if atlas is None else list(atlas.sides),
            "label_names": names,
            "codes": codes,
            "titles": [str(title) for title in titles],
            "values": b"" if values is None else checked_values(values, count).tobytes(),
            "values_name": str(values_name),
            "seams": checked_seams(seams, count),
            "palette": packed_palette(colors, None if values is not None else names),
            "hidden": [],
            "chosen": packed_choice(chosen, count),
            "camera": checked_camera(camera),
            "caption": str(caption),
        }
        with self._lock:
            self._errands.clear()
            self._count, self._atlas = count, atlas
            self._large = large or (None if atlas is None else thumbnail_of(atlas))
            self.assign(version=self.version + 1, selected=selected if count else -1, **state)

    def move(self, points: np.ndarray, duration: float = 0.6) -> None:
        """Let the images go to other places; several calls a second follow a projection that is still running.

        The pages stay ordered by the places that `show` was given; when the images have come to rest, `reorder` orders them
        anew.

        Parameters
        ----------
        points : ndarray
            (n, 2), for the same images.
        duration : float
            Seconds on the way.

        Raises
        ------
        ValueError
            If the shape does not fit or the duration is negative.
        """
        if not duration >= 0:
            raise ValueError(f"duration is {duration}, expected seconds from 0 on")
        places = checked_points(points, "points", self._count)
        self.assign(points=places.tobytes(), duration=round(1000 * duration))

    def reorder(self) -> None:
        """Order the pages by the places that the images have now, so that a part of the map needs few of them again.

        Without effect on a map without thumbnails or with pages of the caller's own.
        """
        with self._lock:
            if isinstance(self._atlas, ThumbnailAtlas):
                places = np.frombuffer(self.points, "<f4").reshape(-1, 2)
                self._atlas = self._atlas.reordered(hilbert_order(places))
                self._errands.clear()
                self.assign(order=self._atlas.order.astype("<i4").tobytes(), version=self.version + 1)

    def fly_to(self, index: int) -> None:
        """Select an image and bring it before the eyes.

        Raises
        ------
        ValueError
            If there is no such image.
        """
        if not 0 <= index < self._count:
            raise ValueError(f"index is {index}, expected 0 to {self._count - 1}")
        self.selected = int(index)
        self.send({"type": "fly", "index": int(index)})

    def sew(self, seams: np.ndarray | None) -> None:
        """Show how far neighbours on the grid really are from each other, by lines on the borders between them.

        Parameters
        ----------
        seams : ndarray, optional
            (m, 3): index and index of two images, beside or above each other on the grid, and the line's strength, 0 to 1.
            Pairs below 0.02 have none, and NaN counts as 0: give the usual distance 0, and the lines show where the map was
            torn. None shows none.

        Raises
        ------
        ValueError
            If the shape, an index or a strength does not fit.
        """
        self.seams = checked_seams(seams, self._count)

    @property
    def chosen_indices(self) -> np.ndarray:
        """The images chosen together, as int32 (k,), growing."""
        return np.frombuffer(self.chosen, "<i4")

    def choose(self, indices: Iterable[int]) -> None:
        """Choose images together, as a lasso does; none of them ends it.

        Raises
        ------
        ValueError
            If there is no such image.
        """
        self.chosen = packed_choice(indices, self._count)

    def send_page(self, level: int, number: int, data: bytes) -> None:
        """Give the browser a page that it asked for; empty where there is none."""
        with self._lock:
            self._send_page(self.version, level, number, data)

    def send_large(self, index: int, data: bytes) -> None:
        """Give the browser the large picture of an image, as the bytes of a JPEG or PNG; empty where there is none."""
        with self._lock:
            self.send({"type": "large", "version": self.version, "index": int(index)}, [bytes(data)])

    def recording(self, most_bytes: int = ROOM) -> Recording:
        """The map as it is now with as many of its thumbnails as there is room for, level by level from the coarsest.

        For 6,400 photographs the levels take 0.2 MB (in 8 pixels), 0.6 (16), 2 (32), 6 (64) and 19 MB (128), and the large
        pictures as many as the last where they are thumbnails of 128 pixels. Those are taken in if there is room for all of
        them; without them the page shows the finest thumbnail beside the pointer. Pages that nobody has looked at yet are made
        for it: 11 s for all levels of that many.
        """
        with self._lock:
            found = super().recording(most_bytes)
            atlas, large = self._atlas, self._large
        return found if atlas is None else map_recording(found, atlas, large, most_bytes)

    def close(self) -> None:
        """Close the widget; what the browser still waits for is not made any more."""
        self._errands.clear()
        super().close()

    def _send_page(self, version: int, level: int, number: int, data: bytes) -> None:
        self.send({"type": "page", "version": version, "level": int(level), "number": int(number)}, [bytes(data)])

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            version, atlas, large = self.version, self._atlas, self._large
            if content.get("version") != version:
                return
        if content.get("type") == "pages" and atlas is not None:
            for level, number in content.get("wanted", []):
                self._errands.put((version, level, number), partial(self._make, version, atlas, level, number))
        if content.get("type") == "large" and large is not None and isinstance(index := content.get("index"), int):
            self._errands.put((version, "large"), partial(self._enlarge, version, large, index), urgent=True)

    def _make(self, version: int, atlas: Atlas, level: int, number: int) -> None:
        try:
            data = atlas.page(level, number)
        except Exception:
            _LOG.exception("no page %s of level %s for the map", number, level)
            data = b""
        with self._lock:
            if data is not None and version == self.version:
                self._send_page(version, level, number, data)

    def _enlarge(self, version: int, large: Callable[[int], bytes | None], index: int) -> None:
        try:
            data = large(index) if index < self._count else b""
        except Exception:
            _LOG.exception("no large picture of image %s for the map", index)
            data = b""
        with self._lock:
            if data is not None and version == self.version:
                self.send_large(index, data)

    @traitlets.validate("points", "grid")
    def _valid_places(self, proposal: Any) -> bytes:
        if len(proposal["value"]) % 8:
            raise traitlets.TraitError(
                f"{proposal['trait'].name} has {len(proposal['value'])} bytes, expected 8 a place (float32 x and y)"
            )
        return proposal["value"]

    @traitlets.validate("seams")
    def _valid_seams(self, proposal: Any) -> bytes:
        if len(proposal["value"]) % 12:
            raise traitlets.TraitError(
                f"seams has {len(proposal['value'])} bytes, expected 12 a pair (float32 index, index and strength)"
            )
        return proposal["value"]

    @traitlets.validate("morph")
    def _valid_morph(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] <= 1:
            raise traitlets.TraitError(f"morph is {proposal['value']}, expected 0 to 1")
        return proposal["value"]

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Any) -> int:
        """A click on an image may arrive when the images are others already."""
        return proposal["value"] if proposal["value"] < self._count else -1

    @traitlets.validate("chosen")
    def _valid_chosen(self, proposal: Any) -> bytes:
        indices = np.frombuffer(proposal["value"][: len(proposal["value"]) // 4 * 4], "<i4")
        return np.unique(indices[(indices >= 0) & (indices < self._count)]).astype("<i4").tobytes()

"""All layers of a network as one sheet to pan and zoom: from the whole of it down to one unit.

::

    PosterBand(title, subtitle, tiles), ... -> Poster.show(bands) -> a sheet; selected: index, selected_key
        any time after: update(tile, ...)    fly_to(key)    move_camera(camera)

Messages from the browser:

- ``{"type": "pictures", "version", "wanted": [[index, level], ...], "urgent"}``: pictures that it needs now in the sizes of
  `sides`; a few dozen at a time, the next when these have come.
- ``{"type": "choose", "key"}`` at every click on a tile, also when it is the selected one already.
- ``{"type": "open", "key"}`` at a double click or Enter, which also bring the tile near.

Messages to the browser:

- ``{"type": "pictures", "version", "tiles": [[index, level, revision, lines, finest], ...]}`` with a buffer for each, empty
  where there is no picture; `finest` says that no other level has more of it.
- ``{"type": "fly", "index"}``, and ``{"type": "camera", "camera"}`` of `PlaneView`.

What stands where, the texts and the revisions of the pictures are traits; pictures are messages in answer to questions, so
that none travels before it is seen, and an atlas that grows faster than a page can show floods nobody. A page that is opened
again finds one coarse sheet of all that was seen before. What does not bear the present version is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import traitlets

from cnnviz_widgets.views._base import ROOM, joined
from cnnviz_widgets.views._map_errands import Errands
from cnnviz_widgets.views._plane import PlaneView
from cnnviz_widgets.views._poster_layout import Block, poster_layout
from cnnviz_widgets.views._poster_pictures import SIDES, PosterPictures, PosterTile
from cnnviz_widgets.views._poster_recording import poster_recording
from cnnviz_widgets.views._recording import Recording

_MOST_ANSWERED = 64


@dataclass(frozen=True)
class PosterBand:
    """One layer of a `Poster`.

    Parameters
    ----------
    title
        Such as the layer's name; it is legible from wherever there is room for it.
    tiles
        Its units' pictures; may be empty.
    subtitle
        Such as ``"receptive field 31 × 31, 24 channels"``; shown from nearer.

    Examples
    --------
    >>> from cnnviz_widgets.views import PosterBand, PosterTile
    >>> len(PosterBand("conv_stem", [PosterTile(f"conv_stem:{i}") for i in range(9)]).tiles)
    9
    """

    title: str
    tiles: Sequence[PosterTile] = ()
    subtitle: str = ""


class Poster(PlaneView):
    """Bands of pictures on one sheet, the first on top; names from afar, pictures and what is told of them from near.

    Parameters
    ----------
    **traits
        Such as ``height=800``.

    Attributes
    ----------
    version : int
        Counts the calls of `show`.
    boxes : bytes
        float32 (n, 4): left, top, width and height of each tile in a square world of side 1, y downwards.
    bands : list of dict
        ``title``, ``subtitle``, ``box``, ``first`` and ``count`` of its tiles.
    blocks : list of dict
        ``label``, ``box``, ``first`` and ``count``: one tile, or several of one group.
    strips : list of float
        Height of a band's heading and of a block's label in the world.
    tile_keys, tile_labels, tile_names : list of str
        Per tile.
    sides : list of int
        Longer sides in which the page may ask for pictures.
    revisions : bytes
        int32 (n,): grows when a tile's picture is replaced; 0 where there has been none yet.
    coarse : bytes
        What was asked for in the smallest size, for a page that is opened again; made when one is.
    selected : int
        Index of a tile, -1 for none; what is beyond the last one becomes -1.
    caption : str
        Such as how far the pictures are.
    camera : list of float
        Where one looks, see `PlaneView`. A place that was set while there was nothing to see holds for the first bands that come.
    height : int
        Of the sheet in CSS pixels.

    Examples
    --------
    >>> from PIL import Image
    >>> from cnnviz_widgets.views import Poster, PosterBand, PosterTile
    >>> poster = Poster()
    >>> tiles = [PosterTile(f"conv:{i}", Image.new("RGB", (32, 32), color)) for i, color in enumerate(["red", "blue"])]
    >>> poster.show([PosterBand("fc", [PosterTile("fc:0", label="tabby")]), PosterBand("conv", tiles)])
    >>> poster.update(PosterTile("fc:0", Image.new("RGB", (32, 32), "green"), lines=("score 12.1",)))
    >>> poster.fly_to("conv:1")
    >>> poster.selected_key
    'conv:1'
    """

    _esm = joined(
        "_shared.js",
        "_map_camera.js",
        "_map_tiles.js",
        "_map_input.js",
        "_poster_data.js",
        "_poster_pictures.js",
        "_poster_paint.js",
        "_poster_text.js",
        "_poster_signs.js",
        "_poster_surface.js",
        "_poster_tip.js",
        "poster.js",
    )
    _css = joined("_shared.css", "poster.css")

    version = traitlets.Int(0).tag(sync=True)
    boxes = traitlets.Bytes().tag(sync=True, echo_update=False)
    bands = traitlets.List(traitlets.Dict()).tag(sync=True)
    blocks = traitlets.List(traitlets.Dict()).tag(sync=True)
    strips = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    tile_keys = traitlets.List(traitlets.Unicode()).tag(sync=True)
    tile_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    tile_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sides = traitlets.List(traitlets.Int(min=8), list(SIDES)).tag(sync=True)
    revisions = traitlets.Bytes().tag(sync=True, echo_update=False)
    coarse = traitlets.Bytes().tag(sync=True, echo_update=False)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    caption = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(640, min=160).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._tiles: dict[str, int] = {}
        self._pictures = PosterPictures([])
        self._errands = Errands()
        super().__init__(**traits)
        self.on_msg(self._receive)

    def show(
        self,
        bands: Sequence[PosterBand],
        *,
        selected: str = "",
        caption: str = "",
        aspect: float = 1.8,
        smallest: float = 0.3,
    ) -> None:
        """Show other bands, all at once.

        Parameters
        ----------
        bands : sequence of PosterBand
            The uppermost first; may be empty.
        selected : str
            Key of the selected tile; empty for none.
        caption : str
            Below the sheet.
        aspect : float
            Width over height of the screen that the sheet is arranged for.
        smallest : float
            No tile is drawn smaller than this share of the largest one, 0 to 1: a first layer's receptive field is a few
            pixels, of which nothing would be seen.

        Raises
        ------
        ValueError
            If two tiles have the same key, the selected one is none of them, or a number is out of its range.
        """
        if not (np.isfinite(aspect) and aspect > 0):
            raise ValueError(f"aspect is {aspect}, expected width over height, such as 1.8")
        if not 0 <= smallest <= 1:
            raise ValueError(f"smallest is {smallest}, expected a share of the largest tile, 0 to 1")
        tiles = [tile for band in bands for tile in band.tiles]
        places = {tile.key: index for index, tile in enumerate(tiles)}
        if len(places) < len(tiles):
            twice = next(tile.key for index, tile in enumerate(tiles) if places[tile.key] != index)
            raise ValueError(f"the key {twice!r} is that of two tiles, expected one key for each")
        if selected and selected not in places:
            raise ValueError(f"selected is {selected!r}, expected the key of a tile, or '' for none")
        pictures = PosterPictures(tiles)
        state = _described(bands, aspect, smallest)
        with self._lock:
            self._errands.clear()
            self._tiles, self._pictures = places, pictures
            self.assign(
                version=self.version + 1,
                tile_keys=list(places),
                tile_labels=[str(tile.label) for tile in tiles],
                tile_names=[str(tile.name) for tile in tiles],
                revisions=pictures.revisions,
                coarse=b"",
                camera=[] if self.bands else self.camera,
                selected=places.get(selected, -1),
                caption=str(caption),
                **state,
            )

    def update(self, *tiles: PosterTile, caption: str | None = None) -> None:
        """Replace pictures and lines while the rest stays: coarse ones by refined ones, placeholders by pictures.

        Size, label, name and group of a tile stay those that `show` was given. One call with many tiles costs the browser less
        than many calls.

        Parameters
        ----------
        tiles : PosterTile
            With the keys of those that they replace.
        caption : str, optional
            Another caption, in the same message.

        Raises
        ------
        ValueError
            If there is no tile of such a key; nothing is replaced then.
        """
        with self._lock:
            for tile in tiles:
                self._index(tile.key)
            for tile in tiles:
                self._pictures.replace(self._tiles[tile.key], tile)
            news = {} if caption is None else {"caption": str(caption)}
            self.assign(revisions=self._pictures.revisions, **news)

    def fly_to(self, key: str) -> None:
        """Select a tile and bring it near.

        Raises
        ------
        ValueError
            If there is no such tile.
        """
        with self._lock:
            index = self._index(key)
            self.selected = index
            self.send({"type": "fly", "index": index})

    @property
    def selected_key(self) -> str:
        """Key of the selected tile, empty for none."""
        with self._lock:
            return "" if self.selected < 0 else self.tile_keys[self.selected]

    def recording(self, most_bytes: int = ROOM) -> Recording:
        """The poster as it is now with its pictures in as many sizes as there is room for, from the smallest.

        A level is in it for all tiles or for none. 400 textures of 224 pixels take about .5 MB in the first, 1 MB in the second,
        4 MB in the third, and then as much as they have.
        """
        with self._lock:
            found, pictures = super().recording(most_bytes), self._pictures
        return poster_recording(found, pictures, most_bytes)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """The traits as they travel; `coarse` is made anew, as only a page that is opened asks for it."""
        with self._lock:
            if key is None or "coarse" in ([key] if isinstance(key, str) else key):
                self._trait_values["coarse"] = self._pictures.coarse()
            return super().get_state(key=key, drop_defaults=drop_defaults)

    def close(self) -> None:
        """Close the widget; what the browser still waits for is not made any more."""
        self._errands.clear()
        super().close()

    def _index(self, key: str) -> int:
        if key not in self._tiles:
            near = ", ".join(repr(other) for other in list(self._tiles)[:3])
            raise ValueError(
                f"no tile {key!r}; this poster has {len(self._tiles)}{f', such as {near}' if near else ''}"
            )
        return self._tiles[key]

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            version, pictures, count = self.version, self._pictures, len(self._tiles)
            if content.get("type") != "pictures" or content.get("version") != version:
                return
        asked = [place for place in content.get("wanted", []) if _is_place(place, count)][:_MOST_ANSWERED]
        if asked:
            work = partial(self._answer, version, pictures, asked)
            urgent = bool(content.get("urgent"))
            self._errands.put((version, "urgent") if urgent else (version, *map(tuple, asked)), work, urgent=urgent)

    def _answer(self, version: int, pictures: PosterPictures, asked: list[list[int]]) -> None:
        found = [pictures.encoded(index, level) for index, level in asked]
        tiles = [[*place, it.revision, list(it.lines), it.finest] for place, it in zip(asked, found, strict=True)]
        with self._lock:
            if version == self.version and self.comm is not None:
                message = {"type": "pictures", "version": version, "tiles": tiles}
                self.send(message, [it.data for it in found])

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Any) -> int:
        """A click on a tile may arrive when the tiles are others already."""
        return proposal["value"] if proposal["value"] < len(self._tiles) else -1


def _is_place(place: Any, count: int) -> bool:
    return (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(value, int) for value in place)
        and 0 <= place[0] < count
        and 0 <= place[1] < len(SIDES)
    )


def _blocks(band: PosterBand) -> list[list[PosterTile]]:
    """Tiles that stand together: neighbours of one group, every other tile alone."""
    named = [(tile.group or index, tile) for index, tile in enumerate(band.tiles)]
    return [[tile for _, tile in members] for _, members in groupby(named, key=lambda pair: pair[0])]


def _described(bands: Sequence[PosterBand], aspect: float, smallest: float) -> dict[str, Any]:
    """The traits that tell what stands where."""
    largest = max((max(tile.size) for band in bands for tile in band.tiles), default=1.0)
    blocks = [_blocks(band) for band in bands]

    def sized(tile: PosterTile) -> tuple[float, float]:
        width, height = tile.size
        grown = max(1.0, smallest * largest / max(width, height))
        return width * grown, height * grown

    layout = poster_layout(
        [
            [Block(tuple(map(sized, block)), any(tile.label for tile in band.tiles)) for block in parts]
            for band, parts in zip(bands, blocks, strict=True)
        ],
        aspect,
        [str(band.title) for band in bands],
    )
    heads = [{"title": str(band.title), "subtitle": str(band.subtitle)} for band in bands]
    signs = [{"label": str(block[0].label)} for parts in blocks for block in parts]
    return {
        "boxes": layout.tiles.tobytes(),
        "bands": _counted(heads, layout.bands, [len(band.tiles) for band in bands]),
        "blocks": _counted(signs, layout.blocks, [len(block) for parts in blocks for block in parts]),
        "strips": [layout.heading, layout.label],
    }


def _counted(parts: list[dict[str, str]], boxes: np.ndarray, counts: list[int]) -> list[dict[str, Any]]:
    """Parts with their boxes and tiles."""
    firsts = np.cumsum([0, *counts])[: len(counts)].tolist()
    return [
        {**part, "box": box, "first": first, "count": count}
        for part, box, first, count in zip(parts, boxes.tolist(), firsts, counts, strict=True)
    ]

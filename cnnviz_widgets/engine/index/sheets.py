"""``top_sheet(index, unit) -> picture``, ``neighbor_sheet(index, found) -> picture``: answers as one picture each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from cnnviz_widgets.engine import display
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError, open_image
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.thumbnails import as_picture

from .matches import Neighbors

if TYPE_CHECKING:
    from .answers import Answers


def top_sheet(
    index: Answers, unit: Unit, k: int | None, crops: bool, fold: bool, side: int, columns: int
) -> Image.Image:
    """See `Answers.sheet`."""
    shown = [one for one in index.examine(unit, k, fold=fold) if not one.fault]
    if not shown:
        raise ValueError(f"no image of the collection to show for {unit}: index.examine({unit}) tells why")
    sighted = [(one.crop(side) if crops else one.whole(side)).picture.convert("RGB") for one in shown]
    labels = [f"{one.match.score:.4g} {_label(index, one.match.id)}" for one in shown]
    return display.board(sighted, list(map(_line, labels)), columns=columns, side=side)


def neighbor_sheet(index: Answers, found: Neighbors, queries: Any, side: int) -> Image.Image:
    """See `Answers.neighbor_sheet`."""
    own = None if queries is None else ImageSet.of(queries)
    if own is not None and len(own) != len(found.queries):
        raise ValueError(
            f"{len(own)} queries were given for {len(found.queries)} rows; give those that were asked about"
        )
    pictures, labels = [], []
    columns = 1 + max((len(line) for line in found.ids), default=0)
    for row, name in enumerate(found.queries):
        if own is not None:
            pictures.append(as_picture(own[row]).convert("RGB"))
        elif name in index.images:
            pictures.append(_thumbnail(index, name, side))
        else:
            raise ValueError(f"{name!r} is not of the collection; give the pictures: queries=[...]")
        labels.append(f"{found.labels[row] or name}:")
        for id, far in zip(found.ids[row], found.distances[row], strict=True):
            pictures.append(_thumbnail(index, id, side))
            labels.append(f"{far:.3g} {_label(index, id)}")
        for _ in range(columns - 1 - len(found.ids[row])):
            pictures.append(Image.new("RGB", (side, side), "white"))
            labels.append("")
    for picture in pictures:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return display.board(pictures, list(map(_line, labels)), columns=columns, side=side)


def _thumbnail(index: Answers, id: str, side: int) -> Image.Image:
    """A thumbnail; an even grey for an image that can't be opened any more."""
    try:
        return open_image(index.thumbnail_data(id)).convert("RGB")
    except ImageError:
        return Image.new("RGB", (side, side), "lightgrey")


def _label(index: Answers, id: str) -> str:
    return index.images.labels[index.images.number(id)]


def _line(label: str) -> str:
    """A label on one line, for a file's name may hold line ends, and bytes that are no text."""
    return " ".join(label.encode(errors="replace").decode().split())

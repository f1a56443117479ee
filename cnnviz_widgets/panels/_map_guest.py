"""``Visitor.at(mapped, image) -> Guest``: an image of one's own among those of a collection, measured as they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index.queries import queries
from cnnviz_widgets.engine.thumbnails import thumbnail

from ._map_making import Mapped
from ._neighbor_rows import is_id, name_of

_THUMBNAIL = 224


@dataclass(frozen=True, eq=False)
class Guest:
    """An image that is not of the collection, with its features (1, C) and the row of the nearest image by them."""

    image: Any
    name: str
    thumbnail: bytes
    features: npt.NDArray[np.float32]
    nearest: int

    @classmethod
    def of(cls, mapped: Mapped, image: Any) -> Guest:
        """The image, measured as those of the index were.

        Raises
        ------
        ImageError
            It can't be opened, or its features are no numbers.
        """
        found = queries(mapped.index, [image], mapped.layer, None).features
        if not np.isfinite(found).all():
            raise ImageError("its features are not finite numbers")
        far = np.square(mapped.features - found).sum(1)
        opener = ImageSet.of([image] if isinstance(image, str) else image).openers[0]
        return cls(image, name_of(image), thumbnail(opener.open(), _THUMBNAIL), found, int(far.argmin()))


class Visitor:
    """The image of one's own that was looked at last: it stays on the map when others are chosen."""

    def __init__(self) -> None:
        self._image: Any = None
        self._known: tuple[Mapped | None, Guest | None] = (None, None)

    def at(self, mapped: Mapped, chosen: Any) -> tuple[Guest | None, str]:
        """The guest, if there is one, and which image is nearest to it; or why it can't be placed.

        Parameters
        ----------
        chosen
            The selection's image, perhaps another one of one's own.
        """
        if chosen is not None and not is_id(chosen, mapped.index.images):
            self._image = chosen
        if self._image is None:
            return None, ""
        guest = self._known[1]
        if self._known[0] is not mapped or guest is None or guest.image is not self._image:
            try:
                guest = Guest.of(mapped, self._image)
            except ImageError as error:
                told = f"{name_of(self._image)} can't be placed: {error}."
                self._image, self._known = None, (None, None)
                return None, told
            self._known = (mapped, guest)
        label = f" ({mapped.labels[guest.nearest]})" if mapped.index.images.labelled else ""
        return guest, f"Nearest to {guest.name} by its features is {mapped.index.ids[guest.nearest]}{label}."

"""``Tile``: one image of an atlas, a PNG that carries how it was made.

What is kept is the picture as it is shown: the difference from the mean colour, stretched to its 99.5th percentile, in 8 bits, as
`Result.picture` shows it. ``reach`` tells how far that was, so the image before the stretch can be had again in 255 levels, but
for the half percent of its values that the stretch cuts off. Floats would take several times the room and show the same.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cnnviz_widgets.engine import display
from cnnviz_widgets.engine.receptive_field import Box

from .plan import Place

STRETCH = "percentile"
_FACTS = "cnnviz:tile"
_MOST_TEXT = 500_000
"""Characters of a recipe that are kept in a picture; readers refuse much longer ones. Only photographs make them so long."""


@dataclass(frozen=True)
class Tile:
    """An image of a unit by a recipe, as far as it has come.

    Attributes
    ----------
    place
        The unit, the recipe, and what was climbed.
    label
        A class's name for a unit of the output, else the unit as typed.
    score
        What was climbed, at the step of the image; with random transformations that of the transformed image.
    step
        At which step the image was taken, and ``steps`` how many the recipe makes.
    finished
        Whether it is the recipe's end; else a later image will take its place.
    contrast
        Root mean square of the difference from the mean colour, in grey levels of 255, before stretching.
    reach
        Which difference from the mean colour became black or white; in [0, 1].
    probability
        Of a class, that which the network gives it for the image as it is; None for other units.
    note
        Why the image stopped moving before its end; empty otherwise.
    path
        What was done to make it, in a sentence.
    png
        The picture as a file.
    """

    place: Place = field(repr=False)
    label: str
    score: float
    step: int
    steps: int
    finished: bool
    contrast: float
    reach: float
    probability: float | None
    note: str
    path: str
    png: bytes = field(repr=False)

    @property
    def box(self) -> Box:
        """(top, left, bottom, right) of the picture in the network's input."""
        return self.place.box

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture: what the unit sees."""
        return self.place.size

    @property
    def picture(self) -> Image.Image:
        """The picture, one pixel for each of the input."""
        with Image.open(io.BytesIO(self.png), formats=["PNG"]) as opened:
            opened.load()
            return opened.copy()

    def pixels(self, side: int = 0) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3), or (H, W) of a grey network, enlarged by a whole factor up to ``side`` pixels."""
        return np.asarray(display.picture(np.asarray(self.picture), side=side))

    def _repr_png_(self) -> bytes:
        return self.png


def png_of(
    place: Place,
    image: Tensor,
    neutral: Tensor,
    facts: dict[str, Any],
    digest: str,
) -> bytes:
    """The file of a tile.

    Parameters
    ----------
    image
        (1, C, h, w) in [0, 1], what the unit sees.
    neutral
        (C, 1, 1), the mean colour.
    facts
        Score, step and whatever else of `Tile` follows neither from the place nor from the picture.
    """
    image, neutral = image.float().cpu(), neutral.float().cpu()
    shown = display.picture(display.pixels(display.stretched(image, neutral, STRETCH))[0])
    told = PngInfo()
    recipe = place.recipe.to_json()
    numbers = {**facts, "contrast": display.contrast(image, neutral)[0], "reach": _reach(image, neutral)}
    texts = {
        "cnnviz:objective": repr(place.goal),
        "cnnviz:goals": json.dumps([place.goal.to_data()]),
        "cnnviz:recipe": recipe if len(recipe) <= _MOST_TEXT else "",
        "cnnviz:network": digest,
        "cnnviz:stretch": STRETCH,
        _FACTS: json.dumps(numbers),
    }
    for key, value in texts.items():
        told.add_itxt(key, value)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def tile_of(place: Place, label: str, png: bytes) -> Tile:
    """The tile that `png_of` made.

    Raises
    ------
    ValueError
        The file is none of a tile.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            opened.load()
            facts = json.loads(opened.text[_FACTS])  # type: ignore[attr-defined]
        known = {name: facts[name] for name in ("score", "contrast", "reach", "probability")}
        return Tile(
            place,
            label,
            step=int(facts["step"]),
            steps=place.recipe.steps,
            finished=bool(facts["finished"]),
            note=str(facts["note"]),
            path=str(facts["path"]),
            png=png,
            **{name: None if value is None else float(value) for name, value in known.items()},  # type: ignore[arg-type]
        )
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and more for broken data
        raise ValueError(f"no picture of an atlas: {type(error).__name__}: {error}") from error


def _reach(image: Tensor, neutral: Tensor) -> float:
    sizes = (image - neutral).abs().flatten()
    reach = float(torch.quantile(sizes, 0.995)) or float(sizes.amax())
    return reach if math.isfinite(reach) else 0.0

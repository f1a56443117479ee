"""``examine(index, unit, matches) -> Sighting, ...``: winners measured again before they are shown.

An index remembers; the photograph, the preprocessing and the weights may have changed since. So each image is opened and goes
through the network once more, which also gives the unit's map for it. What no longer answers as it was recorded says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine.field_crops import Crop, Window, cut, window
from cnnviz_widgets.engine.framing import Framing, framing
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.openers import extent
from cnnviz_widgets.engine.receptive_field import Box
from cnnviz_widgets.engine.thumbnails import as_picture

from .loading import default_workers
from .matches import Match

if TYPE_CHECKING:
    from .answers import Answers

TOLERANCE = 1e-3
"""By which share of its size, or of the unit's deviation, an activation may differ: other batches round otherwise."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A winner as it is now.

    Attributes
    ----------
    match
        As it was recorded.
    fault
        Why it is not to be shown: it can't be opened, or no longer gives the recorded activation; empty where all is well.
    score
        The activation now; NaN where the image can't be opened.
    photograph
        The whole image; None where it can't be opened.
    framing
        How the network's input lies in it.
    map
        (H, W) float32: the unit's map; None in a layer without one.
    window
        What the unit sees from the recorded position.
    """

    match: Match
    fault: str
    score: float
    photograph: Image.Image | None
    framing: Framing | None
    map: npt.NDArray[np.float32] | None
    window: Window

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """(top, left, bottom, right) of what the unit sees, in the photograph's pixels; None without a photograph."""
        return None if self.framing is None else self.framing.to_picture(self.window.seen)

    def crop(self, side: int) -> Crop:
        """What the unit sees, ``side`` pixels large; padding is hatched.

        Raises
        ------
        ValueError
            The image can't be opened.
        """
        return self._cut(self.window.box, side)

    def whole(self, side: int) -> Crop:
        """The part of the photograph that the network sees, ``side`` pixels large; as `crop` in all else."""
        return self._cut(None, side)

    def _cut(self, box: Box | None, side: int) -> Crop:
        if self.photograph is None or self.framing is None:
            raise ValueError(f"the image {self.match.id!r} can't be shown: {self.fault}")
        return cut(self.photograph, self.framing, box or (0, 0, *self.framing.input), side)


@dataclass(frozen=True, eq=False)
class _Opened:
    tensor: Tensor | None
    photograph: Image.Image | None
    framing: Framing | None
    fault: str


def examine(index: Answers, unit: Unit, matches: Sequence[Match]) -> list[Sighting]:
    """Measure matches of a unit again."""
    if not matches:
        return []
    with ThreadPoolExecutor(default_workers(), thread_name_prefix="cnnviz-decoding") as pool:
        opened = list(pool.map(lambda match: _open(index, match.id), matches))
    good = [one.tensor for one in opened if one.tensor is not None]
    maps = iter(index.network.activations(torch.stack(good), unit.layer)[unit.layer.name]) if good else iter(())
    spread = index.statistics(unit).deviation
    fields = index.fields(unit.layer)
    found = []
    for match, one in zip(matches, opened, strict=True):
        at = unit.layer[(unit.channel, *match.position)] if match.position else unit
        looks = window(fields, at)
        if one.tensor is None:
            found.append(Sighting(match, one.fault, float("nan"), None, None, None, looks))
            continue
        values = next(maps)[unit.channel].float().cpu()
        score = _score(values, index.plan.settings.pool)
        fault = ""
        if not abs(score - match.score) <= TOLERANCE * max(abs(match.score), spread if spread == spread else 0) + 1e-6:
            fault = f"gives {score:.4g} now, {match.score:.4g} was recorded: the image, its preprocessing or the weights changed"
        drawn = values.numpy() if values.dim() == 2 else None
        found.append(Sighting(match, fault, score, one.photograph, one.framing, drawn, looks))
    return found


def _open(index: Answers, id: str) -> _Opened:
    images, spec = index.images, index.network.input
    try:
        place = images.number(id)
        tensor = images.prepare(place, spec)
        value = images.openers[place].open()
        # what no picture can hold is scaled as a tensor
        like_tensor = not isinstance(value, Image.Image) and (
            isinstance(value, Tensor) or (value.ndim == 3 and spec.size[0] not in (1, 3))
        )
        return _Opened(tensor, as_picture(value), framing(extent(value), spec, tensor=like_tensor), "")
    except (ImageError, KeyError) as error:
        return _Opened(None, None, None, str(error))


def _score(values: Tensor, pool: str) -> float:
    finite = values[values.isfinite()] if values.dim() else values.flatten()
    if not finite.numel():
        return float("nan")
    return float(finite.mean() if pool == "mean" else finite.max())

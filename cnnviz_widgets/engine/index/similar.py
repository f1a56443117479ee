"""``similar_units(index, unit) -> SimilarUnits``: units of the same layer that answer a collection alike.

::

    features (n, C) kept     -> Pearson's correlation of their columns, over all images
    only the table (C, k)    -> how many of the strongest images two units share
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Layer, Unit

from .table import NOTHING, read_keys

if TYPE_CHECKING:
    from .answers import Answers

Basis = Literal["correlation", "top images"]
FEWEST = 3
"""Images that a correlation takes: of two it is always 1 or -1."""
BLOCK = 2**22
"""Numbers that are looked at together, 32 MB of them."""


@dataclass(frozen=True)
class SimilarUnit:
    """A unit that answers a collection as another one does.

    Attributes
    ----------
    likeness
        Pearson's correlation of the two units' activations, above 0 to 1; or, where features are not kept, the share of the
        strongest images that both have.
    """

    unit: Unit
    likeness: float

    def __str__(self) -> str:
        return f"{self.unit!r}  {self.likeness:.3f}"


@dataclass(frozen=True, repr=False)
class SimilarUnits(Sequence[SimilarUnit]):
    """The units most like one of their layer, the most alike first; prints as a table.

    Attributes
    ----------
    unit
        The one that they are like.
    basis
        ``"correlation"`` or ``"top images"``: what `SimilarUnit.likeness` is.
    images
        Over how many images the correlation goes, or of how many strongest ones the share is.
    chance
        The likeness of two units that have nothing to do with each other: 0, or the share of strongest images that two random
        choices would have in common.
    units
        How many others were compared.
    left_out
        What was not, in a sentence; empty where all was.
    """

    rows: tuple[SimilarUnit, ...]
    unit: Unit
    basis: Basis
    images: int
    chance: float
    units: int
    left_out: str = ""

    @overload
    def __getitem__(self, at: int) -> SimilarUnit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[SimilarUnit]: ...
    def __getitem__(self, at: int | slice) -> SimilarUnit | Sequence[SimilarUnit]:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def told(self) -> str:
        """What the likeness is, for a caption."""
        if self.basis == "correlation":
            return f"correlation of activations over {self.images:,} images"
        return f"share of the {self.images:,} strongest images in common; {self.chance:.2g} by chance"

    def __repr__(self) -> str:
        head = f"{len(self)} of {self.units:,} units like {self.unit!r}: {self.told}"
        return "\n".join([head, *(f"  {row}" for row in self.rows), *filter(None, [self.left_out])])


def similar_units(index: Answers, unit: Unit, k: int) -> SimilarUnits:
    """See `Answers.similar_units`."""
    if k < 1:
        raise ValueError(f"k={k}; expected at least one unit")
    if any(layer.name == unit.layer.name for layer in index.plan.features):
        return _correlated(index, unit, k)
    return _sharing(index, unit, k)


def _correlated(index: Answers, unit: Unit, k: int) -> SimilarUnits:
    layer, features = unit.layer, index.parts.features(unit.layer.name)
    if unit.position is not None and layer.name not in index.plan.flat:
        raise ValueError(f"{unit} is a neuron; features of {layer.name!r} are means over maps: {layer[unit.channel]}")
    own = next(_columns(features, unit, slice(unit.channel, unit.channel + 1)))[1][:, 0].astype(np.float64)
    known = np.isfinite(own)
    if known.sum() < FEWEST:
        raise ValueError(
            f"a correlation takes {FEWEST} images or more, the index has {int(known.sum())} with finite values"
        )
    own = own[known]
    likeness = np.full(layer.channels, np.nan)
    odd = constant = 0
    for channels, block in _columns(features, unit, slice(0, layer.channels)):
        values = block[known].astype(np.float64)
        finite = np.isfinite(values).all(0)
        values = np.where(finite, values, 0.0)
        varied = (values != values[0]).any(0)
        odd, constant = odd + int((~finite).sum()), constant + int((finite & ~varied).sum())
        likeness[channels] = np.where(finite & varied, _correlation(own, values), np.nan)
    rows = _best(unit, likeness, np.zeros(layer.channels), k)
    told = [_counted(odd, "values that are not finite"), _counted(constant, "one and the same value for all images")]
    compared = layer.channels - odd - constant - int(math.isfinite(likeness[unit.channel]))
    return SimilarUnits(rows, unit, "correlation", len(own), 0.0, compared, " ".join(filter(None, told)))


def _columns(
    features: npt.NDArray[np.float32], unit: Unit, among: slice
) -> Iterator[tuple[slice, npt.NDArray[np.floating[Any]]]]:
    """Channels, and (n, some): the features that the unit's are compared with, a block of channels at a time.

    Where positions are kept apart, a neuron is compared with those at its place, and a channel with the means over maps.
    """
    layer: Layer = unit.layer
    places = features.shape[1] // layer.channels
    step = max(1, BLOCK // max(1, len(features) * places))
    at = 0 if unit.index is None or places == 1 else int(np.ravel_multi_index(unit.index, layer.positions))
    for start in range(among.start, among.stop, step):
        channels = slice(start, min(start + step, among.stop))
        block = features[:, start * places : channels.stop * places].reshape(len(features), -1, places)
        alone = places == 1 or unit.index is not None
        yield channels, block[:, :, at] if alone else block.mean(2, dtype=np.float64)


def _correlation(own: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(c,): Pearson's correlation of (n,) with each column of (n, c); NaN where one does not vary."""
    own, others = own - own.mean(), others - others.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = own @ others / np.sqrt(np.square(own).sum() * np.square(others).sum(0))
    return np.asarray(found).clip(-1, 1)


def _sharing(index: Answers, unit: Unit, k: int) -> SimilarUnits:
    row = index.row(unit)
    start, channels = row - unit.channel, unit.layer.channels
    kept = index.plan.settings.k
    own = _decided(index.rows("keys", row, row + 1)[0])
    rank = {number: place for place, number in enumerate(own)}
    shared, ranks, barren = np.zeros(channels), np.zeros(channels), 0
    for channel, keys in enumerate(index.rows("keys", start, start + channels)):
        numbers = _decided(keys)
        barren += not numbers
        both = [(place, rank[number]) for place, number in enumerate(numbers) if number in rank]
        shared[channel], ranks[channel] = len(both), sum(map(sum, both))
    most = min(kept, max(index.measured, 1))
    told = _counted(barren, "no image that stands out")
    return SimilarUnits(
        _best(unit, shared / most, ranks, k),
        unit,
        "top images",
        most,
        most / max(index.measured, 1),
        channels - barren - bool(own),
        told,
    )


def _decided(keys: npt.NDArray[Any]) -> list[int]:
    """Numbers of the images among a unit's strongest whatever else is in the collection.

    Images that tie for the last place are there by their ids alone: a unit that is silent for most images would share them with
    all others that are.
    """
    keys = keys[keys != NOTHING]
    values, numbers = read_keys(keys)
    tied = values == values[-1] if len(values) else np.zeros(0, bool)
    return [int(number) for number in (numbers[~tied] if tied.sum() > 1 else numbers)]


def _best(
    unit: Unit, likeness: npt.NDArray[np.float64], ranks: npt.NDArray[np.float64], k: int
) -> tuple[SimilarUnit, ...]:
    """The most alike, of equal ones those with the smaller rank, then the lower channel."""
    order = np.lexsort((ranks, -np.nan_to_num(likeness, nan=-2.0)))
    where = () if unit.position is None else ("center",) if unit.position == "center" else unit.position
    best = [int(at) for at in order if at != unit.channel and likeness[at] > 0][:k]
    return tuple(SimilarUnit(unit.layer[(at, *where)], float(likeness[at])) for at in best)


def _counted(count: int, what: str) -> str:
    return f"{count:,} unit{'s have' if count != 1 else ' has'} {what}; left out." if count else ""

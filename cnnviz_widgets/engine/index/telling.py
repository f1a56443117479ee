"""``telling_units(index, ids) -> TellingUnits``, ``Shared.of(index, ids)``: what some images have that the rest has not.

::

    features (n, C), rows of the chosen -> columns by how well they tell them from the rest; a direction from the rest to them
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Layer, Unit

if TYPE_CHECKING:
    from .answers import Answers

By = Literal["high", "low", "either"]
BLOCK = 2**22
"""Numbers that are looked at together, 32 MB of them."""


@dataclass(frozen=True)
class TellingUnit:
    """How well a unit tells chosen images from the rest.

    Attributes
    ----------
    auc
        The area under the ROC curve: how probable it is that a chosen image's activation is larger than that of another one,
        equal ones counted half. 1: all are larger, 0.5: the unit tells nothing, 0: all are smaller.
    effect
        Cohen's d: the difference of the means in pooled deviations; infinite where the values of neither side differ.
    inside, rest
        The mean activation of the chosen images, and of the others.
    """

    unit: Unit
    auc: float
    effect: float
    inside: float
    rest: float

    @property
    def sign(self) -> int:
        """1 where the chosen images' activations are high, -1 where they are low."""
        return 1 if self.auc >= 0.5 else -1

    def __str__(self) -> str:
        return f"{self.unit!r}  AUC {self.auc:.3f}  d {self.effect:+.2f}  {self.inside:.4g} against {self.rest:.4g}"


@dataclass(frozen=True, repr=False)
class TellingUnits(Sequence[TellingUnit]):
    """The units that tell some images from the rest, the best first; prints as a table.

    Attributes
    ----------
    layer
        Theirs.
    inside, rest
        How many images were compared with how many.
    columns
        How many units were compared.
    left_out
        What was not, in a sentence; empty where all was.
    """

    rows: tuple[TellingUnit, ...]
    layer: Layer
    inside: int
    rest: int
    columns: int
    left_out: str = ""

    @overload
    def __getitem__(self, at: int) -> TellingUnit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[TellingUnit]: ...
    def __getitem__(self, at: int | slice) -> TellingUnit | Sequence[TellingUnit]:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        of = f"{len(self)} of {self.columns:,} units of {self.layer.name}"
        head = f"{of} that tell {self.inside:,} image{'s' * (self.inside != 1)} from {self.rest:,}"
        return "\n".join([head, *(f"  {row}" for row in self.rows), *filter(None, [self.left_out])])


@dataclass(frozen=True, eq=False)
class Shared:
    """A direction in a layer's space from the rest of a collection to some images, and where both stand along it.

    It is the difference of the means.

    Attributes
    ----------
    vector
        (C,), of length 1, for `objectives.direction`.
    inside, rest
        How far the chosen images and the others lie along it, on the average.
    cosine_inside, cosine_rest
        Their mean cosine with it.
    left_out
        What features were, in a sentence; empty where none.
    """

    layer: Layer
    vector: npt.NDArray[np.float32]
    inside: float
    rest: float
    cosine_inside: float
    cosine_rest: float
    left_out: str = ""

    @classmethod
    def of(cls, index: Answers, ids: Iterable[str], layer: str | Layer | None = None) -> Shared:
        """The direction of some images of an index; see `Answers.shared_direction`."""
        sides = _Sides.of(index, ids, layer)
        places = sides.features.shape[1] // sides.layer.channels
        vector, left_out = _direction(sides, places)
        lengths, ways = [], []
        for rows in (sides.inside, ~sides.inside):
            along, cosines = _along(sides.features, np.flatnonzero(rows), vector)
            lengths.append(along)
            ways.append(cosines)
        told = " ".join(filter(None, [sides.left_out, left_out]))
        return cls(sides.layer, vector, lengths[0], lengths[1], ways[0], ways[1], told)

    def standing(self, features: npt.NDArray[Any]) -> tuple[float, float]:
        """Where features (C,) stand along it, 0 as the mean of the rest and 1 as that of the chosen images, and their cosine."""
        along, cosine = _along(features[None], np.zeros(1, np.int64), self.vector)
        return (along - self.rest) / (self.inside - self.rest), cosine


@dataclass(frozen=True, eq=False)
class _Sides:
    """Features (n, C) of a layer, one row an image, and which rows are the chosen ones."""

    layer: Layer
    features: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]
    left_out: str

    @classmethod
    def of(cls, index: Answers, ids: Iterable[str], layer: str | Layer | None) -> _Sides:
        given = [ids] if isinstance(ids, str) else list(ids)
        if not given:
            raise ValueError("no ids were given; expected those of one image or more of the collection: index.ids")
        rows = sorted({index.row_of(id) for id in given})
        name = index.feature_layer(layer)
        features = index.parts.features(name)
        inside = np.zeros(len(features), bool)
        inside[rows] = True
        # an image of which nothing is known would cost every column
        known = np.concatenate([np.isfinite(block).any(1) for block in _row_blocks(features)])
        lost = int((~known).sum())
        told = f"The features of {lost:,} image{'s' * (lost != 1)} are not finite; left out." if lost else ""
        if lost:
            features, inside = features[known], inside[known]
        if not inside.any():
            raise ValueError(f"the features of all images given are not finite numbers in {name!r}; choose others")
        if inside.all():
            raise ValueError(
                f"all {len(inside):,} images of the index were given; leave some out, for the others are what they "
                "are told from"
            )
        return cls(index.network[name], features, inside, told)

    def blocks(self, width: int = 1) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """(first column, (n, some) columns), whole groups of ``width`` of them."""
        rows, columns = self.features.shape
        step = max(1, BLOCK // (rows * width)) * width
        for start in range(0, columns, step):
            yield start, self.features[:, start : start + step]


def _row_blocks(features: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    step = max(1, BLOCK // max(1, features.shape[1]))
    return (features[start : start + step] for start in range(0, len(features), step))


def telling_units(index: Answers, ids: Iterable[str], layer: str | Layer | None, k: int, by: str) -> TellingUnits:
    """See `Answers.telling_units`."""
    if k < 1:
        raise ValueError(f"k={k}; expected at least one unit")
    if by not in get_args(By):
        raise ValueError(f"by={by!r}; expected {', '.join(map(repr, get_args(By)))}")
    sides = _Sides.of(index, ids, layer)
    found = [_compared(block, sides.inside) for _, block in sides.blocks()]
    auc, effect, inside, rest = (np.concatenate([part[at] for part in found]) for at in range(4))
    infinite, constant = (np.concatenate([part[at] for part in found]) for at in (4, 5))
    if infinite.all():
        raise ValueError(f"no unit of {sides.layer.name!r} has finite values for all images; choose other images")
    lean = {"high": auc - 0.5, "low": 0.5 - auc, "either": np.abs(auc - 0.5)}[by]
    strength = {"high": effect, "low": -effect, "either": np.abs(effect)}[by]
    # ties of both go to the lower channel
    order = np.lexsort((-strength, -lean))
    best = [int(at) for at in order if lean[at] > 0][:k]
    rows = (
        TellingUnit(_unit(index, sides, at), float(auc[at]), float(effect[at]), float(inside[at]), float(rest[at]))
        for at in best
    )
    count = int(sides.inside.sum())
    told = [
        sides.left_out,
        _counted(infinite, "values that are not finite"),
        _counted(constant, "one and the same value"),
    ]
    return TellingUnits(
        tuple(rows), sides.layer, count, len(sides.inside) - count, int((~infinite).sum()), " ".join(filter(None, told))
    )


def _counted(which: npt.NDArray[np.bool_], what: str) -> str:
    count = int(which.sum())
    return f"{count:,} unit{'s have' if count != 1 else ' has'} {what}; left out." if count else ""


def _unit(index: Answers, sides: _Sides, column: int) -> Unit:
    """The unit of a column: a channel, or a neuron where features are kept position by position."""
    layer = sides.layer
    if layer.name not in index.plan.flat:
        return layer[column]
    channel, place = divmod(column, math.prod(layer.positions))
    return layer[(channel, *(int(at) for at in np.unravel_index(place, layer.positions)))]


def _compared(columns: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], ...]:
    """For columns (n, c): AUC, effect, both means, which are not finite, which are constant; 0.5 and 0 for such ones."""
    infinite = ~np.isfinite(columns).all(0)
    columns = np.where(infinite, np.float32(0), columns)
    constant = (columns == columns[0]).all(0) & ~infinite
    ours, others = columns[inside].astype(np.float64), columns[~inside].astype(np.float64)
    means = ours.mean(0), others.mean(0)
    squares = sum(np.square(group - mean).sum(0) for group, mean in zip((ours, others), means, strict=True))
    deviation = np.sqrt(squares / max(len(columns) - 2, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = (means[0] - means[1]) / deviation
    effect = np.where(constant | infinite, 0.0, effect)
    return _auc(columns, inside), effect, *means, np.asarray(infinite), np.asarray(constant)


def _auc(columns: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(c,): the Mann-Whitney U of the chosen rows over its largest possible value.

    A value's rank is half the number of values below it and of those not above it: equal ones share theirs.
    """
    ordered, ours = np.sort(columns.T, axis=1), columns[inside].T
    count, others = ours.shape[1], len(inside) - ours.shape[1]
    below = np.array(
        [
            line.searchsorted(own, "left").sum() + line.searchsorted(own, "right").sum()
            for line, own in zip(ordered, ours, strict=True)
        ],
        np.float64,
    )
    return (below / 2 - count * count / 2) / (count * others)


def _direction(sides: _Sides, places: int) -> tuple[npt.NDArray[np.float32], str]:
    """(C,), of length 1: the difference of the means; and what was left out.

    The simplest concept vector: Kim et al. 2018, "Testing with Concept Activation Vectors", fit a linear classifier instead;
    Carter et al. 2019, "Activation Atlas", climb along means themselves, from which what all images share is here taken off.
    Dividing each channel by its pooled variance (a linear discriminant with independent channels), or by the whole shrunken
    covariance, separates no worse, but of EfficientNet-Lite0 showed less when climbed: the first goes after channels that
    hardly ever answer.
    """
    differences = []
    for _, block in sides.blocks(places):
        values = _of_channels(block, places)
        with np.errstate(invalid="ignore"):
            differences.append(values[sides.inside].mean(0) - values[~sides.inside].mean(0))
    difference = np.concatenate(differences)
    infinite = ~np.isfinite(difference)
    difference[infinite] = 0
    length = float(np.linalg.norm(difference))
    if not length:
        raise ValueError(
            f"the images given and the others have the same mean in {sides.layer.name!r}, so no direction leads from these to "
            "those; choose other images or another layer"
        )
    return (difference / length).astype(np.float32), _counted(infinite, "values that are not finite")


def _of_channels(features: npt.NDArray[Any], places: int) -> npt.NDArray[np.float64]:
    """(n, C x places) -> (n, C): the mean over each channel's positions, where these are kept apart."""
    with np.errstate(invalid="ignore"):
        return np.asarray(features.reshape(len(features), -1, places).mean(2, dtype=np.float64))


def _along(
    features: npt.NDArray[Any], rows: npt.NDArray[np.int64], vector: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """How far some rows of the features lie along a vector of length 1, and their cosine with it, both on the average."""
    places = features.shape[1] // len(vector)
    lengths, cosines = [], []
    step = max(1, BLOCK // features.shape[1])
    for start in range(0, len(rows), step):
        values = _of_channels(features[rows[start : start + step]], places)
        values = np.where(np.isfinite(values), values, 0.0)
        along, length = values @ vector.astype(np.float64), np.linalg.norm(values, axis=1)
        lengths.append(along)
        cosines.append(np.divide(along, length, out=np.zeros_like(along), where=length > 0))
    return float(np.concatenate(lengths).mean()), float(np.concatenate(cosines).mean())

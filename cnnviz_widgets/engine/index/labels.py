"""``labels_for(index, unit) -> LabelsFor``: with which labels of a collection a unit goes.

::

    values (n,) kept     -> per label the area under the ROC curve
    only the table (k,)  -> how many of the strongest images have the label
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Unit

if TYPE_CHECKING:
    from .answers import Answers

Basis = Literal["values", "top images"]
FEWEST = 3
"""Images of a label from which on it is judged: one image of it is often the strongest of all by chance."""


@dataclass(frozen=True)
class LabelFor:
    """How a label goes with a unit.

    Attributes
    ----------
    auc
        How probable it is that an image of the label excites the unit more than one of another label, equal ones counted half:
        1 always, 0.5 as often as not. NaN where the layer's features are not kept.
    among
        How many of the unit's strongest images have the label.
    images
        How many images of the collection have it.
    """

    label: str
    auc: float
    among: int
    images: int

    def __str__(self) -> str:
        judged = f"AUC {self.auc:.3f}  " if self.auc == self.auc else ""
        return f"{self.label}  {judged}{self.among} of the strongest, {self.images:,} in all"


@dataclass(frozen=True, repr=False)
class LabelsFor(Sequence[LabelFor]):
    """The labels that a unit goes with, the closest first; prints as a table.

    Attributes
    ----------
    basis
        ``"values"``: ordered by `LabelFor.auc`; ``"top images"``: by how many of the strongest images have them, and by how rare
        that is for labels as frequent as they are.
    images
        How many images were judged.
    left_out
        What was not, in a sentence; empty where all was.
    """

    rows: tuple[LabelFor, ...]
    unit: Unit
    basis: Basis
    images: int
    strongest: int
    left_out: str = ""

    @overload
    def __getitem__(self, at: int) -> LabelFor: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[LabelFor]: ...
    def __getitem__(self, at: int | slice) -> LabelFor | Sequence[LabelFor]:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def told(self) -> str:
        """What the numbers are, for a caption."""
        if self.basis == "values":
            return f"how well the activation tells a label's images from the other ones of {self.images:,} (AUC)"
        return f"labels among the {self.strongest:,} strongest of {self.images:,} images"

    def __repr__(self) -> str:
        head = f"{len(self)} labels that {self.unit!r} goes with: {self.told}"
        return "\n".join([head, *(f"  {row}" for row in self.rows), *filter(None, [self.left_out])])


def labels_for(index: Answers, unit: Unit, k: int) -> LabelsFor:
    """See `Answers.labels_for`."""
    if k < 1:
        raise ValueError(f"k={k}; expected at least one label")
    if not index.images.labelled:
        raise ValueError(
            "the collection has no labels; ImageSet.from_folder takes them from folders' names, "
            "ImageSet.from_arrays(arrays, labels) as they are given"
        )
    labels = [index.images.labels[index.images.number(id)] for id in index.ids]
    strongest = _strongest(index, unit)
    kept = any(layer.name == unit.layer.name for layer in index.plan.features)
    return _by_values(index, unit, labels, strongest, k) if kept else _by_images(unit, labels, strongest, k)


def _strongest(index: Answers, unit: Unit) -> list[str]:
    """The labels of the strongest images of the unit, of a neuron those of its channel; none where that is not in the index."""
    if not index.holds(unit.layer):
        return []
    found = index.top_images(unit.layer[unit.channel])
    return [index.images.labels[index.images.number(match.id)] for match in found]


def _by_values(index: Answers, unit: Unit, labels: Sequence[str], strongest: Sequence[str], k: int) -> LabelsFor:
    values = index.values(unit)
    known = np.isfinite(values) & np.array([bool(label) for label in labels], bool)
    names, which = np.unique(np.array(labels, object)[known].astype(str), return_inverse=True)
    counts = np.bincount(which, minlength=len(names))
    judged = (counts >= FEWEST) & (counts < known.sum())
    if not judged.any():
        return _by_images(unit, labels, strongest, k, few=True)
    area = _areas(values[known], which, counts)
    among = Counter(strongest)
    order = [int(at) for at in np.lexsort((-counts, -area)) if judged[at] and area[at] > 0.5]
    rows = tuple(LabelFor(str(names[at]), float(area[at]), among[str(names[at])], int(counts[at])) for at in order[:k])
    few = int((~judged).sum())
    told = f"{few:,} label{'s have' if few != 1 else ' has'} fewer than {FEWEST} images; left out." if few else ""
    return LabelsFor(rows, unit, "values", int(known.sum()), len(strongest), told)


def _areas(
    values: npt.NDArray[np.float32], which: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(labels,): the Mann-Whitney U of each label's values against all others, over its largest possible value."""
    ordered = np.sort(values)
    # half the number of smaller values and of those not larger: equal ones share their ranks
    below = (ordered.searchsorted(values, "left") + ordered.searchsorted(values, "right")) / 2
    sums = np.bincount(which, below, minlength=len(counts))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((sums - counts**2 / 2) / (counts * (len(values) - counts)))


def _by_images(unit: Unit, labels: Sequence[str], strongest: Sequence[str], k: int, few: bool = False) -> LabelsFor:
    every, among = Counter(labels), Counter(label for label in strongest if label)
    order = sorted(among, key=lambda label: (-among[label], every[label], label))[:k]
    rows = tuple(LabelFor(label, float("nan"), among[label], every[label]) for label in order)
    told = f"No label has {FEWEST} images, which an AUC takes." if few else ""
    return LabelsFor(rows, unit, "top images", len(labels), len(strongest), told)

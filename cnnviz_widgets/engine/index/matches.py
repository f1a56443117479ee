"""``Match``, ``Level``, ``Statistics``, ``Neighbors``: what an index answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.receptive_field import Box


@dataclass(frozen=True)
class Match:
    """An image that excites a unit.

    Attributes
    ----------
    id
        The image's.
    score
        The unit's activation for it: the maximum over its map, or the mean.
    position
        Where on the map, (row, column); empty in a layer without positions, and for means.
    box
        (top, left, bottom, right) in pixels of the network's input that the unit sees from there, half open, within the input.
    status
        What kind of box: ``"exact"``, ``"cut by the border"``, ``"whole image"``, ``"unknown"``.
    folded
        Near-duplicates among the winners that this one stands for.
    """

    id: str
    score: float
    position: tuple[int, ...]
    box: Box
    status: str
    folded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level:
    """An image for a level of a unit's activation.

    Attributes
    ----------
    share
        Of all images, how many answer less or about as much.
    low, high
        The image's activation lies between these, ``high`` not included: the level is as true as the bin is wide.
    id
        An image of that bin, the same one whatever the order in which images came.
    """

    share: float
    low: float
    high: float
    id: str


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the images of a collection do to a unit.

    Attributes
    ----------
    images
        How many have a value.
    mean, deviation
        Of these values, the deviation being the square root of the mean squared distance; NaN of none.
    fires
        The share of values above zero.
    lowest, highest
        The ends; NaN of none.
    dropped
        Images for which the unit gives values that are not finite. These values are left out; where an image gives others too,
        the others count.
    edges, counts
        The histogram: (n + 1,) and (n,), without empty bins at its ends.
    """

    unit: Unit
    images: int
    mean: float
    deviation: float
    fires: float
    lowest: float
    highest: float
    dropped: int
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    def share_below(self, value: float) -> float:
        """The share of images that answer less, true to the width of a bin; NaN of none."""
        if not self.images or value != value:
            return float("nan")
        if value <= self.lowest or value > self.highest:
            return float(value > self.highest)
        return float(np.interp(value, self.edges, np.concatenate([[0], np.cumsum(self.counts)])) / self.images)


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest images of some queries.

    Attributes
    ----------
    queries
        Their ids, or ``"query 0"`` and so on for images that are not of the set.
    labels
        The queries' labels; empty texts where they are not known.
    ids
        Per query the nearest images' ids, nearest first.
    distances
        As many distances.
    neighbor_labels
        And labels.
    layer, metric
        Whose features, and what is small.
    recall
        The share of the true neighbours that was found; 1 for an exact search.
    """

    queries: tuple[str, ...]
    labels: tuple[str, ...]
    ids: tuple[tuple[str, ...], ...]
    distances: tuple[tuple[float, ...], ...]
    neighbor_labels: tuple[tuple[str, ...], ...]
    layer: str
    metric: str
    recall: float = 1.0

    @property
    def first_hits(self) -> float | None:
        """The share of queries whose nearest image has the query's label; None where no label is known."""
        told = [
            (label, found[0]) for label, found in zip(self.labels, self.neighbor_labels, strict=True) if label and found
        ]
        return sum(label == first for label, first in told) / len(told) if told else None

    @property
    def hit_rate(self) -> float | None:
        """The share of all neighbours that have their query's label; None where no label is known."""
        told = [
            label == other
            for label, found in zip(self.labels, self.neighbor_labels, strict=True)
            for other in found
            if label
        ]
        return sum(told) / len(told) if told else None

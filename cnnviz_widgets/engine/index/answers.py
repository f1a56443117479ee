"""``Answers``: what an index tells of units and of images, whatever it was read from.

A unit's numbers are a row of the table, an image's a row of the kept features; both are read when they are asked for, from memory
or from files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.openers import Fault
from cnnviz_widgets.engine.receptive_field import ReceptiveFields, all_receptive_fields

from .alike import folded
from .building import THUMBNAIL
from .columns import values_of
from .examining import Sighting, examine
from .labels import LabelsFor, labels_for
from .matches import Level, Match, Neighbors, Statistics
from .neighbors import Metric, approximate, nearest
from .parts import Parts
from .plan import Plan
from .queries import queries, units_for
from .readings import COUNTED, levels, statistics
from .roster import Roster
from .sheets import neighbor_sheet, top_sheet
from .similar import SimilarUnits, similar_units
from .table import NOTHING, read_keys
from .telling import By, Shared, TellingUnits, telling_units

Rows = Callable[[str, int, int], npt.NDArray[Any]]
SHARES = (1.0, 0.99, 0.9, 0.75, 0.5, 0.25, 0.0)
"""Which levels of a unit are shown unless others are asked for."""
ALIKE = 0.98
"""How alike two winners must be, as the cosine of their features, to be folded."""


class Answers:
    """What an index answers; see `ActivationIndex`.

    Parameters
    ----------
    rows
        Name of a column, first and last row -> these rows of the table.
    parts
        What is kept for each image.
    digest
        That of the network's weights and preprocessing.
    """

    def __init__(
        self,
        network: Network,
        images: ImageSet,
        plan: Plan,
        roster: Roster,
        rows: Rows,
        parts: Parts,
        *,
        looked_at: int,
        faults: Mapping[int, str],
        digest: str,
        path: Path | None = None,
    ) -> None:
        self.network, self.images, self.plan = network, images, plan
        self.looked_at, self.total, self.path, self.digest = looked_at, len(roster.ids), path, digest
        self.faults = tuple(Fault(roster.ids[number], reason) for number, reason in sorted(faults.items()))
        self._roster, self.rows, self.parts = roster, rows, parts
        self.offsets = plan.offsets

    @property
    def complete(self) -> bool:
        """Whether all images have been looked at."""
        return self.looked_at >= self.total

    @property
    def measured(self) -> int:
        """How many images are in it: those looked at, without faults."""
        return self.looked_at - len(self.faults)

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Row of the features -> place in the set of images."""
        return self._roster.in_set(self.images)[self.parts.numbers]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The images that are in it, in the set's order; the rows of `features`."""
        return tuple(self.images.ids[place] for place in np.sort(self._places))

    def holds(self, layer: str | Layer) -> bool:
        """Whether the units of a layer are in it."""
        name = layer.name if isinstance(layer, Layer) else layer
        return name in self.offsets or name in self.plan.alias

    def row(self, unit: Unit) -> int:
        """The unit's row in the table.

        Raises
        ------
        ValueError
            The layer is not in the index, or the unit is a single neuron, while the index holds channels.
        """
        name = unit.layer.name
        if not self.holds(name):
            why = self.plan.left_out.get(name, "it was not among layers=")
            raise ValueError(
                f"{name!r} is not in the index: {why}. It holds {len(self.offsets)} layers: index.plan.layers"
            )
        if unit.position is not None:
            raise ValueError(f"{unit} is a neuron; the index holds channels: net[{name!r}][{unit.channel}]")
        if unit.layer.shape != (known := self.network[name].shape):
            raise ValueError(
                f"{unit} is of a layer of the shape {unit.layer.shape}; {name!r} has {known}: net[{name!r}]"
            )
        return self.offsets[self.plan.alias.get(name, name)] + unit.channel

    def top_images(self, unit: Unit, k: int | None = None, *, fold: bool = False) -> list[Match]:
        """The images for which a unit's activation is largest, the largest first; equal ones in the order of their ids.

        They are as they were recorded; `examine` measures them again.

        Parameters
        ----------
        k
            How many, at most those that the index keeps; None: all of these.
        fold
            Keep one of near-duplicates, those whose features' cosine is at least `ALIKE`; `Match.folded` names the others. Fewer
            than k may remain.
        """
        row = self.row(unit)
        kept = self.plan.settings.k
        if k is not None and not 1 <= k <= kept:
            raise ValueError(f"k={k}; the index keeps {kept} images per unit: build(k=...) keeps more")
        keys, positions = (self.rows(name, row, row + 1)[0] for name in ("keys", "positions"))
        values, numbers = read_keys(keys)
        matches = [
            self._match(unit, int(number), float(value), int(position))
            for key, value, number, position in zip(keys, values, numbers, positions, strict=True)
            if key != NOTHING
        ]
        if fold:
            matches = folded(matches, {match.id: self._feature(match.id) for match in matches}, ALIKE)
        return matches[:k]

    def examine(self, unit: Unit, k: int | None = None, *, fold: bool = False) -> list[Sighting]:
        """`top_images`, each opened and measured again: what changed since says so, the others bring photograph, map and crop."""
        return examine(self, unit, self.top_images(unit, k, fold=fold))

    def sheet(
        self,
        unit: Unit,
        k: int | None = None,
        *,
        crops: bool = False,
        fold: bool = False,
        side: int = 176,
        columns: int = 0,
    ) -> Image.Image:
        """The images that excite a unit most as one picture, measured again; those that changed since are left out.

        Parameters
        ----------
        crops
            What the unit sees alone, hatched where it looks beyond the border, in place of all that the network sees.
        fold
            See `top_images`.
        side
            Pixels of each image; ``columns`` of them in a row, 0: about as many as rows.

        Raises
        ------
        ValueError
            No image to show.
        """
        return top_sheet(self, unit, k, crops, fold, side, columns)

    def neighbor_sheet(self, found: Neighbors, queries: Any = None, *, side: int = 128) -> Image.Image:
        """Neighbours as the classic figure: queries in the first column, the nearest images right of each.

        Parameters
        ----------
        queries
            The pictures that were asked about, where they are not of the set.
        """
        return neighbor_sheet(self, found, queries, side)

    def _match(self, unit: Unit, number: int, score: float, position: int) -> Match:
        layer = unit.layer
        where = () if position < 0 else tuple(int(at) for at in np.unravel_index(position, layer.positions))
        field = self.fields(layer)[layer[(unit.channel, *where)] if where else unit]
        return Match(self._roster.ids[number], score, where, field.box, field.status)

    def fields(self, layer: str | Layer) -> ReceptiveFields:
        """The receptive fields of a layer's units."""
        known = self.network.once("receptive fields", lambda: all_receptive_fields(self.network))
        return known[self.network[layer].name]

    def spectrum(self, unit: Unit, shares: Sequence[float] = SHARES) -> list[Level]:
        """Images for the levels of a unit's activation, from its strongest to its weakest.

        Parameters
        ----------
        shares
            For each the image that so many of all images do not outdo: 1 the strongest, 0.5 the median, 0 the weakest.
        """
        return [
            Level(share, low, high, self._roster.ids[int(self._roster.order[rank])])
            for share, low, high, rank in levels(self._told(unit), shares)
        ]

    def statistics(self, unit: Unit) -> Statistics:
        """How a unit's activations are spread over the collection."""
        return statistics(unit, self._told(unit))

    def _told(self, unit: Unit) -> dict[str, npt.NDArray[Any]]:
        """The unit's row of all that is counted."""
        row = self.row(unit)
        return {name: self.rows(name, row, row + 1)[0] for name in COUNTED}

    def features(self, layer: str | Layer | None = None) -> npt.NDArray[np.float32]:
        """(n, C): the features of the images `ids` in a layer, each the mean over a map; None: the last hidden layer.

        Where the last dense layer takes all positions of the last hidden one, these are kept apart: C is then their number.
        """
        order = np.argsort(self._places, kind="stable")
        return self.parts.features(self.feature_layer(layer))[order]

    def values(self, unit: Unit) -> npt.NDArray[np.float32]:
        """(n,): the activation of a unit for each of the images `ids`, where its layer's features are kept.

        The mean over the unit's map, or of a neuron its own, where positions are kept apart.

        Raises
        ------
        ValueError
            The layer's features were not kept, or they are means over maps and the unit is a neuron.
        """
        return values_of(self, unit)

    def feature_layer(self, layer: str | Layer | None) -> str:
        """The name of a layer whose features are kept; None: the last hidden one.

        Raises
        ------
        ValueError
            They are not kept.
        """
        name = self.network[layer].name if layer is not None else ""
        kept = [known.name for known in self.plan.features]
        if not kept:
            raise ValueError(
                f"no features were kept: {self.network.last_hidden.name!r}, the last hidden layer, gives none. "
                "build(features=[...]) names other layers"
            )
        if not name:
            return self.network.last_hidden.name if self.network.last_hidden.name in kept else kept[0]
        if name not in kept:
            raise ValueError(
                f"features of {name!r} were not kept, but of {kept}; build(features=[{name!r}]) keeps them"
            )
        return name

    def _feature(self, id: str) -> npt.NDArray[np.float32]:
        layer = self.feature_layer(None)
        return self.parts.feature(layer, self.row_of(id))

    def row_of(self, id: str) -> int:
        """The row of an image in the kept features.

        Raises
        ------
        UnknownNameError, ImageError
            No such image, or it was not measured.
        """
        try:
            return self.rows_by_id[id]
        except KeyError:
            self.images.number(id)
            raise ImageError(
                f"the image {id!r} was not measured (yet); index.faults tells which could not be"
            ) from None

    @cached_property
    def rows_by_id(self) -> dict[str, int]:
        """Image id -> row of the kept features."""
        return {self.images.ids[place]: row for row, place in enumerate(self._places)}

    def neighbors(
        self,
        query_images: Any,
        layer: str | Layer | None = None,
        k: int = 5,
        *,
        metric: Metric = "l2",
        without_itself: bool = False,
        labels: Sequence[str] | None = None,
        search: str = "exact",
    ) -> Neighbors:
        """The images nearest to some queries in a layer's features.

        Parameters
        ----------
        query_images
            Ids of the set, or images of one's own.
        layer
            One of those whose features are kept; None: the last hidden one.
        metric
            ``"l2"``, the distance of Krizhevsky et al. 2012, or ``"cosine"``.
        without_itself
            Leave out the query where it is of the set: it is its own nearest neighbour.
        labels
            The queries' labels, where they are not of the set; with them hits can be told.
        search
            ``"exact"``, or ``"faiss"``: approximate, which pays from thousands of queries on; `Neighbors.recall` tells the share
            of the true neighbours that it finds.
        """
        if k < 1:
            raise ValueError(f"k={k}; expected at least one neighbour")
        name = self.feature_layer(layer)
        asked = queries(self, query_images, name, labels)
        own = asked.rows(self) if without_itself else None
        recall = 1.0
        if search == "exact":
            rows, far = nearest(asked.features, self.parts.blocks(name), k, metric, own)
        elif search == "faiss":
            rows, far, recall = approximate(asked.features, self.parts.features(name), k, metric, own)
        else:
            raise ValueError(f"search={search!r}; expected 'exact' or 'faiss'")
        places = self._places
        found = [[int(places[row]) for row in line if row >= 0] for line in rows]
        return Neighbors(
            tuple(asked.ids),
            tuple(asked.labels),
            tuple(tuple(self.images.ids[place] for place in line) for line in found),
            tuple(
                tuple(float(d) for d, row in zip(line, r, strict=True) if row >= 0)
                for line, r in zip(far, rows, strict=True)
            ),
            tuple(tuple(self.images.labels[place] for place in line) for line in found),
            name,
            metric,
            recall,
        )

    def units_for(self, image: Any, layer: str | Layer | None = None, k: int = 10) -> list[tuple[Unit, float, float]]:
        """The units that answer an image most, measured by how they answer the collection.

        Parameters
        ----------
        image
            An id of the set, or an image.
        layer
            One that is in the index; None: all main layers, or all layers of the index where it holds no main one.

        Returns
        -------
        list
            (unit, activation, how many deviations it lies above the unit's mean over the collection), the most unusual first.
        """
        return units_for(self, image, layer, k)

    def telling_units(
        self, ids: Iterable[str], layer: str | Layer | None = None, k: int = 10, *, by: By = "high"
    ) -> TellingUnits:
        """The units that tell some images of the collection from the rest, by their features in a layer.

        Parameters
        ----------
        ids
            Of the images, such as those of one group on a map.
        layer
            One of those whose features are kept; None: the last hidden one.
        k
            How many at most. There are fewer where fewer tell anything.
        by
            ``"high"``: units that answer these images more strongly than the others; ``"low"``: more weakly; ``"either"``.

        Returns
        -------
        TellingUnits
            A sequence of `TellingUnit`, the best first: by the area under the ROC curve, equal ones by Cohen's d. Where features
            are kept position by position these are neurons.

        Raises
        ------
        UnknownNameError, ImageError
            An id that is none, or of an image that was not measured.
        ValueError
            No ids, or all of them; the layer's features are not kept, or no unit's are finite; ``k`` or ``by`` is none.
        """
        return telling_units(self, ids, layer, k, by)

    def shared_direction(
        self, ids: Iterable[str], layer: str | Layer | None = None
    ) -> tuple[Layer, npt.NDArray[np.float32]]:
        """The direction in a layer's space that leads from the rest of the collection to some images.

        ``objectives.direction(*index.shared_direction(ids), cosine_power=2)`` looks for the image that shows what they share.

        Returns
        -------
        tuple
            The layer, and (C,), of length 1: the difference of the mean features. Where features are kept position by position
            it is that of the channels' means.

        Raises
        ------
        UnknownNameError, ImageError, ValueError
            As `telling_units`; or the means do not differ.
        """
        shared = Shared.of(self, ids, layer)
        return shared.layer, shared.vector

    def similar_units(self, unit: Unit, k: int = 10) -> SimilarUnits:
        """The units of the same layer that answer the collection most like this one.

        Returns
        -------
        SimilarUnits
            A sequence of `SimilarUnit`, the most alike first; units that have nothing in common with it are not among them. By
            Pearson's correlation where the layer's features are kept, else by the strongest images in common; ``basis`` tells.

        Raises
        ------
        ValueError
            The index does not hold the unit, or too few images; ``k`` is none.
        """
        return similar_units(self, unit, k)

    def labels_for(self, unit: Unit, k: int = 10) -> LabelsFor:
        """The labels of the collection that a unit goes with.

        Returns
        -------
        LabelsFor
            A sequence of `LabelFor`, the closest first. Where the layer's features are kept, by how well the activation tells a
            label's images from the others, else by the labels of the strongest images; ``basis`` tells.

        Raises
        ------
        ValueError
            The collection has no labels; the index does not hold the unit; ``k`` is none.
        """
        return labels_for(self, unit, k)

    def thumbnail_data(self, id: str) -> bytes:
        """A small JPEG of an image; from the index where it keeps them, else made now."""
        place = self.images.number(id)
        if id in self.rows_by_id and (data := self.parts.thumbnail(self.rows_by_id[id])):
            return data
        return self.images.thumbnail_data(place, THUMBNAIL)

    def small_thumbnails(self) -> npt.NDArray[np.uint8] | None:
        """uint8 (n, 16, 16, 3): the middle of each thumbnail, for the images `ids`, so that many are seen at once.

        None where the index lies in memory, for then no thumbnail has been made yet, and that takes what decoding all images
        takes; and where a version of this package built it that did not keep them.
        """
        found = self.parts.squares()
        return None if found is None else found[np.argsort(self._places, kind="stable")]

    def outdated(self) -> str:
        """Why it does not tell of the network as it is now, in a sentence; empty where it does."""
        if self.network.digest() != self.digest:
            return "The weights are no longer those that the index was built with."
        return ""

    def __repr__(self) -> str:
        state = "" if self.complete else f", {self.looked_at:,} of them so far"
        bad = f", {len(self.faults)} could not be measured" if self.faults else ""
        return (
            f"ActivationIndex of {self.network.name}: {self.plan.units:,} units of {len(self.plan.layers)} layers, "
            f"{self.total:,} images{state}{bad}, k={self.plan.settings.k}"
        )

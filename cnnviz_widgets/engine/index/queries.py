"""``queries(index, images) -> Queries``, ``units_for(index, image) -> units``: an image, perhaps of the set, beside the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.layers import Layer, Unit

from .loading import Batch, batches
from .measuring import Measuring

if TYPE_CHECKING:
    from .answers import Answers


@dataclass(frozen=True, eq=False)
class Queries:
    """Images to look for neighbours of: how they are called, what is known of them, and their features (Q, C)."""

    ids: list[str]
    labels: list[str]
    features: npt.NDArray[np.float32]
    given: ImageSet | None = None

    def rows(self, index: Answers) -> npt.NDArray[np.int64]:
        """(Q,): the row of each that is an image of the index's own set, by id and content; -1 for the others."""
        rows = [index.rows_by_id.get(id, -1) for id in self.ids]
        if self.given is not None and self.given is not index.images:
            known = [at for at, row in enumerate(rows) if row >= 0]
            own = index.images.fingerprints(self.ids[at] for at in known)
            for at, one, other in zip(known, own, self.given.fingerprints(known), strict=True):
                rows[at] = rows[at] if one == other else -1
        return np.array(rows, np.int64)


def queries(index: Answers, given: Any, layer: str, labels: Sequence[str] | None) -> Queries:
    """What was asked about, with its features: kept ones for ids of the set."""
    if isinstance(given, str):
        given = [given]
    listed = isinstance(given, list | tuple) and bool(given)
    if labels is not None and listed and len(labels) != len(given):
        raise ValueError(f"{len(labels)} labels for {len(given)} queries; give one for each")
    if listed and all(isinstance(one, str) and one in index.images for one in given):
        rows = [index.row_of(one) for one in given]
        own = [index.images.labels[index.images.number(one)] if index.images.labelled else "" for one in given]
        features = np.stack([index.parts.feature(layer, row) for row in rows])
        told = own if labels is None else [str(label) for label in labels]
        return Queries(list(given), told, features)
    if listed:  # ids among other images
        given = [index.images[one] if isinstance(one, str) and one in index.images else one for one in given]
    queries = ImageSet.of(given)
    if labels is not None and len(labels) != len(queries):
        raise ValueError(f"{len(labels)} labels for {len(queries)} queries; give one for each")
    own = list(queries.labels) if isinstance(given, ImageSet) else [""] * len(queries)
    names = list(queries.ids) if isinstance(given, ImageSet) else [f"query {n}" for n in range(len(queries))]
    told = own if labels is None else [str(label) for label in labels]
    found = _features_of(index, queries, layer, given)
    return Queries(names, told, found, given if isinstance(given, ImageSet) else None)


def _features_of(index: Answers, queries: ImageSet, layer: str, given: Any) -> npt.NDArray[np.float32]:
    """The features of images that are not of the set, as those of the set were made."""
    found = []
    for batch in batches(queries, range(len(queries)), index.network.input, index.plan.settings.batch):
        if batch.faults:
            number, reason = next(iter(batch.faults.items()))
            named = isinstance(given, list | tuple) and isinstance(given[number], str)
            raise ImageError(f"{reason}; nor is {given[number]!r} an id of the set" if named else reason)
        maps = index.network.activations(batch.images, layer)[layer]
        found.append(index.plan.features_of(index.network[layer], maps).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, index.plan.width(index.network[layer])), np.float32)


def units_for(index: Answers, image: Any, layer: str | Layer | None, k: int) -> list[tuple[Unit, float, float]]:
    """See `Answers.units_for`."""
    if k < 1:
        raise ValueError(f"k={k}; expected at least one unit")
    names = [one.name for one in index.network.main_layers] if layer is None else [index.network[layer].name]
    if layer is not None and not index.holds(names[0]):
        index.row(index.network[names[0]][0])
    if not any(map(index.holds, names)):
        names = list(index.offsets)
    if isinstance(image, str) and image in index.images:
        tensor = index.images.prepare(image, index.network.input)[None]
    else:
        tensor = index.network.prepare(image).float().cpu()
    if len(tensor) != 1:
        raise ImageError(f"{len(tensor)} images were given; expected one")
    measuring = Measuring(index.network, index.plan, torch.zeros(1, dtype=torch.int32))
    try:
        threshold = torch.full((index.plan.units,), torch.iinfo(torch.int64).max)
        values = measuring.look(Batch(tensor, [0], [0]), threshold).values[0].cpu().numpy().astype(np.float64)
    finally:
        measuring.close()
    found: list[tuple[Unit, float, float]] = []
    for name in dict.fromkeys(name for name in names if index.holds(name)):
        start = index.offsets[index.plan.alias.get(name, name)]
        stop = start + index.network[name].channels
        mean, squares, seen = (index.rows(column, start, stop) for column in ("mean", "squares", "seen"))
        deviation = np.sqrt(squares / np.maximum(seen, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            above = np.where(deviation > 0, (values[start:stop] - mean) / deviation, -np.inf)
        above = np.nan_to_num(above, nan=-np.inf, neginf=-np.inf)
        best = np.argsort(-above, kind="stable")[:k]
        found += [(index.network[name][int(at)], float(values[start + at]), float(above[at])) for at in best]
    found = [one for one in found if np.isfinite(one[2])]
    return sorted(found, key=lambda one: -one[2])[:k]

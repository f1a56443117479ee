"""``asked(index, queries, ...) -> Asked``, ``cells_of(index, asked, k) -> cells``: rows of a query and the images nearest to it.

All queries of the collection are looked up in one pass over the features; an image of one's own goes through the network alone,
so that one that can't be used leaves the others' rows standing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.index import ActivationIndex, Neighbors
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.thumbnails import thumbnail
from cnnviz_widgets.views import Cell

from ._cells import small_cell

THUMBNAIL = 224


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries with an answer, row by row.

    Attributes
    ----------
    queries
        Ids, or images of one's own.
    found
        Their neighbours in the same order; None of no queries.
    told
        What became of the others, in sentences.
    """

    queries: tuple[Any, ...]
    found: Neighbors | None
    told: tuple[str, ...]


def asked(
    index: ActivationIndex, queries: Sequence[Any], layer: Layer, k: int, metric: str, without_itself: bool
) -> Asked:
    """Look up the queries that the index has measured, and those that are images of one's own."""

    def find(images: list[Any]) -> Neighbors:
        return index.neighbors(images, layer, k, metric=metric, without_itself=without_itself)  # type: ignore[arg-type]

    known = [one for one in queries if is_id(one, index.images) and one in index.rows_by_id]
    together = find(known) if known else None
    rows: list[tuple[Any, Neighbors, int]] = []
    told: list[str] = []
    for one in queries:
        if not is_id(one, index.images):
            try:
                rows.append((one, find([one]), 0))
            except ImageError as error:
                told.append(f"{name_of(one)} can't be looked up: {error}.")
        elif one not in index.rows_by_id:
            told.append(_why_not(one, index))
        elif together is not None:
            rows.append((one, together, known.index(one)))
    return Asked(tuple(one for one, _, _ in rows), _rows_of([(part, at) for _, part, at in rows]), tuple(told))


def _rows_of(rows: list[tuple[Neighbors, int]]) -> Neighbors | None:
    if not rows:
        return None
    fields: dict[str, Any] = {
        name: tuple(getattr(part, name)[at] for part, at in rows)
        for name in ("queries", "labels", "ids", "distances", "neighbor_labels")
    }
    return replace(rows[0][0], **fields)


def _why_not(id: str, index: ActivationIndex) -> str:
    reason = next((fault.reason for fault in index.faults if fault.id == id), "")
    return f"{id} could not be measured: {reason}." if reason else f"{id} has not been looked at yet."


def cells_of(index: ActivationIndex, rows: Asked, k: int) -> tuple[list[Cell], list[list[Any]]]:
    """Cells, row by row, with the image that each of them shows; None for a neighbour that there is not."""
    cells: list[Cell] = []
    shown: list[list[Any]] = []
    found = rows.found
    for number, query in enumerate(rows.queries if found is not None else ()):
        assert found is not None
        # where labels are names, no other image has the same
        known = found.labels[number] if index.images.labelled else ""
        cells.append(_query_cell(query, index))
        row = [query, *found.ids[number], *[None] * (k - len(found.ids[number]))]
        for id, far, label in zip(
            found.ids[number], found.distances[number], found.neighbor_labels[number], strict=True
        ):
            tone = "" if not known else "hit" if label == known else "miss"
            cells.append(small_cell(index, id, (label, f"{far:.4g}"), f"{id}: {label}, {far:.5g}", tone))
        cells += [Cell(b"", ("none",))] * (k - len(found.ids[number]))
        shown.append(row)
    return cells, shown


def _query_cell(query: Any, index: ActivationIndex) -> Cell:
    title = f"query: {name_of(query)}"
    if is_id(query, index.images):
        label = index.images.labels[index.images.number(query)]
        return small_cell(index, query, (label,), title, "query")
    opener = ImageSet.of([query] if isinstance(query, str) else query).openers[0]
    # what a file was called when it was dropped is no path
    name = Path(query).name if isinstance(query, str | os.PathLike) else name_of(query)
    return Cell(thumbnail(opener.open(), THUMBNAIL), (name,), title, tone="query")


def of_different_classes(index: ActivationIndex, count: int) -> list[str]:
    """Some images of the index: one of each of the first classes, or spread evenly where labels are no classes."""
    images = index.images
    if not images.labelled:
        return list(index.ids[:: max(1, len(index.ids) // count)][:count])
    seen: dict[str, str] = {}
    for id in index.ids:
        seen.setdefault(images.labels[images.number(id)], id)
    ids = list(seen.values())
    return ids[:: max(1, len(ids) // count)][:count]


def same(one: Any, other: Any) -> bool:
    """Whether two queries are one: the same id, or the very same image."""
    return one is other or (isinstance(one, str) and isinstance(other, str) and one == other)


def is_id(image: Any, images: ImageSet) -> bool:
    """Whether this is an id of the collection and not an image of one's own."""
    return isinstance(image, str) and image in images


def name_of(image: Any) -> str:
    """What to call an image: its id or path, or the name of the file that it was opened from."""
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else "your image"


def queries_code(queries: Sequence[Any], images: ImageSet) -> tuple[list[str], str, str]:
    """Lines before, the queries as code, and the argument that gives `neighbor_sheet` their pictures.

    The first query decides: those of the collection are asked together, an image of one's own alone.
    """
    first = queries[0] if queries else None
    if is_id(first, images):
        return [], repr([one for one in queries if is_id(one, images)]), ""
    if isinstance(first, str | os.PathLike):
        return [], repr(os.fspath(first)), f", {os.fspath(first)!r}"
    return ["# the image as it was opened in the panel: put its path here"], "image", ", image"

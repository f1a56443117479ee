"""``find(path, network, images) -> Found``: which index on disk tells of these weights and images, or why none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.store import Arrays, StoreError

from .archive import Archive, Done, recipes_in, roster_in
from .building import recipe_of
from .plan import Plan
from .roster import Roster

TRIES = 10
"""How often the table is looked for anew, where a build puts another in its place meanwhile."""


@dataclass(frozen=True, eq=False)
class Found:
    """An index on disk, with what was compared to find it.

    Attributes
    ----------
    table
        Mapped into memory, so that it stays when a build that is under way replaces its file.
    """

    archive: Archive
    done: Done
    table: Arrays
    plan: Plan
    roster: Roster
    digest: str


def find(path: str | Path, network: Network, images: ImageSet) -> Found:
    """The index that fits; of several, as of other settings, the one with the most images, then the latest.

    Raises
    ------
    StoreError
        None does, or the one that does is damaged; the text tells how each differs.
    """
    folder = Path(path)
    present, faults = recipes_in(folder)
    if not present and not faults:
        raise StoreError(f"no index at {str(folder)!r}; cnn.ActivationIndex.build(net, images, path=...) makes one")
    roster, digest = Roster.of(images), network.digest()
    fitting = []
    for where, recipe in present:
        planned = Plan.from_data(recipe["plan"])
        archive = Archive.at(folder, recipe)
        if recipe != recipe_of(digest, network, planned, roster):
            faults.append(f"{where.name} is {_difference(where, recipe, digest, roster)}")
            continue
        try:
            if (known := _table(archive)) is not None:
                fitting.append(Found(archive, *known, planned, roster, digest))
            else:
                faults.append(f"{where.name} is not begun")
        except StoreError as error:
            faults.append(str(error))
    if not fitting:
        raise StoreError(
            f"no index at {str(folder)!r} fits: {'; '.join(faults)}. cnn.ActivationIndex.build makes one that does"
        )
    return max(fitting, key=lambda one: (one.done.images, one.archive.folder.path.stat().st_mtime))


def _table(archive: Archive) -> tuple[Done, Arrays] | None:
    """What counts, and the table; of a build that is under way, as it is at a moment."""
    for tries in range(TRIES):
        if (done := archive.done()) is None:
            return None
        try:
            return done, archive.folder.arrays(done.table)
        except StoreError:
            if archive.done() == done or tries == TRIES - 1:
                raise
    return None


def others_told(path: str | Path, recipe: Mapping[str, Any]) -> str:
    """What else a folder of indexes holds, in a sentence; empty for nothing."""
    others = [found for _, found in recipes_in(path)[0] if found != recipe]
    if not others:
        return ""
    weights = sum(found["weights"] != recipe["weights"] for found in others)
    images = sum(found["images"] != recipe["images"] for found in others)
    told = [
        text
        for text in (
            f"{weights} of other weights" if weights else "",
            f"{images} of other images" if images else "",
        )
        if text
    ]
    return f"The folder also holds {len(others)} other index{'es' if len(others) > 1 else ''}" + (
        f" ({', '.join(told)}), left as they are." if told else ", left as they are."
    )


def _difference(where: Path, recipe: Mapping[str, Any], digest: str, roster: Roster) -> str:
    told = []
    if recipe["weights"] != digest:
        told.append("of other weights or preprocessing")
    if (former := recipe["images"]["digest"]) != roster.digest:
        try:
            told.append(f"of other images: {roster_in(where, former).changes(roster)}")
        except StoreError:
            told.append("of other images")
    # what the module computes may differ although the weights are the same
    return " and ".join(told) or f"of another module with the same weights, {recipe['module']}"

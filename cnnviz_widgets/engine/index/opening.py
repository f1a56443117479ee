"""``find(path, network, images) -> Found``: which index on disk tells of these weights and images, or why none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.store import StoreError

from .archive import Archive, Done, recipes_in, roster_in
from .building import recipe_of
from .plan import Plan
from .roster import Roster


@dataclass(frozen=True, eq=False)
class Found:
    """An index on disk, with what was compared to find it."""

    archive: Archive
    done: Done
    plan: Plan
    roster: Roster
    digest: str


def find(path: str | Path, network: Network, images: ImageSet) -> Found:
    """The index that fits; of several, as of other settings, the one with the most images, then the latest.

    Raises
    ------
    StoreError
        None does; the text tells how each differs.
    """
    folder = Path(path)
    present = recipes_in(folder)
    if not present:
        raise StoreError(f"no index at {str(folder)!r}; cnn.ActivationIndex.build(net, images, path=...) makes one")
    roster, digest = Roster.of(images), network.digest()
    fitting = []
    for _, recipe in present:
        planned = Plan.from_data(recipe["plan"])
        archive = Archive.at(folder, recipe)
        if recipe == recipe_of(digest, network, planned, roster) and (done := archive.done()) is not None:
            fitting.append(Found(archive, done, planned, roster, digest))
    if not fitting:
        told = "; ".join(
            f"{where.name} is {_difference(where, recipe, digest, network, roster)}" for where, recipe in present
        )
        raise StoreError(f"no index at {str(folder)!r} fits: {told}. cnn.ActivationIndex.build makes one that does")
    return max(fitting, key=lambda one: (one.done.images, one.archive.folder.path.stat().st_mtime))


def others_told(path: str | Path, recipe: Mapping[str, Any]) -> str:
    """What else a folder of indexes holds, in a sentence; empty for nothing."""
    others = [found for _, found in recipes_in(path) if found != recipe]
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


def _difference(where: Path, recipe: Mapping[str, Any], digest: str, network: Network, roster: Roster) -> str:
    told = []
    if recipe["weights"] != digest:
        told.append("of other weights or preprocessing")
    if recipe["images"]["digest"] != roster.digest:
        told.append(f"of other images: {roster_in(where).changes(roster) or 'in another order'}")
    if not told and recipe["module"] != type(network.bare).__qualname__:
        told.append(f"of another module, {recipe['module']}")
    return " and ".join(told) or "not begun"

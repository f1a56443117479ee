"""``places_holding(text, ids, labels) -> places``: images found by a part of their id or of their label."""

from __future__ import annotations

from collections.abc import Sequence


def places_holding(text: str, ids: Sequence[str], labels: Sequence[str]) -> Sequence[int]:
    """Places of the images whose id or label holds a text, growing.

    Parameters
    ----------
    text
        Upper and lower case are one, space around it counts for nothing; all images hold an empty one.
    ids, labels
        One each for every image.
    """
    wanted = text.casefold().strip()
    if not wanted:
        return range(len(ids))
    told = zip(ids, labels, strict=True)
    return [place for place, names in enumerate(told) if any(wanted in name.casefold() for name in names)]

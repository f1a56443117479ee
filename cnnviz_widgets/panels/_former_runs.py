"""``FormerRuns``: the last picture and curve of each goal that was climbed, for a page that is taken along."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cnnviz_widgets.views.standalone import Choice, Part

MOST = 11
"""Goals beside the present one: each is a picture of some hundred kilobytes."""


class FormerRuns:
    """What runs that are over have come to, by the name of what they climbed; of more than `MOST` the oldest go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, list[Part]] = {}

    def keep(self, name: str, parts: list[Part]) -> None:
        """Keep a run in the place of an earlier one of the same goal."""
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = parts
            while len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Forget them all, as when they are of another network."""
        with self._lock:
            self._kept.clear()

    def beside(self, name: str, parts: list[Part], wanted: Sequence[str] = ()) -> Part:
        """A run, with those before it to choose among.

        Parameters
        ----------
        name
            Of what the run climbs; empty where there is none.
        wanted
            Names of those that are to be there; none: all, the newest first.

        Raises
        ------
        ValueError
            Nothing of that name was climbed.
        """
        with self._lock:
            there = {name: parts} if name else {}
            there |= {former: kept for former, kept in reversed(self._kept.items()) if former != name}
        for one in wanted:
            if one not in there:
                told = f"there is one of {', '.join(there)}" if there else "there is none yet"
                raise ValueError(f"no image of {one} was made in this panel: {told}; Run makes it, then save the page")
        names = list(wanted or there)
        if not names:
            return parts
        if len(names) == 1:
            return there[names[0]]
        return Choice(names, [there[one] for one in names], "Run", names.index(name) if name in names else 0)

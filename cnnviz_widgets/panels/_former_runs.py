"""``FormerRuns``: the last picture and curve of each goal that was climbed, for a page that is taken along."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from cnnviz_widgets.views.standalone import Choice, Part

MOST = 11
"""Goals beside the present one: each is a picture of some hundred kilobytes."""


@dataclass(frozen=True, eq=False)
class KeptRun:
    """What a run has come to.

    Attributes
    ----------
    goal
        Tells what it climbed from all else of the network, unlike its name.
    """

    goal: str
    name: str
    parts: list[Part]


class FormerRuns:
    """What runs that are over have come to, by what they climbed; of more than `MOST` the oldest go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, KeptRun] = {}

    def keep(self, run: KeptRun) -> None:
        """Keep a run in the place of an earlier one of the same goal."""
        with self._lock:
            self._kept.pop(run.goal, None)
            self._kept[run.goal] = run
            while len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Forget them all, as when they are of another network."""
        with self._lock:
            self._kept.clear()

    def beside(self, present: KeptRun | None, wanted: Mapping[str, str]) -> Part | None:
        """A run, with those before it to choose among; None where there are none at all.

        Parameters
        ----------
        wanted
            Goal -> name of those that are to be there; none: all, the newest first.

        Raises
        ------
        ValueError
            Nothing of that name was climbed.
        """
        with self._lock:
            there = {run.goal: run for run in [*self._kept.values(), *filter(None, [present])]}
            newest = [present.goal] if present is not None else []
            newest += [goal for goal in reversed(self._kept) if goal not in newest]
        for goal, name in wanted.items():
            if goal not in there:
                names = ", ".join(there[other].name for other in newest)
                told = f"there is one of {names}" if names else "there is none yet"
                raise ValueError(f"no image of {name} was made in this panel: {told}; Run makes it, then save the page")
        runs = [there[goal] for goal in wanted or newest]
        if len(runs) < 2:
            return runs[0].parts if runs else None
        selected = runs.index(present) if present in runs else 0
        return Choice([run.name for run in runs], [run.parts for run in runs], "Run", selected)

"""``MapMaker``: maps of features, made on a thread of its own, watched while they unfold, remembered and kept on disk.

::

    Mapped(index, layer) + Projection -> start() -> moved(mapped, progress) ... ended(error) -> known(mapped, projection): Made
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.engine.projections import PCA, Grid, Map, Projection, Quality, grid
from cnnviz_widgets.engine.store import StoreError

SHOWN_EVERY = 0.12
"""Seconds between two states of a map that are shown: the page glides from one to the next."""
FOLDER = "maps"
"""Beside the index's own folder, which a build tidies."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """The images of an index by their features in one layer: what a map is made of.

    Attributes
    ----------
    layer
        The layer's name.
    """

    index: ActivationIndex
    layer: str

    @cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """(n, C)."""
        return self.index.features(self.layer)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Image id -> row of the features, and of the map."""
        return {id: row for row, id in enumerate(self.index.ids)}

    @cached_property
    def labels(self) -> list[str]:
        """One for each image; a name where labels are no classes."""
        images = self.index.images
        return [images.labels[images.number(id)] for id in self.index.ids]

    @cached_property
    def fault(self) -> str:
        """Why there can be no map of them, in a sentence; empty where there can."""
        bad = int((~np.isfinite(self.features).all(1)).sum())
        if not bad:
            return ""
        return (
            f"No map: the features of {bad:,} of {len(self.features):,} images in {self.layer} are not finite numbers."
        )

    @property
    def folder(self) -> Path | None:
        """Where its maps are kept; None for an index in memory."""
        return None if self.index.path is None else self.index.path.parent / FOLDER


@dataclass(frozen=True, eq=False)
class Made:
    """A map at rest, and what is found out then.

    Attributes
    ----------
    cells
        A grid that its points go to.
    quality
        None of a map that was stopped on its way.
    """

    map: Map
    cells: Grid
    quality: Quality | None

    @classmethod
    def of(cls, made: Map, *, stopped: bool = False) -> Made:
        """The map with its grid, and its quality unless it was stopped."""
        return cls(made, grid(made.points), None if stopped else made.quality())

    @property
    def grid(self) -> npt.NDArray[np.float32]:
        """(n, 2): the centres of the cells."""
        return self.cells.points

    @cached_property
    def moved(self) -> npt.NDArray[np.float32]:
        """(n,): how far the grid moves each image, in sides of the map."""
        return self.cells.displacement.astype(np.float32)

    @cached_property
    def kept(self) -> npt.NDArray[np.float32] | None:
        """(n,): which share of each image's nearest neighbours the map keeps; None on one too small to tell."""
        quality = self.map.quality(per_point=True)
        return quality.kept_of.astype(np.float32) if quality.k else None

    @cached_property
    def seams(self) -> npt.NDArray[np.float32]:
        """(m, 3): of neighbours on the grid two rows, and how far they are from each other by their features.

        From 0, at the median of all, to 1, at the 98th percentile: what is as usual is no seam.
        """
        across, down = self.cells.seams(self.map.features)
        filled = self.cells.filled
        pairs = [(filled[:, :-1], filled[:, 1:], across), (filled[:-1], filled[1:], down)]
        first, second, far = (np.concatenate([part[at].ravel() for part in pairs]) for at in range(3))
        known = np.isfinite(far)
        if not known.any():
            return np.zeros((0, 3), np.float32)
        usual, most = np.percentile(far[known], (50, 98))
        strength = np.clip((far - usual) / max(most - usual, np.finfo(np.float32).tiny), 0, 1)
        kept = known & (strength > 0)
        return np.stack([first[kept], second[kept], strength[kept]], 1).astype(np.float32)


class MapMaker:
    """Makes one map at a time.

    Parameters
    ----------
    moved
        Gets the states of the map while it unfolds, on the maker's thread.
    ended
        Is called there when it has come to rest, with what went wrong or None.
    """

    def __init__(
        self, moved: Callable[[Mapped, Progress[Map]], None], ended: Callable[[BaseException | None], None]
    ) -> None:
        self._moved, self._ended = moved, ended
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._stop.set()
        self._closed = False
        self._index: ActivationIndex | None = None
        self._mapped: dict[str, Mapped] = {}
        self._made: dict[tuple[str, Projection], Made] = {}
        self._absent: set[tuple[str, Projection]] = set()
        self.job: tuple[Mapped, Projection] | None = None
        self.newest: Map | None = None

    @property
    def running(self) -> bool:
        """Whether a map is under way that has not been told to stop."""
        return self.job is not None and not self._stop.is_set()

    def start(self, mapped: Mapped, projection: Projection) -> None:
        """Begin; what is under way is stopped first. Returns at once."""
        with self._lock:
            if self._closed:
                return
            self._stop.set()
            former, self._stop = self._thread, threading.Event()
            self.job, self.newest = (mapped, projection), None
            self._thread = threading.Thread(
                target=self._work, args=(mapped, projection, self._stop, former), name="cnnviz-map", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End after the step under way; the map stays as it is then."""
        self._stop.set()

    def close(self) -> None:
        """End for good."""
        with self._lock:
            self._closed = True
            self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is under way.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still making the map after {seconds:g} s")

    # what is there

    def mapped(self, index: ActivationIndex, layer: str) -> Mapped:
        """The images by that layer, the same for the same index; what was known of another index is forgotten."""
        with self._lock:
            self._attend(index)
            return self._mapped.setdefault(layer, Mapped(index, layer))

    def _attend(self, index: ActivationIndex) -> None:
        if index is not self._index:
            self._index = index
            for known in (self._mapped, self._made, self._absent):
                known.clear()

    def known(self, mapped: Mapped, projection: Projection) -> Made | None:
        """The map, finished or not, that was made before or is kept on disk; principal components at once."""
        key = (mapped.layer, projection)
        with self._lock:
            if mapped.index is self._index and key in self._made:
                return self._made[key]
            seen = key in self._absent
        found = None if seen else _kept(mapped, projection)
        if found is None and isinstance(projection, PCA):
            found = projection.fit(mapped.features)
        if found is None:
            with self._lock:
                self._absent.add(key)
            return None
        return self._remember(mapped, projection, Made.of(found))

    def _remember(self, mapped: Mapped, projection: Projection, made: Made) -> Made:
        with self._lock:
            if mapped.index is self._index:
                self._made[mapped.layer, projection] = made
        return made

    # on the maker's thread

    def _work(
        self, mapped: Mapped, projection: Projection, stop: threading.Event, former: threading.Thread | None
    ) -> None:
        if former is not None:
            former.join()
        error: BaseException | None = None
        try:
            self._make(mapped, projection, stop)
        except BaseException as raised:  # nothing above this thread would show it
            error = raised
        with self._lock:
            last = self._stop is stop
            if last:
                self._stop.set()
                self.job = None
            told = last and not self._closed
        if told:
            self._ended(error)

    def _make(self, mapped: Mapped, projection: Projection, stop: threading.Event) -> None:
        if mapped.fault:
            return
        shown = 0.0
        state: Progress[Map] | None = None
        for state in projection.fitting(mapped.features):
            now = time.monotonic()
            if stop.is_set():
                break
            if now - shown >= SHOWN_EVERY or state.result.finished:
                shown, self.newest = now, state.result
                self._moved(mapped, state)
        if state is None or self._closed:
            return
        stopped = stop.is_set() and not state.result.finished
        self._remember(mapped, projection, Made.of(state.result, stopped=stopped))
        if state.result.finished and mapped.folder is not None:
            state.result.save(mapped.folder)


def _kept(mapped: Mapped, projection: Projection) -> Map | None:
    folder = mapped.folder
    if folder is None or not folder.is_dir():
        return None
    with contextlib.suppress(StoreError):  # none, or a damaged one: Run makes it anew
        return Map.open(folder, mapped.features, projection)
    return None

"""``IndexBuilder``: builds an `ActivationIndex` on a thread of its own, tells how far it is, stops and goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.plan import Settings, plan
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress, duration

from ._code import settings_of
from ._selection import Selection

TOLD_EVERY = 0.3
"""Seconds between two messages to the progress bar."""
SHOWN_EVERY = 3.0
"""Seconds between two pictures of what there is so far: each costs a pass of the network."""
FEATURES = 5
"""Layers, from the first to the last hidden one, whose features are kept for neighbours."""
_joining = threading.Lock()


class IndexBuilder:
    """A bar with a button, which gives the selection its index.

    Builders on one selection show the same: the button of each stops the build that another one has begun, and goes on with it.
    An index that is there already is continued, or built anew, with its own settings and in its own folder.

    Parameters
    ----------
    selection
        Gets the index, also while it grows.
    path
        Where to keep it; None: in memory.
    failed
        Gets what goes wrong, None when a build begins.
    features
        Gives layers whose features are wanted beside the usual ones.
    """

    def __init__(
        self,
        selection: Selection,
        path: str | Path | None,
        failed: Callable[[BaseException | None], None],
        features: Callable[[], list[Layer]] = list,
    ) -> None:
        self._selection, self._path, self._failed, self._features = selection, path, failed, features
        self._steps: Any = None
        self._key: Any = None
        self._closed, self._busy = False, False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock, self._showing = threading.Lock(), threading.RLock()
        self._fresh: tuple[Any, str] = (None, "")
        self._left_out: tuple[Network | None, frozenset[str]] = (None, frozenset())
        self._progress: Progress[ActivationIndex] | None = None
        self.button = widgets.Button(description="Build index", layout=widgets.Layout(width="auto"))
        self.button.style.font_weight = "600"
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="180px", display="none"))
        self.told = widgets.Label("")
        self.box = widgets.HBox([self.button, self.bar, self.told])
        self.box.add_class("cnnviz-wrap")
        with _joining:
            selection.builders = (*selection.builders, self)
        self.show()

    @property
    def running(self) -> bool:
        """Whether a build is under way here."""
        return self._busy and not self._stop.is_set()

    def pressed(self) -> None:
        """Begin, stop, or go on; returns at once."""
        one = self._acting()
        if one.running:
            one.stop()
        else:
            one.start()

    def start(self) -> None:
        """Begin, or go on after a stop; returns at once."""
        with self._lock:
            if self.running or self._closed:
                return
            former, self._stop = self._thread, threading.Event()
            self._busy, self._progress = True, None
            self._thread = threading.Thread(
                target=self._work, args=(self._stop, former), name="cnnviz-index", daemon=True
            )
            self._thread.start()
        self._tell_all(None)

    def stop(self) -> None:
        """End after the batch under way; what is done stays."""
        self._stop.set()
        self._show_all()

    def close(self) -> None:
        """End for good."""
        with self._lock:
            self._closed = True
            self._stop.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(30)
        if thread is None or not thread.is_alive():
            self._drop()
        with _joining:
            self._selection.builders = tuple(one for one in self._selection.builders if one is not self)
        self._show_all()

    def wait(self, seconds: float) -> None:
        """Wait for the end of a build; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still building after {seconds:g} s: {self.told.value}")

    def outdated(self, index: ActivationIndex) -> str:
        """`ActivationIndex.outdated`, found out once for weights as they are: it reads all of them."""
        key = (index.digest, id(index.network), index.network.stamp())
        if self._fresh[0] != key:
            self._fresh = (key, index.outdated())
        return self._fresh[1]

    # on the builder's thread

    def _work(self, stop: threading.Event, former: threading.Thread | None) -> None:
        if former is not None:
            former.join()
        network, images = self._selection.network, self._selection.images
        error: BaseException | None = None
        try:
            steps, path = self._resumed(network, images)
            if not self._follow(steps, stop, network, images) or path is not None:
                self._drop()
        except BaseException as raised:  # nothing above this thread would show it
            error = raised
            self._drop()
        with self._lock:
            if self._stop is stop:
                self._busy = False
        if self._closed:
            self._drop()
        if error is not None and not self._closed:
            self._tell_all(error)
        self._show_all()

    def _resumed(self, network: Network, images: ImageSet) -> tuple[Any, Path | str | None]:
        """The build that was stopped, where nothing is kept on disk to go on from, or a new one; and where it is kept."""
        index = self._selection.index
        if not self._holds(network, images):
            self._drop()
            path: Path | str | None = self._path
            settings: dict[str, Any] = {"features": self.wanted(network)}
            if index is not None and index.network is network and index.images is images:
                path, settings = self._as_before(index)
            self._key = (network, network.stamp(), images, path)
            self._steps = ActivationIndex.building(network, images, path=path, **settings)
        return self._steps, self._key[3]

    def _as_before(self, index: ActivationIndex) -> tuple[Path | str | None, dict[str, Any]]:
        """Where and how another index is made as this one was, with the features that are asked for where it is made anew."""
        settings = settings_of(index)
        if index.complete:
            known = {
                layer.name: layer for layer in [*index.plan.features, *self._able(index.network, self._features())]
            }
            settings["features"] = list(known.values())
        return (self._path if index.path is None else index.path.parent), settings

    def _holds(self, network: Network, images: ImageSet) -> bool:
        """Whether there is a build here that can go on."""
        return self._steps is not None and self._key[:3] == (network, network.stamp(), images)

    def _drop(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _follow(
        self, steps: Iterator[Progress[ActivationIndex]], stop: threading.Event, network: Network, images: ImageSet
    ) -> bool:
        """Take the progress until the end or until stopped; whether there is more to come."""
        told, shown = 0.0, 0.0
        given: ActivationIndex | None = None
        newest: ActivationIndex | None = None
        try:
            for progress in steps:
                now, newest = time.monotonic(), progress.result
                if newest is not given and newest.looked_at and now - shown > SHOWN_EVERY:
                    given, shown = newest, now
                    self._give(newest, network, images)
                if now - told > TOLD_EVERY or progress.done == progress.total:
                    told, self._progress = now, progress
                    self._show_all()
                if not self._wanted_still(network, images):
                    return False
                if stop.is_set():
                    return not newest.complete
        finally:
            if newest is not None and newest is not given and (newest.looked_at or newest.complete):
                self._give(newest, network, images)
        return False

    def _wanted_still(self, network: Network, images: ImageSet) -> bool:
        return self._selection.network is network and self._selection.images is images

    def _give(self, index: ActivationIndex, network: Network, images: ImageSet) -> None:
        """Hand an index out, unless another network or collection has been chosen meanwhile."""
        if self._wanted_still(network, images):
            with contextlib.suppress(traitlets.TraitError):  # chosen at this very moment
                self._selection.index = index

    def wanted(self, network: Network) -> list[Layer]:
        """The layers whose features are kept: some from the first main one to the last hidden one, and those asked for."""
        main = self._able(network, [layer for layer in network.main_layers if layer.name != network.output.name])
        chosen = [main[round(at * (len(main) - 1) / (FEATURES - 1))] for at in range(FEATURES)] if main else []
        return list(dict.fromkeys([*chosen, *self._able(network, [network.last_hidden, *self._features()])]))

    def _able(self, network: Network, layers: list[Layer]) -> list[Layer]:
        """Those that can be measured: some give values of other images' parts, or are not reached by every image."""
        if self._left_out[0] is not network:
            self._left_out = (network, frozenset(plan(network, None, None, Settings()).left_out))
        return [layer for layer in layers if layer.name not in self._left_out[1]]

    # what is shown

    def missing(self, count: int) -> str:
        """What a panel says while there is no index of so many images; empty where there is no image either."""
        if self._acting().running:
            return "The first images are on their way."
        return f"Nothing is known of these {count:,} images yet: press Build index." if count else ""

    def show(self) -> None:
        """Tell how it stands."""
        with self._showing:
            index, one = self._selection.index, self._acting()
            running, count = one.running, len(self._selection.images)
            self.bar.layout.display = "" if running else "none"
            self.button.description = "Stop" if running else self._offer(index, one)
            self.button.disabled = not running and not count
            self.button.button_style = "primary" if index is None and not running else ""
            progress = one._progress if running else None
            if progress is not None:
                self.bar.max, self.bar.value = max(1, progress.total), progress.done
                self.told.value = _sentence(progress)
            else:
                self.told.value = "Beginning …" if running else _standing(index, count)

    def _offer(self, index: ActivationIndex | None, one: IndexBuilder) -> str:
        if index is None:
            return "Build index"
        here = index.path is not None or one._holds(self._selection.network, self._selection.images)
        return "Continue" if not index.complete and here else "Build anew"

    def _acting(self) -> IndexBuilder:
        """The one on this selection that builds, else the one that holds a build to go on with, else this one."""
        network, images = self._selection.network, self._selection.images
        known: list[IndexBuilder] = [self, *self._selection.builders]
        running = next((one for one in known if one.running), None)
        return running or next((one for one in known if one._holds(network, images)), self)

    def _show_all(self) -> None:
        for one in self._selection.builders:
            one.show()

    def _tell_all(self, error: BaseException | None) -> None:
        for one in self._selection.builders:
            one._failed(error)
            one.show()


def _standing(index: ActivationIndex | None, count: int) -> str:
    if index is None:
        return f"{count:,} images" if count else "no images: give images=cnn.ImageSet.from_folder(...)"
    bad = f", {len(index.faults):,} unreadable" if index.faults else ""
    if not index.complete:
        return f"{index.looked_at:,} of {index.total:,} images{bad}"
    return f"{index.total:,} images{bad}, {index.plan.units:,} units"


def _sentence(progress: Progress[ActivationIndex]) -> str:
    told = f"{progress.done:,} of {progress.total:,} images"
    if progress.rate:
        told += f" · {progress.rate:.3g} a second"
    if progress.left:
        told += f" · {duration(progress.left)} left"
    return f"{told}. {progress.told}" if progress.told else told


def nearest_layer(layer: Layer, network: Network, among: Callable[[str], bool]) -> Layer:
    """The layer that stands nearest to this one in the network's order, of those whose names fit; the later of two."""
    names = list(network.layers)
    at = names.index(layer.name)
    return network[min(filter(among, names), key=lambda name: (abs(names.index(name) - at), -names.index(name)))]


def layer_with_features(layer: Layer, index: ActivationIndex | None) -> tuple[Layer, str]:
    """The layer, or the nearest one whose features the index keeps, and a remark where it is another."""
    kept = {one.name for one in index.plan.features} if index is not None else set()
    if index is None or layer.name in kept or not kept:
        return layer, ""
    near = nearest_layer(layer, index.network, kept.__contains__)
    told = f"Features of {layer.name} are not kept, shown are those of {near.name}"
    return near, f"{told}; {'Build anew keeps' if index.complete else 'once complete, Build anew keeps'} them, too."

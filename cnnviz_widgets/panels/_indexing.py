"""``IndexBuilder``: builds an `ActivationIndex` on a thread of its own, tells how far it is, stops and goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress, duration

from ._selection import Selection

TOLD_EVERY = 0.3
"""Seconds between two messages to the progress bar."""
SHOWN_EVERY = 3.0
"""Seconds between two pictures of what there is so far: each costs a pass of the network."""
FEATURES = 5
"""Layers, from the first to the last hidden one, whose features are kept for neighbours."""


class IndexBuilder:
    """A bar with a button, which gives the selection its index.

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
        self._closed = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.button = widgets.Button(description="Build index", layout=widgets.Layout(width="auto"))
        self.button.style.font_weight = "600"
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="180px", display="none"))
        self.told = widgets.Label("")
        self.box = widgets.HBox([self.button, self.bar, self.told])
        self.box.add_class("cnnviz-wrap")
        self.show()

    @property
    def running(self) -> bool:
        """Whether a build is under way."""
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def pressed(self) -> None:
        """Begin, stop, or go on; returns at once."""
        if self.running:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Begin, or go on after a stop; returns at once."""
        with self._lock:
            if self.running:
                return
            former = self._thread
            self._stop = threading.Event()
            self._failed(None)
            self._thread = threading.Thread(
                target=self._work, args=(self._stop, former), name="cnnviz-index", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End after the batch under way; what is done stays."""
        self._stop.set()

    def close(self) -> None:
        """End for good."""
        self._closed = True
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(30)
        if thread is None or not thread.is_alive():
            self._drop()

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

    def _work(self, stop: threading.Event, former: threading.Thread | None) -> None:
        if former is not None:
            former.join()
        selection = self._selection
        network, images = selection.network, selection.images
        try:
            self.show("Beginning …")
            steps = self._resumed(network, images)
            if not self._follow(steps, stop, network, images) or self._path is not None:
                self._drop()
        except BaseException as error:  # nothing above this thread would show it
            self._drop()
            if not self._closed:
                self._failed(error)
        finally:
            if self._closed:
                self._drop()
            self.show()

    def _resumed(self, network: Network, images: Any) -> Any:
        """The build that was stopped, where nothing is kept on disk to go on from, or a new one."""
        wanted = self.wanted(network)
        key = (network, network.stamp(), images, wanted)
        if self._steps is None or self._key != key:
            self._drop()
            self._key = key
            self._steps = ActivationIndex.building(network, images, path=self._path, features=wanted)
        return self._steps

    def _drop(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _follow(self, steps: Any, stop: threading.Event, network: Network, images: Any) -> bool:
        """Take the progress until the end or until stopped; whether there is more to come."""
        told, shown = 0.0, 0.0
        latest: ActivationIndex | None = None
        for progress in steps:
            now = time.monotonic()
            new = progress.result is not latest and (progress.result.looked_at or progress.result.complete)
            if new and (now - shown > SHOWN_EVERY or progress.result.complete):
                latest, shown = progress.result, now
                self._give(latest, network, images)
            if now - told > TOLD_EVERY or progress.done == progress.total:
                told = now
                self.bar.max, self.bar.value = max(1, progress.total), progress.done
                self.show(_sentence(progress))
            if stop.is_set():
                if progress.result.looked_at:
                    self._give(progress.result, network, images)
                return not progress.result.complete
        return False

    def _give(self, index: ActivationIndex, network: Network, images: Any) -> None:
        """Hand an index out, unless another network or collection has been chosen meanwhile."""
        if self._selection.network is network and self._selection.images is images:
            self._selection.index = index
        else:
            self._stop.set()

    def wanted(self, network: Network) -> list[Layer]:
        """The layers whose features are kept: some from the first main one to the last hidden one, and those asked for."""
        main = [layer for layer in network.main_layers if layer.name != network.output.name]
        chosen = [main[round(at * (len(main) - 1) / (FEATURES - 1))] for at in range(FEATURES)] if main else []
        return list(dict.fromkeys([*chosen, network.last_hidden, *self._features()]))

    def missing(self, count: int) -> str:
        """What a panel says while there is no index of so many images; empty where there is no image either."""
        if self.running:
            return "The first images are on their way."
        return f"Nothing is known of these {count:,} images yet: press Build index." if count else ""

    def show(self, text: str = "") -> None:
        """Tell how it stands."""
        index, running = self._selection.index, self.running
        self.bar.layout.display = "" if running else "none"
        if running:
            self.button.description, self.button.disabled = "Stop", False
        elif index is None:
            self.button.description, self.button.disabled = "Build index", not len(self._selection.images)
        else:
            self.button.description, self.button.disabled = "Continue" if not index.complete else "Build anew", False
        self.button.button_style = "primary" if index is None and not running else ""
        self.told.value = text or self._standing(index, running)

    def _standing(self, index: ActivationIndex | None, running: bool) -> str:
        count = len(self._selection.images)
        if running:
            return self.told.value
        if index is None:
            return f"{count:,} images" if count else "no images: give images=cnn.ImageSet.from_folder(...)"
        bad = f", {len(index.faults)} unreadable" if index.faults else ""
        if not index.complete:
            return f"{index.looked_at:,} of {index.total:,} images{bad}"
        return f"{index.total:,} images{bad}, {index.plan.units:,} units"


def _sentence(progress: Progress[ActivationIndex]) -> str:
    told = f"{progress.done:,} of {progress.total:,} images"
    if progress.rate:
        told += f" · {progress.rate:.3g} a second"
    if progress.left:
        told += f" · {duration(progress.left)} left"
    return told


def nearest_layer(network: Network, layer: Layer, index: ActivationIndex) -> Layer:
    """The layer in the index that stands nearest to this one in the network's order, the later of two."""
    names = list(network.layers)
    at = names.index(layer.name)
    held = [name for name in names if index.holds(name)]
    return network[min(held, key=lambda name: (abs(names.index(name) - at), -names.index(name)))]

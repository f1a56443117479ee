"""``AtlasBuilder``: synthesizes an `Atlas` on a thread of its own, shows it while it grows, stops and goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress, counted, duration

from ._selection import Selection

TOLD_EVERY = 0.3
"""Seconds between two messages to the progress bar."""
SHOWN_EVERY = 1.0
"""Seconds between two atlases that are handed out while it grows."""
FOUR = ("yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4")
_NARROW = {"description_width": "initial"}


@dataclass(frozen=True)
class Wanted:
    """What is to be synthesized, beside the network and the place where it is kept."""

    units: int
    recipe: str
    class_recipes: tuple[str, ...]
    layers: tuple[str, ...] | None = None
    steps: int | None = None

    def keywords(self) -> dict[str, Any]:
        """Those of `Atlas.build` that are not as usual."""
        told: dict[str, Any] = {}
        if self.layers is not None:
            told["layers"] = list(self.layers)
        if self.units != 9:
            told["units"] = self.units
        if self.recipe != "default":
            told["recipes"] = self.recipe
        if self.class_recipes:
            told["class_recipes"] = list(self.class_recipes)
        if self.steps is not None:
            told["steps"] = self.steps
        return told


class AtlasBuilder:
    """Controls of what is synthesized, a button, and a bar; gives the selection its atlas.

    Parameters
    ----------
    selection
        Gets the atlas, also while it grows.
    path
        Where to keep it; None: in memory.
    failed
        Gets what goes wrong, None when it begins.
    layers
        Names of the layers to synthesize; None: the main ones, as of every other network that is chosen later.
    steps
        How many each recipe makes; None: its own number.
    """

    def __init__(
        self,
        selection: Selection,
        path: str | Path | None,
        failed: Callable[[BaseException | None], None],
        layers: tuple[str, ...] | None = None,
        steps: int | None = None,
    ) -> None:
        self._selection, self.path, self._failed = selection, path, failed
        self._layers, self._layers_of, self._most_steps = layers, selection.network, steps
        self._steps: Iterator[Progress[Atlas]] | None = None
        self._key: Any = None
        self._busy = self._closed = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock, self._showing = threading.Lock(), threading.RLock()
        self._progress: Progress[Atlas] | None = None
        self.units = widgets.IntSlider(value=9, min=1, max=36, description="units of each layer", style=_NARROW)
        self.recipe = widgets.Dropdown(
            options=["default", *recipes.names()],
            description="recipe",
            style=_NARROW,
            layout=widgets.Layout(width="auto"),
        )
        self.four = widgets.Checkbox(
            value=False,
            description="classes by four combinations of priors",
            tooltip="Each class by the four recipes of Yosinski et al. 2015; these make many steps",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self.button = widgets.Button(layout=widgets.Layout(width="auto"))
        self.button.style.font_weight = "600"
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="180px", display="none"))
        self.told = widgets.Label("")
        controls, state = (
            widgets.HBox([self.units, self.recipe, self.four]),
            widgets.HBox([self.button, self.bar, self.told]),
        )
        for row in (controls, state):
            row.add_class("cnnviz-wrap")
        self.box = widgets.VBox([controls, state])
        for control in (self.units, self.recipe, self.four):
            control.observe(lambda change: self.show(), "value")
        self.show()

    @property
    def wanted(self) -> Wanted:
        """As the controls stand."""
        layers = self._layers if self._selection.network is self._layers_of else None
        return Wanted(self.units.value, self.recipe.value, FOUR if self.four.value else (), layers, self._most_steps)

    @property
    def running(self) -> bool:
        """Whether images are being made."""
        return self._busy and not self._stop.is_set()

    def pressed(self) -> None:
        """Begin, stop, or go on; returns at once."""
        if self.running:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Begin, or go on after a stop; returns at once."""
        with self._lock:
            if self.running or self._closed:
                return
            former, self._stop = self._thread, threading.Event()
            self._busy, self._progress = True, None
            self._thread = threading.Thread(
                target=self._work, args=(self._stop, former, self.wanted), name="cnnviz-atlas", daemon=True
            )
            self._thread.start()
        self._failed(None)
        self.show()

    def stop(self) -> None:
        """End after the step under way; what is done stays."""
        self._stop.set()
        self.show()

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

    def wait(self, seconds: float) -> None:
        """Wait for the end; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still synthesizing after {seconds:g} s: {self.told.value}")

    # on the builder's thread

    def _work(self, stop: threading.Event, former: threading.Thread | None, wanted: Wanted) -> None:
        if former is not None:
            former.join()
        network = self._selection.network
        error: BaseException | None = None
        try:
            if not self._follow(self._resumed(network, wanted), stop, network):
                self._drop()
        except BaseException as raised:  # nothing above this thread would show it
            error = raised
            self._drop()
        with self._lock:
            if self._stop is stop:
                self._busy = False
        if self._closed:
            self._drop()
        elif error is not None:
            self._failed(error)
        self.show()

    def _resumed(self, network: Network, wanted: Wanted) -> Iterator[Progress[Atlas]]:
        key = (network, network.stamp(), wanted)
        if self._steps is None or self._key != key:
            self._drop()
            self._key = key
            self._steps = Atlas.building(network, path=self.path, **wanted.keywords())
        return self._steps

    def _drop(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()  # type: ignore[attr-defined]

    def _follow(self, steps: Iterator[Progress[Atlas]], stop: threading.Event, network: Network) -> bool:
        """Take the progress until the end or until stopped; whether there is more to come."""
        told = shown = 0.0
        given: Atlas | None = None
        newest: Atlas | None = None
        try:
            for progress in steps:
                now, newest = time.monotonic(), progress.result
                if newest is not given and now - shown > SHOWN_EVERY:
                    given, shown = newest, now
                    self._give(newest, network)
                if now - told > TOLD_EVERY or progress.done >= progress.total:
                    told, self._progress = now, progress
                    self.show()
                if self._selection.network is not network:
                    return False
                if stop.is_set():
                    return True
        finally:
            if newest is not None and newest is not given:
                self._give(newest, network)
        return False

    def _give(self, atlas: Atlas, network: Network) -> None:
        """Hand an atlas out, unless another network has been chosen meanwhile."""
        if self._selection.network is network:
            with contextlib.suppress(traitlets.TraitError):  # chosen at this very moment
                self._selection.atlas = atlas

    def show(self) -> None:
        """Tell how it stands."""
        with self._showing:
            running, atlas, progress = self.running, self._selection.atlas, self._progress
            self.bar.layout.display = "" if running else "none"
            self.button.description = "Stop" if running else self._offer(atlas)
            self.button.button_style = "primary" if atlas is None and not running else ""
            for control in (self.units, self.recipe, self.four):
                control.disabled = running
            if running and progress is not None:
                self.bar.max, self.bar.value = max(1, progress.total), progress.done
                self.told.value = _sentence(progress)
            else:
                self.told.value = "Beginning …" if running else _standing(atlas)

    def _offer(self, atlas: Atlas | None) -> str:
        goes_on = self._steps is not None and self._key == (
            self._selection.network,
            self._selection.network.stamp(),
            self.wanted,
        )
        if goes_on:
            return "Continue"
        return "Synthesize all layers" if atlas is None else "Synthesize anew"


def _sentence(progress: Progress[Atlas]) -> str:
    atlas = progress.result
    told = f"{atlas.finished:,} of {atlas.total:,} images"
    if progress.left:
        told += f" · {duration(progress.left)} left"
    return f"{told}. {progress.told}" if progress.told else told


def _standing(atlas: Atlas | None) -> str:
    if atlas is None:
        return "no images yet"
    bad = f", {len(atlas.faults):,} could not be made" if atlas.faults else ""
    if not atlas.complete:
        return f"{atlas.finished:,} of {atlas.total:,} images{bad}"
    return f"{counted(atlas.total, 'image')} of {counted(len(atlas.layers), 'layer')}{bad}"

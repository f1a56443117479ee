"""``LayerMap``: which layers of two networks see a collection alike, as a map of layers by layers that fills as it is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.engine.similarity import BATCH, LayerSimilarity
from cnnviz_widgets.views import ImageGrid

from ._unit_controls import Guarded

MOST_IMAGES = 200
TOLD_EVERY = 0.3
"""Seconds between two messages to the bar and the map."""
Standing = tuple[Network, Network, ImageSet]


class LayerMap:
    """A button, a bar and a map of cells; a click on a cell chooses its layer of the first network.

    Parameters
    ----------
    standing
        Gives both networks and the images as they are chosen at this moment.
    user
        Makes a handler that stays quiet while the panel itself sets traits.
    chosen
        Gets the name of the layer of the first network whose cell was clicked.
    failed
        Gets what goes wrong.
    changed
        Called when there is another map.
    """

    def __init__(
        self,
        standing: Callable[[], Standing],
        user: Guarded,
        chosen: Callable[[str], None],
        failed: Callable[[BaseException], None],
        changed: Callable[[], None],
    ) -> None:
        self._standing, self._chosen, self._failed, self._changed = standing, chosen, failed, changed
        self._closed, self._busy = False, False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._of: tuple[Any, ...] | None = None
        self._pair: tuple[Any, ...] | None = None
        self.found: LayerSimilarity | None = None
        self.heading = widgets.Label("Every layer with every layer")
        self.heading.add_class("cnnviz-section")
        self.images = widgets.BoundedIntText(
            value=100, min=4, max=MOST_IMAGES, description="images at most",
            style={"description_width": "initial"}, layout=widgets.Layout(width="180px"),
        )  # fmt: skip
        self.button = widgets.Button(
            description="Compare all layers",
            tooltip="Linear CKA of each main layer of one network with each of the other, over the images",
            layout=widgets.Layout(width="auto"),
        )
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="150px", display="none"))
        self.told = widgets.Label("")
        self.grid = ImageGrid(max_height=640)
        self.grid.layout.display = "none"
        self.button.on_click(user(lambda button: self.press()))
        self.grid.observe(user(self._clicked), "selected")
        controls = widgets.HBox([self.button, self.images, self.bar, self.told])
        controls.add_class("cnnviz-wrap")
        self.box = widgets.VBox([self.heading, controls, self.grid])

    @property
    def running(self) -> bool:
        """Whether it is being made."""
        return self._busy and not self._stop.is_set()

    def press(self) -> None:
        """Begin, or stop; returns at once."""
        with self._lock:
            if self.running:
                self._stop.set()
            elif not self._closed:
                former, self._stop, self._busy = self._thread, threading.Event(), True
                arguments = (self._standing(), int(self.images.value), self._stop, former)
                self._pair = arguments[0][:2]
                self._thread = threading.Thread(
                    target=self._work, args=arguments, name="cnnviz-similarity", daemon=True
                )
                self._thread.start()
        self._show()

    def follow(self, layer: str, other: str) -> None:
        """Mark the cell of two layers, and forget a map of other networks."""
        with self._lock:
            first, second, _ = self._standing()
            if self._busy and self._pair != (first, second):
                self._stop.set()
                self.told.value = ""
            if self._of is not None and self._of[:2] != (first, second):
                self._of = self.found = None
                self.grid.layout.display = "none"
                self.told.value = ""
            elif self._of is not None and self._of[2] != (first.stamp(), second.stamp()) and not self._busy:
                self.told.value = "The weights have changed since."
            found = self.found
            if found is not None:
                listed = layer in found.rows and other in found.columns
                place = found.rows.index(layer) * len(found.columns) + found.columns.index(other) if listed else -1
                if self.grid.selected != place:
                    self.grid.selected = place

    def wait(self, seconds: float) -> None:
        """Wait for its end; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                raise TimeoutError(f"still comparing after {seconds:g} s: {self.told.value}")

    def close(self) -> None:
        """End what runs."""
        with self._lock:
            self._closed = True
            self._stop.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(30)

    def _work(self, standing: Standing, most: int, stop: threading.Event, former: threading.Thread | None) -> None:
        if former is not None:
            former.join()
        try:
            self._compare(standing, most, stop)
        except BaseException as error:  # nothing above this thread would show it
            if not self._closed:
                self.told.value = ""
                self._failed(error)
        with self._lock:
            if self._stop is stop:
                self._busy = False
        self._show()

    def _compare(self, standing: Standing, most: int, stop: threading.Event) -> None:
        first, second, images = standing
        stamps = first.stamp(), second.stamp()
        chosen = images[:: _every(len(images), most)]
        shown = 0.0
        for progress in LayerSimilarity.building(first, second, chosen, batch=min(BATCH, 8)):
            if self._closed or (stop.is_set() and progress.done < progress.total):
                if self._shows(first, second):
                    self.told.value = f"Stopped after {progress.done} of {progress.total} images."
                    self._draw(progress.result, (first, second, stamps))
                return
            last = progress.done == progress.total
            if last or time.monotonic() - shown > TOLD_EVERY:
                shown = time.monotonic()
                self._tell(progress)
                self._draw(progress.result, (first, second, stamps))

    def _shows(self, first: Network, second: Network) -> bool:
        """Whether these are still the two networks to be compared."""
        return not self._closed and self._standing()[:2] == (first, second)

    def _tell(self, progress: Progress[LayerSimilarity]) -> None:
        self.bar.max, self.bar.value = progress.total, progress.done
        self.told.value = "" if progress.done == progress.total else str(progress)

    def _draw(self, found: LayerSimilarity, of: tuple[Any, ...]) -> None:
        """A cell for each pair, so that each tells what it is of."""
        with self._lock:
            if not self._shows(*of[:2]):
                return
            self._of, self.found = of, found
        values = found.values.ravel()
        pixels = np.rint(255 * np.nan_to_num(values).clip(0, 1)).astype(np.uint8).reshape(-1, 1, 1)
        names = [f"{row} × {column}" for row in found.rows for column in found.columns]
        labels = [
            name if np.isfinite(value) else f"{name} (no value)" for name, value in zip(names, values, strict=True)
        ]
        debiased = ", debiased" if found.debiased else ""
        self.grid.layout.display = ""
        self.grid.tile_size = max(4, min(28, 520 // len(found.columns)))
        self.grid.show(
            pixels,
            np.tile(np.array([[0, 1]], np.float32), (len(pixels), 1)),
            colormap=colormaps.table("magma"),
            labels=labels,
            columns=len(found.columns),
            caption=f"linear CKA{debiased} over {found.images} images: the first network's layers down, the second's across; "
            "dark 0, bright 1",
        )
        self._changed()

    def _show(self) -> None:
        if not self._closed:
            self.button.description = "Stop" if self.running else "Compare all layers"
            self.bar.layout.display = "" if self.running else "none"

    def code(self) -> str:
        """The call that makes the same map."""
        images = self._standing()[2]
        every = _every(len(images), int(self.images.value))
        return f"cnn.similarity.LayerSimilarity.build(first, second, images{f'[::{every}]' if every > 1 else ''})"

    def _clicked(self, change: Any) -> None:
        found = self.found
        if found is not None and 0 <= change["new"] < found.values.size:
            self._chosen(found.rows[change["new"] // len(found.columns)])


def _every(count: int, most: int) -> int:
    """Every how manieth image is taken, for a collection often has its classes one after the other."""
    return max(1, -(-count // most))

"""``Synthesis``: the image that a unit likes best beside the photographs it likes best, measured with the same measure."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import display, recipes
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network

SIDE = 224
EVERY = 0.5
"""Seconds between two pictures on the way."""
KEPT = 64


@dataclass(frozen=True, eq=False)
class Made:
    """A synthesized image: the picture, and the unit's activation for it, measured as the collection's are."""

    picture: bytes
    activation: float
    told: str


Standing = tuple[Unit, Network, str]
"""A unit, its network, and how an image's activation is taken from its map: ``"max"`` or ``"mean"``."""


class Synthesis:
    """A recipe, a button and a picture.

    Parameters
    ----------
    standing
        Gives the unit as it is chosen at this moment, whatever is just being drawn.
    told
        Called when the picture of the chosen unit changed, on the thread that makes it.
    failed
        Gets what goes wrong there.
    """

    def __init__(
        self, standing: Callable[[], Standing], told: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._standing, self._told, self._failed = standing, told, failed
        self._made: dict[Any, Made] = {}
        self._network: Network | None = None
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy, self._closed = False, False
        self._chosen: tuple[Unit, int, str] | None = None
        self._suggested = ""
        self.recipe = widgets.Dropdown(
            options=recipes.names(), description="recipe", layout=widgets.Layout(width="auto"),
            style={"description_width": "initial"},
        )  # fmt: skip
        self.button = widgets.Button(
            description="Synthesize",
            tooltip="Climb an image that excites the unit",
            layout=widgets.Layout(width="auto"),
        )
        self.image = widgets.Image(format="jpeg", layout=widgets.Layout(width=f"{SIDE}px", display="none"))
        self.caption = widgets.Label("")
        self.caption.add_class("cnnviz-verdict")
        controls = widgets.HBox([self.recipe, self.button])
        controls.add_class("cnnviz-wrap")
        self.box = widgets.VBox([controls, self.image, self.caption])

    @property
    def running(self) -> bool:
        """Whether an image is being made."""
        return self._busy and not self._stop.is_set()

    def choose(self) -> None:
        """Stand at the chosen unit, with its image where one was made with the weights as they are."""
        with self._lock:
            unit, network, pool = self._standing()
            if network is not self._network:
                self._made.clear()
                self._network = network
            key = (unit, network.stamp(), pool)
            if self._chosen is None or self._chosen[0].layer != unit.layer:
                self._suggest("natural" if unit.layer == network.output else "lucid")
            if key != self._chosen:
                self._stop.set()
                self._chosen = key
            self._show()

    def made(self, unit: Unit) -> Made | None:
        """The image of a unit, where it is the chosen one and there is one."""
        with self._lock:
            if self._chosen is None or self._chosen[0] != unit:
                return None
            return self._made.get(self._chosen)

    def press(self) -> None:
        """Begin, or stop; returns at once."""
        with self._lock:
            self.choose()
            if self.running:
                self._stop.set()
            elif self._chosen is not None and self._network is not None and not self._closed:
                former, self._stop, self._busy = self._thread, threading.Event(), True
                arguments = (self._network, self.recipe.value, self._chosen, self._stop, former)
                self._thread = threading.Thread(target=self._work, args=arguments, name="cnnviz-synthesis", daemon=True)
                self._thread.start()
            self._show()

    def close(self) -> None:
        """End what runs."""
        with self._lock:
            self._closed = True
            self._stop.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(30)

    def wait(self, seconds: float) -> None:
        """Wait for the end; for scripts and tests.

        Raises
        ------
        TimeoutError
            It took longer.
        """
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                raise TimeoutError(f"still climbing after {seconds:g} s")

    def _suggest(self, recipe: str) -> None:
        """Choose a recipe that fits the layer, unless the user has chosen one."""
        if self._suggested in ("", self.recipe.value) and recipe in self.recipe.options:
            self._suggested = self.recipe.value = recipe

    def _work(
        self,
        network: Network,
        recipe: str,
        key: tuple[Unit, int, str],
        stop: threading.Event,
        former: threading.Thread | None,
    ) -> None:
        if former is not None:
            former.join()
        try:
            self._climb(network, recipe, key, stop)
        except BaseException as error:  # nothing above this thread would show it
            self._failed(error)
        with self._lock:
            if self._stop is stop:
                self._busy = False
            self._show()

    def _climb(self, network: Network, recipe: str, key: tuple[Unit, int, str], stop: threading.Event) -> None:
        unit, _, pool = key
        shown, steps = time.monotonic(), recipes.get(recipe).steps
        with contextlib.closing(ascend(network, unit, recipe)) as frames:
            for frame in frames:
                now, stopped = time.monotonic(), stop.is_set()
                if stopped and frame.step == 0:  # noise, which nobody has climbed
                    break
                last = frame.step >= steps or stopped or any(frame.notes)
                if (last or now - shown > EVERY) and torch.isfinite(frame.image).all():
                    shown = now
                    path = frame.paths[0] if frame.paths else None
                    seen = path.crop(frame.image) if path is not None else frame.image
                    told = " ".join((f"{recipe}, step {frame.step} of {steps}", *filter(None, frame.notes)))
                    self._keep(key, Made(_picture(seen, network), _activation(network, unit, frame.image, pool), told))
                if last:
                    break

    def _keep(self, key: tuple[Unit, int, str], made: Made) -> None:
        with self._lock:
            self._made[key] = made
            while len(self._made) > KEPT:
                self._made.pop(next(iter(self._made)))
            chosen = key == self._chosen
            self._show()
        if chosen and not self._closed:
            self._told()

    def _show(self) -> None:
        made = None if self._chosen is None else self._made.get(self._chosen)
        self.button.description = "Stop" if self.running else "Synthesize"
        self.image.layout.display = "none" if made is None else ""
        if made is not None and self.image.value != made.picture:
            self.image.value = made.picture
        self.caption.value = "" if made is None else made.told


def _picture(image: Tensor, network: Network) -> bytes:
    shown = display.stretched(image, network.input.neutral_image(image), "percentile")
    picture = Image.fromarray(display.pixels(shown)[0]).convert("RGB")
    factor = max(1, -(-SIDE // max(picture.size)))
    smooth = Image.Resampling.LANCZOS if max(picture.size) >= 64 else Image.Resampling.NEAREST
    picture = picture.resize((picture.width * factor, picture.height * factor), smooth)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _activation(network: Network, unit: Unit, image: Tensor, pool: str) -> float:
    maps = network.activations(image.clamp(0, 1), unit.layer)[unit.layer.name][0, unit.channel].float()
    return float(maps.mean() if pool == "mean" else maps.max())

"""``Climber``, ``Synthesis``: an image that climbs beside photographs of a collection, measured with the same measure.

::

    Target(network, goal, measure) -> press() -> Made, Made, ... every half second, remembered by what was climbed and the weights
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
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
from cnnviz_widgets.engine.objectives import Objective

SIDE = 224
EVERY = 0.5
"""Seconds between two pictures on the way."""
KEPT = 64


@dataclass(frozen=True, eq=False)
class Made:
    """A synthesized image: the picture, and its activation, measured as the collection's are."""

    picture: bytes
    activation: float
    told: str


@dataclass(frozen=True, eq=False)
class Goal:
    """What an image climbs, and how it is measured.

    Attributes
    ----------
    measure
        An image (1, C, H, W) -> its activation, and what is to be said of it in a sentence, perhaps nothing.
    """

    climbed: Unit | Objective
    measure: Callable[[Tensor], tuple[float, str]]


@dataclass(frozen=True, eq=False)
class Target:
    """What is chosen at a moment.

    Attributes
    ----------
    network
        The one that climbs.
    owner
        What all images belong to: with another one, those made so far are forgotten.
    key
        Tells what is chosen from all else of the same owner.
    find
        Gives the goal, on the thread that climbs, since that may take a while.
    recipe
        One that fits.
    """

    network: Network
    owner: Any
    key: Hashable
    find: Callable[[], Goal]
    recipe: str


class Climber(ABC):
    """A recipe, a button and a picture.

    Parameters
    ----------
    told
        Called when the picture of what is chosen changed, on the thread that makes it.
    failed
        Gets what goes wrong there.
    name, tooltip
        The button's.
    """

    def __init__(
        self, told: Callable[[], None], failed: Callable[[BaseException], None], name: str, tooltip: str
    ) -> None:
        self._told, self._failed, self._name = told, failed, name
        self._made: dict[Hashable, Made] = {}
        self._owner: Any = None
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy, self._closed = False, False
        self._target: Target | None = None
        self._key: Hashable = None
        self._suggested = ""
        self.recipe = widgets.Dropdown(
            options=recipes.names(), description="recipe", layout=widgets.Layout(width="auto"),
            style={"description_width": "initial"},
        )  # fmt: skip
        self.button = widgets.Button(description=name, tooltip=tooltip, layout=widgets.Layout(width="auto"))
        self.image = widgets.Image(format="jpeg", layout=widgets.Layout(width=f"{SIDE}px", display="none"))
        self.caption = widgets.Label("")
        self.caption.add_class("cnnviz-verdict")
        self.controls = widgets.HBox([self.recipe, self.button])
        self.controls.add_class("cnnviz-wrap")
        self.box = widgets.VBox([self.controls, self.image, self.caption])

    @abstractmethod
    def target(self) -> Target | None:
        """What is chosen at this moment, whatever is just being drawn; None: nothing."""

    @property
    def running(self) -> bool:
        """Whether an image is being made."""
        return self._busy and not self._stop.is_set()

    def choose(self) -> None:
        """Stand at what is chosen, with its image where one was made with the weights as they are."""
        with self._lock:
            target = self.target()
            if target is not None and target.owner is not self._owner:
                self._made.clear()
                self._owner = target.owner
            key = None if target is None else (target.key, target.network.stamp())
            if target is not None and key != self._key:
                self._suggest(target.recipe)
            if key != self._key:
                self._stop.set()
            self._target, self._key = target, key
            self._show()

    def press(self) -> None:
        """Begin, or stop; returns at once."""
        with self._lock:
            self.choose()
            if self.running:
                self._stop.set()
            elif self._target is not None and not self._closed:
                former, self._stop, self._busy = self._thread, threading.Event(), True
                arguments = (self._target, self.recipe.value, self._key, self._stop, former)
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
        self, target: Target, recipe: str, key: Hashable, stop: threading.Event, former: threading.Thread | None
    ) -> None:
        if former is not None:
            former.join()
        try:
            self._climb(target, recipe, key, stop)
        except BaseException as error:  # nothing above this thread would show it
            if not self._closed:
                self._failed(error)
        with self._lock:
            if self._stop is stop:
                self._busy = False
            self._show()

    def _climb(self, target: Target, recipe: str, key: Hashable, stop: threading.Event) -> None:
        network, goal = target.network, target.find()
        shown, steps = time.monotonic(), recipes.get(recipe).steps
        with contextlib.closing(ascend(network, goal.climbed, recipe)) as frames:
            for frame in frames:
                now, stopped = time.monotonic(), stop.is_set()
                if stopped and frame.step == 0:  # noise, which nobody has climbed
                    break
                last = frame.step >= steps or stopped or any(frame.notes)
                if (last or now - shown > EVERY) and torch.isfinite(frame.image).all():
                    shown = now
                    path = frame.paths[0] if frame.paths else None
                    seen = path.crop(frame.image) if path is not None else frame.image
                    value, said = goal.measure(frame.image)
                    begun = f"{recipe}, step {frame.step} of {steps}" + ("." if said else "")
                    told = " ".join(filter(None, (begun, said, *frame.notes)))
                    self._keep(key, Made(_picture(seen, network), value, told))
                if last:
                    break

    def _keep(self, key: Hashable, made: Made) -> None:
        with self._lock:
            self._made[key] = made
            while len(self._made) > KEPT:
                self._made.pop(next(iter(self._made)))
            chosen = key == self._key
            self._show()
        if chosen and not self._closed:
            self._told()

    def _show(self) -> None:
        made = None if self._key is None else self._made.get(self._key)
        self.button.description = "Stop" if self.running else self._name
        self.image.layout.display = "none" if made is None else ""
        if made is not None and self.image.value != made.picture:
            self.image.value = made.picture
        self.caption.value = "" if made is None else made.told


Standing = tuple[Unit, Network, str]
"""A unit, its network, and how an image's activation is taken from its map: ``"max"`` or ``"mean"``."""


class Synthesis(Climber):
    """The image that a unit likes best.

    Parameters
    ----------
    standing
        Gives the unit as it is chosen at this moment, whatever is just being drawn.
    told, failed
        See `Climber`.
    """

    def __init__(
        self, standing: Callable[[], Standing], told: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._standing = standing
        super().__init__(told, failed, "Synthesize", "Climb an image that excites the unit")

    def target(self) -> Target:
        """The unit's."""
        unit, network, pool = self._standing()

        def measure(image: Tensor) -> tuple[float, str]:
            return _activation(network, unit, image, pool), ""

        recipe = "natural" if unit.layer == network.output else "lucid"
        return Target(network, network, (unit, pool), lambda: Goal(unit, measure), recipe)

    def made(self, unit: Unit) -> Made | None:
        """The image of a unit, where it is the chosen one and there is one."""
        with self._lock:
            if self._target is None or self._target.key[0] != unit:  # type: ignore[index]
                return None
            return self._made.get(self._key)


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

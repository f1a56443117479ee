"""``Synthesis``: the image that a unit likes best beside the photographs it likes best, measured with the same measure."""

from __future__ import annotations

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


class Synthesis:
    """A recipe, a button and a picture.

    Parameters
    ----------
    told
        Called when the picture of the chosen unit changed, on the thread that makes it.
    """

    def __init__(self, told: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._told, self._failed = told, failed
        self._made: dict[Any, Made] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._chosen: Any = None
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
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def choose(self, unit: Unit, network: Network) -> Made | None:
        """Stand at a unit; its image, where one was made with the weights as they are."""
        key = (unit, network.stamp())
        if self._chosen is None or self._chosen[0].layer != unit.layer:
            self.recipe.value = "natural" if unit.layer == network.output else "lucid"
        if key != self._chosen:
            self._stop.set()
            self._chosen = key
        made = self._made.get(key)
        self._show(made)
        return made

    def press(self, unit: Unit, network: Network, pool: str) -> None:
        """Begin, or stop; returns at once."""
        if self.running:
            self._stop.set()
            return
        former, self._stop = self._thread, threading.Event()
        arguments = (unit, network, pool, self.recipe.value, (unit, network.stamp()), self._stop, former)
        self._thread = threading.Thread(target=self._work, args=arguments, name="cnnviz-synthesis", daemon=True)
        self.button.description = "Stop"
        self._thread.start()

    def close(self) -> None:
        """End what runs."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(30)

    def wait(self, seconds: float) -> None:
        """Wait for the end; for scripts and tests."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(
        self,
        unit: Unit,
        network: Network,
        pool: str,
        recipe: str,
        key: Any,
        stop: threading.Event,
        former: threading.Thread | None,
    ) -> None:
        if former is not None:
            former.join()
        try:
            shown, steps = time.monotonic(), recipes.get(recipe).steps
            frames = ascend(network, unit, recipe)
            for frame in frames:
                now = time.monotonic()
                last = frame.step >= steps or stop.is_set()
                if (last or now - shown > EVERY) and torch.isfinite(frame.image).all():
                    shown = now
                    how = f"{recipe}, step {frame.step} of {steps}"
                    path = frame.paths[0] if frame.paths else None
                    seen = path.crop(frame.image) if path is not None else frame.image
                    made = Made(_picture(seen, network), _activation(network, unit, frame.image, pool), how)
                    self._keep(key, made)
                if last:
                    break
            frames.close()
        except BaseException as error:  # nothing above this thread would show it
            self._failed(error)
        finally:
            self.button.description = "Synthesize"

    def _keep(self, key: Any, made: Made) -> None:
        self._made[key] = made
        while len(self._made) > KEPT:
            self._made.pop(next(iter(self._made)))
        if key == self._chosen:
            self._show(made)
            self._told()

    def _show(self, made: Made | None) -> None:
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

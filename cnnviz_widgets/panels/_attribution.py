"""``WhyThisClass``: which places of an image speak for a class, by a method of the reader's choice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from cnnviz_widgets.engine import attribution
from cnnviz_widgets.engine.attribution import Attribution
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.progress import Clock, Progress
from cnnviz_widgets.views import ImageGrid, Note

from ._base import beside
from ._enlarging import show_enlarged
from ._runner import Latest
from ._unit_controls import Guarded

LISTED = 5
"""Classes in the menu, the most probable ones; any other is found by its name."""
DRAWN_EVERY = 0.4
"""Seconds between two pictures of a map that is still growing."""

_HERE = "grad_cam_here"
METHODS = (
    ("none", ""),
    ("saliency (gradient)", "saliency"),
    ("SmoothGrad", "smooth_grad"),
    ("Grad-CAM", "grad_cam"),
    ("Grad-CAM, chosen layer", _HERE),
    ("occlusion", "occlusion"),
)
_BRIGHT = "Bright: pixels whose change moves the score most"
_LEGENDS = {
    "saliency": f"{_BRIGHT}, up or down.",
    "smooth_grad": f"{_BRIGHT}, up or down; averaged over noisy copies of the image.",
    "grad_cam": "Bright: where the layer's maps raise the score.",
    _HERE: "Bright: where the layer's maps raise the score.",
    "occlusion": "Red: hiding it lowers the score, it speaks for this. Blue: hiding it raises the score, it speaks against.",
}
_PIECES = {"occlusion": "windows", "smooth_grad": "noisy images"}


@dataclass(frozen=True, eq=False)
class Shown:
    """What the panel shows: an image (1, C, H, W) as a network sees it, and the unit in focus.

    ``key`` tells image and weights apart; ``chances`` (classes,) is None where the network is no classifier.
    """

    key: tuple[Any, ...]
    network: Network
    image: Tensor
    chances: Tensor | None
    unit: Unit


@dataclass(frozen=True, eq=False)
class _Asked:
    """One question; of two with the same key the answers are the same."""

    key: tuple[Any, ...]
    method: str
    shown: Shown
    goal: Unit

    def answers(self) -> Iterator[Progress[Attribution]]:
        """The answer as it comes."""
        given = (self.shown.network, self.shown.image, self.goal)
        if self.method == "occlusion":
            yield from attribution.occluding(*given)
        elif self.method == "smooth_grad":
            yield from attribution.smoothing(*given)
        elif self.method == "saliency":
            yield Clock(0, 1).at(1, attribution.saliency(*given))
        else:
            layer = self.shown.unit.layer if self.method == _HERE else None
            yield Clock(0, 1).at(1, attribution.grad_cam(*given, layer=layer))


class WhyThisClass:
    """Menus for the method and the class, and the picture. Without a method nothing is computed.

    Parameters
    ----------
    user
        Makes a handler that stays quiet while the panel itself sets traits; ``own`` marks that it does.
    failed
        Gets what goes wrong beyond the methods themselves.
    changed
        Called when `code` tells something else.
    """

    def __init__(
        self,
        user: Guarded,
        own: Callable[[], AbstractContextManager[None]],
        failed: Callable[[BaseException], None],
        changed: Callable[[], None],
    ) -> None:
        self._own, self._changed = own, changed
        self._latest = Latest(failed)
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._shown: Shown | None = None
        self._wanted: int | str | None = None  # None: the most probable class
        self._numbers: dict[str, int] = {}
        self._asked_for: tuple[Any, ...] | None = None
        self._found: tuple[_Asked, Attribution, str] | None = None
        look: dict[str, Any] = {"style": {"description_width": "initial"}}
        self.method = widgets.Dropdown(options=METHODS, description="method", **look, layout=_wide())
        self.goal = widgets.Dropdown(description="class", **look, layout=_wide())
        self.search = widgets.Combobox(
            placeholder="another class, by name", ensure_option=True, continuous_update=False, layout=_wide()
        )
        self.opacity = widgets.FloatSlider(
            value=0.6, min=0, max=1, step=0.05, description="opacity", **look, layout=_wide()
        )
        self.button = widgets.Button(description="Stop", layout=widgets.Layout(width="auto"))
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="150px"))
        self.count = widgets.Label("")
        self.running = widgets.HBox([self.button, self.bar, self.count])
        self.running.add_class("cnnviz-wrap")
        self.picture, self.legend = ImageGrid(max_height=520), Note()
        heading = widgets.Label("Why this class?")
        heading.add_class("cnnviz-section")
        controls = [self.method, self.goal, self.search, self.opacity, self.running]
        self.box = widgets.VBox([heading, beside(controls, [self.picture], [self.legend])])
        self._blank("")
        self.method.observe(user(lambda change: self._request()), "value")
        self.opacity.observe(user(lambda change: self._request()), "value")
        self.goal.observe(user(self._goal_chosen), "value")
        self.search.observe(user(self._searched), "value")
        self.button.on_click(user(lambda button: self._pressed()))

    # what is asked

    def show(self, shown: Shown) -> None:
        """Ask of another image, network or unit, or of the same again."""
        with self._lock, self._own():
            before, self._shown = self._shown, shown
            if before is None or before.network is not shown.network:
                self._wanted = None
                self._list_classes(shown.network)
            if before is None or before.key != shown.key or before.unit != shown.unit:
                self._fill()
        self._request()

    def clear(self) -> None:
        """There is no image."""
        with self._lock, self._own():
            self._shown = None
            self.goal.options = []
        self._request()

    def _list_classes(self, network: Network) -> None:
        """The names that can be searched for; those that several classes share with their numbers."""
        names = [network.label(number) for number in range(network.output.channels)] if network.is_classifier else []
        count = Counter(names)
        told = [name if count[name] == 1 else f"{name} [{number}]" for number, name in enumerate(names)]
        self._numbers = {name: number for number, name in enumerate(told)}
        self.search.options = told
        self.search.layout.display = "" if told else "none"
        self.goal.description = "class" if told else "unit"

    def _fill(self) -> None:
        shown = self._shown
        assert shown is not None
        listed: list[int] = []
        if shown.chances is not None:
            listed = shown.chances.topk(min(LISTED, len(shown.chances))).indices.tolist()
            if isinstance(self._wanted, int) and self._wanted not in listed:
                listed.append(self._wanted)
        names = list(self._numbers)
        options: list[tuple[str, int | str]] = [
            (f"{names[number]}  {float(shown.chances[number]):.1%}", number)  # type: ignore[index]
            for number in listed
        ]
        options.append((f"the unit in focus, {shown.unit}", "unit"))
        self.goal.options = options
        self.goal.value = options[0][1] if self._wanted is None else self._wanted

    def _goal_chosen(self, change: Any) -> None:
        with self._lock:
            best = self.goal.options[0][1] if self.goal.options else None
            self._wanted = None if change["new"] == best else change["new"]
        self._request()

    def _searched(self, change: Any) -> None:
        number = self._numbers.get(change["new"])
        if number is None or self._shown is None:
            return
        with self._lock, self._own():
            self._wanted = number
            self._fill()
            self.search.value = ""
        self._request()

    def _asking(self) -> _Asked | None:
        shown, method, value = self._shown, self.method.value, self.goal.value
        if shown is None or not method or value is None:
            return None
        goal = shown.unit if value == "unit" else shown.network.output[value]
        layer = shown.unit.layer if method == _HERE else None
        return _Asked((shown.key, method, goal, layer), method, shown, goal)

    def _request(self) -> None:
        ticket = self._latest.ticket()
        with self._lock:
            asked = self._asking()
            if asked is None or asked.key != self._asked_for:
                self._stop.set()
                self._stop = threading.Event()
                self._asked_for = None if asked is None else asked.key
            stop = self._stop
            if asked is None:
                with self._own():
                    self._blank("")
            else:
                self._latest.request(lambda: self._work(asked, stop), ticket)
        self._changed()

    def _pressed(self) -> None:
        """Stop, or begin again after a stop."""
        with self._lock:
            if self.button.description == "Stop":
                self._stop.set()
                return
            self._asked_for, self._found = None, None
        self._request()

    # on the worker's thread

    def _work(self, asked: _Asked, stop: threading.Event) -> None:
        with self._own():
            try:
                if self._found is None or self._found[0].key != asked.key:
                    self._found = None
                    self._compute(asked, stop)
                else:
                    self._draw(*self._found)
            except Exception as error:  # told where the picture would be; the panel lives on
                with self._lock:
                    if self._asked_for == asked.key:
                        self._blank(str(error) or type(error).__name__)

    def _compute(self, asked: _Asked, stop: threading.Event) -> None:
        begun, drawn = time.monotonic(), 0.0
        self._tell(asked, None)
        for progress in asked.answers():
            now = time.monotonic()
            over = progress.done == progress.total
            told = f"{now - begun:.1f} s" if over else "…"
            if stop.is_set() and not over:
                told = f"stopped at {progress.done:,} of {progress.total:,} {_PIECES[asked.method]}"
            if over or (stop.is_set() and self._stop is stop):  # else another question has taken its place
                self._found = (asked, progress.result, told)
            if over or stop.is_set() or now - drawn > DRAWN_EVERY:
                drawn = now
                self._tell(asked, progress, stopped=stop.is_set())
                self._draw(asked, progress.result, told)
            if stop.is_set():
                return

    def _tell(self, asked: _Asked, progress: Progress[Attribution] | None, *, stopped: bool = False) -> None:
        """How far it is, beside a button to stop it."""
        with self._lock:
            if self._asked_for != asked.key:
                return
            over = progress is not None and progress.done == progress.total
            long = asked.method in _PIECES and not over
            self.running.layout.display = "" if long else "none"
            self.button.description = "Again" if stopped else "Stop"
            self.bar.layout.display = "none" if stopped else ""
            self.bar.max, self.bar.value = (progress.total, progress.done) if progress else (1, 0)
            self.count.value = str(progress) if progress and not stopped else ""

    def _draw(self, asked: _Asked, found: Attribution, told: str) -> None:
        laid = found.overlay(opacity=self.opacity.value)
        with self._lock:
            if self._asked_for != asked.key:
                return
            self.picture.layout.display = ""
            show_enlarged(self.picture, laid, "")
            self.legend.show(f"{_sentence(found)}, {told}\n{found.told or _LEGENDS[asked.method]}")

    def _blank(self, error: str) -> None:
        self.picture.layout.display = self.running.layout.display = "none"
        self.legend.show(error, kind="error" if error else "info")

    # what the panel asks

    def wait(self, seconds: float) -> None:
        """Wait until the answer is shown."""
        self._latest.wait(seconds)

    def close(self) -> None:
        """End what runs."""
        self._stop.set()
        self._latest.close()

    def code(self, image: str, unit: Unit) -> list[str]:
        """Python code that gives the same picture; none without a method."""
        method, value, shown = self.method.value, self.goal.value, self._shown
        if not method:
            return []
        goal = ""
        if value == "unit":
            where = () if unit.position is None else ("center",) if unit.position == "center" else unit.position
            goal = f", net[{unit.layer.name!r}][{', '.join(map(repr, (unit.channel, *where)))}]"
        elif value is not None and shown is not None:
            label, labels = shown.network.label(value), shown.network.labels
            goal = f", net.unit({label!r})" if labels.count(label) == 1 else f", net.output[{value}]"
        layer = f", layer={unit.layer.name!r}" if method == _HERE else ""
        name = "grad_cam" if method == _HERE else method
        return [f"cnn.attribution.{name}(net, {image}{goal}{layer}).overlay(opacity={self.opacity.value:g})"]


def _sentence(found: Attribution) -> str:
    where = f" of {found.layer}" if found.layer else ""
    chance = f"{found.probability:.1%}" if found.probability is not None else f"score {found.score:.3g}"
    return f"{found.method}{where} for {found.label} ({chance})"


def _wide() -> widgets.Layout:
    return widgets.Layout(width="98%")

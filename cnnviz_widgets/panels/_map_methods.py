"""``methods(changed) -> ChoiceControls``: the ways to a map as a menu with sliders, and what is said of the maps they make.

::

    RunBar.tell(running, progress) -> a button that says Run or Stop, and how far the map is
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import ipywidgets as widgets

from cnnviz_widgets.engine import projections
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.engine.projections import Map, Projection

from ._controls import ChoiceControls, made_alone, spaced
from ._map_making import Made, MapMaker, Mapped


def methods(changed: Callable[[Any], None]) -> ChoiceControls:
    """The projections that can be made here, each with its sliders; one whose package is missing is left out."""
    usable = [member for member in Projection.members() if made_alone(member) and _installed(member)]
    controls = ChoiceControls(cast(Any, SimpleNamespace(members=lambda: usable)), changed, "method")
    for member in controls.members.values():
        for control in member.widgets.values():  # the column is narrow
            control.tooltip = control.description
            control.description = control.description.partition(",")[0]
    controls.menu.options = [(_name(member), member.__name__) for member in usable]
    return controls


def _installed(member: type[Projection]) -> bool:
    try:
        member().check()
    except ImportError:
        return False
    return True


def _name(member: type[Projection]) -> str:
    return "t-SNE" if member is projections.TSNE else spaced(member.__name__)


def titled(projection: Projection) -> str:
    """What a projection is called."""
    return _name(type(projection))


def described(projection: Projection, mapped: Mapped) -> str:
    """What a map by that projection shows."""
    return f"{titled(projection)} of {len(mapped.rows):,} images by their features in {mapped.layer}"


def reported(projection: Projection, mapped: Mapped, made: Made) -> str:
    """What a map at rest shows, and how true it is, in sentences."""
    state = f": {made.quality}" if made.quality is not None and made.quality.k else ""
    if made.quality is None:
        state = f", stopped at step {made.map.done:,} of {made.map.total:,}"
    return ". ".join([f"{described(projection, mapped)}{state}", *made.map.told]) + "."


def projection_code(projection: Projection) -> str:
    """``cnn.projections.TSNE(perplexity=50.0)``: with the knobs that are not as usual; a class of the user's as it is called."""
    usual = type(projection)().to_data()
    told = [f"{name}={value!r}" for name, value in projection.to_data().items() if usual[name] != value]
    name = type(projection).__name__
    ours = getattr(projections, name, None) is type(projection)
    return f"{'cnn.projections.' if ours else ''}{name}({', '.join(told)})"


class RunBar:
    """The button that begins and stops a map, and its progress; any thread may tell.

    Parameters
    ----------
    maker
        Whether it runs is asked when something is told, so that the order of tellers does not matter.
    """

    def __init__(self, maker: MapMaker) -> None:
        self._maker, self._lock = maker, threading.Lock()
        self.button = widgets.Button(
            description="Run", tooltip="Make the map; the same button stops it", layout=widgets.Layout(width="auto")
        )
        self.button.style.font_weight = "600"
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="120px", display="none"))
        self.told = widgets.Label("")
        self.box = widgets.VBox([widgets.HBox([self.button, self.bar]), self.told])

    def tell(self, progress: Progress[Map] | None = None) -> None:
        """Say how far it is; None: at its beginning, or at rest."""
        with self._lock:
            running = self._maker.running
            self.button.description = "Stop" if running else "Run"
            self.bar.layout.display = "" if running else "none"
            if progress is not None:
                self.bar.max, self.bar.value = max(1, progress.total), progress.done
            text = "Beginning …" if progress is None else f"Step {progress}"
            if progress is not None and progress.done >= progress.total:
                text = "Grid and quality …"
            self.told.value = text if running else ""

"""``Telling``: what the images that were chosen together on a map have that the others have not.

::

    the choice -> the units that tell it from the rest, as bars; and an image that climbs along the direction to it
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from cnnviz_widgets.engine import objectives, recipes
from cnnviz_widgets.engine.index.telling import Shared, TellingUnits
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart

from ._code import maximizing
from ._map_making import Mapped
from ._map_picture import MapPicture
from ._runner import Latest
from ._synthesis import Climber, Goal, Target

UNITS = 10
POWER = 2.0
"""The cosine's: the image is to point where they point, and not merely to be strong in some of their channels."""
SPELLED = 12
"""So many ids are written out in code; more are told by their label or their rows."""
_WAYS = {"high": "higher for these", "low": "lower for these", "either": "higher or lower"}


class SharedImage(Climber):
    """An image of what the chosen images share: it climbs along the direction from the others to them.

    Parameters
    ----------
    failed
        Gets what goes wrong.
    """

    def __init__(self, picture: MapPicture, failed: Callable[[BaseException], None]) -> None:
        self._picture = picture
        super().__init__(
            lambda: None,
            failed,
            "Synthesize what they share",
            "Climb an image whose features point from those of the other images to theirs",
        )

    def target(self) -> Target | None:
        """The choice; None without any."""
        mapped, ids = _choice(self._picture)
        if mapped is None or not ids:
            return None
        network = mapped.index.network
        return Target(network, mapped.index, (mapped.layer, ids), lambda: _goal(mapped, ids), "natural")


class Telling:
    """Two buttons and what they give, while images are chosen; a click on a unit calls back.

    Parameters
    ----------
    failed
        Gets what goes wrong.
    picked
        Gets a unit that is clicked.
    """

    def __init__(
        self, picture: MapPicture, failed: Callable[[BaseException], None], picked: Callable[[Unit], None]
    ) -> None:
        self._picture, self._picked = picture, picked
        self._latest = Latest(failed)
        self._lock = threading.RLock()
        self._asked: tuple[Mapped | None, tuple[str, ...]] = (None, ())
        self._units: tuple[Unit, ...] = ()
        self.button = widgets.Button(
            description="Which units tell these from the rest?",
            tooltip="Compare the activations of the chosen images with those of all others, unit by unit",
            layout=widgets.Layout(width="auto"),
        )
        self.by = widgets.Dropdown(
            options=[(text, by) for by, text in _WAYS.items()],
            description="units that are",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="auto"),
        )
        self.chart = BarChart(unit="σ")
        self.chart.layout.display = "none"
        self.synthesis = SharedImage(picture, failed)
        asking = widgets.HBox([self.button, self.by])
        asking.add_class("cnnviz-wrap")
        self.box = widgets.VBox([asking, self.chart, self.synthesis.box], layout=widgets.Layout(display="none"))
        self.button.on_click(lambda button: self.ask())
        self.by.observe(lambda change: self.ask() if self._shown else None, "value")
        self.chart.observe(self._bar_chosen, "selected")
        self.synthesis.button.on_click(lambda button: self.synthesis.press())
        picture.view.observe(lambda change: self.tell(), "chosen")

    def tell(self) -> None:
        """Stand at what is chosen: what was told of another choice goes, and all of it without any."""
        mapped, ids = _choice(self._picture)
        self.box.layout.display = "" if ids else "none"
        with self._lock:
            if self._asked != (mapped, ids):
                self._asked, self._units = (None, ()), ()
                self.chart.layout.display = "none"
        self.synthesis.choose()

    def ask(self) -> None:
        """Compare the choice with the rest; returns at once."""
        (mapped, ids), by = _choice(self._picture), self.by.value
        if mapped is None or not ids:
            return
        with self._lock:
            self._asked = (mapped, ids)
        self._latest.request(lambda: self._compare(mapped, ids, by))

    def wait(self, seconds: float) -> None:
        """Wait until what was asked for is there; ``TimeoutError`` where it takes longer."""
        self._latest.wait(seconds)
        self.synthesis.wait(seconds)

    def close(self) -> None:
        """End what runs, and make no more."""
        self._latest.close()
        self.synthesis.close()

    def code(self) -> str:
        """Python code that gives what is shown, of ``net``, ``images`` and ``index``; empty where nothing was asked for."""
        mapped, ids = _choice(self._picture)
        climbed = self.synthesis.running or bool(self.synthesis.caption.value)
        if mapped is None or not ids or not (self._shown or climbed):
            return ""
        last = mapped.layer == mapped.index.network.last_hidden.name
        given = "chosen" if last else f"chosen, {mapped.layer!r}"
        more = "" if self.by.value == "high" else f", by={self.by.value!r}"
        before = [f"chosen = {chosen_code(mapped, ids)}"]
        asked = f"index.telling_units({given}{more})"
        if not climbed:
            return "\n".join([*before, asked])
        if self._shown:
            before.append(f"units = {asked}")
        before.append(f"layer, vector = index.shared_direction({given})")
        goal = f"objectives.direction(layer, vector, cosine_power={POWER:g})"
        return maximizing(goal, [recipes.get(self.synthesis.recipe.value)], 1, before)

    @property
    def _shown(self) -> bool:
        return self.chart.layout.display != "none"

    def _compare(self, mapped: Mapped, ids: tuple[str, ...], by: Any) -> None:
        found = mapped.index.telling_units(ids, mapped.layer, UNITS, by=by)
        with self._lock:
            if self._asked != (mapped, ids):
                return
            self._units = tuple(row.unit for row in found)
            self.chart.show(
                [
                    f"{_name(row.unit, mapped.index.network)} · {row.auc:.2f} · {row.inside:.3g} / {row.rest:.3g}"
                    for row in found
                ],
                [row.effect for row in found],
                caption=_caption(found, by),
            )
            self.chart.layout.display = ""

    def _bar_chosen(self, change: Any) -> None:
        units = self._units
        if 0 <= change["new"] < len(units):
            self._picked(units[change["new"]])


def _choice(picture: MapPicture) -> tuple[Mapped | None, tuple[str, ...]]:
    """The images of the map, and the ids of those chosen among them."""
    mapped, ids = picture.mapped, tuple(picture.chosen())
    return (mapped, ids) if picture.mapped is mapped else (None, ())  # another collection has just come


def _goal(mapped: Mapped, ids: tuple[str, ...]) -> Goal:
    index, network = mapped.index, mapped.index.network
    shared = Shared.of(index, ids, mapped.layer)
    layer, these = shared.layer, f"the {len(ids):,} chosen" if len(ids) > 1 else "the chosen one"

    def measure(image: Tensor) -> tuple[float, str]:
        maps = network.activations(image.clamp(0, 1), layer)[layer.name]
        at, cosine = shared.standing(index.plan.features_of(layer, maps)[0].cpu().numpy())
        return at, (
            f"From the others, at 0, to {these}, at 1, it has come to {at:.2f}. Cosine with the direction: {cosine:.2f}; "
            f"{these} {shared.cosine_inside:.2f}, the others {shared.cosine_rest:.2f}."
        )

    return Goal(objectives.direction(layer, shared.vector, POWER), measure)


def _name(unit: Unit, network: Network) -> str:
    if unit.position is None:
        named = unit.layer == network.output and bool(network.labels)
        return network.label(unit.channel) if named else str(unit.channel)
    return f"{unit.channel} at {', '.join(map(str, unit.index or ()))}"


def _caption(found: TellingUnits, by: str) -> str:
    these = f"the {found.inside:,} chosen images" if found.inside > 1 else "the chosen image"
    others = f"the other {found.rest:,}"
    if not len(found):
        than = {"high": "more strongly", "low": "more weakly", "either": "otherwise"}[by]
        return f"No unit of {found.layer.name} answers {these} {than} than {others}. {found.left_out}".rstrip()
    return (
        f"Units of {found.layer.name} that tell {these} from {others}: channel, area under the ROC curve, and their mean "
        "activations. A bar is as long as these are apart, in deviations σ (Cohen's d). Click on one to select the unit. "
        f"{found.left_out}"
    ).rstrip()


def chosen_code(mapped: Mapped, ids: Sequence[str]) -> str:
    """An expression of ``index`` and ``images`` that gives the ids; short also where these are many."""
    if len(ids) <= SPELLED:
        return repr(list(ids))
    rows = sorted(mapped.rows[id] for id in ids)
    labels = {mapped.labels[row] for row in rows}
    if mapped.index.images.labelled and len(labels) == 1:
        label = labels.pop()
        if mapped.labels.count(label) == len(rows):
            return f"[id for id in index.ids if images.labels[images.number(id)] == {label!r}]"
    return f"[index.ids[row] for row in [{', '.join(_runs(rows))}]]"


def _runs(rows: Sequence[int]) -> list[str]:
    """Ascending numbers as Python writes them in a list, three or more in a row as a range."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    return [text for run in runs for text in ([f"*range({run[0]}, {run[-1] + 1})"] if len(run) > 2 else map(str, run))]

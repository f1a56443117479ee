"""``control(knob, value) -> widget``: sliders and menus made from knobs, and back to the frozen dataclasses.

Nothing here knows a regularizer by name: a class that a user defines in a notebook cell gets its row like the others.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, cast

import ipywidgets as widgets

from cnnviz_widgets.engine.knobs import Family, Knob, knobs_of

Changed = Callable[[Any], None]
_LABEL = {"description_width": "150px"}


def wide() -> dict[str, Any]:
    """A look for each control; one layout among several would hide them all together."""
    return {"style": dict(_LABEL), "layout": widgets.Layout(width="98%")}


def control(name: str, knob: Knob, value: Any) -> widgets.Widget:
    """A widget for one field: a menu for choices, a box for a truth value, else a slider, whose ends give way to a value
    beyond them."""
    label = knob.label or name.replace("_", " ")
    if isinstance(value, bool) and not knob.choices:
        return widgets.Checkbox(value=value, indent=False, description=label)
    shared = {"description": label, "style": _LABEL, "layout": widgets.Layout(width="98%")}
    if knob.choices:
        return widgets.Dropdown(options=list(knob.choices), value=value, **shared)
    if isinstance(value, str):
        return widgets.Text(value=value, **shared)
    if knob.low is None or knob.high is None:
        number = widgets.IntText if isinstance(value, int) else widgets.FloatText
        return number(value=value, **shared)
    if isinstance(value, int):
        low, high = min(int(knob.low), value), max(int(knob.high), value)
        return widgets.IntSlider(value=value, min=low, max=high, **shared)
    if knob.scale == "log":
        return _logarithmic(knob, value, shared)
    low, high = min(knob.low, value), max(knob.high, value)
    step = _step(low, high)
    places = max(0, -math.floor(math.log10(step)))
    return widgets.FloatSlider(value=value, min=low, max=high, step=step, readout_format=f".{places}f", **shared)


def _logarithmic(knob: Knob, value: float, shared: dict[str, Any]) -> widgets.Widget:
    assert knob.low is not None
    assert knob.high is not None
    low, high = min(knob.low, value if value > 0 else knob.low), max(knob.high, value)
    return widgets.FloatLogSlider(
        value=max(value, low),
        base=10,
        min=math.log10(low),
        max=math.log10(high),
        step=0.001,  # the browser snaps to it: 30 would become 30.3 at 0.01
        readout_format=".3g",
        **shared,
    )


def _step(low: float, high: float) -> float:
    """A round step of about a two-hundredth of the range."""
    return 10.0 ** math.floor(math.log10((high - low) / 50)) / 2


def put(widget: widgets.Widget, value: Any) -> None:
    """Set a control's value, widening the slider first where the value lies beyond its ends; a logarithmic one has no zero,
    which shows at its lower end."""
    if isinstance(widget, widgets.FloatLogSlider):
        value = value if value > 0 else widget.base**widget.min
        widget.min, widget.max = min(widget.min, math.log10(value)), max(widget.max, math.log10(value))
    elif isinstance(widget, widgets.IntSlider | widgets.FloatSlider):
        widget.min, widget.max = min(widget.min, value), max(widget.max, value)
    if widget.value != value:
        widget.value = value


def _meant(widget: widgets.Widget, shown: Any) -> Any:
    """A control's value, undoing what the browser does to it: a slider there snaps to its grid as soon as it appears, and
    0.55 comes back as 0.55000001."""
    value = widget.value
    if isinstance(widget, widgets.FloatLogSlider):
        exponent = math.log10(shown) if shown > 0 else widget.min
        same = abs(math.log10(value) - exponent) <= 0.6 * widget.step
    elif isinstance(widget, widgets.FloatSlider):
        same = abs(value - shown) <= 0.6 * widget.step
    else:
        return value
    return shown if same else float(f"{value:.6g}")


def made_alone(member: type[Family]) -> bool:
    """Whether a class of the user's can be made without values, as its sliders need."""
    try:
        member()
    except Exception:  # the panel opens all the same and names the class
        return False
    return True


def spaced(name: str) -> str:
    """``"ClipSmallNorm"`` -> ``"clip small norm"``, ``"L2Decay"`` -> ``"L2 decay"``."""
    words = re.findall(r"[A-Z][a-z]+|[A-Z0-9]+(?![a-z])|[a-z0-9]+", name)
    return " ".join(word if word.isupper() else word.lower() for word in words)


class MemberControls:
    """The controls of one class of a family: a slider per knob."""

    def __init__(self, member: type[Family], changed: Changed, value: Family | None = None) -> None:
        self.member = member
        self.value: Any = value if value is not None else member()
        self.kinds: dict[str, Any] = {f.name: type(f.default) for f in dataclasses.fields(cast(Any, member))}
        self.shown = {name: self.kinds[name](getattr(self.value, name)) for name in knobs_of(member)}
        self.widgets = {name: control(name, knob, self.shown[name]) for name, knob in knobs_of(member).items()}
        for widget in self.widgets.values():
            widget.observe(changed, "value")
        self.box = widgets.VBox(list(self.widgets.values()))

    def make(self) -> Any:
        """The member as the sliders stand."""
        values = {name: _meant(widget, self.shown[name]) for name, widget in self.widgets.items()}
        return dataclasses.replace(self.value, **{name: self.kinds[name](value) for name, value in values.items()})

    def check(self, value: Any) -> None:
        """Raise ``ValueError`` where these are the controls of another class."""
        if type(value) is not self.member:
            raise ValueError(
                f"{type(value).__name__} has no controls here: it was defined, or defined again, after the panel was opened; "
                "open the panel anew with this recipe"
            )

    def show(self, value: Any) -> None:
        """Set the sliders to a member's values."""
        self.check(value)
        self.value = value
        for name, widget in self.widgets.items():
            self.shown[name] = self.kinds[name](getattr(value, name))
            put(widget, self.shown[name])


class Switched(MemberControls):
    """The controls of a regularizer behind a box that turns it on; its sliders show while it is on."""

    def __init__(self, member: type[Family], changed: Changed) -> None:
        super().__init__(member, changed)
        first = (member.__doc__ or "").strip().splitlines()
        self.switch = widgets.Checkbox(
            value=False, description=spaced(member.__name__), indent=False, tooltip=first[0] if first else ""
        )
        self.switch.add_class("cnnviz-switch")
        self.switch.observe(self._switched, "value")
        self.switch.observe(changed, "value")
        self.sliders = self.box
        self.sliders.layout.display = "none"
        self.sliders.layout.margin = "0 0 0 24px"
        self.box = widgets.VBox([self.switch, self.sliders])

    def _switched(self, change: Any) -> None:
        self.sliders.layout.display = "" if change["new"] else "none"


_SECTIONS = {
    "project": "after each step",
    "penalty": "taken off the score",
    "condition": "on the gradient",
    "transform": "random views, to be robust against",
}
"""What the moments are called above their rows."""


class RegularizerControls:
    """One row per registered regularizer, under a heading for its moment, in the order they will act.

    The order is that of a recipe shown last, then that of the registry, so that what the sliders say and what `make` gives
    agree. A recipe with two of a class gets a second row for it.

    Parameters
    ----------
    adopted
        Is given each row that is made after the panel was built.
    """

    def __init__(
        self, family: type[Family], changed: Changed, adopted: Callable[[widgets.Widget], None] = lambda widget: None
    ) -> None:
        self.family = family
        self._changed, self._adopted = changed, adopted
        self.rows = {member.__name__: Switched(member, changed) for member in family.members() if made_alone(member)}
        self.order = list(self.rows)
        self._sections: dict[str, widgets.VBox] = {}
        for row in self.rows.values():
            self._section(row.member).children += (row.box,)
        self.box = widgets.VBox(list(self._sections.values()))

    def _section(self, member: type[Any]) -> widgets.VBox:
        moment = member.moments()[0] if member.moments() else "project"
        if moment not in self._sections:
            heading = widgets.Label(_SECTIONS[moment])
            heading.add_class("cnnviz-section")
            self._sections[moment] = widgets.VBox([heading])
        return self._sections[moment]

    def outdated(self) -> str:
        """What the rows do not show, in a sentence: classes that were defined since or can't be made without values."""
        known = {member.__name__: member for member in self.family.members()}
        barren = [name for name, member in known.items() if not made_alone(member)]
        rows = {name: row.member for name, row in self.rows.items()}
        newer = [name for name, member in known.items() if name not in barren and rows.get(name) is not member]
        told = []
        if newer:
            told.append(f"{', '.join(newer)} was defined since this panel was opened: open it anew.")
        if barren:
            told.append(f"{', '.join(barren)} has no row: give each of its fields a default, as cnn.knob(...) does.")
        return " ".join(told)

    def make(self) -> tuple[Any, ...]:
        """The regularizers that are on."""
        return tuple(self.rows[name].make() for name in self.order if self.rows[name].switch.value)

    def show(self, regularizers: tuple[Any, ...]) -> None:
        """Turn these on, with their values, and all others off.

        Raises
        ------
        ValueError
            A class that was defined after the panel was opened; nothing is changed then.
        """
        names = _counted([type(one).__name__ for one in regularizers])
        for name, one in zip(names, regularizers, strict=True):
            self.rows.get(name.split("#")[0], next(iter(self.rows.values()))).check(one)
        for name, one in zip(names, regularizers, strict=True):
            if name not in self.rows:
                self._add(name, type(one))
            self.rows[name].show(one)
        for name, row in self.rows.items():
            if row.switch.value != (name in names):
                row.switch.value = name in names
        self.order = names + [name for name in self.rows if name not in names]

    def _add(self, name: str, member: type[Family]) -> None:
        row = self.rows[name] = Switched(member, self._changed)
        row.switch.description = f"{spaced(member.__name__)}, {name.split('#')[1]}"
        section = self._section(member)
        first = [held for other, held in self.rows.items() if other.split("#")[0] == member.__name__ and other != name]
        at = list(section.children).index(first[-1].box) + 1
        section.children = (*section.children[:at], row.box, *section.children[at:])
        self._adopted(row.box)


def _counted(names: list[str]) -> list[str]:
    """``["Jitter", "Jitter"]`` -> ``["Jitter", "Jitter#2"]``."""
    seen: dict[str, int] = {}
    counted = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        counted.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return counted


class ChoiceControls:
    """A menu of a family's classes and the sliders of the chosen one."""

    def __init__(self, family: type[Family], changed: Changed, label: str) -> None:
        self.members = {
            member.__name__: MemberControls(member, changed) for member in family.members() if made_alone(member)
        }
        options = [(spaced(name), name) for name in self.members]
        self.menu = widgets.Dropdown(
            options=options, description=label, style=_LABEL, layout=widgets.Layout(width="98%")
        )
        self.menu.observe(self._chosen, "value")
        self.menu.observe(changed, "value")
        self.box = widgets.VBox([self.menu, *[member.box for member in self.members.values()]])
        self._chosen(None)

    def _chosen(self, change: Any) -> None:
        for name, member in self.members.items():
            member.box.layout.display = "" if name == self.menu.value else "none"

    def make(self) -> Any:
        """The chosen member."""
        return self.members[self.menu.value].make()

    def check(self, value: Any) -> None:
        """Raise ``ValueError`` where there are no controls for it."""
        self.members.get(type(value).__name__, self.members[self.menu.value]).check(value)

    def show(self, value: Any) -> None:
        """Choose a member with its values."""
        self.members.get(type(value).__name__, self.members[self.menu.value]).show(value)
        if self.menu.value != type(value).__name__:
            self.menu.value = type(value).__name__

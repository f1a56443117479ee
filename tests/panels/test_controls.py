"""Sliders and menus made from knobs give back what they were given, whatever a browser does to it on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import pytest
from torch import Tensor

from cnnviz_widgets import knob
from cnnviz_widgets.engine.knobs import Family, Knob, knobs_of
from cnnviz_widgets.engine.parameterizations import Parameterization
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import ClipSmallNorm, GaussianBlur, Jitter, L2Decay, Regularizer
from cnnviz_widgets.engine.steppers import Constant, Progress, Stepper
from cnnviz_widgets.panels._controls import (
    ChoiceControls,
    MemberControls,
    RegularizerControls,
    control,
    put,
    spaced,
)

MEMBERS = [member for family in (Regularizer, Stepper, Parameterization) for member in family.members()]
KNOBS = [(member, name, told) for member in [*MEMBERS, Recipe] for name, told in knobs_of(member).items()]


def silent(change: Any) -> None:
    """A listener that does nothing."""


def snap(widget: Any) -> None:
    """What JupyterLab's sliders do to a value as soon as they appear: nearest point of the grid, in single steps."""
    if isinstance(widget, widgets.FloatLogSlider):
        exponent = math.log10(widget.value)
        widget.value = widget.base ** (widget.min + widget.step * round((exponent - widget.min) / widget.step))
    elif isinstance(widget, widgets.FloatSlider):
        widget.value = widget.min + widget.step * round((widget.value - widget.min) / widget.step) + 1e-9


@pytest.mark.parametrize(("member", "name", "told"), KNOBS, ids=[f"{m.__name__}.{n}" for m, n, _ in KNOBS])
def test_every_knob_gives_a_control_with_its_range(member: type[Any], name: str, told: Knob) -> None:
    default = getattr(member(), name)
    made = control(name, told, default)
    assert made.value == pytest.approx(default)
    assert made.description == (told.label or name.replace("_", " "))
    if isinstance(made, widgets.FloatLogSlider):
        assert (made.base**made.min, made.base**made.max) == pytest.approx((told.low, told.high))
    elif told.low is not None:
        assert (made.min, made.max) == (told.low, told.high)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
@pytest.mark.parametrize("place", [0.0, 0.371, 1.0])
def test_what_is_shown_is_what_is_made(member: type[Family], place: float) -> None:
    values: dict[str, Any] = {}
    for name, told in knobs_of(member).items():
        default = getattr(member(), name)
        if isinstance(default, bool) or told.choices:
            choices = told.choices or (False, True)
            values[name] = choices[round(place * (len(choices) - 1))]
            continue
        assert told.low is not None
        assert told.high is not None
        value = told.low + place * (told.high - told.low)
        values[name] = round(value) if isinstance(default, int) else value
    shown = member(**values)
    controls = MemberControls(member, silent)
    controls.show(shown)
    assert controls.make() == shown
    for widget in controls.widgets.values():
        snap(widget)
    assert controls.make() == shown
    assert eval(repr(controls.make()), {member.__name__: member}) == shown


def test_a_slider_moved_by_hand_gives_a_round_number() -> None:
    controls = MemberControls(GaussianBlur, silent)
    controls.widgets["sigma"].value = 1.4500000000000002
    assert controls.make() == GaussianBlur(1.45)
    controls.widgets["every"].value = 7
    assert controls.make() == GaussianBlur(1.45, every=7)


def test_values_beyond_a_slider_widen_it() -> None:
    controls = MemberControls(Progress, silent)
    shown = Progress(desired=500.0, largest=1e-3)
    controls.show(shown)
    assert controls.make() == shown
    blur = MemberControls(GaussianBlur, silent, GaussianBlur(40.0, every=100))
    assert blur.make() == GaussianBlur(40.0, every=100)
    assert blur.widgets["every"].max == 100


@pytest.mark.parametrize("decay", [0.0, 1e-7, 1.0])
def test_a_logarithmic_slider_shows_zero_at_its_end(decay: float) -> None:
    for controls in (MemberControls(L2Decay, silent), MemberControls(L2Decay, silent, L2Decay(decay))):
        controls.show(L2Decay(decay))
        assert controls.make() == L2Decay(decay)
        snap(controls.widgets["decay"])
        assert controls.make() == L2Decay(decay)
        controls.widgets["decay"].value = 0.01
        assert controls.make() == L2Decay(0.01)


def test_a_whole_number_given_for_a_float_still_gets_a_fine_slider() -> None:
    controls = MemberControls(ClipSmallNorm, silent, ClipSmallNorm(30))
    assert isinstance(controls.widgets["percentile"], widgets.FloatSlider)
    assert controls.make() == ClipSmallNorm(30.0)


@pytest.mark.parametrize(
    ("told", "value", "kind"),
    [
        (Knob(choices=("a", "b")), "b", widgets.Dropdown),
        (Knob(), True, widgets.Checkbox),
        (Knob(), "text", widgets.Text),
        (Knob(), 3, widgets.IntText),
        (Knob(), 3.5, widgets.FloatText),
        (Knob(low=0, high=9), 3, widgets.IntSlider),
        (Knob(low=0, high=9), 3.5, widgets.FloatSlider),
        (Knob(low=1, high=9, scale="log"), 3.5, widgets.FloatLogSlider),
    ],
)
def test_kinds_of_controls(told: Knob, value: Any, kind: type[widgets.Widget]) -> None:
    made = control("the_name", told, value)
    assert type(made) is kind
    assert made.value == value
    put(made, value)
    assert made.value == value


@pytest.mark.parametrize(
    ("name", "words"),
    [("L2Decay", "L2 decay"), ("ClipSmallNorm", "clip small norm"), ("GaussianBlur", "gaussian blur")],
)
def test_class_names_become_words(name: str, words: str) -> None:
    assert spaced(name) == words


def test_regularizers_act_in_the_order_of_the_recipe() -> None:
    controls = RegularizerControls(Regularizer, silent)
    assert controls.make() == ()
    shown = (ClipSmallNorm(40.0), L2Decay(0.02), GaussianBlur(0.7, every=2))
    controls.show(shown)
    assert controls.make() == shown
    assert [row.switch.value for row in controls.rows.values()].count(True) == 3
    controls.rows["L2Decay"].switch.value = False
    assert controls.make() == (shown[0], shown[2])
    controls.rows["L2Decay"].switch.value = True
    assert controls.make() == shown


def test_a_row_shows_its_sliders_while_it_is_on() -> None:
    row = RegularizerControls(Regularizer, silent).rows["L2Decay"]
    assert row.sliders.layout.display == "none"
    row.switch.value = True
    assert row.sliders.layout.display == ""


def test_two_of_one_class_get_a_row_each() -> None:
    adopted: list[Any] = []
    controls = RegularizerControls(Regularizer, silent, adopted.append)
    shown = (Jitter(3), L2Decay(0.3), Jitter(5), Jitter(1))
    controls.show(shown)
    assert controls.make() == shown
    assert adopted == [controls.rows["Jitter#2"].box, controls.rows["Jitter#3"].box]
    section = controls._section(Jitter).children
    first = section.index(controls.rows["Jitter"].box)
    assert section[first : first + 3] == tuple(controls.rows[name].box for name in ("Jitter", "Jitter#2", "Jitter#3"))
    controls.rows["Jitter#2"].widgets["pixels"].value = 7
    assert controls.make() == (shown[0], shown[1], Jitter(7), Jitter(1))
    controls.show((L2Decay(0.1), Jitter(4)))
    assert controls.make() == (L2Decay(0.1), Jitter(4))
    assert len(adopted) == 2


def test_rows_stand_under_the_moment_that_they_act_at() -> None:
    controls = RegularizerControls(Regularizer, silent)
    headings = [section.children[0].value for section in controls.box.children]
    assert headings == [
        "after each step",
        "taken off the score",
        "on the gradient",
        "random views, to be robust against",
    ]
    assert controls.rows["L2Decay"].box in controls.box.children[0].children
    assert controls.rows["Jitter"].box in controls.box.children[3].children


def test_a_menu_of_classes_remembers_each_ones_sliders() -> None:
    told: list[Any] = []
    controls = ChoiceControls(Stepper, told.append, "step rule")
    controls.show(Constant(250.0))
    assert controls.make() == Constant(250.0)
    controls.show(Progress(3.0, 10.0))
    assert controls.make() == Progress(3.0, 10.0)
    told.clear()
    controls.menu.value = "Constant"
    assert controls.make() == Constant(250.0)
    assert told
    assert [name for name, member in controls.members.items() if member.box.layout.display == ""] == ["Constant"]


@pytest.fixture
def fade() -> Iterator[type[Regularizer]]:
    """A regularizer such as a user writes in a cell, with a field that is no knob."""

    @dataclass(frozen=True)
    class Fade(Regularizer):
        """Towards grey."""

        rate: float = knob(0.1, low=0.0, high=1.0, label="rate of fading")
        gently: bool = knob(False)
        name: str = "mine"

        def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
            return x * (1 - self.rate)

    yield Fade
    Regularizer.registry.pop("Fade", None)


def test_a_users_regularizer_gets_its_row(fade: type[Any]) -> None:
    controls = RegularizerControls(Regularizer, silent)
    row = controls.rows["Fade"]
    assert [widget.description for widget in row.widgets.values()] == ["rate of fading", "gently", "every n steps"]
    assert row.switch.tooltip == "Towards grey."
    row.switch.value = True
    row.widgets["rate"].value = 0.4
    row.widgets["gently"].value = True
    assert controls.make() == (fade(0.4, True),)


def test_fields_without_a_knob_are_kept(fade: type[Any]) -> None:
    controls = RegularizerControls(Regularizer, silent)
    controls.show((fade(0.2, name="other"),))
    assert controls.make() == (fade(0.2, name="other"),)


def test_a_class_defined_again_needs_a_new_panel(fade: type[Any]) -> None:
    controls = RegularizerControls(Regularizer, silent)

    @dataclass(frozen=True)
    class Fade(Regularizer):
        speed: float = knob(0.1, low=0.0, high=1.0)

    with pytest.raises(ValueError, match=r"Fade has no controls here.*open the panel anew"):
        controls.show((Fade(0.2),))
    assert controls.make() == ()
    assert RegularizerControls(Regularizer, silent).rows["Fade"].make() == Fade(0.1)

"""Menus and faders make objectives, and the code that is shown makes the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

import cnnviz_widgets as cnn
from cnnviz_widgets import MaximizationPanel, Network, Recipe, objectives
from cnnviz_widgets.panels._code import unit_code
from cnnviz_widgets.panels._objective_editor import ObjectiveEditor
from tests.panels.networks import convolutional, grey
from tests.panels.runs import finished, paused, result_of
from tests.panels.waiting import until

Keep = Callable[[MaximizationPanel], MaximizationPanel]


def editor() -> ObjectiveEditor:
    return ObjectiveEditor(lambda change: None, repr, lambda widget: None)


@pytest.fixture(scope="module")
def net() -> Network:
    """A network that no test here changes."""
    return grey()


def agrees(made: ObjectiveEditor, unit: cnn.Unit, net: Network) -> objectives.Objective:
    """The editor's objective, which its code gives too."""
    goal = made.objective(unit, net)
    code = made.code(unit, net, lambda one: unit_code(one, net))
    evaluated = eval(code, {"net": net, "objectives": objectives})
    assert objectives.Objective.ensure(evaluated) == goal, code
    return goal


@pytest.mark.parametrize(
    ("kind", "layer", "expected"),
    [
        ("value", "2", lambda unit: objectives.activation(unit)),
        ("max", "2", lambda unit: objectives.activation(unit, reduce="max")),
        ("pre", "4", lambda unit: objectives.activation(unit, at="pre")),
        ("post", "2", lambda unit: objectives.activation(unit, at="post")),
        ("probability", "7", objectives.probability),
        ("layer", "2", lambda unit: objectives.deep_dream(unit.layer)),
    ],
)
def test_each_kind_and_its_code(net: Network, kind: str, layer: str, expected: Callable[[cnn.Unit], Any]) -> None:
    made, unit = editor(), net[layer][1]
    made.kind.value = kind
    assert agrees(made, unit, net) == expected(unit)
    made.minimise.value = True
    assert agrees(made, unit, net) == -expected(unit)


def test_a_unit_alone_is_told_as_a_unit(net: Network) -> None:
    made = editor()
    assert made.code(net["7"][1], net, lambda unit: unit_code(unit, net)) == "net.unit('square')"
    assert made.code(net["2"][1, "center"], net, lambda unit: unit_code(unit, net)) == "net['2'][1, 'center']"


@pytest.mark.parametrize("kind", ["value", "max", "layer"])
def test_all_at_once(net: Network, kind: str) -> None:
    made, unit = editor(), net["2"][1]
    made.kind.value = kind
    made.rivals.value = 0.35
    made.weigh_in(net["0"][2])
    made.weigh_in(net.unit("tall"))
    made.terms[0].fader.value = 0.15000000000000002
    made.minimise.value = True
    made.copies.value, made.diversity.value = 3, 4.5
    goal = agrees(made, unit, net)
    assert "0.15 * 0[2]" in repr(goal)
    assert "7[3]" in repr(goal)
    assert "0.35 * others(2[1])" in repr(goal)
    assert repr(goal).startswith("-(")
    assert repr(goal).endswith("4.5 * diversity(2)")
    assert goal.together


def test_diversity_of_a_class_is_that_of_the_last_layer_with_maps(net: Network) -> None:
    made = editor()
    made.copies.value, made.diversity.value = 2, 1.0
    assert "diversity(4)" in repr(agrees(made, net.unit("flat"), net))


def test_diversity_counts_for_several_copies_only(net: Network) -> None:
    made = editor()
    made.diversity.value = 5.0
    assert made.diversity.layout.display == "none"
    assert not agrees(made, net["2"][1], net).together
    made.copies.value = 2
    assert made.diversity.layout.display == ""
    assert agrees(made, net["2"][1], net).together


def test_a_fader_of_the_unit_itself_or_at_zero_counts_nothing(net: Network) -> None:
    made, unit = editor(), net["2"][1]
    made.weigh_in(unit)
    made.weigh_in(unit)
    made.weigh_in(net["2"][2])
    assert len(made.terms) == 2
    made.terms[1].fader.value = 0.0
    assert agrees(made, unit, net) == objectives.activation(unit)


@pytest.mark.parametrize(("kind", "layer"), [("probability", "2"), ("post", "7")])
def test_what_the_network_cannot_give_is_a_value_error(net: Network, kind: str, layer: str) -> None:
    made = editor()
    made.kind.value = kind
    with pytest.raises(ValueError, match=r"no probability|no layer gives"):
        made.objective(net[layer][0], net)


def test_clearing_leaves_the_unit_alone(net: Network) -> None:
    made, unit = editor(), net["2"][1]
    made.kind.value, made.rivals.value, made.minimise.value = "max", 1.0, True
    made.copies.value, made.diversity.value = 3, 2.0
    made.weigh_in(net["0"][0])
    made.clear()
    assert made.objective(unit, net) == objectives.activation(unit)
    assert (made.copies.value, made.terms, made._faders.children) == (1, [], ())


def test_faders_leave_nothing_behind(net: Network) -> None:
    made = editor()
    before = set(_instances)
    for number in range(3):
        made.weigh_in(net["0"][number])
    made.terms[1].box.children[1].click()
    assert [term.unit for term in made.terms] == [net["0"][0], net["0"][2]]
    assert len(made._faders.children) == 2
    made.clear()
    assert [_instances[one] for one in set(_instances) - before] == []


def test_faders_of_a_panel_close_with_it(keep: Keep) -> None:
    before = set(_instances)
    panel = keep(MaximizationPanel(grey()))
    panel.editor.add.click()
    panel.selection.unit = panel.network["2"][1]
    panel.editor.add.click()
    panel.editor.terms[0].box.children[1].click()
    panel.close()
    assert [_instances[one] for one in set(_instances) - before] == []


def test_a_fader_is_called_as_its_class(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.selection.unit = panel.network.unit("flat")
    panel.editor.add.click()
    panel.selection.unit = panel.network.unit("tall")
    panel.wait()
    assert panel.editor.terms[0].fader.description == "flat"
    assert repr(panel.objective) == "7[3] - 7[2]"
    assert "net.unit('tall')" in panel.code()


def test_faders_of_another_network_go(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.editor.add.click()
    panel.editor.kind.value = "max"
    panel.selection.network = convolutional()
    panel.wait()
    assert panel.editor.terms == []
    assert panel.objective == objectives.activation(panel.unit)


def test_a_run_climbs_what_the_editor_says(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=8)))
    panel.selection.unit = panel.network.unit("flat")
    panel.editor.kind.value = "probability"
    panel.editor.minimise.value = True
    made = result_of(finished(panel))
    assert repr(made.objective) == "-probability(7[2])"
    assert float(made.curve[-1]) > float(made.curve[0])
    until(lambda: "-probability(7[2]): finished" in panel.player.status)
    assert "probability" in panel.player.caption


def test_what_can_not_be_climbed_is_told_and_mended(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2)))
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    panel.editor.kind.value = "probability"
    panel.buttons["run"].click()
    assert "has no probability" in panel.note.text
    assert panel.state == "idle"
    panel.editor.kind.value = "max"
    assert panel.note.text == ""
    panel.buttons["run"].click()
    until(lambda: panel.state == "finished")


def test_a_run_keeps_its_objective_and_says_so(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=1_000_000)))
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    paused(panel)
    panel.editor.rivals.value = 0.5
    assert panel.remark.text == "This run still climbs 2[1]; Run starts 2[1] - 0.5 * others(2[1])."
    assert repr(result_of(panel).objective) == "2[1]"

"""The image synthesized beside the photographs: made off the calling thread, measured as they are, kept per unit and weights."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

import cnnviz_widgets as cnn
from cnnviz_widgets import InputSpec, Network, TopImagesPanel
from cnnviz_widgets.panels import _synthesis
from tests.panels.indexed import greys, index_of, local
from tests.panels.networks import grey
from tests.panels.waiting import ours, until

Keep = Callable[[TopImagesPanel], TopImagesPanel]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of twelve steps."""
    original = _synthesis.ascend
    recipes = _synthesis.recipes.get
    monkeypatch.setattr(_synthesis.recipes, "get", lambda name: recipes(name).replace(steps=12))
    monkeypatch.setattr(
        _synthesis, "ascend", lambda network, unit, recipe: original(network, unit, recipes(recipe).replace(steps=12))
    )


@pytest.fixture
def panel(keep: Keep, brief: None) -> TopImagesPanel:
    net = local()
    made = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)))))
    made.selection.unit = net["3"][2]
    made.wait()
    return made


def synthesize(panel: TopImagesPanel) -> None:
    panel.synthesis.button.click()
    panel.synthesis.wait(60)
    panel.wait()


def marks(panel: TopImagesPanel) -> list[str]:
    return [mark["label"] for mark in panel.histogram.marks]


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_an_image_is_made_and_measured_as_the_collection_is(
    keep: Keep, brief: None, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = local()
    panel = keep(TopImagesPanel(net, index_of(net, greys(size=(16, 16)), pool=pool)))
    panel.selection.unit = net["3"][2]
    panel.wait()
    climbed: list[torch.Tensor] = []
    original = _synthesis._activation
    monkeypatch.setattr(_synthesis, "_activation", lambda *given: climbed.append(given[2].clone()) or original(*given))  # type: ignore[func-returns-value]
    assert panel.synthesis.recipe.value == "lucid"
    synthesize(panel)
    maps = net.activations(climbed[-1].clamp(0, 1), "3")["3"][0, 2]
    value = float(maps.amax() if pool == "max" else maps.mean())
    assert marks(panel) == ["best photograph", "synthesized"]
    assert panel.histogram.marks[1] == {"value": pytest.approx(value), "label": "synthesized", "tone": "accent"}
    assert f"Synthesized: {value:.4g}, " in panel.numbers.value
    assert panel.synthesis.caption.value == "lucid, step 12 of 12"
    assert panel.synthesis.image.layout.display == ""
    assert Image.open(io.BytesIO(panel.synthesis.image.value)).size == (224, 224)
    assert panel.note.text == ""


def test_it_is_kept_per_unit_and_weights(panel: TopImagesPanel) -> None:
    net = panel.network
    synthesize(panel)
    made = panel.synthesis.image.value
    panel.units.next.click()
    panel.wait()
    assert marks(panel) == ["best photograph"]
    assert (panel.synthesis.image.layout.display, panel.synthesis.caption.value) == ("none", "")
    panel.selection.unit = net["3"][2]
    panel.wait()
    assert marks(panel) == ["best photograph", "synthesized"]
    assert panel.synthesis.image.value == made
    with torch.no_grad():
        net.module[7].weight.mul_(1.5)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert marks(panel) == ["best photograph"]
    assert panel.synthesis.image.layout.display == "none"


def test_a_neuron_selected_makes_the_channel_that_is_shown(panel: TopImagesPanel) -> None:
    panel.selection.unit = panel.network["3"][2, "center"]
    panel.wait()
    synthesize(panel)
    assert marks(panel) == ["best photograph", "synthesized"]
    panel.selection.unit = panel.network["3"][2]
    panel.wait()
    assert marks(panel) == ["best photograph", "synthesized"]


class Slow:
    """Stops the ascent at a step until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        original = _synthesis.ascend

        def ascend(network: Network, unit: Any, recipe: str) -> Any:
            for frame in original(network, unit, recipe):
                if frame.step == 3:
                    self.reached.set()
                    assert self.go_on.wait(60)
                yield frame

        monkeypatch.setattr(_synthesis, "ascend", ascend)
        monkeypatch.setattr(_synthesis, "EVERY", 0.0)


@pytest.fixture
def slow(panel: TopImagesPanel, monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def test_stops_and_keeps_what_it_has_come_to(panel: TopImagesPanel, slow: Slow) -> None:
    button = panel.synthesis.button
    button.click()
    assert (button.description, panel.synthesis.running) == ("Stop", True)
    assert slow.reached.wait(60)
    button.click()
    assert (button.description, panel.synthesis.running) == ("Synthesize", False)
    slow.go_on.set()
    panel.synthesis.wait(60)
    assert panel.synthesis.caption.value == "lucid, step 3 of 12"
    assert marks(panel) == ["best photograph", "synthesized"]
    assert button.description == "Synthesize"


def test_another_unit_in_the_middle(panel: TopImagesPanel, slow: Slow) -> None:
    net, button = panel.network, panel.synthesis.button
    button.click()
    assert slow.reached.wait(60)
    panel.selection.unit = net["3"][4]
    panel.wait()
    assert button.description == "Synthesize"
    assert marks(panel) == ["best photograph"]
    assert panel.synthesis.image.layout.display == "none"
    button.click()
    assert button.description == "Stop"
    slow.go_on.set()
    panel.synthesis.wait(60)
    assert (button.description, panel.synthesis.caption.value) == ("Synthesize", "lucid, step 12 of 12")
    assert marks(panel) == ["best photograph", "synthesized"]
    panel.selection.unit = net["3"][2]
    panel.wait()
    assert panel.synthesis.caption.value == "lucid, step 3 of 12"


def test_stopped_before_its_first_step_it_leaves_no_noise(panel: TopImagesPanel) -> None:
    panel.synthesis.button.click()
    panel.synthesis.button.click()
    panel.synthesis.wait(60)
    assert "step 0" not in panel.synthesis.caption.value


def test_the_recipe_fits_the_layer_until_one_is_chosen(panel: TopImagesPanel) -> None:
    net, recipe = panel.network, panel.synthesis.recipe
    for layer, expected in (("7", "natural"), ("0", "lucid")):
        panel.selection.layer = net[layer]
        panel.wait()
        assert recipe.value == expected
    recipe.value = "l2"
    for layer in ("7", "3"):
        panel.selection.layer = net[layer]
        panel.wait()
        assert recipe.value == "l2"
    synthesize(panel)
    assert panel.synthesis.caption.value.startswith("l2, step 12")


def test_a_class_is_synthesized(panel: TopImagesPanel) -> None:
    panel.selection.unit = panel.network.unit("striped")
    panel.wait()
    synthesize(panel)
    assert panel.synthesis.caption.value.startswith("natural, step")
    assert panel.note.text == ""


def test_without_an_index_it_is_made_all_the_same(keep: Keep, brief: None) -> None:
    panel = keep(TopImagesPanel(grey()))
    synthesize(panel)
    assert panel.synthesis.caption.value == "lucid, step 12 of 12"
    assert panel.histogram.marks == []
    assert panel.note.text == ""


def test_another_network_forgets(panel: TopImagesPanel) -> None:
    synthesize(panel)
    panel.selection.network = grey()
    panel.wait()
    assert panel.synthesis.image.layout.display == "none"
    synthesize(panel)
    assert panel.synthesis.caption.value == "lucid, step 12 of 12"
    assert panel.note.text == ""


def test_a_pass_that_breaks_is_told(keep: Keep, brief: None, guarded: Any) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(TopImagesPanel(net, index_of(net, greys(6))))
    guarded.passes_left = 5
    synthesize(panel)
    assert "the test's module broke" in panel.note.text
    assert panel.synthesis.button.description == "Synthesize"
    guarded.passes_left = None
    synthesize(panel)
    assert marks(panel) == ["best photograph", "synthesized"]


def test_values_that_are_no_numbers_make_no_picture(keep: Keep, brief: None) -> None:
    net = local()
    with torch.no_grad():
        net.module[0].weight.fill_(float("nan"))  # type: ignore[index,union-attr]
    panel = keep(TopImagesPanel(net, index_of(net, greys(6, size=(16, 16)))))
    synthesize(panel)
    assert panel.synthesis.button.description == "Synthesize"
    assert marks(panel) == []


def test_closing_in_the_middle_ends_it(panel: TopImagesPanel, slow: Slow) -> None:
    hooks = [len(part._forward_hooks) for part in panel.network.module.modules()]
    panel.synthesis.button.click()
    assert slow.reached.wait(60)
    slow.go_on.set()
    panel.close()
    assert not [thread for thread in ours() if thread.name == "cnnviz-synthesis"]
    until(lambda: not panel.synthesis.running)
    panel.synthesis.press()
    assert not panel.synthesis.running
    assert [len(part._forward_hooks) for part in panel.network.module.modules()] == hooks


def test_the_recipes_offered_are_those_there_are(panel: TopImagesPanel) -> None:
    assert list(panel.synthesis.recipe.options) == list(cnn.recipes.names())

"""Scenes: what is selected and set in a panel, as JSON and back, for every panel there is."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz_widgets as cnn
from cnnviz_widgets import (
    ActivationPanel,
    AtlasPanel,
    EmbeddingPanel,
    MaximizationPanel,
    NeighborsPanel,
    Network,
    Selection,
)
from cnnviz_widgets import regularizers as reg
from cnnviz_widgets.panels import Panel, _scene_parts
from cnnviz_widgets.panels._base import _descendants
from cnnviz_widgets.panels._map_picture import MapPicture, Standing
from cnnviz_widgets.panels._scene import SceneError, restore_all, scene_of
from cnnviz_widgets.panels._scene_controls import ERRANDS, FOLLOWING, found_in, set_control
from cnnviz_widgets.panels._scene_parts import driven
from tests.panels.networks import convolutional, dense, grey, untrained_resnet
from tests.panels.waiting import reach, until

PANELS = sorted(Panel.__subclasses__(), key=lambda panel: panel.__name__)
TOLD = (widgets.Label, widgets.HTML, widgets.Image, widgets.IntProgress)
Keep = Callable[..., Any]


def pictures(network: Network, count: int = 6) -> list[np.ndarray]:
    channels, height, width = network.input.size
    shape = (height, width) if channels == 1 else (height, width, 3)
    return list(np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8))


def opened(panel: type[Any], network: Network, keep: Keep) -> Any:
    """The panel with all that it may be given."""
    named = inspect.signature(panel).parameters
    given: dict[str, Any] = {}
    if "index" in named:
        given["index"] = cnn.ActivationIndex.build(network, pictures(network), k=2)
    elif "images" in named:
        given["images"] = pictures(network)
    if "second" in named and named["second"].default is inspect.Parameter.empty:
        given["second"] = Network(copy.deepcopy(network.module), network.input, network.labels or None, name="second")
    return keep(panel(network, **given))


def through_json(scene: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(scene, allow_nan=False))
    return read


def other_value(control: Any) -> Any:
    """A value that the control may have and does not have now; None: there is none."""
    if hasattr(control, "_options_full"):
        if isinstance(control.index, tuple):
            return None
        others = [value for number, (_, value) in enumerate(control._options_full) if number != control.index]
        return others[-1] if others else None
    if isinstance(control.value, bool):
        return not control.value
    if isinstance(control.value, str):
        return "" if control.value else None
    if isinstance(control, widgets.FloatLogSlider):
        return control.base ** ((control.min + control.max) / 2)
    ends = [end for end in (control.min, control.max) if end != control.value]
    return ends[0] if ends else None


@pytest.fixture(params=PANELS, ids=lambda panel: panel.__name__)
def panel(request: pytest.FixtureRequest) -> type[Any]:
    """Each panel there is."""
    return request.param  # type: ignore[no-any-return]


def test_every_control_has_a_name(panel: type[Any], keep: Keep) -> None:
    made = opened(panel, grey(), keep)
    found = found_in(made)
    named = {
        id(control)
        for control in [*found.controls.values(), *(w for part in found.parts.values() for w in driven(part))]
    }
    for widget in _descendants(made):
        if isinstance(widget, widgets.ValueWidget) and not isinstance(widget, TOLD) and id(widget) not in named:
            holders = [vars(made), *(vars(part) for part in found.parts.values())]
            names = {name for holder in holders for name, value in holder.items() if value is widget}
            assert names & (FOLLOWING | ERRANDS), f"{type(widget).__name__} {widget.description!r}"


@pytest.mark.parametrize(
    "network",
    [grey, pytest.param(untrained_resnet, marks=pytest.mark.long), convolutional, dense],
    ids=lambda make: make.__name__,
)
def test_a_scene_is_shown_again(panel: type[Any], network: Callable[[], Network], keep: Keep) -> None:
    made = opened(panel, network(), keep)
    first = through_json(made.scene())
    layer = list(made.network.layers.values())[-1]
    made.selection.unit = layer[layer.channels - 1]
    if len(made.selection.images):
        made.selection.image = made.selection.images.ids[-1]
    made.wait()
    for control in found_in(made).controls.values():
        if (value := other_value(control)) is not None:
            control.value = value
    made.wait()
    second = through_json(made.scene())
    assert second["controls"] != first["controls"]
    fresh = opened(panel, network(), keep)
    for one, scene in ((made, first), (made, second), (made, first), (fresh, second)):
        one.show_scene(scene)
        one.wait()
        shown = through_json(one.scene())
        # what was made when it was asked for, as the unit's card, stays and has controls of its own
        for several in ("controls", "parts"):
            assert {name: shown[several][name] for name in scene[several]} == scene[several]
        assert {**shown, "controls": 0, "parts": 0} == {**scene, "controls": 0, "parts": 0}
    assert made.note.kind != "error" or not made.network.convolutions, made.note.text


def test_controls_that_follow_the_selection_stand_there(keep: Keep) -> None:
    net = grey()
    made = keep(MaximizationPanel(net))
    made.selection.unit = net["2"][3, "center"]
    made.wait()
    scene = through_json(made.scene())
    assert scene["selection"] == {"layer": "2", "unit": ["2", 3, "center"], "image": None}
    made.selection.unit = net.output[4]
    made.wait()
    assert made.label.value == "none"
    made.show_scene(scene)
    made.wait()
    assert (made.channel.value, made.neuron.value, made.tree.selected) == (3, True, "2")
    assert made.selection.unit == net["2"][3, "center"]


def test_a_recipe_comes_back_with_all_that_no_slider_tells(keep: Keep) -> None:
    net = grey()
    made = keep(MaximizationPanel(net))
    recipe = cnn.Recipe(
        regularizers=[reg.Jitter(2), reg.L2Decay(0.123456789), reg.Jitter(1)], steps=77, seed=5, chunk=3
    )
    made.recipe = recipe
    made.start_from(Image.fromarray(pictures(net)[0]))
    recipe = made.recipe
    assert recipe.parameterization.photograph is not None
    scene = through_json(made.scene())
    made.recipe = "yosinski-2"
    made.start_from(None)
    made.show_scene(scene)
    assert made.recipe == recipe
    other = keep(MaximizationPanel(net))
    other.show_scene(scene)
    assert other.recipe == recipe
    assert other.code() == made.code()


def test_recipes_side_by_side_come_back_each_with_its_knobs(keep: Keep) -> None:
    made = keep(MaximizationPanel(grey()))
    made.lanes.mode.value = "race"
    made.lanes.racers.value = ("l2", "yosinski-2", "lucid")
    made.lanes.lane.value = 1
    made.recipe = made.recipe.replace(regularizers=[reg.GaussianBlur(sigma=1.25, every=3)])
    made.lanes.lane.value = 2
    raced, shown = made.lanes.recipes, made.recipe
    scene = through_json(made.scene())
    made.lanes.mode.value = "one"
    made.show_scene(scene)
    assert made.lanes.recipes == raced
    assert (made.lanes.number, made.recipe) == (2, shown)
    assert made.note.text == ""


def test_a_sweep_comes_back(keep: Keep) -> None:
    made = keep(MaximizationPanel(grey(), cnn.Recipe(regularizers=[reg.L2Decay(0.25)])))
    made.lanes.mode.value = "sweep"
    made.lanes.knobs[0].value = (
        "L2Decay.decay" if "L2Decay.decay" in dict(made.lanes.knobs[0].options).values() else "seed"
    )
    made.lanes.counts[0].value = 3
    swept = made.lanes.recipes
    scene = through_json(made.scene())
    made.lanes.mode.value = "board"
    made.show_scene(scene)
    assert made.lanes.recipes == swept


def test_units_weighed_in_come_back_with_their_faders(keep: Keep) -> None:
    net = grey()
    made = keep(MaximizationPanel(net))
    made.editor.weigh_in(net.output[2])
    made.selection.unit = net.output[1]
    made.editor.weigh_in(net["2"][3])
    made.editor.terms[0].fader.value = 0.35
    told = repr(made.objective)
    scene = through_json(made.scene())
    made.editor.clear()
    made.editor.weigh_in(net.output[0])
    made.show_scene(scene)
    assert repr(made.objective) == told
    assert [term.unit for term in made.editor.terms] == [net.output[2], net["2"][3]]


def test_an_objective_from_a_saved_picture_comes_back(keep: Keep) -> None:
    net = grey()
    goal = cnn.objectives.activation(net.output[1]) - 0.25 * cnn.objectives.activation(net["2"][3])
    made = keep(MaximizationPanel(net))
    made.load(cnn.maximize(net, goal, "none", steps=2).png())
    scene = through_json(made.scene())
    made.selection.unit = net["2"][0]
    plain = through_json(made.scene())
    assert plain["objective"] is None
    for _ in range(2):
        made.show_scene(scene)
        made.wait()
        assert repr(made.objective) == repr(goal)
        assert repr(goal) in made.remark.text
        assert through_json(made.scene()) == scene
        made.show_scene(plain)
        made.wait()
        assert repr(made.objective) == repr(cnn.objectives.activation(net["2"][0]))
        assert made.remark.text == ""
    scene["objective"] = {"class": "Evil"}
    with pytest.raises(SceneError, match="no objective 'Evil'"):
        made.show_scene(scene)


def test_a_class_asked_about_comes_back_though_its_menu_is_filled_later(keep: Keep) -> None:
    net = grey()
    made = keep(ActivationPanel(net, pictures(net)))
    made.why.method.value = "saliency"
    made.why.search.value = "flat"
    made.wait()
    scene = through_json(made.scene())
    other = ActivationPanel(net, pictures(net))
    other.show_scene(scene)
    keep(other)
    until(lambda: other.why.goal.value == 2)
    assert other.why.method.value == "saliency"


def test_a_projection_comes_back_with_its_knobs(keep: Keep) -> None:
    net = grey()
    made = opened(EmbeddingPanel, net, keep)
    projection = cnn.projections.TSNE(perplexity=7.5, seed=3)
    made.projection = projection
    made.coloring.menu.value = "clusters" if "clusters" in made.coloring.menu.options else made.coloring.menu.options[1]
    scene = through_json(made.scene())
    made.projection = cnn.projections.PCA()
    made.coloring.menu.value = made.coloring.menu.options[0]
    made.show_scene(scene)
    made.wait()
    assert made.projection == projection
    assert made.coloring.count.layout.display == ""


def test_a_panel_with_a_layer_of_its_own_keeps_it(keep: Keep) -> None:
    net = grey()
    made = opened(cnn.NeighborsPanel, net, keep)
    scene = through_json(made.scene())
    assert scene["layer"] is None
    assert scene["selection"]["layer"] == net.main_layers[0].name
    made.selection.layer = net["2"]
    made.wait()
    assert made.layer == net["2"]
    made.show_scene(scene)
    made.wait()
    assert made.layer == net.last_hidden
    assert made.selection.layer == net.main_layers[0]


def test_an_image_of_one_s_own_is_not_kept_and_that_is_said(keep: Keep) -> None:
    net = grey()
    made = keep(ActivationPanel(net, pictures(net)))
    made.selection.image = own = Image.fromarray(pictures(net)[2])
    scene = through_json(made.scene())
    assert scene["selection"]["image"] is None
    assert "one of your own" in " ".join(scene["left_out"])
    made.show_scene(scene)
    assert made.selection.image is own
    made.selection.image = made.selection.images.ids[1]
    assert made.scene()["left_out"] == []


BAD = {
    "layer": (lambda s: s["selection"].update(unit=["convx", 0, None]), "no layer 'convx'"),
    "channel": (lambda s: s["selection"].update(unit=["0", 99, None]), "99"),
    "position": (lambda s: s["selection"].update(unit=["0", 1, [40, 40]]), "40"),
    "no unit": (lambda s: s["selection"].update(unit="0[1]"), r"expected \[layer, channel, position\]"),
    "image": (lambda s: s["selection"].update(image="dog.jpg"), "no image 'dog.jpg'"),
    "control": (lambda s: s["controls"].update(colourmap="gray"), "no control 'colourmap'; did you mean 'colormap'"),
    "choice": (lambda s: s["controls"].update(colormap="hot"), "colormap = 'hot'; expected one of 'viridis'"),
    "number": (lambda s: s["controls"].update(opacity=7), "opacity = 7; expected 0 to 1"),
    "kind": (lambda s: s["controls"].update(opacity="0.5"), "opacity = '0.5'; expected a value like 0.35"),
    "list": (lambda s: s["controls"].update(colormap=["gray"]), "expected one choice"),
    "class": (lambda s: s["parts"].update(why=99), "99 was given as a class; expected 0 to 4"),
    "panel": (lambda s: s.update(panel="FilterPanel"), "one of FilterPanel, and this is ActivationPanel"),
    "version": (lambda s: s.update(cnnviz_scene=2), "format 2; this version reads 1"),
    "selection": (lambda s: s.update(selection=[]), "'selection' of the scene is list"),
    "value": (lambda s: s["values"].update(recipe={}), "ActivationPanel has no 'recipe' to be set"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_is_named_and_the_panel_is_as_it_was(fault: str, keep: Keep) -> None:
    net = grey()
    made = keep(ActivationPanel(net, pictures(net)))
    made.opacity.value, made.view.value = 0.35, "map"
    scene = through_json(made.scene())
    scene["controls"].update(view="image", scale="layer")
    scene["selection"].update(unit=["2", 1, None], image=made.selection.images.ids[3])
    spoil, message = BAD[fault]
    spoil(scene)
    before = made.scene()
    with pytest.raises(SceneError, match=message):
        made.show_scene(scene)
    made.wait()
    assert made.scene() == before


@pytest.mark.parametrize("data", [None, [], "scene", {}, {"panel": "ActivationPanel"}], ids=repr)
def test_what_is_no_scene_is_an_error(data: Any, keep: Keep) -> None:
    made = keep(ActivationPanel(grey()))
    with pytest.raises(ValueError, match=r"expected what panel\.scene\(\) gave"):
        made.show_scene(data)


def test_a_recipe_of_unknown_classes_is_an_error_and_evaluates_nothing(keep: Keep) -> None:
    made = keep(MaximizationPanel(grey()))
    before = made.recipe
    scene = through_json(made.scene())
    scene["values"]["recipe"]["regularizers"] = [{"class": "__import__('os').getcwd()"}]
    with pytest.raises(SceneError, match="no regularizer"):
        made.show_scene(scene)
    assert made.recipe == before


def test_a_slider_beyond_its_ends_is_refused_unless_a_recipe_says_so(keep: Keep) -> None:
    made = keep(MaximizationPanel(grey(), cnn.Recipe(regularizers=[reg.GaussianBlur(sigma=9.0)])))
    scene = through_json(made.scene())
    made.recipe = cnn.Recipe()
    other = keep(MaximizationPanel(grey()))
    other.show_scene(scene)
    assert other.recipe.regularizers == (reg.GaussianBlur(sigma=9.0),)
    scene["controls"]["editor.copies"] = 100
    with pytest.raises(SceneError, match="copies = 100; expected 1 to 6"):
        other.show_scene(scene)


def test_a_run_under_way_is_steered_once(keep: Keep) -> None:
    made = keep(MaximizationPanel(grey(), cnn.Recipe(steps=100_000, regularizers=[reg.L2Decay(0.1)])))
    scene = through_json(made.scene())
    # more decay would turn the unit off, which ends a run
    made.recipe = made.recipe.replace(regularizers=[reg.L2Decay(0.2), reg.GaussianBlur(sigma=1.0)])
    made.run()
    reach(made, "running")
    marks: list[Any] = []
    mark = made.player.mark
    made.player.mark = lambda step, text: (marks.append(text), mark(step, text))
    made.show_scene(scene)
    assert len(marks) == 1
    assert made.state == "running"
    made.stop()
    reach(made, "stopped")


def test_panels_on_one_selection_take_their_scenes_together_or_not_at_all(keep: Keep) -> None:
    net = grey()
    selection = Selection(net, pictures(net))
    maps = keep(ActivationPanel(net, selection=selection))
    climber = keep(MaximizationPanel(net, selection=selection))
    panels = {"activations": maps, "maximization": climber}
    scenes = {name: through_json(scene_of(panel)) for name, panel in panels.items()}
    selection.unit = net.output[3]
    maps.scale.value, climber.recipe = "layer", "l2"
    changed = {name: scene_of(panel) for name, panel in panels.items()}
    broken = through_json(scenes)
    broken["maximization"]["controls"]["stretch"] = "none at all"
    with pytest.raises(SceneError, match="stretch"):
        restore_all(panels, broken)
    assert {name: scene_of(panel) for name, panel in panels.items()} == changed
    restore_all(panels, scenes)
    assert (maps.scale.value, climber.recipe) == ("channel", cnn.recipes.get("natural"))
    assert selection.unit == net.main_layers[0][0]
    with pytest.raises(SceneError, match="no panel 'filters'"):
        restore_all(panels, {"filters": scenes["activations"]})


LABELLED = ("dark", "light", "striped")


def mapped(keep: Keep, network: Network) -> Any:
    """A map of twelve images of three labels."""
    images = cnn.ImageSet.from_arrays(pictures(network, 12), [LABELLED[n % 3] for n in range(12)])
    return keep(EmbeddingPanel(network, cnn.ActivationIndex.build(network, images, k=2)))


def test_a_map_comes_back_as_it_was_left(keep: Keep) -> None:
    net = grey()
    made = mapped(keep, net)
    before = through_json(made.scene())
    made.view.choose([1, 4, 9])
    made.view.morph, made.view.look = 0.75, "points"
    made.view.hidden = [made.view.label_names.index("light")]
    made.view.camera = [0.25, 0.5, 2.5]
    scene = through_json(made.scene())
    assert scene["parts"]["picture"] == {
        "chosen": ["1", "4", "9"], "hidden": ["light"], "morph": 0.75, "camera": [0.25, 0.5, 2.5], "look": "points",
    }  # fmt: skip
    assert scene["left_out"] == []
    made.show_scene(before)
    made.wait()
    assert (made.view.chosen_indices.tolist(), made.view.hidden, made.view.morph) == ([], [], 0.0)
    assert (made.view.camera, made.view.look) == ([], "auto")
    fresh = EmbeddingPanel(net, made.selection.index)
    fresh.show_scene(scene)
    for one in (made, keep(fresh)):
        one.show_scene(scene)
        one.wait()
        assert one.chosen.ids == ("1", "4", "9")
        assert one.view.hidden == [one.view.label_names.index("light")]
        assert (one.view.morph, one.view.camera, one.view.look) == (0.75, [0.25, 0.5, 2.5], "points")
        assert through_json(one.scene()) == scene
    assert "Show the 3 chosen" in fresh.sheet.button.description


def test_the_page_is_told_where_to_look_after_it_has_the_map(keep: Keep) -> None:
    made = mapped(keep, grey())
    scene = through_json(made.scene())
    scene["parts"]["picture"].update(camera=[0.5, 0.5, 1], morph=1)
    told: list[str] = []
    send = made.view._send
    made.view._send = lambda message, buffers=None: (
        told.append(str(message.get("content", {}).get("type", [*message.get("state", {})]))),
        send(message, buffers),
    )
    made.coloring.menu.value = made.coloring.menu.options[-1]
    made.wait()
    told.clear()
    made.show_scene(scene)
    made.wait()
    assert told[-1] == "camera"
    assert any("version" in one for one in told[:-1])
    assert made.view.camera == [0.5, 0.5, 1.0]


def test_a_map_that_is_drawn_later_is_resumed_then(keep: Keep) -> None:
    net = grey()
    made = mapped(keep, net)
    scene = through_json(made.scene())
    scene["parts"]["picture"].update(chosen=["2"], morph=0.5, camera=[0.1, 0.2, 3])
    index = made.selection.index
    waiting = keep(EmbeddingPanel(net, images=index.images))
    waiting.show_scene(scene)
    waiting.wait()
    assert through_json(waiting.scene())["parts"]["picture"] == scene["parts"]["picture"]
    waiting.selection.index = index
    waiting.wait()
    assert (waiting.chosen.ids, waiting.view.morph, waiting.view.camera) == (("2",), 0.5, [0.1, 0.2, 3.0])
    waiting.view.choose([])
    waiting.refresh()
    waiting.wait()
    assert len(waiting.chosen) == 0


def test_a_choice_that_is_too_large_is_left_out_and_stays(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scene_parts, "MOST", 3)
    made = mapped(keep, grey())
    made.view.choose(range(4))
    scene = through_json(made.scene())
    assert scene["parts"]["picture"]["chosen"] is None
    assert scene["left_out"] == ["The 4 images chosen together on the map are not in the scene, which keeps up to 3."]
    made.view.choose([7])
    made.show_scene(scene)
    made.wait()
    assert made.chosen.ids == ("7",)


def test_a_large_choice_is_there_after_scenes_that_failed(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scene_parts, "MOST", 3)
    made = mapped(keep, grey())
    other = keep(ActivationPanel(made.network, selection=made.selection))
    scenes = {"map": through_json(made.scene()), "activations": through_json(other.scene())}
    scenes["map"]["parts"]["picture"]["chosen"] = ["1"]
    scenes["activations"]["controls"]["opacity"] = 7
    made.view.choose(range(5))
    with pytest.raises(SceneError, match="opacity = 7"):
        restore_all({"map": made, "activations": other}, scenes)
    made.wait()
    assert made.chosen.ids == ("0", "1", "2", "3", "4")


def test_two_thousand_chosen_images_are_a_small_scene() -> None:
    standing = Standing(chosen=tuple(f"n{n:08}" for n in range(_scene_parts.MOST)))
    part = MapPicture()
    part.awaited = standing
    assert len(json.dumps(_scene_parts.kept(part))) < 40_000
    part.view.close()


BAD_MAPS = {
    "part": (lambda m: m.pop("look"), "expected an object with camera, chosen, hidden, look, morph"),
    "image": (lambda m: m.update(chosen=["1", "dog.jpg"]), "no image 'dog.jpg'"),
    "number": (lambda m: m.update(chosen=[1]), "given for the chosen images; expected a list of at most 2,000 texts"),
    "many": (lambda m: m.update(chosen=["1"] * 2001), "at most 2,000"),
    "labels": (lambda m: m.update(hidden="light"), "light was given for the hidden labels"),
    "morph": (lambda m: m.update(morph=1.5), "1.5 was given as the way from the map to the grid; expected 0 to 1"),
    "morph's kind": (lambda m: m.update(morph=True), "True was given as the way"),
    "camera": (lambda m: m.update(camera=[0.5, 0.5]), r"camera is \[0.5, 0.5\]; expected \[\] for all"),
    "far": (lambda m: m.update(camera=[0.5, 9, 1]), "x and y from -0.2 to 1.2"),
    "near": (lambda m: m.update(camera=[0.5, 0.5, 99]), "nearer from -8 to 32"),
    "text": (lambda m: m.update(camera=["0", 0, 0]), "camera is"),
    "truth": (lambda m: m.update(camera=[True, 0, 0]), "camera is"),
    "look": (lambda m: m.update(look="oil"), "'oil' was given as the map's look; expected one of"),
}


@pytest.mark.parametrize("fault", BAD_MAPS)
def test_a_map_that_does_not_fit_is_named_and_all_is_as_it_was(fault: str, keep: Keep) -> None:
    made = mapped(keep, grey())
    scene = through_json(made.scene())
    made.view.choose([3, 5])
    made.view.morph, made.view.camera = 1.0, [0.4, 0.6, 1.0]
    made.selection.unit = made.network.output[2]
    made.wait()
    before = made.scene()
    spoil, message = BAD_MAPS[fault]
    spoil(scene["parts"]["picture"])
    with pytest.raises(SceneError, match=message):
        made.show_scene(scene)
    made.wait()
    assert made.scene() == before
    assert made.chosen.ids == ("3", "5")


def test_a_scene_from_before_there_were_maps_in_them_leaves_the_map(keep: Keep) -> None:
    made = mapped(keep, grey())
    scene = through_json(made.scene())
    del scene["parts"]["picture"]
    made.view.choose([3])
    made.show_scene(scene)
    made.wait()
    assert made.chosen.ids == ("3",)


def test_another_colouring_leaves_the_view_where_it_is(keep: Keep) -> None:
    made = mapped(keep, grey())
    made.view.camera = [0.3, 0.3, 2.0]
    made.coloring.menu.value = made.coloring.menu.options[-1]
    made.wait()
    assert made.view.camera == [0.3, 0.3, 2.0]
    made.selection.images = pictures(made.network, 4)
    made.wait()
    assert made.view.camera == []


def test_rows_that_stay_come_back(keep: Keep) -> None:
    net = grey()
    made = opened(NeighborsPanel, net, keep)
    chosen_anew = through_json(made.scene())
    assert chosen_anew["rows"] is None
    made.clear.click()
    for image in ("4", "2"):
        made.selection.image = image
        made.wait()
        made.pin.click()
    made.selection.image = "1"
    made.wait()
    scene, code = through_json(made.scene()), made.code()
    assert (scene["rows"], scene["left_out"]) == (["2", "4"], [])
    made.show_scene(chosen_anew)
    made.wait()
    assert made.code() != code
    fresh = opened(NeighborsPanel, net, keep)
    for one in (made, fresh):
        one.show_scene(scene)
        one.wait()
        assert (one.code(), through_json(one.scene())) == (code, scene)
    del scene["rows"]
    fresh.clear.click()
    fresh.show_scene(scene)
    fresh.wait()
    assert fresh.neighbors.queries == ("1",)


OWN = "query 0"
"""What the index calls an image of one's own, which it is asked about alone."""


def test_rows_of_one_s_own_images_stay_and_that_is_said(keep: Keep) -> None:
    net = grey()
    made = opened(NeighborsPanel, net, keep)
    own = Image.fromarray(pictures(net)[2])
    made.clear.click()
    made.selection.image = own
    made.wait()
    made.pin.click()
    made.selection.image = "3"
    made.wait()
    made.pin.click()
    scene = through_json(made.scene())
    assert scene["rows"] == ["3"]
    assert scene["left_out"] == ["Rows of images of your own are not in the scene: 1."]
    made.show_scene(scene)
    made.wait()
    assert made.neighbors.queries == ("3", OWN)
    scene["rows"] = ["5"]
    made.show_scene(scene)
    made.wait()
    assert made.neighbors.queries == ("3", "5", OWN)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["dog"], "no image 'dog'"),
        ("1", "1 was given for the rows that stay"),
        ([["1"]], "given for the rows that stay"),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: Any, message: str, keep: Keep) -> None:
    made = opened(NeighborsPanel, grey(), keep)
    before = made.scene()
    with pytest.raises(SceneError, match=message):
        made.show_scene({**before, "rows": rows})
    assert made.scene() == before


def test_what_no_scene_tells_is_there_after_one_that_failed(keep: Keep) -> None:
    net = grey()
    made = opened(NeighborsPanel, net, keep)
    own = Image.fromarray(pictures(net)[2])
    made._pinned = [own, "3"]
    made.selection.image = own
    made.wait()
    scene = {**through_json(made.scene()), "rows": ["4"]}
    scene["selection"]["image"] = "2"
    scene["controls"]["k"] = 99
    with pytest.raises(SceneError, match="k = 99"):
        made.show_scene(scene)
    made.wait()
    assert made.selection.image is own
    assert made._pinned == [own, "3"]
    assert made.neighbors.queries == (OWN, "3")


def test_the_sheet_of_all_layers_is_seen_from_where_it_was(keep: Keep) -> None:
    net = grey()
    atlas = cnn.Atlas.build(net, layers=[net.output], units=2, steps=2)
    made = keep(AtlasPanel(net, atlas))
    before = through_json(made.scene())
    made.view.camera = [0.25, 0.75, 3.0]
    scene = through_json(made.scene())
    assert scene["parts"]["view"] == {"camera": [0.25, 0.75, 3.0]}
    for one, camera in ((before, []), (scene, [0.25, 0.75, 3.0])):
        made.show_scene(one)
        made.wait()
        assert made.view.camera == camera
    fresh = AtlasPanel(net, atlas)
    fresh.show_scene(scene)
    assert keep(fresh).view.camera == [0.25, 0.75, 3.0]
    scene["parts"]["view"] = {"camera": [0, 0, None]}
    with pytest.raises(SceneError, match="camera is"):
        made.show_scene(scene)
    made.wait()
    assert made.view.camera == [0.25, 0.75, 3.0]


def test_a_control_of_a_user_s_panel_is_found_wherever_it_is_held(keep: Keep) -> None:
    class Looks:
        def __init__(self) -> None:
            self.ends = widgets.IntRangeSlider(value=(2, 5), min=0, max=9)
            self.words = {"title": widgets.Text("plain")}
            self.box = widgets.VBox([self.ends, *self.words.values()])

    class OwnPanel(Panel):
        title = "Own"

        def _build(self) -> list[widgets.Widget]:
            self.looks = Looks()
            self.things = widgets.Dropdown(options=[("a sum", torch.sum), ("a mean", torch.mean)])
            self.day = widgets.DatePicker()
            return [self.looks.box, self.things, self.day]

        def _drawing(self) -> Callable[[], None]:
            return lambda: None

        def code(self) -> str:
            return ""

    made = keep(OwnPanel(Selection(grey())))
    scene = through_json(made.scene())
    assert {name: value for name, value in scene["controls"].items() if not name.startswith("_")} == {
        "looks.ends": [2, 5],
        "looks.words[title]": "plain",
        "things": "a sum",
    }
    scene["controls"].update({"looks.ends": [0, 9], "looks.words[title]": "<b>", "things": "a mean"})
    made.show_scene(scene)
    assert (made.looks.ends.value, made.looks.words["title"].value, made.things.value) == ((0, 9), "<b>", torch.mean)
    with pytest.raises(SceneError, match="things"):
        made.show_scene({**scene, "controls": {"things": "a prod"}})


def test_set_control_refuses_what_is_no_number() -> None:
    slider = widgets.FloatSlider(value=0.5, min=0, max=1)
    for data in (float("nan"), float("inf"), True, None, "1", [0.5]):
        with pytest.raises(ValueError, match="slider"):
            set_control(slider, "slider", data)
    assert slider.value == 0.5

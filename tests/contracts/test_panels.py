"""What every panel promises, whatever it shows."""

from __future__ import annotations

import ast
import functools
import inspect
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances

import cnnviz_widgets as cnn
from cnnviz_widgets import Network, Selection
from cnnviz_widgets.panels import MaximizationPanel, Panel
from tests.engine.intact import state_of
from tests.panels.networks import convolutional, dense, grey, untrained_resnet
from tests.panels.waiting import PATIENCE, ours, until

PANELS = sorted(Panel.__subclasses__(), key=lambda panel: panel.__name__)
OF_ALL_LAYERS = (cnn.AtlasPanel,)
"""Panels that show no one layer, so that none is chosen in them."""
NETWORKS = {"grey": grey, "resnet": untrained_resnet, "no dense layer": convolutional, "no convolution": dense}


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """Networks that no test here may change."""
    return {name: make() for name, make in NETWORKS.items()}


def picture_for(network: Network) -> np.ndarray:
    """A picture of noise with as many channels as the network takes."""
    channels, height, width = network.input.size
    shape = (height, width) if channels == 1 else (height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def opened(panel: type[Any], network: Network) -> Panel:
    """The panel with what it may be given, its first picture drawn."""
    given = {"images": [picture_for(network)]} if "images" in inspect.signature(panel).parameters else {}
    made: Panel = panel(network, **second_for(panel, network), **given)
    made.wait()
    return made


def second_for(panel: type[Any], network: Any) -> dict[str, Any]:
    """The network to compare with, which is the same one, for a panel that takes two."""
    return {"second": network} if panel is cnn.ComparePanel else {}


def no_thread_left() -> None:
    for thread in ours():
        thread.join(PATIENCE)
    assert ours() == []


@pytest.fixture(params=PANELS, ids=lambda panel: panel.__name__)
def panel(request: pytest.FixtureRequest) -> type[Any]:
    """Each panel there is."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.long) if name == "resnet" else name for name in NETWORKS])
def network(request: pytest.FixtureRequest, networks: dict[str, Network]) -> Network:
    """Each kind of network."""
    return networks[request.param]


def test_leaves_module_threads_and_widgets_as_they_were(panel: type[Any], network: Network) -> None:
    module, widgets = state_of(network.module), set(_instances)
    hooks = [len(part._forward_hooks) for part in network.module.modules()]
    made = opened(panel, network)
    assert set(_instances) > widgets
    if isinstance(made, MaximizationPanel):
        made.recipe = cnn.Recipe(steps=2)
        made.run()
        until(lambda: made.state == "finished", lambda: made.note.text)
    made.close()
    made.close()
    assert state_of(network.module) == module
    assert [len(part._forward_hooks) for part in network.module.modules()] == hooks
    no_thread_left()
    assert [_instances[one] for one in set(_instances) - widgets] == []


def test_shows_no_error_where_it_can_show_something(panel: type[Any], network: Network) -> None:
    made = opened(panel, network)
    has_filters = bool(network.convolutions) or panel is not cnn.FilterPanel
    assert (made.note.kind != "error") == has_filters, made.note.text
    if not has_filters:
        assert "no 2D convolution" in made.note.text
    made.close()


def test_lives_on_after_the_selection_moved_through_all_layers(panel: type[Any], network: Network) -> None:
    made = opened(panel, network)
    layers = list(network.layers.values())
    for layer in layers[:: max(1, len(layers) // 12)]:
        made.selection.unit = layer[layer.channels - 1]
        made.wait()
        if network.convolutions:
            assert made.note.text == "", f"{layer}: {made.note.text}"
    made.close()


def test_the_code_runs(panel: type[Any], network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(panel, network)
    if isinstance(made, cnn.AtlasPanel):
        made.builder.units.value = 1
        monkeypatch.setattr(cnn.Atlas, "build", functools.partial(cnn.Atlas.build, steps=2))
    if isinstance(made, MaximizationPanel):
        made.recipe = cnn.Recipe(regularizers=[cnn.regularizers.L2Decay(0.1)], steps=2)
    for layer in (network.main_layers[0], network.main_layers[-1]):
        made.selection.layer = layer
        code = made.code()
        if panel is cnn.FilterPanel and not network.convolutions:
            assert code == ""
        else:
            names = {"net": network, "first": network, "second": network}
            given = {"cnn": cnn, **names, "images": made.selection.images}
            assert result_of(code, given) is not None
    made.close()


def result_of(code: str, names: dict[str, Any]) -> Any:
    """The value of the last line, as a notebook cell gives it."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, "code", "exec"), names)
    return eval(compile(ast.Expression(last.value), "code", "eval"), names)


def test_the_code_shows_at_the_press_of_a_button(panel: type[Any], networks: dict[str, Network]) -> None:
    made = opened(panel, networks["grey"])
    assert made._code.text == ""
    made._show_code.value = True
    assert made._code.text == made.whole_code()
    made.selection.layer = networks["grey"]["2"]
    made.wait()
    assert made._code.text == made.whole_code()
    assert "'2'" in made.code() or panel in OF_ALL_LAYERS
    made._show_code.value = False
    assert made._code.text == ""
    made.close()


def test_an_unknown_keyword_is_a_type_error(panel: type[Any], networks: dict[str, Network]) -> None:
    with pytest.raises(TypeError, match="colour"):
        panel(networks["grey"], **second_for(panel, networks["grey"]), colour="red")


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("given", [torch.nn.Conv2d(1, 2, 3), None, "torchvision/alexnet"], ids=repr)
def test_what_is_no_network_is_a_type_error(panel: type[Any], given: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a Network: cnn\.load"):
        panel(given, **second_for(panel, given))
    no_thread_left()


def test_follows_a_selection_to_another_network(panel: type[Any], networks: dict[str, Network]) -> None:
    selection = Selection(networks["grey"], [picture_for(networks["grey"])])
    made = panel(networks["grey"], **second_for(panel, networks["grey"]), selection=selection)
    made.wait()
    selection.network = networks["resnet"]
    made.wait()
    assert made.note.text == ""
    assert made.network is networks["resnet"]
    # some panels begin at a layer of their own
    hidden = networks["resnet"].last_hidden.name
    first = {cnn.FilterPanel: "conv1", cnn.NeighborsPanel: hidden, cnn.EmbeddingPanel: hidden}
    if panel not in OF_ALL_LAYERS:
        assert repr(first.get(panel, networks["resnet"].main_layers[0].name)) in made.code()
        listed = [layer["name"] for layer in made.tree.layers]
        assert listed == list(networks["resnet"].layers)
    made.close()


def test_a_closed_panel_no_longer_follows(
    panel: type[Any], networks: dict[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(panel, networks["grey"])
    selection, drawn = made.selection, []
    made.close()
    monkeypatch.setattr(made, "_drawing", lambda: drawn.append("drew"))
    selection.unit = networks["grey"]["2"][3]
    made.refresh()
    made.wait()
    assert drawn == []

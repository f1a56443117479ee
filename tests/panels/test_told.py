"""What a panel tells lasts and is true: its code for lists of images, errors of runs, classes defined meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.regularizers import L2Decay, Regularizer

PICTURES = [np.full((8, 8), value, np.uint8) for value in (40, 200)]


def grey(labels: list[str] | None = None) -> cnn.Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3, bias=False)
    )
    return cnn.Network(module, cnn.InputSpec(size=(1, 8, 8)), labels)


@pytest.fixture
def registry() -> Iterator[dict[str, type]]:
    before = dict(Regularizer.registry)
    yield Regularizer.registry
    Regularizer.registry.clear()
    Regularizer.registry.update(before)


@pytest.mark.parametrize("layer", ["1", "2", "4"])
def test_activation_code_runs_with_a_plain_list(layer: str) -> None:
    net = grey()
    panel = cnn.ActivationPanel(net, PICTURES)
    panel.selection.layer = net[layer]
    panel.selection.image = "1"
    assert "images[1]" in panel.code()
    names = {"cnn": cnn, "net": net, "images": PICTURES}
    exec(panel.code(), names)
    expected = net.activations(PICTURES[1], [layer])[layer][0]
    assert torch.equal(names["maps"], expected)  # type: ignore[arg-type]
    panel.close()


def test_filter_code_runs_where_the_chosen_filter_is_not_there() -> None:
    net = grey()
    panel = cnn.FilterPanel(net)
    panel.selection.unit = net["0"][3]
    panel.only.value = True
    assert "filters=[3]" in panel.code()
    panel.selection.network = cnn.Network(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), cnn.InputSpec(size=(1, 8, 8))
    )
    panel.selection.unit = panel.network["1"][50]
    panel.wait()
    exec(panel.code(), {"cnn": cnn, "net": panel.network})
    assert "no filter 50" in panel.remark.text
    panel.close()


def test_maximization_code_with_two_classes_of_one_name() -> None:
    net = grey(["a", "b", "b"])
    panel = cnn.MaximizationPanel(net, cnn.Recipe(steps=2, regularizers=[L2Decay(0.2)]))
    panel.selection.unit = net.output[1]
    names = {"cnn": cnn, "net": net, "names": ["mine"]}
    exec(panel.code(), names)
    assert names["names"] == ["mine"]
    panel.close()


def test_a_runs_error_outlasts_drawing() -> None:
    net = grey()
    with torch.no_grad():
        net.module[0].bias.fill_(-100)
    panel = cnn.MaximizationPanel(net, "none")
    panel.selection.unit = net["1"][0]
    panel.run()
    for _ in range(200):
        if "exactly zero" in panel.note.text:
            break
        panel.wait()
        panel._run._thread.join(0.05)  # type: ignore[union-attr]
    panel.refresh()
    panel.wait()
    assert "exactly zero" in panel.note.text
    panel.close()


def test_a_class_without_defaults_does_not_shut_the_panel(registry: dict[str, type]) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Needy(Regularizer):
        strength: float

    panel = cnn.MaximizationPanel(grey())
    panel.wait()
    assert "Needy has no row" in panel.remark.text
    assert "Needy" not in panel.regularizers.rows
    panel.close()


def test_a_class_defined_again_is_told(registry: dict[str, type]) -> None:
    panel = cnn.MaximizationPanel(grey())
    panel.wait()
    assert panel.remark.text == ""

    @dataclass(frozen=True)
    class Late(Regularizer):
        pass

    panel.refresh()
    panel.wait()
    assert "Late was defined since" in panel.remark.text
    panel.close()


def test_a_result_tells_that_its_recipe_was_changed_on_the_way() -> None:
    from cnnviz_widgets.engine.ascent import ascend
    from cnnviz_widgets.engine.best import Best

    net = grey()
    recipe = cnn.Recipe(steps=3)
    best = Best([recipe])
    for frame in ascend(net, net["0"][0], recipe):
        best.add(frame)
        best.steered([recipe if frame.step < 2 else recipe.replace(regularizers=[L2Decay(0.1)])], frame.step)
    result = best.result(net, [cnn.objectives.activation(net["0"][0])])
    assert "changed on the way, first after step 2" in result.notes[0]

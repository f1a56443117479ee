"""What every preset must do on networks it was not made for: climb, stay finite, and show more than a grey square."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, vgg

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.result import Result

COLOUR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
STEPS = 40


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def untrained() -> dict[str, Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tiny = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 5),
        )
        # its own dense layers have a hundred million weights
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
        deep, resnet = nn.Sequential(vgg.make_layers(vgg.cfgs["A"]), *head), resnet18(num_classes=10)
        # without normalisation an untrained network's slopes are a thousandth of a trained one's, where a penalty outweighs all
        head[-1].weight.data *= 1000
    return {
        "tiny": Network(tiny, InputSpec(size=(1, 16, 16))),
        "vgg": Network(deep, InputSpec(size=(3, 32, 32), **COLOUR)),
        "resnet": Network(resnet, InputSpec(size=(3, 40, 33), **COLOUR)),
    }


def rise(net: Network, result: Result) -> float:
    """How much higher it ended. Of random views single scores say little, so there some are averaged, of the views themselves;
    else the image's own score is asked of the network again."""
    if result.recipe.random:
        return float(result.curve[-8:].mean() - result.curve[:8].mean())
    bound = result.objective.bound(net)
    with net.recording(bound.layers) as record, torch.no_grad():
        return float(bound(record(result.image))) - float(result.curve[0])


@pytest.mark.parametrize("recipe", recipes.names())
@pytest.mark.parametrize("name", ["tiny", *(pytest.param(deep, marks=pytest.mark.long) for deep in ("vgg", "resnet"))])
def test_every_recipe_ends_higher_than_it_began(untrained: dict[str, Network], name: str, recipe: str) -> None:
    net = untrained[name]
    deep = net.convolutions[len(net.convolutions) // 2]
    for unit in (net.output[1], deep[2], deep[2, "center"])[: 3 if name == "tiny" else 1]:
        result = maximize(net, unit, recipe, steps=STEPS)
        assert rise(net, result) > 0, unit
        assert result.image.isfinite().all()
        assert result.curve.isfinite().all()
        assert max(result.contrast) > 1e-3, "a grey square"
        assert not result.notes[0]

"""Networks that the engine's tests share. They live as long as the session, so no test may change their modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network


@pytest.fixture(scope="session")
def grey_network() -> Network:
    """Two convolutions and a dense layer on grey images of 8 × 8 pixels, the weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 5),
        )
    return Network(module.eval(), InputSpec(size=(1, 8, 8), mean=0.4, std=0.2), name="grey")


@pytest.fixture(scope="session")
def resnet() -> Network:
    """ResNet-18 without training, on 64 × 64 pixels, the weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = resnet18()
    spec = InputSpec(size=(3, 64, 64), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return Network(module.eval(), spec, name="resnet18")


@pytest.fixture(scope="session")
def real_network() -> Network:
    """The embedded default, with its weights."""
    from cnnviz_widgets.engine.sources import load

    return load()

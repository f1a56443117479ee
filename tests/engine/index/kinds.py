"""Networks of many kinds, drawn from a seed, and images whose index takes a moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Permute

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.test_shadow import uncopyable


def pictures(count: int, side: int = 16, channels: int = 3, seed: int = 0) -> ImageSet:
    """Images of blotches in different brightness, some of them twice, with labels."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 4, 4, channels)) * random.uniform(0.2, 1, (count, 1, 1, 1))
    large = small.repeat(side // 4, 1).repeat(side // 4, 2) + random.integers(0, 30, (count, side, side, channels))
    values = large.clip(0, 255).astype(np.uint8)
    if count > 9:
        values[7] = values[3]
    return ImageSet.from_arrays(values[..., 0] if channels == 1 else values, labels=[n % 3 for n in range(count)])


def network_of(module: nn.Module, side: int = 16) -> Network:
    return Network(module.eval(), InputSpec((3, side, side), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)))


class InPlace(nn.Module):
    """Everything is overwritten, a dense layer too, and a map by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3))
        self.dense = nn.Linear(8, 7)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=True)
        return self.head(self.act(self.dense(x.mean((2, 3)))))


class Repeated(nn.Module):
    """One activation and one convolution several times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for _ in range(3):
            x = x + self.act(self.conv(x))
        return self.head(x.amax((2, 3)))


class Viewing(nn.Module):
    """Does not bear any other layout in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4 * 7 * 7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x.view(len(x), -1))


class Inference(nn.Module):
    """Runs in an inference mode of its own, where tensors do not tell that they are overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 14 * 14, 4))

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x.clone())


class Same(nn.Module):
    """Blocks that end with the very tensor of their last part, and parts that give back what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Identity(), nn.Dropout())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x))


def next_to_each_other() -> nn.Module:
    """Like ConvNeXt: channels last between two permutations, a depthwise convolution, an odd number of channels."""
    return nn.Sequential(
        nn.Conv2d(3, 10, 2, stride=2),
        nn.Conv2d(10, 10, 3, padding=1, groups=10),
        Permute([0, 2, 3, 1]),
        nn.LayerNorm(10),
        nn.Linear(10, 14),
        nn.GELU(),
        Permute([0, 3, 1, 2]),
        nn.Conv2d(14, 6, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.Tanh())


def drawn(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


KINDS: dict[str, Callable[[], nn.Module]] = {
    "in place": InPlace,
    "called several times": Repeated,
    "channels last": next_to_each_other,
    "no dense layer": convolutions,
    "view": Viewing,
    "inference mode": Inference,
    "aliases": Same,
    "can't be copied": lambda: uncopyable(Repeated()),
    "float64": lambda: next_to_each_other().double(),
}

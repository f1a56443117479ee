"""What a person may define in a notebook: a network and images; run under the name ``__main__``, which has no file there."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from tests.engine.index import builds


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = builds.module()
        self.function = lambda values: values * 2

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.inner(images))


class Plain(Own):
    def __init__(self) -> None:
        super().__init__()
        self.function = nn.Identity()


class Images:
    def __len__(self) -> int:
        return 24

    def __getitem__(self, number: int) -> np.ndarray:
        return builds.pixels(24)[number]

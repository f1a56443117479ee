"""Small collections and their indexes for the panels' tests, and what the browser does to a table of pictures."""

from __future__ import annotations

import ast
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import cnnviz_widgets as cnn
from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, Network
from cnnviz_widgets.views import PictureTable

SETTINGS: dict[str, Any] = {"k": 4, "batch": 4, "shard": 8, "workers": 1}
LABELS = ("dark", "light", "striped")


def noise(seed: int = 0, size: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def greys(count: int = 20, *, labelled: bool = True, size: tuple[int, ...] = (8, 8)) -> ImageSet:
    """Images of noise, each of another brightness so that units tell them apart; of three classes."""
    made = [
        (noise(n, size) * ((n % 5 + 1) / 5) * (0.5 if n % len(LABELS) == 0 else 1)).astype(np.uint8)
        for n in range(count)
    ]
    return ImageSet.from_arrays(made, [LABELS[n % len(LABELS)] for n in range(count)] if labelled else None)


def index_of(network: Network, images: Any, **more: Any) -> ActivationIndex:
    return ActivationIndex.build(network, images, **{**SETTINGS, **more})


def local() -> Network:
    """Units that see parts of the image: 3 × 3 pixels, then 7 × 7 of 16 × 16, and a dense layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        )
    return Network(module.eval(), InputSpec(size=(1, 16, 16)), LABELS, name="local")


def part(table: PictureTable, span: Sequence[int]) -> bytes:
    return bytes(table.data[span[0] : span[0] + span[1]])


def picture(table: PictureTable, at: int) -> Image.Image:
    """The picture of a cell, decoded."""
    return Image.open(io.BytesIO(part(table, table.cells[at]["picture"])))


def lines(table: PictureTable, row: int) -> list[str]:
    """Line ``row`` of each cell."""
    return [cell["lines"][row] for cell in table.cells]


def choose(table: PictureTable, at: int) -> None:
    """What the browser sends when a picture is clicked."""
    table._handle_custom_msg({"type": "choose", "index": at}, [])


def result_of(code: str, network: Network, images: ImageSet, **names: Any) -> dict[str, Any]:
    """The names that a panel's code makes, and its last line's value as ``result``."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    made: dict[str, Any] = {"cnn": cnn, "net": network, "images": images, **names}
    exec(compile(tree, "code", "exec"), made)
    made["result"] = eval(compile(ast.Expression(last.value), "code", "eval"), made)
    return made

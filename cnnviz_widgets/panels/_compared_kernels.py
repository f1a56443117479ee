"""``kernels(networks, layers, ...) -> Sides``: the filters of two convolutions, and the Python code that gives them."""

from __future__ import annotations

from typing import Any

from cnnviz_widgets.engine import comparison
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network

Two = tuple[Network, Network]
Layers = tuple[Layer, Layer]
MOST_TILES = 1024
"""On each side; more can't be told apart on half a page."""


def kernels(networks: Two, layers: Layers, scale: Any, order: Any) -> comparison.Sides:
    """As tiles."""
    first, second = (network.filters(layer) for network, layer in zip(networks, layers, strict=True))
    return comparison.kernels(
        first, second, scale=scale, order=order, groups=_groups(networks, layers), limit=MOST_TILES
    )


def kernel_captions(networks: Two, layers: Layers) -> list[str]:
    """What each side shows."""
    told = []
    for network, layer in zip(networks, layers, strict=True):
        count, *sizes = network.filters(layer).shape
        told.append(f"{layer.name}: {count} filters of {' × '.join(map(str, sizes))}")
    return told


def kernels_code(networks: Two, layers: Layers, scale: str, order: str) -> str:
    """The call that makes the same tiles."""
    calls = [f"{name}.filters({layer.name!r})" for name, layer in zip(("first", "second"), layers, strict=True)]
    groups = _groups(networks, layers)
    more = f", groups={groups}" if groups != (1, 1) else ""
    shapes = [network.filters(layer).shape for network, layer in zip(networks, layers, strict=True)]
    if any(shape[0] * shape[1] > MOST_TILES for shape in shapes):
        more += f", limit={MOST_TILES}"
    return f"cnn.comparison.kernels({', '.join(calls)}, scale={scale!r}, order={order!r}{more})"


def _groups(networks: Two, layers: Layers) -> tuple[int, int]:
    first, second = (network.kernel_module(layer).groups for network, layer in zip(networks, layers, strict=True))
    return first, second

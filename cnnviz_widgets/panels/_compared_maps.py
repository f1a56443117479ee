"""``ComparedMaps.look(...) -> Seen``: what two layers answer to an image, seen once and kept until something else is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import comparison, display, feature_maps
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network

Two = tuple[Network, Network]
Layers = tuple[Layer, Layer]
Opening = tuple[Any, Callable[[], Any]] | None
"""What tells the image from others, and what opens it; None without an image."""


@dataclass(frozen=True)
class Setting:
    """How maps are drawn; see `comparison.maps`."""

    scale: Any
    order: Any
    shared: bool
    colormap: str

    def code(self) -> str:
        """Keywords in Python."""
        return f"scale={self.scale!r}, order={self.order!r}, shared={self.shared!r}, colormap={self.colormap!r}"


@dataclass(frozen=True, eq=False)
class Seen:
    """What both networks answered.

    ``of`` holds what ``key`` knows by its id, which would else be given out again.
    """

    key: tuple[Any, ...]
    of: tuple[Any, ...]
    layers: Layers
    maps: tuple[Tensor, Tensor]
    photos: tuple[Image.Image, Image.Image]

    def sides(self, setting: Setting) -> comparison.Sides:
        """As tiles."""
        return comparison.maps(
            *self.maps,
            scale=setting.scale,
            order=setting.order,
            shared=setting.shared,
            colormap=setting.colormap,
        )

    def laid(self, channels: tuple[int, int], colormap: str) -> list[tuple[Image.Image, str]]:
        """Each side's channel on its photograph, with a caption; the photograph alone where there is no channel."""
        shown = []
        for layer, maps, photo, channel in zip(self.layers, self.maps, self.photos, channels, strict=True):
            size = f"{photo.width} × {photo.height}"
            if channel < 0:
                shown.append((photo, f"the image as the network sees it, {size}"))
                continue
            laid = feature_maps.overlay(photo, maps[channel], colormap=colormap)
            shown.append((laid, f"{layer.name}[{channel}] on the image, {size}"))
        return shown


class ComparedMaps:
    """Remembers the newest answer, so that another channel or other colours cost no pass."""

    def __init__(self) -> None:
        self._seen: Seen | None = None

    def look(self, networks: Two, layers: Layers, opening: Opening, owner: Any) -> Seen:
        """The maps of both layers for an image.

        Parameters
        ----------
        owner
            What the image belongs to; kept as long as the answer.
        """
        assert opening is not None
        known, opened = opening
        ids = [id(network) for network in networks]
        key = (*ids, *(network.stamp() for network in networks), known, layers)
        if self._seen is None or self._seen.key != key:
            self._seen = _looked(key, networks, layers, opened(), owner)
        return self._seen


def has_maps(layer: Layer) -> bool:
    """Whether its channels are maps to look at, and not single numbers."""
    return len(layer.positions) == 2 and tuple(layer.positions) != (1, 1)


def _looked(key: tuple[Any, ...], networks: Two, layers: Layers, image: Any, owner: Any) -> Seen:
    batches = [network.prepare(image)[:1] for network in networks]
    first, second = (
        network.activations(batch, layer)[layer.name][0].float().cpu()
        for network, batch, layer in zip(networks, batches, layers, strict=True)
    )
    one, other = (Image.fromarray(display.pixels(batch.float())[0]) for batch in batches)
    return Seen(key, (*networks, owner, image), layers, (first, second), (one, other))


def maps_code(image: str, layers: Layers, setting: Setting) -> list[str]:
    """Lines that make the same tiles."""
    sides = [
        f"{name} = {network}.activations({image}, [{layer.name!r}])[{layer.name!r}][0]"
        for name, network, layer in zip(("maps", "others"), ("first", "second"), layers, strict=True)
    ]
    return [*sides, f"cnn.comparison.maps(maps, others, {setting.code()})"]

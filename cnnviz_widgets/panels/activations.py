"""``ActivationPanel``: the feature maps of any layer for an image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import colormaps, display, feature_maps
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart, ImageGrid

from ._attribution import Shown, WhyThisClass
from ._base import Panel, beside, fill_tree, layer_tree, show_tiles
from ._enlarging import show_enlarged
from ._selection import Selection
from ._uploading import Uploading

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

MOST_BARS = 20


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one forward pass gave: the layer's maps, the image as the network saw it, and each class's probability.

    ``of`` holds what ``key`` knows by its id, which would else be given out again.
    """

    key: tuple[Any, ...]
    of: tuple[Any, ...]
    maps: Tensor
    batch: Tensor
    photo: Image.Image
    chances: Tensor | None


class ActivationPanel(Panel):
    """Feature maps of a layer for an image: all channels as tiles, one in focus, large and laid over the image.

    A dense layer shows as bars, with class names in the output layer. A click on a channel or bar chooses the unit for all
    panels on the same selection. Below: which places of the image speak for a class, by the methods of
    `cnnviz_widgets.attribution`.

    Parameters
    ----------
    network
        A `Network`.
    images
        Images to choose from: an `ImageSet`, a list, or one; with none, open a file in the panel.
    selection
        A `Selection` to share with other panels, whose images are used; None: one of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> panel = ActivationPanel(net, [np.zeros((8, 8), np.uint8)])
    >>> print(panel.code())
    maps = net.activations(images[0], ['1'])['1'][0]
    cnn.feature_maps.tiles(maps, scale='channel', order='stored', colormap='viridis').picture()
    >>> panel.close()
    """

    title = "Activations"

    def __init__(self, network: Network, images: Any = (), *, selection: Selection | None = None) -> None:
        self._seen: _Seen | None = None
        self._order: np.ndarray = np.zeros(0, dtype=np.int64)
        self._shown: tuple[Any, ...] = ()
        super().__init__(Selection.of(network, images, selection))

    def _build(self) -> list[widgets.Widget]:
        menu = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="auto")}
        self.image = widgets.Dropdown(description="Image", **menu)
        self._uploading = Uploading(self.selection, self._failed)
        self.upload = self._uploading.view
        self.classes = BarChart(unit="%", high=1.0)
        self.tree = layer_tree(self.network, self.selection.layer.name)
        self.grid, self.focus, self.bars = ImageGrid(), ImageGrid(max_height=520), BarChart()
        self.scale = widgets.Dropdown(
            options=[("each channel", "channel"), ("the layer", "layer")], description="Scale over", **menu
        )
        self.order = widgets.Dropdown(
            options=[("stored", "stored"), ("strength", "strength")], description="Order", **menu
        )
        self.colormap = widgets.Dropdown(
            options=[*colormaps.SEQUENTIAL, *colormaps.SIGNED], description="Colours", **menu
        )
        self.view = widgets.ToggleButtons(
            options=[("on the image", "overlay"), ("map", "map"), ("image", "image")], style={"button_width": "auto"}
        )
        self.opacity = widgets.FloatSlider(
            value=0.6, min=0, max=1, step=0.05, description="Opacity", style={"description_width": "initial"}
        )
        self._fill_images()
        for control in (self.scale, self.order, self.colormap, self.view, self.opacity):
            control.observe(self._user(lambda change: self.refresh()), "value")
        self.image.observe(self._user(self._image_chosen), "value")
        self.tree.observe(self._user(self._layer_chosen), "selected")
        self.grid.observe(self._user(self._tile_chosen), "selected")
        self.bars.observe(self._user(self._bar_chosen), "selected")
        self.why = WhyThisClass(self._user, self._own_changes, self._failed, self._tell_code)
        middle = [widgets.HBox([self.scale, self.order, self.colormap]), self.grid, self.bars]
        right = [self.view, self.focus, self.opacity, self.classes]
        for control in (middle[0], self.view):
            control.add_class("cnnviz-wrap")
        source = widgets.HBox([self.image, self.upload])
        source.add_class("cnnviz-wrap")
        return [source, beside([self.tree], middle, right), self.why.box]

    def _fill_images(self) -> None:
        images, chosen = self.selection.images, self.selection.image
        options = [(f"{label}", name) for name, label in zip(images.ids, images.labels, strict=True)]
        if chosen not in images:
            options.append(("none: open one" if chosen is None else _own_name(chosen) or "your image", ""))
        with self._own_changes():
            self.image.options = options
            self.image.value = chosen if chosen in images else ""

    def _drawing(self) -> Callable[[], None]:
        unit, network = self.selection.unit, self.network
        images, chosen = self.selection.images, self.selection.image
        key = (id(network), network.stamp(), id(images), _identity(chosen), unit.layer)
        if chosen is None:
            return self._blank

        def look() -> _Seen:
            return self._look(key, unit.layer, network, images, chosen)

        setting = (self.scale.value, self.order.value, self.colormap.value)
        looks = (self.view.value, self.opacity.value)
        return lambda: self._draw(key, look, unit, setting, looks)

    def _blank(self) -> None:
        self.why.clear()
        self._say("No image yet: open one above, drop it there, or give images: cnn.ActivationPanel(net, images).")

    def _draw(
        self,
        key: tuple[Any, ...],
        look: Callable[[], _Seen],
        unit: Unit,
        setting: tuple[Any, ...],
        looks: tuple[Any, ...],
    ) -> None:
        if self._seen is None or self._seen.key != key:
            self._seen = look()
            self._shown = ()
        if self._shown != (key, setting):
            self._draw_maps(unit, *setting)
            self._shown = (key, setting)
        else:
            self._mark(unit)
        self._draw_focus(unit, *looks)
        seen = self._seen
        self.why.show(Shown(key[:-1], seen.of[0], seen.batch, seen.chances, unit))

    def _look(self, key: tuple[Any, ...], layer: Layer, network: Network, images: ImageSet, chosen: Any) -> _Seen:
        """One forward pass for the maps and for the classes."""
        batch = network.prepare(images[images.number(chosen)] if chosen in images else chosen)
        names = [layer.name] + ([network.output.name] if network.is_classifier else [])
        values = network.activations(batch, names)
        chances = network.probabilities(values[network.output.name])[0].cpu() if network.is_classifier else None
        classes = [] if chances is None else feature_maps.top(chances, network.labels or None, k=5)
        self.classes.show([name for name, _, _ in classes], [value for _, value, _ in classes], low=0, high=1)
        photo = Image.fromarray(display.pixels(batch[:1].float())[0])
        maps = values[layer.name][0].float().cpu()
        return _Seen(key, (network, images, chosen), maps, batch[:1], photo, chances)

    def _draw_maps(self, unit: Unit, scale: str, order: str, colormap: str) -> None:
        assert self._seen is not None
        maps, layer = self._seen.maps, unit.layer
        dense = _as_bars(maps.shape[1:])
        self.grid.layout.display, self.bars.layout.display = ("none", "") if dense else ("", "none")
        broken = ""
        if dense:
            values = maps.reshape(len(maps), -1).mean(1)
            labels = self.network.labels if layer == self.network.output else ()
            best = feature_maps.top(values, labels or None, k=MOST_BARS)
            self._order = np.array([index for _, _, index in best], dtype=np.int64)
            self.bars.show(
                [name for name, _, _ in best],
                [value for _, value, _ in best],
                selected=self._place(unit),
                caption=f"{layer.name}: the {len(best)} strongest of {len(values)} units",
            )
        else:
            tiles = feature_maps.tiles(maps, scale=scale, order=order, colormap=colormap)  # type: ignore[arg-type]
            self._order = tiles.order
            size = f"{layer.channels} channels of {maps.shape[1]} × {maps.shape[2]}"
            show_tiles(
                self.grid, tiles, tile_names="channel", selected=self._place(unit), caption=f"{layer.name}: {size}"
            )
            if count := int(tiles.nonfinite.sum()):
                broken = f"{count} values of {layer.name} are NaN or infinite; NaN is drawn as the lowest value."
        self._say(broken)

    def _mark(self, unit: Unit) -> None:
        place = self._place(unit)
        for view in (self.grid, self.bars):
            if view.layout.display != "none" and view.selected != place:
                view.selected = place

    def _place(self, unit: Unit) -> int:
        places = (self._order == unit.channel).nonzero()[0]
        return int(places[0]) if len(places) else -1

    def _draw_focus(self, unit: Unit, view: str, opacity: float) -> None:
        assert self._seen is not None
        maps, photo = self._seen.maps, self._seen.photo
        name = f"{unit.layer.name}[{unit.channel}]"
        if maps.dim() != 3 or view == "image":
            show_enlarged(self.focus, photo, f"the image as the network sees it, {photo.width} × {photo.height}")
        elif view == "map":
            tiles = feature_maps.tiles(maps, channels=[unit.channel], colormap=self.colormap.value)
            show_tiles(self.focus, tiles, tile_names="channel", caption=f"{name}, {maps.shape[1]} × {maps.shape[2]}")
        else:
            laid = feature_maps.overlay(photo, maps[unit.channel], opacity=opacity, colormap=self.colormap.value)
            show_enlarged(self.focus, laid, f"{name} on the image")

    def _follow(self, name: str) -> None:
        if name in ("image", "images"):
            self._fill_images()
        elif name == "network":
            with self._own_changes():
                fill_tree(self.tree, self.network, self.selection.layer.name)
        elif name == "layer":
            with self._own_changes():
                self.tree.selected = self.selection.layer.name
        self.refresh()

    def _image_chosen(self, change: Any) -> None:
        if change["new"]:
            self.selection.image = change["new"]

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self.selection.layer = self.network[change["new"]]

    def _tile_chosen(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._order):
            self.selection.unit = self.selection.layer[int(self._order[change["new"]])]

    _bar_chosen = _tile_chosen

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until what was uploaded is opened and what was asked of the class is answered."""
        self._uploading.wait(seconds)
        super().wait(seconds)
        self.why.wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self._uploading.close()
            self.why.close()
        super().close()

    def figure(self) -> Figure:
        """The photograph, the channel in focus, and all channels of the layer."""
        from cnnviz_widgets import figures

        images, chosen, unit = self.selection.images, self.selection.image, self.selection.unit
        if chosen is None:
            raise ValueError("there is no image: choose one, or open a file")
        image = images[images.number(chosen)] if chosen in images else chosen
        return figures.activations(self.network, image, unit.layer, unit.channel, **self._figure_looks())

    def figure_code(self) -> str:
        unit = self.selection.unit
        if self.selection.image is None:
            return ""
        looks = "".join(f", {name}={value!r}" for name, value in self._figure_looks().items())
        return f"cnn.figures.activations(net, {self._image_code()}, {unit.layer.name!r}, {unit.channel}{looks})"

    def _figure_looks(self) -> dict[str, Any]:
        return {"scale": self.scale.value, "order": self.order.value, "colormap": self.colormap.value}

    def _image_code(self) -> str:
        chosen = self.selection.image
        if chosen in self.selection.images:
            return f"images[{self.selection.images.number(chosen)}]"
        return repr(name) if (name := _own_name(chosen)) else "image"

    def code(self) -> str:
        """Python code that gives the same picture."""
        layer, chosen, image = self.selection.layer, self.selection.image, self._image_code()
        lines = []
        if chosen not in self.selection.images and not os.path.exists(_own_name(chosen)):  # noqa: PTH110 - an upload's name is no path
            lines.append("# the image as it was opened in the panel: put its path here")
        lines.append(f"maps = net.activations({image}, [{layer.name!r}])[{layer.name!r}][0]")
        if not _as_bars(layer.positions):
            lines.append(
                f"cnn.feature_maps.tiles(maps, scale={self.scale.value!r}, order={self.order.value!r}, "
                f"colormap={self.colormap.value!r}).picture()"
            )
        else:
            labels = ", net.labels" if layer == self.network.output and self.network.labels else ""
            values = "maps.reshape(len(maps), -1).mean(1)" if layer.positions else "maps"
            lines.append(f"cnn.feature_maps.top({values}{labels}, k={MOST_BARS})")
        return "\n".join([*lines, *self.why.code(image, self.selection.unit)])


def _as_bars(positions: Sequence[int]) -> bool:
    """Whether a layer is shown as bars, one number per unit, for want of a map to look at."""
    return len(positions) != 2 or tuple(positions) == (1, 1)


def _own_name(chosen: Any) -> str:
    """The file that an image of its own comes from, where it is known."""
    name = chosen if isinstance(chosen, str | os.PathLike) else getattr(chosen, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else ""


def _identity(image: Any) -> Any:
    return image if isinstance(image, str) else id(image)

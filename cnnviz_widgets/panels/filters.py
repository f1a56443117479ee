"""``FilterPanel``: the kernels of any convolution as images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from cnnviz_widgets.engine import filters
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.tiles import Tiles
from cnnviz_widgets.views import ImageGrid

from ._base import Panel, beside, fill_tree, layer_tree, show_tiles
from ._selection import Selection

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

MOST_TILES = 2048
"""More tiles than this can't be told apart on a screen; one filter's can then be chosen."""
_IN_PYTHON = "filters=... and inputs=... choose others"


class FilterPanel(Panel):
    """The filters of a convolution: RGB tiles where the kernel sees colours, else one tile per filter and input channel.

    A click on a tile chooses the filter's channel for all panels on the same selection. A layer without a kernel shows the
    convolution nearest before it, and says so.

    Parameters
    ----------
    network
        A `Network`.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> panel = FilterPanel(net)
    >>> print(panel.code())
    cnn.filters.tile(net.filters('0'), scale='filter', order='stored')
    >>> panel.close()
    """

    title = "Filters"

    def __init__(self, network: Network, *, selection: Selection | None = None) -> None:
        self._tiles: Tiles | None = None
        self._shown: Layer | None = None
        self._marking = threading.RLock()
        super().__init__(Selection.of(network, selection=selection))

    def _build(self) -> list[widgets.Widget]:
        self.tree = layer_tree(self.network, self.selection.layer.name, main_only=False)
        self.grid = ImageGrid()
        menu = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="auto")}
        self.scale = widgets.Dropdown(
            options=[("each filter", "filter"), ("the layer", "layer")], description="Scale over", **menu
        )
        self.order = widgets.Dropdown(
            options=[("stored", "stored"), ("norm", "norm"), ("similarity", "similarity")], description="Order", **menu
        )
        self.only = widgets.Checkbox(value=False, description="Chosen filter only", indent=False)
        for control in (self.scale, self.order, self.only):
            control.observe(self._user(lambda change: self.refresh()), "value")
        self.tree.observe(self._user(self._layer_chosen), "selected")
        self.grid.observe(self._user(self._tile_chosen), "selected")
        menus = widgets.HBox([self.scale, self.order, self.only])
        menus.add_class("cnnviz-wrap")
        return [beside([self.tree], [menus, self.grid])]

    @property
    def layer(self) -> Layer | None:
        """The convolution shown: the selected layer, or the nearest one before it, else after it; None where there is none."""
        network = self.network
        convolutions = network.convolutions
        chosen = self.selection.layer
        if not convolutions or chosen in convolutions:
            return chosen if convolutions else None
        order = list(network.layers)
        at = order.index(chosen.name)
        before = [layer for layer in convolutions if order.index(layer.name) < at]
        return before[-1] if before else convolutions[0]

    def _drawing(self) -> Callable[[], None]:
        layer = self.layer
        if layer is None:
            return self._blank
        chosen = self.selection.layer
        remark = ""
        if layer != chosen:
            remark = (
                f"{chosen.name} ({chosen.kind}) has no kernel: these are the filters of {layer.name}, "
                "the convolution nearest to it."
            )
        channel = self.selection.unit.channel
        return lambda: self._draw(layer, channel, remark, self.scale.value, self.order.value, self.only.value)

    def _blank(self) -> None:
        self._tiles = self._shown = None
        self.grid.show(np.zeros((0, 1, 1), np.uint8), np.zeros((0, 2)))
        self._say("")
        raise ValueError(f"{self.network.name} has no 2D convolution, so there are no filters to show")

    def _draw(self, layer: Layer, channel: int, remark: str, scale: str, order: str, only: bool) -> None:
        module = self.network.kernel_module(layer)
        kernel = self.network.filters(layer)
        one = [channel] if only and channel < len(kernel) else None
        if only and one is None:
            remark = f"{remark} There is no filter {channel}, so all are shown.".strip()
        choice: dict[str, Any] = {"order": order, "groups": module.groups, "filters": one}
        if _is_matrix(kernel):
            tiles = filters.matrix(kernel, percentile=99, **choice)
            kind = f"1 × 1 kernel as a matrix: {kernel.shape[0]} filters down, {kernel.shape[1]} inputs across"
        else:
            tiles = filters.tiles(kernel, scale=scale, limit=MOST_TILES, **choice)  # type: ignore[arg-type]
            kind = f"{kernel.shape[0]} filters of {kernel.shape[1]} × {kernel.shape[2]} × {kernel.shape[3]}"
        told = [f"{layer.name}: {kind}", *_unusual(module)]
        self._tiles, self._shown = tiles, layer
        show_tiles(
            self.grid,
            tiles,
            tile_names="filter",
            caption=", ".join(told) + ".",
            columns=0 if tiles.block <= 1 else _columns(tiles),
            selected=self._place(channel),
        )
        self._mark()  # another may have been chosen meanwhile
        note = tiles.note.replace(_IN_PYTHON, f"{self.only.description} shows all of one filter")
        self._say(" ".join(text for text in (remark, _sentence(note)) if text))

    def _mark(self) -> None:
        with self._marking:
            self.grid.selected = self._place(self.selection.unit.channel)

    def _place(self, channel: int) -> int:
        """The first tile of the selected channel's filter, where the layer shown has as many channels as the selected."""
        tiles, shown = self._tiles, self._shown
        if tiles is None or shown is None or tiles.rows is not None or shown.channels != self.selection.layer.channels:
            return -1
        places = (tiles.order == channel).nonzero()[0]
        return int(places[0]) if len(places) else -1

    def _follow(self, name: str) -> None:
        if name == "network":
            with self._own_changes():
                fill_tree(self.tree, self.network, self.selection.layer.name)
            self.refresh()
        elif name == "layer":
            with self._own_changes():
                self.tree.selected = self.selection.layer.name
            self.refresh()
        elif name == "unit":
            if self.layer != self._shown or self.only.value:
                self.refresh()
            else:
                with self._own_changes():
                    self._mark()
                self._tell_code()

    def _layer_chosen(self, change: Any) -> None:
        if change["new"]:
            self.selection.layer = self.network[change["new"]]

    def _tile_chosen(self, change: Any) -> None:
        tiles, shown = self._tiles, self._shown
        if tiles is None or shown is None or tiles.rows is not None or not 0 <= change["new"] < len(tiles.order):
            return
        channel = int(tiles.order[change["new"]])
        layer = self.selection.layer if self.selection.layer.channels == shown.channels else shown
        self.selection.unit = layer[channel]

    def figure(self) -> Figure:
        """The kernels, each output channel's together."""
        from cnnviz_widgets import figures

        if self.layer is None:
            raise ValueError("no convolution is chosen; choose one in the list of layers")
        return figures.filters(self.network, self.layer, **self._figure_looks())

    def figure_code(self) -> str:
        if self.layer is None:
            return ""
        looks = "".join(f", {name}={value!r}" for name, value in self._figure_looks().items())
        return f"cnn.figures.filters(net, {self.layer.name!r}{looks})"

    def _figure_looks(self) -> dict[str, Any]:
        looks: dict[str, Any] = {"scale": self.scale.value, "order": self.order.value}
        chosen = self.selection.unit.channel
        if self.only.value and self.layer is not None and chosen < len(self.network.filters(self.layer)):
            looks["filters"] = [chosen]
        return looks

    def code(self) -> str:
        """Python code that gives the same picture."""
        layer = self.layer
        if layer is None:
            return ""
        groups = self.network.kernel_module(layer).groups
        choice = f"order={self.order.value!r}" + (f", groups={groups}" if groups > 1 else "")
        kernel = self.network.filters(layer)
        if self.only.value and self.selection.unit.channel < len(kernel):
            choice += f", filters=[{self.selection.unit.channel}]"
        named = f"net.filters({layer.name!r})"
        if _is_matrix(kernel):
            return f"cnn.filters.matrix({named}, percentile=99, {choice}).picture(enlarge=4)"
        if kernel.shape[0] * kernel.shape[1] > MOST_TILES:
            choice += f", limit={MOST_TILES}"
        return f"cnn.filters.tile({named}, scale={self.scale.value!r}, {choice})"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""


def _is_matrix(kernel: Tensor) -> bool:
    """Whether the kernel weighs channels only: single pixels say less than the matrix they make."""
    return tuple(kernel.shape[2:]) == (1, 1) and kernel.shape[1] > 1


def _unusual(module: Any) -> list[str]:
    told = []
    if module.groups > 1:
        told.append("depthwise" if module.groups == module.in_channels else f"{module.groups} groups")
    if tuple(module.dilation) != (1, 1):
        told.append(f"dilation {module.dilation[0]}")
    return told


def _columns(tiles: Tiles) -> int:
    """Whole filters in a row, so that a filter's input channels stand together."""
    return max(1, tiles.block * max(1, 32 // tiles.block)) if tiles.block <= 64 else 0

"""``FilterPart``, ``SightPart``: a unit's filter, and what the unit sees of the input; parts of a unit's card."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import colormaps, display, filters
from cnnviz_widgets.engine.images import ImageError
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.receptive_field import ReceptiveField
from cnnviz_widgets.engine.tiles import Tiles
from cnnviz_widgets.engine.unit_facts import Sight
from cnnviz_widgets.engine.unit_on_image import OnImage, on_image
from cnnviz_widgets.views import BarChart, Cell, ImageGrid, PictureTable

from ._cells import SHARP, heat, jpeg

SIDE = 150
MOST_INPUTS = 36
"""Slices of a deep filter that are drawn, those with the largest weights; hundreds can't be told apart on a card."""
MOST_WEIGHTS = 8


def section(text: str) -> widgets.Label:
    """A heading within a card."""
    label = widgets.Label(text)
    label.add_class("cnnviz-section")
    return label


def sentence() -> widgets.Label:
    """A line that breaks where it must."""
    label = widgets.Label("")
    label.add_class("cnnviz-verdict")
    return label


def show_only(widget: widgets.Widget, shown: bool) -> None:
    """Show a widget, or take it out of the page's flow."""
    widget.layout.display = "" if shown else "none"


class FilterPart:
    """The weights that make a channel: in colour, per input channel, or, of a 1 × 1 kernel, the largest as bars."""

    def __init__(self) -> None:
        self.grid = ImageGrid(max_height=300)
        self.bars = BarChart()
        self.box = widgets.VBox([section("Filter"), self.grid, self.bars])

    def show(self, network: Network, kernel: Layer | None, channel: int) -> None:
        """Show the filter of a channel; nothing where it belongs to no convolution."""
        show_only(self.box, kernel is not None)
        if kernel is None:
            return
        weights = network.filters(kernel)
        module = network.kernel_module(kernel)
        height, width = weights.shape[2:]
        inputs = weights.shape[1]
        told = f"filter {channel} of {kernel.name}, {height} × {width} of {inputs:,} input{'s' * (inputs != 1)}"
        pointwise = (height, width) == (1, 1) and not (inputs == 3 and module.groups == 1)
        show_only(self.bars, pointwise)
        show_only(self.grid, not pointwise)
        first = channel // (len(weights) // module.groups) * inputs
        if pointwise:
            strongest = _strongest(weights[channel, :, 0, 0], MOST_WEIGHTS)
            values = weights[channel, strongest, 0, 0].tolist()
            self.bars.show(
                [f"input {first + at}" for at in strongest],
                values,
                caption=f"{told}: the largest weights" if len(values) < inputs else told,
            )
            return
        tiles, caption = _tiles(weights, channel, module.groups, first)
        table = None if tiles.pixels.ndim == 4 else colormaps.table(tiles.colormap or "gray")
        self.grid.show(
            tiles.pixels,
            tiles.ranges,
            colormap=table,
            labels=list(tiles.names),
            tile_names="filter",
            caption=f"{told}: {caption}",
        )


def _tiles(weights: Tensor, channel: int, groups: int, first: int) -> tuple[Tiles, str]:
    inputs = weights.shape[1]
    if inputs == 3 and groups == 1:
        return filters.tiles(weights, filters=[channel]), "in colour: what it adds up of red, green and blue"
    if inputs <= MOST_INPUTS:
        caption = "red adds, blue takes away" if inputs == 1 else "one tile for each input; red adds, blue takes away"
        return filters.tiles(weights, filters=[channel], groups=groups), caption
    strongest = _strongest(weights[channel].flatten(1).norm(dim=1), MOST_INPUTS)
    tiles = filters.tiles(weights, filters=[channel], inputs=[first + at for at in strongest], groups=groups)
    return tiles, f"the {MOST_INPUTS} inputs of {inputs} with the largest weights; red adds, blue takes away"


def _strongest(values: Tensor, most: int) -> list[int]:
    sizes = np.nan_to_num(values.abs().numpy())
    return [int(at) for at in np.argsort(-sizes, kind="stable")[:most]]


class SightPart:
    """What a unit sees: in numbers, and framed in the chosen photograph."""

    def __init__(self) -> None:
        self.table = PictureTable(overlay_opacity=0.0)
        self.box = widgets.VBox([section("What it sees"), self.table])

    def show(self, network: Network, unit: Unit, sight: Sight, image: Any) -> None:
        """Show the field of a unit; with an image also that image, and where the unit answers it most."""
        cells: list[Cell] = []
        caption = str(sight)
        if image is not None:
            try:
                seen = on_image(network, unit, image)
            except ImageError as error:
                caption = f"{caption}; {error}"
            else:
                cells = _cells(network, unit, sight, seen)
        self.table.show(cells, side=SIDE, caption=caption)


def _cells(network: Network, unit: Unit, sight: Sight, seen: OnImage) -> list[Cell]:
    picture = jpeg(_enlarged(Image.fromarray(display.pixels(seen.image.float())[0]).convert("RGB")))
    size = network.input.size[1:]
    still = Cell(picture, (f"[{unit.channel}, center]",), f"{sight.field.unit!r} {sight}", box=_box(sight.field, size))
    if seen.strongest == unit:
        return [Cell(picture, (f"{seen.value:.4g}", repr(unit)), still.title, box=still.box)]
    overlay = heat(seen.map) if seen.map is not None else b""
    where = ", ".join(map(str, seen.strongest.index or ()))
    most = Cell(
        picture,
        (f"{seen.value:.4g}", f"strongest at {where}"),
        f"{seen.strongest!r} answers {seen.value:.4g}, the largest of the map",
        overlay,
        _box(seen.field, size),
    )
    return [most] if still.box is None else [still, most]


def _box(field: ReceptiveField, size: tuple[int, ...]) -> tuple[float, float, float, float] | None:
    if field.status in ("whole image", "unknown"):
        return None
    (top, left, bottom, right), (height, width) = field.box, size
    return top / height, left / width, bottom / height, right / width


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SHARP * SIDE // max(picture.size))
    if factor <= 1:
        return picture
    smooth = Image.Resampling.LANCZOS if max(picture.size) >= 64 else Image.Resampling.NEAREST
    return picture.resize((picture.width * factor, picture.height * factor), smooth)

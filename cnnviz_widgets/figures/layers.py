"""``filters(net, layer) -> Figure``, ``activations(net, image, layer) -> Figure``: what a layer looks for, and what it finds."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageColor

from cnnviz_widgets.engine import colormaps, display, feature_maps
from cnnviz_widgets.engine import filters as kernels
from cnnviz_widgets.engine.filters import Order
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.tiles import Choice, Tiles

from .bars import draw_bars
from .lettering import length_of, number, percent
from .sheet import MARGIN, SCREEN, Figure, Look, Sheet

MOST_TILES = 1024
"""More tiles than this can't be told apart on a page."""
MOST_BARS = 20
_LARGEST = 0.9
"""Inches of a tile, at most: few tiles make a small figure."""


def filters(
    net: Network,
    layer: str | Layer | None = None,
    *,
    scale: Literal["filter", "layer"] = "filter",
    order: Order = "stored",
    filters: Choice | None = None,
    inputs: Choice | None = None,
    columns: int | None = None,
    limit: int = MOST_TILES,
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """A convolution's kernels as images, as Krizhevsky, Sutskever and Hinton 2012 show those of AlexNet (figure 3).

    A kernel of 1 × 1 is drawn as the matrix it is.

    Parameters
    ----------
    net
        A `Network`.
    layer
        A convolution; None: the first one.
    scale, order, filters, inputs
        As in `cnn.filters.tiles`.
    columns
        Tiles in a row; None: a nearly square picture.
    limit
        At most so many tiles; what is left out is said below the title.
    title
        None: the layer and its kernel; empty: no title and no remarks, for a figure with a caption of its own.
    width
        Inches.
    text
        Points.
    dark
        Light on dark, for slides.

    Raises
    ------
    UnknownNameError, TypeError, ValueError
        No such layer, or no convolution; a choice that does not fit the kernel.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Conv2d(3, 8, 5), InputSpec(size=(3, 16, 16)))
    >>> filters(net).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    chosen = _convolution(net, layer)
    module, kernel = net.kernel_module(chosen), net.filters(chosen)
    choice: dict[str, Any] = {"order": order, "filters": filters, "inputs": inputs, "groups": module.groups}
    if tuple(kernel.shape[2:]) == (1, 1) and kernel.shape[1] > 1:
        tiles = kernels.matrix(kernel, percentile=99, **choice)
        told = f"1 × 1: a row for each of {kernel.shape[0]} filters, a column for each input channel"
    else:
        tiles = kernels.tiles(kernel, scale=scale, limit=limit, **choice)
        told = _kernel_told(kernel, module.groups, tiles, scale)
    heading = f"{chosen.name}: {kernel.shape[0]} filters of {_sizes(kernel.shape[1:])}" if title is None else title
    note = tiles.note.removesuffix("; filters=... and inputs=... choose others")
    remark = "" if title == "" else ". ".join(_sentence(part) for part in (told, note) if part) + "."
    sheet = Sheet(look)
    if tiles.rows is not None:
        return _matrix(sheet, tiles, heading, remark)
    columns = columns or _columns(tiles)
    high, wide = tiles.pixels.shape[1:3]
    across = min(look.inner, columns * _LARGEST * min(1.0, wide / high))
    right = _fitting(look, heading, across)
    top = sheet.heading(heading, remark, width=right)
    bottom = _grid(sheet, tiles, columns, MARGIN, top, across)
    if tiles.colormap is not None and scale == "layer" and title != "":
        bottom = _scale(sheet, tiles, MARGIN + right, bottom + 0.05)
    return sheet.finish(bottom, right + 2 * MARGIN)


def activations(
    net: Network,
    image: Any,
    layer: str | Layer | None = None,
    channel: int | None = None,
    *,
    scale: Literal["channel", "layer"] = "channel",
    order: Literal["stored", "strength"] = "stored",
    channels: Choice | None = None,
    columns: int | None = None,
    colormap: str = "viridis",
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """The feature maps of a layer for an image: the photograph, one channel laid over it, and all channels.

    A layer without maps is drawn as the bars of its strongest units.

    Parameters
    ----------
    net
        A `Network`.
    image
        One image: a path, a Pillow picture, an array, a tensor in [0, 1].
    layer
        None: the first of ``net.main_layers``.
    channel
        Which one is laid over the photograph, and framed among the others; None: that of the largest mean.
    scale, order, channels, colormap
        As in `cnn.feature_maps.tiles`.
    columns
        Tiles in a row; None: as they fill the place beside the photograph.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    UnknownNameError, ImageError, ValueError
        No such layer; no image, or several; a channel that is not there.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Conv2d(1, 8, 5), InputSpec(size=(1, 16, 16)))
    >>> activations(net, torch.rand(1, 16, 16)).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    chosen = net[layer] if layer is not None else (net.main_layers or tuple(net.layers.values()))[0]
    batch = net.prepare(image)
    if len(batch) != 1:
        raise ValueError(f"{len(batch)} images were given; a figure of activations shows one: image[0]")
    maps = net.activations(batch, chosen)[chosen.name][0].float().cpu()
    photo = Image.fromarray(display.pixels(batch.float())[0])
    classes = net.classify(batch, k=1)[0][0] if net.is_classifier else None
    told = "" if classes is None else f"taken for: {classes[0]}, {percent(classes[1])}"
    sheet = Sheet(look)
    if maps.dim() != 3 or tuple(maps.shape[1:]) == (1, 1):
        return _dense(sheet, net, chosen, maps, photo, told, title)
    strong = feature_maps.strengths(maps)
    focus = int(np.nan_to_num(strong, nan=-np.inf).argmax()) if channel is None else chosen[channel].channel
    tiles = feature_maps.tiles(
        maps, scale=scale, order=order, channels=_with(channels, focus, len(maps)), colormap=colormap
    )
    heading = f"{chosen.name}: {len(maps)} channels of {_sizes(maps.shape[1:])}" if title is None else title
    each = "each channel on its own scale" if scale == "channel" else "all channels on one scale"
    shown = "" if len(tiles) == len(maps) else f"{len(tiles)} of them, "
    top = sheet.heading(heading, "" if title == "" else _sentence(f"{shown}{each}."))
    laid = feature_maps.overlay(photo, maps[focus], colormap=colormap)
    side = 0.3 * look.inner
    captions = (told or "the image as the network sees it", f"channel {focus}, mean {number(strong[focus])}")
    bottom = _beside(sheet, (photo, laid), captions, top, side)
    left = MARGIN + side + 0.15
    across = look.inner - side - 0.15
    columns = columns or _filling(tiles, across, bottom - top)
    end = _grid(sheet, tiles, columns, left, top, across, framed=int((tiles.order == focus).argmax()))
    if scale == "layer":
        end = _scale(sheet, tiles, look.width - MARGIN, end + 0.05)
    return sheet.finish(max(bottom, end))


def _convolution(net: Network, layer: str | Layer | None) -> Layer:
    if layer is not None:
        return net[layer]
    if not net.convolutions:
        raise ValueError(
            f"{net.name} has no 2D convolution, so there are no filters to show; "
            "cnn.figures.activations(net, image, layer) shows what a dense layer answers"
        )
    return net.convolutions[0]


def _kernel_told(kernel: torch.Tensor, groups: int, tiles: Tiles, scale: str) -> str:
    each = "each filter on its own scale" if scale == "filter" else "all filters on one scale"
    zero = "mid grey is zero" if tiles.colormap is None else "white is zero, red above and blue below"
    if tiles.colormap is None:
        return f"{each}; {zero}"
    inputs = "one tile a filter" if kernel.shape[1] == 1 else "one tile for each input channel of a filter"
    return f"{inputs}{', depthwise' if 1 < groups == len(kernel) else ''}; {each}, {zero}"


def _matrix(sheet: Sheet, tiles: Tiles, heading: str, remark: str) -> Figure:
    """The matrix of a 1 × 1 kernel, with its sides named."""
    look = sheet.look
    high, wide = tiles.pixels.shape[1:3]
    left = MARGIN + 1.3 * look.line
    across = look.width - MARGIN - left
    down = across * high / wide
    if down > 1.3 * look.width:  # a page is not higher
        down, across = 1.3 * look.width, 1.3 * look.width * wide / high
    top = sheet.heading(heading, remark)
    sheet.text("input channels", left, top, color=look.soft)
    top += look.line
    sheet.paper.text(
        left - 0.65 * look.line,
        top,
        "filters",
        rotation=90,
        ha="center",
        va="top",
        color=look.soft,
        fontsize=look.text,
        parse_math=False,
        usetex=False,
    )
    bottom = sheet.picture(tiles.colored()[0], left, top, across, down)
    sheet.frame(left, top, across, down, color=look.soft, points=0.5)
    return sheet.finish(_scale(sheet, tiles, left + across, bottom + 0.05))


def _grid(
    sheet: Sheet, tiles: Tiles, columns: int, left: float, top: float, across: float, framed: int | None = None
) -> float:
    """All tiles as one picture, one of them framed. Returns its lower edge."""
    high, wide = tiles.pixels.shape[1:3]
    columns = min(columns, len(tiles))
    # as many dots as a screen has, so that neither a screen nor a vector file need draw others in their place
    enlarge = max(1, int(across * SCREEN / columns / wide))
    while enlarge > 1 and columns * (wide * enlarge + _gap(tiles, enlarge)) + _gap(tiles, enlarge) > across * SCREEN:
        enlarge -= 1
    gap = _gap(tiles, enlarge)
    shown = np.array(tiles.picture(columns, gap, enlarge))
    if len(tiles) % columns:  # cells that stay empty are no part of the picture
        edge = gap + len(tiles) % columns * (wide * enlarge + gap)
        shown[-(high * enlarge + gap) :, edge:] = ImageColor.getrgb(sheet.look.paper)
    bottom = sheet.picture(shown, left, top, across)
    if framed is not None:
        row, column = divmod(framed, columns)
        inch = across / shown.shape[1]
        place = (gap + column * (wide * enlarge + gap)) * inch, (gap + row * (high * enlarge + gap)) * inch
        sheet.frame(left + place[0], top + place[1], wide * enlarge * inch, high * enlarge * inch, points=1.8)
    return bottom


def _gap(tiles: Tiles, enlarge: int) -> int:
    """Pixels between tiles: less between small ones."""
    return min(4, max(1, round(min(tiles.pixels.shape[1:3]) * enlarge / 16)))


def _columns(tiles: Tiles) -> int:
    """Whole filters in a row, so that a filter's input channels stand together, where a row can hold one."""
    if tiles.block > 64:
        return 32
    return tiles.block * max(1, 32 // tiles.block) if tiles.block > 1 else tiles.default_columns()


def _filling(tiles: Tiles, across: float, down: float) -> int:
    """How many tiles a row must hold for the rows to fill a place as well as they can."""
    high, wide = tiles.pixels.shape[1:3]

    def height(columns: int) -> float:
        return math.ceil(len(tiles) / columns) * across / columns * high / wide

    # fewer than three would be drawn larger than the photograph
    return min(range(min(3, len(tiles)), len(tiles) + 1), key=lambda count: abs(height(count) - down))


def _beside(
    sheet: Sheet, pictures: tuple[Image.Image, ...], captions: tuple[str, ...], top: float, side: float
) -> float:
    """Pictures in a column at the left, each above its caption. Returns its lower edge."""
    for shown, caption in zip(pictures, captions, strict=True):
        # a tall picture keeps to a square, too
        across = side * min(1.0, shown.width / shown.height)
        top = sheet.picture(shown, MARGIN, top, across)
        top = sheet.text(caption, MARGIN, top + 0.02, width=side, lines=2, color=sheet.look.soft) + 0.05
    return top - 0.05


def _dense(
    sheet: Sheet, net: Network, layer: Layer, maps: torch.Tensor, photo: Image.Image, told: str, title: str | None
) -> Figure:
    """The photograph and the strongest units of a layer without maps."""
    look = sheet.look
    labels = net.labels if layer == net.output and net.labels else None
    best = feature_maps.top(maps.reshape(len(maps), -1).mean(1), labels, k=MOST_BARS)
    heading = f"{layer.name}: the {len(best)} strongest of {len(maps)} units" if title is None else title
    top = sheet.heading(heading)
    side = 0.3 * look.inner
    bottom = _beside(sheet, (photo,), (told or "the image as the network sees it",), top, side)
    left = MARGIN + side + 0.15
    end = draw_bars(sheet, [(name, value) for name, value, _ in best], left, top, look.width - MARGIN - left)
    return sheet.finish(max(bottom, end))


def _scale(sheet: Sheet, tiles: Tiles, right: float, top: float) -> float:
    low, high = (number(value) for value in tiles.ranges[0])
    return sheet.scale(colormaps.table(tiles.colormap or "gray"), low, high, right, top)


def _with(channels: Choice | None, focus: int, count: int) -> Choice | None:
    """The chosen channels, with the one in focus among them."""
    if channels is None:
        return None
    chosen = np.arange(count)[channels] if isinstance(channels, slice) else np.atleast_1d(channels)
    return chosen if focus in chosen % count else np.append(chosen, focus)


def _fitting(look: Look, heading: str, across: float) -> float:
    """Inches between the margins of a figure that is ``across`` wide but for its title."""
    return max(across, min(look.inner, max(length_of(heading, 1.2 * look.text, "bold"), 2.5)))


def _sizes(shape: torch.Size) -> str:
    return " × ".join(map(str, shape))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

"""``on_image(network, unit, image) -> OnImage``: how a unit answers one image, and where; ``tile_image(network, tile)``: an image
of an atlas as the network takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .atlas import Atlas, Tile
from .images import ImageError
from .layers import Unit
from .network import Network
from .receptive_field import ReceptiveField, ReceptiveFields, all_receptive_fields
from .store import StoreError


@dataclass(frozen=True, eq=False)
class OnImage:
    """A unit's answer to an image.

    Attributes
    ----------
    image
        (1, C, H, W) in [0, 1], as the network sees it.
    map
        (h, w) float32: the unit's map; None in a layer without one.
    value
        Its activation: of a channel the largest of its map, of a neuron its own.
    strongest
        The neuron whose activation that is; the unit itself in a layer without a map.
    field
        What that neuron sees.
    """

    image: Tensor
    map: npt.NDArray[np.float32] | None
    value: float
    strongest: Unit
    field: ReceptiveField


def on_image(network: Network, unit: Unit, image: Any) -> OnImage:
    """Look at one image.

    Raises
    ------
    ImageError
        It is no image, or several.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 1, 3, bias=False)), InputSpec(size=(1, 6, 6)))
    >>> _ = nn.init.constant_(net.module[0].weight, 1.0)
    >>> picture = np.zeros((6, 6), np.uint8)
    >>> picture[2:5, 3:6] = 255
    >>> seen = on_image(net, net["0"][0], picture)
    >>> seen.strongest, seen.field.box
    (0[0, 2, 3], (2, 3, 5, 6))
    """
    batch = network.prepare(image)
    if len(batch) != 1:
        raise ImageError(f"{len(batch)} images were given; expected one")
    layer = unit.layer
    values = network.activations(batch, layer)[layer.name][0, unit.channel].float().cpu()
    at = unit.index
    if at is None and values.dim():
        finite = values.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        at = tuple(int(place) for place in np.unravel_index(int(finite.argmax()), values.shape))
    strongest = layer[(unit.channel, *at)] if at and values.numel() > 1 else unit
    drawn = values.numpy() if values.dim() == 2 and values.numel() > 1 else None
    known: dict[str, ReceptiveFields] = network.once("receptive fields", lambda: all_receptive_fields(network))
    value = float(values[at]) if at else float(values)
    return OnImage(batch, drawn, value, strongest, known[layer.name][strongest])


def activation(network: Network, unit: Unit, image: Tensor, pool: str) -> float:
    """The activation of a unit's channel for an image (1, C, H, W), as an index measures it.

    Parameters
    ----------
    pool
        ``"max"`` or ``"mean"`` over the map, see `index.plan.Settings`.
    """
    values = network.activations(image.clamp(0, 1), unit.layer)[unit.layer.name][0, unit.channel].float()
    return float(values.mean() if pool == "mean" else values.max())


def tile_image(network: Network, tile: Tile) -> Tensor | None:
    """(1, C, H, W): an image of an atlas as the network takes it, at its place in an image of the mean colour.

    The atlas keeps it as it is shown, in 255 levels without the half percent of its values that the stretch cuts off: its
    activation is about that of the image that was climbed. None where a picture does not hold all of an image's channels.
    """
    channels = network.input.size[0]
    if channels not in (1, 3):
        return None
    shown = torch.from_numpy(np.asarray(tile.picture.convert("L" if channels == 1 else "RGB"), np.float32) / 255)
    shown = shown[None] if channels == 1 else shown.permute(2, 0, 1)
    neutral = network.input.neutral_image().float().cpu()
    image = neutral.expand(network.input.size).clone()
    top, left, bottom, right = tile.box
    image[:, top:bottom, left:right] = neutral + (shown - 0.5) * 2 * tile.reach
    return network.prepare(image[None].clamp(0, 1))


def tiles_of(unit: Unit, atlas: Atlas | None) -> tuple[list[tuple[str, Tile]], str]:
    """(recipe, tile) of a unit for each image that an atlas has of it, and what is to be said of the others, in sentences."""
    if atlas is None:
        return [], ""
    if (asked := _shown(unit, atlas)) is None:
        return [], "The atlas does not show this unit."
    found: list[tuple[str, Tile]] = []
    told = [outdated] if (outdated := atlas.outdated()) else []
    places = {(place.unit, place.name) for place in atlas.plan}  # not all units need be shown by all recipes
    for name in (name for name in atlas.recipes if (asked, name) in places):
        try:
            tile, fault = atlas.image(asked, name), atlas.fault(asked, name)
        except StoreError as error:
            tile, fault = None, str(error)
        if tile is not None:
            found.append((name, tile))
        else:
            told.append(f"{name}: {fault or 'no image yet'}.")
    return found, " ".join(told)


def _shown(unit: Unit, atlas: Atlas) -> Unit | None:
    """The unit, or its channel, where the atlas shows it."""
    known = atlas.plan.units.get(unit.layer.name, ())
    if unit in known:
        return unit
    return next((one for one in known if one.channel == unit.channel and one.position in (None, "center")), None)

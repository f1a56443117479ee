"""``readout(network, unit) -> Readout``: the weights by which the last dense layer takes a unit, or takes all for a class.

Exact for the units that enter that layer, and for those whose mean over a map does; for others there is no such number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .layers import Layer, Unit
from .network import Network
from .shadow import recomputed, shadow


@dataclass(frozen=True, eq=False)
class Readout:
    """Weights between the units of a hidden layer and the classes.

    Attributes
    ----------
    unit
        The one that was asked for.
    others
        What `weights` go to: the classes, where the unit is hidden; the hidden units, where it is a class.
    weights
        (n,) float32, one for each of ``others``: by how much the class's score rises where the hidden unit's activation rises by
        one; of a channel with a map, where the whole map does.
    """

    unit: Unit
    others: tuple[Unit, ...]
    weights: npt.NDArray[np.float32]

    def strongest(self, k: int = 10) -> list[tuple[Unit, float]]:
        """The units with the largest weights, whatever their sign, the largest first."""
        order = np.argsort(-np.abs(np.nan_to_num(self.weights)), kind="stable")[:k]
        return [(self.others[int(at)], float(self.weights[at])) for at in order]


def readout(network: Network, unit: Unit) -> Readout:
    """The weights between a unit of the last hidden layer and the classes, or between a class and that layer's units.

    A unit of a layer before it counts too, where the last hidden layer is the mean over its maps.

    Raises
    ------
    ValueError
        The network ends in no dense layer, or the unit does not enter it as it is.

    Examples
    --------
    >>> from .input_spec import InputSpec
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    ...               InputSpec(size=(1, 8, 8)))
    >>> weight = net.module[3].weight
    >>> told = readout(net, net["0"][2])
    >>> bool((torch.from_numpy(told.weights) == weight[:, 2]).all()), told.others[1]
    (True, 3[1])
    """
    weight = _last_weight(network)
    hidden, output = network.last_hidden, network.output
    if weight is None or weight.shape != (output.channels, math.prod(hidden.shape)):
        raise ValueError(
            f"{network.name} does not end in a dense layer that takes {hidden.name!r}: there are no weights to tell"
        )
    maps = weight.reshape(len(weight), hidden.channels, -1)
    if unit.layer == output:
        return Readout(unit, tuple(hidden), maps.sum(2)[unit.channel].numpy())
    if unit.layer != hidden and not _is_mean(network, unit.layer):
        raise ValueError(
            f"{unit} does not enter the last dense layer; the units of net.last_hidden, {hidden.name!r}, do"
        )
    if unit.index is not None and math.prod(unit.layer.positions) > 1:
        if unit.layer != hidden:
            raise ValueError(f"{unit} enters the last dense layer within a mean only: {unit.layer[unit.channel]}")
        told = maps[:, unit.channel, int(np.ravel_multi_index(unit.index, unit.layer.positions))]
    else:
        told = maps[:, unit.channel].sum(1)
    return Readout(unit, tuple(output), told.contiguous().numpy())


def _last_weight(network: Network) -> torch.Tensor | None:
    """(classes, features) of the last dense layer, on the CPU; None where there is none."""
    if network.last_hidden.channel_axis:
        return None
    modules = dict(network.bare.named_modules())
    dense = [name for name in network.layers if isinstance(modules.get(network.owner(name)), nn.Linear)]
    names = [name for name in dense if network[name].kind != "input" and not network[name].positions]
    if not names:
        return None
    module = modules[network.owner(names[-1])]
    copied = shadow(module)
    read = module if copied is None else recomputed(copied)
    return read.weight.detach().float().cpu()  # type: ignore[operator]


def _is_mean(network: Network, layer: Layer) -> bool:
    """Whether the last hidden layer is this layer's mean over its maps, found by a look at two random images."""
    hidden = network.last_hidden
    if layer.channels != hidden.channels or math.prod(hidden.positions) != 1:
        return False

    def compared() -> bool:
        noise = torch.rand((2, *network.input.size), generator=torch.Generator().manual_seed(0))
        seen = network.activations(noise.to(network.device, network.dtype), [layer, hidden])
        one, other = (seen[name].float().flatten(2).mean(2) if seen[name].dim() > 2 else seen[name].float()
                      for name in (layer.name, hidden.name))  # fmt: skip
        return bool(other.std() > 0) and torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()))

    return bool(network.once(("enters the last dense layer", layer.name), compared))

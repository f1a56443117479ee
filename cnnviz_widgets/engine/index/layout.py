"""``layout_of(network) -> "channels-last" or "contiguous"``: how images lie in memory in the passes of an index.

Convolutions on a CPU are faster where channels lie next to each other. Measured in two threads, as the time of a forward pass of
16 images of 224 pixels divided by that of the contiguous layout: MobileNet-V2 0.65, VGG-11 0.69, GoogLeNet 0.71, ResNet-18 0.75,
AlexNet 0.82, SqueezeNet 0.83, ConvNeXt-T 1.0 to 1.1. Values stay the same but for rounding, and a network that does not bear it,
since it calls ``view`` on its maps, is found out by a trial.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cnnviz_widgets.engine.network import Network

CHANNELS_LAST, CONTIGUOUS = "channels-last", "contiguous"
_TOLERANCE = 1e-4
"""By which share of a layer's largest value two layouts may differ."""


def layout_of(network: Network) -> str:
    """Channels-last where convolutions in float32 run on a CPU and every layer then gives what it gives otherwise.

    Found out by two passes of one image, once for a network.
    """
    if network.device.type != "cpu" or network.dtype != torch.float32 or network.path != "shadow":
        return CONTIGUOUS
    if not any(isinstance(part, nn.Conv2d) for part in network.bare.modules()):
        return CONTIGUOUS
    return str(network.once("layout of an index", lambda: _tried(network)))


def _tried(network: Network) -> str:
    image = torch.rand((1, *network.input.size), generator=torch.Generator().manual_seed(0))
    expected: dict[str, Tensor] = {}
    apart: list[str] = []

    def compare(name: str, tensor: Tensor) -> None:
        if name not in expected or not _close(expected.pop(name), tensor):
            apart.append(name)

    with network.recording(list(network.layers)) as record, torch.no_grad():
        record.each(image, lambda name, tensor: expected.update({name: tensor.clone()}))
        record.layout = CHANNELS_LAST
        try:
            record.each(image, compare)
        except Exception:  # whatever the user's forward raises
            return CONTIGUOUS
    return CONTIGUOUS if apart or expected else CHANNELS_LAST


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or not one.numel():
        return one.shape == other.shape
    most = float(one.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE * most, equal_nan=True)

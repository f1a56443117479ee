"""``values_of(index, unit) -> (n,)``: what the kept features tell of one unit, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnnviz_widgets.engine.layers import Unit

if TYPE_CHECKING:
    from .answers import Answers


def values_of(index: Answers, unit: Unit) -> npt.NDArray[np.float32]:
    """See `Answers.values`."""
    name, layer = index.feature_layer(unit.layer), unit.layer
    features = index.features(name)
    if name not in index.plan.flat:
        if unit.position is not None:
            raise ValueError(
                f"{unit} is a neuron; features of {name!r} are means over maps: net[{name!r}][{unit.channel}]"
            )
        return features[:, unit.channel]
    maps = features.reshape(len(features), layer.channels, -1)[:, unit.channel]
    if unit.index is None:
        return maps.mean(1, dtype=np.float64).astype(np.float32)
    return maps[:, int(np.ravel_multi_index(unit.index, layer.positions))]

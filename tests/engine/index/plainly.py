"""What an index should tell, computed the slow and obvious way: every map of every image is kept, then looked through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.index.table import read_keys
from cnnviz_widgets.engine.layers import Layer
from cnnviz_widgets.engine.network import Network

ROUNDING = 1e-5
"""By which share of a layer's largest activation another batch, or another layout in memory, may change a value."""


def all_maps(network: Network, images: ImageSet, names: Sequence[str] = ()) -> dict[str, Tensor]:
    """Layer name -> (N, C, ...) in the set's order, of all images in one batch; of these layers, or of all."""
    batch = torch.stack([images.prepare(place, network.input) for place in range(len(images))])
    return network.activations(batch, list(names or network.layers))


def reduced(maps: Tensor, pool: str) -> np.ndarray:
    """(N, C) float64: the largest or the mean of the finite values of each map, NaN where there are none."""
    flat = (maps[:, :, None] if maps.dim() == 2 else maps.flatten(2)).double().numpy()
    # the index keeps float32
    flat = np.where(np.abs(flat) <= np.finfo(np.float32).max, flat, np.nan)
    empty = np.isnan(flat).all(2)
    filled = np.where(empty[:, :, None], 0.0, flat)
    return np.where(empty, np.nan, np.nanmean(filled, 2) if pool == "mean" else np.nanmax(filled, 2))


def columns(index: ActivationIndex, layer: Layer) -> dict[str, np.ndarray]:
    """The layer's rows of the table."""
    row = index.row(layer[0])
    names = ("keys", "positions", "seen", "fired", "dropped", "mean", "squares", "low", "high", "counts")
    return {name: index.rows(name, row, row + layer.channels) for name in names}


def check(index: ActivationIndex, images: ImageSet, maps: dict[str, Tensor], names: Sequence[str] = ()) -> None:
    """All that the table says of these layers, or of all, beside the maps."""
    ids, pool = sorted(images.ids), index.plan.settings.pool
    order = [images.number(id) for id in ids]
    for name in names or [*index.offsets, *index.plan.alias]:
        layer = index.network[name]
        kept = maps[name][order]
        values = reduced(kept, pool)
        size = float(np.nanmax(np.abs(values), initial=0.0))
        slack = ROUNDING * size + 1e-7
        found = columns(index, layer)
        check_largest(found, values, kept if pool == "max" else None, index.plan.settings.k, slack)
        check_counts(found, values, slack)


def check_largest(found: dict[str, np.ndarray], values: np.ndarray, maps: Tensor | None, k: int, slack: float) -> None:
    scores, numbers = read_keys(found["keys"])
    # of a wide layer some units, the first and the last among them
    for unit in np.unique(np.linspace(0, values.shape[1] - 1, 48).astype(int)):
        told = values[:, unit]
        best = [n for n in sorted(range(len(told)), key=lambda n: (-told[n], n)) if told[n] == told[n]]
        count = min(k, len(best))
        assert (numbers[unit, count:] == -1).all()
        np.testing.assert_allclose(scores[unit, :count], told[best[:count]], rtol=0, atol=slack)
        assert len(set(numbers[unit, :count].tolist())) == count
        for place in range(count):
            number = int(numbers[unit, place])
            assert abs(scores[unit, place] - told[number]) <= slack
            others = [told[other] for other in (*best[max(0, place - 1) : place], *best[place + 1 : place + 2])]
            if all(abs(other - told[best[place]]) > 2 * slack for other in others):
                assert number == best[place]
            position = int(found["positions"][unit, place])
            if maps is None or maps.dim() == 2:
                assert position == -1
                continue
            flat = maps[number, unit].flatten().double().nan_to_num(-torch.inf, -torch.inf, -torch.inf)
            assert flat[position] >= told[number] - 2 * slack
            if (flat >= told[number] - 2 * slack).sum() == 1 or slack < 1e-6:
                assert position == int(flat.argmax())


def check_counts(found: dict[str, np.ndarray], values: np.ndarray, slack: float) -> None:
    known = ~np.isnan(values)
    seen = known.sum(0)
    assert found["seen"].tolist() == seen.tolist()
    assert found["counts"].sum(1).tolist() == seen.tolist()
    some, told = seen > 0, np.where(known, values, 0.0)
    sure = np.abs(told) > slack
    assert (found["fired"] >= ((told > 0) & sure).sum(0)).all()
    assert (found["fired"] <= ((told > 0) | ~sure).sum(0)).all()
    mean = told.sum(0) / np.maximum(seen, 1)
    deviation = np.sqrt(np.where(known, (told - mean) ** 2, 0).sum(0) / np.maximum(seen, 1))
    np.testing.assert_allclose(found["mean"], mean, rtol=0, atol=slack)
    np.testing.assert_allclose(np.sqrt(found["squares"] / np.maximum(seen, 1)), deviation, rtol=0, atol=slack)
    for name, end in (
        ("low", np.where(known, values, np.inf).min(0)),
        ("high", np.where(known, values, -np.inf).max(0)),
    ):
        np.testing.assert_allclose(found[name][some], end[some], rtol=0, atol=slack)


def table_of(index: ActivationIndex) -> dict[str, bytes]:
    """All that is measured, as bytes, for comparisons bit for bit."""
    told = {name: index.rows(name, 0, index.plan.units).tobytes() for name in ("keys", "positions", "mean", "squares")}
    told |= {
        name: index.rows(name, 0, index.plan.units).tobytes() for name in ("counts", "ranks", "low", "high", "seen")
    }
    ranked = np.argsort(np.array(index.ids))
    return told | {f"features {layer.name}": index.features(layer)[ranked].tobytes() for layer in index.plan.features}

"""``weight_changes(first, second) -> {layer: number}``, ``activation_similarities(...)``: what training changed, layer by layer.

Between two checkpoints of one architecture weights and activations have the same places, and can be compared directly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .network import Network
from .similarity import FEWEST, linear_cka

MEASURES = ("cosine", "cka")


def weight_changes(first: Network, second: Network) -> dict[str, float]:
    """How far each layer's weights moved from one checkpoint to another: the norm of the difference over that of the first.

    Weights are the parameters of a layer's module, biases among them, not the running statistics of a normalisation. 0 is no
    change; two random initialisations of zero mean are about 1.41 apart.

    Returns
    -------
    dict
        Layer name -> change, in execution order, of layers with weights. Infinite where all were zero before.

    Raises
    ------
    ValueError
        The networks are no checkpoints of one architecture: their parameters differ in names or shapes.

    Examples
    --------
    >>> import copy
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> before = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU())
    >>> after = copy.deepcopy(before)
    >>> _ = after[0].weight.data.mul_(1.5)
    >>> found = weight_changes(Network(before, InputSpec(size=(1, 8, 8))), Network(after, InputSpec(size=(1, 8, 8))))
    >>> {name: round(value, 4) for name, value in found.items()}
    {'0': 0.5}
    """
    befores, afters = (dict(network.bare.named_parameters()) for network in (first, second))
    _check_same(befores, afters)
    owners: dict[str, str] = {}
    for name in first.layers:
        owners.setdefault(first.owner(name), name)
    sums: dict[str, tuple[float, float]] = {}
    for name, before in befores.items():
        layer = owners.get(next((part for part in _parts(name) if part in owners), ""))
        if layer is None:  # of a module that is never called, as a positional embedding may be
            continue
        old, new = (tensor.detach().to("cpu", torch.float64) for tensor in (before, afters[name]))
        moved, size = sums.get(layer, (0.0, 0.0))
        sums[layer] = (moved + float((new - old).square().sum()), size + float(old.square().sum()))
    return {name: _ratio(*sums[name]) for name in first.layers if name in sums}


def activation_similarities(first: Network, second: Network, image: Any, measure: str = "cosine") -> dict[str, float]:
    """How alike two checkpoints' layers respond to one image, for each main layer that both have in the same shape.

    Parameters
    ----------
    image
        One image; each network gets it its own way.
    measure
        ``"cosine"``: of the angle between all activations, channel by channel and place by place; ``"cka"``: `linear_cka` over
        the places of the map, which no exchange of channels changes. Layers of fewer than four places have none.

    Returns
    -------
    dict
        Layer name -> similarity, in execution order; NaN where a layer gives nothing but zeros.

    Raises
    ------
    ValueError
        Another measure, several images, or no layer that both have and the measure is for.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}; expected 'cosine' or 'cka'")
    names = [layer.name for layer in first.main_layers if second.layers.get(layer.name) == layer]
    if not names:
        raise ValueError("no main layer of the first network is in the second with the same name and shape")
    sides = []
    for network in (first, second):
        batch = network.prepare(image)
        if len(batch) != 1:
            raise ValueError(f"{len(batch)} images were given; expected one: image[0]")
        sides.append(network.activations(batch, names))
    found = {}
    for name in names:
        one, other = (_by_place(side[name][0]) for side in sides)
        if measure == "cosine":
            found[name] = _cosine(one.flatten(), other.flatten())
        elif len(one) >= FEWEST:
            found[name] = linear_cka(one, other)
    if not found:
        raise ValueError(
            f"none of the {len(names)} main layers that both networks have has maps of {FEWEST} places or more"
        )
    return found


def _check_same(befores: dict[str, Any], afters: dict[str, Any]) -> None:
    for name in itertools.chain(befores, afters):
        told = [
            f"is {tuple(side[name].shape)} in the {which}" if name in side else f"is not in the {which}"
            for side, which in ((befores, "first"), (afters, "second"))
        ]
        if name not in befores or name not in afters or befores[name].shape != afters[name].shape:
            raise ValueError(
                f"the networks are no checkpoints of one architecture: the parameter {name!r} {' and '.join(told)}; "
                "cnn.similarity.LayerSimilarity.build compares the layers of any two"
            )


def _parts(name: str) -> Iterator[str]:
    """The dotted names of the modules that hold a parameter, the innermost first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
    yield ""


def _ratio(moved: float, size: float) -> float:
    if size == 0:
        return 0.0 if moved == 0 else float("inf")
    return float((moved / size) ** 0.5)


def _cosine(one: Tensor, other: Tensor) -> float:
    length = float(one.norm() * other.norm())
    return float(one @ other) / length if length > 0 else float("nan")


def _by_place(values: Tensor) -> Tensor:
    """(C, ...) -> (places, C)."""
    return values.double().cpu().reshape(len(values), -1).T

"""``saliency``, ``smooth_grad`` and ``grad_cam``: attributions by the gradient of a score.

The gradient is the network's own, also through its ReLUs; no backward rule is changed.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional

from cnnviz_widgets.engine.layers import Layer, Unit, shape_text
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.progress import Clock, Progress

from .base import Attribution, Question, differentiable, question

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network
    from cnnviz_widgets.engine.recording import Recording

_TOGETHER = 5
"""Noisy images that go through the network together."""


def saliency(network: Network, image: Any, goal: Unit | Objective | None = None) -> Attribution:
    """How fast the score changes with each pixel: the gradient's size, the largest of the channels.

    Simonyan, Vedaldi and Zisserman 2013, "Deep inside convolutional networks", section 3. For a class it is the gradient of
    the logit, not of the probability.

    Parameters
    ----------
    network
        A `Network`, whose module stays as it is.
    image
        One image: a path, a Pillow image, a uint8 array (H, W[, C]) or a float tensor (C, H, W) in [0, 1].
    goal
        A unit of any layer, as ``net.unit("flamingo")`` or ``net["conv1"][17]``, or an objective, as the difference of two
        classes; None: the class that the network takes the image for.

    Returns
    -------
    Attribution
        Its map (H, W) is not below zero: score per full range of brightness, [0, 1], of a pixel's channel.

    Raises
    ------
    ImageError, TypeError, ValueError
        The image or the goal is none, or the score has no finite gradient.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> net = Network(nn.Conv2d(1, 1, 1, bias=False), InputSpec(size=(1, 2, 2)))
    >>> with torch.no_grad():
    ...     weight = net.module.weight.fill_(-8)
    >>> saliency(net, torch.rand(1, 2, 2), net.output[0]).map
    tensor([[2., 2.],
            [2., 2.]])
    """
    asked = question(network, image, goal)
    with network.recording(asked.bound.layers) as record, differentiable():
        scores, slope = _slope(asked, record, asked.image)
        return asked.answer(_sizes(slope[0]), "saliency", scores[0], record, told=_flat(asked, slope))


def smoothing(
    network: Network,
    image: Any,
    goal: Unit | Objective | None = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Iterator[Progress[Attribution]]:
    """`smooth_grad` as it comes: the average over the samples so far, every few of them.

    Raises
    ------
    ImageError, TypeError, ValueError
        As `smooth_grad`, at once and not with the first progress.
    """
    if samples < 1:
        raise ValueError(f"samples={samples}; expected 1 or more noisy images")
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise={noise}; expected a share of the image's range, 0 or more, as 0.15")
    asked = question(network, image, goal)
    return _smoothing(asked, samples, noise, torch.Generator().manual_seed(seed))


def smooth_grad(
    network: Network,
    image: Any,
    goal: Unit | Objective | None = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """As `saliency`, with the gradient averaged over noisy copies of the image, which takes its speckle off.

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise". The signed gradients are averaged, then their size is
    taken.

    Parameters
    ----------
    network, image, goal
        As for `saliency`.
    samples
        How many noisy images.
    noise
        The standard deviation of the Gaussian noise, as a share of the image's range from its darkest to its brightest value.
    seed
        Of the noise.

    Returns
    -------
    Attribution
        As that of `saliency`; its score is the image's own, without noise.

    Raises
    ------
    ImageError, TypeError, ValueError
        As for `saliency`, or a number is out of range.
    """
    steps = smoothing(network, image, goal, samples=samples, noise=noise, seed=seed)
    return deque(steps, maxlen=1)[0].result


def _smoothing(
    asked: Question, samples: int, noise: float, generator: torch.Generator
) -> Iterator[Progress[Attribution]]:
    clock = Clock(0, samples)
    total = torch.zeros_like(asked.image[0])
    reach = noise * float(asked.image.max() - asked.image.min())
    with asked.network.recording(asked.bound.layers) as record:
        with torch.inference_mode(False), torch.no_grad():
            score = asked.score(record(asked.image))[0]
            base = asked.answer(total, "SmoothGrad", score, record)
        for first in range(0, samples, _TOGETHER):
            count = min(_TOGETHER, samples - first)
            with differentiable():
                # one draw a sample, so that the noise does not depend on how many go together
                drawn = [torch.randn(asked.image.shape, generator=generator) for _ in range(count)]
                _, slopes = _slope(asked, record, asked.image + reach * torch.cat(drawn).to(total))
                total = total + slopes.sum(0)
                found = _sizes(total / (first + count)).float().cpu()
            yield clock.at(first + count, dataclasses.replace(base, map=found, told=_flat(asked, total)))


def grad_cam(
    network: Network, image: Any, goal: Unit | Objective | None = None, layer: str | Layer | None = None
) -> Attribution:
    """Where a layer's maps raise the score: the maps weighed by their mean gradient and added up, what is below zero left out.

    Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization", equations 1
    and 2. The map is as coarse as the layer's, and enlarged bilinearly to the input.

    Parameters
    ----------
    network, image, goal
        As for `saliency`.
    layer
        A layer with maps that leads to the goal; None: `cam_layer`, the last such.

    Returns
    -------
    Attribution
        Its map (H, W) is not below zero. All zeros where no place raises the score, which ``told`` then says.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    ImageError, TypeError, ValueError
        The image or the goal is none; no layer with maps leads to the goal, or that one does not; or the gradient is not finite.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    >>> net = Network(module, InputSpec(size=(1, 8, 8)))
    >>> found = grad_cam(net, torch.rand(1, 8, 8))
    >>> found.layer, tuple(found.map.shape)
    ('1', (8, 8))
    """
    asked = question(network, image, goal)
    chosen = cam_layer(network, asked.goal) if layer is None else network[layer]
    if not _has_maps(chosen):
        raise ValueError(
            f"{chosen.name!r} has the shape {shape_text(chosen)} and so no maps of more than one place; expected a layer with "
            "maps, or leave layer out, or use saliency or occlusion, which need none"
        )
    with network.recording([*asked.bound.layers, chosen.name]) as record, differentiable():
        values = record(asked.image.requires_grad_())
        scores = asked.score(values)
        slope = _slope_at(asked, scores, values[chosen.name], chosen)
        with torch.no_grad():
            maps, slopes = (t.movedim(chosen.channel_axis + 1, 1)[0] for t in (values[chosen.name], slope))
            weighed = (slopes.mean((1, 2), keepdim=True) * maps).sum(0).clamp(min=0).float()
            size = (network.input.size[1], network.input.size[2])
            found = functional.interpolate(weighed[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        told = "" if bool(weighed.any()) else _nothing(asked, chosen, slope)
        return asked.answer(found, "Grad-CAM", scores[0], record, layer=chosen.name, told=told)


def cam_layer(network: Network, goal: Unit | Objective | None = None) -> Layer:
    """The layer that `grad_cam` looks at: the last one before the goal whose maps are as large as those of the last convolution.

    So a nonlinearity or a sum of branches behind the convolution counts in, a pooling does not.

    Parameters
    ----------
    goal
        None: the network's output.

    Raises
    ------
    ValueError
        No layer with maps comes before the goal.
    """
    names = list(network.layers)
    reads = [network.output.name] if goal is None else Objective.ensure(goal).bound(network).layers
    before = [network[name] for name in names[: min(names.index(name) for name in reads)]]
    mapped = [layer for layer in before if _has_maps(layer)]
    if not mapped:
        what = "the output" if goal is None else repr(goal)
        raise ValueError(
            f"{network.name} has no layer with maps before {what}, so there is nothing for Grad-CAM to weigh; use saliency or "
            "occlusion, which need none"
        )
    convolutions = {layer.name for layer in network.convolutions}
    size = next((layer.positions for layer in reversed(mapped) if layer.name in convolutions), mapped[-1].positions)
    return next(layer for layer in reversed(mapped) if layer.positions == size)


def _has_maps(layer: Layer) -> bool:
    return len(layer.positions) == 2 and max(layer.positions) > 1 and layer.kind != "input"


def _slope(asked: Question, record: Recording, images: Tensor) -> tuple[Tensor, Tensor]:
    """The scores (B,) of images and their gradients (B, C, H, W)."""
    images = images.detach().requires_grad_()
    scores = asked.score(record(images))
    if not scores.requires_grad:
        raise ValueError(_no_gradient(asked, "the image"))
    (slope,) = torch.autograd.grad(scores.sum(), images, allow_unused=True)
    if slope is None:
        raise ValueError(_no_gradient(asked, "the image"))
    return scores.detach(), _finite(asked, slope, "the image")


def _slope_at(asked: Question, scores: Tensor, value: Tensor, layer: Layer) -> Tensor:
    """The gradient of the score at a layer's value."""
    node = value.grad_fn
    if node is None or not scores.requires_grad:
        raise ValueError(_no_gradient(asked, layer.name))
    # a recorded value is a copy that leads nowhere; what it was copied from is what the network went on with, and its edge
    # in the graph stays the same also where something in place followed
    copied = node.name() == "CloneBackward0"
    edge = GradientEdge(*node.next_functions[0]) if copied else get_gradient_edge(value)  # type: ignore[arg-type]
    (slope,) = torch.autograd.grad(scores.sum(), [edge], allow_unused=True)
    if slope is None:
        raise ValueError(_no_gradient(asked, layer.name))
    return _finite(asked, slope, layer.name)


def _no_gradient(asked: Question, where: str) -> str:
    return (
        f"no gradient leads from {asked.goal} to {where}: it lies behind or beside it, or the network's forward pass cuts "
        "gradients off, as torch.no_grad() and detach() do; use occlusion, which needs none"
        + ("" if where == "the image" else ", or another layer")
    )


def _finite(asked: Question, slope: Tensor, where: str) -> Tensor:
    if not bool(slope.isfinite().all()):
        count = int((~slope.isfinite()).sum())
        raise ValueError(
            f"{count:,} of {slope.numel():,} values of the gradient of {asked.goal} at {where} are NaN or infinite, so it tells "
            "nothing. NaN weights do that, a root or a division at zero, or half precision; occlusion needs no gradient"
        )
    return slope


def _sizes(slope: Tensor) -> Tensor:
    """(C, H, W) -> (H, W)."""
    return slope.abs().amax(0)


def _flat(asked: Question, slope: Tensor) -> str:
    if bool(slope.any()):
        return ""
    return (
        f"The gradient of {asked.goal} is exactly zero: the unit is off for this image, or at its ceiling, so no pixel changes "
        "it a little. Occlusion, or the value before the nonlinearity, may tell more."
    )


def _nothing(asked: Question, layer: Layer, slope: Tensor) -> str:
    return (
        _flat(asked, slope) or f"No place of {layer.name} raises {asked.goal}: the weighed maps are nowhere above zero."
    )

"""``Attribution(map (H, W), method, goal, score)``: the answer of each method, and what all of them ask first."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from cnnviz_widgets.engine import display
from cnnviz_widgets.engine.framing import framing
from cnnviz_widgets.engine.images import open_image
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.objectives import Activation, Objective, Probability

from .drawing import overlay

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network
    from cnnviz_widgets.engine.recording import Recording

FEW = 0.01
"""The share of a gradient's pixels that are drawn as the strongest, so that a single one does not make all others pale."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each place of an image has to do with a score. In a notebook it shows as its `overlay`.

    Attributes
    ----------
    map
        (H, W), float32 on the CPU, laid over the input as the network sees it. Not below zero for ``"saliency"`` and
        ``"SmoothGrad"``, in units of score per full range of brightness, and ``"Grad-CAM"``, in units of score times the
        layer's number of places. Of either sign for ``"occlusion"``, in units of score, above zero where hiding lowers it;
        NaN where nothing was hidden yet.
    method
        ``"saliency"``, ``"SmoothGrad"``, ``"Grad-CAM"`` or ``"occlusion"``.
    goal
        Whose score it is; prints as the unit, and ``label`` as its class where it has one.
    score, probability
        Of the whole image; the probability is None where the goal is no class.
    layer
        The name of the layer whose maps `grad_cam` weighs, else empty.
    image
        (C, H, W) in [0, 1], as the network sees it.
    input
        The network's `InputSpec`.
    told
        A remark where the map tells nothing, else empty.
    """

    map: Tensor
    method: str
    goal: Objective
    label: str
    score: float
    probability: float | None
    image: Tensor
    input: InputSpec
    layer: str = ""
    told: str = ""

    @property
    def photo(self) -> Image.Image:
        """The image as the network sees it."""
        return Image.fromarray(display.pixels(self.image[None])[0])

    @property
    def signed(self) -> bool:
        """Whether values below zero mean something, so that a colour map needs a middle."""
        return self.method == "occlusion"

    @property
    def colormap(self) -> str:
        """The colour map that suits it."""
        return "RdBu_r" if self.signed else "magma"

    def to_picture(self, size: tuple[int, int], *, tensor: bool = False) -> Tensor:
        """The map in the coordinates of the photograph, (height, width); NaN outside of what the network saw.

        Parameters
        ----------
        size
            (height, width) of the photograph that was given to the network, in pixels.
        tensor
            Whether it was given as a tensor; see `framing`.
        """
        found = framing(size, self.input, tensor=tensor)
        sides = zip(size, found.scaled, found.corner, found.input, strict=True)
        # the middle of each pixel of the photograph, as grid_sample counts the input: from -1 to 1, edge to edge
        down, across = (
            2 * ((torch.arange(side) + 0.5) * scaled / side - corner) / length - 1
            for side, scaled, corner, length in sides
        )
        grid = torch.stack([across.expand(len(down), -1), down[:, None].expand(-1, len(across))], dim=-1)
        laid = functional.grid_sample(self.map[None, None], grid[None], padding_mode="border", align_corners=False)
        return laid[0, 0].masked_fill((grid.abs() > 1).any(-1), math.nan)

    def overlay(self, picture: Any = None, *, opacity: float = 0.6, colormap: str | None = None) -> Image.Image:
        """The map over the photograph; see `overlay`.

        Of `saliency` and `smooth_grad` the strongest hundredth of the pixels is drawn alike, else a few would outshine all.

        Parameters
        ----------
        picture
            The whole photograph: a path, a Pillow image or a uint8 array; the map then covers the part that the network saw.
            None: the image as the network sees it.
        opacity, colormap
            As for `overlay`; None: the colour map that suits the method.

        Raises
        ------
        ImageError, ValueError
            What is given is no picture, or the opacity or colour map none of these.

        Examples
        --------
        >>> from torch import nn
        >>> from cnnviz_widgets.engine.attribution import saliency
        >>> from cnnviz_widgets.engine.network import Network
        >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
        >>> saliency(net, torch.rand(1, 8, 8), net["1"][0]).overlay().size
        (224, 224)
        """
        colors = self.colormap if colormap is None else colormap
        if picture is None:
            photo, laid = self.photo, self.map
        else:
            photo = open_image(picture)
            laid = self.to_picture((photo.height, photo.width))
        return overlay(photo, self._drawn(laid), opacity=opacity, colormap=colors)

    def _drawn(self, laid: Tensor) -> Tensor:
        if self.method not in ("saliency", "SmoothGrad"):
            return laid
        most = float(torch.quantile(_few(self.map), 1 - FEW))
        return laid.clamp(max=most) if most > 0 else laid

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.overlay().save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        where = f" of {self.layer}" if self.layer else ""
        height, width = self.map.shape
        return f"{self.method}{where} for {self.label}: {height} × {width}, score {self.score:.4g}"


def _few(values: Tensor) -> Tensor:
    """At most some hundred thousand of the values, for torch takes quantiles of no more than 16 million."""
    flat = values.flatten()
    return flat[:: -(-len(flat) // 500_000)]


@dataclass(frozen=True, eq=False)
class Question:
    """An image and what is asked of it, checked against the network.

    Attributes
    ----------
    image
        (1, C, H, W) in [0, 1], a copy on the network's device.
    goal
        As it was asked; ``bound`` is what is computed.
    """

    network: Network
    image: Tensor
    goal: Objective
    bound: Objective

    def score(self, values: dict[str, Tensor]) -> Tensor:
        """Layer name -> values in, scores (B,) out.

        Raises
        ------
        ValueError
            One is NaN or infinite.
        """
        scores = self.bound(values)
        if not bool(scores.detach().isfinite().all()):
            raise ValueError(
                f"the score of {self.goal} is NaN or infinite, so nothing can be told of its places. NaN or infinite weights, "
                "or a network that overflows in half precision, do that"
            )
        return scores

    def answer(self, map: Tensor, method: str, score: Tensor, record: Recording, **told: str) -> Attribution:
        """The attribution of a map (H, W), with the image's score and what the pass of ``record`` tells of its class."""
        image, values = self.image[0].detach().float().cpu(), map.detach().float().cpu()
        probability = self._probability(record)
        label = self.label
        return Attribution(
            values, method, self.goal, label, float(score.detach()), probability, image, self.network.input, **told
        )

    @property
    def _class(self) -> int | None:
        """The number of the class that is asked for; None where it is something else."""
        goal, network = self.goal, self.network
        if not isinstance(goal, Activation | Probability) or not network.is_classifier:
            return None
        return goal.unit.channel if goal.unit.layer == network.output else None

    @property
    def label(self) -> str:
        """The class's name, or the goal as it prints."""
        return repr(self.goal) if self._class is None else self.network.label(self._class)

    def _probability(self, record: Recording) -> float | None:
        if self._class is None or record.output is None:
            return None
        return float(self.network.probabilities(record.output.detach())[0, self._class])


def question(network: Network, image: Any, goal: Unit | Objective | None) -> Question:
    """Check what is asked; a goal of None is the class that the network takes the image for.

    Raises
    ------
    ImageError, TypeError, ValueError
        It is no image or several, or the goal is none, is another network's, or compares images with each other.
    """
    with torch.inference_mode(False):
        batch = network.prepare(image).detach().clone()
    if len(batch) != 1:
        raise ValueError(f"{len(batch)} images were given; expected one, as images[0]")
    asked = Objective.ensure(_first_class(network, batch) if goal is None else goal)
    if asked.together:
        raise ValueError(f"{asked} compares images with each other, so it is no score of a single image; give a unit")
    return Question(network, batch, asked, asked.bound(network))


def _first_class(network: Network, batch: Tensor) -> Unit:
    if not network.is_classifier:
        raise ValueError(
            f"{network.name} gives no class scores, so there is no class to ask for; give a unit: net[layer][channel]"
        )
    scores = network.activations(batch, network.output)[network.output.name]
    return network.output[int(scores.flatten(1)[0].argmax())]


@contextmanager
def differentiable() -> Iterator[None]:
    """Gradients are taken here, whatever the caller's mode. Not to be held across a ``yield``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield

"""``transform(image, generator) -> image``: what the network is shown in place of the image itself, by chance.

A unit that is to like the image however it is shifted, turned and scaled can't be won by high frequencies that fit one
position of the pixels. The image itself is not changed: the gradient goes back through the transformation.

What is drawn is apart from what is done with it, as ``draw(shape, generator)`` and ``apply(image, drawn)``. Those that
change height or width say so; after the last one the loop crops to the input's size around the centre, or pads with middle
grey. Lucid's standard list reads here::

    Padding(12), Jitter(8), RandomScale(0.9, 1.1), RandomRotation(10.0), Jitter(4)

Only ``torch.nn.functional`` is used: importing torchvision's transformations would import its whole zoo of models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_widgets.engine.knobs import knob
from cnnviz_widgets.engine.parameterizations import PAPER_UNITS

from .base import MIDDLE_GREY, Regularizer, whole, within

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Transformation(Regularizer, abstract=True):
    """A regularizer that draws first and then applies what it has drawn."""

    def draw(self, shape: Shape, generator: torch.Generator) -> Any:
        """What is up to chance for an image of ``shape`` (C, H, W); ``generator`` is on the CPU for every device."""
        raise NotImplementedError

    def apply(self, image: Tensor, drawn: Any) -> Tensor:
        """The image (1, C, H, W) with it; differentiable."""
        raise NotImplementedError

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        channels, height, width = image.shape[-3:]
        return self.apply(image, self.draw((channels, height, width), generator))


class Window(NamedTuple):
    """A part of an image, in whole pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """That part of an image (..., H, W)."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _up_to(highest: int, generator: torch.Generator) -> int:
    return int(torch.randint(highest + 1, (), generator=generator))


@dataclass(frozen=True)
class Padding(Regularizer):
    """A frame of middle grey; the image grows by twice its width.

    Alone it does nothing, for the loop crops it off again. In front of `Jitter`, `RandomScale` or `RandomRotation` it holds
    what they would push over the edge, and moves the image away from the edge where the network's own padding acts.
    """

    pixels: int = knob(12, low=0, high=64, label="pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.pixels, 0, "pixels", "pixels")

    def transform(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return F.pad(image, (self.pixels,) * 4, value=MIDDLE_GREY)


@dataclass(frozen=True)
class Jitter(Transformation):
    """A shift by whole pixels: a window at random, smaller than the image by ``pixels``.

    DeepDream wraps around what leaves (Mordvintsev et al. 2015); here, as in lucid, nothing is wrapped or made up and the
    image shrinks. Behind a `Padding` of at least half as many pixels it is still as large as the input; else the loop puts
    grey around it.

    Parameters
    ----------
    pixels
        The range of the shift, 0 to ``pixels`` from the top and from the left, all equally likely. Of an image no larger
        than that one row or column is left.
    """

    pixels: int = knob(8, low=0, high=64, label="pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.pixels, 0, "pixels", "pixels")

    def draw(self, shape: Shape, generator: torch.Generator) -> Window:
        _, height, width = shape
        down, across = min(self.pixels, height - 1), min(self.pixels, width - 1)
        return Window(_up_to(down, generator), _up_to(across, generator), height - down, width - across)

    def apply(self, image: Tensor, drawn: Window) -> Tensor:
        return drawn.of(image)


@dataclass(frozen=True)
class RandomScale(Transformation):
    """Larger or smaller around the centre, by bilinear interpolation; height and width change with it.

    The factor is uniform between ``low`` and ``high``, where lucid draws from eleven values 0.02 apart. It is rounded so
    that height and width grow by an even number of pixels: the centre then stays where it is to the fraction of a pixel.
    """

    low: float = knob(0.9, low=0.5, high=1.0, label="smallest factor")
    high: float = knob(1.1, low=1.0, high=2.0, label="largest factor")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ordered(self.low, self.high, 0.1, 10)

    def draw(self, shape: Shape, generator: torch.Generator) -> float:
        return _uniform(self.low, self.high, generator)

    def apply(self, image: Tensor, drawn: float) -> Tensor:
        height, width = (_centred(size, drawn) for size in image.shape[-2:])
        return _resized(image, height, width)


@dataclass(frozen=True)
class RandomRotation(Transformation):
    """Turned around the centre, by bilinear interpolation, with middle grey in the corners; height and width stay.

    The angle is uniform between ``-degrees`` and ``degrees``, anticlockwise where positive. Lucid draws whole degrees and,
    about one time in four, none.
    """

    degrees: float = knob(10.0, low=0.0, high=45.0, label="largest angle in degrees")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.degrees, 0, 180, "degrees")

    def draw(self, shape: Shape, generator: torch.Generator) -> float:
        return _uniform(-self.degrees, self.degrees, generator)

    def apply(self, image: Tensor, drawn: float) -> Tensor:
        height, width = image.shape[-2:]
        cosine, sine = math.cos(math.radians(drawn)), math.sin(math.radians(drawn))
        # coordinates run from -1 to 1 on both axes, so a turn in pixels is a shear in them unless the image is square
        turn = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
        turns = torch.tensor(turn, dtype=image.dtype, device=image.device).expand(len(image), 2, 3)
        places = F.affine_grid(turns, list(image.shape), align_corners=False)
        # outside of the image zeros are sampled
        around_grey = F.grid_sample(image - MIDDLE_GREY, places, padding_mode="zeros", align_corners=False)
        return around_grey + MIDDLE_GREY


@dataclass(frozen=True)
class RandomCrop(Transformation):
    """A part of the image at full size: the unit is to like every part of it, so that one picture holds it many times.

    The part's share of height and of width is uniform between ``low`` and ``high``; its centre is normal around the image's
    with a deviation of 0.15 of the side, moved inwards where it would reach over the edge. Enlarged by bilinear
    interpolation. After MACO (Fel et al. 2023), whose implementation Horama draws shares of 0.25 to 0.3.

    Parameters
    ----------
    low, high
        Small shares make many small copies of what the unit likes; at a share of 1 the image is seen whole.
    """

    low: float = knob(0.25, low=0.05, high=0.25, label="smallest share")
    high: float = knob(0.3, low=0.25, high=1.0, label="largest share")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ordered(self.low, self.high, 0.01, 1)

    def draw(self, shape: Shape, generator: torch.Generator) -> Window:
        _, height, width = shape
        share = _uniform(self.low, self.high, generator)
        part_height, part_width = max(1, round(share * height)), max(1, round(share * width))
        down, across = (0.5 + 0.15 * torch.randn(2, generator=generator, dtype=torch.float64)).tolist()
        top, left = round(down * height - part_height / 2), round(across * width - part_width / 2)
        top, left = min(max(top, 0), height - part_height), min(max(left, 0), width - part_width)
        return Window(top, left, part_height, part_width)

    def apply(self, image: Tensor, drawn: Window) -> Tensor:
        height, width = image.shape[-2:]
        return _resized(drawn.of(image), height, width)


@dataclass(frozen=True)
class Noise(Transformation):
    """Normal noise on every value, so that nothing fainter than it counts.

    Parameters
    ----------
    deviation
        In units of 0 to 255, as for `Pixels`. Image and noise together may leave [0, 1].
    spread
        0 to 1: how much calmer a view may be. Each has its own deviation, even between ``(1 - spread) * deviation`` and
        ``deviation``, so that strong noise does not drown what is still faint.
    """

    deviation: float = knob(10.0, low=0.0, high=60.0, label="deviation in grey levels")
    spread: float = knob(0.0, low=0.0, high=1.0, label="calmer views")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.deviation, 0, PAPER_UNITS, "deviation")
        within(self.spread, 0, 1, "spread")

    def draw(self, shape: Shape, generator: torch.Generator) -> Tensor:
        noise = torch.randn(shape, generator=generator)
        return noise * (1 - self.spread * torch.rand((), generator=generator)) if self.spread else noise

    def apply(self, image: Tensor, drawn: Tensor) -> Tensor:
        return image + drawn.to(image.device, image.dtype) * (self.deviation / PAPER_UNITS)


def _ordered(low: float, high: float, lowest: float, highest: float) -> None:
    within(low, lowest, highest, "low")
    within(high, lowest, highest, "high")
    if low > high:
        raise ValueError(f"low={low} is above high={high}; expected low <= high")


def _centred(size: int, factor: float) -> int:
    """About ``factor * size``, even if ``size`` is even, else odd, and never nothing."""
    return max(size + 2 * round(size * (factor - 1) / 2), 2 - size % 2)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)

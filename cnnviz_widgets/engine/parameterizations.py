"""``latent <-> image``: in which coordinates an image climbs.

The ascent moves the latent, the network sees the decoded image. Which coordinates are chosen decides which images are near:
in pixels every value goes its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .knobs import Family, knob

PAPER_UNITS = 255.0
"""Pixel values of the papers run from 0 to 255; ours from 0 to 1."""


@dataclass(frozen=True)
class Parameterization(Family):
    """A way to write an image down as a latent.

    Images are (B, C, H, W) in [0, 1]; ``neutral`` is the network's mean colour, (C, 1, 1). Subclasses give `init`, `decode`
    and `encode` with ``decode(encode(image)) ~ image``.
    """

    def init(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        """The latent (1, ...) that an ascent on an image of ``shape`` (C, H, W) starts from; random numbers only from
        ``generator``, which is on the CPU so that every device starts alike."""
        raise NotImplementedError

    def decode(self, latent: Tensor, neutral: Tensor) -> Tensor:
        """Latent -> image, differentiable."""
        raise NotImplementedError

    def encode(self, image: Tensor, neutral: Tensor) -> Tensor:
        """Image -> a latent that decodes to it."""
        raise NotImplementedError

    def around_neutral(self, latent: Tensor, neutral: Tensor) -> Tensor:
        """Image minus neutral colour, without the rounding that adding the colour and taking it off again would cost."""
        return self.decode(latent, neutral) - neutral

    def from_around_neutral(self, x: Tensor, neutral: Tensor) -> Tensor:
        """The latent of an image given as ``x``, its difference from the neutral colour."""
        return self.encode(x + neutral, neutral)

    def constrain(self, latent: Tensor, neutral: Tensor) -> Tensor:
        """The latent with its image brought into [0, 1]; nothing to do where `decode` sees to that."""
        return latent


@dataclass(frozen=True)
class Pixels(Parameterization):
    """Pixel values around the network's mean colour, in the papers' units of 0 to 255 and clipped to what can be shown.

    So a step size or a decay of a paper means here what it meant there, and a change of a ten-thousandth of a grey level,
    which a value in [0, 1] would round off, is kept.

    Parameters
    ----------
    deviation
        Standard deviation of the normal noise that the start adds to the mean colour, in units of 0 to 255. Yosinski et
        al. 2015 start from 10, Nguyen et al. 2015 from 1; 0 starts from the plain mean colour.
    """

    deviation: float = knob(10.0, low=0.0, high=60.0, label="noise of the start")

    def __post_init__(self) -> None:
        if not 0 <= self.deviation <= PAPER_UNITS:
            raise ValueError(f"deviation={self.deviation}; expected 0 to {PAPER_UNITS:g}")

    def init(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn((1, *shape), generator=generator, dtype=torch.float32)
        latent = noise.to(neutral.device, neutral.dtype) * self.deviation
        return self.constrain(latent, neutral)

    def decode(self, latent: Tensor, neutral: Tensor) -> Tensor:
        return latent / PAPER_UNITS + neutral

    def encode(self, image: Tensor, neutral: Tensor) -> Tensor:
        return (image - neutral) * PAPER_UNITS

    def around_neutral(self, latent: Tensor, neutral: Tensor) -> Tensor:
        return latent / PAPER_UNITS

    def from_around_neutral(self, x: Tensor, neutral: Tensor) -> Tensor:
        return x * PAPER_UNITS

    def constrain(self, latent: Tensor, neutral: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(latent, -neutral * PAPER_UNITS), (1 - neutral) * PAPER_UNITS)

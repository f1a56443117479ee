"""``latent <-> image``: in which coordinates an image climbs.

The ascent moves the latent, the network sees the decoded image. Which coordinates are chosen decides which images are near: in
`Pixels` every value goes its own way; in `Fourier` a step in one coordinate is a wave over the whole picture, and low
frequencies and brightness come first, as they do in photographs; in `Maco` the waves have the strengths they have in
photographs, once and for all, and only move. `SigmoidPixels` has the colours of the one and the places of the other.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import spectra
from .images import ImageError, open_image, prepare
from .input_spec import InputSpec
from .knobs import Family, knob
from .values import Values

PAPER_UNITS = 255.0
"""Pixel values of the papers run from 0 to 255; ours from 0 to 1."""

LONGEST_SIDE = 1024
"""Pixels; a photograph of more is scaled down, since a recipe carries it."""

_HALF_A_GREY_LEVEL = 0.002
"""How near to black and white a photograph is brought; their logits are infinite, and what is too near would not move."""

_COLOR = ("decorrelated", "rgb")


@dataclass(frozen=True)
class Parameterization(Family):
    """A way to write an image down as a latent.

    Images are (B, C, H, W) in [0, 1]; ``neutral`` is the network's mean colour, (C, 1, 1). Subclasses give `draw`, `decode`
    and `encode` with ``decode(encode(image)) ~ image``; one that can't write down every image sets ``lossless = False``.

    Parameters
    ----------
    photograph
        Where to start instead of the mean colour, to dream on a picture of one's own: a path, a Pillow image, a uint8 array
        (H, W[, C]) or a float tensor (C, H, W) in [0, 1]. It is scaled and cropped to the canvas, grey or coloured as the
        network's input is, and the start's noise is added: lower that, or the picture drowns in it. A recipe carries the
        picture along, at most 1024 pixels long; a float tensor keeps its size and all its digits, at several times the length.

    Raises
    ------
    ValueError
        A photograph that is none; at the start of an ascent also one with other channels than the network's input.
    """

    lossless: ClassVar[bool] = True

    _: KW_ONLY
    photograph: Values | None = None

    def __post_init__(self) -> None:
        if self.photograph is not None:
            object.__setattr__(self, "photograph", _photograph(self.photograph))

    def init(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        """The latent (1, ...) that an ascent on an image of ``shape`` (C, H, W) starts from: the photograph, if there is
        one, and `draw`."""
        latent = self.draw(shape, neutral, generator)
        if self.photograph is not None:
            latent = latent + self.encode(_on_canvas(self.photograph, shape).to(neutral), neutral)
        return self.constrain(latent, neutral)

    def draw(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        """The noise of the start as a latent (1, ...) around 0; random numbers only from ``generator``, which is on the CPU
        so that every device starts alike."""
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


def _photograph(given: Any) -> Values:
    """A picture as uint8 (H, W[, C]) or, where a tensor was given, as floats (C, H, W)."""
    if isinstance(given, Values) and given.array.dtype != np.uint8:
        given = torch.from_numpy(given.array.copy())
    elif isinstance(given, Values):
        given = given.array
    if isinstance(given, Tensor):
        image = given[0] if given.dim() == 4 and len(given) == 1 else given[None] if given.dim() == 2 else given
        if image.dim() != 3:
            raise ImageError(f"a photograph of the shape {tuple(given.shape)} was given; expected one image, (C, H, W)")
        channels, height, width = image.shape
        return Values(prepare(image, InputSpec(size=(channels, height, width)))[0])
    channels = given.shape[2] if isinstance(given, np.ndarray) and given.ndim == 3 else 1
    if channels not in (1, 3, 4) and given.dtype == np.uint8:
        return Values(given)
    picture = open_image(given)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return Values(np.asarray(picture))


def _on_canvas(photograph: Values, shape: tuple[int, int, int]) -> Tensor:
    """(1, C, H, W): a photograph scaled and cropped to a canvas."""
    spec = InputSpec(size=shape)
    if photograph.array.dtype == np.uint8:
        return prepare(photograph.array, spec)
    image = torch.from_numpy(photograph.array.astype(np.float32))
    if (len(image), shape[0]) == (1, 3):
        image = image.expand(3, -1, -1)
    elif (len(image), shape[0]) == (3, 1):
        # as Pillow makes grey of colours: ITU-R BT.601
        image = (image * image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
    return prepare(image, spec)


def _random(shape: tuple[int, ...], neutral: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn((1, *shape), generator=generator, dtype=torch.float32).to(neutral.device, neutral.dtype)


def _within(value: float, low: float, high: float, name: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value}; expected {low:g} to {high:g}")


def _among(value: str, choices: tuple[str, ...], name: str) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected {' or '.join(map(repr, choices))}")


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
    noise
        ``"normal"``, or ``"uniform"``: each value anywhere from 0 to 255 alike, whatever the deviation and the mean colour.
    """

    deviation: float = knob(10.0, low=0.0, high=60.0, label="noise of the start")
    noise: str = knob("normal", choices=("normal", "uniform"), label="kind of noise")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.deviation, 0, PAPER_UNITS, "deviation")
        _among(self.noise, ("normal", "uniform"), "noise")
        if self.noise == "uniform" and self.photograph is not None:
            raise ValueError("noise='uniform' would leave nothing of the photograph; start it with noise='normal'")

    def draw(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        if self.noise == "uniform":
            drawn = torch.rand((1, *shape), generator=generator, dtype=torch.float32)
            return self.encode(drawn.to(neutral.device, neutral.dtype), neutral)
        return _random(shape, neutral, generator) * self.deviation

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


def _shown(x: Tensor, neutral: Tensor, color: str) -> Tensor:
    """Any numbers -> image in (0, 1); 0 is the mean colour, or the nearest that a step can still leave."""
    mixed = spectra.correlate(x) if color == "decorrelated" else x
    return torch.sigmoid(mixed + _level(neutral))


def _behind(image: Tensor, neutral: Tensor, color: str) -> Tensor:
    """What `_shown` makes that image of."""
    mixed = torch.logit(image.clamp(_HALF_A_GREY_LEVEL, 1 - _HALF_A_GREY_LEVEL)) - _level(neutral)
    return spectra.decorrelate(mixed) if color == "decorrelated" else mixed


def _level(neutral: Tensor) -> Tensor:
    return torch.logit(neutral.clamp(0.02, 0.98))


@dataclass(frozen=True)
class SigmoidPixels(Parameterization):
    """A number per pixel and colour that a sigmoid brings into the range; 0 is the network's mean colour.

    Nothing has to be clipped: a pixel near black or white moves ever more slowly instead. Differs from `Fourier` in having no
    preference for low frequencies, so that what those do can be seen; lucid's ``fft=False``.

    Parameters
    ----------
    deviation
        Standard deviation of the start's normal noise; 0.01 is nearly plain, 1 nearly everything from black to white.
    color
        ``"decorrelated"``: the latent's three channels are brightness and two contrasts of colours, each as likely as in
        ImageNet, so that colours are as pale as there; ``"rgb"``: each colour on its own. Images of other than three
        channels are always treated as the latter.
    """

    deviation: float = knob(0.01, low=0.0, high=1.0, label="noise of the start")
    color: str = knob("decorrelated", choices=_COLOR, label="colours")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.deviation, 0, 100, "deviation")
        _among(self.color, _COLOR, "color")

    def draw(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        return _random(shape, neutral, generator) * self.deviation

    def decode(self, latent: Tensor, neutral: Tensor) -> Tensor:
        return _shown(latent, neutral, self.color)

    def encode(self, image: Tensor, neutral: Tensor) -> Tensor:
        return _behind(image, neutral, self.color)


def _waves(numbers: Tensor, width: int) -> Tensor:
    """(..., W + 2) reals -> (..., W // 2 + 1) complex numbers; an odd width leaves the last real unused."""
    used = 2 * (width // 2 + 1)
    pairs = numbers if used == numbers.shape[-1] else numbers[..., :used].contiguous()
    return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)))


@dataclass(frozen=True)
class Fourier(Parameterization):
    """Waves over the whole picture, low frequencies ahead, then a sigmoid: lucid's parameterization.

    The numbers of the real Fourier transform, each weighted by one over its frequency, so that the same step makes broad
    shapes grow faster than grain. The gradient is followed in other coordinates than pixels; every image can still be reached
    (Olah et al., "Feature Visualization", 2017, "Preconditioning and Parameterization").

    The latent is (B, C, H, W + 2): per row the real and imaginary parts of W // 2 + 1 waves in turn.

    Parameters
    ----------
    deviation
        Standard deviation of the latent's normal noise at the start.
    decay
        The power of one over the frequency. 0 treats all alike, as pixels do; 2 hardly lets detail appear.
    color
        As in `SigmoidPixels`.
    """

    deviation: float = knob(0.01, low=0.0, high=1.0, label="noise of the start")
    decay: float = knob(1.0, low=0.0, high=2.0, label="low frequencies first")
    color: str = knob("decorrelated", choices=_COLOR, label="colours")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.deviation, 0, 100, "deviation")
        _within(self.decay, 0, 4, "decay")
        _among(self.color, _COLOR, "color")

    def draw(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        return _random((*shape[:2], shape[2] + 2), neutral, generator) * self.deviation

    def decode(self, latent: Tensor, neutral: Tensor) -> Tensor:
        height, width = latent.shape[-2], latent.shape[-1] - 2
        weighted = latent * spectra.weights(height, width, self.decay, latent.dtype, latent.device)
        x = torch.fft.irfft2(_waves(weighted, width), s=(height, width), norm="ortho")
        return _shown(x, neutral, self.color)

    def encode(self, image: Tensor, neutral: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        waves = torch.fft.rfft2(_behind(image, neutral, self.color), norm="ortho")
        numbers = torch.view_as_real(waves).flatten(-2)
        padded = F.pad(numbers, (0, width + 2 - numbers.shape[-1]))
        return padded / spectra.weights(height, width, self.decay, image.dtype, image.device)


@dataclass(frozen=True)
class Maco(Parameterization):
    """Waves whose strengths are fixed to those of photographs, and of which only the phases climb.

    So no frequency can be blown up to excite the unit, with no other regularizer and in networks too deep for `Fourier`; in
    return not every image can be written down: contrast and mean colour are given (Fel et al., "Unlocking Feature
    Visualization for Deeper Networks with MAgnitude Constrained Optimization", 2023). As the authors do, the phases are
    brought to mean 0 and deviation 1 radian, except with a photograph, whose phases go round the whole circle; the picture
    has deviation 1 before the sigmoid. Unlike there, the strengths hold for each frequency exactly, and the mean colour, whose
    phase means nothing, is the network's.

    The latent is (B, C, H, W), phases in radians in its first W // 2 + 1 columns; the others follow from these and are unused.

    Parameters
    ----------
    spectrum
        The strengths, from images of your own: ``Maco(spectra.spectrum(images))``. None: one over the frequency in
        decorrelated colours, their amplitudes measured on the sample photographs.
    deviation
        Standard deviation of the noise at the start, in radians. Without a photograph only its ratio to the step size
        counts; above 1 little of a photograph can be seen.
    """

    lossless: ClassVar[bool] = False

    spectrum: Values | None = None
    deviation: float = knob(1.0, low=0.1, high=3.0, label="noise of the start")

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self.deviation, 0, 100, "deviation")
        if self.spectrum is not None:
            if not isinstance(self.spectrum, Values):
                raise TypeError(
                    f"spectrum={type(self.spectrum).__name__}; expected what spectra.spectrum(images) gives"
                )
            spectra.check(self.spectrum)

    def draw(self, shape: tuple[int, int, int], neutral: Tensor, generator: torch.Generator) -> Tensor:
        return _random(shape, neutral, generator) * self.deviation

    def decode(self, latent: Tensor, neutral: Tensor) -> Tensor:
        channels, height, width = latent.shape[1:]
        phase = latent[..., : width // 2 + 1]
        if self.photograph is None:
            centred = phase - phase.mean((1, 2, 3), keepdim=True)
            phase = centred * (centred.square().mean((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        phase = spectra.mirrored(phase, width)
        magnitude = spectra.magnitudes(self.spectrum, (channels, height, width), latent.dtype, latent.device)
        waves = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        x = torch.fft.irfft2(waves, s=(height, width), norm="ortho")
        return _shown(x, neutral, "decorrelated")

    def encode(self, image: Tensor, neutral: Tensor) -> Tensor:
        """The phases of an image."""
        waves = torch.fft.rfft2(_behind(image, neutral, "decorrelated"), norm="ortho")
        phase = torch.atan2(waves.imag, waves.real)
        return F.pad(phase, (0, image.shape[-1] - phase.shape[-1]))

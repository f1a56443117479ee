"""``spectrum(images) -> Values``: what pictures have in common, the strength of their frequencies and colours.

In a photograph neighbouring pixels and the three colours go together: low frequencies are stronger than high ones, about as
one over the frequency, and most of what changes is the brightness. A latent whose numbers are independent of each other is
made a picture by these two: weights on its frequencies, and a matrix on its colours.

Frequencies are counted in periods per pixel. A real picture's Fourier transform is kept as its half with frequencies from 0
across, (H, W // 2 + 1), and is unitary (``norm="ortho"``).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .image_set import ImageSet
from .images import prepare
from .input_spec import InputSpec
from .values import Values

# The square root of the colours' correlation over ImageNet, its largest column of length 1: rgb = matrix @ decorrelated. From
# https://github.com/tensorflow/lucid/blob/master/lucid/optvis/param/color.py
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()

# Magnitude times frequency of the decorrelated colours, the mean over all frequencies to 0.5 and over the seven photographs of
# ImageSet.samples() at 128 and at 224 pixels: 0.0260, 0.0290, 0.0239 and 0.0217, 0.0231, 0.0218, here over their first.
_AMPLITUDES = (1.0, 1.09, 0.96)


@functools.lru_cache(maxsize=16)
def _colours(inverse: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(np.linalg.inv(_COLOURS) if inverse else _COLOURS, dtype=dtype, device=device)


def correlate(x: Tensor) -> Tensor:
    """(B, 3, H, W) in decorrelated colours, the first about brightness -> red, green and blue; other channels stay."""
    return _mixed(x, inverse=False)


def decorrelate(x: Tensor) -> Tensor:
    """What `correlate` makes that ``x`` of; (B, C, H, W), and other than 3 channels stay."""
    return _mixed(x, inverse=True)


def _mixed(x: Tensor, inverse: bool) -> Tensor:
    if x.shape[1] != 3:
        return x
    return (_colours(inverse, x.dtype, x.device) @ x.flatten(2)).unflatten(2, x.shape[2:])


def frequencies(height: int, width: int) -> np.ndarray:
    """(H, W // 2 + 1): periods per pixel, the length of the two directions' frequencies."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])


def falling(height: int, width: int, decay: float) -> np.ndarray:
    """(H, W // 2 + 1): one over the frequency to the power ``decay``; the lowest counts as one period per longer side."""
    return np.maximum(frequencies(height, width), 1 / max(height, width)) ** -decay


def spectrum(images: Any, *, size: int = 128, channels: int = 3) -> Values:
    """The mean magnitude of images' frequencies, for `Maco`.

    Parameters
    ----------
    images
        Whatever counts as images: a folder's pictures, an `ImageSet`, tensors; a hundred of what the network knows give a
        better spectrum than a thousand of something else. Each is opened, used and dropped.
    size
        Height and width that they are brought to, even, from 8. A canvas of another size takes what lies between; the
        recipe carries ``channels * size * size`` bytes, so small ones travel well.
    channels
        Of the network's input. Three are decorrelated, others taken as they are.

    Returns
    -------
    Values
        float16 (channels, size, size // 2 + 1), the mean 1. The mean colour, frequency 0, is left out.

    Raises
    ------
    ValueError
        No image, one that can't be read, or images of a single colour.

    Examples
    --------
    >>> spectrum([torch.rand(3, 40, 60) for _ in range(4)], size=32).array.shape
    (3, 32, 17)
    """
    if not isinstance(size, int) or size < 8 or size % 2:
        raise ValueError(f"size={size!r}; expected an even number of pixels from 8")
    wanted = InputSpec(size=(channels, size, size))
    listed = images if isinstance(images, Tensor) and images.dim() == 4 else ImageSet.of(images)
    total, count = torch.zeros(channels, size, size // 2 + 1, dtype=torch.float64), 0
    for image in listed:
        colours = decorrelate(prepare(image, wanted).detach().cpu().double())
        total += torch.fft.rfft2(colours, norm="ortho").abs().sum(0)
        count += len(colours)
    if not count:
        raise ValueError("no image was given; expected at least one")
    total[:, 0, 0] = 0
    mean = float(total.mean())
    if not mean > 1e-9 * count:
        raise ValueError("each of the images is of a single colour and has no spectrum; give photographs")
    # the largest number that float16 can hold is 65504; only a picture of one single wave comes near
    return Values((total / mean).clamp(max=65000).numpy().astype(np.float16))


def check(values: Values) -> None:
    """Raise ``ValueError`` for what can't be a spectrum as `spectrum` makes it."""
    array = values.array
    square = array.ndim == 3 and array.shape[1] % 2 == 0 and array.shape[2] == array.shape[1] // 2 + 1
    if not square or array.dtype == np.uint8:
        raise ValueError(
            f"a spectrum of {array.dtype.name} {array.shape} was given; expected floats (C, size, size // 2 + 1) with an even "
            "size: spectra.spectrum(images)"
        )
    if not np.isfinite(array).all() or array.min() < 0 or not array.reshape(len(array), -1)[:, 1:].any():
        raise ValueError("a spectrum's magnitudes are finite and from 0, and some above it: spectra.spectrum(images)")


def magnitude(values: Values | None, channels: int, height: int, width: int) -> np.ndarray:
    """The spectrum of a canvas, (C, H, W // 2 + 1), so that an image of these magnitudes has mean 0 and deviation 1.

    Between the frequencies of ``values`` it takes magnitude times frequency, which changes slowly, and interpolates it
    linearly. None: one over the frequency, in three channels with the sample photographs' amplitudes.
    """
    found = falling(height, width, 1.0)
    if values is None:
        amplitudes = _AMPLITUDES if channels == 3 else (1.0,) * channels
        found = found * np.array(amplitudes)[:, None, None]
    elif len(values.array) != channels:
        raise ValueError(
            f"the spectrum has {len(values.array)} channels and the image {channels}: "
            f"spectra.spectrum(images, channels={channels})"
        )
    else:
        found = found * _between(values.array.astype(np.float64), height, width)
    found[:, 0, 0] = 0
    for column in own_mirrors(width):
        mirrored = np.roll(found[:, ::-1, column], 1, axis=1)
        found[:, :, column] = (found[:, :, column] + mirrored) / 2
    twice = np.full(width // 2 + 1, 2.0)
    twice[list(own_mirrors(width))] = 1.0
    power = (found**2 * twice).sum() / (channels * height * width)
    # a canvas of one pixel has no frequency but 0
    return found / np.sqrt(power) if power > 0 else found


def own_mirrors(width: int) -> tuple[int, ...]:
    """The columns of half a spectrum that hold both a frequency and its mirror image: 0, and of an even width the last."""
    return (0,) if width % 2 else (0, width // 2)


def _between(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """(C, H, W // 2 + 1): magnitude times frequency at a canvas' frequencies; frequency 0 is not of use."""
    size = array.shape[1]
    flat = array / falling(size, size, 1.0)
    # nothing is known of frequency 0, so its neighbours answer for what lies beside it
    flat[:, 0, 0] = (flat[:, 1, 0] + flat[:, 0, 1]) / 2
    rows, columns = np.fft.fftfreq(height) * size, np.minimum(np.fft.rfftfreq(width) * size, size // 2)
    above, left = np.floor(rows).astype(int), np.minimum(np.floor(columns).astype(int), size // 2 - 1)
    down, across = (rows - above)[:, None], columns - left
    upper, lower = flat[:, above % size], flat[:, (above + 1) % size]
    mixed = upper * (1 - down) + lower * down
    return mixed[:, :, left] * (1 - across) + mixed[:, :, left + 1] * across


@functools.lru_cache(maxsize=16)
def weights(height: int, width: int, decay: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(H, W + 2): what each real number of `Fourier`'s latent counts."""
    # lucid divides its pictures by 4, its "magic" constant: the start's contrast then suits its step size
    pairs = np.repeat(falling(height, width, decay) / 4, 2, axis=1)
    return _uploaded(np.pad(pairs, [(0, 0), (0, width + 2 - pairs.shape[1])], constant_values=1), dtype, device)


@functools.lru_cache(maxsize=16)
def magnitudes(values: Values | None, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`magnitude` where an ascent needs it, computed once."""
    return _uploaded(magnitude(values, *shape), dtype, device)


def _uploaded(array: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    # a tensor made within inference mode could not be used for gradients later
    with torch.inference_mode(False):
        return torch.from_numpy(array).to(dtype).to(device)


def mirrored(phase: Tensor, width: int) -> Tensor:
    """Phases that a real picture can have: where half a spectrum holds a frequency and its mirror image, opposite ones."""
    columns = (phase[..., k : k + 1] for k in own_mirrors(width))
    first, *last = ((column - column.flip(-2).roll(1, -2)) / 2 for column in columns)
    return torch.cat([first, phase[..., 1 : phase.shape[-1] - len(last)], *last], dim=-1)

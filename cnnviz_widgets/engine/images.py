"""``prepare(images, spec) -> (B, C, H, W)``: whatever a user calls an image, as the network wants it, in [0, 1].

A path, a Pillow image, a uint8 array (H, W[, C]), a float tensor in [0, 1], a list of these, or an `ImageSet`.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from .framing import framing
from .input_spec import InputSpec

MOST_PIXELS = 100_000_000
"""Larger images are refused before they are decoded: about 400 MB in memory."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURN_TOLD_IN = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_SIDEWAYS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
_TELLING_FORMATS = {"JPEG", "PNG", "WEBP", "BMP", "GIF"}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ImageError(ValueError):
    """Something given as an image is none that can be shown to a network."""


class _Quiet:
    """While some picture is being read, Pillow's warnings about it are not shown: the set tells what is wrong with a file.

    One filter that is put in and taken out again: ``warnings.catch_warnings`` restores the whole list, and so brings back other
    threads' filters or loses them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filter: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1 or self._filter not in warnings.filters:
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._filter = warnings.filters[0]

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._filter in warnings.filters:
                warnings.filters.remove(self._filter)  # type: ignore[attr-defined]


_quiet = _Quiet()


def open_image(source: Any, *, short: int | None = None) -> Image.Image:
    """A picture in mode ``"L"`` or ``"RGB"`` from a path, a file, bytes-like upload, a Pillow image or a uint8 array.

    The EXIF rotation is applied, transparency is laid on white, palettes and CMYK become RGB, 16 bits become 8.

    Parameters
    ----------
    short
        Pixels of the shorter side that are enough. A JPEG then comes halved, quartered or eighthed by its decoder, which takes
        a fraction of the time, while twice as many remain. Without it every pixel is decoded.

    Raises
    ------
    ImageError
        No image, a folder, a pipe, broken data, or more than `MOST_PIXELS` pixels.
    """
    if isinstance(source, Image.Image):
        try:
            with _quiet:
                return _plain(source)
        except Exception as error:  # one that is decoded only now, and broken
            raise ImageError(f"the given Pillow image could not be read: {error}") from None
    if isinstance(source, np.ndarray):
        return _from_array(source)
    with _reading(source) as opened:
        if short is not None and opened.format == "JPEG":
            opened.draft(None, (2 * short, 2 * short))
        return _plain(opened)


def measure(source: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of what `open_image` makes of a file; the common formats tell without being decoded.

    Raises
    ------
    ImageError
        As `open_image`, as far as the file's head shows it.
    """
    with _reading(source) as opened:
        if opened.format not in _TELLING_FORMATS:
            return _plain(opened).size[::-1]
        if opened.format == "PNG" and not any(word in Path(source).read_bytes() for word in (b"eXIf", b"rientation")):
            return opened.size[::-1]  # Pillow would decode the whole file to learn that it says nothing of a rotation
        return opened.size if _turn(opened) in _SIDEWAYS else opened.size[::-1]


@contextmanager
def _reading(source: Any) -> Iterator[Image.Image]:
    """The opened picture, not decoded; whatever happens inside becomes an `ImageError` that names the file."""
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "read"):
        raise ImageError(f"{type(source).__name__} was given; expected a path, a file, a Pillow image or a uint8 array")
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "the given file"
    try:
        if not hasattr(source, "read") and (odd := what_else(Path(source).stat().st_mode)):
            raise ImageError(f"{name!r} is {odd}; expected an image file")
        with _quiet, Image.open(source) as opened:
            _guard(opened.size, name)
            yield opened
    except FileNotFoundError:
        raise ImageError(f"no file {name!r}") from None
    except PermissionError:
        raise ImageError(f"{name!r} may not be read; change its permissions") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name!r} is not an image that Pillow can read; expected JPEG, PNG, WebP or the like"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name!r} is too large to decode safely: {error}") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and more for broken data
        raise ImageError(f"{name!r} could not be read as an image: {error}") from None


def what_else(mode: int) -> str:
    """What a file of that ``st_mode`` is if not a regular one, which alone is safe to open: a pipe waits forever."""
    if stat.S_ISREG(mode):
        return ""
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            return kind
    return "no regular file"


def _guard(size: tuple[int, int], name: str) -> None:
    if 0 in size:
        raise ImageError(f"{name!r} has {size[0]} × {size[1]} pixels, so there is nothing to see")
    if size[0] * size[1] > MOST_PIXELS:
        raise ImageError(
            f"{name!r} has {size[0]} × {size[1]} pixels; at most {MOST_PIXELS // 1_000_000} million are read. "
            "Scale it down first"
        )


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """How a picture must be turned to stand upright; broken EXIF data say nothing, and leave the pixels as they are."""
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # struct.error, SyntaxError and more, as its bytes are
        return None


def _plain(picture: Image.Image) -> Image.Image:
    picture.load()
    if (turn := _turn(picture)) is not None:
        picture = picture.transpose(turn)
        for told in _TURN_TOLD_IN:  # else whoever opens this picture turns it once more
            picture.info.pop(told, None)
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_wide(np.asarray(picture))
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.mode == "La":
        picture = picture.convert("LA")  # the only way out of this mode
    if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    mode = "L" if grey else "RGB"
    return picture.copy() if picture.mode == mode else picture.convert(mode)


def _from_wide(values: np.ndarray) -> Image.Image:
    """16-bit and float pictures: divided by what their range must be, since Pillow would cut them off at 255."""
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    top = float(numbers.max(initial=0.0))
    if values.dtype.kind == "u":
        full = 65535.0
    else:
        full = 1.0 if values.dtype.kind == "f" and top <= 1 else 255.0 if top <= 255 else max(top, 65535.0)
    return Image.fromarray(np.clip(numbers * (255.0 / full), 0, 255).round().astype(np.uint8))


def _from_array(values: np.ndarray) -> Image.Image:
    if values.dtype != np.uint8:
        raise ImageError(
            f"an array of {values.dtype} was given; expected uint8 (H, W) or (H, W, C), or a float tensor in [0, 1]: "
            "torch.from_numpy(array).permute(2, 0, 1)"
        )
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise ImageError(f"an array of the shape {values.shape} was given; expected (H, W), (H, W, 3) or (H, W, 4)")
    return _plain(Image.fromarray(values))


def fit(picture: Image.Image, spec: InputSpec) -> Image.Image:
    """The part of a picture that the network sees, at the network's size; mode ``"L"`` or ``"RGB"`` stays.

    Resizing and cropping round as torchvision's presets do, so that outputs equal the reference exactly.
    """
    found = framing((picture.height, picture.width), spec)
    (height, width), (top, left) = found.input, found.corner
    if found.scaled != found.size:
        picture = picture.resize(found.scaled[::-1], _FILTERS[spec.interpolation])
    return picture.crop((left, top, left + width, top + height))


def prepare(images: Any, spec: InputSpec) -> Tensor:
    """Images as a float tensor (B, C, H, W) in [0, 1] at the network's size, not normalised; on the CPU unless a tensor
    elsewhere was given.

    Raises
    ------
    ImageError
        What was given is no image, has another number of channels, or lies outside of [0, 1]; or nothing was given.
    """
    if isinstance(images, Tensor):
        return _from_tensor(images, spec)
    if is_one(images):
        images = [images]
    if not isinstance(images, Iterable):
        raise ImageError(
            f"{type(images).__name__} was given; expected a path, a Pillow image, a uint8 array, a float tensor in "
            "[0, 1], or a list of these"
        )
    batches = [_from_tensor(one, spec) if isinstance(one, Tensor) else _one(one, spec) for one in images]
    if not batches:
        raise ImageError("no image was given; expected at least one")
    return torch.cat(batches)


def is_one(images: Any) -> bool:
    """Whether what was given is one image, not several; a tensor, which tells by its shape, aside."""
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    given = str | bytes | bytearray | memoryview | os.PathLike | Image.Image
    return isinstance(images, given) or hasattr(images, "read")


def _one(source: Any, spec: InputSpec) -> Tensor:
    channels = spec.size[0]
    if isinstance(source, np.ndarray) and source.ndim == 3 and channels not in (1, 3) and source.dtype == np.uint8:
        return _from_tensor(torch.from_numpy(source.copy()).permute(2, 0, 1).float() / 255, spec)
    if channels not in (1, 3):
        raise ImageError(
            f"the network's input has {channels} channels, which a picture has not; give a uint8 array (H, W, {channels}) "
            f"or a float tensor ({channels}, H, W) in [0, 1]"
        )
    picture = fit(open_image(source).convert("L" if channels == 1 else "RGB"), spec)
    values = torch.from_numpy(np.array(picture)).float() / 255
    return values.view(1, *values.shape, 1).movedim(-1, 1) if channels == 1 else values.permute(2, 0, 1)[None]


def _from_tensor(values: Tensor, spec: InputSpec) -> Tensor:
    channels, height, width = spec.size
    if values.dim() == 2 and channels == 1:
        values = values[None]
    if values.dim() == 3:
        values = values[None]
    if values.dim() != 4 or values.shape[1] != channels or not values.numel():
        raise ImageError(
            f"a tensor of the shape {tuple(values.shape)} was given; expected ({channels}, H, W) or (B, {channels}, H, W)"
        )
    if not values.is_floating_point():
        raise ImageError(f"a tensor of {values.dtype} was given; expected floats in [0, 1]: tensor.float() / 255")
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()  # few operations know these on the CPU
    low, high = (float(value) for value in values.detach().aminmax())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageError(
            f"a tensor with values from {low:.3g} to {high:.3g} was given; expected [0, 1], not normalised: "
            "the network subtracts its mean itself"
        )
    if tuple(values.shape[2:]) != (height, width):
        found = framing((values.shape[2], values.shape[3]), spec, tensor=True)
        values = F.interpolate(values, size=list(found.scaled), mode="bilinear", antialias=True)
        top, left = found.corner
        values = values[:, :, top : top + height, left : left + width]
    return values.clamp(0, 1)

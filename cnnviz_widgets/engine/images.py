"""``prepare(images, spec) -> (B, C, H, W)``: whatever a user calls an image, as the network wants it, in [0, 1].

A path, a Pillow image, a uint8 array (H, W[, C]), a float tensor in [0, 1], a list of these, or an `ImageSet`.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .errors import UnknownNameError, near
from .input_spec import InputSpec

MOST_PIXELS = 100_000_000
"""Larger images are refused before they are decoded: about 400 MB in memory."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class ImageError(ValueError):
    """Something given as an image is none that can be shown to a network."""


def open_image(source: Any) -> Image.Image:
    """A picture in mode ``"L"`` or ``"RGB"`` from a path, a file, bytes-like upload, a Pillow image or a uint8 array.

    The EXIF rotation is applied, transparency is laid on white, palettes and CMYK become RGB, 16 bits become 8.

    Raises
    ------
    ImageError
        No image, a folder, broken data, or more than `MOST_PIXELS` pixels.
    """
    if isinstance(source, Image.Image):
        try:
            return _plain(source)
        except Exception as error:  # one that is decoded only now, and broken
            raise ImageError(f"the given Pillow image could not be read: {error}") from None
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "read"):
        raise ImageError(f"{type(source).__name__} was given; expected a path, a file, a Pillow image or a uint8 array")
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "the given file"
    try:
        with Image.open(source) as opened:
            _guard(opened.size, name)
            return _plain(opened)
    except FileNotFoundError:
        raise ImageError(f"no file {name!r}") from None
    except IsADirectoryError:
        raise ImageError(f"{name!r} is a folder; expected an image file") from None
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


def _guard(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise ImageError(
            f"{name!r} has {size[0]} × {size[1]} pixels; at most {MOST_PIXELS // 1_000_000} million are read. "
            "Scale it down first"
        )


def _plain(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
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
    _, height, width = spec.size
    if spec.crop == "squash":
        return picture.resize((width, height), _FILTERS[spec.interpolation])
    across, down = picture.size
    if spec.resize is None:
        factor = max(height / down, width / across)
        scaled = (max(width, int(across * factor)), max(height, int(down * factor)))
    else:
        short = max(spec.resize, 1)
        scaled = (short, int(short * down / across)) if across <= down else (int(short * across / down), short)
    if scaled != picture.size:
        picture = picture.resize(scaled, _FILTERS[spec.interpolation])
    left, top = round((scaled[0] - width) / 2.0), round((scaled[1] - height) / 2.0)
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
    if _is_one(images):
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


def _is_one(images: Any) -> bool:
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
    low, high = float(values.min()), float(values.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageError(
            f"a tensor with values from {low:.3g} to {high:.3g} was given; expected [0, 1], not normalised: "
            "the network subtracts its mean itself"
        )
    if tuple(values.shape[2:]) != (height, width):
        factor = max(height / values.shape[2], width / values.shape[3])
        scaled = [max(height, round(values.shape[2] * factor)), max(width, round(values.shape[3] * factor))]
        values = F.interpolate(values, size=scaled, mode="bilinear", antialias=True)
        top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
        values = values[:, :, top : top + height, left : left + width]
    return values.clamp(0, 1)


@dataclass(frozen=True)
class ImageSet(Sequence[Any]):
    """Images by id, decoded when asked for.

    ``images[3]`` and ``images["chelsea"]`` give a Pillow picture, or the tensor or array it was made of where the set comes
    from those; ``ids`` and ``labels`` stay the same between runs.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    openers: tuple[Callable[[], Any], ...] = field(repr=False)

    @classmethod
    def samples(cls) -> ImageSet:
        """Real photographs that come with an installed package, offline: two with scikit-learn, more with scikit-image.

        The label is the photograph's subject; the id is the name of its file.
        """
        found: list[tuple[str, str, Path]] = []
        for package, names in _PHOTOGRAPHS.items():
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                continue
            for name, label in names.items():
                for path in Path(spec.origin).parent.glob(f"**/{name}"):
                    found.append((path.stem, label, path))
        return cls(
            tuple(stem for stem, _, _ in found),
            tuple(label for _, label, _ in found),
            tuple(_opener(path) for _, _, path in found),
        )

    @classmethod
    def of(cls, images: Any) -> ImageSet:
        """Whatever counts as images as a set; opening, and complaining about a broken one, waits until it is asked for.

        The ids are the places in what was given, the labels the files' names where there are any.
        """
        if isinstance(images, ImageSet):
            return images
        listed = [images] if _is_one(images) or (isinstance(images, Tensor) and images.dim() < 4) else list(images)
        named = [Path(os.fspath(one)).stem if isinstance(one, str | os.PathLike) else "" for one in listed]
        ids = tuple(str(number) for number in range(len(listed)))
        labels = tuple(name or f"image {number}" for name, number in zip(named, ids, strict=True))
        return cls(ids, labels, tuple(_giver(one) for one in listed))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return ImageSet(self.ids[key], self.labels[key], self.openers[key])
        if isinstance(key, str):
            if key not in self.ids:
                raise UnknownNameError(f"no image {key!r}{near(key, self.ids)} the ids are {', '.join(self.ids)}")
            key = self.ids.index(key)
        return self.openers[key]()


_PHOTOGRAPHS = {
    "skimage": {
        "chelsea.png": "a cat",
        "coffee.png": "an espresso",
        "astronaut.png": "an astronaut",
        "rocket.jpg": "a rocket",
        "motorcycle_left.png": "a motorcycle",
    },
    "sklearn": {"flower.jpg": "a flower", "china.jpg": "a temple"},
}


def _opener(path: Path) -> Callable[[], Image.Image]:
    return lambda: open_image(path)


def _giver(one: Any) -> Callable[[], Any]:
    return lambda: one if isinstance(one, Tensor | np.ndarray) else open_image(one)

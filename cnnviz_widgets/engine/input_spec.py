"""``InputSpec``: what a network wants to be fed, and ``prepare(images, spec) -> tensor``: images made so.

Everywhere in the package an image is in display range, [0, 1]; only the network subtracts its mean and divides by its
deviation, so that pictures, regularizers and panels never need to know them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def _numbers(values: float | Sequence[float] | Tensor | None, channels: int, what: str) -> tuple[float, ...] | None:
    if values is None:
        return None
    listed = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    if len(listed) == 1:
        listed *= channels
    if len(listed) != channels:
        raise ValueError(f"{what} has {len(listed)} values; expected 1 or {channels}, one per channel of size")
    return tuple(listed)


@dataclass(frozen=True)
class InputSpec:
    """The size, normalisation and cropping of a network's input.

    Parameters
    ----------
    size
        (C, H, W) in pixels, with any number of channels.
    mean, std
        Per channel, in display range [0, 1]: the network gets ``(image - mean) / std``. ``mean`` None: it gets the image as
        it is, and grey 0.5 counts as neutral.
    resize
        Pixels of the shorter side before the centre crop; None: just large enough for the crop.
    crop
        ``"center"`` keeps the proportions and cuts off what is over; ``"squash"`` keeps all and loses the proportions.
    interpolation
        ``"nearest"``, ``"bilinear"``, ``"bicubic"`` or ``"lanczos"``, each with antialiasing, as in Pillow.
    """

    size: tuple[int, int, int] = (3, 224, 224)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None
    crop: str = "center"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        try:
            size = tuple(operator.index(side) for side in self.size)
        except TypeError:
            size = ()
        if len(size) != 3 or min(size) < 1:
            raise ValueError(f"size={self.size!r}; expected (channels, height, width) in pixels, e.g. (3, 224, 224)")
        if self.resize is not None and self.resize < 1:
            raise ValueError(f"resize={self.resize!r}; expected the shorter side in pixels, or None")
        if self.mean is None and self.std is not None:
            raise ValueError("std is given without mean; give both, or neither for an input that is not normalised")
        if self.crop not in ("center", "squash"):
            raise ValueError(f"crop={self.crop!r}; expected 'center' or 'squash'")
        if self.interpolation not in ("nearest", "bilinear", "bicubic", "lanczos"):
            raise ValueError(
                f"interpolation={self.interpolation!r}; expected 'nearest', 'bilinear', 'bicubic' or 'lanczos'"
            )
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "mean", _numbers(self.mean, size[0], "mean"))
        if self.mean is not None and not all(0 <= value <= 1 for value in self.mean):
            raise ValueError(f"mean={self.mean}; expected values in display range [0, 1]: divide by 255, and std too")
        std = 1.0 if self.mean is not None and self.std is None else self.std
        object.__setattr__(self, "std", _numbers(std, size[0], "std"))
        if self.std is not None and not all(value > 0 for value in self.std):
            raise ValueError(f"std={self.std}; expected values above 0")

    @property
    def neutral(self) -> tuple[float, ...]:
        """The colour that tells the network nothing, per channel in [0, 1]: its mean, or grey 0.5 without one."""
        return self.mean if self.mean is not None else (0.5,) * self.size[0]

    def neutral_image(self, like: Tensor | None = None) -> Tensor:
        """(C, 1, 1): the neutral colour, on the device and in the dtype of ``like``."""
        colour = torch.tensor(self.neutral, dtype=torch.float32 if like is None else like.dtype)
        return colour.to(None if like is None else like.device).view(-1, 1, 1)

    def normalized(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> what the network is fed, same shape."""
        if self.mean is None or self.std is None:
            return images
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

"""``stretched(image) -> pixels``: a synthesized image as one can see it.

A correct result may differ from the mean colour by less than one grey level of 255 and would show as a grey square. So the
difference is stretched for display, and every picture names the stretch and the contrast it had before.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Stretch = Literal["symmetric", "percentile", "none"]
STRETCHES: tuple[str, ...] = get_args(Stretch)


def stretched(image: Tensor, neutral: Tensor, stretch: str = "percentile") -> Tensor:
    """Images (B, C, H, W) in [0, 1], each stretched about the neutral colour (C, 1, 1), which becomes middle grey.

    ``"symmetric"``: the pixel farthest from neutral touches the end of the range, ``x / (2 max|x|) + 1/2`` as Yosinski et al.
    show their results; ``"percentile"``: the 99.5th percentile does, what is beyond is cut off, so that a few extreme
    pixels do not decide; ``"none"``: as it is.

    Raises
    ------
    ValueError
        Another stretch.
    """
    check(stretch)
    if stretch == "none":
        return image.clamp(0, 1)
    x = image - neutral
    sizes = x.abs().flatten(1)
    farthest = sizes.amax(1)
    reach = farthest if stretch == "symmetric" else torch.quantile(sizes.float(), 0.995, dim=1).to(x.dtype)
    # where nearly all is neutral, as with a small receptive field, the percentile is 0
    reach = torch.where(reach > 0, reach, torch.where(farthest > 0, farthest, 1))
    return (x / (2 * reach.view(-1, 1, 1, 1)) + 0.5).clamp(0, 1)


def check(stretch: str) -> None:
    """Raise ``ValueError`` unless it is one of `STRETCHES`."""
    if stretch not in STRETCHES:
        raise ValueError(f"stretch={stretch!r}; expected one of {', '.join(STRETCHES)}")


def contrast(image: Tensor, neutral: Tensor) -> list[float]:
    """Per image the root mean square of its difference from the neutral colour, in grey levels of 255."""
    return ((image - neutral).square().flatten(1).mean(1).sqrt() * 255).tolist()


def pixels(image: Tensor) -> np.ndarray:
    """(B, C, H, W) in [0, 1] -> uint8 (B, H, W, 3), or (B, H, W) for one channel. Of more than three channels the first
    three are shown, of two their mean."""
    channels = image.shape[1]
    if channels == 2:
        image = image.mean(1, keepdim=True)
    elif channels > 3:
        image = image[:, :3]
    values = (image.detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    return values[..., 0] if values.shape[-1] == 1 else values


def picture(image: np.ndarray, *, side: int = 0) -> Image.Image:
    """uint8 (H, W[, 3]) -> a Pillow picture, enlarged by a whole factor where it is smaller than ``side`` pixels."""
    shown = Image.fromarray(image)
    factor = max(1, side // max(shown.size))
    return (
        shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST) if factor > 1 else shown
    )


def captioned(pictures: list[Image.Image], captions: list[str], *, gap: int = 12, size: int = 14) -> Image.Image:
    """Pictures side by side, at most four in a row, with a caption of one or more lines below each."""
    font = ImageFont.load_default(size=size)
    columns = min(4, len(pictures))
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    texts = [measure.multiline_textbbox((0, 0), caption, font=font) for caption in captions]
    width = max([shown.width for shown in pictures] + [int(box[2]) for box in texts])
    tall = max(shown.height for shown in pictures)
    below = max(int(box[3]) for box in texts) + gap
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (tall + below + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (shown, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = gap + (number % columns) * (width + gap)
        top = gap + (number // columns) * (tall + below + gap)
        sheet.paste(shown.convert("RGB"), (left, top))
        draw.multiline_text((left, top + tall + 4), caption, fill="black", font=font)
    return sheet


def board(
    pictures: list[Image.Image], labels: list[str], *, columns: int = 0, side: int = 224, gap: int = 6
) -> Image.Image:
    """Pictures as one, in rows of ``columns``, each scaled to ``side`` pixels under a line with its label.

    Parameters
    ----------
    columns
        0 makes it about as wide as high.
    """
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = -(-len(pictures) // columns)
    band = max(18, side // 9)
    font = ImageFont.load_default(size=band * 0.78)
    sheet = Image.new("RGB", (columns * (side + gap) - gap, rows * (side + band + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (shown, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = number % columns * (side + gap), number // columns * (side + band + gap)
        while label and draw.textlength(label, font=font) > side:
            label = label[:-2] + "…" if len(label) > 2 else ""
        draw.text((left + 2, top), label, fill="black", font=font)
        scaled = shown if max(shown.size) == side else shown.resize(_within(shown.size, side), _scaling(shown, side))
        sheet.paste(scaled.convert("RGB"), (left + (side - scaled.width) // 2, top + band))
    return sheet


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    factor = side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _scaling(shown: Image.Image, side: int) -> Image.Resampling:
    return Image.Resampling.NEAREST if 2 * max(shown.size) <= side else Image.Resampling.BILINEAR

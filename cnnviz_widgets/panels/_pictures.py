"""``Pictures.of(frame)``: the images of a frame as one picture, stretched, cut to what was climbed, and labelled."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from cnnviz_widgets.engine import display
from cnnviz_widgets.engine.ascent import Frame
from cnnviz_widgets.engine.best import Best
from cnnviz_widgets.engine.network import Network

_HOW = {
    "none": "not stretched",
    "percentile": "stretched to the 99.5th percentile",
    "symmetric": "stretched symmetrically",
}
_FILM_SIDE = 448
_FILM_FRAMES = 240


class Pictures:
    """How a run's frames are shown.

    Parameters
    ----------
    labels
        One per image; of a single image none is shown.
    columns
        Images a row; 0 makes the picture about as wide as high.
    target
        The number of the class that is climbed, whose probability is told; None where it is no class.
    """

    def __init__(self, network: Network, labels: Sequence[str], columns: int, target: int | None) -> None:
        self.labels = list(labels)
        self._neutral = network.input.neutral_image()
        self._columns = columns
        self._target = target

    def of(self, frame: Frame, stretch: str) -> Image.Image:
        """All images of a frame as one picture."""
        tiles = [self._tile(frame, number, stretch) for number in range(len(frame.image))]
        if len(tiles) == 1:
            return tiles[0]
        side = 224 if len(tiles) <= 4 else 160 if len(tiles) <= 9 else 112
        labels = [self._label(frame, number) for number in range(len(tiles))]
        return display.board(tiles, labels, columns=self._columns, side=side)

    def _label(self, frame: Frame, number: int) -> str:
        probability = self.probability(frame, number)
        told = f"p {probability:.3f}" if probability is not None else f"{float(frame.score[number]):.3g}"
        return f"{self.labels[number]}  {told}"

    def probability(self, frame: Frame, number: int) -> float | None:
        """The probability of the class that is climbed, where the frame tells it."""
        if self._target is None or frame.probabilities is None:
            return None
        value = float(frame.probabilities[number, self._target])
        return None if value != value else value

    def _tile(self, frame: Frame, number: int, stretch: str) -> Image.Image:
        single = _climbed(frame, number)
        shown = display.stretched(single, self._neutral.to(single), stretch)
        return display.picture(display.pixels(shown)[0])

    def caption(self, frame: Frame, best: Best, number: int, stretch: str) -> str:
        """What is to be known of one image: contrast, stretch, probability, the best step."""
        single = _climbed(frame, number)
        contrast = display.contrast(single, self._neutral.to(single))[0]
        score, step = best.leader(number)
        whose = f"{self.labels[number]}: " if len(self.labels) > 1 else ""
        told = [f"{whose}contrast {contrast:.2f} of 255, {_HOW[stretch]}"]
        probability = self.probability(frame, number)
        if probability is not None:
            told.append(f"probability {probability:.4f}")
        if score == score and abs(score) != float("inf"):
            kind = "score of a random view" if best.takes_last(number) else "best score"
            told.append(f"{kind} {score:.4g} at step {step}")
        if frame.paths and (path := frame.paths[number]):
            told += [
                text
                for text in (
                    f"canvas {path.canvas[2]} × {path.canvas[3]}" if path.canvas else "",
                    path.factor_told,
                    f"{path.rescued} steps rescued" if path.rescued else "",
                )
                if text
            ]
        return "; ".join(told)


def _climbed(frame: Frame, number: int) -> Tensor:
    single = frame.image[number : number + 1]
    return frame.paths[number].crop(single) if frame.paths else single


def encoded(picture: Image.Image, kind: str) -> bytes:
    """As a JPEG or PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 3}))
    return buffer.getvalue()


def animation(frames: Sequence[bytes], *, milliseconds: int = 60) -> bytes:
    """JPEG frames as a GIF that plays once and rests on its last frame.

    Raises
    ------
    ValueError
        Fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} frames were kept; a film takes two or more: let the run make some steps first")
    chosen = [frames[round(at * (len(frames) - 1) / (min(len(frames), _FILM_FRAMES) - 1))]
              for at in range(min(len(frames), _FILM_FRAMES))]  # fmt: skip
    pictures = [Image.open(io.BytesIO(frame)).convert("RGB") for frame in chosen]
    size = pictures[-1].size
    pictures = [picture if picture.size == size else picture.resize(size) for picture in pictures]
    if max(size) > 2 * _FILM_SIDE:
        for picture in pictures:
            picture.thumbnail((2 * _FILM_SIDE, 2 * _FILM_SIDE))
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, optimize=False)
    return buffer.getvalue()


def dissected(parts: Sequence[tuple[str, Tensor]], names: dict[str, str]) -> Image.Image:
    """What a step does as a row of pictures, each stretched about the mean colour by its own 99.5th percentile.

    After the step, what each regularizer took away or added is shown, not what it left.
    """
    pictures, captions = [], []
    before: Tensor | None = None
    for name, x in parts:
        effect = x if before is None or name in ("image", "seen", "gradient") else x - before
        shown = display.stretched(effect[None], effect.new_zeros(len(effect), 1, 1), "percentile")
        pictures.append(display.picture(display.pixels(shown)[0], side=160))
        reach = float(effect.abs().max())
        unit = f"up to {reach:.3g}" if name == "gradient" else f"up to {reach * 255:.3g} of 255"
        captions.append(f"{names.get(name, name)}\n{unit}")
        if name in ("image", "step") or (before is not None and name != "gradient" and name != "seen"):
            before = x
    return display.captioned(pictures, captions, size=24)

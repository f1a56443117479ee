"""``Result``: synthesized images together with all that is needed to show, judge and make them again."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from . import display
from .objectives import Objective
from .recipes import Recipe

_SHOWN = {
    "symmetric": "stretched symmetrically",
    "percentile": "stretched to the 99.5th percentile",
    "none": "not stretched",
}


@dataclass(frozen=True, eq=False)
class Result:
    """What `maximize` found.

    Attributes
    ----------
    image
        (B, C, H, W) in [0, 1], one per goal and copy, not stretched.
    score, step
        (B,), each image's score and the step it was reached at.
    curve
        (steps + 1, B), the score at each step.
    objectives, recipes, digest
        Per image what was climbed and how, and on which weights: `Network.digest`.
    neutral
        The network's mean colour, per channel.
    labels
        How a caption calls each image's goal.
    notes
        Per image why it stopped moving, or an empty text.
    paths
        Per image what was done to make it: `ascent.Path`, whose ``str()`` is a sentence.
    """

    image: Tensor
    score: Tensor
    step: Tensor
    curve: Tensor
    objectives: tuple[Objective, ...]
    recipes: tuple[Recipe, ...]
    digest: str
    neutral: tuple[float, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    paths: tuple[Any, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """How the first image climbed."""
        return self.recipes[0]

    @property
    def objective(self) -> Objective:
        """What the first image climbed."""
        return self.objectives[0]

    def _neutral(self) -> Tensor:
        return self.image.new_tensor(self.neutral).view(-1, 1, 1)

    def _climbed(self) -> list[Tensor]:
        """Per image (1, C, h, w): the part of the input that was climbed, mostly all of it."""
        singles = self.image.split(1)
        if not self.paths:
            return list(singles)
        return [path.crop(single) for path, single in zip(self.paths, singles, strict=True)]

    @property
    def contrast(self) -> list[float]:
        """Per image the root mean square of its difference from the mean colour, in grey levels of 255, before stretching."""
        return [display.contrast(single, self._neutral())[0] for single in self._climbed()]

    def picture(self, stretch: str = "percentile", *, side: int = 0) -> list[Image.Image]:
        """The images as pictures; see `display.stretched` for what each stretch does. Of an image that was climbed on a part of
        the input, its receptive field, the picture shows that part.

        Parameters
        ----------
        side
            Pixels; smaller images are enlarged by a whole factor up to it.
        """
        shown = [display.stretched(single, self._neutral(), stretch) for single in self._climbed()]
        return [display.picture(display.pixels(single)[0], side=side) for single in shown]

    def captions(self, stretch: str = "percentile") -> list[str]:
        """Per image its goal, score and step, and how it is shown; ``ValueError`` for another stretch."""
        display.check(stretch)
        told = zip(self.labels, self.score.tolist(), self.step.tolist(), self.contrast, strict=True)
        return [
            f"{label}\nscore {score:.4g} at step {step}\n{_SHOWN[stretch]}\ncontrast {contrast:.2f} of 255"
            for label, score, step, contrast in told
        ]

    def sheet(self, stretch: str = "percentile") -> Image.Image:
        """All images side by side with their captions."""
        return display.captioned(self.picture(stretch, side=224), self.captions(stretch))

    def _repr_png_(self) -> bytes:
        return self._png(self.sheet(), range(len(self.image)))

    def save(self, path: str | PathLike[str], stretch: str = "percentile") -> list[Path]:
        """Write the images as PNG files that carry their recipe, goal, digest, stretch and contrast as text chunks.

        One image goes to ``path``; of several the second goes to ``name-1.png`` and so on.

        Raises
        ------
        ValueError
            ``path`` ends in something else than ``.png``, or another stretch.
        """
        target = Path(fspath(path))
        if target.suffix.lower() not in ("", ".png"):
            raise ValueError(
                f"{target.name!r} was given; pictures are saved as PNG, which keeps their recipe: name.png"
            )
        target = target.with_suffix(target.suffix or ".png")
        written = []
        for number, shown in enumerate(self.picture(stretch)):
            file = target if number == 0 else target.with_stem(f"{target.stem}-{number}")
            file.write_bytes(self._png(shown, [number], stretch))
            written.append(file)
        return written

    def png(self, number: int = 0, stretch: str = "percentile") -> bytes:
        """One image as a PNG file with its recipe inside, as `save` writes it."""
        return self._png(self.picture(stretch)[number], [number], stretch)

    def _png(self, shown: Image.Image, numbers: Sequence[int], stretch: str = "percentile") -> bytes:
        told = PngInfo()
        facts = {
            "objective": "\n".join(repr(self.objectives[number]) for number in numbers),
            "goals": json.dumps([self.objectives[number].to_data() for number in numbers]),
            "recipe": self.recipes[numbers[0]].to_json(),
            "path": "\n".join(str(self.paths[number]) for number in numbers if self.paths),
            "network": self.digest,
            "stretch": stretch,
            "contrast": "\n".join(f"{self.contrast[number]:.4f} of 255" for number in numbers),
            "notes": "\n".join(self.notes[number] for number in numbers if self.notes),
            "torch": torch.__version__,
        }
        for key, value in facts.items():
            told.add_itxt(f"cnnviz:{key}", value)
        buffer = io.BytesIO()
        shown.save(buffer, "PNG", pnginfo=told)
        return buffer.getvalue()

    def __repr__(self) -> str:
        lines = [caption.replace("\n", ", ") for caption in self.captions()]
        return "\n".join([f"Result of {len(lines)} image{'s' if len(lines) > 1 else ''}", *lines])

"""``Recipe``: all that decides how an image climbs, as one value; ``get(name)``: the named presets.

A recipe can be printed, compared, stored as JSON and rebuilt, so a picture can always tell how it was made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .errors import UnknownNameError, near
from .knobs import knob
from .parameterizations import Fourier, Maco, Parameterization, Pixels, SigmoidPixels
from .regularizers import (
    AlphaNorm,
    BlurGradient,
    BorderCrop,
    ClipSmallContribution,
    ClipSmallNorm,
    GaussianBlur,
    Jitter,
    L1Penalty,
    L2Decay,
    L2Penalty,
    Noise,
    NormalizeGradient,
    Padding,
    RandomCrop,
    RandomRotation,
    RandomScale,
    Regularizer,
    TotalVariation,
)
from .steppers import Adam, Constant, NAdam, ProbabilityProgress, Progress, Stepper
from .values import Values

__all__ = [
    "Adam",
    "AlphaNorm",
    "BlurGradient",
    "BorderCrop",
    "ClipSmallContribution",
    "ClipSmallNorm",
    "Constant",
    "Fourier",
    "GaussianBlur",
    "Jitter",
    "L1Penalty",
    "L2Decay",
    "L2Penalty",
    "Maco",
    "NAdam",
    "Noise",
    "NormalizeGradient",
    "Padding",
    "Pixels",
    "ProbabilityProgress",
    "Progress",
    "RandomCrop",
    "RandomRotation",
    "RandomScale",
    "Recipe",
    "SigmoidPixels",
    "TotalVariation",
    "Values",
]

CANVASES = ("receptive field", "full")


@dataclass(frozen=True)
class Recipe:
    """How an image climbs; what it climbs, the objective, is no part of it.

    Parameters
    ----------
    regularizers
        They act in this order at each of their moments.
    steps
        How many updates.
    seed
        Image i of several copies starts from ``seed + i``.
    draws
        Over how many random transformations of an image each step is averaged. Calmer pictures, at the cost of a pass each; of
        no use without random transformations.
    canvas
        ``"receptive field"``: a neuron's image is made on the input pixels that it sees, where its activation is the same, at
        a fraction of the cost; the rest of the picture stays at the mean colour. It takes the full canvas, and says so, where
        that can't be done. ``"full"``: always the whole input.
    chunk
        How many images go through the network together. An image is the same, bit for bit, whatever else is in its chunk;
        another size changes the last bits, and so may another place in a chunk of several where a dense layer's number of
        inputs is no multiple of 4, or that of the values a sigmoid or an exponential of the network takes none of 32. Raise it
        on a GPU.

    Examples
    --------
    >>> Recipe(regularizers=[L2Decay(0.01)], steps=60)  # doctest: +NORMALIZE_WHITESPACE
    Recipe(parameterization=Pixels(photograph=None, deviation=10.0, noise='normal'), regularizers=(L2Decay(every=1, decay=0.01),),
           stepper=Progress(desired=2.0, largest=100000000.0), steps=60, seed=0, draws=1, canvas='receptive field', chunk=1)
    """

    parameterization: Parameterization = Pixels()
    regularizers: tuple[Regularizer, ...] = ()
    stepper: Stepper = Progress()
    steps: int = knob(100, low=1, high=2000, scale="log")
    seed: int = knob(0, low=0, high=99)
    draws: int = knob(1, low=1, high=16, label="draws a step")
    canvas: str = knob("receptive field", choices=CANVASES)
    chunk: int = knob(1, low=1, high=64)

    def __post_init__(self) -> None:
        given = self.regularizers
        listed = (given,) if isinstance(given, Regularizer) else tuple(given)
        object.__setattr__(self, "regularizers", listed)
        kinds: dict[str, type] = {"parameterization": Parameterization, "stepper": Stepper}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name}={getattr(self, name)!r}; expected one of {', '.join(kind.registry)}")  # type: ignore[attr-defined]
        for prior in listed:
            if not isinstance(prior, Regularizer):
                raise TypeError(f"{prior!r} among the regularizers; expected {', '.join(Regularizer.registry)}")
        if self.canvas not in CANVASES:
            raise ValueError(f"canvas={self.canvas!r}; expected {' or '.join(map(repr, CANVASES))}")
        for name, least in (("steps", 0), ("seed", 0), ("draws", 1), ("chunk", 1)):
            object.__setattr__(self, name, _whole(getattr(self, name), least, name))

    @property
    def random(self) -> bool:
        """Whether a regularizer transforms the image at random, so that scores of single steps can't be compared."""
        return any("transform" in prior.moments() for prior in self.regularizers)

    def replace(self, **fields: Any) -> Recipe:
        """The recipe with some fields replaced whole; an unknown one is a ``TypeError``."""
        return dataclasses.replace(self, **fields)

    def to_json(self) -> str:
        """The recipe as JSON, for `from_json`."""
        data = {
            "parameterization": self.parameterization.to_data(),
            "regularizers": [prior.to_data() for prior in self.regularizers],
            "stepper": self.stepper.to_data(),
            "steps": self.steps,
            "seed": self.seed,
            "draws": self.draws,
            "canvas": self.canvas,
            "chunk": self.chunk,
        }
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe that `to_json` wrote; a text is data, nothing in it is evaluated or imported.

        Raises
        ------
        ValueError
            No JSON, an unknown class or field, or a value of the wrong kind.
        """
        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError("the recipe is nested far too deeply") from None
        if not isinstance(data, Mapping):
            raise ValueError(f"a recipe is a JSON object; given {type(data).__name__}")
        fields: dict[str, Any] = dict(data)
        if unknown := set(fields) - {f.name for f in dataclasses.fields(cls)}:
            raise ValueError(f"a recipe has no field {sorted(unknown)}")
        if "parameterization" in fields:
            fields["parameterization"] = Parameterization.from_data(fields["parameterization"])
        if "stepper" in fields:
            fields["stepper"] = Stepper.from_data(fields["stepper"])
        if "regularizers" in fields:
            if not isinstance(fields["regularizers"], Sequence) or isinstance(fields["regularizers"], str):
                raise ValueError("the regularizers of a recipe are a list")
            fields["regularizers"] = tuple(Regularizer.from_data(prior) for prior in fields["regularizers"])
        return cls(**fields)


def _whole(value: Any, least: int, name: str) -> int:
    """As an ``int`` of Python's, which JSON and the repr need; NumPy's whole numbers are taken too."""
    if isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) < 2**63:
        return int(value)
    raise ValueError(f"{name}={value!r}; expected a whole number from {least}")


L2_WEIGHT = 1.0
"""Of the recipe "l2", found by looking; Simonyan et al. 2013 publish neither weight nor step."""

# "natural": ours, calibrated by looking at classes of EfficientNet-Lite0. MACO keeps colours and ground as in photographs.
# Crops of half to nine tenths of the picture leave room for one subject, where MACO's own quarters make many small ones. Noise
# of up to 40 grey levels, four times what others take, leaves nothing to climb by but what is large; 40 in every view drowned
# some classes for good, 10 brought texture back.
# "fooling": Nguyen et al. 2015, "Deep Neural Networks are Easily Fooled", the run without regularization of
# https://github.com/Evolving-AI-Lab/fooling (caffe/ascent). "l2": Simonyan et al. 2013, equation 1; a grey level
# of noise on the mean image, since some networks hardly answer to a plain one.
# "lucid": the defaults of https://github.com/tensorflow/lucid, optvis/render.py and transform.py (Olah et al. 2017). "maco": Fel
# et al. 2023, crops, noise and NAdam of https://github.com/serre-lab/Horama, in fewer steps.
# The four rows of Table 1 of Yosinski et al. 2015, with the step rules and iteration counts of the commands that the authors
# published beside them: https://github.com/yosinski/deep-visualization-toolbox/blob/master/doc/running-optimize-image.md
_PRESETS: dict[str, Recipe] = {
    "natural": Recipe(
        parameterization=Maco(),
        regularizers=(RandomCrop(0.5, 0.9), Noise(40.0, 0.5)),
        stepper=NAdam(1.0),
        steps=256,
        draws=2,
    ),
    "none": Recipe(steps=100),
    "fooling": Recipe(parameterization=Pixels(1.0), stepper=ProbabilityProgress(0.02, 0.1, 1e7), steps=500),
    "l2": Recipe(
        parameterization=Pixels(1.0), regularizers=(L2Penalty(L2_WEIGHT),), stepper=Constant(1000.0, True), steps=200
    ),
    "yosinski-1": Recipe(
        regularizers=(GaussianBlur(0.5, every=4), ClipSmallNorm(50.0)), stepper=Progress(2.0, 100.0), steps=500
    ),
    "yosinski-2": Recipe(regularizers=(L2Decay(0.3), ClipSmallNorm(20.0)), stepper=Constant(100.0, True), steps=750),
    "yosinski-3": Recipe(
        regularizers=(L2Decay(0.0001), GaussianBlur(1.0, every=4)), stepper=Constant(100.0, True), steps=1000
    ),
    "yosinski-4": Recipe(
        regularizers=(GaussianBlur(0.5, every=4), ClipSmallContribution(90.0)), stepper=Progress(2.0, 1e8), steps=1000
    ),
    "lucid": Recipe(
        parameterization=Fourier(0.01),
        regularizers=(Padding(12), Jitter(8), RandomScale(0.9, 1.1), RandomRotation(10.0), Jitter(4)),
        stepper=Adam(0.05),
        steps=512,
    ),
    "maco": Recipe(
        parameterization=Maco(),
        regularizers=(RandomCrop(0.25, 0.3), Noise(12.75)),
        stepper=NAdam(1.0),
        steps=256,
        draws=6,
    ),
}


def names() -> tuple[str, ...]:
    """The presets' names: ``"natural"``, the default; ``"none"``; and those of papers, ``"fooling"``, ``"l2"``, the four
    combinations of Yosinski et al. 2015, ``"lucid"`` and ``"maco"``."""
    return tuple(_PRESETS)


def get(recipe: str | Recipe) -> Recipe:
    """A preset by name; a `Recipe` is given back.

    Raises
    ------
    UnknownNameError
        No preset of that name, a ``KeyError``.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in _PRESETS:
        raise UnknownNameError(
            f"no recipe {recipe!r}{near(str(recipe), _PRESETS)} recipes.names() lists {', '.join(_PRESETS)}"
        )
    return _PRESETS[recipe]

"""A microscope for convolutional networks, live in the notebook.

``import cnnviz_widgets as cnn`` gives the engine at once; the panels, which need the widget libraries, come with their first
use.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from .engine import (
    feature_maps,
    filters,
    objectives,
    parameterizations,
    projections,
    recipes,
    regularizers,
    spectra,
    steppers,
    sweeps,
)
from .engine.ascent import Ascent, Frame, ascend
from .engine.best import maximize
from .engine.image_set import ImageSet
from .engine.images import ImageError
from .engine.index import ActivationIndex, Match
from .engine.knobs import knob
from .engine.network import InputSpec, Layer, Network, Unit
from .engine.origin import Origin, origin
from .engine.receptive_field import receptive_field
from .engine.recipes import Recipe
from .engine.result import Result
from .engine.sources import WeightsError, load
from .engine.values import Values

__version__ = version("cnnviz_widgets")

_PANELS = (
    "ActivationPanel",
    "EmbeddingPanel",
    "FilterPanel",
    "MaximizationPanel",
    "NeighborsPanel",
    "Panel",
    "Selection",
    "TopImagesPanel",
)

__all__ = [
    "ActivationIndex",
    "Ascent",
    "Frame",
    "ImageError",
    "ImageSet",
    "InputSpec",
    "Layer",
    "Match",
    "Network",
    "Origin",
    "Recipe",
    "Result",
    "Unit",
    "Values",
    "WeightsError",
    "ascend",
    "feature_maps",
    "filters",
    "knob",
    "load",
    "maximize",
    "objectives",
    "origin",
    "parameterizations",
    "projections",
    "receptive_field",
    "recipes",
    "regularizers",
    "spectra",
    "steppers",
    "sweeps",
    *_PANELS,
]


def __getattr__(name: str) -> Any:
    if name in _PANELS:
        return getattr(importlib.import_module(".panels", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PANELS])

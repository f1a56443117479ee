"""A microscope for convolutional networks, live in the notebook.

``import cnnviz_widgets as cnn`` gives the engine at once; the panels, which need the widget libraries, and the figures, which
need Matplotlib, come with their first use.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from .engine import (
    attribution,
    changes,
    comparison,
    feature_maps,
    filters,
    objectives,
    pairing,
    parameterizations,
    projections,
    recipes,
    regularizers,
    similarity,
    spectra,
    steppers,
    sweeps,
)
from .engine.ascent import Ascent, Frame, ascend
from .engine.atlas import Atlas
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
from .engine.unit_facts import unit_facts
from .engine.values import Values

__version__ = version("cnnviz_widgets")

_PANELS = (
    "ActivationPanel",
    "AtlasPanel",
    "ComparePanel",
    "EmbeddingPanel",
    "FilterPanel",
    "MaximizationPanel",
    "NeighborsPanel",
    "Panel",
    "Scenes",
    "Selection",
    "TopImagesPanel",
    "UnitCard",
)

__all__ = [
    "ActivationIndex",
    "Ascent",
    "Atlas",
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
    "attribution",
    "changes",
    "comparison",
    "feature_maps",
    "figures",
    "filters",
    "knob",
    "load",
    "maximize",
    "objectives",
    "origin",
    "pairing",
    "parameterizations",
    "projections",
    "receptive_field",
    "recipes",
    "regularizers",
    "similarity",
    "spectra",
    "steppers",
    "sweeps",
    "unit_facts",
    "Explorer",
    *_PANELS,
]


def __getattr__(name: str) -> Any:
    if name in _PANELS:
        return getattr(importlib.import_module(".panels", __name__), name)
    if name == "figures":
        return importlib.import_module(".figures", __name__)
    if name == "Explorer":
        return importlib.import_module(".explorer", __name__).Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PANELS, "Explorer", "figures"})

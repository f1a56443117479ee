"""A microscope for convolutional networks, live in the notebook.

``import cnnviz_widgets as cnn`` gives the engine at once; the panels, which need the widget libraries, come with their first
use.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from .engine import feature_maps, filters, objectives, parameterizations, recipes, regularizers, steppers
from .engine.ascent import Frame, ascend, maximize
from .engine.images import ImageError, ImageSet
from .engine.knobs import knob
from .engine.network import InputSpec, Layer, Network, Unit
from .engine.recipes import Recipe
from .engine.result import Result
from .engine.sources import WeightsError, load

__version__ = version("cnnviz_widgets")

_PANELS = ("ActivationPanel", "FilterPanel", "MaximizationPanel", "Panel", "Selection")

__all__ = [
    "Frame",
    "ImageError",
    "ImageSet",
    "InputSpec",
    "Layer",
    "Network",
    "Recipe",
    "Result",
    "Unit",
    "WeightsError",
    "ascend",
    "feature_maps",
    "filters",
    "knob",
    "load",
    "maximize",
    "objectives",
    "parameterizations",
    "recipes",
    "regularizers",
    "steppers",
    *_PANELS,
]


def __getattr__(name: str) -> Any:
    if name in _PANELS:
        return getattr(importlib.import_module(".panels", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PANELS])

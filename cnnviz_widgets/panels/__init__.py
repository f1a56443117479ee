"""What the user sees: the engine's answers in views, with ipywidgets controls around them."""

from ._base import Panel
from ._scenes import Scenes
from ._selection import Selection
from .activations import ActivationPanel
from .atlas import AtlasPanel
from .compare import ComparePanel
from .embedding import EmbeddingPanel
from .filters import FilterPanel
from .maximization import MaximizationPanel
from .neighbors import NeighborsPanel
from .top_images import TopImagesPanel
from .unit_card import UnitCard

__all__ = [
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
]

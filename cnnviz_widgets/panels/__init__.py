"""What the user sees: the engine's answers in views, with ipywidgets controls around them."""

from ._base import Panel
from ._selection import Selection
from .activations import ActivationPanel
from .embedding import EmbeddingPanel
from .filters import FilterPanel
from .maximization import MaximizationPanel
from .neighbors import NeighborsPanel
from .top_images import TopImagesPanel

__all__ = [
    "ActivationPanel",
    "EmbeddingPanel",
    "FilterPanel",
    "MaximizationPanel",
    "NeighborsPanel",
    "Panel",
    "Selection",
    "TopImagesPanel",
]

"""``features (n, C) -> Map``, positions (n, 2): images that a network finds alike lie side by side.

A projection is a frozen dataclass with knobs, as a regularizer is: `PCA`, `TSNE`, `UMAP`, or one of your own. ``fitting`` yields
the map while it unfolds, ``fit`` only the last one. A map places new images, tells how true it is to the features, and is kept on
disk. `grid` moves its points into the cells of a full grid, so that no picture hides another; `poster` draws either for a wall.
"""

from .base import Projection
from .map import Map
from .poster import poster, printing
from .quality import Quality
from .snapping import Grid, grid

# the order of the imports is the order of the registry, and so of the panel
from .tsne import TSNE  # isort: skip
from .umap import UMAP  # isort: skip
from .pca import PCA  # isort: skip

__all__ = ["PCA", "TSNE", "UMAP", "Grid", "Map", "Projection", "Quality", "grid", "poster", "printing"]

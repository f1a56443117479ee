"""``function(...) -> Figure``: each classic picture of a network as a Matplotlib figure, for papers and slides.

=================  ==========================================================================================
`filters`          kernels as images: Krizhevsky, Sutskever and Hinton 2012, figure 3
`activations`      the feature maps of a layer for an image
`top_images`       the images of a collection that excite a unit most
`unit_histogram`   how a unit's activations are spread over a collection
`neighbors`        test images, each beside the images nearest to it: the same paper, figure 4
`embedding`        thousands of images at their places on a map, or on a grid
`maximization`     a synthesized image beside its curve
`board`            classes down, recipes across: four images for each class of Yosinski et al. 2015
`all_layers`       synthesized images of units of all layers, deep ones on top
`attribution`      which places of an image speak for a class
`side_by_side`     two networks' maps, kernels, classes or synthesized images
`changes`          how far each layer moved from one checkpoint to another
`layer_similarity` which layers of two networks see images alike: Kornblith et al. 2019, figure 3
`unit_card`        all that is known of a unit on one sheet
=================  ==========================================================================================

All take ``width=`` in inches, ``text=`` in points, ``dark=True`` for slides, and ``title=""`` where a caption below the figure
says what it is. Each gives a `Figure`, whose ``savefig("name.pdf")`` writes PNG, PDF or SVG. Text in a PDF can be selected;
journals that refuse its Type 3 letters take what ``matplotlib.rcParams["pdf.fonttype"] = 42`` makes. Pyplot is not used, so any
thread may make them, and they are gone with their last reference.
"""

from .answers import neighbors, top_images, unit_histogram
from .atlases import all_layers
from .attributions import attribution
from .comparisons import changes, layer_similarity, side_by_side
from .layers import activations, filters
from .maps import embedding
from .sheet import Figure
from .synthesis import board, maximization
from .unit_cards import unit_card

__all__ = [
    "Figure",
    "activations",
    "all_layers",
    "attribution",
    "board",
    "changes",
    "embedding",
    "filters",
    "layer_similarity",
    "maximization",
    "neighbors",
    "side_by_side",
    "top_images",
    "unit_card",
    "unit_histogram",
]

"""What is drawn in the browser: anywidget pairs of a Python class and plain ES modules, without torch.

::

    ImageGrid    (count, height, width[, 3]) bytes -> tiles on a canvas, one of them selected
    FramePlayer  the frames of a run, acknowledged; every frame seen stays reachable; the score curve
    LayerTree    dotted layer names -> a searchable tree, one of them selected
    BarChart     labels and values -> horizontal bars, one of them selected
    PictureTable pictures with captions, overlays and marks -> rows of them, one selected
    Histogram    edges and counts -> bars over an axis with marks, one bin selected
    ImageMap     positions, labels and thumbnails by the thousand -> a map to pan and zoom, some of them chosen
    Poster       bands of pictures, a layer each -> a sheet to zoom from the whole network down to one unit
    ImageUpload  an image file chosen, dropped or pasted -> its bytes
    Presenter    names of scenes -> a bar with buttons, keys for a clicker, large type
    Download     a name and bytes -> a file that the browser saves
    Note         a text that comes and goes: information, an error, code to copy
"""

from cnnviz_widgets.views._poster_pictures import PosterTile
from cnnviz_widgets.views.atlas import ThumbnailAtlas
from cnnviz_widgets.views.bar_chart import BarChart
from cnnviz_widgets.views.download import Download
from cnnviz_widgets.views.frame_player import FramePlayer
from cnnviz_widgets.views.histogram import Histogram, Mark
from cnnviz_widgets.views.image_grid import ImageGrid
from cnnviz_widgets.views.image_map import ImageMap
from cnnviz_widgets.views.image_upload import ImageUpload
from cnnviz_widgets.views.layer_tree import LayerTree
from cnnviz_widgets.views.note import Note
from cnnviz_widgets.views.picture_table import Cell, PictureTable
from cnnviz_widgets.views.poster import Poster, PosterBand
from cnnviz_widgets.views.presenter import Presenter

__all__ = [
    "ImageGrid",
    "FramePlayer",
    "LayerTree",
    "BarChart",
    "PictureTable",
    "Cell",
    "Histogram",
    "Mark",
    "ImageMap",
    "ThumbnailAtlas",
    "Poster",
    "PosterBand",
    "PosterTile",
    "ImageUpload",
    "Presenter",
    "Download",
    "Note",
]

"""The figures hold what they say: pixels where they belong, text that is text, without pyplot."""

from __future__ import annotations

import doctest
import gc
import importlib
import io
import pickle
import pkgutil
import re
import subprocess
import sys
import threading
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.image import AxesImage
from PIL import Image

import cnnviz_widgets as cnn
from cnnviz_widgets import figures
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.figures.lettering import length_of, shortened, wrapped
from cnnviz_widgets.figures.sheet import PRINT
from tests.panels.indexed import greys, index_of, local, noise
from tests.panels.networks import CLASSES, convolutional, dense, grey, untrained_resnet

MODULES = [found.name for found in pkgutil.iter_modules(figures.__path__, f"{figures.__name__}.")]


def rendered(figure: Any, dpi: float = 100) -> np.ndarray:
    """uint8 (H, W, 3)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def texts(figure: Any) -> list[str]:
    """All that is written on it, in the order it was put there."""
    written = [text.get_text() for axes in figure.axes for text in axes.texts]
    return written + [label.get_text() for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]


def said(figure: Any) -> str:
    return " ".join(texts(figure))


def pictures(figure: Any) -> list[AxesImage]:
    return [image for axes in figure.axes for image in axes.images]


def shown(figure: Any, image: AxesImage, dpi: float = 200) -> np.ndarray:
    """The pixels of a rendered figure where one of its pictures lies."""
    pixels = rendered(figure, dpi)
    left, right, bottom, top = (round(edge * dpi) for edge in image.get_extent())
    return pixels[top:bottom, left:right]


def middles(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 3): what is seen in the middle of each cell."""
    y = ((np.arange(rows) + 0.5) * pixels.shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * pixels.shape[1] / columns).astype(int)
    return pixels[y][:, x]


def written_in(pdf: bytes) -> str:
    """The texts of a PDF as its letters' codes are, without the lines between them."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        for part in re.findall(rb"\[(.*?)\] TJ|\((.*?)\) Tj", content, re.DOTALL):
            found.append(b"".join(re.findall(rb"\(((?:[^()\\]|\\.)*)\)", part[0])) or part[1])
    return b" ".join(found).decode("latin-1").replace("\\(", "(").replace("\\)", ")")


@pytest.fixture(scope="module")
def net() -> cnn.Network:
    return local()


@pytest.fixture(scope="module")
def index(net: cnn.Network) -> cnn.ActivationIndex:
    return index_of(net, greys(size=(16, 16)))


@pytest.fixture(scope="module")
def results(net: cnn.Network) -> dict[str, cnn.Result]:
    goals = [net.unit("dark"), net.unit("striped")]
    return {name: cnn.maximize(net, goals, name, steps=4) for name in ("none", "l2")}


@pytest.fixture(scope="module")
def atlas(net: cnn.Network) -> Atlas:
    return Atlas.build(net, units=3, recipes=["none", "l2"], steps=3)


@pytest.fixture(scope="module")
def makers(
    net: cnn.Network, index: cnn.ActivationIndex, results: dict[str, cnn.Result], atlas: Atlas
) -> dict[str, Callable[..., Any]]:
    """Each function with something to show."""
    image = noise(3, (16, 16))
    return {
        "filters": lambda **look: figures.filters(net, "0", **look),
        "activations": lambda **look: figures.activations(net, image, "3", **look),
        "top_images": lambda **look: figures.top_images(index, net["0"][1], **look),
        "unit_card": lambda **look: figures.unit_card(net, net["3"][1], index, atlas=atlas, **look),
        "unit_histogram": lambda **look: figures.unit_histogram(index, net["0"][1], **look),
        "neighbors": lambda **look: figures.neighbors(index, ["1", "5"], k=3, **look),
        "embedding": lambda **look: figures.embedding(np.random.default_rng(0).random((20, 2)), index, **look),
        "maximization": lambda **look: figures.maximization(results["none"], **look),
        "board": lambda **look: figures.board(results, net=net, **look),
        "all_layers": lambda **look: figures.all_layers(atlas, **look),
        "attribution": lambda **look: figures.attribution(cnn.attribution.saliency(net, image, net.output[1]), **look),
        "side_by_side": lambda **look: figures.side_by_side(cnn.comparison.classes(net, net, image), **look),
        "changes": lambda **look: figures.changes(cnn.changes.weight_changes(net, net), **look),
        "layer_similarity": lambda **look: figures.layer_similarity(
            cnn.similarity.LayerSimilarity.build(net, net, index.images), **look
        ),
    }


NAMES = [name for name in figures.__all__ if name != "Figure"]


def test_every_function_is_tried_here(makers: dict[str, Callable[..., Any]]) -> None:
    assert sorted(makers) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestEveryFigure:
    def test_is_light_or_dark_and_as_wide_as_asked(self, name: str, makers: dict[str, Callable[..., Any]]) -> None:
        light, dark = makers[name](width=5), makers[name](width=5, dark=True)
        assert (rendered(light)[-1] == 255).all()
        assert (rendered(dark)[-1] < 40).all()
        assert light.get_figwidth() <= 5
        assert not set(map(str, (text.get_color() for axes in dark.axes for text in axes.texts))) & {"#161616", "black"}

    def test_nothing_is_written_beyond_its_edges(self, name: str, makers: dict[str, Callable[..., Any]]) -> None:
        figure = makers[name](width=4.5, text=9)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        inside = figure.get_tightbbox(canvas.get_renderer())
        assert min(inside.x0, inside.y0) > -0.01
        assert inside.x1 < figure.get_figwidth() + 0.01
        assert inside.y1 < figure.get_figheight() + 0.01
        width, height = canvas.get_width_height()
        for text in [text for axes in figure.axes for text in axes.texts]:
            box = text.get_window_extent()
            assert box.x0 > -1, text.get_text()
            assert box.x1 < width + 1, text.get_text()
            assert -1 < box.y0 < box.y1 < height + 1, text.get_text()

    def test_is_saved_as_png_and_pdf(self, name: str, makers: dict[str, Callable[..., Any]], tmp_path: Path) -> None:
        figure = makers[name]()
        for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
            path = tmp_path / f"{name}.{kind}"
            figure.savefig(path)
            assert path.read_bytes().startswith(start)
        assert Image.open(tmp_path / f"{name}.png").width == pytest.approx(PRINT * figure.get_figwidth(), abs=1)

    def test_shows_itself_in_a_notebook_and_can_be_copied(
        self, name: str, makers: dict[str, Callable[..., Any]]
    ) -> None:
        figure = makers[name]()
        assert isinstance(figure, MatplotlibFigure)
        seen = Image.open(io.BytesIO(figure._repr_png_()))
        assert seen.width == pytest.approx(144 * figure.get_figwidth(), abs=1)
        copied = pickle.loads(pickle.dumps(figure))
        assert (rendered(copied) == rendered(figure)).all()

    def test_without_a_title_no_text_is_left_of_it(self, name: str, makers: dict[str, Callable[..., Any]]) -> None:
        titled, bare = makers[name](title="Mine & yours"), makers[name](title="")
        assert "Mine & yours" in texts(titled)
        assert bare.get_figheight() < titled.get_figheight()

    @pytest.mark.long
    def test_is_made_in_any_thread_and_gone_with_its_last_reference(
        self, name: str, makers: dict[str, Callable[..., Any]]
    ) -> None:
        made: list[Any] = []

        def work() -> None:
            figure = makers[name]()
            made.append((rendered(figure), weakref.ref(figure)))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        assert len(made) == 2
        assert (made[0][0] == made[1][0]).all()
        assert [reference() for _, reference in made] == [None, None]

    def test_a_look_that_is_none_is_refused(self, name: str, makers: dict[str, Callable[..., Any]]) -> None:
        with pytest.raises(ValueError, match="inches"):
            makers[name](width=0)
        with pytest.raises(ValueError, match="points"):
            makers[name](text=float("nan"))


def test_filters_are_where_the_tiles_are() -> None:
    net = convolutional()
    figure = figures.filters(net, "0", columns=4)
    (image,) = pictures(figure)
    expected = cnn.filters.tiles(net.filters("0")).pixels.reshape(2, 4, 3, 3, 3)
    # the middle of each tile is its middle weight, also where pixels are enlarged by no whole factor
    assert np.abs(middles(shown(figure, image), 2, 4).astype(int) - expected[:, :, 1, 1]).max() <= 1
    assert texts(figure)[0] == "0: 8 filters of 3 × 3 × 3"
    assert "mid grey is zero" in said(figure)


def test_weights_stay_squares_in_a_pdf() -> None:
    net = convolutional()
    buffer = io.BytesIO()
    figure = figures.filters(net, "0")
    figure.savefig(buffer, format="pdf")
    (image,) = pictures(figure)
    size = rb"/Height %d .*/Width %d|/Width %d .*/Height %d" % (*image.get_size(), *image.get_size()[::-1])
    assert re.search(size.replace(b" ", b"[^>]*?"), buffer.getvalue(), re.DOTALL)


def test_the_filters_of_all_kinds_of_convolutions() -> None:
    net = convolutional()
    matrix = figures.filters(net, "3", dark=True)
    (weights, scale) = pictures(matrix)
    assert weights.get_array().shape[:2] == (12, 8)
    assert scale.get_array().shape[:2] == (1, 256)
    assert {"filters", "input channels"} <= set(texts(matrix))
    assert "depthwise" in said(figures.filters(net, "2"))
    grouped = figures.filters(net, "4", scale="layer")
    largest = float(net.filters("4").abs().max())
    assert f"{largest:.3g}" in texts(grouped)
    assert f"−{largest:.3g}" in texts(grouped)
    assert "of 48 tiles" in said(figures.filters(net, "4", limit=8))
    assert figures.filters(untrained_resnet(), "layer4.1.conv2").get_figwidth() <= 6.5
    assert len(pictures(figures.filters(grey()))) == 1


def test_what_has_no_filters_says_so() -> None:
    with pytest.raises(ValueError, match="no 2D convolution"):
        figures.filters(dense())
    with pytest.raises(TypeError, match="no 2D kernel"):
        figures.filters(grey(), "1")
    with pytest.raises(UnknownNameError, match="no layer 'conv'"):
        figures.filters(grey(), "conv")
    with pytest.raises(TypeError, match="unexpected keyword"):
        figures.filters(grey(), colour="red")  # type: ignore[call-arg]


def test_feature_maps_are_where_the_tiles_are_and_one_is_framed() -> None:
    net, image = untrained_resnet(), np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    figure = figures.activations(net, image, "layer4", 300)
    photo, laid, maps = pictures(figure)
    assert (np.asarray(photo.get_array()) == image).all()
    expected = cnn.feature_maps.overlay(image, net.activations(image, "layer4")["layer4"][0, 300])
    assert (np.asarray(laid.get_array()) == np.asarray(expected)).all()
    tiles = cnn.feature_maps.tiles(net.activations(image, "layer4")["layer4"][0])
    (frame,) = figure.axes[0].patches
    left, right, bottom, top = maps.get_extent()
    inside = [frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2]
    pixels = np.asarray(maps.get_array())
    inch = pixels.shape[1] / (right - left)
    at = round((inside[1] - top) * inch), round((inside[0] - left) * inch)
    half = round(frame.get_width() * inch / 4)
    corners = [pixels[at[0] + y, at[1] + x] for y in (-half, half) for x in (-half, half)]
    assert np.array_equal(corners, tiles.colored()[300].reshape(4, 3))
    assert left < inside[0] < right
    assert top < inside[1] < bottom
    assert any(text.startswith("channel 300, mean") for text in texts(figure))


def test_cells_without_a_tile_are_paper() -> None:
    for dark, color in ((False, [255, 255, 255]), (True, [0x15, 0x17, 0x1B])):
        image = pictures(figures.activations(grey(), noise(), "2", columns=4, dark=dark))[-1]
        assert np.asarray(image.get_array())[-1, -1].tolist() == color
        assert np.asarray(image.get_array())[-1, 0].tolist() != color


def test_activations_of_chosen_channels_keep_the_one_in_focus() -> None:
    figure = figures.activations(grey(), noise(), "2", 5, channels=[0, 1])
    assert "3 of them" in said(figure)
    assert "1 of them" in said(figures.activations(grey(), noise(), "2", 5, channels=[-1]))
    assert "All channels on one scale" in said(figures.activations(grey(), noise(), "2", scale="layer"))


def test_a_dense_layer_is_drawn_as_bars() -> None:
    figure = figures.activations(grey(), noise(), grey().output)
    values = cnn.Network.activations(grey(), noise(), "7")["7"][0].tolist()
    assert texts(figure)[0] == "7: the 5 strongest of 5 units"
    assert set(CLASSES) <= set(texts(figure))
    bars = figure.axes[0].patches
    by_strength = sorted(values, reverse=True)
    signed = [bar.get_width() for bar in bars]
    assert np.allclose(np.array(signed) / max(signed), np.abs(by_strength) / max(map(abs, by_strength)), atol=1e-6)
    assert "unit 0" in said(figures.activations(dense(), noise(), "1"))


def test_broken_activations_are_drawn() -> None:
    net = grey()
    with torch.no_grad():
        net.module[0].bias[1] = float("nan")  # type: ignore[index, union-attr, operator]
    rendered(figures.activations(net, noise(), "0"))
    rendered(figures.activations(net, noise(), "7"))


def test_activations_of_what_is_no_single_image_are_refused() -> None:
    with pytest.raises(ValueError, match="2 images were given"):
        figures.activations(grey(), [noise(), noise(1)])
    with pytest.raises(cnn.ImageError):
        figures.activations(grey(), "nowhere.png")
    with pytest.raises(IndexError, match="no channel 9"):
        figures.activations(grey(), noise(), "0", 9)


def test_top_images_are_the_index_s_with_their_scores(net: cnn.Network, index: cnn.ActivationIndex) -> None:
    unit = net["0"][1]
    figure, matches = figures.top_images(index, unit, columns=2), index.top_images(unit)
    for image, match in zip(pictures(figure), matches, strict=True):
        whole = np.asarray(index.images[match.id])
        pixels = np.asarray(image.get_array())
        factor = pixels.shape[0] // 16
        assert (pixels == whole.repeat(factor, 0).repeat(factor, 1)).all()
    written = texts(figure)
    assert [f"{match.score:.3g}" for match in matches] == [text for text in written if text.replace(".", "").isdigit()]
    assert written.count("dark") + written.count("light") + written.count("striped") == 4
    frames = [(patch.get_width(), patch.get_height()) for patch in figure.axes[0].patches]
    assert len(frames) == 4
    assert "Framed: what the unit sees" in said(figure).replace("\n", " ")


def test_crops_are_what_the_unit_sees(net: cnn.Network, index: cnn.ActivationIndex) -> None:
    unit = net["0"][2]
    figure = figures.top_images(index, unit, 3, crops=True, dark=True)
    for image, one in zip(pictures(figure), index.examine(unit, 3), strict=True):
        pixels = np.asarray(image.get_array())
        assert (pixels == np.asarray(one.crop(max(pixels.shape)).picture)).all()
    assert not figure.axes[0].patches


def test_images_of_an_index_that_are_gone_are_left_out(tmp_path: Path) -> None:
    net = local()
    for number in range(8):
        Image.fromarray(noise(number, (16, 16))).save(tmp_path / f"{number}.png")
    index = index_of(net, cnn.ImageSet.from_folder(tmp_path))
    unit = net["0"][1]
    best = index.top_images(unit)
    (tmp_path / best[0].id).unlink()
    figure = figures.top_images(index, unit)
    assert len(pictures(figure)) == 3
    assert "1 that changed since are left out" in said(figure)
    rendered(figures.neighbors(index, [match.id for match in best[1:]], k=5))
    for match in best[1:]:
        (tmp_path / match.id).unlink()
    with pytest.raises(ValueError, match="no image of the collection to show"):
        figures.top_images(index, unit)


def test_what_the_index_lacks_it_says(net: cnn.Network, index: cnn.ActivationIndex) -> None:
    with pytest.raises(ValueError, match="k=99"):
        figures.top_images(index, net["0"][0], 99)
    with pytest.raises(ValueError, match="is a neuron"):
        figures.unit_histogram(index, net["0"][0, "center"])
    with pytest.raises(ValueError, match="were not kept"):
        figures.neighbors(index, ["1"], "0")


def test_neighbors_stand_right_of_their_query(index: cnn.ActivationIndex) -> None:
    figure = figures.neighbors(index, ["4", "9"], k=3)
    found = index.neighbors(["4", "9"], k=3, without_itself=True)
    wanted = [id for query, ids in zip(("4", "9"), found.ids, strict=True) for id in (query, *ids)]
    images = pictures(figure)
    assert len(images) == 8
    for image, id in zip(images, wanted, strict=True):
        assert (np.asarray(image.get_array()) == np.asarray(index.images[id])).all()
    starts = np.array([image.get_extent()[0] for image in images]).reshape(2, 4)
    assert (starts[0] == starts[1]).all()
    assert (np.diff(starts[0]) > 0).all()
    hits = sum(
        label == other for label, line in zip(found.labels, found.neighbor_labels, strict=True) for other in line
    )
    assert len(figure.axes[0].patches) == hits
    assert {f"{far:.3g}" for line in found.distances for far in line} <= set(texts(figure))


def test_queries_of_one_s_own_are_shown(index: cnn.ActivationIndex) -> None:
    own = 255 - noise(77, (16, 16))
    figure = figures.neighbors(index, [own, "3"], k=2, labels=["mine", "light"])
    first, _, _, second, *_ = pictures(figure)
    assert (np.asarray(first.get_array()) == own).all()
    assert (np.asarray(second.get_array()) == np.asarray(index.images["3"])).all()
    assert "mine" in texts(figure)
    one = figures.neighbors(index, own, k=1)
    assert (np.asarray(pictures(one)[0].get_array()) == own).all()


def test_the_histogram_counts_every_image(net: cnn.Network, index: cnn.ActivationIndex) -> None:
    unit = net["0"][1]
    figure = figures.unit_histogram(index, unit)
    plot = figure.axes[1]
    assert sum(bar.get_height() for bar in plot.patches) == 20
    assert plot.patches[0].get_x() == pytest.approx(index.statistics(unit).edges[0])
    assert "20 images" in said(figure)
    assert {"activation", "images"} <= set(texts(figure))


def test_a_histogram_on_axes_of_one_s_own(net: cnn.Network, index: cnn.ActivationIndex) -> None:
    own = MatplotlibFigure()
    left: Axes = own.add_subplot(1, 2, 1)
    assert figures.unit_histogram(index, net["0"][1], ax=left, title="$unit$") is own
    assert sum(bar.get_height() for bar in left.patches) == 20
    assert left.get_title() == "$unit$"
    rendered(own)


def test_the_images_of_a_map_lie_at_their_points() -> None:
    colors = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]], np.uint8)
    tiles = [np.broadcast_to(color, (8, 8, 3)).copy() for color in colors]
    figure = figures.embedding([[0, 0], [1, 0], [0, 1], [1, 1]], tiles)
    (image,) = pictures(figure)
    pixels = np.asarray(image.get_array())
    corners = np.array([pixels[10, 10], pixels[10, -11], pixels[-11, 10], pixels[-11, -11]])
    assert np.abs(corners.astype(int) - colors).max() <= 1


def test_a_map_of_an_index_has_frames_and_a_legend(index: cnn.ActivationIndex) -> None:
    map_ = cnn.projections.PCA().fit(index.features())
    figure = figures.embedding(map_, index)
    assert {"dark (7)", "light (7)", "striped (6)"} <= set(texts(figure))
    assert "20 images, PCA" in texts(figure)
    assert len(figure.axes[0].patches) == 3
    grid = cnn.projections.grid(map_.points)
    plain = figures.embedding(grid, index, labels=[], seams=grid.seams(index.features()))
    assert not plain.axes[0].patches
    assert "20 images on a grid" in texts(plain)
    of_set = figures.embedding(map_, index.images)
    assert (rendered(of_set) == rendered(figure)).all()


def test_many_labels_are_counted_together() -> None:
    labels = [f"kind {number % 30}" for number in range(90)]
    figure = figures.embedding(np.random.default_rng(0).random((90, 2)), lambda row: noise(row), labels=labels)
    assert "and 18 of 6 other labels" in said(figure)
    assert (
        not figures.embedding(
            np.random.default_rng(0).random((90, 2)), lambda row: noise(row), labels=labels, legend=False
        )
        .axes[0]
        .patches
    )


def test_thousands_of_images_are_one_picture() -> None:
    tile = Image.new("RGB", (16, 16), "teal")
    figure = figures.embedding(np.random.default_rng(0).random((6400, 2)), lambda row: tile)
    assert len(pictures(figure)) == 1


def test_a_map_of_other_images_is_refused(index: cnn.ActivationIndex) -> None:
    with pytest.raises(ValueError, match="20 pictures for 3 points"):
        figures.embedding(np.zeros((3, 2)), index)
    with pytest.raises(ValueError, match="1 labels for 3 points"):
        figures.embedding(np.zeros((3, 2)), [noise()] * 3, labels=["a"])
    with pytest.raises(ValueError, match="expected a Map, a Grid or"):
        figures.embedding(np.zeros((3, 4)), [noise()] * 3)


def test_a_board_has_classes_down_and_recipes_across(net: cnn.Network, results: dict[str, cnn.Result]) -> None:
    figure = figures.board(results, net=net)
    images = pictures(figure)
    assert len(images) == 4
    expected = [results[name].picture()[row] for row in (0, 1) for name in ("none", "l2")]
    for image, picture in zip(images, expected, strict=True):
        assert (np.asarray(image.get_array()) == np.asarray(picture)).all()
    extents = np.array([image.get_extent() for image in images]).reshape(2, 2, 4)
    assert (extents[0, :, 0] == extents[1, :, 0]).all()
    assert extents[0, 0, 0] < extents[0, 1, 0]
    assert extents[0, 0, 3] < extents[1, 0, 3]
    assert {"dark", "striped", "none", "l2"} <= set(texts(figure))
    chances = [net.classify(result.image, k=3) for result in results.values()]
    share = dict(chances[0][0])["dark"]
    assert any(text.startswith(f"{100 * share:.1f} %, score") for text in texts(figure))


def test_boards_of_lists_single_results_and_copies(net: cnn.Network, results: dict[str, cnn.Result]) -> None:
    assert {"none", "l2"} <= set(texts(figures.board(list(results.values()))))
    both = cnn.maximize(net, net.unit("dark"), [cnn.recipes.get("none"), cnn.recipes.get("l2")], steps=3, copies=2)
    figure = figures.board(both)
    assert len(pictures(figure)) == 2
    best = max(range(2), key=lambda number: float(both.score[number]))
    assert (np.asarray(pictures(figure)[0].get_array()) == np.asarray(both.picture()[best])).all()
    other = cnn.maximize(net, net.unit("light"), "none", steps=3)
    holes = figures.board({"a": results["none"], "b": other})
    assert len(pictures(holes)) == 3
    assert len(holes.axes[0].patches) == 3


def test_what_is_no_board_is_refused(results: dict[str, cnn.Result]) -> None:
    with pytest.raises(TypeError, match="nothing was given"):
        figures.board({})
    with pytest.raises(TypeError, match="int was given"):
        figures.board([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="were not made on grey"):
        figures.board(results, net=grey())
    with pytest.raises(ValueError, match="stretch='much'"):
        figures.board(results, stretch="much")


def test_a_maximization_shows_image_curve_and_recipe(results: dict[str, cnn.Result]) -> None:
    result = results["l2"]
    figure = figures.maximization(result, stretch="symmetric")
    for image, picture in zip(pictures(figure), result.picture("symmetric"), strict=True):
        assert (np.asarray(image.get_array()) == np.asarray(picture)).all()
    for place, plot in enumerate(figure.axes[1:]):
        curve, mark = plot.lines
        assert np.allclose(curve.get_ydata(), result.curve[:, place])
        assert float(mark.get_ydata()[0]) == pytest.approx(float(result.score[place]))
    assert {"dark", "striped", "stretched symmetrically, contrast"} <= {text[:33] for text in texts(figure)}
    assert "recipe l2: Pixels" in said(figure)


def test_all_layers_has_deep_layers_on_top_and_sizes_them(net: cnn.Network, atlas: Atlas) -> None:
    figure = figures.all_layers(atlas, recipes=["none"])
    names = [text for text in texts(figure) if text in net.layers]
    assert names == [layer.name for layer in reversed(atlas.layers)]
    images = pictures(figure)
    wanted = [atlas.image(unit, "none") for layer in reversed(atlas.layers) for unit in atlas.units(layer)]
    for image, tile in zip(images, wanted, strict=True):
        assert tile is not None
        assert (np.asarray(image.get_array()) == np.asarray(tile.picture)).all()
    sides = [image.get_extent()[1] - image.get_extent()[0] for image in images]
    assert sides[0] > sides[3] > sides[6] > 0.2
    assert {"dark", "light", "striped"} <= set(texts(figure))
    assert {"sees 16 × 16", "sees 3 × 3", "3 of 4 units"} <= set(texts(figure))


def test_several_recipes_form_a_block(atlas: Atlas) -> None:
    figure = figures.all_layers(atlas, units=2, layers=[atlas.layers[-1]])
    assert len(pictures(figure)) == 4
    first, second, third, _ = (image.get_extent() for image in pictures(figure))
    assert 0 < second[0] - first[1] < third[0] - second[1]
    assert "In each block, row by row: none, l2." in said(figure)


def test_an_atlas_that_is_not_complete_is_shown(net: cnn.Network) -> None:
    partial = next(iter(Atlas.building(net, units=2, steps=2, coarse=0))).result
    figure = figures.all_layers(partial)
    assert not pictures(figure)
    assert len(figure.axes[0].patches) == partial.total
    assert f"0 of {partial.total} images are finished" in said(figure)


def test_what_an_atlas_lacks_it_says(atlas: Atlas) -> None:
    for wrong, told in (
        ({"layers": ["9"]}, "no layer '9'"),
        ({"layers": []}, "nothing to show"),
        ({"recipes": "lucid"}, "by the recipe 'lucid'"),
        ({"units": 0}, "units=0"),
        ({"tile": 50}, "tile=50"),
    ):
        with pytest.raises(ValueError, match=told):
            figures.all_layers(atlas, **wrong)  # type: ignore[arg-type]


def test_attributions_stand_beside_the_image(net: cnn.Network) -> None:
    image = noise(5, (16, 16))
    found = [cnn.attribution.saliency(net, image, net.output[1]), cnn.attribution.grad_cam(net, image, net.output[1])]
    figure = figures.attribution(found)
    photo, *laid = pictures(figure)
    assert (np.asarray(photo.get_array()) == image).all()
    for picture, one in zip(laid, found, strict=True):
        assert (np.asarray(picture.get_array()) == np.asarray(one.overlay())).all()
    assert "saliency" in texts(figure)
    assert "Grad-CAM of 3" in said(figure) or "Grad-CAM of 4" in said(figure)
    with pytest.raises(TypeError, match="no attribution"):
        figures.attribution([])


HOSTILE = ("$x_1^2$", "100 % of \\alpha & <b>bold</b>", "two\nlines \udc80")


@pytest.mark.long
def test_text_is_text_also_with_dollars() -> None:
    net = local()
    named = cnn.Network(net.module, net.input, HOSTILE, name="$n$")
    index = index_of(named, greys(size=(16, 16), labelled=False))
    images = cnn.ImageSet.from_arrays([noise(n, (16, 16)) for n in range(20)], [HOSTILE[n % 3] for n in range(20)])
    labelled = index_of(named, images)
    atlas = Atlas.build(named, [named.output], units=3, steps=2)
    made = [
        figures.activations(named, noise(1, (16, 16)), named.output),
        figures.top_images(labelled, named.output[0]),
        figures.neighbors(labelled, ["0", "1", "2"]),
        figures.embedding(np.random.default_rng(0).random((20, 2)), labelled),
        figures.board(cnn.maximize(named, list(named.output), "none", steps=2), net=named),
        figures.maximization(cnn.maximize(named, list(named.output), "none", steps=2)),
        figures.all_layers(atlas, title="$title$"),
        figures.top_images(index, named.output[0], title="$\\frac{$"),
    ]
    for figure in made:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf")
        assert "$" in said(figure)
        assert all(not text.get_parse_math() for axes in figure.axes for text in axes.texts)
    assert "$x_1^2$" in said(made[0])
    assert "two lines ?" in said(made[4]).replace("\n", " ")


def test_the_text_of_a_pdf_can_be_selected(index: cnn.ActivationIndex) -> None:
    figure = figures.neighbors(index, ["1"], k=2, title="Neighbours (of one)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf")
    assert "Neighbours (of one)" in written_in(buffer.getvalue())
    assert "striped" in written_in(buffer.getvalue()) or "light" in written_in(buffer.getvalue())


def test_photographs_are_fine_in_a_pdf() -> None:
    net = cnn.Network(torch.nn.Conv2d(3, 4, 3), cnn.InputSpec(size=(3, 400, 400)))
    figure = figures.activations(net, np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    widths = []
    for dpi in (PRINT, 100):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", dpi=dpi)
        widths.append(max(int(width) for width in re.findall(rb"/Width (\d+)", buffer.getvalue())))
    assert widths[0] == pytest.approx(3 * widths[1], rel=0.02)


def test_a_style_of_one_s_own_does_no_harm(index: cnn.ActivationIndex) -> None:
    with matplotlib.rc_context({"axes.autolimit_mode": "round_numbers", "axes.grid": True, "text.parse_math": True}):
        figure = figures.neighbors(index, ["1"], k=2)
        other = figures.neighbors(index, ["1"], k=2)
    assert (rendered(figure) == rendered(other)).all()
    assert figure.axes[0].get_xlim() == (0, figure.get_figwidth())


def test_lines_are_broken_between_words_and_shortened() -> None:
    label = "German short-haired pointer of the old kind"
    lines = wrapped(label, 1.0, 8, lines=2)
    assert len(lines) == 2
    assert all(length_of(line, 8) <= 1.0 for line in lines)
    assert lines[-1].endswith("…")
    assert wrapped(label, 9.0, 8, lines=2) == [label]
    assert wrapped("", 1.0, 8) == []
    assert shortened("anything", 0.001, 8) == ""
    assert length_of("twice", 16) == pytest.approx(2 * length_of("twice", 8), rel=0.1)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_pyplot_stays_away_and_figures_come_late(tmp_path: Path) -> None:
    code = (
        "import sys, torch, cnnviz_widgets as cnn\n"
        "assert 'cnnviz_widgets.figures' not in sys.modules and 'figures' in dir(cnn) and 'figures' in cnn.__all__\n"
        "net = cnn.Network(torch.nn.Conv2d(3, 4, 3), cnn.InputSpec(size=(3, 8, 8)))\n"
        f"cnn.figures.filters(net).savefig({str(tmp_path / 'filters.png')!r})\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
    assert (tmp_path / "filters.png").stat().st_size > 1000

"""A map or a grid as one large picture: what is drawn where, how large, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.projections import PCA, Grid, grid, poster, printing
from cnnviz_widgets.engine.projections.legend import label_color
from cnnviz_widgets.engine.projections.poster import _tile

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 160, 20), (20, 20, 220), (255, 255, 255)
APART = np.array([[0, 0], [1, 0.1], [0.4, 1]])


def plain(*colors: tuple[int, int, int]) -> Callable[[int], Image.Image]:
    return lambda row: Image.new("RGB", (60, 40), colors[row % len(colors)])


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def box_of(image: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of all pixels of a colour."""
    rows, columns = np.nonzero(np.abs(pixels(image) - color).max(2) < 3)
    assert len(rows), f"no pixel of {color}"
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def lattice(columns: int, rows: int, count: int) -> Grid:
    cells = np.array([divmod(i, columns)[::-1] for i in range(count)])
    return Grid(columns, rows, cells, np.zeros((count, 2)))


def test_images_lie_at_their_points_as_squares_and_y_grows_downwards() -> None:
    drawn = poster(APART, plain(RED, GREEN, BLUE), side=500, margin=10, thumb=80)
    assert drawn.size == (500, 500)
    assert box_of(drawn, RED) == (10, 10, 90, 90)
    assert box_of(drawn, GREEN) == (410, 50, 490, 130)
    assert box_of(drawn, BLUE) == (170, 410, 250, 490)
    assert pixels(drawn)[5, 5].tolist() == list(WHITE)


def test_the_proportions_of_a_map_are_kept() -> None:
    wide = poster([[0, 0], [4, 0], [4, 2], [0.5, 1.1]], plain(RED), side=800, margin=0, thumb=40)
    assert wide.size == (800, 40 + 380)
    line = poster([[0.2, 0.5], [0.9, 0.5], [0.4, 0.5]], plain(RED), side=800, margin=0, thumb=40)
    assert line.size == (800, 200)
    assert box_of(line, RED)[1::2] == (80, 120)


def test_images_are_as_large_as_on_the_map_in_a_panel() -> None:
    points = np.random.default_rng(0).random((900, 2))
    points[:2] = [[0, 0], [1, 1]]
    drawn = poster(points, lambda row: Image.new("RGB", (9, 9), RED if row == 0 else WHITE), side=1000, margin=0)
    left, top, right, bottom = box_of(drawn, RED)
    size = round(1.4 * 1000 / 30)
    assert (left, top) == (0, 0)
    assert (right, bottom) <= (size, size)
    alone = poster([[3.0, 7.0]], plain(RED), side=1000, margin=0)
    assert box_of(alone, RED)[2] - box_of(alone, RED)[0] == 160


def test_the_middle_of_an_image_is_shown_and_not_distorted() -> None:
    striped = np.zeros((40, 120, 3), np.uint8)
    striped[:, :40], striped[:, 40:80], striped[:, 80:] = RED, GREEN, BLUE
    drawn = poster([[0, 0]], lambda row: Image.fromarray(striped), side=400, margin=0, thumb=100)
    shown = pixels(drawn)[np.abs(pixels(drawn) - WHITE).max(2) > 0]
    assert (np.abs(shown - GREEN).max(1) < 40).mean() > 0.95


def test_no_label_lies_on_all_others() -> None:
    points = np.random.default_rng(1).random((400, 2)) * 0.2
    colors = [RED] * 200 + [BLUE] * 200
    drawn = pixels(poster(points, colors_of(colors), side=600))
    red, blue = (int((np.abs(drawn - color).max(2) < 3).sum()) for color in (RED, BLUE))
    assert 0.5 < red / blue < 2


def colors_of(colors: list[tuple[int, int, int]]) -> Callable[[int], Image.Image]:
    return lambda row: Image.new("RGB", (8, 8), colors[row])


def test_the_same_call_gives_the_same_picture() -> None:
    points = np.random.default_rng(2).random((50, 2))
    first, second = (poster(points, plain(RED, GREEN, BLUE), side=300, title="x") for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_out(odd: float) -> None:
    asked: list[int] = []

    def picture(row: int) -> Image.Image:
        asked.append(row)
        return Image.new("RGB", (8, 8), RED)

    with_odd = poster([[0, 0], [odd, 0.5], [1, 0.3], [0.4, odd], [0.1, 1]], picture, side=300)
    assert sorted(asked) == [0, 2, 4]
    assert with_odd.size == poster([[0, 0], [1, 0.3], [0.1, 1]], picture, side=300).size


def test_nothing_to_show_is_an_empty_poster() -> None:
    for nothing in ([], np.zeros((0, 2)), [[np.nan, 0.0]]):
        drawn = poster(nothing, plain(RED), side=200, background="#102030")
        assert np.unique(pixels(drawn).reshape(-1, 3), axis=0).tolist() == [[16, 32, 48]]


def test_a_grid_has_no_gaps_and_a_tile_per_cell() -> None:
    found = lattice(7, 3, 21)
    drawn = pixels(poster(found, lambda row: Image.new("RGB", (9, 9), (row * 10, 1, 200)), side=500, margin=0))
    assert drawn.shape == (round(3 * 500 / 7), 500, 3)
    assert np.unique(drawn[..., 0]).tolist() == [row * 10 for row in range(21)]
    assert (drawn[..., 1] == 1).all()
    assert drawn[0, 499, 0] == 60
    assert drawn[-1, 0, 0] == 140


def test_points_of_a_grid_are_drawn_as_the_grid() -> None:
    random = np.random.default_rng(3).random((38, 2))
    found = grid(random)
    assert (
        poster(found.points, plain(RED, BLUE), side=300).tobytes()
        == poster(found, plain(RED, BLUE), side=300).tobytes()
    )
    row = poster([[0, 0.5], [1, 0.5], [2, 0.5], [3, 0.5]], plain(RED, BLUE), side=400, margin=0)
    assert row.size == (400, 100)
    gaps = poster([[0, 0.5], [1, 0.5], [2, 0.5], [9, 0.5]], plain(RED, BLUE), side=400, margin=0)
    assert (pixels(gaps) == WHITE).all(2).any()


def test_a_map_is_drawn_by_its_points() -> None:
    map_ = PCA().fit(np.random.default_rng(4).normal(size=(30, 5)).astype(np.float32))
    assert (
        poster(map_, plain(RED, BLUE), side=300).tobytes() == poster(map_.points, plain(RED, BLUE), side=300).tobytes()
    )


def test_seams_are_the_stronger_the_further_neighbours_are_apart() -> None:
    found = lattice(4, 4, 16)
    across, down = np.full((4, 3), 1.0), np.full((3, 4), 1.0)
    across[:, 1], across[0, 0], across[3, 2] = 5.0, 3.0, np.nan
    picture, options = plain(RED), {"side": 800, "margin": 0, "background": "#0000ff"}
    drawn = pixels(poster(found, picture, seams=(across, down), **options))

    def width(x: int, y: int) -> int:
        """Of what is no picture around a place on a border between two cells."""
        return int((np.abs(drawn[y, x - 60 : x + 60] - RED).max(1) > 3).sum())

    assert width(400, 300) > width(200, 100) > 0
    assert width(200, 300) == width(600, 700) == 0
    assert (np.abs(drawn[50:150, 100] - RED).max(1) < 3).all()
    below = pixels(poster(found, picture, seams=(down.T, across.T), **options))
    assert np.abs(below - drawn.transpose(1, 0, 2)).max() < 3
    same = poster(found, picture, seams=(np.ones((4, 3)), np.ones((3, 4))), **options)
    assert same.tobytes() == poster(found, picture, **options).tobytes()


def test_seams_of_features_are_taken_as_the_grid_gives_them() -> None:
    found = grid(np.random.default_rng(5).random((14, 2)))
    features = np.zeros((14, 2))
    features[3] = 9.0
    drawn = poster(found, plain(RED), side=400, seams=found.seams(features))
    assert drawn.tobytes() != poster(found, plain(RED), side=400).tobytes()


def test_labels_frame_the_images_and_are_told_below() -> None:
    labels = ["cat", "dog", "cat"]
    bare = poster(APART, plain(WHITE), side=600, thumb=96, labels=labels, legend=False)
    told = poster(APART, plain(WHITE), side=600, thumb=96, labels=labels)
    assert bare.size == (600, 600)
    assert told.width == 600
    assert 600 < told.height < 700
    assert told.crop((0, 0, 600, 600)).tobytes() == bare.tobytes()
    # margin, and three pixels of a frame
    corner = pixels(bare)[15:111, 15:111]
    assert (corner[:3] == label_color(0)).all()
    assert (corner[3:-3, 3:-3] == WHITE).all()
    below = Image.fromarray(pixels(told)[600:].astype(np.uint8))
    assert box_of(below, label_color(0))[0] < box_of(below, label_color(1))[0]


def test_own_colors_by_label_and_by_row() -> None:
    named = poster(APART, plain(WHITE), side=600, labels=["a", "b", None], colors={"a": "red", "b": [1, 2, 3]})
    for color in ((255, 0, 0), (1, 2, 3), (140, 140, 140)):
        box_of(named, color)
    rows = np.array([[9, 9, 9], [8, 8, 8], [7, 7, 7]], np.uint8)
    each = poster(APART, plain(WHITE), side=600, labels=["a", "b", "c"], colors=rows)
    assert each.size == (600, 600)
    box_of(each, (8, 8, 8))


def test_many_and_long_labels_fit() -> None:
    points = np.random.default_rng(6).random((200, 2))
    labels = [f"label {i} " + "w" * 300 * (i == 7) for i in range(200)]
    drawn = poster(points, plain(WHITE), side=500, labels=labels)
    assert drawn.width == poster(points, plain(WHITE), side=500).width
    edge = pixels(drawn)[500:, -6:]
    assert (edge == WHITE).all()
    narrow = poster([[0, 0], [0, 1]], plain(WHITE), side=300, labels=["w" * 90, "b"], title="w" * 90)
    assert (pixels(narrow)[:, -2:] == WHITE).all()


def test_a_title_stands_above_and_can_be_read_on_any_ground() -> None:
    for background, dark in (("white", False), ("#101010", True), ((250, 240, 200), False)):
        bare = poster(APART, plain(RED), side=600, background=background)
        drawn = poster(APART, plain(RED), side=600, background=background, title="Two\nlines \udce9 <b>")
        above = drawn.height - bare.height
        assert 20 < above < 80
        assert drawn.crop((0, above, 600, drawn.height)).tobytes() == bare.tobytes()
        tones = pixels(drawn)[:above].mean(2)
        assert np.abs(tones - tones[0, 0]).max() > 150
        assert (tones[0, 0] < 60) == dark


def test_images_come_as_bytes_arrays_or_pictures_and_broken_ones_are_grey() -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), RED).save(file, "PNG")
    sources = [file.getvalue(), np.full((9, 9, 3), 60, np.uint8), b"torn", Image.new("L", (5, 5), 10)]

    def picture(row: int) -> object:
        if row == 4:
            raise OSError("gone")
        return sources[row]

    drawn = pixels(poster([[i, 0] for i in range(5)], picture, side=500, margin=0))
    middles = [drawn[50, 50 + 100 * i].tolist() for i in range(5)]
    assert middles == [list(RED), [60] * 3, [128] * 3, [10] * 3, [128] * 3]


def test_progress_is_told_and_one_may_stop() -> None:
    points = np.random.default_rng(7).random((200, 2))
    asked: list[int] = []

    def picture(row: int) -> Image.Image:
        asked.append(row)
        return Image.new("RGB", (8, 8), RED)

    states = printing(points, picture, side=200)
    first = next(states)
    assert (first.done, first.total, asked) == (0, 200, [])
    second = next(states)
    assert second.done == len(asked) == 64
    assert [state.done for state in states] == [128, 192, 200]


def test_what_does_not_fit_is_refused() -> None:
    picture = plain(RED)
    wrong = [
        ("shape", {"points": np.zeros((3, 3))}),
        ("shape", {"points": 5}),
        ("side=10", {"side": 10}),
        ("side=90000", {"side": 90_000}),
        ("margin=200", {"margin": 200}),
        ("thumb=-1", {"thumb": -1}),
        ("for a grid", {"points": lattice(2, 2, 4), "thumb": 20}),
        ("2 labels for 3", {"labels": ["a", "b"]}),
        ("none for the label 'b'", {"labels": ["a", "b", "a"], "colors": {"a": "red"}}),
        ("colors of the shape", {"colors": np.zeros((2, 3))}),
        ("colour", {"background": "no such"}),
        ("from 0 to 255", {"background": (1, 2, 300)}),
        ("without a grid", {"seams": (np.zeros((1, 1)), np.zeros((1, 1)))}),
        ("seams of the shapes", {"points": lattice(2, 2, 4), "seams": (np.zeros((1, 1)), np.zeros((1, 1)))}),
    ]
    for text, change in wrong:
        arguments = {"points": APART, "side": 400} | change
        with pytest.raises(ValueError, match=text):
            poster(arguments.pop("points"), picture, **arguments)
    with pytest.raises(TypeError, match="size"):
        poster(APART, picture, size=3)
    with pytest.raises(OSError, match=r"no\.ttf"):
        poster(APART, picture, side=300, title="x", font="no.ttf")


def test_photographs_keep_their_colors_and_the_images_stay_as_they_are() -> None:
    images = ImageSet.samples(24)
    before = [images.thumbnail_data(i) for i in range(24)]
    points = np.random.default_rng(8).random((24, 2))
    drawn = poster(points, lambda row: images.thumbnail(row), side=900)
    assert len(np.unique(pixels(drawn).reshape(-1, 3), axis=0)) > 5000
    assert [images.thumbnail_data(i) for i in range(24)] == before


def test_a_picture_of_any_size_fills_a_tile_of_any_size() -> None:
    for side in (64, 91, 125, 177, 250, 354, 500):
        shown = Image.new("RGB", (side, side), "red")
        for edge in range(20, 140):
            for size in ((edge, edge), (edge + 1, edge), (edge, edge + 1)):
                assert _tile(lambda row, shown=shown: shown, 0, size, (0, 0, 255)).getpixel((edge // 2, edge // 2)) == (
                    255,
                    0,
                    0,
                ), (side, size)

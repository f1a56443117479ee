"""Seams of a map's grid: lines between neighbours that are far from each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import traitlets

from cnnviz_widgets.views import ImageMap
from tests.views.test_image_map import CANVAS, COLORS, SQUARE, Mapped, four, near, picture, show, world

__all__ = ["show"]
SEAM = (240, 18, 122)
PAIRS = np.array([[0, 1, 1.0], [0, 2, 0.3], [1, 3, np.nan]])
PLACES = world(SQUARE)


def border(a: int, b: int) -> np.ndarray:
    """Middle of the border between two images of the square."""
    return (PLACES[a] + PLACES[b]) / 2


def seamed(**options: Any) -> ImageMap:
    view = four(**({"grid": SQUARE, "seams": PAIRS} | options))
    view.duration = 0
    view.morph = 1.0
    return view


def across(shown: Mapped, a: int, b: int) -> int:
    """How many pixels thick the line between two images is."""
    x, y = (round(value) for value in shown.place(border(a, b)))
    pixels = shown.pixels(CANVAS).astype(int)
    line = pixels[y, x - 20 : x + 20] if PLACES[a][1] == PLACES[b][1] else pixels[y - 20 : y + 20, x]
    return int(((line[:, 0] > 180) & (line[:, 1] < 190) & (line[:, 2] < 210) & (line[:, 3] > 60)).sum())


@pytest.mark.parametrize(
    ("seams", "message"),
    [
        ([[0, 1]], r"seams has shape \(1, 2\), expected \(m, 3\)"),
        ([[0, 4, 1]], "an index that is none; expected whole numbers from 0 to 3"),
        ([[0, 0.5, 1]], "whole numbers"),
        ([[0, np.nan, 1]], "whole numbers"),
        ([[-1, 1, 1]], "whole numbers"),
        ([[0, 1, 1.5]], "strengths from 1.5 to 1.5, expected 0 to 1"),
    ],
)
def test_seams_that_do_not_fit_are_refused(seams, message):
    view = four()
    for given in (lambda: view.sew(np.array(seams)), lambda: view.show(SQUARE, seams=np.array(seams))):
        with pytest.raises(ValueError, match=message):
            given()
    assert (view.version, view.seams) == (1, b"")
    with pytest.raises(traitlets.TraitError, match="expected 12 a pair"):
        view.seams = b"1234"


def test_seams_travel_as_numbers_and_none_are_empty():
    view = four(seams=PAIRS)
    assert np.frombuffer(view.seams, "<f4").reshape(-1, 3).tolist()[0] == [0, 1, 1]
    assert np.frombuffer(view.seams, "<f4").reshape(-1, 3)[2, 2] == 0
    view.sew(None)
    assert view.seams == b""
    view.sew(np.zeros((0, 3)))
    assert view.seams == b""
    view.sew(PAIRS)
    view.show(SQUARE)
    assert view.seams == b""


@pytest.mark.browser
@pytest.mark.parametrize("thumbnails", [None, [picture(color) for color in COLORS]], ids=["points", "images"])
def test_the_line_between_neighbours_is_as_strong_as_they_are_apart(show, thumbnails):
    shown = show(seamed(thumbnails=thumbnails)).settle()
    assert near(shown.color(border(0, 1)), SEAM)
    weak = shown.color(border(0, 2))
    assert 60 < weak[3] < 255 or not near(weak, SEAM)
    assert across(shown, 0, 1) > across(shown, 0, 2) >= 1
    for a, b in ((1, 3), (2, 3)):
        assert shown.color(border(a, b))[3] == 0
    if thumbnails:
        for point, color in zip(PLACES, COLORS, strict=True):
            assert near(shown.color(point), color)
    x, y = shown.place(border(0, 1))
    pixels = shown.pixels(CANVAS)
    around = pixels[round(y), round(x) - 7 : round(x) + 8]
    light = np.flatnonzero((around[:, :3].min(axis=1) > 200) & (around[:, 3] > 150))
    assert light.min() < 7 < light.max()


@pytest.mark.browser
def test_seams_are_seen_on_the_grid_alone_and_fade_on_the_way(show):
    shown = show(seamed()).settle()
    strength = []
    for morph in (1.0, 0.85, 0.5, 0.0, 1.0):
        shown.view.morph = morph
        shown.frames(4)
        shown.settle()
        shown.frames(20)
        strength.append(shown.color(border(0, 1))[3])
    assert strength[0] == strength[4] == 255
    assert 60 < strength[1] < 200
    assert strength[2] == strength[3] == 0
    shown.view.duration = 4000
    shown.view.morph = 0.0
    shown.page.wait_for_timeout(2000)
    assert shown.data(CANVAS, "settled") == "false"
    assert shown.color(border(0, 1))[3] == 0


@pytest.mark.browser
def test_seams_come_and_go_later_and_with_the_images(show):
    shown = show(seamed(seams=None, labels=["a", "b", "b", "b"])).settle()
    assert shown.color(border(0, 1))[3] == 0
    shown.view.sew(PAIRS)
    shown.frames(4)
    shown.settle()
    shown.frames(20)
    assert near(shown.color(border(0, 1)), SEAM)
    shown.view.hidden = [shown.view.label_names.index("a")]
    shown.frames(4)
    shown.settle()
    shown.frames(20)
    assert shown.color(border(0, 1))[3] == 0
    shown.view.hidden = []
    shown.view.seams = np.float32([[0, 99, 1], [2, 3, 1], [7, 1, 1]]).tobytes()
    shown.frames(4)
    shown.settle()
    shown.frames(20)
    assert shown.color(border(0, 1))[3] == 0
    assert near(shown.color(border(2, 3)), SEAM)


@pytest.mark.browser
def test_the_borders_of_a_torn_grid_join(show):
    side = 20
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)
    left = np.flatnonzero(cells[:, 0] == 9)
    pairs = np.column_stack([left, left + 1, np.ones(side)])
    view = ImageMap(height=500)
    small = [picture((90, 90, 90), 16)] * side**2
    view.show(cells, grid=cells, seams=pairs, thumbnails=small)
    view.duration = 0
    view.morph = 1.0
    shown = show(view).settle()
    places = world(cells)
    (x, top), (_, bottom) = (shown.place((places[at] + places[at + 1]) / 2) for at in (left[-1], left[0]))
    column = shown.pixels(CANVAS)[round(top) : round(bottom), round(x)].astype(int)
    assert (np.abs(column[:, :3] - SEAM).max(axis=1) <= 2).all()

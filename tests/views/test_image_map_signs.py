"""What a map shows of a single image among many, of values, and of images on their way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.views import ImageMap
from tests.views.test_image_map import (
    CANVAS,
    COLORS,
    LINE,
    SQUARE,
    Mapped,
    distinct,
    four,
    near,
    picture,
    show,
    world,
)

pytestmark = pytest.mark.browser
__all__ = ["show"]
ACCENT = "body { --jp-brand-color1: #ff0000; --jp-layout-color0: #ffffff }"


def heap(**options: object) -> tuple[ImageMap, np.ndarray, np.ndarray]:
    """Images that lie over each other."""
    points = np.array([[0, 0], [0.03, 0.01], [0.05, 0.02], [0.02, 0.05], [1, 1]], float)
    colors = distinct(5)
    view = ImageMap(height=400)
    view.show(points, thumbnails=[picture(color) for color in colors], **options)
    return view, world(points), colors


def test_the_selected_image_is_not_covered(show):
    view, places, colors = heap()
    shown = show(view).settle()
    covered = [not near(shown.color(point), color) for point, color in zip(places, colors, strict=True)]
    assert any(covered)
    for image, color in enumerate(colors):
        view.selected = image
        shown.settle()
        assert near(shown.color(places[image]), color)


def test_the_chosen_images_are_not_covered_by_others(show):
    view, places, colors = heap()
    shown = show(view).settle()
    for image, color in enumerate(colors):
        view.choose([image])
        shown.frames(3)
        shown.settle()
        shown.frames(20)
        assert near(shown.color(places[image]), color)


def test_the_point_under_the_pointer_is_not_covered(show):
    points = np.array([[0, 0], [0.006, 0], [0.012, 0], [1, 1]], float)
    palette = {"a": (250, 0, 0), "b": (0, 200, 0), "c": (0, 0, 250), "d": (90, 90, 90)}
    view = ImageMap(height=400)
    view.show(points, list("abcd"), colors=palette)
    shown = show(view).settle()
    for image, label in enumerate("abc"):
        shown.page.mouse.move(*shown.at(world(points)[image]))
        shown.frames(3)
        assert shown.data(CANVAS, "hovered") == str(image)
        assert near(shown.color(world(points)[image]), palette[label])


def small_ones(count: int) -> tuple[ImageMap, np.ndarray]:
    points = np.random.default_rng(0).uniform(size=(count, 2))
    view = ImageMap(height=400)
    red, grey = picture((230, 20, 20), 16), picture((90, 90, 90), 16)
    view.show(points, thumbnails=lambda index: red if index == 7 else grey)
    return view, world(points)[7]


def test_the_selected_image_is_large_enough_to_be_seen_from_afar(show):
    view, place = small_ones(2500)
    shown = show(view).settle()
    assert 6 <= float(shown.data(CANVAS, "size")) < 16
    view.selected = 7
    shown.settle()
    pixels = shown.pixels(CANVAS).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    assert red.sum() >= 27**2
    x, y = shown.at(place)
    shown.page.mouse.click(x + 13, y - 13)
    shown.pump()
    assert shown.messages[-1] == {"type": "choose", "index": 7}
    shown.page.mouse.move(x + 40, y)
    shown.page.mouse.click(x + 24, y)
    shown.pump()
    assert shown.messages[-1]["index"] != 7


def test_a_ring_lies_around_the_selected_point(show):
    view, place = small_ones(12_000)
    shown = show(view).settle()
    shown.page.add_style_tag(content=ACCENT)
    assert shown.data(CANVAS, "size") == "0.00"
    view.selected = 7
    shown.settle()
    pixels = shown.pixels(CANVAS)
    x, y = shown.place(place)
    ring = [(round(x + 11.5 * np.cos(turn)), round(y + 11.5 * np.sin(turn))) for turn in np.linspace(0, 6, 12)]
    assert all(tuple(pixels[row, column]) == (255, 0, 0, 255) for column, row in ring)


def test_values_have_a_name_and_those_not_known_are_counted(show):
    scale = np.stack([np.arange(256), np.zeros(256), 255 - np.arange(256)], axis=1).astype(np.uint8)
    name = "activation of <b>layer3[17]</b>"
    shown = show(four(values=[-1, np.nan, 1, np.inf], colors=scale, values_name=name, titles=list("abcd"))).settle()
    legend = shown.locator(".cnnviz-map-legend")
    assert legend.locator(".cnnviz-map-values").text_content() == name
    assert legend.locator(".cnnviz-map-ends").text_content() == "-11"
    assert legend.locator(".cnnviz-map-unknown").text_content() == "not known2"
    assert legend.locator("canvas").get_attribute("aria-label") == f"Colours of {name} from -1 to 1"
    size = float(shown.data(CANVAS, "size"))
    pixels = shown.pixels(CANVAS).astype(int)
    for point, expected, image in zip(
        world(SQUARE), [(0, 0, 255), (140,) * 3, (255, 0, 0), (140,) * 3], COLORS, strict=True
    ):
        x, y = (round(value) for value in shown.place(point))
        edge = round(x - size / 2) + 3
        assert near(pixels[y, edge], expected)
        assert near(pixels[y, x], image)
    shown.page.mouse.move(*shown.at(world(SQUARE)[1]))
    shown.frames(3)
    assert shown.locator(LINE).text_content() == f"b · {name} not known"
    shown.view.show(SQUARE, values=[np.nan] * 4)
    shown.frames(3)
    assert legend.locator("canvas").is_hidden()
    assert legend.locator(".cnnviz-map-unknown").text_content() == "not known4"
    shown.view.show(SQUARE, values=[1, 2, 3, 4])
    shown.frames(3)
    assert legend.locator(".cnnviz-map-unknown").is_hidden()


def contrast(shown: Mapped) -> float:
    pixels = shown.pixels(CANVAS).astype(int)
    return float(pixels[..., 0][pixels[..., 3] == 255].std())


def test_few_images_are_sharp_while_they_move(show):
    count = 400
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, np.arange(128) % 16 < 8] = 255
    points = np.random.default_rng(0).uniform(size=(count, 2))
    view = ImageMap(height=500)
    view.show(points, thumbnails=[Image.fromarray(stripes)] * count)
    shown = show(view)
    view.move(points + 0.001, duration=8)
    for _ in range(12):
        shown.frames(4)
        shown.pump()
    shown.page.wait_for_timeout(300)
    assert shown.data(CANVAS, "settled") == "false"
    assert max(level for level, _ in shown.pages) >= 2
    assert contrast(shown) > 60
    size = float(shown.data(CANVAS, "size"))
    assert size > 28
    view.move(points, duration=0)
    shown.frames(4)
    shown.settle()
    shown.frames(20)
    assert float(shown.data(CANVAS, "size")) == pytest.approx(size, rel=0.35)
    assert contrast(shown) > 60


def test_many_images_ask_for_no_more_while_they_move(show):
    view, _ = small_ones(12_000)
    shown = show(view).settle()
    view.move(np.random.default_rng(1).uniform(size=(12_000, 2)), duration=3)
    for _ in range(6):
        shown.frames(4)
        shown.pump()
    assert shown.data(CANVAS, "settled") == "false"
    assert {level for level, _ in shown.pages} <= {0, 1}

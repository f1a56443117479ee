"""Tiles on a canvas: colours, values under the pointer, selection, zoom, coming back."""

from __future__ import annotations

import numpy as np
import pytest
import traitlets

from cnnviz_widgets.views import ImageGrid

VIEWPORT = ".cnnviz-grid-viewport"
LINE = ".cnnviz-line"
MARGIN, GAP = 4, 2


def tiles(count: int = 6, edge: int = 4) -> np.ndarray:
    """Tile i is all bytes 20·i, but for its corner (0, 0), which is 255."""
    pixels = np.repeat(np.arange(count, dtype=np.uint8) * 20, edge * edge).reshape(count, edge, edge)
    pixels[:, 0, 0] = 255
    return pixels


def grid(count: int = 6, tile_size: int = 40, **options) -> ImageGrid:
    view = ImageGrid(tile_size=tile_size)
    ranges = np.tile(np.float32([-1, 1]), (count, 1))
    view.show(tiles(count), ranges, **({"columns": 3, "tile_names": "channel"} | options))
    return view


def corner(index: int, columns: int = 3, size: int = 40) -> tuple[int, int]:
    """CSS position of a tile's corner in the viewport, unscrolled."""
    return MARGIN + (index % columns) * (size + GAP), MARGIN + (index // columns) * (size + GAP)


def middle(index: int, **options) -> dict[str, float]:
    x, y = corner(index, **options)
    size = options.get("size", 40)
    return {"x": x + size / 2, "y": y + size / 2}


def test_show_keeps_pixels_shape_and_ranges():
    view = grid()
    assert view.shape == [6, 4, 4, 1]
    assert view.pixels == tiles().tobytes()
    assert np.frombuffer(view.ranges, "<f4").reshape(6, 2)[5].tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("pixels", "ranges", "options", "message"),
    [
        (np.zeros((2, 3, 3)), np.zeros((2, 2)), {}, "dtype float64, expected uint8"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 2)), {}, r"\(n, h, w\)"),
        (np.zeros((2, 3, 3, 4), np.uint8), np.zeros((2, 2)), {}, r"\(n, h, w, 3\)"),
        (np.zeros((2, 0, 3), np.uint8), np.zeros((2, 2)), {}, "no pixel"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2)), {}, r"expected \(2, 2\)"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2)), {"labels": ["a"]}, "1 labels for 2 tiles"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2)), {"selected": 2}, r"-1 \(none\) to 1"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2)), {"colormap": np.zeros((16, 3))}, r"uint8 \(256, 3\)"),
    ],
)
def test_show_refuses_what_does_not_fit(pixels, ranges, options, message):
    view = grid()
    with pytest.raises(ValueError, match=message):
        view.show(pixels, ranges, **options)
    assert view.shape == [6, 4, 4, 1]


def test_traits_refuse_a_wrong_depth_and_colormap():
    with pytest.raises(traitlets.TraitError, match="depth"):
        ImageGrid(shape=[1, 2, 2, 2])
    with pytest.raises(traitlets.TraitError, match="768"):
        ImageGrid(colormap=b"123")


@pytest.mark.browser
def test_tiles_are_drawn_grey_without_a_colormap_and_crisp(show):
    canvas = show(grid()).pixels("canvas")
    for index in range(6):
        x, y = corner(index)
        assert canvas[y + 5, x + 5].tolist() == [255, 255, 255, 255]
        assert canvas[y + 9, x + 9].tolist() == [255, 255, 255, 255]
        assert canvas[y + 10, x + 10].tolist() == [20 * index] * 3 + [255]
        assert canvas[y + 39, x + 39].tolist() == [20 * index] * 3 + [255]
        assert canvas[y + 40, x + 41, 3] == 0


@pytest.mark.browser
def test_tiles_are_drawn_through_the_colormap(show):
    colormap = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 7)], axis=1).astype(np.uint8)
    canvas = show(grid(colormap=colormap)).pixels("canvas")
    x, y = corner(4)
    assert canvas[y + 20, x + 20].tolist() == [80, 175, 7, 255]


@pytest.mark.browser
def test_rgb_tiles_are_drawn_as_they_are_with_three_values_under_the_pointer(show):
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    pixels[1] = (255, 128, 0)
    view = ImageGrid(tile_size=40)
    view.show(pixels, np.float32([[0, 1], [-1, 1]]), columns=2)
    shown = show(view)
    x, y = corner(1)
    assert shown.pixels("canvas")[y + 20, x + 20].tolist() == [255, 128, 0, 255]
    shown.locator("canvas").hover(position=middle(1))
    assert shown.locator(LINE).text_content() == "tile 1 · x 2, y 2 · 1, 0.003922, -1"


@pytest.mark.browser
def test_hover_shows_name_place_and_value(show):
    shown = show(grid())
    shown.locator("canvas").hover(position=middle(3))
    value = -1 + 60 / 255 * 2
    assert shown.locator(LINE).text_content() == f"channel 3 · x 2, y 2 · {value:.4g}"
    x, y = corner(3)
    shown.locator("canvas").hover(position={"x": x + 2, "y": y + 2})
    assert shown.locator(LINE).text_content() == "channel 3 · x 0, y 0 · 1"
    shown.locator("canvas").hover(position={"x": x + 41, "y": y + 10})
    assert shown.locator(LINE).text_content() == "6 tiles of 4 × 4 pixels"


@pytest.mark.browser
def test_labels_are_text(show):
    shown = show(grid(labels=["<b>x</b>"] * 6, caption="<i>c</i>", selected=0))
    shown.locator("canvas").hover(position=middle(0))
    assert shown.locator(LINE).text_content().startswith("<b>x</b> · ")
    assert shown.locator(".cnnviz-caption").text_content() == "<i>c</i>"
    assert shown.page.locator("b, i").count() == 0


@pytest.mark.browser
def test_pixels_that_do_not_fit_their_shape_keep_the_old_picture(show):
    shown = show(grid())
    before = shown.pixels("canvas")
    drawn = shown.data("canvas", "drawn")
    shown.view.pixels = bytes(7 * 16)
    assert (shown.pixels("canvas") == before).all()
    assert shown.data("canvas", "drawn") == drawn
    shown.view.show(np.full((1, 4, 4), 99, np.uint8), np.zeros((1, 2)))
    shown.wait("document.querySelector('canvas').dataset.count === '1'")
    assert shown.pixels("canvas")[20, 20].tolist() == [99, 99, 99, 255]
    assert int(shown.data("canvas", "drawn")) == int(drawn) + 1


@pytest.mark.browser
def test_no_tiles_leave_the_caption(show):
    view = ImageGrid()
    view.show(np.zeros((0, 3, 3), np.uint8), np.zeros((0, 2)), caption="no maps here")
    shown = show(view)
    assert shown.locator(".cnnviz-caption").is_visible()
    assert not shown.locator("canvas").is_visible()
    shown.view.show(tiles(2), np.zeros((2, 2)))
    shown.wait("document.querySelector('canvas').dataset.drawn === '1'")
    assert shown.locator("canvas").is_visible()


@pytest.mark.browser
def test_a_grid_taken_out_and_put_back_is_as_it_was(show):
    view = grid(60)
    view.max_height = 200
    shown = show(view)
    shown.locator(VIEWPORT).evaluate("(node) => node.scrollTo(0, 300)")
    before = shown.pixels("canvas")
    shown.page.evaluate("() => { harness.el = harness.views[0].el; harness.el.remove(); }")
    shown.frames(3)
    shown.view.caption = "changed while away"
    shown.page.evaluate("() => document.body.prepend(harness.el)")
    shown.frames(4)
    assert shown.locator(VIEWPORT).evaluate("(node) => node.scrollTop") == 300
    assert (shown.pixels("canvas") == before).all()
    assert shown.locator(".cnnviz-caption").text_content() == "changed while away"


@pytest.mark.browser
def test_tiles_that_change_while_away_are_drawn_on_return(show):
    shown = show(grid())
    shown.frames()
    shown.page.evaluate("() => { harness.el = harness.views[0].el; harness.el.remove(); }")
    shown.frames(3)
    shown.view.show(np.full((6, 4, 4), 99, np.uint8), np.zeros((6, 2)), columns=3)
    shown.frames(3)
    shown.page.evaluate("() => document.body.prepend(harness.el)")
    shown.wait("document.querySelector('canvas').dataset.drawn === '2'")
    assert shown.pixels("canvas")[20, 20].tolist() == [99, 99, 99, 255]


@pytest.mark.browser
def test_two_views_of_one_model_agree_and_close_apart(show):
    shown = show(grid())
    shown.page.evaluate("() => harness.render()")
    shown.page.locator("canvas").nth(1).click(position=middle(3))
    shown.wait("[...document.querySelectorAll('canvas')].every((node) => node.dataset.selected === '3')")
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.locator("canvas").count() == 1
    shown.view.selected = 1
    shown.wait("document.querySelector('canvas').dataset.selected === '1'")


@pytest.mark.browser
@pytest.mark.parametrize(("edge", "least"), [(3, 48), (7, 48), (11, 48)])
def test_small_kernels_are_enlarged_by_whole_factors(show, edge, least):
    view = ImageGrid()
    pixels = np.zeros((64, edge, edge), np.uint8)
    pixels[:, :, ::2] = 255
    view.show(pixels, np.zeros((64, 2)))
    row = show(view).pixels("canvas")[MARGIN + 2, :, :]
    inked = np.flatnonzero(row[:, 3] == 0)
    width = inked[inked > MARGIN][0] - MARGIN
    assert width % edge == 0
    assert width >= least
    runs = np.diff(np.flatnonzero(np.diff(row[MARGIN : MARGIN + width, 0].astype(int)) != 0))
    assert set(runs.tolist()) <= {width // edge}


@pytest.mark.long
@pytest.mark.browser
def test_thousands_of_tiles_over_several_pages(show):
    count = 3000
    pixels = np.repeat((np.arange(count) % 251).astype(np.uint8), 64 * 64).reshape(count, 64, 64)
    view = ImageGrid(tile_size=16)
    view.show(pixels, np.zeros((count, 2)), selected=2999, columns=40)
    shown = show(view)
    shown.wait("document.querySelector('canvas').dataset.drawn === '1'")
    scroll = shown.locator(VIEWPORT).evaluate("(node) => node.scrollTop")
    top = MARGIN + (2999 // 40) * 18 - scroll
    left = MARGIN + (2999 % 40) * 18
    assert shown.pixels("canvas")[round(top) + 8, left + 8].tolist() == [2999 % 251] * 3 + [255]


@pytest.mark.browser
def test_colours_follow_the_theme(show):
    shown = show(grid(selected=0))
    light = shown.pixels("canvas")[MARGIN - 2, MARGIN + 20]
    shown.page.add_style_tag(content="body { --jp-brand-color1: #ff0000; --jp-layout-color0: #112233 }")
    shown.view.selected = 1
    shown.frames()
    dark = shown.pixels("canvas")[corner(1)[1] - 2, corner(1)[0] + 20]
    assert dark.tolist() == [255, 0, 0, 255]
    assert light.tolist() != dark.tolist()
    background = shown.locator(".cnnviz").evaluate("(node) => getComputedStyle(node).backgroundColor")
    assert background == "rgb(17, 34, 51)"


@pytest.mark.browser
def test_shortcuts_of_the_notebook_are_kept_away(show):
    shown = show(grid())
    for css in (".cnnviz", VIEWPORT, "button"):
        assert shown.locator(css).get_attribute("data-lm-suppress-shortcuts") == "true"
    for button in shown.page.locator("button").all():
        assert button.get_attribute("title")
        assert button.get_attribute("aria-label")

"""The curve of a player: its legend, the marks in it, and what a branch leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cnnviz_widgets.views import FramePlayer
from cnnviz_widgets.views._base import joined
from tests.views.harness import SHIM, Shown
from tests.views.test_frame_player import CURVE, PICTURE, READOUT, encoded
from tests.views.test_pacing import Clock

LEGEND = ".cnnviz-player-legend"
TIP = ".cnnviz-player-tip"
BLUE = (15, 127, 191)

pytestmark = pytest.mark.browser


class Run:
    """A player in the page, its scores those of the test."""

    def __init__(self, show: Callable[[FramePlayer], Shown], labels: list[str], size: int = 700) -> None:
        self.clock = Clock()
        self.player = FramePlayer(clock=self.clock, size=size)
        self.player.start(1, 100, labels)
        self.shown = show(self.player)

    def play(self, steps: range, *scores: float) -> None:
        for step in steps:
            self.clock.now += 1
            self.player.offer(step, scores, lambda step=step: encoded(step))
            self.shown.pump()
        self.wait_step(steps[-1])

    def wait_step(self, step: int) -> None:
        self.shown.wait(f"document.querySelector('{PICTURE}').dataset.step === String(argument)", step)
        self.shown.frames()

    def legend(self) -> list[str]:
        self.shown.frames()
        return self.shown.page.locator(f"{LEGEND} li").all_text_contents()

    def drawn(self, color: tuple[int, int, int], alpha: int) -> np.ndarray:
        """Columns of the curve where there is a colour of about that opacity."""
        canvas = self.shown.pixels(CURVE).astype(int)
        near = (np.abs(canvas[..., :3] - color).max(axis=2) <= 3) & (np.abs(canvas[..., 3] - alpha) <= 3)
        return np.nonzero(near.any(axis=0))[0]

    def hover(self, step: int) -> None:
        box = self.shown.locator(CURVE).bounding_box()
        self.shown.page.mouse.move(box["x"] + 72 + (box["width"] - 86) * step / 100, box["y"] + 100)
        self.shown.frames()


def test_the_legend_tells_labels_as_text_and_scores(show):
    run = Run(show, ["flamingo", "<b>red</b>"])
    run.play(range(3), 1.5, -2)
    assert run.legend() == ["flamingo1.5", "<b>red</b>-2"]
    assert run.shown.page.locator("b").count() == 0
    assert run.shown.locator(READOUT).text_content() == "step 2 of 100"
    run.player.start(2, 100)
    run.shown.wait(f"document.querySelector('{LEGEND}').hidden")


@pytest.mark.parametrize(("size", "beside"), [(700, True), (448, False)])
def test_the_legend_stands_beside_a_wide_curve_and_below_a_narrow_one(show, size: int, beside: bool):
    run = Run(show, ["one", "two"], size)
    run.play(range(2), 1, 2)
    run.shown.frames(4)
    curve, legend = (run.shown.locator(css).bounding_box() for css in (CURVE, LEGEND))
    if beside:
        assert legend["x"] >= curve["x"] + curve["width"]
        assert legend["y"] < curve["y"] + curve["height"] / 2
    else:
        assert legend["y"] >= curve["y"] + curve["height"]
    scrubber = run.shown.locator("input[type=range]").bounding_box()
    assert abs(scrubber["x"] + scrubber["width"] - (curve["x"] + curve["width"])) < 12
    assert legend["x"] + legend["width"] <= curve["x"] + size + 1


def test_more_columns_than_colours_and_labels(show):
    run = Run(show, ["first"])
    run.play(range(2), *range(10))
    assert run.legend()[0] == "first0"
    assert run.legend()[9] == "image 109"
    styles = run.shown.page.locator(".cnnviz-player-swatch").evaluate_all(
        "nodes => nodes.map((node) => node.style.borderTopColor + node.style.borderTopStyle)"
    )
    assert len(set(styles)) == 10


def test_a_branch_leaves_the_former_curve_pale_and_shows_its_step(show):
    run = Run(show, [])
    run.play(range(0, 81, 10), 5)
    run.player.rest(90, [5.0], encoded(90, "PNG"))
    run.wait_step(90)
    assert run.legend() == []
    run.player.looking_at = 40
    run.wait_step(40)
    run.player.branch(40)
    run.wait_step(40)
    assert run.shown.data(PICTURE, "live") == "true"
    assert run.legend() == ["before the branch at step 40"]
    pale = run.drawn(BLUE, 128)
    solid = run.drawn(BLUE, 255)
    assert pale.min() >= solid.max() - 6
    run.play(range(50, 61, 10), 9)
    assert run.drawn(BLUE, 255).max() < run.drawn(BLUE, 128).max() - 50
    label = run.shown.locator(CURVE).get_attribute("aria-label")
    assert label.startswith("Score over 7 steps, from 5 to 9; pale: before the branch at step 40")


def test_a_reload_shows_legend_marks_and_the_former_curves(show):
    run = Run(show, ["red"])
    run.play(range(0, 31, 10), 5)
    run.player.branch(20)
    run.play(range(30, 41, 10), 6)
    run.player.branch(10)
    run.player.mark(10, "sigma 1")
    run.player.rest(20, [8.0], encoded(20, "PNG"))
    run.shown.page.reload()
    run.shown.page.add_script_tag(content=SHIM)
    run.shown = show(run.player)
    run.wait_step(20)
    assert run.legend() == ["red8", "before the branch at step 10"]
    former = run.drawn(BLUE, 128)
    assert former.max() > 72 + 0.35 * (run.shown.pixels(CURVE).shape[1] - 86)
    label = run.shown.locator(CURVE).get_attribute("aria-label")
    assert label == "Score over 3 steps, from 5 to 8; pale: before the branch at step 10; step 10: sigma 1"


def test_frames_after_a_branch_are_not_looked_back_at(show):
    run = Run(show, [])
    run.play(range(0, 51, 10), 5)
    run.player.branch(20)
    run.wait_step(20)
    run.player.looking_at = 50
    run.shown.frames(3)
    run.shown.pump()
    run.shown.frames(3)
    assert run.shown.data(PICTURE, "step") == "20"


def test_marks_are_lines_with_texts_that_show_on_hover(show):
    run = Run(show, [])
    run.play(range(2), 5)
    empty = run.shown.pixels(CURVE)
    run.player.mark(30, "<i>sigma</i> 0.5")
    run.player.mark(30, "decay 0.1")
    run.player.mark(60, "jitter 4")
    run.shown.frames(4)
    marked = run.shown.pixels(CURVE)
    assert marked.shape[0] == empty.shape[0] + 40
    at = 72 + (marked.shape[1] - 86) * np.array([30, 45, 60]) // 100
    lines = [(marked[60:150, x - 1 : x + 3, 3] > 100).any(axis=1).sum() for x in at]
    assert lines[0] > 30
    assert lines[1] == 0
    assert lines[2] > 30
    assert (marked[12:46, at[2] : at[2] + 40, 3] > 100).sum() > 50
    run.hover(30)
    assert run.shown.locator(TIP).inner_text() == "step 30\n<i>sigma</i> 0.5\ndecay 0.1"
    run.hover(45)
    assert run.shown.locator(TIP).is_hidden()
    run.hover(60)
    assert run.shown.locator(TIP).inner_text() == "step 60\njitter 4"
    run.shown.page.mouse.move(1, 1)
    run.shown.frames()
    assert run.shown.locator(TIP).is_hidden()
    assert run.shown.page.locator("i").count() == 0


def written(shown: Shown, scale: float) -> list[int]:
    """Where the score at the left begins, how wide it is, and how high the text below the curve."""
    curve, scrubber = (shown.locator(css).bounding_box() for css in (CURVE, "input[type=range]"))
    left = round(scrubber["x"] - curve["x"] + 8)
    ink = shown.pixels(CURVE)[..., 3] > 128
    score = np.flatnonzero(ink[:, : left - 3].any(axis=0))
    below = ink[-round(26 * scale) + 2 :, left : left + round(60 * scale)].any(axis=1)
    return [int(score[0]), int(score[-1] - score[0]), int(below.sum())]


def test_texts_grow_with_the_type_of_the_panel_around(show):
    run = Run(show, [])
    run.play(range(2), -12345.678)
    run.player.mark(1, "sigma 1")
    run.shown.frames(4)
    _, width, height = usual = written(run.shown, 1)
    assert min(usual) >= 2
    before = run.shown.pixels(CURVE).shape[0]
    run.shown.page.add_style_tag(content=joined("panel.css"))
    run.shown.page.evaluate("() => document.body.classList.add('cnnviz-large')")
    run.shown.wait(f"document.querySelector('{CURVE}').height > argument", before)
    begins, *sizes = written(run.shown, 23 / 15)
    assert sizes == pytest.approx([23 / 15 * width, 23 / 15 * height], abs=2)
    assert begins >= 2
    run.shown.page.evaluate("() => document.body.classList.remove('cnnviz-large')")
    run.shown.wait(f"document.querySelector('{CURVE}').height === argument", before)
    assert written(run.shown, 1) == usual


def test_texts_without_room_are_not_written(show):
    run = Run(show, [], size=448)
    run.play(range(2), 5)
    places = run.shown.page.evaluate(
        """(source) => new Function(source + '; return markPlaces([[40, 300], [50, 60], [60, 60], [400, 90]], 448)')()""",
        (run.player._esm.split("export default")[0]),
    )
    assert places == [None, {"left": 48, "row": 1}, {"left": 58, "row": 0}, {"left": 312, "row": 0}]

"""Frames in the browser: drawn, acknowledged, looked back at; the curve; what a reload shows."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.views import FramePlayer
from tests.views.harness import SHIM, Shown
from tests.views.test_pacing import Clock

PICTURE = ".cnnviz-player-picture"
CURVE = ".cnnviz-player-curve"
READOUT = ".cnnviz-player-readout"
SCRUBBER = "input[type=range]"

pytestmark = pytest.mark.browser


def encoded(value: int, kind: str = "JPEG", size: tuple[int, int] = (32, 24)) -> bytes:
    """One grey picture; JPEG keeps flat grey exactly."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


class Run:
    """A player in the page, offered frames whose grey is their step."""

    def __init__(self, show: Callable[[FramePlayer], Shown]) -> None:
        self.clock = Clock()
        self.player = FramePlayer(clock=self.clock, size=128)
        self.player.start(1, total_steps=200)
        self.shown = show(self.player)

    def offer(self, step: int, images: int = 1) -> bool:
        self.clock.now += 0.04
        return self.player.offer(step, [float(step)] * images, lambda: encoded(step))

    def play(self, steps: range) -> None:
        for step in steps:
            self.offer(step)
            self.wait_step(step)
            self.shown.page.wait_for_timeout(30)
            self.shown.pump()

    def wait_step(self, step: int) -> None:
        self.shown.wait(f"document.querySelector('{PICTURE}').dataset.step === String(argument)", step)

    def grey(self) -> int:
        return int(self.shown.pixels(PICTURE)[10, 10, 0])

    def scrub(self, step: int) -> None:
        script = "(node, step) => { node.value = step; node.dispatchEvent(new Event('input')); }"
        self.shown.locator(SCRUBBER).evaluate(script, step)

    def reload(self, show: Callable[[FramePlayer], Shown]) -> None:
        self.shown.page.reload()
        self.shown.page.add_script_tag(content=SHIM)
        self.shown = show(self.player)

    def acks(self) -> list[list]:
        return [sent for sent in self.shown.page.evaluate("() => harness.model.sentAt") if sent[0] == "ack"]


@pytest.fixture
def run(show) -> Run:
    return Run(show)


def test_a_frame_is_drawn_and_acknowledged(run: Run):
    run.offer(7)
    run.wait_step(7)
    assert run.grey() == 7
    assert run.shown.data(PICTURE, "number") == "1"
    assert run.shown.data(PICTURE, "run") == "1"
    assert run.shown.data(PICTURE, "live") == "true"
    run.shown.wait("harness.model.sentAt.some(([type]) => type === 'ack')")
    run.shown.pump()
    assert {"type": "ack", "run": 1, "number": 1} in run.shown.messages
    assert run.player._pacer.outstanding == 0


def test_acknowledgements_are_rare_and_the_last_one_surely_comes(run: Run):
    for step in range(13):
        run.offer(step)
        run.shown.page.wait_for_timeout(40)
    run.shown.wait("harness.model.outbox.some(({ content }) => content.type === 'ack' && content.number === 13)")
    times = [time for _, time in run.acks()]
    assert len(times) >= 2
    assert min(np.diff(times)) >= 195


def test_the_newest_of_many_frames_at_once_wins(run: Run):
    run.shown.page.evaluate(
        """() => {
          harness.drawn = new Set();
          new MutationObserver(() => harness.drawn.add(document.querySelector('canvas').dataset.step))
            .observe(document.querySelector('canvas'), { attributes: true });
          harness.held = [];
          harness.open = harness.receive;
          harness.receive = (...all) => harness.held.push(all);
        }"""
    )
    for step in range(10):
        run.offer(step)
    run.shown.page.evaluate("() => { for (const all of harness.held) harness.open(...all); }")
    run.wait_step(9)
    drawn = run.shown.page.evaluate("() => [...harness.drawn]")
    assert set(drawn) <= {None, "0", "9"}
    assert run.shown.locator(READOUT).text_content().startswith("step 9 of 200")


def test_frames_of_another_run_are_not_drawn(run: Run):
    run.play(range(3))
    run.player.send({"type": "frame", "run": 0, "number": 9, "step": 50}, [encoded(50), b"", b""])
    run.offer(3)
    run.wait_step(3)
    assert run.grey() == 3


def test_a_broken_frame_is_skipped_and_acknowledged(run: Run):
    run.clock.now += 1
    run.player.offer(0, [0.0], lambda: b"no picture")
    run.shown.wait("harness.model.sentAt.some(([type]) => type === 'ack')")
    run.offer(1)
    run.wait_step(1)


def test_at_rest_the_picture_is_exact(run: Run):
    run.play(range(2))
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    run.player.rest(2, [2.0], buffer.getvalue())
    run.wait_step(2)
    assert (run.shown.pixels(PICTURE)[..., :3] == noise).all()
    assert run.shown.locator(PICTURE).evaluate("(node) => getComputedStyle(node).imageRendering") == "pixelated"
    run.player.size = 64
    run.shown.frames(4)
    assert run.shown.locator(PICTURE).evaluate("(node) => getComputedStyle(node).imageRendering") == "auto"


def test_the_run_goes_on_after_a_rest(run: Run):
    run.play(range(2))
    run.player.rest(2, [2.0], encoded(77, "PNG"))
    run.wait_step(2)
    run.play(range(3, 5))
    assert run.grey() == 4
    run.shown.pump()
    assert run.player._pacer.outstanding <= 4


def test_the_scrubber_goes_back_while_frames_arrive_and_live_returns(run: Run):
    run.play(range(10, 16))
    run.scrub(12)
    run.wait_step(12)
    run.shown.pump()
    assert run.player.looking_at == 12
    assert run.grey() == 12
    assert run.shown.data(PICTURE, "live") == "false"
    number = run.player._pacer.number
    for step in range(16, 20):
        run.offer(step)
    run.shown.wait("harness.model.outbox.some(({ content }) => content && content.number > argument)", number)
    run.shown.pump()
    assert run.shown.data(PICTURE, "step") == "12"
    assert run.player._pacer.outstanding <= 3
    run.shown.locator("[aria-label^='Go back to the newest']").click()
    run.wait_step(19)
    run.shown.pump()
    assert run.player.looking_at == -1
    assert run.shown.data(PICTURE, "live") == "true"


def test_the_scrubber_obeys_keys_that_do_not_leak(run: Run):
    run.play(range(5))
    run.shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    run.shown.locator(SCRUBBER).press("ArrowLeft")
    run.wait_step(3)
    run.shown.locator(SCRUBBER).press("Home")
    run.wait_step(0)
    assert run.shown.locator(SCRUBBER).get_attribute("aria-valuetext") == "step 0 of 200"
    run.shown.locator(SCRUBBER).press("End")
    run.wait_step(4)
    run.shown.pump()
    assert run.player.looking_at == -1
    assert run.shown.page.evaluate("() => window.leaked") is None


def test_python_makes_it_look_back(run: Run):
    run.play(range(5))
    run.player.looking_at = 2
    run.wait_step(2)
    run.player.looking_at = -1
    run.wait_step(4)


def test_a_step_without_a_frame_shows_the_nearest_one(run: Run):
    run.play(range(10, 30, 5))
    run.scrub(16)
    run.wait_step(15)
    run.shown.wait("harness.model.outbox.some(({ content }) => content && content.type === 'want')")
    run.shown.pump()
    run.shown.frames(3)
    assert run.shown.data(PICTURE, "step") == "15"
    run.scrub(16)
    run.shown.pump()
    assert [message for message in run.shown.messages if message["type"] == "want"] == [
        {"type": "want", "run": 1, "step": 16}
    ]


def test_a_reload_shows_the_rest_and_asks_for_the_past(run: Run, show):
    run.play(range(4))
    run.player.rest(4, [9.0], encoded(200, "PNG"))
    run.reload(show)
    run.wait_step(4)
    assert run.grey() == 200
    assert run.shown.locator(READOUT).text_content() == "step 4 of 2009"
    label = run.shown.locator(CURVE).get_attribute("aria-label")
    assert label == "Score over 5 steps, from 0 to 9"
    run.scrub(1)
    run.shown.wait("harness.model.outbox.some(({ content }) => content && content.type === 'want')")
    run.shown.pump()
    run.wait_step(1)
    assert run.grey() == 1


def test_a_lost_answer_is_asked_for_again(run: Run, show):
    run.play(range(4))
    run.reload(show)
    run.player.rest(4, [9.0], encoded(200, "PNG"))
    run.wait_step(4)
    run.shown.lost = lambda message: message.get("content", {}).get("type") == "past"
    run.scrub(1)
    run.shown.pump()
    run.shown.lost = lambda message: False
    run.shown.wait("harness.model.outbox.some(({ content }) => content && content.type === 'want')")
    run.shown.pump()
    run.wait_step(1)


def test_the_curve_grows_with_frames_and_survives_lost_ones(run: Run):
    run.play(range(3))
    run.shown.lost = lambda message: True
    run.offer(3)
    run.shown.lost = lambda message: False
    run.offer(4)
    run.wait_step(4)
    run.shown.frames()
    assert run.shown.locator(CURVE).get_attribute("aria-label") == "Score over 5 steps, from 0 to 4"


def test_the_curve_is_drawn_one_line_an_image(run: Run):
    for step in range(0, 200, 10):
        run.clock.now += 1
        run.player.offer(step, [step, 200 - step], lambda: encoded(5))
        run.shown.pump()
    run.player.rest(199, [199.0, 1.0], encoded(6, "PNG"))
    run.wait_step(199)
    canvas = run.shown.pixels(CURVE)
    first, second = (15, 127, 191), (213, 94, 0)
    for color, rising in ((first, True), (second, False)):
        rows, columns = np.nonzero((canvas[..., :3] == color).all(axis=2) & (canvas[..., 3] == 255))
        assert len(rows) > 50
        assert (np.corrcoef(rows, columns)[0, 1] < 0) == rising
    assert run.player.images == 2


def test_scores_that_are_no_numbers_break_nothing(run: Run):
    for step, score in enumerate([1.0, float("nan"), float("inf"), 2.0]):
        run.clock.now += 1
        run.player.offer(step, [score], lambda: encoded(5))
    run.wait_step(3)
    run.shown.frames()
    assert run.shown.locator(CURVE).get_attribute("aria-label") == "Score over 4 steps, from 1 to 2"


def test_a_new_run_starts_over(run: Run):
    run.play(range(3))
    run.player.start(2, total_steps=50)
    run.shown.wait("document.querySelector('input').max === '50'")
    assert run.shown.locator(READOUT).text_content() == "no frame yet"
    assert run.shown.data(PICTURE, "run") == "1"
    run.offer(0)
    run.wait_step(0)
    assert run.shown.data(PICTURE, "run") == "2"


def test_nothing_is_acknowledged_without_a_view(run: Run):
    run.shown.page.evaluate("() => harness.views[0].end()")
    run.offer(5)
    run.shown.frames(5)
    assert run.acks() == []
    run.shown.page.evaluate("() => { document.body.replaceChildren(); return harness.render(); }")
    run.wait_step(5)
    run.shown.wait("harness.model.sentAt.some(([type]) => type === 'ack')")


def test_two_views_show_the_same(run: Run):
    run.shown.page.evaluate("() => harness.render()")
    run.offer(8)
    run.shown.wait(
        f"[...document.querySelectorAll('{PICTURE}')].filter((node) => node.dataset.step === '8').length === 2"
    )


def test_a_player_taken_out_and_put_back_goes_on(run: Run):
    run.play(range(2))
    run.shown.page.evaluate("() => { harness.el = harness.views[0].el; harness.el.remove(); }")
    run.shown.frames(3)
    run.offer(2)
    run.shown.frames(3)
    run.shown.page.evaluate("() => document.body.prepend(harness.el)")
    run.wait_step(2)
    run.shown.frames(4)
    assert run.grey() == 2
    assert (run.shown.pixels(CURVE)[..., 3] > 0).any()


def test_status_and_caption_are_text(run: Run):
    run.player.status, run.player.caption = "<b>s</b>", "<i>c</i>"
    run.shown.wait("document.querySelector('.cnnviz-caption').textContent === '<i>c</i>'")
    assert run.shown.locator(".cnnviz-player-status").text_content() == "<b>s</b>"
    assert run.shown.page.locator("b, i").count() == 0

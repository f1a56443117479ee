"""The Python side of the frames, with a recorded `_send` in the browser's place."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from cnnviz_widgets.views import FramePlayer
from tests.views.test_pacing import Clock


class Browser:
    """A player whose messages end here."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.player = FramePlayer(clock=self.clock)
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.updates: list[dict[str, Any]] = []
        self.player._send = self._record

    def _record(self, message: dict[str, Any], buffers: list[Any] | None = None) -> None:
        if message["method"] == "custom":
            self.sent.append((message["content"], list(buffers or [])))
        else:
            binary = {
                path[0]: bytes(buffer) for path, buffer in zip(message["buffer_paths"], buffers or [], strict=True)
            }
            self.updates.append(message["state"] | binary)

    def frames(self) -> list[dict[str, Any]]:
        return [content for content, _ in self.sent if content["type"] == "frame"]

    def scores(self, index: int = -1) -> tuple[list[int], np.ndarray]:
        _, (_, scores, steps) = self.sent[index]
        numbers = np.frombuffer(steps, "<i4")
        return numbers.tolist(), np.frombuffer(scores, "<f4").reshape(len(numbers), -1)

    def say(self, **content: Any) -> None:
        self.player._handle_custom_msg(content, [])

    def offer(self, step: int, seconds: float = 0.04, images: int = 1) -> bool:
        self.clock.now += seconds
        return self.player.offer(step, [float(step)] * images, lambda: b"jpeg %d" % step)


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.player.start(1, total_steps=100)
    return browser


def test_a_frame_carries_run_number_step_and_picture(browser: Browser):
    assert browser.offer(0)
    content, buffers = browser.sent[0]
    assert content == {"type": "frame", "run": 1, "number": 1, "step": 0}
    assert buffers[0] == b"jpeg 0"


def test_pictures_that_are_not_sent_are_not_encoded(browser: Browser):
    encoded: list[int] = []

    def encode(step: int) -> bytes:
        encoded.append(step)
        return b""

    for step in range(10):
        browser.clock.now += 0.01
        browser.player.offer(step, [0.0], lambda step=step: encode(step))
    assert encoded == [frame["step"] for frame in browser.frames()] == [0, 4, 8]


def test_steps_between_frames_keep_their_scores(browser: Browser):
    for step in range(9):
        browser.offer(step, seconds=0.01, images=2)
        if browser.sent:
            browser.say(type="ack", run=1, number=browser.frames()[-1]["number"])
    steps, scores = browser.scores()
    assert steps == [5, 6, 7, 8]
    assert scores.tolist() == [[step, step] for step in steps]


def test_scores_of_a_lost_message_come_again_with_the_next(browser: Browser):
    browser.offer(0)
    browser.say(type="ack", run=1, number=1)
    browser.offer(1)
    browser.offer(2)
    assert browser.scores()[0] == [1, 2]
    browser.say(type="ack", run=1, number=2)
    browser.offer(3)
    assert browser.scores()[0] == [2, 3]


def test_starved_of_acknowledgements_two_frames_a_second(browser: Browser):
    for step in range(250):
        browser.offer(step)
    assert 13 + 2 * 8 - 2 <= len(browser.frames()) <= 13 + 2 * 9
    first, *_ = browser.scores()
    assert first[0] == 0


def test_an_acknowledgement_ends_the_starvation(browser: Browser):
    for step in range(100):
        browser.offer(step)
    browser.say(type="ack", run=1, number=browser.frames()[-1]["number"])
    before = len(browser.frames())
    for step in range(100, 110):
        browser.offer(step)
    assert len(browser.frames()) == before + 10


def test_acknowledgements_of_an_old_run_are_ignored(browser: Browser):
    for step in range(20):
        browser.offer(step)
    browser.player.start(2, total_steps=100)
    for step in range(20):
        browser.offer(step)
    before = len(browser.frames())
    browser.say(type="ack", run=1, number=13)
    assert not browser.offer(20)
    browser.say(type="ack", run=2, number=13)
    assert browser.offer(21)
    assert len(browser.frames()) == before + 1


@pytest.mark.parametrize("number", [None, "7", 99, -1, 0])
def test_senseless_acknowledgements_change_nothing(browser: Browser, number: Any):
    browser.offer(0)
    browser.say(type="ack", run=1, number=number)
    browser.say(type="nonsense", run=1)
    browser.say()
    assert browser.player._pacer.outstanding == 1


def test_rest_sets_picture_and_whole_curve_in_one_update(browser: Browser):
    for step in range(5):
        browser.offer(step, images=2)
    browser.updates.clear()
    browser.player.rest(5, [5.0, 5.0], b"png")
    (update,) = browser.updates
    assert set(update) == {"still", "step", "images", "curve", "curve_steps"}
    player = browser.player
    assert (player.still, player.step, player.images) == (b"png", 5, 2)
    assert np.frombuffer(player.curve_steps, "<i4").tolist() == [0, 1, 2, 3, 4, 5]
    assert np.frombuffer(player.curve, "<f4").reshape(6, 2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_rest_at_the_last_offered_step_adds_no_row(browser: Browser):
    browser.offer(0)
    browser.offer(1)
    browser.player.rest(1, [7.0], b"png")
    assert np.frombuffer(browser.player.curve, "<f4").tolist() == [0, 7]


def test_after_a_rest_the_next_frame_carries_its_own_step_only(browser: Browser):
    browser.offer(0)
    browser.player.rest(1, [1.0], b"png")
    browser.offer(2)
    assert browser.scores()[0] == [2]


def test_a_page_that_says_hello_gets_the_whole_curve(browser: Browser):
    for step in range(3):
        browser.offer(step)
        browser.say(type="ack", run=1, number=step + 1)
    browser.offer(3)
    browser.say(type="hello", run=1)
    browser.say(type="ack", run=1, number=4)
    browser.offer(4)
    assert browser.scores()[0] == [0, 1, 2, 3, 4]


def test_going_back_to_a_step_replaces_what_came_after_it(browser: Browser):
    for step in range(6):
        browser.offer(step)
        browser.say(type="ack", run=1, number=step + 1)
    browser.offer(2)
    assert browser.scores()[0] == [2]
    browser.player.rest(3, [3.0], b"png")
    assert np.frombuffer(browser.player.curve_steps, "<i4").tolist() == [0, 1, 2, 3]


def test_looking_back_gets_the_nearest_kept_frame(browser: Browser):
    browser.say(type="want", run=1, step=3)
    assert browser.sent[-1] == ({"type": "past", "run": 1, "step": -1, "wanted": 3}, [])
    for step in range(0, 40, 4):
        browser.offer(step)
        browser.say(type="ack", run=1, number=len(browser.frames()))
    browser.say(type="want", run=1, step=13)
    assert browser.sent[-1] == ({"type": "past", "run": 1, "step": 12, "wanted": 13}, [b"jpeg 12"])
    browser.say(type="want", run=0, step=13)
    assert browser.sent[-1][0]["wanted"] == 13
    count = len(browser.sent)
    browser.say(type="want", run=1, step=None)
    assert len(browser.sent) == count


def test_start_forgets_the_run_before_in_one_update(browser: Browser):
    browser.offer(0)
    browser.player.rest(0, [0.0], b"png")
    browser.player.assign(looking_at=0, caption="a banana")
    browser.updates.clear()
    browser.player.start(2, total_steps=50)
    (update,) = browser.updates
    assert update["run"] == 2
    assert (update["looking_at"], update["caption"]) == (-1, "")
    assert browser.player.still == browser.player.curve == b""
    browser.say(type="want", run=2, step=0)
    assert browser.sent[-1][0]["step"] == -1
    assert browser.offer(0, images=5)
    assert browser.frames()[-1]["number"] == 1


def test_run_numbers_must_grow(browser: Browser):
    with pytest.raises(ValueError, match="run is 1, expected a number above 1"):
        browser.player.start(1, total_steps=5)


def test_a_run_started_while_encoding_gets_no_frame_of_the_old(browser: Browser):
    def encode() -> bytes:
        browser.player.start(2, total_steps=5)
        return b"old"

    browser.clock.now += 1
    assert not browser.player.offer(0, [0.0], encode)
    assert browser.frames() == []


def test_worker_and_browser_at_the_same_time():
    player = FramePlayer()
    player._send = lambda message, buffers=None: None
    player.start(1, total_steps=3000)
    failures: list[BaseException] = []

    def answer() -> None:
        try:
            for number in range(3000):
                player._handle_custom_msg({"type": "ack", "run": 1, "number": number}, [])
                player._handle_custom_msg({"type": "want", "run": 1, "step": number}, [])
                player.set_state({"looking_at": number % 7})
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=answer)
    thread.start()
    for step in range(3000):
        player.offer(step, [0.0, 1.0], lambda: b"jpeg")
        if step % 100 == 0:
            player.rest(step, [0.0, 1.0], b"png")
    thread.join()
    assert failures == []
    assert player._scores.images == 2
    assert len(player._scores) == 3000


def test_start_tells_labels_and_forgets_marks_and_branches(browser: Browser):
    browser.player.start(2, 50, ["red", "<b>green</b>"])
    assert browser.player.labels == ["red", "<b>green</b>"]
    for step in range(5):
        browser.offer(step, images=2)
    browser.player.mark(1, "sigma 0.5")
    browser.player.branch(2)
    browser.player.start(3, 50)
    player = browser.player
    assert (player.labels, player.marks, player.branches, player.former, player.former_steps) == ([], [], [], b"", b"")


def test_marks_are_told_once_and_bounded(browser: Browser):
    browser.updates.clear()
    browser.player.mark(3, "sigma 0.5")
    browser.player.mark(3, "sigma 0.5")
    browser.player.mark(3, "decay 0.1")
    assert browser.player.marks == [(3, "sigma 0.5"), (3, "decay 0.1")]
    assert [list(update) for update in browser.updates] == [["marks"], ["marks"]]
    for step in range(4, 300):
        browser.player.mark(step, "sigma")
    assert len(browser.player.marks) == 200
    assert browser.player.marks[-1] == (299, "sigma")


def former(player: FramePlayer) -> list[tuple[int, float]]:
    """Rows of the first score column that branches left behind."""
    steps = np.frombuffer(player.former_steps, "<i4")
    scores = np.frombuffer(player.former, "<f4").reshape(len(steps), -1)
    return list(zip(steps.tolist(), scores[:, 0].tolist(), strict=True))


def test_a_branch_keeps_what_came_after_it_in_one_update(browser: Browser):
    for step in range(6):
        browser.offer(step, images=2)
        browser.say(type="ack", run=1, number=step + 1)
    browser.player.rest(6, [6.0, 6.0], b"png")
    browser.player.mark(3, "at the branch")
    browser.player.mark(4, "after it")
    browser.player.looking_at = 3
    browser.updates.clear()
    browser.player.branch(3)
    player = browser.player
    assert len(browser.updates) == 1
    assert (player.branches, player.looking_at, player.images) == ([3], -1, 2)
    assert former(player) == [(3, 3), (4, 4), (5, 5), (6, 6)]
    assert np.frombuffer(player.curve_steps, "<i4").tolist() == [0, 1, 2, 3]
    assert player.marks == [(3, "at the branch")]
    assert (player.still, player.step) == (b"", 3)
    assert [step for step, _ in player.film()] == [0, 1, 2, 3]
    browser.offer(4, images=2)
    assert browser.scores()[0] == [4]
    player.rest(5, [9.0, 9.0], b"png")
    assert np.frombuffer(player.curve_steps, "<i4").tolist() == [0, 1, 2, 3, 4, 5]
    player.branch(1)
    assert former(player)[4:] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 9)]
    assert player.branches == [3, 1]


def test_only_the_last_branches_are_kept(browser: Browser):
    browser.offer(0)
    for _ in range(10):
        browser.offer(1)
        browser.player.branch(0)
    assert len(browser.player.branches) == 10
    assert former(browser.player) == [(0, 0), (1, 1)] * 8


def test_a_branch_at_the_newest_step_leaves_nothing_behind(browser: Browser):
    browser.offer(0)
    browser.player.rest(2, [2.0], b"png")
    browser.player.looking_at = 2
    browser.player.branch(2)
    player = browser.player
    assert (player.branches, player.former, player.still, player.looking_at) == ([], b"", b"png", -1)


def test_a_branch_needs_a_step_that_was_offered(browser: Browser):
    with pytest.raises(ValueError, match="step is 0, expected one that was offered"):
        browser.player.branch(0)
    browser.offer(3)
    with pytest.raises(ValueError, match="step is 2"):
        browser.player.branch(2)


def test_a_frame_of_before_the_branch_is_not_sent_after_it(browser: Browser):
    browser.offer(0)
    browser.offer(1)

    def encode() -> bytes:
        browser.player.branch(0)
        return b"old"

    before = len(browser.frames())
    browser.clock.now += 1
    assert not browser.player.offer(2, [2.0], encode)
    assert len(browser.frames()) == before


def test_acknowledgements_of_before_a_branch_hide_no_scores(browser: Browser):
    for step in range(6):
        browser.offer(step)
    browser.player.branch(1)
    browser.offer(2)
    browser.say(type="ack", run=1, number=6)
    browser.offer(3)
    assert browser.scores()[0] == [2, 3]


def test_the_film_is_the_frames_sent_oldest_first(browser: Browser):
    assert browser.player.film() == []
    for step in range(0, 10, 2):
        browser.offer(step)
    assert browser.player.film() == [(step, b"jpeg %d" % step) for step in range(0, 10, 2)]

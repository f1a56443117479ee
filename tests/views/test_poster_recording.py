"""A poster in a page without Python: the same pictures, in as many sizes as there is room for."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from cnnviz_widgets.views import Poster, PosterBand, PosterTile
from cnnviz_widgets.views._poster_pictures import SIDES
from cnnviz_widgets.views.standalone import page
from tests.views.test_poster import CANVAS, COLORS, VIEWPORT, two_layers


def noisy(count: int = 4, side: int = 300) -> Poster:
    view, rng = Poster(), np.random.default_rng(0)
    tiles = [
        PosterTile(f"a:{i}", Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)))
        for i in range(count)
    ]
    view.show([PosterBand("a", tiles)])
    return view


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def test_every_picture_is_answered_in_every_size() -> None:
    recording = noisy().recording()
    assert list(recording.state["sides"]) == list(SIDES)
    found = {tuple(answer.question["wanted"]): size_of(answer.buffers[0])[0] for answer in recording.answers}
    assert found == {(i, level): min(side, 300) for i in range(4) for level, side in enumerate(SIDES)}
    assert len(recording.state["coarse"]) > 4 * 12


def test_sizes_for_which_there_is_no_room_are_not_asked_for() -> None:
    view = noisy()
    whole = {len(answer.buffers[0]) for answer in view.recording().answers if answer.question["wanted"][1] == 4}
    recording = view.recording(most_bytes=3 * max(whole))
    levels = {answer.question["wanted"][1] for answer in recording.answers}
    assert levels == set(range(len(recording.state["sides"])))
    assert 0 < len(levels) < len(SIDES)
    assert sum(len(answer.buffers[0]) for answer in recording.answers) <= 3 * max(whole)
    assert not view.recording(most_bytes=0).answers
    assert list(view.sides) == list(SIDES)


def test_a_recording_stays_when_the_poster_goes_on() -> None:
    view = two_layers()
    before = view.recording()
    version, answers = before.state["version"], before.answers
    view.show([])
    assert before.state["version"] == version
    assert before.answers == answers
    assert before.answers[0].message["version"] == version


@pytest.mark.browser
def test_the_page_shows_them_and_zooms_without_python(tmp_path: Path, chromium: Browser) -> None:
    view = two_layers(lines=("score 7.5",))
    file = tmp_path / "poster.html"
    file.write_text(page(view, title="Layers"), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 800, "height": 700})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(file.as_uri())
    canvas = opened.locator(CANVAS)
    expect(canvas).to_have_attribute("data-settled", "true", timeout=20_000)
    home = canvas.get_attribute("data-view")
    opened.locator(VIEWPORT).press("Shift+ArrowRight")
    opened.locator(VIEWPORT).press("Enter")
    expect(canvas).to_have_attribute("data-details", re.compile("[1-9]"), timeout=20_000)
    expect(canvas).to_have_attribute("data-settled", "true", timeout=20_000)
    assert canvas.get_attribute("data-view") != home
    middle = canvas.evaluate(
        """(canvas) => [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3)"""
    )
    assert min(np.abs(np.subtract(middle, color)).max() for color in COLORS.values()) <= 6
    context.close()
    assert not faults

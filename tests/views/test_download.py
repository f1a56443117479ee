"""A file handed to the browser: saved once by each page that displays the view, with its bytes and its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Download as Saved

from cnnviz_widgets.views import Download
from tests.views.harness import Shown

DATA = bytes(range(256)) * 20


def test_one_message_with_the_bytes_in_a_buffer():
    view, sent = Download(), []
    view._send = lambda message, buffers=None: sent.append((message, buffers))
    view.offer("a.png", bytearray(b"abc"), "image/png")
    content = {"type": "file", "name": "a.png", "mime": "image/png"}
    assert sent == [({"method": "custom", "content": content}, [b"abc"])]
    assert type(sent[0][1][0]) is bytes


@pytest.mark.parametrize(
    ("name", "data", "message"), [("", b"a", "name is ''"), (" ", b"a", "name"), ("a.png", b"", "'a.png'")]
)
def test_what_cannot_be_a_file_is_refused(name: str, data: bytes, message: str):
    view, sent = Download(), []
    view._send = lambda message, buffers=None: sent.append(message)
    with pytest.raises(ValueError, match=message):
        view.offer(name, data)
    assert sent == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "saved_as"), [("Möwe 17.png", "Möwe 17.png"), ("<b>x</b>.png", "_b_x__b_.png"), ("../up.png", None)]
)
def test_the_browser_saves_the_bytes_under_the_name(show: Callable[[Any], Shown], tmp_path: Path, name, saved_as):
    shown = show(Download())
    with shown.page.expect_download() as waiting:
        shown.view.offer(name, DATA, "image/png")
    saved = waiting.value
    assert "/" not in saved.suggested_filename
    assert saved_as in (None, saved.suggested_filename)
    saved.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == DATA
    assert shown.page.locator("b, a").count() == 0


@pytest.mark.browser
def test_nothing_is_seen(show: Callable[[Any], Shown]):
    shown = show(Download())
    assert shown.page.evaluate("() => harness.views[0].el.getBoundingClientRect().height") == 0


@pytest.mark.browser
def test_a_page_saves_once_and_only_while_it_displays_the_view(show: Callable[[Any], Shown]):
    shown = show(Download())
    saved: list[Saved] = []
    shown.page.on("download", lambda download: saved.append(download))
    shown.page.evaluate("() => harness.render()")
    with shown.page.expect_download():
        shown.view.offer("twice displayed.bin", DATA)
    shown.page.evaluate("() => { harness.views[0].end(); harness.views[1].end(); }")
    shown.view.offer("not displayed.bin", DATA)
    shown.page.evaluate("() => harness.render()")
    with shown.page.expect_download():
        shown.view.offer("displayed again.bin", DATA)
    assert [download.suggested_filename for download in saved] == ["twice displayed.bin", "displayed again.bin"]


@pytest.mark.browser
def test_a_closed_view_saves_nothing(show: Callable[[Any], Shown]):
    shown = show(Download())
    shown.page.evaluate("() => harness.end()")
    assert shown.page.evaluate("() => harness.model.handlers.length") == 0

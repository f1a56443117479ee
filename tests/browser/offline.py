"""A saved page as its reader has it: a file, no Python, no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

_LOCAL = ("file:", "blob:", "data:")


@contextmanager
def opened_offline(chromium: Browser, file: Path) -> Iterator[Page]:
    """Open a downloaded HTML file without a network, and see at the end that it asked nobody and raised nothing.

    Raises
    ------
    AssertionError
        The page asked for an address that is not its own, or an error of its was not caught.
    """
    target = file.with_suffix(".html")
    target.write_bytes(file.read_bytes())
    context = chromium.new_context(viewport={"width": 1200, "height": 1000}, offline=True)
    asked: list[str] = []
    faults: list[str] = []
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.goto(target.as_uri())
        yield page
        assert [address for address in asked if not address.startswith(_LOCAL)] == []
        assert faults == []
    finally:
        context.close()

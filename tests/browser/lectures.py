"""Notebooks served for a lecture, by the command that a lecturer types, and a page of them that is watched."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.server import REPOSITORY, START_SECONDS

SCREENSHOTS = REPOSITORY / "test-output"
PATIENCE = 120_000


def answers(url: str) -> bool:
    """Whether something is served there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def served(folder: Path, place: str, environment: dict[str, str]) -> Iterator[str]:
    """The address where the notebooks of ``folder / place`` are served; what the server says goes to ``folder / log.txt``.

    Raises
    ------
    RuntimeError
        The server ended, or did not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    own = {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    options = [f"--port={port}", "--no-browser", "--Voila.port_retries=0"]
    command = [sys.executable, "-m", "cnnviz_widgets.lecture", place, *options]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**kept, **own, **environment}, stdout=log, stderr=log)
    url = f"http://localhost:{port}/"
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the pages are not served:\n{(folder / 'log.txt').read_text('utf-8')[-3000:]}")
        time.sleep(0.1)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Watched:
    """A page, and what went wrong on it or went elsewhere."""

    page: Page
    home: str
    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url.replace("ws:", "http:", 1)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))

    def _asked(self, url: str) -> None:
        self.hosts.add(
            re.sub(r"^((?:blob:)?https?://[^/]+/).*", r"\1", url) if url.startswith(("http", "blob")) else url[:5]
        )

    def open(self, path: str) -> None:
        """Go to a page of the server."""
        self.page.goto(self.home + path, wait_until="commit")

    def cells(self, patience: int = PATIENCE) -> None:
        """Until the cells have run, for so many milliseconds."""
        self.page.wait_for_selector("#rendered_cells", state="visible", timeout=patience)


@contextmanager
def watching(chromium: Browser, address: str, name: str) -> Iterator[Watched]:
    """A page that may ask no other host for anything, and whose console must stay free of errors; pictured in the end.

    Raises
    ------
    AssertionError
        It asked elsewhere, or told an error.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=1)
    context.set_default_timeout(30_000)
    context.route(lambda url: not url.startswith((address, f"blob:{address}", "data:")), lambda route: route.abort())
    watched = Watched(context.new_page(), address)
    try:
        yield watched
    finally:
        SCREENSHOTS.mkdir(exist_ok=True)
        kept = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
        watched.page.screenshot(path=SCREENSHOTS / f"{kept}.png")
        context.close()
    assert watched.hosts <= {address, f"blob:{address}", "data:"}
    assert address in watched.hosts
    assert watched.faults == []

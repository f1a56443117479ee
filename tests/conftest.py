"""What every part of the tests may use: one Chromium a session, and Matplotlib's font cache built beforehand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import chromium as chromium_program

# OpenMP's threads wait by spinning; where the tests share the cores with a browser and kernels, that made steps of an
# ascent ten times slower. Read when torch is loaded, here and in the kernels that the tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the notebooks first and the browser tests last.

    The notebooks are one long file: where two processes share the tests, none should be left alone with it in the end. And
    playwright's synchronous interface leaves an event loop running in the main thread, where ``asyncio.run`` then fails.
    """
    items.sort(key=lambda item: 2 if item.get_closest_marker("browser") else not item.get_closest_marker("notebooks"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one Chromium of the session: playwright cannot be started twice in a thread."""
    with sync_playwright() as playwright:
        browser = chromium_program.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def matplotlib_cache(pytestconfig: pytest.Config) -> Path:
    """Directory for ``MPLCONFIGDIR`` with the font list in it.

    Matplotlib writes to stderr while it builds that list, which tests of quiet cells would take for a fault.
    """
    directory = Path(pytestconfig.cache.mkdir("matplotlib"))
    if not list(directory.glob("fontlist*.json")):
        command = [sys.executable, "-c", "import matplotlib.font_manager"]
        subprocess.run(command, env={**os.environ, "MPLCONFIGDIR": str(directory)}, check=True)
    return directory

"""The ground for tests in a real browser: servers for the session, a notebook for each test.

A test takes `notebook` (in JupyterLab) or `notebook7` (in Notebook 7), opens it with cells and drives it. When the test
ends, the notebook is pictured, checked for faults that no assertion looked for, and closed with its kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.notebook import Notebook
from tests.browser.server import Server

# What comes is waited for: two kernels and two browsers share the machine.
expect.set_options(timeout=30_000)

# Notebook 7 logs this one at each load, without any widget too.
NOTEBOOK7_FAULTS = (r"uncaught error in the page: .*reading 'schema'",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests beside this file as browser tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _serving(application: str, factory: pytest.TempPathFactory, matplotlib_cache: Path) -> Iterator[Server]:
    server = Server(application, factory.mktemp(application), {"MPLCONFIGDIR": str(matplotlib_cache)})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, matplotlib_cache: Path) -> Iterator[Server]:
    """A JupyterLab server."""
    yield from _serving("lab", tmp_path_factory, matplotlib_cache)


@pytest.fixture(scope="session")
def notebook7_server(tmp_path_factory: pytest.TempPathFactory, matplotlib_cache: Path) -> Iterator[Server]:
    """A Notebook 7 server."""
    yield from _serving("notebook", tmp_path_factory, matplotlib_cache)


def _driven(notebook: Notebook) -> Iterator[Notebook]:
    yield notebook
    try:
        if notebook.is_open:
            notebook.screenshot()
            notebook.check()
    finally:
        notebook.close()


@pytest.fixture
def notebook(lab: Server, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook in JupyterLab, not yet open."""
    yield from _driven(Notebook(lab, chromium, request.node.name))


@pytest.fixture
def notebook7(notebook7_server: Server, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook in Notebook 7, not yet open."""
    yield from _driven(Notebook(notebook7_server, chromium, request.node.name, NOTEBOOK7_FAULTS))

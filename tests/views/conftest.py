"""`show(view)` puts a view into Chromium; at the end of the test the page must have stayed quiet and at home."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route

from cnnviz_widgets.views._base import View
from tests.views.harness import ADDRESS, HTML, SHIM, Shown


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page that records errors and every request but its own."""
    context = chromium.new_context(viewport={"width": 800, "height": 900}, device_scale_factor=1)
    page = context.new_page()
    faults: list[str] = []

    def answer(route: Route) -> None:
        if route.request.url == ADDRESS:
            route.fulfill(body=HTML, content_type="text/html")
        else:
            faults.append(f"request to {route.request.url}")
            route.abort()

    page.route(lambda url: url.startswith("http"), answer)
    page.on("pageerror", lambda error: faults.append(f"uncaught {error}"))
    page.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
    page.goto(ADDRESS)
    page.add_script_tag(content=SHIM)
    yield page
    context.close()
    assert not faults


@pytest.fixture
def show(page: Page) -> Callable[[View], Shown]:
    """Puts a view into the page."""
    return lambda view: Shown(view, page)

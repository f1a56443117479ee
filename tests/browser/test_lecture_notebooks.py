"""Each notebook of the project as a page for the lecture hall: it runs to its end, offline, and its panels answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lectures import PATIENCE, SCREENSHOTS, served, watching
from tests.browser.server import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
CELLS = 1_800_000
"""Milliseconds for a notebook's cells; one makes thousands of steps."""
FAULTS = "application/vnd.jupyter.error", "application/vnd.jupyter.stderr"
SHOW_CODE = 'button[title="The Python code that gives the same"]:visible'

pytestmark = [pytest.mark.long, pytest.mark.real]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, matplotlib_cache: Path) -> Iterator[str]:
    """Where a copy of the notebooks is served; what they write stays beside the copy."""
    folder = tmp_path_factory.mktemp("lecture")
    shutil.copytree(FOLDER, folder / "notebooks")
    with served(folder, "notebooks", {"MPLCONFIGDIR": str(matplotlib_cache)}) as url:
        yield url


def last_heading(name: str) -> str:
    """The last heading of a notebook's texts."""
    cells = nbformat.read(FOLDER / name, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return [line.lstrip("#").strip() for line in lines if line.startswith("#")][-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_shown_to_its_end_and_its_panels_answer(name: str, address: str, chromium: Browser) -> None:
    with watching(chromium, address, f"lecture-{name}") as watched:
        page = watched.page
        watched.open(f"voila/render/{name}")
        watched.cells(CELLS)
        expect(page.get_by_role("heading", name=last_heading(name)).last).to_be_attached()
        for fault in FAULTS:
            assert page.locator(f'[data-mime-type="{fault}"]').all_inner_texts() == []
        expect(page.locator("body")).not_to_contain_text("Traceback (most recent call last)")
        button = page.locator(SHOW_CODE).last
        button.scroll_into_view_if_needed(timeout=PATIENCE)
        expect(button).to_have_text("Show code")
        button.click()
        # the button's new name and the code come from Python
        expect(button).to_have_text("Hide code", timeout=PATIENCE)
        expect(page.locator(".cnnviz-note-code:visible").last).to_contain_text("cnn.", timeout=PATIENCE)
        expect(page.locator('.cnnviz-note[data-kind="error"]:visible')).to_have_count(0)
        page.screenshot(path=SCREENSHOTS / f"lecture-whole-{Path(name).stem}.png", full_page=True)

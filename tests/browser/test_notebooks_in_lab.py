"""Every notebook as a user opens it: run from top to bottom, then each panel's main button pressed."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.server import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
ALWAYS = ("00_tour.ipynb",)
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
CELLS_SECONDS = 600
PATIENCE = 120_000

_LOADED = "(count) => window.notebookPanel.content.model.cells.length === count"
# Long notebooks draw their panels one after the other: a picture counts once it has stayed the same for a while.
_SETTLED = """(canvas) => {
  const now = canvas.toDataURL();
  const same = canvas.before === now;
  canvas.before = now;
  return same && canvas.width > 1;
}"""
_OTHER = "(canvas) => canvas.toDataURL() !== canvas.before"


def notebooks() -> list[object]:
    """The notebooks' names; all but the tour are long."""
    return [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long) for name in NAMES]


def open_copy(notebook: Notebook, path: Path) -> None:
    """Open a copy of a notebook that is on disk.

    `Notebook.open` makes a page and a kernel of an empty one, whose file then becomes the copy.
    """
    notebook.open([])
    # On few cores that others use as well, several threads wait for each other most of the time.
    notebook.python("", "import os; os.environ['OMP_NUM_THREADS'] = '1'")
    shutil.copy(path, notebook.server.root / notebook.path)
    notebook.page.evaluate("() => window.notebookPanel.context.revert()")
    cells = nbformat.read(path, as_version=4).cells
    notebook.page.wait_for_function(_LOADED, arg=len(cells))


def settle(canvas: Locator) -> None:
    """Wait until a canvas holds a picture that stays, and remember it for `expect_other`."""
    canvas.scroll_into_view_if_needed(timeout=PATIENCE)
    canvas.page.wait_for_function(_SETTLED, arg=canvas.element_handle(), polling=400, timeout=PATIENCE)


def expect_other(canvas: Locator) -> None:
    """Wait until a canvas holds another picture than the one that `settle` remembered."""
    canvas.page.wait_for_function(_OTHER, arg=canvas.element_handle(), polling=100, timeout=PATIENCE)


def tile_click(panel: Locator) -> None:
    """Click a tile that is not the chosen one, the first or one of the last row in sight: its frame moves there."""
    canvas = panel.locator("canvas.cnnviz-grid-canvas[data-drawn]").first
    settle(canvas)
    chosen = canvas.get_attribute("data-selected")
    height = canvas.evaluate("(canvas) => canvas.clientHeight")
    canvas.click(position={"x": 12, "y": height - 16 if chosen == "0" else 12})
    expect_other(canvas)
    expect(canvas).not_to_have_attribute("data-selected", chosen or "")


def layer_click(panel: Locator, layer: str) -> None:
    """Choose another layer in the tree: other tiles are drawn."""
    canvas = panel.locator("canvas.cnnviz-grid-canvas[data-drawn]").first
    settle(canvas)
    drawn = canvas.get_attribute("data-drawn")
    panel.locator(f'.cnnviz-tree-row[title="{layer}"]').click()
    expect_other(canvas)
    expect(canvas).not_to_have_attribute("data-drawn", drawn or "")


def run_click(panel: Locator) -> None:
    """Press Run, see the picture move, then press Stop."""
    canvas = panel.locator("canvas.cnnviz-player-picture")
    status = panel.locator(".cnnviz-player-status")
    canvas.evaluate("(canvas) => { canvas.before = canvas.toDataURL(); }")
    panel.get_by_role("button", name="Run", exact=True).click()
    expect_other(canvas)
    canvas.evaluate("(canvas) => { canvas.before = canvas.toDataURL(); }")
    expect_other(canvas)
    panel.get_by_role("button", name="Stop", exact=True).click()
    expect(status).to_contain_text("stopped", timeout=PATIENCE)


@pytest.mark.parametrize("name", notebooks())
def test_notebook_runs_and_its_panels_answer(notebook: Notebook, name: str) -> None:
    open_copy(notebook, FOLDER / name)
    notebook.run_all(seconds=CELLS_SECONDS)
    notebook.check()
    panels = notebook.locator(".cnnviz-panel:not(.cnnviz-explorer, .cnnviz-explorer .cnnviz-panel)")
    explorers = notebook.locator(".cnnviz-explorer")
    sources = [cell.source for cell in nbformat.read(FOLDER / name, as_version=4).cells if cell.cell_type == "code"]
    expect(panels).to_have_count(sum("Panel(" in source for source in sources), timeout=PATIENCE)
    expect(explorers).to_have_count(sum("Explorer(" in source for source in sources))
    for explorer in explorers.all():
        shown = explorer.locator(".cnnviz-panel:visible")
        expect(shown.first).to_be_visible()
        for panel in titled(shown, "Filters"):
            tile_click(panel)
    for panel in titled(panels, "Activation maximization"):
        run_click(panel)
    for panel in titled(panels, "Filters"):
        tile_click(panel)
        layer_click(panel, notebook.python("net.convolutions[1].name"))
    for panel in titled(panels, "Activations"):
        tile_click(panel)
        layer_click(panel, notebook.python("net.main_layers[1].name"))
    expect(notebook.locator('.cnnviz-note[data-kind="error"]:visible')).to_have_count(0)


def titled(panels: Locator, title: str) -> list[Locator]:
    """The panels of that title; a run comes before clicks, which choose other units for the panels beside them."""
    return panels.filter(has=panels.page.locator(".cnnviz-title").get_by_text(title, exact=True)).all()

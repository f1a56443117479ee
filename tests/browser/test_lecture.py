"""Notebooks as pages for a lecture: served offline, alive under a click, readable while they begin and when they break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from cnnviz_widgets import lecture
from tests.browser.lectures import PATIENCE, SCREENSHOTS, Watched, served, watching
from tests.browser.pixels import Pixels, read_pixels
from tests.browser.scenes import ACTIVATIONS, DEFAULT, ENDLESS, GREY

SCENES = """
from cnnviz_widgets.panels._scenes import Scenes

a = cnn.ActivationPanel(net, images, selection=selection)
scenes = Scenes(a)
scenes.keep("first layer")
selection.unit = net["3"][5]
scenes.keep("second layer")
import ipywidgets
ipywidgets.VBox([scenes, a])
"""
PAGES = {
    "01_tiny & <b>small.ipynb": ["# A network of $n^2$ weights", GREY, ACTIVATIONS, ENDLESS],
    "02_default.ipynb": ["# The default network", DEFAULT, ACTIVATIONS],
    "03_scenes.ipynb": [GREY, SCENES],
    "04_broken.ipynb": ["# Broken", "import time; time.sleep(4)", "1 / 0", "print('never')"],
    "more/05_inside.ipynb": ["# Inside"],
}


def write(path: Path, cells: Sequence[str]) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    new = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    notebook.cells = [new[source.startswith("#")](source.strip()) for source in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, matplotlib_cache: Path) -> Iterator[str]:
    """Where the pages are served."""
    folder = tmp_path_factory.mktemp("lecture")
    for name, cells in PAGES.items():
        write(folder / "pages" / name, cells)
    with served(folder, "pages", {"MPLCONFIGDIR": str(matplotlib_cache)}) as url:
        yield url


@pytest.fixture
def watched(address: str, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A page of the server."""
    with watching(chromium, address, request.node.name) as page:
        yield page


def becomes_another(locator: Locator, before: Pixels) -> None:
    """Until the picture is another one."""
    for _ in range(200):
        if read_pixels(locator).digest != before.digest:
            return
        locator.page.wait_for_timeout(100)
    raise AssertionError("the picture stays the same")


def test_the_notebooks_are_listed(watched: Watched) -> None:
    watched.open("")
    links = watched.page.get_by_role("link")
    expect(links).to_have_text(["01 tiny & <b>small", "02 default", "03 scenes", "04 broken", "more/"])
    links.last.click()
    expect(links).to_have_text(["↑ the folder above", "05 inside"])
    links.last.click()
    watched.cells()
    expect(watched.page.get_by_role("heading", name="Inside")).to_be_visible()


def test_a_small_network_of_one_s_own(watched: Watched) -> None:
    watched.open("voila/render/01_tiny & <b>small.ipynb")
    watched.cells()
    page = watched.page
    expect(page.locator("mjx-container")).to_be_visible()
    maps = page.locator(".cnnviz-panel").filter(has=page.locator(".cnnviz-grid")).first
    maps.get_by_role("treeitem").filter(has_text="8 × 8 × 8").click()
    right = maps.locator(".cnnviz-row").first.locator(".cnnviz-main").last
    focus = right.locator(".cnnviz-grid canvas").first
    expect(right.locator(".cnnviz-caption").first).not_to_contain_text("as the network sees it")
    before = read_pixels(focus)
    maps.locator(".widget-dropdown").filter(has_text="Image").locator("select").first.select_option(index=2)
    becomes_another(focus, before)
    climber = page.locator(".cnnviz-panel").filter(has=page.locator(".cnnviz-player"))
    picture = climber.locator("canvas.cnnviz-player-picture")
    climber.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function(
        "(canvas) => Number(canvas.dataset.number) >= 5", arg=picture.element_handle(), timeout=PATIENCE
    )
    step, moving = int(picture.get_attribute("data-step") or 0), read_pixels(picture)
    becomes_another(picture, moving)
    assert int(picture.get_attribute("data-step") or 0) > step
    climber.get_by_role("button", name="Stop", exact=True).click()
    expect(climber.locator(".cnnviz-player-status")).to_contain_text("stopped", timeout=PATIENCE)


@pytest.mark.real
def test_the_default_network(watched: Watched) -> None:
    watched.open("voila/render/02_default.ipynb")
    watched.cells()
    page = watched.page
    right = page.locator(".cnnviz-row").first.locator(".cnnviz-main").last
    focus = right.locator(".cnnviz-grid canvas").first
    expect(right.locator(".cnnviz-bars").first).to_contain_text("%", timeout=PATIENCE)
    before = read_pixels(focus)
    page.locator(".cnnviz-row").first.locator(".cnnviz-main").first.locator("canvas").first.click(
        position={"x": 150, "y": 90}
    )
    becomes_another(focus, before)


def test_a_clicker_goes_through_scenes_in_large_type(watched: Watched) -> None:
    watched.open("voila/render/03_scenes.ipynb")
    watched.cells()
    page = watched.page
    place, chosen = page.locator(".cnnviz-presenter-place"), page.locator("[role=treeitem][aria-selected=true]")
    expect(place).to_have_text("2 of 2: second layer", timeout=PATIENCE)
    expect(chosen).to_contain_text("16 × 6 × 6")
    page.get_by_role("button", name="Large type").or_(
        page.get_by_role("button", name="Write everything larger")
    ).click()
    size = "() => parseFloat(getComputedStyle(document.querySelector('.cnnviz-panel .cnnviz-tree')).fontSize)"
    page.wait_for_function(f"({size})() > 20")
    page.get_by_role("button", name="Have a clicker").click()
    expect(page.locator(".cnnviz-presenter-keys")).to_contain_text("Page Down")
    page.locator("h1, body").first.click(position={"x": 2, "y": 2})
    page.keyboard.press("PageUp")
    expect(place).to_have_text("1 of 2: first layer")
    expect(chosen).to_contain_text("8 × 8 × 8")
    page.keyboard.press("PageDown")
    expect(chosen).to_contain_text("16 × 6 × 6")
    page.screenshot(path=SCREENSHOTS / "lecture-large-type.png", full_page=True)


def test_what_it_does_is_to_be_read_while_it_begins_and_when_a_cell_breaks(watched: Watched) -> None:
    watched.open("voila/render/04_broken.ipynb")
    page = watched.page
    expect(page.locator("#loading h1")).to_have_text("04_broken", timeout=PATIENCE)
    expect(page.locator("#loading_text")).to_contain_text("of 4", timeout=PATIENCE)
    assert page.locator("#loading_text").evaluate("(node) => parseFloat(getComputedStyle(node).fontSize)") >= 24
    watched.cells()
    expect(page.get_by_role("heading", name="Broken")).to_be_visible()
    expect(page.locator("body")).to_contain_text("ZeroDivisionError: division by zero")
    expect(page.locator("body")).not_to_contain_text("never")


def test_an_address_that_does_not_exist_leads_back(watched: Watched) -> None:
    watched.open("voila/render/06_none.ipynb")
    expect(watched.page.locator("h1")).to_contain_text("404")
    watched.page.get_by_role("link", name="All notebooks").click()
    expect(watched.page.get_by_role("link").first).to_have_text("01 tiny & <b>small")
    # the browser tells the answer that was asked for
    watched.faults[:] = [fault for fault in watched.faults if "404" not in fault]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.ipynb"], "there is no notebook"),
        (["notes.txt"], "expected a notebook, such as notebooks/00_tour.ipynb"),
    ],
)
def test_a_place_without_notebooks_is_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lecture.main(arguments) == 1
    assert message in capsys.readouterr().err


def test_a_missing_server_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert lecture.main(["."]) == 1
    assert "pip install 'cnnviz_widgets[lecture]'" in capsys.readouterr().err


def test_the_templates_name_no_other_host() -> None:
    templates = list(lecture.JUPYTER_PATH.rglob("*"))
    assert len([path for path in templates if path.is_file()]) >= 7
    assert not [
        path.name for path in templates if path.is_file() and "//" in path.read_text("utf-8").replace("base_url", "")
    ]

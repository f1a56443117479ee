"""A walk through the explorer, as one prepares a lecture: from a photograph to a figure, and from its code to the same figure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.pixels import read_pixels
from tests.browser.scenes import SCENES

PATIENCE = 40_000
IMAGES = {
    "default": "images = cnn.ImageSet.samples(40)",
    "grey": "images = cnn.ImageSet.from_arrays((x[:60, 0] * 255).byte().numpy(), y[:60].tolist())",
    "resnet": "images = cnn.ImageSet.samples(40)",
}
AGAIN = """
import sys
{setup}
{code}
figure.savefig(sys.argv[1], dpi=200)
"""


class Walk:
    """An `Explorer` on the page; in the kernel it is called ``e``."""

    def __init__(self, notebook: Notebook, scene: str, path: Path) -> None:
        self.notebook = notebook
        self.setup = f"{SCENES[scene]}\n{IMAGES[scene]}"
        notebook.open([self.setup, f"e = cnn.Explorer(net, images, path={str(path)!r}); e"])
        notebook.page.set_viewport_size({"width": 1800, "height": 1300})
        notebook.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        notebook.run_all()
        self.box = notebook.locator(".cnnviz-explorer")
        self.slots = self.box.locator(".cnnviz-explorer-slot")
        expect(self.slots).to_have_count(2, timeout=PATIENCE)

    def choose(self, name: str, slot: int = 0) -> Locator:
        """Press a panel's name, and get the panel."""
        self.slots.nth(slot).locator(".cnnviz-tabs").get_by_role("button", name=name, exact=True).click()
        self.notebook.until(f"e.shown[{slot}] == {name!r} and e.wait() is None")
        return self.slots.nth(slot).locator(".cnnviz-panel").first

    def cells(self, place: Locator) -> Locator:
        """The pictures of the first table in sight."""
        return place.locator(".cnnviz-table:visible").first.locator(".cnnviz-table-cell")


@pytest.mark.parametrize(
    "scene", ["default", pytest.param("grey", marks=pytest.mark.long), pytest.param("resnet", marks=pytest.mark.long)]
)
def test_from_a_photograph_to_a_figure_and_back(notebook: Notebook, scene: str, tmp_path: Path) -> None:
    walk = Walk(notebook, scene, tmp_path / "kept")
    strip = walk.box.locator(".cnnviz-table").first
    strip.locator(".cnnviz-table-cell").nth(2).click()
    notebook.until("e.selection.image == images.ids[2]")

    activations = walk.slots.nth(0).locator(".cnnviz-panel").first
    tiles = activations.locator(".cnnviz-grid canvas").first
    notebook.until("e.wait() is None or True")
    box = tiles.bounding_box()
    assert box is not None
    before = notebook.python("e.selection.unit.channel")
    tiles.click(position={"x": box["width"] * 0.45, "y": min(box["height"] * 0.4, 150)})
    notebook.until(f"e.selection.unit.channel != {before}")
    unit = notebook.python("str(e.selection.unit)")
    card = walk.slots.nth(1).locator(".cnnviz-panel").first
    expect(card).to_contain_text(unit, timeout=PATIENCE)

    card.get_by_role("button", name="Build index", exact=True).click()
    notebook.until("e.selection.index is not None and e.selection.index.complete", seconds=120)
    notebook.until("e.wait() is None or True")
    expect(walk.cells(card).first).to_be_visible(timeout=PATIENCE)
    expect(card.locator(".cnnviz-histogram-bar").first).to_be_visible(timeout=PATIENCE)
    card.get_by_role("button", name="Synthesize", exact=True).click()
    expect(card.locator("img.widget-image:visible")).to_have_count(1, timeout=PATIENCE)
    stop = card.get_by_role("button", name="Stop", exact=True)
    if stop.count():
        stop.first.click()
    notebook.screenshot(f"explorer-{scene}-card")

    top = walk.choose("Top images")
    expect(walk.cells(top)).to_have_count(9, timeout=PATIENCE)
    near = walk.choose("Neighbours")
    expect(walk.cells(near).first).to_have_attribute("title", re.compile("^query: "), timeout=PATIENCE)
    map_ = walk.choose("Embedding")
    canvas = map_.locator(".cnnviz-map-canvas")
    expect(canvas).to_have_attribute("data-selected", "2", timeout=PATIENCE)
    expect(canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    assert len(np.unique(read_pixels(canvas).values.reshape(-1, 4), axis=0)) > 20
    notebook.screenshot(f"explorer-{scene}-map")

    top = walk.choose("Top images")
    top.get_by_role("button", name="Show code", exact=True).click()
    shown = top.locator(".cnnviz-note-code:visible")
    expect(shown).to_contain_text("figure = cnn.figures.top_images", timeout=PATIENCE)
    with notebook.page.expect_download(timeout=PATIENCE) as waited:
        top.get_by_role("button", name="Save figure", exact=True).click()
    with Image.open(waited.value.path()) as opened:
        saved = np.asarray(opened.convert("RGB"))
    script = tmp_path / "again.py"
    script.write_text(AGAIN.format(setup=walk.setup, code=shown.text_content()), encoding="utf-8")
    subprocess.run([sys.executable, script, tmp_path / "again.png"], check=True, timeout=300)
    with Image.open(tmp_path / "again.png") as opened:
        again = np.asarray(opened.convert("RGB"))
    assert saved.std() > 10
    assert np.array_equal(saved, again)
    expect(notebook.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")).to_have_count(0)


def test_scenes_lead_through_it(notebook: Notebook, tmp_path: Path) -> None:
    walk = Walk(notebook, "grey", tmp_path / "kept")
    first = notebook.python("e.selection.unit.channel")
    notebook.python(
        "", "e.scenes.keep('first'); e.selection.unit = net.output[3]; e.show_panel('Filters'); e.scenes.keep('second')"
    )
    walk.box.get_by_role("button", name="projector", exact=True).click()
    notebook.until("e.shown == ('Filters',)")
    expect(walk.slots.nth(1)).to_be_hidden()
    size = "(node) => parseFloat(getComputedStyle(node).fontSize)"
    title = walk.box.locator(".cnnviz-title:visible").last
    large = title.evaluate(size)
    notebook.screenshot("explorer-projector")
    notebook.python("", "e.scenes.go('first')")
    notebook.until(f"e.selection.unit.channel == {first} and len(e.shown) == 2")
    expect(walk.slots.nth(1)).to_be_visible()
    assert large > 1.3 * title.evaluate(size)
    notebook.python("", "e.close()")
    expect(walk.box).to_have_count(0)

"""What excites a unit, and who is near whom: a collection walked through in the browser."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import SCENES

TOP = "t = cnn.TopImagesPanel(net, selection=selection); t"
NEIGHBORS = "n = cnn.NeighborsPanel(net, selection=selection); n"
ACTIVATIONS = "a = cnn.ActivationPanel(net, selection=selection); a"
PATIENCE = 60_000
# Per scene the collection, a layer whose units see a part of the image, and a file to drop: its kind and its size.
COLLECTIONS = {
    "default": ("images = cnn.ImageSet.samples(96)", "blocks.2.1.bn1", ("RGB", (320, 240))),
    "grey": (
        "images = cnn.ImageSet.from_arrays((x[:200, 0] * 255).byte().numpy(), y[:200].tolist())",
        "1",
        ("L", (8, 8)),
    ),
    "resnet": ("images = cnn.ImageSet.samples(60)", "layer1.1.relu@2", ("RGB", (90, 80))),
}
_TRANSFER = """([name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  return transfer;
}"""
_PICTURES = """(nodes) => nodes.map((node) => {
  const { naturalWidth, naturalHeight } = node;
  const copy = new OffscreenCanvas(naturalWidth, naturalHeight).getContext("2d");
  copy.drawImage(node, 0, 0);
  return Array.from(copy.getImageData(0, 0, naturalWidth, naturalHeight).data.filter((_, i) => i % 97 === 0)).join();
})"""


class Collection:
    """The panels on one page; in the kernel they are called ``t``, ``n`` and ``a``."""

    def __init__(self, notebook: Notebook, scene: str) -> None:
        self.notebook = notebook
        images, self.layer, self.dropped = COLLECTIONS[scene]
        notebook.open(
            [f"{SCENES[scene]}\n{images}\nselection = cnn.Selection(net, images)", TOP, NEIGHBORS, ACTIVATIONS]
        )
        notebook.run_all()
        self.top, self.neighbors = self.panel("Top images"), self.panel("Nearest neighbours")
        self.table = self.top.locator(".cnnviz-table").first

    def panel(self, title: str) -> Locator:
        """The panel of this title."""
        heading = self.notebook.page.locator(".cnnviz-title", has_text=title)
        return self.notebook.locator(".cnnviz-panel").filter(has=heading)

    def build(self) -> None:
        """Press the button, and see the progress until it is done."""
        self.top.get_by_role("button", name="Build index", exact=True).click()
        expect(self.top).to_contain_text(" units", timeout=PATIENCE)
        expect(self.top.get_by_role("button", name="Build anew", exact=True)).to_be_visible(timeout=PATIENCE)
        assert self.notebook.python("selection.index.complete and selection.index.total == len(images)")

    def cells(self, table: Locator | None = None) -> Locator:
        """The pictures of a table."""
        return (table or self.table).locator(".cnnviz-table-cell")

    def shows_the_top(self) -> None:
        """Until the table shows the nine images of the selection's unit, strongest first."""
        told = self.notebook.python("[f'{m.score:.4g}' for m in selection.index.top_images(selection.unit)]")
        titles = self.notebook.python("[m.id for m in selection.index.top_images(selection.unit)]")
        lines = self.cells().locator(".cnnviz-table-line:first-child")
        expect(lines).to_have_text(told, timeout=PATIENCE)
        expect(self.table).to_have_attribute("data-count", "9")
        for cell, title in zip(self.cells().all(), titles, strict=True):
            expect(cell).to_have_attribute("title", re.compile("^" + re.escape(title) + ": "))

    def pictures(self) -> list[str]:
        """Some of the pixels of each picture."""
        found: list[str] = self.table.locator(".cnnviz-table-picture > img:first-child").evaluate_all(_PICTURES)
        return found


@pytest.mark.parametrize(
    "scene", ["default", pytest.param("grey", marks=pytest.mark.long), pytest.param("resnet", marks=pytest.mark.long)]
)
def test_from_a_unit_to_its_images_to_their_neighbours(notebook: Notebook, scene: str) -> None:
    walk = Collection(notebook, scene)
    expect(walk.top).to_contain_text("press Build index")
    walk.build()
    expect(walk.neighbors.get_by_role("button", name="Build anew", exact=True)).to_be_visible()

    walk.top.locator(f".cnnviz-tree-row[data-path='{walk.layer}']").click()
    notebook.until(f"selection.layer.name == {walk.layer!r}")
    walk.shows_the_top()
    walk.top.get_by_role("button", name="next", exact=False).click()
    notebook.until("selection.unit.channel == 1")
    walk.shows_the_top()
    histogram = walk.top.locator(".cnnviz-histogram")
    expect(histogram.locator(".cnnviz-histogram-bar").first).to_be_visible()
    expect(histogram).to_contain_text("best photograph")
    notebook.screenshot(f"collection-{scene}-whole")

    whole = walk.pictures()
    walk.top.get_by_role("button", name="what it sees", exact=True).click()
    expect(walk.table.locator(".cnnviz-caption")).to_contain_text("pixels of the input", timeout=PATIENCE)
    crops = walk.pictures()
    assert len(crops) == 9
    assert all(crop != seen for crop, seen in zip(crops, whole, strict=True))
    notebook.screenshot(f"collection-{scene}-crops")

    walk.cells().nth(3).click()
    chosen = notebook.until("selection.image == selection.index.top_images(selection.unit)[3].id and selection.image")
    expect(walk.table).to_have_attribute("data-selected", "3")
    query = walk.neighbors.locator(".cnnviz-table-cell").first
    expect(query).to_have_attribute("title", f"query: {chosen}", timeout=PATIENCE)
    notebook.until("a.wait() is None and a.image.value == selection.image")
    notebook.python("", "n.wait()")
    near = notebook.python(
        "selection.index.neighbors([selection.image], n.shown_layer()[0], n.k.value, without_itself=True).ids[0]"
    )
    expect(walk.neighbors.locator(".cnnviz-table-cell").nth(1)).to_have_attribute(
        "title", notebook_label(notebook, near[0])
    )

    walk.neighbors.locator(".cnnviz-table-cell").nth(1).click()
    notebook.until(f"selection.image == {near[0]!r}")
    expect(query).to_have_attribute("title", f"query: {near[0]}", timeout=PATIENCE)

    walk.neighbors.scroll_into_view_if_needed()
    transfer = notebook.page.evaluate_handle(_TRANSFER, ["new <b>one</b>.png", list(new_picture(*walk.dropped))])
    walk.neighbors.locator(".cnnviz-upload").dispatch_event("drop", {"dataTransfer": transfer})
    expect(query).to_have_attribute("title", "query: new <b>one</b>.png", timeout=PATIENCE)
    expect(query.locator(".cnnviz-table-line").first).to_contain_text("new <b>one</b>.png")
    notebook.python("", "n.wait()")
    asked = "selection.index.neighbors([selection.image], n.shown_layer()[0], n.k.value, without_itself=True).ids[0]"
    assert notebook.python("n.neighbors.ids[0]") == notebook.python(asked)
    expect(notebook.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")).to_have_count(0)
    notebook.screenshot(f"collection-{scene}-neighbors")


def notebook_label(notebook: Notebook, id: str) -> object:
    """What the second cell of the neighbours is called."""
    return notebook.python("n.table.cells[1]['title']")


def new_picture(mode: str, size: tuple[int, int]) -> bytes:
    """A PNG of a gradient."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_build_is_stopped_continued_and_found_again(notebook: Notebook, tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    cells = [
        SCENES["resnet"] + "images = cnn.ImageSet.samples(1500)\nselection = cnn.Selection(net, images)",
        f"t = cnn.TopImagesPanel(net, path={path!r}, selection=selection); t",
    ]
    notebook.open(cells)
    notebook.run_all()
    top = notebook.locator(".cnnviz-panel")
    top.get_by_role("button", name="Build index", exact=True).click()
    expect(top).to_contain_text("a second", timeout=PATIENCE)
    notebook.until("selection.index is not None and 0 < selection.index.looked_at", seconds=100)
    expect(top.locator(".cnnviz-table-cell").first).to_be_visible(timeout=PATIENCE)
    top.get_by_role("button", name="Stop", exact=True).click()
    resume = top.get_by_role("button", name="Continue", exact=True)
    expect(resume).to_be_visible(timeout=PATIENCE)
    done = notebook.python("selection.index.looked_at")
    assert 0 < done < 1500
    expect(top).to_contain_text(f"{done:,} of 1,500 images")
    notebook.screenshot("collection-stopped")
    resume.click()
    expect(top.get_by_role("button", name="Build anew", exact=True)).to_be_visible(timeout=PATIENCE)
    again = "cnn.ActivationIndex.open({!r}, net, images).top_images(selection.unit) == selection.index.top_images(selection.unit)"
    assert notebook.python(again.format(path))

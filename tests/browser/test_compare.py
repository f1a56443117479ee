"""Two networks side by side: both follow the unit, the image and the class, and are taken along, in the browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.offline import opened_offline
from tests.browser.pixels import Pixels, read_pixels
from tests.browser.scenes import SCENES
from tests.browser.test_collection import _TRANSFER, PATIENCE, new_picture

CHECKPOINT = """
import copy
import torch

later = copy.deepcopy(net.module)
torch.manual_seed(1)
with torch.no_grad():
    for parameter in later.parameters():
        parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
second = cnn.Network(later, net.input, labels=net.labels, name="checkpoint")
"""
PANEL = "panel = cnn.ComparePanel(net, second, images, names=('before', 'after'), selection=selection); panel"
# Per scene images to choose from, and a file to drop: its kind and its size.
IMAGES = {
    "default": ("images = cnn.ImageSet.samples(3)", ("RGB", (320, 240))),
    "grey": ("", ("L", (8, 8))),
    "resnet": ("images = cnn.ImageSet.samples(3)", ("RGB", (90, 80))),
}
EVERYWHERE = [
    "default",
    pytest.param("grey", marks=pytest.mark.long),
    pytest.param("resnet", marks=pytest.mark.long),
]


class Walk:
    """A `ComparePanel` on the page; in the kernel it is called ``panel``."""

    def __init__(self, notebook: Notebook, scene: str) -> None:
        self.notebook = notebook
        images, self.dropped = IMAGES[scene]
        notebook.open([SCENES[scene] + CHECKPOINT + images, PANEL])
        notebook.page.set_viewport_size({"width": 1500, "height": 1400})
        notebook.run_all()
        self.box = notebook.locator(".cnnviz-panel")
        self.error = self.box.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")
        columns = self.box.locator(".cnnviz-main .cnnviz-main")
        self.sides = [columns.nth(0), columns.nth(1)]

    def tiles(self, side: int) -> Locator:
        """The canvas with all channels of a network."""
        return self.sides[side].locator(".cnnviz-grid canvas").nth(1)

    def enlarged(self, side: int) -> Locator:
        """The canvas with the chosen channel of a network on the image."""
        return self.sides[side].locator(".cnnviz-grid canvas").first

    def bars(self, side: int) -> Locator:
        """The named numbers of a network."""
        return self.sides[side].locator(".cnnviz-bars-row:visible")

    def shown(self) -> list[Pixels]:
        """What both sides show: all channels, and the chosen one."""
        self.notebook.python("", "panel.wait()")
        self.notebook.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return [read_pixels(canvas(side)) for canvas in (self.tiles, self.enlarged) for side in (0, 1)]

    def stands_at(self, unit: str) -> None:
        """Until both sides have this unit chosen, in their headings and on their tiles."""
        self.notebook.until(f"str(selection.unit) == {unit!r}")
        for column, name in zip(self.sides, ("before", "after"), strict=True):
            expect(column).to_contain_text(f"{name}: ", timeout=PATIENCE)
            expect(column).to_contain_text(unit)
        channel = str(self.notebook.python("selection.unit.channel"))
        for side in (0, 1):
            expect(self.tiles(side)).to_have_attribute("data-selected", channel, timeout=PATIENCE)

    def mode(self, name: str) -> None:
        """Press one of the buttons on top."""
        self.box.get_by_role("button", name=name, exact=True).click()
        self.notebook.until(f"panel.mode.value == {name!r}")
        self.notebook.python("", "panel.wait()")

    def download(self, name: str) -> Path:
        """Press a button and get the file that it gives."""
        with self.notebook.page.expect_download(timeout=PATIENCE) as waited:
            self.box.get_by_role("button", name=name, exact=True).click()
        return waited.value.path()


@pytest.mark.parametrize("scene", EVERYWHERE)
def test_both_sides_follow(notebook: Notebook, chromium: Browser, scene: str) -> None:
    walk = Walk(notebook, scene)
    layer = notebook.python("selection.layer.name")
    walk.stands_at(f"{layer}[0]")
    assert walk.sides[0].locator("canvas").count() == walk.sides[1].locator("canvas").count() == 2
    first = walk.shown()
    assert all(pixels.values.std() > 4 for pixels in first)
    assert first[0].digest != first[1].digest
    follows_the_unit(walk, layer, first)
    follows_the_image(walk)
    notebook.screenshot(f"compare-{scene}-activations")
    is_taken_along(walk, chromium)
    follows_the_class(walk, scene)
    expect(walk.error).to_have_count(0)


def follows_the_unit(walk: Walk, layer: str, first: list[Pixels]) -> None:
    """The next unit by the button, and one by a click on a tile of the second side."""
    walk.box.get_by_role("button", name="next ›").click()
    walk.stands_at(f"{layer}[1]")
    after = walk.shown()
    assert [pixels.digest != before.digest for pixels, before in zip(after, first, strict=True)][2:] == [True, True]
    canvas = walk.tiles(1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 0.45, "y": min(0.4 * box["height"], 150)})
    chosen = walk.notebook.until("selection.unit.channel != 1 and selection.unit.channel")
    walk.stands_at(f"{layer}[{chosen}]")


def follows_the_image(walk: Walk) -> None:
    """Another image of the menu, and one that is dropped, change all of both sides."""
    before = walk.shown()
    menu = walk.box.locator(".widget-dropdown select").first
    menu.select_option(index=1)
    walk.notebook.until("selection.image == selection.images.ids[1]")
    chosen = walk.shown()
    transfer = walk.notebook.page.evaluate_handle(_TRANSFER, ["new <b>one</b>.png", list(new_picture(*walk.dropped))])
    walk.box.locator(".cnnviz-upload").dispatch_event("drop", {"dataTransfer": transfer})
    expect(menu.locator("option:checked")).to_have_text("new <b>one</b>.png", timeout=PATIENCE)
    dropped = walk.shown()
    for former, later in ((before, chosen), (chosen, dropped)):
        assert all(one.digest != other.digest for one, other in zip(former, later, strict=True))
    menu.select_option(index=1)
    walk.notebook.until("selection.image == selection.images.ids[1]")
    assert [pixels.digest for pixels in walk.shown()] == [pixels.digest for pixels in chosen]


def is_taken_along(walk: Walk, chromium: Browser) -> None:
    """As a figure of both sides, and as a page that shows the same without Python and without a network."""
    with Image.open(walk.download("Save figure")) as opened:
        assert opened.format == "PNG"
        assert opened.width > 600
        assert np.asarray(opened.convert("RGB")).std() > 10
    here = walk.shown()
    with opened_offline(chromium, walk.download("Save page")) as page:
        expect(page.locator("h1")).to_contain_text("Compare")
        canvases = page.locator(".cnnviz-grid canvas:visible")
        expect(canvases).to_have_count(5, timeout=PATIENCE)
        selected = walk.tiles(0).get_attribute("data-selected")
        expect(canvases.nth(1)).to_have_attribute("data-selected", selected or "none", timeout=PATIENCE)
        for place, pixels in zip((0, 1, 2, 3), (here[2], here[0], here[3], here[1]), strict=True):
            there = read_pixels(canvases.nth(place))
            # tiles are drawn in another size there, so that other pixels of theirs are seen
            assert painted(there) == pytest.approx(painted(pixels), abs=12)


def painted(pixels: Pixels) -> list[float]:
    """Mean and deviation of red, green and blue where something is painted, whatever the size of the canvas."""
    opaque = pixels.values[pixels.values[..., 3] == 255][:, :3]
    return [*opaque.mean(0).tolist(), *opaque.std(0).tolist()]


def follows_the_class(walk: Walk, scene: str) -> None:
    """What both take the image for: a bar of either side chooses the class of both, and so does its name."""
    notebook = walk.notebook
    walk.mode("classes")
    expect(walk.box.locator(".cnnviz-verdict:visible").first).to_contain_text("classes are the same", timeout=PATIENCE)
    for side in (1, 0):
        expect(walk.bars(side).first).to_be_visible(timeout=PATIENCE)
        named = walk.bars(side).nth(1 + side).get_attribute("title")
        walk.bars(side).nth(1 + side).click()
        notebook.until(f"selection.unit.layer == net.output and net.label(selection.unit.channel) == {named!r}")
        marked = walk.sides[side].locator(".cnnviz-bars-row[aria-selected=true]")
        expect(marked).to_have_attribute("title", named or "none", timeout=PATIENCE)
    notebook.screenshot(f"compare-{scene}-classes")

    search = walk.box.get_by_placeholder("type a class name")
    if notebook.python("bool(net.labels)"):
        named = walk.bars(0).first.get_attribute("title")
        search.fill(named or "")
        search.press("Enter")
        notebook.until(f"net.label(selection.unit.channel) == {named!r}")
    walk.mode("activations")
    channel = notebook.python("selection.unit.channel")
    for column in walk.sides:
        expect(column).to_contain_text(f"{notebook.python('net.output.name')}[{channel}]", timeout=PATIENCE)
        expect(column.locator(".cnnviz-bars-row[aria-selected=true]")).to_have_count(1, timeout=PATIENCE)


@pytest.mark.long
def test_both_climb(notebook: Notebook) -> None:
    walk = Walk(notebook, "grey")
    notebook.python("", "selection.unit = net.output[3]")
    walk.mode("maximization")
    steps = walk.box.get_by_label("steps", exact=True)
    steps.fill("40")
    steps.press("Enter")
    walk.box.get_by_role("button", name="Run both", exact=True).click()
    pictures = walk.box.locator("img.widget-image:visible")
    expect(pictures).to_have_count(2, timeout=PATIENCE)
    for caption in walk.box.locator(".cnnviz-verdict:visible").all():
        expect(caption).to_contain_text("Step 40 of 40", timeout=PATIENCE)
    expect(walk.box.get_by_role("button", name="Run both", exact=True)).to_be_visible()
    made = [read_pixels(picture) for picture in pictures.all()]
    assert made[0].digest != made[1].digest
    assert all(pixels.values.std() > 10 for pixels in made)
    notebook.screenshot("compare-climbs")
    with Image.open(walk.download("Save figure")) as opened:
        assert np.asarray(opened.convert("RGB")).std() > 10

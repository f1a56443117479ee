"""All layers on one sheet: seen while they come, stopped, gone on with, walked over and taken along, in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from tests.browser.notebook import SCREENSHOTS, Notebook, NotebookError
from tests.browser.offline import opened_offline
from tests.browser.pixels import Pixels, read_pixels
from tests.browser.scenes import SCENES

PATIENCE = 60_000
COARSE = 16


@dataclass(frozen=True)
class Sheet:
    """What is synthesized in a scene: few layers, few units, and as many steps as leave time to press Stop."""

    layers: str
    units: int
    steps: int
    flight: str


SHEETS = {
    "default": Sheet("['bn1', 'blocks.1.0.bn3', 'blocks.2.1.bn3']", 2, 60, "blocks.2.1.bn3"),
    "grey": Sheet("net.main_layers", 3, 2000, "digit 3"),
    "resnet": Sheet("[net.main_layers[0], net.main_layers[5], net.output]", 2, 120, "fc"),
}
RECORDING = """
steps = []

def record(change):
    atlas = change["new"]
    if atlas is not None:
        steps.append([atlas.step(unit) for layer in reversed(atlas.layers) for unit in atlas.units(layer)])

selection.observe(record, "atlas")
"""
# A number that other pixels change, found in the page: many of these are taken, and a picture is slow to send.
_GLANCE = """(node) => {
  const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
  let sum = node.width;
  for (const pixel of new Uint32Array(data.buffer)) sum = (Math.imul(sum, 31) + pixel) | 0;
  return sum;
}"""
_VIEW = "(node) => node.dataset.view.split(' ').map(Number)"


class Walk:
    """An `AtlasPanel` on the page; in the kernel it is called ``panel``."""

    def __init__(self, notebook: Notebook, scene: str) -> None:
        self.notebook, self.sheet = notebook, SHEETS[scene]
        settings = f"layers={self.sheet.layers}, steps={self.sheet.steps}, selection=selection"
        notebook.open([SCENES[scene] + RECORDING, f"panel = cnn.AtlasPanel(net, {settings}); panel"])
        notebook.page.set_viewport_size({"width": 1400, "height": 1200})
        notebook.run_all()
        self.box = notebook.locator(".cnnviz-panel")
        self.canvas = self.box.locator(".cnnviz-poster-canvas")
        self.tip = self.box.locator(".cnnviz-poster-tip")
        self.error = self.box.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")

    def button(self, name: str) -> Locator:
        """The button of this name."""
        return self.box.get_by_role("button", name=name, exact=True)

    def drawn(self) -> Pixels:
        """The sheet, when all that it asked for is there and nothing moves any more."""
        self.notebook.python("", "panel._latest.wait(60)")
        still = None
        for _ in range(200):
            expect(self.canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
            now = self.canvas.evaluate(_GLANCE)
            if now == still:
                return read_pixels(self.canvas)
            still = now
            self.notebook.page.wait_for_timeout(60)
        raise AssertionError("the sheet does not come to rest")

    @property
    def view(self) -> tuple[float, float, float]:
        """What of the world the middle shows, and pixels per unit of the world."""
        x, y, scale = self.canvas.evaluate(_VIEW)
        return x, y, scale

    def boxes(self) -> np.ndarray:
        """(n, 4): left, top, width and height of each picture in pixels of the canvas."""
        world = np.array(
            self.notebook.python("np.frombuffer(panel.view.boxes, '<f4').reshape(-1, 4).tolist()", "import numpy as np")
        )
        x, y, scale = self.view
        width, height = self.canvas.evaluate("(node) => [node.clientWidth, node.clientHeight]")
        return (world - [x, y, 0, 0]) * scale + [width / 2, height / 2, 0, 0]

    def middle(self, index: int) -> tuple[float, float]:
        """Where on the page the middle of a picture is."""
        left, top, width, height = self.boxes()[index]
        canvas = self.canvas.bounding_box()
        assert canvas is not None
        return float(canvas["x"] + left + width / 2), float(canvas["y"] + top + height / 2)

    def pictures(self, drawn: Pixels) -> list[np.ndarray]:
        """The inner pixels of each picture of a sheet that is seen whole: no ring, no text beside it."""
        inner = (self.boxes() * [1, 1, 1, 1] + [4, 4, -8, -8]).round().astype(int)
        return [drawn.values[top : top + height, left : left + width] for left, top, width, height in inner]

    def key(self, index: int) -> tuple[str, str]:
        """Layer and channel that a picture is of."""
        name, channel, *_ = self.notebook.python(f"panel.view.tile_keys[{index}]").rsplit(":", 3)
        return name, channel

    def is_near(self, index: int) -> None:
        """Until a picture stands large in the middle."""
        self.drawn()
        left, top, width, height = self.boxes()[index]
        across, down = self.canvas.evaluate("(node) => [node.clientWidth, node.clientHeight]")
        assert [left + width / 2, top + height / 2] == pytest.approx([across / 2, down / 2], abs=2)
        assert 0.5 < max(width / across, height / down) < 0.75

    def shows_all(self) -> Pixels:
        """Until the whole sheet is seen again."""
        self.box.get_by_role("button", name="Show all of the sheet").click()
        self.notebook.page.mouse.move(2, 2)
        return self.drawn()

    def download(self, name: str) -> Path:
        """Press a button and get the file that it gives."""
        with self.notebook.page.expect_download(timeout=PATIENCE) as waited:
            self.button(name).click()
        return waited.value.path()


@pytest.mark.parametrize(
    "scene", ["default", pytest.param("grey", marks=pytest.mark.long), pytest.param("resnet", marks=pytest.mark.long)]
)
def test_all_layers_come_into_being(notebook: Notebook, chromium: Browser, scene: str) -> None:
    walk = Walk(notebook, scene)
    expect(walk.box).to_contain_text("No images yet")
    chooses_how_many(walk)
    comes_and_is_stopped(walk, scene)
    goes_on(walk)
    notebook.screenshot(f"atlas-{scene}-whole")
    moves(walk)
    tells_and_selects(walk, scene)
    flies(walk)
    is_taken_along(walk, chromium, scene)
    expect(walk.error).to_have_count(0)


def chooses_how_many(walk: Walk) -> None:
    """The slider says how many units of each layer."""
    handle = walk.box.locator(".widget-hslider .noUi-handle")
    handle.focus()
    handle.press("Home")
    for _ in range(walk.sheet.units - 1):
        handle.press("ArrowRight")
    walk.notebook.until(f"panel.builder.units.value == {walk.sheet.units}")


def comes_and_is_stopped(walk: Walk, scene: str) -> None:
    """Coarse pictures fill the sheet; Stop ends it, and leaves what there is."""
    notebook = walk.notebook
    walk.button("Synthesize all layers").click()
    expect(walk.canvas).to_be_visible(timeout=PATIENCE)
    walk.canvas.scroll_into_view_if_needed()
    seen = set()
    for _ in range(5000):
        seen.add(walk.canvas.evaluate(_GLANCE))
        if notebook.python("bool(steps) and min(steps[-1]) > 0") and len(seen) > 1:
            break
        notebook.page.wait_for_timeout(100)
    walk.button("Stop").click()
    expect(walk.button("Continue")).to_be_visible(timeout=PATIENCE)
    notebook.until("not panel.builder._thread.is_alive()")
    assert len(seen) > 1
    states = notebook.python("steps")
    assert set(states[0]) == {-1}
    assert {step for state in states for step in state} <= {-1, COARSE, walk.sheet.steps}
    assert min(states[-1]) == COARSE
    expect(walk.box).to_contain_text(f"{states[-1].count(walk.sheet.steps)} of {len(states[-1])} images")
    shown = walk.pictures(walk.drawn())
    assert len(shown) == len(states[-1])
    assert all(picture.std() > 4 for picture in shown)
    notebook.screenshot(f"atlas-{scene}-coarse")


def goes_on(walk: Walk) -> None:
    """Continue goes on from there to the end, and refines what was coarse."""
    notebook = walk.notebook
    stopped, coarse = notebook.python("steps[-1]"), walk.pictures(walk.drawn())
    walk.button("Continue").click()
    expect(walk.button("Synthesize anew")).to_be_visible(timeout=3 * PATIENCE)
    expect(walk.box).to_contain_text(f"{len(stopped)} images of")
    assert notebook.python("selection.atlas.complete")
    fine = walk.pictures(walk.drawn())
    for step, before, after in zip(stopped, coarse, fine, strict=True):
        assert np.array_equal(before, after) == (step == walk.sheet.steps)


def moves(walk: Walk) -> None:
    """Dragging moves the sheet, then the wheel zooms about the pointer, and a button shows all again."""
    page, box, whole = walk.notebook.page, walk.canvas.bounding_box(), walk.drawn()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before, (_, _, scale) = walk.boxes(), walk.view
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 40, steps=6)
    page.mouse.up()
    panned = walk.drawn()
    shift = walk.boxes()[:, :2] - before[:, :2]
    assert shift.std(0).max() < 1
    assert shift[0, 0] > 87  # let go in motion, it glides on
    assert shift[0, 1] == pytest.approx(shift[0, 0] * 40 / 90, abs=3)
    assert differ(whole, panned) > 0.005
    pointed = walk.view
    page.mouse.wheel(0, -300)
    zoomed = walk.drawn()
    assert walk.view[2] > 1.5 * scale
    assert differ(panned, zoomed) > 0.01
    held = [90 / view[2] + view[0] for view in (pointed, walk.view)]
    assert held[0] == pytest.approx(held[1], abs=1 / scale)
    assert differ(walk.shows_all(), whole) < 0.01


def tells_and_selects(walk: Walk, scene: str) -> None:
    """The pointer on a picture shows it large and what is known of it; a click selects its unit, two bring it near."""
    notebook, page = walk.notebook, walk.notebook.page
    walk.canvas.scroll_into_view_if_needed()
    index = len(walk.boxes()) // 2
    layer, channel = walk.key(index)
    unit = f"{layer}[{channel}]"
    assert notebook.python("str(selection.unit)") != unit
    page.mouse.move(*walk.middle(index))
    expect(walk.canvas).to_have_attribute("data-hovered", str(index), timeout=PATIENCE)
    expect(walk.tip).to_contain_text(f"of {walk.sheet.steps} · score", timeout=PATIENCE)
    expect(walk.tip).to_contain_text(f"{layer}[{channel}")
    assert "default" not in walk.tip.locator(".cnnviz-poster-tip-name").inner_text()
    expect(walk.canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    large = read_pixels(walk.tip.locator("canvas"))
    assert max(large.size) == 264
    made = notebook.python(
        f"np.asarray(selection.atlas.image(net[{layer!r}][{channel}]).picture.convert('RGB')).mean((0, 1)).tolist()"
    )
    assert large.average[:3] == pytest.approx(made, abs=8)
    notebook.screenshot(f"atlas-{scene}-tip")

    page.mouse.click(*walk.middle(index))
    notebook.until(f"str(selection.unit) == {unit!r}")
    expect(walk.canvas).to_have_attribute("data-selected", str(index))
    notebook.python("", "selection.unit = net.output[0]")
    walk.drawn()
    page.mouse.dblclick(*walk.middle(index))
    notebook.until(f"str(selection.unit) == {unit!r}")
    walk.is_near(index)
    notebook.screenshot(f"atlas-{scene}-near")
    walk.shows_all()


def flies(walk: Walk) -> None:
    """To a class or a layer by its name; a name of none is told, and the next one takes that off."""
    search = walk.box.get_by_placeholder("fly to a class or a layer")
    search.fill("nowhere at all")
    search.press("Enter")
    expect(walk.error).to_contain_text("no class or layer of the atlas is called 'nowhere at all'")
    search.fill(walk.sheet.flight)
    search.press("Enter")
    expect(walk.error).to_have_count(0)
    key = walk.notebook.until("panel.view.selected_key")
    index = walk.notebook.python(f"panel.view.tile_keys.index({key!r})")
    label = walk.notebook.python(f"panel.view.tile_labels[{index}]")
    assert walk.sheet.flight in (label, walk.key(index)[0])
    walk.is_near(index)
    walk.shows_all()


def is_taken_along(walk: Walk, chromium: Browser, scene: str) -> None:
    """As a figure, and as a page that is walked over without Python and without a network."""
    with Image.open(walk.download("Save figure")) as opened:
        assert opened.format == "PNG"
        assert min(opened.size) > 300
        assert np.asarray(opened.convert("RGB")).std() > 10
    with opened_offline(chromium, walk.download("Save page")) as page:
        canvas = page.locator(".cnnviz-poster-canvas")
        expect(canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
        assert int(canvas.get_attribute("data-count") or 0) == walk.notebook.python("selection.atlas.total")
        whole, scale = read_pixels(canvas), canvas.evaluate(_VIEW)[2]
        assert len(np.unique(whole.values.reshape(-1, 4), axis=0)) > 30
        page.screenshot(path=SCREENSHOTS / f"atlas-{scene}-page.png")
        canvas.hover()
        page.keyboard.down("Control")
        page.mouse.wheel(0, -300)
        page.keyboard.up("Control")
        page.wait_for_function(
            "([node, least]) => Number(node.dataset.view.split(' ')[2]) > least && node.dataset.settled === 'true'",
            arg=[canvas.element_handle(), 1.5 * scale],
            timeout=PATIENCE,
        )
        assert differ(whole, read_pixels(canvas)) > 0.01


def differ(first: Pixels, second: Pixels) -> float:
    """The share of pixels that are not the same."""
    return float((first.values != second.values).any(2).mean())


OTHER = """
from pathlib import Path

path = Path({path!r})
path.write_text("notes")
other = cnn.Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), net.input, name="other")
beside = path.parent / "beside"
cnn.Atlas.build(other, units=2, steps=4, path=beside)
"""


def test_a_path_that_will_not_do_is_told_and_the_panel_lives_on(notebook: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "atlas"
    setup = SCENES["grey"] + OTHER.format(path=str(path))
    notebook.open(
        [setup, "panel = cnn.AtlasPanel(net, layers=['1', '5'], steps=20, path=path, selection=selection); panel"]
    )
    notebook.run_all()
    box = notebook.locator(".cnnviz-panel")
    error = box.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")
    press = box.get_by_role("button", name="Synthesize all layers", exact=True)
    press.click()
    expect(error).to_contain_text(str(path), timeout=PATIENCE)
    notebook.screenshot("atlas-path")
    path.unlink()
    press.click()
    expect(box).to_contain_text("images of", timeout=PATIENCE)
    expect(error).to_have_count(0)
    expect(box.locator(".cnnviz-poster-canvas")).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    assert notebook.python("selection.atlas.complete and cnn.Atlas.open(path, net).complete")

    made = "[place.key for place in {}.plan]"
    again = notebook.python(made.format("atlas"), "exec(panel.code())")
    assert again == notebook.python(made.format("selection.atlas"))

    # a folder that holds another network's atlas keeps that, and gets this one beside it
    notebook.python("", "panel.builder.path = beside; panel.run(); panel.wait()")
    assert notebook.python("cnn.Atlas.open(beside, net).complete and cnn.Atlas.open(beside, other).complete")
    with pytest.raises(NotebookError, match="no layer 'nowhere'"):
        notebook.python("", "cnn.AtlasPanel(net, layers=['nowhere'])")
    with pytest.raises(NotebookError, match="steps=0; expected a number from 1"):
        notebook.python("", "cnn.AtlasPanel(net, steps=0)")
    with pytest.raises(NotebookError, match="the atlas is one of other, the selection looks at"):
        notebook.python("", "selection.atlas = cnn.Atlas.open(beside, other)")
    expect(error).to_have_count(0)

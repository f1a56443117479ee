"""A collection at its embedded positions: made, watched, moved through, chosen from and taken along, in the browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.pixels import Pixels, read_pixels
from tests.browser.scenes import SCENES
from tests.browser.test_collection import _TRANSFER, PATIENCE, new_picture

# Per scene the collection with its index, and a file to drop: its kind and its size.
COLLECTIONS = {
    "default": ("images = cnn.ImageSet.samples(150)", ("RGB", (320, 240))),
    "grey": ("images = cnn.ImageSet.from_arrays((x[:400, 0] * 255).byte().numpy(), y[:400].tolist())", ("L", (8, 8))),
    "resnet": ("images = cnn.ImageSet.samples(80)", ("RGB", (90, 80))),
}
PANEL = "panel = cnn.EmbeddingPanel(net, index, selection=selection); panel"
MADE = re.compile(r"t-SNE of .*trustworthiness")
_LENS = """(node) => {
  const [x, y, scale] = node.dataset.view.split(" ").map(Number);
  return [x, y, scale, node.clientWidth, node.clientHeight];
}"""
# counts the different pictures that a canvas shows, until it is asked
_WATCH = """(node) => {
  const seen = new Set();
  let asked = false;
  window.seenOfMap = () => { asked = true; return seen.size; };
  const look = () => {
    seen.add(node.toDataURL("image/jpeg", 0.2));
    if (!asked) requestAnimationFrame(look);
  };
  look();
}"""


class Walk:
    """An `EmbeddingPanel` on the page; in the kernel it is called ``panel``."""

    def __init__(self, notebook: Notebook, scene: str) -> None:
        self.notebook = notebook
        images, self.dropped = COLLECTIONS[scene]
        index = "index = cnn.ActivationIndex.build(net, images, layers=[net.last_hidden])"
        notebook.open([f"{SCENES[scene]}\n{images}\n{index}\nselection = cnn.Selection.of(net, index=index)", PANEL])
        notebook.page.set_viewport_size({"width": 1400, "height": 1200})
        notebook.run_all()
        self.box = notebook.locator(".cnnviz-panel")
        self.canvas = self.box.locator(".cnnviz-map-canvas")
        self.canvas.scroll_into_view_if_needed()

    def press(self, name: str | re.Pattern[str]) -> None:
        """Click a button."""
        self.box.get_by_role("button", name=name, exact=isinstance(name, str)).first.click()

    def drawn(self) -> Pixels:
        """The map, when all of it is there and nothing moves any more."""
        self.notebook.python("", "panel.wait()")
        still = None
        for _ in range(200):
            expect(self.canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
            pixels = read_pixels(self.canvas)
            if pixels.digest == still:
                return pixels
            still = pixels.digest
            self.notebook.page.wait_for_timeout(60)
        raise AssertionError("the map does not come to rest")

    def places(self) -> np.ndarray:
        """(n, 2): where the page has each image, in pixels of the page."""
        points = np.array(
            self.notebook.python(
                "np.frombuffer(panel.view.points, '<f4').reshape(-1, 2).tolist()", "import numpy as np"
            )
        )
        low, high = points.min(0), points.max(0)
        world = (points - (low + high) / 2) / max((high - low).max(), 1e-9) * [1, -1] + 0.5
        x, y, scale, width, height = self.canvas.evaluate(_LENS)
        box = self.canvas.bounding_box()
        assert box is not None
        return (world - [x, y]) * scale + [box["x"] + width / 2, box["y"] + height / 2]

    def ids(self) -> list[str]:
        """The images, in the rows of `places`."""
        found: list[str] = self.notebook.python("list(index.ids)")
        return found

    def alone(self) -> int:
        """The row of an image in sight that lies far from the others, so that a pointer there is on it."""
        places, box = self.places(), self.canvas.bounding_box()
        assert box is not None
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        np.fill_diagonal(apart, np.inf)
        inside = (
            (places > [box["x"] + 20, box["y"] + 20])
            & (places < [box["x"] + box["width"] - 20, box["y"] + box["height"] - 20])
        ).all(1)
        return int(np.where(inside, apart.min(1), -1).argmax())

    def download(self, name: str) -> Path:
        """Press a button and get the file that it gives."""
        with self.notebook.page.expect_download(timeout=PATIENCE) as waited:
            self.press(name)
        return waited.value.path()


@pytest.fixture(
    params=["default", pytest.param("grey", marks=pytest.mark.long), pytest.param("resnet", marks=pytest.mark.long)]
)
def walk(notebook: Notebook, request: pytest.FixtureRequest) -> Walk:
    return Walk(notebook, request.param)


def differ(first: Pixels, second: Pixels) -> float:
    """The share of pixels that are not the same."""
    return float((first.values != second.values).any(2).mean())


def test_through_a_map(walk: Walk) -> None:
    notebook, page = walk.notebook, walk.notebook.page
    principal = walk.drawn()
    assert len(np.unique(principal.values.reshape(-1, 4), axis=0)) > 20
    unfolds(walk)
    made = walk.drawn()
    assert differ(principal, made) > 0.05
    notebook.screenshot("map-whole")

    moves(walk, made)
    row = picks(walk)
    morphs(walk)
    collects(walk)
    places_another(walk)
    expect(notebook.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")).to_have_count(0)
    page.mouse.move(2, 2)
    assert walk.ids()[row]


def unfolds(walk: Walk) -> None:
    """While t-SNE runs the images are seen to move."""
    walk.canvas.evaluate(_WATCH)
    walk.press("Run")
    expect(walk.box).to_contain_text(MADE, timeout=PATIENCE)
    walk.drawn()
    assert walk.notebook.page.evaluate("() => window.seenOfMap()") > 4
    assert walk.notebook.python("panel.map.finished and type(panel.map.projection).__name__") == "TSNE"


def moves(walk: Walk, made: Pixels) -> None:
    """Dragging pans, the wheel zooms, Home shows all again."""
    walk.canvas.scroll_into_view_if_needed()
    page, box = walk.notebook.page, walk.canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = walk.places()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 40, steps=6)
    page.mouse.up()
    panned = walk.drawn()
    shift = walk.places() - before
    assert shift.std(0).max() < 1
    assert shift[0, 0] > 87  # let go in motion, it glides on
    assert shift[0, 1] == pytest.approx(shift[0, 0] * 40 / 90, abs=3)
    assert differ(made, panned) > 0.02
    scale = walk.canvas.evaluate(_LENS)[2]
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    zoomed = walk.drawn()
    assert walk.canvas.evaluate(_LENS)[2] > 1.5 * scale
    assert differ(panned, zoomed) > 0.05
    walk.press("Show all of the map")
    assert differ(walk.drawn(), made) < 0.01


def picks(walk: Walk) -> int:
    """The pointer over an image shows it large, a click makes it the selection's."""
    walk.canvas.scroll_into_view_if_needed()
    page, row = walk.notebook.page, walk.alone()
    id = walk.ids()[row]
    page.mouse.move(*walk.places()[row])
    expect(walk.canvas).to_have_attribute("data-hovered", str(row), timeout=PATIENCE)
    expect(walk.box.locator(".cnnviz-map-tip")).to_be_visible(timeout=PATIENCE)
    expect(walk.box.locator(".cnnviz-map-tip")).to_contain_text(id)
    page.mouse.click(*walk.places()[row])
    walk.notebook.until(f"selection.image == {id!r}")
    expect(walk.canvas).to_have_attribute("data-selected", str(row))
    return row


def morphs(walk: Walk) -> None:
    """The slider leads to the grid, where no image covers another; its seams are drawn on request."""
    before = walk.drawn()
    slider = walk.box.get_by_role("slider", name="From the map to the grid")
    slider.focus()
    walk.notebook.page.keyboard.press("End")
    walk.notebook.until("panel.view.morph == 1")
    grid = walk.drawn()
    assert differ(before, grid) > 0.2
    walk.box.get_by_label("seams of the grid").check()
    walk.notebook.until("len(panel.view.seams) > 0")
    torn = walk.drawn()
    assert 0.001 < differ(grid, torn) < 0.5
    walk.notebook.screenshot("map-grid")
    walk.box.get_by_label("seams of the grid").uncheck()
    slider.focus()
    walk.notebook.page.keyboard.press("Home")
    walk.notebook.until("panel.view.morph == 0")
    walk.drawn()


def collects(walk: Walk) -> None:
    """A lasso around the right half chooses what lies there; they are told apart, and shown together."""
    notebook, page = walk.notebook, walk.notebook.page
    walk.canvas.scroll_into_view_if_needed()
    walk.press(re.compile("^Choose images by drawing around them"))
    places, box = walk.places(), walk.canvas.bounding_box()
    assert box is not None
    middle = float(np.median(places[:, 0]))
    right, top, bottom = box["x"] + box["width"] - 3, box["y"] + 3, box["y"] + box["height"] - 3
    page.mouse.move(middle, top)
    page.mouse.down()
    for corner in [(right, top), (right, bottom), (middle, bottom), (middle, top)]:
        page.mouse.move(*corner, steps=8)
    page.mouse.up()
    inside = [id for id, place in zip(walk.ids(), places, strict=True) if place[0] > middle + 2]
    notebook.until("len(panel.chosen) > 0")
    chosen = notebook.python("list(panel.chosen.ids)")
    assert len(set(chosen) ^ set(inside)) <= 3
    walk.press(f"Show the {len(chosen):,} chosen")
    expect(walk.box.locator(".cnnviz-table-cell")).to_have_count(min(len(chosen), 60), timeout=PATIENCE)

    walk.press("Which units tell these from the rest?")
    first = notebook.until("panel.telling._units and str(panel.telling._units[0].channel)", seconds=60)
    expect(walk.box.locator(".cnnviz-bars:visible")).to_contain_text(f"{first} ", timeout=PATIENCE)
    bar = walk.box.locator(".cnnviz-bars:visible [role=option]").first
    before = walk.drawn()
    bar.click()
    notebook.until("selection.unit == panel.telling._units[0]")
    notebook.until("len(panel.view.values) > 0")
    assert differ(before, walk.drawn()) > 0.001

    walk.press("Synthesize what they share")
    notebook.until("panel.telling.synthesis.running")
    expect(walk.box.locator("img.widget-image:visible")).to_have_count(1, timeout=PATIENCE)
    # a small network may have come to its end by now
    stop = walk.box.get_by_role("button", name="Stop", exact=True)
    stop.evaluate_all("(buttons) => buttons.forEach((button) => button.click())")
    notebook.until("not panel.telling.synthesis.running")
    notebook.screenshot("map-chosen")
    walk.press(re.compile("^No images are chosen any more$"))
    notebook.until("len(panel.chosen) == 0")


def places_another(walk: Walk) -> None:
    """A file that is dropped on the panel lies near the images that are like it."""
    notebook = walk.notebook
    before = walk.drawn()
    transfer = notebook.page.evaluate_handle(_TRANSFER, ["new <b>one</b>.png", list(new_picture(*walk.dropped))])
    walk.box.locator(".cnnviz-upload").dispatch_event("drop", {"dataTransfer": transfer})
    expect(walk.box).to_contain_text("Nearest to new <b>one</b>.png by its features is", timeout=PATIENCE)
    assert differ(before, walk.drawn()) > 0.0005
    count = notebook.python("len(index.ids)")
    expect(walk.canvas).to_have_attribute("data-selected", str(count))
    placed = notebook.python("panel.map.transform(panel.picture.guest.features)[0].tolist()")
    shown = notebook.python("np.frombuffer(panel.view.points, '<f4').reshape(-1, 2)[-1].tolist()")
    assert [shown[0], 1 - shown[1]] == pytest.approx(placed, abs=1e-5)
    notebook.screenshot("map-guest")


@pytest.fixture
def offline(chromium: Browser) -> Iterator[list[str]]:
    """Addresses that a page of its own asks for; the page is closed at the end."""
    asked: list[str] = []
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, offline=True)
    asked.append(context)  # type: ignore[arg-type]
    yield asked
    context.close()


@pytest.mark.long
def test_a_map_is_taken_along(notebook: Notebook, offline: list[object]) -> None:
    walk = Walk(notebook, "default")
    walk.drawn()
    poster = walk.download("Save poster")
    with Image.open(poster) as opened:
        assert 8000 <= max(opened.size) < 10_000  # title and legend come on top
        small = np.asarray(opened.convert("RGB").resize((200, 200)))
    assert len(np.unique(small.reshape(-1, 3), axis=0)) > 1000

    file = walk.download("Save page")
    context, asked = offline[0], []
    page = context.new_page()  # type: ignore[attr-defined]
    page.on("request", lambda request: asked.append(request.url))
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    target = file.with_suffix(".html")
    target.write_bytes(file.read_bytes())
    page.goto(target.as_uri())
    canvas: Locator = page.locator(".cnnviz-map-canvas")
    expect(canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    whole = read_pixels(canvas)
    assert len(np.unique(whole.values.reshape(-1, 4), axis=0)) > 500
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -500)
    page.keyboard.up("Control")
    page.wait_for_timeout(600)
    expect(canvas).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    assert differ(whole, read_pixels(canvas)) > 0.1
    assert [address for address in asked if not address.startswith(("file:", "blob:", "data:"))] == []
    assert faults == []
    buffer = io.BytesIO(page.screenshot())
    assert buffer.getbuffer().nbytes > 20_000

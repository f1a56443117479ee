"""What `export_html` writes of every panel and of the explorer, in Chromium without a kernel and a network: pictures are drawn,
units can be switched, the pointer gets its tip and the wheel zooms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

import cnnviz_widgets as cnn
from cnnviz_widgets import Network, Selection
from cnnviz_widgets.panels import Panel
from tests.browser.offline import opened_offline
from tests.browser.pixels import read_pixels
from tests.browser.scenes import SCENES
from tests.browser.server import REPOSITORY
from tests.panels.waiting import reach

SCREENSHOTS = REPOSITORY / "test-output"
PATIENCE = 30_000
IMAGES = 24
TILES, MAP, POSTER = ".cnnviz-grid-canvas", ".cnnviz-map-canvas", ".cnnviz-poster-canvas"
TABLE, PLAYER, CURVE = (
    ".cnnviz-table-picture > img:first-child",
    "canvas.cnnviz-player-picture",
    "canvas.cnnviz-player-curve",
)
PICTURES = ", ".join([TILES, MAP, POSTER, TABLE, PLAYER])
_DRAWN = f"""() => {{
  const seen = (node) => !node.closest('[hidden]');
  const views = [...document.querySelectorAll('.page-view')].filter(seen);
  const canvases = [...document.querySelectorAll('canvas')].filter(seen);
  const images = [...document.querySelectorAll('{TABLE}')].filter(seen);
  return views.length > 0 && views.every((node) => node.dataset.shown)
    && canvases.every((node) => node.dataset.settled !== 'false' && !(node.matches('{PLAYER}') && !node.dataset.step))
    && images.every((node) => node.complete && node.naturalWidth > 0);
}}"""

_LOOK = """(nodes) => nodes.filter((node) => node.checkVisibility()).map((node) => {
  const copy = document.createElement('canvas');
  copy.width = node.naturalWidth || node.width;
  copy.height = node.naturalHeight || node.height;
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(node, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer);
  const colors = new Set();
  let sum = 0;
  for (const pixel of pixels) {
    sum = (Math.imul(sum, 31) + pixel) | 0;
    if (colors.size < 100) colors.add(pixel);
  }
  return [`${copy.width} ${copy.height} ${sum}`, colors.size];
})"""


class Scene:
    """A network with all that its panels show, made once for a file of tests."""

    def __init__(self, name: str) -> None:
        made: dict[str, Any] = {}
        exec(SCENES[name], made)
        self.network: Network = made["net"]
        self.layer = self.network.main_layers[1]
        layers = [self.layer, self.network.output]
        self.images = cnn.ImageSet.samples(IMAGES)
        if name == "grey":
            pictures, classes = made["x"][:IMAGES, 0], made["y"][:IMAGES]
            self.images = cnn.ImageSet.from_arrays((pictures * 255).byte().numpy(), classes.tolist())
        kept = [self.layer, self.network.last_hidden]
        self.index = cnn.ActivationIndex.build(self.network, self.images, layers, features=kept, k=4)
        self.atlas = cnn.Atlas.build(self.network, layers, units=2, steps=2)
        # units that are at their largest everywhere, as behind a ReLU6, have the first images in common
        self.other = next(self.layer[channel] for channel in range(1, self.layer.channels) if self._ranks(channel))

    def _ranks(self, channel: int) -> bool:
        """Whether a channel tells images apart."""
        return len({match.score for match in self.index.top_images(self.layer[channel])}) > 1

    def selection(self) -> Selection:
        """A selection of its own, at the first unit of the layer."""
        made = Selection(self.network, self.images)
        made.index, made.atlas = self.index, self.atlas
        made.unit = self.layer[0]
        return made

    def changed(self) -> Network:
        """The network with other weights."""
        module = copy.deepcopy(self.network.module)
        torch.manual_seed(1)
        with torch.no_grad():
            for weights in module.parameters():
                weights += 0.2 * weights.std(correction=0) * torch.randn_like(weights)
        return Network(module, self.network.input, self.network.labels or None, name="changed")


@pytest.fixture(
    scope="module",
    params=["default", pytest.param("grey", marks=pytest.mark.long), pytest.param("resnet", marks=pytest.mark.long)],
)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


@pytest.fixture
def keep() -> Iterator[Callable[[Any], Any]]:
    """Gives back what is opened, drawn, and closes it in the end."""
    opened: list[Any] = []

    def kept(one: Any) -> Any:
        opened.append(one)
        one.wait(120)
        return one

    yield kept
    for one in opened:
        one.close()


class Reader:
    """Who reads a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.menu = page.locator("select.page-select:visible").first
        self.drawn()

    def drawn(self) -> None:
        """Until all that is in sight is drawn."""
        self.page.wait_for_function(_DRAWN, timeout=PATIENCE)
        expect(self.page.locator(".page-failed")).to_have_count(0)

    def visible(self, css: str) -> Locator:
        return self.page.locator(".page-view:visible").locator(css).locator("visible=true")

    def look(self, css: str = PICTURES) -> list[tuple[str, int]]:
        """What each picture in sight shows, as a sum over its pixels, and how many colours, at most 100."""
        found = self.page.locator(css).evaluate_all(_LOOK)
        return [(sum_, colors) for sum_, colors in found]

    def pictures(self) -> list[tuple[str, int]]:
        """All pictures in sight, once two looks at them give the same."""
        last: list[tuple[str, int]] = []
        for _ in range(100):
            found = self.look()
            if found and found == last:
                return found
            last = found
            self.page.wait_for_timeout(50)
        raise AssertionError("the pictures never come to rest")

    def sees_pictures(self, css: str) -> None:
        """Some are there, and none is empty."""
        self.pictures()
        colors = [count for _, count in self.look(css)]
        assert colors
        assert min(colors) > 3

    def switches(self, css: str) -> None:
        """Another choice shows other pictures, and the first one again the first ones."""
        self.page.mouse.move(0, 0)
        before = self.pictures()
        chosen = self.menu.evaluate("(menu) => menu.selectedIndex")
        others = [number for number in range(self.menu.locator("option").count()) if number != chosen]
        self.menu.select_option(index=others[0])
        self.drawn()
        self.sees_pictures(css)
        assert self.pictures() != before
        self.menu.select_option(index=chosen)
        self.drawn()
        assert self.pictures() == before

    def zooms(self, css: str) -> None:
        """Ctrl and the wheel bring the picture nearer."""
        self.page.mouse.move(0, 0)
        canvas = self.visible(css).first
        canvas.scroll_into_view_if_needed()
        self.pictures()
        before = read_pixels(canvas).digest
        box = canvas.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + min(box["height"] * 0.3, 200))
        self.page.keyboard.down("Control")
        self.page.mouse.wheel(0, -400)
        self.page.keyboard.up("Control")
        self.page.mouse.move(0, 0)
        self.drawn()
        self.pictures()
        assert read_pixels(canvas).digest != before

    def points(self, css: str) -> None:
        """The pointer over a picture gets told what it is."""
        if css == TABLE:
            cell = self.visible(".cnnviz-table-cell").first
            assert len(cell.get_attribute("title") or "") > 3
            return
        place = self.visible(CURVE if css == PLAYER else css).first
        place.scroll_into_view_if_needed()
        root = place.locator("xpath=ancestor::*[contains(@class, 'page-view')]")
        if css in (MAP, POSTER):
            tip = root.locator(".cnnviz-map-tip" if css == MAP else ".cnnviz-poster-tip")
            self.hover_until_told(place, tip)
            return
        line = root.locator(".cnnviz-line").first
        before = line.inner_text()
        place.hover(position={"x": 15, "y": 15})
        expect(line).not_to_have_text(before)

    def hover_until_told(self, place: Locator, tip: Locator) -> None:
        """Over one place after the other: images stand where the map has put them."""
        box = place.bounding_box()
        assert box is not None
        for row in range(1, 24):
            for column in range(1, 24):
                self.page.mouse.move(box["x"] + box["width"] * column / 24, box["y"] + box["height"] * row / 24)
                hovered = place.evaluate("(node) => node.dataset.hovered ?? '-1'")
                if hovered not in ("-1", "undefined"):
                    expect(tip).to_be_visible()
                    expect(tip).not_to_be_empty()
                    return
        raise AssertionError("nothing is told under the pointer")


def filters(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.FilterPanel(scene.network, selection=scene.selection()))
    return panel


def activations(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.ActivationPanel(scene.network, selection=scene.selection()))
    return panel


def neighbors(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.NeighborsPanel(scene.network, selection=scene.selection()))
    return panel


def embedding(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel = keep(cnn.EmbeddingPanel(scene.network, selection=scene.selection()))
    panel.selection.layer = scene.layer
    panel.coloring.menu.value = "unit"
    panel.wait()
    made: Panel = panel
    return made


def top_images(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.TopImagesPanel(scene.network, selection=scene.selection()))
    return panel


def maximization(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: cnn.MaximizationPanel = keep(cnn.MaximizationPanel(scene.network, selection=scene.selection()))
    panel.recipe = cnn.Recipe(steps=4)
    for unit in (scene.other, scene.layer[0]):
        panel.selection.unit = unit
        panel.run()
        reach(panel, "finished")
    return panel


def all_layers(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.AtlasPanel(scene.network, selection=scene.selection()))
    return panel


def unit_card(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.UnitCard(scene.network, selection=scene.selection()))
    return panel


def compare(scene: Scene, keep: Callable[[Any], Any]) -> Panel:
    panel: Panel = keep(cnn.ComparePanel(scene.network, scene.changed(), selection=scene.selection()))
    return panel


Opens = Callable[[Scene, Callable[[Any], Any]], Panel]
KINDS: list[tuple[Opens, str, bool]] = [
    (filters, TILES, True),
    (activations, TILES, True),
    (neighbors, TABLE, False),
    (embedding, MAP, True),
    (top_images, TABLE, False),
    (maximization, PLAYER, False),
    (all_layers, POSTER, True),
    (unit_card, TABLE, False),
    (compare, TILES, True),
]
"""What opens a panel, what it draws, and whether the wheel zooms that."""


def test_every_panel_is_here(scene: Scene, keep: Callable[[Any], Any]) -> None:
    assert len(KINDS) == len(Panel.__subclasses__())


@pytest.mark.parametrize(("opens", "css", "zooming"), KINDS, ids=[kind[0].__name__ for kind in KINDS])
def test_a_panel(
    scene: Scene,
    keep: Callable[[Any], Any],
    chromium: Browser,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    opens: Opens,
    css: str,
    zooming: bool,
) -> None:
    panel = opens(scene, keep)
    units = [scene.layer[0], scene.other]
    fixed = isinstance(panel, cnn.NeighborsPanel | cnn.AtlasPanel)
    file = panel.export_html(tmp_path / "page.html", () if fixed else units)
    with opened_offline(chromium, file) as page:
        reader = Reader(page)
        picture(page, request)
        expect(page.locator("h1")).to_have_text(f"{panel.title} · {scene.network.name}")
        reader.sees_pictures(css)
        reader.points(css)
        if zooming:
            reader.zooms(css)
        if not fixed:
            reader.switches(css)


def test_the_explorer(
    scene: Scene, keep: Callable[[Any], Any], chromium: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    explorer = keep(cnn.Explorer(scene.network, selection=scene.selection()))
    for name in ("Filters", "Neighbours", "Embedding", "All layers", "Activations"):
        explorer.show_panel(name)
    explorer.wait(120)
    file = explorer.export_html(tmp_path / "page.html", [scene.layer[0], scene.other])
    with opened_offline(chromium, file) as page:
        reader = Reader(page)
        picture(page, request)
        expect(page.locator("h2:visible")).to_have_text(
            ["Activations", "Filters", "Neighbours", "Embedding", "All layers", "Unit card"]
        )
        for css in (TILES, TABLE, MAP, POSTER):
            reader.sees_pictures(css)
        reader.points(POSTER)
        reader.zooms(TILES)
        reader.switches(TILES)


def picture(page: Page, request: pytest.FixtureRequest) -> None:
    """Keep what the page looks like, to be looked at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    name = request.node.name.replace("[", "-").rstrip("]")
    page.screenshot(path=SCREENSHOTS / f"exported-{name}.png", full_page=True)

"""The pictures in docs/images, taken of panels in JupyterLab: ``python -m tests.browser.screenshots``.

No test: run it by ``make screenshots`` after the look of a panel has changed, and look at what it made. Names of pictures
as arguments make only these.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, expect, sync_playwright

from tests import chromium
from tests.browser.notebook import Notebook
from tests.browser.server import REPOSITORY, Server

FOLDER = REPOSITORY / "docs" / "images"
MOST_BYTES = 290_000
TALLEST = 1340
PATIENCE = 600_000

LOADING = """
import cnnviz_widgets as cnn

net = cnn.load()
images = cnn.ImageSet.samples()
selection = cnn.Selection(net, images)
"""


def filters(notebook: Notebook) -> Locator:
    """The first layer, similar filters side by side."""
    show(notebook, "panel = cnn.FilterPanel(net, selection=selection); panel")
    notebook.python("", "selection.layer = net['conv_stem']; panel.order.value = 'similarity'")
    return drawn(notebook)


def activations(notebook: Notebook) -> Locator:
    """A cat in an early layer, with a channel that sees its eyes and whiskers, and where it speaks for its class."""
    show(notebook, "panel = cnn.ActivationPanel(net, selection=selection); panel")
    notebook.python("", "selection.unit = net['bn1'][6]; panel.wait(); panel.why.method.value = 'grad_cam'")
    return drawn(notebook)


def maximization(notebook: Notebook) -> Locator:
    """A flamingo of the recipe natural, finished, with what another network sees."""
    show(notebook, "panel = cnn.MaximizationPanel(net, 'natural', selection=selection); panel")
    climbed(notebook, "finished")
    notebook.python("", "panel.ask(); panel.wait()")
    return drawn(notebook)


def board(notebook: Notebook) -> Locator:
    """The four combinations side by side after some 250 steps, paused, one of them steered on the way."""
    show(notebook, "panel = cnn.MaximizationPanel(net, 'yosinski-1', selection=selection); panel")
    notebook.python("", "panel.lanes.mode.value = 'board'")
    status = climbed(notebook, "step 1[0-9][0-9] of")
    notebook.python("", "panel.regularizers.rows['ClipSmallNorm'].widgets['percentile'].value = 70")
    expect(status).to_contain_text(re.compile("step 2[5-9][0-9] of"), timeout=PATIENCE)
    notebook.python("", "panel.pause()")
    expect(status).to_contain_text("paused", timeout=PATIENCE)
    return drawn(notebook)


def climbed(notebook: Notebook, until: str) -> Locator:
    """Have the panel climb the flamingo until its status says so."""
    notebook.python("", "selection.unit = net.unit('flamingo'); panel.wait()")
    notebook.python("", "panel.run()")
    status = notebook.locator(".cnnviz-player-status")
    expect(status).to_contain_text(re.compile(until), timeout=PATIENCE)
    return status


COLLECTION = """
images = cnn.ImageSet.samples(300)
index = cnn.ActivationIndex.build(net, images, path="index", features=["bn1", "blocks.2.1.bn3", net.last_hidden])
selection = cnn.Selection(net, images)
"""


def top_images(notebook: Notebook) -> Locator:
    """What a channel of the middle sees in the images it likes best, and the one synthesized for it."""
    show(notebook, COLLECTION, "panel = cnn.TopImagesPanel(net, index, selection=selection); panel")
    notebook.python("", "selection.unit = net['blocks.3.2.bn1'][17]; panel.view.value = 'crop'; panel.wait()")
    notebook.page.get_by_role("button", name="Synthesize", exact=True).click()
    expect(notebook.locator(".cnnviz-panel")).to_contain_text("step 512 of 512", timeout=PATIENCE)
    return drawn(notebook)


def neighbors(notebook: Notebook) -> Locator:
    """The classic figure, in the last hidden layer."""
    show(notebook, COLLECTION, "panel = cnn.NeighborsPanel(net, index, selection=selection); panel")
    return drawn(notebook)


def embedding(notebook: Notebook) -> Locator:
    """The collection where t-SNE places it."""
    show(notebook, COLLECTION, "panel = cnn.EmbeddingPanel(net, index, selection=selection); panel")
    notebook.python("", "panel.wait()")
    notebook.page.get_by_role("button", name="Run", exact=True).first.click()
    expect(notebook.locator(".cnnviz-panel")).to_contain_text("trustworthiness", timeout=PATIENCE)
    shown = drawn(notebook)
    # images have come to their last places, and none waits for a finer page
    expect(shown.locator(".cnnviz-map-canvas")).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    return shown


def all_layers(notebook: Notebook) -> Locator:
    """Units of every layer, finished, which takes some eight minutes."""
    show(notebook, "panel = cnn.AtlasPanel(net, cnn.Atlas.build(net, units=9), selection=selection); panel", minutes=60)
    shown = drawn(notebook)
    expect(shown.locator("canvas").first).to_have_attribute("data-settled", "true", timeout=PATIENCE)
    return shown


def unit_card(notebook: Notebook) -> Locator:
    """A channel of the middle, with its synthesized image."""
    show(
        notebook, COLLECTION, "panel = cnn.UnitCard(net, net['blocks.3.2.bn1'][17], index, selection=selection); panel"
    )
    notebook.page.get_by_role("button", name="Synthesize", exact=True).click()
    expect(notebook.locator(".cnnviz-panel")).to_contain_text("step 512 of 512", timeout=PATIENCE)
    return drawn(notebook)


def compare(notebook: Notebook) -> Locator:
    """The same class climbed in two networks."""
    cell = """
    names = ("Lite0", "Lite1")
    panel = cnn.ComparePanel(net, cnn.load("efficientnet_lite1"), names=names, selection=selection)
    panel
    """
    show(notebook, cell)
    notebook.python("", "selection.unit = net.unit('flamingo'); panel.mode.value = 'maximization'; panel.wait()")
    notebook.python("", "panel.climbs.steps.value = 256; panel.climbs.press()")
    for lane in notebook.locator(".cnnviz-verdict:visible").all():
        expect(lane).to_contain_text("Step 256 of 256", timeout=PATIENCE)
    return drawn(notebook)


def explorer(notebook: Notebook) -> Locator:
    """Feature maps at the left, the card of the chosen channel at the right."""
    show(notebook, COLLECTION, "panel = cnn.Explorer(net, index=index); panel")
    notebook.page.set_viewport_size({"width": 1720, "height": 2000})
    notebook.python("", "panel.selection.unit = net['bn1'][6]")
    return drawn(notebook).first


def recipes(notebook: Notebook) -> Locator:
    """One class by most recipes, side by side."""
    cell = """
    from cnnviz_widgets.engine import display

    goal, pictures, captions = net.unit("flamingo"), [], []
    for name in ("fooling", "l2", "yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4", "lucid", "natural"):
        steps = min(cnn.recipes.get(name).steps, 256)
        result = cnn.maximize(net, goal, name, steps=steps)
        probability = dict(net.classify(result.image, k=1000)[0])["flamingo"]
        pictures += result.picture("percentile")
        captions.append(f"{name}  {probability:.0%}")
    display.board(pictures, captions, columns=4)
    """
    show(notebook, "from PIL import Image", cell)
    return notebook.output(2).locator("img")


def natural(notebook: Notebook) -> Locator:
    """Eight classes by the recipe natural."""
    cell = """
    from cnnviz_widgets.engine import display

    names = ["flamingo", "grand piano", "umbrella", "volcano", "teapot", "pineapple", "beacon", "peacock"]
    result = cnn.maximize(net, [net.unit(name) for name in names], chunk=4)
    display.board(result.picture("none"), names, columns=4)
    """
    show(notebook, "from PIL import Image", cell)
    return notebook.output(2).locator("img")


SCENES: dict[str, Callable[[Notebook], Locator]] = {
    scene.__name__: scene
    for scene in (
        filters,
        activations,
        maximization,
        board,
        top_images,
        neighbors,
        embedding,
        all_layers,
        unit_card,
        compare,
        explorer,
        recipes,
        natural,
    )
}


def show(notebook: Notebook, *cells: str, minutes: float = PATIENCE / 60_000) -> None:
    """Open a notebook in a wide window without side bars, and run it."""
    notebook.open([LOADING, *cells])
    notebook.page.set_viewport_size({"width": 1320, "height": 2000})
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.run_all(seconds=60 * minutes)


def drawn(notebook: Notebook) -> Locator:
    """The panel, once it has drawn all that was asked for and the browser shows it."""
    notebook.python("", "panel.wait()")
    notebook.page.mouse.move(2, 2)
    notebook.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    notebook.page.wait_for_load_state("networkidle")
    return notebook.locator(".cnnviz-panel")


def save(picture: bytes, path: Path) -> None:
    """Write a PNG below `MOST_BYTES`, with fewer colours where it must be."""
    with Image.open(io.BytesIO(picture)) as opened:
        full = opened.convert("RGB").crop((0, 0, opened.width, min(opened.height, TALLEST)))
    for colors, dither in ((0, False), (256, True), (256, False), (128, False)):
        kept = _reduced(full, colors, dither) if colors else full
        buffer = io.BytesIO()
        kept.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    path.write_bytes(buffer.getvalue())
    sys.stdout.write(f"{path.relative_to(REPOSITORY)}: {full.width} × {full.height}, {buffer.tell() // 1000} kB\n")


def _reduced(full: Image.Image, colors: int, dither: bool) -> Image.Image:
    """The picture in so many colours, chosen for it; Pillow dithers only towards colours that it is given."""
    palette = full.quantize(colors, Image.Quantize.MEDIANCUT, kmeans=3)
    return full.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) if dither else palette


def main(names: Sequence[str]) -> int:
    """Make the pictures of these names, or all."""
    if unknown := set(names) - set(SCENES):
        sys.stderr.write(f"no picture {sorted(unknown)}; there are {', '.join(SCENES)}\n")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        server = Server("lab", Path(folder), {})
        server.start()
        try:
            for name in names or SCENES:
                notebook = Notebook(server, browser, f"picture-{name}")
                picture = SCENES[name](notebook).screenshot()
                notebook.check()
                notebook.close()
                save(picture, FOLDER / f"{name}.png")
        finally:
            server.stop()
            browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

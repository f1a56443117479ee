"""Panels on one selection: a click in one moves the others."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import ACTIVATIONS, FILTERS, SCENES, Climber

MAXIMIZATION = "m = cnn.MaximizationPanel(net, 'yosinski-1', selection=selection); m"
# Per scene a layer with a kernel, as the layer tree lists it, and how many channels it has.
LAYERS = {"default": ("blocks.1.0.conv_pw", 96), "grey": ("2", 16), "resnet": ("layer1.1.conv2", 64)}


def panel(notebook: Notebook, title: str) -> Locator:
    """The panel of this title."""
    heading = notebook.page.locator(".cnnviz-title", has_text=title)
    return notebook.locator(".cnnviz-panel").filter(has=heading)


def shown_layers(notebook: Notebook) -> Locator:
    return notebook.locator(".cnnviz-tree-row[aria-selected=true]")


@pytest.mark.long
@pytest.mark.parametrize("scene", ["default", "grey", "resnet"])
def test_a_click_on_a_channel_moves_all_panels(notebook: Notebook, scene: str) -> None:
    layer, channels = LAYERS[scene]
    notebook.open([SCENES[scene], FILTERS, ACTIVATIONS, MAXIMIZATION])
    notebook.run_all()
    filters, activations = panel(notebook, "Filters"), panel(notebook, "Activations")
    climber = Climber(notebook)

    filters.locator(f".cnnviz-tree-row[data-path='{layer}']").click()
    notebook.until(f"selection.layer.name == {layer!r}")
    grid = activations.locator(".cnnviz-grid").first
    expect(grid.locator("canvas")).to_have_attribute("data-count", str(channels))
    expect(shown_layers(notebook)).to_have_count(3)

    box = grid.locator("canvas").bounding_box()
    assert box is not None
    grid.locator(".cnnviz-grid-viewport").click(position={"x": box["width"] * 0.4, "y": 30})
    channel = notebook.until("selection.unit.channel")
    expect(grid.locator(".cnnviz-line")).to_contain_text(f"channel {channel}")
    readout = climber.box.locator(".widget-hslider:visible").first.locator(".widget-readout")
    expect(readout).to_have_text(str(channel))
    focus = activations.locator(".cnnviz-grid").nth(1)
    expect(focus.locator(".cnnviz-caption")).to_have_text(f"{layer}[{channel}] on the image")
    if notebook.python("f._tiles.rows is None"):
        place = notebook.python(f"int((f._tiles.order == {channel}).nonzero()[0][0])")
        expect(filters.locator(".cnnviz-grid canvas")).to_have_attribute("data-selected", str(place))

    slider = climber.slider("channel")
    slider.focus()
    slider.press("Home")
    notebook.until("selection.unit.channel == 0")
    expect(grid.locator("canvas")).to_have_attribute("data-selected", "0")
    expect(focus.locator(".cnnviz-caption")).to_have_text(f"{layer}[0] on the image")
    for title, box_ in (("filters", filters), ("activations", activations), ("maximization", climber.box)):
        box_.scroll_into_view_if_needed()
        notebook.screenshot(f"linking-{scene}-{title}")

    notebook.python("", "m.recipe = m.recipe.replace(steps=100_000)")  # a small network makes a thousand in a moment
    climber.run()
    activations.locator(".cnnviz-tree-row[data-path]:visible").last.click()
    expect(climber.remark).to_contain_text("This run still climbs")
    climber.press("Stop")
    climber.shows("stopped")
    expect(notebook.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")).to_have_count(0)

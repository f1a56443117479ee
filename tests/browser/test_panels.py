"""Panels under a user's hands: files, keys, and both hosts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import ACTIVATIONS, ENDLESS, GREY, Climber

# Orientation 6: what is stored lies on its left side; upright, its top is what was its left edge.
EXIF_ORIENTATION, LYING = 0x0112, 6
COLOURS = """
def colours(panel):
    photo = panel._seen.photo.convert("RGB")
    return [photo.getpixel((photo.width // 2, y)) for y in (photo.height // 8, photo.height * 7 // 8)]
"""
COLOUR_NETWORK = """
import torch
from torch import nn
import cnnviz_widgets as cnn

torch.manual_seed(0)
module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
net = cnn.Network(module, cnn.InputSpec(size=(3, 64, 64)))
images = ()
selection = cnn.Selection(net)
"""


def half_red_half_blue(path: Path, size: tuple[int, int], **saved: object) -> Path:
    """A picture whose left half is red and whose right half is blue."""
    picture = Image.new("RGB", size, (250, 10, 10))
    picture.paste((10, 10, 250), (size[0] // 2, 0, size[0], size[1]))
    picture.save(path, **saved)  # type: ignore[arg-type]
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files as users have them."""
    lying = Image.Exif()
    lying[EXIF_ORIENTATION] = LYING
    noise = np.random.default_rng(0).integers(0, 256, (1900, 2300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png", compress_level=1)
    (tmp_path / "notes.jpg").write_text("these are only notes")
    return {
        "png": half_red_half_blue(tmp_path / "upright <b>.png", (64, 64)),
        "jpeg": half_red_half_blue(tmp_path / "lying.jpg", (96, 96), exif=lying, quality=95),
        "large": tmp_path / "large.png",
        "text": tmp_path / "notes.jpg",
    }


def test_files_are_opened_and_what_is_none_is_told(notebook: Notebook, files: dict[str, Path]) -> None:
    notebook.open([COLOUR_NETWORK, ACTIVATIONS])
    notebook.run_all()
    box = notebook.locator(".cnnviz-panel")
    chooser, menu = box.locator(".cnnviz-upload input[type=file]"), box.locator("select").first
    grid = box.locator(".cnnviz-grid canvas").first
    error = box.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")
    expect(box).to_contain_text("No image yet")

    chooser.set_input_files(files["png"])
    expect(grid).to_have_attribute("data-count", "8")
    expect(menu.locator("option:checked")).to_have_text("upright <b>.png")
    before = notebook.canvas_pixels(grid).digest

    chooser.set_input_files(files["jpeg"])
    expect(menu.locator("option:checked")).to_have_text("lying.jpg")
    notebook.until("a.wait() is None and a.selection.image.name == 'lying.jpg'")
    top, bottom = notebook.python("colours(a)", setup=COLOURS)
    assert (top[0] > 200, bottom[2] > 200) == (True, True), "EXIF's orientation was not followed"
    assert notebook.canvas_pixels(grid).digest != before
    shown = notebook.canvas_pixels(grid).digest

    chooser.set_input_files(files["text"])
    expect(error).to_contain_text("notes.jpg")
    expect(error).to_contain_text("not an image")
    assert notebook.canvas_pixels(grid).digest == shown
    notebook.screenshot("panels-error")

    assert files["large"].stat().st_size > 8_000_000
    chooser.set_input_files(files["large"])
    expect(box.locator(".cnnviz-upload")).to_contain_text("scaled down from", timeout=60_000)
    notebook.until("a.selection.image.name == 'large.png'")
    assert max(notebook.python("a.selection.image.size")) == 2048
    expect(error).to_have_count(0)
    notebook.screenshot("panels-upload")


def value_of(slider: Locator) -> float:
    return float(slider.get_attribute("aria-valuenow") or "nan")


def test_keys_stay_in_the_panel_in_notebook7(notebook7: Notebook) -> None:
    notebook7.open([GREY, ENDLESS, ACTIVATIONS])
    notebook7.run_all()
    climber = Climber(notebook7)
    climber.box.scroll_into_view_if_needed()
    active = "() => window.notebookPanel.content.activeCellIndex"
    seed = climber.slider("seed")
    seed.focus()
    assert notebook7.page.evaluate(active) == 1
    for key, expected in (
        ("ArrowRight", 1),
        ("ArrowUp", 2),
        ("ArrowLeft", 1),
        ("ArrowDown", 0),
        ("End", 99),
        ("Home", 0),
    ):
        seed.press(key)
        notebook7.until(f"m.recipe.seed == {expected}")
    seed.press("PageUp")
    raised = notebook7.until("m.recipe.seed")
    assert raised > 1
    assert value_of(seed) == raised
    seed.press("PageDown")
    notebook7.until("m.recipe.seed == 0")
    assert notebook7.page.evaluate(active) == 1

    notebook7.python("", setup="selection.layer = net['0']")
    grid = notebook7.locator(".cnnviz-panel").last.locator(".cnnviz-grid").first
    expect(grid.locator("canvas")).to_have_attribute("data-count", "8")
    expect(grid.locator("canvas")).to_be_visible()
    grid.locator(".cnnviz-grid-viewport").focus()
    for key, expected in (("End", 7), ("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        grid.locator(".cnnviz-grid-viewport").press(key)
        notebook7.until(f"selection.unit.channel == {expected}")
    assert notebook7.page.evaluate(active) == 2

    climber.run()
    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    rested = climber.step
    climber.scrubber.focus()
    climber.scrubber.press("Home")
    expect(climber.readout).to_contain_text("looking back: step 0")
    climber.scrubber.press("ArrowRight")
    expect(climber.readout).to_contain_text("looking back: step")
    notebook7.until("m.player.looking_at == 1")
    climber.press("Go back to the newest frame")
    expect(climber.picture).to_have_attribute("data-step", str(rested))
    climber.press("Resume")
    climber.goes_on()
    climber.press("Stop")
    climber.shows("stopped")
    notebook7.screenshot("panels-notebook7")

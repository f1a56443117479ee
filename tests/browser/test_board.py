"""Recipes side by side, a branch, and pictures that are saved and dropped back: what one does with a run, in the browser."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import Climber, open_climber

BOARD = ["yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4"]
PANEL = """
selection.unit = net.output[3]
m = cnn.MaximizationPanel(net, "yosinski-3", selection=selection, second=net)
m
"""
_TRANSFER = """([name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  return transfer;
}"""


def legend(climber: Climber) -> Locator:
    """The names of the curve's lines."""
    return climber.box.locator(".cnnviz-player-legend .cnnviz-player-label")


def saved(climber: Climber, button: str) -> tuple[str, bytes]:
    """Name and content of the file that a button has the browser save."""
    with climber.notebook.page.expect_download() as found:
        climber.press(button)
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def drop(climber: Climber, name: str, data: bytes) -> None:
    """Drop a file onto the button that opens pictures."""
    transfer = climber.notebook.page.evaluate_handle(_TRANSFER, [name, list(data)])
    climber.box.locator(".cnnviz-upload").dispatch_event("drop", {"dataTransfer": transfer})


def look_back(climber: Climber, step: int) -> None:
    """Move the slider below the picture to a step."""
    climber.scrubber.focus()
    climber.scrubber.press("Home")
    for _ in range(step):
        climber.scrubber.press("ArrowRight")
    climber.notebook.until(f"m.player.looking_at == {step}")


@pytest.mark.long
def test_a_board_is_steered_branched_saved_and_loaded_again(notebook: Notebook) -> None:
    climber = open_climber(notebook, "resnet", PANEL)
    climber.press("Board of four")
    notebook.until("m.lanes.mode.value == 'board'")
    climber.run()
    expect(legend(climber)).to_have_text(BOARD)
    width, height = climber.pixels().size
    assert width > 400
    assert height > 400

    climber.menu("knobs of").select_option(label="yosinski-3")
    notebook.until("m.lanes.number == 2 and m.recipe == cnn.recipes.get('yosinski-3')")
    sigma = climber.slider("sigma in pixels")
    sigma.focus()
    sigma.press("PageUp")
    notebook.until("m.player.marks")
    expect(climber.box.locator("canvas.cnnviz-player-curve")).to_have_attribute(
        "aria-label", re.compile("step \\d+: yosinski-3: GaussianBlur.sigma 1 → ")
    )
    climber.goes_on()
    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    notebook.screenshot("board-paused")

    look_back(climber, 3)
    expect(climber.readout).to_contain_text("looking back: step 3")
    climber.press("Branch here")
    climber.shows("paused, step 3 of 1000")
    expect(legend(climber)).to_have_text([*BOARD, "before the branch at step 3"])
    climber.rests_right()
    climber.press("Resume")
    climber.goes_on()
    climber.press("Pause")
    climber.shows("paused")
    assert notebook.python("m.player.branches") == [3]
    notebook.screenshot("board-branched")

    name, data = saved(climber, "Save PNG")
    assert name.endswith(".png")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (64, 64)
        assert "cnnviz:recipe" in picture.info
    notebook.python("", "selection.unit = net['layer1.0.conv1'][5]; m.wait()")
    drop(climber, name, data)
    expect(climber.box.locator(".cnnviz-upload")).to_contain_text(f"{name}: its recipe is set")
    expect(climber.remark).to_contain_text("Loaded: fc[3], 1000 steps, seed 0.")
    assert notebook.python("[m.lanes.mode.value, m.recipe == cnn.recipes.get('yosinski-3')]") == ["one", True]
    assert notebook.python("selection.unit == net.output[3]")
    expect(climber.menu("recipe")).to_have_value("yosinski-3")
    climber.run()
    expect(legend(climber)).to_have_count(0)
    climber.press("Stop")
    climber.shows("stopped")
    expect(climber.error).to_have_count(0)


@pytest.mark.long
def test_a_run_is_looked_into_asked_about_and_filmed(notebook: Notebook) -> None:
    climber = open_climber(notebook, "resnet", PANEL)
    climber.run()
    climber.goes_on(8)
    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    rested = climber.step

    climber.press("What a step does")
    anatomy = climber.box.locator(".widget-image")
    expect(anatomy).to_be_visible()
    assert anatomy.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    climber.press("Natural or fooled?")
    expect(climber.box.get_by_text("what resnet18 sees")).to_be_visible()
    name, data = saved(climber, "Save film")
    assert name.endswith(".gif")
    with Image.open(io.BytesIO(data)) as film:
        assert film.format == "GIF"
        assert film.n_frames > 3  # type: ignore[attr-defined]
    assert climber.step == rested

    drop(climber, "notes.png", b"these are only notes")
    expect(climber.error).to_contain_text("not an image")
    photo = io.BytesIO()
    Image.new("RGB", (90, 70), (200, 40, 40)).save(photo, "PNG")
    drop(climber, "holiday.png", photo.getvalue())
    expect(climber.box.locator(".cnnviz-upload")).to_contain_text("holiday.png: the next run starts from it")
    expect(climber.error).to_have_count(0)
    climber.run()
    climber.press("Pause")
    climber.shows("paused")
    look_back(climber, 0)
    red, _, blue, _ = climber.pixels().at(32, 32)
    assert red > blue, "the run did not start from the photograph"
    notebook.screenshot("board-photograph")

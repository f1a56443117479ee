"""A run in the notebook: steered while it climbs, looked back at, independent of other cells, of scrolling and reloads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import ENDLESS, GREY, Climber, open_climber

FLAMINGO = """
selection.unit = net.unit("flamingo")
m = cnn.MaximizationPanel(net, "yosinski-3", selection=selection)
m
"""


def test_a_run_is_steered_looked_back_at_and_stopped(notebook: Notebook) -> None:
    climber = open_climber(notebook, "default", FLAMINGO)
    assert notebook.python("m.menu.value") == "yosinski-3", "the sliders moved by themselves"
    climber.record()
    climber.run()
    assert any("flamingo: preparing" in status for status in climber.recorded()), climber.recorded()

    sigma = climber.slider("sigma in pixels")
    sigma.focus()
    sigma.press("PageUp")
    notebook.until("m.recipe.regularizers[1].sigma > 1")
    raised = notebook.python("m.recipe.regularizers[1].sigma")
    sigma.press("ArrowRight")
    notebook.until(f"m.recipe.regularizers[1].sigma > {raised}")
    expect(climber.menu("recipe")).to_have_value("as set below")
    climber.goes_on()
    notebook.until("m._run._recipes == (m.recipe,)")
    assert "GaussianBlur.sigma 1 → " in notebook.python("m.player.marks[0][1]")

    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    rested, score = climber.step, climber.readout.inner_text()
    expect(climber.classes).to_have_text(f"what the network sees at step {rested}")
    notebook.screenshot("runner-paused")

    climber.scrubber.focus()
    climber.scrubber.press("Home")
    expect(climber.readout).to_contain_text("looking back: step 0 of 1000")
    expect(climber.picture).to_have_attribute("data-step", "0")
    expect(climber.classes).to_have_text("what the network sees at step 0")
    assert climber.readout.inner_text() != score
    notebook.screenshot("runner-looking-back")
    climber.press("Go back to the newest frame")
    expect(climber.picture).to_have_attribute("data-step", str(rested))
    expect(climber.classes).to_have_text(f"what the network sees at step {rested}")

    climber.press("Step")
    climber.shows(f"paused, step {rested + 1} of 1000")
    climber.press("Resume")
    climber.goes_on()
    climber.press("Stop")
    climber.shows("stopped")
    climber.rests_right()
    assert notebook.python("m.state") == "stopped"

    named = climber.box.get_by_placeholder("type a class name")
    named.fill("goldfish")
    named.press("Enter")
    notebook.until("selection.unit == net.unit('goldfish')")
    expect(climber.box.locator(".widget-hslider:visible .widget-readout").first).to_have_text("1")
    expect(climber.error).to_have_count(0)


@pytest.mark.long
@pytest.mark.parametrize("scene", ["grey", "resnet"])
def test_any_network_climbs(notebook: Notebook, scene: str) -> None:
    climber = open_climber(notebook, scene)
    climber.run()
    climber.box.get_by_label("clip small norm").check()
    notebook.until("m.recipe.regularizers == (Drift(), cnn.regularizers.ClipSmallNorm(50.0))")
    climber.goes_on()
    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    notebook.screenshot(f"runner-{scene}")
    climber.press("Stop")
    climber.shows("stopped")
    expect(climber.error).to_have_count(0)


BUSY = {
    "sleeping": "import pathlib, time\nwhile not pathlib.Path('{go}').exists():\n    time.sleep(0.05)",
    "counting": "import os\nwhile not os.path.exists('{go}'):\n    sum(range(1000))",
}


@pytest.fixture
def go(notebook: Notebook) -> Iterator[Path]:
    """The file that ends a busy cell once it exists."""
    path = notebook.server.root / "go"
    path.unlink(missing_ok=True)
    yield path
    path.touch()


def open_with_busy_cells(notebook: Notebook, kernel: str) -> Climber:
    busy = [source.format(go="go") for source in BUSY.values()]
    notebook.open([GREY, ENDLESS, *busy, "print('another cell answers')"], kernel=kernel)
    for cell in (0, 1):
        notebook.run(cell)
        notebook.wait_idle()
    climber = Climber(notebook)
    climber.box.scroll_into_view_if_needed()
    return climber


def begin(notebook: Notebook, cell: int) -> None:
    notebook.run(cell)
    prompt = notebook.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-InputPrompt").first
    expect(prompt).to_have_text("[*]:")


@pytest.mark.parametrize("kernel", ["python3", pytest.param("ipykernel-7.3", marks=pytest.mark.long)])
def test_frames_come_and_stop_is_heard_while_a_cell_is_busy(notebook: Notebook, go: Path, kernel: str) -> None:
    climber = open_with_busy_cells(notebook, kernel)
    for number in range(len(BUSY)):
        climber.run()
        begin(notebook, 2 + number)
        before = climber.pixels()
        climber.goes_on(5)
        climber.changes(before)
        climber.press("Pause")
        climber.shows("paused")
        climber.press("Resume")
        climber.goes_on()
        climber.press("Stop")
        climber.shows("stopped")
        prompt = notebook.locator(".jp-Notebook .jp-Cell").nth(2 + number).locator(".jp-InputPrompt").first
        assert prompt.inner_text() == "[*]:", "the cell was not busy any more"
        go.touch()
        notebook.wait_idle()
        go.unlink()
    climber.run()
    notebook.run(4)
    expect(notebook.output(4)).to_contain_text("another cell answers")
    climber.goes_on()


@pytest.mark.long
def test_an_old_kernel_shows_frames_but_hears_when_the_cell_is_done(notebook: Notebook, go: Path) -> None:
    climber = open_with_busy_cells(notebook, "ipykernel-6.31")
    expect(climber.remark).to_contain_text("buttons and sliders wait for a running cell to end")
    climber.run()
    begin(notebook, 2)
    climber.press("Stop")
    climber.goes_on(4)
    assert "running" in climber.status.inner_text()
    go.touch()
    climber.shows("stopped")
    expect(climber.remark).to_contain_text("buttons and sliders wait for a running cell to end")


def scroll_away(notebook: Notebook, climber: Climber) -> None:
    """To the last cell; where cells in between turn out to be of another height than JupyterLab thought, once more."""
    for _ in range(20):
        notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(9)")
        expect(notebook.output(9)).to_be_in_viewport()
        with contextlib.suppress(AssertionError):
            expect(climber.box).not_to_be_in_viewport(timeout=500)
            return
    expect(climber.box).not_to_be_in_viewport()


def test_a_run_goes_on_out_of_sight_and_over_a_reload(notebook: Notebook) -> None:
    notebook.open([GREY, ENDLESS, *["print('\\n' * 60)"] * 8], windowing="full")
    notebook.run_all()
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(1)")
    climber = Climber(notebook)
    climber.run()
    step = climber.step
    scroll_away(notebook, climber)
    assert notebook.python("m.state") == "running"
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(1)")
    expect(climber.picture).to_be_in_viewport()
    climber.goes_on()
    assert climber.step > step

    notebook.reload()
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(1)")
    expect(climber.picture).to_be_in_viewport()
    climber.goes_on()
    climber.press("Pause")
    climber.shows("paused")
    climber.rests_right()
    picture, readout = climber.pixels().digest, climber.readout.inner_text()
    curve = notebook.canvas_pixels(climber.box.locator("canvas.cnnviz-player-curve"))
    assert len({tuple(pixel) for pixel in curve.values.reshape(-1, 4)}) > 2, "the curve is empty"

    notebook.reload()
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(1)")
    climber.shows("paused")
    climber.rests_right()
    assert climber.pixels().digest == picture
    expect(climber.readout).to_have_text(readout, use_inner_text=True)
    climber.press("Resume")
    climber.goes_on()


def test_running_the_cell_again_ends_the_former_run(notebook: Notebook) -> None:
    climber = open_climber(notebook, "grey")
    climber.run()
    notebook.python("", setup="former = m")
    notebook.run(1)
    notebook.until("former is not m and former.state == 'idle' and m.state == 'idle'")
    threads = "[t.name for t in __import__('threading').enumerate()].count('cnnviz-ascent')"
    assert notebook.python(threads) == 0
    expect(climber.box).to_have_count(1)
    climber.run()
    assert notebook.python(threads) == 1

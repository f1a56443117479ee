"""The ground itself: widgets go both ways in every host and on every kernel, and the checks can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Error, expect

from tests.browser.notebook import Notebook, NotebookError

COUNTER = '''
import anywidget
import traitlets


class Counter(anywidget.AnyWidget):
    """A button that counts, and a canvas as red as the count."""

    _esm = """
    function render({ model, el }) {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      button.className = "counter";
      canvas.className = "counter";
      canvas.width = 8;
      canvas.height = 4;
      const draw = () => {
        button.textContent = `${model.get("count")}`;
        const context = canvas.getContext("2d");
        context.fillStyle = `rgb(${model.get("count")}, 0, 0)`;
        context.fillRect(0, 0, 8, 4);
        context.fillStyle = "#0000ff";
        context.fillRect(7, 0, 1, 1);
      };
      button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
      model.on("change:count", draw);
      el.append(button, canvas);
      draw();
    }
    export default { render };
    """
    count = traitlets.Int(0).tag(sync=True)


counter = Counter()
counter
'''
SLIDER = """
import ipywidgets

slider = ipywidgets.IntSlider(min=0, max=100, value=40)
heard = ipywidgets.Label("nothing yet")
slider.observe(lambda change: setattr(heard, "value", f"heard {change.new}"), "value")
ipywidgets.VBox([slider, heard])
"""
KERNELS = ("python3", "ipykernel-6.31", "ipykernel-7.3")


def widgets_go_both_ways(notebook: Notebook) -> None:
    notebook.run_all()
    button, canvas = notebook.locator("button.counter"), notebook.locator("canvas.counter")
    expect(button).to_have_text("0")
    button.click()
    expect(button).to_have_text("1")
    notebook.until("counter.count == 1")

    notebook.python("", setup="counter.count = 200")
    expect(button).to_have_text("200")
    pixels = notebook.canvas_pixels(canvas)
    assert pixels.size == (8, 4)
    assert (pixels.at(0, 0), pixels.at(7, 0)) == ((200, 0, 0, 255), (0, 0, 255, 255))

    handle = notebook.locator(".noUi-handle")
    handle.focus()
    handle.press("PageUp")
    notebook.until("slider.value > 40")
    expect(notebook.output(1)).to_contain_text(f"heard {notebook.python('slider.value')}")


@pytest.mark.parametrize("kernel", KERNELS)
def test_widgets_in_lab(notebook: Notebook, kernel: str) -> None:
    notebook.open([COUNTER, SLIDER], kernel=kernel)
    version = notebook.python("ipykernel.__version__", setup="import ipykernel")
    if kernel != "python3":
        assert version.startswith(kernel.removeprefix("ipykernel-"))
    widgets_go_both_ways(notebook)


@pytest.mark.parametrize("kernel", KERNELS)
def test_widgets_in_notebook7(notebook7: Notebook, kernel: str) -> None:
    notebook7.open([COUNTER, SLIDER], kernel=kernel)
    widgets_go_both_ways(notebook7)


def test_reload_keeps_kernel_and_widgets(notebook: Notebook) -> None:
    notebook.open([COUNTER])
    notebook.run_all()
    notebook.locator("button.counter").click()
    notebook.until("counter.count == 1")
    process = notebook.python("os.getpid()", setup="import os")
    notebook.reload()
    expect(notebook.locator("button.counter")).to_have_text("1")
    assert notebook.python("os.getpid()") == process
    notebook.locator("button.counter").click()
    notebook.until("counter.count == 2")


@pytest.mark.parametrize(("windowing", "kept"), [("full", False), ("none", True)])
def test_windowing_decides_on_cells_out_of_sight(notebook: Notebook, windowing: str, kept: bool) -> None:
    notebook.open([COUNTER, *["print('\\n' * 60)"] * 12], windowing=windowing)
    notebook.run_all()
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(12)")
    expect(notebook.output(12)).to_be_in_viewport()
    expect(notebook.locator("button.counter")).to_be_visible(visible=kept)
    notebook.page.evaluate("() => window.notebookPanel.content.scrollToItem(0)")
    expect(notebook.locator("button.counter")).to_be_visible()
    expect(notebook.locator("button.counter")).to_have_text("0")


def test_run_returns_while_the_cell_is_busy(notebook: Notebook) -> None:
    begin = "import pathlib, time\npathlib.Path('smoke-begun').touch()"
    wait = "while not pathlib.Path('smoke-go').exists():\n    time.sleep(0.01)\nwent = True"
    notebook.open([f"{begin}\n{wait}"])
    begun, go = notebook.server.root / "smoke-begun", notebook.server.root / "smoke-go"
    notebook.run(0)
    while not begun.exists():
        notebook.page.wait_for_timeout(50)
    with pytest.raises(Error, match=r"no answer in 0\.2 s"):
        notebook.wait_idle(seconds=0.2)
    go.touch()
    notebook.wait_idle()
    assert notebook.python("went") is True
    for file in (begun, go):
        file.unlink()


def test_values_come_back_as_json_and_failures_as_tracebacks(notebook: Notebook) -> None:
    notebook.open(["numbers = (1, 2.5, None, 'ä\\n\"', {'a': [True]}, 1j)"])
    notebook.run_all()
    assert notebook.python("numbers") == [1, 2.5, None, 'ä\n"', {"a": [True]}, "1j"]
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        notebook.python("1 / 0")
    with pytest.raises(NotebookError, match="no such thing"):
        notebook.python("", setup="raise KeyError('no such thing')")


def fails_with(notebook: Notebook, message: str) -> None:
    with pytest.raises(NotebookError, match=message):
        notebook.check()
    notebook.faults.clear()


def faulty_page(notebook: Notebook, provoke: Callable[[], object]) -> None:
    provoke()
    for _ in range(100):
        if notebook.faults:
            return
        notebook.page.wait_for_timeout(50)
    raise AssertionError("the fault was not seen")


def test_requests_to_other_machines_are_blocked_and_seen(notebook: Notebook) -> None:
    notebook.open(["from IPython.display import HTML", "HTML('<img src=\"https://example.org/tracker.png\">')"])
    faulty_page(notebook, notebook.run_all)
    fails_with(notebook, r"request to another machine: https://example\.org/tracker\.png")
    # JupyterLab may draw the output again, and the picture is asked for again.
    notebook.allowed = (r"example\.org",)


def test_outside_sockets_and_names_like_loopback_are_seen(notebook: Notebook) -> None:
    notebook.open([])
    faulty_page(notebook, lambda: notebook.page.evaluate("() => void new WebSocket('ws://example.invalid/x')"))
    fails_with(notebook, r"request to another machine: ws://example\.invalid/x")
    look_alike = "() => void fetch('http://127.0.0.1.example.org/').catch(() => 0)"
    faulty_page(notebook, lambda: notebook.page.evaluate(look_alike))
    fails_with(notebook, r"request to another machine: http://127\.0\.0\.1\.example\.org/")


def test_errors_of_page_and_cells_are_seen(notebook: Notebook) -> None:
    notebook.open(["import sys; print('mind the gap', file=sys.stderr)"])
    faulty_page(notebook, lambda: notebook.page.evaluate("() => console.error('first fault')"))
    fails_with(notebook, "console error: first fault")
    thrown = "() => setTimeout(() => { throw new Error('second fault') })"
    faulty_page(notebook, lambda: notebook.page.evaluate(thrown))
    fails_with(notebook, "uncaught error in the page: .*second fault")
    notebook.check()
    notebook.run_all()
    fails_with(notebook, "cell 0 wrote to stderr: mind the gap")
    notebook.page.evaluate("() => window.notebookPanel.content.model.cells.get(0).clearExecution()")


def test_a_missing_kernel_is_an_error_that_says_what_to_run(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr("tests.browser.notebook.kernel_directory", lambda version: tmp_path / version)
    with pytest.raises(RuntimeError, match="make kernels"):
        notebook.open([], kernel="ipykernel-7.3")

"""A notebook in a real browser, driven as a person would and watched for faults all the while."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Route, WebSocket

from tests.browser.pixels import Pixels, read_pixels
from tests.browser.server import KERNEL_VERSIONS, REPOSITORY, Server, kernel_directory

SCREENSHOTS = REPOSITORY / "test-output"
READY_SECONDS = 120

# JavaScript's own syntax for every http(s) and ws(s) address that is not on this machine.
_OUTSIDE = re.compile(r"^(?:https?|wss?)://(?!(?:127\.0\.0\.1|localhost|\[::1\])[:/])", re.IGNORECASE)
_REQUEST_FAILED = ("Failed to load resource", "WebSocket connection to")

_OPEN = """async (path) => {
  const app = window.jupyterapp;
  await app.restored;
  const opened = !location.pathname.includes('/notebooks/')
    ? await app.commands.execute('docmanager:open', { path, factory: 'Notebook' })
    : app.shell.currentWidget;
  window.notebookPanel = opened;
  await opened.context.ready;
  await opened.sessionContext.ready;
}"""
_READY = """() => {
  const panel = window.notebookPanel;
  const kernel = panel?.sessionContext?.session?.kernel;
  // the command that runs a cell may be done, and the kernel's status idle, while the cell still runs
  const cells = Array.from(panel?.content?.model?.cells ?? []);
  if (cells.some((cell) => cell.executionState === 'running')) return false;
  return kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
_RUN_ALL = """async () => {
  window.notebookPanel.content.activate();
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""
_RUN_ONE = """(index) => {
  const { content } = window.notebookPanel;
  content.activeCellIndex = index;
  content.deselectAll();
  const run = window.jupyterapp.commands.execute('notebook:run-cell');
  window.notebookRuns = Promise.all([window.notebookRuns, run]);
}"""
_OUTPUTS = """() => window.notebookPanel
  ? Array.from(window.notebookPanel.content.model.cells, (cell) => cell.toJSON().outputs ?? [])
  : []"""
_EXECUTE = """async ([code, expression]) => {
  const kernel = window.notebookPanel.sessionContext.session.kernel;
  const future = kernel.requestExecute({
    code, store_history: false, stop_on_error: false,
    user_expressions: expression ? { value: expression } : {},
  });
  return (await future.done).content;
}"""


# A promise of the page has no end of its own: without this, a cell that hangs would hang the tests.
_WITHIN = """([argument, milliseconds]) => Promise.race([
  (%s)(argument),
  new Promise((_, refuse) => setTimeout(refuse, milliseconds, new Error(`no answer in ${milliseconds / 1000} s`))),
])"""


class NotebookError(AssertionError):
    """Something went wrong in the page, a cell or the kernel although no assertion of the test said so."""


@dataclass
class Notebook:
    """One notebook on one page; the fixtures make it, a test opens it with its cells.

    Attributes
    ----------
    page
        Playwright's page, for all that has no method here.
    faults
        What `check` complains of: console errors, uncaught errors, requests to other machines. A test that provokes
        one clears the list.
    allowed
        Patterns of faults that `check` passes over.
    """

    server: Server
    browser: Browser
    name: str
    allowed: Sequence[str] = ()
    faults: list[str] = field(default_factory=list)
    path: str = ""
    _page: Page | None = None
    _outside: set[str] = field(default_factory=set)

    @property
    def page(self) -> Page:
        """The open page.

        Raises
        ------
        RuntimeError
            The notebook is not open.
        """
        if self._page is None:
            raise RuntimeError("the notebook is not open; call open(cells) first")
        return self._page

    @property
    def is_open(self) -> bool:
        """Whether the notebook has a page."""
        return self._page is not None

    def open(self, cells: Sequence[str], kernel: str = "python3", windowing: str | None = "none") -> None:
        """Write a notebook with these code cells, open it in a fresh page and wait for its kernel.

        Parameters
        ----------
        cells
            Source of each code cell; common indentation is taken off.
        kernel
            ``"python3"``, ``"ipykernel-6.31"`` or ``"ipykernel-7.3"``.
        windowing
            What becomes of cells out of sight: ``"none"`` (they stay as they are), ``"full"`` (their editor leaves the
            document, their output gets no layout), ``"defer"``, ``"contentVisibility"`` (they are not painted), or None
            for what a user has who never touched that setting: JupyterLab 4.6 and later ``"contentVisibility"``.

        Raises
        ------
        RuntimeError
            It is open already, or that kernel is not installed.
        """
        if self._page is not None:
            raise RuntimeError("the notebook is open already; call close() first")
        _require_kernel(kernel)
        self.path = f"{_file_name(self.name)}-{uuid.uuid4().hex[:6]}.ipynb"
        _write(self.server.root / self.path, cells, kernel)
        self.server.set_windowing(windowing)
        context = self.browser.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=1)
        context.set_default_timeout(30_000)
        context.route(_OUTSIDE, self._block)
        self._page = context.new_page()
        self._page.on("console", self._on_console)
        self._page.on("pageerror", self._on_page_error)
        self._page.on("websocket", self._on_socket)
        self._page.on("dialog", lambda dialog: dialog.accept())
        self._page.goto(self.server.page(self.path))
        self._attach()

    def run_all(self, seconds: float = READY_SECONDS) -> None:
        """Run every cell and wait until the last one is done; an error of the page where that takes longer."""
        self._evaluate(_RUN_ALL, seconds=seconds)
        self.wait_idle()

    def run(self, index: int) -> None:
        """Start the cell at ``index`` and return at once; `wait_idle` waits for it."""
        self.page.evaluate(_RUN_ONE, index)

    def wait_idle(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every cell that was started is done and the kernel has nothing to do.

        The kernel's status alone would not tell: it turns idle in the middle of a cell when a subshell is done.
        """
        self._evaluate("async () => { await window.notebookRuns; }", seconds=seconds)
        self.page.wait_for_function(_READY, timeout=seconds * 1000)

    def python(self, expression: str, setup: str = "", seconds: float = READY_SECONDS) -> Any:
        """Value of a Python expression in the kernel, by way of JSON; what JSON does not know comes as its repr.

        It waits its turn: behind a busy cell, until that cell is done.

        Parameters
        ----------
        expression
            The expression to evaluate, or ``""`` for none (the answer is then None).
        setup
            Statements to run before it, in the same turn.
        seconds
            How long the answer may take.

        Raises
        ------
        NotebookError
            The statements or the expression raised; the message holds the traceback.
        """
        wrapped = f"__import__('json').dumps({expression}, default=repr)" if expression else ""
        reply = self._evaluate(_EXECUTE, [textwrap.dedent(setup), wrapped], seconds)
        answer = reply.get("user_expressions", {}).get("value") if reply["status"] == "ok" else reply
        if answer is None:
            return None
        if answer["status"] != "ok":
            raise NotebookError("\n".join([f"in the kernel: {expression}", *_plain(answer["traceback"])]))
        return _from_repr(answer["data"]["text/plain"])

    def until(self, expression: str, seconds: float = 30) -> Any:
        """Evaluate a Python expression in the kernel until it is true, and return its value.

        Raises
        ------
        NotebookError
            It did not become true in that time; the message holds its last value.
        """
        deadline = time.monotonic() + seconds
        while not (value := self.python(expression)):
            if time.monotonic() > deadline:
                raise NotebookError(f"{expression} was still {value!r} after {seconds:g} s")
            self.page.wait_for_timeout(50)
        return value

    def locator(self, css: str) -> Locator:
        """Playwright's locator of these elements of the page."""
        return self.page.locator(css)

    def output(self, index: int) -> Locator:
        """What the cell at ``index`` shows below it."""
        return self.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")

    def outputs(self) -> list[list[dict[str, Any]]]:
        """Per cell, its outputs in the notebook format."""
        found: list[list[dict[str, Any]]] = self.page.evaluate(_OUTPUTS)
        return found

    def canvas_pixels(self, locator: Locator) -> Pixels:
        """What a ``canvas`` or ``img`` holds now, in its own pixels."""
        return read_pixels(locator)

    def screenshot(self, name: str = "") -> Path:
        """Save what the page shows as ``test-output/<name>.png``; without a name, under the test's."""
        path = SCREENSHOTS / f"{_file_name(name or self.name)}.png"
        path.parent.mkdir(exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def reload(self) -> None:
        """Save, load the page anew and wait until it is connected to the kernel, which ran on."""
        self._evaluate("() => window.notebookPanel.context.save()")
        self.page.reload()
        self._attach()

    def check(self) -> None:
        """Complain of all that went wrong since the notebook was opened.

        Raises
        ------
        NotebookError
            A cell wrote to stderr or raised; the console got an error; an error of the page was not caught; the page
            asked another machine for something.
        """
        cells = [fault for index, outputs in enumerate(self.outputs()) for fault in _cell_faults(index, outputs)]
        page = [fault for fault in self.faults if not any(re.search(pattern, fault) for pattern in self.allowed)]
        if cells or page:
            raise NotebookError("\n".join([f"{self.path}:", *cells, *page]))

    def close(self) -> None:
        """Close the page and shut its kernel down; closing twice does nothing."""
        if self._page is None:
            return
        page, self._page = self._page, None
        page.context.close()
        self.server.shut_kernel_down(self.path)

    def _attach(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp?.shell", timeout=READY_SECONDS * 1000)
        if self.server.application == "notebook":
            current = "() => window.jupyterapp.shell.currentWidget?.sessionContext"
            self.page.wait_for_function(current, timeout=READY_SECONDS * 1000)
        self._evaluate(_OPEN, self.path)
        self.wait_idle()

    def _evaluate(self, source: str, argument: Any = None, seconds: float = READY_SECONDS) -> Any:
        """Value of an asynchronous function of the page, or playwright's error after so many seconds."""
        return self.page.evaluate(_WITHIN % source, [argument, seconds * 1000])

    def _block(self, route: Route) -> None:
        self._on_outside(route.request.url)
        route.abort()

    def _on_socket(self, socket: WebSocket) -> None:
        if _OUTSIDE.match(socket.url):
            self._on_outside(socket.url)

    def _on_outside(self, address: str) -> None:
        self._outside.add(address)
        self.faults.append(f"request to another machine: {address}")

    def _on_console(self, message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        # The browser reports a request that failed; one to another machine is a fault of its own already.
        echo = text.startswith(_REQUEST_FAILED) and any(address in text for address in self._outside)
        if message.type == "error" and not echo:
            self.faults.append(f"console error: {text}")

    def _on_page_error(self, error: Error) -> None:
        self.faults.append(f"uncaught error in the page: {error}")


def _require_kernel(kernel: str) -> None:
    """Complain where another ipykernel is asked for that is not there: a test must not pass on the wrong one."""
    known = {f"ipykernel-{version}": kernel_directory(version) for version in KERNEL_VERSIONS}
    if kernel != "python3" and kernel not in known:
        raise RuntimeError(f"no kernel {kernel!r}; there are 'python3', {', '.join(map(repr, known))}")
    if kernel in known and not (known[kernel] / "ipykernel").is_dir():
        raise RuntimeError(f"{known[kernel]} holds no ipykernel; run `make kernels`")


def _write(path: Path, cells: Sequence[str], kernel: str) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(textwrap.dedent(source).strip()) for source in cells]
    nbformat.write(notebook, path)


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def _plain(traceback: Sequence[str]) -> list[str]:
    """A traceback without the colours that IPython gives it."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in traceback]


def _from_repr(text: str) -> Any:
    """Decode the JSON that the kernel sent as the repr of a string."""
    return json.loads(ast.literal_eval(text))


def _cell_faults(index: int, outputs: Sequence[dict[str, Any]]) -> list[str]:
    faults = []
    for output in outputs:
        if output["output_type"] == "error":
            faults.append("\n".join([f"cell {index} raised:", *_plain(output["traceback"])]))
        elif output["output_type"] == "stream" and output["name"] == "stderr":
            faults.append(f"cell {index} wrote to stderr: {''.join(output['text'])}")
    return faults

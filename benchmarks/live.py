"""How live a run is: frames a second in the page, and how soon a slider that is moved shows in the picture.

Run ``python benchmarks/live.py``; it starts JupyterLab, opens it in Chromium and presses keys as a user does. Three times are
taken from each press of a key on a slider: until a step is made with the new value, until its frame is computed, and until
the page has drawn that frame or a later one. Kernel and page are on one machine, so their clocks are one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.notebook import Notebook
from tests.browser.scenes import DEFAULT, GREY, Climber
from tests.browser.server import Server
from tests.chromium import launch

SCENES = {
    "EfficientNet-Lite0, a logit": (DEFAULT, 'net.unit("flamingo")'),
    "EfficientNet-Lite0, an early channel": (DEFAULT, 'net["blocks.2.1"][7]'),
    "two small layers, 8 x 8 pixels": (GREY, "net.output[3]"),
}
# Notes when a value of its knob first acts, and at which step; the panel's player is watched for the frames computed.
PANEL = '''
import time
from dataclasses import dataclass

acted, computed = {{}}, []


@dataclass(frozen=True)
class Pull(cnn.regularizers.Regularizer):
    """Towards the mean colour."""

    share: float = cnn.knob(0.0, low=0.0, high=0.5, label="share pulled")

    def project(self, x, gradient, step):
        if self.share not in acted:
            acted[self.share] = time.time(), step
        return (1 - self.share) * x


selection.unit = {unit}
m = cnn.MaximizationPanel(net, cnn.Recipe(regularizers=[Pull()], steps=1_000_000), selection=selection)
offer = m.player.offer


def watched(step, *others):
    computed.append((time.time(), step))
    return offer(step, *others)


m.player.offer = watched
m
'''
WATCH = """(canvas) => {
  window.drawn = [];
  window.pressed = [];
  const note = () => window.drawn.push([Date.now() / 1000, Number(canvas.dataset.step), Number(canvas.dataset.number)]);
  new MutationObserver(note).observe(canvas, { attributes: true, attributeFilter: ['data-number'] });
  document.addEventListener('keydown', () => window.pressed.push(Date.now() / 1000), true);
}"""


@dataclass(frozen=True)
class Delays:
    """Milliseconds from the press of a key until a step was made with the new value, its frame computed, and drawn."""

    acted: float
    computed: float
    drawn: float


def frames(notebook: Notebook, seconds: float) -> tuple[float, float]:
    """Frames drawn a second and steps made a second, over a while in which nobody touches anything."""
    notebook.page.evaluate("() => { window.drawn.length = 0; }")
    notebook.page.wait_for_timeout(1000 * seconds)
    drawn = notebook.page.evaluate("() => window.drawn")
    if len(drawn) < 2:
        return 0.0, 0.0
    (start, first, _), (end, last, _) = drawn[0], drawn[-1]
    return (len({number for _, _, number in drawn}) - 1) / (end - start), (last - first) / (end - start)


def delays(notebook: Notebook, climber: Climber, presses: int) -> list[Delays]:
    """Of a slider moved by so many presses of a key, each after the one before is seen."""
    handle = climber.slider("share pulled")
    handle.focus()
    known, found = len(notebook.python("acted")), []
    for _ in range(presses):
        notebook.page.evaluate("() => { window.pressed.length = 0; window.drawn.length = 0; }")
        handle.press("ArrowRight")
        notebook.until(f"len(acted) > {known}")
        known += 1
        acted, step = notebook.python("list(acted.values())[-1]")
        shown = notebook.page.wait_for_function(
            "(step) => window.drawn.find(([_, drawn]) => drawn > step)?.[0]", arg=step, timeout=60_000
        ).json_value()
        computed = notebook.python(f"next(at for at, step in computed if step > {step})")
        (pressed,) = notebook.page.evaluate("() => window.pressed")
        found.append(Delays(*(1000 * (at - pressed) for at in (acted, computed, shown))))
        notebook.page.wait_for_timeout(300)
    return found


@contextmanager
def laboratory(threads: int) -> Iterator[Server]:
    """A JupyterLab whose kernels give torch so many threads."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        policy = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
        server = Server("lab", Path(directory), {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": policy})
        server.start()
        try:
            yield server
        finally:
            server.stop()


def measured(server: Server, browser: Browser, scene: str, given: argparse.Namespace) -> dict[str, Any]:
    cell, unit = SCENES[scene]
    notebook = Notebook(server, browser, "live")
    try:
        notebook.open([cell, PANEL.format(unit=unit)])
        notebook.run_all()
        climber = Climber(notebook)
        climber.box.scroll_into_view_if_needed()
        climber.run()
        climber.picture.evaluate(WATCH)
        threads = notebook.python("__import__('torch').get_num_threads()")
        drawn, steps = frames(notebook, given.seconds)
        taken = delays(notebook, climber, given.presses)
        climber.press("Stop")
        climber.shows("stopped")
    finally:
        notebook.close()
    return {"threads": threads, "drawn": drawn, "steps": steps, "delays": taken}


def tell(scene: str, found: dict[str, Any]) -> None:
    taken = found["delays"]
    texts = []
    for name in ("acted", "computed", "drawn"):
        values = [getattr(one, name) for one in taken]
        texts.append(f"{median(values):6.0f} ({max(values):.0f})")
    columns = "  ".join(f"{text:>14}" for text in texts)
    print(f"  {scene:<38} {found['threads']:>7}  {found['drawn']:>6.1f}  {found['steps']:>6.1f}  {columns}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="torch's threads (default 1 2)")
    parser.add_argument("--seconds", type=float, default=10, help="how long frames are counted (default 10)")
    parser.add_argument("--presses", type=int, default=10, help="how often the slider is moved (default 10)")
    given = parser.parse_args()
    if given.presses < 1 or given.seconds <= 0 or min(given.threads) < 1:
        parser.error("--threads and --presses start from 1, --seconds lies above 0")
    print("A run in JupyterLab; from the press of a key on a slider, in ms: medians (and the longest)")
    print(f"  {'':<38} {'threads':>7}  {'drawn':>6}  {'steps':>6}  {'acts':>14}  {'computed':>14}  {'drawn':>14}")
    print(f"  {'':<38} {'':>7}  {'a sec':>6}  {'a sec':>6}")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            for threads in given.threads:
                with laboratory(threads) as server:
                    for scene in SCENES:
                        tell(scene, measured(server, browser, scene, given))
        finally:
            browser.close()


if __name__ == "__main__":
    main()

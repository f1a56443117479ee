"""Networks and panels as a user's cells make them, and the panels' parts as a user finds them on the page."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.browser.pixels import Pixels

DEFAULT = """
import cnnviz_widgets as cnn

net = cnn.load()
images = cnn.ImageSet.samples()
selection = cnn.Selection(net, images)
"""
GREY = """
import torch
from sklearn.datasets import load_digits
from torch import nn
import cnnviz_widgets as cnn

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
y = torch.tensor(digits.target)
module = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
)
optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
for _ in range(40):
    chosen = torch.randperm(len(x))[:256]
    loss = nn.functional.cross_entropy(module(x[chosen]), y[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
net = cnn.Network(module, cnn.InputSpec(size=(1, 8, 8)), labels=[f"digit {n}" for n in range(10)])
images = x[:3]
selection = cnn.Selection(net, images)
"""
RESNET = """
import numpy as np
import torch
from torchvision.models import resnet18
import cnnviz_widgets as cnn

torch.manual_seed(0)
net = cnn.Network(resnet18(), cnn.InputSpec(size=(3, 64, 64)), name="resnet18")
images = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
selection = cnn.Selection(net, images)
"""
SCENES = {"default": DEFAULT, "grey": GREY, "resnet": RESNET}
ENDLESS = '''
from dataclasses import dataclass


@dataclass(frozen=True)
class Drift(cnn.regularizers.Regularizer):
    """Everything a pixel to the right, so that frames differ."""

    pixels: int = cnn.knob(1, low=0, high=4)

    def project(self, x, gradient, step):
        return x.roll(self.pixels, -1)


selection.unit = net.output[3]
m = cnn.MaximizationPanel(net, cnn.Recipe(regularizers=[Drift()], steps=1_000_000), selection=selection)
m
'''
FILTERS = "f = cnn.FilterPanel(net, selection=selection); f"
ACTIVATIONS = "a = cnn.ActivationPanel(net, images, selection=selection); a"

_STILL = """
import hashlib, io
import numpy as np
from PIL import Image

def digest_of_still(panel):
    values = np.asarray(Image.open(io.BytesIO(panel.player.still)).convert("RGBA"))
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()
"""
_RECORD = """(node) => {
  window.statuses = [node.textContent];
  new MutationObserver(() => window.statuses.push(node.textContent)).observe(
    node, { childList: true, characterData: true, subtree: true });
}"""


class Climber:
    """A `MaximizationPanel` on the page; in the kernel it is called ``m``."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.box = notebook.locator(".cnnviz-panel").filter(has=notebook.locator(".cnnviz-player"))
        self.picture = self.box.locator("canvas.cnnviz-player-picture")
        self.status = self.box.locator(".cnnviz-player-status")
        self.readout = self.box.locator(".cnnviz-player-readout")
        self.scrubber = self.box.locator(".cnnviz-player-scrubber")
        self.classes = self.box.locator(".cnnviz-bars").first.locator(".cnnviz-caption")
        self.remark = self.box.locator(".cnnviz-note[data-kind=info] .cnnviz-note-text:not(:empty)")
        self.error = self.box.locator(".cnnviz-note[data-kind=error] .cnnviz-note-text:not(:empty)")

    def press(self, name: str) -> None:
        """Click a button."""
        self.box.get_by_role("button", name=name, exact=True).click()

    def slider(self, label: str) -> Locator:
        """The handle of the visible slider of this name."""
        sliders = self.box.locator(".widget-hslider:visible")
        labelled = sliders.filter(has=self.notebook.page.get_by_text(label, exact=True))
        return labelled.first.locator(".noUi-handle")

    def menu(self, label: str) -> Locator:
        """The menu of this name."""
        menus = self.box.locator(".widget-dropdown")
        return menus.filter(has=self.notebook.page.get_by_text(label, exact=True)).locator("select")

    @property
    def step(self) -> int:
        """Step of the picture on the screen, -1 before the first."""
        return int(self.picture.get_attribute("data-step") or -1)

    @property
    def number(self) -> int:
        """Number of the newest frame that the page has drawn."""
        return int(self.picture.get_attribute("data-number") or 0)

    def pixels(self) -> Pixels:
        """The picture on the screen."""
        return self.notebook.canvas_pixels(self.picture)

    def run(self) -> None:
        """Press Run, until frames of the new run are drawn one after the other."""
        former = self.picture.get_attribute("data-run")
        self.press("Run")
        begun = "([canvas, former]) => (canvas.dataset.run ?? null) !== former"
        self.notebook.page.wait_for_function(begun, arg=[self.picture.element_handle(), former], timeout=60_000)
        self.goes_on()

    def goes_on(self, frames: int = 3) -> None:
        """Until that many more frames are drawn, and the steps have grown with them."""
        step, number = self.step, self.number
        grown = """([canvas, number]) => Number(canvas.dataset.number) >= number"""
        handle = self.picture.element_handle()
        self.notebook.page.wait_for_function(grown, arg=[handle, number + frames], timeout=60_000)
        assert self.step > step

    def changes(self, before: Pixels) -> None:
        """Until the picture is another one."""
        for _ in range(200):
            if self.pixels().digest != before.digest:
                return
            self.notebook.page.wait_for_timeout(50)
        raise AssertionError("the picture stays the same")

    def shows(self, text: str) -> None:
        """Until the status contains this."""
        expect(self.status).to_contain_text(text, timeout=60_000)

    def rests_right(self) -> None:
        """The picture is the lossless one that Python holds."""
        digest = self.notebook.python("digest_of_still(m)", setup=_STILL)
        self.notebook.page.wait_for_function(
            "([canvas, step]) => canvas.dataset.step === step && canvas.dataset.live === 'true'",
            arg=[self.picture.element_handle(), str(self.notebook.python("m.player.step"))],
        )
        for _ in range(100):
            if self.pixels().digest == digest:
                return
            self.notebook.page.wait_for_timeout(50)
        raise AssertionError("the picture at rest is not the one that Python holds")

    def record(self) -> None:
        """Begin to keep every status that the page shows, for `recorded`."""
        self.status.evaluate(_RECORD)

    def recorded(self) -> list[str]:
        """The statuses since `record`."""
        statuses: list[str] = self.notebook.page.evaluate("() => window.statuses")
        return statuses


def open_climber(notebook: Notebook, scene: str, cell: str = ENDLESS, **how: str) -> Climber:
    """Open a notebook whose second cell makes a `MaximizationPanel`, run it and wait for the panel."""
    notebook.open([SCENES[scene], cell], **how)
    notebook.run_all()
    climber = Climber(notebook)
    climber.box.scroll_into_view_if_needed()
    expect(climber.status).to_be_attached()
    return climber

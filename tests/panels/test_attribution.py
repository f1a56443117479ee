"""*Why this class?* in the `ActivationPanel`: what is asked, drawn, stopped and told as code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnviz_widgets as cnn
from cnnviz_widgets import ActivationPanel, ImageSet, InputSpec, Network, Selection
from cnnviz_widgets.engine import attribution
from cnnviz_widgets.engine.progress import Progress
from cnnviz_widgets.panels import _attribution
from tests.panels.networks import CLASSES, convolutional, dense, grey, untrained_resnet
from tests.panels.waiting import until

Keep = Callable[[ActivationPanel], ActivationPanel]
NAMES = {"saliency": "saliency", "smooth_grad": "SmoothGrad", "grad_cam": "Grad-CAM", "occlusion": "occlusion"}


def noise(seed: int = 0, size: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def drawn(panel: ActivationPanel) -> np.ndarray:
    _, height, width, depth = panel.why.picture.shape
    return np.frombuffer(panel.why.picture.pixels, np.uint8).reshape(height, width, depth)


def caption(panel: ActivationPanel) -> str:
    """The line that tells what was computed."""
    return str(panel.why.legend.text.partition("\n")[0])


def ask(panel: ActivationPanel, method: str) -> None:
    panel.why.method.value = method
    panel.wait()


@pytest.fixture
def panel(keep: Keep) -> ActivationPanel:
    """On a grey network with two pictures of noise."""
    return keep(ActivationPanel(grey(), [noise(0), noise(1)]))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engine's methods that are asked, by name."""
    asked: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **told: Any) -> Any:
            asked.append(name)
            return function(*given, **told)

        return call

    for name in ("saliency", "smoothing", "grad_cam", "occluding"):
        monkeypatch.setattr(attribution, name, counted(name, getattr(attribution, name)))
    return asked


def test_without_a_method_nothing_is_computed(panel: ActivationPanel, calls: list[str]) -> None:
    panel.image.value = "1"
    panel.why.opacity.value = 0.3
    panel.why.goal.value = panel.why.goal.options[1][1]
    panel.wait()
    assert calls == []
    assert panel.why.picture.layout.display == "none"
    assert panel.why.legend.text == ""
    assert "attribution" not in panel.code()


@pytest.mark.parametrize("method", NAMES)
def test_the_first_class_is_explained(panel: ActivationPanel, method: str) -> None:
    ask(panel, method)
    best, probability = panel.network.classify(noise(0))[0][0]
    found = getattr(attribution, method)(panel.network, noise(0), panel.network.unit(best))
    assert panel.why.picture.layout.display == ""
    laid = found.overlay(opacity=0.6).resize((448, 448), Image.Resampling.LANCZOS)
    assert np.array_equal(drawn(panel), np.asarray(laid))
    assert caption(panel).startswith(NAMES[method])
    assert f"for {best} ({probability:.1%})" in caption(panel)
    assert caption(panel).endswith(" s")
    assert panel.why.running.layout.display == "none"
    assert panel.why.legend.text.count("\n") == 1
    assert panel.note.text == ""


def test_grad_cam_names_its_layer(panel: ActivationPanel) -> None:
    ask(panel, "grad_cam")
    assert caption(panel).startswith("Grad-CAM of 4 for ")
    before = panel.why.picture.pixels
    panel.selection.layer = panel.network["0"]
    panel.wait()
    assert panel.why.picture.pixels == before
    ask(panel, "grad_cam_here")
    assert caption(panel).startswith("Grad-CAM of 0 for ")
    assert panel.why.picture.pixels != before
    panel.selection.layer = panel.network["1"]
    panel.wait()
    assert caption(panel).startswith("Grad-CAM of 1 for ")
    panel.selection.layer = panel.network["7"]
    panel.wait()
    assert "no maps of more than one place" in panel.why.legend.text
    assert (panel.why.legend.kind, panel.why.picture.layout.display) == ("error", "none")
    panel.selection.layer = panel.network["0"]
    panel.wait()
    assert (panel.why.legend.kind, panel.why.picture.layout.display) == ("info", "")


def test_the_menu_lists_the_classes_with_their_probabilities(panel: ActivationPanel) -> None:
    expected = panel.network.classify(noise(0))[0]
    texts = [text for text, _ in panel.why.goal.options]
    assert texts[:5] == [f"{name}  {probability:.1%}" for name, probability in expected]
    assert texts[5] == f"the unit in focus, {panel.selection.unit}"
    assert panel.why.goal.index == 0
    panel.why.goal.index = 2
    ask(panel, "saliency")
    assert f"for {expected[2][0]} (" in caption(panel)


def test_a_class_is_found_by_its_name(keep: Keep) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 9))
    labels = ["crane", "crane", *"abcdefg"]
    panel = keep(ActivationPanel(Network(module, InputSpec(size=(1, 8, 8)), labels), [noise(0), noise(1)]))
    assert panel.why.search.options[:3] == ("crane [0]", "crane [1]", "a")
    order = [number for _, number in panel.why.goal.options[:-1]]
    rare = next(number for number in range(9) if number not in order)
    panel.why.search.value = panel.why.search.options[rare]
    ask(panel, "saliency")
    assert panel.why.goal.value == rare
    assert len(panel.why.goal.options) == 7
    assert panel.why.search.value == ""
    assert f"for {labels[rare]} (" in caption(panel)
    # it stays for the next image, until another one is chosen
    panel.image.value = "1"
    panel.wait()
    assert panel.why.goal.value == rare
    assert f"for {labels[rare]} (" in caption(panel)
    panel.why.search.value = "crane [1]"
    panel.wait()
    assert panel.code().splitlines()[-1].startswith("cnn.attribution.saliency(net, images[1], net.output[1])")


def test_of_the_unit_in_focus(panel: ActivationPanel) -> None:
    panel.selection.unit = panel.network["2"][4]
    panel.wait()
    panel.why.goal.value = "unit"
    ask(panel, "saliency")
    assert "saliency for 2[4] (score" in caption(panel)
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    assert "saliency for 2[1] (score" in caption(panel)
    panel.selection.unit = panel.network["2"][1, 0, 3]
    panel.wait()
    assert (
        panel.code().splitlines()[-1].startswith("cnn.attribution.saliency(net, images[0], net['2'][1, 0, 3]).overlay")
    )


@pytest.mark.parametrize("make", [convolutional, dense, untrained_resnet])
@pytest.mark.parametrize("method", NAMES)
def test_on_other_networks(make: Callable[[], Network], method: str, keep: Keep) -> None:
    network = make()
    channels, *size = network.input.size
    panel = keep(ActivationPanel(network, [noise(0, (*size, 3) if channels == 3 else tuple(size))]))
    panel.selection.layer = network.main_layers[-1]
    ask(panel, method)
    if method == "grad_cam" and make is dense:
        assert "use saliency or occlusion" in panel.why.legend.text
        assert panel.why.legend.kind == "error"
    else:
        assert panel.why.legend.kind == "info"
        assert caption(panel).startswith(NAMES[method])
    if not network.is_classifier:
        assert [value for _, value in panel.why.goal.options] == ["unit"]
    assert panel.note.text == ""


def test_follows_image_network_and_weights(panel: ActivationPanel, keep: Keep) -> None:
    ask(panel, "saliency")
    first = panel.why.picture.pixels
    panel.selection.image = "1"
    panel.wait()
    second = panel.why.picture.pixels
    assert second != first
    with torch.no_grad():
        panel.network.module[0].weight.mul_(-1)  # type: ignore[index, union-attr, operator]
    panel.refresh()
    panel.wait()
    assert panel.why.picture.pixels != second
    panel.selection.image = None
    panel.wait()
    assert panel.why.picture.layout.display == "none"
    panel.selection.image = "0"
    panel.wait()
    assert panel.why.picture.layout.display == ""
    other = Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)), InputSpec(size=(1, 8, 8)))
    panel.selection.network = other
    panel.wait()
    assert panel.why.search.options == ("0", "1")
    assert caption(panel).startswith("saliency for ")
    assert not any(name in caption(panel) for name in CLASSES)


def test_opacity_draws_again_without_computing(panel: ActivationPanel, calls: list[str]) -> None:
    ask(panel, "smooth_grad")
    before = panel.why.picture.pixels
    panel.why.opacity.value = 0
    panel.wait()
    assert calls == ["smoothing"]
    assert panel.why.picture.pixels != before
    assert (drawn(panel)[..., 0] == drawn(panel)[..., 2]).all()


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Lets the batches of an occlusion through, one by one."""
    gate, whole = threading.Semaphore(0), attribution.occluding

    def occluding(*given: Any) -> Iterator[Progress[Any]]:
        for progress in whole(*given, window=2, stride=1, batch=4):
            assert gate.acquire(timeout=60)
            yield progress

    monkeypatch.setattr(attribution, "occluding", occluding)
    return gate


def test_an_occlusion_grows_stops_and_begins_again(
    panel: ActivationPanel, gated: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attribution, "DRAWN_EVERY", 0.0)
    why = panel.why
    why.method.value = "occlusion"
    gated.release()
    until(lambda: caption(panel).endswith(", …"))
    assert why.count.value.startswith("3 of 49")
    assert (why.button.description, why.running.layout.display) == ("Stop", "")
    assert (why.bar.value, why.bar.max) == (3, 49)
    first = why.picture.pixels
    gated.release()
    until(lambda: why.bar.value == 7)
    until(lambda: why.picture.pixels != first)
    why.button.click()
    gated.release()
    panel.wait()
    assert "stopped at 11 of 49 windows" in caption(panel)
    assert (why.button.description, why.running.layout.display) == ("Again", "")
    partial = why.picture.pixels
    why.opacity.value = 0.4
    panel.wait()
    assert why.picture.pixels != partial
    assert "stopped at 11" in caption(panel)
    gated.release(100)
    why.button.click()
    panel.wait()
    assert caption(panel).endswith(" s")
    assert why.running.layout.display == "none"


def test_an_occlusion_gives_way_to_another_question(panel: ActivationPanel, gated: threading.Semaphore) -> None:
    why = panel.why
    why.method.value = "occlusion"
    gated.release()
    until(lambda: why.bar.value == 3)
    why.method.value = ""
    assert why.picture.layout.display == "none"
    why.method.value = "occlusion"
    gated.release(100)
    panel.wait()
    assert why.bar.value == 49
    assert "stopped" not in caption(panel)
    why.method.value = "saliency"
    panel.wait()
    assert caption(panel).startswith("saliency")


def test_closing_ends_an_occlusion(panel: ActivationPanel, gated: threading.Semaphore) -> None:
    panel.why.method.value = "occlusion"
    gated.release()
    until(lambda: panel.why.bar.value == 3)
    panel.close()
    gated.release()  # the batch under way; no more are asked for


def test_the_code_gives_the_picture(panel: ActivationPanel) -> None:
    for method in [*NAMES, "grad_cam_here"]:
        ask(panel, method)
        *before, last = panel.code().splitlines()
        names: dict[str, Any] = {"cnn": cnn, "net": panel.network, "images": panel.selection.images}
        exec("\n".join(before), names)
        laid = eval(last, names)
        assert laid.size == (224, 224)
        assert f"cnn.attribution.{method.removesuffix('_here')}(net, images[0], net.unit(" in last
    panel._show_code.value = True
    panel.why.method.value = "saliency"
    panel.wait()
    assert panel._code.text == panel.whole_code()


def test_an_image_of_ones_own(keep: Keep) -> None:
    selection = Selection(grey())
    panel = keep(ActivationPanel(selection.network, selection=selection))
    ask(panel, "saliency")
    assert panel.why.picture.layout.display == "none"
    selection.image = torch.rand(1, 8, 8)
    panel.wait()
    assert panel.why.picture.layout.display == ""
    selection.images = ImageSet.of([noise(0)])
    panel.wait()
    assert panel.note.text == ""


def test_a_score_that_is_no_number_is_told(panel: ActivationPanel) -> None:
    with torch.no_grad():
        panel.network.module[7].weight.fill_(float("nan"))  # type: ignore[index, union-attr, operator]
    panel.refresh()
    ask(panel, "saliency")
    assert "is NaN or infinite" in panel.why.legend.text
    assert panel.why.picture.layout.display == "none"

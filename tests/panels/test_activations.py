"""`ActivationPanel`: maps of any layer for any image, and what is no image leaves the last picture standing."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets import ActivationPanel, ImageSet, InputSpec, Network, Selection
from cnnviz_widgets.panels import _uploading
from tests.panels.networks import convolutional, grey

Keep = Callable[[ActivationPanel], ActivationPanel]


def noise(seed: int = 0, size: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def upload(panel: ActivationPanel, name: str, data: bytes) -> None:
    """What the browser does when a file was chosen."""
    panel.upload._handle_custom_msg({"type": "file", "name": name, "size": len(data), "number": 1}, [data])
    panel.wait()


def maps_of(panel: ActivationPanel, image: np.ndarray) -> torch.Tensor:
    name = panel.selection.layer.name
    return panel.network.activations(image, [name])[name][0]


def shown(panel: ActivationPanel) -> np.ndarray:
    count, height, width, depth = panel.grid.shape
    return np.frombuffer(panel.grid.pixels, np.uint8).reshape(count, height, width, depth)


@pytest.fixture
def panel(keep: Keep) -> ActivationPanel:
    """On a grey network with two pictures of noise, at its second convolution."""
    net = grey()
    made = keep(ActivationPanel(net, [noise(0), noise(1)]))
    made.selection.layer = net["2"]
    made.wait()
    return made


def test_the_tiles_are_the_layers_maps(panel: ActivationPanel) -> None:
    maps = maps_of(panel, noise(0)).numpy()
    assert panel.grid.shape == [6, 6, 6, 1]
    ranges = np.frombuffer(panel.grid.ranges, "<f4").reshape(-1, 2)
    low, high = ranges[:, 0, None, None], ranges[:, 1, None, None]
    values = low + shown(panel)[..., 0] / 255 * (high - low)
    assert np.abs(values - maps).max() <= (high - low).max() / 255
    assert panel.grid.caption == "2: 6 channels of 6 × 6"


def test_another_image_gives_other_maps(panel: ActivationPanel) -> None:
    before = panel.grid.pixels
    panel.image.value = "1"
    panel.wait()
    assert panel.selection.image == "1"
    assert panel.grid.pixels != before
    panel.selection.image = "0"
    panel.wait()
    assert panel.image.value == "0"
    assert panel.grid.pixels == before


def test_a_click_on_a_tile_chooses_the_unit(panel: ActivationPanel) -> None:
    panel.grid.set_state({"selected": 3})
    panel.wait()
    assert panel.selection.unit == panel.network["2"][3]
    assert panel.focus.caption == "2[3] on the image"
    panel.selection.unit = panel.network["2"][5]
    panel.wait()
    assert panel.grid.selected == 5


def test_ordered_by_strength_a_click_means_the_channel_shown(panel: ActivationPanel) -> None:
    panel.order.value = "strength"
    panel.wait()
    means = maps_of(panel, noise(0)).mean((1, 2))
    order = [int(label.removeprefix("channel ")) for label in panel.grid.labels]
    assert sorted(order) == list(range(6))
    assert order != list(range(6))
    strengths = [float(maps_of(panel, noise(0))[channel].amax()) for channel in order]
    assert strengths == sorted(strengths, reverse=True) or means[order].tolist() == sorted(means.tolist(), reverse=True)
    panel.grid.set_state({"selected": 1})
    panel.wait()
    assert panel.selection.unit.channel == order[1]
    assert panel.grid.selected == 1


def test_scale_and_colours_redraw(panel: ActivationPanel) -> None:
    ranges = np.frombuffer(panel.grid.ranges, "<f4").reshape(-1, 2)
    assert len(np.unique(ranges, axis=0)) > 1
    panel.scale.value = "layer"
    panel.wait()
    assert len(np.unique(np.frombuffer(panel.grid.ranges, "<f4").reshape(-1, 2), axis=0)) == 1
    before = panel.grid.colormap
    panel.colormap.value = "gray"
    panel.wait()
    assert panel.grid.colormap != before


def test_views_of_the_channel_in_focus(panel: ActivationPanel) -> None:
    assert panel.focus.shape[3] == 3
    panel.view.value = "map"
    panel.wait()
    assert panel.focus.shape == [1, 6, 6, 1]
    panel.view.value = "image"
    panel.wait()
    assert panel.focus.caption == "the image as the network sees it, 8 × 8"
    pixels = np.frombuffer(panel.focus.pixels, np.uint8).reshape(panel.focus.shape[1:])
    factor = panel.focus.shape[1] // 8
    assert np.array_equal(pixels[::factor, ::factor, 0], noise(0))


def test_opacity_of_the_overlay(panel: ActivationPanel) -> None:
    panel.opacity.value = 0
    panel.wait()
    photo = np.frombuffer(panel.focus.pixels, np.uint8).reshape(panel.focus.shape[1:])
    assert np.array_equal(photo[..., 0], photo[..., 1])
    panel.opacity.value = 1
    panel.wait()
    laid = np.frombuffer(panel.focus.pixels, np.uint8).reshape(panel.focus.shape[1:])
    assert (laid[..., 0] != laid[..., 1]).any()


def test_a_dense_layer_shows_as_bars_with_class_names(panel: ActivationPanel) -> None:
    panel.tree.selected = "7"
    panel.wait()
    assert (panel.grid.layout.display, panel.bars.layout.display) == ("none", "")
    scores = maps_of(panel, noise(0)).tolist()
    assert panel.bars.values == pytest.approx(sorted(scores, reverse=True))
    names = panel.network.labels
    assert panel.bars.labels[0] == names[scores.index(max(scores))]
    panel.bars.set_state({"selected": 2})
    panel.wait()
    assert panel.selection.unit.channel == names.index(panel.bars.labels[2])
    panel.tree.selected = "2"
    panel.wait()
    assert (panel.grid.layout.display, panel.bars.layout.display) == ("", "none")


def test_a_layer_of_one_by_one_maps_shows_as_bars(panel: ActivationPanel) -> None:
    panel.tree.selected = "5"
    panel.wait()
    assert panel.grid.layout.display == "none"
    assert panel.bars.values == pytest.approx(sorted(maps_of(panel, noise(0)).flatten().tolist(), reverse=True))


def test_the_classes_of_the_image_are_shown(panel: ActivationPanel) -> None:
    expected = panel.network.classify(noise(0))[0]
    assert panel.classes.labels == [name for name, _ in expected]
    assert panel.classes.values == pytest.approx([value for _, value in expected])


def test_an_upload_is_shown_and_named(panel: ActivationPanel) -> None:
    upload(panel, "a cat.png", encoded(noise(9)))
    assert panel.note.text == ""
    assert panel.image.label == "a cat.png"
    assert np.allclose(shown(panel), shown_for(panel, noise(9)))
    panel.image.value = "0"
    panel.wait()
    assert panel.selection.image == "0"


def test_an_upload_is_decoded_on_a_thread_of_its_own(panel: ActivationPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def opened(source: io.BytesIO) -> Image.Image:
        threads.append(threading.current_thread())
        return Image.open(source)

    monkeypatch.setattr(_uploading, "open_image", opened)
    upload(panel, "a cat.png", encoded(noise(9)))
    assert panel.image.label == "a cat.png"
    assert [thread is threading.current_thread() for thread in threads] == [False]


def shown_for(panel: ActivationPanel, image: np.ndarray) -> np.ndarray:
    from cnnviz_widgets import feature_maps

    return feature_maps.tiles(maps_of(panel, image)).pixels[..., None]


@pytest.mark.parametrize("data", [b"this is no picture", b"", encoded(noise(3, (40, 40)))[:200]])
def test_broken_uploads_leave_the_last_picture(panel: ActivationPanel, data: bytes) -> None:
    before = (panel.grid.pixels, panel.focus.pixels, panel.selection.image)
    upload(panel, "<b>holiday</b>.jpg", data)
    assert panel.note.kind == "error"
    assert "<b>holiday</b>.jpg" in panel.note.text
    assert (panel.grid.pixels, panel.focus.pixels, panel.selection.image) == before
    upload(panel, "good.png", encoded(noise(4)))
    assert panel.note.text == ""


def test_what_the_browser_refuses_is_told(panel: ActivationPanel) -> None:
    panel.upload._handle_custom_msg({"type": "refused", "name": "big.tif", "reason": "it is too big"}, [])
    assert (panel.note.text, panel.note.kind) == ("big.tif: it is too big", "error")


def test_an_unreadable_image_among_others(keep: Keep, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(noise(0)).save(tmp_path / "good.png")
    paths = [tmp_path / "good.png", tmp_path / "text.png", tmp_path / "gone.png"]
    panel = keep(ActivationPanel(grey(), paths))
    before = panel.grid.pixels
    for number, reason in ((1, "not an image"), (2, "no file")):
        panel.image.value = str(number)
        panel.wait()
        assert panel.note.kind == "error"
        assert reason in panel.note.text
        assert panel.grid.pixels == before
    panel.image.value = "0"
    panel.wait()
    assert panel.note.text == ""


def test_a_network_of_other_channels_tells_what_it_takes(keep: Keep) -> None:
    net = Network(nn.Sequential(nn.Conv2d(5, 4, 3)), InputSpec(size=(5, 8, 8)))
    panel = keep(ActivationPanel(net, [noise(0, (8, 8, 3)), torch.rand(5, 8, 8)]))
    assert "expected (5, H, W)" in panel.note.text
    assert panel.grid.shape[0] == 0
    panel.image.value = "1"
    panel.wait()
    assert panel.note.text == ""
    assert panel.grid.shape[0] == 4


def test_colour_and_grey_are_converted(keep: Keep) -> None:
    for net, image in ((grey(), noise(0, (20, 30, 3))), (convolutional(), noise(0, (20, 30)))):
        panel = keep(ActivationPanel(net, image))
        assert panel.note.text == ""
        assert panel.grid.shape[0] == net.main_layers[0].channels


def test_without_an_image_it_asks_for_one(keep: Keep) -> None:
    panel = keep(ActivationPanel(grey()))
    assert "No image yet" in panel.remark.text
    assert panel.note.text == ""
    upload(panel, "first.png", encoded(noise(5)))
    assert panel.remark.text == ""
    assert panel.grid.shape[0] == 4


def test_an_image_of_ones_own_by_selection(keep: Keep) -> None:
    selection = Selection(grey())
    panel = keep(ActivationPanel(selection.network, selection=selection))
    selection.image = torch.rand(1, 8, 8)
    panel.wait()
    assert panel.note.text == ""
    assert panel.image.label == "your image"
    selection.images = ImageSet.of([noise(0)])
    panel.wait()
    assert panel.image.value == "0"


def test_values_that_are_no_numbers_are_told(keep: Keep) -> None:
    net = grey()
    with torch.no_grad():
        net.module[0].weight[1].fill_(float("nan"))  # type: ignore[index]
    panel = keep(ActivationPanel(net, noise(0)))
    panel.selection.layer = net["0"]
    panel.wait()
    assert "64 values of 0 are NaN or infinite" in panel.remark.text
    assert panel.grid.shape[0] == 4
    for layer in net.layers.values():
        panel.selection.layer = layer
        panel.wait()
        assert panel.note.text == "", layer


def test_a_forward_pass_that_breaks_is_told(keep: Keep, guarded: type) -> None:
    panel = keep(ActivationPanel(Network(guarded(), InputSpec(size=(1, 8, 8))), [noise(0), noise(1)]))
    before = panel.grid.pixels
    guarded.passes_left = 0  # type: ignore[attr-defined]
    panel.image.value = "1"
    panel.wait()
    assert "the test's module broke" in panel.note.text
    assert panel.grid.pixels == before
    guarded.passes_left = None  # type: ignore[attr-defined]
    panel.refresh()
    panel.wait()
    assert panel.note.text == ""
    assert panel.grid.pixels != before

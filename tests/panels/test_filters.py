"""`FilterPanel`: the kernels of any convolution, and what it shows where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets import FilterPanel, InputSpec, Network, Selection
from cnnviz_widgets.panels import filters as filter_panel
from tests.panels.networks import convolutional, dense, grey

Keep = Callable[[FilterPanel], FilterPanel]


def values_of(panel: FilterPanel) -> np.ndarray:
    """The numbers behind the tiles (n, h, w), as far as bytes hold them."""
    pixels = np.frombuffer(panel.grid.pixels, np.uint8).reshape(panel.grid.shape)[..., 0]
    ranges = np.frombuffer(panel.grid.ranges, "<f4").reshape(-1, 2)
    low, high = ranges[:, 0, None, None], ranges[:, 1, None, None]
    return low + pixels / 255 * (high - low)


def look(panel: FilterPanel, layer: str) -> None:
    panel.tree.selected = layer
    panel.wait()


def test_a_kernel_that_sees_colours_is_rgb(keep: Keep) -> None:
    panel = keep(FilterPanel(convolutional()))
    look(panel, "0")
    assert panel.grid.shape == [8, 3, 3, 3]
    assert panel.grid.caption == "0: 8 filters of 3 × 3 × 3."
    assert panel.remark.text == ""


def test_tiles_hold_the_kernels_values(keep: Keep) -> None:
    panel = keep(FilterPanel(grey()))
    look(panel, "2")
    kernel = panel.network.filters("2").flatten(0, 1).numpy()
    assert panel.grid.shape == [24, 3, 3, 1]
    assert np.abs(values_of(panel) - kernel).max() <= np.ptp(kernel) / 100
    assert panel.grid.columns % 4 == 0


def test_a_depthwise_convolution_says_so(keep: Keep) -> None:
    panel = keep(FilterPanel(convolutional()))
    look(panel, "2")
    assert panel.grid.shape[0] == 8
    assert "depthwise" in panel.grid.caption
    look(panel, "4")
    assert "3 groups, dilation 2" in panel.grid.caption
    assert panel.grid.shape[0] == 48


def test_a_pointwise_convolution_is_a_matrix(keep: Keep) -> None:
    panel = keep(FilterPanel(convolutional()))
    look(panel, "3")
    assert panel.grid.shape == [1, 12, 8, 1]
    assert "12 filters down, 8 inputs across" in panel.grid.caption
    assert "matrix" in panel.code()
    before = panel.selection.unit
    panel.grid.set_state({"selected": 0})
    assert panel.selection.unit == before


@pytest.mark.parametrize(("layer", "shown"), [("1", "0"), ("4", "2"), ("7", "2")])
def test_a_layer_without_kernel_says_which_it_shows(keep: Keep, layer: str, shown: str) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    look(panel, layer)
    assert panel.layer == net[shown]
    kind = net[layer].kind
    expected = f"{layer} ({kind}) has no kernel: these are the filters of {shown}, the convolution nearest to it."
    assert panel.remark.text == expected
    look(panel, "0")
    assert panel.remark.text == ""


def test_before_the_first_convolution_the_first_is_shown(keep: Keep) -> None:
    net = Network(nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3)), InputSpec(size=(1, 8, 8)))
    panel = keep(FilterPanel(net))
    look(panel, "0")
    assert panel.layer == net["1"]


def test_a_network_without_convolution_says_so(keep: Keep) -> None:
    panel = keep(FilterPanel(dense()))
    assert panel.note.text == "dense has no 2D convolution, so there are no filters to show"
    assert panel.note.kind == "error"
    assert panel.code() == ""


def test_filters_of_a_former_network_do_not_stay(keep: Keep) -> None:
    selection = Selection(grey())
    panel = keep(FilterPanel(selection.network, selection=selection))
    assert panel.grid.shape[0] == 4
    selection.network = dense()
    panel.wait()
    assert "no 2D convolution" in panel.note.text
    assert panel.grid.shape[0] == 0
    selection.network = convolutional()
    panel.wait()
    assert panel.note.text == ""
    assert panel.grid.shape[0] > 0


def test_a_click_chooses_the_filters_channel(keep: Keep) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    look(panel, "2")
    panel.grid.set_state({"selected": 4 * 3 + 2})
    panel.wait()
    assert panel.selection.unit == net["2"][3]
    panel.selection.unit = net["2"][5]
    panel.wait()
    assert panel.grid.selected == 4 * 5


def test_a_click_beside_an_activation_keeps_that_layer(keep: Keep) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    look(panel, "4")
    panel.grid.set_state({"selected": 4 * 2})
    panel.wait()
    assert panel.selection.unit == net["4"][2]
    look(panel, "7")
    assert panel.grid.selected == -1
    panel.grid.set_state({"selected": 4 * 2})
    panel.wait()
    assert panel.selection.unit == net["2"][2]


def test_orders_and_scales(keep: Keep) -> None:
    net = convolutional()
    panel = keep(FilterPanel(net))
    look(panel, "0")
    panel.order.value = "norm"
    panel.wait()
    norms = net.filters("0").flatten(1).norm(dim=1)
    first = int(norms.argmax())
    panel.grid.set_state({"selected": 0})
    panel.wait()
    assert panel.selection.unit == net["0"][first]
    before = panel.grid.pixels
    panel.scale.value = "layer"
    panel.wait()
    assert panel.grid.pixels != before
    assert "order='norm'" in panel.code()
    assert "scale='layer'" in panel.code()
    panel.order.value = "similarity"
    panel.wait()
    assert panel.note.text == ""


def test_only_the_chosen_filter(keep: Keep) -> None:
    net = grey()
    panel = keep(FilterPanel(net))
    panel.selection.unit = net["2"][3]
    panel.only.value = True
    panel.wait()
    assert panel.grid.shape[0] == 4
    kernel = net.filters("2")[3].numpy()
    assert np.abs(values_of(panel) - kernel).max() <= np.ptp(kernel) / 100
    panel.selection.unit = net["2"][5]
    panel.wait()
    assert np.abs(values_of(panel) - net.filters("2")[5].numpy()).max() <= np.ptp(kernel) / 50
    assert "filters=[5]" in panel.code()


def test_more_tiles_than_a_screen_holds_are_limited_and_told(keep: Keep) -> None:
    net = Network(nn.Sequential(nn.Conv2d(1, 64, 3), nn.Conv2d(64, 64, 3)), InputSpec(size=(1, 8, 8)))
    panel = keep(FilterPanel(net))
    look(panel, "1")
    assert panel.grid.shape[0] <= 2048
    assert panel.remark.text == "The first 2,048 of 4,096 tiles; Chosen filter only shows all of one filter."
    assert "limit=2048" in panel.code()


def test_weights_that_are_no_numbers_do_not_end_it(keep: Keep) -> None:
    net = convolutional()
    with torch.no_grad():
        for number in (0, 2, 3):
            net.module[number].weight[0].fill_(float("nan"))  # type: ignore[index]
    panel = keep(FilterPanel(net))
    for layer in ("0", "2", "3", "4"):
        look(panel, layer)
        assert panel.note.text == ""
        assert panel.grid.shape[0] > 0


def test_a_filter_that_is_chosen_while_the_tiles_are_drawn_is_marked(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = keep(FilterPanel(convolutional()))
    network, show = panel.network, filter_panel.show_tiles

    def chosen_meanwhile(*given: Any, **told: Any) -> None:
        panel.selection.unit = network["0"][5]
        show(*given, **told)

    monkeypatch.setattr(filter_panel, "show_tiles", chosen_meanwhile)
    panel.refresh()
    panel.wait()
    assert panel.grid.selected == 5

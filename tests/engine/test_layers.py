from __future__ import annotations

import pickle

import pytest

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.layers import Layer, Layers, Unit

MAP = Layer("conv", "Conv2d", (8, 5, 6))
DENSE = Layer("fc", "Linear", (10,))
CHANNELS_LAST = Layer("norm", "LayerNorm", (5, 6, 8), 2)


def test_channels_and_positions_follow_the_channel_axis() -> None:
    assert (MAP.channels, MAP.positions) == (8, (5, 6))
    assert (DENSE.channels, DENSE.positions) == (10, ())
    assert (CHANNELS_LAST.channels, CHANNELS_LAST.positions) == (8, (5, 6))
    assert len(CHANNELS_LAST) == 8
    assert list(DENSE)[3] == DENSE[3]


def test_a_layer_gives_channels_and_neurons() -> None:
    assert MAP[3] == Unit(MAP, 3)
    assert MAP[-1] == MAP[7]
    assert MAP[3].index is None
    assert MAP[3, "center"].index == (2, 3)
    assert MAP[3, -1, 0] == MAP[3, 4, 0]
    assert CHANNELS_LAST[7, 4, 5].index == (4, 5)


@pytest.mark.parametrize(
    ("key", "error", "told"),
    [
        (8, IndexError, "0 to 7"),
        (-9, IndexError, "no channel -9"),
        ((0, 5, 0), IndexError, "0 to 4"),
        ((0, 1), IndexError, "2 numbers"),
        ((0, 1, 2, 3), IndexError, "2 numbers"),
        ("centre", TypeError, "whole number"),
        (slice(0, 2), TypeError, "whole number"),
        ((0, "centre", 0), TypeError, "position 'centre'"),
        (1.5, TypeError, "whole number"),
    ],
)
def test_an_address_that_is_none_says_what_would_be(key: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        MAP[key]  # type: ignore[index]


def test_a_dense_unit_has_no_position() -> None:
    with pytest.raises(IndexError, match=r"fc is dense.*\[4\]"):
        DENSE[4, "center"]
    with pytest.raises(IndexError, match="0 numbers"):
        DENSE[4, 0]


def test_layers_and_units_are_values() -> None:
    assert {MAP[3], MAP[3], MAP[3, 0, 0]} == {MAP[3], MAP[3, 0, 0]}
    assert pickle.loads(pickle.dumps(MAP[3, "center"])) == MAP[3, "center"]
    assert hash(Layer("conv", "Conv2d", (8, 5, 6))) == hash(MAP)
    with pytest.raises(AttributeError):
        MAP.name = "other"  # type: ignore[misc]


def test_units_print_as_they_are_typed() -> None:
    assert [repr(unit) for unit in (MAP[3], MAP[3, "center"], MAP[3, 1, 2])] == [
        "conv[3]",
        "conv[3, center]",
        "conv[3, 1, 2]",
    ]


def test_layers_print_as_a_table_with_aligned_columns() -> None:
    lines = repr(Layers({"conv": MAP, "fc": DENSE})).splitlines()
    assert lines == ["layer  kind    shape", "conv   Conv2d  8 × 5 × 6", "fc     Linear  10"]


def test_an_unknown_layer_is_told_with_near_names() -> None:
    layers = Layers({f"layer{number}": Layer(f"layer{number}", "Conv2d", (1, 1, 1)) for number in range(1, 5)})
    with pytest.raises(UnknownNameError) as raised:
        layers["layer5"]
    assert str(raised.value).startswith("no layer 'layer5'; did you mean 'layer")
    assert "net.layers lists all 4" in str(raised.value)
    with pytest.raises(KeyError, match=r"net\.layers lists all 4"):
        layers["something else"]
    with pytest.raises(KeyError):
        layers[3]  # type: ignore[index]
    assert "layer5" not in layers
    assert layers.get("layer5") is None


def test_a_layer_finds_itself_by_name() -> None:
    layers = Layers({"conv": MAP})
    assert layers[MAP] is MAP  # type: ignore[index]

"""Which unit answers to which: by class name, by layer name, by depth; and what is said of it."""

from __future__ import annotations

import pytest
from torch import nn

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.pairing import (
    alike,
    nearest_convolution,
    paired,
    paired_convolution,
    paired_layer,
)
from tests.panels.networks import convolutional, dense, grey, untrained_resnet


class Named(nn.Module):
    """Convolutions by name, each with a nonlinearity, and a dense layer."""

    def __init__(self, names: list[str], channels: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.names = names
        for place, name in enumerate(names):
            self.add_module(name, nn.Conv2d(1 if place == 0 else channels, channels, 3, padding=1))
            self.add_module(f"{name}_relu", nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(channels, classes)

    def forward(self, x):  # type: ignore[no-untyped-def]
        for name in self.names:
            x = getattr(self, f"{name}_relu")(getattr(self, name)(x))
        return self.dense(self.pool(x).flatten(1))


def named(names: str, *, channels: int = 6, labels: list[str] | None = None, side: int = 8) -> Network:
    module = Named(names.split(), channels, len(labels or "abc"))
    return Network(module, InputSpec(size=(1, side, side)), labels)


def test_checkpoints_have_the_same_units() -> None:
    first, second = grey(), grey()
    assert alike(first, second)
    for layer in first.layers.values():
        unit = layer[layer.channels - 1]
        assert paired(first, second, unit) == (unit, "")


def test_a_class_is_found_by_its_name_whatever_its_number() -> None:
    first = named("a b", labels=["cat", "dog", "owl"])
    second = named("p q r", labels=["owl", "eel", "cat", "dog"])
    assert paired(first, second, first.unit("dog")) == (second.output[3], "")
    assert paired(second, first, second.unit("owl")) == (first.output[2], "")
    assert paired(second, first, second.unit("eel")) == (None, "The second network knows no class 'eel'.")


def test_of_two_classes_of_one_name_the_second_answers_to_the_second() -> None:
    first = named("a", labels=["crane", "dog", "crane"])
    second = named("a", labels=["dog", "crane", "crane", "ibis"])
    found = [paired(first, second, first.output[channel])[0] for channel in range(3)]
    assert [unit.channel for unit in found if unit] == [1, 0, 2]
    only = named("a", labels=["dog", "crane"])
    assert paired(first, only, first.output[2])[0] == only.output[1]


def test_a_class_written_otherwise_is_found() -> None:
    first, second = named("a", labels=["Cat", "b"]), named("a", labels=["b", "cat"])
    assert paired(first, second, first.output[0])[0] == second.output[1]


def test_without_class_names_the_numbers_count_where_there_are_as_many() -> None:
    first, second = named("a", labels=["cat", "dog", "owl"]), named("a")
    unit, remark = paired(first, second, first.output[2])
    assert unit == second.output[2]
    assert remark == "The second network names no classes: the output unit of the same number."
    more = grey(classes=4)
    unit, remark = paired(first, more, first.output[2])
    assert unit is None
    assert "another number of them" in remark
    assert "first network names no classes" in paired(more, first, more.output[3])[1]


def test_outputs_without_names_answer_to_each_other() -> None:
    first, second = grey(classes=4), untrained_resnet()
    unit, remark = paired(first, second, first.output[3])
    assert unit == second.output[3]
    assert remark == "7 and fc are the networks' outputs."


def test_layers_of_one_name_in_another_architecture_are_said_to_differ() -> None:
    first, second = named("a b"), named("a b c")
    unit, remark = paired(first, second, first["b"][4])
    assert unit == second["b"][4]
    assert "need not mean the same feature" in remark


def test_another_input_size_is_the_same_architecture() -> None:
    first, second = named("a b"), named("a b", side=16)
    unit, remark = paired(first, second, first["b"][4])
    assert unit == second["b"][4]
    assert remark == "b is 6 × 8 × 8 here and 6 × 16 × 16 there."


def test_a_position_goes_to_the_same_place() -> None:
    first, second = named("a b"), named("a b", side=16)
    assert paired(first, second, first["b"][4, "center"])[0] == second["b"][4, "center"]
    unit, remark = paired(first, second, first["b"][4, 3, 7])
    assert unit == second["b"][4, 7, 15]
    assert "Position (3, 7) of (8, 8) is (7, 15) of (16, 16)." in remark


def test_without_a_namesake_it_is_the_relative_depth() -> None:
    first, second = named("a b c"), named("p q r s t")
    found = [paired_layer(first, second, f"{name}_relu")[0].name for name in "abc"]
    assert found == ["p_relu", "r_relu", "t_relu"]
    remark = paired_layer(first, second, "b_relu")[1]
    assert remark.startswith("No layer b_relu of this kind in the second network: r_relu is at about the same depth.")


def test_what_has_maps_answers_to_what_has_maps() -> None:
    first, second = untrained_resnet(), grey()
    for layer in first.layers.values():
        other, _ = paired_layer(first, second, layer)
        assert (other == second.output) == (layer == first.output)
        if layer != first.output:
            assert other.positions


def test_a_channel_that_is_not_there_is_told() -> None:
    first, second = named("a b", channels=6), named("a b", channels=4)
    unit, remark = paired(first, second, first["b"][5])
    assert unit is None
    assert remark.endswith("b has no channel 5, only 0 to 3.")
    assert paired(first, second, first["b"][3])[0] == second["b"][3]


def test_convolutions_answer_by_name_or_by_depth() -> None:
    first, second = named("a b c"), named("a x y z c")
    assert [layer.name for layer in paired_convolution(first, second, "c")[:2]] == ["c", "c"]
    own, other, remark = paired_convolution(first, second, "b_relu")
    assert (own.name, other.name) == ("b", "y")
    assert "b_relu (ReLU) has no kernel: b is the nearest that has." in remark
    assert nearest_convolution(first, "dense").name == "c"


def test_no_convolution_is_told_of_the_network_that_has_none() -> None:
    for first, second, which in ((grey(), dense(), "second"), (dense(), grey(), "first")):
        with pytest.raises(ValueError, match=f"the {which} network, dense, has no 2D convolution"):
            paired_convolution(first, second, next(iter(first.layers)))


@pytest.mark.parametrize("make", [grey, convolutional, dense, untrained_resnet])
def test_every_unit_gets_an_answer_or_a_reason(make) -> None:  # type: ignore[no-untyped-def]
    first = make()
    for second in (grey(), convolutional(), dense(), untrained_resnet()):
        for layer in first.layers.values():
            unit, remark = paired(first, second, layer[layer.channels - 1])
            assert remark or unit is not None
            if unit is not None:
                assert second.layers[unit.layer.name] == unit.layer
                assert unit.channel < unit.layer.channels


def test_a_layer_of_no_network_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="no layer 'nothing'"):
        paired_layer(grey(), grey(), "nothing")

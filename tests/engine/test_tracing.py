"""What one forward pass tells of a network's layers."""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network

SMALL = InputSpec(size=(3, 8, 8))


def listed(network: Network) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(layer.name, layer.kind, layer.shape) for layer in network.layers.values()]


class Branches(nn.Module):
    """Two branches, defined in another order than they run, and a module that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)
        self.unused = nn.Conv2d(3, 3, 1)
        self.right = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True))
        self.left = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        return self.head(torch.cat([left, self.right(x)], 1).mean((2, 3)))


def test_layers_come_in_execution_order_with_kinds_and_shapes() -> None:
    assert listed(Network(Branches(), SMALL)) == [
        ("left", "Conv2d", (2, 8, 8)),
        ("right.0", "Conv2d", (3, 8, 8)),
        ("right.1", "ReLU", (3, 8, 8)),
        ("right", "Sequential", (3, 8, 8)),
        ("head:input", "input", (5,)),
        ("head", "Linear", (4,)),
    ]


def test_ends_of_chains_and_the_features_are_found_across_branches() -> None:
    network = Network(Branches(), SMALL)
    assert [layer.name for layer in network.main_layers] == ["left", "right.1", "head"]
    assert network.last_hidden.name == "head:input"
    assert network.output.name == "head"


class Repeated(nn.Module):
    """One activation called three times, and one module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.first
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        x = self.act(self.again(x))
        return self.act(x)


def test_each_call_is_a_layer() -> None:
    names = [name for name, _, _ in listed(Network(Repeated(), SMALL))]
    assert names == ["first", "act", "first@2", "act@2", "act@3"]


def test_each_call_ends_its_own_chain() -> None:
    network = Network(Repeated(), SMALL)
    assert [layer.name for layer in network.main_layers] == ["act", "act@3"]
    assert [layer.name for layer in network.convolutions] == ["first"]


def test_nested_containers() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inner = nn.Sequential(nn.Sequential(nn.Tanh()))
            self.parts = nn.ModuleDict({"a b": nn.ModuleList([nn.Conv2d(3, 2, 1), inner])})

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts["a b"]:
                x = part(x)
            return x

    names = [name for name, _, _ in listed(Network(Nested(), SMALL))]
    assert names == ["parts.a b.0", "parts.a b.1.0.0", "parts.a b.1.0", "parts.a b.1"]


class Heads(nn.Module):
    """A module whose part returns several tensors."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        self.shape = shape
        self.stem = _Two(shape)
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Any:
        two = self.stem(x)
        first, second = two.values() if isinstance(two, dict) else two
        scores = self.fc(first.mean((2, 3)))
        return {"aux": second, "scores": scores} if self.shape == "dict" else (second, scores)


Pair = namedtuple("Pair", "first second")


class _Two(nn.Module):
    def __init__(self, shape: str) -> None:
        super().__init__()
        self.shape = shape
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x)
        made = (y * 2, y.flatten(1) + 1)
        return {"dict": {"x": made[0], "y": made[1]}, "tuple": made, "named": Pair(*made)}[self.shape]


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("tuple", ["stem[0]", "stem[1]"]),
        ("named", ["stem[0]", "stem[1]"]),
        ("dict", ["stem[x]", "stem[y]"]),
    ],
)
def test_members_of_what_a_module_returns_are_layers(shape: str, names: list[str]) -> None:
    network = Network(Heads(shape), SMALL)
    assert [name for name, _, _ in listed(network)] == ["stem.conv", *names, "fc:input", "fc"]
    assert network[names[0]].shape == (2, 8, 8)
    assert network[names[1]].shape == (128,)
    assert network[names[0]].kind == "_Two"


def test_the_output_among_several_is_a_score_per_class() -> None:
    # the auxiliary output is listed first and is two-dimensional as well, so it is taken: order decides
    network = Network(Heads("tuple"), SMALL)
    assert network.output.name == "stem[1]"

    class MapFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.fc = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            maps = self.conv(x)
            return maps, self.fc(maps.mean((2, 3)))

    assert Network(MapFirst(), SMALL).output.name == "fc"


class Functional(nn.Module):
    def __init__(self, end: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 6)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fc(F.relu(self.conv(x)).mean((2, 3))))


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_an_output_that_a_function_made_is_a_line_of_its_own(function: Any) -> None:
    torch.manual_seed(0)
    network = Network(Functional(functools.partial(function, dim=1)), SMALL)
    assert network.output.name == "output"
    assert network.output.shape == (6,)
    assert list(network.layers)[-1] == "output"
    assert network.last_hidden.name == "fc:input"
    with network.recording("output") as record, torch.no_grad():
        values = record(torch.rand(2, 3, 8, 8))["output"]
        probabilities = network.probabilities(values)
    expected = values if function is F.softmax else values.exp()
    torch.testing.assert_close(probabilities, expected)


def test_an_output_name_that_is_taken_is_not_taken_twice() -> None:
    class Taken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(x).mean((2, 3))

    network = Network(Taken(), SMALL)
    assert list(network.layers) == ["output", "(output)"]
    assert network.output.name == "(output)"
    with network.recording(["output", "(output)"]) as record:
        values = record(torch.rand(2, 3, 8, 8))
    torch.testing.assert_close(values["output"].mean((2, 3)), values["(output)"])


def test_a_network_that_is_one_convolution() -> None:
    module = nn.Conv2d(3, 7, 3)
    network = Network(module, SMALL)
    assert listed(network) == [("output", "Conv2d", (7, 6, 6))]
    assert network.output == network.last_hidden == network.main_layers[0] == network.convolutions[0]
    assert torch.equal(network.filters("output"), module.weight)
    image = torch.rand(2, 3, 8, 8)
    with network.recording("output") as record:
        torch.testing.assert_close(record(image)["output"], module(image))


def test_a_network_without_convolutions() -> None:
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 2)), SMALL)
    assert [layer.name for layer in network.main_layers] == ["1", "3"]
    assert network.last_hidden.name == "2"
    assert network.convolutions == ()
    with pytest.raises(TypeError, match="no convolutions"):
        network.filters("1")


def test_a_convolution_overwritten_in_place_is_not_taken_for_its_activation() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(4, 2))
    network = Network(module, SMALL)
    assert network.last_hidden.name == "1"
    assert [layer.name for layer in network.main_layers] == ["1", "4"]


def test_chains_end_at_functional_operations() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)
            self.act = nn.SiLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.norm(self.conv(x)) + x)

    assert [layer.name for layer in Network(Residual(), SMALL).main_layers] == ["norm"]


def test_an_activation_of_ones_own_continues_the_chain() -> None:
    class HardSwish(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * F.relu6(x + 3) / 6

    network = Network(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), HardSwish()), SMALL)
    assert [layer.name for layer in network.main_layers] == ["2"]


def test_channels_that_are_kept_last() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)
            self.norm = nn.LayerNorm(6)
            self.fc = nn.Linear(6, 12)
            self.act = nn.GELU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).permute(0, 2, 3, 1)
            return self.act(self.fc(self.norm(x))).permute(0, 3, 1, 2)

    network = Network(Block(), SMALL)
    told = {name: (layer.channels, layer.positions) for name, layer in network.layers.items()}
    assert told["conv"] == (6, (8, 8))
    assert told["norm"] == (6, (8, 8))
    assert told["fc"] == told["act"] == (12, (8, 8))
    found = network.activations(torch.rand(2, 3, 8, 8), ["norm", "act"])
    assert found["norm"].shape == (2, 6, 8, 8)
    assert found["act"].shape == (2, 12, 8, 8)


def test_a_classifier_that_is_called_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.fc(self.conv(x).mean((2, 3)))
            return self.fc(input=x * 2)

    network = Network(Twice(), SMALL)
    assert network.last_hidden.name == "fc@2:input"
    with network.recording(["fc", "fc@2:input", "fc@2"]) as record:
        values = record(torch.rand(3, 3, 8, 8))
    torch.testing.assert_close(values["fc@2:input"], values["fc"] * 2)
    with network.recording("fc@2:input") as record:
        assert set(record(torch.rand(3, 3, 8, 8))) == {"fc@2:input"}


def test_a_name_with_the_signs_of_calls_and_members_in_it() -> None:
    module = nn.ModuleDict({"conv@3[x]": nn.Conv2d(3, 4, 3)})

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = module
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.parts["conv@3[x]"](x))

    network = Network(Odd(), SMALL)
    assert list(network.layers) == ["parts.conv@3[x]", "relu"]
    assert network.filters("parts.conv@3[x]").shape == (4, 3, 3, 3)
    with network.recording("parts.conv@3[x]") as record:
        assert record(torch.rand(1, 3, 8, 8))["parts.conv@3[x]"].shape == (1, 4, 6, 6)


def test_patches_along_the_first_axis_are_no_layers() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.inner = nn.Linear(4, 4)
            self.last = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 4)
            return self.last(x) * self.inner(patches).mean()

    network = Network(Patches(), SMALL)
    assert list(network.layers) == ["conv", "last", "output"]
    assert [layer.name for layer in network.main_layers] == ["conv", "last"]
    with network.recording(list(network.layers)) as record:
        assert all(len(value) == 3 for value in record(torch.rand(3, 3, 8, 8)).values())


def test_a_forward_under_inference_mode() -> None:
    class Decorated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.act = nn.ReLU(inplace=True)

        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.conv(x))

    assert list(Network(Decorated(), SMALL).layers) == ["conv", "act"]


@pytest.mark.parametrize("returned", [None, 3, "text", {}, torch.zeros(4), torch.zeros(1, 3, dtype=torch.long)])
def test_a_module_that_returns_no_scores(returned: Any) -> None:
    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Any:
            self.conv(x)
            return returned

    with pytest.raises(ValueError, match=r"returns .* without a tensor of the shape"):
        Network(Nothing(), SMALL)

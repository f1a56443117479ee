from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.intact import state_of


def small(channels: int = 3, classes: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    )


def spec(channels: int = 3, **fields: Any) -> InputSpec:
    return InputSpec(size=(channels, 8, 8), **fields)


def test_the_fixture_networks_are_listed(grey_network: Network, resnet: Network) -> None:
    assert [layer.name for layer in grey_network.main_layers] == ["1", "4", "7"]
    assert (grey_network.last_hidden.name, grey_network.output.name) == ("5", "7")
    assert len(resnet.layers) == 75
    assert [layer.name for layer in resnet.main_layers][:3] == ["relu", "layer1.0.relu", "layer1.0.relu@2"]
    assert (resnet.last_hidden.name, resnet.output.name) == ("avgpool", "fc")
    assert resnet["layer4.1.relu@2"].shape == (512, 2, 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_input_channels(channels: int) -> None:
    network = Network(small(channels), spec(channels, mean=[0.3] * channels, std=0.5))
    images = torch.rand(2, channels, 8, 8)
    found = network.activations(images, ["0", "4"])
    expected = network.module((images - 0.3) / 0.5)
    torch.testing.assert_close(found["4"], expected)
    assert len(network.classify(images)) == 2
    assert network.filters("0").shape == (4, channels, 3, 3)


def test_a_size_that_does_not_fit_is_told_with_the_call_that_mends_it() -> None:
    with pytest.raises(ValueError, match=r"can't run on an image of the size 1 × 8 × 8.*cnn\.InputSpec\(size="):
        Network(small(3), spec(1))
    with pytest.raises(ValueError, match="can't run on an image of the size 3 × 2 × 2"):
        Network(small(3), InputSpec(size=(3, 2, 2)))


def test_a_network_of_sequences_is_refused_clearly() -> None:
    with pytest.raises(ValueError, match="can't run on an image of the size 3 × 8 × 8"):
        Network(nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU()), spec())


def test_a_network_that_makes_sequences_of_images_runs() -> None:
    module = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 62, 2))
    network = Network(module, spec())
    assert network["1"].shape == (4, 62)
    assert (network["1"].channels, network["1"].positions) == (4, (62,))
    assert [layer.name for layer in network.main_layers] == ["2", "4"]
    assert network.convolutions == ()
    with pytest.raises(TypeError, match="'1' is Conv1d, which has no 2D kernel"):
        network.filters("1")


def test_batch_normalisation_without_statistics_is_explained() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="can't run on an image of the size"):
        Network(module, spec())


def test_lazy_modules_are_explained_and_work_once_run() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(ValueError, match=r"lazy parameter '0\.weight' has no shape yet; run the module once"):
        Network(module, spec())
    module(torch.rand(2, 3, 8, 8))
    assert Network(module, spec())["0"].kind == "Conv2d"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_explained() -> None:
    for made in (torch.jit.script(small()), torch.jit.trace(small(), torch.rand(1, 3, 8, 8))):
        with pytest.raises(TypeError, match="TorchScript module was given"):
            Network(made, spec())


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"str was given.*cnn\.load"):
        Network("torchvision/alexnet", spec())  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend=refused)])
def test_wrappers_are_looked_through(wrap: Any) -> None:
    module = small()
    network = Network(wrap(module), spec())
    assert network.bare is module
    assert list(network.layers) == ["0", "1", "2", "3", "4"]
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(network.activations(image, "4")["4"], module(image))


def refused(graph: Any, examples: Any) -> Any:
    raise AssertionError("compiled code was run")


def test_compiled_parts_run_as_they_were_written() -> None:
    module = small()
    compiled = torch.compile(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), backend=refused)
    whole = nn.Sequential(module[0], compiled, *list(module)[1:])
    network = Network(whole, spec())
    assert network.path == "shadow"
    assert list(network.layers)[:4] == ["0", "1._orig_mod.0", "1._orig_mod.1", "1._orig_mod"]
    image = torch.rand(1, 3, 8, 8)
    expected = compiled._orig_mod(module[0](image))
    torch.testing.assert_close(network.activations(image, "1._orig_mod.1")["1._orig_mod.1"], expected)

    in_place = small()
    in_place.compile(backend=refused)
    network = Network(in_place, spec())
    assert list(network.layers) == ["0", "1", "2", "3", "4"]
    assert network.path == "shadow"
    assert in_place._compiled_call_impl is not None
    in_place.lock = threading.Lock()  # can't be copied
    assert network.path == "borrowed"
    network.activations(image, "4")
    assert in_place._compiled_call_impl is not None


def test_a_module_that_mixes_images_is_run_as_it_is() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return (x - x.mean(0)).mean((2, 3))

    network = Network(Mixing(), spec())
    images = torch.rand(3, 3, 8, 8)
    found = network.activations(images, [network.output])[network.output.name]
    torch.testing.assert_close(found.sum(0), torch.zeros(4), atol=1e-6, rtol=0)


def test_a_layer_that_joins_the_images_is_refused_with_its_name() -> None:
    class Joining(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.join = Sum()

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return x + self.join(x)

    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum(0, keepdim=True)

    network = Network(Joining(), spec())
    images = torch.rand(2, 3, 8, 8)
    assert network.activations(images, "conv")["conv"].shape == (2, 4, 8, 8)
    with pytest.raises(RuntimeError, match=r"'join' gives the shape \(1, 4, 8, 8\) for 2 images"):
        network.activations(images, "join")


def test_labels_name_the_output() -> None:
    network = Network(small(), spec(), labels=np.array(["cat", "dog", "Dog", "fish"]))
    assert network.unit("cat") == network.output[0]
    assert network.unit("FISH") == network.output[3]
    assert network.unit("Dog") == network.output[2]
    assert [name for name, _ in network.classify(torch.rand(1, 3, 8, 8), k=9)[0]].count("cat") == 1
    with pytest.raises(UnknownNameError, match=r"2 classes are called 'DOG'.*\[1, 2\]"):
        network.unit("DOG")
    with pytest.raises(KeyError, match=r"no class 'fisch'; did you mean 'fish'\? net\.labels lists all 4"):
        network.unit("fisch")


def test_without_labels_units_go_by_their_numbers() -> None:
    network = Network(small(), spec(), labels=[])
    assert network.labels == ()
    assert network.unit("3") == network.output[3]
    assert network.label(2) == "2"


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 labels were given; the output '4' has 4 units"):
        Network(small(), spec(), labels=["a", "b", "c"])


def test_classify_orders_by_probability() -> None:
    network = Network(small(), spec(), labels="abcd")
    images = torch.rand(3, 3, 8, 8)
    expected = network.module(images).softmax(1)
    for row, told in zip(expected, network.classify(images, k=4), strict=True):
        assert [label for label, _ in told] == ["abcd"[i] for i in row.argsort(descending=True)]
        assert [value for _, value in told] == pytest.approx(row.sort(descending=True).values.tolist())
    assert len(network.classify(images, k=2)[0]) == 2


def test_a_network_of_maps_is_no_classifier() -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 1)), spec())
    assert not network.is_classifier
    with pytest.raises(ValueError, match="no class scores: its output '0' has the shape"):
        network.classify(torch.rand(1, 3, 8, 8))


def test_class_scores_that_are_maps_of_one_pixel() -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)), spec())
    assert network.is_classifier
    assert len(network.classify(torch.rand(2, 3, 8, 8), k=4)[1]) == 4


def test_near_misses_are_told(resnet: Network) -> None:
    with pytest.raises(KeyError, match=r"no layer 'layer5'; did you mean .*net\.layers lists all 75"):
        resnet["layer5"]
    with pytest.raises(KeyError, match="did you mean"):
        resnet.recording(["conv1", "layer1.0.rellu"])
    with pytest.raises(TypeError, match=r"'relu' is ReLU, which has no 2D kernel.*net\.convolutions lists all 20"):
        resnet.filters("relu")


def test_it_prints_as_a_table(grey_network: Network) -> None:
    lines = repr(grey_network).splitlines()
    assert lines[0] == "Network grey: input 1 × 8 × 8, 8 layers, output '7'"
    assert lines[1].split() == ["layer", "kind", "shape"]
    assert lines[-1].split() == ["7", "Linear", "5"]
    assert len(lines) == 10


def test_changes_of_the_module_between_runs_are_followed() -> None:
    module = small()
    network = Network(module, spec())
    image = torch.rand(1, 3, 8, 8)
    for activation, kind in ((nn.Tanh(), "Tanh"), (nn.Sigmoid(), "Sigmoid"), (nn.SiLU(), "SiLU")):
        module[1] = activation
        assert network["1"].kind == kind
        torch.testing.assert_close(network.activations(image, "4")["4"], module(image))
    module[4] = nn.Linear(16, 9)
    assert network.output.shape == (9,)
    module.load_state_dict({name: torch.full_like(value, 0.01) for name, value in module.state_dict().items()})
    torch.testing.assert_close(network.activations(image, "4")["4"], module(image))
    module.append(nn.ReLU())
    assert network.output.name == "5"


def test_another_precision_is_followed() -> None:
    module = small()
    network = Network(module, spec(mean=0.5, std=0.25))
    module.to(torch.float64)
    assert network.dtype == torch.float64
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    found = network.activations(image, "4")["4"]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, module((image - 0.5) / 0.25), rtol=1e-12, atol=1e-12)
    module.to(torch.bfloat16)
    assert network.activations(image, "4")["4"].dtype == torch.bfloat16


def test_filters_are_copies() -> None:
    module = small()
    network = Network(module, spec())
    before = state_of(module)
    network.filters("0").zero_()
    assert state_of(module) == before
    assert torch.equal(network.filters("0"), module[0].weight)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_filters_of_a_weight_that_is_computed_are_up_to_date() -> None:
    for normed in (
        nn.utils.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    ):
        network = Network(nn.Sequential(normed), spec())
        trained = next(normed.parameters())
        with torch.no_grad():
            for parameter in normed.parameters():
                parameter.mul_(2)
        assert trained is next(normed.parameters())
        image = torch.rand(1, 3, 8, 8)
        kernel = network.filters("0")
        torch.testing.assert_close(F.conv2d(image, kernel, normed.bias), normed(image))


def test_the_digest_tells_weights_and_preprocessing_apart() -> None:
    module = small()
    network = Network(module, spec())
    digest = network.digest()
    assert digest == Network(module, spec()).digest()
    assert digest != Network(module, spec(mean=0.5)).digest()
    with torch.no_grad():
        module[0].weight[0, 0, 0, 0] += 1e-6
    assert network.digest() != digest
    module.to(torch.bfloat16)
    assert len(network.digest()) == 64


def test_the_stamp_changes_with_training() -> None:
    module = small()
    network = Network(module, spec())
    stamp = network.stamp()
    network.activations(torch.rand(1, 3, 8, 8), "4")
    assert network.stamp() == stamp
    with torch.no_grad():
        module[0].weight.mul_(0.5)
    assert network.stamp() != stamp


def test_a_network_without_weights() -> None:
    network = Network(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), spec())
    assert network.dtype == torch.float32
    assert network.activations(torch.rand(1, 3, 8, 8), "1")["1"].shape == (1, 3, 4, 4)


def test_made_and_used_within_inference_mode() -> None:
    module = small()
    with torch.inference_mode():
        network = Network(module, spec())
        inside = network.activations(torch.rand(1, 3, 8, 8), "1")["1"]
        record = network.recording("0")
    assert inside.shape == (1, 4, 6, 6)
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    record(image)["0"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_an_image_is_not_written_by_a_module_that_begins_in_place() -> None:
    network = Network(nn.Sequential(nn.Hardtanh(0.2, 0.3, inplace=True), nn.MaxPool2d(2)), spec())
    image = torch.rand(1, 3, 8, 8)
    before = image.clone()
    network.activations(image, "1")
    assert torch.equal(image, before)
    with network.recording("1") as record:
        record(image.requires_grad_())["1"].sum().backward()
    assert torch.equal(image.detach(), before)


def test_nothing_is_printed_or_warned(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network(small(), spec(), labels="abcd").classify(torch.rand(1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")

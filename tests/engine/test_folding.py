"""Batch normalisation folded into the layer before it: the same values, and only where nobody sees the difference."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.models import resnet18

from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.intact import state_of

SMALL = InputSpec(size=(3, 8, 8), mean=0.4, std=0.2)


def settled(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """In evaluation mode, its norms with statistics and weights that do something, drawn from a seed."""
    random = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            with torch.no_grad():
                part.running_mean.normal_(0, 0.2, generator=random)
                part.running_var.uniform_(0.5, 2, generator=random)
                if part.affine:
                    part.weight.uniform_(0.5, 1.5, generator=random)
                    part.bias.normal_(0, 0.2, generator=random)
    return module.eval().to(dtype)


def toy(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 3),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(144, 5),
        nn.BatchNorm1d(5),
    )
    return settled(module, dtype)  # type: ignore[return-value]


def relative(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).detach().abs().max() / expected.detach().abs().max())


def values(network: Network, names: Any, images: Tensor, *, fold: bool) -> dict[str, Tensor]:
    with network.recording(names, fold=fold) as record, torch.no_grad():
        return record(images)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("make", "size", "norms"), [(toy, 8, 3), (resnet18, 64, 20)], ids=["toy", "resnet18"])
def test_values_and_gradients_are_what_they_were(
    make: Callable[[], nn.Module], size: int, norms: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    network = Network(settled(make(), dtype), InputSpec(size=(3, size, size)))
    images = torch.rand(2, 3, size, size, dtype=dtype, requires_grad=True)
    slopes = []
    outputs = []
    for fold in (False, True):
        with network.recording(network.output, fold=fold) as record:
            (value,) = record(images).values()
            assert record.folded == (norms if fold else 0)
        outputs.append(value.detach())
        slopes.append(torch.autograd.grad(value[:, 1].sum(), images)[0])
    assert relative(outputs[1], outputs[0]) < tolerance
    # in float32 a rectifier at zero may turn over, in float64 none does here
    assert relative(slopes[1], slopes[0]) < (1e-2 if dtype == torch.float32 else 1e-11)


@pytest.mark.real
def test_the_real_network_has_all_its_norms_folded(real_network: Network) -> None:
    images = torch.rand(2, *real_network.input.size, generator=torch.Generator().manual_seed(1))
    names = [real_network.output.name, "blocks.3.0.bn1", "blocks.3.0.bn1.drop"]
    expected = values(real_network, names, images, fold=False)
    with real_network.recording(names, fold=True) as record, torch.no_grad():
        found = record(images)
        assert (record.folded, record.layout, record.cut, record.unfolded) == (49, "channels-last", "", "")
    for name in names:
        assert relative(found[name], expected[name]) < 1e-5, name
        assert found[name].is_contiguous(), name


def test_a_recorded_norm_is_folded_and_gives_its_own_value() -> None:
    network = Network(toy(), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording(["1", "4"], fold=True) as record:
        assert (record.folded, record.cut) == (2, "4")
        found = {name: value.detach() for name, value in record(images).items()}
    for name, value in values(network, ["1", "4"], images, fold=False).items():
        assert relative(found[name], value) < 1e-5, name


def test_nothing_is_folded_over_a_recorded_layer() -> None:
    network = Network(toy(), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording(["3", "8"], fold=True) as record:
        found = record(images)
        assert record.folded == 2
    assert relative(found["3"], values(network, "3", images, fold=False)["3"]) < 1e-5
    with network.recording("0", fold=True) as record:
        assert (record.folded, record.cut) == (0, "0")
        assert torch.equal(record(images)["0"], values(network, "0", images, fold=False)["0"])


class Between(nn.Module):
    """A block that ends with a convolution, whose norm stands outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity())
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.block(x)).mean((2, 3))


@pytest.mark.parametrize("between", ["block", "block.0", "block.1"])
def test_a_block_around_the_convolution_lies_between_as_well(between: str) -> None:
    network = Network(settled(Between()), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording([between, network.output.name], fold=True) as record, torch.no_grad():
        assert record.folded == 0
        assert torch.equal(record(images)[between], values(network, between, images, fold=False)[between])
    with network.recording(network.output, fold=True) as record:
        assert record.folded == 1


class Branching(nn.Module):
    """The convolution's output goes into the norm and elsewhere; the second pair is an ordinary one."""

    def __init__(self, elsewhere: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1)
        self.last = nn.BatchNorm2d(4)
        self.elsewhere = elsewhere

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.last(self.second(self.norm(y) + self.elsewhere(y))).mean((2, 3))


def added(y: Tensor) -> Tensor:
    return y


def through_a_view(y: Tensor) -> Tensor:
    return y.detach()[:, :1] * 2


def deciding(y: Tensor) -> Tensor:
    return y.new_zeros(()) if y.mean() > 5 else y.new_ones(())


@pytest.mark.parametrize("elsewhere", [added, through_a_view, deciding])
def test_a_convolution_whose_output_is_used_twice_is_left_alone(elsewhere: Callable[[Tensor], Tensor]) -> None:
    network = Network(settled(Branching(elsewhere)), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording(network.output, fold=True) as record:
        assert record.folded == 1
        found = record(images)[network.output.name].detach()
    expected = values(network, network.output, images, fold=False)[network.output.name]
    assert relative(found, expected) < 1e-5


def test_layers_that_are_called_twice_are_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.first = nn.BatchNorm2d(3)
            self.second = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.conv(self.first(self.conv(x)))).mean((2, 3))

    network = Network(settled(Twice()), SMALL)
    with network.recording(network.output, fold=True) as record:
        assert record.folded == 0


class Borrowing(nn.Module):
    """Uses a convolution's weight in a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.norm(self.conv(x)), self.conv.weight).mean((2, 3))


def test_a_pass_that_folding_would_change_stays_and_tells_why() -> None:
    network = Network(settled(Borrowing()), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording(network.output, fold=True) as record, torch.no_grad():
        assert record.folded == 0
        assert record.unfolded == f"folding would change the values of {network.output.name!r}"
        found = record(images)[network.output.name]
    assert torch.equal(found, values(network, network.output, images, fold=False)[network.output.name])


class Standardised(nn.Conv2d):
    """Takes its weight through a function in every pass."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.norm(), self.bias)


def hooked() -> nn.Module:
    module = nn.Conv2d(3, 4, 3)
    module.register_forward_hook(_doubled)
    return module


def _doubled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * 2


@pytest.mark.parametrize(
    ("conv", "norm"),
    [
        (lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), lambda: nn.BatchNorm2d(4)),
        (lambda: Standardised(3, 4, 3), lambda: nn.BatchNorm2d(4)),
        (hooked, lambda: nn.BatchNorm2d(4)),
        (lambda: nn.Conv2d(3, 4, 3), lambda: nn.BatchNorm2d(4, track_running_stats=False)),
        (lambda: nn.Conv2d(3, 4, 3), lambda: nn.GroupNorm(2, 4)),
        (lambda: nn.ConvTranspose2d(3, 4, 3), lambda: nn.BatchNorm2d(4)),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 5)), lambda: nn.BatchNorm1d(3)),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 3)), lambda: nn.BatchNorm1d(3)),
    ],
    ids=[
        "weight norm",
        "own forward",
        "hooked",
        "batch statistics",
        "group norm",
        "transposed",
        "other axis",
        "other axis of the same size",
    ],
)
def test_what_folding_would_get_wrong_is_left_alone(
    conv: Callable[[], nn.Module], norm: Callable[[], nn.Module]
) -> None:
    network = Network(settled(nn.Sequential(conv(), norm(), nn.ReLU())), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording("2", fold=True) as record, torch.no_grad():
        assert record.folded == 0
        assert torch.equal(record(images)["2"], values(network, "2", images, fold=False)["2"])


def test_pairs_that_give_other_values_are_told() -> None:
    network = Network(settled(nn.Sequential(Standardised(3, 4, 3), nn.BatchNorm2d(4))), SMALL)
    with network.recording("1", fold=True) as record:
        assert record.unfolded == "folding would change the values of each norm that follows a convolution"


def trained(module: nn.Module) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    module(torch.rand(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()


def loaded(module: nn.Module) -> None:
    module.load_state_dict({name: value * 1.5 for name, value in module.state_dict().items()})


def assigned(module: nn.Module) -> None:
    module.load_state_dict({name: value * 1.5 for name, value in module.state_dict().items()}, assign=True)


def exchanged(module: nn.Module) -> None:
    module[0].weight = nn.Parameter(torch.randn(6, 3, 3, 3))


def other_part(module: nn.Module) -> None:
    module[7] = nn.Linear(144, 5)


def new_statistics(module: nn.Module) -> None:
    module.train()
    module(torch.rand(4, 3, 8, 8) * 3)
    module.eval()


CHANGES = [trained, loaded, assigned, exchanged, other_part, new_statistics]


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_pass_shows_that_the_module_was_changed(change: Callable[[nn.Module], None]) -> None:
    module = toy()
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording("8", fold=True) as record, torch.no_grad():
        before = record(images)["8"]
        with torch.enable_grad():
            change(module)
        after = record(images)["8"]
        assert record.folded == 3
    assert relative(after, before) > 1e-2
    assert relative(after, module(network.input.normalized(images))) < 1e-5


def test_a_change_between_forward_and_backward_pass_does_not_disturb_the_backward_pass() -> None:
    module = toy()
    network = Network(module, SMALL)
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    with network.recording("8", fold=True) as record:
        (expected,) = torch.autograd.grad(record(images)["8"].sum(), images)
        waiting = record(images)["8"].sum()
        trained(module)
        record(images)
        (slope,) = torch.autograd.grad(waiting, images)
    assert torch.equal(slope, expected)


def test_the_users_module_is_untouched() -> None:
    module = toy()
    module.train()
    module[1].eval()
    before = state_of(module)
    network = Network(module, SMALL)
    with network.recording(["8", "2"], fold=True) as record:
        record(torch.rand(2, 3, 8, 8))
        assert state_of(module) == before
    assert state_of(module) == before


class Drawing(nn.Module):
    """Adds noise, in evaluation as well; from torch's own generator or from another."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3) if self.own else None)


@pytest.mark.parametrize("last", [nn.Identity(), Drawing(own=False), Drawing(own=True)], ids=["none", "usual", "own"])
def test_opening_draws_no_random_numbers_of_the_users(last: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(settled(nn.Sequential(toy()[:7], nn.Linear(144, 4), last)), SMALL)
    output = network.output
    if not (isinstance(last, Drawing) and not last.own):
        # the state is the process's: another thread may draw meanwhile, whose numbers must not come again
        monkeypatch.setattr(torch, "set_rng_state", None)
    before = torch.get_rng_state()
    with network.recording(output, fold=True):
        assert torch.equal(torch.get_rng_state(), before)


def depthwise() -> nn.Module:
    return settled(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1)))


def test_channels_last_with_depthwise_convolutions_only() -> None:
    images = torch.rand(2, 3, 8, 8)
    network = Network(depthwise(), SMALL)
    with network.recording(["1", "3"], fold=True) as record, torch.no_grad():
        assert (record.folded, record.layout) == (1, "channels-last")
        for name, value in record(images).items():
            assert value.is_contiguous(), name
            assert relative(value, values(network, name, images, fold=False)[name]) < 1e-5
    for module in (toy(), depthwise().double()):
        with Network(module, SMALL).recording([], fold=True) as record:
            assert record.layout == "contiguous"


def test_a_network_that_needs_contiguous_maps_is_folded_without_channels_last() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = depthwise()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).view(len(x), -1)

    network = Network(Viewing(), SMALL)
    with network.recording(network.output, fold=True) as record:
        assert (record.folded, record.layout, record.unfolded) == (1, "contiguous", "")
        record(torch.rand(2, 3, 8, 8))
        assert record.output is not None
        assert record.output.shape == (2, 144)


def test_a_borrowed_module_is_never_folded() -> None:
    module = toy()
    module.lock = threading.Lock()  # type: ignore[assignment]
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording("8", fold=True) as record, torch.no_grad():
        assert (record.path, record.folded, record.layout) == ("borrowed", 0, "contiguous")
        assert record.unfolded == "the module can't be copied, and one that is borrowed is never folded"
        assert torch.equal(record(images)["8"], module(network.input.normalized(images)))


def test_a_pass_that_writes_is_not_tried_out() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = toy()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            return self.body(x) + self.passes

    module = Counting().eval()
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording(network.output, fold=True) as record, torch.no_grad():
        assert record.folded == 0
        assert record.unfolded == "the forward pass writes 'passes', so trial passes would change it"
        found = record(images)[network.output.name]
    assert torch.equal(found, copy.deepcopy(module)(network.input.normalized(images)))


def test_unless_asked_for_nothing_is_folded() -> None:
    network = Network(toy(), SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording("4") as record, torch.no_grad():
        assert (record.folded, record.unfolded, record.layout, record.cut) == (0, "", "contiguous", "4")
        assert torch.equal(record(images)["4"], network.module[:5](network.input.normalized(images)))

"""The promise that the user's module stays as it was, whatever is done with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.shadow import shadow, unwrapped
from tests.engine.intact import state_of

SMALL = InputSpec(size=(3, 8, 8), mean=0.5, std=0.5)


def small() -> nn.Sequential:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(144, 3)
    )
    module[0].bias.requires_grad_(False)
    module[1].eval()
    module.train()
    return module


class Counting(nn.Module):
    """Writes buffers, an attribute and a plain tensor whenever it runs, in evaluation as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("replaced", torch.zeros(4), persistent=False)
        self.plain = torch.zeros(3)
        self.seen = 0
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        self.passes += 1
        self.plain.add_(1)
        y = self.conv(x).mean((2, 3))
        self.mean.lerp_(y.detach().mean(0), 0.1)
        self.replaced = self.replaced + 1
        with torch.no_grad():
            self.conv.weight.data.clamp_(-0.1, 0.1)
            self.fc.weight.mul_(0.9)
        self.last = y
        return self.fc(y)


class AlwaysTraining(nn.Module):
    """Refuses evaluation mode, so that its batch normalisation writes its statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def train(self, mode: bool = True) -> AlwaysTraining:
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).mean((2, 3))


def uncopyable(module: nn.Module) -> nn.Module:
    module.lock = threading.Lock()
    return module


MODULES: dict[str, Callable[[], nn.Module]] = {
    "training": small,
    "counting": Counting,
    "always training": AlwaysTraining,
    "training, borrowed": lambda: uncopyable(small()),
    "counting, borrowed": lambda: uncopyable(Counting()),
    "always training, borrowed": lambda: uncopyable(AlwaysTraining()),
}


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made = MODULES[request.param]()
    made.register_forward_hook(lambda part, inputs, output: output * 2)
    return made


def test_looking_changes_nothing(module: nn.Module) -> None:
    before = state_of(module)
    network = Network(module, SMALL)
    assert state_of(module) == before
    network.activations(torch.rand(2, 3, 8, 8), list(network.layers))
    network.classify(torch.rand(2, 3, 8, 8))
    network.filters(network.convolutions[0])
    network.digest()
    repr(network)
    assert state_of(module) == before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_ascent_changes_nothing_while_it_pauses_and_afterwards(module: nn.Module) -> None:
    before = state_of(module)
    network = Network(module, SMALL)
    for frame in cnn.ascend(network, network.output[1], "none", steps=3):
        assert state_of(module) == before, frame.step
    assert state_of(module) == before
    for _ in cnn.ascend(network, network.output[1], "none", steps=3):
        break
    assert state_of(module) == before
    cnn.maximize(network, [network.output[0], network.output[2]], "none", steps=2)
    assert state_of(module) == before


def test_an_exception_in_the_forward_pass_changes_nothing(module: nn.Module) -> None:
    network = Network(module, SMALL)
    module.register_forward_pre_hook(_refuse_bright)
    before = state_of(module)
    with network.recording(network.output) as record:
        record(torch.rand(1, 3, 8, 8) / 10)
        assert state_of(module) == before
        with pytest.raises(ZeroDivisionError):
            record(torch.ones(1, 3, 8, 8))
        assert state_of(module) == before
    assert state_of(module) == before


def _refuse_bright(part: nn.Module, inputs: tuple[Tensor]) -> None:
    if inputs[0].mean() > 0.9:
        raise ZeroDivisionError("too bright")


def test_a_run_stays_in_evaluation_mode_whatever_the_module_is_in() -> None:
    module = small()
    network = Network(module, SMALL)
    images = torch.rand(4, 3, 8, 8)
    with network.recording("5") as record, torch.no_grad():
        first, second = record(images)["5"], record(images)["5"]
    assert torch.equal(first, second)
    module.eval()
    torch.testing.assert_close(first, module((images - 0.5) / 0.5))


def test_a_shadow_shares_storage_and_nothing_else() -> None:
    module = small()
    copied = shadow(module)
    assert copied is not None
    for own, other in zip(module.parameters(), copied.parameters(), strict=True):
        assert own is not other
        assert own.data_ptr() == other.data_ptr()
        assert not other.requires_grad
    assert copied[1].running_mean.data_ptr() == module[1].running_mean.data_ptr()
    assert not any(part.training for part in copied.modules())
    copied[0].register_forward_hook(lambda *_: None)
    assert not module[0]._forward_hooks
    assert shadow(module, private=None)[0].weight.data_ptr() != module[0].weight.data_ptr()  # type: ignore[index]


def test_shared_weights_stay_shared() -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    module[1].weight = module[0].weight
    copied = shadow(module)
    assert copied is not None
    assert copied[0].weight is copied[1].weight


def test_what_a_run_writes_in_evaluation_mode_goes_to_storage_of_its_own() -> None:
    module = Counting()
    network = Network(module, SMALL)
    assert {"passes", "mean", "plain", "conv.weight", "fc.weight"} <= network.written
    assert "conv.bias" not in network.written
    assert Network(small(), SMALL).written == frozenset()
    always = AlwaysTraining()
    assert {"norm.running_mean", "norm.num_batches_tracked"} <= Network(always, SMALL).written


def test_training_shows_in_a_run_that_pauses() -> None:
    module = small().eval()
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    with network.recording("5") as record, torch.no_grad():
        record(images)
        module[5].weight.mul_(3)
        module[1].running_mean.add_(0.2)
        torch.testing.assert_close(record(images)["5"], module((images - 0.5) / 0.5))
        module.load_state_dict({name: torch.ones_like(value) for name, value in module.state_dict().items()})
        torch.testing.assert_close(record(images)["5"], module((images - 0.5) / 0.5))


def train(module: nn.Module, stopped: threading.Event, failed: list[BaseException]) -> None:
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.01)
    try:
        while not stopped.is_set():
            optimizer.zero_grad()
            F.cross_entropy(module(torch.randn(8, 3, 8, 8)), torch.randint(0, 3, (8,))).backward()
            optimizer.step()
    except BaseException as error:
        failed.append(error)


def test_a_module_that_trains_in_another_thread_breaks_no_backward_pass() -> None:
    module = small()
    network = Network(module, SMALL)
    before = module[5].weight.detach().clone()
    stopped, failed = threading.Event(), []
    thread = threading.Thread(target=train, args=(module, stopped, failed))
    thread.start()
    try:
        frames = [frame.step for frame in cnn.ascend(network, network.output[1], "none", steps=60)]
    finally:
        stopped.set()
        thread.join()
    assert frames[-1] == 60
    assert failed == []
    assert not torch.equal(before, module[5].weight)
    assert all(part.training for part in module.modules())


@pytest.mark.parametrize("prepared", [lambda module: module, uncopyable], ids=["shadow", "borrowed"])
def test_training_between_the_steps_goes_on_as_without_us(prepared: Callable[[nn.Module], nn.Module]) -> None:
    def trained(look: bool) -> Tensor:
        torch.manual_seed(0)
        module = prepared(small())
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
        frames = None
        if look:
            network = Network(module, SMALL)
            frames = cnn.ascend(network, network.output[0], "none", steps=20)
        torch.manual_seed(1)
        for _ in range(5):
            loss = module(torch.randn(8, 3, 8, 8)).square().mean()
            if frames is not None:
                next(frames)  # between the user's own forward and backward pass
            optimizer.zero_grad()
            loss.backward()
            if frames is not None:
                next(frames)
            optimizer.step()
        return torch.cat([tensor.flatten().float() for tensor in module.state_dict().values()])

    assert torch.equal(trained(True), trained(False))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda conv: nn.utils.weight_norm(conv),
        lambda conv: nn.utils.parametrizations.weight_norm(conv),
        lambda conv: nn.utils.spectral_norm(conv),
        lambda conv: nn.utils.parametrizations.spectral_norm(conv),
        lambda conv: prune.l1_unstructured(conv, "weight", amount=0.5),
        lambda conv: prune.random_structured(prune.l1_unstructured(conv, "weight", 0.2), "weight", 0.3, dim=0),
    ],
    ids=["weight norm", "weight norm 2", "spectral norm", "spectral norm 2", "pruned", "pruned twice"],
)
def test_weights_that_are_computed(change: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(change(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.rand(2, 3, 8, 8)).square().sum().backward()  # leaves a weight with a history behind
    optimizer.step()
    network = Network(module, SMALL)
    assert network.path == "shadow"
    before = state_of(module)
    images = torch.rand(2, 3, 8, 8)
    found = network.activations(images, ["0", "3"])
    kernel = network.filters("0")
    for _ in cnn.ascend(network, network["0"][1], "none", steps=2):
        assert state_of(module) == before
    assert state_of(module) == before
    module.eval()
    normalised = (images - 0.5) / 0.5
    torch.testing.assert_close(found["3"], module(normalised))
    torch.testing.assert_close(F.conv2d(normalised, kernel, module[0].bias), found["0"])


def test_the_users_hooks_that_change_the_output_are_kept() -> None:
    module = small().eval()
    module[0].register_forward_hook(lambda part, inputs, output: output.index_fill(1, torch.tensor([1]), 0.0))
    module[3].register_forward_pre_hook(lambda part, inputs: (inputs[0] + 1,))
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    found = network.activations(images, ["0", "5"])
    assert network.path == "shadow"
    assert not found["0"][:, 1].any()
    assert found["0"][:, 0].any()
    torch.testing.assert_close(found["5"], module((images - 0.5) / 0.5))


def test_weights_that_are_not_a_number_count_as_unchanged() -> None:
    module = small()
    with torch.no_grad():
        module[0].weight[0, 0, 0, 0] = float("nan")
    assert Network(module, SMALL).written == frozenset()


def test_wrappers_come_off_in_any_order() -> None:
    module = small()
    assert unwrapped(nn.DataParallel(torch.compile(nn.DataParallel(module), backend="eager"))) is module

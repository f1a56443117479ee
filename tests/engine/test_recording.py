from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from tests.engine.intact import state_of

SMALL = InputSpec(size=(3, 8, 8))


class Counted(nn.Module):
    """Passes its input on and tells an outside list, which copies of it share."""

    def __init__(self, name: str, calls: Any) -> None:
        super().__init__()
        self.name = name
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls(self.name)
        return x * 1


class Tally:
    """A list that ``deepcopy`` does not copy."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)

    def __deepcopy__(self, memo: Any) -> Tally:
        return self


def plain_values(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What a hook on each module itself sees, copied before anything overwrites it."""
    values: dict[str, Tensor] = {}
    handles = [
        part.register_forward_hook(lambda m, i, o, name=name: values.__setitem__(name, o.detach().clone()))
        for name, part in module.named_modules()
        if name
    ]
    with torch.no_grad():
        module(images)
    for handle in handles:
        handle.remove()
    return values


def test_later_modules_never_run() -> None:
    tally = Tally()
    module = nn.Sequential(*[Counted(name, tally) for name in "abcde"])
    network = Network(module, SMALL)
    tally.names.clear()
    with network.recording(["2", "0"]) as record:
        assert not record.complete
        record(torch.rand(1, 3, 8, 8))
        assert record.output is None
    assert tally.names == ["a", "b", "c"]


def test_the_pass_goes_to_the_end_for_the_output_alone() -> None:
    tally = Tally()
    module = nn.Sequential(*[Counted(name, tally) for name in "abc"])
    network = Network(module, SMALL)
    tally.names.clear()
    image = torch.rand(1, 3, 8, 8)
    with network.recording(network.output) as record:
        assert record.complete
        values = record(image)
        assert torch.equal(record.output, values["2"])
    assert tally.names == ["a", "b", "c"]


class InPlace(nn.Module):
    """In-place modules and functions after every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        x = self.second(x)
        F.relu_(x)
        x += 1
        scores = self.fc(x.mean((2, 3)))
        scores.mul_(3)
        return scores


def test_values_are_a_plain_hooks_also_where_in_place_operations_follow() -> None:
    module = InPlace().eval()
    network = Network(module, SMALL)
    images = torch.rand(2, 3, 8, 8)
    expected = plain_values(module, images)
    with network.recording(list(expected)) as record, torch.no_grad():
        together = record(images)
    assert set(together) == set(expected)
    for name, value in expected.items():
        assert torch.equal(together[name], value), name
        with network.recording(name) as record, torch.no_grad():
            assert torch.equal(record(images)[name], value), name


def test_all_names_of_a_resnet_at_once(resnet: Network) -> None:
    images = torch.rand(2, 3, 64, 64)
    expected = plain_values(resnet.module, resnet.input.normalized(images))
    with resnet.recording(list(resnet.layers)) as record, torch.no_grad():
        values = record(images)
    assert list(values) != []
    assert set(values) == set(resnet.layers)
    # a plain hook sees a module's last call only
    for name, value in expected.items():
        last = f"{name}@2" if f"{name}@2" in values else name
        assert torch.equal(values[last], value), name


def test_gradients_reach_the_images_through_values_that_are_overwritten(resnet: Network) -> None:
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    with resnet.recording(["layer1.0.conv1", "layer1.0.relu", "fc"]) as record:
        values = record(images)
        for name in ("layer1.0.conv1", "layer1.0.relu", "fc"):
            (slope,) = torch.autograd.grad(values[name][:, 1].mean(), images, retain_graph=True)
            assert slope.abs().sum() > 0, name
    assert all(parameter.grad is None for parameter in resnet.module.parameters())


def test_a_layer_that_is_not_reached_is_told() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.extra = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.extra(y) if x.mean() < 0.6 else y + 1

    network = Network(Conditional(), SMALL)
    assert "extra" in network.layers
    with network.recording(["conv", "extra"]) as record:
        assert set(record(torch.zeros(1, 3, 8, 8))) == {"conv", "extra"}
        with pytest.raises(RuntimeError, match="the layer 'extra' was not reached in this pass"):
            record(torch.ones(1, 3, 8, 8))
        assert set(record(torch.zeros(1, 3, 8, 8))) == {"conv", "extra"}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_in_any_mode_of_the_caller(mode: Any, grey_network: Network) -> None:
    image = torch.rand(2, 1, 8, 8)
    with mode(), grey_network.recording(["1", "7"]) as record:
        values = record(image)
    expected = plain_values(grey_network.module, grey_network.input.normalized(image))
    for name in ("1", "7"):
        torch.testing.assert_close(values[name], expected[name])


def test_two_recordings_in_two_threads_do_not_meet(resnet: Network) -> None:
    images = [torch.rand(1, 3, 64, 64), torch.rand(2, 3, 64, 64)]
    names = [["relu", "layer3.0.relu@2"], ["layer1.1.conv2", "fc"]]
    expected, wrong = [], []
    for batch, listed in zip(images, names, strict=True):
        with resnet.recording(listed) as record, torch.no_grad():
            expected.append(record(batch))

    def work(number: int) -> None:
        try:
            with resnet.recording(names[number]) as record, torch.no_grad():
                for _ in range(5):
                    found = record(images[number])
                    if any(not torch.equal(found[name], expected[number][name]) for name in names[number]):
                        wrong.append("another value")
        except BaseException as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_several_recordings_at_once_in_one_thread(grey_network: Network) -> None:
    image = torch.rand(1, 1, 8, 8)
    with grey_network.recording("1") as first, grey_network.recording("7") as second:
        assert set(first(image)) == {"1"}
        assert set(second(image)) == {"7"}
        assert set(first(image)) == {"1"}


def test_an_error_of_the_forward_pass_comes_through_and_the_next_pass_works() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            if x.mean() > 0.9:
                raise ZeroDivisionError("too bright")
            return self.act(y)

    module = Picky()
    network = Network(module, SMALL)
    before = state_of(module)
    with network.recording("act") as record:
        with pytest.raises(ZeroDivisionError, match="too bright"):
            record(torch.ones(1, 3, 8, 8))
        assert record(torch.zeros(1, 3, 8, 8))["act"].shape == (1, 2, 8, 8)
    assert state_of(module) == before


def test_a_forward_that_catches_exceptions_is_still_stopped() -> None:
    tally = Tally()

    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Counted("first", tally)
            self.last = Counted("last", tally)

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.first(x)
            except Exception:
                x = x * 0
            return self.last(x)

    network = Network(Careful(), SMALL)
    tally.names.clear()
    with network.recording("first") as record:
        record(torch.rand(1, 3, 8, 8))
    assert tally.names == ["first"]


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("name", ["conv", "inner.0", "inner.2", "fc"])
def test_checkpointed_parts_run_again_without_being_recorded(name: str, early_stop: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.inner = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 1), nn.Tanh())
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = checkpoint(self.inner, self.conv(x), use_reentrant=False)
            return self.fc(x.mean((2, 3)))

    module = Checkpointed()
    network = Network(module, SMALL)
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    with network.recording(name) as record, set_checkpoint_early_stop(early_stop):
        for _ in range(2):
            (slope,) = torch.autograd.grad(record(images)[name].sum(), images)
    parts = [module.conv, *module.inner]
    value = images
    for part in parts[: {"conv": 1, "inner.0": 2, "inner.2": 4, "fc": 5}[name]]:
        value = part(value)
    value = module.fc(value.mean((2, 3))) if name == "fc" else value
    (expected,) = torch.autograd.grad(value.sum(), images)
    torch.testing.assert_close(slope, expected)


def test_closing_lets_go_of_everything(grey_network: Network) -> None:
    record = grey_network.recording("1")
    record(torch.rand(1, 1, 8, 8))
    record.close()
    record.close()
    assert record.output is None
    with pytest.raises(RuntimeError, match="this recording is closed"):
        record(torch.rand(1, 1, 8, 8))


def test_an_empty_list_of_names_gives_the_output(grey_network: Network) -> None:
    with grey_network.recording([]) as record:
        assert record(torch.rand(2, 1, 8, 8)) == {}
        assert record.output is not None
        assert record.output.shape == (2, 5)

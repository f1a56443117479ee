"""Modules that can't be copied are borrowed for one step; which those are, and that they stay as they were."""

from __future__ import annotations

import copy
import functools
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.shadow import shadow
from tests.engine.intact import state_of
from tests.engine.test_shadow import SMALL, small, uncopyable


class Catching(nn.Module):
    """Its function runs a part of the user's own object."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)
        parts = [self.conv]
        old = self.conv.forward
        if how == "closure":
            self.function: Any = lambda x: self.conv(x)
        elif how == "default":
            self.function = lambda x, conv=self.conv: conv(x)
        elif how == "list in a closure":
            self.function = lambda x: parts[0](x)
        elif how == "method in a closure":
            self.function = lambda x: old(x)
        elif how == "function in a closure":
            inner = lambda x: self.conv(x)  # noqa: E731
            self.function = lambda x: inner(x)
        elif how == "global":
            self.function = lambda x: CAUGHT.conv(x)
        elif how == "in a list":
            self.function = [lambda x: self.conv(x)]
        elif how == "patched forward":
            self.function = self.conv
            self.conv.forward = lambda x: old(x) * 1.0

    def forward(self, x: Tensor) -> Tensor:
        function = self.function[0] if isinstance(self.function, list) else self.function
        return self.fc(function(x).mean((2, 3)))


CAUGHT: nn.Module = nn.Identity()
WAYS = [
    "closure",
    "default",
    "list in a closure",
    "method in a closure",
    "function in a closure",
    "global",
    "in a list",
]


@pytest.mark.parametrize("how", [*WAYS, "patched forward"])
def test_a_function_that_caught_a_part_is_borrowed_and_still_right(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Catching(how)
    monkeypatch.setitem(globals(), "CAUGHT", module)
    before = state_of(module)
    network = Network(module, SMALL)
    assert network.path == "borrowed"
    images = torch.rand(2, 3, 8, 8)
    with network.recording("fc") as record:
        assert record.path == "borrowed"
        value = record(images)["fc"]
        assert state_of(module) == before
    torch.testing.assert_close(value, module((images - 0.5) / 0.5))
    for _ in cnn.ascend(network, network["fc"][1], "none", steps=2):
        assert state_of(module) == before
    if how not in ("method in a closure", "patched forward"):  # there its hooks do not fire in plain PyTorch either
        assert network.filters("conv").shape == (4, 3, 3, 3)


class Copied(nn.Module):
    """Functions that ``deepcopy`` takes along with the parts they use."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.ones(1))
        if how == "method":
            self.function: Any = self.convolved
        elif how == "partial":
            self.function = functools.partial(self.convolved)
        elif how == "argument of a partial":
            self.function = functools.partial(_convolved, self.conv)
        else:
            self.function = F.relu

    def convolved(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    return conv(x)


@pytest.mark.parametrize("how", ["method", "partial", "argument of a partial", "plain function"])
def test_functions_that_are_copied_along_need_no_borrowing(how: str) -> None:
    module = Copied(how)
    calls: list[int] = []
    network = Network(module, SMALL)
    assert network.path == "shadow"
    copied = shadow(module)
    assert copied is not None
    module.conv.register_forward_hook(lambda *_: calls.append(1))
    copied(torch.rand(1, 3, 8, 8))
    assert calls == []
    assert network.output.channels in (3, 4)


def test_a_copy_that_fails_in_its_own_way_is_borrowed() -> None:
    class Stubborn(nn.Conv2d):
        def __deepcopy__(self, memo: Any) -> Any:
            raise LookupError("no copies")

    module = nn.Sequential(Stubborn(3, 4, 3), nn.ReLU())
    before = state_of(module)
    network = Network(module, SMALL)
    assert network.path == "borrowed"
    network.activations(torch.rand(1, 3, 8, 8), "1")
    assert network.filters("0").shape == (4, 3, 3, 3)
    assert state_of(module) == before


def test_a_generator_is_the_runs_own() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.generator = torch.Generator().manual_seed(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + torch.rand(1, generator=self.generator)

    module = Noisy()
    state = module.generator.get_state()
    network = Network(module, SMALL)
    network.activations(torch.rand(1, 3, 8, 8), "output")
    if network.path == "shadow":
        assert torch.equal(module.generator.get_state(), state)


def test_a_part_that_is_borrowed_is_handed_back_between_steps() -> None:
    module = uncopyable(small())
    network = Network(module, SMALL)
    frames = cnn.ascend(network, network.output[1], "none", steps=4)
    next(frames)
    assert module.training
    module.eval()
    next(frames)
    assert not module.training
    module.train()
    module(torch.rand(2, 3, 8, 8)).sum().backward()
    assert module[0].weight.grad is not None
    next(frames)
    frames.close()
    assert module.training
    assert not module[2]._forward_hooks


class Meeting(nn.Module):
    """Waits in the midst of a pass that another thread makes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.lock = threading.Lock()  # which can't be copied
        self.begun, self.go = threading.Event(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            assert self.go.wait(30)
        return self.relu(x).mean((2, 3))


def test_the_users_own_pass_meanwhile_is_not_ours() -> None:
    module = Meeting()
    network = Network(module, SMALL)
    assert not network.copies
    mine, found = torch.rand(2, 3, 8, 8), []

    def look() -> None:
        with network.recording("relu") as record:
            found.append(record(torch.full((1, 3, 8, 8), 0.5))["relu"])

    thread = threading.Thread(target=look)
    thread.start()
    assert module.begun.wait(30)
    with torch.no_grad():
        assert module(mine).shape == (2, 4)
    module.go.set()
    thread.join()
    assert [one.shape for one in found] == [(1, 4, 6, 6)]


class Changing(nn.Module):
    """Has its tensors exchanged while it is copied, as by a pass in another thread in which weights are computed."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.conv, self.times, self.copies = nn.Conv2d(3, 4, 3), times, 0
        self.computed = torch.zeros(1)

    def __deepcopy__(self, memo: Any) -> Any:
        self.copies += 1
        if self.copies <= self.times:
            self.computed = torch.zeros(1)
            raise RuntimeError("dictionary changed size during iteration")
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_module_that_changes_while_it_is_copied_is_copied_again() -> None:
    module = Changing(3)
    copied = shadow(module)
    assert module.copies == 4
    assert copied is not None
    assert not copied.training
    with pytest.raises(RuntimeError, match="the Changing changes while it is copied, as in a step of training"):
        shadow(Changing(1000))

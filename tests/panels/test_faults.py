"""`MaximizationPanel` survives what networks and users do to it while it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnnviz_widgets import InputSpec, MaximizationPanel, Network, Recipe, Selection
from tests.panels.networks import Guarded, convolutional, grey
from tests.panels.runs import ENDLESS, moving
from tests.panels.waiting import reach, until

Keep = Callable[[MaximizationPanel], MaximizationPanel]


def broken(net: Network, bias: float) -> Network:
    convolution = net.module[0]  # type: ignore[index]
    with torch.no_grad():
        convolution.bias.fill_(bias)
    return net


@pytest.mark.parametrize(("bias", "reason"), [(-1e4, "exactly zero"), (float("nan"), "not finite")])
def test_units_that_cannot_move_say_why(keep: Keep, bias: float, reason: str) -> None:
    net = broken(grey(), bias)
    panel = keep(MaximizationPanel(net, Recipe(steps=50)))
    panel.selection.unit = net["1"][2]
    panel.wait()
    panel.run()
    reach(panel, "finished")
    until(lambda: reason in panel.note.text, lambda: panel.note.text)
    broken(net, 0.0)
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.step == 50)
    assert panel.note.text == ""


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_forward_pass_that_breaks_on_the_way(keep: Keep, guarded: type[Guarded]) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = guarded(), nn.Linear(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.body(images).mean((2, 3)))

    net = Network(Head(), InputSpec(size=(1, 8, 8)))
    panel = keep(MaximizationPanel(net, Recipe(steps=30)))
    panel.selection.unit = net["body.conv"][1]
    panel.wait()
    guarded.passes_left = 5
    panel.run()
    reach(panel, "failed")
    until(lambda: "the test's module broke" in panel.note.text, lambda: panel.note.text)
    until(lambda: "failed" in panel.player.status, lambda: panel.player.status)
    assert panel.note.kind == "error"
    assert panel.player.still
    assert not panel.buttons["run"].disabled
    guarded.passes_left = None
    panel.run()
    reach(panel, "finished")
    until(lambda: panel.player.step == 30)
    assert panel.note.text == ""


def test_the_network_can_be_exchanged_while_a_run_goes_on(keep: Keep) -> None:
    selection = Selection(grey())
    panel = keep(MaximizationPanel(selection.network, ENDLESS, selection=selection))
    panel.run()
    reach(panel, "running")
    selection.network = convolutional()
    panel.wait()
    panel.pause()
    reach(panel, "paused")
    assert moving(panel).shape == (1, 1, 8, 8)
    panel.run()
    reach(panel, "running")
    assert moving(panel).shape == (1, 3, 16, 16)
    assert panel.note.text == ""


def test_training_goes_on_meanwhile(keep: Keep) -> None:
    net = grey()
    panel = keep(MaximizationPanel(net, ENDLESS))
    panel.selection.unit = net["7"][0]
    panel.run()
    reach(panel, "running")
    net.module.train()
    optimizer = torch.optim.SGD(net.module.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        loss = net.module(torch.rand(4, 1, 8, 8)).square().mean()
        loss.backward()
        optimizer.step()
    assert panel.state == "running", panel.note.text
    assert net.module.training
    assert all(parameter.grad is not None for parameter in net.module.parameters())

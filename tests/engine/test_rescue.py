"""Units that are off: gradients are redirected past what blocks them, for the images that need it and for no others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_widgets.engine import rescue
from cnnviz_widgets.engine.ascent import Ascent, Frame, ascend, goals_of
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import Jitter, L2Decay, Noise
from cnnviz_widgets.engine.steppers import Adam, Constant


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _Called(nn.Module):
    """A nonlinearity that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def overwritten(x: Tensor) -> Tensor:
    """In place, and what the call returns is not read."""
    x.relu_()
    return x


# each with a bias at which it answers nothing to grey
NONLINEARITIES: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "ReLU": (nn.ReLU, -0.5),
    "ReLU in place": (lambda: nn.ReLU(inplace=True), -0.5),
    "F.relu": (lambda: _Called(F.relu), -0.5),
    "F.relu by name": (lambda: _Called(lambda x: F.relu(input=x, inplace=True)), -0.5),
    "torch.relu by name": (lambda: _Called(lambda x: torch.relu(input=x)), -0.5),
    "F.relu_": (lambda: _Called(F.relu_), -0.5),
    "x.relu()": (lambda: _Called(lambda x: x.relu()), -0.5),
    "x.relu_()": (lambda: _Called(overwritten), -0.5),
    "ReLU6": (nn.ReLU6, -0.5),
    "ReLU6 in place": (lambda: nn.ReLU6(inplace=True), -0.5),
    "F.relu6": (lambda: _Called(F.relu6), -0.5),
    "Hardtanh": (nn.Hardtanh, -1.5),
    "Hardtanh of other ends": (lambda: nn.Hardtanh(-0.2, 0.3, inplace=True), -0.7),
    "F.hardtanh_": (lambda: _Called(lambda x: F.hardtanh_(x, -0.2, 0.3)), -0.7),
    "Hardswish": (nn.Hardswish, -8.8),
    "Hardswish in place": (lambda: nn.Hardswish(inplace=True), -8.8),
    "Hardsigmoid": (nn.Hardsigmoid, -3.4),
}


def network(nonlinearity: nn.Module, bias: float) -> Network:
    """Three channels behind a nonlinearity: one that is alive, one that answers near white, one that never does."""
    conv = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        # where a bias is large, white is to be beyond the dip of a Hardswish, in which the slope leads back
        conv.weight.copy_(torch.tensor([1.0, 10.0 if bias < -8 else 1.0, 0.0]).view(3, 1, 1, 1))
        conv.bias.copy_(torch.tensor([0.0, bias - 0.2, bias - 0.2]))
    return Network(nn.Sequential(conv, nonlinearity), InputSpec(size=(1, 5, 5)))


# a pixel of a gradient of 1/25 goes a tenth of the way from black to white
RECIPE = Recipe(stepper=Constant(0.1 * 255 * 25 * 255), steps=16, canvas="full")


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_a_unit_that_is_off_comes_to_life(name: str) -> None:
    make, bias = NONLINEARITIES[name]
    net = network(make(), bias)
    unit = net["1"][1]
    start, *_, end = ascend(net, unit, RECIPE)
    assert float(start.score) == pytest.approx(float(make()(torch.tensor([-9.0]))), abs=1e-6)
    assert end.step == 16
    assert float(end.score) > float(start.score) + 0.01
    assert end.notes == ("",)
    (path,) = end.paths
    assert 1 <= path.rescued < 16
    assert f"redirected gradient in {path.rescued} steps, since the unit was off" in str(path)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_what_is_computed_stays_the_same(name: str) -> None:
    make, _ = NONLINEARITIES[name]
    generator = torch.Generator().manual_seed(0)
    images = 2 * torch.randn(4, 3, 5, 5, generator=generator)
    images[1] = -20  # all off
    plain, redirected = images.clone().requires_grad_(), images.clone().requires_grad_()
    expected = make()(plain * 1)
    expected.sum().backward()
    with rescue.redirected():
        between = redirected * 1
        found = make()(between)
        (slope,) = torch.autograd.grad(found.sum(), redirected)
    assert torch.equal(found, expected)
    if "in place" in name or name.endswith(("_", "_()")):
        assert torch.equal(between, expected)
    assert plain.grad is not None
    # only the image whose whole gradient was blocked gets another
    assert torch.equal(slope[[0, 2, 3]], plain.grad[[0, 2, 3]])
    assert not plain.grad[1].any()
    assert (slope[1] > 0).all()
    assert torch.equal(make()(images.clone()), expected)


def test_gradients_that_push_further_out_are_not_let_through() -> None:
    off = torch.tensor([[-2.0], [8.0]]).requires_grad_()
    for sign, expected in ((1.0, [1.0, 0.0]), (-1.0, [0.0, -1.0])):
        with rescue.redirected():
            (slope,) = torch.autograd.grad(sign * F.relu6(off).sum(), off)
        assert slope.flatten().tolist() == expected


@pytest.mark.parametrize(("saturated", "end"), [(nn.ReLU6, 6.0), (nn.Hardtanh, 1.0)])
def test_a_unit_to_be_low_comes_down_from_its_upper_end(saturated: type[nn.Module], end: float) -> None:
    net = network(saturated(), end - 0.05)
    start, *_, reached = ascend(net, -activation(net["1"][1]), RECIPE)
    assert float(start.score) == -end
    assert float(reached.score) > -end + 0.01
    assert 1 <= reached.paths[0].rescued < 16


def last(net: Network, goal: Any, **fields: Any) -> Frame:
    *_, frame = ascend(net, goal, RECIPE, **fields)
    return frame


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("priors", [(), (Noise(4.0), L2Decay(0.01))], ids=["plain", "random"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_companions_are_not_redirected(chunk: int, priors: Any) -> None:
    net = network(nn.ReLU(), -0.5)
    units = [net["1"][0], net["1"][1], net["1"][2], net["1"][0, 2, 2], net["1"][1, 1, 1]]
    fields: dict[str, Any] = {"regularizers": priors, "stepper": Adam(6.0), "steps": 6, "chunk": chunk}
    together = last(net, units, **fields)
    for number, unit in enumerate(units):
        alone = last(net, unit, **fields)
        if alone.step == together.step:
            assert torch.equal(together.image[number], alone.image[0])
            assert torch.equal(together.score[number], alone.score[0])
        assert together.notes[number] == alone.notes[0]
        assert together.paths[number].rescued == alone.paths[0].rescued
    assert [bool(path.rescued) for path in together.paths] == [False, True, False, False, True]


def test_where_nothing_is_off_nothing_is_different(grey_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = grey_network["2"][3]
    fields: dict[str, Any] = {"steps": 6, "regularizers": [Jitter(2)]}
    *_, expected = ascend(grey_network, unit, "none", **fields)
    assert expected.paths[0].rescued == 0
    monkeypatch.setattr(rescue, "STEPS", 0)
    *_, without = ascend(grey_network, unit, "none", **fields)
    assert torch.equal(without.image, expected.image)


def test_a_unit_beyond_rescue_is_told_with_the_cause() -> None:
    net = network(nn.ReLU(), -0.5)
    with pytest.warns(
        RuntimeWarning, match=r"The gradient of 1\[2\] is exactly zero at step 0 .*the unit is off"
    ) as caught:
        result = maximize(net, [net["1"][2], net["1"][1]], RECIPE)
    assert [str(warning.message) for warning in caught] == [result.notes[0]]
    assert result.notes[1] == ""
    assert "at='pre'" in result.notes[0]
    assert torch.equal(result.step, torch.tensor([0, int(result.step[1])]))


def test_it_is_tried_in_the_first_steps_only() -> None:
    # gradients of a hundredth of the way a step: it would come to life at step 20 or so
    net = network(nn.ReLU(), -0.7)
    slow = RECIPE.replace(stepper=Constant(0.005 * 255 * 25 * 255), steps=40)
    with pytest.warns(RuntimeWarning, match="exactly zero at step 16"):
        result = maximize(net, net["1"][1], slow)
    assert result.paths[0].rescued == rescue.STEPS == 16
    assert "Redirecting its gradient for the first 16 steps did not help." in result.notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = maximize(net, net["1"][1], slow.replace(stepper=Constant(0.05 * 255 * 25 * 255)))
    assert 1 <= kept.paths[0].rescued < 16


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_tried_in_vain_is_not_tried_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """With random transformations an image that has no gradient climbs on, since the next view may have one."""
    net = network(nn.ReLU(), -0.5)
    tries = []
    real = rescue.redirected
    monkeypatch.setattr(rescue, "redirected", lambda: tries.append(1) or real())
    noisy = RECIPE.replace(regularizers=(Noise(4.0),), steps=20, chunk=1)
    assert last(net, net["1"][2], regularizers=noisy.regularizers, steps=20).notes == ("",)
    assert len(tries) == rescue.TRIES == 3
    with Ascent(net, goals_of(net, net["1"][2]), [noisy]) as ascent:
        early = ascent.state()
        for _ in range(5):
            ascent.look()
            ascent.advance()
        late = ascent.state()
        for state, more in ((early, 3), (late, 0)):
            tries.clear()
            ascent.restore(state)
            for _ in range(5):
                ascent.look()
                ascent.advance()
            assert len(tries) == more


def test_outside_of_it_gradients_are_torchs_own() -> None:
    x = torch.tensor([[-1.0]]).requires_grad_()
    with rescue.redirected():
        assert torch.autograd.grad(F.relu(x).sum(), x)[0].item() == 1
    assert torch.autograd.grad(F.relu(x).sum(), x)[0].item() == 0
    with rescue.redirected(), torch.no_grad():
        assert not F.relu(x).requires_grad

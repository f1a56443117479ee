"""The four combinations of Yosinski et al. 2015 and what came before them, replayed slowly with NumPy and SciPy.

The replay keeps x as their program does: image minus mean colour, in units of 0 to 255. It shares nothing with the engine but
the module whose gradient it asks autograd for.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from cnnviz_widgets.engine import recipes
from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.steppers import Constant

Gradient = Callable[[np.ndarray], tuple[float, np.ndarray]]
Made = tuple[nn.Module, InputSpec, int]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Row:
    """A row of the table: decay, sigma of the blur, its rhythm, the two percentiles, and the step rule.

    ``penalty`` is the weight of the squared norm in units of [0, 1]; with ``late`` the probability is climbed, by at most
    ``desired`` and by that share of what is left to 1.
    """

    decay: float
    sigma: float
    every: int
    norm: float
    contribution: float
    largest: float
    desired: float | None
    penalty: float = 0.0
    late: float | None = None


ROWS = {
    "yosinski-1": Row(0, 0.5, 4, 50, 0, 100, 2.0),
    "yosinski-2": Row(0.3, 0, 0, 20, 0, 100, None),
    "yosinski-3": Row(0.0001, 1.0, 4, 0, 0, 100, None),
    "yosinski-4": Row(0, 0.5, 4, 0, 90, 1e8, 2.0),
    "fooling": Row(0, 0, 0, 0, 0, 1e7, 0.02, late=0.1),
    "l2": Row(0, 0, 0, 0, 0, 1000, None, penalty=1.0),
}


def clipped(x: np.ndarray, sizes: np.ndarray, percentile: float) -> np.ndarray:
    """x with the pixels whose size is strictly below the percentile set to zero, pixel by pixel."""
    threshold = np.percentile(sizes, percentile)
    x = x.copy()
    for row, column in itertools.product(*map(range, sizes.shape)):
        if sizes[row, column] < threshold:
            x[:, row, column] = 0
    return x


def replay(gradient: Gradient, x: np.ndarray, mean: np.ndarray, row: Row) -> Iterator[np.ndarray]:
    """x (C, H, W) after the first step, the second, ..."""
    for step in itertools.count():
        score, g = gradient(x)
        g = g - 2 * row.penalty * x / 255**2
        desired = row.desired
        if desired is not None and row.late is not None:
            desired = min(desired, row.late * (1 - score))
        rate = row.largest if desired is None else min(row.largest, desired / float((g * g).sum()))
        x = x + rate * g
        x = x * (1 - row.decay)
        if row.sigma and step % row.every == 0:
            x = np.stack([gaussian_filter(channel, row.sigma, mode="reflect", truncate=4.0) for channel in x])
        if row.norm:
            x = clipped(x, np.sqrt((x * x).sum(0)), row.norm)
        if row.contribution:
            x = clipped(x, np.abs((g * -x).sum(0)), row.contribution)
        x = np.clip(x + mean, 0, 255) - mean
        yield x


def autograd(module: nn.Module, spec: InputSpec, unit: int, *, probability: bool = False) -> Gradient:
    """A logit, or its probability, and its gradient with respect to x."""
    module = copy.deepcopy(module).double().eval()
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (spec.mean, spec.std))

    def gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(x).requires_grad_()
        logits = module(((leaf / 255 + mean - mean) / std)[None])[0]
        score = logits.exp()[unit] / logits.exp().sum() if probability else logits[unit]
        score.backward()
        assert leaf.grad is not None
        return float(score.detach()), leaf.grad.numpy()

    return gradient


def grey(*, smooth: bool = False) -> Made:
    """A grey CNN on an odd canvas that is no square, with the normalisation of none of the others.

    Where there are kinks, the replay itself ends elsewhere when its start is changed by a millionth, because which side of
    a kink a value falls on decides; so in single precision only a smooth network can be followed for long.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2),
            nn.SiLU() if smooth else nn.ReLU(inplace=True),
            nn.AvgPool2d(2) if smooth else nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 4),
        )
        module[-1].weight.data *= 20  # gradients as large as a trained network's
    return module.eval(), InputSpec(size=(1, 23, 34), mean=0.37, std=0.21), 2


def colour() -> Made:
    """Three channels of different means and deviations, with batch norm and a residual connection."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3, stride=2)
            self.norm = nn.BatchNorm2d(6)
            self.body = nn.Conv2d(6, 6, 3, padding=1)
            self.head = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.stem(x)).relu()
            return self.head((x + self.body(x).tanh()).mean((2, 3)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = Residual()
        module.norm.running_var.mul_(0.01)
    spec = InputSpec(size=(3, 31, 24), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return module.eval(), spec, 1


MAKERS = {"grey": grey, "smooth": functools.partial(grey, smooth=True), "colour": colour}


def compare(made: Made, name: str, steps: int, dtype: torch.dtype, chunk: int = 1) -> None:
    """Ours against the replay after one step and the last, relative to the image's own deviation from the mean colour."""
    module, spec, unit = made
    net = Network(copy.deepcopy(module).to(dtype), spec)
    mean = np.array(spec.neutral).reshape(-1, 1, 1)
    recipe = recipes.get(name)
    if isinstance(recipe.stepper, Constant):
        # the published size, also where a trial would find another one better
        recipe = recipe.replace(stepper=Constant(recipe.stepper.size))
    frames = ascend(net, net.output[unit], recipe, steps=steps, seed=4, chunk=chunk)
    start = next(frames).image[0].double().numpy()
    row = ROWS[name]
    gradient = autograd(module, spec, unit, probability=row.late is not None)
    replayed = replay(gradient, (start - mean) * 255, mean * 255, row)
    for frame, x in zip(frames, replayed, strict=False):
        if frame.step in (1, steps):
            image = frame.image[0].double().numpy()
            deviation = float(np.sqrt((x * x).mean()))
            assert deviation > 0.01
            error = float(np.abs((image - mean) * 255 - x).max()) / deviation
            assert error < (1e-2 if dtype == torch.float32 else 1e-9 if frame.step == 1 else 1e-6)
            if dtype == torch.float64:
                assert np.array_equal((image == mean).all(0), (x == 0).all(0))
    assert frame.step == steps
    assert frame.paths[0].factor == 1


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("network", ["grey", "colour"])
def test_fifty_steps_equal_the_replay(network: str, name: str) -> None:
    compare(MAKERS[network](), name, 50, torch.float64)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("network", ["smooth", "colour"])
def test_fifty_steps_in_single_precision_stay_near_the_replay(network: str, name: str) -> None:
    # where a penalty balances the score the gradient vanishes, and the step, its quotient, is anyone's
    compare(MAKERS[network](), name, 50, torch.float32)


@pytest.mark.parametrize("name", ROWS)
def test_a_padded_chunk_equals_the_replay(name: str) -> None:
    compare(colour(), name, 5, torch.float64, chunk=3)


@pytest.mark.parametrize("name", ["yosinski-1", "yosinski-4"])
def test_clipping_rows_clip_the_share_they_say(name: str) -> None:
    module, spec, unit = colour()
    net = Network(module.double(), spec)
    *_, last = ascend(net, net.output[unit], name, steps=2, seed=4)
    zeros = (last.image[0].numpy() == np.array(spec.neutral).reshape(-1, 1, 1)).all(0).mean()
    assert zeros == pytest.approx(0.5 if name == "yosinski-1" else 0.9, abs=0.01)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "steps"),
    [("yosinski-1", 10), ("yosinski-2", 4), ("yosinski-3", 6), ("yosinski-4", 10), ("fooling", 6), ("l2", 10)],
)
def test_a_trained_network_follows_the_replay(real_network: Network, name: str, steps: int) -> None:
    spec = InputSpec(size=(3, 75, 64), mean=real_network.input.mean, std=real_network.input.std)
    compare((real_network.module, spec, 130), name, steps, torch.float64)


@pytest.mark.real
@pytest.mark.long
@pytest.mark.parametrize("name", ["yosinski-1", "yosinski-4"])
def test_a_trained_network_follows_the_replay_for_fifty_steps(real_network: Network, name: str) -> None:
    compare((real_network.module, real_network.input, 130), name, 50, torch.float64)

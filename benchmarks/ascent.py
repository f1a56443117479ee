"""What a step of an ascent costs beside plain loops and beside other packages, on the same network, units and images.

Run ``python benchmarks/ascent.py``. Everyone climbs Fourier images of 224 x 224 pixels by Adam at the rate 0.05, a few steps in
turn, so that a machine that is busy for a while slows all of them; what is told are medians over the rounds, of ratios within
a round. In one thread the processor's time is compared, which the machine's other work does not lengthen, in several the
clock's.

- *ours*: `cnn.ascend`, with norms folded, the pass cut at the layer, a neuron climbed on its receptive field
- *ours, not folded*: the same with the norms as they are
- *bare, cut*: a loop written out in plain torch, weights frozen, the pass ended at the layer by a hook
- *bare, whole*: the same through to the network's output
- the packages, as they come; theirs is always the whole pass

``--peers PYTHON`` names an interpreter that has the packages, of the same version as this one, whose torch they then use::

    python -m venv peers
    peers/bin/pip install --no-deps torch-lucent==0.1.8 kornia==0.4.1 decorator torch-dreams==4.0.0 opencv-python-headless
    python benchmarks/ascent.py --peers peers/bin/python
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

import cnnviz_widgets as cnn

SIDE = 224
RATE = 0.05
JITTER = 8
NETWORKS = ("efficientnet", "resnet")
TARGETS = ("logit", "channel", "neuron")
PEERS = ("torch-lucent", "torch-dreams")
# lucid's colours, https://github.com/tensorflow/lucid/blob/master/lucid/optvis/param/color.py
COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])


@dataclass(frozen=True)
class Target:
    """What is climbed: a logit, the mean of a channel, or the neuron in its centre."""

    name: str
    layer: str
    channel: int
    center: bool

    def score(self, values: Tensor) -> Tensor:
        chosen = values[:, self.channel]
        return (
            chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
            if self.center
            else chosen.reshape(len(values), -1).mean(1)
        )


@dataclass(frozen=True)
class Case:
    """One row of conditions that all contenders share."""

    network: cnn.Network
    target: Target
    batch: int
    jitter: int

    def __str__(self) -> str:
        images = "1 image" if self.batch == 1 else f"{self.batch} images"
        moves = f"jitter of {self.jitter}" if self.jitter else "no transformation"
        return f"{self.network.name}, {self.target.name}, {images}, {moves}"


class Contender(Protocol):
    """Someone who makes steps; ``opening`` is the seconds up to the first score, ``told`` what else there is to say."""

    opening: float
    told: str

    def steps(self, number: int) -> float:
        """Seconds that so many steps take."""

    def close(self) -> None: ...


class InProcess:
    """A loop that is a generator, one step at a time."""

    def __init__(self, loop: Callable[[], Iterator[Any]], clock: Callable[[], float]) -> None:
        self._clock = clock
        start = clock()
        self._loop = loop()
        first = next(self._loop)
        self.opening = clock() - start
        self.told = str(first.paths[0]) if isinstance(first, cnn.Frame) else ""

    def steps(self, number: int) -> float:
        start = self._clock()
        for _ in range(number):
            next(self._loop)
        return self._clock() - start

    def close(self) -> None:
        self._loop.close()  # type: ignore[attr-defined]


class Peer:
    """A package's loop in its own interpreter. ``RuntimeError`` where it can't run."""

    told = ""

    def __init__(self, python: str, name: str, file: Path, case: Case, threads: int) -> None:
        target = case.target
        job = {
            "peer": name, "file": str(file), "layer": target.layer, "channel": target.channel, "center": target.center,
            "batch": case.batch, "jitter": case.jitter, "side": SIDE, "rate": RATE, "threads": threads,
        }  # fmt: skip
        # before its own packages: the same torch for all
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(__file__).with_name("_peers.py")), json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        try:
            self.opening = self._answer()
        except RuntimeError:
            self.close()
            raise

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended with code {self._process.wait()}"}
        if isinstance(answer, dict):
            raise RuntimeError(answer["error"])
        return float(answer)

    def steps(self, number: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.communicate()


class Unfolded(cnn.Network):
    """A network whose norms no ascent folds."""

    def recording(self, names: Any, *, fold: bool = False) -> Any:
        return super().recording(names)


def ours(case: Case, network: cnn.Network) -> Iterator[cnn.Frame]:
    target, layer = case.target, network[case.target.layer]
    unit = layer[target.channel, "center"] if target.center else layer[target.channel]
    recipe = cnn.Recipe(
        parameterization=cnn.parameterizations.Fourier(),
        regularizers=[cnn.regularizers.Jitter(case.jitter)] if case.jitter else [],
        stepper=cnn.steppers.Adam(RATE),
        steps=10**6,
        chunk=case.batch,
    )
    return cnn.ascend(network, unit, recipe, copies=case.batch)


class Reached(Exception):  # noqa: N818
    """Ends a pass."""


def bare(case: Case, module: nn.Module, cut: bool) -> Iterator[Tensor]:
    """What one writes by hand; yields the scores."""
    torch.manual_seed(0)
    spec, target = case.network.input, case.target
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    frequencies = torch.fft.fftfreq(SIDE)[:, None].hypot(torch.fft.rfftfreq(SIDE))
    weights = (1 / frequencies.clamp(min=1 / SIDE) / 4)[..., None]
    colours = COLOURS / COLOURS.norm(dim=0).max()
    latent = (torch.randn(case.batch, 3, *weights.shape[:2], 2) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([latent], RATE)
    values: list[Tensor] = []

    def reached(module: nn.Module, inputs: Any, output: Tensor) -> None:
        values.append(output)
        if cut:
            raise Reached

    module = copy.deepcopy(module).requires_grad_(False)
    module.get_submodule(target.layer).register_forward_hook(reached)
    while True:
        image = torch.fft.irfft2(torch.view_as_complex(latent * weights), s=(SIDE, SIDE), norm="ortho")
        image = torch.einsum("oc,bchw->bohw", colours, image).sigmoid()
        if case.jitter:
            image = shifted(image, case.jitter)
        with contextlib.suppress(Reached):
            module((image - mean) / std)
        score = target.score(values.pop())
        optimizer.zero_grad()
        (-score.sum()).backward()
        yield score.detach()
        optimizer.step()


def shifted(image: Tensor, pixels: int) -> Tensor:
    """A window smaller by so many pixels, with grey around it."""
    top, left = torch.randint(pixels + 1, (2,)).tolist()
    window = image[..., top : top + SIDE - pixels, left : left + SIDE - pixels]
    return functional.pad(window, (pixels // 2,) * 4, value=0.5)


def networks(chosen: Sequence[str]) -> Iterator[tuple[cnn.Network, str]]:
    """Each with the end of a block that lies in the first third of its main layers."""
    if "efficientnet" in chosen:
        yield cnn.load(), "blocks.2.1"
    if "resnet" in chosen:
        torch.manual_seed(0)
        spec = cnn.InputSpec(size=(3, SIDE, SIDE), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        yield cnn.Network(resnet18(), spec, name="ResNet-18, untrained"), "layer1.1"


def cases(given: argparse.Namespace) -> Iterator[Case]:
    for network, early in networks(given.networks):
        targets = {
            "logit": Target("a logit", network.output.name, 130, False),
            "channel": Target(f"a channel of {early}", early, 7, False),
            "neuron": Target(f"a neuron of {early}", early, 7, True),
        }
        for batch, target, jitter in itertools.product(given.images, given.targets, given.jitter):
            yield Case(network, targets[target], batch, jitter)


@dataclass(frozen=True)
class Found:
    """Medians of one case: milliseconds a step, and by pair of names the one's time over the other's."""

    case: Case
    milliseconds: dict[str, float]
    ratios: dict[tuple[str, str], float]


def measured(case: Case, given: argparse.Namespace, file: Path) -> Found:
    network = case.network
    clock = time.process_time if given.threads == 1 else time.perf_counter
    module = copy.deepcopy(network.module).eval()
    torch.save(module, file)
    plain = Unfolded(network.module, network.input)
    starts: dict[str, Callable[[], Contender]] = {
        "ours": lambda: InProcess(lambda: ours(case, network), clock),
        "ours, not folded": lambda: InProcess(lambda: ours(case, plain), clock),
        "bare, cut": lambda: InProcess(lambda: bare(case, module, cut=True), clock),
        "bare, whole": lambda: InProcess(lambda: bare(case, module, cut=False), clock),
    }
    if given.peers:
        starts |= {
            name: lambda name=name: Peer(given.peers, name, file, case, given.threads)  # type: ignore[misc]
            for name in PEERS
        }
    contenders: dict[str, Contender] = {}
    failed: dict[str, str] = {}
    try:
        for name, start in starts.items():
            try:
                contenders[name] = start()
                contenders[name].steps(2)
            except RuntimeError as error:
                failed[name] = str(error)
        contenders = {name: one for name, one in contenders.items() if name not in failed}
        rounds = [in_turn(contenders, number, given.steps) for number in range(given.rounds)]
    finally:
        for one in contenders.values():
            one.close()
    milliseconds = {name: 1000 * median(taken[name] for taken in rounds) for name in contenders}
    pairs = itertools.permutations(contenders, 2)
    ratios = {(one, other): median(taken[one] / taken[other] for taken in rounds) for one, other in pairs}
    found = Found(case, milliseconds, ratios)
    tell(found, contenders, failed)
    return found


def in_turn(contenders: dict[str, Contender], number: int, steps: int) -> dict[str, float]:
    """Seconds a step, everyone once, in an order that turns around."""
    order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
    return {name: contenders[name].steps(steps) / steps for name in order}


def tell(found: Found, contenders: dict[str, Contender], failed: dict[str, str]) -> None:
    print(f"\n{found.case}")
    for name, one in contenders.items():
        beside = "" if name == "ours" else f"ours takes {found.ratios['ours', name]:.2f} of it"
        if name.startswith("bare"):
            beside += f", {found.ratios['ours, not folded', name]:.2f} not folded"
        told = f"{beside:<42}  first score after {1000 * one.opening:.0f} ms"
        print(f"  {name:<16}  {found.milliseconds[name]:7.1f} ms  {told}")
    for name, error in failed.items():
        print(f"  {name:<16}  fails: {error}")
    print(f"  ours: {contenders['ours'].told}", flush=True)


def verdicts(everything: Sequence[Found]) -> None:
    """The range of each ratio over all cases, beside what is aimed at."""
    print("\nTime of a step, all cases")
    for name, most in (("ours, not folded", 1.1), ("ours", 0.85)):
        verdict(name, "bare, cut", everything, most)
    # the last layer is to be faster, one in the first third twice as fast, a neuron there five times
    for peer in PEERS:
        for kind, most in (("a logit", 1.0), ("a channel", 1 / 2), ("a neuron", 1 / 5)):
            verdict("ours", peer, [one for one in everything if one.case.target.name.startswith(kind)], most)


def verdict(name: str, other: str, asked: Sequence[Found], most: float) -> None:
    ratios = {str(one.case): one.ratios[name, other] for one in asked if (name, other) in one.ratios}
    if not ratios:
        return
    whose = f" for {asked[0].case.target.name.split(' of ')[0]}" if other in PEERS else ""
    told = f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f} of {other}{whose}"
    print(f"  {name + ':':<18} {told:<42} at most {most:.2f}")
    for case, ratio in ratios.items():
        if ratio > most:
            print(f"  {'':<18} {ratio:.2f} for {case}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter that has the other packages")
    for name, choices in (("networks", NETWORKS), ("targets", TARGETS)):
        told = f"some of {', '.join(choices)} (default all)"
        parser.add_argument(f"--{name}", nargs="+", default=choices, choices=choices, metavar="NAME", help=told)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 4], help="images at once (default 1 4)")
    parser.add_argument("--jitter", nargs="+", type=int, default=[0, JITTER], help="pixels (default 0 8)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a case (default 5)")
    parser.add_argument("--steps", type=int, default=8, help="steps that each makes in a round (default 8)")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default 1); 0 leaves its own choice")
    given = parser.parse_args()
    if min(given.rounds, given.steps, *given.images) < 1:
        parser.error("--rounds, --steps and --images start from 1")
    if given.threads:
        torch.set_num_threads(given.threads)
    told = "processor's time" if given.threads == 1 else "time by the clock"
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {told}, {given.rounds} rounds of {given.steps} steps"
    )
    with tempfile.TemporaryDirectory() as directory:
        everything = [measured(case, given, Path(directory, "module.pt")) for case in cases(given)]
    verdicts(everything)


if __name__ == "__main__":
    main()

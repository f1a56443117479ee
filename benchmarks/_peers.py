"""The ascent of another package, a few steps whenever asked: run by ``ascent.py`` in the interpreter that has the package.

Takes a job as JSON, prints the seconds up to the first score, then reads a number of steps from each line of its input and
prints the seconds they took. A package that can't run says why.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms

ANSWERS, sys.stdout = sys.stdout, sys.stderr  # the packages may print


class Pace:
    """Called once a step, by a loop that can't be halted otherwise: waits there until more steps are asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = 1
        self._start = clock()

    def __call__(self) -> None:
        self._left -= 1
        if self._left:
            return
        print(json.dumps(self._clock() - self._start), file=ANSWERS, flush=True)
        asked = sys.stdin.readline()
        if not asked:
            raise SystemExit
        self._left = int(asked)
        self._start = self._clock()


def lucent(module: nn.Module, job: dict[str, Any], pace: Pace) -> None:
    """torch-lucent, its own Fourier image and transformations; its loop normalises by itself."""
    from lucent.optvis import objectives, param, render, transform

    made = objectives.neuron if job["center"] else objectives.channel
    goal = made(job["layer"].replace(".", "_"), job["channel"])

    def paced(hook: Callable[[str], Tensor]) -> Tensor:
        pace()
        return goal(hook)

    render.render_vis(
        module,
        objectives.Objective(paced),
        lambda: param.image(job["side"], batch=job["batch"]),
        transforms=[transform.jitter(job["jitter"])] if job["jitter"] else [],
        thresholds=(10**6,),
        progress=False,
        show_image=False,
    )


def torch_dreams(module: nn.Module, job: dict[str, Any], pace: Pace) -> None:
    """torch-dreams, its own Fourier image, the rate of the others; clipping the gradient is part of its loop."""
    from torch_dreams import Dreamer
    from torch_dreams.auto_image_param import AutoImageParam
    from torch_dreams.batched_image_param import BatchedAutoImageParam

    side, batch = job["side"], job["batch"]
    shift = job["jitter"] / side / 2
    moves = [transforms.RandomAffine(degrees=0, translate=(shift, shift))] if shift else []
    if batch > 1:
        image = BatchedAutoImageParam(batch, side, side, device="cpu", lr=job["rate"])
    else:
        image = AutoImageParam(side, side, device="cpu", standard_deviation=0.01)

    def paced(outputs: list[Tensor]) -> Tensor:
        pace()
        values = outputs[0][:, job["channel"]]
        return -(values[:, values.shape[1] // 2, values.shape[2] // 2] if job["center"] else values).mean()

    dreamer = Dreamer(module, quiet=True, device="cpu")
    dreamer.set_custom_transforms(transforms.Compose(moves))
    dreamer.render([module.get_submodule(job["layer"])], image, iters=10**6, lr=job["rate"], custom_func=paced)


PEERS = {"torch-lucent": lucent, "torch-dreams": torch_dreams}


def main() -> None:
    job = json.loads(sys.argv[1])
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    module = torch.load(job["file"], weights_only=False)
    clock = time.process_time if job["threads"] == 1 else time.perf_counter
    try:
        PEERS[job["peer"]](module, job, Pace(clock))
    except Exception as error:  # whatever the package raises on this torch
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps({"error": told}), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()

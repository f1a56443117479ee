"""How soon something is seen: import, load, first frame, and what a step costs with each regularizer.

Run ``python benchmarks/start.py``. Times are medians; what is compared is measured in pairs, one after the other, so that a
machine that is busy for a while slows both. ``--pairs`` sets how many, ``--threads`` how many of torch's threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

IMPORT = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"

LOAD = """
import json, time
import torch
import cnnviz_widgets as cnn
torch.set_num_threads({threads})
start = time.perf_counter()
net = cnn.load()
loaded = time.perf_counter()
frames = cnn.ascend(net, net.unit("flamingo"), "none")
next(frames)
first = time.perf_counter()
next(frames)
print(json.dumps([loaded - start, first - loaded, time.perf_counter() - first]))
"""


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def table(title: str, rows: list[tuple[str, str, str]]) -> None:
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for first, second, third in rows:
        print(f"  {first:<{widths[0]}}  {second:>{widths[1]}}  {third:>{widths[2]}}".rstrip())


def imports(pairs: int) -> None:
    """Ours beside torch, which it needs, each in interpreters of their own."""
    for module in ("torch", "cnnviz_widgets"):
        fresh(IMPORT.format(module=module))  # the first one reads the files from disk
    taken = [
        [float(fresh(IMPORT.format(module=module))) for module in ("torch", "cnnviz_widgets")] for _ in range(pairs)
    ]
    theirs, ours = (median(column) for column in zip(*taken, strict=True))
    ratio = median(mine / torchs for torchs, mine in taken)
    rows = [
        ("import torch", f"{theirs:.2f} s", ""),
        ("import cnnviz_widgets", f"{ours:.2f} s", f"{ratio:.2f} times import torch"),
    ]
    table(f"Import, medians of {pairs} pairs of fresh interpreters", rows)


def loading(runs: int, threads: int) -> None:
    """The default network, and an image on its way, each time in a fresh interpreter."""
    taken = [json.loads(fresh(LOAD.format(threads=threads))) for _ in range(runs)]
    load, first, second = (median(column) for column in zip(*taken, strict=True))
    rows = [
        ("cnn.load()", f"{load:.2f} s", ""),
        ("ascend to its first frame", f"{first:.2f} s", "from the call on"),
        ("the next frame", f"{second:.2f} s", ""),
    ]
    table(f"The default network, medians of {runs} fresh interpreters", rows)


def steps(pairs: int, threads: int) -> None:
    """Milliseconds a step, with each regularizer acting at every step, beside a step without any."""
    import torch

    import cnnviz_widgets as cnn

    torch.set_num_threads(threads)
    net = cnn.load()
    unit = net.unit("flamingo")

    def stepping(*priors: cnn.regularizers.Regularizer) -> Callable[[], float]:
        frames: Iterator[cnn.Frame] = cnn.ascend(net, unit, regularizers=priors, steps=10**6)
        for _ in range(3):
            next(frames)

        def timed() -> float:
            start = time.perf_counter()
            next(frames)
            return (time.perf_counter() - start) * 1000

        return timed

    rows: list[tuple[str, str, str]] = []
    everyone = [replace(kind(), every=1) for kind in cnn.regularizers.Regularizer.members()]
    for priors in [(), *((prior,) for prior in everyone), tuple(everyone)]:
        bare, dressed = stepping(), stepping(*priors)
        taken = [(bare(), dressed()) for _ in range(pairs)]
        name = " + ".join(type(prior).__name__ for prior in priors) or "none"
        more = median(second - first for first, second in taken)
        rows.append((name, f"{median(second for _, second in taken):.1f} ms", f"{more:+.1f} ms"))
    size = " x ".join(str(side) for side in net.input.size)
    table(f"A step on {size} pixels, medians of {pairs} pairs with one without regularizers", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="fresh interpreters of each kind (default 5)")
    parser.add_argument("--steps", type=int, default=15, help="pairs of steps per regularizer (default 15)")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    given = parser.parse_args()
    if given.pairs < 1 or given.steps < 1:
        parser.error("--pairs and --steps start from 1")
    import torch

    threads = given.threads or torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}")
    imports(given.pairs)
    loading(given.pairs, threads)
    steps(given.steps, threads)


if __name__ == "__main__":
    main()

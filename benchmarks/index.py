"""What an activation index costs: the pass over all layers beside a bare forward pass, with decoding, and its memory.

Run ``python benchmarks/index.py``. Times are medians of pairs, one after the other over the same decoded batches, so that a
machine that is busy for a while slows both; the ratio is the median of the pairs' ratios. ``--pairs`` sets how many,
``--batches`` how many batches each pass has, ``--threads`` how many of torch's threads, ``--images`` the two sizes whose peak
memory is compared, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median

import torch
from torchvision.models import resnet18

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.index.loading import Batch, batches
from cnnviz_widgets.engine.index.measuring import Measuring, Part
from cnnviz_widgets.engine.index.plan import Settings, plan

K, BATCH = 9, 32

MEMORY = """
import json, resource, sys, time
import torch
from torchvision.models import resnet18
import cnnviz_widgets as cnn
torch.set_num_threads({threads})
torch.manual_seed(0)
net = cnn.Network(resnet18().eval(), cnn.InputSpec(size=(3, 64, 64), resize=64))
images = cnn.ImageSet.samples({count})
start = time.perf_counter()
index = cnn.ActivationIndex.build(net, images)
taken = time.perf_counter() - start
assert index.complete and len(index.ids) == {count}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps([taken, peak]))
"""


def table(title: str, rows: list[tuple[str, str, str]]) -> None:
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for first, second, third in rows:
        print(f"  {first:<{widths[0]}}  {second:>{widths[1]}}  {third:>{widths[2]}}".rstrip(), flush=True)


def networks() -> dict[str, cnn.Network]:
    torch.manual_seed(0)
    spec = cnn.InputSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resize=256)
    return {"EfficientNet-Lite0": cnn.load(), "ResNet-18": cnn.Network(resnet18().eval(), spec)}


def bare(network: cnn.Network, decoded: list[Batch]) -> float:
    """Seconds of forward passes alone."""
    module = network.shadow()
    assert module is not None
    start = time.perf_counter()
    with torch.no_grad():
        for batch in decoded:
            module(network.input.normalized(batch.images))
    return time.perf_counter() - start


class Pass:
    """The pass of an index over decoded batches: its first shard, or one after about a thousand images, of which only one image
    enters a unit's largest."""

    def __init__(self, network: cnn.Network, decoded: list[Batch]) -> None:
        self.plan = plan(network, None, None, Settings(k=K, batch=BATCH))
        self.decoded = decoded
        count = 1 + max(max(batch.numbers) for batch in decoded)
        self.measuring = Measuring(network, self.plan, torch.arange(count, dtype=torch.int32))
        self.floor = self.part(None).table.keys[:, 1].clone()

    def part(self, floor: torch.Tensor | None) -> Part:
        *_, part = self.measuring.shard(0, self.decoded, floor)
        assert isinstance(part, Part)
        return part

    def timed(self, floor: torch.Tensor | None) -> float:
        start = time.perf_counter()
        self.part(floor)
        return time.perf_counter() - start


def passes(pairs: int, count: int) -> None:
    """The pass beside a bare loop, decoding aside."""
    for name, network in networks().items():
        images = cnn.ImageSet.samples(count * BATCH)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).tolist()
        decoded = list(batches(images.subset(order), order, network.input, BATCH))
        looked = Pass(network, decoded)
        bare(network, decoded)
        taken = [
            (bare(network, decoded), looked.timed(None), bare(network, decoded), looked.timed(looked.floor))
            for _ in range(pairs)
        ]
        plain, first, _, later = (len(images) / median(column) for column in zip(*taken, strict=True))
        rows = [
            ("forward passes alone", f"{plain:.1f} images/s", ""),
            ("the first shard", f"{first:.1f} images/s", f"{median(a / b for a, b, _, _ in taken):.2f} times as many"),
            ("a later shard", f"{later:.1f} images/s", f"{median(a / b for _, _, a, b in taken):.2f} times as many"),
        ]
        layers, units = len(looked.plan.layers), looked.plan.units
        looked.measuring.close()
        title = (
            f"{name}: {units:,} units of {layers} layers, k={K}, {len(images)} decoded images, medians of {pairs} pairs"
        )
        table(title, rows)


def whole(pairs: int, count: int) -> None:
    """Everything, from the files to the index, beside decoding alone and forward passes alone."""
    rows = []
    for name, network in networks().items():
        images = cnn.ImageSet.samples(count * BATCH)
        taken = []
        for _ in range(max(1, pairs // 2)):
            start = time.perf_counter()
            decoded = list(batches(images, range(len(images)), network.input, BATCH))
            decoding = time.perf_counter() - start
            plain = bare(network, decoded)
            start = time.perf_counter()
            cnn.ActivationIndex.build(network, images, k=K, batch=BATCH, shard=BATCH * 4)
            taken.append((decoding, plain, time.perf_counter() - start))
        decoding, plain, built = (median(column) for column in zip(*taken, strict=True))
        ratio = median(a / b for _, a, b in taken)
        rows.append((name, f"{len(images) / built:.1f} images/s", f"{ratio:.2f} times forward passes alone;"))
        rows.append(("", f"{len(images) / decoding:.0f} images/s", "decoding alone"))
    table(f"ActivationIndex.build of {count * BATCH} photographs and crops of them, decoding included", rows)


def memory(sizes: list[int], threads: int) -> None:
    """Peak memory for a few and for many images."""
    rows, peaks = [], []
    for count in sizes:
        code = MEMORY.format(count=count, threads=threads)
        told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        taken, peak = json.loads(told)
        peaks.append(peak)
        rows.append((f"{count:,} images", f"{peak:.0f} MB", f"{count / taken:.0f} images/s"))
    rows.append(("", f"{peaks[-1] / peaks[0]:.3f}", "times as much memory"))
    table("Peak memory of a process that builds an index of ResNet-18 at 64 pixels, in memory", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of passes (default 3)")
    parser.add_argument("--batches", type=int, default=4, help=f"batches of {BATCH} images in a pass (default 4)")
    parser.add_argument("--images", type=int, nargs=2, default=[2000, 8000], help="sizes for the peak memory")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    given = parser.parse_args()
    if min(given.pairs, given.batches, *given.images) < 1:
        parser.error("--pairs, --batches and --images start from 1")
    threads = given.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}")
    passes(given.pairs, given.batches)
    whole(given.pairs, given.batches)
    memory(given.images, threads)


if __name__ == "__main__":
    main()

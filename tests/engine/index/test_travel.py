"""How networks and images come to workers, and what is refused since it can't."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from cnnviz_widgets.engine import travel
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index.building import BuildError
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.sources import load
from cnnviz_widgets.engine.store import StoreError
from cnnviz_widgets.engine.travel import Ticket, TravelError
from tests.engine.index import builds
from tests.engine.index.travelling import (
    NOTEBOOK,
    Called,
    Data,
    Elsewhere,
    Peculiar,
    Threads,
    Watched,
)

ROOT = Path(__file__).parents[3]
SPAWN = multiprocessing.get_context("spawn")


class Queue:
    """As submitit's, which has jobs in place of futures."""

    def submit(self, call: Any, *arguments: Any) -> Any: ...


@pytest.mark.parametrize("executor", [Queue(), Queue, 2, "dask"], ids=["queue", "class", "number", "name"])
def test_what_is_no_executor_is_refused(executor: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"executor=\w+; expected a concurrent\.futures\.Executor, such as"):
        builds.build(tmp_path, executor=executor)
    assert builds.done_in(tmp_path) == 0


def test_pools_that_fork_are_refused_before_they_do(tmp_path: Path) -> None:
    import loky

    fork = multiprocessing.get_context("fork")
    for pool in (ProcessPoolExecutor(2, mp_context=fork), loky.ProcessPoolExecutor(2, context=fork)):
        with pool:
            with pytest.raises(TravelError, match=r"forks its processes, which hang .* mp_context=multiprocessing"):
                builds.build(tmp_path, executor=pool)
            assert not pool._processes


def check_refused(net: Network, images: Any, text: str) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        with pytest.raises(TravelError, match=text) as told:
            builds.build(None, net, images, executor=pool)
        assert not pool._processes
    assert "put it into a file and import it from there, or use threads (concurrent.futures" in str(told.value)


def test_what_can_not_be_pickled_is_refused_before_anything_runs() -> None:
    text = r"can't be sent to the workers of ProcessPoolExecutor"
    check_refused(builds.network_of(Called(lambda values: values * 2)), None, f"the Called {text}")
    check_refused(builds.network(), ImageSet.from_dataset(Data(lambda: 0)), f"the images {text}")
    # not even by cloudpickle
    with pytest.raises(TravelError, match="the images can't be sent to the workers of Elsewhere"):
        builds.build(None, given=ImageSet.from_dataset(Data(threading.Lock())), executor=Elsewhere())


def test_in_threads_nothing_is_pickled() -> None:
    net = builds.network_of(Called(lambda values: values * 2))
    images = ImageSet.from_dataset(Data(threading.Lock()))
    with ThreadPoolExecutor(2) as pool:
        builds.same(builds.build(None, net, images, executor=pool), builds.build(None, net, images))


CELLS = (
    NOTEBOOK
    + """
import sys
assert not hasattr(sys.modules["__main__"], "__file__")
import json, multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from cnnviz_widgets.engine.image_set import ImageSet
import loky

told = []
data = ImageSet.from_dataset(Images())
nets = [builds.network_of(Own()), builds.network_of(Plain())]
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
    for net, images in [(nets[0], None), (nets[1], None), (builds.network(), data)]:
        try:
            builds.build(None, net, images, executor=pool)
        except TypeError as error:
            told.append(str(error))
    assert not pool._processes
plain = builds.build(None, nets[0], data)
with ThreadPoolExecutor(2) as pool:
    builds.same(builds.build(None, nets[0], data, executor=pool), plain)
with loky.ProcessPoolExecutor(1) as pool:
    builds.same(builds.build(None, nets[0], data, executor=pool), plain)
print(json.dumps(told))
"""
)


def test_what_a_notebook_defines_goes_with_loky_and_is_refused_for_process_pools() -> None:
    """A program given as text has no file, as a kernel has none."""
    finished = subprocess.run([sys.executable, "-c", CELLS], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    own, plain, images = json.loads(finished.stdout)
    for told, name in ((own, "Own"), (plain, "Plain"), (images, "Images")):
        assert f"{name} is defined in this notebook, where the workers can't find it; put it into a file" in told
    assert own.startswith("the Own can't be sent")
    assert images.startswith("the images can't be sent to the workers of ProcessPoolExecutor")


def loaded(tmp_path: Path, seed: int = 0) -> Path:
    """A file of weights."""
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.save(squeezenet1_1(num_classes=4).state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def small(weights: Path) -> Network:
    spec = InputSpec(size=(3, 40, 40), mean=0.5, std=0.2)
    return load("torchvision/squeezenet1_1", weights=weights, num_classes=4, input=spec)


def test_a_network_that_was_loaded_travels_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small(loaded(tmp_path))
    images = ImageSet.from_arrays(np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))
    options: dict[str, Any] = {"given": images, "batch": 2, "shard": 2, "features": []}

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("weights are written")

    with monkeypatch.context() as patch:
        patch.setattr(travel, "save_file", never)
        executor = Elsewhere()
        found = builds.build(tmp_path / "index", net, executor=executor, **options)
    builds.same(found, builds.build(None, net, **options))
    with Ticket.of(net, Elsewhere(), digest=net.digest()) as ticket:
        assert (ticket.structure, ticket.weights) == (b"", "")
        assert len(cloudpickle.dumps(ticket)) < 2000
        assert travel._load(ticket).digest() == net.digest()


def test_a_network_that_was_changed_since_it_was_loaded_travels_by_its_structure(tmp_path: Path) -> None:
    net = small(loaded(tmp_path))
    with torch.no_grad():
        next(net.module.parameters()).add_(1)
    with Ticket.of(net, Elsewhere(), digest=net.digest()) as ticket:
        assert ticket.source is None
        assert ticket.structure
        assert travel._load(ticket).digest() == net.digest()


def test_a_worker_that_comes_to_other_weights_is_refused(tmp_path: Path) -> None:
    net = small(loaded(tmp_path))
    loaded(tmp_path, seed=1)  # the file changes
    with pytest.raises(BuildError, match=r"a worker loaded squeezenet1_1 with other weights \(digest .* the same as"):
        builds.build(None, net, builds.images(2), executor=Elsewhere(), layers=["features.0"])


def test_a_worker_that_comes_to_other_parts_is_refused(tmp_path: Path) -> None:
    net = small(loaded(tmp_path))
    net.module.features[1] = nn.Hardswish()  # type: ignore[index, operator, union-attr]
    with pytest.raises(BuildError, match=r"other parts .* travel with cnn\.Network\(net.module, net.input\)"):
        builds.build(None, net, builds.images(2), executor=Elsewhere(), layers=["features.0"])
    own = Network(net.module, net.input)
    builds.build(None, own, builds.images(2), executor=Elsewhere(), layers=["features.0"])


def test_a_module_of_ones_own_travels_as_its_structure_and_a_file_of_weights(resnet: Network, tmp_path: Path) -> None:
    with Ticket.of(resnet, Elsewhere(), digest=resnet.digest(), folder=tmp_path) as ticket:
        assert len(cloudpickle.dumps(ticket)) < 200_000
        (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert (file.suffix, str(file)) == (".safetensors", ticket.weights)
        found = pickle_and_back(ticket).network()
        assert found is not resnet
        assert found.digest() == resnet.digest()
        assert found.input == resnet.input
    assert list(tmp_path.iterdir()) == []


def pickle_and_back(ticket: Ticket) -> Ticket:
    back = pickle.loads(pickle.dumps(ticket))
    assert back == ticket
    assert hash(back) == hash(ticket)
    assert (back.live, ticket.live is None) == (None, False)
    return back


def test_all_that_a_module_computes_with_survives() -> None:
    own = Peculiar()
    net = builds.network_of(own, channels=3)
    with Ticket.of(net, Elsewhere(), digest=net.digest()) as ticket:
        found = travel._load(pickle_and_back(ticket)).bare
    assert isinstance(found, Peculiar)
    assert found.again.weight is found.first.weight
    assert isinstance(found.first.weight, nn.Parameter)
    assert (found.first.weight.requires_grad, found.first.bias.requires_grad) == (True, False)
    for name in ("hidden", "known", "plain"):
        assert torch.equal(getattr(found, name), getattr(own, name))
    assert found.state_dict().keys() == own.state_dict().keys()
    assert found.last.weight.stride() == own.last.weight.stride() != own.last.weight.contiguous().stride()
    images = builds.set_of({str(n): np.stack([array] * 3, -1) for n, array in enumerate(builds.pixels(8))})
    builds.same(builds.build(None, net, images, executor=Elsewhere()), builds.build(None, net, images))


def test_weights_that_no_file_can_hold_are_told() -> None:
    own = Peculiar()
    own.precise = torch.zeros(3, dtype=torch.complex128)
    net = builds.network_of(own, channels=3)
    with (
        pytest.raises(TravelError, match=r"can't be sent to workers: .*complex128.*; use threads instead"),
        Ticket.of(net, Elsewhere(), digest=net.digest()),
    ):
        pytest.fail("sent")


def test_weights_that_there_is_no_room_for_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(travel, "save_file", full)
    with pytest.raises(StoreError, match=r"weights for the workers can't be written to .*No space left.*; give path="):
        builds.build(tmp_path, executor=Elsewhere())
    assert not list(tmp_path.rglob("weights-*"))


def test_weights_that_change_meanwhile_end_the_build(tmp_path: Path) -> None:
    own = builds.module()
    steps = builds.building(tmp_path, builds.network_of(own), executor=Elsewhere())
    while next(steps).done < builds.SHARD:
        pass
    with torch.no_grad():
        own[0].weight.add_(1.0)
    with pytest.raises(BuildError, match="weights changed while the index was built; 8 of 40"):
        list(steps)
    assert builds.done_in(tmp_path) == 1


def test_a_network_is_loaded_once_in_a_process_with_several_threads(tmp_path: Path) -> None:
    net = builds.network_of(Watched(tmp_path / "log"))
    builds.same(builds.build(None, net, executor=Threads()), builds.build(None, net))
    told = Counter((tmp_path / "log").read_text().splitlines())
    assert told[f"{os.getpid()} loaded"] == 1


def test_a_device_that_a_worker_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BuildError, match="a worker has no device 'cuda'; give device='cpu', or workers that have one"):
        builds.build(None, executor=Elsewhere(), device="cuda")


def test_a_worker_that_can_not_read_the_weights_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(travel, "save_file", lambda tensors, path: None)  # another machine does not see it
    with pytest.raises(
        BuildError, match=r"a worker can't read the weights at .*; give path= a folder that all workers"
    ):
        builds.build(tmp_path, executor=Elsewhere())
    assert not list(tmp_path.rglob("weights-*"))


def test_weights_of_a_killed_build_are_cleared_away(tmp_path: Path) -> None:
    steps = builds.building(tmp_path)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    left = next(tmp_path.iterdir()) / "weights-left"
    left.mkdir()
    (left / "weights.safetensors").write_bytes(b"large")
    builds.build(tmp_path)
    assert not left.exists()
    assert not list(tmp_path.rglob("weights*"))

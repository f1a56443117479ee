"""Weights from files: every common form is read, everything else is refused, and nothing in a file is run."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

import cnnviz_widgets as cnn
from cnnviz_widgets.engine.sources import WeightsError, load, read_weights

SMALL = cnn.InputSpec(size=(3, 64, 64))
NAME = "torchvision/squeezenet1_1"


@pytest.fixture(scope="module")
def squeezenet() -> cnn.Network:
    torch.manual_seed(0)
    return load("torchvision/squeezenet1_1", weights=None, input=SMALL)


def nested(state: dict[str, Any]) -> dict[str, Any]:
    return {"state_dict": state, "epoch": 3}


def prefixed(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        collections.OrderedDict,
        nested,
        prefixed,
        lambda state: nested(prefixed(state)),
        lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
        lambda state: {"model": state},
    ],
    ids=["plain", "ordered", "nested", "prefixed", "nested and prefixed", "compiled", "model"],
)
def test_weights_from_files_of_torch(wrap: Any, tmp_path: Path, squeezenet: cnn.Network) -> None:
    path = tmp_path / "weights.pth"
    torch.save(wrap(squeezenet.module.state_dict()), path)
    for given in (path, str(path)):
        assert same_weights(load(NAME, weights=given, input=SMALL), squeezenet)


def same_weights(one: cnn.Network, other: cnn.Network) -> bool:
    first, second = one.module.state_dict(), other.module.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_weights_from_safetensors(tmp_path: Path, squeezenet: cnn.Network) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(squeezenet.module.state_dict(), path)
    assert same_weights(load(NAME, weights=path, input=SMALL), squeezenet)


def test_counters_that_older_files_lack_are_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    state = models.resnet18().state_dict()
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, path)
    network = load("torchvision/resnet18", weights=path, input=SMALL)
    assert torch.equal(network.module.conv1.weight, state["conv1.weight"])  # type: ignore[union-attr,arg-type]


class Exploding:
    """Tells when unpickling runs code."""

    ran = False

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> str:
    Exploding.ran = True
    return "ran"


def bad_files(folder: Path, state: dict[str, torch.Tensor]) -> dict[str, tuple[str, str]]:
    first = next(iter(state))
    renamed = {name.replace("features", "feat"): value for name, value in state.items()}
    contents = {
        "shapes.pth": {**state, first: torch.zeros(2, 2)},
        "missing.pth": {name: value for name, value in state.items() if name != first},
        "extra.pth": {**state, "surplus": torch.zeros(1)},
        "renamed.pth": renamed,
        "module.pth": models.squeezenet1_1(),
        "code.pth": {"state_dict": Exploding()},
        "list.pth": [1, 2, 3],
        "numbers.pth": {"a": 1},
        "keys.pth": {1: torch.zeros(1)},
        "none.pth": {},
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    whole = (folder / "missing.pth").read_bytes()
    (folder / "text.pth").write_text("these are no weights\n")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "text.safetensors").write_text("these are no weights\n")
    (folder / "plain.pth").write_bytes(pickle.dumps(Exploding()))
    unreadable = r"could not be read as weights: .*torch\.save\(model\.state_dict\(\), 'file\.pth'\)"
    return {
        "shapes.pth": (f"1 of another shape, e.g. {first} is \\(2, 2\\), expected", "num_classes="),
        "missing.pth": (f"do not fit SqueezeNet: 1 missing, e.g. {first}", "num_classes="),
        "extra.pth": ("1 not in the model, e.g. surplus", ""),
        "renamed.pth": (r"\d+ missing, e.g. features.*; \d+ not in the model, e.g. feat\.", ""),
        "module.pth": (unreadable, "not the whole model"),
        "code.pth": (unreadable, ""),
        "plain.pth": (unreadable, ""),
        "list.pth": ("holds list, no state dict", ""),
        "numbers.pth": ("holds dict, no state dict", ""),
        "keys.pth": ("holds dict, no state dict", ""),
        "none.pth": ("holds dict, no state dict", ""),
        "text.pth": (unreadable, ""),
        "empty.pth": (unreadable, ""),
        "cut.pth": (unreadable, ""),
        "text.safetensors": (unreadable, ""),
        "nowhere.pth": (r"no file '.*nowhere\.pth'; expected weights: 'default', None", ""),
    }


def test_files_that_are_no_fitting_weights(tmp_path: Path, squeezenet: cnn.Network) -> None:
    for name, (told, also) in bad_files(tmp_path, squeezenet.module.state_dict()).items():
        with pytest.raises(WeightsError, match=told) as raised:
            load(NAME, weights=tmp_path / name, input=SMALL)
        assert name in str(raised.value)
        assert also in str(raised.value)
    assert not Exploding.ran
    with pytest.raises(WeightsError, match="no file"):
        read_weights(tmp_path)

"""``labels(dataset) -> [str | None, ...]``: what a map-style dataset tells of its items without fetching them.

Datasets keep this under different names: torchvision alone uses seven. What is found counts only if there is one for each item.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch.utils.data as torch_data
from torch import Tensor

from .images import ImageError

_TARGETS = ("targets", "labels", "_labels", "y")
_PAIRS = ("samples", "_samples", "imgs")
_NAMES = ("classes", "categories")
_KEYS = ("label", "target", "labels", "fine_label")


def check(dataset: Any) -> None:
    """Raise ``TypeError`` for what has no length or can't be asked for an item by its number."""
    kind = type(dataset).__name__
    if isinstance(dataset, Mapping):
        given = ", ".join(map(repr, itertools.islice(dataset, 5)))
        raise TypeError(
            f"a {kind} with {given} was given; expected one dataset: ImageSet.from_dataset(datasets['train'])"
        )
    countable = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if isinstance(dataset, torch_data.IterableDataset) or not countable:
        raise TypeError(
            f"{kind} can't be asked for an item by its number; expected a dataset with len(dataset) and dataset[number]. "
            "Take what you need into a list: ImageSet.from_dataset(list(itertools.islice(dataset, 1000)))"
        )


def check_arrays(arrays: Any) -> None:
    """Raise `ImageError` for an array or tensor that does not hold several images."""
    if isinstance(arrays, np.ndarray) and (arrays.ndim not in (3, 4) or arrays.dtype != np.uint8):
        raise ImageError(
            f"an array of {arrays.dtype} {arrays.shape} was given; expected uint8 (N, H, W) or (N, H, W, C), a float tensor "
            "(N, C, H, W) in [0, 1], or a list of single images"
        )
    if isinstance(arrays, Tensor) and (arrays.dim() != 4 or not arrays.is_floating_point()):
        raise ImageError(
            f"a tensor of {arrays.dtype} {tuple(arrays.shape)} was given; expected floats (N, C, H, W) in [0, 1]: "
            "tensor.float() / 255, tensor[:, None] for want of channels, [tensor] for a single image"
        )


def given(labels: Iterable[Any] | None, names: list[str]) -> tuple[str, ...]:
    """The given labels as texts, or these names without any; a ``ValueError`` unless there is one for each name."""
    if labels is None:
        return tuple(names)
    listed = _listed(labels)
    if len(listed) != len(names):
        raise ValueError(f"{len(listed)} labels for {len(names)} images; expected one for each")
    return tuple(str(label) for label in listed)


def labels(dataset: Any) -> list[str | None]:
    """One for each item, None where the dataset does not tell. Parts and joins of datasets are resolved."""
    if isinstance(dataset, torch_data.Subset):
        inner = labels(dataset.dataset)
        return [inner[int(number)] for number in dataset.indices]
    if isinstance(dataset, torch_data.ConcatDataset):
        return [label for part in dataset.datasets for label in labels(part)]
    count = len(dataset)
    names = _class_names(dataset)
    for targets in _candidates(dataset):
        if targets is not None and len(targets) == count and count:
            told = [_label(target, names) for target in _listed(targets)]
            if any(label is not None for label in told):
                return told
    return [None] * count


def _candidates(dataset: Any) -> list[Any]:
    """What may be the targets, best first."""
    found = [getattr(dataset, name, None) for name in _TARGETS]
    for name in _PAIRS:
        pairs = getattr(dataset, name, None)
        if (
            isinstance(pairs, Sequence)
            and pairs
            and all(isinstance(pair, tuple | list) and len(pair) > 1 for pair in pairs)
        ):
            found.append([pair[1] for pair in pairs])
    if isinstance(dataset, torch_data.TensorDataset) and len(dataset.tensors) > 1:
        found.append(dataset.tensors[1])
    columns = getattr(dataset, "column_names", None)
    if isinstance(columns, list):  # as in Hugging Face's datasets
        found += [list(dataset[key]) for key in _KEYS if key in columns]
    if isinstance(dataset, list | tuple):
        found += _of_items(dataset)
    return [one for one in found if hasattr(one, "__len__") and not isinstance(one, str | Mapping)]


def _of_items(items: Sequence[Any]) -> list[Any]:
    if all(isinstance(item, tuple | list) and len(item) > 1 for item in items):
        return [[item[1] for item in items]]
    if all(isinstance(item, Mapping) for item in items):
        return [[item[key] for item in items] for key in _KEYS if all(key in item for item in items)]
    return []


def _listed(targets: Any) -> list[Any]:
    return targets.tolist() if hasattr(targets, "tolist") else list(targets)


def _class_names(dataset: Any) -> list[str]:
    for name in _NAMES:
        names = getattr(dataset, name, None)
        if isinstance(names, list | tuple):
            return [str(one[0]) if isinstance(one, tuple | list) and one else str(one) for one in names]
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        return next((list(names) for key in _KEYS if (names := getattr(features.get(key), "names", None))), [])
    return []


def _label(target: Any, names: list[str]) -> str | None:
    """The class's name for a number, a text as it is; None for what is neither, as boxes and masks are."""
    if isinstance(target, str):
        return target
    if hasattr(target, "item") and getattr(target, "ndim", 1) == 0:
        target = target.item()
    if not isinstance(target, int):
        return None
    if names:
        return names[target] if 0 <= target < len(names) else None
    return str(target)

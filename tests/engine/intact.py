"""``state_of(module) == state_of(module)``: whether a module is exactly as it was."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn


def state_of(module: nn.Module) -> dict[str, Any]:
    """All that can be seen of a module, by value where values can change in place and by identity elsewhere."""
    told: dict[str, Any] = {}
    for name, part in module.named_modules():
        told[f"{name} is"] = (id(part), type(part))
        for attribute, value in vars(part).items():
            told[f"{name}.{attribute}"] = _seen(value)
    return told


def _seen(value: Any) -> Any:
    if isinstance(value, Tensor):
        content = value.detach().contiguous().flatten().view(torch.uint8).numpy()
        told = (id(value), tuple(value.shape), value.dtype, value.requires_grad, value.is_leaf and value.grad is None)
        return *told, zlib.crc32(content)
    if isinstance(value, dict):
        return [(key, _seen(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [_seen(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else id(value)

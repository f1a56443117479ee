"""``with Watch() as watch: module(image)``, then ``watch.read(tensor) -> Marks``: a forward pass, operation by operation.

Torch tells of every operation below the modules, so functions between them count as much. Views are remembered with the call
that made them, since whoever writes into one also changes the tensor it looks at, and other views of that.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from .field_marks import Marks, nothing, same
from .field_rules import Call, constant, only_moves, rule_of


class Watch(TorchDispatchMode):
    """Follows `Marks` through every operation of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self._known = WeakIdKeyDictionary()  # tensor -> (when, Marks)
        self._views = WeakIdKeyDictionary()  # view -> (tensor, the call that made it, the number among its results)
        self._overwritten: dict[int, tuple[int, str, Any]] = {}  # storage -> when, by what; held, so that its id stays
        self._clock = itertools.count()

    def begin(self, image: Tensor) -> None:
        """Each pixel sees itself."""
        rows = torch.arange(image.shape[2]).float()[:, None]
        columns = torch.arange(image.shape[3]).float()
        zero = torch.zeros(())
        parts = (-rows, rows + 1, -columns, columns + 1, zero, zero, rows, columns)
        self._set(image, Marks(tuple(part.expand(image.shape) for part in parts)))

    def read(self, tensor: Tensor) -> Marks:
        """The marks of a layer's value."""
        return self.of(tensor) or nothing(tensor.shape)

    def of(self, tensor: Tensor) -> Marks | None:
        """None for what does not depend on the image."""
        when, marks = self._known.get(tensor, (-1, None))
        if self._overwritten and tensor.numel():
            since, name, _ = self._overwritten.get(tensor.untyped_storage().data_ptr(), (-1, "", None))
            if when < since:
                return Marks((), unknown=f"{name} writes into a part of another tensor")
        if marks is None and tensor.requires_grad:
            return Marks((), unknown="an operation that can't be seen")
        return marks

    def _set(self, tensor: Tensor, marks: Marks) -> None:
        self._known[tensor] = (next(self._clock), marks)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self._follow(func, args, kwargs or {}, output)
        return output

    def _follow(self, function: Any, args: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        call = Call(self.of, function, args, keywords, output)
        given = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
        if call.outputs and given and function.is_view:
            for number, view in enumerate(call.outputs):
                self._views[view] = (given[0], Call(self.of, function, (None, *args[1:]), keywords, None), number)
        tracked = [marks for tensor in given if (marks := self.of(tensor)) is not None]
        if not tracked:
            return
        found = self._ruled(call, tracked)
        writes = [a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        for name in writes:
            if isinstance(call[name], Tensor):
                self._overwrite(call[name], found[0], call.name)
        if not writes:
            for tensor, marks in itertools.zip_longest(call.outputs, found[: len(call.outputs)]):
                self._set(tensor, marks or Marks((), unknown=f"another result of {call.name}"))

    def _ruled(self, call: Call, tracked: Sequence[Marks]) -> list[Marks]:
        rule = rule_of(call)
        unknown = next((marks.unknown for marks in tracked if marks.unknown), "")
        if rule is not None and (not unknown or rule is constant):
            try:
                return rule(call)
            except Exception:  # arguments that the rule was not made for: said, not guessed
                unknown = f"{call.name} in a form that is not known"
        return [Marks((), unknown=unknown or call.function._schema.name)] * max(1, len(call.outputs))

    def _overwrite(self, tensor: Tensor, marks: Marks, name: str) -> None:
        """The tensor has new values, and so has every other that shares its memory."""
        before = self.of(tensor)
        if before is not None and same(before, marks):
            return
        chain = []
        while tensor in self._views:
            base, call, number = self._views[tensor]
            chain.append((tensor, marks))
            marks = _put(self.of(base) or nothing(base.shape), marks, call, number)
            tensor = base
        storage = tensor.untyped_storage()
        self._overwritten[storage.data_ptr()] = (next(self._clock), name, storage)
        for written, its_marks in [*chain, (tensor, marks)]:
            self._set(written, its_marks)


def _put(base: Marks, part: Marks, call: Call, number: int) -> Marks:
    """The base's marks after a view of it was written."""
    unknown = base.unknown or part.unknown
    if not unknown and not only_moves(call):
        unknown = f"writing into {call.name}"
    if unknown:
        return Marks((), unknown=unknown)
    parts = []
    for whole, new in zip(base.parts, part.parts, strict=True):
        copied = whole.clone(memory_format=torch.contiguous_format)
        call.rerun(copied)[number].copy_(new)
        parts.append(copied)
    return Marks(tuple(parts), base.mixer or part.mixer)

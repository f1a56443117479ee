"""Regularizers of a user, one for each moment that has no class of its own yet; the underscore keeps them out of the registry."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cnnviz_widgets.engine.regularizers import Regularizer


@dataclass(frozen=True)
class _Square(Regularizer):
    weight: float = 30.0

    def penalty(self, x: Tensor) -> Tensor:
        return self.weight * x.square().flatten(1).mean(1)


@dataclass(frozen=True)
class _Halve(Regularizer):
    def condition(self, gradient: Tensor) -> Tensor:
        return gradient / 2


@dataclass(frozen=True)
class _Freeze(Regularizer):
    def project(self, x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return x.new_zeros(x.shape)

"""``probe(chunk, recipe)``: whether a constant step carries on the network at hand, and what carries where it does not.

The step sizes of a paper were found on the network of the paper. On another one the second combination of Yosinski et al. 2015
stands still at its published step (on EfficientNet-Lite0 at a probability of 0.003) and works at ten times it. So the size is
tried first, for a few steps which are then forgotten. It is kept unless the score stands still early, or falls; then the sizes
half a power of ten further and further are tried until the score falls behind: larger ones, unless it fell while the image grew,
and smaller ones where it fell and no larger one raises it. The last that got clearly higher is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .climbing import Chunk
from .recipes import Recipe

TRIAL = 32
"""Steps of a trial. Where decay holds the image, as at 0.3 a step, it has come to rest by then."""

RATIO = math.sqrt(10)
FURTHEST = 8

_STANDS = 0.35
"""An ascent stands still when the last half of a trial brings less than this share of what the whole brought; a steady one
brings half."""

_FELT = 1e-3
"""The share of the score that a trial must bring to count as climbing at all; less may be rounding."""

_WORTH = 1.4
"""By how much another size must climb higher to be taken."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a few steps brought, for each image.

    Attributes
    ----------
    gains
        (n,) of the score over its start; minus infinity where a number broke.
    least
        (n,) the least gain that counts.
    climbs_on
        (n,) whether the score still climbed in the second half.
    faded
        (n,) whether the image ended nearer to the neutral colour than it began.
    """

    gains: Tensor
    least: Tensor
    climbs_on: Tensor
    faded: Tensor


def probe(chunk: Chunk, recipe: Recipe) -> None:
    """Set the factor of each climb's steps, and tell what was tried. The images stay as they are.

    Each image is judged on its own, by what a(x) gains over its start; its companions do not change that.
    """
    before = [climb.factor for climb in chunk.climbs]
    first = _trial(chunk, recipe, before)
    larger, smaller = (_Best(list(before), first.gains.clone(), first.least) for _ in range(2))

    def trial(tried: list[float]) -> Tensor:
        return _trial(chunk, recipe, tried).gains

    still, fell = ~first.climbs_on, first.gains < 0
    # an ascent that falls has overshot, unless its image fades: decay may hold that one back, as it does one that stands still
    _search(trial, larger, still & (~fell | first.faded), RATIO)
    _search(trial, smaller, still & fell & (larger.gains < 0), 1 / RATIO)
    factors = [
        one if down > up else other
        for one, down, other, up in zip(smaller.factors, smaller.gains, larger.factors, larger.gains, strict=True)
    ]
    for climb, factor, on in zip(chunk.climbs, factors, first.climbs_on.tolist(), strict=True):
        climb.factor = factor
        if factor != 1:
            why = "fell" if factor < 1 else "stood still"
            climb.factor_told = f"the recipe's step {why} after {TRIAL} trial steps, {factor:.3g} times it is taken"
        elif not on:
            climb.factor_told = "the recipe's step soon stood still in a trial, and no other carried further"
        else:
            climb.factor_told = "the recipe's step carried in a trial"


def _trial(chunk: Chunk, recipe: Recipe, factors: list[float]) -> _Trial:
    """Climb for a few steps with each climb's steps times its factor, and forget them."""
    start = chunk.state(0)
    for climb, factor in zip(chunk.climbs, factors, strict=True):
        climb.factor = factor
    scores = []
    for step in range(TRIAL + 1):
        chunk.look(recipe, step, gradient=step < TRIAL)
        scores.append(chunk.score.cpu().double())
        if step == 0:
            began = chunk.deviation()
        if step < TRIAL:
            chunk.advance(recipe, step)
    faded = chunk.deviation() < began
    broke = torch.tensor([climb.broke for climb in chunk.climbs])
    chunk.restore(start)
    curve = torch.stack(scores) - scores[0]
    # single scores jump about
    gains, half = (curve[end - TRIAL // 4 + 1 : end + 1].mean(0) for end in (TRIAL, TRIAL // 2))
    gains = torch.where(gains.isfinite() & ~broke, gains, -math.inf)
    least = _FELT * scores[0].abs()
    climbs_on = (gains > least) & (gains - half >= _STANDS * gains)
    return _Trial(gains, least, climbs_on, faded & ~broke)


@dataclass(eq=False)
class _Best:
    """The factor of each image that climbed highest, what it gained, and the least gain that counts."""

    factors: list[float]
    gains: Tensor
    least: Tensor

    def offer(self, number: int, factor: float, gain: float) -> bool:
        """Take a factor that is clearly better; whether it did not fall behind."""
        base, least = float(self.gains[number]), float(self.least[number])
        worth = max(least, (_WORTH - 1) * abs(base), 1e-9) if math.isfinite(base) else 0.0
        if gain > base + worth:
            self.gains[number], self.factors[number] = gain, factor
            return True
        return gain >= base - least


def _search(trial: Callable[[list[float]], Tensor], best: _Best, seeking: Tensor, ratio: float) -> None:
    """Try further and further factors for the images that seek one, until they fall behind."""
    for power in range(1, FURTHEST + 1):
        if not bool(seeking.any()):
            break
        found = trial([ratio**power if seeks else 1.0 for seeks in seeking.tolist()])
        for number in seeking.nonzero().flatten().tolist():
            if not best.offer(number, ratio**power, float(found[number])):
                seeking[number] = False

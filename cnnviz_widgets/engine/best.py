"""``maximize(network, goal, recipe) -> Result``: the best images that an ascent finds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ascent import DEFAULT_RECIPE, Ascent, Frame, Goal, Recipes, goals_of, recipes_of
from .network import Network
from .objectives import Objective
from .recipes import Recipe
from .result import Result


def maximize(
    network: Network, goal: Goal, recipe: Recipes = DEFAULT_RECIPE, *, copies: int = 1, **fields: Any
) -> Result:
    """Climb to the end, and give the best images found with how they were made.

    Takes what `ascend` takes. Interrupting the kernel ends it with what there is by then. An image that could not move is
    warned of, with the reason.

    Returns
    -------
    Result
        Per image the frame of the highest score; with random transformations, where single scores say little, the last.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3)), InputSpec(size=(1, 8, 8)))
    >>> result = maximize(net, [net["0"][2], net["0"][3, "center"]], "none", steps=5)
    >>> result.image.shape, result.curve.shape
    (torch.Size([2, 1, 8, 8]), torch.Size([6, 2]))
    """
    made = recipes_of(recipe, **fields)
    goals = goals_of(network, goal)
    if copies < 1:
        raise ValueError(f"copies={copies}; expected 1 or more")
    interrupted = False
    with Ascent(network, goals, made, copies) as ascent:
        best = Best([one.replace(seed=one.seed + copy) for one in made for _ in goals for copy in range(copies)])
        try:
            for frame in ascent.frames():
                best.add(frame)
        except KeyboardInterrupt:
            if not best.curve:
                raise
            interrupted = True
        result = best.result(network, ascent.goals, interrupted=interrupted)
    for note in dict.fromkeys(note for note in result.notes if note):
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return result


class Best:
    """The best frame of each image while an ascent runs.

    Parameters
    ----------
    recipes
        Per image the one it begins with.
    """

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.recipes = tuple(recipes)
        self._random = [recipe.random for recipe in self.recipes]
        self._turned = -1
        self.curve: list[Tensor] = []
        self.last: Frame
        self._image: Tensor
        self._score: Tensor
        self._step: Tensor

    def add(self, frame: Frame) -> None:
        """Take a frame in."""
        self.last = frame
        if not hasattr(self, "_image"):
            self._image = frame.image.clone()
            self._score = frame.score.clone()
            self._step = torch.full((len(frame.score),), frame.step)
        else:
            better = frame.score > self._score
            if any(self._random):
                better |= torch.tensor(self._random, device=better.device)
            self._score = torch.where(better, frame.score, self._score)
            self._image = torch.where(better.view(-1, 1, 1, 1), frame.image, self._image)
            self._step = torch.where(better.cpu(), frame.step, self._step)
        self.curve.append(frame.score.cpu())

    def back_to(self, step: int) -> None:
        """Take the run to be at a step again; its frame is added next. A best image that came later is forgotten."""
        del self.curve[step:]
        self._score = torch.where((self._step >= step).to(self._score.device), -torch.inf, self._score)

    def steered(self, recipes: Sequence[Recipe], step: int) -> None:
        """Note that the ascent follows other recipes after ``step``, given per image."""
        self._random = [was or recipe.random for was, recipe in zip(self._random, recipes, strict=True)]
        if self._turned < 0 and tuple(recipes) != self.recipes:
            self._turned = step

    def takes_last(self, number: int = 0) -> bool:
        """Whether the last frame of an image counts, since it was scored by random views, and not the highest."""
        return self._random[number]

    def leader(self, number: int = 0) -> tuple[float, int]:
        """The score and the step of one image's best frame."""
        return float(self._score[number]), int(self._step[number])

    def result(self, network: Network, goals: Sequence[Objective], *, interrupted: bool = False) -> Result:
        """What has been found so far."""
        notes = self.last.notes
        if interrupted:
            notes = tuple(note or f"Interrupted after step {len(self.curve) - 1}." for note in notes)
        if self._turned >= 0:
            turned = (
                f"The recipe was changed on the way, first after step {self._turned}; this is the one it began with."
            )
            notes = tuple(f"{note} {turned}".strip() for note in notes)
        return Result(
            image=self._image,
            score=self._score.cpu(),
            step=self._step,
            curve=torch.stack(self.curve),
            objectives=tuple(goals),
            recipes=self.recipes,
            digest=network.digest(),
            neutral=network.input.neutral,
            labels=tuple(goal_name(network, goal) for goal in goals),
            notes=notes,
            paths=self.last.paths,
        )


def goal_name(network: Network, goal: Objective) -> str:
    """How a caption calls a goal: a class's name for its logit, else the objective as typed."""
    units = goal.units
    if len(units) == 1 and units[0].layer == network.output and network.labels and repr(goal) == repr(units[0]):
        return network.label(units[0].channel)
    return repr(goal)

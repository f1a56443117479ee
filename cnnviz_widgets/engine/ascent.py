"""``ascend(network, goal, recipe) -> Frame, Frame, ...``: gradient ascent on a(x) - R(x), one frame a step.

The only optimisation loop in the project. One step is, for each image,

    x <- constrain(project(x + update(condition(gradient of score(transform(x)) - penalty(x)))))

It is a generator: the caller stops by not asking, pauses by waiting, and steers by sending another recipe. An image never
depends on what else is climbing: random numbers, norms and percentiles are its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import recipes
from .climbing import Chunk, Climb
from .errors import near
from .layers import Unit
from .network import Network
from .objectives import Objective
from .recipes import Recipe
from .regularizers import filling
from .result import Result

Goal = Unit | Objective | Sequence[Unit | Objective]
DEFAULT_RECIPE = "none"
STEERED = ("regularizers", "stepper", "steps")


@dataclass(frozen=True, eq=False)
class Frame:
    """What an ascent has come to.

    Frame 0 is the start, frame n the images after n updates.

    Attributes
    ----------
    image
        (B, C, H, W) in [0, 1], one image per goal and copy, not stretched for display.
    score
        (B,), each image's own score, penalties not counted in; with random transformations that of the transformed image.
    probabilities
        (B, classes) where the objective reaches the logits, else None.
    notes
        Per image why it no longer moves, in a sentence; an empty text while it does.
    """

    step: int
    image: Tensor
    score: Tensor
    probabilities: Tensor | None = None
    notes: tuple[str, ...] = ()


def ascend(
    network: Network, goal: Goal, recipe: str | Recipe = DEFAULT_RECIPE, *, copies: int = 1, **fields: Any
) -> Generator[Frame, Recipe | str | None, None]:
    """Climb, one `Frame` a step.

    Parameters
    ----------
    goal
        A unit, an objective, or a list of them, one image each.
    recipe
        A preset's name or a `Recipe`.
    copies
        Images per goal; copy i starts from the seed plus i.
    fields
        Replace that whole field of the recipe: ``steps=256``, ``regularizers=[...]``.

    Yields
    ------
    Frame
        The start, then one per update. ``send(recipe)`` in place of ``next()`` makes the coming steps follow the other
        recipe's regularizers, stepper and number of steps, the very next one already. Ends early where no image moves
        any more; the last frame's notes tell why.

    Raises
    ------
    TypeError, UnknownNameError, ValueError
        A goal, recipe or field that is none, at once and not with the first frame.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3)), InputSpec(size=(1, 8, 8)))
    >>> scores = [float(frame.score) for frame in ascend(net, net["0"][2], steps=3)]
    >>> scores == sorted(scores)
    True
    """
    goals = _goals(network, goal)
    if copies < 1:
        raise ValueError(f"copies={copies}; expected 1 or more")
    made = recipes.get(recipe).replace(**fields)
    climbs = [Climb(one, made.seed + copy) for one in goals for copy in range(copies)]
    return _frames(network, climbs, made)


def _goals(network: Network, goal: Goal) -> list[Objective]:
    listed: Iterable[Any] = goal if isinstance(goal, list | tuple) else [goal]
    goals = [Objective.ensure(one) for one in listed]
    if not goals:
        raise ValueError("no goal was given; expected a unit, an objective, or a list of them")
    layers = network.layers
    for unit in (unit for one in goals for unit in one.units):
        if layers.get(unit.layer.name) != unit.layer:
            raise ValueError(
                f"{unit} is no unit of this network{near(unit.layer.name, layers)} "
                f"take it from the network itself: net[{unit.layer.name!r}][{unit.channel}]"
            )
    return goals


def _frames(network: Network, climbs: list[Climb], recipe: Recipe) -> Generator[Frame, Recipe | str | None, None]:
    dtype = torch.float64 if network.dtype == torch.float64 else torch.float32
    layers = [name for climb in climbs for name in climb.goal.layers]
    with torch.inference_mode(False):
        neutral = network.input.neutral_image(torch.zeros((), dtype=dtype, device=network.device))
        record = network.recording(layers)
    with record:
        size = recipe.chunk
        starts = range(0, len(climbs), size)
        chunks = [Chunk(climbs[start : start + size], size, record, recipe, neutral) for start in starts]
        step = 0
        while True:
            last = step >= recipe.steps
            for chunk in chunks:
                if chunk.moving or step == 0:
                    chunk.look(recipe, step, gradient=not last)
            sent = yield _frame(step, chunks)
            if sent is not None:
                recipe = _steered(recipe, recipes.get(sent), step, chunks)
            if step >= recipe.steps or not any(chunk.moving for chunk in chunks):
                return
            for chunk in chunks:
                if chunk.moving:
                    chunk.advance(recipe, step)
            step += 1


def _steered(recipe: Recipe, sent: Recipe, step: int, chunks: list[Chunk]) -> Recipe:
    changed = recipe.replace(**{name: getattr(sent, name) for name in STEERED})
    for moment in ("transform", "penalty", "condition"):
        if filling(changed.regularizers, moment, step) != filling(recipe.regularizers, moment, step):
            for chunk in chunks:
                chunk.forget()
    return changed


def _frame(step: int, chunks: list[Chunk]) -> Frame:
    def joined(name: str) -> Tensor:
        return torch.cat([getattr(chunk, name) for chunk in chunks])

    whole = all(chunk.probabilities is not None for chunk in chunks)
    notes = tuple(climb.note for chunk in chunks for climb in chunk.climbs)
    return Frame(step, joined("image"), joined("score"), joined("probabilities") if whole else None, notes)


def maximize(
    network: Network, goal: Goal, recipe: str | Recipe = DEFAULT_RECIPE, *, copies: int = 1, **fields: Any
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
    >>> result = maximize(net, [net["0"][2], net["0"][3, "center"]], steps=5)
    >>> result.image.shape, result.curve.shape
    (torch.Size([2, 1, 8, 8]), torch.Size([6, 2]))
    """
    made = recipes.get(recipe).replace(**fields)
    goals = [one for one in _goals(network, goal) for _ in range(copies)]
    best = Best(made)
    frames = ascend(network, goal, made, copies=copies)
    interrupted = False
    try:
        for frame in frames:
            best.add(frame)
    except KeyboardInterrupt:
        if not best.curve:
            raise
        interrupted = True
    finally:
        frames.close()
    result = best.result(network, goals, interrupted=interrupted)
    for note in dict.fromkeys(note for note in result.notes if note):
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return result


class Best:
    """The best frame of each image while an ascent runs."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._random = recipe.random
        self._turned = -1
        self.curve: list[Tensor] = []
        self.notes: tuple[str, ...] = ()
        self._image: Tensor
        self._score: Tensor
        self._step: Tensor

    def add(self, frame: Frame) -> None:
        """Take a frame in."""
        self.notes = frame.notes
        if not self.curve:
            self._image = frame.image.clone()
            self._score = frame.score.clone()
            self._step = torch.full((len(frame.score),), frame.step)
        else:
            better = frame.score > self._score
            if self._random:
                better = torch.ones_like(better)
            self._score = torch.where(better, frame.score, self._score)
            self._image = torch.where(better.view(-1, 1, 1, 1), frame.image, self._image)
            self._step = torch.where(better.cpu(), frame.step, self._step)
        self.curve.append(frame.score.cpu())

    def steered(self, recipe: Recipe, step: int) -> None:
        """Note that the ascent follows another recipe after ``step``."""
        self._random = self._random or recipe.random
        if self._turned < 0 and recipe != self.recipe:
            self._turned = step

    def leader(self, number: int = 0) -> tuple[float, int]:
        """The score and the step of one image's best frame."""
        return float(self._score[number]), int(self._step[number])

    def result(self, network: Network, goals: Sequence[Objective], *, interrupted: bool = False) -> Result:
        """What has been found so far."""
        notes = self.notes
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
            recipe=self.recipe,
            digest=network.digest(),
            neutral=network.input.neutral,
            labels=tuple(goal_name(network, goal) for goal in goals),
            notes=notes,
        )


def goal_name(network: Network, goal: Objective) -> str:
    """How a caption calls a goal: a class's name for its logit, else the objective as typed."""
    units = goal.units
    if len(units) == 1 and units[0].layer == network.output and network.labels and repr(goal) == repr(units[0]):
        return network.label(units[0].channel)
    return repr(goal)

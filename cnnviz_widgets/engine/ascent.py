"""``ascend(network, goal, recipe) -> Frame, Frame, ...``: gradient ascent on a(x) - R(x), one frame a step.

The only optimisation loop in the project. One step is, for each image,

    x <- constrain(project(x + update(condition(gradient of score(transform(x)) - penalty(x)))))

It is a generator: the caller stops by not asking, pauses by waiting, and steers by sending another recipe. An image never
depends on what else is climbing: random numbers, norms and percentiles are its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from . import recipes
from .errors import near
from .layers import Unit
from .network import Network
from .objectives import Objective
from .recipes import Recipe
from .recording import Recording
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
) -> Generator[Frame, Recipe | None, None]:
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
        recipe's regularizers, stepper and number of steps. Ends early where no image moves any more; the last frame's
        notes tell why.

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
    runners = [_Climb(network, one, made.seed + copy) for one in goals for copy in range(copies)]
    return _frames(network, runners, made)


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


class _Climb:
    """One image on its way: its goal, its random numbers, and why it stopped."""

    def __init__(self, network: Network, goal: Objective, seed: int) -> None:
        self.goal = goal
        self.generator = torch.Generator().manual_seed(seed)
        self.note = ""
        self.units = ", ".join(str(unit) for unit in goal.units)

    def notice(self, step: int, score: float, gradient: Tensor, random: bool) -> bool:
        """Whether it can go on; notes the reason where it can't."""
        if not torch.isfinite(gradient).all() or score != score:
            self.note = (
                f"The gradient of {self.goal} is not finite at step {step} (the score is {score:.4g}), so the image stays as "
                "it is. NaN or infinite weights, or a network that overflows in half precision, do that."
            )
        elif not gradient.any() and not random:
            self.note = (
                f"The gradient of {self.goal} is exactly zero at step {step} (the score is {score:.4g}): the unit is off, as "
                "after a ReLU that passes nothing for this image, so no direction raises it. Another seed, stronger noise "
                "at the start or the layer before the ReLU may help."
            )
        return not self.note


@dataclass(eq=False)
class _Chunk:
    """Images that go through the network together, always as many as the recipe's chunk says; the last one is padded."""

    climbs: list[_Climb]
    latent: Tensor
    size: int
    image: Tensor = field(init=False)
    score: Tensor = field(init=False)
    probabilities: Tensor | None = field(init=False, default=None)
    gradients: tuple[Tensor, Tensor] | None = field(init=False, default=None)

    @property
    def moving(self) -> bool:
        return any(not climb.note for climb in self.climbs)


def _frames(network: Network, climbs: list[_Climb], recipe: Recipe) -> Generator[Frame, Recipe | None, None]:
    dtype = torch.float64 if network.dtype == torch.float64 else torch.float32
    neutral = network.input.neutral_image(torch.zeros((), dtype=dtype, device=network.device))
    layers = [name for climb in climbs for name in climb.goal.layers]
    chunks = [
        _begin(climbs[at : at + recipe.chunk], network, recipe, neutral) for at in range(0, len(climbs), recipe.chunk)
    ]
    with network.recording(layers) as record:
        step = 0
        while True:
            last = step >= recipe.steps
            for chunk in chunks:
                if chunk.moving or step == 0:
                    _look(chunk, record, recipe, neutral, step, gradient=not last)
            sent = yield _frame(step, chunks)
            if sent is not None:
                recipe = recipe.replace(**{name: getattr(sent, name) for name in STEERED})
            if step >= recipe.steps or not any(chunk.moving for chunk in chunks):
                return
            for chunk in chunks:
                if chunk.moving:
                    if chunk.gradients is None:  # the last frame, and then more steps were asked for
                        _look(chunk, record, recipe, neutral, step, gradient=True)
                    _advance(chunk, recipe, neutral, step)
            step += 1


def _begin(climbs: list[_Climb], network: Network, recipe: Recipe, neutral: Tensor) -> _Chunk:
    start = recipe.parameterization.init
    latents = [start(network.input.size, neutral, climb.generator) for climb in climbs]
    latents += [latents[-1]] * (recipe.chunk - len(climbs))
    latent = recipe.parameterization.constrain(torch.cat(latents), neutral)
    return _Chunk(climbs, latent, recipe.chunk)


def _look(chunk: _Chunk, record: Recording, recipe: Recipe, neutral: Tensor, step: int, *, gradient: bool) -> None:
    """Show the chunk's images to the network: scores, and gradients for the next update."""
    with torch.inference_mode(False), torch.set_grad_enabled(gradient):
        latent = chunk.latent.detach().requires_grad_(gradient)
        decoded = recipe.parameterization.decode(latent, neutral)
        image = decoded.detach().requires_grad_(gradient)
        shown = _transformed(chunk, recipe, image, step)
        activations = record(shown.to(record.network.dtype))
        scores = torch.stack([climb.goal(_one(activations, i))[0] for i, climb in enumerate(chunk.climbs)])
        if not gradient:
            chunk.gradients = None
        else:
            total = scores.to(image.dtype).sum()
            for prior in filling(recipe.regularizers, "penalty", step):
                total = total - prior.penalty(image)[: len(chunk.climbs)].sum()
            (slope,) = torch.autograd.grad(total, image, allow_unused=True)
            slope = torch.zeros_like(image) if slope is None else slope
            for prior in filling(recipe.regularizers, "condition", step):
                slope = prior.condition(slope)
            (latent_slope,) = torch.autograd.grad(decoded, latent, slope)
            chunk.gradients = (slope, latent_slope)
    chunk.image = image.detach()
    chunk.score = scores.detach()
    whole = record.output is not None and record.network.is_classifier
    chunk.probabilities = record.network.probabilities(record.output.detach()) if whole else None  # type: ignore[union-attr]


def _one(activations: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    return {name: values[number : number + 1] for name, values in activations.items()}


def _transformed(chunk: _Chunk, recipe: Recipe, image: Tensor, step: int) -> Tensor:
    priors = filling(recipe.regularizers, "transform", step)
    if not priors:
        return image
    singles = []
    for number, single in enumerate(image.split(1)):
        climb = chunk.climbs[min(number, len(chunk.climbs) - 1)]
        for prior in priors:
            single = prior.transform(single, climb.generator)
        singles.append(single)
    return torch.cat(singles)


@torch.no_grad()
def _advance(chunk: _Chunk, recipe: Recipe, neutral: Tensor, step: int) -> None:
    """One update of the chunk's images; those that can't go on stay as they are."""
    assert chunk.gradients is not None
    slope, latent_slope = chunk.gradients
    scores = chunk.score.tolist()
    alive = [
        not climb.note and climb.notice(step, scores[i], slope[i], recipe.random)
        for i, climb in enumerate(chunk.climbs)
    ]
    alive += [False] * (chunk.size - len(alive))
    score = torch.cat([chunk.score, chunk.score[-1:].expand(chunk.size - len(chunk.score))])
    parameterization = recipe.parameterization
    moved = chunk.latent + recipe.stepper.update(latent_slope, score)
    if priors := filling(recipe.regularizers, "project", step):
        x = parameterization.around_neutral(moved, neutral)
        for prior in priors:
            x = prior.project(x, slope, step)
        moved = parameterization.from_around_neutral(x, neutral)
    moved = parameterization.constrain(moved, neutral)
    mask = torch.tensor(alive, device=moved.device).view(-1, *[1] * (moved.dim() - 1))
    chunk.latent = torch.where(mask, moved, chunk.latent)
    chunk.gradients = None


def _frame(step: int, chunks: list[_Chunk]) -> Frame:
    def joined(name: str) -> Tensor:
        return torch.cat([getattr(chunk, name)[: len(chunk.climbs)] for chunk in chunks])

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
            if self.recipe.random:
                better = torch.ones_like(better)
            self._score = torch.where(better, frame.score, self._score)
            self._image = torch.where(better.view(-1, 1, 1, 1), frame.image, self._image)
            self._step = torch.where(better.cpu(), frame.step, self._step)
        self.curve.append(frame.score.cpu())

    def result(self, network: Network, goals: Sequence[Objective], *, interrupted: bool = False) -> Result:
        """What has been found so far."""
        notes = self.notes
        if interrupted:
            notes = tuple(note or f"Interrupted after step {len(self.curve) - 1}." for note in notes)
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

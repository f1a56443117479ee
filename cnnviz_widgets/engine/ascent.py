"""``ascend(network, goal, recipe) -> Frame, Frame, ...``: gradient ascent on a(x) - R(x), one frame a step.

The only optimisation loop in the project. One step is, for each image,

    x <- constrain(project(x + update(condition(gradient of score(transform(x)) - penalty(x)))))

`ascend` is a generator: the caller stops by not asking, pauses by waiting, and steers by sending another recipe. `Ascent` is
the same as an object that can also be brought back to a former step. An image never depends on what else is climbing: random
numbers, norms, percentiles, canvas, trial steps and the layers that are computed are its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from . import recipes
from .canvas import Canvas, Refusal, canvas
from .climbing import Chunk, ChunkState, Climb
from .layers import Unit
from .network import Network
from .objectives import Activation, Objective, probability
from .probing import probe
from .receptive_field import all_receptive_fields
from .recipes import Recipe
from .recording import Recording
from .regularizers import filling

Goal = Unit | Objective | Sequence[Unit | Objective]
Recipes = str | Recipe | Sequence[str | Recipe]
DEFAULT_RECIPE = "natural"
STEERED = ("regularizers", "stepper", "steps", "draws")


@dataclass(frozen=True)
class Path:
    """What a run did to make an image; ``str()`` tells it in a sentence.

    Attributes
    ----------
    run
        ``"shadow"``, a copy of the module on the same weights, or ``"borrowed"``, the module itself, which can't be copied.
    cut
        The layer that the forward pass ended at, or an empty text where it went to the network's output.
    folded
        How many normalisations were folded into the convolutions before them.
    canvas
        (top, left, height, width) of the part of the input that was climbed, None for all of it; ``canvas_told`` why.
    chunk
        How many images went through the network together, padding included.
    factor
        What the recipe's step was multiplied by after a trial, ``factor_told`` why; 1 without one.
    rescued
        Steps made with a redirected gradient, since the unit was off.
    """

    run: str
    cut: str
    folded: int
    layout: str
    canvas: tuple[int, int, int, int] | None
    canvas_told: str
    chunk: int
    factor: float
    factor_told: str
    rescued: int

    def crop(self, image: Tensor) -> Tensor:
        """(..., H, W) of the whole input -> the part that was climbed."""
        if self.canvas is None:
            return image
        top, left, height, width = self.canvas
        return image[..., top : top + height, left : left + width]

    def __str__(self) -> str:
        told = [f"cut at {self.cut}" if self.cut else "to the output", f"{self.folded} norms folded", self.layout]
        told.append("the module itself" if self.run == "borrowed" else "a copy on the same weights")
        if self.canvas:
            told.append(f"canvas {self.canvas[2]} × {self.canvas[3]} at row {self.canvas[0]}, column {self.canvas[1]}")
        elif self.canvas_told:
            told.append(f"full canvas: {self.canvas_told}")
        told.append(f"chunk {self.chunk}")
        if self.factor_told:
            told.append(self.factor_told)
        if self.rescued:
            told.append(f"redirected gradient in {self.rescued} steps, since the unit was off")
        return "; ".join(told)


@dataclass(frozen=True, eq=False)
class Frame:
    """What an ascent has come to.

    Frame 0 is the start, frame n the images after n updates.

    Attributes
    ----------
    image
        (B, C, H, W) in [0, 1], one image per recipe, goal and copy, not stretched for display. Where a smaller canvas was
        climbed, the rest is the mean colour.
    score
        (B,), each image's own score, penalties not counted in; with random transformations that of the transformed image.
    probabilities
        (B, classes), NaN for images whose objective does not reach the logits; None where none does.
    notes
        Per image why it no longer moves, in a sentence; an empty text while it does.
    paths
        Per image what was done to make it.
    """

    step: int
    image: Tensor
    score: Tensor
    probabilities: Tensor | None = None
    notes: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class AscentState:
    """An ascent at a step, to go back to."""

    step: int
    recipes: tuple[Recipe, ...]
    chunks: tuple[ChunkState, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(chunk.size for chunk in self.chunks)


@dataclass(frozen=True, eq=False)
class _Group:
    """Climbs that must not part, where their images are in the frame, and their canvas."""

    climbs: list[Climb]
    places: list[int]
    canvas: Canvas | Refusal


@dataclass(frozen=True, eq=False)
class _Part:
    """A chunk, the number of the recipe it follows, where its images are in the frame, and each one's canvas."""

    chunk: Chunk
    recipe: int
    places: list[int]
    record: Recording
    canvas: list[Canvas | Refusal]
    size: int


class Ascent:
    """Images on their way up, to be looked at, advanced, steered and brought back.

    The images are ordered by recipe, then goal, then copy. Use it in a ``with`` statement, or `close` it.

    Parameters
    ----------
    goals
        As `goals_of` gives them.
    recipes
        One or several; each goal is climbed by each. They follow one clock.
    copies
        Images per goal; copy i starts from the seed plus i.
    """

    def __init__(
        self, network: Network, goals: Sequence[Objective], recipes: Sequence[Recipe], copies: int = 1
    ) -> None:
        self.network = network
        self.recipes = tuple(recipes)
        self.goals = [suited(network, goal, made) for made in self.recipes for goal in goals for _ in range(copies)]
        self.step = 0
        self._probed = False
        self._recordings: dict[tuple[str, ...], Recording] = {}
        self._parts: list[_Part] = []
        try:
            with torch.inference_mode(False):
                dtype = torch.float64 if network.dtype == torch.float64 else torch.float32
                self._neutral = network.input.neutral_image(torch.zeros((), dtype=dtype, device=network.device))
                self._prepare(list(goals), copies)
        except BaseException:
            self.close()
            raise

    def _prepare(self, goals: list[Objective], copies: int) -> None:
        alike: dict[tuple[Any, ...], list[_Group]] = {}
        places = iter(range(len(self.goals)))
        for number, recipe in enumerate(self.recipes):
            for goal in goals:
                asked = suited(self.network, goal, recipe)
                bound = asked.bound(self.network)
                found = _canvas_of(self.network, bound, recipe)
                shifted = bound.mapped(found.moved) if isinstance(found, Canvas) else bound
                sides = (found.height, found.width) if isinstance(found, Canvas) else None
                together = copies if bound.together else 1
                key = (number, sides, bound.layers, max(recipe.chunk, together))
                for first in range(0, copies, together):
                    seeds = range(recipe.seed + first, recipe.seed + first + together)
                    climbs = [Climb(shifted, seed, asked) for seed in seeds]
                    group = _Group(climbs, [next(places) for _ in climbs], found)
                    alike.setdefault(key, []).append(group)
        for (number, sides, layers, size), groups in alike.items():
            if layers not in self._recordings:
                self._recordings[layers] = self.network.recording(layers, fold=True)
            for gathered in _packed(groups, size):
                self._parts.append(self._part(number, sides, self._recordings[layers], size, gathered))

    def _part(self, number: int, sides: Any, record: Recording, size: int, groups: list[_Group]) -> _Part:
        channels, *full = self.network.input.size
        shape = (channels, *(sides or full))
        chunk = Chunk([group.climbs for group in groups], size, record, self.recipes[number], self._neutral, shape)
        places = [place for group in groups for place in group.places]
        canvases = [group.canvas for group in groups for _ in group.climbs]
        return _Part(chunk, number, places, record, canvases, size)

    def __enter__(self) -> Ascent:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network."""
        for record in self._recordings.values():
            record.close()
        self._recordings, self._parts = {}, []

    @property
    def steps(self) -> int:
        """How many updates the longest recipe makes."""
        return max(recipe.steps for recipe in self.recipes)

    @property
    def over(self) -> bool:
        """Whether no image makes another step."""
        return not any(self._goes_on(part) for part in self._parts)

    def _goes_on(self, part: _Part) -> bool:
        return part.chunk.moving and self.step < self.recipes[part.recipe].steps

    def look(self) -> Frame:
        """Show the images to the network, at the step they are at."""
        if not self._parts:
            raise RuntimeError("this ascent is closed; Ascent(network, goals, recipes) opens another")
        for part in self._parts:
            recipe = self.recipes[part.recipe]
            if not part.chunk.seen or (part.chunk.moving and self.step <= recipe.steps):
                part.chunk.look(recipe, self.step, gradient=self._goes_on(part))
        return self._frame()

    def advance(self) -> None:
        """One update of every image that goes on."""
        if self.step == 0 and not self._probed:
            for part in self._parts:
                recipe = self.recipes[part.recipe]
                if recipe.stepper.probed and self._goes_on(part):
                    probe(part.chunk, recipe)
            self._probed = True
        for part in self._parts:
            if self._goes_on(part):
                part.chunk.advance(self.recipes[part.recipe], self.step)
            elif not part.chunk.seen:
                # its last look is at the step it ended at, whenever somebody asks
                part.chunk.look(self.recipes[part.recipe], self.step, gradient=False)
        self.step += 1

    def frames(self) -> Generator[Frame, Recipes | None, None]:
        """A frame now, and one after each update, to the end; a recipe that is sent is followed."""
        while True:
            sent = yield self.look()
            if sent is not None:
                self.follow(sent)
            if self.over:
                return
            self.advance()

    def follow(self, recipes: Recipes) -> None:
        """Have the coming steps follow other recipes' regularizers, stepper, number of steps and draws.

        One recipe is followed by all images; of several, each by those that began with the one in its place.
        """
        given = recipes_of(recipes)
        if len(given) not in (1, len(self.recipes)):
            raise ValueError(
                f"{len(given)} recipes were sent to an ascent of {len(self.recipes)}; expected 1 or that many"
            )
        given = given * len(self.recipes) if len(given) == 1 else given
        before = self.recipes
        pairs = zip(self.recipes, given, strict=True)
        self.recipes = tuple(own.replace(**{name: getattr(new, name) for name in STEERED}) for own, new in pairs)
        for part in self._parts:
            old, new = before[part.recipe], self.recipes[part.recipe]
            if old.stepper != new.stepper:
                part.chunk.unscale()
            moments = [filling(one.regularizers, name, self.step) for one in (old, new) for name in _SEEN]
            if moments[: len(_SEEN)] != moments[len(_SEEN) :] or old.draws != new.draws:
                part.chunk.forget()

    def state(self) -> AscentState:
        """Where the ascent is, for `restore`."""
        return AscentState(self.step, self.recipes, tuple(part.chunk.state(self.step) for part in self._parts))

    def restore(self, state: AscentState) -> None:
        """Be as at that state; what comes is what came then, bit for bit."""
        self.step, self.recipes = state.step, state.recipes
        self._probed = state.step > 0
        for part, chunk in zip(self._parts, state.chunks, strict=True):
            part.chunk.restore(chunk)
            if chunk.step < state.step:
                part.chunk.look(self.recipes[part.recipe], chunk.step, gradient=False)

    def anatomy(self, number: int = 0) -> list[tuple[str, Tensor]]:
        """What the next step will do to one image; see `Chunk.anatomy`. Each part is (C, H, W), of the image's canvas."""
        if not 0 <= number < len(self.goals):
            raise ValueError(f"image {number}; expected a number from 0 to {len(self.goals) - 1}")
        part = next(part for part in self._parts if number in part.places)
        at = part.places.index(number)
        found = part.chunk.anatomy(self.recipes[part.recipe], self.step)
        return [(name, images[at]) for name, images in found]

    def _frame(self) -> Frame:
        count = len(self.goals)
        first = self._parts[0].chunk
        image = self._neutral.expand(count, *self.network.input.size).clone().to(first.image.dtype)
        score = first.score.new_empty(count)
        told = next((part.chunk.probabilities for part in self._parts if part.chunk.probabilities is not None), None)
        probabilities = None if told is None else told.new_full((count, told.shape[1]), torch.nan)
        notes, paths = [""] * count, {}
        for part in self._parts:
            for at, place in enumerate(part.places):
                found = part.canvas[at]
                target = found.crop(image[place]) if isinstance(found, Canvas) else image[place]
                target.copy_(part.chunk.image[at])
                notes[place] = part.chunk.climbs[at].note
                paths[place] = _path(part, at)
            score[part.places] = part.chunk.score
            if probabilities is not None and part.chunk.probabilities is not None:
                probabilities[part.places] = part.chunk.probabilities
        return Frame(
            self.step, image, score, probabilities, tuple(notes), tuple(paths[place] for place in range(count))
        )


_SEEN = ("transform", "penalty", "condition")
"""The moments that come before an update, so that a look made already is none of another recipe's."""


def _canvas_of(network: Network, goal: Objective, recipe: Recipe) -> Canvas | Refusal:
    """The part of the input that is to be climbed; found once per goal and network."""
    if not goal.local or recipe.canvas == "full":
        return Refusal("")
    if recipe.parameterization.photograph is not None:
        return Refusal("it starts from a photograph")
    fields = network.once("receptive fields", lambda: all_receptive_fields(network))
    return cast(Canvas | Refusal, network.once(("canvas", goal.units), lambda: canvas(network, goal.units, fields)))


def _packed(groups: list[_Group], size: int) -> Iterable[list[_Group]]:
    """In chunks of at most ``size`` images, groups whole."""
    gathered: list[_Group] = []
    for group in groups:
        if gathered and sum(len(held.climbs) for held in gathered) + len(group.climbs) > size:
            yield gathered
            gathered = []
        gathered.append(group)
    if gathered:
        yield gathered


def _path(part: _Part, at: int) -> Path:
    climb, found, record = part.chunk.climbs[at], part.canvas[at], part.record
    where = (found.top, found.left, found.height, found.width) if isinstance(found, Canvas) else None
    return Path(
        run=record.path,
        cut=record.cut,
        folded=record.folded,
        layout=record.layout,
        canvas=where,
        canvas_told=found.reason if isinstance(found, Refusal) else "",
        chunk=part.size,
        factor=climb.factor,
        factor_told=climb.factor_told,
        rescued=climb.rescued,
    )


def goals_of(network: Network, goal: Goal) -> list[Objective]:
    """A unit, an objective or a list of them as a list of objectives, checked against the network."""
    listed: Iterable[Any] = goal if isinstance(goal, list | tuple) else [goal]
    goals = [Objective.ensure(one) for one in listed]
    if not goals:
        raise ValueError("no goal was given; expected a unit, an objective, or a list of them")
    for one in goals:
        one.bound(network)
    return goals


def suited(network: Network, goal: Objective, recipe: Recipe) -> Objective:
    """The goal as a recipe wants it: where its step rule is one for probabilities, a class's probability instead of its logit."""
    asks = recipe.stepper.of_probability and isinstance(goal, Activation) and not goal.at
    if asks and isinstance(goal, Activation) and goal.unit.layer == network.output and network.is_classifier:
        return probability(goal.unit)
    return goal


def recipes_of(recipe: Recipes, **fields: Any) -> tuple[Recipe, ...]:
    """A name, a recipe or a list of them as recipes, with some fields replaced."""
    listed = recipe if isinstance(recipe, list | tuple) else [recipe]
    if not listed:
        raise ValueError(f"no recipe was given; expected one or several of {', '.join(recipes.names())}")
    return tuple(recipes.get(one).replace(**fields) for one in listed)  # type: ignore[arg-type]


def ascend(
    network: Network, goal: Goal, recipe: Recipes = DEFAULT_RECIPE, *, copies: int = 1, **fields: Any
) -> Generator[Frame, Recipes | None, None]:
    """Climb, one `Frame` a step.

    Parameters
    ----------
    goal
        A unit, an objective, or a list of them, one image each.
    recipe
        A preset's name or a `Recipe`; a list of them makes each goal by each recipe, side by side.
    copies
        Images per goal; copy i starts from the seed plus i.
    fields
        Replace that whole field of the recipe: ``steps=256``, ``regularizers=[...]``.

    Yields
    ------
    Frame
        The start, then one per update. ``send(recipe)`` in place of ``next()`` makes the coming steps follow the other
        recipe's regularizers, stepper, number of steps and draws, the very next one already. Ends early where no image moves
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
    >>> scores = [float(frame.score) for frame in ascend(net, net["0"][2], "none", steps=3)]
    >>> scores == sorted(scores)
    True
    """
    goals = goals_of(network, goal)
    if copies < 1:
        raise ValueError(f"copies={copies}; expected 1 or more")
    made = recipes_of(recipe, **fields)

    def frames() -> Generator[Frame, Recipes | None, None]:
        with Ascent(network, goals, made, copies) as ascent:
            yield from ascent.frames()

    return frames()

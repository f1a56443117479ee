"""``Chunk(climbs).look(); .advance()``: images that go through the network together, one step of their ascent at a time.

What makes an image independent of its companions is here: a chunk has always the same size, padded where images are few,
random numbers are each image's own, and an image that can't go on is left out without touching the others. Only copies of a
goal that compares them (`Objective.together`) know of each other; they never part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import rescue
from .objectives import Objective
from .recipes import Recipe
from .recording import Recording
from .regularizers import Regularizer, filling

_MOVING, _NOT_FINITE, _ZERO, _LOST = range(4)


class Climb:
    """One image on its way.

    Attributes
    ----------
    goal
        What is computed, in the terms of its canvas; ``asked`` is the goal as it was given.
    factor
        What its steps are multiplied by, as a trial found best; see `cnnviz_widgets.engine.probing`.
    rescued
        Steps made with a redirected gradient, since the unit was off; see `cnnviz_widgets.engine.rescue`.
    vain
        How many times a redirected gradient was asked for and was zero as well.
    note
        Why it stopped, or an empty text; ``broke`` whether it was for numbers that are none.
    """

    def __init__(self, goal: Objective, seed: int, asked: Objective | None = None) -> None:
        self.goal = goal
        self.asked = asked if asked is not None else goal
        self.generator = torch.Generator().manual_seed(seed)
        self.drawn = self.generator.get_state()
        self.factor = 1.0
        self.factor_told = ""
        self.rescued = 0
        self.vain = 0
        self.note = ""
        self.broke = False

    def stop(self, reason: int, step: int, score: float) -> None:
        """Note why it goes no further."""
        told = f"at step {step} (the score is {score:.4g})"
        self.broke = reason != _ZERO
        if reason == _NOT_FINITE:
            self.note = (
                f"The score or the gradient of {self.asked} is not finite {told}, so the image stays as it is. NaN or "
                "infinite weights, or a network that overflows in half precision, do that."
            )
        elif reason == _ZERO:
            tried = (
                f" Redirecting its gradient for the first {self.rescued} steps did not help." if self.rescued else ""
            )
            self.note = (
                f"The gradient of {self.asked} is exactly zero {told}: the unit is off, as after a ReLU that passes nothing "
                "for this image, at its ceiling, as a whole map after a ReLU6, or nothing differentiable leads to it, so no "
                f"direction raises it.{tried} Another seed, "
                "stronger noise at the start or the value before the nonlinearity, objectives.activation(unit, at='pre'), may "
                "help."
            )
        elif reason == _LOST:
            self.note = (
                f"A regularizer or the stepper turned the image for {self.asked} into NaN or infinite values at step {step}, "
                "so it stays as it was before."
            )


@dataclass(frozen=True)
class ChunkState:
    """All that a chunk is at a step, to go back to.

    ``step`` is that of its last look where nothing has moved since.
    """

    step: int
    latent: Tensor
    stepper: dict[str, Tensor]
    stepper_kind: type
    stopped: Tensor
    climbs: tuple[tuple[Tensor, float, str, int, int, str], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        tensors = [self.latent, *self.stepper.values(), *(climb[0] for climb in self.climbs)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Chunk:
    """The images of some climbs, as many as ``size`` with the padding.

    Parameters
    ----------
    groups
        The climbs in groups, the copies of a goal that compares them together, else each alone.
    shape
        (C, H, W) of their images, the canvas.

    Attributes
    ----------
    image
        (n, C, H, W) in [0, 1], as the network last saw them, without padding or transformation.
    score
        (n,), of the last look.
    probabilities
        (n, classes) where the pass reached the output of a classifier, else None.
    seen
        Whether these are of the images as they are now.
    """

    image: Tensor
    score: Tensor
    probabilities: Tensor | None = None

    def __init__(
        self,
        groups: Sequence[Sequence[Climb]],
        size: int,
        record: Recording,
        recipe: Recipe,
        neutral: Tensor,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        self.climbs = [climb for group in groups for climb in group]
        ends = torch.tensor([len(group) for group in groups]).cumsum(0).tolist()
        self._groups = [slice(end - len(group), end) for group, end in zip(groups, ends, strict=True)]
        self._padding = size - len(self.climbs)
        self._record = record
        self._neutral = neutral
        # asked once: the network looks through its module for each of these
        self._dtype, self._tells_classes = record.network.dtype, record.network.is_classifier
        self._probable = record.network.gives_probabilities
        self._parameterization = recipe.parameterization
        self._stepper_state: dict[str, Tensor] = {}
        self._stepper: Any = type(recipe.stepper)
        self._gradients: tuple[Tensor, Tensor, Tensor] | None = None
        self._redirected: list[bool] = []
        self._vain: list[bool] = []
        self._looked = -1
        self.seen = False
        self._asked_host = 1 if neutral.device.type == "cpu" else 10
        with torch.inference_mode(False), torch.no_grad():
            shape = shape or record.network.input.size
            starts = [self._parameterization.init(shape, neutral, climb.generator) for climb in self.climbs]
            starts += [starts[-1]] * self._padding
            self._latent = self._parameterization.constrain(torch.cat(starts), neutral)
        self._stopped = torch.zeros(len(starts), dtype=torch.bool, device=neutral.device)
        self._why: Tensor | None = None

    @property
    def moving(self) -> bool:
        """Whether any of its images can still go on."""
        return any(not climb.note for climb in self.climbs)

    def deviation(self) -> Tensor:
        """(n,) on the host: the root mean square difference from the neutral colour of the images that were last seen."""
        return (self.image - self._neutral).square().flatten(1).mean(1).sqrt().cpu()

    def forget(self) -> None:
        """Drop the gradients, so that the next step looks again, at other regularizers."""
        self._gradients = None
        for climb in self.climbs:
            climb.vain = 0

    def unscale(self) -> None:
        """Take steps as the stepper gives them, whatever a trial of another one found."""
        for climb in self.climbs:
            climb.factor, climb.factor_told = 1.0, ""

    def state(self, step: int) -> ChunkState:
        """What it is before the update of ``step``, for `restore`."""
        climbs = tuple((c.drawn if self.seen else c.generator.get_state(),
                        c.factor, c.factor_told, c.rescued, c.vain, c.note) for c in self.climbs)  # fmt: skip
        stepper = _cloned(self._stepper_state)
        at = self._looked if self.seen else step
        return ChunkState(at, self._latent.clone(), stepper, self._stepper, self._stopped.clone(), climbs)

    def restore(self, state: ChunkState) -> None:
        """Be as at that state."""
        # what is cloned in inference mode could never have a gradient again
        with torch.inference_mode(False):
            self._latent, self._stopped = state.latent.clone(), state.stopped.clone()
            self._stepper, self._stepper_state = state.stepper_kind, _cloned(state.stepper)
        for climb, (drawn, factor, told, rescued, vain, note) in zip(self.climbs, state.climbs, strict=True):
            climb.generator.set_state(drawn)
            climb.factor, climb.factor_told, climb.rescued = factor, told, rescued
            climb.vain, climb.note = vain, note
            climb.broke = climb.broke and bool(note)
        self._gradients, self._looked, self._why, self.seen = None, -1, None, False

    def look(self, recipe: Recipe, step: int, *, gradient: bool) -> None:
        """Show the images to the network: scores, and gradients for the next update."""
        self._rewind(step)
        with torch.inference_mode(False), torch.set_grad_enabled(gradient):
            latent = self._latent.detach().requires_grad_(gradient)
            decoded = _each(self._parameterization.decode, latent, self._neutral)
            # taking the neutral colour off and adding it again may leave [0, 1] by a rounding error
            image = decoded.detach().clamp(0, 1).requires_grad_(gradient)
            score, rise = self._asked(recipe, image, step, gradient)
            self._gradients, self._redirected, self._vain = None, [], []
            if gradient:
                if step < rescue.STEPS:
                    rise = self._rescued(recipe, image, step, rise)
                slope = rise - self._resistance(image, filling(recipe.regularizers, "penalty", step))
                for prior in filling(recipe.regularizers, "condition", step):
                    slope = _same_shape(prior, "condition", prior.condition(slope), slope)
                (latent_slope,) = torch.autograd.grad(decoded, latent, slope)
                self._gradients = rise, slope, latent_slope
        self.image, self.score, self.seen = image.detach()[: len(self.climbs)], score, True
        if not gradient:
            self._note()

    def _rewind(self, step: int) -> None:
        """A second look at the same step draws the same random numbers."""
        for climb in self.climbs:
            if step == self._looked:
                climb.generator.set_state(climb.drawn)
            else:
                climb.drawn = climb.generator.get_state()
        self._looked = step

    def _asked(self, recipe: Recipe, image: Tensor, step: int, gradient: bool) -> tuple[Tensor, Tensor]:
        """The scores (n,) and their gradients (B, C, H, W), averaged over the draws."""
        priors = filling(recipe.regularizers, "transform", step)
        draws = recipe.draws if priors else 1
        score, rise = image.new_zeros(len(self.climbs)), torch.zeros_like(image)
        for _ in range(draws):
            seen = self._transformed(priors, image)
            activations = self._record(seen.to(self._dtype))
            scores = [goal(_some(activations, group)) for group, goal in self._goals()]
            if gradient:
                rise += self._slope(scores, image) / draws
            score += torch.cat(scores).detach().to(score.dtype) / draws
        if self._tells_classes and self._record.output is not None:
            scores_of_classes = self._record.output.detach().flatten(1).float()
            told = scores_of_classes if self._probable else scores_of_classes.softmax(1)
            self.probabilities = told[: len(self.climbs)]
        return score, rise

    def _goals(self) -> list[tuple[slice, Objective]]:
        return [(group, self.climbs[group.start].goal) for group in self._groups]

    def _transformed(self, priors: list[Regularizer], image: Tensor) -> Tensor:
        if not priors:
            return image
        singles = []
        for climb, single in zip(self.climbs, image.split(1), strict=False):
            for prior in priors:
                single = prior.transform(single, climb.generator)
            singles.append(_fitting(single, image.shape[-2], image.shape[-1]))
        return torch.cat([*singles, *[singles[-1].detach()] * self._padding])

    def _slope(self, scores: list[Tensor], image: Tensor) -> Tensor:
        """The gradients of the scores with respect to the images, zero for those that have stopped."""
        alive = [not climb.note for climb in self.climbs]
        sums = {number: scores[number][_kept(alive, group)].sum() for number, group in enumerate(self._groups)
                if any(alive[group])}  # fmt: skip
        if not sums:
            return torch.zeros_like(image)
        several = len(sums) > 1
        slope = _gradient(torch.stack(list(sums.values())).sum().to(image.dtype), image, retain=several)
        if several and not bool(slope.isfinite().all()):
            # in a backward pass for all, zero times the NaN or infinity of a companion's layer is NaN
            for number, total in sums.items():
                group = self._groups[number]
                slope[group] = _gradient(total.to(image.dtype), image, retain=True)[group]
        return slope

    def _rescued(self, recipe: Recipe, image: Tensor, step: int, rise: Tensor) -> Tensor:
        """The gradients, redirected for the images whose unit is off."""
        off = [
            not (climb.note or flows or climb.vain >= rescue.TRIES)
            for climb, flows in zip(self.climbs, _any(rise), strict=False)
        ]
        if not any(off):
            return rise
        probabilities = self.probabilities
        self._rewind(step)
        with rescue.redirected():
            _, redirected = self._asked(recipe, image, step, True)
        self.probabilities = probabilities
        # a step may be looked at twice; it counts when it is made
        tried = list(zip(off, _any(redirected), strict=False))
        self._redirected = [was_off and flows for was_off, flows in tried]
        self._vain = [was_off and not flows for was_off, flows in tried]
        chosen = torch.tensor([*off, *[False] * self._padding], device=rise.device)
        return torch.where(chosen.view(-1, 1, 1, 1), redirected, rise)

    def _resistance(self, image: Tensor, penalties: list[Regularizer]) -> Tensor:
        """The gradient of the penalties."""
        if not penalties:
            return torch.zeros_like(image)
        x = image.detach() - self._neutral
        x.requires_grad_()
        total = [_one_each(prior, prior.penalty(x), len(image)).sum() for prior in penalties]
        return _gradient(torch.stack(total).sum(), x, retain=False)

    def advance(self, recipe: Recipe, step: int) -> None:
        """One update of the images; those that can't go on stay as they are."""
        if self._gradients is None:
            self.look(recipe, step, gradient=True)
        assert self._gradients is not None
        if type(recipe.stepper) is not self._stepper:
            self._stepper, self._stepper_state = type(recipe.stepper), {}
        with torch.inference_mode(False), torch.no_grad():
            rise, slope, latent_slope = self._gradients
            self._gradients = None
            for climb, redirected, vain in zip(self.climbs, self._redirected, self._vain, strict=False):
                climb.rescued += redirected
                climb.vain += vain
            score = self._padded(self.score)
            finite = score.isfinite() & slope.flatten(1).isfinite().all(1)
            flows = rise.flatten(1).any(1) | recipe.random
            moved = self._moved(recipe, step, slope, latent_slope, self._stepper_state)
            kept = moved.flatten(1).isfinite().all(1)
            why = torch.where(kept, _MOVING, _LOST)
            why = torch.where(flows, why, _ZERO)
            why = torch.where(finite, why, _NOT_FINITE)
            self._stop(why, step, score)
            self._latent = torch.where(self._stopped.view(-1, *[1] * (moved.dim() - 1)), self._latent, moved)
            self.seen = not self.moving

    def _stop(self, why: Tensor, step: int, score: Tensor) -> None:
        """Stop those with a reason; to tell at once would make a GPU wait, so there it is every few steps and at the end."""
        told = torch.stack([why.to(score.dtype), torch.full_like(score, step), score])
        self._why = told if self._why is None else torch.where(self._why[0] > 0, self._why, told)
        self._stopped = self._stopped | (why > _MOVING)
        if step % self._asked_host == 0:
            self._note()

    def _note(self) -> None:
        """Have those that stopped know why."""
        told = [] if self._why is None else self._why.T.tolist()
        for climb, (reason, at, reached) in zip(self.climbs, told, strict=False):
            if reason and not climb.note:
                climb.stop(int(reason), int(at), reached)

    def _padded(self, values: Tensor) -> Tensor:
        return torch.cat([values, values[-1:].expand(self._padding)])

    def _moved(
        self,
        recipe: Recipe,
        step: int,
        slope: Tensor,
        latent_slope: Tensor,
        state: dict[str, Tensor],
        watch: Callable[[str, Tensor], None] | None = None,
    ) -> Tensor:
        parameterization, neutral = self._parameterization, self._neutral
        update = recipe.stepper.update(latent_slope, self._padded(self.score), state)
        if any(climb.factor != 1 for climb in self.climbs):
            factors = self._padded(update.new_tensor([climb.factor for climb in self.climbs]))
            update = update * factors.view(-1, *[1] * (update.dim() - 1))
        moved = self._latent + update
        priors = filling(recipe.regularizers, "project", step)
        if priors or watch:
            x = _each(parameterization.around_neutral, moved, neutral)
            if watch:
                watch("step", x)
        if priors:
            for prior in priors:
                x = _same_shape(prior, "project", prior.project(x, slope, step), x)
                if watch:
                    watch(type(prior).__name__, x)
            moved = _each(parameterization.from_around_neutral, x, neutral)
        return parameterization.constrain(moved, neutral)

    def anatomy(self, recipe: Recipe, step: int) -> list[tuple[str, Tensor]]:
        """What the next step will do, without doing it: (name, (n, C, H, W)) for the image minus the mean colour, what the
        network sees of it, the gradient, and the image minus the mean colour after the step and after each projection."""
        number = len(self.climbs)
        self.look(recipe, step, gradient=True)
        assert self._gradients is not None
        with torch.inference_mode(False), torch.no_grad():
            found = [("image", self.image - self._neutral)]
            if priors := filling(recipe.regularizers, "transform", step):
                drawn = [climb.generator.get_state() for climb in self.climbs]
                self._rewind(step)
                padded = torch.cat([self.image, self.image[-1:].expand(self._padding, -1, -1, -1)])
                found.append(("seen", self._transformed(priors, padded)[:number] - self._neutral))
                # one draw was shown, and the step may be averaged over several
                for climb, state in zip(self.climbs, drawn, strict=True):
                    climb.generator.set_state(state)
            _, slope, latent_slope = self._gradients
            found.append(("gradient", slope[:number]))
            self._moved(
                recipe,
                step,
                slope,
                latent_slope,
                _cloned(self._stepper_state) if type(recipe.stepper) is self._stepper else {},
                lambda name, x: found.append((name, x[:number])),
            )
        return found


def _cloned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _each(change: Callable[[Tensor, Tensor], Tensor], values: Tensor, neutral: Tensor) -> Tensor:
    """Image by image: what ends a tensor is computed by other instructions, so a sigmoid's last bits would tell the place."""
    return change(values, neutral) if len(values) == 1 else torch.cat([change(one, neutral) for one in values.split(1)])


def _some(activations: dict[str, Tensor], group: slice) -> dict[str, Tensor]:
    return {name: values[group] for name, values in activations.items()}


def _kept(alive: list[bool], group: slice) -> list[int]:
    return [number for number, lives in enumerate(alive[group]) if lives]


def _any(slope: Tensor) -> list[bool]:
    return slope.flatten(1).any(1).tolist()


def _gradient(total: Tensor, image: Tensor, *, retain: bool) -> Tensor:
    if not total.requires_grad:
        return torch.zeros_like(image)
    (slope,) = torch.autograd.grad(total, image, allow_unused=True, retain_graph=retain)
    return torch.zeros_like(image) if slope is None else slope


def _fitting(image: Tensor, height: int, width: int) -> Tensor:
    """Cropped in the centre, or padded with middle grey, to the size that the network takes."""
    tall, wide = image.shape[-2] - height, image.shape[-1] - width
    if not tall and not wide:
        return image
    top, left = tall // 2, wide // 2
    return functional.pad(image, (-left, left - wide, -top, top - tall), value=0.5)


def _one_each(prior: Regularizer, penalty: Tensor, images: int) -> Tensor:
    if not isinstance(penalty, Tensor) or penalty.shape != (images,):
        given = tuple(penalty.shape) if isinstance(penalty, Tensor) else penalty
        raise ValueError(
            f"penalty of {prior!r} gave {given} for {images} images; expected one number per image, the shape ({images},), "
            "as x.abs().flatten(1).mean(1) gives"
        )
    return penalty


def _same_shape(prior: Regularizer, moment: str, value: Tensor, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != like.shape:
        given = tuple(value.shape) if isinstance(value, Tensor) else value
        raise ValueError(f"{moment} of {prior!r} gave {given}; expected the shape it was given, {tuple(like.shape)}")
    return value

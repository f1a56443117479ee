"""``Chunk(climbs).look(); .advance()``: images that go through the network together, one step of their ascent at a time.

What makes an image independent of its companions is here: a chunk has always the same size, padded where images are few,
random numbers are each image's own, and an image that can't go on is left out without touching the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .objectives import Objective
from .recipes import Recipe
from .recording import Recording
from .regularizers import Regularizer, filling


class Climb:
    """One image on its way: its goal, its random numbers, and in ``note`` why it stopped."""

    def __init__(self, goal: Objective, seed: int) -> None:
        self.goal = goal
        self.generator = torch.Generator().manual_seed(seed)
        self.drawn = self.generator.get_state()
        self.note = ""

    def goes_on(self, step: int, score: float, gradient: Tensor, random: bool) -> bool:
        """Whether it can take another step; notes the reason where it can't."""
        if self.note:
            return False
        told = f"at step {step} (the score is {score:.4g})"
        if not (math.isfinite(score) and torch.isfinite(gradient).all()):
            self.note = (
                f"The score or the gradient of {self.goal} is not finite {told}, so the image stays as it is. NaN or "
                "infinite weights, or a network that overflows in half precision, do that."
            )
        elif not gradient.any() and not random:
            self.note = (
                f"The gradient of {self.goal} is exactly zero {told}: the unit is off, as after a ReLU that passes nothing "
                "for this image, or nothing differentiable leads to it, so no direction raises it. Another seed, stronger "
                "noise at the start or the layer before the ReLU may help."
            )
        return not self.note

    def lost(self, step: int) -> None:
        """Note that a regularizer or stepper gave no numbers."""
        self.note = (
            f"A regularizer or the stepper turned the image for {self.goal} into NaN or infinite values at step {step}, so it "
            "stays as it was before."
        )


class Chunk:
    """The images of some climbs, as many as ``size`` with the padding.

    Attributes
    ----------
    image
        (n, C, H, W) in [0, 1], as the network last saw them, without padding or transformation.
    score
        (n,), of the last look.
    probabilities
        (n, classes) where the pass reached the output of a classifier, else None.
    """

    image: Tensor
    score: Tensor
    probabilities: Tensor | None = None

    def __init__(self, climbs: Sequence[Climb], size: int, record: Recording, recipe: Recipe, neutral: Tensor) -> None:
        self.climbs = list(climbs)
        self._padding = size - len(self.climbs)
        self._record = record
        self._neutral = neutral
        self._parameterization = recipe.parameterization
        self._gradients: tuple[Tensor, Tensor] | None = None
        self._looked = -1
        with torch.inference_mode(False), torch.no_grad():
            shape = record.network.input.size
            starts = [self._parameterization.init(shape, neutral, climb.generator) for climb in self.climbs]
            starts += [starts[-1]] * self._padding
            self._latent = self._parameterization.constrain(torch.cat(starts), neutral)

    @property
    def moving(self) -> bool:
        """Whether any of its images can still go on."""
        return any(not climb.note for climb in self.climbs)

    def forget(self) -> None:
        """Drop the gradients, so that the next step looks again, at other regularizers."""
        self._gradients = None

    def look(self, recipe: Recipe, step: int, *, gradient: bool) -> None:
        """Show the images to the network: scores, and gradients for the next update."""
        self._rewind(step)
        with torch.inference_mode(False), torch.set_grad_enabled(gradient):
            latent = self._latent.detach().requires_grad_(gradient)
            decoded = self._parameterization.decode(latent, self._neutral)
            # taking the neutral colour off and adding it again may leave [0, 1] by a rounding error
            image = decoded.detach().clamp(0, 1).requires_grad_(gradient)
            activations = self._record(self._transformed(recipe, image, step).to(self._record.network.dtype))
            scores = [climb.goal(_one(activations, i))[0] for i, climb in enumerate(self.climbs)]
            self._gradients = None
            if gradient:
                slope = self._slope(scores, image, filling(recipe.regularizers, "penalty", step))
                for prior in filling(recipe.regularizers, "condition", step):
                    slope = _same_shape(prior, "condition", prior.condition(slope), slope)
                (latent_slope,) = torch.autograd.grad(decoded, latent, slope)
                self._gradients = slope, latent_slope
        number = len(self.climbs)
        self.image, self.score = image.detach()[:number], torch.stack(scores).detach()
        output, network = self._record.output, self._record.network
        whole = output is not None and network.is_classifier
        self.probabilities = network.probabilities(output.detach())[:number] if whole else None  # type: ignore[union-attr]

    def _rewind(self, step: int) -> None:
        """A second look at the same step draws the same random numbers."""
        for climb in self.climbs:
            if step == self._looked:
                climb.generator.set_state(climb.drawn)
            else:
                climb.drawn = climb.generator.get_state()
        self._looked = step

    def _transformed(self, recipe: Recipe, image: Tensor, step: int) -> Tensor:
        priors = filling(recipe.regularizers, "transform", step)
        if not priors:
            return image
        singles = []
        for climb, single in zip(self.climbs, image.split(1), strict=False):
            for prior in priors:
                single = prior.transform(single, climb.generator)
            singles.append(single)
        return torch.cat([*singles, *[singles[-1].detach()] * self._padding])

    def _slope(self, scores: list[Tensor], image: Tensor, penalties: list[Regularizer]) -> Tensor:
        """The gradient of score minus penalties with respect to the images, zero for those that have stopped."""
        gains = {i: scores[i].to(image.dtype) for i, climb in enumerate(self.climbs) if not climb.note}
        for prior in penalties:
            penalty = _one_each(prior, prior.penalty(image), len(image))
            gains = {i: gain - penalty[i] for i, gain in gains.items()}
        several = len(gains) > 1
        slope = _gradient(torch.stack(list(gains.values())).sum(), image, retain=several)
        if several:
            finite = slope.flatten(1).isfinite().all(1).tolist()
            # in a backward pass for all, zero times the NaN or infinity of a companion's layer is NaN
            for i in (i for i in gains if not finite[i]):
                slope[i] = _gradient(gains[i], image, retain=True)[i]
        return slope

    def advance(self, recipe: Recipe, step: int) -> None:
        """One update of the images; those that can't go on stay as they are."""
        if self._gradients is None:
            self.look(recipe, step, gradient=True)
        assert self._gradients is not None
        with torch.inference_mode(False), torch.no_grad():
            slope, latent_slope = self._gradients
            self._gradients = None
            told = zip(self.climbs, self.score.tolist(), slope, strict=False)
            alive = [climb.goes_on(step, score, gradient, recipe.random) for climb, score, gradient in told]
            moved = self._moved(recipe, step, slope, latent_slope)
            finite = moved.flatten(1).isfinite().all(1).tolist()
            for number, climb in enumerate(self.climbs):
                if alive[number] and not finite[number]:
                    climb.lost(step)
                    alive[number] = False
            mask = torch.tensor(alive + [False] * self._padding, device=moved.device)
            self._latent = torch.where(mask.view(-1, *[1] * (moved.dim() - 1)), moved, self._latent)

    def _moved(self, recipe: Recipe, step: int, slope: Tensor, latent_slope: Tensor) -> Tensor:
        score = torch.cat([self.score, self.score[-1:].expand(self._padding)])
        parameterization, neutral = self._parameterization, self._neutral
        moved = self._latent + recipe.stepper.update(latent_slope, score)
        if priors := filling(recipe.regularizers, "project", step):
            x = parameterization.around_neutral(moved, neutral)
            for prior in priors:
                x = _same_shape(prior, "project", prior.project(x, slope, step), x)
            moved = parameterization.from_around_neutral(x, neutral)
        return parameterization.constrain(moved, neutral)


def _one(activations: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    return {name: values[number : number + 1] for name, values in activations.items()}


def _gradient(total: Tensor, image: Tensor, *, retain: bool) -> Tensor:
    if not total.requires_grad:
        return torch.zeros_like(image)
    (slope,) = torch.autograd.grad(total, image, allow_unused=True, retain_graph=retain)
    return torch.zeros_like(image) if slope is None else slope


def _one_each(prior: Regularizer, penalty: Tensor, images: int) -> Tensor:
    if not isinstance(penalty, Tensor) or penalty.shape != (images,):
        given = tuple(penalty.shape) if isinstance(penalty, Tensor) else penalty
        raise ValueError(
            f"penalty of {prior!r} gave {given} for {images} images; expected one number per image, the shape ({images},), "
            "as image.abs().flatten(1).mean(1) gives"
        )
    return penalty


def _same_shape(prior: Regularizer, moment: str, value: Tensor, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != like.shape:
        given = tuple(value.shape) if isinstance(value, Tensor) else value
        raise ValueError(f"{moment} of {prior!r} gave {given}; expected the shape it was given, {tuple(like.shape)}")
    return value

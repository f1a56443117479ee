"""``occlusion(network, image, unit) -> Attribution``: what the score loses when a window of the image is hidden."""

from __future__ import annotations

import dataclasses
import operator
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.objectives import Objective
from cnnviz_widgets.engine.progress import Clock, Progress

from .base import Attribution, Question, question

if TYPE_CHECKING:
    from cnnviz_widgets.engine.network import Network
    from cnnviz_widgets.engine.recording import Recording

_FOLDED_FROM = 24
"""Windows from which on folding the network's normalisations pays."""

Sides = int | tuple[int, int] | None
Place = tuple[int, int]
"""(top, left) of a window."""


def occlusion(
    network: Network,
    image: Any,
    goal: Unit | Objective | None = None,
    *,
    window: Sides = None,
    stride: Sides = None,
    batch: int = 16,
) -> Attribution:
    """What the score loses when a place is hidden behind a window in the network's mean colour.

    Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2, who show the probability that
    is left; for theirs give ``objectives.probability(net.unit(...))``. A place that several windows hide gets their mean.

    Parameters
    ----------
    network
        A `Network`, whose module stays as it is. No gradient is needed.
    image
        One image: a path, a Pillow image, a uint8 array (H, W[, C]) or a float tensor (C, H, W) in [0, 1].
    goal
        A unit of any layer, as ``net.unit("flamingo")`` or ``net["conv1"][17]``, or an objective; None: the class that the
        network takes the image for.
    window
        Side of the window in pixels of the input, or (height, width); None: a seventh of the input.
    stride
        Pixels from one window to the next, at most the window's side; None: half of it.
    batch
        Images that go through the network together.

    Returns
    -------
    Attribution
        Its map (H, W) is above zero where hiding lowers the score, below where it raises it, in units of the score.

    Raises
    ------
    ImageError, TypeError, ValueError
        The image or the goal is none, the score is not finite, or a number is out of range.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> net = Network(nn.Conv2d(1, 1, 1), InputSpec(size=(1, 4, 4)))
    >>> tuple(occlusion(net, torch.rand(1, 4, 4), net.output[0], window=2).map.shape)
    (4, 4)
    """
    steps = occluding(network, image, goal, window=window, stride=stride, batch=batch)
    return deque(steps, maxlen=1)[0].result


def occluding(
    network: Network,
    image: Any,
    goal: Unit | Objective | None = None,
    *,
    window: Sides = None,
    stride: Sides = None,
    batch: int = 16,
) -> Iterator[Progress[Attribution]]:
    """`occlusion` as it comes, a progress per batch, the map first coarse and then finer.

    Yields
    ------
    Progress
        Counted in windows; its result is an `Attribution` whose map is NaN where nothing was hidden yet.

    Raises
    ------
    ImageError, TypeError, ValueError
        As `occlusion`, at once and not with the first progress.
    """
    size = network.input.size[1:]
    windows = _sides(window, [max(1, round(side / 7)) for side in size], size, "window")
    strides = _sides(stride, [max(1, side // 2) for side in windows], windows, "stride")
    if batch < 1:
        raise ValueError(f"batch={batch}; expected 1 or more images")
    return _occluding(question(network, image, goal), windows, _places(size, windows, strides), batch)


def _sides(given: Sides, usual: list[int], most: tuple[int, ...], what: str) -> tuple[int, int]:
    listed = usual if given is None else list(given) if isinstance(given, tuple | list) else [given, given]
    try:
        sides = [operator.index(side) for side in listed]
    except TypeError:
        sides = []
    if len(sides) != 2 or not all(1 <= side <= limit for side, limit in zip(sides, most, strict=True)):
        raise ValueError(
            f"{what}={given!r}; expected a number of pixels, or (height, width), from 1 to {most[0]} and {most[1]}"
            + (", so that no pixel is left out" if what == "stride" else ", the input's size")
        )
    return sides[0], sides[1]


def _places(size: tuple[int, ...], windows: tuple[int, int], strides: tuple[int, int]) -> list[Place]:
    """Where windows begin: first those that lie side by side, then those between."""
    axes = []
    for side, window, stride in zip(size, windows, strides, strict=True):
        starts = [*range(0, side - window, stride), side - window]
        # every so many-th window covers all
        apart = 1
        while 2 * apart * stride <= window:
            apart *= 2
        axes.append([(start, _fineness(number, apart, len(starts))) for number, start in enumerate(starts)])
    found = [(max(fine, finer), top, left) for top, fine in axes[0] for left, finer in axes[1]]
    return [(top, left) for _, top, left in sorted(found)]


def _fineness(number: int, apart: int, count: int) -> int:
    """0 for the windows of the coarsest grid, 1 for those that halve it, and so on."""
    level = 0
    while number % apart and number != count - 1:
        apart //= 2
        level += 1
    return level


def _occluding(
    asked: Question, window: tuple[int, int], places: list[Place], batch: int
) -> Iterator[Progress[Attribution]]:
    clock = Clock(0, len(places))
    # the caller's mode is in force at each yield, and may be another one after it
    with torch.inference_mode(False):
        tally = _Tally(asked, window)
    with asked.network.recording(asked.bound.layers, fold=len(places) >= _FOLDED_FROM) as record:
        # the image as it is goes first; all passes are of one size, for another one changes the last bits of a score
        listed, size = [None, *places], min(batch, 1 + len(places))
        for first in range(0, len(listed), size):
            some = listed[first : first + size]
            with torch.inference_mode(False), torch.no_grad():
                answer = tally.hide(record, some, size)
            if done := first + len(some) - 1:
                yield clock.at(done, answer)


class _Tally:
    """What hiding has cost so far, by pixel."""

    def __init__(self, asked: Question, window: tuple[int, int]) -> None:
        self._asked, self._window = asked, window
        self._lost = torch.zeros(asked.image.shape[2:], dtype=torch.float64)
        self._times = torch.zeros_like(self._lost)
        self._whole: Attribution | None = None

    def hide(self, record: Recording, places: list[Place | None], size: int) -> Attribution:
        """Hide windows at more places, one at a time, in a pass of ``size`` images; None, first of all, is the whole image."""
        asked, (height, width) = self._asked, self._window
        scores = asked.score(record(_hidden(asked, self._window, places, size)))
        if self._whole is None:
            self._whole = asked.answer(self._lost, "occlusion", scores[0], record)
        for place, score in zip(places, scores.tolist(), strict=False):
            if place is not None:
                part = slice(place[0], place[0] + height), slice(place[1], place[1] + width)
                self._lost[part] += self._whole.score - score
                self._times[part] += 1
        # 0 / 0 is NaN, where no window was yet
        return dataclasses.replace(self._whole, map=(self._lost / self._times).float())


def _hidden(asked: Question, window: tuple[int, int], places: list[Place | None], size: int) -> Tensor:
    """(size, C, H, W): the image with a window hidden at each place; whole for None, and behind the last one."""
    neutral = asked.network.input.neutral_image(asked.image)
    images = asked.image.repeat(size, 1, 1, 1)
    for image, place in zip(images, places, strict=False):
        if place is not None:
            image[:, place[0] : place[0] + window[0], place[1] : place[1] + window[1]] = neutral
    return images

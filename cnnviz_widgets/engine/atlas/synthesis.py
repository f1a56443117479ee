"""``synthesizing(job, network) -> step, step, ..., Made``: the images of a chunk, as far as one stage goes.

Each stage climbs from the start. To go on where the former one ended would save a few steps in a hundred, and cost the state of
every image and its stepper on disk and on the way to workers; climbing again gives the same image with nothing kept.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cnnviz_widgets.engine.ascent import Ascent, Frame
from cnnviz_widgets.engine.canvas import Canvas, canvas
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import first_line
from cnnviz_widgets.engine.receptive_field import all_receptive_fields
from cnnviz_widgets.engine.threads import torch_threads
from cnnviz_widgets.engine.travel import Ticket

from .plan import Place
from .tile import png_of


@dataclass(frozen=True, eq=False)
class Job:
    """A stage of a chunk.

    Attributes
    ----------
    steps
        At which step it ends.
    finished
        Whether that is the recipe's end.
    """

    ticket: Ticket
    places: tuple[Place, ...]
    steps: int
    finished: bool

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (self.steps, *(place.key for place in self.places), *self.ticket.__dask_tokenize__())

    def __str__(self) -> str:
        first = self.places[0]
        return f"the images of {first.unit}{' and others' if len(self.places) > 1 else ''} by {first.name!r}"


@dataclass(frozen=True)
class Made:
    """What came of a job.

    Attributes
    ----------
    pictures
        Place's key -> PNG.
    faults
        Place's key -> why there is no image and never will be, such as a unit that nothing raises.
    failed
        Place's key -> why there is no image this time, such as a lack of memory.
    """

    pictures: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def made(job: Job, attempt: str) -> Made:
    """What a job gives; runs in a worker. ``attempt`` tells one try from another to engines that keep what they know."""
    network = job.ticket.network()
    with torch_threads(job.ticket.threads):
        *_, last = synthesizing(job, network)
    assert isinstance(last, Made)
    return last


def synthesizing(job: Job, network: Network) -> Generator[int | Made]:
    """How many steps were made, after each; at last what came of it."""
    try:
        _share_canvas(network, job.places)
        best = _Best(job.places)
        with Ascent(network, [place.goal for place in job.places], [job.places[0].recipe]) as ascent:
            frames = ascent.frames()
            for frame in frames:
                best.add(frame)
                if frame.step >= job.steps:
                    break
                yield frame.step
            frames.close()
        result = best.made(job, network)
    except Exception as error:  # what a user's module or regularizer raises must not end the whole atlas
        result = Made(failed={place.key: first_line(error) for place in job.places})
    yield result


def _share_canvas(network: Network, places: tuple[Place, ...]) -> None:
    """Let neurons at one position that see the same pixels have the canvas that was found for the first of them.

    To try a canvas costs more than many steps on it; and the trial looks at all channels at the position.
    """
    fields = network.once("receptive fields", lambda: all_receptive_fields(network))
    found: dict[tuple[Any, ...], Canvas] = {}
    for place in places:
        if place.recipe.canvas == "full" or not place.goal.local:
            continue
        units = place.goal.bound(network).units
        seen = [fields[unit.layer.name][unit] for unit in units]
        if any(one.status != "exact" for one in seen):
            continue
        alike = tuple((one.unit.layer, one.unit.index, one.box) for one in seen)
        shared = found.get(alike)
        # the key is that under which an ascent looks for it
        made = network.once(("canvas", units), lambda: shared or canvas(network, units, fields))  # noqa: B023
        if isinstance(made, Canvas):
            found[alike] = made


class _Best:
    """The image of each place that counts: that of the highest score, with random transformations the last, as of `maximize`."""

    def __init__(self, places: tuple[Place, ...]) -> None:
        self._random = places[0].recipe.random
        self.start: Frame
        self.last: Frame
        self._chosen: list[tuple[Tensor, float, int]] = []

    def add(self, frame: Frame) -> None:
        """Take a frame in."""
        scores = frame.score.tolist()
        if not self._chosen:
            self.start = frame
            self._chosen = [(frame.image[at], score, 0) for at, score in enumerate(scores)]
        for at, score in enumerate(scores):
            if self._random or score > self._chosen[at][1]:
                self._chosen[at] = (frame.image[at], score, frame.step)
        self.last = frame

    def made(self, job: Job, network: Network) -> Made:
        """Pictures, and faults of images that never moved."""
        found = Made()
        neutral = torch.tensor(network.input.neutral).view(-1, 1, 1)
        for at, (place, (image, score, step)) in enumerate(zip(job.places, self._chosen, strict=True)):
            note = self.last.notes[at]
            still = note and torch.equal(self.start.image[at], self.last.image[at])
            if still or not bool(torch.isfinite(torch.tensor(score))) or not bool(image.isfinite().all()):
                found.faults[place.key] = note or f"The score of {place.goal} is not finite."
                continue
            top, left, bottom, right = place.box
            facts = {
                "score": score,
                "step": step,
                "finished": job.finished,
                "note": note,
                "path": str(self.last.paths[at]),
                "probability": _probability(network, place, image),
            }
            seen = image[None, :, top:bottom, left:right]
            found.pictures[place.key] = png_of(place, seen, neutral, facts, job.ticket.digest)
        return found


def _probability(network: Network, place: Place, image: Tensor) -> float | None:
    """A class's probability for the image as it is, without transformations and companions."""
    if place.unit.layer != network.output or not network.is_classifier:
        return None
    with network.recording(network.output) as record, torch.no_grad():
        record(image[None].to(network.device, network.dtype))
        assert record.output is not None
        return float(network.probabilities(record.output)[0, place.unit.channel])

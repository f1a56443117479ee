"""``TopClasses``: what a network takes the frames of a run for, as bars."""

from __future__ import annotations

import time

from cnnviz_widgets.engine.ascent import Frame
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import BarChart

SHOWN = 5
EVERY = 1.0
"""Seconds between two looks at the classes of a frame on the way."""


class TopClasses:
    """The most probable classes of a run's frames, remembered by step so that one can look back.

    Where an ascent reaches the logits the classes of each step are known for nothing; else a frame goes through the network
    once more, at most once a second.
    """

    def __init__(self) -> None:
        self.bars = BarChart(unit="%", high=1.0)
        self._network: Network | None = None
        self._known: dict[int, list[tuple[str, float]]] = {}
        self._number = 0
        self._classes = 0
        self._looked = 0.0

    def begin(self, network: Network) -> None:
        """Forget the last run."""
        self._network, self._known, self._number, self._looked = network, {}, 0, 0.0
        # asked once: the network looks through its module for it
        self._classes = network.output.channels if network.is_classifier else 0
        if not self._classes:
            self.bars.show((), ())  # those of another network

    def back_to(self, step: int) -> None:
        """Forget what came after a step, as when the run is branched there."""
        self._known = {at: told for at, told in self._known.items() if at <= step}

    def look(self, frame: Frame, number: int = 0, *, at_once: bool = False) -> bool:
        """Take note of the classes of one of a frame's images; whether it is time to show them."""
        network = self._network
        if network is None or not self._classes:
            return False
        if number != self._number:
            self._known, self._number = {}, number
        if frame.probabilities is not None and not bool(frame.probabilities[number].isnan().any()):
            best = frame.probabilities[number].topk(min(SHOWN, self._classes))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            self._known[frame.step] = [(network.label(unit), value) for unit, value in pairs]
        if not at_once and time.monotonic() - self._looked < EVERY:
            return False
        if frame.step not in self._known:
            self._known[frame.step] = network.classify(frame.image[number : number + 1], SHOWN)[0]
        self._looked = time.monotonic()
        return True

    def show(self, step: int) -> None:
        """Show the classes known of the step nearest to this one."""
        if not self._known:
            return
        known = min(self._known, key=lambda other: abs(other - step))
        names, values = zip(*self._known[known], strict=True)
        self.bars.show(names, values, low=0, high=1, caption=f"what the network sees at step {known}")

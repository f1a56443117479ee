"""``SecondOpinion.ask(image)``: whether another network sees the same, or only this one is fooled."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import ipywidgets as widgets
from torch import Tensor
from torch.nn import functional

from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.sources import SECOND, load
from cnnviz_widgets.views import BarChart

SHOWN = 5
AGREES = 0.2
"""The probability from which on another network counts as seeing the class too; it does also where this is its first guess."""


class SecondOpinion:
    """Bars of what another network takes the image for, and a verdict in a sentence.

    Parameters
    ----------
    network
        The other network; None: EfficientNet-Lite1, loaded when it is first asked.
    """

    def __init__(self, network: Network | None = None) -> None:
        self._network = network
        self._lock = threading.Lock()
        self.bars = BarChart(unit="%", high=1.0)
        self.verdict = widgets.Label("")
        self.verdict.add_class("cnnviz-verdict")
        self.box = widgets.VBox([self.bars, self.verdict])
        self.box.layout.display = "none"

    def network(self) -> Network:
        """The other network; ``ImportError`` where it is not installed."""
        with self._lock:
            if self._network is None:
                self._network = load(SECOND)
            return self._network

    def hide(self) -> None:
        """Take the answer away, as when the image changes."""
        if self.box.layout.display != "none":
            self.box.layout.display = "none"

    def ask(self, image: Tensor, first: Network, label: str | None) -> str:
        """Show what the other network makes of an image (1, C, H, W) in [0, 1], and give the verdict.

        Parameters
        ----------
        label
            The class that was climbed; None where it was no class.

        Raises
        ------
        ValueError
            The networks do not take the same channels.
        """
        other = self.network()
        if other.input.size[0] != first.input.size[0]:
            raise ValueError(
                f"{other.name} takes {other.input.size[0]} channels, {first.name} {first.input.size[0]}; give one of as many: "
                "cnn.MaximizationPanel(net, second=other)"
            )
        sized = functional.interpolate(image.float(), other.input.size[1:], mode="bilinear", antialias=True).clamp(0, 1)
        seen = other.classify(sized, other.output.channels)[0]
        shown = seen[:SHOWN]
        self.bars.show(
            [name for name, _ in shown], [p for _, p in shown], low=0, high=1, caption=f"what {other.name} sees"
        )
        own = first.classify(image, first.output.channels)[0] if label is not None else []
        verdict = self._judged(_by_name(seen), _by_name(own), label, first, other)
        self.verdict.value = verdict
        self.box.layout.display = ""
        return verdict

    @staticmethod
    def _judged(
        seen: dict[str, float], own: dict[str, float], label: str | None, first: Network, other: Network
    ) -> str:
        if label is None or label not in seen or label not in own:
            return ""
        theirs, ours = seen[label], own[label]
        both = f"{label}: {ours:.1%} for {first.name}, {theirs:.1%} for {other.name}."
        if ours < AGREES:
            return f"{both} Not even the first network is convinced yet."
        if theirs >= AGREES or theirs == max(seen.values()):
            return f"{both} Both see it: more than a trick on one network."
        if sorted(seen.values(), reverse=True).index(theirs) < SHOWN:
            return f"{both} The other has it among its first {SHOWN}: it half agrees."
        return f"{both} Only the network it was made for sees it: it is fooled."


def _by_name(seen: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Of two classes of one name, as ImageNet's two cranes, the more probable one."""
    return dict(reversed(seen))

"""``UnitCard``: all that is known of one unit, in one view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network

from ._base import Panel, beside
from ._card_body import CardBody
from ._selection import Selection
from ._unit_controls import UnitControls

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure


class UnitCard(Panel):
    """All that is known of the selection's unit: its filter and what it sees, the images synthesized for it, the photographs that
    excite it most, how its activations are spread, the units like it, and the classes that it goes with.

    What takes a collection can be built here, and an image can be synthesized. A click on a photograph makes it the
    selection's, a click on a unit or a class that unit.

    Parameters
    ----------
    network
        A `Network`.
    unit
        A `Unit`, or the name of a class; None: the selection's.
    index
        An `ActivationIndex`; None: it can be built in the panel, from ``images``.
    images
        The collection, where there is no index.
    atlas
        An `Atlas`, whose images of the unit are shown.
    path
        Where an index that the panel builds is kept; None: in memory.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> panel = UnitCard(net, net["1"][2])
    >>> panel.wait()
    >>> panel.card.heading.value
    'channel 2 of 4; ReLU, 4 × 6 × 6'
    >>> print(panel.code())
    cnn.unit_facts(net, net['1'][2])
    >>> panel.close()
    """

    title = "Unit card"
    offers_card = False

    def __init__(
        self,
        network: Network,
        unit: Unit | str | None = None,
        index: ActivationIndex | None = None,
        images: Any = (),
        atlas: Atlas | None = None,
        *,
        path: str | Path | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._path = path
        chosen = Selection.of(network, images, selection, index)
        if unit is not None:
            chosen.unit = _checked(network, unit)
        if atlas is not None:
            chosen.atlas = atlas
        super().__init__(chosen)

    def _build(self) -> list[widgets.Widget]:
        self.units = UnitControls(self.selection, self._user)
        self.tree, self.channel, self.label = self.units.tree, self.units.channel, self.units.label
        self.card = CardBody(self.selection, self._path, self.refresh, self._told)
        row = beside(self.units.column, [self.card.box])
        row.children[1].add_class("cnnviz-broad")
        return [row]

    def _drawing(self) -> Callable[[], None]:
        drawing = self.card.drawing()

        def draw() -> None:
            self.units.show()
            drawing()

        return draw

    def _follow(self, name: str) -> None:
        if name == "network":
            with self._own_changes():
                self.units.refill()
        if name != "layer":  # the unit changes with it
            self.refresh()

    def _told(self, error: BaseException | None) -> None:
        """What was begun by a button failed, or began anew."""
        if error is None:
            self._lasting = False
            self._mended()
        else:
            self._failed(error, lasting=True)

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until the index is built and the image is made."""
        self.card.wait(seconds)
        super().wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.card.close()
        super().close()

    def figure(self) -> Figure:
        """The card as a figure."""
        return self.card.figure()

    def figure_code(self) -> str:
        return self.card.figure_code()

    def code(self) -> str:
        """Python code that prints the same facts."""
        return self.card.code()


def _checked(network: Network, unit: Any) -> Unit:
    if isinstance(unit, str):
        return network.unit(unit)
    if not isinstance(unit, Unit):
        raise TypeError(
            f"{type(unit).__name__} was given as a unit; expected net[layer][channel], or the name of a class"
        )
    return unit

"""``CardBody``: what a unit's card shows, drawn by whoever holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.unit_facts import UnitFacts, unit_facts
from cnnviz_widgets.views import Note

from ._card_images import ImagesPart, RelationsPart
from ._card_made import MadePart
from ._card_seen import FilterPart, SightPart, section, sentence, show_only
from ._code import index_code, unit_code
from ._indexing import IndexBuilder
from ._selection import Selection
from ._spread import Spread
from ._synthesis import Standing

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure


class CardBody:
    """All that is known of the selection's unit, each piece where it is known, and what makes those that are not.

    Parameters
    ----------
    path
        Where an index that is built here is kept; None: in memory.
    redraw
        Has `drawing` called and done.
    failed
        Gets what goes wrong on other threads; None where that is over.
    """

    def __init__(
        self,
        selection: Selection,
        path: str | Path | None,
        redraw: Callable[[], None],
        failed: Callable[[BaseException | None], None],
    ) -> None:
        self.selection, self._path, self._redraw, self._failed = selection, path, redraw, failed
        self._facts: tuple[Any, UnitFacts | None] = (None, None)
        self.name = widgets.Label("")
        self.name.add_class("cnnviz-title")
        self.heading = sentence()
        self.builder = IndexBuilder(selection, path, self._built, lambda: [selection.unit.layer])
        self.filter, self.sight = FilterPart(), SightPart()
        self.made = MadePart(self._standing, self._synthesized, failed)
        self.images = ImagesPart(selection, redraw)
        self.spread = Spread()
        self.spread_box = widgets.VBox([section("Activation over the collection"), *self.spread.column])
        self.relations = RelationsPart(selection)
        self.remark = Note()
        self.builder.button.on_click(lambda button: self.builder.pressed())
        first = _row([self.filter.box, self.made.box, self.sight.box])
        last = _row([self.spread_box, *self.relations.boxes])
        body = [self.builder.box, first, self.images.box, last, self.remark]
        self.box = widgets.VBox([self.name, self.heading, *body])

    def drawing(self) -> Callable[[], None]:
        """What draws the card as things are chosen now; to be done on a worker."""
        selection = self.selection
        chosen = (selection.network, selection.unit, selection.index, selection.atlas, selection.image)
        return lambda: self._draw(*chosen)

    def _draw(
        self, network: Network, unit: Unit, index: ActivationIndex | None, atlas: Atlas | None, image: Any
    ) -> None:
        others = [one for one in (index, atlas) if one is not None and one.network is not network]
        if others or network.layers.get(unit.layer.name) != unit.layer:  # all are about to change
            return
        self.builder.show()
        self.name.value = repr(unit)
        facts = self._known(network, unit, index)
        self.heading.value = facts.heading
        self.filter.show(network, facts.kernel, unit.channel)
        self.made.show(network, unit, atlas, "max" if index is None else index.plan.settings.pool)
        outdated = self.builder.outdated(index) if index is not None else ""
        apart = facts.similar is not None and facts.similar.basis == "top images"
        show_only(self.builder.box, index is None or not index.complete or bool(outdated) or apart)
        told = self.images.show(index if facts.matches else None, facts.channel)
        stale = bool(outdated and told)  # what was counted with other weights can't be measured again
        self._show_spread(None if stale else facts)
        self.relations.show(network, None if stale else facts)
        self.sight.show(network, unit, facts.sight, self._photograph(image))
        self.remark.show(" ".join(filter(None, [self._remark(unit, index, facts), outdated, told])))

    def _known(self, network: Network, unit: Unit, index: ActivationIndex | None) -> UnitFacts:
        """The facts, found out once for weights and index as they are."""
        key = (network, network.stamp(), unit, index)
        known, facts = self._facts
        if facts is None or known != key:
            facts = unit_facts(network, unit, index)
            self._facts = (key, facts)
        return facts

    def _remark(self, unit: Unit, index: ActivationIndex | None, facts: UnitFacts) -> str:
        if index is None:
            count = len(self.selection.images)
            return (
                self.builder.missing(count)
                or "No images yet: give some, images=cnn.ImageSet.from_folder(...), or an index."
            )
        neuron = ""
        if facts.matches and unit.position is not None:
            neuron = f"The index knows channels: images and numbers are those of {facts.channel}."
        features = ""
        if facts.similar is not None and facts.similar.basis == "top images":
            features = (
                f"Features of {unit.layer.name} are not kept, so likeness and labels go by the strongest images; "
                f"{'Build anew' if index.complete else 'once complete, Build anew'} keeps them, too."
            )
        return " ".join(filter(None, [neuron, features, *facts.missing]))

    def _photograph(self, image: Any) -> Any:
        """The chosen image itself, where an id was chosen."""
        images = self.selection.images
        return images[image] if isinstance(image, str) and image in images else image

    def _show_spread(self, facts: UnitFacts | None) -> None:
        known = facts.statistics if facts is not None else None
        show_only(self.spread_box, known is not None)
        with self.spread.lock:
            self.spread.show(known, None if facts is None or known is None else self.made.activation(facts.unit))

    def _standing(self) -> Standing:
        index = self.selection.index
        return self.selection.unit, self.selection.network, "max" if index is None else index.plan.settings.pool

    def _synthesized(self) -> None:
        """The image that is being made has a new picture."""
        _, facts = self._facts
        if facts is not None and facts.statistics is not None and facts.unit == self.selection.unit:
            self._show_spread(facts)

    def _built(self, error: BaseException | None) -> None:
        self._failed(error)
        self._redraw()

    def mark(self) -> None:
        """Mark the chosen image among those that excite the unit."""
        self.images.mark()

    def wait(self, seconds: float) -> None:
        """Wait until what was begun by a button has ended."""
        self.builder.wait(seconds)
        self.made.synthesis.wait(seconds)

    def close(self) -> None:
        """End what runs."""
        self.builder.close()
        self.made.close()
        self.spread.close()

    def code(self) -> str:
        """Python code that prints the same facts."""
        selection, unit = self.selection, unit_code(self.selection.unit, self.selection.network)
        if selection.index is None and not len(selection.images):
            return f"cnn.unit_facts(net, {unit})"
        kept = () if selection.index is None else [layer.name for layer in selection.index.plan.features]
        needed = [name for name in kept if name == selection.unit.layer.name]
        return f"{index_code(selection.index, self._path, needed)}\ncnn.unit_facts(net, {unit}, index)"

    def figure(self) -> Figure:
        """The card as a figure."""
        from cnnviz_widgets import figures

        selection = self.selection
        return figures.unit_card(selection.network, selection.unit, selection.index, atlas=selection.atlas)

    def figure_code(self) -> str:
        """Python code that gives `figure`."""
        selection = self.selection
        known = selection.index is not None or len(selection.images)
        told = (", index" if known else "") + (", atlas=atlas" if selection.atlas is not None else "")
        return f"cnn.figures.unit_card(net, {unit_code(selection.unit, selection.network)}{told})"


def _row(boxes: Sequence[widgets.Widget]) -> widgets.Widget:
    """Beside each other as far as there is room, the others below."""
    for box in boxes:
        box.add_class("cnnviz-main")
    row = widgets.HBox(list(boxes))
    row.add_class("cnnviz-row")
    return row

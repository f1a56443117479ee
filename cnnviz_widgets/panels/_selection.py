"""``Selection``: the one thing that panels share with each other."""

from __future__ import annotations

from typing import Any

import traitlets

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.image_set import ImageSet
from cnnviz_widgets.engine.index import ActivationIndex
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network


class Selection(traitlets.HasTraits):
    """What the panels look at; panels on one selection follow each other.

    Attributes
    ----------
    network
        The `Network`.
    layer, unit
        The chosen `Layer` and `Unit`. They belong together: another layer brings its first unit, another unit its layer.
    images
        An `ImageSet`; whatever counts as images becomes one.
    image
        The chosen image: an id of ``images``, or an image of its own, as an upload is; None without images.
    index
        The `ActivationIndex` of ``images``, complete or growing; None without one, and when network or images change.
    atlas
        The `Atlas` of the network, complete or growing; None without one, and when the network changes.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), InputSpec(size=(1, 8, 8)))
    >>> selection = Selection(net)
    >>> selection.unit = net["1"][3]
    >>> selection.layer.name
    '1'
    """

    network = traitlets.Instance(Network)
    layer = traitlets.Instance(Layer)
    unit = traitlets.Instance(Unit)
    image = traitlets.Any(None, allow_none=True)
    images = traitlets.Any()
    index = traitlets.Instance(ActivationIndex, allow_none=True)
    atlas = traitlets.Instance(Atlas, allow_none=True)

    def __init__(self, network: Network, images: Any = ()) -> None:
        _check_network(network)
        collection = ImageSet.of(images)
        layer = network.main_layers[0]
        self.builders: tuple[Any, ...] = ()
        """What builds the index, one in each panel that can."""
        super().__init__(
            network=network,
            layer=layer,
            unit=layer[0],
            images=collection,
            image=collection.ids[0] if len(collection) else None,
        )

    @classmethod
    def of(
        cls,
        network: Network,
        images: Any = (),
        selection: Selection | None = None,
        index: ActivationIndex | None = None,
    ) -> Selection:
        """The selection to look at: the given one, with other images or another index where some are given, else a new one.

        Raises
        ------
        TypeError, ValueError
            No `Network`, or another one than the given selection's.
        """
        _check_network(network)
        if index is not None and not isinstance(index, ActivationIndex):
            raise TypeError(
                f"{type(index).__name__} was given as an index; expected cnn.ActivationIndex.build(net, images), or images=..."
            )
        if selection is None:
            made = cls(network, images if index is None else index.images)
            made.index = index
            return made
        if selection.network is not network:
            raise ValueError(
                f"the selection looks at another network, {selection.network.name}; set selection.network = net for all "
                "panels on it, or leave selection out"
            )
        if len(collection := ImageSet.of(images)):
            selection.images = collection
        if index is not None:
            selection.index = index
        return selection

    @traitlets.validate("images")
    def _as_images(self, proposal: Any) -> ImageSet:
        return ImageSet.of(proposal["value"])

    @traitlets.validate("index")
    def _known_index(self, proposal: Any) -> ActivationIndex | None:
        index = proposal["value"]
        if index is not None and index.network is not self.network:
            raise traitlets.TraitError(
                f"the index is one of {index.network.name}, the selection looks at {self.network.name}; give both one network"
            )
        return index

    @traitlets.validate("atlas")
    def _known_atlas(self, proposal: Any) -> Atlas | None:
        atlas = proposal["value"]
        if atlas is not None and atlas.network is not self.network:
            raise traitlets.TraitError(
                f"the atlas is one of {atlas.network.name}, the selection looks at {self.network.name}; give both one network"
            )
        return atlas

    @traitlets.observe("index")
    def _index_changed(self, change: Any) -> None:
        if change["new"] is not None and change["new"].images is not self.images:
            self.images = change["new"].images

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> Layer:
        return self.network[proposal["value"].name]

    @traitlets.validate("unit")
    def _known_unit(self, proposal: Any) -> Unit:
        unit = proposal["value"]
        if self.network.layers.get(unit.layer.name) != unit.layer:
            raise traitlets.TraitError(f"{unit} is no unit of this network; net[layer][channel] gives one")
        return unit

    @traitlets.observe("layer")
    def _layer_changed(self, change: Any) -> None:
        if self.unit.layer != change["new"]:
            self.unit = change["new"][0]

    @traitlets.observe("unit")
    def _unit_changed(self, change: Any) -> None:
        if self.layer != change["new"].layer:
            self.layer = change["new"].layer

    @traitlets.observe("network")
    def _network_changed(self, change: Any) -> None:
        if change["old"] is not traitlets.Undefined and change["old"] is not None:
            self.index = self.atlas = None
            self.unit = change["new"].main_layers[0][0]

    @traitlets.observe("images")
    def _images_changed(self, change: Any) -> None:
        if change["old"] is not traitlets.Undefined:
            if self.index is not None and self.index.images is not self.images:
                self.index = None
            self.image = self.images.ids[0] if len(self.images) else None


class PrivateSelection(Selection):
    """A selection that nobody else sees, so that a panel on it moves no other and takes no other's place in a cell."""

    @classmethod
    def of_another(cls, other: Selection) -> PrivateSelection:
        """With all that is chosen there now."""
        made = cls(other.network, other.images)
        made.index, made.atlas = other.index, other.atlas
        made.unit, made.image = other.unit, other.image
        return made


def _check_network(network: Any) -> None:
    if not isinstance(network, Network):
        raise TypeError(
            f"{type(network).__name__} was given; expected a Network: cnn.load(...) or "
            "cnn.Network(module, cnn.InputSpec(size=...))"
        )

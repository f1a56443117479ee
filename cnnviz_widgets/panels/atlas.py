"""``AtlasPanel``: synthesized images of units of every layer on one sheet, from the whole network down to one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.layers import Layer, Unit
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.views import Poster

from ._atlas_building import AtlasBuilder
from ._atlas_sheet import Signature, bands_of, caption_of, changed, key_of, signature, targets, unit_of
from ._base import Panel
from ._selection import Selection

if TYPE_CHECKING:
    from cnnviz_widgets.figures import Figure

HEIGHT = 720


class AtlasPanel(Panel):
    """All layers in one picture, deep ones on top: what excites their units, made by activation maximization.

    Each unit's image is as large as what the unit sees of the input. Images appear after a few steps, and are refined. A click
    makes a unit the selection's, a double click brings it near.

    Parameters
    ----------
    network
        A `Network`.
    atlas
        An `Atlas` of it, complete or not; None: it is synthesized in the panel.
    layers
        What the panel synthesizes, by name or as layers; None: the main ones. Each costs its share of the time, deep ones more.
    steps
        How many each image climbs in the panel, from 1; None: as many as its recipe says. Fewer are faster and coarser.
    path
        Where an atlas that the panel makes is kept; what is there already is taken up. None: in memory.
    selection
        A `Selection` to share with other panels; None: one of its own.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets import Atlas, InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), InputSpec((1, 8, 8)))
    >>> panel = AtlasPanel(net, Atlas.build(net, units=2, steps=8))
    >>> panel.wait()
    >>> [band["title"] for band in panel.view.bands]
    ['3', '1']
    >>> panel.close()
    """

    title = "All layers"
    page_holds = "all images, to zoom and to point at"

    def __init__(
        self,
        network: Network,
        atlas: Atlas | None = None,
        *,
        layers: Sequence[str | Layer] | None = None,
        steps: int | None = None,
        path: str | Path | None = None,
        selection: Selection | None = None,
    ) -> None:
        if steps is not None and steps < 1:
            raise ValueError(f"steps={steps!r}; expected a number from 1, or None for the recipe's own")
        self._path, self._steps = path, steps
        self._layers = None if layers is None else _names(network, layers)
        self._shown: Signature | None = None
        self._fresh: tuple[Any, str] = (None, "")
        chosen = Selection.of(network, (), selection)
        if atlas is not None:
            chosen.atlas = atlas
        super().__init__(chosen)

    def _build(self) -> list[widgets.Widget]:
        self.builder = AtlasBuilder(self.selection, self._path, self._build_told, self._layers, self._steps)
        self.search = widgets.Combobox(
            placeholder="fly to a class or a layer",
            continuous_update=False,
            layout=widgets.Layout(width="260px"),
        )
        self.view = Poster(height=HEIGHT)
        self.builder.button.on_click(self._user(lambda button: self.builder.pressed()))
        self.search.observe(self._user(self._searched), "value")
        self.view.on_msg(lambda _, content, buffers: self._picked(content))
        return [self.builder.box, self.search, self.view]

    def run(self) -> None:
        """Synthesize, or go on; returns at once."""
        self.builder.start()

    def stop(self) -> None:
        """End after the step under way; what is done stays. Returns at once."""
        self.builder.stop()

    def _drawing(self) -> Callable[[], None]:
        atlas, network, unit = self.selection.atlas, self.network, self.selection.unit
        return lambda: self._draw(atlas, network, unit)

    def _draw(self, atlas: Atlas | None, network: Network, unit: Unit) -> None:
        self.builder.show()
        if atlas is None or atlas.network is not network:
            self._shown = None
            self.view.show([])
            self._say("No images yet: Synthesize all layers makes them, first coarse ones, then finer ones.")
            return
        selected = key_of(atlas, unit)
        if self._shown is None or self._shown.plan is not atlas.plan:
            self.view.show(bands_of(atlas), selected=selected, caption=caption_of(atlas))
            self.search.options = tuple(targets(atlas))
        else:
            self.view.update(*changed(self._shown, atlas), caption=caption_of(atlas))
            self._select(selected)
        self._shown = signature(atlas)
        outdated = self._outdated(atlas)
        faults = [f"{fault.unit}, {fault.recipe}: {fault.reason}" for fault in atlas.faults[:3]]
        more = f" and {len(atlas.faults) - 3} more" if len(atlas.faults) > 3 else ""
        told = f"Without an image: {'; '.join(faults)}{more}." if faults else ""
        self._say(" ".join(filter(None, [f"{outdated} Synthesize anew." if outdated else "", told])))

    def _outdated(self, atlas: Atlas) -> str:
        """`Atlas.outdated`, found out once for weights as they are: it reads all of them."""
        key = (atlas.digest, atlas.network, atlas.network.stamp())
        if self._fresh[0] != key:
            self._fresh = (key, atlas.outdated())
        return self._fresh[1]

    def _select(self, key: str) -> None:
        at = self.view.tile_keys.index(key) if key else -1
        if self.view.selected != at:
            self.view.selected = at

    def _build_told(self, error: BaseException | None) -> None:
        if error is None:
            self._lasting = False
            self._mended()
        else:
            self._failed(error, lasting=True)
        self.refresh()

    def _picked(self, content: Any) -> None:
        atlas = self.selection.atlas
        if content.get("type") in ("choose", "open") and atlas is not None and not self._closed:
            unit = unit_of(atlas, str(content.get("key", "")))
            if unit is not None:
                self.selection.unit = unit

    def _searched(self, change: Any) -> None:
        atlas, text = self.selection.atlas, change["new"].strip()
        if atlas is None or not text:
            return
        key = targets(atlas).get(text) or next(
            (key for name, key in targets(atlas).items() if text.casefold() in name.casefold()), None
        )
        if key is None:
            raise ValueError(f"no class or layer of the atlas is called {text!r}")
        self.view.fly_to(key)
        self._mended()

    def _follow(self, name: str) -> None:
        if name in ("atlas", "network", "unit"):
            self.refresh()

    def wait(self, seconds: float = 60.0) -> None:
        """As any panel, and until the images are made."""
        self.builder.wait(seconds)
        super().wait(seconds)

    def close(self) -> None:
        """End what runs, then as any panel."""
        if not self._closed:
            self.builder.close()
        super().close()

    def _page_units(self) -> list[Unit]:
        return []

    def figure(self) -> Figure:
        """All layers as a figure."""
        from cnnviz_widgets import figures

        if self.selection.atlas is None:
            raise ValueError("there are no images yet: press Synthesize all layers")
        return figures.all_layers(self.selection.atlas)

    def figure_code(self) -> str:
        return "cnn.figures.all_layers(atlas)"

    def code(self) -> str:
        """Python code that gives the same images."""
        told = dict(self.builder.wanted.keywords())
        if self._path is not None:
            told["path"] = str(self._path)
        keywords = "".join(f", {name}={value!r}" for name, value in told.items())
        return f"atlas = cnn.Atlas.build(net{keywords})\natlas"


def _names(network: Network, layers: Sequence[str | Layer]) -> tuple[str, ...]:
    """Names of layers.

    Raises
    ------
    UnknownNameError
        The network has none of that name.
    """
    listed = [layers] if isinstance(layers, str | Layer) else layers
    return tuple(network[layer].name for layer in listed)

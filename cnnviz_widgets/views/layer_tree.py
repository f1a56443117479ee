"""The layers of a network as a tree one can search.

::

    [{"name": "features.0", "kind": "Conv2d", "shape": "64 × 55 × 55", "main": True}, ...] -> LayerTree; selected: name
"""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from cnnviz_widgets.views._base import View, joined


class LayerTree(View):
    """Tree of dotted layer names with kinds and shapes, a search box and a switch for the main layers alone.

    Attributes
    ----------
    layers : list of dict
        In the order to show: ``name`` (dotted, unique), ``kind``, ``shape`` (text) and ``main`` (bool).
    selected : str
        Name of the selected layer, empty for none.
    main_only : bool
        Show main layers alone.
    max_height : int
        Height in CSS pixels from which on the tree scrolls.

    Examples
    --------
    >>> from cnnviz_widgets.views import LayerTree
    >>> tree = LayerTree()
    >>> tree.show([{"name": "conv1", "kind": "Conv2d", "shape": "64 × 55 × 55", "main": True}], selected="conv1")
    >>> tree.selected
    'conv1'
    """

    _esm = joined("_shared.js", "layer_tree.js")
    _css = joined("_shared.css", "layer_tree.css")

    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True, echo_update=False)
    main_only = traitlets.Bool(False).tag(sync=True, echo_update=False)
    max_height = traitlets.Int(420, min=120).tag(sync=True)

    def show(self, layers: Sequence[Mapping[str, Any]], *, selected: str = "") -> None:
        """Show other layers in one update.

        Raises
        ------
        ValueError
            If an entry lacks a name, a name comes twice, or `selected` is not among them.
        """
        entries = [_entry(layer) for layer in layers]
        names = [entry["name"] for entry in entries]
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ValueError(f"layer {name!r} is listed twice; names must be unique")
            seen.add(name)
        if selected and selected not in seen:
            raise ValueError(f"no layer {selected!r} among the {len(names)} given")
        self.assign(layers=entries, selected=selected)


def _entry(layer: Mapping[str, Any]) -> dict[str, Any]:
    if not layer.get("name"):
        raise ValueError(f"a layer needs a name, got {dict(layer)!r}")
    return {
        "name": str(layer["name"]),
        "kind": str(layer.get("kind", "")),
        "shape": str(layer.get("shape", "")),
        "main": bool(layer.get("main", False)),
    }

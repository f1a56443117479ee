"""Photographs with captions: the images that excite a unit, queries with their nearest neighbours.

::

    Cell, Cell, ... -> PictureTable.show(...) -> pictures in rows; selected: index

Messages from the browser:

- ``{"type": "choose", "index"}`` at every click on a cell, also when it is the selected one already.
- ``{"type": "open", "index"}`` at a double click, Enter or the space bar.

The pictures travel encoded, in one binary buffer, and the browser decodes them: unlike `ImageGrid`, whose tiles are equally
large and told byte by byte, each cell has its own size, caption and marks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from cnnviz_widgets.views._base import View, joined

LIMIT = 1000
SMALLEST_SIDE = 16
TONES = ("", "query", "hit", "miss")


@dataclass(frozen=True)
class Cell:
    """One picture of a `PictureTable`, what is written under it and what is drawn on it.

    Parameters
    ----------
    picture
        The bytes of a JPEG or PNG file; empty for a placeholder that bears the first line. It is shown at most as large as the
        table's `side`, so a thumbnail of about twice that will do.
    lines
        Written under the picture, the first one strong, the others muted.
    title
        For tooltip and screen readers; empty for the lines.
    overlay
        The bytes of a PNG with transparency, stretched exactly over the picture; empty for none.
    box
        ``(top, left, bottom, right)`` in fractions of the picture, framed from outside; None for none.
    mark
        ``(y, x)`` in fractions of the picture, in the middle of a ring; None for none.
    tone
        ``"query"``, ``"hit"`` or ``"miss"``: a coloured line under the picture and a sign before the first line; empty for
        neither.

    Raises
    ------
    ValueError
        If bytes, lines, box, mark or tone are not such.

    Examples
    --------
    >>> from cnnviz_widgets.views import Cell
    >>> Cell(b"", ("tabby", "0.12"), tone="hit").lines
    ('tabby', '0.12')
    """

    picture: bytes
    lines: tuple[str, ...] = ()
    title: str = ""
    overlay: bytes = b""
    box: tuple[float, float, float, float] | None = None
    mark: tuple[float, float] | None = None
    tone: str = ""

    def __post_init__(self) -> None:
        for name in ("picture", "overlay"):
            if not isinstance(value := getattr(self, name), bytes):
                raise ValueError(f"{name} is a {type(value).__name__}, expected the bytes of a JPEG or PNG file")
        if isinstance(self.lines, str):
            raise ValueError(f"lines is the text {self.lines!r}, expected a tuple of texts")
        if self.box is not None and not _is_box(self.box):
            raise ValueError(
                f"box is {self.box}, expected (top, left, bottom, right) in fractions of the picture: "
                "0 <= top < bottom <= 1 and 0 <= left < right <= 1"
            )
        if self.mark is not None and not (len(self.mark) == 2 and all(0 <= value <= 1 for value in self.mark)):
            raise ValueError(f"mark is {self.mark}, expected (y, x) in fractions of the picture, 0 to 1")
        if self.tone not in TONES:
            raise ValueError(f"tone is {self.tone!r}, expected one of {', '.join(map(repr, TONES))}")


class PictureTable(View):
    """Pictures with captions, as many a row as fit or a fixed number; one can be selected by pointer or keys.

    Attributes
    ----------
    data : bytes
        The encoded pictures and overlays, one after the other.
    cells : list of dict
        Per cell ``picture`` and ``overlay``, each ``[offset, length]`` in `data`, and the other fields of `Cell`.
    columns : int
        Pictures a row; 0 fits as many as the width holds. A table of fixed columns that is too wide scrolls.
    lead : bool
        Whether the first column stands apart and stays in sight while the others scroll.
    heads : list of str
        One per column, or empty.
    selected : int
        -1 for none; what is beyond the last cell becomes -1.
    side : int
        Longer side of each picture in CSS pixels. Pictures of less than half of that are enlarged without smoothing.
    overlay_opacity : float
        0 to 1.
    show_marks : bool
        Whether boxes and rings are drawn.
    max_height : int
        Height in CSS pixels from which on the table scrolls; 0 for never.

    Examples
    --------
    >>> from cnnviz_widgets.views import Cell, PictureTable
    >>> table = PictureTable(overlay_opacity=0.4)
    >>> table.show([Cell(b"", ("tabby",)), Cell(b"", ("lynx", "0.12"))], columns=2, heads=["query", "1st"])
    >>> table.cells[1]["lines"]
    ['lynx', '0.12']
    """

    _esm = joined("_shared.js", "picture_table.js")
    _css = joined("_shared.css", "picture_table.css")

    data = traitlets.Bytes().tag(sync=True, echo_update=False)
    cells = traitlets.List(traitlets.Dict()).tag(sync=True)
    columns = traitlets.Int(0, min=0).tag(sync=True)
    lead = traitlets.Bool(False).tag(sync=True)
    heads = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Int(-1, min=-1).tag(sync=True, echo_update=False)
    caption = traitlets.Unicode().tag(sync=True)
    side = traitlets.Int(144, min=SMALLEST_SIDE).tag(sync=True)
    overlay_opacity = traitlets.Float(0.6).tag(sync=True)
    show_marks = traitlets.Bool(True).tag(sync=True)
    max_height = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        # Apart from `cells`, since `assign` checks the new index before it sets the new cells.
        self._count = 0
        super().__init__(**traits)

    def show(
        self,
        cells: Sequence[Cell],
        *,
        columns: int = 0,
        lead: bool = False,
        heads: Sequence[str] = (),
        selected: int = -1,
        caption: str = "",
        side: int = 144,
    ) -> None:
        """Show other pictures in one update; the browser swaps them when all are decoded, so that none flickers.

        Parameters
        ----------
        cells : sequence of Cell
            Row by row; may be empty. Equal pictures travel once.
        columns : int
            Pictures a row; 0 fits as many as the width holds.
        lead : bool
            Set the first of the `columns` apart, as for the queries of nearest neighbours.
        heads : sequence of str
            None at all, or one per column.

        Raises
        ------
        ValueError
            If there are more than 1000 cells, or a number, a length or the index does not fit.
        """
        count = len(cells)
        if count > LIMIT:
            raise ValueError(f"{count} cells, expected at most {LIMIT}; pass the first ones only")
        if columns < 0:
            raise ValueError(f"columns is {columns}, expected a number of pictures a row, or 0 for as many as fit")
        if side < SMALLEST_SIDE:
            raise ValueError(f"side is {side}, expected at least {SMALLEST_SIDE} CSS pixels")
        if lead and columns < 2:
            raise ValueError(f"lead with columns={columns}, expected 2 columns or more; pass their number")
        if len(heads) not in (0, columns):
            raise ValueError(f"{len(heads)} heads for columns={columns}; pass one per column or none")
        if not -1 <= selected < max(count, 1):
            raise ValueError(f"selected is {selected}, expected -1 (none) to {count - 1}")
        data, spans = _packed(part for cell in cells for part in (cell.picture, cell.overlay))
        with self._lock:
            self._count = count
            self.assign(
                data=data,
                cells=[_described(cell, *spans[2 * i : 2 * i + 2]) for i, cell in enumerate(cells)],
                columns=columns,
                lead=bool(lead),
                heads=[str(head) for head in heads],
                selected=selected if count else -1,
                caption=str(caption),
                side=side,
            )

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Any) -> int:
        """A click on a cell may arrive when the cells are others already."""
        return proposal["value"] if proposal["value"] < self._count else -1

    @traitlets.validate("overlay_opacity")
    def _valid_opacity(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] <= 1:
            raise traitlets.TraitError(f"overlay_opacity is {proposal['value']}, expected 0 to 1")
        return proposal["value"]


def _is_box(box: Sequence[float]) -> bool:
    if len(box) != 4:
        return False
    top, left, bottom, right = box
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1


def _packed(parts: Iterable[bytes]) -> tuple[bytes, list[list[int]]]:
    """All parts in one piece, equal ones once, and ``[offset, length]`` of each."""
    offsets: dict[bytes, int] = {}
    spans, length = [], 0
    for part in parts:
        if part not in offsets:
            offsets[part] = length
            length += len(part)
        spans.append([offsets[part], len(part)])
    return b"".join(offsets), spans


def _described(cell: Cell, picture: list[int], overlay: list[int]) -> dict[str, Any]:
    """A cell as JSON holds it, its bytes replaced by where they are."""
    return {
        "picture": picture,
        "overlay": overlay,
        "lines": [str(line) for line in cell.lines],
        "title": str(cell.title),
        "box": None if cell.box is None else [float(value) for value in cell.box],
        "mark": None if cell.mark is None else [float(value) for value in cell.mark],
        "tone": cell.tone,
    }

"""One HTML file that shows views as they are now, without Python, a server or the internet.

::

    page(parts, title=...) -> the text of the file
    part = view | view.recording() | text | (heading, part) | Choice(names, parts) | Beside(parts) | [part, part, ...]

What happens in the browser alone goes on there: zooming, pointing, filtering, selecting, sliders of a view's own. What a view
would ask Python is answered from its recording, or not at all.

Nothing that is shown becomes markup or code: texts are escaped, the state stands in the file as JSON and base64, and the policy
in the file lets the browser run this package's scripts only, and open no connection.
"""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnviz_widgets.views._base import ROOM, View, joined
from cnnviz_widgets.views._recording import Answer, Recording

_DEEPEST_HEADING = 6
_FAILED_WITHOUT_SCRIPTS = "The pictures on this page need JavaScript, which is switched off or not supported here."


@dataclass(frozen=True)
class Choice:
    """Parts of which one is shown at a time, by a list of their names above them.

    Parameters
    ----------
    names
        One per part.
    parts
        As `page` takes them; at least one. A part is started when it is first chosen.
    label
        What is chosen, before the list.
    selected
        Index of the part that is shown at first.

    Raises
    ------
    ValueError
        No part, another number of names, or no such index.
    """

    names: Sequence[str]
    parts: Sequence["Part"]
    label: str = "Show"
    selected: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not self.parts or len(self.names) != len(self.parts):
            raise ValueError(f"{len(self.names)} names for {len(self.parts)} parts; pass one per part, at least one")
        if not 0 <= self.selected < len(self.parts):
            raise ValueError(f"selected is {self.selected}, expected 0 to {len(self.parts) - 1}")


@dataclass(frozen=True)
class Beside:
    """Parts beside each other, below each other where the window is narrow.

    Parameters
    ----------
    parts
        As `page` takes them.
    """

    parts: Sequence["Part"]


Part = View | Recording | str | tuple[str, "Part"] | Choice | Beside | Sequence["Part"]


def page(parts: Part, *, title: str, language: str = "en", most_bytes: int = ROOM) -> str:
    """The text of an HTML file with views in their present state; to be written as UTF-8.

    It opens from the disk as from a server, light or dark as the reader prefers.

    Parameters
    ----------
    parts
        What is shown, from top to bottom: a view; a recording of one, made when it was in another state; a text, whose line
        breaks are kept; a pair of a heading and a part; a `Choice`; a `Beside`; or a list of these.
    title
        Of the window and above all parts.
    language
        Of the texts, as HTML names it.
    most_bytes
        Of the pictures that a view's page would ask Python for, for each view that is not a recording already; what does not
        fit is left out, the sharpest first. See `ImageMap.recording` for what a map needs.

    Raises
    ------
    TypeError
        Something else among the parts, or a view whose state JSON can't hold.

    Examples
    --------
    >>> from cnnviz_widgets.views import BarChart
    >>> from cnnviz_widgets.views.standalone import page
    >>> text = page([("Scores", BarChart(labels=["tabby"], values=[0.9]))], title="A <cat>")
    >>> text.splitlines()[0], "<h1>A &lt;cat&gt;</h1>" in text
    ('<!doctype html>', True)
    """
    content = _Content(most_bytes)
    body = content.markup(parts, 2)
    host = joined("_standalone.js")
    style = "\n".join([joined("standalone.css"), *content.styles])
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="{_escaped(language)}">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(host)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="generator" content="cnnviz_widgets">',
            '<link rel="icon" href="data:,">',
            f"<title>{_escaped(title)}</title>",
            f"<style>{_unclosed(style)}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{_escaped(title)}</h1>",
            f'<noscript><p class="page-text">{_FAILED_WITHOUT_SCRIPTS}</p></noscript>',
            body,
            "</main>",
            *content.scripts(),
            f'<script type="module">{host}</script>',
            "</body>",
            "</html>",
            "",
        ]
    )


@dataclass
class _Content:
    """What the parts of a page have in common, each kept once: scripts, styles and bytes by number."""

    most_bytes: int
    styles: dict[str, int] = field(default_factory=dict)
    _modules: dict[str, int] = field(default_factory=dict)
    _buffers: dict[bytes, int] = field(default_factory=dict)
    _views: list[dict[str, Any]] = field(default_factory=list)
    _known: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def markup(self, part: Any, depth: int) -> str:
        """HTML of a part; ``depth`` is the level of its headings."""
        match part:
            case View() | Recording():
                return f'<div class="page-view" data-recorded="{self._view(part)}"></div>'
            case str():
                return f'<p class="page-text">{_escaped(part)}</p>'
            case Choice():
                return self._choice(part, depth)
            case Beside():
                columns = [f'<div class="page-column">\n{self.markup(inner, depth)}\n</div>' for inner in part.parts]
                return "\n".join(['<div class="page-row">', *columns, "</div>"])
            case (str(heading), inner) if isinstance(part, tuple):
                level = min(depth, _DEEPEST_HEADING)
                head = f"<h{level}>{_escaped(heading)}</h{level}>"
                return f"<section>\n{head}\n{self.markup(inner, depth + 1)}\n</section>"
            case list():
                return "\n".join(self.markup(inner, depth) for inner in part)
        raise TypeError(
            f"a part of the page is a {type(part).__name__}; expected a view, its recording, a text, a pair of a heading and a "
            "part, a Choice, a Beside, or a list of these"
        )

    def _choice(self, choice: Choice, depth: int) -> str:
        names = "".join(
            f"<option{' selected' if i == choice.selected else ''}>{_escaped(name)}</option>"
            for i, name in enumerate(choice.names)
        )
        select = f'<select class="page-select" disabled autocomplete="off">{names}</select>'
        options = [
            f'<div class="page-option"{"" if i == choice.selected else " hidden"}>\n{self.markup(part, depth)}\n</div>'
            for i, part in enumerate(choice.parts)
        ]
        label = f'<label class="page-label">{_escaped(choice.label)} {select}</label>'
        return "\n".join(['<div class="page-choice">', label, *options, "</div>"])

    def _view(self, shown: View | Recording) -> int:
        """Number of a view among those of the page; one that stands in several places is recorded once."""
        if id(shown) not in self._known:
            recording = shown if isinstance(shown, Recording) else shown.recording(self.most_bytes)
            self.styles.setdefault(recording.style, len(self.styles))
            self._views.append(self._described(recording))
            # The view is kept as well, or another one might get its id.
            self._known[id(shown)] = (shown, len(self._views) - 1)
        return self._known[id(shown)][1]

    def _described(self, recording: Recording) -> dict[str, Any]:
        state = {name: value for name, value in recording.state.items() if not _is_binary(value)}
        binary = {name: value for name, value in recording.state.items() if _is_binary(value)}
        return {
            "module": self._modules.setdefault(recording.script, len(self._modules)),
            "state": _plain(state),
            "bytes": {name: self._buffer(value) for name, value in binary.items()},
            "answers": [self._answer(answer) for answer in recording.answers],
        }

    def _answer(self, answer: Answer) -> dict[str, Any]:
        return {
            # As the browser writes JSON, where they are compared.
            "question": {
                name: json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
                for name, value in answer.question.items()
            },
            "message": _plain(answer.message),
            "buffers": [self._buffer(data) for data in answer.buffers],
        }

    def _buffer(self, data: Any) -> int:
        return self._buffers.setdefault(bytes(data), len(self._buffers))

    def scripts(self) -> list[str]:
        """Elements that hold data, none of which runs."""
        recorded = {"modules": list(self._modules), "views": self._views}
        try:
            text = json.dumps(recorded, allow_nan=False, separators=(",", ":"))
        except TypeError as error:
            raise TypeError(f"the state of a view on the page can't be written as JSON: {error}") from None
        held = f'<script type="application/json" id="cnnviz-views">{text.replace("<", chr(92) + "u003c")}</script>'
        return [held, *(_held_bytes(data, number) for data, number in self._buffers.items())]


def _held_bytes(data: bytes, number: int) -> str:
    text = base64.b64encode(data).decode("ascii")
    return f'<script type="text/plain" id="cnnviz-bytes-{number}">{text}</script>'


def _policy(host: str) -> str:
    """Only the script that the page ends with runs, and what that takes out of the page; pictures come from the page."""
    digest = base64.b64encode(hashlib.sha256(host.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; style-src 'unsafe-inline'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _escaped(text: str) -> str:
    """As HTML; halves of characters, as in names of files that are not UTF-8, can't be written and become question marks."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def _unclosed(style: str) -> str:
    return style.replace("</", "<\\/")


def _is_binary(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _plain(value: Any) -> Any:
    """What JSON holds; numbers that it can't hold travel as their names, as in a notebook's messages."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

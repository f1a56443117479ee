"""What a page without Python needs of a view: its sources, its state, and what Python would have answered.

::

    View.recording() -> Recording(script, style, state, answers)        Answer(question, message, buffers)

A recording is plain data: it stays as it is when the view goes on, so that one view can be recorded in several states.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One message that Python sends when the page asks for it.

    Parameters
    ----------
    question
        Fields of the page's message that this answers; other fields do not matter. Where the page's message has a list, the
        value is one of its entries: so ``{"type": "pages", "wanted": [0, 1]}`` is one of the answers to a message in which
        several pages are wanted.
    message, buffers
        What `View.send` would send.
    """

    question: Mapping[str, Any]
    message: Mapping[str, Any]
    buffers: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Recording:
    """A view as it is at one moment.

    Parameters
    ----------
    script, style
        The view's ES module and style sheet.
    state
        Its synced traits as they travel: what JSON holds, or bytes.
    answers
        To the messages that the page may send; a message that none of them fits stays without an answer.
    """

    script: str
    style: str
    state: Mapping[str, Any]
    answers: tuple[Answer, ...] = ()

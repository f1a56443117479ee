"""``map_recording(recording, atlas, large, most_bytes) -> Recording``: a map with the pictures that its page would ask for."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from cnnviz_widgets.views._map_arguments import Atlas
from cnnviz_widgets.views._recording import Answer, Recording
from cnnviz_widgets.views.atlas import capacity

_LOG = logging.getLogger(__name__)


def map_recording(
    recording: Recording, atlas: Atlas, large: Callable[[int], bytes | None] | None, most_bytes: int
) -> Recording:
    """A map's traits with its pages of thumbnails, level by level, and its large pictures if there is room for all of them.

    Levels that are left out are taken from `sides` as well: the page then enlarges images only as far as they are sharp,
    and asks for nothing that is not there.
    """
    version, count = recording.state["version"], len(recording.state["order"]) // 4
    answers: list[Answer] = []
    room, levels = most_bytes, 0
    for level, side in enumerate(recording.state["sides"]):
        numbers = range(-(-count // capacity(side)))
        found = _within(room, ((number, _asked(atlas.page, level, number)) for number in numbers))
        if found is None:
            break
        answers += [_page(version, level, number, data) for number, data in found]
        room -= sum(len(data) for _, data in found)
        levels += 1
    if large is not None and levels and (shown := _within(room, ((i, _asked(large, i)) for i in range(count)))):
        answers += [_large(version, index, data) for index, data in shown]
    kept = {"sides": list(recording.state["sides"])[:levels]} | ({} if levels else {"order": b""})
    return replace(recording, state={**recording.state, **kept}, answers=tuple(answers))


def _within(room: int, parts: Iterator[tuple[int, bytes | None]]) -> list[tuple[int, bytes]] | None:
    """All parts; None as soon as one is missing or they are too large together."""
    found = []
    for key, data in parts:
        room -= len(data or b"")
        if data is None or room < 0:
            return None
        found.append((key, data))
    return found


def _asked(source: Callable[..., bytes | None], *place: int) -> bytes | None:
    """What a map shows where there is nothing is nothing as well here."""
    try:
        data = source(*place)
    except Exception:
        _LOG.exception("no picture at %s for the page of a map", place)
        return b""
    return None if data is None else bytes(data)


def _page(version: int, level: int, number: int, data: bytes) -> Answer:
    message = {"type": "page", "version": version, "level": level, "number": number}
    return Answer({"type": "pages", "wanted": [level, number]}, message, (data,))


def _large(version: int, index: int, data: bytes) -> Answer:
    return Answer({"type": "large", "index": index}, {"type": "large", "version": version, "index": index}, (data,))

"""``poster_recording(recording, pictures, most_bytes) -> Recording``: a poster with the pictures that its page would ask for."""

from dataclasses import replace

import numpy as np

from cnnviz_widgets.views._poster_pictures import Encoded, PosterPictures
from cnnviz_widgets.views._recording import Answer, Recording


def poster_recording(recording: Recording, pictures: PosterPictures, most_bytes: int) -> Recording:
    """A poster's traits with its pictures, level by level as long as all of a level fit.

    The levels that do not are taken from `sides` as well, so that the page asks for nothing that is not there.
    """
    version, sides = recording.state["version"], list(recording.state["sides"])
    count = np.frombuffer(recording.state["revisions"], "<i4").size
    answers: list[Answer] = []
    best: list[Encoded | None] = [None] * count
    room, levels = most_bytes, 0
    for level in range(len(sides)):
        found = _of_level(pictures, level, best, room)
        if found is None:
            break
        room -= sum(len(it.data) for it, former in zip(found, best, strict=True) if it is not former)
        answers += [_answer(version, index, level, it) for index, it in enumerate(found)]
        best = list(found)
        levels += 1
    state = {**recording.state, "sides": sides[:levels], "coarse": pictures.coarse()}
    return replace(recording, state=state, answers=tuple(answers))


def _of_level(pictures: PosterPictures, level: int, former: list[Encoded | None], room: int) -> list[Encoded] | None:
    """Every picture, the former ones where they are the finest already; None as soon as they are too large together."""
    found = []
    for index, known in enumerate(former):
        if known is None or not known.finest:
            known = pictures.encoded(index, level)
            room -= len(known.data)
        if room < 0:
            return None
        found.append(known)
    return found


def _answer(version: int, index: int, level: int, picture: Encoded) -> Answer:
    described = [index, level, picture.revision, list(picture.lines), picture.finest]
    message = {"type": "pictures", "version": version, "tiles": [described]}
    return Answer({"type": "pictures", "wanted": [index, level]}, message, (picture.data,))

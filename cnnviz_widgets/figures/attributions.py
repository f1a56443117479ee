"""``attribution(found) -> Figure``: which places of an image make a unit respond, by one method or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from cnnviz_widgets.engine.attribution import Attribution
from cnnviz_widgets.engine.images import open_image

from .lettering import number, percent
from .sheet import MARGIN, Figure, Look, Sheet

_GAP = 0.1
_LARGEST = 2.2
"""Inches of a picture, at most."""


def attribution(
    found: Attribution | Sequence[Attribution],
    picture: Any = None,
    *,
    opacity: float = 0.6,
    columns: int = 0,
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """The photograph, and beside it what each attribution tells of it.

    Parameters
    ----------
    found
        What the functions of `cnn.attribution` give, for the same image: one, or several to compare.
    picture
        The whole photograph; None: the part that the network saw.
    opacity
        Of the strongest place, 0 to 1.
    columns
        Pictures in a row; 0: at most four.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    TypeError, ValueError
        No attribution; an opacity out of range.

    Examples
    --------
    >>> import io
    >>> import torch
    >>> from torch import nn
    >>> from cnnviz_widgets import InputSpec, Network
    >>> from cnnviz_widgets.engine.attribution import saliency
    >>> net = Network(nn.Conv2d(1, 4, 5), InputSpec(size=(1, 16, 16)))
    >>> attribution(saliency(net, torch.rand(1, 16, 16), net.output[2])).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    listed = [found] if isinstance(found, Attribution) else list(found)
    if not listed or not all(isinstance(one, Attribution) for one in listed):
        raise TypeError(
            "no attribution was given; expected what saliency, grad_cam or occlusion gives, or several of them"
        )
    photo = listed[0].photo if picture is None else open_image(picture)
    goals = list(dict.fromkeys(one.label for one in listed))
    several = len(goals) > 1
    shown = [(photo, "the image", "")] + [
        (one.overlay(picture, opacity=opacity), *_words(one, several)) for one in listed
    ]
    columns = min(columns or 4, len(shown))
    side = min((look.inner - (columns - 1) * _GAP) / columns, _LARGEST)
    across = columns * (side + _GAP) - _GAP
    sheet = Sheet(look)
    heading = f"Which places speak for {', '.join(goals)}" if title is None else title
    top = bottom = sheet.heading(heading, width=across)
    for place, (one, method, remark) in enumerate(shown):
        row, column = divmod(place, columns)
        top = bottom + _GAP if column == 0 and row else top
        bottom = max(
            bottom if column else 0.0, _cell(sheet, one, method, remark, MARGIN + column * (side + _GAP), top, side)
        )
    return sheet.finish(bottom, across + 2 * MARGIN)


def _cell(sheet: Sheet, shown: Image.Image, method: str, remark: str, left: float, top: float, side: float) -> float:
    inch = side / max(shown.size)
    end = sheet.picture(shown, left, top, shown.width * inch, shown.height * inch)
    end = sheet.text(method, left, end + 0.02, width=side)
    return sheet.text(remark, left, end, width=side, lines=2, color=sheet.look.soft) if remark else end


def _words(one: Attribution, several: bool) -> tuple[str, str]:
    """The method, and what it answers: of which class, where there are several."""
    method = f"{one.method} of {one.layer}" if one.layer else one.method
    goal = f"{one.label}: " if several else ""
    chance = "" if one.probability is None else f"{percent(one.probability)}, "
    return method, one.told or f"{goal}{chance}score {number(one.score)}"

"""``board({recipe: result, ...}) -> Figure``, ``maximization(result) -> Figure``: images that units like best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from PIL import Image

from cnnviz_widgets.engine import display, recipes
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.result import Result

from .lettering import number, percent, wrapped
from .sheet import MARGIN, Figure, Look, Sheet, name_axes

_GAP = 0.08
_LARGEST = 1.7
"""Inches of an image, at most."""
_SHOWN = {
    "symmetric": "stretched symmetrically",
    "percentile": "stretched to the 99.5th percentile",
    "none": "not stretched",
}


@dataclass(frozen=True, eq=False)
class _Entry:
    """One image of a board: its class, its recipe, and what is known of it."""

    row: str
    column: str
    picture: Image.Image
    score: float
    probability: float | None
    random: bool


def board(
    results: Result | Mapping[str, Result] | Sequence[Result],
    *,
    net: Network | None = None,
    stretch: str = "percentile",
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """Images of several goals by several recipes: a row for each goal, a column for each recipe.

    With the four combinations of priors of Yosinski et al. 2015 it is their figure of four images for each class. Of several
    copies the best is shown; the last one counts as best where scores are of random views.

    Parameters
    ----------
    results
        What `cnn.maximize` gave: recipe's name to result, a list of results, or one result of several goals or recipes.
    net
        The network that they were made on, which then tells the probability of each class for its image.
    stretch
        See `Result.picture`.
    title, width, text, dark
        As in `filters`.

    Raises
    ------
    TypeError, ValueError
        No results; a ``net`` with other weights than they were made on.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> import cnnviz_widgets as cnn
    >>> net = cnn.Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), cnn.InputSpec(size=(1, 8, 8)), ["a", "b", "c"])
    >>> goals = [net.unit("a"), net.unit("b")]
    >>> results = {name: cnn.maximize(net, goals, name, steps=3) for name in ("none", "l2")}
    >>> board(results, net=net).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    display.check(stretch)
    entries = [entry for name, result in _named(results) for entry in _entries(name, result, net, stretch)]
    rows, columns = (list(dict.fromkeys(getattr(entry, side) for entry in entries)) for side in ("row", "column"))
    best: dict[tuple[str, str], _Entry] = {}
    for entry in entries:
        before = best.get((entry.row, entry.column))
        if before is None or (not entry.random and entry.score > before.score):
            best[entry.row, entry.column] = entry
    left = MARGIN + min(1.1, look.inner / 5)
    side = min((look.width - MARGIN - left - (len(columns) - 1) * _GAP) / len(columns), _LARGEST)
    across = left - MARGIN + len(columns) * (side + _GAP) - _GAP
    sheet = Sheet(look)
    heading = "What excites each unit most, by each recipe" if title is None else title
    told = f"Below each image its {'probability and ' if net is not None else ''}score; {_SHOWN[stretch]}."
    top = sheet.heading(heading, "" if title == "" else told, width=across)
    high = max(len(wrapped(name, side, look.text, 2, "bold")) for name in columns) * look.line
    for place, name in enumerate(columns):
        middle = left + place * (side + _GAP) + side / 2
        sheet.text(name, middle, top, width=side, lines=2, align="center", weight="bold")
    top += high + 0.03
    for name in rows:
        line = [best.get((name, column)) for column in columns]
        top = _line(sheet, name, line, left, top, side) + _GAP
    return sheet.finish(top - _GAP, across + 2 * MARGIN)


def maximization(
    result: Result,
    *,
    stretch: str = "percentile",
    title: str | None = None,
    width: float = 6.5,
    text: float = 8.0,
    dark: bool = False,
) -> Figure:
    """Synthesized images, each beside the curve of its score and the recipe that made it.

    Parameters
    ----------
    result
        What `cnn.maximize` gave; each of its images has a row.
    stretch
        See `Result.picture`.
    title
        None: for a single image what it is of; for several none, for each row tells its own.
    width, text, dark
        As in `filters`.

    Raises
    ------
    ValueError
        Another stretch.

    Examples
    --------
    >>> import io
    >>> from torch import nn
    >>> import cnnviz_widgets as cnn
    >>> net = cnn.Network(nn.Conv2d(1, 4, 3), cnn.InputSpec(size=(1, 8, 8)))
    >>> maximization(cnn.maximize(net, net.output[2], "none", steps=5)).savefig(io.BytesIO(), format="pdf")
    """
    look = Look(width, text, dark)
    display.check(stretch)
    sheet = Sheet(look)
    top = sheet.heading(title) if title else MARGIN
    side = 0.36 * look.inner
    for place, shown in enumerate(result.picture(stretch)):
        top = _climb(sheet, result, place, shown, stretch, top, side) + 2 * _GAP
    return sheet.finish(top - 2 * _GAP)


def _climb(
    sheet: Sheet, result: Result, place: int, shown: Image.Image, stretch: str, top: float, side: float
) -> float:
    """One image, what is to be said of it, and its curve. Returns the lower edge."""
    look = sheet.look
    inch = side / max(shown.size)
    bottom = sheet.picture(shown, MARGIN, top, shown.width * inch, shown.height * inch)
    contrast = f"{_SHOWN[stretch]}, contrast {result.contrast[place]:.3g} of 255 before"
    bottom = sheet.text(contrast, MARGIN, bottom + 0.02, width=side, lines=2, color=look.soft)
    left = MARGIN + side + 0.2
    width = look.width - MARGIN - left
    y = sheet.text(result.labels[place], left, top, width=width, lines=2, scale=1.2, weight="bold")
    score, step = float(result.score[place]), int(result.step[place])
    y = sheet.text(f"score {number(score)} at step {step}", left, y, width=width)
    y = sheet.text(told(result.recipes[place]), left, y, width=width, lines=4, color=look.soft) + 0.5 * look.line
    if result.notes and result.notes[place]:
        y = sheet.text(result.notes[place], left, y, width=width, lines=2, color=look.mark) + 0.3 * look.line
    start = left + 4.2 * look.line
    down = max(bottom - 2.4 * look.line - y, 1.0)
    axes = sheet.plot(start, y, look.width - MARGIN - 0.08 - start, down)
    _curve(axes, look, result.curve[:, place].tolist(), score, step)
    return max(bottom, y + down + 2.4 * look.line)


def _curve(axes: Axes, look: Look, scores: list[float], score: float, step: int) -> None:
    axes.plot(range(len(scores)), scores, color=look.accent, linewidth=1.2, clip_on=False)
    axes.plot([step], [score], "o", color=look.accent, markersize=4, clip_on=False)
    axes.set_xlim(0, max(1, len(scores) - 1))
    name_axes(axes, look, "step", "score")


def told(recipe: Recipe) -> str:
    """A recipe in a sentence: its name if it has one, else its parts.

    Examples
    --------
    >>> told(recipes.get("yosinski-2"))
    'recipe yosinski-2: Pixels, L2Decay(0.3), ClipSmallNorm(20), 750 steps of Constant'
    """
    name = _preset(recipe)
    parts = [type(recipe.parameterization).__name__, *(_short(prior) for prior in recipe.regularizers)]
    parts.append(f"{recipe.steps} steps of {type(recipe.stepper).__name__}")
    return f"recipe {name}: {', '.join(parts)}" if name else ", ".join(parts)


def _short(prior: Any) -> str:
    """A regularizer by its class and the numbers that are its own."""
    values = [getattr(prior, name) for name in type(prior).__dataclass_fields__ if name != "every"]
    shown = [f"{value:g}" for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return f"{type(prior).__name__}({', '.join(shown)})"


def _preset(recipe: Recipe) -> str:
    """The name of a recipe that is a preset but for its seed, steps and chunk."""
    plain = recipe.replace(seed=0, steps=1, chunk=1)
    known = (name for name in recipes.names() if recipes.get(name).replace(seed=0, steps=1, chunk=1) == plain)
    return next(known, "")


def _named(results: Any) -> list[tuple[str, Result]]:
    if isinstance(results, Result):
        results = [results]
    listed = list(results.items()) if isinstance(results, Mapping) else [("", result) for result in results]
    if not listed or not all(isinstance(result, Result) for _, result in listed):
        kinds = ", ".join(sorted({type(result).__name__ for _, result in listed})) or "nothing"
        raise TypeError(f"{kinds} was given; expected results of cnn.maximize: {{'natural': cnn.maximize(net, goals)}}")
    return [(str(name), result) for name, result in listed]


def _entries(name: str, result: Result, net: Network | None, stretch: str) -> list[_Entry]:
    shares: list[float | None] = [None] * len(result.labels)
    if net is not None:
        if net.digest() != result.digest:
            raise ValueError(
                f"the results were not made on {net.name} as it is now; give the network that they were made on, "
                "or leave out net="
            )
        shares = _probabilities(net, result)
    different = list(dict.fromkeys(recipe.replace(seed=0) for recipe in result.recipes))
    columns = {recipe: _column(name, recipe, number, len(different)) for number, recipe in enumerate(different, 1)}
    told = zip(result.labels, result.recipes, result.picture(stretch), result.score.tolist(), shares, strict=True)
    return [
        _Entry(label, columns[recipe.replace(seed=0)], shown, score, share, recipe.random)
        for label, recipe, shown, score, share in told
    ]


def _column(name: str, recipe: Recipe, number: int, count: int) -> str:
    """How a recipe's column is headed."""
    own = _preset(recipe) or f"recipe {number}"
    if not name:
        return own
    return name if count == 1 else f"{name}, {own}"


def _probabilities(net: Network, result: Result) -> list[float | None]:
    """Per image the probability of its class, where its goal is one."""
    if not net.is_classifier:
        return [None] * len(result.labels)
    found = net.probabilities(net.activations(result.image, net.output)[net.output.name])
    shares: list[float | None] = []
    for place, goal in enumerate(result.objectives):
        units = [unit for unit in goal.units if unit.layer == net.output]
        shares.append(float(found[place, units[0].channel]) if len(units) == 1 == len(goal.units) else None)
    return shares


def _line(sheet: Sheet, name: str, line: list[_Entry | None], left: float, top: float, side: float) -> float:
    """One goal's images. Returns the lower edge."""
    look = sheet.look
    sheet.text(name, MARGIN, top, width=left - MARGIN - 0.08, lines=4)
    bottom = top + side
    for place, entry in enumerate(line):
        start = left + place * (side + _GAP)
        if entry is None:
            sheet.frame(start, top, side, side, color=look.soft, points=0.4)
            continue
        inch = side / max(entry.picture.size)
        wide, high = entry.picture.width * inch, entry.picture.height * inch
        sheet.picture(entry.picture, start + (side - wide) / 2, top + (side - high) / 2, wide, high)
        score = f"score {number(entry.score)}"
        words = score if entry.probability is None else f"{percent(entry.probability)}, {score}"
        bottom = max(bottom, sheet.text(words, start, top + side + 0.02, width=side, color=look.soft))
    return bottom

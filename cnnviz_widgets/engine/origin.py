"""``origin(picture, network) -> Origin``: how a saved picture was made, read from the picture itself.

`Result.save` writes objective, recipe and digest into the PNG as text. Reading them evaluates and imports nothing: what is
named must be a registered class, a layer and a unit of the network at hand.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from os import PathLike
from typing import Any

from PIL import Image

from .network import Network
from .objectives import Objective
from .recipes import Recipe

_LONGEST = 64 * 2**20
"""Bytes of text that are read of a picture; a photograph inside of a recipe takes a few."""


class NoOriginError(ValueError):
    """The picture does not tell how it was made."""


@dataclass(frozen=True)
class Origin:
    """How a picture was made.

    Attributes
    ----------
    objective, recipe
        What was climbed, and how: ``cnn.maximize(net, origin.objective, origin.recipe)`` makes it again.
    same_weights
        Whether the network at hand has the weights and the preprocessing that it was made with.
    facts
        Everything that was written into the picture, as text.
    """

    objective: Objective
    recipe: Recipe
    same_weights: bool
    facts: dict[str, str]


def origin(picture: str | PathLike[str] | bytes | Image.Image, network: Network) -> Origin:
    """Read how a picture that `Result.save` wrote was made.

    Raises
    ------
    NoOriginError
        No picture that tells it, a ``ValueError``.
    ValueError
        One that can't be rebuilt here, as one made with a regularizer, an objective or a layer that is not there.
    """
    facts = _facts(picture)
    if "recipe" not in facts or "goals" not in facts:
        raise NoOriginError(
            "the picture tells no recipe; expected a PNG that Result.save or the panel wrote, and that no program has converted "
            "since: screenshots and most messengers drop the text inside"
        )
    try:
        goals: Any = json.loads(facts["goals"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the objective in the picture is no JSON: {error}") from error
    if not isinstance(goals, list) or not goals:
        raise ValueError(f"the picture tells no objective; given {str(goals)[:80]}")
    objective = Objective.read(goals[0], network)
    objective.bound(network)
    same = facts.get("network", "") == network.digest()
    return Origin(objective, Recipe.from_json(facts["recipe"]), same, facts)


def _facts(picture: str | PathLike[str] | bytes | Image.Image) -> dict[str, str]:
    source: Any = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    try:
        opened = source if isinstance(source, Image.Image) else Image.open(source, formats=["PNG"])
        opened.load()
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for what is no PNG
        raise NoOriginError(f"the file is no PNG picture: {error}") from error
    texts = {key: value for key, value in opened.info.items() if isinstance(key, str) and isinstance(value, str)}
    told = {key.removeprefix("cnnviz:"): str(value) for key, value in texts.items() if key.startswith("cnnviz:")}
    if sum(map(len, told.values())) > _LONGEST:
        raise ValueError("the picture carries more text than a recipe can be")
    return told

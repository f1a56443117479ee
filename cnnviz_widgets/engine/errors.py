"""What errors have in common: they name what was given, what was expected, and the call that mends it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownNameError(KeyError):
    """A name that is not there. A ``KeyError`` whose text is printed as it is, not as a quoted repr."""

    def __str__(self) -> str:
        return str(self.args[0])


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'layer4'?"`` for the known names that look like ``name``, else only the semicolon."""
    found = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not found:
        return ";"
    return "; did you mean " + " or ".join(repr(match) for match in found) + "?"

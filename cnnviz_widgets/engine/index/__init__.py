"""``ActivationIndex``: what a collection of images does to the units of a network, from one pass.

The way of an image: `loading` decodes it, `measuring` reduces what each layer makes of it, a `table` takes that in, `archive`
keeps the tables, `building` adds them up. `activation_index` answers from them.
"""

from .activation_index import ActivationIndex
from .matches import Level, Match, Neighbors, Statistics

__all__ = ["ActivationIndex", "Level", "Match", "Neighbors", "Statistics"]

"""``Atlas``: synthesized images of units of every layer, by one or several recipes.

The way of an image: `choosing` finds the units and what they see, a `plan` has a place for each by each recipe, `synthesis`
climbs a chunk of places, a `tile` is what comes of one, the `shelf` keeps it, `building` goes through all. `atlas` answers.
"""

from .atlas import Atlas, Fault
from .tile import Tile

__all__ = ["Atlas", "Fault", "Tile"]

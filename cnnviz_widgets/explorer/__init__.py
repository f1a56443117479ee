"""All panels on one selection, laid out together.

A room above the panels: it knows them all, and they do not know it nor each other.
"""

from .explorer import Explorer

__all__ = ["Explorer"]

"""Functions of a real kernel tree in place of our own: read at run time, never kept."""

from __future__ import annotations

from .lift import for_tree, lifted_code, scenarios_of
from .versions import VERSIONS, version_of

__all__ = ["VERSIONS", "for_tree", "lifted_code", "scenarios_of", "version_of"]

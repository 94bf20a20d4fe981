"""Functions of a real kernel tree in place of our own: read at run time, never kept."""

from __future__ import annotations

from .lift import default_scenarios, lifted_code
from .versions import VERSIONS, version_of

__all__ = ["VERSIONS", "default_scenarios", "lifted_code", "version_of"]

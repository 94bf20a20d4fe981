"""Functions of a real kernel tree in place of our own: read at run time, never kept."""

from __future__ import annotations

from .lift import DESIGN, default_scenarios, lifted_code

__all__ = ["DESIGN", "default_scenarios", "lifted_code"]

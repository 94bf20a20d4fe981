"""Where a message about an expression points."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Location, Refusal


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a message points: the place and the text of an expression."""

    at: Location
    text: str

    def refusal(self, what: str, suggestion: str) -> Refusal:
        return Refusal(self.at, what, self.text, suggestion)

"""A span of time as an option: a number of seconds that comes to an end."""

from __future__ import annotations

import math
from typing import Any

import click

WEEK = 604_800.0


class Seconds(click.FloatRange):
    """More than nothing, and a week at most: neither `nan` nor `inf` is a limit."""

    def __init__(self) -> None:
        super().__init__(min=0, max=WEEK, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; click says what is wrong with any other value."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is no number of seconds; give one between 0 and {WEEK:.0f}.", param, ctx)
        return found

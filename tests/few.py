"""Which members of a kind are tried by the quick tests; the slow ones try the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], every: int) -> list[Any]:
    """Each `every`-th value is quick, beginning with the first one; the others are slow. Tuples are several parameters."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=[pytest.mark.slow] if number % every else [])
        for number, value in enumerate(values)
    ]

"""Which members of a kind are tried by the quick tests, which by the slow ones, and which by night alone."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest

SEED = int(os.environ.get("TDPCHECK_SEED", "1"))


def few(values: Iterable[Any], every: int) -> list[Any]:
    """Each `every`-th value is quick, beginning with the first one; the others are slow. Tuples are several parameters."""
    return [_marked(value, [pytest.mark.slow] if number % every else []) for number, value in enumerate(values)]


def drawn(values: Iterable[Any], count: int, *, kind: Callable[[Any], Hashable] | None = None) -> list[Any]:
    """`count` of the values, drawn by TDPCHECK_SEED, are slow; the others are for the night. Tuples are several parameters.

    Args:
        kind: what sort of value it is: one of each is asked by day, even if those are more than `count`.
    """
    every, rng = list(values), random.Random(SEED)
    if kind is None:
        chosen = set(rng.sample(range(len(every)), count))
    else:
        order = rng.sample(range(len(every)), len(every))
        first = {kind(every[number]): number for number in reversed(order)}.values()
        chosen = set([*first, *(number for number in order if number not in first)][: max(count, len(first))])
    night = [pytest.mark.slow, pytest.mark.nightly]
    return [_marked(value, night[: 1 if number in chosen else 2]) for number, value in enumerate(every)]


def _marked(value: Any, marks: list[pytest.MarkDecorator]) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marks)

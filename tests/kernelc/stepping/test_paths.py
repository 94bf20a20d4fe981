"""Paths: what one has learned is its own."""

from __future__ import annotations

from dataclasses import replace

import z3

from tdpcheck.core.shape import is_true
from tdpcheck.kernelc.stepping.paths import Path

X, Y = z3.Bool("X"), z3.Bool("Y")


def test_a_copy_with_fewer_facts_forgets_what_the_first_one_knew() -> None:
    """Where ways join, one path goes on with what both know: a term that only one of them had decided is open again."""
    path = Path(0, 0, {})
    path.assume(z3.And(X, Y))
    assert is_true(path.before(X))

    joined = replace(path, facts={key: pair for key, pair in path.facts.items() if pair[0].eq(Y)})

    assert joined.before(X).eq(X)
    assert is_true(joined.before(Y))


def test_what_a_path_learns_later_counts_from_then_on() -> None:
    path = Path(0, 0, {})
    path.assume(X)
    assert path.before(Y).eq(Y)
    other = path.fork()
    path.assume(Y)

    assert is_true(path.before(Y))
    assert other.before(Y).eq(Y)

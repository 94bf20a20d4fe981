"""Mutants that are declared to be no faults, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import msgspec

from ...core.errors import InputError
from ...kernelc.text.mutations import Mutation

FILE = Path(__file__).with_name("equivalent.toml")


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that is no fault.

    Args:
        operator, file, function, what, near: of the mutation.
        reason: why what it does is no different, or is right as well.
    """

    operator: str
    file: str
    function: str
    what: str
    reason: str
    near: str = ""

    def means(self, mutation: Mutation) -> bool:
        """Whether this mutant is meant."""
        own = (self.operator, self.file, self.function, self.what, self.near)
        return own == (mutation.operator, mutation.file, mutation.function, mutation.what, mutation.near)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    equivalent: tuple[Equivalent, ...] = ()


@cache
def declared() -> tuple[Equivalent, ...]:
    """Those of the shipped kernel C.

    Raises:
        InputError: the file is not what it should be.
    """
    try:
        return msgspec.convert(tomllib.loads(FILE.read_text(encoding="utf-8")), _File).equivalent
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"runner/mutants/{FILE.name}: {error}") from error


def reason_for(mutation: Mutation, known: Iterable[Equivalent]) -> str | None:
    """Why a mutant is no fault; None if nobody says that."""
    return next((each.reason for each in known if each.means(mutation)), None)


def idle(found: Iterable[Mutation], known: Iterable[Equivalent]) -> Iterator[Equivalent]:
    """Declarations that mean no mutant: what they speak of is there no more."""
    mutants = list(found)
    return (each for each in known if not any(map(each.means, mutants)))


__all__ = ["Equivalent", "declared", "idle", "reason_for"]

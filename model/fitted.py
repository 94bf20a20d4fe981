"""Calls of kernel C in a scenario that has not every optional part of the machine: what they do to such a part falls away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import wraps
from typing import TypeVar

import z3

from ..core.errors import EngineError
from ..core.ground import conjunction
from ..core.shape import names
from ..core.sorts import StateVar, Truth
from ..kernelc.lowering.library import Effect, Intrinsic, Library, Value
from .machine import parts
from .scenario import Scenario

Key = TypeVar("Key")


def fitted(library: Library, scenario: Scenario) -> Library:
    """The library as the machine of a scenario has it; the same one where every part is there."""
    absent = {var.name: var for var in parts.absent(scenario)}
    if not absent:
        return library
    key = id(library), frozenset(absent)
    if key not in _fitted:
        if len(_fitted) >= _MOST:
            _fitted.clear()
        _fitted[key] = library, _fitted_to(library, absent)
    return _fitted[key][1]


# Scenarios on one machine are given one library, by which a graph that was lowered for one of them is known to the others. The library
# as it was stands beside it, since it is known by its identity.
_fitted: dict[tuple[int, frozenset[str]], tuple[Library, Library]] = {}
_MOST = 50


def _fitted_to(library: Library, absent: Mapping[str, StateVar]) -> Library:
    def each(known: Mapping[Key, Intrinsic]) -> Mapping[Key, Intrinsic]:
        return {name: _without(intrinsic, absent) for name, intrinsic in known.items()}

    return replace(
        library,
        intrinsics=each(library.intrinsics),
        fields=each(library.fields),
        stores=each(library.stores),
        embedded=each(library.embedded),
        loads=each(library.loads),
        saves=each(library.saves),
    )


def speaks_of(term: z3.ExprRef, variables: Mapping[str, StateVar]) -> bool:
    """Whether one of these variables occurs in a term."""
    return not names(term).isdisjoint(variables)


def _without(intrinsic: Intrinsic, absent: Mapping[str, StateVar]) -> Intrinsic:
    meaning = intrinsic.meaning

    @wraps(meaning)
    def fits(*given: z3.ExprRef | Value) -> Effect | tuple[Effect, ...] | Value:
        made = meaning(*given)
        if isinstance(made, Value):
            return made
        return _effect(made, absent) if isinstance(made, Effect) else tuple(_effect(effect, absent) for effect in made)

    return replace(intrinsic, meaning=fits)


def _effect(effect: Effect, absent: Mapping[str, StateVar]) -> Effect:
    """An effect with what it says of absent variables left out; one that changes nothing else waits for nothing and chooses nothing."""
    kept = tuple(update for update in effect.updates if update.var.name not in absent)
    if effect.updates and not kept:
        return replace(effect, updates=(), guard=z3.BoolVal(True), choices=())
    label = effect.without if effect.without and speaks_of(effect.guard, absent) else effect.label
    return replace(effect, updates=kept, guard=_guard(effect.guard, absent), label=label)


def _guard(guard: z3.BoolRef, absent: Mapping[str, StateVar]) -> z3.BoolRef:
    """A guard without those of its conjuncts that speak of what is not there: nothing of it is set, and nobody waits for it.

    Raises:
        EngineError: a conjunct that is not true where nothing of it is set.
    """
    if not speaks_of(guard, absent):
        return guard
    conjuncts = guard.children() if z3.is_and(guard) else [guard]
    gone = [term for term in conjuncts if speaks_of(term, absent)]
    nothing = [(var.decl, z3.BoolVal(False)) for var in absent.values() if isinstance(var.kind, Truth)]
    for term in gone:
        if not z3.is_true(z3.simplify(z3.substitute_funs(term, *nothing))):
            raise EngineError(f"a call waits for what this machine has not: {term}; please report this")
    return conjunction([term for term in conjuncts if not speaks_of(term, absent)])


__all__ = ["fitted", "speaks_of"]

"""Actions and transition systems: a guard, and pointwise or ranged updates of functions, over uninterpreted sorts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import z3

from .errors import ModelError
from .shape import applied, sort_identity
from .sorts import BOOL, Kind, Rigid, Sort, StateVar, Word


@dataclass(frozen=True, slots=True)
class Source:
    """Where a step comes from: file, line, function, and the statement in short."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an action: a named free constant of a kind. Every value of the kind is a choice."""

    name: str
    kind: Kind

    @property
    def const(self) -> z3.ExprRef:
        return self.kind.const(self.name)


@dataclass(frozen=True, slots=True)
class Update:
    """After the action, `var(*variables) == value` for all values of `variables`; `value` speaks of the state before."""

    var: StateVar
    variables: tuple[z3.ExprRef, ...]
    value: z3.ExprRef


def set_at(var: StateVar, at: Sequence[z3.ExprRef], value: z3.ExprRef) -> Update:
    """Set `var` at one point and leave the rest as it is."""
    xs = var.variables()
    here = [x == a for x, a in zip(xs, at, strict=True)]
    return Update(var, xs, z3.If(z3.And(here), value, var(*xs)) if here else value)


def set_where(var: StateVar, variables: Sequence[z3.ExprRef], condition: z3.BoolRef, value: z3.ExprRef) -> Update:
    """Set `var(*variables)` to `value` wherever `condition` holds; both may speak of `variables`."""
    return Update(var, tuple(variables), z3.If(condition, value, var(*variables)))


def reset_where(variables: Sequence[StateVar], condition: Callable[..., z3.BoolRef]) -> tuple[Update, ...]:
    """Set what is no longer meant to its first value, False or the first element, wherever `condition` holds of the arguments.

    What nobody may read is the same in every state then; states that differ in it alone would be visited, and proved about, for nothing.

    Args:
        variables: with the same arguments: whether something is there, and what it is.
    """
    return tuple(set_where(var, xs := var.variables(), condition(*xs), _first(var)) for var in variables)


def _first(var: StateVar) -> z3.ExprRef:
    match var.kind:
        case Sort():
            return var.kind.element(0)
        case Word():
            return z3.BitVecVal(0, var.kind.width)
        case _:
            return z3.BoolVal(False)


def substitute_updates(term: z3.ExprRef, updates: Iterable[Update]) -> z3.ExprRef:
    """`term` as it reads after the updates, said of the state before them (weakest precondition by substitution)."""
    pairs = [(u.var.decl, _as_body(u)) for u in updates]
    return z3.substitute_funs(term, *pairs) if pairs else term


def _as_body(update: Update) -> z3.ExprRef:
    n = len(update.variables)
    if n == 0:
        return update.value
    return z3.substitute(update.value, *((x, z3.Var(i, x.sort())) for i, x in enumerate(update.variables)))


def then(first: Sequence[Update], second: Sequence[Update]) -> tuple[Update, ...]:
    """The updates of doing `first` and then `second` as one step."""
    result = {u.var.name: u for u in first}
    for u in second:
        result[u.var.name] = Update(u.var, u.variables, substitute_updates(u.value, first))
    return tuple(result.values())


@dataclass(frozen=True)
class Action:
    """A named step: when it may fire, and what it changes. What no update mentions stays.

    Args:
        name: unique in its system.
        actor: whose step it is (a role of thread, or a part of the machine).
        params: the choices; a software step's first parameter is its thread.
        label: what a reader sees; `{param}` is replaced by the parameter's value.
        source: the statements of kernel C that this step executes, the visible one first.
    """

    name: str
    actor: str
    params: tuple[Param, ...]
    guard: z3.BoolRef
    updates: tuple[Update, ...]
    label: str = ""
    source: tuple[Source, ...] = ()

    @cached_property
    def changes(self) -> frozenset[str]:
        """The names of the state variables that it may change."""
        return frozenset(u.var.name for u in self.updates)


@dataclass(frozen=True)
class TransitionSystem:
    """Sorts, state, an initial condition and actions; a value, described once and grounded or proved from.

    Args:
        init: for each state variable that starts with a known value, that value as an update; the others start with any value.
        constraint: what else is known of the initial state.
    """

    name: str
    sorts: tuple[Sort, ...]
    state: tuple[StateVar, ...]
    init: tuple[Update, ...]
    actions: tuple[Action, ...]
    rigids: tuple[Rigid, ...] = ()
    constraint: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(True))

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ModelError(f"system {self.name}: " + "; ".join(problems[:5]))

    @cached_property
    def by_name(self) -> dict[str, StateVar]:
        return {v.name: v for v in self.state}

    @cached_property
    def rigid_by_name(self) -> dict[str, Rigid]:
        return {r.name: r for r in self.rigids}

    @cached_property
    def sort_by_name(self) -> dict[str, Sort]:
        return {s.name: s for s in self.sorts}

    def action(self, name: str) -> Action:
        """The action of that name.

        Raises:
            ModelError: there is none.
        """
        for action in self.actions:
            if action.name == name:
                return action
        raise ModelError(f"system {self.name} has no action {name!r}")

    @property
    def words(self) -> tuple[str, ...]:
        """What is a bit-vector here and so keeps the system out of proofs of every size."""
        return tuple(v.name for v in self.state if isinstance(v.kind, Word)) + tuple(
            r.name for r in self.rigids if any(isinstance(k, Word) for k in (*r.params, r.kind))
        )


def _problems(system: TransitionSystem) -> Iterable[str]:
    names = [v.name for v in system.state] + [r.name for r in system.rigids]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{name} is declared twice"
    declared = set(system.sorts)
    for var in system.state:
        for kind in (*var.params, var.kind):
            if isinstance(kind, Sort) and kind not in declared:
                yield f"{var.name} uses sort {kind.name}, which the system does not declare"
    known = {v.name: v for v in system.state}
    kinds = {v.name: int(v.kind.z3.ast.value) for v in system.state}
    actions = [a.name for a in system.actions]
    for name in sorted({n for n in actions if actions.count(n) > 1}):
        yield f"action {name} is declared twice"
    for action in system.actions:
        own = {p.name for p in action.params}
        for name in sorted(own & set(names)):
            yield f"action {action.name} has a parameter {name}, which is the name of a state variable or rigid function"
        for u in action.updates:
            for x in u.variables:
                if own and applied(x) in own:
                    yield f"action {action.name} updates {u.var.name} at a variable {x}, which is also its parameter"
    groups = [("init", system.init), *((f"action {a.name}", a.updates) for a in system.actions)]
    for where, updates in groups:
        changed = [u.var.name for u in updates]
        for name in sorted({n for n in changed if changed.count(n) > 1}):
            yield f"{where} updates {name} twice"
        for u in updates:
            if known.get(u.var.name) != u.var:
                yield f"{where} updates {u.var.name}, which the system does not declare so"
            elif sort_identity(u.value) != kinds[u.var.name]:
                yield f"{where} sets {u.var.name} of sort {u.var.kind.z3} to a value of sort {u.value.sort()}"


@dataclass(frozen=True)
class Lemma:
    """One step of an argument: a closed term, the sentence that it says, and why it is true."""

    name: str
    holds: z3.BoolRef
    sentence: str
    because: str = ""


@dataclass(frozen=True)
class Property:
    """What must hold in every reachable state.

    Args:
        name: what it promises, as one would say it.
        sentence: the promise in one sentence.
        holds: the closed term.
        premise: what must be reachable for the promise to mean anything; unreached, the property is vacuous.
        lemmas: the argument.
        source: where the requirement comes from.
    """

    name: str
    sentence: str
    holds: z3.BoolRef
    premise: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(True))
    lemmas: tuple[Lemma, ...] = ()
    source: str = ""
    kind: Literal["invariant"] = "invariant"

    @property
    def as_lemma(self) -> Lemma:
        """The promise as a part of its own argument: what is assumed before a step and asked after it."""
        return Lemma(self.name, self.holds, self.sentence)


def truth(value: bool) -> z3.BoolRef:
    return z3.BoolVal(value)


def bool_var(name: str, *params: Sort, doc: str = "") -> StateVar:
    """A state variable that is a set (a relation over its parameters)."""
    return StateVar(name, params, BOOL, doc)

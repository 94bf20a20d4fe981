"""What an instantiated certificate has to keep: questions without quantifiers, derived from its text alone.

Every clause of the file is "for all of these, that", where `that` has no quantifier inside; a quantifier that it needs has a name, and
two clauses say what the name means (`theory.py`). The state after a step is written by renaming each changed function to the definition
of its next value. A step keeps the invariant if some instances of the clauses, with its guard, contradict that a clause is wrong
afterwards. Which instances the file names is a hint and no more: they are made here, of clauses that may be supposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from ..core.errors import InputError
from .obligations import INITIALLY, Certificate, Definition, Step
from .sexpr import Sexpr, name_of, rename, symbol, tokens, write

Use: TypeAlias = tuple[str, tuple[str, ...]]
"""A clause's name, and what stands for its variables, as SMT-LIB text."""

Uses: TypeAlias = dict[str, tuple[Use, ...]]
"""By step, the instances that prove it."""


@dataclass(frozen=True)
class Universal:
    """A clause: its symbol, its variables with their sorts, and what holds for all of them."""

    name: str
    variables: tuple[tuple[str, str], ...]
    body: Sexpr

    @cached_property
    def macro(self) -> str:
        """Its definition as a predicate over its variables, so that an instance is an application."""
        return _macro(self.name, self.variables, self.body)


@dataclass(frozen=True)
class Named:
    """A quantifier with a name: for `variables` there are `bound` so that `body`."""

    name: str
    variables: tuple[tuple[str, str], ...]
    bound: tuple[tuple[str, str], ...]
    body: Sexpr

    def declarations(self, mark: str = "") -> Iterator[str]:
        """The atom and the functions that choose a witness, in the state before (no `mark`) or after a step."""
        sorts = " ".join(sort for _, sort in self.variables)
        yield f"(declare-fun {_marked(self.name, mark)} ({sorts}) Bool)"
        for number, (_, sort) in enumerate(self.bound):
            yield f"(declare-fun {_marked(self.name, f'{mark}:{number}')} ({sorts}) {sort})"

    def meanings(self, body: Sexpr, mark: str = "") -> tuple[Universal, Universal]:
        """That it has a witness, and that whatever satisfies `body` is one."""
        names = [x for x, _ in self.variables]
        atom = _applied(_marked(self.name, mark), names)
        chosen: dict[str, Sexpr] = {x: _applied(_marked(self.name, f"{mark}:{number}"), names) for number, (x, _) in enumerate(self.bound)}
        has = Universal(_marked(self.name, f"{mark} +"), self.variables, ["or", ["not", atom], rename(body, chosen)])
        return has, Universal(_marked(self.name, f"{mark} -"), (*self.variables, *self.bound), ["or", ["not", body], atom])


def _marked(name: str, mark: str) -> str:
    return symbol(name_of(name) + mark)


def _applied(name: str, arguments: Sequence[str]) -> Sexpr:
    return [name, *arguments] if arguments else name


def _macro(name: str, variables: Iterable[tuple[str, str]], body: Sexpr) -> str:
    return f"(define-fun {name} ({' '.join(f'({x} {s})' for x, s in variables)}) Bool {write(body)})"


class Instantiated:
    """The questions of one certificate.

    Raises:
        InputError: a clause has a quantifier inside, or two clauses give a variable's name to different sorts, or a subterm has a name.
    """

    def __init__(self, found: Certificate) -> None:
        self._found = found
        if found.shared:
            # What a clause speaks of is read off it; a name would hide it.
            raise InputError(f"the certificate: {next(iter(found.shared))} names a subterm, which an instantiated certificate may not do")
        self.named = {name: _named(made) for name, made in found.some.items()}
        self.axioms = [_universal(found.made[name]) for name in found.axioms]
        self.init = [_universal(found.made[name]) for name in found.init]
        self.lemmas = {name: _universal(made) for name, made in found.lemmas.items()}
        steps = found.steps.values()
        self._nexts = {x: _without_quantifier(found.made[x]) for step in steps for x in step.following.values()}
        for step in steps:
            _without_quantifier(found.made[step.guard])
        self._constants: dict[str, str] = {}
        for clause in self.lemmas.values():
            for x, sort in clause.variables:
                if self._constants.setdefault(x, sort) != sort:
                    elsewhere = self._constants[x]
                    raise InputError(
                        f"the certificate: {clause.name} has a variable {x} of sort {sort}; others have it of sort {elsewhere}"
                    )
        self._reach: dict[str, frozenset[str]] = {}
        for name, some in self.named.items():  # one may speak of those before it
            self._reach[name] = self._reached(some.body)
        self._mentions = {name: self._reached(clause.body) for name, clause in self.lemmas.items()}
        self._occurrences = {name: _Occurrences(clause) for name, clause in self.lemmas.items()}
        self._meanings = [m for some in self.named.values() for m in some.meanings(some.body)]
        self._elements = _distinct(self.axioms)

    def _reached(self, body: Sexpr) -> frozenset[str]:
        """The functions and named quantifiers of which a term speaks, these looked into."""
        result: set[str] = set()
        for token in set(tokens(body)):
            if token in self.named:
                result |= {token, *self._reach[token]}
            elif token in self._found.functions:
                result.add(token)
        return frozenset(result)

    def declarations(self) -> Iterator[str]:
        """Sorts, functions, parameters and named quantifiers."""
        found = self._found
        yield from (command for command, name in zip(found.commands, found.names, strict=True) if name not in found.made)
        for some in self.named.values():
            yield from some.declarations()

    def base(self) -> Iterator[str]:
        """What every question needs: declarations, next values, clauses as predicates, and a constant for each variable of a clause."""
        found = self._found
        yield from self.declarations()
        steps = found.steps.values()
        wanted = {name for step in steps for name in (step.guard, *step.following.values())}
        yield from (made.text for name, made in found.made.items() if name in wanted)
        yield from (f"(declare-fun {x} () {sort})" for x, sort in self._constants.items())
        yield from (clause.macro for clause in (*self.axioms, *self.init, *self._meanings, *self.lemmas.values()))
        yield from (f"(assert {clause.name})" for clause in self.axioms if not clause.variables)

    def initially(self) -> tuple[list[str], list[str], dict[str, str]]:
        """No declarations; what is to be asserted of an initial state; and by clause, what says that it is wrong there."""
        known = [*self.axioms, *self.init, *self._meanings]
        facts = [clause.name for clause in self.init if not clause.variables]
        goals = {name: f"(not {write(clause.body)})" for name, clause in self.lemmas.items()}
        return [], [*facts, *self._used(INITIALLY, {clause.name for clause in known})], goals

    def step(self, step: Step) -> tuple[list[str], list[str], dict[str, str]]:
        """Declarations for a step; what is to be asserted of it; and by clause, what says that the clause is wrong afterwards."""
        changed = step.following.keys()
        touched = [some for name, some in self.named.items() if self._reach[name] & changed]
        names: dict[str, Sexpr] = {**step.following, **{some.name: _marked(some.name, "'") for some in touched}}
        after = [meaning for some in touched for meaning in some.meanings(rename(some.body, names), "'")]
        declarations = [line for some in touched for line in some.declarations("'")]
        declarations += [meaning.macro for meaning in after]
        known = {clause.name for clause in (*self.axioms, *self._meanings, *self.lemmas.values(), *after)}
        own = {f: _Own.of(self._found.made[x], self._nexts[x], f, step) for f, x in step.following.items()}
        goals = {}
        for name, clause in self.lemmas.items():
            reached = self._mentions[name] & changed
            goal = self._goal(clause, reached, own, names) if reached else ""
            if goal:
                goals[name] = goal
        return declarations, [step.guard, *self._used(step.name, known)], goals

    def _goal(self, clause: Universal, changed: frozenset[str], own: Mapping[str, _Own | None], names: dict[str, Sexpr]) -> str:
        """That a clause is right before a step and wrong after it; empty if that is seen not to be so.

        Where a step changes functions only for whoever acts, and a clause speaks of them only for its own variables, the clause is
        afterwards what it was unless one of these variables is the one who acts; nor is it wrong for who then stands where the clause
        says nothing.
        """
        actor, possible = self._asked(clause, changed, own, names)
        if actor and not possible:
            return ""
        before = write(_applied(clause.name, [x for x, _ in clause.variables]))
        wrong = f"{before} (not {write(rename(clause.body, names))})"
        return f"(and (or {' '.join(f'(= {x} {actor})' for x in possible)}) {wrong})" if actor else f"(and {wrong})"

    def _asked(
        self, clause: Universal, changed: frozenset[str], own: Mapping[str, _Own | None], names: dict[str, Sexpr]
    ) -> tuple[str, list[str]]:
        """Who acts, and which variables of a clause must be that one for it to be wrong afterwards; no actor if any may be anybody."""
        seen = self._occurrences[clause.name]
        if any(name in names for name in self._mentions[clause.name] if name in self.named):
            return "", []
        indices: set[str] = set()
        actors = set()
        for f in changed:
            mine = own.get(f)
            places = seen.at(f, mine.place) if mine is not None else None
            if mine is None or places is None:
                return "", []
            indices |= places
            actors.add(mine.actor)
        if len(actors) != 1:
            return "", []
        (actor,) = actors
        return actor, [x for x in sorted(indices) if not self._elsewhere(seen, x, actor, own)]

    def _elsewhere(self, seen: _Occurrences, variable: str, actor: str, own: Mapping[str, _Own | None]) -> bool:
        """Whether a clause says nothing of who acts: after the step, `actor` stands at none of the places that it asks of `variable`."""
        for function, values in seen.guards.get(variable, {}).items():
            mine = own.get(function)
            if mine is not None and mine.actor == actor and mine.value and all(self._differ(mine.value, value) for value in values):
                return True
        return False

    def _differ(self, one: str, other: str) -> bool:
        return one != other and any(one in elements and other in elements for elements in self._elements)

    def _used(self, step: str, known: set[str]) -> list[str]:
        """The instances that the file names for a step, as far as they are instances of what is known there.

        Raises:
            InputError: one is of anything else.
        """
        result = []
        for use in self._found.uses.get(step, ()):
            head = use[0] if isinstance(use, list) and use else use
            if head not in known:
                raise InputError(f"the certificate: the proof of {step} uses {write(use)[:60]}, which is no clause that is known there")
            assert isinstance(use, list)
            result.append(write(use) if len(use) > 1 else head)
        return result

    def safety(self, prop: Definition) -> list[str]:
        """The clauses that say a property, closed, and what the quantifiers in them mean."""
        prefix = f"lemma {name_of(prop.name).partition(' ')[2]}/"
        clauses = [clause for name, clause in self.lemmas.items() if name_of(name).startswith(prefix)]
        reached = {x for clause in clauses for x in self._mentions[clause.name]}
        meanings = [self._meaning(some) for name, some in self.named.items() if name in reached]
        return [*meanings, *(_closed("forall", clause.variables, clause.body) for clause in clauses)]

    @staticmethod
    def _meaning(some: Named) -> str:
        atom = write(_applied(some.name, [x for x, _ in some.variables]))
        same = f"(= {atom} {_closed('exists', some.bound, some.body)})"
        return f"(forall ({_binders(some.variables)}) {same})" if some.variables else same


def _closed(word: str, variables: Sequence[tuple[str, str]], body: Sexpr) -> str:
    return f"({word} ({_binders(variables)}) {write(body)})" if variables else write(body)


def _binders(variables: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"({x} {sort})" for x, sort in variables)


def _universal(made: Definition) -> Universal:
    match made.body:
        case ["forall", list(binders), _]:
            return Universal(made.name, _variables(made.name, binders), _without_quantifier(made, 2))
        case _:
            return Universal(made.name, (), _without_quantifier(made))


def _named(made: Definition) -> Named:
    match made.body:
        case ["exists", list(binders), _]:
            own = _variables(made.name, made.parameters)
            return Named(made.name, own, _variables(made.name, binders), _without_quantifier(made, 2))
        case _:
            raise InputError(f"the certificate: {made.name} does not say that there is something")


def _variables(name: str, binders: Iterable[Sexpr]) -> tuple[tuple[str, str], ...]:
    result = []
    for binder in binders:
        match binder:
            case [str(x), sort]:
                result.append((x, write(sort)))
            case _:
                raise InputError(f"the certificate: {name} binds {write(binder)[:40]}, which is no variable with a sort")
    return tuple(result)


def _without_quantifier(made: Definition, part: int | None = None) -> Sexpr:
    """The body of a definition, or a part of it, with every `let` written out.

    Raises:
        InputError: there is a quantifier inside.
    """
    body = made.body if part is None else made.body[part]
    if any(token in ("forall", "exists") for token in tokens(body)):
        raise InputError(f"the certificate: {made.name} has a quantifier inside; an instantiated certificate gives it a name")
    return _without_let(body, {})


def _without_let(term: Sexpr, values: Mapping[str, Sexpr]) -> Sexpr:
    match term:
        case str():
            return values.get(term, term)
        case ["let", list(bindings), body]:
            own = {b[0]: _without_let(b[1], values) for b in bindings if isinstance(b, list) and len(b) == 2 and isinstance(b[0], str)}
            return _without_let(body, {**values, **own})
        case _:
            return [_without_let(child, values) for child in term]


def _distinct(axioms: Iterable[Universal]) -> list[frozenset[str]]:
    """The sets of elements that an axiom says are different."""
    return [
        frozenset(x for x in clause.body[1:] if isinstance(x, str))
        for clause in axioms
        if not clause.variables and isinstance(clause.body, list) and clause.body and clause.body[0] == "distinct"
    ]


@dataclass(frozen=True)
class _Own:
    """That a function changes only where its argument at `place` is `actor`.

    Args:
        value: the constant that it is there after the step, if it is one.
    """

    place: int
    actor: str
    value: str

    @staticmethod
    def of(made: Definition, body: Sexpr, function: str, step: Step) -> _Own | None:
        """What the next value of `function` says, if it is the old one wherever a certain argument is not a certain parameter."""
        sorts = dict(_variables(made.name, made.parameters))
        variables = list(sorts)
        for place, x in enumerate(variables):
            for actor in (name for name, sort in step.parameters.items() if sort == sorts[x]):
                if _folded(body, x, actor, "false") == [function, *variables]:
                    value = _folded(body, x, actor, "true")
                    return _Own(place, actor, value if isinstance(value, str) and value not in variables else "")
        return None


def _folded(term: Sexpr, x: str, actor: str, same: str) -> Sexpr:
    """A term where it is known whether `x` is `actor`, with that folded away as far as it is simple."""
    if isinstance(term, str) or not term:
        return term
    if term in (["=", x, actor], ["=", actor, x]):
        return same
    parts = [_folded(child, x, actor, same) for child in term]
    match parts:
        case ["not", "true"]:
            return "false"
        case ["not", "false"]:
            return "true"
        case ["ite", "true", chosen, _] | ["ite", "false", _, chosen]:
            return chosen
        case ["and" | "or" as word, *rest]:
            neutral, ending = ("true", "false") if word == "and" else ("false", "true")
            left = [part for part in rest if part != neutral]
            if ending in left:
                return ending
            return neutral if not left else left[0] if len(left) == 1 else [word, *left]
        case _:
            return parts


@dataclass
class _Occurrences:
    """Where a clause applies functions, and what it says nothing beyond.

    Args:
        guards: by variable and function, the constants of which one must be the function's value, else the clause says nothing.
    """

    clause: Universal
    guards: dict[str, dict[str, tuple[str, ...]]] = field(init=False)
    _at: dict[str, list[list[Sexpr]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._bound = {x for x, _ in self.clause.variables}
        self.guards = {}
        todo: list[Sexpr] = [self.clause.body]
        while todo:
            node = todo.pop()
            if isinstance(node, str):
                self._at.setdefault(node, []).append([])
            elif node:
                if isinstance(node[0], str):
                    self._at.setdefault(node[0], []).append(node[1:])
                    todo += node[1:]
                else:
                    todo += node
        for part in _parts(self.clause.body, "or"):
            match part:
                case ["not", condition]:
                    for conjunct in _parts(condition, "and"):
                        self._guard(conjunct)
                case _:
                    pass

    def _guard(self, term: Sexpr) -> None:
        seen: set[tuple[str, str]] = set()
        values = []
        for option in _parts(term, "or"):
            match option:
                case ["=", [str(function), str(x)], str(value)] | ["=", str(value), [str(function), str(x)]] if x in self._bound:
                    seen.add((x, function))
                    values.append(value)
                case _:
                    return
        if len(seen) == 1:
            ((x, function),) = seen
            self.guards.setdefault(x, {})[function] = tuple(values)

    def at(self, function: str, place: int) -> set[str] | None:
        """The variables of the clause that stand at a place of a function's arguments; None if anything else stands there."""
        found = set()
        for arguments in self._at.get(function, ()):
            x = arguments[place] if place < len(arguments) else None
            if not isinstance(x, str) or x not in self._bound:
                return None
            found.add(x)
        return found


def _parts(term: Sexpr, word: str) -> list[Sexpr]:
    if isinstance(term, list) and term and term[0] == word:
        return [part for child in term[1:] for part in _parts(child, word)]
    return [term]


__all__ = ["Instantiated", "Use", "Uses"]

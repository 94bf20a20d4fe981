"""What an instantiated certificate has to keep: questions without quantifiers, derived from its text alone.

Every clause of the file is "for all of these, that", where `that` has no quantifier inside; a quantifier that it needs has a name, and
two clauses say what the name means (`theory.py`). The state after a step is written by renaming each changed function to the definition
of its next value. A step keeps the invariant if some instances of the clauses, with its guard, contradict that a clause is wrong
afterwards. Which instances the file names is a hint and no more: they are made here, of clauses that may be supposed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

    def declarations(self, mark: str = "") -> dict[str, str]:
        """The atom and the functions that choose a witness, in the state before (no `mark`) or after a step."""
        sorts = " ".join(sort for _, sort in self.variables)
        results = {_marked(self.name, mark): "Bool"}
        results |= {_marked(self.name, f"{mark}:{number}"): sort for number, (_, sort) in enumerate(self.bound)}
        return {name: f"(declare-fun {name} ({sorts}) {sort})" for name, sort in results.items()}

    @staticmethod
    def meaning_names(name: str, mark: str = "") -> tuple[str, str]:
        """What its two clauses are called."""
        return _marked(name, f"{mark} +"), _marked(name, f"{mark} -")

    def meanings(self, body: Sexpr, mark: str = "") -> tuple[Universal, Universal]:
        """That it has a witness, and that whatever satisfies `body` is one."""
        names = [x for x, _ in self.variables]
        atom = _applied(_marked(self.name, mark), names)
        chosen: dict[str, Sexpr] = {x: _applied(_marked(self.name, f"{mark}:{number}"), names) for number, (x, _) in enumerate(self.bound)}
        has, is_one = self.meaning_names(self.name, mark)
        return (
            Universal(has, self.variables, ["or", ["not", atom], rename(body, chosen)]),
            Universal(is_one, (*self.variables, *self.bound), ["or", ["not", body], atom]),
        )


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
        self._terms = {
            name: _Term.of(clause.body, self._found.functions.keys() | self.named.keys()) for name, clause in self.lemmas.items()
        }
        self._meanings = [m for some in self.named.values() for m in some.meanings(some.body)]
        self._known = {clause.name for clause in (*self.axioms, *self._meanings, *self.lemmas.values())}
        self._enumerations = {clause.name: elements for clause in self.axioms if (elements := self._distinct(clause))}
        self._elements = {x: name for name, elements in self._enumerations.items() for x in elements}

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
            yield from some.declarations().values()

    def base(self) -> Iterator[str]:
        """What every question needs: declarations, clauses as predicates, and a constant for each variable of a clause."""
        yield from self.declarations()
        yield from (f"(declare-fun {x} () {sort})" for x, sort in self._constants.items())
        yield from (clause.macro for clause in (*self.axioms, *self.init, *self._meanings, *self.lemmas.values()))
        yield from (f"(assert {name})" for name in self._closed if name not in self._enumerations)
        for name, elements in self._enumerations.items():
            yield from self._apart(name, elements)

    @cached_property
    def _closed(self) -> list[str]:
        """The axioms that are no clause about everything, but a fact."""
        return [clause.name for clause in self.axioms if not clause.variables]

    def _distinct(self, clause: Universal) -> list[str]:
        """The elements of a sort that an axiom says are different, if that is what it says."""
        match clause.body:
            case ["distinct", *elements] if not clause.variables:
                constants = [x for x in elements if isinstance(x, str) and self._found.functions.get(x, ("",))[0] == "()"]
                return constants if len(constants) == len(elements) else []
            case _:
                return []

    def _apart(self, axiom: str, elements: Sequence[str]) -> Iterator[str]:
        """That elements are different, said by numbering them in binary: cvc5 is slow where many are said to be `distinct`.

        The bits are new functions, which can have these values wherever the elements are different, and nowhere else.
        """
        sort = self._found.functions[elements[0]][1]
        for place in range((len(elements) - 1).bit_length()):
            bit = symbol(f"bit {place} of {name_of(axiom)}")
            yield f"(declare-fun {bit} ({sort}) Bool)"
            yield from (
                f"(assert ({bit} {x}))" if number >> place & 1 else f"(assert (not ({bit} {x})))" for number, x in enumerate(elements)
            )

    def initially(self) -> tuple[list[str], list[str], dict[str, str]]:
        """No declarations; what is to be asserted of an initial state; and by clause, what says that it is wrong there."""
        known = [*self.axioms, *self.init, *self._meanings]
        facts = [clause.name for clause in self.init if not clause.variables]
        goals = {name: f"(not {write(clause.body)})" for name, clause in self.lemmas.items()}
        return [], [*facts, *self._used(INITIALLY, {clause.name for clause in known})], goals

    def step(self, step: Step) -> tuple[list[str], list[str], dict[str, str]]:
        """Declarations for a step; what is to be asserted of it; and by clause, what says that the clause is wrong afterwards."""
        touched = [some for some in self.named.values() if self._reach[some.name] & step.following.keys()]
        after = _After(self._found, self._nexts, step, touched)
        known = [step.guard, *self._used(step.name, self._known | after.meanings)]
        goals = {}
        for name, clause in self.lemmas.items():
            changed = self._mentions[name] & after.changed
            if changed:
                goal = self._goal(clause, changed, after)
                if goal:
                    goals[name] = goal
        after.speaks.update(token for use in self._found.uses.get(step.name, ()) for token in tokens(use))
        return list(after.declarations()), known, goals

    def _goal(self, clause: Universal, changed: frozenset[str], after: _After) -> str:
        """That a clause is right before a step and wrong after it; empty if that is seen not to be so.

        Where a step changes functions only for whoever acts, and a clause speaks of them only for its own variables, the clause is
        afterwards what it was unless one of these variables is the one who acts; nor is it wrong for who then stands where the clause
        says nothing. Who is known to act, or not to, is written so: what the step does for the others need not be asked.
        """
        actor, others, possible = self._asked(clause, changed, after)
        if possible is not None and not possible:
            return ""
        mine = possible[0] if possible is not None and len(possible) == 1 else ""
        wrong = self._afterwards(self._terms[clause.name], after, mine, others)
        if wrong == "true":
            return ""
        said = [] if possible is None else [either([f"(= {x} {actor})" for x in possible])]
        said += [f"(not (= {x} {actor}))" for x in others]
        return f"(and {' '.join(said)} {write(_applied(clause.name, [x for x, _ in clause.variables]))} (not {wrong}))"

    def _asked(self, clause: Universal, changed: frozenset[str], after: _After) -> tuple[str, list[str], list[str] | None]:
        """Who acts; which variables of a clause cannot be that one if it is wrong afterwards; and which must be, None if none need be."""
        seen = self._occurrences[clause.name]
        actor, at = after.actor(changed)
        if not actor:
            return "", [], None
        others = [x for x, asked in seen.guards.items() if self._elsewhere(asked, actor, after)]
        if at is None:
            return actor, others, None
        possible: set[str] = set()
        for f, place in at:
            variables = seen.at(f, place)
            if variables is None:
                return actor, others, None
            possible |= variables
        if not after.touched.keys().isdisjoint(self._mentions[clause.name]):
            return actor, others, None
        return actor, others, sorted(possible.difference(others))

    def _elsewhere(self, asked: Mapping[str, Sequence[str]], actor: str, after: _After) -> bool:
        """Whether who acts stands, after the step, at none of the places that a clause asks of one of its variables."""
        for function, values in asked.items():
            mine = after.own.get(function)
            if mine is None or not mine.value or mine.actor != actor:
                continue
            for value in values:
                if not self._differ(mine.value, value):
                    break
            else:
                return True
        return False

    def _afterwards(self, term: _Term, after: _After, mine: str, others: Sequence[str]) -> str:
        """A term as it reads after a step, folded where it is known that `mine` is the one who acts, and `others` are not."""
        if term.speaks.isdisjoint(after.names):
            return term.text
        if not term.parts:
            return after.name(term.text)
        head, *rest = term.parts
        own = after.own.get(head.text)
        place = rest[own.place].text if own is not None and own.place < len(rest) else ""
        if own is not None and own.value and place and place == mine:
            return own.value
        word = head.text if place in others else self._afterwards(head, after, mine, others)
        return self._folded(word, [self._afterwards(part, after, mine, others) for part in rest])

    def _folded(self, word: str, parts: Sequence[str]) -> str:
        match word, parts:
            case "=", [one, other] if self._differ(one, other):
                return "false"
            case "=", [one, other] if one == other:
                return "true"
        folded = _simplified([word, *parts])
        return folded if isinstance(folded, str) else f"({' '.join(map(str, folded))})"

    def _differ(self, one: str, other: str) -> bool:
        return one != other and one in self._elements and self._elements[one] == self._elements.get(other)

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
            if head not in self._closed:  # it is asserted of every state
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


@dataclass(frozen=True)
class _Term:
    """A term that is written again and again, in parts.

    Args:
        speaks: what of the state is in it.
    """

    text: str
    speaks: frozenset[str]
    parts: tuple[_Term, ...] = ()

    @staticmethod
    def of(term: Sexpr, state: Collection[str]) -> _Term:
        if isinstance(term, str):
            return _Term(term, frozenset((term,)) if term in state else frozenset())
        parts = tuple(_Term.of(part, state) for part in term)
        return _Term(f"({' '.join(part.text for part in parts)})", frozenset().union(*(part.speaks for part in parts)), parts)


class _After:
    """The state after a step.

    Args:
        touched: the named quantifiers that may change.

    Attributes:
        own: what the step changes, and if that is so for whoever acts alone, how.
        names: what stands for what may be different afterwards.
        speaks: what was spoken of until now; the rest need not be declared.
    """

    def __init__(self, found: Certificate, nexts: Mapping[str, Sexpr], step: Step, touched: Sequence[Named]) -> None:
        self._step = step
        self._made = found.made
        self.own = {f: _Own.of(found.made[x], nexts[x], f, step) for f, x in step.following.items()}
        self.changed = frozenset(self.own)
        self._actors: dict[frozenset[str], tuple[str, list[tuple[str, int]] | None]] = {}
        self.touched = {some.name: some for some in touched}
        self.names: dict[str, str] = {**step.following, **{some.name: _marked(some.name, "'") for some in touched}}
        self._some_of = {clause: some for some in touched for clause in some.meaning_names(some.name, "'")}
        self.speaks: set[str] = set()

    def actor(self, changed: frozenset[str]) -> tuple[str, list[tuple[str, int]] | None]:
        """For whom alone some functions change, if that is one; and where that one stands in them, if all of them change so."""
        if changed not in self._actors:
            own = [(f, mine) for f in changed if (mine := self.own[f]) is not None]
            actors = {mine.actor for _, mine in own}
            places = [(f, mine.place) for f, mine in own] if len(own) == len(changed) else None
            self._actors[changed] = (actors.pop(), places) if len(actors) == 1 else ("", None)
        return self._actors[changed]

    @property
    def meanings(self) -> set[str]:
        """What the clauses are called that say what the touched quantifiers mean afterwards."""
        return set(self._some_of)

    def name(self, symbol: str) -> str:
        """What a function or named quantifier is called afterwards."""
        name = self.names.get(symbol, symbol)
        self.speaks.add(name)
        return name

    def declarations(self) -> Iterator[str]:
        """The guard, and of the state afterwards what was spoken of."""
        names: dict[str, Sexpr] = {**self.names}
        clauses = {}
        for word in self.speaks & self._some_of.keys():
            some = self._some_of[word]
            clauses[word] = next(c for c in some.meanings(rename(some.body, names), "'") if c.name == word)
        spoken = self.speaks.union(*(tokens(clause.body) for clause in clauses.values()))
        yield self._made[self._step.guard].text
        yield from (self._made[name].text for name in self._step.following.values() if name in spoken)
        for some in self.touched.values():
            yield from (text for name, text in some.declarations("'").items() if name in spoken)
        yield from (clause.macro for clause in clauses.values())


def either(terms: Sequence[str]) -> str:
    """One of some terms."""
    return f"(or {' '.join(terms)})" if len(terms) > 1 else terms[0]


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
    return _simplified([_folded(child, x, actor, same) for child in term])


def _simplified(term: list[Sexpr]) -> Sexpr:
    """A term without those of its parts that are known to be true or false."""
    match term:
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
            return term


@dataclass
class _Occurrences:
    """Where a clause applies functions, and what it says nothing beyond.

    Args:
        guards: by variable and function, the constants of which one must be the function's value, else the clause says nothing.
    """

    clause: Universal
    guards: dict[str, dict[str, tuple[str, ...]]] = field(init=False)
    _at: dict[str, list[list[Sexpr]]] = field(init=False, default_factory=dict)
    _standing: dict[tuple[str, int], set[str] | None] = field(init=False, default_factory=dict)

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
        if (function, place) not in self._standing:
            self._standing[function, place] = self._variables_at(function, place)
        return self._standing[function, place]

    def _variables_at(self, function: str, place: int) -> set[str] | None:
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


__all__ = ["Instantiated", "Use", "Uses", "either"]

"""What a step of an instantiated certificate does to its clauses, seen in their text: who acts, and what is said of others stays.

Where a step changes functions for whoever acts alone, most of a clause reads afterwards as it did before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .clauses import Named, Universal, marked, variables_of
from .obligations import Certificate, Definition, Step
from .sexpr import Sexpr, rename, tokens


@dataclass(frozen=True)
class Term:
    """A term that is written again and again, in parts.

    Args:
        speaks: what of the state is in it.
    """

    text: str
    speaks: frozenset[str]
    parts: tuple[Term, ...] = ()

    @staticmethod
    def of(term: Sexpr, state: Collection[str]) -> Term:
        """A term, of whose symbols those in `state` may change."""
        if isinstance(term, str):
            return Term(term, frozenset((term,)) if term in state else frozenset())
        parts = tuple(Term.of(part, state) for part in term)
        return Term(f"({' '.join(part.text for part in parts)})", frozenset().union(*(part.speaks for part in parts)), parts)


class After:
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
        self.own = {f: Own.of(found.made[x], nexts[x], f, step) for f, x in step.following.items()}
        self.changed = frozenset(self.own)
        self._actors: dict[frozenset[str], tuple[str, list[tuple[str, int]] | None]] = {}
        self.touched = {some.name: some for some in touched}
        self.names: dict[str, str] = {**step.following, **{some.name: marked(some.name, "'") for some in touched}}
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


@dataclass(frozen=True)
class Own:
    """That a function changes only where its argument at `place` is `actor`.

    Args:
        value: the constant that it is there after the step, if it is one.
    """

    place: int
    actor: str
    value: str

    @staticmethod
    def of(made: Definition, body: Sexpr, function: str, step: Step) -> Own | None:
        """What the next value of `function` says, if it is the old one wherever a certain argument is not a certain parameter."""
        sorts = dict(variables_of(made.name, made.parameters))
        variables = list(sorts)
        for place, x in enumerate(variables):
            for actor in (name for name, sort in step.parameters.items() if sort == sorts[x]):
                if _folded(body, x, actor, "false") == [function, *variables]:
                    value = _folded(body, x, actor, "true")
                    return Own(place, actor, value if isinstance(value, str) and value not in variables else "")
        return None


def _folded(term: Sexpr, x: str, actor: str, same: str) -> Sexpr:
    """A term where it is known whether `x` is `actor`, with that folded away as far as it is simple."""
    if isinstance(term, str) or not term:
        return term
    if term in (["=", x, actor], ["=", actor, x]):
        return same
    return simplified([_folded(child, x, actor, same) for child in term])


def simplified(term: list[Sexpr]) -> Sexpr:
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
class Occurrences:
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


__all__ = ["After", "Occurrences", "Own", "Term", "simplified"]

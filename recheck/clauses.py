"""The clauses of an instantiated certificate, as its text has them: for all of these, that, where `that` has no quantifier inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.errors import InputError
from .obligations import Definition
from .sexpr import Sexpr, name_of, rename, symbol, tokens, write
from .sorting import BOOL, Signature

MOST_WRITTEN_OUT = 100_000
"""How many words a clause may have where every `let` is written out; ours have some hundreds."""
MOST_DEEP = 150


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
        signatures = self.signatures(mark).items()
        return {name: f"(declare-fun {name} ({' '.join(sorts)}) {sort})" for name, (sorts, sort) in signatures}

    def signatures(self, mark: str = "") -> dict[str, Signature]:
        """The sorts of its atom and of its witnesses."""
        sorts = tuple(sort for _, sort in self.variables)
        results = {marked(self.name, mark): BOOL}
        results |= {marked(self.name, f"{mark}:{number}"): sort for number, (_, sort) in enumerate(self.bound)}
        return {name: (sorts, sort) for name, sort in results.items()}

    def meaning_sorts(self, mark: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
        """Its two clauses, with the sorts of their variables."""
        has, is_one = self.meaning_names(self.name, mark)
        sorts = tuple(sort for _, sort in self.variables)
        yield has, sorts
        yield is_one, (*sorts, *(sort for _, sort in self.bound))

    @staticmethod
    def meaning_names(name: str, mark: str = "") -> tuple[str, str]:
        """What its two clauses are called."""
        return marked(name, f"{mark} +"), marked(name, f"{mark} -")

    def meanings(self, body: Sexpr, mark: str = "") -> tuple[Universal, Universal]:
        """That it has a witness, and that whatever satisfies `body` is one."""
        names = [x for x, _ in self.variables]
        atom = applied(marked(self.name, mark), names)
        chosen: dict[str, Sexpr] = {x: applied(marked(self.name, f"{mark}:{number}"), names) for number, (x, _) in enumerate(self.bound)}
        has, is_one = self.meaning_names(self.name, mark)
        return (
            Universal(has, self.variables, ["or", ["not", atom], rename(body, chosen)]),
            Universal(is_one, (*self.variables, *self.bound), ["or", ["not", body], atom]),
        )


def marked(name: str, mark: str) -> str:
    return symbol(name_of(name) + mark)


def applied(name: str, arguments: Sequence[str]) -> Sexpr:
    return [name, *arguments] if arguments else name


def _macro(name: str, variables: Iterable[tuple[str, str]], body: Sexpr) -> str:
    return f"(define-fun {name} ({' '.join(f'({x} {s})' for x, s in variables)}) Bool {write(body)})"


def closed(word: str, variables: Sequence[tuple[str, str]], body: Sexpr) -> str:
    return f"({word} ({binders(variables)}) {write(body)})" if variables else write(body)


def binders(variables: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"({x} {sort})" for x, sort in variables)


def universal(made: Definition) -> Universal:
    match made.body:
        case ["forall", list(binders), _]:
            return Universal(made.name, variables_of(made.name, binders), without_quantifier(made, 2))
        case _:
            return Universal(made.name, (), without_quantifier(made))


def named(made: Definition) -> Named:
    match made.body:
        case ["exists", list(binders), _]:
            own = variables_of(made.name, made.parameters)
            return Named(made.name, own, variables_of(made.name, binders), without_quantifier(made, 2))
        case _:
            raise InputError(f"the certificate: {made.name} does not say that there is something")


def variables_of(name: str, binders: Iterable[Sexpr]) -> tuple[tuple[str, str], ...]:
    result = []
    for binder in binders:
        match binder:
            case [str(x), sort]:
                result.append((x, write(sort)))
            case _:
                raise InputError(f"the certificate: {name} binds {write(binder)[:40]}, which is no variable with a sort")
    return tuple(result)


def without_quantifier(made: Definition, part: int | None = None) -> Sexpr:
    """The body of a definition, or a part of it, with every `let` written out.

    Raises:
        InputError: there is a quantifier inside, or what is written out has no end.
    """
    body = made.body if part is None else made.body[part]
    if any(token in ("forall", "exists") for token in tokens(body)):
        raise InputError(f"the certificate: {made.name} has a quantifier inside; an instantiated certificate gives it a name")
    written = _without_let(body, {})
    if written.words > MOST_WRITTEN_OUT or written.depth > MOST_DEEP:
        raise InputError(
            f"the certificate: {made.name[:60]} is too long where every let is written out: {written.words:,} words, nested "
            f"{written.depth:,} deep; {MOST_WRITTEN_OUT:,} and {MOST_DEEP} are read at most"
        )
    return written.term


@dataclass(frozen=True)
class _Written:
    """A term whose parts may be shared, and how large it is where they are not."""

    term: Sexpr
    words: int = 1
    depth: int = 1


def _without_let(term: Sexpr, values: Mapping[str, _Written]) -> _Written:
    match term:
        case str():
            return values.get(term) or _Written(term)
        case ["let", [[str(x), value]], body]:
            return _without_let(body, {**values, x: _without_let(value, values)})
        case _:
            parts = [_without_let(child, values) for child in term]
            words = 2 + sum(part.words for part in parts)
            return _Written([part.term for part in parts], words, 1 + max((part.depth for part in parts), default=0))


__all__ = ["Named", "Universal", "applied", "binders", "closed", "marked", "named", "universal", "variables_of", "without_quantifier"]

"""The sorts of terms: each operator of the language of certificates, with what it takes and gives. What is not listed is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..core.errors import InputError
from .sexpr import LITERAL, PLAIN, RESERVED, Sexpr, write

BOOL = "Bool"
Signature: TypeAlias = tuple[tuple[str, ...], str]
"""The sorts of the arguments, and of the value."""

MOST_BITS = 1024
_VECTOR = re.compile(r"\(_ BitVec ([1-9][0-9]{0,3})\)")
_VALUE = re.compile(r"bv(0|[1-9][0-9]{0,3999})")
_INDEX = re.compile(r"[0-9]{1,9}")
_SAME = frozenset("bvadd bvsub bvmul bvudiv bvurem bvand bvor bvxor bvshl bvlshr bvashr".split())
_SEVERAL = frozenset("bvadd bvmul bvand bvor bvxor".split())
_ORDERS = frozenset("bvule bvult bvuge bvugt bvsle bvslt bvsge bvsgt".split())
_INDEXED = frozenset("extract zero_extend sign_extend".split())
_LET = re.compile(r"\$l[0-9]+")


class SortError(Exception):
    """What is wrong with a term."""


@dataclass
class Sorts:
    """What terms may speak of.

    Args:
        vectors: whether there are bit-vectors, and then neither quantifiers nor `let`.
        sorts: those that are declared.
        known: functions, constants and definitions, by their symbols.
        bound: every variable that a term has bound.
        names: what else is declared, of which no term may speak.
        own: constants that are known in one definition alone, such as the parameters of its action.
    """

    vectors: bool = False
    sorts: set[str] = field(default_factory=set)
    known: dict[str, Signature] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    names: Container[str] = frozenset()
    own: Mapping[str, Signature] = field(default_factory=dict)

    def sort(self, written: Sexpr) -> str:
        """The text of a sort.

        Raises:
            SortError: there is no such sort.
        """
        text = write(written)
        if text == BOOL or text in self.sorts or (self.vectors and self._width(text)):
            return text
        raise SortError(f"has {text[:60]} where a sort should be")

    @staticmethod
    def _width(sort: str) -> int:
        found = _VECTOR.fullmatch(sort)
        return int(found.group(1)) if found is not None and int(found.group(1)) <= MOST_BITS else 0

    def variables(self, binders: Sequence[Sexpr], around: Mapping[str, str] | None = None) -> dict[str, str]:
        """Variables that are bound together, with their sorts.

        Raises:
            SortError: one has no sort, or hides something.
        """
        result: dict[str, str] = {}
        for binder in binders:
            match binder:
                case [str(x), sort]:
                    self._bind(x, {**(around or {}), **result})
                    result[x] = self.sort(sort)
                case _:
                    raise SortError(f"binds {write(binder)[:60]}, which is no variable with a sort")
        return result

    def _bind(self, x: str, around: Mapping[str, str], let: bool = False) -> None:
        if any(x in names for names in (around, self.known, self.own, self.sorts, self.names)):
            raise SortError(f"has a bound variable that hides {x[:60]}; rename it")
        plain = PLAIN.fullmatch(x) and x not in RESERVED and not LITERAL.fullmatch(x)
        if not plain or (_LET.fullmatch(x) is not None) is not let or (x[0] == "$") is not let:
            raise SortError(f"binds {x[:60]}, which cannot be the name of a variable")
        self.bound.add(x)

    def check(self, term: Sexpr, sort: str, variables: Mapping[str, str] | None = None) -> None:
        """Make sure that a term has a sort.

        Args:
            variables: what it may speak of besides, with its sorts.

        Raises:
            SortError: it has not, or is no term.
        """
        found = self._of(term, dict(variables or {}))
        if found != sort:
            raise SortError(f"is of sort {found}, expected {sort}")

    def _of(self, term: Sexpr, local: dict[str, str]) -> str:
        if isinstance(term, str):
            if term in local:
                return local[term]
            arguments, result = self._signature(term)
            if arguments:
                raise SortError(f"has {term[:60]} without its {len(arguments)} arguments")
            return result
        if not term:
            raise SortError("has () where a term should be")
        head = term[0]
        if isinstance(head, list):
            return self._indexed(head, [self._of(part, local) for part in term[1:]])
        if head in _BINDERS:
            return self._binder(head, term, local)
        if head == "_":
            return self._literal(term)
        if head in local:
            raise SortError(f"applies {head[:60]}, which is a variable")
        rule = _RULES.get(head)
        parts = [self._of(part, local) for part in term[1:]]
        if rule is not None:
            found = rule(parts)
            if found is None or (head in _OF_VECTORS and not self.vectors):
                raise SortError(f"applies {head} to {', '.join(parts) or 'nothing'}")
            return found
        arguments, value = self._signature(head)
        if not arguments or list(arguments) != parts:
            raise SortError(f"applies {head[:60]} to {', '.join(parts) or 'nothing'}, expected {', '.join(arguments) or 'no arguments'}")
        return value

    def _signature(self, name: str) -> Signature:
        found = _CONSTANTS.get(name) or self.own.get(name) or self.known.get(name)
        if found is None and name in self.names:
            raise SortError(f"must not speak of {name[:60]}")
        if found is None:
            raise SortError(f"speaks of {name[:60]}, which is neither declared before it nor a word that is known here")
        return found

    def _binder(self, word: str, term: list[Sexpr], local: dict[str, str]) -> str:
        if self.vectors:
            raise SortError(f"has a {word}, and a grounded certificate has neither quantifiers nor let")
        match term:
            case ["let", [[str(x), value]], body]:
                sort = self._of(value, local)
                self._bind(x, local, let=True)
                return self._of(body, {**local, x: sort})
            case ["forall" | "exists", [_, *_] as binders, body]:
                own = self.variables(binders, local)
                if self._of(body, {**local, **own}) != BOOL:
                    raise SortError(f"has a {word} over what is no truth value")
                return BOOL
            case _:
                raise SortError(f"has a {word} that is none: {write(term)[:60]}")

    def _literal(self, term: list[Sexpr]) -> str:
        match term:
            case ["_", str(value), str(width)] if self.vectors and _VALUE.fullmatch(value) and _INDEX.fullmatch(width):
                sort = f"(_ BitVec {width})"
                if self._width(sort) and int(value[2:]).bit_length() <= int(width):
                    return sort
            case _:
                pass
        raise SortError(f"has {write(term)[:60]}, which is no value")

    def _indexed(self, head: list[Sexpr], parts: list[str]) -> str:
        width = self._width(parts[0]) if len(parts) == 1 and self.vectors else 0
        match head:
            case ["_", "extract", str(high), str(low)] if width and _INDEX.fullmatch(high) and _INDEX.fullmatch(low):
                if int(low) <= int(high) < width:
                    return f"(_ BitVec {int(high) - int(low) + 1})"
            case ["_", "zero_extend" | "sign_extend", str(more)] if width and _INDEX.fullmatch(more):
                if width + int(more) <= MOST_BITS:
                    return f"(_ BitVec {width + int(more)})"
            case _:
                pass
        raise SortError(f"applies {write(head)[:60]} to {', '.join(parts) or 'nothing'}")


def _all_bool(least: int, most: int | None = None) -> Callable[[list[str]], str | None]:
    return lambda parts: BOOL if len(parts) >= least and (most is None or len(parts) <= most) and set(parts) == {BOOL} else None


def _alike(least: int, most: int | None = None) -> Callable[[list[str]], str | None]:
    return lambda parts: BOOL if len(parts) >= least and (most is None or len(parts) <= most) and len(set(parts)) == 1 else None


def _choice(parts: list[str]) -> str | None:
    return parts[1] if len(parts) == 3 and parts[0] == BOOL and parts[1] == parts[2] else None


def _vectors(least: int, most: int | None, result: str = "") -> Callable[[list[str]], str | None]:
    def rule(parts: list[str]) -> str | None:
        fits = len(parts) >= least and (most is None or len(parts) <= most) and len(set(parts)) == 1 and parts[0].startswith("(_")
        return (result or parts[0]) if fits else None

    return rule


def _joined(parts: list[str]) -> str | None:
    widths = [Sorts._width(part) for part in parts]
    return f"(_ BitVec {sum(widths)})" if len(parts) > 1 and all(widths) and sum(widths) <= MOST_BITS else None


_BINDERS = ("let", "forall", "exists")
_CONSTANTS: dict[str, Signature] = {"true": ((), BOOL), "false": ((), BOOL)}


def _rules() -> Iterator[tuple[str, Callable[[list[str]], str | None]]]:
    yield "not", _all_bool(1, 1)
    yield from ((word, _all_bool(2)) for word in ("and", "or"))
    yield from ((word, _all_bool(2, 2)) for word in ("xor", "=>"))
    yield "=", _alike(2, 2)
    yield "distinct", _alike(2)
    yield "ite", _choice
    yield "concat", _joined
    yield from ((word, _vectors(1, 1)) for word in ("bvneg", "bvnot"))
    yield from ((word, _vectors(2, None if word in _SEVERAL else 2)) for word in _SAME)
    yield from ((word, _vectors(2, 2, BOOL)) for word in _ORDERS)


_RULES = dict(_rules())
_OF_VECTORS = frozenset(word for word in _RULES if word.startswith("bv") or word == "concat")


def well_sorted(what: str, name: str, check: Callable[[], object]) -> None:
    """Do `check`, and say of which definition it complains.

    Raises:
        InputError: it complains.
    """
    try:
        check()
    except SortError as error:
        raise InputError(f"{what}: {name[:90]} {error}") from None


__all__ = ["BOOL", "Signature", "SortError", "Sorts", "well_sorted"]

"""Writing Z3 terms as SMT-LIB text: stable names, and what occurs often is written once.

Z3's own printer names bound variables by chance and may write a shared term as often as it occurs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import z3

from ...core.errors import ModelError
from ...core.shape import children, identity, shape
from ...recheck.sexpr import LITERAL, RESERVED, symbol
from ..operators import smtlib

_QUANTIFIER, _VARIABLE = -1, -2


def sort_text(sort: z3.SortRef) -> str:
    """A sort as it is written."""
    match sort:
        case z3.BoolSortRef():
            return "Bool"
        case z3.BitVecSortRef():
            return f"(_ BitVec {sort.size()})"
        case _:
            return symbol(sort.name())


class Writer:
    """Writes terms over known symbols.

    Args:
        names: how an uninterpreted function or constant is written, by its own name; others are refused.
        define: what to do with a closed term without quantifiers that occurs more than once: gives it a name (the text of a
            definition is handed over); without it, such terms are written by `let`.
    """

    def __init__(self, names: Mapping[str, str], define: Callable[[str, z3.SortRef], str] | None = None) -> None:
        self.names = dict(names)
        self._define = define
        self._written: dict[int, tuple[z3.ExprRef, str]] = {}
        self._uses: Counter[int] = Counter()
        self._count = 0

    def expect(self, terms: Iterable[z3.ExprRef]) -> None:
        """Count how often each term will be written; needed for `define` alone."""
        seen: set[int] = set()
        todo = list(terms)
        while todo:
            node = todo.pop()
            self._uses[identity(node)] += 1
            if identity(node) not in seen:
                seen.add(identity(node))
                todo += children(node)

    def __call__(self, term: z3.ExprRef, extra: Mapping[str, str] | None = None) -> str:
        """The text of `term`, where `extra` names further constants."""
        if self._define is not None:
            return self._shared(term)
        return self._scope(term, {**self.names, **(extra or {})}, ())

    def _shared(self, term: z3.ExprRef) -> str:
        """Closed terms without quantifiers, with definitions at the top of the file."""
        assert self._define is not None
        todo = [term]
        while todo:
            node = todo[-1]
            if identity(node) in self._written:
                todo.pop()
                continue
            missing = [child for child in children(node) if identity(child) not in self._written]
            if missing:
                todo += missing
                continue
            todo.pop()
            text = self._application(node, [self._written[identity(child)][1] for child in children(node)], self.names)
            if shape(node).children and self._uses[identity(node)] > 1 and len(text) > 24:
                text = self._define(text, node.sort())
            self._written[identity(node)] = (node, text)
        return self._written[identity(term)][1]

    def _scope(self, term: z3.ExprRef, names: Mapping[str, str], bound: tuple[str, ...]) -> str:
        """A term up to its quantifiers, each of which is a scope of its own; `bound` is innermost last."""
        order: list[z3.ExprRef] = []
        uses: Counter[int] = Counter()
        todo: list[tuple[z3.ExprRef, bool]] = [(term, False)]
        while todo:
            node, ready = todo.pop()
            if ready:
                order.append(node)
                continue
            uses[identity(node)] += 1
            if uses[identity(node)] == 1:
                todo.append((node, True))
                if shape(node).operator != _QUANTIFIER:
                    todo += [(child, False) for child in reversed(children(node))]
        texts: dict[int, str] = {}
        lets: list[tuple[str, str]] = []
        for node in order:
            match shape(node).operator:
                case operator if operator == _VARIABLE:
                    text = bound[-1 - z3.get_var_index(node)]
                case operator if operator == _QUANTIFIER:
                    assert isinstance(node, z3.QuantifierRef)
                    text = self._quantifier(node, names, bound)
                case _:
                    text = self._application(node, [texts[identity(child)] for child in children(node)], names)
            if uses[identity(node)] > 1 and len(text) > 24:
                self._count += 1
                lets.append((f"$l{self._count}", text))
                text = lets[-1][0]
            texts[identity(node)] = text
        result = texts[identity(term)]
        for name, text in reversed(lets):
            result = f"(let (({name} {text})) {result})"
        return result

    def _quantifier(self, term: z3.QuantifierRef, names: Mapping[str, str], bound: tuple[str, ...]) -> str:
        if term.is_lambda():
            raise ModelError(f"cannot write the lambda {term}")
        taken = {*bound, *names.values()}
        own: list[str] = []
        for number in range(term.num_vars()):
            own.append(fresh(term.var_name(number), {*taken, *own}))
        variables = " ".join(f"({name} {sort_text(term.var_sort(i))})" for i, name in enumerate(own))
        body = self._scope(term.body(), names, (*bound, *own))
        return f"({'forall' if term.is_forall() else 'exists'} ({variables}) {body})"

    def _application(self, term: z3.ExprRef, parts: Sequence[str], names: Mapping[str, str]) -> str:
        operator = shape(term).operator
        if operator == z3.Z3_OP_UNINTERPRETED:
            name = term.decl().name()
            if name not in names:
                raise ModelError(f"{name} is neither declared nor a parameter here")
            head = names[name]
        elif operator == z3.Z3_OP_BNUM:
            return f"(_ bv{term.as_long()} {term.size()})"
        else:
            known = smtlib(term, operator)
            if known is None:
                raise ModelError(f"cannot write {term.decl().name()} as SMT-LIB")
            head = known
        if operator in (z3.Z3_OP_AND, z3.Z3_OP_OR) and len(parts) < 2:
            return parts[0] if parts else ("true" if operator == z3.Z3_OP_AND else "false")
        if operator == z3.Z3_OP_DISTINCT and len(parts) < 2:
            return "true"
        return f"({head} {' '.join(parts)})" if parts else head


def fresh(name: str, taken: set[str]) -> str:
    """A symbol like `name` that is not taken."""
    plain = "".join(c if c.isalnum() or c in "_.!" else "_" for c in name if c.isascii()) or "x"
    plain = plain if not plain[0].isdigit() else f"x{plain}"
    number, candidate = 0, plain
    while candidate in taken or candidate in RESERVED or LITERAL.fullmatch(candidate):
        number += 1
        candidate = f"{plain}.{number}"
    return candidate

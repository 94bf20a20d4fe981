"""What is left to ask of a lemma and an action: the lemma in parts, read after the action, thread by thread, without what folds away.

Most of an argument is untouched by most actions, and that is seen without a solver: an action of thread `a` leaves alone what another
thread has for itself, and a part that speaks of threads at certain places says nothing of `a` unless the action ends at one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.rewrite import Rewriter, conjuncts
from ...core.shape import identity, shape, subterms
from ...core.sorts import Sort, element_index
from ...core.system import Action, Lemma, Update, substitute_updates

FALSE = z3.BoolVal(False)


@dataclass(frozen=True)
class Part:
    """One conjunct of a lemma, with its outer universal variables as constants.

    Args:
        name: the lemma's, with a number if it has several parts.
        places: for each variable that the part speaks of only at certain values of an enumeration, that function's name and the values
            (`pc(t)` at these places).
    """

    lemma: str
    name: str
    variables: tuple[z3.ExprRef, ...]
    body: z3.BoolRef
    mentions: frozenset[str]
    places: Mapping[int, tuple[str, frozenset[int]]]

    @cached_property
    def folded(self) -> z3.BoolRef:
        """The body in the form that `z3.simplify` gives it."""
        return z3.simplify(self.body)

    @cached_property
    def _apart(self) -> dict[str, frozenset[str]]:
        return {}

    def apart(self, sort: z3.SortRef) -> frozenset[str]:
        """The functions whose indices of `sort` are outer variables here: what others have for themselves, an action leaves alone."""
        name = sort.name()
        if name not in self._apart:
            self._apart[name] = self._of_others(sort)
        return self._apart[name]

    def _of_others(self, sort: z3.SortRef) -> frozenset[str]:
        keys = {identity(x) for x in self.variables}
        good: set[str] = set()
        bad: set[str] = set()
        for node in subterms(self.body):
            if shape(node).operator == z3.Z3_OP_UNINTERPRETED and shape(node).children:
                at = [c for c in shape(node).children if c.sort() == sort]
                (good if at and all(identity(c) in keys for c in at) else bad).add(node.decl().name())
        return frozenset(good - bad)


@dataclass(frozen=True)
class Goal:
    """Something to be proved of the state after an action, said of the state before it, with what may be assumed of its constants."""

    part: Part
    assumed: tuple[z3.BoolRef, ...]
    holds: z3.BoolRef
    constants: tuple[z3.ExprRef, ...]


def parts_of(lemma: Lemma) -> tuple[Part, ...]:
    """The conjuncts of a lemma; each quantifies over what occurs in it, named alike in all lemmas: the first page is `Page?0`."""
    folded = Rewriter()
    found = [(variables, term) for variables, x in _opened(lemma.name, (), lemma.holds, folded) if not z3.is_true(term := folded(x))]
    return tuple(part_of(lemma.name, variables, term, f"{lemma.name}/{n}") for n, (variables, term) in enumerate(found, 1))


def _opened(
    name: str, variables: tuple[z3.ExprRef, ...], term: z3.BoolRef, folded: Rewriter
) -> Iterator[tuple[tuple[z3.ExprRef, ...], z3.BoolRef]]:
    """The conjuncts of a closed term, each with the constants that stand for the variables around it."""
    if z3.is_quantifier(term) and term.is_forall():
        new = tuple(z3.Const(f"{name}?{len(variables) + n}", term.var_sort(n)) for n in range(term.num_vars()))
        yield from _opened(name, variables + new, folded(z3.substitute_vars(term.body(), *reversed(new))), folded)
        return
    for part in _split(term):
        if z3.is_quantifier(part) and part.is_forall():
            yield from _opened(name, variables, part, folded)
        else:
            yield variables, part


def _split(term: z3.BoolRef) -> list[z3.BoolRef]:
    """The terms of which `term` is the conjunction."""
    if z3.is_and(term):
        return [x for child in term.children() for x in _split(child)]
    if z3.is_implies(term):
        return [z3.Implies(term.arg(0), x) for x in _split(term.arg(1))]
    if z3.is_or(term):
        # The folded form of an implication: split what is a conjunction, once.
        for n, child in enumerate(term.children()):
            pieces = _split(child)
            if len(pieces) > 1:
                rest = [c for m, c in enumerate(term.children()) if m != n]
                return [z3.Or(*rest, x) for x in pieces]
        return [term]
    if z3.is_eq(term) and z3.is_bool(term.arg(0)):
        one, other = term.children()
        return [*_split(z3.Or(z3.Not(one), other)), *_split(z3.Or(one, z3.Not(other)))]
    if z3.is_not(term):
        inner = term.arg(0)
        if z3.is_or(inner):
            return [x for child in inner.children() for x in _split(z3.Not(child))]
        if z3.is_not(inner):
            return _split(inner.arg(0))
        if z3.is_implies(inner):
            return [*_split(inner.arg(0)), *_split(z3.Not(inner.arg(1)))]
    return [term]


def part_of(lemma: str, variables: Sequence[z3.ExprRef], body: z3.BoolRef, name: str) -> Part:
    """A part with the variables that occur in it, named by sort and number."""
    inside = {identity(node) for node in subterms(body)}
    used = [x for x in variables if identity(x) in inside]
    numbers: dict[str, int] = {}
    named = []
    for x in used:
        sort = x.sort().name()
        named.append(z3.Const(f"{sort}?{numbers.get(sort, 0)}", x.sort()))
        numbers[sort] = numbers.get(sort, 0) + 1
    if used:
        body = z3.substitute(body, *zip(used, named, strict=True))
    mentions = frozenset(n.decl().name() for n in subterms(body) if shape(n).operator == z3.Z3_OP_UNINTERPRETED and not _is_element(n))
    return Part(lemma, name, tuple(named), body, mentions, _places(body))


def _is_element(term: z3.ExprRef) -> bool:
    return not shape(term).children and element_index(term) is not None


def _places(body: z3.BoolRef) -> dict[int, tuple[str, frozenset[int]]]:
    """The variables of which `body` says nothing unless some function of them has one of these values."""
    found: dict[int, tuple[str, frozenset[int]]] = {}
    if not z3.is_or(body) and not z3.is_implies(body):
        return found
    negative = [z3.Not(body.arg(0))] if z3.is_implies(body) else [c for c in body.children() if z3.is_not(c)]
    for child in negative:
        for condition in conjuncts(child.arg(0)):
            options = condition.children() if z3.is_or(condition) else [condition]
            seen = [_at(option) for option in options]
            if all(x is not None for x in seen):
                functions = {(identity(x[0]), x[1]) for x in seen if x is not None}
                if len(functions) == 1:
                    ((variable, name),) = functions
                    found[variable] = (name, frozenset(x[2] for x in seen if x is not None))
    return found


def _at(term: z3.BoolRef) -> tuple[z3.ExprRef, str, int] | None:
    """`f(x) == element`: the variable, the function's name and the element's number."""
    if not z3.is_eq(term):
        return None
    one, other = term.children()
    if element_index(one) is not None and not shape(one).children:
        one, other = other, one
    if shape(other).children or element_index(other) is None:
        return None
    if shape(one).operator != z3.Z3_OP_UNINTERPRETED or one.num_args() != 1 or not z3.is_const(one.arg(0)):
        return None
    return one.arg(0), one.decl().name(), int(element_index(other) or 0)


class Changes:
    """What an action changes, apart for whoever acts (its first parameter) and for everybody else."""

    def __init__(self, action: Action) -> None:
        self.action = action
        first = action.params[0] if action.params else None
        self.acting = first.const if first is not None and isinstance(first.kind, Sort) and not first.kind.elements else None
        self.own: set[str] = set()
        self.shared: set[str] = set()
        self.ends: dict[str, int] = {}
        self.starts = self._starts()
        for update in action.updates:
            (self.own if self._is_own(update) else self.shared).add(update.var.name)
        self._updates = {update.var.name: update for update in action.updates}
        self._changed = self.own | self.shared

    def _starts(self) -> dict[str, int]:
        """Where the guard says that whoever acts stands: `pc(t) == here`."""
        found = {}
        for condition in conjuncts(self.action.guard):
            seen = _at(condition)
            if seen is not None and self.acting is not None and seen[0].eq(self.acting):
                found[seen[1]] = seen[2]
        return found

    def _is_own(self, update: Update) -> bool:
        """Whether a variable changes only where its first index of the acting sort is the one that acts."""
        if self.acting is None:
            return False
        before = update.var(*update.variables)
        for x in update.variables:
            if x.sort() == self.acting.sort():
                apart = z3.substitute(update.value, (x == self.acting, z3.BoolVal(False)))
                if len(update.variables) == 1:
                    value = z3.simplify(z3.substitute(update.value, (x == self.acting, z3.BoolVal(True))))
                    number = None if shape(value).children else element_index(value)
                    if number is not None:
                        self.ends[update.var.name] = number
                return bool(z3.simplify(apart).eq(before))
        return False

    def goals(self, part: Part) -> Iterator[Goal]:
        """What has to be asked so that `part` holds after the action."""
        changed = part.mentions & self._changed
        if not changed:
            return
        threads = () if self.acting is None else tuple(x for x in part.variables if x.sort() == self.acting.sort())
        updates = [self._updates[name] for name in sorted(changed)]
        after = substitute_updates(part.body, updates)
        for choice in itertools.product((True, False), repeat=len(threads)):
            mine = [x for x, yes in zip(threads, choice, strict=True) if yes]
            others = [x for x, yes in zip(threads, choice, strict=True) if not yes]
            if others and not mine and not part.mentions & self.shared and not changed - part.apart(others[0].sort()):
                continue
            if any(self._elsewhere(part, x) for x in mine):
                continue
            holds = z3.substitute(after, *((x, self.acting) for x in mine)) if mine else after
            if others:
                holds = z3.substitute(holds, *((same, FALSE) for x in others for same in (x == self.acting, self.acting == x)))
            holds = z3.simplify(holds)
            if z3.is_true(holds) or (not mine and holds.eq(part.folded)):
                continue
            keys = {identity(x) for x in mine}
            constants = tuple(self.acting if identity(x) in keys else x for x in part.variables)
            yield Goal(part, tuple(x != self.acting for x in others), holds, constants)

    def _elsewhere(self, part: Part, variable: z3.ExprRef) -> bool:
        known = part.places.get(identity(variable))
        return known is not None and known[0] in self.ends and self.ends[known[0]] not in known[1]


__all__ = ["Changes", "Goal", "Part", "part_of", "parts_of"]

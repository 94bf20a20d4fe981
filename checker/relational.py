"""Functions that become relations in a proof, so that no chain of functions leads from a sort back to itself.

A function `f` is replaced by its graph: a relation that holds of at most one value. That it holds of at least one is forgotten, but for
the arguments that a question names. Forgetting an assumption can only make a proof harder, never wrong: whoever reads `f` as a function
finds every assertion made here true of its graph.

Padon, Losa, Sagiv, Shoham: Paxos Made EPR, OOPSLA 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import z3

from ..core.shape import shape, subterms


class Relations:
    """The rewrite of one question, with the constants that stand for values of ground applications.

    Args:
        names: the functions to be replaced.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._fresh = 0
        self._values: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}
        self._kept: dict[int, tuple[z3.ExprRef, bool]] = {}
        self._relations: dict[str, z3.FuncDeclRef] = {}
        self.facts: list[z3.BoolRef] = []

    def __call__(self, term: z3.BoolRef) -> z3.BoolRef:
        """`term` with relations in place of the functions."""
        return self._ground(self._closed(term))

    def axioms(self) -> list[z3.BoolRef]:
        """That each relation met so far holds of at most one value."""
        result = []
        for relation in self._relations.values():
            n = relation.arity() - 1
            xs = [z3.Const(f"{relation.name()}?{i}", relation.domain(i)) for i in range(n)]
            y, z = (z3.Const(f"{relation.name()}?{which}", relation.domain(n)) for which in ("y", "z"))
            result.append(z3.ForAll([*xs, y, z], z3.Implies(z3.And(relation(*xs, y), relation(*xs, z)), y == z)))
        return result

    def total_at(self, functions: Iterable[z3.FuncDeclRef], constants: Iterable[z3.ExprRef]) -> None:
        """State in `facts` that each of `functions` of one argument has a value at those of `constants` that it takes."""
        for function in functions:
            for constant in constants:
                if function.name() in self._names and function.arity() == 1 and function.domain(0) == constant.sort():
                    self._ground(function(constant))

    def _relation(self, function: z3.FuncDeclRef) -> z3.FuncDeclRef:
        name = function.name()
        if name not in self._relations:
            domain = [function.domain(i) for i in range(function.arity())]
            self._relations[name] = z3.Function(f"{name}=", *domain, function.range(), z3.BoolSort())
        return self._relations[name]

    def _mentions(self, term: z3.ExprRef) -> bool:
        key = term.get_id()
        if key not in self._kept:
            self._kept[key] = (term, any(self._is(node) for node in subterms(term)))
        return self._kept[key][1]

    def _is(self, term: z3.ExprRef) -> bool:
        form = shape(term)
        return form.operator == z3.Z3_OP_UNINTERPRETED and bool(form.children) and term.decl().name() in self._names

    def _new(self, sort: z3.SortRef, what: str) -> z3.ExprRef:
        self._fresh += 1
        return z3.Const(f"{what}?{self._fresh}", sort)

    def _closed(self, term: z3.BoolRef, positive: bool = True, bound: frozenset[int] = frozenset()) -> z3.BoolRef:
        """Replace what depends on bound variables; ground applications stay for `_ground`.

        Args:
            positive: whether the question asserts `term` or its negation: either way the new variables are universal.
            bound: the constants that stand for bound variables.
        """
        if not self._mentions(term):
            return term
        if z3.is_quantifier(term):
            new = [self._new(term.var_sort(n), term.var_name(n)) for n in range(term.num_vars())]
            body = z3.substitute_vars(term.body(), *reversed(new))
            body = self._closed(body, positive, bound | {x.get_id() for x in new})
            return (z3.ForAll if term.is_forall() else z3.Exists)(new, body)
        parts = shape(term).children
        match shape(term).operator:
            case z3.Z3_OP_AND:
                return z3.And([self._closed(x, positive, bound) for x in parts])
            case z3.Z3_OP_OR:
                return z3.Or([self._closed(x, positive, bound) for x in parts])
            case z3.Z3_OP_NOT:
                return z3.Not(self._closed(parts[0], not positive, bound))
            case z3.Z3_OP_IMPLIES:
                return z3.Implies(self._closed(parts[0], not positive, bound), self._closed(parts[1], positive, bound))
            case z3.Z3_OP_ITE:
                one = z3.Implies(parts[0], parts[1])
                return self._closed(z3.And(one, z3.Or(parts[0], parts[2])), positive, bound)
            case z3.Z3_OP_EQ if z3.is_bool(parts[0]):
                return self._closed(z3.And(z3.Implies(*parts), z3.Implies(*reversed(parts))), positive, bound)
            case z3.Z3_OP_DISTINCT | z3.Z3_OP_XOR if len(parts) == 2:
                return self._closed(z3.Not(parts[0] == parts[1]), positive, bound)
            case _:
                return self._atom(term, positive, bound)

    def _atom(self, term: z3.BoolRef, positive: bool, bound: frozenset[int]) -> z3.BoolRef:
        if z3.is_eq(term):
            for one, other in (term.children(), reversed(term.children())):
                if self._is(one):
                    term = self._relation(one.decl())(*one.children(), other)
                    break
        for node in subterms(term):
            if self._is(node) and _constants(node) & bound and not any(self._mentions(c) for c in node.children()):
                value = self._new(node.sort(), "value")
                known = self._relation(node.decl())(*node.children(), value)
                inner = self._atom(z3.substitute(term, (node, value)), positive, bound | {value.get_id()})
                return z3.ForAll([value], z3.Implies(known, inner)) if positive else z3.Exists([value], z3.And(known, inner))
        return term

    def _ground(self, term: z3.ExprRef) -> z3.ExprRef:
        """Name the values of applications to ground terms."""
        while True:
            found = [n for n in _all_subterms(term) if self._is(n) and not any(self._mentions(c) for c in n.children()) and not _open(n)]
            if not found:
                return term
            pairs = []
            for application in found:
                key = application.get_id()
                if key not in self._values:
                    value = self._new(application.sort(), application.decl().name())
                    self._values[key] = (application, value)
                    self.facts.append(self._relation(application.decl())(*application.children(), value))
                pairs.append((application, self._values[key][1]))
            term = z3.substitute(term, *pairs)


def _all_subterms(term: z3.ExprRef) -> Iterable[z3.ExprRef]:
    return [node for node in subterms(term) if z3.is_app(node)]


def _open(term: z3.ExprRef) -> bool:
    return any(z3.is_var(node) for node in subterms(term))


def _constants(term: z3.ExprRef) -> set[int]:
    return {node.get_id() for node in subterms(term) if not shape(node).children and shape(node).operator == z3.Z3_OP_UNINTERPRETED}

"""A slow and independent reading of a certificate: quantifiers as they stand, nothing simplified, and no line shared with the checker.

A lenient reader of SMT-LIB; terms are built by going down them with what each name means. After a step, a function that changes means
its next value: no text is renamed. Z3 is asked, and cvc5, of what Z3 writes down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import cvc5
import z3

Tree = Any
_TOKENS = re.compile(r'\s+|;[^\n\r]*|(?P<open>\()|(?P<close>\))|(?P<atom>"(?:[^"]|"")*"|\|[^|]*\||[^\s()"|;]+)')


def trees(text: str) -> list[Tree]:
    """The expressions of a text, symbols without their bars."""
    stack: list[list[Tree]] = [[]]
    for token in _TOKENS.finditer(text):
        if token["open"]:
            stack.append([])
        elif token["close"]:
            stack[-2].append(stack.pop())
        elif token["atom"]:
            atom = token["atom"]
            stack[-1].append(atom[1:-1] if atom[0] == "|" else atom)
    assert len(stack) == 1
    return stack[0]


Meaning = Callable[..., z3.ExprRef]


class Reading:
    """A certificate, as this reader understands it."""

    def __init__(self, text: str) -> None:
        self.context = z3.Context()
        self.sorts: dict[str, z3.SortRef] = {"Bool": z3.BoolSort(self.context)}
        self.state: dict[str, Meaning] = {}
        self.made: dict[str, tuple[list[Tree], Tree]] = {}
        for command in trees(text):
            match command:
                case ["declare-sort", name, _]:
                    self.sorts[name] = z3.DeclareSort(name, self.context)
                case ["declare-fun", name, [], sort]:
                    self.state[name] = self._constant(name, sort)
                case ["declare-fun", name, arguments, sort]:
                    self.state[name] = z3.Function(name, *map(self.sort, arguments), self.sort(sort))
                case ["define-fun", name, parameters, _, body]:
                    self.made[name] = parameters, body
                case _:
                    pass

    def _constant(self, name: str, sort: Tree) -> Meaning:
        constant = z3.Const(name, self.sort(sort))
        return lambda: constant

    def sort(self, written: Tree) -> z3.SortRef:
        match written:
            case ["_", "BitVec", width]:
                return z3.BitVecSort(int(width), self.context)
            case _:
                return self.sorts[written]

    def part(self, kind: str) -> list[str]:
        return [name for name in self.made if name.startswith(f"{kind} ")]

    def meaning(self, name: str, state: Mapping[str, Meaning]) -> z3.ExprRef:
        """What a definition says in a state."""
        return self.term(self.made[name][1], state, {})

    def after(self, action: str) -> dict[str, Meaning]:
        """What the functions mean after a step, said of the state before."""
        result = dict(self.state)
        for name in self.part("next"):
            _, acting, function = name.split(" ")
            if acting == action:
                result[function] = self._next(name)
        return result

    def _next(self, name: str) -> Meaning:
        parameters, body = self.made[name]
        return lambda *values: self.term(body, self.state, {p[0]: v for p, v in zip(parameters, values, strict=True)})

    def term(self, tree: Tree, state: Mapping[str, Meaning], local: Mapping[str, z3.ExprRef]) -> z3.ExprRef:
        context = self.context
        match tree:
            case str():
                if tree in local:
                    return local[tree]
                if tree in ("true", "false"):
                    return z3.BoolVal(tree == "true", context)
                return self._applied(tree, [], state)
            case ["_", value, width]:
                return z3.BitVecVal(int(value[2:]), int(width), context)
            case ["let", bindings, body]:
                return self.term(body, state, {**local, **{x: self.term(value, state, local) for x, value in bindings}})
            case ["forall" | "exists" as word, binders, body]:
                fresh = {x: z3.FreshConst(self.sort(sort), "bound") for x, sort in binders}
                inner = self.term(body, state, {**local, **fresh})
                return (z3.ForAll if word == "forall" else z3.Exists)(list(fresh.values()), inner)
            case [["_", "extract", high, low], part]:
                return z3.Extract(int(high), int(low), self.term(part, state, local))
            case [["_", "zero_extend", more], part]:
                return z3.ZeroExt(int(more), self.term(part, state, local))
            case [["_", "sign_extend", more], part]:
                return z3.SignExt(int(more), self.term(part, state, local))
            case [name, *rest]:
                parts = [self.term(part, state, local) for part in rest]
                return _OPERATORS[name](*parts) if name in _OPERATORS else self._applied(name, parts, state)
            case _:
                raise AssertionError(tree)

    def _applied(self, name: str, parts: list[z3.ExprRef], state: Mapping[str, Meaning]) -> z3.ExprRef:
        if name in state:
            return state[name](*parts)
        parameters, body = self.made[name]
        return self.term(body, state, {p[0]: v for p, v in zip(parameters, parts, strict=True)})

    def obligations(self) -> dict[str, list[z3.ExprRef]]:
        """What must not be possible, by what it is about."""
        known = [self.meaning(name, self.state) for name in self.part("axiom")]
        lemmas = [self.meaning(name, self.state) for name in self.part("lemma")]
        result = {"initially": [*known, *(self.meaning(n, self.state) for n in self.part("init")), self._not_all(lemmas)]}
        result["safety"] = [*known, *lemmas, self._not_all([self.meaning(n, self.state) for n in self.part("property")])]
        for guard in self.part("guard"):
            action = guard.partition(" ")[2]
            after = self.after(action)
            wrong = self._not_all([self.meaning(name, after) for name in self.part("lemma")])
            result[f"step {action}"] = [*known, *lemmas, self.meaning(guard, self.state), wrong]
        return result

    def _not_all(self, terms: list[z3.ExprRef]) -> z3.ExprRef:
        return z3.Not(z3.And([*terms, z3.BoolVal(True, self.context)]))

    def initial(self) -> list[z3.ExprRef]:
        """What must be possible."""
        return [self.meaning(name, self.state) for kind in ("axiom", "init") for name in self.part(kind)]


_OPERATORS: dict[str, Callable[..., z3.ExprRef]] = {
    "and": lambda *p: z3.And(list(p)),
    "or": lambda *p: z3.Or(list(p)),
    "not": z3.Not,
    "xor": z3.Xor,
    "=>": z3.Implies,
    "=": lambda a, b: a == b,
    "distinct": lambda *p: z3.Distinct(list(p)),
    "ite": z3.If,
    "concat": lambda *p: z3.Concat(list(p)),
    "bvneg": lambda a: -a,
    "bvnot": lambda a: ~a,
    "bvadd": lambda a, *p: _fold(lambda x, y: x + y, a, p),
    "bvsub": lambda a, b: a - b,
    "bvmul": lambda a, *p: _fold(lambda x, y: x * y, a, p),
    "bvudiv": z3.UDiv,
    "bvurem": z3.URem,
    "bvand": lambda a, *p: _fold(lambda x, y: x & y, a, p),
    "bvor": lambda a, *p: _fold(lambda x, y: x | y, a, p),
    "bvxor": lambda a, *p: _fold(lambda x, y: x ^ y, a, p),
    "bvshl": lambda a, b: a << b,
    "bvlshr": z3.LShR,
    "bvashr": lambda a, b: a >> b,
    "bvule": z3.ULE,
    "bvult": z3.ULT,
    "bvuge": z3.UGE,
    "bvugt": z3.UGT,
    "bvsle": lambda a, b: a <= b,
    "bvslt": lambda a, b: a < b,
    "bvsge": lambda a, b: a >= b,
    "bvsgt": lambda a, b: a > b,
}


def _fold(operation: Callable[[Any, Any], Any], first: Any, rest: Any) -> Any:
    for part in rest:
        first = operation(first, part)
    return first


def by_z3(terms: list[z3.ExprRef], milliseconds: int = 3000) -> tuple[str, str]:
    """What Z3 says, and the question as text."""
    solver = z3.Solver(ctx=terms[0].ctx)
    solver.set("timeout", milliseconds)
    solver.add(*terms)
    return str(solver.check()), solver.to_smt2()


def by_cvc5(text: str, milliseconds: int = 3000, **options: str) -> str:
    """What cvc5 says of a question."""
    solver = cvc5.Solver()
    solver.setOption("tlimit-per", str(milliseconds))
    for key, value in options.items():
        solver.setOption(key.replace("_", "-"), value)
    solver.setLogic("UFBV" if "BitVec" in text else "UF")
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "question")
    said = ""
    while not (command := parser.nextCommand()).isNull():
        said = said or str(command.invoke(solver, parser.getSymbolManager())).strip()
    return said


def refused(text: str) -> str:
    """Why a certificate is no proof, as Z3 or cvc5 says of this reading; empty if neither has anything against it."""
    reading = Reading(text)
    start = reading.initial()
    if start and by_z3(start)[0] == "unsat":
        return "there is no initial state"
    obligations = reading.obligations()
    said, question = by_z3([z3.Or([z3.And(terms) for terms in obligations.values()])])
    if said == "unsat" and by_cvc5(question) == "unsat":
        return ""
    for about, terms in obligations.items():
        said, question = by_z3(terms)
        if said == "sat":
            return f"{about}: z3 has a counterexample"
        if by_cvc5(question, finite_model_find="true") == "sat":
            return f"{about}: cvc5 has a counterexample"
    return ""

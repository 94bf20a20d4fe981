"""One table of operators; the certificate checker's own list is compared with it."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.operators import INDEXED, OPERATORS, smtlib
from tdpcheck.core.shape import shape
from tdpcheck.recheck import sexpr

SYNTAX = {"let", "forall", "exists", "_", "Bool", "BitVec"}
"""Words of certificates that are no operators."""


def test_what_is_written_and_what_a_certificate_may_say_are_the_same_operators() -> None:
    written = {operator.smtlib for operator in OPERATORS.values()} | {*INDEXED.values()}

    assert sexpr.OPERATORS == written | SYNTAX


A, B, C = (z3.BitVec(name, 5) for name in "abc")
P, Q = z3.Bools("p q")
TERMS = [
    P == Q, z3.Xor(P, Q), z3.Implies(P, Q), z3.And(P, Q), z3.Or(P, Q), z3.Not(P), z3.If(P, Q, z3.BoolVal(False)), z3.Distinct(A, B, C),
    z3.If(P, A, B) == C, -A == B, A + B == C, A - B == C, A * B == C, z3.UDiv(A, B) == C, z3.URem(A, B) == C, ~A == B, A & B == C,
    A | B == C, A ^ B == C, A << B == C, z3.LShR(A, B) == C, A >> B == C, z3.ULT(A, B), z3.ULE(A, B), z3.UGT(A, B), z3.UGE(A, B),
    A < B, A <= B, A > B, A >= B, z3.Concat(A, B) == z3.Concat(B, C), z3.Extract(3, 1, A) == z3.Extract(2, 0, B),
    z3.ZeroExt(2, A) == z3.ZeroExt(2, B), z3.SignExt(3, A) == z3.SignExt(3, B),
]  # fmt: skip


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_a_name_means_to_a_reader_what_the_operator_means(term: z3.BoolRef) -> None:
    """Z3 reads it back, and finds no values for which the two differ."""

    def text(node: z3.ExprRef) -> str:
        if z3.is_const(node) and node.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            return str(node)
        head = smtlib(node, shape(node).operator)
        parts = [text(child) for child in node.children()]
        return f"({head} {' '.join(parts)})" if parts else str(head)

    declared = "".join(f"(declare-const {x} (_ BitVec 5))" for x in "abc") + "".join(f"(declare-const {x} Bool)" for x in "pq")
    (again,) = z3.parse_smt2_string(f"{declared}(assert {text(term)})")
    solver = z3.Solver()
    solver.add(again != term)

    assert z3.unsat == solver.check()


def test_every_operator_of_the_table_is_in_a_term() -> None:
    """But those that Z3's Python cannot make: the two of its own rewriting, an equivalence of its own, the constants."""
    made: set[int] = set()
    todo: list[z3.ExprRef] = list(TERMS)
    while todo:
        node = todo.pop()
        made.add(shape(node).operator)
        todo += node.children()

    inside = {z3.Z3_OP_BUDIV_I, z3.Z3_OP_BUREM_I, z3.Z3_OP_IFF, z3.Z3_OP_TRUE}
    assert set() == (OPERATORS.keys() | INDEXED.keys()) - made - inside

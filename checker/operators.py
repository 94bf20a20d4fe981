"""The operators that terms may have, by their names in SMT-LIB and in BTOR2: whoever writes terms for others takes them from here.

What a certificate may say is a closed list of its own (words in `recheck/sexpr.py`, sorts in `recheck/sorting.py`), which believes
nobody; a test compares the two. Engines need its meaning, too: in `core/evaluation/` and in `circuits/blast.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import z3


class Operator(NamedTuple):
    """How an operator is written.

    Args:
        btor2: empty where BTOR2 has none of that name.
        chained: of two operands there, and of any number in Z3, from the left.
    """

    smtlib: str
    btor2: str = ""
    chained: bool = False


OPERATORS: dict[int, Operator] = {
    z3.Z3_OP_TRUE: Operator("true"),
    z3.Z3_OP_FALSE: Operator("false"),
    z3.Z3_OP_AND: Operator("and", "and", chained=True),
    z3.Z3_OP_OR: Operator("or", "or", chained=True),
    z3.Z3_OP_NOT: Operator("not", "not"),
    z3.Z3_OP_XOR: Operator("xor", "xor", chained=True),
    z3.Z3_OP_IMPLIES: Operator("=>", "implies"),
    z3.Z3_OP_IFF: Operator("=", "eq"),
    z3.Z3_OP_EQ: Operator("=", "eq"),
    z3.Z3_OP_DISTINCT: Operator("distinct"),
    z3.Z3_OP_ITE: Operator("ite", "ite"),
    z3.Z3_OP_CONCAT: Operator("concat", "concat", chained=True),
    z3.Z3_OP_BNEG: Operator("bvneg", "neg"),
    z3.Z3_OP_BADD: Operator("bvadd", "add", chained=True),
    z3.Z3_OP_BSUB: Operator("bvsub", "sub", chained=True),
    z3.Z3_OP_BMUL: Operator("bvmul", "mul", chained=True),
    z3.Z3_OP_BUDIV: Operator("bvudiv", "udiv"),
    z3.Z3_OP_BUDIV_I: Operator("bvudiv", "udiv"),
    z3.Z3_OP_BUREM: Operator("bvurem", "urem"),
    z3.Z3_OP_BUREM_I: Operator("bvurem", "urem"),
    z3.Z3_OP_BNOT: Operator("bvnot", "not"),
    z3.Z3_OP_BAND: Operator("bvand", "and", chained=True),
    z3.Z3_OP_BOR: Operator("bvor", "or", chained=True),
    z3.Z3_OP_BXOR: Operator("bvxor", "xor", chained=True),
    z3.Z3_OP_BSHL: Operator("bvshl", "sll"),
    z3.Z3_OP_BLSHR: Operator("bvlshr", "srl"),
    z3.Z3_OP_BASHR: Operator("bvashr", "sra"),
    z3.Z3_OP_ULT: Operator("bvult", "ult"),
    z3.Z3_OP_ULEQ: Operator("bvule", "ulte"),
    z3.Z3_OP_UGT: Operator("bvugt", "ugt"),
    z3.Z3_OP_UGEQ: Operator("bvuge", "ugte"),
    z3.Z3_OP_SLT: Operator("bvslt", "slt"),
    z3.Z3_OP_SLEQ: Operator("bvsle", "slte"),
    z3.Z3_OP_SGT: Operator("bvsgt", "sgt"),
    z3.Z3_OP_SGEQ: Operator("bvsge", "sgte"),
}
"""By Z3's kind of the declaration; what is true of no operand is a constant."""

INDEXED: dict[int, str] = {z3.Z3_OP_EXTRACT: "extract", z3.Z3_OP_ZERO_EXT: "zero_extend", z3.Z3_OP_SIGN_EXT: "sign_extend"}
"""Those that have numbers, by their names in SMT-LIB."""


def smtlib(term: z3.ExprRef, operator: int) -> str | None:
    """The operator of an application as SMT-LIB has it; None if it is none of these.

    Args:
        operator: Z3's kind of the declaration.
    """
    if operator in INDEXED:
        return f"(_ {INDEXED[operator]} {' '.join(map(str, term.decl().params()))})"
    known = OPERATORS.get(operator)
    return None if known is None else known.smtlib

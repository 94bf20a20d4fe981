"""Bit-blasting: quantifier-free terms over Booleans and bit-vectors as literals of an and-inverter graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import z3

from ...core.errors import ModelError
from ...core.shape import identity, shape
from .aig import FALSE, TRUE, Aig, Bits


class Blaster:
    """Translates grounded terms; equal subterms are translated once.

    Args:
        variables: the bits, lowest first, of each constant that may occur.
    """

    def __init__(self, aig: Aig, variables: Mapping[z3.ExprRef, Bits]) -> None:
        self.aig = aig
        # Z3's identity of a term is reused after the term dies: so the term is kept beside its image.
        self._seen: dict[int, tuple[z3.ExprRef, Bits]] = {identity(v): (v, bits) for v, bits in variables.items()}

    def truth(self, term: z3.BoolRef) -> int:
        """A formula as one literal."""
        return self.bits(term)[0]

    def bits(self, term: z3.ExprRef) -> Bits:
        """A term as its bits, the lowest first; a formula is one bit.

        Raises:
            ModelError: the term has a constant that was not declared, or an operator that is not known.
        """
        todo = [term]
        while todo:
            node = todo[-1]
            key = identity(node)
            if key in self._seen:
                todo.pop()
                continue
            form = shape(node)
            missing = [c for c, k in zip(form.children, form.keys, strict=True) if k not in self._seen]
            if missing:
                todo += missing
                continue
            parts = [self._seen[k][1] for k in form.keys]
            self._seen[key] = (node, self._apply(node, form.operator, parts))
            todo.pop()
        return self._seen[identity(term)][1]

    def _apply(self, term: z3.ExprRef, operator: int, parts: Sequence[Bits]) -> Bits:
        if z3.is_bv_value(term):
            return constant(term.as_long(), term.size())
        if z3.is_bool(term):
            return (self._formula(term, operator, parts),)
        return self._word(term, operator, parts)

    def _formula(self, term: z3.ExprRef, operator: int, parts: Sequence[Bits]) -> int:
        aig = self.aig
        match operator:
            case z3.Z3_OP_TRUE:
                return TRUE
            case z3.Z3_OP_FALSE:
                return FALSE
            case z3.Z3_OP_AND:
                return aig.all(p[0] for p in parts)
            case z3.Z3_OP_OR:
                return aig.any(p[0] for p in parts)
            case z3.Z3_OP_NOT:
                return parts[0][0] ^ 1
            case z3.Z3_OP_IMPLIES:
                return aig.either(parts[0][0] ^ 1, parts[1][0])
            case z3.Z3_OP_XOR:
                result = FALSE
                for part in parts:
                    result = aig.differ(result, part[0])
                return result
            case z3.Z3_OP_ITE:
                return aig.choose(parts[0][0], parts[1][0], parts[2][0])
            case z3.Z3_OP_EQ:
                return aig.equal(*parts)
            case z3.Z3_OP_DISTINCT:
                return aig.all(aig.equal(a, b) ^ 1 for a, b in itertools.combinations(parts, 2))
            case z3.Z3_OP_ULT:
                return aig.less(*parts)
            case z3.Z3_OP_ULEQ:
                return aig.less(parts[1], parts[0]) ^ 1
            case z3.Z3_OP_UGT:
                return aig.less(parts[1], parts[0])
            case z3.Z3_OP_UGEQ:
                return aig.less(*parts) ^ 1
            case z3.Z3_OP_SLT:
                return aig.less(*map(_biased, parts))
            case z3.Z3_OP_SLEQ:
                return aig.less(_biased(parts[1]), _biased(parts[0])) ^ 1
            case z3.Z3_OP_SGT:
                return aig.less(_biased(parts[1]), _biased(parts[0]))
            case z3.Z3_OP_SGEQ:
                return aig.less(*map(_biased, parts)) ^ 1
            case _:
                raise _unknown(term)

    def _word(self, term: z3.ExprRef, operator: int, parts: Sequence[Bits]) -> Bits:
        aig = self.aig
        match operator:
            case z3.Z3_OP_ITE:
                return aig.choose_bits(parts[0][0], parts[1], parts[2])
            case z3.Z3_OP_BADD:
                return _chain(aig.add, parts)
            case z3.Z3_OP_BSUB:
                return _chain(aig.subtract, parts)
            case z3.Z3_OP_BMUL:
                return _chain(aig.multiply, parts)
            case z3.Z3_OP_BUDIV | z3.Z3_OP_BUDIV_I:
                return aig.divide(*parts)[0]
            case z3.Z3_OP_BUREM | z3.Z3_OP_BUREM_I:
                return aig.divide(*parts)[1]
            case z3.Z3_OP_BNEG:
                return aig.subtract(constant(0, len(parts[0])), parts[0])
            case z3.Z3_OP_BNOT:
                return tuple(x ^ 1 for x in parts[0])
            case z3.Z3_OP_BAND:
                return tuple(aig.all(column) for column in zip(*parts, strict=True))
            case z3.Z3_OP_BOR:
                return tuple(aig.any(column) for column in zip(*parts, strict=True))
            case z3.Z3_OP_BXOR:
                return _chain(lambda a, b: tuple(map(aig.differ, a, b)), parts)
            case z3.Z3_OP_BSHL:
                return aig.shift(parts[0], parts[1], left=True)
            case z3.Z3_OP_BLSHR:
                return aig.shift(parts[0], parts[1], left=False)
            case z3.Z3_OP_BASHR:
                return aig.shift(parts[0], parts[1], fill=parts[0][-1], left=False)
            case z3.Z3_OP_EXTRACT:
                high, low = term.params()
                return parts[0][low : high + 1]
            case z3.Z3_OP_ZERO_EXT:
                return (*parts[0], *(FALSE,) * (term.size() - len(parts[0])))
            case z3.Z3_OP_SIGN_EXT:
                return (*parts[0], *(parts[0][-1],) * (term.size() - len(parts[0])))
            case z3.Z3_OP_CONCAT:
                return tuple(bit for part in reversed(parts) for bit in part)
            case _:
                raise _unknown(term)


def constant(value: int, width: int) -> Bits:
    """A number as constant bits."""
    return tuple(value >> place & 1 for place in range(width))


def _biased(bits: Bits) -> Bits:
    """Signed numbers compare as unsigned ones do, once the sign is turned over."""
    return (*bits[:-1], bits[-1] ^ 1)


def _chain(operator: Callable[[Bits, Bits], Bits], parts: Sequence[Bits]) -> Bits:
    result = parts[0]
    for part in parts[1:]:
        result = operator(result, part)
    return result


def _unknown(term: z3.ExprRef) -> ModelError:
    return ModelError(f"bit-blasting does not know {term.decl().name()} in {str(term)[:200]}")

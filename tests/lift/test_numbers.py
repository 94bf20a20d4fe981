"""A `u64` that is computed with is a number, and one that meets an SPTE is an SPTE, however far apart that shows."""

from __future__ import annotations

import pytest

from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.model.lift.meanings import PLAIN, library_for
from tdpcheck.model.lift.numbers import numbers_told

HEAD = "struct tdp_iter { u64 old_spte; int level; };\n"


def told(text: str) -> dict[str, str]:
    """The type of each variable and answer that is written as `u64`, in the order of the text."""
    unit = parse(HEAD + text, "a.c")
    assert unit.broken == {}
    found: dict[str, str] = {}
    for name, function in numbers_told(unit.functions, unit.structs, library_for(PLAIN)).items():
        old = unit.functions[name]
        pairs = [(p.name, p.type, q.type) for p, q in zip(old.parameters, function.parameters, strict=True)]
        before = [s for s in old.body.statements if isinstance(s, ast.Declare)]
        after = [s for s in function.body.statements if isinstance(s, ast.Declare)]
        pairs += [(a.name, a.type, b.type) for a, b in zip(before, after, strict=True)]
        found |= {f"{name}.{n}": t.base for n, was, t in [*pairs, ("", old.returns, function.returns)] if was.base == "u64"}
    return found


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("void f(u64 n) { n * 2; }", {"f.n": "unsigned long"}),
        ("void f(u64 n) { if (n < 4) n++; }", {"f.n": "unsigned long"}),
        ("void f(u64 n) { g(n); } void g(u64 m) { h(m); } void h(gfn_t k) { }", {"f.n": "unsigned long", "g.m": "unsigned long"}),
        ("u64 f(int n) { return n; } void g(void) { u64 m = f(1); }", {"f.": "unsigned long", "g.m": "unsigned long"}),
        ("void f(int level) { u64 n = KVM_PAGES_PER_HPAGE(level); }", {"f.n": "unsigned long"}),
        ("void f(u64 spte) { is_large_pte(spte); }", {"f.spte": "u64"}),
        ("void f(u64 spte) { spte = 5; is_large_pte(spte); }", {"f.spte": "u64"}),
        ("void f(struct tdp_iter *iter, u64 n) { if (n == iter->old_spte) return; }", {"f.n": "u64"}),
        ("void f(struct tdp_iter *iter) { u64 n = iter->old_spte & ~g(); }", {"f.n": "u64"}),
        ("void f(u64 *p) { u64 n = *p; }", {"f.p": "u64", "f.n": "u64"}),
        ("void f(u64 n) { u64 m = n; try_cmpxchg64(0, &m, 0); }", {"f.n": "u64", "f.m": "u64"}),
        ("void f(u64 n) { }", {"f.n": "u64"}),
        ("void f(u64 spte) { int pfn = (spte & 1) >> 2; }", {"f.spte": "u64"}),
        ("void f(u64 n, u64 spte) { n = n + 1; spte = REMOVED_SPTE; }", {"f.n": "unsigned long", "f.spte": "u64"}),
    ],
)
def test_what_a_u64_is_shows_in_its_use(text: str, types: dict[str, str]) -> None:
    """Through assignments, arguments and answers; an SPTE counts more than a number, and nothing counts as an SPTE."""
    assert told(text) == types

"""Locals that are read before they are set: found where a run can do it, and nowhere else; what cannot happen leaves no trace."""

from __future__ import annotations

import pytest

from tdpcheck.examples.toy_kernel import Built, toy
from tdpcheck.kernelc.lowering.cfg import Graph, Op

from ..alone import explored

STRUCT = "struct s { u2 a; u2 b[2]; }; struct t { struct s in; bool c; }; "


def failures(text: str) -> set[str]:
    """The assertions that some run of one thread finds false."""
    return explored(STRUCT + text)[1]


def checks(graph: Graph) -> list[str]:
    return [node.at.text for node in graph.nodes if isinstance(node, Op) and node.name == "unset"]


def flags(built: Built) -> list[str]:
    return [path for _, path in built.software.local_vars if path.endswith("~set")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("void f(void) { u2 n; *cell0 = n; }", "n"),
        ("void f(void) { u2 n; if (any_bool()) n = 1; *cell0 = n; }", "n"),
        ("void f(void) { u2 n; while (any_bool()) n = 1; *cell0 = n; }", "n"),
        ("void f(void) { u2 i; for (i = 0; i < 2; i++) { u2 n; if (!i) n = 1; *cell0 = n; } }", "n"),
        ("void f(void) { goto in; u2 n; n = 1; in: *cell0 = n; }", "n"),
        ("void f(void) { u2 n = 1; again: if (any_bool()) return; { u2 m; if (n) m = 1; n = 0; *cell0 = m; } goto again; }", "m"),
        ("void f(void) { u2 n; n++; }", "n"),
        ("void f(void) { u2 n; n |= 1; }", "n"),
        ("void f(void) { u2 n, m = 0; *cell0 = any_bool() ? n : m; }", "n"),
        ("void f(void) { bool n; if (any_bool() && n) *cell0 = 1; }", "n"),
        ("void f(void) { bool n; if (n || any_bool()) *cell0 = 1; }", "n"),
        ("static void g(u2 n) { } void f(void) { u2 n; g(n); }", "n"),
        ("static void g(u2 *p) { if (any_bool()) *p = 1; } void f(void) { u2 n; g(&n); *cell0 = n; }", "n"),
        ("static void g(u2 *p) { *cell0 = *p; } void f(void) { u2 n; g(&n); }", "*p"),
        ("void f(void) { u2 old; cmpxchg(cell0, &old, 1); }", "old"),
        ("void f(void) { struct sp *sp; *cell0 = sp->count; }", "sp"),
        ("void f(void) { struct s x; x.a = 1; *cell0 = x.b[1]; }", "x.b[1]"),
        ("void f(void) { struct s x, y; x.a = 1; x.b[0] = 1; y = x; *cell0 = y.a + y.b[0]; *cell0 = y.b[1]; }", "y.b[1]"),
        ("static u2 g(struct s x) { return x.a; } void f(void) { struct s x; x.b[0] = 1; *cell0 = g(x); }", "x.a"),
        ("static struct s g(void) { struct s x; x.a = 1; return x; } void f(void) { struct s y = g(); *cell0 = y.b[0]; }", "y.b[0]"),
        ("void f(void) { struct s x; x.b[any_u2() & 1] = 1; *cell0 = x.b[0]; }", "x.b[0]"),
        ("void f(void) { struct s x; x.b[0] = 1; *cell0 = x.b[any_u2() & 1]; }", "x.b[any_u2() & 1]"),
        ("void f(void) { struct t x, y; x.in.a = 1; y.in = x.in; x.c = y.in.a; *cell0 = y.in.b[0]; }", "y.in.b[0]"),
        ("void f(void) { u2 n; WRITE_ONCE(*cell0, READ_ONCE(n)); }", "n"),
    ],
)
def test_a_read_before_the_local_is_set_is_an_assertion_that_fails(text: str, what: str) -> None:
    assert {f"{what} is read before it is set at toy.c:1"} == failures(text)


@pytest.mark.parametrize(
    "text",
    [
        "void f(void) { u2 n; n = 1; *cell0 = n; }",
        "void f(void) { u2 n; if (any_bool()) n = 1; else n = 2; *cell0 = n; }",
        "void f(void) { u2 n; if (any_bool()) return; else n = 2; *cell0 = n; }",
        "void f(void) { u2 n; do n = any_u2(); while (n); *cell0 = n; }",
        "void f(void) { u2 n; for (;;) { if (any_bool()) { n = 1; break; } } *cell0 = n; }",
        "void f(void) { u2 n; (void)n; }",
        "void f(void) { u2 n; trace_event(n); }",
        "void f(void) { u2 n; if (any_bool()) goto out; n = 1; *cell0 = n; out: *cell1 = 1; }",
        "static void g(u2 *p) { *p = 1; } void f(void) { u2 n; g(&n); *cell0 = n; }",
        "static bool g(u2 *p) { if (any_bool()) return false; *p = 1; return true; } void f(void) { u2 n; if (g(&n)) *cell0 = n; }",
        "void f(void) { struct s x = { .a = 1 }; *cell0 = x.b[1]; }",
        "void f(void) { struct s x, y; x.a = 1; y = x; *cell0 = y.a; }",
        # What decides whether it was set decides whether it is read.
        "void f(void) { bool set = any_bool(); u2 n; if (set) n = 1; *cell1 = 1; if (set) *cell0 = n; }",
        "void f(void) { bool set = false; u2 n; if (any_bool()) { n = 1; set = true; } *cell1 = 1; if (set) *cell0 = n; }",
        "void f(void) { u2 n, k = any_u2(); if (k != 2) n = 1; *cell1 = 1; if (k == 1 || k == 3) *cell0 = n; }",
        "void f(void) { bool set = any_bool(); u2 n; if (set) n = 1; *cell0 = set ? n : 2; }",
        "void f(void) { bool set = any_bool(), n; if (set) n = true; if (set && n) *cell0 = 1; }",
        "void f(level_t l) { u2 n; if (l == PG_LEVEL_4K) n = 1; else if (l == PG_LEVEL_2M) n = 2; *cell1 = 1; "
        "if (l != PG_LEVEL_1G) *cell0 = n; }",
        "struct w { bool set; u2 n; }; static void g(struct w *w) { w->set = any_bool(); if (w->set) w->n = *cell0; } "
        "void f(void) { struct w w; g(&w); *cell1 = 1; if (w.set) *cell0 = w.n; }",
    ],
)
def test_what_is_always_set_where_it_is_read_gets_no_check(text: str) -> None:
    """No node, no flag: the states are those of before."""
    graph = toy.graph(STRUCT + text)

    assert [] == checks(graph)
    assert set() == failures(text)


@pytest.mark.parametrize(
    "text",
    [
        "void f(void) { u2 n; if (false) *cell0 = n; }",
        "void f(void) { u2 n; return; *cell0 = n; }",
        "void f(void) { u2 n, k = any_u2(); if (k < 2) n = 1; if (k + 1 == 1) *cell0 = n; }",
        "static u2 g(u2 n) { if (n == 1) return 1; return 0; } void f(void) { u2 n; if (g(2)) *cell0 = n; }",
        "void f(void) { struct s x; u2 i; for (i = 0; i < 2; i++) x.b[i] = i; *cell0 = x.b[any_u2() & 1]; }",
    ],
)
def test_a_read_that_no_run_comes_to_fails_nothing(text: str) -> None:
    """A check may stay where the analysis is not sure; that it can never fail, the exploration finds."""
    assert set() == failures(text)


def test_a_read_is_told_once_and_the_local_counts_as_set_then() -> None:
    text = "void f(void) {\nu2 n; if (any_bool()) n = 1;\n*cell0 = n;\n*cell1 = n;\nif (n) *cell0 = 2; }"

    assert {"n is read before it is set at toy.c:3"} == failures(text)
    assert ["n"] == checks(toy.graph(text))


def test_a_flag_is_kept_no_longer_than_until_the_read() -> None:
    early = toy.build("void f(void) { u2 n; if (any_bool()) n = 1; *cell0 = n; *cell1 = 1; *cell1 = n; }")
    late = toy.build("void f(void) { u2 n; if (any_bool()) n = 1; *cell0 = 1; *cell0 = 2; *cell1 = n; }")

    assert [] == flags(early)
    assert ["f.n~set"] == flags(late)


def test_nodes_keep_their_numbers_where_a_check_is_added() -> None:
    """Numbers stand in the names of places and choices, which are kept in traces."""
    without, with_check = (toy.graph(f"void f(void) {{ u2 n; if (any_bool()) n = 1; {read} *cell1 = 1; }}") for read in ("", "*cell0 = n;"))

    assert [n.number for n in with_check.nodes] == list(range(len(with_check.nodes)))
    assert all(n.name != "unset" for n in with_check.nodes[: len(without.nodes)] if isinstance(n, Op))

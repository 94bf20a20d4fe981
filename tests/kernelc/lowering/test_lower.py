"""What lowering accepts, and what it refuses: by name, with the place, the text and what to do."""

from __future__ import annotations

import pytest

from tdpcheck.core.errors import ModelError
from tdpcheck.examples.toy_kernel import toy
from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.lowering.cfg import Havoc, Op
from tdpcheck.kernelc.stepping import paths
from tdpcheck.kernelc.text.ast import Location
from tdpcheck.kernelc.text.parse import parse


def refused(text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        toy.build(text)
    return caught.value


ALWAYS_ONE = "NULL stored in a struct kvm *, of which there is always one"
ANY = "any_bool() ? &n : NULL"
NO_VALUE = ", and a way leads to its end without a value"
REFUSALS = [
    ("void f(void) { mark(cell0); }", "a cell_t where a page_t is expected", "cell0", 21),
    ("void f(gfn_t g) { mark(g); }", "a gfn_t where a page_t is expected", "g", 24),
    ("void f(gfn_t g) { mark(page_of(g)); u2 n = g; }", "a gfn_t where a u2 is expected", "g", 44),
    ("void f(gfn_t g) { if (g == 1) mark(page0); }", "1 is no value of type gfn_t", "g == 1", 23),
    ("void f(gfn_t g) { if (g < g) mark(page0); }", "< on a gfn_t, which has no order", "g < g", 23),
    ("void f(level_t l) { l = l + PG_LEVEL_2M; }", "+ on a level_t", "l + PG_LEVEL_2M", 25),
    ("void f(void) { u2 n = 4; }", "4 does not fit into a u2, which has 2 bits here", "4", 23),
    ("void f(void) { s4 n = 8; }", "8 does not fit into a s4, which has 4 bits here", "8", 23),
    ("void f(u2 n) { n = n << 4; }", "a shift by 4 of a s4, which has 4 bits here", "n << 4", 20),
    ("void f(u2 n) { n = n << -1; }", "a shift by -1 of a s4, which has 4 bits here", "n << -1", 20),
    ("void f(u2 n) { n = 1 << 32; }", "a shift by 32 of a constant of 32 bits", "1 << 32", 20),
    ("void f(u2 n) { n = 2147483647 + 1 > 0; }", "a signed overflow: 2147483648 is no int constant", "2147483647 + 1", 20),
    ("void f(u2 n) { n = 1 << 31 > 0; }", "a signed overflow: 2147483648 is no int constant", "1 << 31", 20),
    ("void f(u2 n) { if (n < 18446744073709551615) *cell0 = 1; }", "this constant is too large for its type", "18446744073709551615", 24),
    ("void f(u2 n) { n = n / 2; }", "the operator /", "n / 2", 20),
    ("void f(u2 n) { n = 1 / 0; }", "a division by zero", "1 / 0", 20),
    ("static void g(u2 *p) { *p = 1; } void f(u2 n) { g(n); }", "a u2 where a u2 * is expected", "n", 51),
    ("static void g(u2 *p) { *p = 1; } void f(u4 n) { g(&n); }", "a u4 * where a u2 * is expected", "&n", 51),
    ("static void g(u2 *p) { p++; } void f(u2 n) { g(&n); }", "+ on a u2 *", "p++", 24),
    ("static void g(u2 *p) { p = NULL; } void f(u2 n) { g(&n); }", "this cannot be assigned", "p = NULL", 24),
    ("static void g(u2 *p) { *p = 1; } void f(void) { g(NULL); }", "NULL is dereferenced", "*p", 24),
    ("void f(void) { u2 *p; *p = 1; }", "a u2 * without a value", "u2 *p", 19),
    ("void f(void) { u2 n; u2 m = n.a; }", "u2 has no field a in the model", "n.a", 29),
    ("struct s { u2 a; }; static void g(struct s *p) { p.a = 1; } void f(struct s s) { g(&s); }", "a field of a struct s *", "p.a", 50),
    ("struct s { u2 a[2]; }; void f(struct s s) { s.a[2] = 1; }", "index 2 of an array of 2", "s.a[2]", 45),
    ("struct s { u2 a[2]; }; void f(struct s s, level_t l) { s.a[l] = 1; }", "a level_t as an index", "s.a[l]", 56),
    ("struct s { u2 a; }; void f(void) { struct s s = { .b = 1 }; }", "struct s has no field b in the model", "{ .b = 1 }", 49),
    ("struct s { struct s *next; }; void f(struct s s) { }", "a struct that points to its own kind", "struct s", 1),
    ("void f(u2 n) { n(); }", "unknown callee n", "n()", 16),
    ("void f(void) { vanish(1, 2); }", "unknown callee vanish", "vanish(1, 2)", 16),
    ("void f(void) { u2 n = nobody; }", "unknown name", "nobody", 23),
    ("void f(void) { unheard_t n; }", "unknown type", "unheard_t", 26),
    ("void f(void) { u2 s4 = 1; }", "a variable has the name of a type", "s4", 19),
    ("static void g(u2 gfn_t) { } void f(void) { g(1); }", "a variable has the name of a type", "gfn_t", 1),
    ("void f(void) { u2 **n; }", "a pointer to a pointer", "u2 **", 19),
    ("static u2 g(u2 n) { return n; } void f(void) { g(); }", "g takes one argument, got 0", "g()", 48),
    ("void f(void) { mark(page0, page0); }", "mark takes one argument, got 2", "mark(page0, page0)", 16),
    ("void f(void) { break; }", "break outside a loop", "break", 16),
    ("void f(void) { goto out; }", "goto to a label that does not exist", "out", 16),
    ("u2 f(void) { return; }", "f returns a u2", "return", 14),
    ("void f(void) { cell0 = cell1; }", "this cannot be assigned", "cell0 = cell1", 16),
    ("void f(struct sp *sp) { sp->weight = 1; }", "struct sp * has no field weight in the model", "sp->weight", 25),
    ("void f(struct sp *sp) { u2 n = sp->stat; }", "the model cannot read stat of a struct sp *", "sp->stat", 32),
    ("void f(struct kvm *k) { struct kvm *j = k; j = NULL; }", ALWAYS_ONE, "j = NULL", 44),
    ("static u2 g(u2 n) { return g(n); } void f(void) { g(1); }", "g calls itself more than 1 deep", "g(n)", 28),
    ("struct s { u2 a; }; void f(struct s s) { if (s) return; }", "a struct s as a condition", "s", 46),
    ("void f(u2 n) { u2 *p = any_bool() ? &n : NULL; }", "a choice between two values of type u2 * while running", ANY, 24),
    ("static u2 g(u2 a[]) { return 1; } void f(u2 n) { g(n); }", "parameter a of g is an array", "u2 a[0]", 1),
    ("static u2 g(u2 n) { if (n) return 1; } void f(u2 n) { g(n); }", f"g has the type u2{NO_VALUE}", "}", 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "what", "offending", "column"), REFUSALS, ids=[what for _, what, _, _ in REFUSALS])
def test_a_refusal_says_where_what_and_what_to_do(text: str, what: str, offending: str, column: int) -> None:
    """Nothing that is not understood is skipped, and each message leads to its text."""
    refusal = refused(text)

    assert (what, offending, Location("toy.c", 1, column)) == (refusal.what, refusal.offending, refusal.at)
    assert refusal.suggestion
    assert f"toy.c:1:{column}: {what}: `{offending}`; {refusal.suggestion}" == str(refusal)


def test_an_unknown_callee_in_code_that_cannot_run_is_listed_and_not_refused() -> None:
    """A scenario that decides a branch may leave the other one without a meaning, and the report says so."""
    text = """
static bool quick(void) { return false; }
static void work(bool fast) { if (fast) vanish(); if (quick()) { u2 n = gone() ? 1 : 2; *cell1 = n; } *cell0 = 1; }
void f(void) { bool fast = false; work(fast); if (fast && lost(1)) *cell0 = 2; }
"""
    built = toy.build(text)

    assert {"vanish", "gone", "lost"} == {refused.what for refused in built.software.unreachable}
    assert {("toy.c", 3), ("toy.c", 4)} == {(refused.at.file, refused.at.line) for refused in built.software.unreachable}


def test_a_branch_that_conditions_contradict_is_dead_too() -> None:
    """What only a solver can see to be impossible is no step, and what stands there needs no meaning."""
    built = toy.build("void f(void) { u2 n = *cell0; if (n > 2) { if (n < 1) vanish(); *cell0 = 0; } }")

    assert ["vanish"] == [refused.what for refused in built.software.unreachable]


def test_recursion_that_stays_within_its_bound_is_accepted() -> None:
    """The bound is an assertion about the geometry, not a limit of the subset."""
    built = toy.build("static u2 g(u2 n) { if (n) return g(0); return n; } void f(void) { *cell0 = g(1); }")

    assert 1 == len(built.software.actions)
    assert () == built.software.unreachable


def test_an_entry_function_takes_arguments_from_the_scenario() -> None:
    """A parameter with an argument is that value, and one that the function changes starts with it."""
    with pytest.raises(Refusal, match="a page_t where a cell_t is expected"):
        toy.graph("void f(cell_t c) { *c = 1; }", arguments={"c": toy.library.constants["page0"]})
    graph = toy.graph("void f(cell_t c, u2 n) { *c = 1; }", arguments={"c": toy.library.constants["cell1"]})

    assert [("n@2",)] == [tuple(c.name for c in n.effects[0].choices) for n in graph.nodes if isinstance(n, Op) and n.name == "start"]
    with pytest.raises(Refusal, match=r"f has no parameter k: `f\(\)`; name one of c"):
        toy.graph("void f(cell_t c) { }", arguments={"k": toy.library.constants["cell1"]})
    with pytest.raises(Refusal, match="parameter g of f is a function"):
        toy.graph("void f(u2 (*g)(u2 n)) { g(1); }")


def test_a_function_that_could_not_be_read_is_refused_when_it_is_called() -> None:
    """One exotic function does not keep the rest of a file from being used."""
    broken = "static void g(u2 n) { switch (n) { case 1: break; } }\n"

    assert toy.build(broken + "void f(void) { *cell0 = 1; }").software.actions
    with pytest.raises(Refusal, match="switch"):
        toy.build(broken + "void f(void) { g(1); }")


def test_a_local_that_may_be_read_before_it_is_set_holds_any_value() -> None:
    """Also where a `goto` leads around the declaration, so that nobody sees a value that C does not promise."""
    graph = toy.graph("void f(void) { goto in; u2 n; n = 1; in: *cell0 = n; }")

    assert [("f.n",)] == [
        tuple(local.path for local in n.locals) for n in graph.nodes if isinstance(n, Havoc) and n.number == graph.nodes[0].next
    ]


def test_what_has_no_effect_here_is_reported_as_erased() -> None:
    """Erased calls and stores are blind spots: the graph says which, and why."""
    graph = toy.graph("void f(struct sp *sp) { trace_event(1); sp->stat = 2; }")

    assert [("trace_event(1)", "says nothing to the model"), ("sp->stat = 2", "statistics")] == [(at.text, why) for at, why in graph.erased]


def test_steps_that_contradict_themselves_are_left_out() -> None:
    """An action that can never fire would be noise in every report."""
    built = toy.build("void f(void) { u2 n = *cell0; if (n == 1) *cell1 = 1; if (n == 2) *cell1 = 2; }")

    assert 5 == len(built.software.actions)


def test_a_role_of_one_thread_is_proved_for_one_thread() -> None:
    """Steps are merged by how many threads of a role there are, so a proof for every size must not assume more of them."""
    one, two = (toy.build("void f(void) { *cell0 += 1; }", threads=threads) for threads in (("f",), ("f", "f")))

    assert 2 == len(one.software.locations)
    assert 3 == len(two.software.locations)
    assert len(one.software.rigids[0].axioms) == 1 + len(two.software.rigids[0].axioms)


def test_too_many_paths_are_an_error_that_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step with thousands of ways through it would be of no use to anybody."""
    monkeypatch.setattr(paths, "MOST_PATHS", 100)
    text = (
        "void f(void) { u4 n = 0; " + "".join(f"if (any_bool()) n ^= {i % 7}; else n += {i % 5 + 1}; " for i in range(8)) + "*cell0 = n; }"
    )
    with pytest.raises(ModelError, match=r"f has more than 100 paths between two steps, the last ones from toy.c:1: split a function"):
        toy.build(text)


def test_lowering_twice_gives_the_same_graph() -> None:
    """Node numbers and names of locals end up in traces that are kept, so they depend on the text alone."""
    text = "static u2 g(u2 n) { return twice(n); } void f(u2 n) { *cell0 = g(n) + any_u2(); }"
    first, second = toy.graph(text), toy.graph(text)

    assert [repr(n) for n in first.nodes] == [repr(n) for n in second.nodes]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("void f(void) { out: *cell0 = 1; if (any_bool()) { out: *cell1 = 1; } goto out; }", "this label is defined twice in one function"),
        (
            "static void g(u2 *p, u2 *q) { goto in; { u2 *p = q; in: *p = 1; } } void f(u2 a, u2 b) { g(&a, &b); }",
            "a u2 * that is used behind a jump past its declaration",
        ),
    ],
)
def test_labels_that_mean_two_things_are_refused(text: str, what: str) -> None:
    """The second place of a label, or an outer variable of the same name, would be taken in silence."""
    assert what == refused(text).what


def test_a_value_does_not_outlive_a_jump_into_its_scope() -> None:
    """The local of a block that was left is not what it was when a jump leads back behind its declaration."""
    graph = toy.graph("void f(void) { { u2 n = 1; in: *cell0 = n; } if (any_bool()) goto in; }")
    released = [n for n in graph.nodes if isinstance(n, Havoc) and n.number in set(graph.reachable())]

    assert [("f.n",)] == [tuple(local.path for local in n.locals) for n in released]


def test_a_node_that_leads_nowhere_is_an_error_of_ours() -> None:
    """What follows it would be lost, and a proof would speak of less than the text."""
    graph = toy.graph("void f(void) { *cell0 = 1; *cell1 = 2; }")
    writes = [n for n in graph.nodes if isinstance(n, Op)]
    writes[0].next = -1

    with pytest.raises(ModelError, match=r"what follows toy\.c:1 is missing from the graph"):
        graph.check_closed()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("static cell_t cell0; void f(void) { *cell0 = 1; }", "a variable at file level is not modelled"),
        ("enum { PG_LEVEL_2M }; void f(level_t l) { if (l == PG_LEVEL_2M) *cell0 = 1; }", "a constant of an enumeration at file level is"),
        ("typedef bool u2; void f(u2 n) { *cell0 = n; }", "a type that is defined here is not modelled"),
        ("static void (*mark)(page_t p); void f(void) { mark(page0); }", "a variable at file level is not modelled"),
    ],
)
def test_a_name_that_the_file_defines_is_not_the_one_of_the_library(text: str, what: str) -> None:
    """In C the file's own meaning counts, and it is not in the model."""
    unit = parse(text, "toy.c")
    with pytest.raises(Refusal, match=what):
        toy.build(text)
    toy.build(text.partition(" void f")[0] + " void f(void) { }")
    assert unit.strange == []


def test_calls_that_multiply_are_counted_before_they_are_lowered() -> None:
    """2^40 calls: the innermost function that is too much is named, at once. A function that calls itself is no such thing."""
    doubling = "".join(f"static void d{n}(void) {{ d{n + 1}(); d{n + 1}(); }}\n" for n in range(40)) + "static void d40(void) { }\n"
    refusal = refused(doubling + "void f(void) { d0(); }\n")

    assert ("this thread has more than 50,000 statements, with all that it calls", "d25") == (refusal.what, refusal.offending)
    assert Location("toy.c", 26, 1) == refusal.at
    assert "calls itself more than 1 deep" in refused("static u2 g(u2 n) { return g(n) + g(n); } void f(void) { g(1); }").what
    toy.build("static void e(void) { }\nvoid f(void) { " + "e(); " * 60 + "}\n")

"""Lowering against plain C: what a recursive evaluation of the syntax finds, the graph must find, and nothing else.

For the programs in `programs.c`, with every way that their choices allow, and for random ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.examples.toy_kernel import toy
from tdpcheck.kernelc.lowering.analyse import fold_constants
from tdpcheck.kernelc.lowering.cfg import Graph, Op
from tdpcheck.kernelc.lowering.lower import lower
from tdpcheck.kernelc.stepping.interpret import Config, Interpreter
from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.kernelc.text.show import show
from tdpcheck.tests.few import few

from .plain_c import ELEMENT, MOST_OPERATIONS, TYPES, Choices, Jump, Machine, Number, Over, Plain, Pointer, settled

TEXT = (Path(__file__).parent / "programs.c").read_text(encoding="utf-8")
UNIT = parse(TEXT, "toy.c")
PROGRAMS = re.findall(r"^(?!static)\w+ (\w+)\(", TEXT, re.MULTILINE)
Outcome = tuple[tuple[int, ...], frozenset[str], tuple[str, ...]]
"""Memory, locks and pages at the end; the assertions that failed; the operations, each with the memory that it found."""


def said_by_plain_c(name: str) -> set[Outcome]:
    function = UNIT.functions[name]
    found, choices = set(), Choices()
    for _ in choices.runs():
        machine = Machine([1, 2], 1)
        plain = Plain(UNIT, machine, choices.choose)
        try:
            arguments = [entry_argument(plain, p.type) for p in function.parameters]
            if any(argument != "kvm" for argument in arguments):
                machine.log("start 0")
            plain.inline(function, arguments)
        except Over:
            continue
        found.add(((*machine.mem, machine.writer, machine.reader, machine.dirty), frozenset(machine.failed), tuple(machine.trail)))
    return found


def entry_argument(plain: Plain, ref: ast.TypeRef) -> Any:
    match ref.base, ref.pointer:
        case "struct kvm", 1:
            return "kvm"
        case "struct sp", 1:
            return {"null": Number(plain.choose(2), 1), "cell": Number(plain.choose(2), ELEMENT)}
        case base, 1:
            return Pointer({"it": settled(plain.fresh(ast.TypeRef(base)))}, "it", base)
        case _:
            return settled(plain.fresh(ref))


def said_by_the_graph(name: str) -> set[Outcome]:
    built = toy.build(TEXT, (name,), (name, name))
    graph, layout = built.graphs[name], built.evaluator.layout
    interpreter = Interpreter(graph, built.evaluator, 0)
    state = built.evaluator.start({"dirty[0]": 1, "mem[0]": 1, "mem[1]": 2})
    found: set[Outcome] = set()
    todo: list[tuple[Config, tuple[str, ...]]] = [(Config(state, graph.entry, {}), ())]
    while todo:
        config, trail = todo.pop()
        if config.node == graph.exit:
            values = [layout.value(config.state, "mem", i) for i in (0, 1)]
            values += [layout.value(config.state, var, 0) for var in ("writer", "reader", "dirty")]
            # What overflows an int of four bits is for the comparison with gcc.
            asserted = (label for label in config.failed if not label.startswith(("signed overflow", "shift by too much")))
            failed = {re.sub(r"(index out of bounds: .*|.* is read before it is set) at .*", r"\1", label) for label in asserted}
            found.add((tuple(values), frozenset(failed), trail))
            continue
        for run in interpreter.successors(config, lambda run: True):
            node = graph.nodes[config.node]
            cells = [layout.value(config.state, "mem", i) for i in (0, 1)]
            longer = (
                (*trail, f"{node.name} {run.ops[0][1]} on {cells}")
                if isinstance(node, Op) and node.name not in ("index", "arithmetic", "unset")
                else trail
            )
            if len(longer) < MOST_OPERATIONS:
                todo.append((run.config, longer))
    return found


@pytest.mark.parametrize("name", few(PROGRAMS, 3))
def test_the_graph_does_what_plain_c_does(name: str) -> None:
    """Every construct of the subset, with its effects in their order: not a run more, not a run less."""
    expected = said_by_plain_c(name)

    assert expected
    assert expected == said_by_the_graph(name)


# Random programs on integers

AT = ast.Location("random.c", 1)
WIDTHS = {"a": "u4", "b": "s4", "c": "u2", "e": "u4", "d": "bool", "i": "u4"}
HELPERS = """
static u4 bump(u4 *p, u4 n) { *p = *p + n; return *p ^ n; }
static s4 both(u4 *p, u4 *q, s4 n) { *p = n; if (n < 0) return *q; n -= *q; return n; }
"""


def name_of(which: str) -> ast.Expr:
    return ast.Name(which, AT)


def binary(op: str, left: ast.Expr, right: ast.Expr) -> ast.Expr:
    return ast.Binary(op, left, right, AT)


names = st.sampled_from(("a", "b", "c", "e")).map(name_of)
pointers = st.sampled_from(("a", "e")).map(lambda which: ast.Unary("&", name_of(which), AT))
literals = st.sampled_from((0, 1)).map(lambda n: ast.IntLiteral(n, AT))
shifts = st.tuples(st.sampled_from(("<<", ">>")), names, literals).map(lambda x: binary(*x))
steps = st.tuples(st.sampled_from(("++", "--")), names, st.booleans()).map(lambda x: ast.Step(*x, AT))  # type: ignore[arg-type]
comparisons = ("==", "!=", "<", "<=", ">", ">=")
assignments = ("=", "+=", "-=", "*=", "&=", "|=", "^=")


def integers(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    right = st.one_of(inner, literals, st.just(name_of("d")))
    return st.one_of(
        st.tuples(st.sampled_from(("+", "-", "*", "&", "|", "^")), inner, right).map(lambda x: binary(*x)),
        st.tuples(st.sampled_from(("-", "~")), inner).map(lambda x: ast.Unary(x[0], x[1], AT)),  # type: ignore[arg-type]
        st.tuples(truths(inner), alike(inner), alike(inner)).map(lambda x: ast.Conditional(*x, AT)),
        st.tuples(st.sampled_from(assignments), names, inner).map(lambda x: ast.Assign(*x, AT)),
        st.tuples(pointers, inner).map(lambda x: ast.Call("bump", x, AT)),
        st.tuples(pointers, pointers, inner).map(lambda x: ast.Call("both", x, AT)),
    )


def alike(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    """Expressions of one type, u4: plain evaluation looks at one arm of a choice only."""
    plain = st.sampled_from(("a", "e")).map(name_of)
    return st.one_of(
        plain,
        st.tuples(st.sampled_from(("++", "--")), plain, st.booleans()).map(lambda x: ast.Step(*x, AT)),  # type: ignore[arg-type]
        st.tuples(st.sampled_from(assignments), plain, inner).map(lambda x: ast.Assign(*x, AT)),
        st.tuples(pointers, inner).map(lambda x: ast.Call("bump", x, AT)),
    )


def truths(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    compared = st.tuples(st.sampled_from(comparisons), inner, st.one_of(inner, literals)).map(lambda x: binary(*x))
    plain = st.one_of(compared, inner, st.just(name_of("d")))
    return st.one_of(
        plain,
        st.tuples(st.sampled_from(("&&", "||")), plain, plain).map(lambda x: binary(*x)),
        plain.map(lambda x: ast.Unary("!", x, AT)),
    )


expressions = st.recursive(st.one_of(names, names, shifts, steps), integers, max_leaves=5)
conditions = truths(expressions)


def reads_like_a_declaration(expression: ast.Expr) -> bool:
    """`a * b;` declares a pointer, if `a` is a type; without a list of all types it is read so, and refused."""
    return isinstance(expression, ast.Binary) and expression.op == "*" and isinstance(expression.left, ast.Name)


statements = st.one_of(
    st.tuples(st.sampled_from(assignments), names, expressions).map(lambda x: ast.Evaluate(ast.Assign(*x, AT), AT)),
    conditions.map(lambda x: ast.Evaluate(ast.Assign("=", name_of("d"), x, AT), AT)),
    expressions.filter(lambda x: not reads_like_a_declaration(x)).map(lambda x: ast.Evaluate(x, AT)),
)


def block(of: list[ast.Stmt]) -> ast.Stmt:
    return ast.Block(tuple(of), AT)


def loop(body: list[ast.Stmt], leave: tuple[ast.Expr, str]) -> ast.Stmt:
    """Three rounds at most: the counter is used nowhere else."""
    out = ast.If(leave[0], ast.Return(None, AT) if leave[1] == "return" else ast.Jump(leave[1], None, AT), None, AT)  # type: ignore[arg-type]
    start = ast.Evaluate(ast.Assign("=", name_of("i"), ast.IntLiteral(0, AT), AT), AT)
    again = binary("<", name_of("i"), ast.IntLiteral(3, AT))
    return ast.For(start, again, ast.Step("++", name_of("i"), False, AT), block([*body, out, *body]), AT)


def nested(inner: st.SearchStrategy[ast.Stmt]) -> st.SearchStrategy[ast.Stmt]:
    bodies = st.lists(inner, min_size=1, max_size=3)
    arms = st.tuples(conditions, bodies, st.none() | bodies)
    return arms.map(lambda x: ast.If(x[0], block(x[1]), None if x[2] is None else block(x[2]), AT))


branches = st.recursive(statements, nested, max_leaves=4)
leaving = st.tuples(conditions, st.sampled_from(("break", "continue", "return")))
loops = st.tuples(st.lists(branches, min_size=1, max_size=2), leaving).map(lambda x: loop(*x))
programs = st.lists(st.one_of(branches, branches, loops), min_size=1, max_size=4).map(block)
starts = st.fixed_dictionaries(
    {"a": st.integers(0, 15), "b": st.integers(0, 15), "c": st.integers(0, 3), "e": st.integers(0, 15), "d": st.integers(0, 1)}
)
EVALUATOR: Evaluator = toy.build("void f(void) { }").evaluator


def executed(graph: Graph, start: Mapping[str, int]) -> dict[str, int]:
    interpreter = Interpreter(graph, EVALUATOR, 0)
    config: Config | None = Config(EVALUATOR.start({}), graph.entry, {})
    first = next(n.number for n in graph.nodes if isinstance(n, Op) and n.name == "start")
    choices = {f"{which}@{first}": value for which, value in start.items()}
    while config is not None and config.node != graph.exit:
        config = interpreter.execute(config, 0, choices)
    assert config is not None
    return {which: config.locals[f"f.{which}"] for which in start}


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(body=programs, start=starts)
def test_random_programs_compute_what_plain_c_computes(body: ast.Stmt, start: dict[str, int]) -> None:
    """Conversions, signs, order of effects, aliases and jumps: said once by the compiler, and once by plain evaluation."""
    text = HELPERS + "void f(u4 a, s4 b, u2 c, u4 e, bool d) { u4 i = 0; " + show(body) + " }"
    unit = parse(text, "random.c")
    assert {} == unit.broken
    plain = Plain(unit, Machine([0, 0], 0), lambda size: 0)
    held = {which: (WIDTHS[which], Number(value, 0).to(*TYPES[WIDTHS[which]])) for which, value in start.items()}
    plain.scopes, plain.functions = [{"": ("", None), "i": ("u4", Number(0, 4)), **held}], [unit.functions["f"]]
    try:
        plain.run(body)
    except Jump as jump:
        assert ("return", None) == jump.args  # noqa: PT017
    del plain.scopes[1:]
    expected = {which: plain.scopes[0][which][1].value % 2 ** TYPES[WIDTHS[which]][0] for which in start}
    graph = lower("f", "f", unit.functions, unit.structs, toy.library)

    assert expected == executed(graph, start)
    fold_constants(graph)
    assert expected == executed(graph, start)

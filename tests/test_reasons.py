"""Why there is no answer has a kind, which code looks at, and a text, at which nothing does."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tdpcheck.checker.processes import Died, Failed, Failure, reason_of
from tdpcheck.core import errors
from tdpcheck.core.verdict import INTERRUPTED, TIME_IS_UP, Reason, ReasonKind, Unknown, solver_reason
from tdpcheck.recheck.solvers import Kind

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for p in ROOT.rglob("*.py") if p.relative_to(ROOT).parts[0] not in ("tests", "docs") and ".venv" not in p.parts)

PROSE = frozenset({"reason", "text_of_reason", "stopped", "gave_way", "given_up", "refused", "message", "why"})
"""Names of what holds words for people."""
TEXTS = frozenset({errors.TIME_IS_UP, *(kind.label for kind in ReasonKind), *ReasonKind})
"""Words that stand in such texts. A kind is an enumeration, so that nobody needs to compare with these."""
VERDICTS = frozenset({"vacuous", "refused"})
"""Also words for a verdict, which are typed themselves."""
METHODS = frozenset({"startswith", "endswith", "split", "rsplit", "partition", "rpartition", "removeprefix", "find", "index", "count"})
FOREIGN = {
    ("checker/processes.py", "_says_memory"),
    ("recheck/solvers.py", "_refusal"),
    ("recheck/solvers.py", "_check"),
}
"""Who translates a solver's own words, of which it has no others: they become kinds there."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def looks(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Where code looks at prose: the function, and the line."""

    def inside(node: ast.AST, function: str) -> Iterator[tuple[str, int]]:
        name = node.name if isinstance(node, ast.FunctionDef) else function
        if _looks(node):
            yield name, getattr(node, "lineno", 0)
        for child in ast.iter_child_nodes(node):
            yield from inside(child, name)

    return inside(tree, "")


def _looks(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            plain = [x for x, op in zip(others, ops, strict=True) if not isinstance(op, ast.Is | ast.IsNot)]
            if any(isinstance(x, ast.Attribute) and x.attr == "kind" for x in (left, *plain)):
                return False  # a typed one: mypy knows its words
            return bool(plain) and any(_is_prose(x) or _is_text(x) for x in (left, *plain))
        case ast.Call(func=ast.Attribute(attr=method, value=of), args=arguments):
            return method in METHODS and (_is_prose(of) or any(_is_text(x) for x in arguments))
        case ast.Subscript(value=of, slice=ast.Slice()):
            return _is_prose(of)
        case ast.MatchClass(kwd_attrs=names, kwd_patterns=patterns):
            return any(n in PROSE and isinstance(p, ast.MatchValue | ast.MatchOr) for n, p in zip(names, patterns, strict=True))
        case ast.MatchValue(value=value):
            return _is_text(value)
        case _:
            return False


def _is_prose(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in PROSE
        case ast.BoolOp(values=values):
            return any(map(_is_prose, values))
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return _is_prose(inner)
        case _:
            return False


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str() as text):
            return text in TEXTS - VERDICTS
        case ast.Tuple(elts=elements) | ast.Set(elts=elements) | ast.List(elts=elements):
            return any(map(_is_text, elements))
        case _:
            return False


def test_nobody_looks_at_the_text_of_a_reason() -> None:
    """A sentence that is reworded must not change an answer."""
    found: dict[str, list[tuple[str, int]]] = {}
    for source in SOURCES:
        file = str(source.relative_to(ROOT))
        lines = [(name, line) for name, line in looks(parsed(source)) if (file, name) not in FOREIGN]
        found |= {file: lines} if lines else {}

    assert {} == found


@pytest.mark.parametrize(
    "planted",
    [
        'def f(r): return (r.reason or "").startswith("coverage")',
        'def f(r): return r.reason.split(":")[0]',
        'def f(r): return (r.reason or "x").split(":")[0].split(";")[0]',
        'def f(found): return found.reason == INTERRUPTED',
        'def f(found): return "timeout" in found.reason',
        'def f(seen): return seen.stopped == "interrupted"',
        'def f(x): return x == "the time is up"',
        'def f(x): return x in ("the time is up", "interrupted")',
        'def f(v):\n match v:\n  case Unknown(reason="interrupted"):\n   return 1',
        'def f(v):\n match v.reason:\n  case "interrupted":\n   return 1',
        'def f(v): return str(v.stopped) == x',
        'def f(v): return v.reason[:8]',
        'def f(why): return why.removeprefix("depth: ")',
    ],
)  # fmt: skip
def test_who_looks_is_seen(planted: str) -> None:
    assert [name for name, _ in looks(ast.parse(planted))] != []


@pytest.mark.parametrize(
    "fair",
    [
        "def f(r): return r.kind is ReasonKind.COVERAGE",
        "def f(r): return r.reason is None",
        'def f(r): return f"{r.reason}; more" if r.reason else ""',
        'def f(name): return name.startswith("found ")',
        "def f(v):\n match v:\n  case Unknown(reason=reason):\n   return reason",
    ],
)
def test_who_only_says_it_is_not_blamed(fair: str) -> None:
    assert list(looks(ast.parse(fair))) == []


def test_that_the_time_is_up_is_said_in_one_place() -> None:
    """In nine files, nine versions of it come about."""
    writers = [
        str(p.relative_to(ROOT))
        for p in SOURCES
        for node in ast.walk(parsed(p))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(errors.TIME_IS_UP)
    ]

    assert writers == ["core/errors.py"]


def test_no_command_ends_with_a_bare_number() -> None:
    """An exit code that a file writes itself is in no table."""
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in SOURCES
        if file.relative_to(ROOT).parts[0] in ("cli", "api", "runner", "reports")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "exit"
        if any(isinstance(inner, ast.Constant) and isinstance(inner.value, int) for x in node.args for inner in ast.walk(x))
    ]

    assert [] == found


@pytest.mark.parametrize("kind", ReasonKind)
def test_a_kind_survives_every_journey(kind: ReasonKind) -> None:
    """Between processes, through the cache and in JSON."""
    verdict = Unknown(Reason(kind, "words: with; marks"), "bmc", 3)

    assert pickle.loads(pickle.dumps(verdict)) == verdict
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(verdict)), Unknown) == verdict
    assert msgspec.json.decode(msgspec.json.encode(kind)) == kind.value
    assert kind.label


def test_the_certificate_checker_has_the_same_words() -> None:
    """It imports nothing of the rest but the errors, so that its kinds are spelled there once more."""
    assert set(get_args(Kind)) - {""} <= set(ReasonKind)


def test_labels_tell_kinds_apart() -> None:
    assert len({kind.label for kind in ReasonKind}) == len(ReasonKind)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("timeout", ReasonKind.TIME_OUT),
        ("canceled", ReasonKind.TIME_OUT),
        ("interrupted from keyboard", ReasonKind.INTERRUPTED),
        ("(incomplete quantifiers)", ReasonKind.SOLVER_GAVE_UP),
    ],
)
def test_what_z3_says_has_a_kind(said: str, kind: ReasonKind) -> None:
    assert solver_reason(said).kind is kind
    assert (TIME_IS_UP.kind, INTERRUPTED.kind) == (ReasonKind.TIME_OUT, ReasonKind.INTERRUPTED)


@pytest.mark.parametrize(
    ("news", "reason"),
    [
        (Died("its process was killed (SIGKILL)"), Reason(ReasonKind.DIED, "its process was killed (SIGKILL)")),
        (Failed(Failure.MEMORY, "MemoryError", ""), Reason(ReasonKind.MEMORY, "out of memory")),
        (Failed(Failure.INPUT, "Refusal", "a.c:1: no"), Reason(ReasonKind.REFUSED, "a.c:1: no")),
        (Failed(Failure.MODEL, "ModelError", "no"), Reason(ReasonKind.REFUSED, "no")),
        (Failed(Failure.ENGINE, "EngineError", "no"), Reason(ReasonKind.FAULT, "a fault of tdpcheck itself: no")),
        (Failed(Failure.UNFORESEEN, "KeyError", "x"), Reason(ReasonKind.FAULT, "a fault of tdpcheck itself: KeyError: x")),
        (Failed(Failure.INTERRUPTED, "KeyboardInterrupt", ""), INTERRUPTED),
    ],
)
def test_how_a_process_ended_has_a_kind(news: Died | Failed, reason: Reason) -> None:
    assert reason_of(news) == reason

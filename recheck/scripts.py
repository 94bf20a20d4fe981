"""Each proof obligation of a certificate as a script of its own, in plain SMT-LIB, for a solver of the reader's choice.

The scripts are what the solvers here are asked (`questions.py`), word for word: a session that writes down what it is told stands in
the place of a solver. That there is an initial state is written as an obligation, too: a finite state, of which it is to be
contradicted that it is not initial.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import InputError
from .initial_state import no_start
from .obligations import INITIALLY, SAFETY, Certificate
from .questions import EXISTS, ask_everything
from .sexpr import name_of, read, spelled, symbol, write
from .solvers import Answer, Session
from .sorting import BOOL

MANIFEST = "manifest.json"
MOST_ELEMENTS = 10_000
_LOGICS = {"grounded": "QF_BV", "parametric": "UF", "instantiated": "QF_UF"}
_KINDS = {EXISTS: "start", INITIALLY: "initially", SAFETY: "safety"}
_NAME = re.compile(r"\((?:declare-sort|declare-fun|define-fun) (\|[^|]*\||[^ ]+)")
_SYMBOL = re.compile(r'\|[^|]*\||[^\s()"|;]+')


@dataclass(frozen=True)
class Script:
    """An obligation.

    Args:
        name: the step that it is about; `initially`, `safety` or `an initial state exists`.
        kind: `start`, `initially`, `step` or `safety`.
        expected: what a solver must answer.
        sha256: of the file's content.
    """

    name: str
    kind: str
    file: str
    expected: str
    sha256: str


@dataclass
class _Line:
    """A command that a solver is told: what it declares or defines (empty for an assertion), and of which symbols it speaks."""

    text: str
    name: str
    speaks: frozenset[str]

    @staticmethod
    def of(text: str) -> _Line:
        found = _NAME.match(text)
        return _Line(text, found.group(1) if found is not None else "", frozenset(_SYMBOL.findall(text)))


class _Recorder(Session):
    """Writes down each question, and answers as if it were as it should be."""

    def __init__(self, kind: str, written: list[tuple[str, str]], deadline: float | None) -> None:
        super().__init__(0.0, deadline)
        self._logic = _LOGICS[kind]
        self._written = written
        self._scopes: list[list[_Line]] = [[]]

    def _send(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("(push"):
                self._scopes.append([])
            elif line.startswith("(pop"):
                self._scopes.pop()
            else:
                self._scopes[-1].append(_Line.of(line))

    def ask(self, terms: Sequence[str], *, about: str, sat: bool = False) -> Answer:
        """Write it down.

        Raises:
            InputError: the time is up.
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise InputError("the certificate: the time is up, and not all of its obligations are written")
        if not sat:
            with self.scope(terms):
                self._written.append((about, script(self._logic, [line for scope in self._scopes for line in scope])))
        return Answer("sat" if sat else "unsat")

    def _check(self, seconds: float, sat: bool) -> Answer:
        raise AssertionError("a recorder is not asked")


def script(logic: str, lines: Sequence[_Line]) -> str:
    """A script that asks whether all assertions can be true together; declarations that nothing speaks of are left out."""
    wanted: set[str] = set()
    kept = []
    for line in reversed(lines):
        if not line.name or line.name in wanted:
            kept.append(line.text)
            wanted |= line.speaks
    head = ["(set-info :smt-lib-version 2.6)", f"(set-logic {logic})"]
    return "\n".join([*head, *reversed(kept), "(check-sat)", "(exit)"]) + "\n"


def scripts(text: str, *, timeout: float | None = None) -> Iterator[tuple[Script, str]]:
    """The obligations of a certificate, each with its script.

    Args:
        timeout: seconds.

    Raises:
        InputError: it is no certificate, has no initial state that anybody could write down, or the time is up.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    written: list[tuple[str, str]] = []
    found, failures = ask_everything(text, lambda kind: _Recorder(kind, written, deadline))
    if failures:
        raise InputError(f"the certificate: {failures[0]}")
    every = [(EXISTS, _start(found)), *sorted(written, key=lambda pair: pair[0] == SAFETY)]
    for number, (about, content) in enumerate(every):
        kind = _KINDS.get(about, "step")
        plain = "".join(c if c.isalnum() else "-" for c in about)[:60].strip("-")
        file = f"{number:04}-{plain}.smt2"
        yield Script(about, kind, file, "unsat", hashlib.sha256(content.encode()).hexdigest()), content


def manifest(text: str, found: Sequence[Script]) -> str:
    """What belongs to a certificate, as JSON.

    Args:
        text: the certificate.
    """
    document = {
        "schema": 1,
        "certificate_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "obligations": [asdict(each) for each in found],
    }
    return json.dumps(document, indent=1) + "\n"


def _start(found: Certificate) -> str:
    """That a finite state is initial: with what describes it, it is contradicted that something does not hold there."""
    if found.kind == "instantiated" and (why := no_start(found)):
        raise InputError(f"the certificate: {why}")
    lines = [*found.commands]
    if found.kind == "instantiated":
        sizes = {sort: int(size) for sort, size in found.start_sizes.items()}
        if sum(sizes.values()) > MOST_ELEMENTS:
            raise InputError(f"the certificate: its initial state has more than {MOST_ELEMENTS:,} elements; name a smaller one")
        lines += _structure(found, sizes, found.start_values)
    elif found.kind == "parametric":
        lines += _structure(found, *_model(found))
    else:
        lines += [f"(assert (= {cell} {value}))" for cell, value in _cells(found).items()]
    lines.append(f"(assert (not (and true {' '.join((*found.axioms, *found.init))})))")
    told = spelled("\n".join(lines)).splitlines()
    return script("QF_BV" if found.kind == "grounded" else "UF", [_Line.of(line) for line in told])


def _structure(found: Certificate, sizes: Mapping[str, int], values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A finite state over sorts: their elements, no others, and the value of each function."""

    def element(sort: str, number: int | str) -> str:
        return symbol(f"element {number} of {name_of(sort)}")

    for sort, size in sizes.items():
        every = [element(sort, n) for n in range(size)]
        yield from (f"(declare-fun {x} () {sort})" for x in every)
        equations = " ".join(f"(= x {x})" for x in every)
        yield f"(assert (forall ((x {sort})) (or false {equations})))"
        if size > 1:
            yield f"(assert (distinct {' '.join(every)}))"
    for name, (arguments, result) in found.functions.items():
        (sorts,) = read(arguments)
        assert isinstance(sorts, list)
        places = [["false", "true"] if s == BOOL else [element(write(s), n) for n in range(sizes[write(s)])] for s in sorts]
        for at, value in zip(itertools.product(*places), values[name], strict=True):
            applied = f"({name} {' '.join(at)})" if at else name
            yield f"(assert (= {applied} {value if result == BOOL else element(result, value)}))"


def _z3_model(found: Certificate, logic: str) -> tuple[Any, Any, dict[str, Any]]:
    """Z3, its model of an initial state, and the declared functions by name. None of it is believed: the script is what is asked."""
    import z3

    context = z3.Context()
    solver = z3.SolverFor(logic, ctx=context)
    solver.set("timeout", 20_000)
    solver.from_string(spelled("\n".join((*found.commands, *(f"(assert {name})" for name in (*found.axioms, *found.init))))))
    if solver.check() != z3.sat:
        raise InputError("the certificate: Z3 finds no initial state, so that none can be written down")
    model = solver.model()
    return z3, model, {d.name(): d for d in model.decls()}


def _cells(found: Certificate) -> dict[str, str]:
    """The values of the cells in some initial state."""
    _, model, known = _z3_model(found, "QF_BV")
    result = {}
    for cell, (_, sort) in found.functions.items():
        decl = known.get(f"{name_of(cell)}%")
        value = None if decl is None else model[decl]
        if sort == BOOL:
            result[cell] = str(value is not None and value.sexpr() == "true").lower()
        else:
            result[cell] = f"(_ bv{0 if value is None else value.as_long()} {sort.rstrip(')').rpartition(' ')[2]})"
    return result


def _model(found: Certificate) -> tuple[dict[str, int], dict[str, list[str]]]:
    """The size of each sort, and the values of each function, in some initial state."""
    z3, model, known = _z3_model(found, "UF")
    of = {sort.name(): list(model.get_universe(sort) or ()) for sort in model.sorts()}
    elements = {sort: of.get(f"{name_of(sort)}%", []) for sort in found.sorts}
    values: dict[str, list[str]] = {}
    for name, (arguments, result) in found.functions.items():
        (sorts,) = read(arguments)
        assert isinstance(sorts, list)
        decl = known.get(f"{name_of(name)}%")
        truths = [z3.BoolVal(b, model.ctx) for b in (False, True)]
        places = [truths if s == BOOL else elements[write(s)] or [None] for s in sorts]
        values[name] = []
        for at in itertools.product(*places):
            # Where Z3's model has no element of a sort, it says nothing that depends on one.
            given = () if decl is None else [z3.FreshConst(decl.domain(n)) if x is None else x for n, x in enumerate(at)]
            value = None if decl is None else model.eval(decl(*given), model_completion=True)
            if result == BOOL:
                values[name].append(str(value is not None and z3.is_true(value)).lower())
            else:
                values[name].append(str(next((n for n, e in enumerate(elements[result]) if value is not None and e.eq(value)), 0)))
    return {sort: max(1, len(every)) for sort, every in elements.items()}, values


__all__ = ["MANIFEST", "Script", "manifest", "scripts"]

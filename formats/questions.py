"""Questions about every value of some words: asked of two solvers, and each refutation checked again by plain evaluation.

A question runs functions of kernel C on inputs of which something is assumed, and claims something of what comes out. Its answer is
`proved` only where Z3 and Bitwuzla both find no value against it; a value against it counts only after the C was executed on it node by
node, and the assumption and the claim were evaluated without a solver.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

import bitwuzla
import z3
from z3.z3util import get_vars

from ..core.errors import EngineError
from ..core.evaluation.evaluate import Evaluator
from ..core.ground import conjunction, disjunction
from ..core.shape import identity
from ..core.sorts import BOOL, Geometry, Kind, Truth, Word
from ..core.system import Param, TransitionSystem
from ..kernelc.lowering.cfg import THREADS
from .functions import Function

SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """A function of kernel C, run on what is known by then.

    Args:
        out: the name of what it returns; records are called as they are.
        arguments: by its parameters, terms over inputs and over what earlier steps gave.
    """

    out: str
    function: Function
    arguments: Mapping[str, z3.ExprRef]


@dataclass(frozen=True)
class Clause:
    """One thing that is claimed.

    Args:
        sentence: what it says, in words.
        holds: a term over inputs and over what the steps gave.
        premise: the clause speaks of values alone of which this is true; whether there are any is told.
    """

    name: str
    sentence: str
    holds: z3.BoolRef
    premise: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(True))


@dataclass(frozen=True)
class Question:
    """Something asked of every value.

    Args:
        source: where the facts stand that it leans on.
        inputs: names and kinds of what may be anything that is `assumed`.
        steps: what is computed of them by kernel C, in order.
        assumed: a term over the inputs.
        clauses: what is claimed; each is answered by itself.
        assumption: the same as `assumed`, in words; it bounds what is proved.
        least: names whose values are to be as small as they can be in a value against it, one after the other; inputs come behind them.
    """

    name: str
    sentence: str
    source: str
    inputs: Mapping[str, Kind]
    steps: tuple[Step, ...]
    assumed: z3.BoolRef
    clauses: tuple[Clause, ...]
    assumption: str = ""
    least: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What was found about one clause.

    Args:
        values: of a refutation, the inputs and everything that was computed of them, as numbers.
        solvers: who found no value against it.
        reason: why there is no answer.
        vacuous: no value is such that the clause speaks of it.
    """

    question: str
    clause: str
    sentence: str
    answer: Literal["proved", "refuted", "unknown"]
    values: Mapping[str, int] = field(default_factory=dict)
    solvers: tuple[str, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    vacuous: bool = False


class Asking:
    """One question, its functions applied once."""

    def __init__(self, question: Question, seconds: float = SECONDS) -> None:
        self.question = question
        self._seconds = seconds

    @cached_property
    def _computed(self) -> tuple[tuple[z3.ExprRef, z3.ExprRef], ...]:
        """What each name that a step gave stands for, over the inputs alone."""
        known: list[tuple[z3.ExprRef, z3.ExprRef]] = []
        for step in self.question.steps:
            arguments = {name: z3.substitute(term, *known) for name, term in step.arguments.items()}
            applied = step.function.apply(arguments)
            if applied.result is not None:
                known.append((_const(step.out, applied.result), applied.result))
            known += [(_const(name, term), term) for name, term in applied.records.items()]
            fails = disjunction([when for _, when in applied.fails])
            known.append((z3.Bool(f"{step.out}!fails"), fails))
        return tuple(known)

    def findings(self) -> tuple[Finding, ...]:
        """An answer for each clause, in order."""
        return tuple(self.finding(clause) for clause in self.question.clauses)

    def finding(self, clause: Clause) -> Finding:
        """The answer for one clause.

        Raises:
            EngineError: a value against it does not stand plain evaluation: a fault of this program.
        """
        begun = time.monotonic()
        found = self._answer(clause)
        return replace(found, seconds=round(time.monotonic() - begun, 3))

    def _answer(self, clause: Clause) -> Finding:
        found = partial(Finding, self.question.name, clause.name, clause.sentence)
        premise, holds = (z3.substitute(term, *self._computed) for term in (clause.premise, clause.holds))
        against = [self.question.assumed, premise, z3.Not(holds)]
        solver = z3.Solver()
        solver.set("timeout", int(self._seconds * 1000))
        solver.add(*against)
        said = solver.check()
        if said == z3.sat:
            values = self.evaluated(self._smallest(solver))
            self._check(clause, values)
            return found("refuted", values=values)
        if said == z3.unknown:
            return found("unknown", reason=f"Z3: {solver.reason_unknown()}")
        if not self._possible:
            return found("unknown", reason="no value is as assumed, so that nothing was asked")
        second = _bitwuzla(solver, self._seconds)
        if second != "unsat":
            return found("unknown", reason=f"Z3 finds no value against it, Bitwuzla says {second}")
        vacuous = z3.Solver()
        vacuous.add(self.question.assumed, premise)
        return found("proved", solvers=("z3", "bitwuzla"), vacuous=vacuous.check() == z3.unsat)

    @cached_property
    def _possible(self) -> bool:
        """Whether any value is as assumed, found and evaluated."""
        solver = z3.Solver()
        solver.add(self.question.assumed)
        if solver.check() != z3.sat:
            return False
        return bool(plain(self.question.assumed, self.evaluated(self._witness(solver.model()))))

    def _smallest(self, solver: z3.Solver) -> dict[str, int]:
        """The least value against a clause, name by name and bit by bit: the same one whichever the solver happens to find first."""
        known = {name: kind.const(name) for name, kind in self.question.inputs.items()} | {str(c): term for c, term in self._computed}
        first = [name for name in self.question.least if name in known]
        for name in (*first, *(name for name in self.question.inputs if name not in first)):
            zeroes = _zeroes(known[name])
            if not _also(solver, conjunction(zeroes)):
                for zero in zeroes:
                    _also(solver, zero)
        solver.check()
        return self._witness(solver.model())

    def _witness(self, model: z3.ModelRef) -> dict[str, int]:
        given = {}
        for name, kind in self.question.inputs.items():
            value = model.eval(kind.const(name), model_completion=True)
            given[name] = int(z3.is_true(value)) if isinstance(kind, Truth) else value.as_long()
        return given

    def evaluated(self, given: Mapping[str, int]) -> dict[str, int]:
        """Everything that is computed of plain inputs, the C executed node by node; no solver is asked."""
        known = dict(given)
        for step in self.question.steps:
            ran = step.function.run({name: int(plain(term, known)) for name, term in step.arguments.items()})
            if ran.result is not None:
                known[step.out] = ran.result
            known |= ran.records
            known[f"{step.out}!fails"] = int(bool(ran.failed))
        return known

    def _check(self, clause: Clause, values: Mapping[str, int]) -> None:
        if not plain(self.question.assumed, values) or not plain(clause.premise, values) or plain(clause.holds, values):
            raise EngineError(f"{self.question.name}: {values} does not stand plain evaluation against {clause.name}")


def _zeroes(term: z3.ExprRef) -> list[z3.BoolRef]:
    """That a value is small, in one sentence a bit, the most important one first."""
    if z3.is_bool(term):
        return [z3.Not(term)]
    return [z3.Extract(n, n, term) == 0 for n in reversed(range(term.size()))]


def _also(solver: z3.Solver, term: z3.BoolRef) -> bool:
    """Whether a term can hold beside what was asserted; it is asserted if so."""
    can = bool(solver.check(term) == z3.sat)
    if can:
        solver.add(term)
    return can


def ask(question: Question, seconds: float = SECONDS) -> tuple[Finding, ...]:
    """The answer to each clause of a question.

    Args:
        seconds: for each solver and clause.
    """
    return Asking(question, seconds).findings()


def plain(term: z3.ExprRef, values: Mapping[str, int]) -> int:
    """A term without state, evaluated on numbers."""
    key = identity(term)
    if key not in _compiled:
        if len(_compiled) >= _MOST_COMPILED:
            _compiled.clear()
        params = [Param(name, kind) for name, kind in _constants(term)]
        _compiled[key] = term, tuple(p.name for p in params), _EVALUATOR.compile(term, params)
    _, names, function = _compiled[key]
    return int(function(_EVALUATOR.start({}), *(values[name] for name in names)))


_compiled: dict[int, tuple[z3.ExprRef, tuple[str, ...], Callable[..., int]]] = {}
"""What was compiled, with its term, so that nobody else gets the term's number."""
_MOST_COMPILED = 4096


def _constants(term: z3.ExprRef) -> Sequence[tuple[str, Kind]]:
    return [(str(const.decl().name()), _kind(const)) for const in get_vars(term)]


def _kind(term: z3.ExprRef) -> Kind:
    return BOOL if z3.is_bool(term) else Word(term.size())


def _const(name: str, like: z3.ExprRef) -> z3.ExprRef:
    return _kind(like).const(name)


_EVALUATOR = Evaluator(TransitionSystem("plain", (THREADS,), (), (), (), ()), Geometry({"Thread": 1}))


def _bitwuzla(solver: z3.Solver, seconds: float) -> str:
    """What Bitwuzla says of the same assertions, read by its own parser."""
    until = time.monotonic() + seconds
    parser = bitwuzla.Parser(bitwuzla.TermManager(), bitwuzla.Options())
    text = "".join(line for line in solver.to_smt2().splitlines(keepends=True) if not line.startswith(("(check-sat)", "(set-info")))
    parser.parse(f"(set-logic QF_BV)\n{text}", False, False)
    asked = parser.bitwuzla()
    asked.configure_terminator(lambda: time.monotonic() > until)
    result = asked.check_sat()
    if result == bitwuzla.Result.UNSAT:
        return "unsat"
    return "sat" if result == bitwuzla.Result.SAT else "that its time is up"

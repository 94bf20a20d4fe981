"""The proof for every size: lemmas that hold initially, that every action keeps, and that imply the property.

Sorts stay uninterpreted, so one answer covers any number of pages, devices and threads. Each (action, lemma) pair is one
small question, asked of the lemma as it reads after the action; a lemma that mentions nothing the action changes needs none.
Every question must lie in the decidable fragment EPR, where Z3 always answers: `epr.py` refuses one that does not.

Padon, Losa, Sagiv, Shoham: Paxos Made EPR, OOPSLA 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import z3

from ...core.evaluation.evaluate import Evaluator
from ...core.shape import shape, subterms
from ...core.sorts import Geometry, Word
from ...core.system import Action, Lemma, Property, TransitionSystem, substitute_updates
from ...core.verdict import INTERRUPTED, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, solver_reason
from ...recheck.obligations import INITIALLY, SAFETY
from ..clock import Clock, OutOfTime
from .epr import refuse_outside_epr

ENGINE = "induction"
EVERY_SIZE = "every size"
Answer = Literal["holds", "broken", "unknown"]


@dataclass(frozen=True, slots=True)
class Obligation:
    """One question of the proof: does `step` (an action, `initially` or `safety`) leave `lemma` true?"""

    step: str
    lemma: str
    answer: Answer
    reason: Reason | None = None


@dataclass(frozen=True)
class Argument:
    """The whole proof attempt.

    Args:
        obligations: every question that needed asking, in order.
        cannot_fire: actions whose guard contradicts the lemmas: whatever is proved says nothing about them.
        queries: how often the solver was asked.
    """

    verdict: Verdict
    obligations: tuple[Obligation, ...] = ()
    cannot_fire: tuple[str, ...] = ()
    queries: int = 0


def prove(
    system: TransitionSystem,
    prop: Property,
    lemmas: Sequence[Lemma] | None = None,
    *,
    timeout: float | None = None,
    progress: Callable[[Obligation], None] | None = None,
) -> Verdict:
    """Prove `prop` at every size by the lemmas (by default its own), or name the (action, lemma) pairs that do not go through.

    Raises:
        ModelError: a question leaves the decidable fragment.
    """
    return examine(system, prop, lemmas, timeout=timeout, progress=progress).verdict


def examine(
    system: TransitionSystem,
    prop: Property,
    lemmas: Sequence[Lemma] | None = None,
    *,
    timeout: float | None = None,
    progress: Callable[[Obligation], None] | None = None,
) -> Argument:
    """Like `prove`, with every obligation.

    Args:
        timeout: seconds for everything.

    Returns:
        Proved; HoldsUpTo depth 0 with the broken lemmas, if the lemmas hold initially and imply the property; else Unknown.

    Raises:
        ModelError: a question leaves the decidable fragment.
    """
    clock = Clock(timeout)
    words = (*system.words, *(f"{a.name}({p.name})" for a in system.actions for p in a.params if isinstance(p.kind, Word)))
    if words:
        fixed = f"not parametric: {', '.join(words[:4])} are bit-vectors of a fixed width"
        return Argument(Unknown(Reason(ReasonKind.NOT_PARAMETRIC, fixed), ENGINE))
    chosen = tuple(prop.lemmas if lemmas is None else lemmas) or (prop.as_lemma,)
    attempt = _Attempt(system, prop, chosen, clock, progress or (lambda _: None))
    verdict: Proved | HoldsUpTo | Unknown
    try:
        verdict = attempt.verdict()
    except KeyboardInterrupt:
        verdict = Unknown(INTERRUPTED, ENGINE)
    verdict = replace(verdict, seconds=clock.spent)
    return Argument(verdict, tuple(attempt.obligations), tuple(attempt.cannot_fire), attempt.queries)


class _Attempt:
    """One proof attempt: the questions in order, and what they answered."""

    def __init__(
        self,
        system: TransitionSystem,
        prop: Property,
        lemmas: tuple[Lemma, ...],
        clock: Clock,
        progress: Callable[[Obligation], None],
    ) -> None:
        self._system = system
        self._prop = prop
        self._lemmas = lemmas
        self._clock = clock
        self._progress = progress
        self._enumerations = {sort.name for sort in system.sorts if sort.elements}
        self._solver: z3.Solver = z3.SimpleSolver()
        self._asserted: Sequence[z3.BoolRef] = ()  # what the solver was told; many questions share their hypotheses
        self.obligations: list[Obligation] = []
        self.cannot_fire: list[str] = []
        self.queries = 0

    def verdict(self) -> Proved | HoldsUpTo | Unknown:
        """Ask everything."""
        refuse_outside_epr(self._invariant(), self._enumerations, "the lemmas")
        exists, reason = self._ask([*axioms(self._system), *initial_condition(self._system)])
        if exists == z3.unsat:
            return Unknown(Reason(ReasonKind.VACUOUS, "no initial state exists: anything would hold of it"), ENGINE)
        if reason is not None:
            return Unknown(reason.prefixed("whether an initial state exists: "), ENGINE)
        for obligations in (self._initiation(), self._safety()):
            for obligation in obligations:
                self._note(obligation)
                if obligation.answer != "holds":
                    return Unknown(_failure(obligation, self._prop), ENGINE)
        for obligation in self._consecution():
            self._note(obligation)
        undecided = [o for o in self.obligations if o.answer == "unknown"]
        broken = tuple((o.step, o.lemma) for o in self.obligations if o.answer == "broken")
        if broken:
            return HoldsUpTo(0, ENGINE, broken)
        if undecided:
            first = undecided[0]
            others = f" (and {len(undecided) - 1} more pairs)" if len(undecided) > 1 else ""
            why = first.reason or Reason(ReasonKind.SOLVER_GAVE_UP, "")
            return Unknown(why.prefixed(f"whether {first.step} keeps {first.lemma}{others}: "), ENGINE, 0)
        return Proved(EVERY_SIZE, tuple(lemma.name for lemma in self._lemmas), self.queries, ENGINE)

    def _note(self, obligation: Obligation) -> None:
        self.obligations.append(obligation)
        self._progress(obligation)

    def _initiation(self) -> Iterator[Obligation]:
        known = [*axioms(self._system), *initial_condition(self._system)]
        for lemma in self._lemmas:
            yield self._obligation(INITIALLY, lemma, known, lemma.holds)

    def _safety(self) -> Iterator[Obligation]:
        goal = self._prop.as_lemma
        yield self._obligation(SAFETY, goal, self._invariant(), goal.holds)

    def _consecution(self) -> Iterator[Obligation]:
        for action in self._system.actions:
            hypotheses = [*self._invariant(), action.guard]
            answer, _ = self._ask(hypotheses)
            if answer == z3.unsat:
                self.cannot_fire.append(action.name)
                continue
            for lemma in self._lemmas:
                if symbols(lemma.holds) & action.changes:
                    yield self._obligation(action.name, lemma, hypotheses, after(lemma, action))

    def _invariant(self) -> list[z3.BoolRef]:
        return [*axioms(self._system), *(lemma.holds for lemma in self._lemmas)]

    def _obligation(self, step: str, lemma: Lemma, hypotheses: Sequence[z3.BoolRef], goal: z3.BoolRef) -> Obligation:
        answer, reason = self._ask(hypotheses, z3.Not(goal), f"{step} / {lemma.name}")
        if answer == z3.unsat:
            return Obligation(step, lemma.name, "holds")
        return Obligation(step, lemma.name, "broken" if answer == z3.sat else "unknown", reason)

    def _ask(
        self, hypotheses: Sequence[z3.BoolRef], doubt: z3.BoolRef | None = None, what: str = "the hypotheses"
    ) -> tuple[z3.CheckSatResult, Reason | None]:
        """Whether the hypotheses, and the doubt, can be true at once."""
        refuse_outside_epr([*hypotheses, *([] if doubt is None else [doubt])], self._enumerations, what)
        if self._asserted is not hypotheses:
            self._asserted = hypotheses
            self._solver = z3.SimpleSolver()
            self._solver.set("mbqi", True)
            self._solver.add(*hypotheses)
        try:
            limit = self._clock.milliseconds()
        except OutOfTime as stop:
            return z3.unknown, stop.why
        if limit is not None:
            self._solver.set("timeout", limit)
        self.queries += 1
        self._solver.push()
        if doubt is not None:
            self._solver.add(doubt)
        answer = self._solver.check()
        why = solver_reason(self._solver.reason_unknown()) if answer == z3.unknown else None
        self._solver.pop()
        if why is not None and why.kind is ReasonKind.INTERRUPTED:
            raise KeyboardInterrupt
        return answer, why


def _failure(obligation: Obligation, prop: Property) -> Reason:
    match obligation:
        case Obligation(answer="unknown", step=step, lemma=lemma, reason=Reason() as why):
            return why.prefixed(f"{step} / {lemma}: ")
        case Obligation(step="initially", lemma=lemma):
            return Reason(ReasonKind.ARGUMENT, f"lemma {lemma} does not hold in every initial state")
        case _:
            return Reason(ReasonKind.ARGUMENT, f"the lemmas do not imply {prop.name}")


def after(lemma: Lemma, action: Action) -> z3.BoolRef:
    """`lemma` as it reads after `action`, said of the state before it."""
    term = substitute_updates(lemma.holds, action.updates)
    assert isinstance(term, z3.BoolRef)
    return term


def axioms(system: TransitionSystem) -> list[z3.BoolRef]:
    """What a proof may assume: an enumeration has its elements and no others, and what the rigid functions promise."""
    result: list[z3.BoolRef] = []
    for sort in system.sorts:
        if sort.elements:
            elements = [sort.element(name) for name in sort.elements]
            if len(elements) > 1:
                result.append(z3.Distinct(*elements))
            x = sort.const(f"{sort.name}:any")
            result.append(z3.ForAll([x], z3.Or([x == element for element in elements])))
    return [*result, *(axiom for rigid in system.rigids for axiom in rigid.axioms)]


def initial_condition(system: TransitionSystem) -> list[z3.BoolRef]:
    """The initial states, as closed terms over uninterpreted sorts."""
    result = []
    for update in system.init:
        equation = update.var(*update.variables) == update.value
        result.append(z3.ForAll(list(update.variables), equation) if update.variables else equation)
    return [*result, system.constraint]


def symbols(term: z3.ExprRef) -> frozenset[str]:
    """The names of the functions that a term applies."""
    return frozenset(node.decl().name() for node in subterms(term) if shape(node).operator == z3.Z3_OP_UNINTERPRETED)


def check_axioms(system: TransitionSystem, geometries: Iterable[Geometry]) -> tuple[str, ...]:
    """The axioms of rigid functions that their meaning contradicts at one of `geometries`, as sentences. Empty is good."""
    problems = []
    for geometry in geometries:
        evaluator = Evaluator(system, geometry)
        nothing = evaluator.start({})
        for rigid in system.rigids:
            problems += [
                f"{rigid.name} does not mean what its axiom {number} says at {geometry}: {axiom}"
                for number, axiom in enumerate(rigid.axioms)
                if not evaluator.holds(axiom, nothing)
            ]
    return tuple(problems)


__all__ = ["Argument", "Obligation", "after", "axioms", "check_axioms", "examine", "initial_condition", "prove", "symbols"]

"""The proof for every size of systems as large as kernel C makes them: lemmas in parts, asked action by action.

As `induction.py`, but not confined to EPR. What is to be proved after an action is asked in one question by E-matching; what does not go
through is asked lemma by lemma, then part by part, then by model-based instantiation. Only `unsat` counts, so nothing of this can make a
proof wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import z3

from ...core.system import Action, Lemma, Property, TransitionSystem
from ...core.verdict import INTERRUPTED, TIME_IS_UP, Reason
from ...recheck.instances import Uses
from ...recheck.obligations import INITIALLY
from ..certificates.instantiated import InstantiatedWriter
from ..clock import Clock
from ..every_size.ematching import Instance, Matcher, Step
from ..every_size.proof_obligations import Changes, Goal
from ..every_size.theory import Theory
from ..processes import Answered, Child, Died, Failed, Said, listen, reason_of


@dataclass(frozen=True, slots=True)
class Broken:
    """A step after which a lemma is not known to hold: a counterexample to induction if `refuted`, which need not be reachable.

    Args:
        parts: the names of the lemma's parts that did not go through.
    """

    step: str
    lemma: str
    refuted: bool
    reason: str = ""
    parts: tuple[str, ...] = ()


@dataclass
class Checked:
    """What came of an argument.

    Args:
        broken: pairs of step and lemma that did not go through, in the order of the actions.
        asked: how many goals there were; `queries`, how often the solver was asked.
        lemmas: the names of the lemmas, in order.
    """

    lemmas: tuple[str, ...]
    broken: list[Broken] = field(default_factory=list)
    asked: int = 0
    queries: int = 0
    seconds: float = 0.0
    stopped: Reason | None = None
    uses: Uses = field(default_factory=dict)
    """The instances that prove what went through of each step, if they were recorded."""

    @property
    def holds(self) -> bool:
        """Whether everything went through: then the properties hold at every depth, for every size."""
        return not self.broken and self.stopped is None


def check_lemmas(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    *,
    timeout: float | None = None,
    patience: float = 30.0,
    jobs: int = 1,
    actions: Iterable[str] | None = None,
    recording: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Checked:
    """Check that the lemmas, with the properties themselves, hold initially and are kept by every action; see `check_theory`."""
    theory = Theory(system, properties, lemmas)
    return check_theory(theory, timeout=timeout, patience=patience, jobs=jobs, steps=actions, recording=recording, progress=progress)


def check_theory(
    theory: Theory,
    *,
    timeout: float | None = None,
    patience: float = 30.0,
    jobs: int = 1,
    steps: Iterable[str] | None = None,
    recording: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Checked:
    """Check that every part of a theory holds initially and is kept by every action.

    Args:
        timeout: seconds for everything; `patience`, seconds for a question that E-matching leaves open.
        jobs: how many processes ask.
        steps: ask of these alone, actions or `initially`; by default, of all.
        recording: keep the instances of clauses that prove each step, for a certificate. That takes about twice as long.
    """
    clock = Clock(timeout)
    search = Search(theory, patience, recording)
    names = [INITIALLY, *theory.actions] if steps is None else list(steps)
    result = Checked(tuple(lemma.name for lemma in theory.lemmas))
    if jobs == 1:
        _join(result, _some(search, names, clock, progress))
    else:
        # The large questions of a program stand side by side in the list: dealt out like cards, each process gets some.
        children = [Child(partial(_some, search, names[n::jobs], clock)) for n in range(jobs)]
        _listen(children, result, progress)
    order = {step: number for number, step in enumerate(names)}
    result.broken.sort(key=lambda b: order[b.step])
    result.seconds = clock.spent
    return result


@dataclass
class Found:
    """What came of some steps."""

    broken: list[Broken] = field(default_factory=list)
    uses: Uses = field(default_factory=dict)
    asked: int = 0
    queries: int = 0
    stopped: Reason | None = None


def _some(search: Search, steps: Sequence[str], clock: Clock, progress: Callable[[str], None] | None) -> Found:
    result = Found()
    try:
        for step in steps:
            if clock.is_up:
                result.stopped = TIME_IS_UP
                break
            if progress is not None:
                progress(step)
            search.step(step, result)
    except KeyboardInterrupt:
        result.stopped = INTERRUPTED
    return result


def _join(result: Checked, part: Found) -> None:
    result.broken += part.broken
    result.uses |= part.uses
    result.asked += part.asked
    result.queries += part.queries
    result.stopped = result.stopped or part.stopped


def _listen(children: list[Child], result: Checked, progress: Callable[[str], None] | None) -> None:
    left = list(children)
    while left:
        try:
            for child, news in listen(left):
                match news:
                    case Said(value=step):
                        if progress is not None:
                            progress(step)
                        continue
                    case Answered(value=part):
                        _join(result, part)
                    case Failed() | Died():
                        result.stopped = result.stopped or Reason(reason_of(news).kind, f"a process ended early: {news}")
                left.remove(child)
        except KeyboardInterrupt:
            for child in left:
                child.interrupt()


class Search:
    """Looks for proofs of the steps of a theory, one after the other.

    Args:
        patience: seconds for a question that E-matching leaves open.
        recording: keep the instances that prove each step.
    """

    def __init__(self, theory: Theory, patience: float, recording: bool) -> None:
        self._theory = theory
        self._patience = patience
        self._recording = recording
        self._matcher = Matcher(theory, theory.clauses, recording=recording)
        self._writer = InstantiatedWriter(theory) if recording else None

    def step(self, name: str, result: Found) -> None:
        """Check one step, an action or `initially`, and say what came of it."""
        if name == INITIALLY:
            self._initially(result)
        elif name in self._theory.actions:
            self._after(self._theory.actions[name], result)
        else:
            self._theory.system.action(name)  # complains

    def _initially(self, result: Found) -> None:
        goals = [Goal(part, (), part.body, part.variables) for part in self._theory.parts]
        self._settle(INITIALLY, Matcher(self._theory, self._theory.initially, recording=self._recording), Step(), goals, result)

    def _after(self, action: Action, result: Found) -> None:
        following = self._theory.following(action)
        changes = Changes(following.action)
        goals = [goal for part in self._theory.parts for goal in changes.goals(part)]
        self._settle(action.name, self._matcher, self._matcher.step(action, following.clauses), goals, result)

    def _settle(self, name: str, matcher: Matcher, step: Step, goals: Sequence[Goal], result: Found) -> None:
        before = matcher.queries
        instances: list[Instance] = []
        broken: dict[str, Broken] = {}
        for goal in self._open(matcher, step, goals, instances):
            answer, found = matcher.settles(step, goal, self._patience)
            if answer == z3.unknown and (again := self._proved(matcher.otherwise, step, [goal])) is not None:
                answer, found = z3.unsat, again
            lemma = goal.part.lemma
            if answer == z3.unsat and (found is not None or not self._recording):
                instances += found or ()
                continue
            refuted = bool(answer == z3.sat)
            reason = "proved, but its instances could not be recorded" if answer == z3.unsat else matcher.reason
            known = broken.get(lemma)
            parts = (*(() if known is None else known.parts), goal.part.name)
            if known is None or (refuted and not known.refuted):
                known = Broken(name, lemma, refuted, reason)
            broken[lemma] = replace(known, parts=tuple(dict.fromkeys(parts)))
        result.broken += broken.values()
        result.asked += len(goals)
        result.queries += matcher.queries - before
        if self._writer is not None:
            result.uses[name] = self._writer.uses(name, instances)

    @staticmethod
    def _proved(matcher: Matcher, step: Step, goals: Sequence[Goal]) -> list[Instance] | None:
        """The instances with which E-matching proves goals; one of them is looked at closely, too. None if it does not."""
        found = matcher.proves(step, goals)
        return matcher.proves(step, goals, closely=True) if found is None and len(goals) == 1 else found

    @staticmethod
    def _open(matcher: Matcher, step: Step, goals: Sequence[Goal], instances: list[Instance]) -> Iterator[Goal]:
        """The goals that E-matching does not prove; what it uses for the others goes to `instances`."""
        todo = [list(goals)] if goals else []
        while todo:
            some = todo.pop()
            found = Search._proved(matcher, step, some)
            if found is not None:
                instances += found
            elif len(some) == 1:
                yield some[0]
            else:
                lemmas = {goal.part.lemma for goal in some}
                if len(lemmas) > 1:
                    todo += [[goal for goal in some if goal.part.lemma == lemma] for lemma in sorted(lemmas)]
                else:
                    todo += [[goal] for goal in some]

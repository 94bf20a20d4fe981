"""The proof for every size of systems as large as kernel C makes them: lemmas in parts, asked action by action.

As `induction.py`, but not confined to EPR. What is to be proved after an action is asked in one question by E-matching, under those
hypotheses that speak of the same program as the action and the goals; what does not go through is asked alone, then of all hypotheses, then
by model-based instantiation. Only `unsat` counts, so nothing of this can make a proof wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import z3

from ..core.system import Action, Lemma, Property, TransitionSystem
from .ematching import Matcher
from .goals import Changes, Goal, Part, parts_of
from .induction import axioms, initial_condition
from .processes import Answered, Child, Died, Failed, Said, Say, listen

ENGINE = "lemmas"
INITIALLY, SAFETY = "initially", "safety"


@dataclass(frozen=True, slots=True)
class Broken:
    """A step after which a lemma is not known to hold: a counterexample to induction if `refuted`, which need not be reachable."""

    step: str
    lemma: str
    refuted: bool
    reason: str = ""


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
    stopped: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything went through: then the properties hold at every depth, for every size."""
        return not self.broken and not self.stopped


def check_lemmas(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    *,
    timeout: float | None = None,
    patience: float = 10.0,
    jobs: int = 1,
    actions: Iterable[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Checked:
    """Check that the lemmas, with the properties themselves, hold initially and are kept by every action.

    Args:
        timeout: seconds for everything; `patience`, seconds for a question that E-matching leaves open.
        jobs: how many processes ask.
        actions: ask of these alone, and not of the initial state.
    """
    started = time.monotonic()
    own = [Lemma(p.name, p.holds, p.sentence) for p in properties]
    book = (*lemmas, *own)
    attempt = _Attempt(system, [part for lemma in book for part in parts_of(lemma)], patience)
    names = [a.name for a in system.actions] if actions is None else list(actions)
    steps = [*([INITIALLY] if actions is None else []), *names]
    deadline = None if timeout is None else started + timeout
    result = Checked(tuple(lemma.name for lemma in book))
    if jobs == 1:
        _join(result, _some(attempt, steps, deadline, progress))
    else:
        # The large questions of a program stand side by side in the list: dealt out like cards, each process gets some.
        children = [Child(partial(_told, attempt, steps[n::jobs], deadline)) for n in range(jobs)]
        _listen(children, result, progress)
    order = {step: number for number, step in enumerate(steps)}
    result.broken.sort(key=lambda b: order[b.step])
    result.seconds = time.monotonic() - started
    return result


Slice = tuple[list[Broken], int, int, str]
"""What came of some steps: what broke, how much was asked, how often the solver was, and why it ended early."""


def _some(attempt: _Attempt, steps: Sequence[str], deadline: float | None, progress: Callable[[str], None] | None) -> Slice:
    broken: list[Broken] = []
    stopped = ""
    try:
        for step in steps:
            if deadline is not None and time.monotonic() > deadline:
                stopped = "the time is up"
                break
            if progress is not None:
                progress(step)
            broken += attempt.step(step)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return broken, attempt.asked, attempt.queries, stopped


def _told(attempt: _Attempt, steps: Sequence[str], deadline: float | None, say: Say) -> Slice:
    return _some(attempt, steps, deadline, say)


def _join(result: Checked, part: Slice) -> None:
    broken, asked, queries, stopped = part
    result.broken += broken
    result.asked += asked
    result.queries += queries
    result.stopped = result.stopped or stopped


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
                        result.stopped = result.stopped or f"a process ended early: {news}"
                left.remove(child)
        except KeyboardInterrupt:
            for child in left:
                child.interrupt()


class _Attempt:
    def __init__(self, system: TransitionSystem, parts: Sequence[Part], patience: float) -> None:
        self._system = system
        self._parts = parts
        self._patience = patience
        self._axioms = [*axioms(system), *(a for rigid in system.rigids for a in rigid.witnesses)]
        self._changes = {action.name: Changes(action) for action in system.actions}
        self._programs = _programs(self._changes.values(), parts)
        self._matchers: dict[frozenset[int] | None, Matcher] = {}
        self._constants = list({x.get_id(): x for part in parts for x in part.variables}.values())
        self.asked = self.queries = 0

    def step(self, name: str) -> list[Broken]:
        """The lemmas that a step (an action, or `initially`) need not keep."""
        return self.initially() if name == INITIALLY else self.after(self._system.action(name))

    def initially(self) -> list[Broken]:
        """The lemmas that need not hold in an initial state."""
        matcher = Matcher(self._system, [*self._axioms, *initial_condition(self._system)], ())
        goals = [Goal(part, (), part.body, part.variables) for part in self._parts]
        self.asked += len(goals)
        matcher.seed(self._constants)
        return self._settled(INITIALLY, None, goals, [matcher])

    def after(self, action: Action) -> list[Broken]:
        """The lemmas that `action` need not keep."""
        changes = self._changes[action.name]
        program = self._programs.of_action(changes)
        groups: dict[frozenset[int] | None, list[Goal]] = {}
        for part in self._parts:
            theirs = self._programs.of_part(part)
            key = None if theirs is None else theirs | program
            for goal in changes.goals(part):
                groups.setdefault(key, []).append(goal)
        broken: list[Broken] = []
        for key, goals in groups.items():
            self.asked += len(goals)
            matchers = [self._matcher(key)] + ([] if key is None else [self._matcher(None)])
            broken += self._settled(action.name, action, goals, matchers)
        return broken

    def _matcher(self, key: frozenset[int] | None) -> Matcher:
        if key not in self._matchers:
            kept = [p for p in self._parts if key is None or (t := self._programs.of_part(p)) is None or t <= key]
            self._matchers[key] = Matcher(self._system, self._axioms, kept)
        return self._matchers[key]

    def _settled(self, step: str, action: Action | None, goals: list[Goal], matchers: Sequence[Matcher]) -> list[Broken]:
        params = [] if action is None else [p.const for p in action.params]
        left = goals
        for matcher in matchers:
            if action is not None:
                matcher.assume(action, self._constants)
            before = matcher.queries
            if left and not matcher.proves(left, params):
                left = [goal for goal in left if not matcher.proves([goal], params)] if len(left) > 1 else left
            else:
                left = []
            self.queries += matcher.queries - before
            if action is not None:
                matcher.forget()
            if not left:
                return []
        found: dict[str, Broken] = {}
        for goal in left:
            answer = matchers[-1].settles(action, goal, self._patience)
            self.queries += 1
            if answer != z3.unsat:
                refuted = bool(answer == z3.sat)
                known = found.get(goal.part.lemma)
                if known is None or (refuted and not known.refuted):
                    found[goal.part.lemma] = Broken(step, goal.part.lemma, refuted, matchers[-1].reason)
        return list(found.values())


class _Programs:
    """Which values of an enumeration belong together, since some action leads from one to the other: the places of one program."""

    def __init__(self, leader: Mapping[tuple[str, int], int]) -> None:
        self._leader = leader

    def of_part(self, part: Part) -> frozenset[int] | None:
        """The programs at whose places alone the part says something; None if it speaks of everybody."""
        if not part.places:
            return None
        return frozenset(
            self._leader[name, value] for name, values in part.places.values() for value in values if (name, value) in self._leader
        )

    def of_action(self, changes: Changes) -> frozenset[int]:
        return frozenset(self._leader[item] for item in changes.ends.items() if item in self._leader)


def _programs(changes: Iterable[Changes], parts: Iterable[Part]) -> _Programs:
    leader: dict[tuple[str, int], int] = {}
    names = {name for part in parts for name, _ in part.places.values()}

    def union(one: tuple[str, int], other: tuple[str, int]) -> None:
        a, b = leader.setdefault(one, len(leader)), leader.setdefault(other, len(leader) + 1)
        for key, value in list(leader.items()):
            if value == b:
                leader[key] = a

    for change in changes:
        for name, end in change.ends.items():
            if name in names:
                union((name, end), (name, change.starts.get(name, end)))
    return _Programs(leader)

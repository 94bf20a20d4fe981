"""Which statements of each thread some run executes; and what a scenario must say of those that none does.

A statement is named by its role, function and text, so that its name survives when lines move. Where a text stands several times
in a function, those after the first have a number. A statement that no run executes and that the scenario does not declare says
that the scenario, or the code, is not what its author thinks: no approval rests on it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from ...core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict
from ...model.scenario import Scenario
from ...model.system import Model

Lines = Mapping[str, Collection[int]]
"""Lines by file."""
_TOLD = 3
"""How many statements a reason names."""


@dataclass(frozen=True)
class Statement:
    """A statement of a thread's code; `number` counts those of the same text in its function."""

    role: str
    function: str
    file: str
    line: int
    text: str
    number: int = 1

    @property
    def key(self) -> str:
        """The name by which a scenario declares it."""
        return f"{self.role}: {self.function}: {self.text}" + (f" #{self.number}" if self.number > 1 else "")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class RoleCover:
    """The statements of a role: those that a run executed, and those that none did."""

    reached: tuple[Statement, ...]
    never: tuple[Statement, ...]


@dataclass(frozen=True)
class Before:
    """What a change is measured by: the statements that were executed without it, the names of those that were not, and its lines.

    A change has not to answer for what was never executed, nor here for its own lines, which are accounted for by themselves. What
    it keeps from being executed, it has to answer for.
    """

    reached: tuple[Statement, ...]
    never: frozenset[str]
    added: Lines
    removed: Lines

    def excuses(self, statement: Statement) -> bool:
        return statement.key in self.never or statement.line in self.added.get(statement.file, ())

    def lost(self, roles: Mapping[str, RoleCover]) -> list[Statement]:
        """What was executed, still stands in a function that the role runs, and is on no path any more."""
        left = [s for role in roles.values() for s in (*role.reached, *role.never)]
        texts = {(s.role, s.function, s.text) for s in left}
        functions = {(s.role, s.function) for s in left}
        gone = [s for s in self.reached if (s.role, s.function, s.text) not in texts and (s.role, s.function) in functions]
        return [s for s in gone if s.line not in self.removed.get(s.file, ())]


@dataclass(frozen=True)
class Coverage:
    """What was executed of a model.

    Args:
        exact: every state was visited, so that what was not executed cannot be.
        undeclared: statements that no run executed, and nobody said so.
        overdeclared: what the scenario declares, and some run executes or no thread has.
    """

    roles: Mapping[str, RoleCover]
    exact: bool
    undeclared: tuple[Statement, ...] = ()
    overdeclared: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What to declare: the undeclared statements by name, and a function of which nothing is executed as a whole."""
        partly = {(s.role, s.function) for role in self.roles.values() for s in role.reached}
        short = [f"{s.role}: {s.function}" if (s.role, s.function) not in partly else s.key for s in self.undeclared]
        return tuple(dict.fromkeys(short))

    def before(self, added: Lines, removed: Lines) -> Before:
        """What a change that adds and removes these lines is measured by."""
        roles = self.roles.values()
        return Before(tuple(s for r in roles for s in r.reached), frozenset(s.key for r in roles for s in r.never), added, removed)


def covered(model: Model, fired: Collection[str], *, exact: bool, before: Before | None = None) -> Coverage:
    """What the actions that fired have executed; `before` is what was executed without a change."""
    roles = {role: _of_role(model, role, fired) for role in model.software.graphs}
    missing = [s for role in roles.values() for s in role.never if before is None or not before.excuses(s)]
    missing += [] if before is None else before.lost(roles)
    declared = [d for group in model.scenario.unreachable for d in group.steps]
    undeclared = tuple(s for s in missing if not any(declares(d, s) for d in declared))
    idle = [s for role in roles.values() for s in role.never]
    over = tuple(d for d in declared if not any(declares(d, s) for s in idle)) if exact else ()
    return Coverage(roles, exact, undeclared if exact else (), over)


def _of_role(model: Model, role: str, fired: Collection[str]) -> RoleCover:
    software = model.software
    nodes = software.graphs[role].nodes
    # Statements are numbered whether or not a step passes them, so that a number stays when one becomes possible.
    known = {(n.at.file, n.at.line): n.at.function for n in nodes if n.at.text}
    ran: dict[tuple[str, int], bool] = {}
    for step in software.steps.values():
        if step.role == role:
            for place in {(nodes[n].at.file, nodes[n].at.line) for n in step.nodes if nodes[n].at.text}:
                ran[place] = ran.get(place, False) or step.action in fired
    seen: Counter[tuple[str, str, str]] = Counter()
    reached: list[Statement] = []
    never: list[Statement] = []
    for place, function in sorted(known.items()):
        text = software.lines.get(place, "")
        seen[place[0], function, text] += 1
        if place in ran:
            (reached if ran[place] else never).append(Statement(role, function, *place, text, seen[place[0], function, text]))
    return RoleCover(tuple(reached), tuple(never))


def declares(declared: str, statement: Statement) -> bool:
    """Whether what stands in a scenario means this statement."""
    whole = statement.key if declared.count(": ") > 1 else f"{statement.role}: {statement.function}"
    return _pattern(declared).fullmatch(whole) is not None


@cache
def _pattern(declared: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in declared.split("*")), re.DOTALL)


def with_coverage(verdict: Verdict, coverage: Coverage) -> Verdict:
    """The verdict, unless it is a good one and undeclared statements are never executed."""
    if not coverage.undeclared or not isinstance(verdict, HoldsUpTo | Proved):
        return verdict
    names = coverage.names
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    told = "; ".join(names[:_TOLD])
    reason = f"coverage: no run executes {told}{more}; declare it in [[unreachable]] of the scenario if that is right"
    why = Reason(ReasonKind.COVERAGE, reason)
    return Unknown(why, verdict.engine, verdict.depth if isinstance(verdict, HoldsUpTo) else -1, seconds=verdict.seconds)


def declaration(names: Iterable[str]) -> str:
    """TOML that declares these, for a reason that remains to be given."""
    steps = "".join(f"  {_quoted(name)},\n" for name in names)
    return f'[[unreachable]]\nbecause = "…"\nsteps = [\n{steps}]\n'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def declared_stuck(scenario: Scenario, roles: Iterable[str]) -> bool:
    """Whether a scenario says of each of these roles that it need not reach its end."""
    return all(role in scenario.stuck for role in roles)

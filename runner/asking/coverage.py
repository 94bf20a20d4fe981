"""Which statements of each thread some run executes; and what a scenario must say of those that none does.

A statement is named by its role, function and text, so that its name survives when lines move. Where a text stands several times
in a function, the statement before it tells which is meant: `!sp, then goto out`. A statement that no run executes and that the
scenario does not declare says that the scenario, or the code, is not what its author thinks: no approval rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ...core.stored.tomlfile import quoted
from ...core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict
from ...kernelc.lowering.cfg import Mark
from ...kernelc.sources.lines import Alignment
from ...model.scenario import Scenario
from ...model.system import Model

Lines = Mapping[str, Collection[int]]
"""Lines by file."""
_TOLD = 3
"""How many statements a reason names."""


@dataclass(frozen=True)
class Statement:
    """A statement of a thread's code.

    Args:
        number: counts those of the same text in its function.
        context: the text of the statements before it that tells it from those; empty if its own does.
    """

    role: str
    function: str
    file: str
    line: int
    text: str
    number: int = 1
    context: str = ""

    @property
    def key(self) -> str:
        """The name by which a scenario declares it."""
        return f"{self.role}: {self.function}: {f'{self.context}, then {self.text}' if self.context else self.numbered}"

    @property
    def numbered(self) -> str:
        """Its text with its number, by which scenarios used to declare it."""
        return self.text + (f" #{self.number}" if self.number > 1 else "")

    @property
    def place(self) -> tuple[str, str, int]:
        return self.role, self.file, self.line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class RoleCover:
    """The statements of a role: those that a run executed, and those that none did.

    Args:
        decided: where runs pass branches that are on no path, because each way there knows how they turn out, and have both outcomes.
    """

    reached: tuple[Statement, ...]
    never: tuple[Statement, ...]
    decided: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Before:
    """What a change is measured by: the statements that were executed without it, those that were not, and its lines.

    A change has not to answer for what was never executed, nor here for its own lines, which are accounted for by themselves. What
    it keeps from being executed, it has to answer for. A statement on a line that the change leaves as it is is the same statement,
    wherever that line has moved.
    """

    reached: tuple[Statement, ...]
    never: tuple[Statement, ...]
    added: Lines
    removed: Lines

    def _aligned(self, file: str) -> Alignment:
        return Alignment(self.removed.get(file, ()), self.added.get(file, ()))

    def excuses(self, statement: Statement) -> bool:
        line = self._aligned(statement.file).before(statement.line)
        return line is None or (statement.role, statement.file, line) in {s.place for s in self.never}

    def lost(self, roles: Mapping[str, RoleCover]) -> list[Statement]:
        """What was executed, still stands in a function that the role runs, and is on no path any more."""
        left = [s for role in roles.values() for s in (*role.reached, *role.never)]
        places = {s.place for s in left} | {(name, *place) for name, role in roles.items() for place in role.decided}
        functions = {(s.role, s.function) for s in left}
        found = []
        for s in self.reached:
            now = self._aligned(s.file).after(s.line)
            if now is not None and (s.role, s.file, now) not in places and (s.role, s.function) in functions:
                found.append(s)
        return found


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
        return Before(tuple(s for r in roles for s in r.reached), tuple(s for r in roles for s in r.never), added, removed)


def covered(model: Model, fired: Collection[str], *, exact: bool, before: Before | None = None) -> Coverage:
    """What the actions that fired have executed; `before` is what was executed without a change."""
    roles = {role: _of_role(model, role, fired) for role in model.software.graphs}
    missing = [s for role in roles.values() for s in role.never if before is None or not before.excuses(s)]
    missing += [] if before is None else before.lost(roles)
    declared = [d for group in model.scenario.unreachable for d in group.steps]
    undeclared = () if model.scenario.matrix else tuple(s for s in missing if not any(declares(d, s) for d in declared))
    idle = [s for role in roles.values() for s in role.never]
    over = tuple(d for d in declared if not any(declares(d, s) for s in idle)) if exact else ()
    return Coverage(roles, exact, undeclared if exact else (), over)


def _of_role(model: Model, role: str, fired: Collection[str]) -> RoleCover:
    software = model.software
    nodes = software.graphs[role].nodes
    # Statements are numbered whether or not a step passes them, so that a number stays when one becomes possible.
    known = {(n.at.file, n.at.line): n.at.function for n in nodes if n.at.text}
    ran: dict[tuple[str, int], bool] = {}
    outcomes: dict[tuple[str, int], set[bool]] = {}
    for step in software.steps.values():
        if step.role == role:
            # What only a mark shows (a branch that constants decide) is seen in versions with marks alone: it cannot be compared.
            passed = (nodes[n] for n in step.nodes if not isinstance(nodes[n], Mark))
            for place in {(node.at.file, node.at.line) for node in passed if node.at.text}:
                ran[place] = ran.get(place, False) or step.action in fired
            for node in (nodes[n] for n in step.nodes if step.action in fired):
                if isinstance(node, Mark) and node.decided:
                    outcomes.setdefault((node.at.file, node.at.line), set()).add(node.holds)
    bodies: dict[tuple[str, str], list[tuple[tuple[str, int], str]]] = {}
    for place, function in sorted(known.items()):
        bodies.setdefault((place[0], function), []).append((place, software.lines.get(place, "")))
    reached: list[Statement] = []
    never: list[Statement] = []
    for (_, function), body in bodies.items():
        texts = [text for _, text in body]
        for at, (place, text) in enumerate(body):
            if place in ran:
                named = Statement(role, function, *place, text, texts[: at + 1].count(text), _context(texts, at))
                (reached if ran[place] else never).append(named)
    return RoleCover(tuple(reached), tuple(never), frozenset(place for place, seen in outcomes.items() if len(seen) == 2))


def _context(texts: Sequence[str], at: int) -> str:
    """The texts before one that tell it from others of the same text: as few as will do."""
    back = 0
    alike = [n for n, text in enumerate(texts) if text == texts[at] and n != at]
    while alike and back < at:
        back += 1
        alike = [n for n in alike if n >= back and texts[n - back] == texts[at - back]]
    return ", then ".join(texts[at - back : at])


def declares(declared: str, statement: Statement) -> bool:
    """Whether what stands in a scenario means this statement."""
    function = f"{statement.role}: {statement.function}"
    names = (statement.key, f"{function}: {statement.numbered}") if declared.count(": ") > 1 else (function,)
    return any(_pattern(declared).fullmatch(name) is not None for name in names)


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
    steps = "".join(f"  {quoted(name)},\n" for name in names)
    return f'[[unreachable]]\nbecause = "…"\nsteps = [\n{steps}]\n'


def declared_stuck(scenario: Scenario, roles: Iterable[str]) -> bool:
    """Whether a scenario says of each of these roles that it need not reach its end."""
    return all(role in scenario.stuck for role in roles)

"""Paths through one graph, from one place where a thread may rest to the next: what will be the atomic steps.

A path is right movers and local code, at most one visible operation, then left movers and local code (Lipton). It is kept in
terms of the state before it: conditions, updates of shared state, values of locals, checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import z3

from ...core.errors import ModelError
from ...core.ground import negation
from ...core.rewrite import Rewriter, conjuncts, constant_index, folded, subterms
from ...core.shape import identity, is_false, is_true, names, shape, sort_name
from ...core.sorts import element_index
from ...core.system import Action, Param, Update, substitute_updates
from ..lowering.analyse import live_locals, locks_held
from ..lowering.cfg import THREAD, THREADS, Branch, Graph, Havoc, Local, Nop, Op, Refuse, Set
from ..lowering.library import Mover, Need
from .footprint import Footprint, Machine, Settled, of_action, of_operation

MOST_PATHS = 4096
_EFFORT = 200_000
"""How much the solver may think (its own measure) about whether a path can be taken at all. What it does not know is kept."""


@dataclass
class Path:
    """A path, in terms of the state before it; `node` is where it ends.

    Args:
        env: the values of locals.
        conditions: what must hold for the thread to go this way.
        checks: assertions met on the way, with their labels.
        passed: the visible operation is behind us.
        nodes: all nodes on the way; `ops` the operations among them, with the number of the effect that each had; `movers`, how each
            of these commuted.
        needs: what was taken for granted on the way, with the number of the node.
        facts: what the conditions decide about terms: pairs of a term and its value, by Z3's identity of the term.
        now: how the operation commutes at which the path stands.
        known: what was made of it, by where it stands among the steps of all roles.
    """

    start: int
    node: int
    env: dict[Local, z3.ExprRef]
    conditions: tuple[z3.BoolRef, ...] = ()
    updates: tuple[Update, ...] = ()
    choices: tuple[Param, ...] = ()
    checks: tuple[tuple[str, z3.BoolRef], ...] = ()
    labels: tuple[str, ...] = ()
    passed: bool = False
    nodes: tuple[int, ...] = ()
    ops: tuple[tuple[int, int], ...] = ()
    movers: tuple[Mover, ...] = ()
    needs: tuple[tuple[int, Need], ...] = ()
    facts: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = field(default_factory=dict)
    now: Mover | None = None
    known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _decided: Rewriter | None = field(default=None, init=False, repr=False, compare=False)  # so that no copy of a path inherits it

    def fork(self) -> Path:
        """A copy that goes its own way."""
        return replace(self, env=dict(self.env), facts=dict(self.facts))

    def before(self, term: z3.ExprRef) -> z3.ExprRef:
        """A term of the graph at the end of the path, said of the state before the path."""
        # Updates first: they already speak of the state before, and so do the locals' values that are put in next.
        named = names(term)
        moved = substitute_updates(term, [update for update in self.updates if update.var.name in named])
        known = [(local.const, value) for local, value in self.env.items() if "%" + local.path in named]
        replaced = Rewriter(known)(moved) if known else folded(moved)
        if not self.facts:
            return replaced
        if self._decided is None:  # it remembers what it has rewritten, until the path learns more
            self._decided = Rewriter(self.facts.values())
        return self._decided(replaced)

    def assume(self, condition: z3.BoolRef) -> bool:
        """Go on only if `condition` holds; False if it contradicts what is known."""
        if is_true(condition):
            return True
        if is_false(condition):
            return False
        self.conditions += (condition,)
        return all(self._learn(part) for part in conjuncts(condition))

    def _learn(self, part: z3.BoolRef) -> bool:
        known = self.facts.get(identity(part))
        if known is not None and is_false(known[1]):
            return False
        self._fact(part, z3.BoolVal(True))
        self._fact(negation(part), z3.BoolVal(False))
        if z3.is_eq(part):
            left, right = part.children()
            for one, other in ((left, right), (right, left)):
                if constant_index(other) is not None and constant_index(one) is None:
                    self._fact(one, other)
        return True

    def _fact(self, term: z3.ExprRef, value: z3.ExprRef) -> None:
        self.facts[identity(term)] = (term, value)
        self._decided = None


Movers = Mapping[int, tuple[Mover, z3.BoolRef | None]]


class Paths:
    """The paths of one graph.

    Args:
        movers: how the operation at each node commutes, and where; None says everywhere.
        merge: merge movers; without it every operation is a step of its own.

    Raises:
        Refusal: a call without a meaning can be reached.
        ModelError: there are too many paths, or a node leads nowhere.
    """

    def __init__(self, graph: Graph, movers: Movers, merge: bool) -> None:
        graph.check_closed()
        self.graph = graph
        self.cuts: list[int] = [graph.entry]
        self.paths: list[Path] = []
        self.stored: set[Local] = set()
        self._live = live_locals(graph)
        self._held = locks_held(graph)
        self._movers = movers
        self._merge = merge
        self._terms: dict[Local, z3.ExprRef] = {}
        self.relied: set[str] = set()
        todo = [graph.entry]
        while todo:
            start = todo.pop()
            for path in self._from(start):
                if path.node not in self.cuts:
                    self.cuts.append(path.node)
                    todo.append(path.node)
                self.paths.append(path)
                if len(self.paths) > MOST_PATHS:
                    at = graph.nodes[start].at
                    what = f"{graph.role} has more than {MOST_PATHS} paths between two steps, the last ones from {at}"
                    raise ModelError(f"{what}: split a function, or add a visible step")

    def live(self, node: int) -> frozenset[Local]:
        """The locals that matter to a thread that rests at `node`: at the end, none."""
        return frozenset() if node == self.graph.exit else self._live.get(node, frozenset())

    def stored_term(self, local: Local) -> z3.ExprRef:
        """The value of a local in the state before a step."""
        if local not in self._terms:
            self._terms[local] = z3.Function(f"{self.graph.role}.{local.path}", THREADS.z3, local.kind.z3)(THREAD)
        return self._terms[local]

    def _ways(self, path: Path) -> list[Path]:
        """The path with `now` known: where a state condition decides how the next operation commutes, one path for each answer."""
        node = self.graph.nodes[path.node]
        path.now = None
        if not isinstance(node, Op):
            return [path]
        mover, when = self._movers[path.node]
        condition = z3.BoolVal(True) if when is None else path.before(when)
        if not self._merge or is_true(condition) or is_false(condition):
            path.now = "none" if is_false(condition) else mover
            return [path]
        path.now = "none"
        alone = self._rests(path)
        path.now = mover
        if alone and self._rests(path):
            return [path]
        other = path.fork()
        other.now = "none"
        return [way for way, holds in ((path, condition), (other, negation(condition))) if way.assume(holds)]

    def _from(self, start: int) -> Iterator[Path]:
        """Every possible path that begins at `start`."""
        if start == self.graph.exit:
            return
        self.stored |= self.live(start)
        todo = [Path(start, start, {local: self.stored_term(local) for local in self.live(start)})]
        while todo:
            for path in self._ways(todo.pop()):
                if not self._rests(path):
                    todo += self._after(path)
                elif is_possible(path):
                    yield path

    def _after(self, path: Path) -> list[Path]:
        """The path led past the node where it is, once for each way that it can go on."""
        node = self.graph.nodes[path.node]
        path.nodes += (path.node,)
        match node:
            case Branch():
                return self._branch(node, path)
            case Op():
                return self._op(node, path)
            case Nop():
                pass
            case Set(values=values):
                needed = self.live(node.next)
                path.env |= {local: path.before(value) for local, value in values.items() if local in needed}
            case Havoc(locals=held):
                for local in held:
                    if local in self.live(node.next):
                        choice = Param(f"{local.path}@{path.node}", local.kind)
                        path.choices += (choice,)
                        path.env[local] = choice.const
            case Refuse(refusal=refusal):
                if is_possible(path):
                    raise refusal if refusal is not None else ModelError(f"{node.what} can be reached at {node.at}")
                return []
            case _:
                raise AssertionError(f"unknown kind of node {node}")
        path.node = node.next
        return [path]

    def _rests(self, path: Path) -> bool:
        """Whether the step ends here: at the end, where it has been before, or where other threads may come in between."""
        node = self.graph.nodes[path.node]
        been = path.nodes.count(path.node)
        if path.node == self.graph.exit or been > (1 if isinstance(node, Nop) else 0):
            return True  # joins are passed once more, so that all ways around a loop end at one place
        if not isinstance(node, Op) or not path.ops:
            return False
        if not self._merge:
            return True
        if _can_block(node):
            if path.checks:
                return True  # what blocks must not hold back an assertion before it that may fail
            if node.mover == "local" and path.updates:
                return True  # nor what has been done before it
            if path.now == "right" and any(self._acquires(number) for number, _ in path.ops):
                return True  # two locks in one step would hide that two threads can wait for each other
        match path.now:
            case "wait":
                # Nobody may be shown as not yet holding what it holds while it waits.
                return any(mover != "local" for mover in path.movers)
            case "right" | "none":
                return path.passed
            case _:
                return False

    def _acquires(self, number: int) -> bool:
        node = self.graph.nodes[number]
        return isinstance(node, Op) and bool(node.acquires)

    def _branch(self, node: Branch, path: Path) -> list[Path]:
        condition = path.before(node.condition)
        if node.next == node.other:
            path.node = node.next
            return [path]
        ways = ((path, condition, node.next), (path.fork(), negation(condition), node.other))
        result = []
        for way, holds, target in ways:
            if way.assume(holds):
                way.node = target
                result.append(way)
        return result

    def _op(self, node: Op, path: Path) -> list[Path]:
        mover, result = path.now, []
        assert mover is not None
        if self._merge and mover != "none":
            self.relied |= {need.topic for effect in node.effects for need in effect.needs if need.relies}
        for which, (effect, answers) in enumerate(zip(node.effects, node.results, strict=True)):
            way = path.fork()
            if not way.assume(way.before(effect.guard)):
                continue
            for check in effect.checks:
                holds = way.before(check.holds)
                if not is_true(holds):
                    way.checks += ((f"{check.label} at {node.at}", holds),)
            for need in (*effect.needs, *self._released(path.node)):
                holds = way.before(need.holds)
                if not is_true(holds):
                    way.needs += ((path.node, replace(need, holds=holds)),)
            updates = {u.var.name: Update(u.var, u.variables, way.before(u.value)) for u in effect.updates}
            needed = self.live(node.after(which))
            new = {local: way.before(value) for local, value in answers.items() if local in needed}
            way.updates = tuple(({u.var.name: u for u in way.updates} | updates).values())
            way.env |= new
            way.choices += effect.choices
            way.passed = way.passed or mover in ("none", "left")
            way.ops += ((path.node, which),)
            way.movers += (mover,)
            way.labels += (effect.label or node.at.text,)
            way.node = node.after(which)
            result.append(way)
        return result

    def _released(self, number: int) -> Iterator[Need]:
        """What a release of something that is one's own needs: that it was acquired on every way here."""
        node = self.graph.nodes[number]
        assert isinstance(node, Op)
        for lock in node.releases:
            topic, _, mode = lock.rpartition(":")
            if mode == "own":
                yield Need(topic, f"{node.name}() by a thread that has not begun it", z3.BoolVal(lock in self._held[number]))


def _can_block(node: Op) -> bool:
    """Whether it may have to wait: several effects, or choices, leave some way to go on, unless the intrinsic says otherwise."""
    if any(is_true(effect.guard) for effect in node.effects):
        return False
    return node.blocks or (len(node.effects) == 1 and not node.effects[0].choices)


def is_possible(path: Path) -> bool:
    """False if the conditions of a path contradict each other, whatever the state is."""
    return len(path.conditions) < 2 or satisfiable(path.conditions)


def satisfiable(conditions: Sequence[z3.BoolRef]) -> bool:
    """False if they contradict each other, whatever the state is; what the solver does not know in time is taken to be possible."""
    key = tuple(identity(condition) for condition in conditions)
    if key not in _answered:
        if len(_answered) > _MOST_ANSWERS:
            _answered.clear()
        _answered[key] = tuple(conditions), _satisfiable(conditions)
    return _answered[key][1]


# By Z3's identities of the conditions, which are kept with the answer: versions and scenarios of one kernel share most of their paths.
_answered: dict[tuple[int, ...], tuple[tuple[z3.BoolRef, ...], bool]] = {}
_MOST_ANSWERS = 50_000


def _satisfiable(conditions: Sequence[z3.BoolRef]) -> bool:
    solver = z3.SimpleSolver()
    solver.set("rlimit", _EFFORT)
    solver.add(*conditions)
    elements: dict[str, dict[int, z3.ExprRef]] = {}
    for condition in conditions:
        for term in subterms(condition):
            if shape(term).operator >= 0 and element_index(term) is not None:
                elements.setdefault(sort_name(term), {})[identity(term)] = term
    solver.add(*(z3.Distinct(*several.values()) for several in elements.values() if len(several) > 1))
    return bool(solver.check() != z3.unsat)


def paths_of(graph: Graph, others: Others, merge: bool, kind: type[Paths]) -> Paths:
    """The paths of one graph among these others: of a final graph made once for all among which its operations commute alike.

    Raises:
        Refusal, ModelError: as `Paths`.
    """
    movers = others.movers(graph)
    if not graph.final:
        return kind(graph, movers, merge)
    key = kind, merge, tuple((n, mover, None if when is None else identity(when)) for n, (mover, when) in movers.items())
    if key not in graph.known:
        graph.known[key] = kind(graph, movers, merge)  # which keeps the terms that are known here by their identity
    found: Paths = graph.known[key]
    return found


class Others:
    """What may come between two operations of one role: other threads' operations, and what the machine does.

    Args:
        role: whose operations are asked about.
        graphs: one per role.
        threads: the role of each thread: with two of a role, the role's own operations are another thread's, too.
        machine: what the threads run in.
        settled: what nothing of all this ever changes.
    """

    def __init__(self, role: str, known: Known) -> None:
        self._known = known
        self._writers: dict[str, set[frozenset[str]]] = {}
        self._operations: dict[tuple[Footprint, frozenset[str], frozenset[str]], None] = {}
        for other, found in known.operations.items():
            if other == role and known.threads.count(role) < 2:
                continue
            for node, locks in found:
                for group in node.writes:
                    self._writers.setdefault(group, set()).add(locks)
                self._operations[known.footprint(node), locks, _topics(node, relies=True)] = None

    def movers(self, graph: Graph) -> dict[int, tuple[Mover, z3.BoolRef | None]]:
        """How the operation at each node commutes that can be reached, and where; None says everywhere."""
        found = locks_held(graph)
        return {n: self.mover(node, locks) for n, locks in found.items() if isinstance(node := graph.nodes[n], Op)}

    def mover(self, node: Op, held: frozenset[str]) -> tuple[Mover, z3.BoolRef | None]:
        """How an operation commutes where the locks `held` are held, and under which condition; None says under any.

        What changes shared cells, or is declared to merge on one side alone, commutes as it is argued (and tested); what reads alone is
        judged by what others write: it is local if locks, or its condition, keep all of it from changing.
        """
        mine = self._known.footprint(node)
        when = None if node.when is None else self._known.settled(node.when)
        if node.mover == "none":
            theirs = [locks for group in node.reads for locks in self._writers.get(group, ())]
            if not node.reads or node.writes or mine.writes or not all(_exclude(held, locks) for locks in theirs):
                return "none", None
        elif node.mover != "local" or mine.writes:
            return node.mover, when
        needs = _topics(node)  # what relies on the same is about something else then: another table page
        by_threads = any(
            mine.disturbed_by(theirs) and not _exclude(held, locks) and not topics & needs for theirs, locks, topics in self._operations
        )
        if not by_threads and not any(mine.disturbed_by(theirs) and not held & locks for theirs, locks in self._known.machine):
            return "local", None
        if when is None or (by_threads and node.mover == "none"):
            return "none", None
        return "local", when


class Known:
    """What is known of all operations, whoever asks.

    Args:
        graphs: one per role.
        threads: the role of each thread, by thread number.
        machine: what the threads run in.
    """

    def __init__(self, graphs: Sequence[Graph], threads: Sequence[str], machine: Machine) -> None:
        self.threads = list(threads)
        self._state = {var.name: var for var in machine.state}
        self._footprints: dict[int, dict[int, Footprint]] = {}
        self.operations: dict[str, list[tuple[Op, frozenset[str]]]] = {}
        named = "footprints", frozenset(self._state)
        for graph in graphs:
            found = self.operations.setdefault(graph.role, [])
            kept: dict[int, Footprint] = graph.known.setdefault(named, {}) if graph.final else {}
            for number, locks in locks_held(graph).items():
                node = graph.nodes[number]
                if isinstance(node, Op):
                    found.append((node, locks))
                    self._footprints[id(node)] = kept
        self.settled = Settled(machine, (node for found in self.operations.values() for node, _ in found))
        takes = {lock: node for found in self.operations.values() for node, _ in found for lock in node.acquires}
        self.machine = tuple(
            (of_action(action, self._state), frozenset(lock for lock, node in takes.items() if _keeps_out(node, action)))
            for action in self.settled.actions
        )

    def footprint(self, node: Op) -> Footprint:
        """What an operation touches, of what anybody ever changes."""
        kept = self._footprints[id(node)]
        if node.number not in kept:
            kept[node.number] = of_operation(node, self._state)
        return kept[node.number]


def _topics(node: Op, *, relies: bool = False) -> frozenset[str]:
    """What an operation needs something of; with `relies`, only where its merging rests on it."""
    return frozenset(need.topic for effect in node.effects for need in effect.needs if need.relies or not relies)


def _keeps_out(node: Op, action: Action) -> bool:
    """Whether the machine's action cannot happen where `node` has just taken its lock."""
    return not any(satisfiable((substitute_updates(action.guard, effect.updates),)) for effect in node.effects)


def _exclude(mine: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether two threads that hold these locks cannot both be where they are: both hold one lock, at least one for writing."""
    for one, other in ((mine, theirs), (theirs, mine)):
        for lock in one:
            name, _, mode = lock.rpartition(":")
            if mode == "write" and (lock in other or f"{name}:read" in other):
                return True
    return False

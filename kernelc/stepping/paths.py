"""Paths through one graph, from one place where a thread may rest to the next: what will be the atomic steps.

A path is right movers and local code, at most one visible operation, then left movers and local code (Lipton). It is kept in
terms of the state before it: conditions, updates of shared state, values of locals, checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import z3

from ...core.errors import ModelError
from ...core.ground import negation
from ...core.rewrite import Rewriter, conjuncts, constant_index, subterms
from ...core.shape import is_false, is_true, once_a_term
from ...core.sorts import element_index
from ...core.system import Param, Update, substitute_updates
from ..lowering.analyse import live_locals, locks_held
from ..lowering.cfg import THREAD, THREADS, Branch, Graph, Havoc, Local, Nop, Op, Refuse, Set
from ..lowering.library import Mover

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
        nodes: all nodes on the way; `ops` the operations among them, with the number of the effect that each had.
        facts: what the conditions decide about terms: pairs of a term and its value, by Z3's identity of the term.
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
    facts: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = field(default_factory=dict)
    _decided: Rewriter | None = field(default=None, init=False, repr=False, compare=False)  # so that no copy of a path inherits it

    def fork(self) -> Path:
        """A copy that goes its own way."""
        return replace(self, env=dict(self.env), facts=dict(self.facts))

    def before(self, term: z3.ExprRef) -> z3.ExprRef:
        """A term of the graph at the end of the path, said of the state before the path."""
        # Updates first: they already speak of the state before, and so do the locals' values that are put in next.
        named = _names_in(term)
        moved = substitute_updates(term, [update for update in self.updates if update.var.name in named])
        replaced = Rewriter((local.const, value) for local, value in self.env.items() if "%" + local.path in named)(moved)
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
        known = self.facts.get(part.get_id())
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
        self.facts[term.get_id()] = (term, value)
        self._decided = None


def _look_for_names(term: z3.ExprRef) -> frozenset[str]:
    apps = (t for t in subterms(term) if z3.is_app(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED)
    return frozenset(t.decl().name() for t in apps)


_names_in = once_a_term(_look_for_names, 400_000)
"""The names of all functions and constants in a term that Z3 does not know by itself."""


class Paths:
    """The paths of one graph.

    Args:
        writers: for each group of state, the locks that each other thread's writer of it holds.
        merge: merge movers; without it every operation is a step of its own.

    Raises:
        Refusal: a call without a meaning can be reached.
        ModelError: there are too many paths, or a node leads nowhere.
    """

    def __init__(self, graph: Graph, writers: Mapping[str, Sequence[frozenset[str]]], merge: bool) -> None:
        graph.check_closed()
        self.graph = graph
        self.cuts: list[int] = [graph.entry]
        self.paths: list[Path] = []
        self.stored: set[Local] = set()
        self._live = live_locals(graph)
        self._held = locks_held(graph)
        self._writers = writers
        self._merge = merge
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
        return z3.Function(f"{self.graph.role}.{local.path}", THREADS.z3, local.kind.z3)(THREAD)

    def mover(self, number: int) -> Mover:
        """How an operation commutes here: a read is local where locks keep every writer of what it reads from coming between."""
        node = self.graph.nodes[number]
        assert isinstance(node, Op)
        if node.mover == "none" and node.reads and not node.writes:
            theirs = [locks for group in node.reads for locks in self._writers.get(group, ())]
            if all(_exclude(self._held[number], locks) for locks in theirs):
                return "local"
        return node.mover

    def _from(self, start: int) -> Iterator[Path]:
        """Every possible path that begins at `start`."""
        if start == self.graph.exit:
            return
        self.stored |= self.live(start)
        todo = [Path(start, start, {local: self.stored_term(local) for local in self.live(start)})]
        while todo:
            path = todo.pop()
            if self._rests(path):
                if is_possible(path):
                    yield path
                continue
            todo += self._after(path)

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
        if not self._merge or (_can_block(node) and path.checks):
            return True  # what blocks must not hold back an assertion before it that may fail
        match self.mover(path.node):
            case "local" | "left":
                return False
            case "wait":
                # Nobody may be shown as not yet holding what it holds while it waits.
                return any(self.mover(number) != "local" for number, _ in path.ops)
            case "right" | "none":
                return path.passed

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
        mover, result = self.mover(path.node), []
        for which, (effect, answers) in enumerate(zip(node.effects, node.results, strict=True)):
            way = path.fork()
            if not way.assume(way.before(effect.guard)):
                continue
            for check in effect.checks:
                holds = way.before(check.holds)
                if not is_true(holds):
                    way.checks += ((f"{check.label} at {node.at}", holds),)
            updates = {u.var.name: Update(u.var, u.variables, way.before(u.value)) for u in effect.updates}
            needed = self.live(node.after(which))
            new = {local: way.before(value) for local, value in answers.items() if local in needed}
            way.updates = tuple(({u.var.name: u for u in way.updates} | updates).values())
            way.env |= new
            way.choices += effect.choices
            way.passed = way.passed or mover in ("none", "left")
            way.ops += ((path.node, which),)
            way.labels += (effect.label or node.at.text,)
            way.node = node.after(which)
            result.append(way)
        return result


def _can_block(node: Op) -> bool:
    return node.mover in ("right", "wait") and not any(is_true(effect.guard) for effect in node.effects)


def is_possible(path: Path) -> bool:
    """False if the conditions of a path contradict each other, whatever the state is."""
    return len(path.conditions) < 2 or satisfiable(path.conditions)


def satisfiable(conditions: Sequence[z3.BoolRef]) -> bool:
    """False if they contradict each other, whatever the state is; what the solver does not know in time is taken to be possible."""
    solver = z3.SimpleSolver()
    solver.set("rlimit", _EFFORT)
    solver.add(*conditions)
    elements: dict[str, dict[int, z3.ExprRef]] = {}
    for condition in conditions:
        for term in subterms(condition):
            if z3.is_app(term) and element_index(term) is not None:
                elements.setdefault(term.sort().name(), {})[term.get_id()] = term
    solver.add(*(z3.Distinct(*several.values()) for several in elements.values() if len(several) > 1))
    return bool(solver.check() != z3.unsat)


def other_writers(
    graphs: Sequence[Graph], threads: Sequence[str], unprotected: frozenset[str]
) -> dict[str, dict[str, list[frozenset[str]]]]:
    """For each role and group of state, the locks that each write by another thread happens under.

    Args:
        threads: the role of each thread: with two of a role, the role's own writes are another thread's, too.
        unprotected: groups that the machine itself writes at any time, under no lock.
    """
    found: list[tuple[str, str, frozenset[str]]] = []
    for graph in graphs:
        for number, locks in locks_held(graph).items():
            node = graph.nodes[number]
            if isinstance(node, Op):
                found += [(graph.role, group, locks) for group in node.writes]
    result: dict[str, dict[str, list[frozenset[str]]]] = {}
    for graph in graphs:
        mine = result.setdefault(graph.role, {group: [frozenset()] for group in unprotected})
        for role, group, locks in found:
            if role != graph.role or list(threads).count(role) > 1:
                mine.setdefault(group, []).append(locks)
    return result


def _exclude(mine: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether two threads that hold these locks cannot both be where they are: both hold one lock, at least one for writing."""
    for one, other in ((mine, theirs), (theirs, mine)):
        for lock in one:
            name, _, mode = lock.rpartition(":")
            if mode == "write" and (lock in other or f"{name}:read" in other):
                return True
    return False

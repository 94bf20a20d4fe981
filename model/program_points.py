"""Where threads stand, said by what is known there: locks held, operations done since others, what every way on still does.

Lemmas speak of places in kernel C through this file, never by line or by name, so that they can be asked of a changed text, too. What is
said of a place is a claim for the solver to check; nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import z3

from ..core.ground import conjunction, disjunction
from ..core.rewrite import Rewriter, conjuncts, constant_index
from ..core.shape import identity, once_a_term, subterms
from ..core.sorts import Kind, StateVar
from ..core.system import Action
from ..kernelc.lowering.analyse import live_locals, locks_held
from ..kernelc.lowering.cfg import THREAD, THREADS, Branch, Graph, Havoc, Local, Op, Set
from ..kernelc.stepping.steps import Location, Software

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
_ROUNDS = 40
"""How often a weakest precondition is refined before it is taken to be false, which only makes a lemma say more."""


Outcome = Callable[[Op, int], bool]
"""Asked of an operation and the number of one of its effects."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation by its intrinsic's name; with `effect`, only that one of its outcomes."""

    name: str
    effect: int | None = None


@dataclass(frozen=True)
class Places:
    """The places of all roles of a compiled program."""

    software: Software

    @cached_property
    def _live(self) -> dict[str, dict[int, frozenset[Local]]]:
        return {role: live_locals(graph) for role, graph in self.software.graphs.items()}

    @cached_property
    def _held(self) -> dict[str, dict[int, frozenset[str]]]:
        return {role: locks_held(graph) for role, graph in self.software.graphs.items()}

    @property
    def locks(self) -> tuple[str, ...]:
        """The locks that some thread holds somewhere, each as `name:read` or `name:write`."""
        return tuple(sorted({lock for held in self._held.values() for here in held.values() for lock in here}))

    def where(self, wanted: Callable[[Location], bool]) -> tuple[Location, ...]:
        """The places that are `wanted`."""
        return tuple(place for place in self.software.locations if wanted(place))

    def at(self, thread: z3.ExprRef, places: Sequence[Location]) -> z3.BoolRef:
        """Whether `thread` rests at one of `places`."""
        pc = self.software.pc(thread)
        return disjunction([pc == self.software.at(place.name) for place in places])

    def holding(self, *locks: str) -> tuple[Location, ...]:
        """The places at which one of `locks` (`name:read` or `name:write`) is held."""
        return self.where(lambda x: bool(self._held[x.role].get(x.node, frozenset()) & set(locks)))

    def after(self, *begins: Edge, until: Sequence[Edge] = ()) -> tuple[Location, ...]:
        """The places that a thread can only have come to with one of `begins` behind it, and none of `until` since."""
        return self.where(lambda x: x.node in self._after(x.role, begins, tuple(until)))

    def _after(self, role: str, begins: Sequence[Edge], until: Sequence[Edge]) -> frozenset[int]:
        graph = self.software.graphs[role]
        known: dict[int, bool] = {graph.entry: False}
        todo = [graph.entry]
        while todo:
            number = todo.pop()
            for follower, edge in _edges(graph, number):
                value = known[number]
                if edge is not None:
                    value = (value and not _among(edge, until)) or _among(edge, begins)
                merged = value and known.get(follower, True)
                if known.get(follower) != merged:
                    known[follower] = merged
                    todo.append(follower)
        return frozenset(number for number, value in known.items() if value)

    def passes(self, role: str, name: str) -> bool:
        """Whether the program of `role` has an operation `name`."""
        graph = self.software.graphs[role]
        return any(isinstance(graph.nodes[n], Op) and graph.nodes[n].name == name for n in graph.reachable())  # type: ignore[attr-defined]

    def local(self, place: Location, ending: str) -> StateVar | None:
        """The local of that place's role whose path ends so and that matters there; None if there is none such.

        Several copies may be live at once; they hold the same value (see `copies`), and the shortest name stands for them.
        """
        live = [x for x in self._live[place.role].get(place.node, ()) if place.node != self.software.graphs[place.role].exit]
        found = sorted((x for x in live if _ends(x.path, ending)), key=lambda x: (len(x.path), x.path))
        return self.software.local_vars.get((place.role, found[0].path)) if found else None

    def next_operation(self, place: Location) -> str:
        """The first visible operation that a thread at `place` does, by its intrinsic's name; empty where that depends on the way."""
        return _next_operation(self.software.graphs[place.role], place.node)

    def locals_of(self, place: Location, kind: Kind) -> tuple[StateVar, ...]:
        """Every local of a kind that matters at a place."""
        if place.node == self.software.graphs[place.role].exit:
            return ()
        live = sorted(self._live[place.role].get(place.node, ()), key=lambda x: x.path)
        return tuple(self.software.local_vars[place.role, x.path] for x in live if x.kind == kind)

    def each(self, thread: z3.ExprRef, places: Sequence[Location], says: Callable[[Location], z3.BoolRef | None]) -> z3.BoolRef:
        """At each of `places`, what `says` says of it; None says nothing."""
        parts: dict[int, tuple[z3.BoolRef, list[Location]]] = {}
        for place in places:
            term = says(place)
            if term is not None and not z3.is_true(term):
                parts.setdefault(identity(term), (term, []))[1].append(place)
        return conjunction([z3.Implies(self.at(thread, here), term) for term, here in parts.values()])

    def sure(self, role: str, does: Outcome, undoes: Outcome) -> dict[int, z3.BoolRef]:
        """For each node, the condition under which every way on does what `does` says before what `undoes` says.

        It speaks of the thread's locals and, where the program asks for shared state, of that. It is the weakest precondition, refined
        until nothing changes.
        """
        graph = self.software.graphs[role]
        numbers = _backwards(graph)
        known: dict[int, z3.BoolRef] = dict.fromkeys(numbers, TRUE)
        known[graph.exit] = FALSE
        asked: dict[int, list[z3.BoolRef]] = {}  # what was known of the nodes behind one when it was asked last
        for _ in range(_ROUNDS):
            changed = False
            for n in numbers:
                behind = [known[m] for m in graph.nodes[n].successors() if m >= 0]
                if n == graph.exit or (n in asked and all(map(z3.ExprRef.eq, behind, asked[n]))):
                    continue
                asked[n] = behind
                term = z3.simplify(_before(graph, n, known, does, undoes))
                if not term.eq(known[n]) and not _equivalent(term, known[n]):
                    known[n], changed = _shorter(term), True
            if not changed:
                stored = self._stored(role)
                return {n: stored(term) for n, term in known.items()}
        return dict.fromkeys(numbers, FALSE)

    def _stored(self, role: str) -> Rewriter:
        """A condition of a graph, said of the state: locals are functions of the thread."""
        locals_ = ((path, var) for (owner, path), var in self.software.local_vars.items() if owner == role)
        return Rewriter((var.kind.const("%" + path), var(THREAD)) for path, var in locals_)

    @cached_property
    def copies(self) -> Mapping[str, tuple[tuple[StateVar, StateVar], ...]]:
        """By place, pairs of locals that hold the same value there, whatever the thread did before."""
        return _copies(self)

    @cached_property
    def constants(self) -> Mapping[str, tuple[tuple[StateVar, z3.ExprRef], ...]]:
        """By place, locals that have one value there, whatever the thread did before."""
        software = self.software
        names = {(p.role, p.node): p.name for p in software.locations}
        values: dict[tuple[str, str], z3.ExprRef | None] = {}
        for action in software.actions:
            there = names[software.steps[action.name].role, software.steps[action.name].end]
            after = _after(action, {v.name for v in _live_vars(self, next(p for p in software.locations if p.name == there))})
            place = next(p for p in software.locations if p.name == there)
            for var in _live_vars(self, place):
                value = after.get(var.name)
                known = values.get((there, var.name), value)
                same = value is not None and known is not None and value.eq(known) and constant_index(value) is not None
                values[there, var.name] = value if same else None
        result: dict[str, list[tuple[StateVar, z3.ExprRef]]] = {p.name: [] for p in software.locations}
        for place in software.locations:
            for var in _live_vars(self, place):
                value = values.get((place.name, var.name))
                if value is not None:
                    result[place.name].append((var, value))
        return {name: tuple(found) for name, found in result.items()}

    @cached_property
    def branches(self) -> Mapping[str, tuple[z3.BoolRef, ...]]:
        """By place, what the branches on every way there have said of locals that still have the same value (of thread `THREAD`)."""
        software = self.software
        names = {(p.role, p.node): p.name for p in software.locations}
        live = {p.name: {v.name: v for v in _live_vars(self, p)} for p in software.locations}
        steps = [(a, names[s.role, s.start], names[s.role, s.end]) for a in software.actions for s in (software.steps[a.name],)]
        said = {a.name: _said(a, live[there]) for a, _, there in steps}
        known: dict[str, dict[int, z3.BoolRef] | None] = dict.fromkeys(live)
        for place in software.locations:
            if place.node == software.graphs[place.role].entry:
                known[place.name] = {}
        changed = True
        while changed:
            changed = False
            for action, here, there in steps:
                before = known[here]
                if before is None:
                    continue
                kept = {k: f for k, f in before.items() if _stays(f, action, live[there])}
                new = {**kept, **said[action.name]}
                old = known[there]
                merged = new if old is None else {k: f for k, f in old.items() if k in new}
                if old is None or len(merged) != len(old):
                    known[there], changed = merged, True
        return {name: tuple(facts.values()) for name, facts in ((n, k or {}) for n, k in known.items())}


def _said(action: Action, live: Mapping[str, StateVar]) -> dict[int, z3.BoolRef]:
    """What a step's conditions say of the locals that matter after it, in terms of their values then."""
    after = _after(action, set(live))
    back = Rewriter((value, live[name](THREAD)) for name, value in after.items() if constant_index(value) is None)
    found: dict[int, z3.BoolRef] = {}
    for part in conjuncts(action.guard):
        fact = part if _speaks_of(part, live, after) else back(part)
        if _speaks_of(fact, live, {}) and not z3.is_true(fact) and (fact is not part or _speaks_of(part, live, after)):
            found[identity(fact)] = fact
    return found


def _speaks_of(term: z3.ExprRef, live: Mapping[str, StateVar], changed: Mapping[str, z3.ExprRef]) -> bool:
    """Whether a term is about locals alone, of which none is among `changed`."""
    names = set()
    for node in subterms(term):
        if z3.is_quantifier(node) or z3.is_var(node):
            return False
        if z3.is_app(node) and node.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            if node.num_args() == 0:
                if not node.eq(THREAD) and constant_index(node) is None:
                    return False
            else:
                names.add(node.decl().name())
    return bool(names) and names <= live.keys() and not names & changed.keys()


def _stays(fact: z3.BoolRef, action: Action, live: Mapping[str, StateVar]) -> bool:
    return _speaks_of(fact, live, _after(action, set(live)))


def _edges(graph: Graph, number: int) -> Iterator[tuple[int, Edge | None]]:
    node = graph.nodes[number]
    if isinstance(node, Op):
        for which in range(len(node.effects)):
            yield node.after(which), Edge(node.name, which)
    else:
        for follower in node.successors():
            if follower >= 0:
                yield follower, None


def _backwards(graph: Graph) -> list[int]:
    """The nodes that can be reached, each behind those that follow it, as far as loops let it."""
    found: dict[int, None] = {}
    seen = {graph.entry}
    todo = [(graph.entry, iter(graph.nodes[graph.entry].successors()))]
    while todo:
        number, followers = todo[-1]
        follower = next((m for m in followers if m >= 0 and m not in seen), None)
        if follower is None:
            found[number] = None
            todo.pop()
        else:
            seen.add(follower)
            todo.append((follower, iter(graph.nodes[follower].successors())))
    return list(found)


def _next_operation(graph: Graph, number: int) -> str:
    names: set[str] = set()
    seen: set[int] = set()
    todo = [number]
    while todo:
        n = todo.pop()
        if n in seen or n < 0:
            continue
        seen.add(n)
        node = graph.nodes[n]
        if isinstance(node, Op) and node.mover != "local":
            names.add(node.name)
        else:
            todo += node.successors()
    return names.pop() if len(names) == 1 else ""


def _among(edge: Edge, edges: Sequence[Edge]) -> bool:
    return any(e.name == edge.name and e.effect in (None, edge.effect) for e in edges)


def _ends(path: str, ending: str) -> bool:
    return path == ending or path.endswith("." + ending)


def _before(graph: Graph, n: int, known: Mapping[int, z3.BoolRef], does: Outcome, undoes: Outcome) -> z3.BoolRef:
    """The weakest precondition of one node."""
    node = graph.nodes[n]
    if isinstance(node, Branch):
        return z3.If(node.condition, known[node.next], known[node.other])
    if isinstance(node, Set):
        return Rewriter((local.const, value) for local, value in node.values.items())(known[node.next])
    if isinstance(node, Havoc):
        term = known[node.next]
        for local in node.locals:
            term = _whatever(local.const, term)
        return term
    if isinstance(node, Op):
        parts = []
        for which, (effect, results) in enumerate(zip(node.effects, node.results, strict=True)):
            if does(node, which):
                continue
            if undoes(node, which):
                return FALSE
            term = Rewriter((local.const, value) for local, value in results.items())(known[node.after(which)])
            for choice in effect.choices:
                term = _whatever(choice.const, term)
            parts.append(term)
        return conjunction(parts)
    return known[node.next] if node.next >= 0 else FALSE


def _whatever(value: z3.ExprRef, term: z3.BoolRef) -> z3.BoolRef:
    """That `term` holds whatever `value` is."""
    if not any(part.eq(value) for part in subterms(term)):
        return term
    if isinstance(value, z3.BoolRef):
        return z3.And(*(Rewriter([(value, each)])(term) for each in (TRUE, FALSE)))
    return z3.ForAll([value], term)


def _equivalent(one: z3.BoolRef, other: z3.BoolRef) -> bool:
    return _contradiction(one != other)


def _is_contradiction(term: z3.BoolRef) -> bool:
    solver = z3.SimpleSolver()
    solver.add(term)
    return bool(solver.check() == z3.unsat)


# Each round of `sure` asks of most nodes what the last one asked.
_contradiction = once_a_term(_is_contradiction, 20_000)


@cache
def _simplifier() -> z3.Tactic:
    return z3.Tactic("ctx-solver-simplify")  # to make one takes as long as to apply it


_shorter = once_a_term(lambda term: _simplifier()(term).as_expr(), 20_000)
"""An equivalent term in which no part says again what another one says."""


def _copies(places: Places) -> dict[str, tuple[tuple[StateVar, StateVar], ...]]:
    """Partitions of live locals by value, refined until every step keeps them."""
    software = places.software
    by_start: dict[str, list[tuple[Action, str, str]]] = {}
    node_name = {(p.role, p.node): p.name for p in software.locations}
    live = {p.name: _live_vars(places, p) for p in software.locations}
    classes: dict[str, dict[str, int]] = {}
    for p in software.locations:
        start = p.node == software.graphs[p.role].entry
        classes[p.name] = {v.name: (i if start else hash(v.kind) & 0xFFFF) for i, v in enumerate(live[p.name])}
    for action in software.actions:
        step = software.steps[action.name]
        by_start.setdefault(step.role, []).append((action, node_name[step.role, step.start], node_name[step.role, step.end]))
    changed = True
    while changed:
        changed = False
        for steps in by_start.values():
            for action, here, there in steps:
                after = _after(action, {v.name for v in live[there]})
                keys: dict[str, object] = {}
                for v in live[there]:
                    term = after.get(v.name, v(THREAD))
                    keys[v.name] = _key(term, classes[here])
                new: dict[tuple[int, object], int] = {}
                refined = {v.name: new.setdefault((classes[there][v.name], keys[v.name]), len(new)) for v in live[there]}
                if len(set(refined.values())) != len(set(classes[there].values())):
                    changed = True
                classes[there] = refined
    result = {}
    for p in software.locations:
        groups: dict[int, list[StateVar]] = {}
        for v in live[p.name]:
            groups.setdefault(classes[p.name][v.name], []).append(v)
        result[p.name] = tuple((group[0], other) for group in groups.values() for other in group[1:])
    return result


def _after(action: Action, names: set[str]) -> dict[str, z3.ExprRef]:
    """The values of those locals of the acting thread that a step sets."""
    return {u.var.name: z3.simplify(z3.substitute(u.value, (u.variables[0], THREAD))) for u in action.updates if u.var.name in names}


def _live_vars(places: Places, place: Location) -> tuple[StateVar, ...]:
    if place.node == places.software.graphs[place.role].exit:
        return ()
    live = sorted(places._live[place.role].get(place.node, ()), key=lambda x: x.path)
    return tuple(places.software.local_vars[place.role, x.path] for x in live)


def _key(term: z3.ExprRef, classes: Mapping[str, int]) -> object:
    """What tells a value after a step from others: locals that were equal before count as the same."""
    if z3.is_app(term) and term.num_args() == 1 and term.arg(0).eq(THREAD) and term.decl().name() in classes:
        return ("local", classes[term.decl().name()], term.sort().name())
    return ("term", term.sexpr())


# Rooms above the model speak of threads and of their operations through this file.
__all__ = ["THREADS", "Edge", "Location", "Op", "Outcome", "Places", "Software"]

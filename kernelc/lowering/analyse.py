"""What is known about a graph before its steps are made: constants, live locals, locks held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush

import z3

from ...core.ground import negation
from ...core.rewrite import Rewriter, conjuncts, constant_index, subterms
from ...core.shape import identity, is_false, is_true
from .cfg import Branch, Graph, Havoc, Local, Mark, Node, Nop, Op, Set
from .library import Effect

Known = Mapping[Local, z3.ExprRef]
_MOST_COPIES = 8


class Reads:
    """Which locals a term of one graph mentions, and what the term is when some of them are known."""

    def __init__(self, graph: Graph) -> None:
        # Z3 gives the identity of a term that died to the next one, so terms are kept beside what is known by their identity.
        self._consts = {local: local.const for local in graph.locals.values()}
        self._by_id = {identity(const): local for local, const in self._consts.items()}
        self._seen: dict[int, tuple[z3.ExprRef, frozenset[Local]]] = {}
        self._folded: dict[tuple[int, ...], tuple[z3.ExprRef, ...]] = {}

    def __call__(self, *terms: z3.ExprRef) -> frozenset[Local]:
        found: set[Local] = set()
        for term in terms:
            key = identity(term)
            if key not in self._seen:
                self._seen[key] = (term, frozenset(self._by_id[identity(t)] for t in subterms(term) if identity(t) in self._by_id))
            found |= self._seen[key][1]
        return frozenset(found)

    def local(self, term: z3.ExprRef) -> Local | None:
        """The local that a term is, if it is one."""
        return self._by_id.get(identity(term))

    def fold(self, term: z3.ExprRef, facts: Known) -> z3.ExprRef:
        """`term` where these locals have these values."""
        pairs = [(self._consts[local], facts[local]) for local in self(term) if local in facts]
        kept = (term, *(part for pair in pairs for part in pair))
        key = tuple(identity(part) for part in kept)
        if key not in self._folded:
            self._folded[key] = (Rewriter(pairs)(term), *kept)
        return self._folded[key][0]


def effect_terms(effect: Effect) -> Iterator[z3.ExprRef]:
    """Every term of an effect but its answers, which stand in the node's results."""
    yield effect.guard
    for update in effect.updates:
        yield update.value
    for check in effect.checks:
        yield check.holds
    for need in effect.needs:
        yield need.holds


def map_effect(effect: Effect, change: Callable[[z3.ExprRef], z3.ExprRef]) -> Effect:
    """The same effect with every term of it (but its answers) changed."""
    return replace(
        effect,
        guard=change(effect.guard),
        updates=tuple(replace(u, value=change(u.value)) for u in effect.updates),
        checks=tuple(replace(c, holds=change(c.holds)) for c in effect.checks),
        needs=tuple(replace(n, holds=change(n.holds)) for n in effect.needs),
    )


def operation_terms(node: Op) -> Iterator[z3.ExprRef]:
    """Every term of an operation but its answers."""
    if node.when is not None:
        yield node.when
    for effect in node.effects:
        yield from effect_terms(effect)


def used(node: Node, reads: Reads, needed: frozenset[Local] | None = None) -> frozenset[Local]:
    """The locals that a node reads; with `needed`, only to compute those or to do something that others see."""
    match node:
        case Set(values=values):
            return reads(*(value for local, value in values.items() if needed is None or local in needed))
        case Branch(condition=condition):
            return reads(condition)
        case Op(results=results):
            answers = (value for r in results for local, value in r.items() if needed is None or local in needed)
            return reads(*operation_terms(node), *answers)
        case _:
            return frozenset()


def defined(node: Node) -> frozenset[Local]:
    """The locals that a node sets on every way through it."""
    match node:
        case Set(values=values):
            return frozenset(values)
        case Havoc(locals=held):
            return frozenset(held)
        case Op(results=results) if results:
            return frozenset.intersection(*(frozenset(r) for r in results))
        case _:
            return frozenset()


def fold_constants(graph: Graph) -> None:
    """Propagate constants through the graph and take branches that are decided, in place.

    A local is constant at a node when every feasible way there gives it the same value. Decided branches become
    unconditional, so that code which cannot run needs no meaning. Then each edge behind which branches are decided (`return
    false`, and the caller asks) is led past them, so that what only the other way reads is not kept alive on this one.
    """
    reads = Reads(graph)
    _write_back(graph, _constants(graph, reads), reads)
    known = _constants(graph, reads)
    for number in list(known):
        node = graph.nodes[number]
        ways = list(_flow(node, known[number], reads))
        for way, (target, facts) in enumerate(ways):
            led = _lead(graph, target, facts, reads)
            if led == target:
                continue
            if isinstance(node, Op):
                node.targets = tuple(led if i == way else node.after(i) for i in range(len(node.effects)))
            elif isinstance(node, Branch) and way == 1:  # by its place: both ways may lead to one node
                node.other = led
            else:
                node.next = led
    _write_back(graph, _constants(graph, reads), reads)


def _constants(graph: Graph, reads: Reads) -> dict[int, dict[Local, z3.ExprRef]]:
    """For each node that can be reached, the locals whose value is known there."""
    known: dict[int, dict[Local, z3.ExprRef]] = {graph.entry: {}}
    order = _forwards(graph)
    todo = [(0, graph.entry)]
    while todo:
        _, number = heappop(todo)
        for follower, after in _flow(graph.nodes[number], known[number], reads):
            if follower < 0:
                continue
            merged = after if follower not in known else agreed(known[follower], after)
            if follower not in known or len(merged) != len(known[follower]):
                known[follower] = merged
                if (order[follower], follower) not in todo:
                    heappush(todo, (order[follower], follower))
    return known


def agreed(facts: Known, others: Known) -> dict[Local, z3.ExprRef]:
    """What both know."""
    return {k: v for k, v in facts.items() if k in others and (others[k] is v or identity(others[k]) == identity(v))}


def _forwards(graph: Graph) -> dict[int, int]:
    """A number for each reachable node, smaller than its followers' but for loops: what comes first is best looked at first."""
    done: dict[int, int] = {}
    todo = [(graph.entry, False)]
    seen = set()
    while todo:
        number, left = todo.pop()
        if left:
            done[number] = -len(done)
        elif number not in seen:
            seen.add(number)
            todo.append((number, True))
            todo += [(follower, False) for follower in graph.nodes[number].successors() if follower >= 0 and follower not in seen]
    return done


def _write_back(graph: Graph, known: Mapping[int, Known], reads: Reads) -> None:
    for number, facts in known.items():
        node = graph.nodes[number]
        rewriter = partial(reads.fold, facts=facts)
        match node:
            case Branch():
                node.condition = rewriter(node.condition)
                if is_true(node.condition):
                    node.other = node.next
                elif is_false(node.condition):
                    node.next = node.other
            case Set():
                node.values = {local: rewriter(value) for local, value in node.values.items()}
            case Op():
                node.effects = tuple(map_effect(effect, rewriter) for effect in node.effects)
                node.when = None if node.when is None else rewriter(node.when)
                node.results = tuple({local: rewriter(value) for local, value in r.items()} for r in node.results)
            case _:
                pass


def _lead(graph: Graph, target: int, facts: dict[Local, z3.ExprRef], reads: Reads) -> int:
    """Where an edge to `target` can lead, when these facts decide branches behind it; assignments on the way are copied."""
    passed: list[Set | Mark] = []
    # Where somebody looks at what is passed, a branch that is led past leaves a mark.
    looked_at = any(isinstance(node, Mark) for node in graph.nodes)
    number, decided, behind = target, target, 0
    seen: set[int] = set()
    while number not in seen and sum(isinstance(p, Set) for p in passed) <= _MOST_COPIES:
        seen.add(number)
        node = graph.nodes[number]
        if isinstance(node, Mark):
            passed.append(node)  # that it is passed is all that it is for
            number = node.next
        elif isinstance(node, Nop) and node.next >= 0:
            number = node.next
        elif isinstance(node, Set):
            passed.append(node)
            ((number, facts),) = _flow(node, facts, reads)
        elif isinstance(node, Branch):
            condition = reads.fold(node.condition, facts)
            if not (is_true(condition) or is_false(condition)):
                break
            number = node.next if is_true(condition) else node.other
            if looked_at:
                passed.append(Mark(node.number, node.at, node.stack, holds=is_true(condition), decided=True))
            decided, behind = number, len(passed)
        else:
            break
    for copied in reversed(passed[:behind]):
        graph.nodes.append(replace(copied, number=len(graph.nodes), next=decided))
        decided = len(graph.nodes) - 1
    return decided


def _flow(node: Node, facts: dict[Local, z3.ExprRef], reads: Reads) -> Iterator[tuple[int, dict[Local, z3.ExprRef]]]:
    """The nodes that can follow, each with what is known there."""
    for _, _, target, after in step_facts(node, facts, reads):
        yield target, after


def step_facts(node: Node, facts: dict[Local, z3.ExprRef], reads: Reads) -> Iterator[tuple[str, int, int, dict[Local, z3.ExprRef]]]:
    """Every way past a node: the edge, the number of an operation's effect, the node that follows, and what is known there."""
    match node:
        case Set(values=values):
            after = dict(facts)
            for local, value in values.items():
                _learn(after, local, reads.fold(value, facts))
            yield "next", 0, node.next, after
        case Havoc(locals=held):
            yield "next", 0, node.next, {k: v for k, v in facts.items() if k not in held}
        case Branch(condition=condition):
            decided = reads.fold(condition, facts)
            if not is_false(decided):
                yield "next", 0, node.next, _assume(facts, decided, reads)
            if not is_true(decided):
                yield "other", 0, node.other, _assume(facts, negation(decided), reads)
        case Op(results=results):
            for which, result in enumerate(results):
                after = dict(facts)
                for local, value in result.items():
                    _learn(after, local, reads.fold(value, facts))
                yield "next", which, node.after(which), after
        case _:
            for follower in node.successors():
                yield "next", 0, follower, dict(facts)


def _learn(facts: dict[Local, z3.ExprRef], local: Local, value: z3.ExprRef) -> None:
    if constant_index(value) is not None:
        facts[local] = value
    else:
        facts.pop(local, None)


def _assume(facts: dict[Local, z3.ExprRef], condition: z3.BoolRef, reads: Reads) -> dict[Local, z3.ExprRef]:
    """What a branch teaches: `flag`, `!flag` and `local == constant`."""
    after = dict(facts)
    by_id = {identity(local.const): local for local in reads(condition)}
    for part in conjuncts(condition):
        if identity(part) in by_id:
            after[by_id[identity(part)]] = z3.BoolVal(True)
        elif z3.is_not(part) and identity(part.arg(0)) in by_id:
            after[by_id[identity(part.arg(0))]] = z3.BoolVal(False)
        elif z3.is_eq(part):
            for one, other in ((part.arg(0), part.arg(1)), (part.arg(1), part.arg(0))):
                if identity(one) in by_id and constant_index(other) is not None:
                    after[by_id[identity(one)]] = other
    return after


def live_locals(graph: Graph) -> dict[int, frozenset[Local]]:
    """For each reachable node, the locals whose value there may still matter: to a branch, an operation, or a local that does."""
    reads = Reads(graph)
    numbers = sorted(graph.reachable(), reverse=True)
    before: dict[int, frozenset[Local]] = {n: frozenset() for n in numbers}
    always = {n: reads(*operation_terms(node)) for n in numbers if isinstance(node := graph.nodes[n], Op)}
    leading: dict[int, list[int]] = {}
    for n in numbers:
        for follower in graph.nodes[n].successors():
            leading.setdefault(follower, []).append(n)
    todo = dict.fromkeys(reversed(numbers))  # what comes last is best looked at first
    while todo:
        n, _ = todo.popitem()
        live = _live_before(graph.nodes[n], before, reads, always.get(n, frozenset()))
        if live != before[n]:
            before[n] = live
            todo |= dict.fromkeys(leading.get(n, ()))
    return before


def _live_before(node: Node, before: Mapping[int, frozenset[Local]], reads: Reads, always: frozenset[Local]) -> frozenset[Local]:
    """Args: always: what an operation reads whatever its effect is."""
    if isinstance(node, Op):
        live = set(always)
        for which, result in enumerate(node.results):
            after = before.get(node.after(which), frozenset())
            live |= (after - result.keys()) | reads(*(value for local, value in result.items() if local in after))
        return frozenset(live)
    after = frozenset().union(*(before[f] for f in node.successors() if f >= 0))
    return used(node, reads, after) | (after - defined(node))


def locks_held(graph: Graph) -> dict[int, frozenset[str]]:
    """For each reachable node, the locks held on every way to it, as `name:read` or `name:write`."""
    held: dict[int, frozenset[str]] = {graph.entry: frozenset()}
    todo = [graph.entry]
    while todo:
        number = todo.pop()
        node = graph.nodes[number]
        after = held[number]
        if isinstance(node, Op):
            after = (after - set(node.releases)) | set(node.acquires)
        for follower in node.successors():
            if follower < 0:
                continue
            merged = after if follower not in held else held[follower] & after
            if held.get(follower) != merged:
                held[follower] = merged
                todo.append(follower)
    return held

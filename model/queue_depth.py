"""How many descriptors a thread may have in the queues of IOMMUs at once: counted on its program, so that state is made for no more."""

from __future__ import annotations

from collections.abc import Iterable

from ..kernelc.lowering.cfg import Graph, Op
from .intrinsics.flush import SUBMITS, WAITS

MOST = 2
"""More are not told apart: a thread that submits in a loop and never waits would have any number. It waits for a place in the queue then,
as qi_submit_sync() does when its 256 are taken (drivers/iommu/intel/dmar.c, Linux 6.1)."""


def queue_depth(graphs: Iterable[Graph]) -> int:
    """The most descriptors that some way through a program submits without waiting for them, at least 1 and at most `MOST`."""
    return max([1, *map(_deepest, graphs)])


def _deepest(graph: Graph) -> int:
    known = {graph.entry: 0}
    todo = [graph.entry]
    while todo:
        number = todo.pop()
        node = graph.nodes[number]
        deep = known[number]
        if isinstance(node, Op):
            deep = min(MOST, deep + 1) if node.name in SUBMITS else 0 if node.name in WAITS else deep
        for follower in node.successors():
            if follower >= 0 and known.get(follower, -1) < deep:
                known[follower] = deep
                todo.append(follower)
    return max(known.values())

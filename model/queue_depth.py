"""How many descriptors a thread may have in the queues of IOMMUs at once: counted on its program, so that state is made for no more."""

from __future__ import annotations

from collections.abc import Iterable

from ..kernelc.lowering.cfg import Graph, Op
from .intrinsics.flush import SUBMITS, WAITS

MOST = 4
"""So many are told apart where a program submits them one after the other."""
LOOPING = 2
"""So many places has a thread that submits more, or in a loop without waiting: any number would do. It waits for one then, as
qi_submit_sync() does when its 256 are taken (drivers/iommu/intel/dmar.c, Linux 6.1). An assumption, which is printed."""


def queue_depth(graphs: Iterable[Graph]) -> int:
    """The most descriptors that some way through a program submits without waiting for them, at least 1; `LOOPING` where it is bounded."""
    return max([1, *(LOOPING if (deep := _deepest(graph)) > MOST else deep for graph in graphs)])


def is_bounded(graphs: Iterable[Graph]) -> bool:
    """Whether some thread has fewer places in a queue than its program would fill."""
    return any(_deepest(graph) > MOST for graph in graphs)


def _deepest(graph: Graph) -> int:
    """The most that some way submits without waiting; `MOST` + 1 for anything above."""
    known = {graph.entry: 0}
    todo = [graph.entry]
    while todo:
        number = todo.pop()
        node = graph.nodes[number]
        deep = known[number]
        if isinstance(node, Op):
            deep = min(MOST + 1, deep + 1) if node.name in SUBMITS else 0 if node.name in WAITS else deep
        for follower in node.successors():
            if follower >= 0 and known.get(follower, -1) < deep:
                known[follower] = deep
                todo.append(follower)
    return max(known.values())

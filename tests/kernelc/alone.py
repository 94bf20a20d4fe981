"""One thread alone on the toy kernel, explored to the end."""

from __future__ import annotations

from tdpcheck import Geometry
from tdpcheck.examples.toy_kernel import Toy

ALONE = Toy(geometry=Geometry({"Thread": 1, "Cell": 2, "Page": 1, "Gfn": 1}))


def explored(text: str) -> tuple[set[int], set[str]]:
    """What `*cell0` may hold when `f` is done, and the assertions that some run finds false."""
    built = ALONE.build(text, threads=("f",))
    layout = built.evaluator.layout
    start = next(built.evaluator.initial())
    seen, todo, final, failed = {start}, [start], set(), set()
    moves = list(built.evaluator.moves())
    done = next((x.index for x in built.software.locations if x.name.endswith(":done")), None)
    while todo:
        state = todo.pop()
        failed |= {label for number, label in enumerate(built.software.assertions) if layout.value(state, "assertion_failed", number)}
        if layout.value(state, "pc", 0) == done:
            final.add(layout.value(state, "mem", 0))
        for move in moves:
            if move.guard(state) and (after := move.apply(state)) not in seen:
                seen.add(after)
                todo.append(after)
    return final, failed

"""Once all threads have ended, every table page is part of a table, free, or on its way to be."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property, truth
from ..model.machine.sorts import PT, REGION, ROOT, p, r, root
from ..model.machine.tables import PT_LINKED, PT_PRIVATE, PT_UNLINKED, TABLE, pmd_kind, pmd_pt, pt_state
from ..model.scene import Scene
from ..model.system import Model
from ..model.view.naming import cell
from .registered import Registered
from .telling import Run, Teller, Wrong, chain

NAME = "no_table_leak"
SENTENCE = "Once all threads have ended, no table page is left that nobody reaches and that nobody will free."
SOURCE = "tdp_mmu_free_sp() on every way on which a page is not linked, tdp_mmu_unlink_sp() and call_rcu(), Linux 6.1"


def no_table_leak(model: Model) -> Property:
    """The property as it reads in one model: only there it is known when all threads have ended."""
    reached = z3.Exists([root, r], z3.And(pmd_kind(root, r) == TABLE, pmd_pt(root, r) == p))
    lost = z3.Or(
        pt_state(p) == PT_PRIVATE,
        pt_state(p) == PT_UNLINKED,
        z3.And(pt_state(p) == PT_LINKED, z3.Not(reached)),
    )
    holds = z3.ForAll([p], z3.Implies(model.all_finished(), z3.Not(lost)))
    return Property(NAME, SENTENCE, holds, premise=model.all_finished(), source=SOURCE)


def _reached(scene: Scene, table: int) -> bool:
    places = ((a, b) for a in scene.each(ROOT) for b in scene.each(REGION))
    return any(scene.word(pmd_kind, *at) == "table" and scene.number(pmd_pt, *at) == table for at in places)


_LEFT = {"private": "is still its allocator's own", "unlinked": "was unlinked and never handed to call_rcu()", "linked": "is in no table"}


def _found(scene: Scene) -> Iterator[Wrong]:
    for table in scene.each(PT):
        state = scene.word(pt_state, table)
        if state in _LEFT and not (state == "linked" and _reached(scene, table)):
            said = f"all threads have ended, and table page {table} {_LEFT[state]}: nobody will free it"
            yield Wrong(said, {"table": table}, (cell(pt_state, table),))


def _leaked(run: Run, found: Wrong, table: int) -> str:
    state = run.end.word(pt_state, table)
    allocated = run.happened(lambda a, b: a.word(pt_state, table) == "free" and b.word(pt_state, table) != "free")
    unlinked = run.since(lambda s: s.word(pt_state, table) == state) if state == "unlinked" else None
    lost = run.since(lambda s: not _reached(s, table)) if state == "linked" else None
    events = [(allocated, f"allocates table page {table}"), (unlinked, "unlinks it"), (lost, "overwrites the entry that pointed to it")]
    return f"{chain(run, events)} At the end {found.sentence}."


REGISTERED = Registered(
    Property(NAME, SENTENCE, truth(True), source=SOURCE), _found, (Teller(("table",), _leaked),), of_model=no_table_leak, every_size=False
)

"""Software touches no table page that is free: not to read, exchange or fill its entries, nor to free or unlink it a second time.

What a call needs of the table page that it touches stands beside its meaning (`model/intrinsics/memory.py`); here it is asked of every
step of every thread, in every state in which it can be taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core.ground import conjunction
from ..core.system import Property, truth
from ..model.intrinsics.memory import PAGES
from ..model.machine.tables import pt_state
from ..model.system import Model
from .registered import Registered, Statement
from .telling import Run, Teller, Wrong, chain

NAME = "no_table_use_after_free"
SENTENCE = "No step uses, fills, links, unlinks or frees a table page that is not what the step takes it for: in use, its own, or linked."
SOURCE = "tdp_mmu_free_sp_rcu_callback(), handle_removed_pt() and rcu_dereference(sptep) in tdp_mmu.c, Linux 6.1"


def no_table_use_after_free(model: Model) -> Property:
    """The property as it reads in one model: of each step that touches a table page, that the page is what the step takes it for."""
    return Property(NAME, SENTENCE, conjunction([need.taken for need in model.needs(PAGES)]), source=SOURCE)


def _statements(model: Model) -> Iterator[Statement]:
    for need in model.needs(PAGES):
        yield Statement(need.taken, f"{need.role} is at {need.at.text} ({need.at}): {need.what}", (pt_state, "table"))


def _misused(run: Run, found: Wrong, table: int) -> str:
    state = run.end.word(pt_state, table)
    gone = run.since(lambda s: s.word(pt_state, table) == state)
    unlinked = run.happened(lambda before, after: before.word(pt_state, table) == "linked" != after.word(pt_state, table))
    events = [(unlinked, f"unlinks table page {table}")] if unlinked is not None and unlinked < gone else []
    events.append((gone, f"makes it {state}" if events else f"makes table page {table} {state}"))
    return f"{chain(run, events)} Now {found.sentence}."


REGISTERED = Registered(
    Property(NAME, SENTENCE, truth(True), source=SOURCE),
    tellers=(Teller(("table",), _misused),),
    of_model=no_table_use_after_free,
    statements=_statements,
    every_size=False,
)

"""RCU: a table page handed to call_rcu() is free once every reader of that moment has left its read side."""

from __future__ import annotations

import z3

from ...core.system import Action, Param, set_at
from ..view.roles import Actor, Assumption, Lock, Telling
from .sorts import PT, t
from .tables import PT_FREE, PT_RCU, pt_state, rcu_reader, rcu_waits

RCU_CALLBACK = "rcu_callback"
"""What it does."""


def actions() -> tuple[Action, ...]:
    """The callback that frees a table page (tdp_mmu_free_sp_rcu_callback())."""
    pt = Param("pt", PT)
    a = pt.const
    done = z3.ForAll([t], z3.Not(rcu_waits(a, t)))
    return (
        Action(
            RCU_CALLBACK, "rcu", (pt,), z3.And(pt_state(a) == PT_RCU, done), (set_at(pt_state, (a,), PT_FREE),), "frees table page {pt}"
        ),
    )


TOLD = Telling(
    locks=(Lock(rcu_reader, "enters the RCU read side", "leaves the RCU read side", excludes=False),),
    assumed=(Assumption("call_rcu() waits for the readers of that moment, no longer", (RCU_CALLBACK,)),),
    actors=(Actor("rcu"),),
    order=8,
)

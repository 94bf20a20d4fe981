"""A counter that starts again at its limit, after the resetting counter in Pono's tests. A word: grounded, never proved for every size."""

from __future__ import annotations

import z3

from tdpcheck import Action, Property, StateVar, TransitionSystem, Update, Word

LIMIT = 10
count = StateVar("count", (), Word(8), "how often it counted since it was last reset")


def counter(name: str, goes_on: z3.BoolRef) -> TransitionSystem:
    """A counter that counts while it `goes_on`, and is reset at its limit."""
    return TransitionSystem(
        name,
        (),
        (count,),
        (Update(count, (), z3.BitVecVal(0, 8)),),
        (
            Action("tick", "counter", (), goes_on, (Update(count, (), count() + 1),), "count"),
            Action("reset", "counter", (), count() == LIMIT, (Update(count, (), z3.BitVecVal(0, 8)),), "start again"),
        ),
    )


system = counter("counter", z3.ULT(count(), LIMIT))
broken = counter("counter_beyond_its_limit", z3.ULE(count(), LIMIT))

stays_within_the_limit = Property(
    "stays_within_the_limit", "The counter never passes its limit.", z3.ULE(count(), LIMIT), premise=count() == LIMIT
)

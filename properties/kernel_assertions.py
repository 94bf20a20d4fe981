"""The kernel's own assertions: lockdep, WARN_ON, BUG_ON, KVM_BUG_ON in the kernel C, for free."""

from __future__ import annotations

import z3

from ..core.sorts import StateVar
from ..core.system import Property


def kernel_assertions(failed: StateVar) -> Property:
    """No assertion of the compiled kernel C has been found false; `failed` is the set of those that have."""
    (a,) = failed.variables()
    return Property(
        name="kernel_assertions",
        sentence="No lockdep assertion of the kernel C fails, and no WARN_ON or BUG_ON fires.",
        holds=z3.ForAll([a], z3.Not(failed(a))),
        source="the kernel C itself",
    )

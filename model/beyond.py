"""Scenarios that the model is not made for: refused, since their answers would be wrong.

What a machine does and no scenario shows is listed in docs/machine.md; here stands what a scenario could combine and must not.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import InputError
from ..kernelc.lowering.cfg import Graph, Op
from .scenario import Scenario

_DELETES, _INVALIDATES = "memslot_set_invalid", "mmu_invalidate_in_progress_add"


def refuse_beyond(scenario: Scenario, graphs: Sequence[Graph]) -> None:
    """Make sure that the threads of a scenario, and the machine they run on, may be combined.

    Raises:
        InputError: a notifier beside the deletion of a memslot, which waits for notifiers (mn_active_invalidate_count) and hides
            the gfns from later ones, virt/kvm/kvm_main.c, Linux 6.1; or a vCPU that has loaded a root that is not exported, whose own
            leaves a deletion zaps (tdp_mmu_zap_root(), arch/x86/kvm/mmu/tdp_mmu.c).
    """
    deletes, invalidates = (_role_of(graphs, name) for name in (_DELETES, _INVALIDATES))
    if not deletes:
        return
    if invalidates:
        raise InputError(
            f"scenario {scenario.name}: {invalidates} is a notifier beside {deletes}, which deletes the memslot: the model does not make "
            "them wait for each other (mn_active_invalidate_count); ask about them in two scenarios"
        )
    if 0 not in scenario.start.exported:
        raise InputError(
            f"scenario {scenario.name}: {deletes} deletes the memslot, and root 0, which the vCPUs have loaded, is not exported: the model "
            "does not zap such a root leaf by leaf (tdp_mmu_zap_root()); leave 0 in start.exported"
        )


def _role_of(graphs: Sequence[Graph], operation: str) -> str:
    """The first role that does an operation; empty if none does."""
    return next((graph.role for graph in graphs if any(isinstance(n, Op) and n.name == operation for n in graph.nodes)), "")

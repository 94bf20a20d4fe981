"""Faults and invalidations exclude each other: a pfn resolved too early is not installed."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.ghosts import stale_install
from ..model.machine.host import window
from ..model.machine.sorts import g, t

PROPERTY = Property(
    name="notifier_exclusion",
    sentence="No mapping is installed from a pfn that was resolved before an overlapping invalidation ended.",
    holds=z3.Not(stale_install()),
    premise=z3.Exists([t, g], window(t, g)),
    source="mmu_invalidate_retry_hva(), include/linux/kvm_host.h, Linux 6.1; commit 58cd407ca4c6, Linux 5.19",
)

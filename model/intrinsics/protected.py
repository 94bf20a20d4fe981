"""What a lock protects changes under that lock alone: a rule for each such variable, asked wherever a call changes it.

The kernel says so in comments and in lockdep assertions that not every version has. Only changes are asked about: much of this is read
without the lock, and looked at again under it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import z3

from ...core.sorts import StateVar
from ...kernelc.lowering.library import Check, Effect, Intrinsic, Value
from ..machine import devices, host, tables
from ..machine.locks import LOCK, held, mmu_writer


@dataclass(frozen=True)
class Rule:
    """What protects some variables.

    Args:
        what: the kernel's name for what is protected.
        lock: the lock, and how it is held, in words.
        holds: whether a thread holds it so.
        source: who says so.
    """

    variables: tuple[StateVar, ...]
    what: str
    lock: str
    holds: Callable[[z3.ExprRef], z3.BoolRef]
    source: str

    @property
    def check(self) -> str:
        """How a change without the lock is told; its place follows."""
        return f"{self.what} changes without {self.lock}"


def _mutex(name: str) -> Callable[[z3.ExprRef], z3.BoolRef]:
    return lambda t: held(LOCK.element(name), t)


RULES = (
    Rule(
        (host.window, host.inner_window, host.invalidating),
        "kvm->mmu_invalidate_in_progress",
        "mmu_lock for writing",
        mmu_writer,
        "kvm_mmu_invalidate_begin() and kvm_mmu_invalidate_end(), kvm_main.c: lockdep_assert_held_write(), Linux 6.12; comments in 6.1",
    ),
    Rule(
        (tables.root_invalid,),
        "root->role.invalid",
        "mmu_lock for writing",
        mmu_writer,
        "kvm_tdp_mmu_invalidate_all_roots(), tdp_mmu.c: lockdep_assert_held_write(), Linux 6.1",
    ),
    Rule(
        (tables.root_exported,),
        "root->exported",
        "mmu_lock for writing",
        mmu_writer,
        "kvm_tdp_mmu_invalidate_all_roots() reads it under that lock: the RFC's patch 36",
    ),
    Rule(
        (devices.importer,),
        "the importer list",
        "exported_tdplist_lock",
        _mutex("exported_tdplist_lock"),
        "kvm_tdp_fd_flush_notify() walks it under that lock: the RFC's patch 10",
    ),
    Rule(
        (host.memslot_invalid,),
        "kvm->memslots",
        "slots_lock",
        _mutex("slots_lock"),
        "kvm_set_memslot(), kvm_main.c: lockdep_assert_held(), Linux 6.1",
    ),
)


def under_its_lock(intrinsic: Intrinsic) -> Intrinsic:
    """The intrinsic with a check for each rule that speaks of what it changes."""
    meaning = intrinsic.meaning

    @wraps(meaning)
    def checked(*given: z3.ExprRef | Value) -> Effect | tuple[Effect, ...] | Value:
        made = meaning(*given)
        if isinstance(made, Value):
            return made
        thread = given[0]
        return _with_checks(made, thread) if isinstance(made, Effect) else tuple(_with_checks(effect, thread) for effect in made)

    return replace(intrinsic, meaning=checked)


def _with_checks(effect: Effect, thread: z3.ExprRef) -> Effect:
    changed = {update.var.name for update in effect.updates}
    broken = tuple(Check(rule.check, rule.holds(thread)) for rule in RULES if changed & {var.name for var in rule.variables})
    return replace(effect, checks=(*effect.checks, *broken)) if broken else effect


__all__ = ["RULES", "Rule", "under_its_lock"]

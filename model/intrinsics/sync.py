"""Locks, RCU read sides, assertions and plain nondeterminism."""

from __future__ import annotations

from collections.abc import Callable

import z3

from ...core.sorts import BOOL
from ...core.system import Param, set_at, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Check, Effect, Handle, Held, Intrinsic, Value, Waives, boolean
from ..machine import cpu
from ..machine.locks import LOCK, held, mmu_reader, mmu_writer
from ..machine.sorts import u, v
from ..machine.tables import rcu_reader, rcu_waits

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
MMU_LOCK = Handle("mmu_lock")
SRCU = Handle("srcu")
ASSUME = "assume"
"""The ghost that leaves out the runs in which its condition is false."""
MUTEXES = tuple(Handle(name) for name in LOCK.elements)
WRITING = Held("mmu_lock", "write_lock", mmu_writer)
READING = Held("mmu_lock (read)", "read_lock", mmu_reader)
RCU = Held("the RCU read side", "rcu_read_lock", rcu_reader)


def of_mutex(name: str) -> Held:
    """What it is to hold that mutex or spinlock."""
    element = LOCK.element(name)
    return Held(name, f"lock_{name}", lambda t: held(element, t))


HELD = (WRITING, READING, RCU, *(of_mutex(lock.name) for lock in MUTEXES))
"""What no thread takes with it to user space."""


def _write_lock(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(guard=z3.ForAll([u], z3.And(z3.Not(mmu_writer(u)), z3.Not(mmu_reader(u)))), updates=(set_at(mmu_writer, (t,), TRUE),))


def _read_lock(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(guard=z3.ForAll([u], z3.Not(mmu_writer(u))), updates=(set_at(mmu_reader, (t,), TRUE),))


def _held_write(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(checks=(Check("lockdep_assert_held_write", mmu_writer(t)),))


def _held_read(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(checks=(Check("lockdep_assert_held_read", mmu_reader(t)),))


def _held(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(checks=(Check("lockdep_assert_held", z3.Or(mmu_reader(t), mmu_writer(t))),))


def _write_unlock(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(updates=(set_at(mmu_writer, (t,), FALSE),), checks=(WRITING.balanced(t),))


def _read_unlock(t: z3.ExprRef, lock: Value) -> Effect:
    return Effect(updates=(set_at(mmu_reader, (t,), FALSE),), checks=(READING.balanced(t),))


def _rcu_unlock(t: z3.ExprRef) -> Effect:
    xs = rcu_waits.variables()
    updates = (set_at(rcu_reader, (t,), FALSE), set_where(rcu_waits, xs, xs[1] == t, FALSE))
    return Effect(updates=updates, checks=(RCU.balanced(t),))


def _srcu_start(t: z3.ExprRef, srcu: Value) -> Effect:
    xs = cpu.srcu_waits.variables()
    return Effect(updates=(set_where(cpu.srcu_waits, xs, z3.And(xs[0] == t, cpu.handles_fault(xs[1])), TRUE),))


def _srcu_wait(t: z3.ExprRef, srcu: Value) -> Effect:
    return Effect(guard=z3.ForAll([v], z3.Not(cpu.srcu_waits(t, v))), label="waits for the vCPUs that were handling a fault")


def _warn(label: str) -> Callable[..., Effect]:
    def meaning(t: z3.ExprRef, condition: Value) -> Effect:
        return Effect(value=condition, checks=(Check(label, z3.Not(condition.term)),))

    return meaning


def _maybe(t: z3.ExprRef) -> Effect:
    return Effect(value=boolean(z3.Bool("yes")), choices=(Param("yes", BOOL),))


def _assume(t: z3.ExprRef, condition: Value) -> Effect:
    return Effect(guard=condition.term)


def _mutex(lock: Handle) -> tuple[Intrinsic, ...]:
    element = LOCK.element(lock.name)
    free = z3.ForAll([u], z3.Not(held(element, u)))

    def take(t: z3.ExprRef, _: Value) -> Effect:
        return Effect(guard=free, updates=(set_at(held, (element, t), TRUE),))

    def drop(t: z3.ExprRef, _: Value) -> Effect:
        return Effect(updates=(set_at(held, (element, t), FALSE),), checks=(of_mutex(lock.name).balanced(t),))

    def check(t: z3.ExprRef, _: Value) -> Effect:
        return Effect(checks=(Check("lockdep_assert_held", held(element, t)),))

    name = lock.name
    return (
        Intrinsic(f"lock_{name}", (lock,), VOID, take, "right", acquires=(f"{name}:write",), doc=f"takes {name}"),
        Intrinsic(f"unlock_{name}", (lock,), VOID, drop, "left", releases=(f"{name}:write",), doc=f"releases {name}"),
        Intrinsic(
            f"lockdep_assert_held_{name}", (lock,), VOID, check, "local", reads=("own",), doc=f"include/linux/lockdep.h: {name} is held"
        ),
    )


INTRINSICS = (
    Intrinsic("write_lock", (MMU_LOCK,), VOID, _write_lock, "right", acquires=("mmu_lock:write",), doc="write_lock(&kvm->mmu_lock)"),
    Intrinsic(
        "write_unlock",
        (MMU_LOCK,),
        VOID,
        _write_unlock,
        "left",
        releases=("mmu_lock:write",),
        doc="write_unlock(&kvm->mmu_lock)",
    ),
    Intrinsic("read_lock", (MMU_LOCK,), VOID, _read_lock, "right", acquires=("mmu_lock:read",), doc="read_lock(&kvm->mmu_lock)"),
    Intrinsic(
        "read_unlock",
        (MMU_LOCK,),
        VOID,
        _read_unlock,
        "left",
        releases=("mmu_lock:read",),
        doc="read_unlock(&kvm->mmu_lock)",
    ),
    Intrinsic("lockdep_assert_held_write", (MMU_LOCK,), VOID, _held_write, "local", reads=("own",), doc="include/linux/lockdep.h"),
    Intrinsic("lockdep_assert_held_read", (MMU_LOCK,), VOID, _held_read, "local", reads=("own",), doc="include/linux/lockdep.h"),
    Intrinsic("lockdep_assert_held", (MMU_LOCK,), VOID, _held, "local", reads=("own",), doc="include/linux/lockdep.h: either way"),
    Intrinsic("rcu_read_lock", (), VOID, lambda t: Effect(updates=(set_at(rcu_reader, (t,), TRUE),)), "right", doc="one bit per thread"),
    Intrinsic("rcu_read_unlock", (), VOID, _rcu_unlock, "left", doc="grace periods no longer wait for this thread"),
    Intrinsic("srcu_gp_start", (SRCU,), VOID, _srcu_start, doc="synchronize_srcu() begins: whoever reads now is waited for"),
    Intrinsic("srcu_gp_wait", (SRCU,), VOID, _srcu_wait, "wait", doc="synchronize_srcu() ends: they have all left"),
    *(
        Intrinsic(
            name,
            (BOOLEAN,),
            BOOLEAN,
            _warn(name),
            "local",
            reads=("own",),
            doc="include/linux/bug.h, kvm_host.h: never true, and says what it was given",
        )
        for name in ("WARN_ON", "WARN_ON_ONCE", "BUG_ON", "KVM_BUG_ON")
    ),
    Intrinsic(
        "need_resched", (), BOOLEAN, _maybe, "local", reads=("own",), doc="contention or a due reschedule: either, at every yield point"
    ),
    Intrinsic(
        ASSUME,
        (BOOLEAN,),
        VOID,
        _assume,
        "local",
        reads=("own",),
        doc="ghost: restricts the open arguments of an entry function",
        waives=Waives("runs in which it is false are not looked at"),
    ),
    *(intrinsic for lock in MUTEXES for intrinsic in _mutex(lock)),
)

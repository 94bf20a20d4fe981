"""Guards: where the lock is given back, and which guards are refused. What they mean when they run stands in docs/kernel-c.md."""

from __future__ import annotations

import pytest

from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.kernelc.text.show import show


def read(body: str) -> str:
    """The body of a function with its guards written out."""
    unit = parse(f"int f(struct kvm *kvm, int n)\n{{\n{body}\n}}\n", "f.c")
    if unit.broken:
        raise unit.broken["f"]
    return show(unit.functions["f"].body)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("guard(rcu)(); n++;", "rcu_read_lock(); n++; rcu_read_unlock();"),
        (
            "guard(rcu)(); return n + 1;",
            "rcu_read_lock(); { int __guarded = n + 1; rcu_read_unlock(); return __guarded; } rcu_read_unlock();",
        ),
        (
            "guard(rcu)(); while (n) { guard(read_lock)(&kvm->l); if (n) break; if (a) goto out; } out: n++;",
            "rcu_read_lock(); while (n) { read_lock(&kvm->l); if (n) { read_unlock(&kvm->l); break; }"
            " if (a) { read_unlock(&kvm->l); goto out; } read_unlock(&kvm->l); } out: n++; rcu_read_unlock();",
        ),
        ("again: n++; guard(rcu)(); goto again;", "again: n++; rcu_read_lock(); { rcu_read_unlock(); goto again; } rcu_read_unlock();"),
        ("guard(rcu)(); while (n) { if (n) break; }", "rcu_read_lock(); while (n) { if (n) break; } rcu_read_unlock();"),
        ("scoped_guard(mutex, &kvm->l) n++; n--;", "{ mutex_lock(&kvm->l); n++; mutex_unlock(&kvm->l); } n--;"),
        ("scoped_guard(rcu) while (n) break;", "{ rcu_read_lock(); while (n) break; rcu_read_unlock(); }"),
    ],
)
def test_a_lock_is_given_back_wherever_its_scope_is_left(given: str, same: str) -> None:
    """The inner lock alone where only its scope is left, each once, the last one first."""
    assert same in read(given)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("if (n) guard(rcu)();", "no statement of a block"),
        ("n = ({ guard(rcu)(); 1; });", "no statement of a block"),
        ("goto in; guard(rcu)(); in: n++;", "a jump into the scope of a guard"),
        ("guard(rcu)(); n = ({ if (n) return 1; 1; });", "a return from a statement expression"),
        ("guard(mutex)(lock_of(kvm));", "is the same lock"),
        ("guard(mutex)(&kvm->l); kvm = other;", "is the same lock"),
        ("scoped_guard(rcu) { if (n) continue; }", "a continue out of a scoped_guard()"),
        ("guard(kvm_srcu)(kvm);", "a guard of class kvm_srcu"),
    ],
)
def test_what_is_not_plain_is_refused(given: str, what: str) -> None:
    """A lock that is released at another place, or another lock, would be another program."""
    with pytest.raises(Refusal) as told:
        read(given)
    assert what in str(told.value)

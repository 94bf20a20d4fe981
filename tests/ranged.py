"""A notifier that flushes the range it was given and no more, as it may where nothing is mapped huge: what a flush of a range does."""

from __future__ import annotations

from collections.abc import Mapping

_ALL = "\t\tkvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n}\n"


def ranged(files: Mapping[str, str]) -> dict[str, str]:
    """The shipped kernel C with that notifier."""
    text = files["kvm_main.c"]
    assert 1 == text.count(_ALL)
    return {**files, "kvm_main.c": text.replace(_ALL, _ALL.replace("tlbs(kvm)", "tlbs_range(kvm, start, last)"))}

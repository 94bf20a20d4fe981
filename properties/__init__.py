"""What must hold: one file a property, with the sentence, the premise that must be reachable, where it comes from, and how it is told.

A new property is a file of its own and a line of `REGISTRY`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..core.system import Property
from . import (
    atomic_hugepage_split,
    flush_before_release,
    kernel_assertions,
    mirror_agrees,
    no_stale_cpu_mapping,
    no_stale_io_mapping,
    no_stale_spte,
    no_table_leak,
    no_table_use_after_free,
    notifier_exclusion,
    reject_noncoherent_dma,
    root_liveness,
)
from .registered import Registered

REGISTRY: dict[str, Registered] = {
    entry.prop.name: entry
    for entry in (
        no_stale_io_mapping.REGISTERED,
        atomic_hugepage_split.REGISTERED,
        reject_noncoherent_dma.REGISTERED,
        root_liveness.REGISTERED,
        notifier_exclusion.REGISTERED,
        flush_before_release.REGISTERED,
        no_stale_spte.REGISTERED,
        no_stale_cpu_mapping.REGISTERED,
        mirror_agrees.REGISTERED,
        no_table_leak.REGISTERED,
        no_table_use_after_free.REGISTERED,
        kernel_assertions.REGISTERED,
    )
}
"""The properties that there are, by name."""


class _OfTheMachine(Mapping[str, Property]):
    """The properties of the registry that no program has to be known for."""

    def __getitem__(self, name: str) -> Property:
        entry = REGISTRY[name]
        if not entry.every_size:
            raise KeyError(name)
        return entry.prop

    def __iter__(self) -> Iterator[str]:
        return (name for name, entry in REGISTRY.items() if entry.every_size)

    def __len__(self) -> int:
        return sum(1 for _ in self)


PROPERTIES: Mapping[str, Property] = _OfTheMachine()
"""The properties that speak of the machine alone, by name; of any size, therefore."""

__all__ = ["PROPERTIES", "REGISTRY", "Registered"]

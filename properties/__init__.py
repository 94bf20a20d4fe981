"""What must hold: one file a property, with the sentence, the premise that must be reachable, and where it comes from."""

from __future__ import annotations

from ..core.system import Property
from . import (
    atomic_hugepage_split,
    flush_before_release,
    no_stale_io_mapping,
    no_stale_spte,
    notifier_exclusion,
    reject_noncoherent_dma,
    root_liveness,
)

_MODULES = (
    no_stale_io_mapping,
    atomic_hugepage_split,
    reject_noncoherent_dma,
    root_liveness,
    notifier_exclusion,
    flush_before_release,
    no_stale_spte,
)
PROPERTIES: dict[str, Property] = {module.PROPERTY.name: module.PROPERTY for module in _MODULES}
"""The properties that speak of the machine alone, by name; `kernel_assertions` is made per program."""

"""What walkers read: each reading is one of four, and known values are what the documents say."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.formats.agreement import MACHINES
from tdpcheck.formats.questions import plain
from tdpcheck.formats.readers import LEVELS, Hardware, Reading, ept, exclusive, npt, vtd
from tdpcheck.formats.written import ENTRY


def kind(reading: Reading, value: int) -> str:
    parts = {"absent": z3.Not(reading.present), "refused": reading.refused, "table": reading.table, "leaf": reading.leaf}
    (only,) = (name for name, term in parts.items() if plain(term, {"entry": value}))
    return only


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_entry_is_absent_or_refused_or_a_table_or_a_leaf(level: int, machine: str) -> None:
    solver = z3.Solver()
    solver.add(z3.Not(exclusive([read(ENTRY, level, MACHINES[machine]) for read in (ept, vtd, npt)])))
    assert solver.check() == z3.unsat


@pytest.mark.parametrize(
    ("value", "level", "by_ept", "by_vtd"),
    [
        (0x0, 1, "absent", "absent"),
        (0x7, 1, "leaf", "leaf"),
        (0x1, 1, "leaf", "leaf"),
        (0x4, 1, "leaf", "absent"),  # X alone says nothing to an IOMMU
        (0x6, 1, "refused", "leaf"),  # the asymmetry that MMIO entries run into
        (0x2, 1, "refused", "leaf"),
        (0x17, 1, "refused", "leaf"),  # memory type 2
        (0x807, 2, "table", "refused"),
        (0x807, 1, "leaf", "leaf"),
        (0x87, 2, "leaf", "leaf"),
        (0x1087, 2, "refused", "refused"),
        (0x87, 3, "leaf", "leaf"),
        (0x200087, 3, "refused", "refused"),
        (0x87, 4, "refused", "refused"),
        (0x27, 3, "refused", "table"),  # bits 6:3 of a table's entry
        (1 << 51 | 7, 1, "refused", "refused"),
        (1 << 45 | 7, 1, "leaf", "leaf"),
        (0x7FF0000000000007, 1, "leaf", "leaf"),  # every bit that software may have
    ],
)
def test_known_values(value: int, level: int, by_ept: str, by_vtd: str) -> None:
    usual = Hardware()
    assert (kind(ept(ENTRY, level, usual), value), kind(vtd(ENTRY, level, usual), value)) == (by_ept, by_vtd)


def test_each_switch_changes_what_is_read() -> None:
    """A switch that changes nothing would be no switch."""
    values, seen = (0x6, 0x807, 0x4, 1 << 62 | 7, 1 << 40 | 7), set()
    for name, machine in {**MACHINES, "no-exec-only": Hardware(exec_only=False)}.items():
        for value in values:
            for read in (ept, vtd):
                if kind(read(ENTRY, 1, machine), value) != kind(read(ENTRY, 1, Hardware()), value):
                    seen.add(name)
    assert seen == {*MACHINES, "no-exec-only"} - {"usual"}

"""Races that people claim: those of bugs that the museum shows are possible, and others that cannot happen are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tdpcheck import Change, Race, race
from tdpcheck.core.errors import InputError
from tdpcheck.runner.races.answers import Answer
from tdpcheck.tests.calling import diff
from tdpcheck.tests.counterexamples.planted import FAULTS, GOLDEN
from tdpcheck.tests.few import drawn

DIAGRAMS = Path(__file__).parent / "diagrams"


@dataclass(frozen=True)
class Claim:
    """A diagram, and what is right to say of it.

    Args:
        breaks: what it violates in the museum's kernel C; empty where it is asked of ours.
        core: the lines that exclude each other in ours.
        stops: what is named as being in its way.
    """

    name: str
    breaks: str = ""
    core: tuple[int, ...] = ()
    stops: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    def asked(self, change: Change | None = None) -> Race:
        return race((DIAGRAMS / f"{self.name}.txt").read_text(), columns=self.columns, change=change, name=self.name, timeout=600)


BUGS = (
    Claim("fault-without-retry", "no_stale_io_mapping", (11, 13, 16), "mmu_invalidate_retry"),
    Claim("flush-without-iommu", "no_stale_io_mapping"),
    Claim("flush-after-unlock", "flush_before_release", (4, 6, 8)),
    Claim("table-freed-without-rcu", "no_stale_io_mapping", (5, 6, 7, 8)),
    Claim("split-links-before-filling", "atomic_hugepage_split", columns={"CPU 0": "clear"}),
    Claim("export-check-outside-lock", "reject_noncoherent_dma"),
)
HARMLESS = (
    Claim("stale-pfn", core=(6, 8, 11), stops="mmu_invalidate_retry"),
    Claim("install-before-flush", core=(2, 4, 5)),
    Claim("freed-before-invalidated", core=(4, 5), stops="inv_submitted[0,0,0] is false"),
    Claim("write-below-freed-table", core=(3, 5, 6, 7)),
    Claim("export-over-registered", core=(3, 4), stops="noncoherent_registered[0] is true"),
    Claim("installed-from-before-the-end", stops="mmu_invalidate_retry"),
)
SMALL = {"freed-before-invalidated", "export-over-registered", "export-check-outside-lock"}


def asked_of(claims: Iterable[Claim], count: int) -> pytest.MarkDecorator:
    """A test of each claim: small ones are quick, of the others so many are asked by day."""
    claims = list(claims)
    small = [c for c in claims if c.name in SMALL]
    return pytest.mark.parametrize("claim", [*small, *drawn((c for c in claims if c not in small), count)], ids=lambda c: c.name)


@asked_of(BUGS, 2)
def test_the_race_of_a_bug_is_possible_and_breaks_what_the_museum_says(claim: Claim) -> None:
    found = claim.asked(Change.of_museum(claim.name))

    assert Answer.POSSIBLE is found.answer
    assert claim.breaks in {*found.breaks, *found.also}
    steps = [line.step for line in found.lines if line.step is not None]
    assert steps == sorted(steps)
    assert len(found.lines) == len(steps)


@asked_of((c for c in BUGS if c.core or c.name == "export-check-outside-lock"), 1)
def test_without_the_bug_it_is_impossible_or_breaks_nothing(claim: Claim) -> None:
    found = claim.asked()

    assert not found.breaks
    if claim.core:
        assert Answer.IMPOSSIBLE is found.answer
        assert claim.core == tuple(found.lines[number].entry.line for number in found.core)
        assert claim.stops in " ".join(found.obstacle)


@asked_of(HARMLESS, 2)
def test_what_cannot_happen_is_impossible_for_a_reason(claim: Claim) -> None:
    found = claim.asked()

    assert Answer.IMPOSSIBLE is found.answer
    assert found.obstacle
    if claim.core:
        assert claim.core == tuple(found.lines[number].entry.line for number in found.core)
    assert claim.stops in " ".join(found.obstacle)


@pytest.mark.parametrize("name", drawn(["retry-is-harmless", "two-zaps"], 1))
def test_what_can_happen_and_harms_nobody(name: str) -> None:
    found = Claim(name).asked()

    assert Answer.POSSIBLE is found.answer
    assert {} == found.breaks
    assert "no_stale_io_mapping" in found.asked


@pytest.mark.parametrize("name", drawn(["never-retry", "register-unchecked", "skip-iotlb-flush", "invalidate-exported"], 2))
def test_our_own_text_of_a_violation_reads_back_into_it(name: str, tmp_path: Path) -> None:
    """Of the kernel C with the fault it is a run that breaks the property."""
    fault = FAULTS[name]
    patch = tmp_path / "a.patch"
    patch.write_text(diff(fault.file, fault.old, fault.new))

    found = race((GOLDEN / f"{name}.txt").read_text(), change=str(patch), timeout=600)

    assert Answer.POSSIBLE is found.answer, [line for line in found.lines if not line.meant]
    assert fault.prop in {*found.breaks, *found.also}


def test_a_column_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="there is no such column; there are userspace, VFIO"):
        Claim("export-check-outside-lock", columns={"CPU7": "fault"}).asked()


def test_a_flow_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="there is no flow 'faul'"):
        Claim("export-check-outside-lock", columns={"VFIO": "faul"}).asked()


def test_flows_that_cannot_run_side_by_side_are_said_to() -> None:
    with pytest.raises(InputError, match="cannot run side by side"):
        race("CPU0        CPU1\nzaps        zaps\n", columns={"CPU0": "delete", "CPU1": "notifier"})


def test_a_scenario_with_too_many_states_is_unknown() -> None:
    found = race("CPU0        CPU1\nzaps        installs\n", columns={"CPU0": "notifier", "CPU1": "fault"}, states=100)

    assert Answer.UNKNOWN is found.answer
    assert "more than 100 states" in found.reason

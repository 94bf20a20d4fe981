"""What the recorder needs, what it reads, and what it left: traces of unmodified kernels that are kept here."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.tests.calling import Call
from tdpcheck.traces import recording
from tdpcheck.traces.flows import flows_of
from tdpcheck.traces.format import KINDS, read
from tdpcheck.traces.ftrace import recorded
from tdpcheck.traces.monitor import monitor

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.gz"))
CONSOLE = """RECORD release 6.1.0-57-amd64
RECORD unknown flush_range p kvm_flush_remote_tlbs_range gfn=gfn:x64
RECORD unknown set_pte p nothing
RECORD probes flush_range wlock
VMM slot gfn 0x40000 pages 1024 hva 0x7f0000000000 vcpus 3
RECORD lost overrun: 2 dropped events: 1
"""
TEXT = """# tracer: nop
   vmm-9  [001] .....   1: wlock: (_raw_write_lock+0x0/0x30) lock=0xff10
   vmm-9  [001] .....   2: wlocked: (write_lock+0x1/0x2 <- _raw_write_lock)
   vmm-9  [001] .....   3: wunlock: (_raw_write_unlock+0x0/0x20) lock=0xff10
   vmm-9  [001] .....   4: wlock: (_raw_write_lock+0x0/0x30) lock=0xaa00
   vmm-9  [001] ...1.   5: wlocked: (kvm_mmu_notifier_invalidate_range_start+0x215/0x360 [kvm] <- _raw_write_lock)
   vmm-9  [001] ...1.   6: unmap: (kvm_tdp_mmu_unmap_gfn_range+0x0/0x90 [kvm]) kvm=0xaa00 start=0x40207 end=0x40208
   vmm-9  [001] ...1.   7: kvm_tdp_mmu_spte_changed: as id 0 gfn 40207 level 1 old_spte 6006e67 new_spte 0
   vmm-9  [001] ...1.   8: mm_page_free: page=00000000f92d8f26 pfn=0x6006 order=0
   vmm-9  [001] ...1.   9: mm_page_free: page=00000000f92d8f26 pfn=0x6007 order=0
   vmm-8  [000] .N...  10: kvm_page_fault: vcpu 1 rip 0xd address 0x0000000040201040 error_code 0x100000004
   vmm-9  [001] ...1.  11: wunlock: (_raw_write_unlock+0x0/0x20) lock=0xaa00
"""


def test_the_text_of_a_trace_is_read() -> None:
    """Events of another lock are left out, as are frees of frames that nothing mapped; each has the interval in which it happened."""
    trace = recorded(TEXT, CONSOLE, seed=3, rounds=4)

    assert [(e.kind, e.begin, e.end, e.task) for e in trace.events] == [
        ("wlock", 4, 5, 9), ("wlocked", 4, 5, 9), ("unmap", 6, 7, 9), ("spte", 6, 7, 9), ("freed", 8, 11, 9), ("page_fault", 0, 10, 8),
        ("wunlock", 11, 12, 9),
    ]  # fmt: skip
    assert trace.events[3].values == {"as_id": 0, "gfn": 0x40207, "level": 1, "old": 0x6006E67, "new": 0}
    assert trace.events[5].values == {"vcpu": 1, "gfn": 0x40201}
    assert (trace.header.version, trace.header.lost, trace.header.absent) == ("6.1", 3, ("set_pte",))


def test_a_machine_that_says_nothing_left_no_trace() -> None:
    with pytest.raises(InputError, match="did not say which kernel"):
        recorded(TEXT, "", seed=0, rounds=0)
    with pytest.raises(InputError, match="0 locks are held where KVM unmaps"):
        recorded("", CONSOLE, seed=0, rounds=0)


def test_every_probe_is_an_event() -> None:
    lines = (Path(recording.__file__).parent / "guest" / "probes.txt").read_text().splitlines()
    probes = {line.split()[0] for line in lines if not line.startswith("#")}

    assert probes - set(KINDS) == set()
    assert {*recording.SLOWED, *(each for slow in recording.ALWAYS_SLOW.values() for each in slow)} <= probes


def test_what_is_missing_is_told(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    result = call("trace", "record", "--kernel-version", "6.1", "--out", str(tmp_path / "a.gz"))

    assert result.exit_code == 3
    assert "NOT RUN: missing: qemu-system-x86_64 (Debian: qemu-system-x86), busybox (Debian: busybox-static), gcc" in result.stderr
    assert not (tmp_path / "a.gz").exists()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_kernel_kept_its_promises(path: Path) -> None:
    """Every promise was put to the test, and none was broken."""
    trace = read(path)

    assert trace.header.lost == 0
    assert {each.promise: len(each.broken) for each in monitor(trace) if each.broken or not each.asked} == {}
    assert [i.seq for i in flows_of(trace).invalidations if i.closed] != []

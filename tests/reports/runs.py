"""Runs as `verify --out` leaves them, made by hand: no engine has a say in what a report of them looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tdpcheck.runner.asking.results import Change, ChangedLine, Document, Result, RoleSteps, document
from tdpcheck.runner.asking.traces import TraceStep
from tdpcheck.runner.documents import to_json

COMMON = "memory is sequentially consistent"
FIRST, SECOND = "s.mbox: [1/2] Drop the flush", "s.mbox: [2/2] Count <elsewhere> | there"
STEPS = (
    TraceStep("iommu", "fill", (0,), "IOTLB: gfn 0 -> A", None),
    TraceStep("notifier", "zap", (0,), "spte gfn 0: A -> none", "tdp_mmu.c:29"),
    TraceStep("notifier", "free", (0,), "host unmaps gfn 0, frees A", "kvm_main.c:41"),
)


def answer(prop: str, scenario: str, verdict: str = "holds_up_to", **more: Any) -> Result:
    """The record of an answer, with what is usual."""
    violated = verdict == "violated"
    values: dict[str, Any] = {
        "property": prop, "scenario": scenario, "change": None, "kernel": "shipped", "verdict": verdict, "seconds": 1.25,
        "depth": 3 if violated else None if verdict == "proved" else 12, "trace": STEPS if violated else None, "reason": None,
        "lifted": (), "asked": 12, "expected": "holds", "as_expected": not violated, "label": None, "before": None,
        "shortest": True if violated else None, "engine": "explore", "goals": {"zapped": 3},
        "steps": {"notifier": RoleSteps(("kvm_main.c:41: free_page(page)",), ("kvm_main.c:12: return -EINTR",))},
        "assumptions": (f"threads: notifier of {scenario}; nobody else runs", COMMON), "model": "5ac037835c81",
        "absent": ("device TLBs (ATS)",),
    }  # fmt: skip
    return msgspec.convert(values | more, Result, strict=False, from_attributes=True)


def line(text: str, fate: str = "reached", why: str = "", kind: str = "removed") -> ChangedLine:
    return msgspec.convert({"file": "kvm_main.c", "line": 15, "kind": kind, "text": text, "fate": fate, "why": why}, ChangedLine)


def plain_run() -> Document:
    """The code as it is: all holds but for one known hole; one question has no answer, one is suspended."""
    return document(
        [
            answer("no_stale_io_mapping", "quiet", states=152),
            answer("kernel_assertions", "quiet", "proved"),
            answer("no_stale_io_mapping", "noisy", "violated", expected="violated", as_expected=True),
            answer("root_liveness", "noisy", "unknown", depth=4, reason="depth: searched to 4 of 12; the time is up", kind="time-out"),
            answer(
                "no_stale_spte", "noisy", "unknown", depth=None, reason="suspended: nobody agrees on what it should say", kind="suspended"
            ),
            answer("flush_before_release", "quiet", goals={"zapped": None}),
        ]
    )


def series_run() -> Document:
    """Two patches: the first breaks a property in two scenarios by the same run, the second is not modelled."""
    unknown = "change not modelled: kvm_main.c:15 (removed) is outside what is modelled: no selected scenario calls <it>"
    records = [
        answer("no_stale_io_mapping", "quiet", "violated", change=FIRST, label="introduced", as_expected=False),
        answer("no_stale_io_mapping", "noisy", "violated", change=FIRST, label="introduced", as_expected=False),
        answer("kernel_assertions", "quiet", change=FIRST),
        answer("root_liveness", "noisy", change=FIRST, label="fixed"),
        answer("no_stale_io_mapping", "quiet", "violated", change=SECOND, label="pre-existing", as_expected=False),
        answer("no_stale_io_mapping", "noisy", "violated", change=SECOND, label="pre-existing", as_expected=False),
        answer("kernel_assertions", "quiet", "unknown", change=SECOND, reason=unknown, kind="change-not-modelled", seconds=9.5),
        answer("root_liveness", "noisy", "unknown", change=SECOND, reason=unknown, kind="change-not-modelled"),
    ]
    lost = line("\tcount_dec(kvm, dev);", "outside", "no selected scenario calls <it>")
    changes = [
        Change(FIRST, "[1/2] Drop the flush", True, (line("\tkvm_tdp_fd_flush_notify_range(kvm, start, last);"),)),
        Change(
            SECOND, "[2/2] Count <elsewhere> | there", False, (lost, line("", "reached", kind="added")), ("hunk 1 has moved by 3 lines",)
        ),
    ]
    return document(records, changes)


def leave(document: Document, folder: Path) -> str:
    """Write a run as `verify --out` does."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(to_json(document))
    return str(folder)

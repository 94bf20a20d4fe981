"""Faults planted in the shipped kernel C, each with the property that it breaks: what the tests of this room tell stories of.

The documents and reports of all of them are kept in `golden/`. `python -m tdpcheck.tests.counterexamples.planted` makes them again,
with `--forms` only the reports, from the documents as they are kept; what it changes is read in review.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.minimal import plainest
from tdpcheck.core.ground import ground
from tdpcheck.core.system import Property
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import actor_of, from_verdict
from tdpcheck.counterexamples.forms.png import SLIDE, ZOOM, rasterised
from tdpcheck.counterexamples.forms.svg import svg, svg_slide
from tdpcheck.counterexamples.schema import Cex, load, write
from tdpcheck.kernelc.sources.apply import ChangedLine, apply
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import KernelSource, Model, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.kernel_assertions import kernel_assertions
from tdpcheck.runner.telling.quoting import quoted
from tdpcheck.runner.telling.rendering import render

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Fault:
    """One edit of one file of kernel C (none where the design itself is at fault), and where it shows."""

    name: str
    scenario: str
    prop: str
    depth: int
    file: str = ""
    old: str = ""
    new: str = ""

    def source(self) -> KernelSource:
        """The kernel C with the fault in it."""
        source = shipped_source(shipped_scenarios()[self.scenario].design)
        if self.file:
            whole = source.files[self.file]
            assert whole.count(self.old) == 1, f"{self.name}: {self.file} no longer has exactly one place for the edit"
            source = KernelSource(source.design, {**source.files, self.file: whole.replace(self.old, self.new)})
        return source

    def model(self) -> Model:
        return build(shipped_scenarios()[self.scenario], parse_source(self.source()))

    def quoted(self, cex: Cex) -> Cex:
        """The document with the functions and the changed lines that a report quotes."""
        before, after = shipped_source(shipped_scenarios()[self.scenario].design).files, self.source().files
        changed: tuple[ChangedLine, ...] = ()
        if self.file:
            old, new = before[self.file].splitlines(keepends=True), after[self.file].splitlines(keepends=True)
            diff = "".join(difflib.unified_diff(old, new, f"a/{self.file}", f"b/{self.file}"))
            changed = apply(parse_change(diff.encode(), f"{self.name}.patch")[0], before).changed
        return quoted(cex, parse_source(self.source()).functions, after, changed)

    def property_of(self, model: Model) -> Property:
        return PROPERTIES[self.prop] if self.prop in PROPERTIES else kernel_assertions(model.system.by_name["assertion_failed"])

    @property
    def change(self) -> str | None:
        return f"{self.name}.patch" if self.file else None

    @property
    def kept(self) -> Cex:
        """The document as it is kept."""
        path = GOLDEN / f"{self.name}.cex.json"
        return load(path.read_bytes(), path.name)


def violation(model: Model, prop: Property, depth: int) -> Violated:
    """The shortest run that violates `prop`."""
    verdict = bmc(ground(model.system, model.geometry), prop, depth)
    assert isinstance(verdict, Violated), f"the fault is not found: {verdict}"
    return verdict


CHECK = (
    "\tif (is_shadow_present_pte(old_spte) && !is_last_spte(old_spte, iter->level))\n"
    "\t\tkvm_flush_remote_tlbs_gfn(kvm, iter->gfn, iter->level);\n"
)
CPUS = "\tkvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);\n"
REFUSE = "\tif (kvm_tdp_is_exported(kvm)) {\n\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EBUSY;\n\t}\n"
LEAVE = "\trcu_read_unlock();\n\tif (shared)"
BEGIN = "lock(&kvm->mmu_lock);\n\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
MM, TDP, FD, CORE = "mmu.c", "tdp_mmu.c", "tdp_fd.c", "kvm_main.c"
STALE = "no_stale_io_mapping"

_ALL = (
    Fault("skip-iotlb-flush", "notifier-vs-fault", STALE, 12, CORE, f"{CPUS}\tkvm_tdp_fd_flush_notify(kvm);\n", CPUS),
    Fault("skip-table-flush", "collapse-vs-fault", STALE, 12, TDP, CHECK, ""),
    Fault(
        "never-retry", "notifier-vs-iofault", "notifier_exclusion", 16, MM, "return mmu_invalidate_retry(kvm, fault->gfn);", "return false;"
    ),
    Fault(
        "yield-unflushed",
        "notifier-two-roots",
        "flush_before_release",
        10,
        TDP,
        f"\tif (flush)\n\t\tkvm_flush_remote_tlbs(kvm);\n{LEAVE}",
        LEAVE,
    ),
    Fault("register-unchecked", "noncoherent-export", "reject_noncoherent_dma", 8, FD, REFUSE, ""),
    Fault(
        "skip-invalid-roots",
        "fast-zap-vs-notifier",
        "no_stale_spte",
        10,
        TDP,
        "tdp_mmu_next_root(kvm, &root, false)",
        "tdp_mmu_next_root(kvm, &root, true)",
    ),
    Fault("invalidate-exported", "fast-zap-exported", "root_liveness", 6, MM, "\t\tif (root->exported)\n\t\t\tcontinue;\n", ""),
    Fault("zap-under-read-lock", "notifier-vs-fault", "kernel_assertions", 6, CORE, f"write_{BEGIN}", f"read_{BEGIN}"),
    Fault("split-of-6.1", "linux-6.1-fault-split", "atomic_hugepage_split", 8),
    Fault("unmap-a-part", "partial-unmap", "atomic_hugepage_split", 6),
)
FAULTS = {fault.name: fault for fault in _ALL}


FORMS = {"text": "txt", "dot": "dot", "md": "md", "sarif": "sarif"}
"""Which forms are kept of every fault, and how their files' names end."""
LARGE = {
    "html": "html",
    "svg": "svg",
    "svg-slide": "slide.svg",
    "svg-lanes": "lanes.svg",
    "mermaid": "mmd",
    "itf": "itf.json",
    "graphml": "graphml",
    "graphml-steps": "steps.graphml",
    "node-link": "graph.json",
    "node-link-steps": "steps.json",
    "junit": "junit.xml",
}
PIXELS = {"png": "small.png", "png-slide": "slide.small.png"}
"""These are kept smaller."""
SHOWN = "skip-iotlb-flush"
"""Of one fault the forms are kept that are large."""


def forms_of(name: str) -> dict[str, str]:
    """The forms that are kept of a fault."""
    return FORMS | (LARGE if name == SHOWN else {})


def small(cex: Cex, form: str) -> bytes:
    """A picture in pixels with a sixteenth of them: it is kept, and compared pixel by pixel."""
    return rasterised(svg(cex), zoom=ZOOM / 4) if form == "png" else rasterised(svg_slide(cex), width=SLIDE // 4)


def remake(names: list[str]) -> None:
    """Find each fault again and keep its document and reports."""
    for name in names or list(FAULTS):
        fault = FAULTS[name]
        model = fault.model()
        prop = fault.property_of(model)
        verdict = violation(model, prop, fault.depth)
        # A solver may give another run tomorrow; the plainest one is always the same.
        trace = plainest(model.system, model.geometry, prop, lambda m: actor_of(model, m.action, m.arguments))  # noqa: B023
        assert trace is not None
        assert trace.depth == verdict.depth
        cex = fault.quoted(from_verdict(model, prop, replace(verdict, trace=trace), fault.change))
        (GOLDEN / f"{name}.cex.json").write_bytes(write(cex))
    remake_forms(names)


def remake_forms(names: list[str]) -> None:
    """Render each kept document again."""
    for name in names or list(FAULTS):
        for form, ending in forms_of(name).items():
            (GOLDEN / f"{name}.{ending}").write_bytes(render(FAULTS[name].kept, form))
        if name == SHOWN:
            for form, ending in PIXELS.items():
                (GOLDEN / f"{name}.{ending}").write_bytes(small(FAULTS[name].kept, form))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--forms"]:
        remake_forms(sys.argv[2:])
    else:
        remake(sys.argv[1:])

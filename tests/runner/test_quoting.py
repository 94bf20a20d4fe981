"""What a document quotes: our own functions and the lines of the change that matter, and never a function of a kernel tree."""

from __future__ import annotations

from msgspec.structs import replace

from tdpcheck.kernelc.sources.apply import ChangedLine
from tdpcheck.model.system import parse_source
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.telling.quoting import edits, listings
from tdpcheck.tests.counterexamples.planted import FAULTS, SHOWN


def test_each_function_that_the_run_passes_through_is_quoted_as_it_stands() -> None:
    """With the change applied: its lines are where the steps say that they are."""
    fault = FAULTS[SHOWN]
    source = fault.source()
    found = listings(fault.kept, parse_source(source).functions, source.files)
    by_name = {(x.file, x.function): x for x in found}

    assert {(s.file, s.function) for step in fault.kept.steps for s in step.sources} <= by_name.keys()
    for listing in found:
        lines = source.files[listing.file].split("\n")
        assert lines[listing.line - 1 : listing.line - 1 + len(listing.text.split("\n"))] == listing.text.split("\n")
        assert listing.function in listing.text.split("{")[0]
        assert listing.text.rstrip().endswith("}")
    assert "kvm_tdp_fd_flush_notify" not in by_name["kvm_main.c", "kvm_flush_remote_tlbs"].text


def test_lifted_functions_are_not_quoted() -> None:
    """Nor is anything whose file is not one of ours, whatever it is called and wherever it points."""
    fault = FAULTS[SHOWN]
    functions = parse_source(fault.source()).functions
    lifted = replace(fault.kept, kernel="v6.1", lifted=tuple(f"{name} (x.c)" for name in functions))
    elsewhere = dict.fromkeys((*files_of(None), "arch/x86/kvm/mmu/tdp_mmu.c"), "secret\n" * 200)

    assert () == listings(lifted, functions, elsewhere)
    assert all("secret" not in x.text for x in listings(replace(lifted, lifted=()), functions, elsewhere))


def test_lines_that_say_nothing_are_no_part_of_a_change() -> None:
    """A brace is nowhere to send a reviewer."""
    lines = [
        ChangedLine("a.c", "added", 3, "\t}", 3),
        ChangedLine("a.c", "added", 4, "\tflush();", 4),
        ChangedLine("a.c", "removed", 5, "", 6),
    ]

    assert [("added", 4, "\tflush();")] == [(e.kind, e.line, e.text) for e in edits(lines)]

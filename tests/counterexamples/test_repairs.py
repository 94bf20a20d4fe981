"""No repair is told that does not repair: each is built and asked about, and what is told is the edit that was asked about."""

from __future__ import annotations

import pytest

from tdpcheck.checker.states.explore import explore
from tdpcheck.core.errors import TdpcheckError
from tdpcheck.core.verdict import Proved
from tdpcheck.counterexamples.why.repairs import REVERT, WANTED, Files, applied, verified
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import KernelSource, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.no_stale_io_mapping import WAIT_FOR_COMPLETION
from tdpcheck.runner.inputs.changes import patched
from tdpcheck.tests.counterexamples.planted import FAULTS, Fault


def files_of(fault: Fault) -> dict[str, str]:
    shipped = shipped_source(shipped_scenarios()[fault.scenario].design).files
    return {**shipped, fault.file: shipped[fault.file].replace(fault.old, fault.new)}


def holds(fault: Fault, files: Files) -> str | None:
    """Every state visited, by the test's own way through the program."""
    scenario = shipped_scenarios()[fault.scenario]
    try:
        model = build(scenario, parse_source(KernelSource(scenario.design, files)))
    except TdpcheckError:
        return None
    verdict = explore(model.system, model.geometry, PROPERTIES[fault.prop]).verdict
    return "holds" if isinstance(verdict, Proved) else None


@pytest.mark.slow
def test_the_missing_refusal_is_found_and_its_diff_repairs_the_fault() -> None:
    """The diff is what a maintainer would apply, so it is what is checked again here."""
    fault = FAULTS["register-unchecked"]
    files = files_of(fault)
    found = verified(fault.kept, files, lambda changed: holds(fault, changed))
    first = found[0]
    again = patched(parse_change(first.diff, "repair.diff"), files)[-1].files

    assert ("refuse the registration", "holds") == (first.name, first.verified)
    assert first.where.startswith("tdp_fd.c:")
    assert holds(fault, files) is None
    assert holds(fault, dict(again)) == "holds"


@pytest.mark.slow
def test_a_missing_flush_is_put_where_it_was_needed() -> None:
    """Two places will do; both are told, and each is enough by itself."""
    fault = FAULTS["skip-iotlb-flush"]
    files = files_of(fault)
    found = verified(fault.kept, files, lambda changed: holds(fault, changed))

    assert found
    for repair in found:
        assert holds(fault, dict(patched(parse_change(repair.diff, "repair.diff"), files)[-1].files)) == "holds"


def test_nothing_is_told_that_the_check_does_not_bear_out() -> None:
    """A sentence without a verdict behind it would be advice, and wrong advice at that."""
    fault = FAULTS["skip-iotlb-flush"]
    asked: list[Files] = []

    def never(files: Files) -> str | None:
        asked.append(files)
        return None

    assert () == verified(fault.kept, files_of(fault), never, shipped_source("shared").files)
    assert asked


def test_no_edit_is_asked_about_twice_and_enough_is_enough() -> None:
    """Each question costs seconds."""
    fault = FAULTS["skip-iotlb-flush"]
    asked: list[tuple[str, ...]] = []

    def always(files: Files) -> str | None:
        asked.append(tuple(files.values()))
        return "holds"

    found = verified(fault.kept, files_of(fault), always)
    assert WANTED == len(found) == len(asked) == len(set(asked))


def test_taking_the_change_back_is_the_last_resort() -> None:
    """It says nothing that the author of the change does not know; it is told where nothing else repairs."""
    fault = FAULTS["skip-table-flush"]
    shipped = dict(shipped_source("shared").files)

    def only_as_shipped(files: Files) -> str | None:
        return "holds" if dict(files) == shipped else None

    found = verified(fault.kept, files_of(fault), only_as_shipped, shipped)
    assert [REVERT] == [repair.name for repair in found]
    assert "+\t\tkvm_flush_remote_tlbs_gfn(kvm, iter->gfn, iter->level);" in found[0].diff


def test_a_statement_under_a_bare_condition_is_left_alone() -> None:
    """A line put before it would take its place under the condition."""
    text = "void f(struct kvm *kvm)\n{\n\tif (x)\n\t\tqi_submit_iotlb_domain();\n\tqi_submit_iotlb_domain();\n}\n"
    [edit] = applied(WAIT_FOR_COMPLETION, "a.c", "f", text)

    assert text.replace("\n\tqi_submit_iotlb_domain();\n", "\n\tqi_submit_iotlb_domain();\n\tqi_wait();\n") == edit.text
    assert 5 == edit.line
    assert [] == list(applied(WAIT_FOR_COMPLETION, "a.c", "g", text))

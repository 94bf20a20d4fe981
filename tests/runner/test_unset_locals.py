"""A change by which a local is read before it is set is told, with the line and the local; what no run comes to is not."""

from __future__ import annotations

import pytest

from tdpcheck import Change, Run, verify
from tdpcheck.tests.calling import QUICK, diff

ROOT = "\tstruct kvm_mmu_page *root = kvm_exported_root(kvm);\n"
EXPORTED = "\troot->exported = true;\n"
AGAIN = "\t\treturn -EAGAIN;\n"


def checked(old: str, new: str) -> Run:
    change = Change("c.patch", diff("tdp_fd.c", old, new).encode())
    return verify(QUICK, "kernel_assertions", change=change, certify=False, cache=False)


@pytest.mark.parametrize(
    ("old", "new", "local", "line"),
    [
        (ROOT, ROOT.partition(" =")[0] + ";\n", "root", 49),
        (EXPORTED, "\tbool on;\n\n\troot->exported = on;\n", "on", 55),
        (EXPORTED, "\tbool on;\n\n\tif (root->role.invalid)\n\t\ton = true;\n\troot->exported = on;\n", "on", 57),
    ],
)
def test_a_change_that_reads_a_local_before_it_is_set_is_violated_there(old: str, new: str, local: str, line: int) -> None:
    run = checked(old, new)
    (found,) = run.answers

    assert ("violated", 1) == (found.record.verdict, run.exit_code)
    assert f"{local} is read before it is set at tdp_fd.c:{line}" in repr(found.counterexample)


@pytest.mark.slow
def test_a_read_that_no_run_comes_to_is_none() -> None:
    """The exported root is valid in this scenario, so that nobody is told to come again: no violation, but not judged either."""
    run = checked(AGAIN, "\t\tbool on;\n\n\t\troot->exported = on;\n" + AGAIN)
    (found,) = run.document.results

    assert ("unknown", "coverage", 3) == (found.verdict, found.kind, run.exit_code)

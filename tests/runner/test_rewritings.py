"""A condition that only ever turned out one way, or a statement without a path, costs an approval; other words cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tdpcheck import Change, Run, verify
from tdpcheck.runner.asking.results import APPROVED
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.tests.calling import QUICK, diff
from tdpcheck.tests.few import few

from .rewritings import EXIT, EXPORT, FAULT, JOINED_RETURNS, Rewriting, mbox

BY_DAY = 4
"""So many of the rewritings of the fault, each of which takes seconds; they are a series, and so the first ones."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "rewritings"),
    [
        pytest.param(QUICK, EXPORT, id=QUICK),
        pytest.param("notifier-vs-fault", FAULT[:BY_DAY], id="some in notifier-vs-fault"),
        pytest.param("notifier-vs-fault", FAULT, id="notifier-vs-fault", marks=pytest.mark.nightly),
        pytest.param("mm-exit", EXIT, id="mm-exit"),
        pytest.param("notifier-vs-fault", JOINED_RETURNS, id="one return for two"),
    ],
)
def test_a_harmless_rewriting_costs_no_answer(scenario: str, rewritings: Sequence[Rewriting]) -> None:
    run = verify(scenario, change=Change("harmless.mbox", mbox(files_of(None), rewritings)), certify=False, cache=False)

    for change in run.document.changes:
        assert (change.modelled, change.refused, change.unjudged) == (True, "", ()), change.name
    assert [] == [(r.change, r.property, r.verdict, r.reason) for r in run.document.results if r.verdict not in APPROVED]
    assert (len(rewritings), 0) == (len(run.document.changes), run.exit_code)


def test_there_are_enough_of_them() -> None:
    assert 20 <= len(EXPORT) + len(FAULT) + len(EXIT)


def checked(file: str, old: str, new: str, scenario: str = QUICK) -> Run:
    return verify(scenario, "kernel_assertions", change=Change("c.patch", diff(file, old, new).encode()), certify=False, cache=False)


EXPORTED = "\troot->exported = true;\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    few(
        [
            # A statement, a whole condition, one of its operands, a value, an arm: what never turns out so keeps something from being seen.
            (EXPORTED, "\tif (false)\n\t\treturn -EBUSY;\n" + EXPORTED, [("false", "never true")]),
            (EXPORTED, "\tif (root->role.invalid)\n\t\treturn -EBUSY;\n" + EXPORTED, [("root->role.invalid", "never true")]),
            (EXPORTED, "\tif (!root->role.invalid)\n\t" + EXPORTED, [("root->role.invalid", "never true")]),
            (
                "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n",
                "\tif (kvm_arch_has_noncoherent_dma(kvm) && !root->role.invalid) {\n",
                [("root->role.invalid", "never true")],
            ),
            (
                "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n",
                "\tif (kvm_arch_has_noncoherent_dma(kvm) ||\n\t    root->role.invalid) {\n",
                [("root->role.invalid", "never true")],
            ),
            (EXPORTED, "\troot->exported = root->role.invalid ? false : true;\n", [("root->role.invalid", "never true")]),
            (EXPORTED, "\troot->exported = !root->role.invalid;\n", [("root->role.invalid", "never true")]),
            (EXPORTED, EXPORTED + "\twhile (root->role.invalid)\n\t\tnote_refused();\n", [("root->role.invalid", "never true")]),
        ],
        3,
    ),
)
def test_a_condition_that_only_ever_turned_out_one_way_is_named(old: str, new: str, said: list[tuple[str, str]]) -> None:
    run = checked("tdp_fd.c", old, new)

    (change,) = run.document.changes
    assert said == [(u.text, u.why.partition(" in any run")[0]) for u in change.unjudged]
    assert all(u.file == "tdp_fd.c" and u.line and "what hangs on it was not judged" in u.why for u in change.unjudged)
    assert 3 == run.exit_code
    assert all((r.reason or "").startswith("coverage: change not judged: tdp_fd.c:") for r in run.document.results)


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        # A return before a call, a jump over it, the only call of a function gone.
        ("\timporter_list_add(kvm);\n", "\tgoto out;\n\t\timporter_list_add(kvm);\nout:\n", ["importer_list_add(kvm);"]),
        ("\tkvm_tdp_set_exported(kvm);\n", "\twrite_unlock(&kvm->mmu_lock);\n\treturn 0;\n\tkvm_tdp_set_exported(kvm);\n", None),
        ("\t\tkvm_domain_attach_device(kvm, dev);\n\t}\n", "\t}\n", ["kvm_domain_attach_device()"]),
    ],
)
def test_a_statement_that_lost_its_last_path_is_named(old: str, new: str, lost: list[str] | None) -> None:
    run = checked("tdp_fd.c", old, new)

    (change,) = run.document.changes
    named = [u.text for u in change.unjudged if "is on no path any more" in u.why]
    assert named == lost if lost is not None else "kvm_tdp_set_exported(kvm);" in named
    assert run.exit_code in (1, 3)


@pytest.mark.slow
def test_a_condition_that_a_macro_hides_is_named_where_the_macro_is_used() -> None:
    old = "\tfor (tdp_root_restart(); tdp_mmu_next_root(kvm, &root, false); )"
    new = "\tfor (tdp_root_restart(); tdp_mmu_next_root(kvm, &root, false) && !root->role.invalid; )"

    run = checked("tdp_mmu.c", old, new, "mm-exit")

    (change,) = run.document.changes
    assert ("mmu.c", "root->role.invalid", 3) == (change.unjudged[0].file, change.unjudged[0].text, run.exit_code)


def test_a_condition_with_both_outcomes_is_no_news() -> None:
    again = "\tif (kvm_arch_has_noncoherent_dma(kvm))\n\t\tnote_refused();\n"

    run = checked("tdp_fd.c", "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n", again + "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n")

    assert ((), 0) == (run.document.changes[0].unjudged, run.exit_code)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        # Code of our own in a branch that no run takes; and the check away that no run fails.
        ("\t\treturn -EAGAIN;\n\t}\n" + EXPORTED, "\t\tnote_refused();\n\t\treturn -EAGAIN;\n\t}\n" + EXPORTED, "note_refused();"),
        ("\tif (root->role.invalid) {\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EAGAIN;\n\t}\n", "", "root->role.invalid"),
        ("\t\treturn -EAGAIN;\n", "", "return -EAGAIN;"),
    ],
)
def test_what_no_run_executes_is_not_approved(old: str, new: str, text: str) -> None:
    """Every state was visited, and the changed code is in none of them: of that nobody can say that it is good."""
    run = checked("tdp_fd.c", old, new)

    (change,) = run.document.changes
    assert [text] == [u.text for u in change.unjudged]
    assert change.modelled
    assert 3 == run.exit_code

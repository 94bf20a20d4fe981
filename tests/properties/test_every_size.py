"""The argument of the shared design, asked for every size; and what it says of kernel C that has lost a statement."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tdpcheck.checker.arguments.lemmas import Checked, check_lemmas
from tdpcheck.checker.certificates.instantiated import InitialState, instantiated
from tdpcheck.checker.circuits.inductive import check_inductive, grounded_lemmas
from tdpcheck.checker.every_size.ematching import Matcher
from tdpcheck.checker.every_size.theory import Theory
from tdpcheck.core.ground import ground
from tdpcheck.core.system import Lemma
from tdpcheck.model.parametric import Parametric, parametric, starts
from tdpcheck.model.program_points import Places
from tdpcheck.model.scenario import Expected, Scenario, Sizes, Start, Thread, shipped_scenarios
from tdpcheck.model.system import KernelSource, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.argument.book import argument
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.tests.few import drawn, few

CARD = ("no_stale_io_mapping", "atomic_hugepage_split", "reject_noncoherent_dma")


def changed(edit: Callable[[str], str] = lambda text: text, file: str = "mmu.c") -> KernelSource:
    source = shipped_source("shared")
    text = edit(source.files[file])
    return KernelSource("shared", {**source.files, file: text})


@cache
def of(scenario: str) -> Parametric:
    return parametric(shipped_scenarios()[scenario], parse_source(shipped_source("shared")))


def check(model: Parametric, prop: str, without: str = "") -> Checked:
    lemmas = [x for x in argument(model, PROPERTIES[prop]) if x.name != without]
    return check_lemmas(model.system, [PROPERTIES[prop]], lemmas, patience=3)


def test_sharing_and_noncoherent_dma_exclude_each_other_for_any_number_of_devices_and_threads() -> None:
    """The smallest of the arguments, in a second."""
    checked = check(of("noncoherent-export"), "reject_noncoherent_dma")

    assert checked.holds, checked.broken


@pytest.mark.parametrize("left_out", few(["writer_where", "exporting", "joining_is_coherent"], 3))
@pytest.mark.slow
def test_an_argument_that_lacks_a_lemma_names_what_misses_it(left_out: str) -> None:
    """Nothing idle, and nothing that cannot fail."""
    checked = check(of("noncoherent-export"), "reject_noncoherent_dma", without=left_out)

    assert checked.broken


ARGUED = [
    ("mm-exit", "no_stale_io_mapping"),
    ("notifier-two-roots", "flush_before_release"),
    ("fast-zap-exported", "root_liveness"),
    ("eager-split-exclusive", "atomic_hugepage_split"),
    ("share-vs-notifier", "no_stale_io_mapping"),
]


@pytest.mark.parametrize(("scenario", "prop"), drawn(ARGUED, 2))
def test_the_argument_goes_through_for_every_size(scenario: str, prop: str) -> None:
    """Any number of threads of each role, of pages, tables, roots, IOMMUs and devices: the same kernel C, proved by lemmas.

    And two solvers accept the instances that prove it.
    """
    model = of(scenario)
    lemmas = argument(model, PROPERTIES[prop])
    checked = check_lemmas(model.system, [PROPERTIES[prop]], lemmas, recording=True)
    text = instantiated(Theory(model.system, [PROPERTIES[prop]], lemmas), checked.uses, InitialState(*next(starts(model))))

    assert checked.holds, checked.broken
    for solver in ("z3", "cvc5"):
        answer = check_certificate(text, solver)
        assert answer.accepted, answer


@pytest.mark.slow
def test_the_range_that_a_call_is_given_is_a_term_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """E-matching alone proves who owes an invalidation to have asked for it: no luck of model-based instantiation is needed."""
    model, prop = of("fast-zap-exported"), PROPERTIES["root_liveness"]
    monkeypatch.setattr(Matcher, "settles", lambda *_: pytest.fail("left open"))
    steps = [a.name for a in model.system.actions if a.name.startswith("fault.kvm_tdp_fd_flush_notify_range:")]

    assert steps
    assert check_lemmas(model.system, [prop], argument(model, prop), actions=steps).holds


FAULTS = {
    "the flush is gone": (
        "kvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\thost_unmap",
        "write_unlock(&kvm->mmu_lock);\n\thost_unmap",
    ),
    "the flush comes after the lock": (
        "kvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\thost_unmap",
        "write_unlock(&kvm->mmu_lock);\n\tkvm_flush_remote_tlbs(kvm);\n\thost_unmap",
    ),
    "nobody says that the range goes": ("mmu_invalidate_in_progress_add(kvm, start, last);\n\tfor_each", "for_each"),
}


BY_DAY = "nobody says that the range goes"
"""Whose counterexamples to induction are soon found."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(x, marks=[] if x == BY_DAY else pytest.mark.nightly) for x in FAULTS])
def test_kernel_c_that_lost_a_statement_breaks_lemmas_at_steps_with_a_line(fault: str) -> None:
    """For every planted fault the verdict flips, and the pairs are of the thread that has the fault or of whom it leaves unprotected."""
    before, after = FAULTS[fault]
    source = changed(lambda text: text.replace(before, after))
    model = parametric(shipped_scenarios()["mm-exit"], parse_source(source))
    checked = check(model, "no_stale_io_mapping")

    assert source.files != shipped_source("shared").files
    assert not checked.holds
    assert any(model.system.action(b.step).source for b in checked.broken)


@pytest.mark.slow
def test_the_instantiated_argument_is_inductive_for_a_sat_solver() -> None:
    """Two regions of two pages, two IOMMUs, three software threads: an and-inverter graph and another solver say the same."""
    threads = (
        Thread("notifier", "mmu_notifier_unmap"),
        Thread("io_fault", "kvm_fault_exported_tdp"),
        Thread("split", "kvm_mmu_slot_try_split_huge_pages"),
    )
    expect: dict[str, Expected] = dict.fromkeys(CARD, "holds")
    sizes = Sizes(regions=2, slots=2, blocks=2, pts=3, iommus=2, devices=2, frames=5)
    scenario = Scenario("three", "Three at once.", threads, expect, geometry=sizes, start=Start("huge", "huge"))
    model = build(scenario, parse_source(shipped_source("shared")))
    grounded = ground(model.system, model.geometry, fold=False)
    book = argument(Parametric(scenario, model.system, model.software, Places(model.software)), PROPERTIES["atomic_hugepage_split"])
    own = [Lemma(name, PROPERTIES[name].holds, "") for name in CARD]

    for name in CARD:
        assert () == check_inductive(grounded, PROPERTIES[name], grounded_lemmas(grounded, [*book, *own]), timeout=300)
    rest = [x for x in book if x.name != "zapped_is_gone"]

    assert check_inductive(grounded, PROPERTIES["no_stale_io_mapping"], grounded_lemmas(grounded, [*rest, *own]), timeout=300)

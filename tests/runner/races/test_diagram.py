"""Diagrams as people draw them: who does what, in which order."""

from __future__ import annotations

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.runner.races.diagram import read_diagram

HEADINGS = """
Hi,

this can happen:

> > CPU0 (vCPU)            CPU1 (notifier)
> > ===========            ===============
> > kvm_tdp_page_fault() {
> >   hva_to_pfn(gfn)      /* sleeps */
> >                        write_lock(&kvm->mmu_lock);
> >                        ...
> >   installs             frees the page

and that is a long sentence which goes on under the second heading
"""
BARS = """
    CPU A        |    CPU B
  ---------------+--------------
    zaps         |
                 |    installs   // too early
"""
PREFIXED = """
  CPU0: zaps
  [CPU1] -> installs; frees the page
  CPU0: flushes
"""


def said(text: str) -> list[tuple[str, str]]:
    diagram = read_diagram(text, "x")
    return [(diagram.headings[entry.column], entry.text) for entry in diagram.entries]


def test_columns_below_headings_in_a_mail_that_was_quoted() -> None:
    assert [
        ("CPU0 (vCPU)", "kvm_tdp_page_fault() {"),
        ("CPU0 (vCPU)", "hva_to_pfn(gfn)"),
        ("CPU1 (notifier)", "write_lock(&kvm->mmu_lock)"),
        ("CPU0 (vCPU)", "installs"),
        ("CPU1 (notifier)", "frees the page"),
    ] == said(HEADINGS)


def test_what_is_called_stands_further_right() -> None:
    assert [0, 2, 0, 2, 0] == [entry.indent for entry in read_diagram(HEADINGS, "x").entries]


def test_columns_between_bars() -> None:
    assert [("CPU A", "zaps"), ("CPU B", "installs")] == said(BARS)


def test_lines_that_begin_with_who_does_it() -> None:
    assert [("CPU0", "zaps"), ("CPU1", "installs"), ("CPU1", "frees the page"), ("CPU0", "flushes")] == said(PREFIXED)


def test_two_columns_of_a_line_happen_in_any_order_and_one_column_in_its_own() -> None:
    assert [[0], [1], [2], [3, 4]] == list(read_diagram(HEADINGS, "x").rows())
    assert [[0], [1], [2], [3]] == list(read_diagram(PREFIXED, "x").rows())


def test_a_heading_in_the_middle_of_its_column() -> None:
    text = "     CPU 0                CPU 1\n  zaps\n                       installs\n  flushes\n"
    assert [("CPU 0", "zaps"), ("CPU 1", "installs"), ("CPU 0", "flushes")] == said(text)


def test_what_is_called_deep_down_stays_in_its_column() -> None:
    calls = "".join(f"{' ' * depth}f{depth}()\n" for depth in range(0, 32, 4))
    assert {"CPU 0"} == {column for column, _ in said("CPU 0                           CPU 1\n" + calls)}


def test_a_call_below_a_heading_in_the_middle_is_further_right_than_its_caller() -> None:
    text = "     CPU 0                CPU 1\n  f()\n                       installs\n    g() {\n"
    first, _, second = read_diagram(text, "x").entries
    assert first.indent < second.indent
    assert (False, True) == (first.opens, second.opens)


def test_indents_behind_who_does_it() -> None:
    first, second = read_diagram("CPU0: f()\nCPU0:   g()\nCPU1: h()\n", "x").entries[:2]
    assert first.indent < second.indent


def test_a_second_line_of_headings_in_brackets() -> None:
    assert ("T1 (io page fault)", "T2 (notifier)") == read_diagram(
        "T1                  T2\n(io page fault)     (notifier)\nzaps\n", "x"
    ).headings


def test_tabs_are_eight_wide() -> None:
    assert [("CPU 0", "zaps"), ("IOMMU", "walks")] == said("\tCPU 0\t\tIOMMU\n\tzaps\n\t\t\twalks\n")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no line of headings"),
        ("nothing of the kind\nat all\n", "no line of headings"),
        ("CPU0        CPU1\n\n", "are empty"),
        ("CPU0        CPU1\n" + "zaps        flushes\n" * 300, "at most 400"),
        ("CPU0        CPU1\n" + "zap" * 200 + "\n", "say it in at most 300"),
        ("a b  c d  e f  g h  i j\nfive   phrases   of   prose   here\n", "no line of headings"),
    ],
)
def test_what_is_no_diagram(text: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        read_diagram(text, "x")

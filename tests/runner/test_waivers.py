"""Ghost statements in a change, or in a design from outside, are their author's word: answers that lean on them say so."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import z3

from tdpcheck.kernelc.lowering.library import Intrinsic, Void
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.catalogue import effects_of
from tdpcheck.model.intrinsics import LIBRARY
from tdpcheck.model.machine import ghosts, host, tables
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model
from tdpcheck.runner.inputs.changes import patched
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.inputs.terms import property_of
from tdpcheck.runner.inputs.waivers import before_change, leaned_on, waivers_in
from tdpcheck.tests.calling import QUICK, Call, diff

CHECK = "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n\t\tnote_refused();\n"
"""What export begins with: who does non-coherent DMA is refused."""
LINK = "\treturn tdp_mmu_link_sp(kvm, iter, sp);\n"
BY_FREEZE = """\
	gfn_t a;
	gfn_t b;

	gfn_region_bounds(iter->gfn, &a, &b);
	BEGIN
	if (!tdp_mmu_set_spte_atomic(kvm, iter, REMOVED_SPTE))
		return false;
	kvm_flush_remote_tlbs(kvm);
	kvm_tdp_mmu_write_spte(iter->sptep, make_nonleaf_spte(sp));
	END
	return true;
"""
"""A split that takes the huge leaf away first: a device does not find what it was promised."""


def asked(call: Call, tmp_path: Path, scenario: str, prop: str, text: str, *more: str) -> dict[str, object]:
    """The record of one answer under a change."""
    change = tmp_path / "c.patch"
    change.write_text(text)
    arguments = ("--scenario", scenario, "--property", prop, "--change", str(change), "--no-certify", "--json", *more)
    (record,) = json.loads(call("verify", *arguments).stdout)["results"]
    return dict(record)


def split(begin: str, end: str) -> str:
    return diff("tdp_mmu.c", LINK, BY_FREEZE.replace("BEGIN", begin).replace("END", end))


def updated(intrinsic: Intrinsic) -> tuple[set[str], bool]:
    """The state variables that an intrinsic changes, and whether it leaves out runs without ever waiting for anybody."""
    effects = effects_of(intrinsic)
    names = {u.var.name for e in effects for u in e.updates}
    guards = len(effects) == 1 and not z3.is_true(z3.simplify(effects[0].guard))
    leaves_out = guards and not names and isinstance(intrinsic.result, Void) and intrinsic.mover == "local" and not effects[0].refs
    return names, leaves_out


@pytest.mark.parametrize("name", sorted(LIBRARY.intrinsics))
def test_every_ghost_is_known_for_one(name: str) -> None:
    """Of each intrinsic it is computed whether it touches ghosts alone, gives a promise up, or leaves out runs."""
    intrinsic = LIBRARY.intrinsics[name]
    names, leaves_out = updated(intrinsic)
    known = {v.name for v in ghosts.STATE} | {host.zap_window.name}
    gives_up = ghosts.promised.name in names and tables.pmd_kind.name not in names

    assert (intrinsic.waives is not None) == (leaves_out or gives_up or (bool(names) and names <= known))
    if intrinsic.waives is not None:
        assert set(intrinsic.waives.over) <= names
        assert bool(intrinsic.waives.over) != leaves_out


@cache
def as_it_stands(scenario: str) -> Model:
    return built(shipped_scenarios()[scenario], None, files_of(None)).model


@pytest.mark.parametrize(
    ("begin", "end", "of_the_split", "of_frames"),
    [
        ("", "", set(), set()),
        ("zap_begin(a, b);", "zap_end();", {"zap_begin(a, b)", "zap_end()"}, set()),
        (
            "mmu_invalidate_in_progress_add(kvm, a, b);",
            "mmu_invalidate_in_progress_sub(kvm);",
            {"mmu_invalidate_in_progress_add(kvm, a, b)"},
            set(),
        ),
        ("assume(a <= b);", "", {"assume(a <= b)"}, {"assume(a <= b)"}),
    ],
)
@pytest.mark.slow
def test_a_split_that_takes_the_leaf_away_is_no_better_for_saying_so(
    begin: str, end: str, of_the_split: set[str], of_frames: set[str]
) -> None:
    """What it says concerns those properties alone that ask about it: a promise that is given up, or all runs."""
    body = BY_FREEZE.replace("\tBEGIN\n", begin and f"\t{begin}\n").replace("\tEND\n", end and f"\t{end}\n")
    scenario, files = shipped_scenarios()["eager-split"], files_of(None)
    after = patched(parse_change(diff("tdp_mmu.c", LINK, body), "c.patch"), files)[-1].files
    made = built(scenario, None, after)
    found = waivers_in(made.model, made.code, after, before_change(as_it_stands("eager-split")))

    def leaning(prop: str) -> set[str]:
        return {w.text for w in leaned_on(found, made.model, [property_of(made.model, prop)])}

    assert leaning("atomic_hugepage_split") == of_the_split
    assert leaning("no_stale_io_mapping") == of_frames


REPORTS_A_REFUSAL = diff("tdp_fd.c", "\troot->exported = true;\n", "\tnote_refused();\n\troot->exported = true;\n")
"""A refusal that only the change reports makes a goal of the scenario reached."""


@pytest.mark.slow
def test_an_answer_that_leans_on_a_waiver_says_so_everywhere(call: Call, tmp_path: Path) -> None:
    change, log, suite, out = (tmp_path / name for name in ("c.patch", "log.sarif", "suite.xml", "out"))
    change.write_text(REPORTS_A_REFUSAL)
    arguments = ("verify", "--scenario", QUICK, "--property", "root_liveness", "--change", str(change))
    done = call(*arguments, "--sarif", str(log), "--junit", str(suite), "--out", str(out))
    line = next(n for n, text in enumerate(files_of(None)["tdp_fd.c"].split("\n"), 1) if text == "\troot->exported = true;")
    place = f"tdp_fd.c:{line}: note_refused()"
    call("report", str(out))

    assert done.exit_code == 0
    assert "Waived (leaning on a waiver; with them Proved" in done.stdout
    assert "root_liveness in noncoherent-export" in done.stdout
    assert f"leaning on waiver {place}: a request was refused" in " ".join(done.stdout.split())
    assert "1 answer: 1 Waived." in done.stdout
    assert not list(out.glob("*.smt2"))
    assert place in log.read_text()
    assert "<skipped" in suite.read_text()
    assert place in suite.read_text()
    page, mail = ((out / name).read_text() for name in ("index.html", "report.txt"))
    assert "leaning on a waiver" in page
    assert place in page
    assert place in " ".join(mail.split())


def test_what_a_ghost_speaks_of_decides_which_answers_lean_on_it(call: Call, tmp_path: Path) -> None:
    """A goal that is reached by word alone concerns everything that the scenario asks; one that it does not have, nothing."""
    named = asked(call, tmp_path, QUICK, "root_liveness", REPORTS_A_REFUSAL)
    unasked = asked(call, tmp_path, QUICK, "root_liveness", REPORTS_A_REFUSAL.replace("note_refused", "note_fast_zap"))

    assert (named["verdict"], named["held"]) == ("waived", "holds_up_to")
    assert [w["text"] for w in named["waivers"]] == ["note_refused()"]  # type: ignore[attr-defined]
    assert (unasked["verdict"], unasked["waivers"], unasked["held"]) == ("holds_up_to", [], None)


def test_what_stood_there_before_is_nobodys_new_word(call: Call, tmp_path: Path) -> None:
    """The shipped statements are the project's own; code around them may change."""
    first, second = "\troot->exported = true;\n", "\tkvm_tdp_set_exported(kvm);\n"
    text = diff("tdp_fd.c", first + second, second + first)

    assert asked(call, tmp_path, QUICK, "root_liveness", text)["verdict"] == "holds_up_to"


def test_a_macro_that_hides_a_ghost(call: Call, tmp_path: Path) -> None:
    begin = "static int kvm_create_tdp_fd(struct kvm *kvm)\n{\n\tstruct kvm_mmu_page *root = kvm_exported_root(kvm);\n\n"
    text = diff("tdp_fd.c", begin, f"#define CHECKED() note_refused()\n{begin}\tCHECKED();\n")
    record = asked(call, tmp_path, QUICK, "root_liveness", text)

    assert (record["verdict"], record["held"]) == ("waived", "holds_up_to")


@pytest.mark.slow
def test_a_waiver_that_a_change_keeps_from_ending(call: Call, tmp_path: Path) -> None:
    """The window is the project's; that it stays open is the change's."""
    text = diff("mmu.c", "\tzap_end();\n", "") if "\tzap_end();\n" in files_of(None)["mmu.c"] else diff("tdp_mmu.c", "\tzap_end();\n", "")
    record = asked(call, tmp_path, "fast-zap-private", "atomic_hugepage_split", text)

    assert record["verdict"] == "waived"
    assert "the change takes it out" in record["waivers"][0]["what"]  # type: ignore[index]


def test_a_violation_needs_nobodys_word(call: Call, tmp_path: Path) -> None:
    old = "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EINVAL;\n\t}\n"
    record = asked(call, tmp_path, QUICK, "reject_noncoherent_dma", diff("tdp_fd.c", old, "\tnote_refused();\n"))

    assert (record["verdict"], record["waivers"]) == ("violated", [])


@pytest.mark.slow
def test_a_design_from_outside_is_its_authors_word(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    flow = "void share_mine(struct kvm *kvm, struct device *dev)\n{\n\tassume(iommu_is_coherent(dev));\n\tkvm_share_tdp(kvm, dev);\n}\n"
    (folder / "mine.c").write_text(flow)
    scenario = tmp_path / "s.toml"
    scenario.write_text(
        'name = "mine"\nstory = "One."\n[start]\nexported = []\nattached = false\n[[thread]]\nrole = "share"\nentry = "share_mine"\n'
        '[expect]\nroot_liveness = "holds"\n'
        '[[unreachable]]\nbecause = "alone"\nsteps = ["share: kvm_create_tdp_fd: *", "share: kvm_domain_attach_device: *"]\n'
    )
    arguments = ("--scenario", str(scenario), "--design", str(folder), "--property", "root_liveness")
    (record,) = json.loads(call("verify", *arguments, "--no-certify", "--json").stdout)["results"]
    proof = json.loads(call("prove", "root_liveness", *arguments[:4], "--json").stdout)

    assert (record["verdict"], record["held"]) == ("waived", "holds_up_to")
    assert [(w["file"], w["line"]) for w in record["waivers"]] == [("mine/mine.c", 3)]
    assert (proof["verdict"], [w["text"] for w in proof["waivers"]]) == ("Waived", ["assume(iommu_is_coherent(dev))"])

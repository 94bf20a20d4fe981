"""A patch against a kernel tree: what is read of it, what is not and why, on a made-up tree with no more than the signs of one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import pygit2
import pygit2.enums
import pytest

from tdpcheck.api.change import Change, start_of_range
from tdpcheck.api.verify import verify
from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.sources.tree import KernelTree, open_tree
from tdpcheck.kernelc.text.show import show
from tdpcheck.model.change.account import Accounted, Side, account, beyond
from tdpcheck.model.lift.lift import lifted_code
from tdpcheck.model.lift.versions import HOST, INTERNAL, SPTE, TDP_MMU, VERSIONS
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.changes import Series, Version, series_of
from tdpcheck.runner.inputs.sources import code_for, files_of

MMU_C = "arch/x86/kvm/mmu/mmu.c"
ITERATOR = VERSIONS[0].iterator
FILES = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 1\n",
    ITERATOR: "struct tdp_iter {\n\tint level;\n};\n",
    VERSIONS[0].lifted[1]: "int one(void)\n{\n\treturn 1;\n}\n",
    TDP_MMU: """bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, struct kvm_gfn_range *range,
	bool flush)
{
	return flush;
}

int kvm_tdp_mmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	return 0;
}

void kvm_tdp_mmu_try_split_huge_pages(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t start, gfn_t end, int level, bool shared)
{
}

void kvm_tdp_mmu_zap_collapsible_sptes(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
}
""",
    INTERNAL: "struct kvm_page_fault {\n\tgfn_t gfn;\n};\n",
    HOST: "struct kvm_gfn_range {\n\tgfn_t start;\n};\n",
    SPTE: "static inline bool is_removed_spte(u64 spte)\n{\n\treturn spte == REMOVED_SPTE;\n}\n",
    "include/linux/list.h": "#define list_for_each_entry(pos, head, member) for (pos = first(head); pos; pos = next(pos))\n",
    MMU_C: "int prototype(int n);\n\nint direct_page_fault(int n)\n{\n\tif (n)\n\t\treturn 0;\n\treturn 1;\n}\n",
}


def read(path: str) -> bytes:
    if path not in FILES:
        raise InputError(f"no {path}")
    return FILES[path].encode()


TREE = KernelTree("made up", "6.1", read)
LIFTED = shipped_scenarios()["linux-6.1-lift-notifier-vs-fault"]


def diff(path: str, old: str, new: str) -> str:
    assert old in FILES[path]
    before, after = FILES[path], FILES[path].replace(old, new)
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}"))


def given(*diffs: str) -> Series:
    return series_of("".join(diffs).encode(), "x.patch", files_of(TREE))


def changed(*diffs: str) -> Version:
    series = given(*diffs)
    assert series.refused == ()
    return series.versions[-1]


def accounted(version: Version) -> tuple[Accounted, ...]:
    """As if no scenario were asked: of lines, what there is to know without a model."""
    before = Side(files_of(TREE), [])
    return (*account(version.changed, before, Side(version.files, [])), *beyond(version.outside))


def overlay(version: Version) -> Mapping[str, str]:
    return {name: version.files[name] for name in version.files}


NEW = "\nint added(struct kvm *kvm)\n{\n\t%s\n\treturn 1;\n}\n"
END = "\treturn 1;\n}\n"


@pytest.mark.parametrize(
    "body", ["list_for_each_entry(a, b, c)\n\t\tuse(a);", "guard(srcu)(&kvm->srcu);", "n = sizeof(struct kvm);", "switch (n) { }"]
)
def test_what_is_not_understood_in_one_function_refuses_nothing_else(body: str) -> None:
    """The loop is known from the tree's list.h; of the others each line has its reason, and the rest of the patch is read."""
    version = changed(diff(TDP_MMU, "\treturn flush;\n}\n", "\treturn !flush;\n}\n" + NEW % body))
    whys = {a.line.text.strip(): a.why for a in accounted(version) if a.line.kind == "added"}

    assert {a.fate for a in accounted(version)} == {"outside"}
    assert "return !flush;" in whys
    if "list" in body:
        assert whys["return 1;"] == "it is in added(), which no selected scenario calls"
    else:
        assert whys["return 1;"].startswith("added() is not modelled: ")
        assert "is not in the subset" in whys["return 1;"]


def test_a_second_file_is_not_lost() -> None:
    """It has to apply, it is carried on to the next patch, and its lines are told with their function; its prototypes say nothing."""
    mail = "From x Mon Sep 17 00:00:00 2001\nFrom: a <a@b>\nSubject: [PATCH %d/2] s\n\n---\n%s\n"
    first = diff(TDP_MMU, "return flush", "return !flush") + diff(MMU_C, "\t\treturn 0;\n", "\t\treturn 2;\n")
    second = f"--- a/{MMU_C}\n+++ b/{MMU_C}\n@@ -5,3 +5,3 @@\n \tif (n)\n-\t\treturn 2;\n+\t\treturn 3;\n \treturn 1;\n"
    one, two = given(mail % (1, first), mail % (2, second)).versions[1:]

    assert [a.why for a in beyond(one.outside)] == [f"it is in direct_page_fault(), and no function of {MMU_C} is lifted"] * 2
    assert [a.line.text.strip() for a in beyond(two.outside)] == ["return 2;", "return 3;"]
    assert one.files[MMU_C] == FILES[MMU_C].replace("return 0", "return 2")
    assert MMU_C not in set(one.files)
    quiet = changed(diff(MMU_C, "int prototype(int n);\n", "int prototype(long n);\n"), diff(TDP_MMU, "return flush", "return !flush"))
    assert beyond(quiet.outside) == ()


@pytest.mark.parametrize("path", [ITERATOR, VERSIONS[0].lifted[1], TDP_MMU])
def test_a_file_that_is_deleted_is_not_read_from_the_tree(path: str) -> None:
    """What the tree has itself would be code that nobody runs: it must not be answered for."""
    lines = FILES[path].splitlines(True)
    deletion = f"--- a/{path}\n+++ /dev/null\n@@ -1,{len(lines)} +0,0 @@\n" + "".join(f"-{line}" for line in lines)

    with pytest.raises(InputError, match=f"{path}: the change deletes this"):
        code_for(LIFTED, TREE, changed(deletion).files)


@pytest.mark.parametrize("path", [TDP_MMU, MMU_C])
def test_what_is_applied_already_is_said(path: str) -> None:
    """In a file that functions are lifted from, and in any other of the tree."""
    old, new = ("return flush;", "return !flush;") if path == TDP_MMU else ("return 1;", "return 2;")
    with pytest.raises(InputError, match="the change seems to be applied already"):
        given(reversed_(diff(path, old, new)))


def reversed_(text: str) -> str:
    """The diff that leads to what is there."""
    signs = {"-": "+", "+": "-"}
    head, lines = text.splitlines(True)[:3], text.splitlines(True)[3:]
    return "".join([*head, *(signs.get(x[0], " ") + x[1:] for x in lines)])


def repository(folder: Path) -> pygit2.Repository:
    """A repository with the tree, then a change of a lifted file, then a merge that brings one of another file."""
    made = pygit2.init_repository(folder)
    who = pygit2.Signature("a", "a@b", 1_700_000_000, 0)

    def commit(title: str, parents: list[str], **texts: str) -> str:
        index = pygit2.Index()
        for path, text in {**FILES, **texts}.items():
            index.add(pygit2.IndexEntry(path, made.create_blob(text.encode()), pygit2.enums.FileMode.BLOB))
        return str(made.create_commit(None, who, who, title, index.write_tree(made), parents))

    one = {TDP_MMU: FILES[TDP_MMU].replace("return flush", "return !flush")}
    other = {MMU_C: FILES[MMU_C].replace("return 1;", "return 2;")}
    first = commit("begin", [])
    second = commit("Räume auf\n\nwhy", [first], **one)
    side = commit("side", [first], **other)
    third = commit("Merge side", [second, side], **one, **other)
    for name, at in (("older", first), ("newer", third), ("side", side)):
        made.branches.create(name, made[at].peel(pygit2.Commit))
    return made


def test_a_range_of_commits_is_a_series(tmp_path: Path) -> None:
    """Each commit is a patch, along first parents, a merge one with all that it brought; they apply to the older end."""
    repository(tmp_path)
    tree = open_tree(tmp_path, "older")
    series = Change.of_range(tmp_path, "older..newer").series(files_of(tree))

    assert series.refused == ()
    assert [v.subject for v in series.versions[1:]] == ["[1/2] Räume auf", "[2/2] Merge side"]
    assert "return !flush" in series.versions[1].files[TDP_MMU]
    assert [o.path for o in series.versions[2].outside] == [MMU_C]


@pytest.mark.parametrize(
    ("commits", "said"),
    [
        ("newer..older", "has no commits; a range is given as OLDER..NEWER"),
        ("nowhere..newer", "has no revision 'nowhere'"),
        ("older..nowhere", "has no revision 'nowhere'"),
    ],
)
def test_a_range_that_is_none_is_refused(tmp_path: Path, commits: str, said: str) -> None:
    """Both ends have to be there, in their order."""
    repository(tmp_path)
    with pytest.raises(InputError, match=said):
        Change.of_range(tmp_path, commits)


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ("v6.1..v6.2", "v6.1"),
        ("HEAD~3..", "HEAD~3"),
        ("a.patch", None),
        ("../a.patch", None),
        ("x/../a.patch", None),
        ("a...b", None),
        (None, None),
        ("..b", None),
    ],
)
def test_what_a_range_looks_like(change: str | None, start: str | None) -> None:
    """Paths are none, nor is git's three dots, which means something else."""
    assert start_of_range(change) == start


def test_a_range_wants_a_repository() -> None:
    """Without a tree nobody knows of what commits it is."""
    with pytest.raises(InputError, match="a range of commits is of a kernel's git repository"):
        verify("notifier-vs-fault", change="older..newer")


def test_a_renamed_entry_is_followed() -> None:
    """The new function has the old one's parameters and body: our code around it calls that."""
    name = "kvm_tdp_mmu_unmap_gfn_range"
    version = changed(diff(TDP_MMU, name, "kvm_tdp_mmu_unmap_range"))
    code = lifted_code(TREE, overlay(version))
    glue = code.functions["kvm_mmu_notifier_invalidate_range_start"]

    assert "kvm_tdp_mmu_unmap_range(kvm, &range, false)" in show(glue.body)
    assert name not in code.broken
    assert name in show(lifted_code(TREE).functions["kvm_mmu_notifier_invalidate_range_start"].body)


def test_an_entry_that_is_gone_is_named() -> None:
    """Whoever calls it is refused with the reason; nobody else is."""
    name = "kvm_tdp_mmu_unmap_gfn_range"
    version = changed(diff(TDP_MMU, "\treturn flush;\n", "\treturn !flush;\n"), diff(TDP_MMU, "int kvm_tdp_mmu_map", "int kvm_tdp_mmu_map"))
    assert name in lifted_code(TREE, overlay(version)).functions
    other = FILES[TDP_MMU].replace(name, "kvm_tdp_mmu_unmap_range").replace("return flush", "return !flush")
    code = lifted_code(TREE, {TDP_MMU: other})

    assert isinstance(code.broken[name], Refusal)
    assert "the change takes this function away" in str(code.broken[name])
    assert "kvm_tdp_mmu_map" in code.functions


def test_helpers_in_headers_run_as_they_stand() -> None:
    """One that a change adds to a header is lifted; one that has a meaning of ours is told as such."""
    helper = "static inline bool level_is_bad(int level)\n{\n\treturn level < 1;\n}\n\n"
    version = changed(diff(INTERNAL, "struct kvm_page_fault {", helper + "struct kvm_page_fault {"))
    meant = changed(diff(SPTE, "spte == REMOVED_SPTE", "spte != REMOVED_SPTE"))

    assert "level_is_bad (mmu_internal.h)" in lifted_code(TREE, overlay(version)).lifted
    assert "level_is_bad" not in lifted_code(TREE).functions
    assert {a.why for a in accounted(meant)} == {"it is in is_removed_spte(), and it has a meaning of its own here (REMOVED_SPTE)"}


def test_a_name_that_a_patch_gives_is_known() -> None:
    """The patch that renames a removed SPTE to a frozen one makes of a tree one in which that is its name."""
    version = changed(
        diff(
            SPTE, "is_removed_spte(u64 spte)\n{\n\treturn spte == REMOVED_SPTE", "is_frozen_spte(u64 spte)\n{\n\treturn spte == FROZEN_SPTE"
        )
    )
    code = lifted_code(TREE, overlay(version))

    assert code.kernel == "Linux 6.1 (made up)"
    assert "is_frozen_spte" not in code.functions  # it has the meaning of is_removed_spte()

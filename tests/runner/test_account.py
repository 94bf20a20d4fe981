"""What became of each changed line: the part on which it depends that no change is waved through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from tdpcheck.kernelc.lowering.cfg import Mark
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.change.account import Accounted, Fate, Side, account, ran, same_behaviour, unmodelled
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.asking.coverage import covered
from tdpcheck.runner.inputs.changes import Version, patched, touched
from tdpcheck.runner.inputs.sources import Files, built, files_of
from tdpcheck.tests.calling import QUICK, diff
from tdpcheck.tests.few import few

SCENARIO = shipped_scenarios()[QUICK]
EXPORT = "\troot->exported = true;\n"


@cache
def side(files: tuple[tuple[str, str], ...], touched: tuple[tuple[str, tuple[int, ...]], ...], everything: bool) -> Side:
    texts = dict(files)
    made = built(SCENARIO, None, texts, dict(touched))
    fired = frozenset(made.model.software.steps) if everything else frozenset()
    return Side(texts, [ran(SCENARIO.name, made.model.software, made.code.functions, fired)])


def accounted(file: str, old: str, new: str, *, everything: bool = True) -> tuple[Accounted, ...]:
    """The lines of a change, where every action fired that can be built, or none."""
    (version,) = patched(parse_change(diff(file, old, new), "c.patch"), files_of(None))

    def one(files: Files, kind: str) -> Side:
        touched = tuple((f, tuple(lines)) for f, lines in version.touched(kind).items())
        return side(tuple((n, files[n]) for n in files), touched, everything)

    return account(version.changed, one(files_of(None), "removed"), one(version.files, "added"))


def fates(file: str, old: str, new: str, **how: bool) -> list[Fate]:
    return [a.fate for a in accounted(file, old, new, **how)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    few(
        [
            (EXPORT, "", ["reached"]),
            (EXPORT, EXPORT + "\tnote_refused();\n", ["reached"]),
            # A call that is inlined, and a jump, leave no operation of their own.
            ("\t\tkvm_domain_attach_device(kvm, dev);\n", "", ["reached"]),
            (EXPORT, "\tgoto out;\nout:\n" + EXPORT, ["reached", "reached"]),
            # Only the jump leads to the label.
            (EXPORT, "\tgoto out;\n\tnote_refused();\nout:\n" + EXPORT, ["reached", "unreachable", "reached"]),
            # A jump that is never taken, though its label is passed.
            (EXPORT, "\tif (root->role.invalid)\n\t\tgoto out;\nout:\n" + EXPORT, ["reached", "unreachable", "reached"]),
            # A statement over two lines.
            (EXPORT, "\tlockdep_assert_held_write(\n\t\t&kvm->mmu_lock);\n" + EXPORT, ["reached", "reached"]),
            # The head of a function.
            ("static int kvm_create_tdp_fd(struct kvm *kvm)", "int kvm_create_tdp_fd(struct kvm *kvm)", ["reached", "reached"]),
            # What cannot run.
            (EXPORT, EXPORT + "\tif (false)\n\t\tnote_refused();\n", ["reached", "unreachable"]),
            # What says nothing.
            (EXPORT, EXPORT + "\n\t/* a comment */\n\t{\n\t}\n", []),
            ("/* KVM_CREATE_TDP_FD", '#include "x.h"\nint declared(struct kvm *kvm);\n\n/* KVM_CREATE_TDP_FD', []),
            # What the model does not contain.
            (EXPORT, EXPORT + "\tcond_resched();\n", ["erased"]),
            ("/* KVM_CREATE_TDP_FD", "int global;\n\n/* KVM_CREATE_TDP_FD", ["outside"]),
            ("/* KVM_CREATE_TDP_FD", "#define LIMIT 3\n\n/* KVM_CREATE_TDP_FD", ["outside"]),
            ("/* KVM_CREATE_TDP_FD", "void unused(void)\n{\n\tnote_refused();\n}\n\n/* KVM_CREATE_TDP_FD", ["outside", "outside"]),
            ("\tnoncoherent_dma_count_dec(kvm, dev);\n", "", ["outside"]),
            (EXPORT, EXPORT + "#ifdef CONFIG_X86_32\n\tnote_refused();\n#endif\n", ["outside", "outside", "outside"]),
            # The model is sequentially consistent.
            ("\tif (root->role.invalid) {\n", "\tif (READ_ONCE(root->role.invalid)) {\n", ["erased", "erased"]),
        ],
        3,
    ),
)
def test_each_kind_of_line(old: str, new: str, expected: list[Fate]) -> None:
    assert fates("tdp_fd.c", old, new) == expected


def test_a_field_counts_by_its_use() -> None:
    """Nobody here handles faults, so neither the struct nor the macro is in the model."""
    assert fates("mmu.c", "\tgfn_t gfn;\n\tkvm_pfn_t pfn;\n", "\tkvm_pfn_t pfn;\n") == ["outside"]
    assert fates("mmu.c", "tdp_mmu_next_exported_root(kvm, &root); )", "tdp_mmu_next_root(kvm, &root, false); )") == ["outside", "outside"]


def test_what_nothing_reached_is_undecided_until_somebody_excludes_it() -> None:
    lines = accounted("tdp_fd.c", EXPORT, "", everything=False)

    assert [a.fate for a in lines] == ["undecided"]
    assert unmodelled(lines) == lines


def test_what_a_solver_excludes_is_unreachable_up_to_its_depth() -> None:
    (version,) = patched(parse_change(diff("tdp_fd.c", EXPORT, ""), "c.patch"), files_of(None))
    made = built(SCENARIO, None, files_of(None), version.touched("removed"))
    one = ran(SCENARIO.name, made.model.software, made.code.functions)
    one = replace(one, excluded=dict.fromkeys(made.model.software.steps, 7))

    (line,) = account(version.changed, Side(files_of(None), [one]), Side(version.files, []))

    assert (line.fate, line.why) == ("unreachable", "no run of at most 7 steps comes to it")


@pytest.mark.parametrize(
    ("edit", "same"),
    [
        (lambda text: text.replace(" * The exported TDP", " *\n * The exported TDP"), True),
        (lambda text: text.replace("\tnoncoherent_dma_count_dec(kvm, dev);\n", ""), True),
        (lambda text: text.replace(EXPORT, ""), False),
    ],
)
def test_code_that_moved_behaves_the_same(edit: Callable[[str], str], same: bool) -> None:
    files = dict(files_of(None))
    changed = files | {"tdp_fd.c": edit(files["tdp_fd.c"])}
    assert changed != files

    left, right = (built(SCENARIO, None, texts).model.system for texts in (files, changed))

    assert same_behaviour(left, right) is same


def test_marks_change_nothing_but_numbers_of_nodes() -> None:
    """A mark is an empty loop: the marked model has the same actions."""
    files = files_of(None)
    everywhere = {name: range(1, 500) for name in files}

    plain, marked = (built(SCENARIO, None, files, touched).model.software for touched in (None, everywhere))

    assert list(plain.steps) == list(marked.steps)
    assert [loc.name.rpartition(".")[0] for loc in plain.locations] == [loc.name.rpartition(".")[0] for loc in marked.locations]


HEAD = "void kvm_share_tdp(struct kvm *kvm, struct device *dev)\n"
TITLE = "/* Userspace shares the table with a device: export, import, attach. The importer is known before the device walks. */\n"


@pytest.mark.parametrize(
    ("old", "new", "marked"),
    [
        (TITLE, "/* Userspace shares the table. */\n", False),
        (TITLE, "", False),
        (HEAD, "/* One line more. */\n" + HEAD, False),
        (HEAD + "{\n", HEAD + "{\n\t/* One line more. */\n", True),
        ("\tif (kvm_create_tdp_fd(kvm) == 0) {\n", "\tif (!kvm_create_tdp_fd(kvm)) {\n", True),
        (HEAD, "extern " + HEAD, True),
    ],
)
def test_a_function_has_marks_on_both_sides_of_a_change_or_on_none(old: str, new: str, marked: bool) -> None:
    """What is seen on one side only would look as if the change had taken it away."""
    start = Version(files_of(None))
    known = (start, *patched(parse_change(diff("tdp_fd.c", old, new), "c.patch"), start.files))

    def has_marks(number: int) -> bool:
        made = built(SCENARIO, None, known[number].files, touched(known, number))
        return any(isinstance(node, Mark) for graph in made.model.software.graphs.values() for node in graph.nodes)

    assert [has_marks(0), has_marks(1)] == [marked, marked]


def test_marks_leave_the_statements_of_coverage_as_they_are() -> None:
    """Patches of a series mark different functions; what a mark alone shows would be missing after the next one."""
    files = files_of(None)
    models = [built(SCENARIO, None, files, marks).model for marks in (None, {name: range(1, 500) for name in files})]

    plain, marked = (covered(model, model.software.steps, exact=True).roles for model in models)

    assert {role: (c.reached, c.never) for role, c in plain.items()} == {role: (c.reached, c.never) for role, c in marked.items()}

"""Small faults of kernel C: one text, every operator; names that tell mutants apart."""

from __future__ import annotations

from collections import Counter

from tdpcheck.kernelc.text.mutations import OPERATORS, mutations
from tdpcheck.runner.inputs.sources import files_of

TEXT = """
static bool pump(struct kvm *kvm, gfn_t start, gfn_t last)
{
	bool flush = false;

	write_lock(&kvm->mmu_lock);
	assume(start <= last);
	if (is_done(kvm))
		return false;
	if (flush && !is_shared(kvm))
		kvm_flush_remote_tlbs(kvm);
	zap(kvm, start, last, true);
	qi_wait();
	write_unlock(&kvm->mmu_lock);
	host_free(kvm);
	return true;
}
"""


def test_each_operator_makes_what_it_says() -> None:
    found = {(each.operator, each.what) for each in mutations(TEXT, "pump.c")}

    assert {
        ("delete", "zap(kvm, start, last, true); -> ;"),
        ("swap", "write_unlock(&kvm->mmu_lock); <-> host_free(kvm);"),
        ("negate", "if (is_done(kvm)) -> if (!(is_done(kvm)))"),
        ("force", "if (flush && !is_shared(kvm)) -> if (false)"),
        ("weaken-lock", "write_lock(&kvm->mmu_lock); -> for reading"),
        ("weaken-lock", "write_lock(&kvm->mmu_lock); -> not at all"),
        ("weaken-call", "kvm_flush_remote_tlbs(kvm); -> kvm_tdp_fd_flush_notify(kvm);"),
        ("move", "write_unlock(&kvm->mmu_lock); -> before zap(kvm, start, last, true);"),
        ("drop-recheck", "if (is_done(kvm)) return false; -> ;"),
        ("off-by-one", "zap(kvm, start, last, true); -> zap(kvm, last, last, true);"),
        ("drop-operand", "if (flush && !is_shared(kvm)) -> if (flush)"),
        ("drop-wait", "qi_wait(); -> ;"),
    } <= found
    assert {operator for operator, _ in found} == OPERATORS.keys()
    assert not any("assume" in what for _, what in found), "what the kernel has not, nobody gets wrong"


def test_a_mutant_differs_from_the_text_in_its_place_alone() -> None:
    for each in mutations(TEXT, "pump.c"):
        before, after = TEXT.splitlines(), each.text.splitlines()
        same = next(n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new)

        assert same <= each.line - 1 or each.operator == "move"
        assert each.diff(TEXT).startswith("--- a/pump.c\n+++ b/pump.c\n@@ ")


def test_the_names_of_all_mutants_of_the_shipped_kernel_c_tell_them_apart() -> None:
    """By lines, and without lines: a declaration has no numbers."""
    found = [each for name, text in files_of(None).items() if "/" not in name for each in mutations(text, name)]

    assert {each.operator for each in found} == OPERATORS.keys()
    assert Counter(each.name for each in found).most_common(1)[0][1] == 1
    assert Counter((each.operator, each.file, each.function, each.what, each.near) for each in found).most_common(1)[0][1] == 1

"""A ghost that a change leaves in its place is nobody's new word, whatever becomes of its lines; one that it moves is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.inputs.waivers import before_change, waivers_in
from tdpcheck.tests.few import few

Edits = tuple[tuple[str, str], ...]

ATTACH = "\tif (!iommu_is_coherent(dev)) {\n\t\tnote_refused();\n\t\treturn -EINVAL;\n\t}\n\tpasid_entry_set(dev);\n\treturn 0;\n"
TAIL = "\tpasid_entry_set(dev);\n\treturn 0;\n"
CREATE = "static int kvm_create_tdp_fd(struct kvm *kvm)\n{\n"
REFUSE = "static int refuse(struct kvm *kvm)\n{\n\tnote_refused();\n\twrite_unlock(&kvm->mmu_lock);\n\treturn -EINVAL;\n}\n\n"
IF_DMA = "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n"
DMA = IF_DMA + "\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EINVAL;\n\t}\n"
EXPORT = "\troot->exported = true;\n"
SET, UNLOCKED = "\tkvm_tdp_set_exported(kvm);\n", "\twrite_unlock(&kvm->mmu_lock);\n\treturn ret;\n"
ROOT = "\tstruct kvm_mmu_page *root = kvm_exported_root(kvm);\n\tint ret = 0;\n\n\twrite_lock"
HEAD = "void kvm_mmu_zap_all_fast(struct kvm *kvm, gfn_t start, gfn_t last)\n{\n\tlockdep_assert_held_slots_lock(&kvm->slots_lock);\n"
BEGIN = "\tzap_begin(start, last);\n"
LOCK = "\twrite_lock(&kvm->mmu_lock);\n\tkvm_tdp_mmu_invalidate_all_roots(kvm);\n"
EXPORTED = "\tkvm_tdp_mmu_zap_exported_roots(kvm, start, last);\n"
REQUEST = "\tkvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);\n"
OVER = "\tread_unlock(&kvm->mmu_lock);\n\tzap_end();\n}\n"

FILES = {"share-vs-notifier": "tdp_fd.c", "fast-zap-private": "mmu.c"}
SHARE, ZAP = FILES


@cache
def shipped(scenario: str) -> Model:
    return built(shipped_scenarios()[scenario], None, files_of(None)).model


def named(scenario: str, edits: Edits) -> set[str]:
    """The texts of the waivers of a change that replaces these pieces of a file, each of which stands there once."""
    files = files_of(None)
    text = files[FILES[scenario]]
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    after: Mapping[str, str] = {**files, FILES[scenario]: text}
    made = built(shipped_scenarios()[scenario], None, after)
    return {w.text for w in waivers_in(made.model, made.code, after, before_change(shipped(scenario)))}


STAYS: list[tuple[str, Edits]] = [
    # Unlocked in one place.
    # The other arm first; an error code asked for; a helper; a local for the condition; parameters renamed; a flush more.
    (
        SHARE,
        (
            (DMA, DMA.replace("\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EINVAL;\n", "\t\tret = -EINVAL;\n\t\tgoto out;\n")),
            ("\tkvm_tdp_set_exported(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\treturn 0;\n", SET + "out:\n" + UNLOCKED),
            ("\tstruct kvm_mmu_page *root = kvm_exported_root(kvm);\n\n\twrite_lock", ROOT),
        ),
    ),
    (
        SHARE,
        (
            (
                ATTACH,
                "\tif (iommu_is_coherent(dev)) {\n\t\tpasid_entry_set(dev);\n\t\treturn 0;\n\t}\n\tnote_refused();\n\treturn -EINVAL;\n",
            ),
        ),
    ),
    (SHARE, ((IF_DMA, "\tint error = 0;\n\n\tif (kvm_arch_has_noncoherent_dma(kvm))\n\t\terror = -EINVAL;\n\tif (error) {\n"),)),
    (SHARE, ((DMA, IF_DMA.replace(" {", "") + "\t\treturn refuse(kvm);\n"), (CREATE, REFUSE + CREATE))),
    (SHARE, ((IF_DMA, "\tbool fine = !kvm_arch_has_noncoherent_dma(kvm);\n\n\tif (fine == false) {\n"),)),
    (
        ZAP,
        (
            (HEAD + BEGIN, (HEAD + BEGIN).replace("last", "end").replace("start", "begin")),
            (EXPORTED, EXPORTED.replace("start, last", "begin, end")),
        ),
    ),
    (ZAP, ((OVER, OVER.replace("zap_end", "done")), (HEAD, "static void done(void)\n{\n\tzap_end();\n}\n\n" + HEAD))),
    (ZAP, ((REQUEST, REQUEST + "\tkvm_flush_remote_tlbs(kvm);\n"),)),
    (ZAP, ((OVER, OVER.replace("\tread", "\tif (kvm_tdp_is_exported(kvm))\n\t\tkvm_flush_remote_tlbs(kvm);\n\tread")),)),
]


@pytest.mark.parametrize(("scenario", "edits"), few(STAYS, 3))
@pytest.mark.slow
def test_a_ghost_that_stays_is_no_waiver(scenario: str, edits: Edits) -> None:
    """Its lines may go and come, its function, locals and condition have other names: it says the same of the same moment."""
    assert set() == named(scenario, edits)


BEGUN, ENDED, REFUSED = "zap_begin(start, last)", "zap_end()", "note_refused()"
MOVES: list[tuple[str, Edits, str]] = [
    # Begun later; a lock passes it; ended earlier, sometimes, not before a return; of other gfns.
    (ZAP, ((BEGIN + LOCK, LOCK + BEGIN),), BEGUN),
    (ZAP, ((BEGIN + "\twrite_lock(&kvm->mmu_lock);\n", "\twrite_lock(&kvm->mmu_lock);\n" + BEGIN),), BEGUN),
    (ZAP, ((OVER, "\tzap_end();\n\tread_unlock(&kvm->mmu_lock);\n}\n"),), ENDED),
    (ZAP, ((OVER, OVER.replace("\tzap_end", "\tif (kvm_tdp_is_exported(kvm))\n\t\tzap_end")),), ENDED),
    (ZAP, ((REQUEST, "\tif (kvm_tdp_is_exported(kvm)) {\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn;\n\t}\n" + REQUEST),), ENDED),
    (ZAP, ((BEGIN, "\tlast = start;\n" + BEGIN),), BEGUN),
    # On the other way; on the opposite condition; on one condition more; on the opposite error; outside of its condition.
    (SHARE, ((DMA, DMA.replace("\t\tnote_refused();\n", "")), (EXPORT, "\tnote_refused();\n" + EXPORT)), REFUSED),
    (SHARE, ((ATTACH, ATTACH.replace("!iommu", "iommu")),), REFUSED),
    (SHARE, ((ATTACH, ATTACH.replace("(dev))", "(dev) || kvm_tdp_is_exported(kvm))")),), REFUSED),
    (SHARE, ((IF_DMA, "\tint error = -EINVAL;\n\n\tif (kvm_arch_has_noncoherent_dma(kvm))\n\t\terror = 0;\n\tif (error) {\n"),), REFUSED),
    (SHARE, ((ATTACH, "\tif (!iommu_is_coherent(dev))\n\t\treturn -EINVAL;\n\tnote_refused();\n" + TAIL),), REFUSED),
]


@pytest.mark.parametrize(("scenario", "edits", "text"), few(MOVES, 4))
def test_a_ghost_that_moves_is_a_waiver(scenario: str, edits: Edits, text: str) -> None:
    """Its line may stand as it stood: what passed it, or decides about it, is what counts."""
    assert text in named(scenario, edits)

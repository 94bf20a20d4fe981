"""Designs in which roots lie in several spaces: each mistake breaks the property that it should, and what is right is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdpcheck import verify
from tdpcheck.tests.calling import Call
from tdpcheck.tests.few import few

DESIGNS = Path(__file__).parent / "designs"


Edits = tuple[tuple[str, str], ...]


def written(folder: Path, design: str, edits: Edits = (), said: Edits = ()) -> Path:
    """The folder of a design, with edits of its C and of its scenario, each of a text that stands there once."""
    (folder / design).mkdir()
    for name, changes in ((f"{design}.c", edits), (f"{design}.toml", said)):
        text = (DESIGNS / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / design / name).write_text(text)
    return folder / design


def answers(folder: Path, design: str, edits: Edits = (), said: Edits = ()) -> dict[str, str]:
    """The verdict of each property of a design that is edited so; nobody is told the runs."""
    run = verify(design=written(folder, design, edits, said), certify=False, cache=False)
    return {result.property: result.verdict for result in run.document.results}


@pytest.mark.parametrize("design", ["own_table", "mirror"])
@pytest.mark.slow
def test_what_is_right_holds_in_every_property(tmp_path: Path, design: str) -> None:
    assert set(answers(tmp_path, design).values()) == {"holds_up_to"}


OWN_TABLE = {
    "no window of KVM's": ("\tmmu_invalidate_in_progress_add(kvm, gfn, gfn);\n", "", {"no_stale_spte"}),
    "no flush": ("\tqi_submit_iotlb(gfn, gfn, true);\n\tqi_wait();\n", "", {"no_stale_io_mapping", "flush_before_release"}),
    "no wait": ("\tqi_wait();\n", "", {"no_stale_io_mapping", "flush_before_release"}),
    "flushed after the table's lock": (
        "\tqi_submit_iotlb(gfn, gfn, true);\n\tqi_wait();\n\tmutex_unlock(&io_lock);\n",
        "\tmutex_unlock(&io_lock);\n\tqi_submit_iotlb(gfn, gfn, true);\n\tqi_wait();\n",
        {"flush_before_release"},
    ),
    "the device's fault asks nobody": (
        "!mmu_interval_read_retry(&io_mni)", "true", {"no_stale_io_mapping", "no_stale_spte", "notifier_exclusion"},
    ),
    "the sequence is read too late": (
        "\tmmu_interval_read_begin(&io_mni);\n\tpfn = hva_to_pfn(gfn);\n",
        "\tpfn = hva_to_pfn(gfn);\n\tmmu_interval_read_begin(&io_mni);\n",
        {"no_stale_io_mapping", "no_stale_spte", "notifier_exclusion"},
    ),
    "no window of the table's own": (
        "\tmmu_interval_set_seq(&io_mni, gfn, gfn);\n", "", {"no_stale_io_mapping", "no_stale_spte"},
    ),
    "its own zap comes too late": (
        "\tio_zap(kvm, gfn);\n\tcpu_zap(kvm, gfn);\n\thost_unmap_and_free(gfn, gfn);\n",
        "\tcpu_zap(kvm, gfn);\n\thost_unmap_and_free(gfn, gfn);\n\tio_zap(kvm, gfn);\n",
        {"no_stale_io_mapping", "no_stale_spte"},
    ),
    "vCPUs are not flushed": ("\tkvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);\n", "", {"flush_before_release"}),
}  # fmt: skip


@pytest.mark.parametrize("mistake", few(OWN_TABLE, len(OWN_TABLE)))
@pytest.mark.slow
def test_a_mistake_with_a_table_of_its_own_breaks_what_it_should(tmp_path: Path, mistake: str) -> None:
    old, new, broken = OWN_TABLE[mistake]
    found = answers(tmp_path, "own_table", ((old, new),))

    assert {name for name, verdict in found.items() if verdict == "violated"} == broken


MIRROR = {
    "not rolled back where the call was busy": (
        (("kvm_tdp_mmu_write_spte(iter.sptep, iter.old_spte);", "kvm_tdp_mmu_write_spte(iter.sptep, make_spte(pfn));"),),
        {"mirror_agrees"},
    ),
    "flushed before the table is changed": (
        (
            ("\t\tkvm_flush_remote_tlbs_range(kvm, gfn, gfn);\n", ""),
            ("\t\twhile (!push(", "\t\tkvm_flush_remote_tlbs_range(kvm, gfn, gfn);\n\t\twhile (!push("),
        ),
        {"no_stale_io_mapping", "flush_before_release"},
    ),
    "the mirror is changed first": (
        (("kvm_tdp_mmu_write_spte(iter.sptep, REMOVED_SPTE);\n\t\t\tif", "kvm_tdp_mmu_write_spte(iter.sptep, make_spte(pfn));\n\t\t\tif"),),
        {"mirror_agrees"},
    ),
    "a busy zap is given up": (
        (("\t\twhile (!push(kvm, gfn, REMOVED_SPTE))\n\t\t\tcpu_relax();\n", "\t\tpush(kvm, gfn, REMOVED_SPTE);\n"),),
        {"no_stale_io_mapping", "no_stale_spte"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", few(MIRROR, len(MIRROR)))
@pytest.mark.slow
def test_a_mistake_with_a_mirror_breaks_what_it_should(tmp_path: Path, mistake: str) -> None:
    edits, broken = MIRROR[mistake]
    found = answers(tmp_path, "mirror", edits)

    assert {name for name, verdict in found.items() if verdict == "violated"} == broken


@pytest.mark.slow
def test_a_table_that_nobody_walks_owes_nobody_a_flush(tmp_path: Path) -> None:
    """Without [[space]] every root is walked by all: the vCPUs' own table owes the IOMMUs a flush, and the IOMMUs' own another lock."""
    text = (DESIGNS / "own_table.toml").read_text()
    spaces = text[text.index("[[space]]") : text.index("[[thread]]")]

    assert answers(tmp_path, "own_table", said=((spaces, ""),))["flush_before_release"] == "violated"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('lock = "io_lock"', 'lock = "io_look"', "no lock 'io_look' is declared; did you mean io_lock"),
        ('notifier = "io_mni"', 'notifier = "kvmm"', "no notifier 'kvmm' is declared"),
        ("roots = [0]", "roots = [2]", "a [[space]] has root 2; geometry.roots is 2"),
        ('walked_by = ["cpu"]', 'walked_by = ["cpu"]\nroots = [0]', "root 0 lies in two [[space]]s"),
        ("roots = [0]\n", "", "name no roots; one space alone may have all the others"),
        ('name = "ept"', 'name = "io"', "[[space]] 'io' stands twice"),
        ('walked_by = ["cpu"]', 'walked_by = ["cpu", "iommu"]', "spaces that the iommu walks have two locks, io_lock and mmu_lock"),
        ('walked_by = ["iommu"]', "walked_by = []", "no [[space]] is walked by 'iommu'"),
        ('walked_by = ["cpu"]', 'walked_by = ["cpu"]\nmirrors = "io2"', "mirrors 'io2', which is no other space"),
        ('walked_by = ["cpu"]', 'walked_by = ["gpu"]', "gpu"),
        ("roots = [0]", "roots = [0, 1]", "[[space]] 'ept' has no root"),
        ("roots = [0]", "roots = []", "[[space]] 'io' has no root"),
        ('tables = "pages"', 'tables = "pages"\nvcpu_root = 0', "root 0, which lies in [[space]] 'io', and cpu does not walk that"),
        ('tables = "pages"', 'tables = "pages"\ndomain_root = 1', "root 1, which lies in [[space]] 'ept', and iommu does not walk that"),
        ('tables = "pages"', 'tables = "pages"\ndomain_root = 2', "start.domain_root names root 2; geometry.roots is 2"),
    ],
)
def test_spaces_that_cannot_be_are_refused(call: Call, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    folder = written(tmp_path, "own_table", said=((old, new),))
    done = call("verify", "--design", str(folder), "--no-cache")

    assert done.exit_code == 2
    assert complaint in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_lock_and_the_notifier_are_told_by_their_names(call: Call, tmp_path: Path) -> None:
    folder = written(tmp_path, "own_table", (("\tqi_submit_iotlb(gfn, gfn, true);\n\tqi_wait();\n", ""),))
    out = tmp_path / "out"
    done = call("verify", "--design", str(folder), "--property", "flush_before_release", "--no-cache", "--no-certify", "--out", str(out))
    told = " ".join(next(out.glob("*.txt")).read_text().split())

    assert "drops io_lock" in told
    assert "holds mmu_lock (for vCPUs) or io_lock (for IOMMUs)" in told
    assert "root 0 (io) is walked by IOMMUs, under io_lock, told by io_mni" in " ".join(done.stdout.split())
    assert call("replay", str(next(out.glob("*.cex.json"))), "--design", str(folder)).exit_code == 0

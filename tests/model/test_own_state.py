"""State that kernel C declares at file level: flags and locks become state variables, told by their names; anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdpcheck.tests.calling import Call
from tdpcheck.tests.few import few

CLAIMS = """\
static DEFINE_MUTEX(claim_lock);
static bool claimed;

static bool claim(void)
{
	bool mine;

	mutex_lock(&claim_lock);
	mine = !claimed;
	claimed = true;
	mutex_unlock(&claim_lock);
	return mine;
}

void share_by_claim(struct kvm *kvm)
{
	struct kvm_mmu_page *root = kvm_exported_root(kvm);

	if (!claim())
		return;
	WARN_ON(kvm_arch_has_noncoherent_dma(kvm));
	write_lock(&kvm->mmu_lock);
	root->exported = true;
	kvm_tdp_set_exported(kvm);
	write_unlock(&kvm->mmu_lock);
}

void register_by_claim(struct kvm *kvm, struct device *dev)
{
	if (claim())
		noncoherent_dma_count_inc(kvm, dev);
}
"""
"""Who comes first claims the VM: a flag, and a lock, of the design's own."""

SCENARIO = """\
name = "claim-race"
story = "Sharing and registering at once: the claim lets one of them through."
[start]
exported = []
attached = false
[[thread]]
role = "share"
entry = "share_by_claim"
[[thread]]
role = "register"
entry = "register_by_claim"
[expect]
kernel_assertions = "holds"
"""
UNLOCKED = CLAIMS.replace("\tmutex_lock(&claim_lock);\n", "").replace("\tmutex_unlock(&claim_lock);\n", "")


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "race.toml").write_text(SCENARIO)
    return folder


def asked(call: Call, folder: Path, text: str, *more: str) -> dict[str, object]:
    (folder / "claims.c").write_text(text)
    done = call("verify", "--design", str(folder), "--json", *more)
    assert done.stdout, done.stderr
    (record,) = json.loads(done.stdout)["results"]
    return dict(record)


def test_a_flag_under_a_lock_keeps_two_flows_apart(call: Call, claims: Path) -> None:
    """The proof has the design's own cells in it, and two solvers check it."""
    record = asked(call, claims, CLAIMS)

    assert (record["verdict"], record["sizes"] is not None, record["waivers"]) == ("proved", True, [])


DECLARED = {
    "no lock": (UNLOCKED, "violated"),
    "claimed already": (CLAIMS.replace("bool claimed;", "bool claimed = true;"), "unknown"),
    "never claimed": (CLAIMS.replace("\tclaimed = true;\n", ""), "violated"),
    "a declared mutex": (CLAIMS.replace("static DEFINE_MUTEX(claim_lock)", "static struct mutex claim_lock"), "proved"),
    "a spinlock": (CLAIMS.replace("DEFINE_MUTEX", "DEFINE_SPINLOCK").replace("mutex_", "spin_"), "proved"),
    "asserted": (CLAIMS.replace("\tclaimed = true;\n", "\tlockdep_assert_held(&claim_lock);\n\tclaimed = true;\n"), "proved"),
    "asserted in vain": (UNLOCKED.replace("\tclaimed = true;\n", "\tlockdep_assert_held(&claim_lock);\n\tclaimed = true;\n"), "violated"),
    "never released": (CLAIMS.replace("\tmutex_unlock(&claim_lock);\n", ""), "violated"),
}


@pytest.mark.parametrize("how", few(DECLARED, 3))
def test_what_it_declares_is_what_runs(call: Call, claims: Path, how: str) -> None:
    text, verdict = DECLARED[how]
    assert asked(call, claims, text)["verdict"] == verdict


def test_a_race_on_a_flag_is_told_by_its_name(call: Call, claims: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked(call, claims, UNLOCKED, "--out", str(out))
    (stored,) = out.glob("*.cex.json")
    said = next(out.glob("*.txt")).read_text()

    assert "claimed = true (*)" in said
    assert "claimed" in json.loads(stored.read_text())["initial"]
    assert call("replay", str(stored), "--design", str(claims)).exit_code == 0


def test_a_value_of_the_models_types_may_be_kept(call: Call, claims: Path) -> None:
    """Whatever has literals: which page was claimed, or with which code somebody was refused."""
    text = CLAIMS.replace("static bool claimed;", "static bool claimed;\nstatic int last;").replace(
        "\tclaimed = true;\n", "\tclaimed = true;\n\tlast = -EBUSY;\n\tWARN_ON(last != -EBUSY);\n"
    )

    assert asked(call, claims, text)["verdict"] == "proved"


def complaint(call: Call, folder: Path, text: str) -> str:
    (folder / "claims.c").write_text(text)
    done = call("verify", "--design", str(folder))
    assert done.exit_code == 2, done.output
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "declared",
    ["static unsigned int claimed;", "static bool claimed[2];", "static struct tdp_iter claimed;", "bool claimed;", "static u64 claimed;"],
)
def test_what_cannot_be_modelled_is_refused_where_it_is_used(call: Call, claims: Path, declared: str) -> None:
    said = complaint(call, claims, CLAIMS.replace("static bool claimed;", declared))

    assert "claims/claims.c:" in said
    assert "a variable at file level is not modelled" in said


def test_a_name_that_is_taken(call: Call, claims: Path) -> None:
    assert "iotlb_valid is a name of the model's own" in complaint(call, claims, CLAIMS.replace("claimed", "iotlb_valid"))


def test_a_variable_that_two_files_declare(call: Call, claims: Path) -> None:
    (claims / "other.c").write_text("static bool claimed;\n\nstatic bool unused(void)\n{\n\treturn claimed;\n}\n")

    assert "claimed is declared at" in complaint(call, claims, CLAIMS)


def test_a_shipped_file_may_get_a_flag_by_a_change(call: Call, tmp_path: Path) -> None:
    """A change declares state as a design does; who does not use it sees no difference."""
    change = tmp_path / "c.patch"
    text = (Path(__file__).parents[2] / "model" / "kernel" / "tdp_fd.c").read_text()
    lines = text.splitlines(keepends=True)[:3]
    body = "".join(f" {line}" for line in lines)
    change.write_text(f"--- a/tdp_fd.c\n+++ b/tdp_fd.c\n@@ -1,3 +1,4 @@\n{body}+static bool unused_flag;\n")
    arguments = (
        "verify",
        "--scenario",
        "noncoherent-export",
        "--property",
        "root_liveness",
        "--change",
        str(change),
        "--no-certify",
        "--json",
    )
    (record,) = json.loads(call(*arguments).stdout)["results"]

    assert record["verdict"] in ("holds_up_to", "unknown")

"""Trees are known by what stands in them: definitions of functions, macros and structs, lines of a Kconfig; not by what is said of them."""

from __future__ import annotations

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.lift import for_tree, scenarios_of
from tdpcheck.model.lift.signs import Sign, Signs
from tdpcheck.model.lift.versions import DIFFERENCES, INTERNAL, VERSIONS, kernel_of, version_of
from tdpcheck.model.scenario import shipped_scenarios

TEXT = """
/* void commented(int n) { } */
#define MACRO(x) f(x)
int declared(int n);
static inline int __must_check defined(const struct kvm *kvm,
	u64 __user *p, int n)
{
	return called(n);
}
#ifdef CONFIG_X
struct open { int n; };
#endif
struct other *used(struct unknown *p) { return defined(p, 0, 1); }
int nothing(void) { return 0; }
"""


@pytest.mark.parametrize(
    ("sign", "shows"),
    [
        (Sign("f.c"), True),
        (Sign("g.c"), False),
        (Sign("f.c", "commented"), False),
        (Sign("f.c", "declared"), False),
        (Sign("f.c", "defined"), True),
        (Sign("f.c", "defined", ("struct kvm *", "u64 *", "int")), True),
        (Sign("f.c", "defined", ("struct kvm *", "int")), False),
        (Sign("f.c", "nothing", ()), True),
        (Sign("f.c", "defined", calls="called"), True),
        (Sign("f.c", "nothing", calls="called"), False),
        (Sign("f.c", "called"), False),
        (Sign("f.c", "#define MACRO"), True),
        (Sign("f.c", "#define CONFIG_X"), False),
        (Sign("f.c", "struct open"), True),
        (Sign("f.c", "struct unknown"), False),
        (Sign("Kconfig", "select OPTION"), True),
        (Sign("Kconfig", "select OTHER"), False),
        (Sign("broken.c", "defined"), False),
    ],
)
def test_a_sign_is_a_definition(sign: Sign, shows: bool) -> None:
    """Uses, prototypes and comments show nothing; what stands under an option does."""
    files = {"f.c": TEXT, "Kconfig": "config KVM\n\tselect OPTION\n\tselect OTHER if Y\n", "broken.c": TEXT + "/* no end"}

    assert Signs(files.get).shows(sign) is shows


def made(version: str, without: str = "", **more: str) -> KernelTree:
    """A tree with nothing but the signs of a version."""
    files: dict[str, list[str]] = {"Makefile": []}
    for sign in next(v for v in VERSIONS if v.name == version).looked_for:
        lines = files.setdefault(sign.file, [])
        if sign.name.startswith("struct "):
            lines.append(f"{sign.name} {{ int n; }};")
        elif sign.name and sign.name != without:
            takes = ", ".join(f"{t} a{n}" for n, t in enumerate(sign.takes or ()))
            lines.append(f"int {sign.name}({takes}) {{ {sign.calls or 'g'}(1); }}")

    def read(path: str) -> bytes:
        if path not in files:
            raise InputError(f"no {path}")
        return "\n".join([*files[path], more.get(path.rpartition("/")[2].replace(".", "_"), "")]).encode()

    return KernelTree(f"tree of {version} without {without!r} {more}", "9.9.9", read)


@pytest.mark.parametrize("version", ["6.1", "6.12"])
def test_a_tree_is_what_it_shows_and_not_what_it_calls_itself(version: str) -> None:
    """These call themselves 9.9.9."""
    tree = made(version)

    assert version_of(tree).name == version
    assert {s.design for s in scenarios_of(tree).values()} == {f"linux-{version}-lift"}


def test_differences_are_found_one_by_one() -> None:
    """A tree between two versions has those that it has; a change may make one of them."""
    older, between = made("6.1"), made("6.1", spte_h="int is_frozen_spte(u64 spte) { return 1; }")
    renamed = kernel_of(older, {INTERNAL: older.read(INTERNAL) + "int gfn_round_for_level(gfn_t gfn, int level) { return 1; }"})

    assert kernel_of(older).differences == ()
    assert kernel_of(between).calls == {"is_frozen_spte(spte)": "is_removed_spte(spte)"}
    assert kernel_of(between).constants == {"FROZEN_SPTE": "REMOVED_SPTE"}
    assert renamed.helpers == {INTERNAL: frozenset({"gfn_round_for_level"})}
    assert all(d.what and (d.calls or d.constants or d.helpers or d.config or d.erased) for d in DIFFERENCES)


def test_a_tree_of_no_version_gets_one_line_of_what_was_looked_for() -> None:
    """The first thing that is not there, with its place."""
    with pytest.raises(InputError) as error:
        version_of(made("6.1", without="kvm_tdp_mmu_map"))

    assert "\n" not in str(error.value)
    assert "(Linux 9.9.9) has no kvm_tdp_mmu_map(struct kvm_vcpu *, struct kvm_page_fault *) in arch/x86/kvm/mmu/tdp_mmu.c" in str(
        error.value
    )


def test_a_scenario_is_asked_as_that_of_the_tree() -> None:
    """One that a user wrote, or that runs our own kernel C, stays what it is."""
    shipped, tree = shipped_scenarios(), made("6.12")
    own = shipped["notifier-vs-fault"]

    assert for_tree(shipped["linux-6.1-lift-fault-split"], tree) == shipped["linux-6.12-lift-fault-split"]
    assert for_tree(shipped["linux-6.12-lift-fault-split"], tree) == shipped["linux-6.12-lift-fault-split"]
    assert for_tree(own, tree) == own

"""What differs between kernels, as data: which files functions are lifted from, what of ours runs beside them, and what has which name.

A tree is known by what stands in its files, not by what its Makefile says: a tree with backports is what it holds. A *version* is a
shape of the whole, with scenarios of its own; a *difference* is one change in the way from one version to the next, looked for by
itself, so that a tree in between, or one that a patch makes, has those that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from ...core.errors import InputError
from ...kernelc.sources.tree import KernelTree
from ...kernelc.text.preprocess import DEFAULT_CONFIG
from .signs import Sign, Signs, reader

MMU = "arch/x86/kvm/mmu/"
TDP_MMU = f"{MMU}tdp_mmu.c"
SPTE = f"{MMU}spte.h"
INTERNAL = f"{MMU}mmu_internal.h"
HOST = "include/linux/kvm_host.h"


@dataclass(frozen=True)
class KernelVersion:
    """A kernel that functions can be lifted from.

    Args:
        name: the first release of which all of this is true.
        design: what scenarios of it call their design.
        iterator: the header of the iterators; its loop macros are known in all other files.
        lifted: files whose functions run as they stand, the iterator's first.
        headers: of which only the structs count, and the functions that `helpers` name.
        macros: of which only the loop macros count.
        known_by: what a tree has to show to be one.
        structs: that must be defined in one of the files.
        ours: files of the shared design whose functions run beside lifted ones; those that lifted ones call have the same meaning there.
        glue: the folder of `model/kernel` with what ties the two together.
    """

    name: str
    design: str
    iterator: str
    lifted: tuple[str, ...]
    headers: tuple[str, ...]
    macros: tuple[str, ...]
    known_by: tuple[Sign, ...]
    structs: tuple[str, ...]
    ours: tuple[str, ...]
    glue: str

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of a tree that has a say."""
        return (*self.lifted, *self.headers, *self.macros)

    @property
    def looked_for(self) -> tuple[Sign, ...]:
        """What makes a tree one of this version, files first."""
        return (*(Sign(path) for path in (*self.lifted, *self.headers)), *self.known_by)


@dataclass(frozen=True, eq=False)
class Difference:
    """A change from one version to the next, and what follows from it for lifted code.

    Args:
        what: the change, in a sentence.
        sign: a tree that shows it has made the change.
        calls: a call as the tree writes it, with names for its arguments, to the same call as our library knows it, or to a truth value. An
            argument that the left side alone has (its name says its type, see `ARGUMENTS`) has no say; one that the right side alone has is
            a constant.
        constants: a name in the tree, to the name of the same value in our library.
        fields: a field, as `type.field`, to the name that our library knows it by.
        config: what follows for the configuration.
        erased: calls that do nothing here, each with the reason.
        helpers: functions of `headers` that run as they stand.
        glue: our functions for it: a file of `model/kernel`.
    """

    what: str
    sign: Sign
    calls: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, bool] = field(default_factory=dict)
    erased: Mapping[str, str] = field(default_factory=dict)
    helpers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    glue: str = ""


ENTRIES = (
    Sign(TDP_MMU, "kvm_tdp_mmu_map", ("struct kvm_vcpu *", "struct kvm_page_fault *")),
    Sign(TDP_MMU, "kvm_tdp_mmu_unmap_gfn_range", ("struct kvm *", "struct kvm_gfn_range *", "bool")),
    Sign(TDP_MMU, "kvm_tdp_mmu_try_split_huge_pages", ("struct kvm *", "struct kvm_memory_slot *", "gfn_t", "gfn_t", "int", "bool")),
    Sign(TDP_MMU, "kvm_tdp_mmu_zap_collapsible_sptes", ("struct kvm *", "struct kvm_memory_slot *")),
)
"""The functions that our glue calls."""

LINUX_6_1 = KernelVersion(
    name="6.1",
    design="linux-6.1-lift",
    iterator=f"{MMU}tdp_iter.h",
    lifted=(f"{MMU}tdp_iter.h", f"{MMU}tdp_iter.c", TDP_MMU),
    headers=(INTERNAL, HOST, SPTE),
    macros=("include/linux/list.h", "include/linux/rculist.h"),
    known_by=(
        Sign(INTERNAL, "struct kvm_page_fault"),
        Sign(HOST, "struct kvm_gfn_range"),
        *ENTRIES,
    ),
    structs=("tdp_iter", "kvm_page_fault", "kvm_gfn_range"),
    ours=("kvm_main.c", "tdp_fd.c"),
    glue="_lift-6.1",
)
LINUX_6_12 = KernelVersion(
    name="6.12",
    design="linux-6.12-lift",
    iterator=LINUX_6_1.iterator,
    lifted=LINUX_6_1.lifted,
    headers=LINUX_6_1.headers,
    macros=LINUX_6_1.macros,
    known_by=(
        *LINUX_6_1.known_by,
        Sign(TDP_MMU, "kvm_tdp_mmu_map", calls="tdp_mmu_split_huge_page"),
        Sign(TDP_MMU, "tdp_mmu_next_root", ("struct kvm *", "struct kvm_mmu_page *", "bool")),
    ),
    structs=LINUX_6_1.structs,
    ours=LINUX_6_1.ours,
    glue=LINUX_6_1.glue,
)
VERSIONS = (LINUX_6_1, LINUX_6_12)
"""Those that there are, the newest last."""

CONCERNED = (
    *LINUX_6_1.lifted,
    f"{MMU}mmu.c",
    f"{MMU}spte.c",
    SPTE,
    INTERNAL,
    "virt/kvm/kvm_main.c",
    "arch/x86/kvm/vmx/vmx.c",
    "drivers/iommu/intel/iommu.c",
    "drivers/iommu/intel/cache.c",
    "drivers/iommu/intel/pasid.c",
)
"""The files of which one wants to know how much of them is in the model; those that a tree has."""

DIFFERENCES = (
    Difference(
        "a removed SPTE is called a frozen one",
        Sign(SPTE, "is_frozen_spte"),
        calls={"is_frozen_spte(spte)": "is_removed_spte(spte)"},
        constants={"FROZEN_SPTE": "REMOVED_SPTE"},
    ),
    Difference(
        "what is not present is not 0, but has bit 63 for TDX: here both are the one empty SPTE",
        Sign(SPTE, "#define SHADOW_NONPRESENT_VALUE"),
        constants={"SHADOW_NONPRESENT_VALUE": "an empty SPTE"},
    ),
    Difference(
        "every SPTE that is written is checked for its #VE bit, which is not modelled",
        Sign(SPTE, "is_ept_ve_possible"),
        calls={"is_ept_ve_possible(spte)": "false"},
    ),
    Difference(
        "whether an SPTE is one of MMIO depends on the VM",
        Sign(SPTE, "is_mmio_spte", ("struct kvm *", "u64")),
        calls={"is_mmio_spte(kvm, spte)": "is_mmio_spte(spte)"},
    ),
    Difference(
        "the page of a root is asked for by a function of its own",
        Sign(SPTE, "root_to_sp"),
        calls={"root_to_sp(root)": "to_shadow_page(root)"},
    ),
    Difference(
        "the MMU's own WARN_ON; it is checked here, whether or not CONFIG_KVM_PROVE_MMU is set",
        Sign(INTERNAL, "#define KVM_MMU_WARN_ON"),
        calls={"KVM_MMU_WARN_ON(x)": "WARN_ON_ONCE(x)"},
    ),
    Difference(
        "the rounding of a gfn stands in a header",
        Sign(INTERNAL, "gfn_round_for_level"),
        helpers={INTERNAL: ("gfn_round_for_level",)},
    ),
    Difference(
        "flushes of one page go through helpers",
        Sign(INTERNAL, "kvm_flush_remote_tlbs_gfn"),
        helpers={INTERNAL: ("kvm_flush_remote_tlbs_gfn",)},
        glue="_lift-6.12/flush_range.c",
    ),
    Difference(
        "the iterator over roots does not care how mmu_lock is held",
        Sign(TDP_MMU, "tdp_mmu_next_root", ("struct kvm *", "struct kvm_mmu_page *", "bool")),
        calls={"tdp_mmu_next_root(kvm, root, only_valid)": "tdp_mmu_next_root(kvm, root, true, only_valid)"},
    ),
    Difference(
        "a page for a split is allocated with mmu_lock always dropped",
        Sign(TDP_MMU, "tdp_mmu_alloc_sp_for_split", ()),
        calls={"tdp_mmu_alloc_sp_for_split()": "__tdp_mmu_alloc_sp_for_split(GFP_KERNEL_ACCOUNT)"},
    ),
    Difference(
        "table pages are counted, not listed: one leaves those in use where it is counted out",
        Sign(TDP_MMU, "tdp_mmu_unlink_sp", ("struct kvm *", "struct kvm_mmu_page *")),
        calls={"tdp_unaccount_mmu_page(kvm, sp)": "tdp_mmu_unlink_sp(sp)"},
    ),
    Difference(
        "pages that stand in for huge ones are tracked for the NX recovery thread under other names",
        Sign(TDP_MMU, "tdp_mmu_unlink_sp", calls="untrack_possible_nx_huge_page"),
        fields={"struct kvm_mmu_page *.nx_huge_page_disallowed": "lpage_disallowed"},
        erased={
            "track_possible_nx_huge_page": "the list of the NX recovery thread, which does not run here",
            "untrack_possible_nx_huge_page": "the list of the NX recovery thread, which does not run here",
        },
    ),
    Difference(
        "the structs of MMU notifiers depend on an option that KVM on x86 always selects",
        Sign("arch/x86/kvm/Kconfig", "select KVM_GENERIC_MMU_NOTIFIER"),
        config={"CONFIG_KVM_GENERIC_MMU_NOTIFIER": True},
    ),
)


@dataclass(frozen=True)
class Kernel:
    """A version, with the differences that one tree shows, as it stands or with a change in it."""

    version: KernelVersion
    differences: tuple[Difference, ...] = ()

    @cached_property
    def calls(self) -> dict[str, str]:
        """How the tree writes a call, to how our library does."""
        return {theirs: ours for d in self.differences for theirs, ours in d.calls.items()}

    @cached_property
    def constants(self) -> dict[str, str]:
        """The tree's names of values, to our library's."""
        return {theirs: ours for d in self.differences for theirs, ours in d.constants.items()}

    @cached_property
    def fields(self) -> dict[str, str]:
        """The tree's fields, to the names that our library knows them by."""
        return {theirs: ours for d in self.differences for theirs, ours in d.fields.items()}

    @cached_property
    def config(self) -> dict[str, bool]:
        """What is known of the configuration."""
        return {**DEFAULT_CONFIG, **{name: value for d in self.differences for name, value in d.config.items()}}

    @cached_property
    def erased(self) -> dict[str, str]:
        """Calls that do nothing, each with the reason."""
        return {name: why for d in self.differences for name, why in d.erased.items()}

    @cached_property
    def helpers(self) -> dict[str, frozenset[str]]:
        """Of each header the functions that run as they stand."""
        named = [(file, names) for d in self.differences for file, names in d.helpers.items()]
        return {file: frozenset(n for other, names in named if other == file for n in names) for file, _ in named}

    @cached_property
    def glue(self) -> tuple[str, ...]:
        """Our files that belong to differences which the tree shows."""
        return tuple(dict.fromkeys(d.glue for d in self.differences if d.glue))


def kernel_of(tree: KernelTree, overlay: Mapping[str, str] | None = None) -> Kernel:
    """What a tree is, and in what it differs from the first version, with texts of a change in place of its own.

    Raises:
        InputError: it is of no version.
    """
    version, below, changed = version_of(tree), reader(tree.read), overlay or {}
    signs = Signs(lambda path: changed[path] if path in changed else below(path))
    return Kernel(version, tuple(d for d in DIFFERENCES if signs.shows(d.sign)))


def files_of(tree: KernelTree) -> tuple[str, ...]:
    """The files of a tree that have a say. A tree of no version has those of the newest one that it has."""
    return tuple(path for path in VERSIONS[-1].files if has(tree, path))


def is_lifted(files: Mapping[str, str]) -> bool:
    """Whether these are the files of a kernel tree, not of our kernel C."""
    return VERSIONS[-1].iterator in files


def kernel_in(files: Mapping[str, str]) -> Kernel:
    """The differences that the files of a tree show; the version is the newest, whatever the tree is."""
    signs = Signs(files.get)
    return Kernel(VERSIONS[-1], tuple(d for d in DIFFERENCES if signs.shows(d.sign)))


def config_of(files: Mapping[str, str]) -> Mapping[str, bool]:
    """What is known of the configuration of these files."""
    if not is_lifted(files):
        return DEFAULT_CONFIG
    return kernel_in(files).config


def macros_beside(files: Mapping[str, str], name: str) -> dict[str, str]:
    """The files whose loop macros one file may use: of a kernel tree the headers of iterators and lists, else those of its design."""
    if is_lifted(files):
        return {path: files[path] for path in (VERSIONS[-1].iterator, *VERSIONS[-1].macros) if path != name and path in files}
    design, inside, _ = name.partition("/")
    return {n: files[n] for n in files if n != name and ("/" not in n or (inside and n.startswith(f"{design}/")))}


@cache
def version_of(tree: KernelTree) -> KernelVersion:
    """The newest version that a tree is known to be.

    Raises:
        InputError: it is of none; what was looked for is said.
    """
    signs = Signs(reader(tree.read))
    for version in reversed(VERSIONS):
        if signs.missing(version.looked_for) is None:
            return version
    first = signs.missing(VERSIONS[0].looked_for)
    names = ", ".join(version.name for version in VERSIONS)
    raise InputError(
        f"{tree.origin} (Linux {tree.version}) has no {first}, which was looked for there; "
        f"functions can be lifted from trees like Linux {names}"
    )


def has(tree: KernelTree, path: str) -> bool:
    """Whether a tree has a file."""
    return reader(tree.read)(path) is not None

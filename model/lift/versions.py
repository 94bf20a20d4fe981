"""What differs between kernels, as data: which files functions are lifted from, and what of ours runs beside them.

A version is recognised by its files, not by what its Makefile says: a tree with backports is what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import InputError
from ...kernelc.sources.tree import KernelTree

MMU = "arch/x86/kvm/mmu/"


@dataclass(frozen=True)
class KernelVersion:
    """A kernel that functions can be lifted from.

    Args:
        name: the first release of which all of this is true.
        design: what scenarios of it call their design.
        iterator: the header of the iterators; its loop macros are known in all other files.
        lifted: files whose functions run as they stand, the iterator's first.
        headers: of which only the structs count.
        macros: of which only the loop macros count.
        structs: that must be defined in one of them.
        ours: files of the shared design whose functions run beside lifted ones; those that lifted ones call have the same meaning there.
        glue: the folder of `model/kernel` with what ties the two together.
    """

    name: str
    design: str
    iterator: str
    lifted: tuple[str, ...]
    headers: tuple[str, ...]
    macros: tuple[str, ...]
    structs: tuple[str, ...]
    ours: tuple[str, ...]
    glue: str

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of a tree that has a say."""
        return (*self.lifted, *self.headers, *self.macros)


LINUX_6_1 = KernelVersion(
    name="6.1",
    design="linux-6.1-lift",
    iterator=f"{MMU}tdp_iter.h",
    lifted=(f"{MMU}tdp_iter.h", f"{MMU}tdp_iter.c", f"{MMU}tdp_mmu.c"),
    headers=(f"{MMU}mmu_internal.h", "include/linux/kvm_host.h"),
    macros=("include/linux/list.h", "include/linux/rculist.h"),
    structs=("tdp_iter", "kvm_page_fault", "kvm_gfn_range"),
    ours=("kvm_main.c", "tdp_fd.c"),
    glue="_lift-6.1",
)
VERSIONS = (LINUX_6_1,)
"""Those that there are, the newest last."""


def version_of(tree: KernelTree) -> KernelVersion:
    """The newest version whose files a tree has.

    Raises:
        InputError: it has those of none.
    """
    for version in reversed(VERSIONS):
        if all(has(tree, path) for path in (*version.lifted, *version.headers)):
            return version
    missing = next(path for path in (*VERSIONS[-1].lifted, *VERSIONS[-1].headers) if not has(tree, path))
    names = ", ".join(version.name for version in VERSIONS)
    raise InputError(f"{tree.origin} has no file {missing}; functions can be lifted from trees like Linux {names}")


def has(tree: KernelTree, path: str) -> bool:
    """Whether a tree has a file."""
    try:
        tree.read(path)
    except InputError:
        return False
    return True

"""Functions lifted verbatim from a kernel tree, as code that scenarios can run.

What is lifted stands in three files of arch/x86/kvm/mmu/: everything that changes or walks the tables of the TDP MMU. The rest of
KVM, the locks, the flushes and the host's side are ours (`model/kernel/_lift-6.1/` and the files that the shared design shares with it), or
intrinsics. Nothing of a kernel tree is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from ...core.errors import InputError
from ...kernelc.sources.tree import KernelTree
from ...kernelc.text import ast
from ...kernelc.text.parse import parse
from ..scenario import Scenario, shipped_scenarios
from ..system import KERNEL, Code, Sized
from .meanings import TRACE, library_for
from .versions import Kernel, has, kernel_of, version_of
from .words import words_of

_TRACEPOINT = re.compile(r"\btrace_\w+")


def lifted_code(tree: KernelTree, overlay: Mapping[str, str] | None = None) -> Code:
    """The code of a kernel tree with ours around it.

    Args:
        overlay: texts that take the place of the tree's files, by path: a proposed change, applied.

    Raises:
        InputError: the tree lacks a file, or its files lack a struct that they should define.
        Refusal: a file that is no C at all, or has something outside of its functions which is not understood.
    """
    kernel = kernel_of(tree, overlay)
    version, config = kernel.version, kernel.config
    changed = dict(overlay or {})
    texts = {path: changed.get(path) or tree.read(path) for path in (*version.lifted, *version.headers)}
    for path in version.macros:
        if path in changed or has(tree, path):
            texts[path] = changed.get(path) or tree.read(path)
    macros = {path: texts[path] for path in (version.iterator, *version.macros) if path in texts}
    functions: dict[str, ast.Function] = {}
    structs: dict[str, ast.Struct] = {}
    broken: dict[str, Exception] = {}
    unmodelled: dict[str, Exception] = {}
    for path in version.headers:
        unit, helpers = parse(texts[path], path, config=config), kernel.helpers.get(path, frozenset())
        structs |= {name: struct for name, struct in unit.structs.items() if name in version.structs}
        functions |= {name: unit.functions[name] for name in helpers if name in unit.functions}
        broken |= {name: why for name, why in unit.broken.items() if name in (*helpers, *(f"struct {s}" for s in version.structs))}
    for path in version.lifted:
        unit = parse(texts[path], path, macros={p: t for p, t in macros.items() if p != path}, config=config)
        for refusal in unit.strange:
            raise refusal
        unmodelled |= unit.unmodelled
        functions |= unit.functions
        structs |= unit.structs
        broken |= unit.broken
    for name in version.structs:
        if name not in structs:
            why = broken.get(f"struct {name}")
            raise InputError(
                f"{tree.origin}: struct {name} is not defined where it is in Linux {version.name}"
                + (f" as far as can be read: {why}" if why else "; lifting needs such a tree")
            )
    lifted = tuple(f"{name} ({functions[name].at.file.rpartition('/')[2]})" for name in sorted(functions))
    ours = _ours(kernel)
    for file in ours:  # the glue comes last
        unit = parse(ours[file], file)
        for refusal in unit.strange:
            raise refusal
        unmodelled |= unit.unmodelled
        functions |= unit.functions
        broken |= unit.broken
    traces = {name: TRACE for path in version.lifted for name in _TRACEPOINT.findall(texts[path])}

    def sized(scenario: Scenario) -> Sized:
        words = words_of(scenario)
        library = library_for(words, kernel)
        return Sized(replace(library, erased={**library.erased, **traces}), words.rigids)

    return Code(
        functions=functions,
        structs={name: _with_meaning(struct) for name, struct in structs.items()},
        broken=unmodelled | broken,
        lifted=lifted,
        kernel=f"Linux {tree.version} ({tree.origin})",
        digest=_digest({**texts, **ours}),
        ours=tuple(f"{name} ({file})" for file in ours for name in sorted(parse(ours[file], file).functions)),
        sized=sized,
    )


def scenarios_of(tree: KernelTree) -> dict[str, Scenario]:
    """The shipped scenarios that run functions of a tree like this one.

    Raises:
        InputError: functions cannot be lifted from it.
    """
    design = version_of(tree).design
    return {name: scenario for name, scenario in shipped_scenarios().items() if scenario.design == design}


def for_tree(scenario: Scenario, tree: KernelTree) -> Scenario:
    """A shipped scenario as it is asked of this tree: what one version should do, another does otherwise. Any other stays as it is.

    Raises:
        InputError: functions cannot be lifted from the tree.
    """
    shipped = shipped_scenarios()
    if not scenario.needs_kernel or shipped.get(scenario.name) != scenario:
        return scenario
    return shipped.get(scenario.name.replace(scenario.design, version_of(tree).design), scenario)


def _with_meaning(struct: ast.Struct) -> ast.Struct:
    """A struct without the fields whose types mean nothing here: nobody who needs one is understood, and who needs none is."""
    return replace(struct, fields=tuple((name, ref) for name, ref in struct.fields if not ref.base.startswith(("union ", "enum kvm_"))))


def _ours(kernel: Kernel) -> dict[str, str]:
    version = kernel.version
    files = {name: (KERNEL / name).read_text() for name in version.ours}
    files |= {f"{version.glue}/{path.name}": path.read_text() for path in sorted((KERNEL / version.glue).glob("*.c"))}
    return files | {name: (KERNEL / name).read_text() for name in kernel.glue}


def _digest(texts: Mapping[str, str]) -> str:
    joined = "\0".join(f"{name}\0{text}" for name, text in sorted(texts.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:12]
